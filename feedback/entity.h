/*
 * entity - one level of a MIME structure: a header, a body, the parts between its boundaries.
 *
 * Reading a report needs the octets of single parts as they stand; the analysis of content
 * (analyze/message.h) gives decoded leaves instead.
 *
 * Ownership: spans point into the octets given; a value that had to be unfolded lies in the arena.
 * Errors:    none; what is missing is empty.
 * Standard:  RFC 2045 section 5.1, RFC 2046 section 5.1.1.
 */
#pragma once

#include "base/arena.h"

struct entity {
	struct span header; /* with the CRLF of its last field, without the empty line */
	struct span body;
};

void entity_read(struct entity *e, struct span octets);
/* The body of field number `at` of that name (any case), unfolded and trimmed. .p NULL: none. */
struct span entity_field(const struct entity *e, const char *name, size_t at, struct arena *arena);
/* Takes the next field off `header`: its name and raw body. False at the end; a line that is no
 * field has an empty name. */
bool entity_next_field(struct span *header, struct span *name_r, struct span *body_r);
/* "text/plain" in lower case; "text/plain" when there is no Content-Type. */
struct span entity_type(const struct entity *e, struct arena *arena);
/* A parameter of Content-Type as written, quotes off. .p NULL: none. */
struct span entity_parameter(const struct entity *e, const char *name, struct arena *arena);
/* The parts of a multipart, at most `max`; 0 when it is none. *closed_r: the end was marked. */
size_t entity_parts(const struct entity *e, struct arena *arena, struct entity *parts, size_t max,
		    bool *closed_r);
/* The body without its transfer encoding; the body itself when it has none. */
struct span entity_decoded(const struct entity *e, struct arena *arena);
/* Quoted-printable, what is no code kept as it stands; `out` has room for all of `s`. */
size_t entity_decode_qp(struct span s, char *out);
