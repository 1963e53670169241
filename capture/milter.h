/*
 * milter - mail as an MTA hands it over: libmilter on a socket, one transaction at a time to the
 * hooks, their answer back to the MTA.
 *
 * libmilter is one per process and calls back in threads of its own; milter_start() gives it one
 * thread, and it makes more while transactions wait for their judgement. The hooks are called from
 * those threads, several at once.
 *
 * Of each transaction that got a MAIL exactly one of `judge` and `ended` is called, once. Whatever
 * fails on our side is answered "accept".
 *
 * Ownership: a transaction given to `judge` or `ended` is the hook's. The strings of the
 *            configuration are copied.
 * Errors:    negative errno, after a line in the log.
 * Limits:    LIMIT_MESSAGE_BYTES, LIMIT_SPILL_BYTES, LIMIT_RCPTS, LIMIT_MILTER_*.
 * Standard:  milter protocol 6 and older offers down to 2; RFC 8601 section 5 for the fields that
 *            are removed.
 */
#pragma once

#include "base/buf.h"
#include "base/config.h"
#include "capture/txn.h"

enum milter_action {
	MILTER_ACCEPT,
	MILTER_TAG, /* as accept: what is added says so */
	MILTER_QUARANTINE,
	MILTER_DEFER,
	MILTER_REJECT,
};
#define MILTER_ACTIONS 5

/* Zeroed it accepts and adds nothing. */
struct milter_answer {
	enum milter_action action;
	char code[4], enhanced[12]; /* of defer and reject: "451" "4.7.28" */
	char text[512];             /* words for the client; LF begins another line of the reply */
	char verdict[256];          /* value of X-Assay-Verdict, reason of a quarantine; empty: none */
	struct buf auth_results;    /* value of Authentication-Results, folded; empty: none */
};

struct milter_hooks {
	/* Can `limit` refuse anybody as things are? Asked when an MTA connects: if not, it need not
	 * wait at MAIL. A limit that comes later refuses such a connection at the end of its message.
	 * NULL: it can. */
	bool (*limits)(void *arg);
	/* At MAIL: true refuses it with the answer. The client waits: a round trip nearby at most. */
	bool (*limit)(void *arg, struct txn *t, struct milter_answer *a);
	/* End of the message, or `limit` has refused: then the transaction has its reply, and the answer
	 * stays as it is. Blocks this connection's thread until the event is written or the deadline
	 * has passed. */
	void (*judge)(void *arg, struct txn *t, struct milter_answer *a);
	/* The transaction ended without an end of its message: abort, lost connection. */
	void (*ended)(void *arg, struct txn *t);
	void *arg;
};

struct milter_counters {
	uint64_t connections, transactions; /* since the start */
	uint64_t connected, waiting;        /* now: connections; transactions in `judge` */
	uint64_t limited, ended, failed;    /* refused by `limit`; aborted, lost; not seen for want of memory */
	uint64_t answered[MILTER_ACTIONS];
};

/* Makes the socket of `config->milter` with its mode and group, and removes one that a dead process
 * left; -EADDRINUSE when a living one answers there. May need root. */
__attribute__((warn_unused_result)) int milter_open(const struct config *config,
						    const struct milter_hooks *hooks);
/* From here on connections are taken. When libmilter ends without milter_stop(), the process gets
 * SIGTERM: libmilter cannot be started twice. */
__attribute__((warn_unused_result)) int milter_start(void);
/* Names of fields and our authserv-id for the connections to come. */
void milter_reload(const struct config *config);
/* Takes no connection more and returns at once; what is under way goes on, and so do the connections
 * that are there. libmilter may keep the address up to 5 s longer, so the process should end sooner
 * than that. */
void milter_stop(void);
/* Transactions that have begun and are not answered, those in `judge` too. */
unsigned milter_open_transactions(void);
/* Behind milter_stop(): what has not come to its end goes to `ended`, and nothing is answered any
 * more but what is in `judge`. The process ends when milter_open_transactions() is 0; the MTAs do
 * what they are told to do without us. */
void milter_abandon(void);
void milter_counters(struct milter_counters *c_r);
