/*
 * Who has filed which range, domain and DKIM domain: what is asked before every filing, so it is a
 * question to an index and not a reading of all filings. A filing claims from the moment that it is
 * filed until it neither holds nor waits.
 */
#include <stdio.h>

#include "feedback/registry_private.h"

struct span registry_claim_range(const struct ip_prefix *prefix, char out[CLAIM_BYTES])
{
	size_t n = prefix->ip.family == 4 ? 4 : 16;
	out[0] = (char)prefix->ip.family;
	memcpy(out + 1, prefix->ip.bytes, n);
	return (struct span){out, n + 1};
}

static int taken(struct registry *reg, enum claim_kind kind, struct span subject, int64_t bits,
		 struct span key, struct span said, struct buf *note)
{
	struct db_query *q = db_query(reg->db,
		"SELECT key FROM claim WHERE kind = ?1 AND subject = ?2 AND bits = ?3"
		" AND key <> ?4 LIMIT 1");
	db_bind_int(q, 1, kind);
	db_bind_blob(q, 2, subject);
	db_bind_int(q, 3, bits);
	db_bind_text(q, 4, key);
	int r = db_step(q);
	if (r == DB_ROW) {
		buf_addf(note, "%.*s is filed by sender '%.*s' already\n", SPAN_ARG(said),
			 SPAN_ARG(db_text(q, 0)));
		r = REGISTRY_E_OVERLAP;
	}
	db_end(q);
	return r;
}

/* A range inside of this one: its first address lies between the first and the last of ours. */
static int taken_inside(struct registry *reg, const struct ip_prefix *prefix, struct span key,
			struct span said, struct buf *note)
{
	char first[CLAIM_BYTES], last[CLAIM_BYTES];
	struct ip_prefix end = *prefix;
	size_t n = prefix->ip.family == 4 ? 4 : 16;
	for (size_t bit = prefix->bits; bit < n * 8; bit++)
		end.ip.bytes[bit / 8] |= (uint8_t)(0x80 >> bit % 8);
	struct db_query *q = db_query(reg->db,
		"SELECT key FROM claim WHERE kind = ?1 AND subject BETWEEN ?2 AND ?3"
		" AND key <> ?4 LIMIT 1");
	db_bind_int(q, 1, CLAIM_RANGE);
	db_bind_blob(q, 2, registry_claim_range(prefix, first));
	db_bind_blob(q, 3, registry_claim_range(&end, last));
	db_bind_text(q, 4, key);
	int r = db_step(q);
	if (r == DB_ROW) {
		buf_addf(note, "a part of %.*s is filed by sender '%.*s' already\n", SPAN_ARG(said),
			 SPAN_ARG(db_text(q, 0)));
		r = REGISTRY_E_OVERLAP;
	}
	db_end(q);
	return r;
}

static int range_taken(struct registry *reg, const struct ip_prefix *prefix, struct span key,
		       struct buf *note)
{
	char text[IP_TEXT_BYTES], said[IP_TEXT_BYTES + 5], subject[CLAIM_BYTES];
	snprintf(said, sizeof(said), "%s/%u", ip_text(&prefix->ip, text), prefix->bits);
	int r = taken_inside(reg, prefix, key, span_of(said), note);
	for (unsigned bits = 0; r == 0 && bits < prefix->bits; bits++) {
		struct ip_prefix wider = ip_prefix_of(&prefix->ip, (uint8_t)bits);
		r = taken(reg, CLAIM_RANGE, registry_claim_range(&wider, subject), bits, key,
			  span_of(said), note);
	}
	return r;
}

static int put(struct registry *reg, struct span key, int64_t filing, enum claim_kind kind,
	       struct span subject, int64_t bits)
{
	struct db_query *q = db_query(reg->db,
		"INSERT INTO claim (filing, kind, subject, bits, key) VALUES (?1, ?2, ?3, ?4, ?5)");
	db_bind_int(q, 1, filing);
	db_bind_int(q, 2, kind);
	db_bind_blob(q, 3, subject);
	db_bind_int(q, 4, bits);
	db_bind_text(q, 5, key);
	return db_run(q);
}

static int claim_names(struct registry *reg, const struct filing *f, int64_t filing,
		       enum claim_kind kind, const struct span *v, size_t n, struct buf *note)
{
	for (size_t i = 0; i < n; i++) {
		int r = taken(reg, kind, v[i], 0, f->key, v[i], note);
		if (r == 0)
			r = put(reg, f->key, filing, kind, v[i], 0);
		if (r != 0)
			return r;
	}
	return 0;
}

int registry_claim(struct registry *reg, const struct filing *f, int64_t filing, struct buf *note)
{
	char subject[CLAIM_BYTES];
	for (size_t i = 0; i < f->n_ranges; i++) {
		const struct ip_prefix *prefix = &f->ranges[i].prefix;
		int r = range_taken(reg, prefix, f->key, note);
		if (r == 0)
			r = put(reg, f->key, filing, CLAIM_RANGE,
				registry_claim_range(prefix, subject), prefix->bits);
		if (r != 0)
			return r;
	}
	int r = claim_names(reg, f, filing, CLAIM_DOMAIN, f->domains, f->n_domains, note);
	return r ? r : claim_names(reg, f, filing, CLAIM_DKIM, f->dkim, f->n_dkim, note);
}

int registry_claims_drop(struct registry *reg, int64_t filing)
{
	struct db_query *q = db_query(reg->db, "DELETE FROM claim WHERE filing = ?1");
	db_bind_int(q, 1, filing);
	return db_run(q);
}

int registry_claims_hold(struct registry *reg, int64_t filing, int64_t before, int64_t since_us)
{
	struct db_query *q = db_query(reg->db,
		"UPDATE claim SET since_us = coalesce((SELECT old.since_us FROM claim AS old"
		" WHERE old.filing = ?2 AND old.kind = claim.kind AND old.subject = claim.subject"
		" AND old.bits = claim.bits), ?3) WHERE filing = ?1");
	db_bind_int(q, 1, filing);
	db_bind_int(q, 2, before);
	db_bind_int(q, 3, before ? since_us : 0);
	int r = db_run(q);
	return r < 0 || !before ? r : registry_claims_drop(reg, before);
}
