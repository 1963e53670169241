/*
 * smtp_private - the state of one dialogue, shared by the files of smtp.c.
 *
 * smtp.c        the outside: what comes in, what is lost, the end
 * smtp_client.c the client's octets: commands, content, chunks
 * smtp_server.c the server's octets: replies, and what they answer
 * smtp_apply.c  the queue between the two, and what a command does once its reply is there
 */
#pragma once

#include "base/id.h"
#include "capture/smtp.h"

enum verb {
	VERB_BANNER, /* the server speaks first */
	VERB_HELO,
	VERB_EHLO,
	VERB_LHLO,
	VERB_MAIL,
	VERB_RCPT,
	VERB_DATA,
	VERB_CONTENT, /* the end of data behind DATA */
	VERB_BDAT,
	VERB_RSET,
	VERB_STARTTLS,
	VERB_AUTH,
	VERB_XCLIENT,
	VERB_XFORWARD,
	VERB_QUIT,
	VERB_OTHER,
};

/* A command that waits for its reply. */
struct command {
	struct command *next;
	enum verb verb;
	bool last, pipelined;
	struct octets *body; /* BDAT LAST: the message */
	int64_t time_us;
	char args[]; /* NUL behind it */
};

enum client_state {
	CLIENT_COMMAND,
	CLIENT_WAIT,    /* DATA was said: what comes next depends on the reply */
	CLIENT_UNSURE,  /* DATA was answered by 2xx: a command or a message comes */
	CLIENT_CONTENT, /* behind 354 */
	CLIENT_CHUNK,   /* octets of BDAT */
	CLIENT_SECRET,  /* one line of SASL */
	CLIENT_TLS_WAIT, /* STARTTLS was accepted: TLS, or plaintext of a decrypted mirror */
	CLIENT_TLS,
};

struct smtp {
	struct smtp_options options;
	struct smtp_events events;
	void *arg;
	const char *file;
	struct smtp_counters *counters;
	struct arena arena; /* of the session */
	char id[ID_BYTES];
	struct tcp_connection c;
	bool known_port, greeted, spoken, one_sided, server_gap, lmtp, authenticated, proxied;
	bool loss, conflicted, skip_line, tls_seen, plain_after_tls, ended;
	struct ip peer;
	uint16_t port;
	struct span helo;
	struct txn_tls tls;
	int64_t now_us;
	uint64_t fed[2];

	/* client */
	enum client_state state;
	/* Commands were lost, or the capture began inside them: lines are passed over until one is
	 * a command beyond doubt. */
	bool unsynced;
	bool lost_octets;    /* somewhere before */
	bool passed_over;    /* ... and some were: content whose command was lost */
	bool body_waits;     /* a message whose answer is still to come */
	uint64_t wait_lost;  /* octets lost behind DATA, before its reply */
	struct buf line;
	struct buf held;        /* octets that wait, behind `held_at` */
	size_t held_at;
	struct buf *releasing;  /* what waited and is being read now */
	uint64_t chunk_left;
	struct command *chunk; /* whose octets arrive; NULL: it was answered already */
	bool chunk_is_last;
	struct octets *body; /* of the BDAT message that is arriving */
	struct eod eod;
	struct octets *content;

	/* server */
	struct buf reply_line, reply_text;
	bool reply_open; /* "250-" came, "250 " did not yet */
	int reply_code;
	int last_code;          /* of the session, until it has a transaction */
	struct buf last_text;

	struct command *first, **last;
	unsigned n_commands;

	struct txn *txn;
	unsigned n_txn;
	unsigned lmtp_left;   /* final replies still to come */
	bool doubtful;        /* the answer came, but more replies may show another end of data */
	struct octets *message;
	bool content_ended;
};

/* --- smtp.c ---------------------------------------------------------------------- */

/* A buffer whose octets were read is used again, when nothing has come into its place meanwhile. */
void smtp_put_back(struct buf *place, struct buf *used);

/* --- smtp_apply.c ---------------------------------------------------------------- */

struct txn *smtp_begin_txn(struct smtp *s, int64_t time_us);
void smtp_emit(struct smtp *s);
/* The message is over: it goes to the transaction when that is emitted. */
void smtp_finish_content(struct smtp *s, struct octets *content, bool ended);
struct command *smtp_push(struct smtp *s, enum verb verb, struct span args);
struct command *smtp_pop(struct smtp *s);
void smtp_free_command(struct command *c);
void smtp_set_reply(struct arena *a, struct txn_reply *r, int code, struct span text);
unsigned smtp_accepted_rcpts(const struct txn *t);
/* The answer to the end of data. */
void smtp_final_reply(struct smtp *s, int code, struct span text);
/* The reply to DATA is there, or lost: what waited for it is read. */
void smtp_release_held(struct smtp *s);
/* From here on the client sends a message. */
void smtp_begin_content(struct smtp *s);
/* `code` 0: the reply is unknown. */
void smtp_apply(struct smtp *s, struct command *c, int code, struct span text);
/* What waits in front of `until` (NULL: everything) is taken as done, its answer unknown. */
void smtp_settle_unanswered(struct smtp *s, const struct command *until);

/* --- smtp_client.c --------------------------------------------------------------- */

/* Whether the line is a command that no line of a message looks like. */
bool smtp_is_command(struct span line);
bool smtp_find_verb(struct span line, enum verb *verb_r, struct span *args_r);
void smtp_client_octets(struct smtp *s, struct span rest);
void smtp_end_chunk(struct smtp *s);
/* A chunk whose BDAT was lost has been going on: its message has a hole. */
void smtp_lose_chunk(struct smtp *s);
/* The client goes on, so replies that the capture lost were there. */
void smtp_settle_lost_replies(struct smtp *s, struct span octets);

/* --- smtp_server.c --------------------------------------------------------------- */

void smtp_server_octets(struct smtp *s, struct span rest);
/* The client goes on though the reply to its greeting, or the banner, never ended: it ends here. */
void smtp_end_open_reply(struct smtp *s);
