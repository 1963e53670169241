/*
 * smtp - the dialogue of one connection: commands matched to replies, transactions out.
 *
 * Sans-I/O: octets of either side in, events out. A command takes effect when its reply comes,
 * as it does at the server: a refused EHLO changes nothing, DATA opens content only at 354, each
 * RCPT has its own code. What the capture lost is not guessed: replies that cannot be matched
 * leave codes unknown, a hole in a message makes it incomplete.
 *
 * AUTH secrets are skipped, never kept.
 *
 * Ownership: smtp_create() .. smtp_free(). A transaction given to `transaction` is the
 *            receiver's.
 * Limits:    LIMIT_COMMAND_BYTES, LIMIT_PENDING_COMMANDS, LIMIT_REPLY_TEXT_BYTES,
 *            LIMIT_HELD_BYTES, LIMIT_RCPTS, LIMIT_MESSAGE_BYTES.
 * Standard:  RFC 5321; 2920 (pipelining), 3030 (BDAT), 3207 (STARTTLS), 4954 (AUTH), 2033 (LMTP);
 *            XCLIENT and XFORWARD as Postfix has them; PROXY protocol 1 and 2.
 */
#pragma once

#include "capture/eod.h"
#include "capture/tcp.h"

/* A connection that carried no transaction: opaque TLS, refused at the banner, nothing said. */
struct smtp_session {
	const char *id;
	int64_t time_us;
	struct ip peer;
	uint16_t port;
	struct span helo; /* .p NULL: none */
	struct txn_tls tls;
	struct txn_reply reply; /* the last one seen */
	uint64_t octets[2];     /* of each side */
};

struct smtp_options {
	enum eod_mode eod;
	bool keep, hash; /* the message's octets, its SHA-256 */
};

struct smtp_events {
	void (*transaction)(void *arg, struct txn *t);
	void (*session)(void *arg, const struct smtp_session *s);
};

struct smtp_counters {
	uint64_t transactions, sessions, not_smtp, unmatched_replies;
	uint64_t incomplete;       /* messages with a hole or without an end */
	uint64_t long_lines;       /* LIMIT_COMMAND_BYTES */
	uint64_t commands_dropped; /* LIMIT_PENDING_COMMANDS */
	uint64_t rcpts_dropped;    /* LIMIT_RCPTS */
	uint64_t held_dropped;     /* LIMIT_HELD_BYTES: the reply to DATA was given up */
	uint64_t truncated;        /* LIMIT_MESSAGE_BYTES, or no room for a file */
	uint64_t spilled;          /* LIMIT_SPILL_BYTES: messages that went to a file */
	uint64_t held_octets;      /* copied to wait for a reply */
};

struct smtp;

/* `file` (may be NULL) names the capture in the transactions. NULL when out of memory. */
struct smtp *smtp_create(const struct tcp_connection *c, const struct smtp_options *options,
			 const struct smtp_events *events, void *arg, const char *file,
			 struct smtp_counters *counters, bool known_port);
/* False: this is no SMTP, nothing more need be fed. */
bool smtp_feed(struct smtp *s, enum tcp_side side, struct span octets, int64_t time_us,
	       bool one_sided);
void smtp_gap(struct smtp *s, enum tcp_side side, uint64_t length, int64_t time_us);
void smtp_conflict(struct smtp *s);
/* The kernel dropped packets: marks the transaction that is going on. */
void smtp_capture_loss(struct smtp *s);
/* Emits what is unfinished and frees `s`. */
void smtp_end(struct smtp *s, int64_t time_us);

/* --- smtp_hello.c: what a TLS hello and a PROXY header say ------------------ */

/* Reads SNI and the highest version offered from a ClientHello (RFC 8446 section 4.1.2). */
void smtp_read_client_hello(struct span octets, struct arena *a, struct txn_tls *tls);
/* Reads version and cipher from a ServerHello. */
void smtp_read_server_hello(struct span octets, struct arena *a, struct txn_tls *tls);
/* Takes a PROXY protocol header off `*octets`: 1 taken (address set when it has one), 0 there is
 * none, -1 it is not whole yet. */
int smtp_take_proxy(struct span *octets, struct ip *ip, uint16_t *port);

/* The session event as JSON, or a line for people; with LF. */
void smtp_session_write(const struct smtp_session *s, bool json, struct buf *out);
