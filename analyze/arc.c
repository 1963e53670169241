/*
 * arc - the chain of ARC sets that forwarders put on a message (RFC 8617 section 5.2).
 *
 * A chain passes when it is whole (each instance has its three fields, cv= none then pass), the
 * newest ARC-Message-Signature verifies, and every ARC-Seal verifies. Older message signatures
 * are expected to break on the way and are not looked at.
 */
#include "analyze/dkim_signature.h"

struct arc_set {
	const struct header *results, *message, *seal;
};

struct chain {
	struct arc_set sets[LIMIT_ARC_SETS + 1]; /* [1] is the oldest */
	struct dkim_signature *seals;            /* as many as sets are there */
	struct dkim_signature message_sig;       /* of the newest set */
	unsigned n;
};

/* i= of a field: a tag of it, or (ARC-Authentication-Results) what stands before the first ';'. */
static unsigned instance_of(const struct header *h, bool results)
{
	struct span body = h->body, first;
	uint64_t i = 0;
	while (span_next_field(&body, ';', &first)) {
		size_t equals = span_find_char(first, '=');
		if (equals != SIZE_MAX &&
		    span_eq(span_trim(span_sub(first, 0, equals)), SPAN("i")))
			return span_number(span_trim(span_sub(first, equals + 1, first.n)),
					   LIMIT_ARC_SETS, &i)
				       ? (unsigned)i
				       : 0;
		if (results)
			break;
	}
	return 0;
}

static const char *collect(struct chain *c, const struct message *m)
{
	for (size_t k = 0; k < m->n_headers; k++) {
		const struct header *h = &m->headers[k];
		bool results = span_case_eq(h->name, SPAN("arc-authentication-results"));
		bool message = span_case_eq(h->name, SPAN("arc-message-signature"));
		if (!results && !message && !span_case_eq(h->name, SPAN("arc-seal")))
			continue;
		unsigned i = instance_of(h, results);
		if (!i)
			return "ARC field without a valid instance";
		struct arc_set *set = &c->sets[i];
		const struct header **slot = results ? &set->results
					     : message ? &set->message
						       : &set->seal;
		if (*slot)
			return "ARC field twice in one instance";
		*slot = h;
		if (i > c->n)
			c->n = i;
	}
	for (unsigned i = 1; i <= c->n; i++)
		if (!c->sets[i].results || !c->sets[i].message || !c->sets[i].seal)
			return "ARC set is not whole";
	return NULL;
}

static const char *read_fields(struct chain *c, struct arena *arena)
{
	for (unsigned i = c->n; i >= 1; i--) {
		struct dkim_signature *sig = &c->seals[i];
		dkim_signature_parse(sig, SIGNATURE_ARC_SEAL, c->sets[i].seal, arena);
		if (sig->reason)
			return sig->reason;
		const struct dkim_tag *cv = dkim_tag(&sig->tags, "cv");
		if (!cv || !span_eq(cv->value, i == 1 ? SPAN("none") : SPAN("pass")))
			return cv && span_eq(cv->value, SPAN("fail")) ? "chain had failed before"
								      : "cv= does not fit";
	}
	dkim_signature_parse(&c->message_sig, SIGNATURE_ARC_MESSAGE, c->sets[c->n].message, arena);
	return c->message_sig.reason;
}

/* All sets up to `upto` in order, the last seal without b= (RFC 8617 section 5.1.1). */
static void seal_digest(struct dkim_work *w, const struct chain *c, unsigned upto,
			uint8_t digest[SHA256_BYTES])
{
	sha256_restart(w->hash);
	for (unsigned i = 1; i <= upto; i++) {
		const struct arc_set *set = &c->sets[i];
		dkim_add_field(w->hash, set->results->field, DKIM_RELAXED);
		dkim_add_field(w->hash, set->message->field, DKIM_RELAXED);
		if (i < upto)
			dkim_add_field(w->hash, set->seal->field, DKIM_RELAXED);
		else
			dkim_add_signature_field(w->hash, set->seal->field, c->seals[i].b_raw,
						 DKIM_RELAXED);
	}
	sha256_finish(w->hash, digest);
}

static void judge(struct arc_result *arc, struct chain *c, struct dkim_work *w,
		  struct dns_session *dns)
{
	struct dkim_outcome out;
	dkim_signature_check(w, &c->message_sig, dns_get(dns, c->message_sig.key_name, DNS_TXT),
			     &out);
	for (unsigned i = c->n; i >= 1 && out.result == AUTH_PASS; i--) {
		const struct dkim_signature *sig = &c->seals[i];
		uint8_t digest[SHA256_BYTES];
		seal_digest(w, c, i, digest);
		dkim_digest_check(w, sig, digest, dns_get(dns, sig->key_name, DNS_TXT), &out);
	}
	arc->result = out.result == AUTH_PASS || out.result == AUTH_TEMPERROR ? out.result
									      : AUTH_FAIL;
	arc->reason = out.reason;
}

enum step arc_check(struct arc_result *arc, const struct message *m, const struct auth_query *q,
		    struct dns_session *dns, struct arena *arena)
{
	(void)q;
	if (arc->judged)
		return STEP_DONE;
	*arc = (struct arc_result){.result = AUTH_NONE};
	bool any = false;
	for (size_t i = 0; i < m->n_headers && !any; i++)
		any = span_case_starts(m->headers[i].name, SPAN("arc-"));
	struct chain *c = any ? ARENA_NEW(arena, struct chain) : NULL;
	if (!any)
		return STEP_DONE;
	if (!c) {
		arc->result = AUTH_TEMPERROR;
		return STEP_DONE;
	}
	arc->reason = collect(c, m);
	arc->instances = c->n;
	c->seals = ARENA_ARRAY(arena, struct dkim_signature, c->n + 1);
	if (!c->seals) {
		arc->result = AUTH_TEMPERROR;
		return STEP_DONE;
	}
	if (!arc->reason && c->n)
		arc->reason = read_fields(c, arena);
	if (arc->reason)
		arc->result = AUTH_FAIL;
	if (arc->reason || !c->n)
		return STEP_DONE;
	bool waiting = dns_get(dns, c->message_sig.key_name, DNS_TXT)->status == DNS_WAIT;
	for (unsigned i = 1; i <= c->n; i++)
		waiting |= dns_get(dns, c->seals[i].key_name, DNS_TXT)->status == DNS_WAIT;
	arc->result = AUTH_TEMPERROR;
	if (waiting)
		return STEP_WAIT;
	struct dkim_work *w = dkim_work_create(m, arena);
	if (w)
		judge(arc, c, w, dns);
	arc->judged = true;
	return STEP_DONE;
}
