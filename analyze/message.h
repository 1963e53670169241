/*
 * message - one message taken apart: header fields, addresses, parts, text. RFC 5322, MIME.
 *
 * message_parse() reads any octets; what is wrong with them are `faults`, what was too much sets
 * `partial`. Offsets point into the octets as judged (CRLF line ends).
 *
 * Ownership: everything lies in the arena given, or points into `octets`.
 * Errors:    0, or negative errno for our own trouble. Never "bad message".
 * Standard:  RFC 5322, 6854, 6532, 2045-2047, 2231, 2183.
 */
#pragma once

#include "analyze/address.h"
#include "analyze/facts.h"
#include "analyze/preflight.h"
#include "capture/txn.h"

enum part_flags {
	PART_ATTACHMENT = 1, /* Content-Disposition: attachment, or a file name */
	PART_CUT = 2,        /* a limit cut the text */
	PART_CHARSET_GUESSED = 4,
	PART_CHARSET_BROKEN = 8, /* octets that the charset does not have */
};

struct part {
	unsigned depth;
	struct span type;    /* "text/html", lower case */
	struct span charset; /* as declared, lower case; .p NULL: none */
	struct span filename;
	struct span cid;
	struct span encoding; /* Content-Transfer-Encoding, lower case */
	size_t offset, length; /* of the part's body in the octets */
	struct span text;      /* text parts that are no attachments: decoded, UTF-8, LF line ends */
	unsigned flags;        /* enum part_flags */
};

enum fault_kind {
#define FAULT(id, word, meaning) FAULT_##id,
#include "analyze/format_faults.def"
#undef FAULT
	FAULT_KINDS
};

struct fault_info {
	const char *word;
	const char *meaning; /* for manuals */
};

extern const struct fault_info fault_infos[FAULT_KINDS];

/* A fault of the message's form: a word of format.faults and its place. */
struct fault {
	const char *word;
	size_t offset, length;
	enum fault_kind kind;
};

struct message {
	struct arena *arena;
	struct span octets;
	struct header *headers;
	size_t n_headers;
	size_t body_offset; /* of the first octet behind the empty line */
	struct addresses from, sender, reply_to, to, cc;
	struct span subject; /* decoded; .p NULL: no such field */
	struct span message_id; /* with angle brackets */
	bool has_date;
	int64_t date_us;
	struct part *parts; /* leaves in order */
	size_t n_parts;
	struct fault *faults; /* at most LIMIT_FAULT_PLACES of a kind */
	size_t n_faults, cap_faults;
	uint8_t fault_places[FAULT_KINDS];
	size_t longest_line;         /* octets without line end */
	const struct charset *hint;  /* charset of the text, for raw 8-bit header fields; or NULL */
	bool partial;
};

__attribute__((warn_unused_result)) int message_parse(struct message *m, struct arena *arena,
						      struct span octets);

/* For the steps that find faults later on. */
void message_fault(struct message *m, enum fault_kind kind, size_t offset, size_t length);
/* All of format_faults.c that the header fields alone show; message_parse() calls it. */
void format_faults(struct message *m, const struct preflight_header *h);

/* First field of that name (any case) behind `after`; NULL when there is none. `after` NULL:
 * from the top. */
struct header *message_header(const struct message *m, const char *name,
			      const struct header *after);
/* Decoded text, made at the first call. */
struct span message_header_text(const struct message *m, struct header *header);
/* The first text/plain, text/html part that is no attachment; NULL when there is none. */
const struct part *message_part(const struct message *m, const char *type);

/* Sets the facts of section "the message" and header.NAME. */
void message_facts(const struct message *m, const struct txn *txn, struct facts *facts);
/* Sets the facts of section "the transaction". */
void txn_facts(const struct txn *txn, struct facts *facts);
