/*
 * milter_session - one connection of an MTA as it is told step by step: who, what was said, the
 * message put together again, and which of its fields claim to be ours.
 *
 * Knows no libmilter: milter.c is the adapter, tests feed it by hand.
 *
 * Ownership: milter_session_create() .. milter_session_free(); a transaction taken with
 *            milter_session_take() is the caller's.
 * Threads:   not safe; milter.c holds a lock around it.
 * Memory:    a few kB idle; a transaction's arena, LIMIT_SPILL_BYTES of its message, four octets a
 *            field that claims to be ours.
 * Standard:  RFC 5321, 1870, 6152, 6531 for the parameters; RFC 8601 section 2.2 for the
 *            authserv-id.
 */
#pragma once

#include "base/buf.h"
#include "base/config.h"
#include "capture/octets.h"

struct sockaddr;

/* Names of our fields and our authserv-id, copied so that a reload may free the configuration. */
struct milter_names {
	char verdict[80], results[80], host[256];
};

/* What only macros of the MTA tell. */
struct milter_macros {
	struct span tls_version, cipher; /* of .n 0: no TLS */
	bool authenticated;
};

/* How the MTA answers this recipient; all empty: it accepts it. */
struct milter_refusal {
	struct span mailer, host, address; /* {rcpt_mailer} "error", {rcpt_host}, {rcpt_addr} */
};

struct milter_session {
	struct milter_names names;
	char id[ID_BYTES];
	struct ip peer;
	uint16_t port;
	struct buf helo;
	bool greeted;
	unsigned n_txn;
	/* MAIL came, and its end did not yet */
	struct txn *txn;
	/* the message that is arriving */
	struct octets *message;
	bool leading_space; /* values of fields come as sent, the blank behind the colon included */
	bool last_cr;
	struct buf field; /* the one being put together */
	uint32_t n_verdicts, n_results; /* fields of these names so far */
	struct buf forged;              /* uint32_t each: which of those results have our id */
};

void milter_names_set(struct milter_names *names, const struct config *c);

/* NULL when out of memory. */
struct milter_session *milter_session_create(const struct milter_names *names);
void milter_session_free(struct milter_session *s); /* accepts NULL; frees an open transaction */

void milter_session_connect(struct milter_session *s, const struct sockaddr *address);
void milter_session_hello(struct milter_session *s, struct span name);
/* `argv` as libmilter has it: the path, then the parameters, NULL. There must be no open
 * transaction. Negative when out of memory. */
__attribute__((warn_unused_result)) int
milter_session_mail(struct milter_session *s, char **argv, const struct milter_macros *macros,
		    int64_t now_us);
/* NULL: not kept (LIMIT_RCPTS), or no transaction is open. */
struct txn_rcpt *milter_session_rcpt(struct milter_session *s, const char *path,
				     const struct milter_refusal *refusal);
void milter_session_field(struct milter_session *s, struct span name, struct span value);
void milter_session_end_of_fields(struct milter_session *s);
void milter_session_body(struct milter_session *s, struct span octets);
/* The open transaction with what came of its message; `ended`: the message is whole. NULL: none is
 * open. Of the message's fields the counts stay until milter_session_clear(). */
struct txn *milter_session_take(struct milter_session *s, bool ended);
void milter_session_clear(struct milter_session *s);

/* The authserv-id of a value of Authentication-Results (RFC 8601 section 2.2): behind blanks and
 * comments, of a quoted string what is in the quotes. Points into `value` or `room`, which is empty before;
 * empty when there is none. */
struct span milter_authserv_id(struct span value, struct buf *room);
