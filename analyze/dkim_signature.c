#include "analyze/dkim_signature.h"

#include "analyze/dkim_fields.h"
#include "analyze/dkim_record.h"
#include "analyze/idna.h"

#define MIN_RSA_BITS 1024 /* RFC 8301 section 3.2 */

static void fault(struct dkim_signature *sig, enum auth_result result, const char *reason)
{
	if (sig->reason)
		return;
	sig->fault = result;
	sig->reason = reason;
}

static struct span take(struct dkim_signature *sig, const char *name, const char *missing)
{
	const struct dkim_tag *tag = dkim_tag(&sig->tags, name);
	if ((!tag || !tag->value.n) && missing)
		fault(sig, AUTH_PERMERROR, missing);
	return tag ? tag->value : SPAN_NONE;
}

bool dkim_domain_valid(struct span domain, size_t least)
{
	struct span label;
	size_t n = 0;
	if (domain.n > 253 || !domain.n || domain.p[domain.n - 1] == '.')
		return false;
	for (; span_next_field(&domain, '.', &label); n++) {
		if (!label.n || label.n > 63)
			return false;
		for (size_t i = 0; i < label.n; i++)
			if (!ascii_is_alpha(label.p[i]) && !ascii_is_digit(label.p[i]) &&
			    label.p[i] != '-' && label.p[i] != '_')
				return false;
	}
	return n >= least;
}

static void read_algorithm(struct dkim_signature *sig)
{
	sig->a = take(sig, "a", "signature without a=");
	if (span_eq(sig->a, SPAN("rsa-sha256")))
		sig->algorithm = PKEY_RSA;
	else if (span_eq(sig->a, SPAN("ed25519-sha256")))
		sig->algorithm = PKEY_ED25519;
	else if (span_eq(sig->a, SPAN("rsa-sha1"))) /* RFC 8301 section 3.1: never valid */
		fault(sig, AUTH_PERMERROR, "historic algorithm rsa-sha1");
	else
		fault(sig, AUTH_PERMERROR, "unknown algorithm");
}

static bool form_of(struct span word, enum dkim_form *form_r)
{
	*form_r = span_eq(word, SPAN("relaxed")) ? DKIM_RELAXED : DKIM_SIMPLE;
	return *form_r == DKIM_RELAXED || span_eq(word, SPAN("simple"));
}

static void read_forms(struct dkim_signature *sig)
{
	const struct dkim_tag *c = dkim_tag(&sig->tags, "c");
	/* Deviation: an ARC-Message-Signature without c= is relaxed, as the ARC suite and the
	 * sealers have it; RFC 8617 section 4.1.2 would inherit simple from DKIM. */
	if (!c) {
		sig->header_form = sig->body_form =
			sig->kind == SIGNATURE_DKIM ? DKIM_SIMPLE : DKIM_RELAXED;
		return;
	}
	size_t slash = span_find_char(c->value, '/');
	if (slash == SIZE_MAX)
		slash = c->value.n;
	if (!form_of(span_sub(c->value, 0, slash), &sig->header_form) ||
	    (slash < c->value.n &&
	     !form_of(span_sub(c->value, slash + 1, c->value.n), &sig->body_form)))
		fault(sig, AUTH_PERMERROR, "unknown canonicalization");
}

static bool read_number(struct dkim_signature *sig, const char *name, const char *bad,
			uint64_t *value_r)
{
	const struct dkim_tag *tag = dkim_tag(&sig->tags, name);
	if (!tag)
		return false;
	if (!span_number(tag->value, UINT64_MAX - 1, value_r)) {
		fault(sig, AUTH_PERMERROR, bad);
		return false;
	}
	return true;
}

static void read_domain(struct dkim_signature *sig, struct arena *arena)
{
	sig->d = take(sig, "d", "signature without d=");
	sig->s = take(sig, "s", "signature without s=");
	if (!sig->d.n || !sig->s.n)
		return;
	sig->domain = idna_to_ascii(arena, sig->d);
	struct span selector = idna_to_ascii(arena, sig->s);
	sig->key_name = arena_printf(arena, "%.*s._domainkey.%.*s", SPAN_ARG(selector),
				     SPAN_ARG(sig->domain));
	if (!dkim_domain_valid(sig->domain, 2))
		fault(sig, AUTH_PERMERROR, "d= is no domain name");
	else if (!dkim_domain_valid(selector, 1) || sig->key_name.n > 253)
		fault(sig, AUTH_PERMERROR, "s= is no selector");
}

static struct span after_at(struct span i)
{
	size_t at = span_rfind_char(i, '@');
	return at == SIZE_MAX ? SPAN_NONE : span_sub(i, at + 1, i.n);
}

/* i= is d= or below it (RFC 6376 section 3.5). */
static void read_identity(struct dkim_signature *sig, struct arena *arena)
{
	sig->i = take(sig, "i", NULL);
	if (!sig->i.p)
		return;
	struct span domain = after_at(sig->i);
	if (!domain.p || !sig->domain.n) {
		fault(sig, AUTH_PERMERROR, "i= is no identity");
		return;
	}
	domain = idna_to_ascii(arena, domain);
	bool below = span_ends(domain, sig->domain) && domain.n > sig->domain.n &&
		     domain.p[domain.n - sig->domain.n - 1] == '.';
	if (!below && !span_eq(domain, sig->domain))
		fault(sig, AUTH_PERMERROR, "domain of i= is not within d=");
}

static void read_dkim(struct dkim_signature *sig, struct arena *arena)
{
	const struct dkim_tag *q = dkim_tag(&sig->tags, "q");
	if (!span_eq(take(sig, "v", "signature without v="), SPAN("1")))
		fault(sig, AUTH_PERMERROR, "incompatible version");
	read_identity(sig, arena);
	if (q && !dkim_list_has(q->value, SPAN("dns/txt")))
		fault(sig, AUTH_PERMERROR, "unknown query method");
	sig->has_expiry = read_number(sig, "x", "x= is no number", &sig->expiry_s);
	if (sig->has_expiry && sig->has_time && sig->expiry_s <= sig->time_s)
		fault(sig, AUTH_PERMERROR, "x= is not after t=");
	if (sig->h.n && !dkim_list_has(sig->h, SPAN("from")))
		fault(sig, AUTH_PERMERROR, "From field not signed");
}

/* Field names of RFC 5322 section 2.2 between the colons. Deviation: ARC allows an empty one ("a::b"),
 * as the ARC suite has it; it names no field. */
static bool fields_valid(struct span h, bool empty_allowed)
{
	struct span name;
	for (size_t n = 0; dkim_next_item(&h, &name); n++) {
		if (n == LIMIT_DKIM_SIGNED_FIELDS || (!name.n && !empty_allowed))
			return false;
		for (size_t i = 0; i < name.n; i++)
			if (name.p[i] <= ' ' || name.p[i] > '~' || name.p[i] == ';')
				return false;
	}
	return true;
}

static void read_body(struct dkim_signature *sig, struct arena *arena)
{
	struct span bh = take(sig, "bh", "signature without bh=");
	sig->bh = dkim_base64(bh, arena);
	if (bh.n && sig->bh.n != SHA256_BYTES)
		fault(sig, AUTH_PERMERROR, "bh= is no SHA-256");
	const struct dkim_tag *h = dkim_tag(&sig->tags, "h");
	sig->h = h ? h->value : SPAN_NONE;
	if (!h || (!h->value.n && sig->kind == SIGNATURE_DKIM))
		fault(sig, AUTH_PERMERROR, "signature without h=");
	else if (h->value.n && !fields_valid(h->value, sig->kind != SIGNATURE_DKIM))
		fault(sig, AUTH_PERMERROR, "h= is no list of fields");
	sig->has_length = read_number(sig, "l", "l= is no number", &sig->length);
}

void dkim_signature_parse(struct dkim_signature *sig, enum dkim_signature_kind kind,
			  const struct header *header, struct arena *arena)
{
	*sig = (struct dkim_signature){.kind = kind, .header = header};
	if (!dkim_tags_parse(&sig->tags, header->body))
		fault(sig, AUTH_PERMERROR, "syntax of the signature");
	const struct dkim_tag *b = dkim_tag(&sig->tags, "b");
	sig->b_raw = b ? b->raw : SPAN_NONE;
	read_algorithm(sig);
	sig->b = dkim_base64(take(sig, "b", "signature without b="), arena);
	if (!sig->b.p)
		fault(sig, AUTH_PERMERROR, "b= is no base64");
	read_domain(sig, arena);
	sig->has_time = read_number(sig, "t", "t= is no number", &sig->time_s);
	if (kind != SIGNATURE_ARC_SEAL) {
		read_forms(sig);
		read_body(sig, arena);
	} else {
		sig->header_form = DKIM_RELAXED;
		if (dkim_tag(&sig->tags, "h"))
			fault(sig, AUTH_PERMERROR, "ARC-Seal with h=");
	}
	if (kind == SIGNATURE_DKIM)
		read_dkim(sig, arena);
	else if (kind == SIGNATURE_ARC_MESSAGE && dkim_list_has(sig->h, SPAN("arc-seal")))
		fault(sig, AUTH_PERMERROR, "ARC-Seal in h=");
}

/* --- checking ------------------------------------------------------------------ */

struct dkim_work *dkim_work_create(const struct message *m, struct arena *arena)
{
	static _Thread_local struct sha256 *hash; /* one a thread, for its whole life */
	struct dkim_work *w = ARENA_NEW(arena, struct dkim_work);
	if (!w || (!hash && !(hash = sha256_create())))
		return NULL;
	w->m = m;
	w->arena = arena;
	w->hash = hash;
	w->fields = dkim_fields_create(m, arena);
	return w->fields ? w : NULL;
}

const struct dkim_body_hash *dkim_work_body(struct dkim_work *w, const struct dkim_signature *sig)
{
	uint64_t length = sig->has_length ? sig->length : DKIM_NO_LENGTH;
	for (size_t i = 0; i < w->n_bodies; i++)
		if (w->bodies[i].form == sig->body_form && w->bodies[i].length == length)
			return &w->bodies[i].hash;
	size_t at = w->n_bodies;
	if (at < sizeof(w->bodies) / sizeof(w->bodies[0]))
		w->n_bodies++;
	else
		at--;
	w->bodies[at].form = sig->body_form;
	w->bodies[at].length = length;
	dkim_hash_body(w->hash, span_sub(w->m->octets, w->m->body_offset, w->m->octets.n),
		       sig->body_form, length, &w->bodies[at].hash);
	return &w->bodies[at].hash;
}

void dkim_work_header(struct dkim_work *w, const struct dkim_signature *sig,
		      uint8_t digest[SHA256_BYTES])
{
	struct span h = sig->h, name;
	dkim_fields_rewind(w->fields, sig->header);
	sha256_restart(w->hash);
	while (dkim_next_item(&h, &name)) {
		const struct header *field = dkim_fields_take(w->fields, name);
		if (field)
			dkim_add_field(w->hash, field->field, sig->header_form);
	}
	dkim_add_signature_field(w->hash, sig->header->field, sig->b_raw, sig->header_form);
	sha256_finish(w->hash, digest);
}

static void outcome(struct dkim_outcome *out, enum auth_result result, const char *reason)
{
	out->result = result;
	out->reason = reason;
}

static void try_record(struct dkim_work *w, const struct dkim_signature *sig,
		       const uint8_t digest[SHA256_BYTES], struct span text,
		       struct dkim_outcome *out)
{
	struct dkim_record record;
	const char *bad = dkim_record_parse(&record, text, w->arena);
	out->testing = record.testing;
	out->strict = record.strict;
	if (bad) {
		outcome(out, AUTH_PERMERROR, bad);
		return;
	}
	if (record.kind != sig->algorithm) {
		outcome(out, AUTH_PERMERROR, "inappropriate key algorithm");
		return;
	}
	const struct pkey *key = pkey_public(record.kind, record.key);
	if (!key) {
		outcome(out, AUTH_PERMERROR, "key cannot be read");
		return;
	}
	out->key_bits = pkey_bits(key);
	if (record.kind == PKEY_RSA && out->key_bits < MIN_RSA_BITS)
		outcome(out, AUTH_POLICY, "key is shorter than 1024 bits");
	else if (record.strict && sig->kind == SIGNATURE_DKIM && sig->i.p &&
		 !span_case_eq(after_at(sig->i), sig->d))
		outcome(out, AUTH_PERMERROR, "domain of i= is not d=, as t=s asks");
	else if (pkey_verify(key, digest, sig->b))
		outcome(out, AUTH_PASS, NULL);
	else
		outcome(out, AUTH_FAIL, "signature did not verify");
}

void dkim_digest_check(struct dkim_work *w, const struct dkim_signature *sig,
		       const uint8_t digest[SHA256_BYTES], const struct dns_answer *key,
		       struct dkim_outcome *out)
{
	*out = (struct dkim_outcome){.result = AUTH_NONE};
	if (key->status == DNS_UNKNOWN || key->status == DNS_WAIT) {
		outcome(out, AUTH_TEMPERROR, "key unavailable");
		return;
	}
	if (key->status == DNS_ABSENT || !key->n) {
		outcome(out, AUTH_PERMERROR, "no key for signature");
		return;
	}
	/* More than one record is undefined (RFC 6376 section 3.6.2.2): any of them may do. */
	for (size_t i = 0; i < key->n && i < LIMIT_DKIM_KEY_RECORDS; i++) {
		struct dkim_outcome this = {.result = AUTH_NONE};
		try_record(w, sig, digest, key->records[i].name, &this);
		if (i == 0 || this.result == AUTH_PASS ||
		    (this.result == AUTH_FAIL && out->result != AUTH_PASS))
			*out = this;
		if (out->result == AUTH_PASS)
			break;
	}
}

/* What a limit of ours kept from the parser cannot be held against the signer. */
static bool cut_by_us(const struct message *m)
{
	return m->n_headers >= LIMIT_HEADER_FIELDS || m->body_offset >= LIMIT_HEADER_BYTES ||
	       m->octets.n >= LIMIT_MESSAGE_BYTES;
}

void dkim_signature_check(struct dkim_work *w, const struct dkim_signature *sig,
			  const struct dns_answer *key, struct dkim_outcome *out)
{
	uint8_t digest[SHA256_BYTES];
	dkim_work_header(w, sig, digest);
	dkim_digest_check(w, sig, digest, key, out);
	if (out->result != AUTH_PASS && out->result != AUTH_FAIL)
		return;
	const struct dkim_body_hash *body = dkim_work_body(w, sig);
	if (sig->has_length && sig->length > body->length)
		outcome(out, AUTH_PERMERROR, "l= is larger than the body");
	else if (memcmp(body->digest, sig->bh.p, SHA256_BYTES) != 0)
		outcome(out, AUTH_FAIL, "body hash did not verify");
	out->appended = sig->has_length && sig->length < body->length;
	if (out->result == AUTH_FAIL && cut_by_us(w->m))
		outcome(out, AUTH_TEMPERROR, "message is larger than we read");
}
