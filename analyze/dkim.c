/*
 * dkim - the DKIM-Signature fields of a message, judged (RFC 6376 section 6).
 *
 * First every signature is read and its key asked for; when all keys are there, the body is
 * hashed once for each form and each signature is checked.
 */
#include "analyze/dkim_signature.h"

static bool is_signature(const struct header *h)
{
	return span_case_eq(h->name, SPAN("dkim-signature"));
}

static void signed_fields(struct dkim_result *r, const struct dkim_signature *sig,
			  struct arena *arena)
{
	struct span rest = sig->h, name;
	size_t n = 0;
	while (dkim_next_item(&rest, &name))
		n++;
	struct span *v = ARENA_ARRAY(arena, struct span, n);
	if (!v)
		return;
	rest = sig->h;
	for (n = 0; dkim_next_item(&rest, &name); n++)
		v[n] = arena_lower(arena, name);
	r->signed_fields = v;
	r->n_signed_fields = n;
}

static void describe(struct dkim_result *r, const struct dkim_signature *sig, struct arena *arena)
{
	r->d = sig->domain.n ? sig->domain : sig->d;
	r->s = sig->s;
	r->i = sig->i.p ? sig->i : arena_printf(arena, "@%.*s", SPAN_ARG(sig->d));
	r->algorithm = sig->a;
	r->has_length = sig->has_length;
	const struct dkim_tag *b = dkim_tag(&sig->tags, "b");
	struct span text = b ? dkim_squeeze(b->value, arena) : SPAN_NONE;
	r->b = span_sub(text, 0, 8);
	if (sig->reason) {
		r->result = sig->fault;
		r->reason = sig->reason;
	} else {
		signed_fields(r, sig, arena);
	}
}

static void judge(struct dkim_result *r, struct dkim_work *w, const struct dkim_signature *sig,
		  const struct auth_query *q, struct dns_session *dns)
{
	struct dkim_outcome out;
	dkim_signature_check(w, sig, dns_get(dns, sig->key_name, DNS_TXT), &out);
	r->result = out.result;
	r->reason = out.reason;
	r->key_bits = out.key_bits;
	r->testing = out.testing;
	r->strict = out.strict;
	r->appended = out.appended;
	/* Expiry is looked at last: a broken signature is broken first. */
	if (r->result == AUTH_PASS && sig->has_expiry && q->time_us > 0 &&
	    (uint64_t)(q->time_us / 1000000) > sig->expiry_s) {
		r->result = AUTH_POLICY;
		r->reason = "signature expired";
	}
}

enum step dkim_check(struct auth *auth, const struct message *m, const struct auth_query *q,
		     struct dns_session *dns, struct arena *arena)
{
	if (auth->dkim_judged)
		return STEP_DONE;
	auth->n_dkim = auth->dkim_fields = 0;
	for (size_t i = 0; i < m->n_headers; i++)
		auth->dkim_fields += is_signature(&m->headers[i]);
	size_t n = auth->dkim_fields < DKIM_SIGNATURES_JUDGED ? auth->dkim_fields
							      : DKIM_SIGNATURES_JUDGED;
	if (!n)
		return STEP_DONE;
	struct dkim_signature *sigs = ARENA_ARRAY(arena, struct dkim_signature, n);
	auth->dkim = ARENA_ARRAY(arena, struct dkim_result, n);
	if (!sigs || !auth->dkim)
		return STEP_DONE;
	bool waiting = false;
	for (size_t i = 0; i < m->n_headers && auth->n_dkim < n; i++) {
		if (!is_signature(&m->headers[i]))
			continue;
		struct dkim_signature *sig = &sigs[auth->n_dkim];
		dkim_signature_parse(sig, SIGNATURE_DKIM, &m->headers[i], arena);
		describe(&auth->dkim[auth->n_dkim], sig, arena);
		auth->n_dkim++;
		if (sig->reason)
			continue;
		auth->dkim[auth->n_dkim - 1].result = AUTH_TEMPERROR;
		auth->dkim[auth->n_dkim - 1].reason = "key unavailable";
		waiting |= dns_get(dns, sig->key_name, DNS_TXT)->status == DNS_WAIT;
	}
	if (waiting)
		return STEP_WAIT;
	struct dkim_work *w = dkim_work_create(m, arena);
	for (size_t i = 0; w && i < n; i++)
		if (!sigs[i].reason)
			judge(&auth->dkim[i], w, &sigs[i], q, dns);
	auth->dkim_judged = true;
	return STEP_DONE;
}
