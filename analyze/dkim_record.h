/*
 * dkim_record - the key record of a DKIM selector.
 *
 * Ownership: spans point into the record; key bytes lie in the arena.
 * Standard:  RFC 6376 section 3.6.1, RFC 8301, RFC 8463 section 3.
 */
#pragma once

#include "base/pkey.h"

struct dkim_record {
	enum pkey_kind kind;
	struct span key; /* DER or raw */
	bool testing;    /* t=y */
	bool strict;     /* t=s: the domain of i= is d= itself */
};

/* NULL, or why the record cannot be used: "key revoked", ... in words of RFC 6376 section 6.1.2. */
const char *dkim_record_parse(struct dkim_record *record, struct span text, struct arena *arena);
