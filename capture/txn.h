/*
 * txn - one SMTP transaction, whichever way it came in: packets, milter or a spool.
 *
 * From MAIL FROM to the answer at the end of data: who connected, what was said, each recipient
 * with its own reply, the exact message octets. Not every source can see everything, so each
 * field says how it is known: *seen* on the wire (or told by the MTA), *inferred* (from a
 * spool's trace headers), or *unknown*.
 *
 * Ownership: everything lies in txn.arena, or in memory that the source keeps for it until
 *            txn_free() (a mapped spool file, a spilled message); txn_free() calls `release`.
 * Units:     octets, microseconds since the epoch.
 * Standard:  RFC 5321 sections 3.3 and 4.1.1; RFC 3463 for enhanced codes.
 */
#pragma once

#include "base/arena.h"
#include "base/id.h"
#include "base/ip.h"
#include "base/json.h"

enum provenance { PROV_UNKNOWN, PROV_INFERRED, PROV_SEEN };

enum txn_source { TXN_PCAP, TXN_MILTER, TXN_EML, TXN_MBOX, TXN_MAILDIR };

struct txn_text {
	struct span s; /* .p NULL: unknown */
	enum provenance prov;
};

/* An SMTP reply. code 0: the source cannot see it. */
struct txn_reply {
	int code;
	struct span enhanced; /* "5.1.1", .p NULL when there is none */
	struct span text;     /* lines joined by LF, without codes */
};

struct txn_rcpt {
	struct span to; /* without angle brackets */
	enum provenance prov;
	struct txn_reply reply;
};

/* Octets that the capture lost: [offset, offset + length) of the message as it was sent, so behind a
 * hole it is not the place in `message`; length 0: unknown. */
struct txn_hole {
	uint64_t offset, length;
};

/* Words of "flags", in `struct txn.flags`; txn_flag_name() gives the word. */
enum txn_flag {
	TXN_SMUGGLING = 1 << 0,        /* another end of data can be read into the message */
	TXN_BARE_LF = 1 << 1,          /* LF without CR in the message */
	TXN_BARE_CR = 1 << 2,
	TXN_NUL = 1 << 3,
	TXN_BDAT = 1 << 4,             /* sent by BDAT (RFC 3030) */
	TXN_PIPELINED = 1 << 5,        /* commands sent before the reply (RFC 2920) */
	TXN_MIDSTREAM = 1 << 6,        /* the capture began inside the session */
	TXN_OVERLAP_CONFLICT = 1 << 7, /* retransmitted octets differed; the first won */
	TXN_ONE_SIDED = 1 << 8,        /* only one direction was captured */
	TXN_CAPTURE_LOSS = 1 << 9,     /* the kernel dropped packets meanwhile */
	TXN_TRUNCATED = 1 << 10,       /* LIMIT_MESSAGE_BYTES or a full disk: the rest was hashed */
	TXN_TOO_MANY_RCPTS = 1 << 11,
	TXN_PLAIN_AFTER_STARTTLS = 1 << 12,
	TXN_LMTP = 1 << 13,            /* LHLO (RFC 2033): one final reply a recipient */
	TXN_PROXIED = 1 << 14,         /* the peer is that of PROXY, XCLIENT or XFORWARD */
	TXN_AUTH = 1 << 15,            /* the client authenticated (RFC 4954) */
	TXN_SMTPUTF8 = 1 << 16,
	TXN_8BITMIME = 1 << 17,
	TXN_RETRIED = 1 << 18,         /* judged a second time, a worker died on the first */
	TXN_UNJUDGED = 1 << 19,        /* no verdict came: time, memory, workers that died */
};

struct txn_tls {
	bool on;
	struct span version, cipher, sni; /* .p NULL: unknown */
};

struct txn {
	struct arena arena;
	char id[ID_BYTES];
	enum txn_source source;
	struct span file;    /* path, or .p NULL */
	struct span session; /* joins the transactions of one connection; .p NULL for a spool */
	unsigned tx;         /* counts from 1 in its session */

	int64_t time_us; /* when MAIL came (spool: the receiving MTA's stamp) */
	enum provenance time_prov;

	struct ip peer; /* family 0: unknown */
	enum provenance peer_prov;
	uint16_t port; /* 0: unknown */
	struct txn_text helo;
	struct txn_text mail_from; /* without angle brackets; n = 0 with p set: the null sender */
	struct txn_rcpt *rcpts;
	size_t n_rcpts, cap_rcpts;
	uint64_t rcpts_seen; /* kept ones and those past LIMIT_RCPTS */

	struct span message; /* as judged, CRLF line ends; .p NULL: none was sent */
	uint64_t size;       /* of the message as received */
	uint8_t sha256[32];  /* of the same octets */
	bool hashed;
	bool complete; /* the end of the message was seen, without holes */
	struct txn_hole *holes;
	size_t n_holes, cap_holes;
	struct txn_reply reply; /* at the end of data, or the one that ended the transaction */
	uint32_t flags;         /* enum txn_flag */
	struct txn_tls tls;

	/* what limits have of it while it is under way; not of the event */
	int64_t counted_us; /* monotonic, at MAIL */
	uint32_t places;    /* limiter_query.places (feedback/limiter.h) */

	void (*release)(void *owner); /* gives back what `owner` keeps for this transaction */
	void *owner;
};

/* `now_us` goes into the id. NULL when out of memory. */
struct txn *txn_create(enum txn_source source, int64_t now_us);
void txn_free(struct txn *t); /* accepts NULL */

/* A new recipient, zeroed; NULL past LIMIT_RCPTS (counted and flagged) or out of memory. */
struct txn_rcpt *txn_add_rcpt(struct txn *t);
void txn_add_hole(struct txn *t, uint64_t offset, uint64_t length);

/* "pcap", "milter", ... as in the event. */
const char *txn_source_name(enum txn_source source);
/* The word of one flag bit; NULL for a bit without a name. */
const char *txn_flag_name(enum txn_flag flag);

/* The keys "id" to "tls" of the txn event (CONTRACT section 2), into an object that is open. Recipients
 * past LIMIT_EVENT_RCPTS_BYTES are left out, with TXN_TOO_MANY_RCPTS. */
void txn_write_json(const struct txn *t, struct json *j);
