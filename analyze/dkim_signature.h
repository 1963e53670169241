/*
 * dkim_signature - one DKIM-Signature, ARC-Message-Signature or ARC-Seal field, and its check.
 *
 * The three differ in the tags that they must and must not have; what they sign is added by
 * their owners (dkim.c, arc.c), the rest is here.
 *
 * Ownership: spans point into the field or lie in the arena.
 * Standard:  RFC 6376 sections 3.5 and 6.1; RFC 8301, 8463, 8616; RFC 8617 section 4.1.
 */
#pragma once

#include "analyze/auth.h"
#include "analyze/dkim_canon.h"
#include "analyze/dkim_tags.h"
#include "base/pkey.h"

enum dkim_signature_kind { SIGNATURE_DKIM, SIGNATURE_ARC_MESSAGE, SIGNATURE_ARC_SEAL };

struct dkim_signature {
	enum dkim_signature_kind kind;
	const struct header *header;
	struct dkim_tags tags;
	enum pkey_kind algorithm;
	enum dkim_form header_form, body_form;
	struct span d, s, a; /* as written */
	struct span i;       /* "" when it is not given; ARC: the instance */
	struct span domain;  /* d= in lower case and A-labels */
	struct span key_name; /* where the key record is */
	struct span b, bh; /* decoded */
	struct span b_raw; /* in the field */
	struct span h;
	bool has_length;
	uint64_t length;
	bool has_time, has_expiry;
	uint64_t time_s, expiry_s;
	/* The first fault: the result it makes and its reason. */
	enum auth_result fault;
	const char *reason; /* NULL: none so far */
};

/* At least `least` labels of letters, digits, '-', '_' (selectors and some domains have it). */
bool dkim_domain_valid(struct span domain, size_t least);

/* Always fills what it can; faults are in `reason`. */
void dkim_signature_parse(struct dkim_signature *sig, enum dkim_signature_kind kind,
			  const struct header *header, struct arena *arena);

/* Everything that the signatures of one message share. */
struct dkim_work {
	const struct message *m;
	struct arena *arena;
	struct sha256 *hash;
	struct dkim_fields *fields; /* the header by name */
	struct {
		enum dkim_form form;
		uint64_t length;
		struct dkim_body_hash hash;
	} bodies[DKIM_SIGNATURES_JUDGED + 1];
	size_t n_bodies;
};

/* NULL when the arena is full. */
struct dkim_work *dkim_work_create(const struct message *m, struct arena *arena);

/* The body hash for this signature; made at the first call. */
const struct dkim_body_hash *dkim_work_body(struct dkim_work *w, const struct dkim_signature *sig);
/* Hashes the fields that h= names, bottom up, and the signature's own. */
void dkim_work_header(struct dkim_work *w, const struct dkim_signature *sig,
		      uint8_t digest[SHA256_BYTES]);

/* What became of a signature. */
struct dkim_outcome {
	enum auth_result result;
	const char *reason;
	unsigned key_bits;
	bool testing, strict, appended;
};

/* Checks body hash and h= of a signature with one of the records in `key`. */
void dkim_signature_check(struct dkim_work *w, const struct dkim_signature *sig,
			  const struct dns_answer *key, struct dkim_outcome *out);
/* Checks `digest` alone (ARC-Seal, which signs no body). */
void dkim_digest_check(struct dkim_work *w, const struct dkim_signature *sig,
		       const uint8_t digest[SHA256_BYTES], const struct dns_answer *key,
		       struct dkim_outcome *out);
