/*
 * preflight - the first look at a message: lines, header fields, and how much a parser may see.
 *
 * Linear, a few memchr() per line. Finds the header fields with their raw octets (DKIM needs
 * them exactly), and makes of the body the bounded *view* that GMime gets: cut at the limits of
 * limits.h, with nested messages masked, so that GMime sees nothing but multiparts and leaves
 * and never reads the addresses of an attached message (which recurses into groups).
 *
 * Ownership: fields lie in the arena; a view is malloc'd, preflight_view_free() gives it back.
 * Errors:    none; limits set `cut`.
 */
#pragma once

#include "base/arena.h"

struct header {
	struct span name;  /* as written, without blanks */
	struct span field; /* raw octets of the whole field, final CRLF included */
	struct span body;  /* raw octets behind the colon, final CRLF included */
	size_t offset;     /* of `field` */
	struct span text;  /* unfolded, RFC 2047 decoded, UTF-8, trimmed; use message_header_text() */
	bool decoded;
};

/* What the octets have against RFC 5322, positions SIZE_MAX when it does not occur. */
struct preflight_lines {
	size_t longest;      /* octets without line end */
	size_t too_long;     /* position of the first line over 998 octets */
	size_t bare_cr, bare_lf, nul;
};

void preflight_lines(struct preflight_lines *l, struct span octets);

#define PREFLIGHT_BAD_LINES 4

struct preflight_header {
	struct header *v;
	size_t n;
	size_t body_offset;  /* of the first octet behind the empty line */
	bool no_empty_line;  /* the body begins without one */
	bool cut;            /* LIMIT_HEADER_BYTES or LIMIT_HEADER_FIELDS */
	struct {
		size_t offset, length;
	} bad[PREFLIGHT_BAD_LINES]; /* lines that are no field */
	size_t n_bad;
	struct span blank_before_colon; /* the first such field; .p NULL: none */
};

/* Reads the header at the start of `octets`; `base` is added to offsets. -ENOMEM never: a full
 * arena leaves fewer fields and sets `cut`. */
void preflight_header(struct preflight_header *h, struct arena *arena, struct span octets,
		      size_t base);

/* A line that begins with "--". */
struct dash_line {
	size_t offset, length; /* without line end and trailing blanks; offset in the octets */
};

struct preflight_view {
	char *p;       /* a header of our own, then the body, cut and masked */
	size_t n;
	size_t body_at;     /* where the body begins in the view */
	size_t body_offset; /* and in the message */
	const struct dash_line *dashes;
	size_t n_dashes;
	bool cut;
};

/* `content_type`: the raw field of that name, final CRLF included. -ENOMEM. */
__attribute__((warn_unused_result)) int preflight_view(struct preflight_view *view,
						       struct arena *arena, struct span octets,
						       size_t body_offset,
						       struct span content_type);
void preflight_view_free(struct preflight_view *view);
