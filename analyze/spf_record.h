/*
 * spf_record - one SPF record, checked against the grammar and taken apart.
 *
 * A fault anywhere in the record makes the whole record bad before any of it is evaluated
 * (RFC 7208 section 4.6), so the walk in spf.c and libspf2 meet sound terms only.
 *
 * Ownership: terms lie in the arena; texts point into the record.
 * Errors:    0, SPF_E_BAD_RECORD, -ENOMEM.
 * Standard:  RFC 7208 sections 4.6, 5, 6, 12.
 */
#pragma once

#include "base/arena.h"
#include "base/ip.h"

enum { SPF_E_BAD_RECORD = 1 };

enum spf_mechanism {
	SPF_MECH_ALL,
	SPF_MECH_INCLUDE,
	SPF_MECH_A,
	SPF_MECH_MX,
	SPF_MECH_PTR,
	SPF_MECH_IP4,
	SPF_MECH_IP6,
	SPF_MECH_EXISTS,
};

struct spf_term {
	enum spf_mechanism mechanism;
	char qualifier;      /* + - ~ ? */
	struct span written; /* without the qualifier: "ip4:192.0.2.0/24" */
	struct span domain;  /* domain-spec; .p NULL: the current domain */
	struct ip_prefix prefix; /* ip4, ip6 */
	uint8_t bits4, bits6;    /* a, mx */
};

struct spf_record {
	struct spf_term *terms; /* mechanisms in order */
	size_t n_terms;
	struct span redirect, exp; /* .p NULL: none */
};

/* The TXT record is an SPF record: "v=spf1" and a blank or nothing behind it. */
bool spf_record_is(struct span text);

/* `why_r`: what is wrong with it, when it is SPF_E_BAD_RECORD. */
__attribute__((warn_unused_result)) int spf_record_parse(struct spf_record *record_r,
							 struct span text, struct arena *arena,
							 const char **why_r);
