/*
 * transfer - content transfer encodings: base64 and quoted-printable (RFC 2045 section 6).
 *
 * Decoding never fails: what is no code is skipped (base64) or kept (quoted-printable), as mail
 * readers do, and the place of the first such octet is told.
 */
#pragma once

#include "base/span.h"

struct transfer_result {
	size_t n;     /* octets written */
	size_t bad;   /* position of the first octet against the encoding; SIZE_MAX: none */
	size_t foreign; /* how many such octets, where the encoding skips them (base64) */
	bool cut;     /* `room` was too small */
};

/* A base64 stream that may go on over several pieces. */
struct base64_state {
	uint32_t bits; /* of the unfinished quantum */
	unsigned n;    /* characters of it: 0 to 3 */
	bool ended;    /* '=' was seen in this quantum */
};

struct transfer_result base64_text_decode(struct base64_state *state, struct span s, char *out,
					  size_t room);
struct transfer_result qp_decode(struct span s, char *out, size_t room);
