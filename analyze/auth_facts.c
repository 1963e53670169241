/*
 * auth_facts - the facts of section "authentication".
 *
 * temperror is UNKNOWN: the DNS or we were in the way, and no rule may hold that against the
 * sender. Where a fact rests on several signatures, one temperror among them leaves open what
 * it could still change.
 */
#include "analyze/auth.h"

static struct span name_of(enum auth_result result)
{
	return span_of(auth_result_name(result));
}

static void set_result(struct facts *f, enum fact_id id, enum auth_result result,
		       struct span evidence)
{
	if (result == AUTH_TEMPERROR) {
		facts_set_unknown(f, id);
		return;
	}
	struct fact *fact = facts_set_text(f, id, name_of(result));
	if (evidence.p)
		facts_evidence(fact, evidence, -1, 0);
}

/* "softfail of example.com by ip4:192.0.2.0/24": what a person wants to read. */
static struct span spf_words(struct facts *f, const struct spf_result *spf)
{
	if (!spf->domain.p)
		return SPAN_NONE;
	if (spf->mechanism.p)
		return arena_printf(f->arena, "%s of %.*s by %.*s",
				    auth_result_name(spf->result), SPAN_ARG(spf->domain),
				    SPAN_ARG(spf->mechanism));
	return arena_printf(f->arena, "%s of %.*s%s%s", auth_result_name(spf->result),
			    SPAN_ARG(spf->domain), spf->why ? ": " : "",
			    spf->why ? spf->why : "");
}

static void spf_facts(struct facts *f, const struct auth *auth)
{
	const struct spf_result *spf = &auth->spf;
	set_result(f, F_AUTH_SPF, spf->result, spf_words(f, spf));
	set_result(f, F_AUTH_SPF_HELO, auth->spf_helo.result, spf_words(f, &auth->spf_helo));
	facts_set_text(f, F_AUTH_SPF_DOMAIN, spf->domain);
	if (spf->unknown) {
		facts_set_unknown(f, F_AUTH_SPF);
		facts_set_unknown(f, F_AUTH_SPF_DOMAIN);
	}
	if (auth->spf_helo.unknown)
		facts_set_unknown(f, F_AUTH_SPF_HELO);
	if (spf->unknown || spf->result == AUTH_TEMPERROR) {
		facts_set_unknown(f, F_AUTH_SPF_MECHANISM);
		facts_set_unknown(f, F_AUTH_SPF_EXPLANATION);
	} else {
		facts_set_text(f, F_AUTH_SPF_MECHANISM, spf->mechanism);
		facts_set_text(f, F_AUTH_SPF_EXPLANATION, spf->explanation);
	}
}

/* --- DKIM ---------------------------------------------------------------------- */

/* The better of two results for "the best signature": pass, then what we do not know, ... */
static int rank(enum auth_result result)
{
	static const int ranks[] = {
		[AUTH_PASS] = 7,    [AUTH_TEMPERROR] = 6, [AUTH_POLICY] = 5,
		[AUTH_NEUTRAL] = 4, [AUTH_FAIL] = 3,      [AUTH_SOFTFAIL] = 2,
		[AUTH_PERMERROR] = 1,
	};
	return ranks[result];
}

static const struct dkim_result *best_signature(const struct auth *auth)
{
	const struct dkim_result *best = NULL;
	for (size_t i = 0; i < auth->n_dkim; i++)
		if (!best || rank(auth->dkim[i].result) > rank(best->result))
			best = &auth->dkim[i];
	return best;
}

static struct span signature_words(struct facts *f, const struct dkim_result *d)
{
	return arena_printf(f->arena, "d=%.*s s=%.*s: %s%s%s", SPAN_ARG(d->d), SPAN_ARG(d->s),
			    auth_result_name(d->result), d->reason ? ", " : "",
			    d->reason ? d->reason : "");
}

/* d= of those that passed, and why the others did not. */
static void dkim_lists(struct facts *f, const struct auth *auth)
{
	struct span *domains = ARENA_ARRAY(f->arena, struct span, auth->n_dkim + 1);
	struct span *reasons = ARENA_ARRAY(f->arena, struct span, auth->n_dkim + 1);
	size_t n_domains = 0, n_reasons = 0;
	bool unknown = false;
	if (!domains || !reasons)
		return; /* they stay UNKNOWN; the verdict is partial anyway */
	for (size_t i = 0; i < auth->n_dkim; i++) {
		const struct dkim_result *d = &auth->dkim[i];
		unknown |= d->result == AUTH_TEMPERROR;
		if (d->result == AUTH_PASS)
			domains[n_domains++] = d->d;
		else
			reasons[n_reasons++] = signature_words(f, d);
	}
	if (n_domains || !unknown)
		facts_set_list(f, F_AUTH_DKIM_DOMAINS, domains, n_domains);
	else
		facts_set_unknown(f, F_AUTH_DKIM_DOMAINS);
	facts_set_list(f, F_AUTH_DKIM_REASONS, reasons, n_reasons);
}

static void dkim_details(struct facts *f, const struct auth *auth)
{
	unsigned weakest = 0;
	const struct dkim_result *appended = NULL;
	bool passed = false, unknown = false;
	for (size_t i = 0; i < auth->n_dkim; i++) {
		const struct dkim_result *d = &auth->dkim[i];
		unknown |= d->result == AUTH_TEMPERROR;
		if (d->result != AUTH_PASS)
			continue;
		passed = true;
		bool rsa = span_case_starts(d->algorithm, SPAN("rsa"));
		if (rsa && (weakest == 0 || d->key_bits < weakest))
			weakest = d->key_bits;
		if (d->appended)
			appended = d;
	}
	if (passed)
		facts_set_number(f, F_AUTH_DKIM_KEY_BITS, weakest);
	else if (!unknown)
		facts_set_absent(f, F_AUTH_DKIM_KEY_BITS);
	if (!appended && unknown)
		return;
	struct fact *fact = facts_set_condition(f, F_AUTH_DKIM_APPENDED, appended != NULL);
	if (appended)
		facts_evidence(fact, signature_words(f, appended), -1, 0);
}

static size_t count_signed(const struct dkim_result *d, struct span name)
{
	size_t n = 0;
	for (size_t i = 0; i < d->n_signed_fields; i++)
		n += span_case_eq(d->signed_fields[i], name);
	return n;
}

/* h= takes a field once for each time that it names it, from the bottom (RFC 6376 section 5.4.2):
 * what stands there more often is free to whoever forwards the message. */
static bool is_covered(const struct auth *auth, const struct message *m, struct span name)
{
	size_t stand = 0;
	for (size_t i = 0; i < m->n_headers; i++)
		stand += span_case_eq(m->headers[i].name, name);
	for (size_t i = 0; stand && i < auth->n_dkim; i++)
		if (auth->dkim[i].result == AUTH_PASS && count_signed(&auth->dkim[i], name) >= stand)
			return true;
	return stand == 0;
}

static void dkim_coverage(struct facts *f, const struct auth *auth, const struct message *m)
{
	static const char *const names[] = {"from", "sender", "reply-to", "subject", "date", "to", "cc"};
	struct span *v = ARENA_ARRAY(f->arena, struct span, 7);
	bool passed = false, unknown = false, testing = false;
	size_t n = 0;
	for (size_t i = 0; i < auth->n_dkim; i++) {
		unknown |= auth->dkim[i].result == AUTH_TEMPERROR;
		passed |= auth->dkim[i].result == AUTH_PASS;
		testing |= auth->dkim[i].result == AUTH_PASS && auth->dkim[i].testing;
	}
	if (!v || (!passed && unknown))
		return;
	if (!passed) {
		facts_set_absent(f, F_AUTH_DKIM_TESTING);
		facts_set_absent(f, F_AUTH_DKIM_UNCOVERED);
		return;
	}
	facts_set_condition(f, F_AUTH_DKIM_TESTING, testing);
	for (size_t i = 0; i < 7; i++)
		if (!is_covered(auth, m, span_of(names[i])))
			v[n++] = span_of(names[i]);
	if (n == 0 || !unknown)
		facts_set_list(f, F_AUTH_DKIM_UNCOVERED, v, n);
}

static void dkim_facts(struct facts *f, const struct auth *auth, const struct message *m)
{
	const struct dkim_result *best = best_signature(auth);
	set_result(f, F_AUTH_DKIM, best ? best->result : AUTH_NONE,
		   best ? signature_words(f, best) : SPAN_NONE);
	facts_set_number(f, F_AUTH_DKIM_COUNT, (double)auth->dkim_fields);
	dkim_lists(f, auth);
	dkim_details(f, auth);
	dkim_coverage(f, auth, m);
}

/* --- DMARC ---------------------------------------------------------------------- */

static void set_aligned(struct facts *f, enum fact_id id, bool known, bool aligned,
			struct span evidence)
{
	if (!known) {
		facts_set_unknown(f, id);
		return;
	}
	struct fact *fact = facts_set_condition(f, id, aligned);
	if (evidence.p)
		facts_evidence(fact, evidence, -1, 0);
}

static struct span dmarc_words(struct facts *f, const struct dmarc_result *r)
{
	if (r->record.p)
		return arena_printf(f->arena, "%s by the record of %.*s: %.*s",
				    auth_result_name(r->result), SPAN_ARG(r->domain),
				    SPAN_ARG(r->record));
	return r->why ? span_of(r->why) : SPAN_NONE;
}

static void set_text_unless(struct facts *f, bool unknown, enum fact_id id, struct span s)
{
	if (unknown && !s.p)
		facts_set_unknown(f, id);
	else
		facts_set_text(f, id, s);
}

static void dmarc_facts(struct facts *f, const struct auth *auth, const struct message *m)
{
	const struct dmarc_result *r = &auth->dmarc;
	bool unknown = r->result == AUTH_TEMPERROR;
	struct span from = m->from.n ? m->from.v[0].domain : SPAN_NONE;
	set_result(f, F_AUTH_DMARC, r->result, dmarc_words(f, r));
	set_text_unless(f, unknown, F_AUTH_DMARC_POLICY, r->policy);
	set_text_unless(f, unknown, F_AUTH_DMARC_DISPOSITION, r->disposition);
	set_text_unless(f, unknown, F_AUTH_DMARC_RECORD, r->record);
	set_text_unless(f, unknown, F_AUTH_DMARC_DOMAIN, r->domain);
	set_text_unless(f, unknown, F_AUTH_DMARC_ORG_DOMAIN, r->org_domain);
	facts_set_text(f, F_AUTH_DMARC_WHY, r->why ? span_of(r->why) : SPAN_NONE);
	set_aligned(f, F_AUTH_SPF_ALIGNED, r->spf_aligned_known, r->spf_aligned,
		    arena_printf(f->arena, "From %.*s, MAIL FROM %.*s", SPAN_ARG(from),
				 SPAN_ARG(auth->spf.domain)));
	set_aligned(f, F_AUTH_DKIM_ALIGNED, r->dkim_aligned_known, r->dkim_aligned,
		    arena_printf(f->arena, "From %.*s", SPAN_ARG(from)));
}

void auth_facts(const struct auth *auth, const struct message *m, struct facts *facts)
{
	spf_facts(facts, auth);
	if (!m)
		return;
	dkim_facts(facts, auth, m);
	dmarc_facts(facts, auth, m);
	set_result(facts, F_AUTH_ARC, auth->arc.result,
		   auth->arc.reason ? span_of(auth->arc.reason) : SPAN_NONE);
}
