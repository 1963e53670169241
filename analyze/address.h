/*
 * address - the mailboxes of an address field: From, To, Cc, Reply-To, ...
 *
 * Standard:  RFC 5322 section 3.4 with the obsolete forms of 4.4, RFC 6854 (groups), RFC 6532.
 * Ownership: in the arena given, or in `body`.
 */
#pragma once

#include "analyze/charset.h"

struct address {
	struct span name;   /* display name, decoded; .p NULL: none */
	struct span local;  /* local part without quotes */
	struct span domain; /* lower case, A-labels where it has a form; .p NULL: none */
	struct span addr;   /* local@domain as written */
};

struct addresses {
	struct address *v;
	size_t n;
	size_t total; /* those past LIMIT_ADDRESSES too */
};

enum address_fault {
	ADDRESS_BAD = 1,       /* against the grammar: no domain, stray characters, open quotes */
	ADDRESS_GROUP = 2,     /* a group (RFC 6854) */
	ADDRESS_CUT = 4,       /* LIMIT_ADDRESSES or LIMIT_GROUP_COLONS was reached */
	ADDRESS_8BIT = 8,      /* raw octets over 127 that are not UTF-8 */
	/* in a display name, as enum rfc2047_fault has them */
	ADDRESS_BAD_WORD = 16,
	ADDRESS_LONG_WORD = 32,
	ADDRESS_UNKNOWN = 64,
	ADDRESS_MISMATCH = 128,
};

/* Adds the mailboxes of `body` (raw, folded or not). Sets bits of *faults (enum address_fault).
 * Group names are dropped, nested groups (against the grammar) are flattened. */
void addresses_read(struct addresses *list, struct arena *arena, struct span body,
		    const struct charset *hint, unsigned *faults);

/* One address of an envelope or a mailto: "local@domain". False when it has no domain. */
bool address_split(struct arena *arena, struct span addr, struct address *a_r);
