/*
 * dkim_canon - the canonical forms of DKIM, streamed into a hash.
 *
 * Nothing is copied but through a small buffer: a body is read once for each (form, length) that
 * some signature asks for.
 *
 * Units:    octets.
 * Standard: RFC 6376 section 3.4.
 */
#pragma once

#include "base/digest.h"

enum dkim_form { DKIM_SIMPLE, DKIM_RELAXED };

#define DKIM_NO_LENGTH UINT64_MAX

struct dkim_body_hash {
	uint64_t length; /* of the canonical body, whole */
	uint8_t digest[SHA256_BYTES];
};

/* Hashes the first `length` octets (DKIM_NO_LENGTH: all) of the canonical body. */
void dkim_hash_body(struct sha256 *hash, struct span body, enum dkim_form form, uint64_t length,
		    struct dkim_body_hash *hash_r);

/* Adds one header field. `field` has its name, colon and CRLF. */
void dkim_add_field(struct sha256 *hash, struct span field, enum dkim_form form);
/* Adds the signature's own field: `cut`, a part of it (the value of b=), is left out, and so is
 * the CRLF at its end. */
void dkim_add_signature_field(struct sha256 *hash, struct span field, struct span cut,
			      enum dkim_form form);
