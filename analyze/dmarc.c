/*
 * DMARC: from the author's domain to a record, an organizational domain, and a result.
 *
 * RFC 9989 walks up the DNS tree (section 4.10): _dmarc.NAME for the name itself and each parent,
 * at most eight queries, of a name with more than eight labels only the last seven. The records
 * found say what the organizational domain is (section 4.10.2):
 *
 *     psd=n        there it is;
 *     psd=y        above the start: one label below it;
 *     else         the record with the fewest labels;
 *     no record    the name itself.
 *
 * RFC 7489, as a switch, asks at the name and at its organizational domain by the public
 * suffix list, and knows pct.
 *
 * Several records at one name are none (section 4.10, steps 2 and 6), and the walk goes on;
 * RFC 7489 ends there (section 6.6.3).
 */
#include <stdio.h>

#include "analyze/auth.h"
#include "analyze/dmarc_lib.h"
#include "base/limits.h"

struct dmarc_run {
	const struct auth_query *q;
	struct dns_session *dns;
	struct arena *arena;
	bool waiting; /* an answer is missing */
};

/* What stands at _dmarc.`domain`. */
struct dmarc_found {
	struct span domain;
	struct span text; /* .p NULL: no record */
	struct dmarc_record record;
	bool several; /* records, which is none */
	bool unknown; /* the DNS did not tell */
};

struct dmarc_org {
	struct dmarc_found steps[LIMIT_DMARC_WALK];
	size_t n;
	bool unknown; /* some step is */
	bool any;     /* some step has a record */
	struct span domain;
	const char *why;
};

static struct span parent_of(struct span domain)
{
	size_t dot = span_find_char(domain, '.');
	return dot == SIZE_MAX ? SPAN_NONE : span_sub(domain, dot + 1, domain.n);
}

static size_t label_count(struct span domain)
{
	size_t n = domain.n > 0;
	for (size_t i = 0; i < domain.n; i++)
		n += domain.p[i] == '.';
	return n;
}

static bool is_under(struct span name, struct span domain)
{
	return span_case_eq(name, domain) ||
	       (name.n > domain.n && span_case_ends(name, domain) &&
		name.p[name.n - domain.n - 1] == '.');
}

static const char *words(struct dmarc_run *run, const char *text, struct span domain)
{
	struct span s = arena_printf(run->arena, "%s %.*s", text, SPAN_ARG(domain));
	return s.p ? s.p : text;
}

static struct dmarc_found look_up(struct dmarc_run *run, struct span domain)
{
	struct dmarc_found f = {.domain = domain};
	struct span name = arena_printf(run->arena, "_dmarc.%.*s", SPAN_ARG(domain));
	const struct dns_answer *a = dns_get(run->dns, name, DNS_TXT);
	size_t n = 0;
	run->waiting |= a->status == DNS_WAIT;
	f.unknown = a->status == DNS_WAIT || a->status == DNS_UNKNOWN;
	for (size_t i = 0; a->status == DNS_FOUND && i < a->n; i++) {
		if (!dmarc_record_is(a->records[i].name))
			continue;
		f.text = a->records[i].name;
		n++;
	}
	f.several = n > 1;
	if (n != 1 || !dmarc_record_parse(&f.record, f.text))
		f.text = SPAN_NONE;
	return f;
}

/* --- the organizational domain ------------------------------------------------ */

/* Section 4.10: every step is asked for before the first answer is looked at. */
static void walk_tree(struct dmarc_run *run, struct span domain, struct dmarc_org *org)
{
	org->n = 0;
	org->unknown = org->any = false;
	for (struct span at = domain; at.n && org->n < LIMIT_DMARC_WALK; at = parent_of(at)) {
		org->steps[org->n++] = look_up(run, at);
		while (org->n == 1 && label_count(at) > LIMIT_DMARC_WALK)
			at = parent_of(at);
	}
	for (size_t i = 0; i < org->n; i++) {
		const struct dmarc_found *f = &org->steps[i];
		org->unknown |= f->unknown;
		org->any |= f->text.p != NULL;
		/* Nothing above a record that ends the walk counts. */
		if (f->text.p && (f->record.psd == 'n' || (f->record.psd == 'y' && i > 0)))
			org->n = i + 1;
	}
}

/* The parent chain of `domain` has `above` in it: the name one label below that. */
static struct span one_below(struct span domain, struct span above)
{
	struct span at = domain;
	while (at.n && label_count(at) > label_count(above) + 1)
		at = parent_of(at);
	return at;
}

static void org_by_tree(struct dmarc_run *run, struct span domain, struct dmarc_org *org)
{
	walk_tree(run, domain, org);
	org->domain = domain;
	org->why = "tree walk: no record, so the domain itself";
	for (size_t i = 0; i < org->n; i++) {
		const struct dmarc_found *f = &org->steps[i];
		if (!f->text.p)
			continue;
		if (f->record.psd == 'n') {
			org->domain = f->domain;
			org->why = words(run, "tree walk: psd=n at", f->domain);
		} else if (f->record.psd == 'y' && i > 0) {
			org->domain = one_below(domain, f->domain);
			org->why = words(run, "tree walk: below psd=y at", f->domain);
		} else {
			org->domain = f->domain;
			org->why = words(run, "tree walk: the highest record is at", f->domain);
		}
	}
}

static void org_by_list(struct dmarc_run *run, struct span domain, struct dmarc_org *org)
{
	org->domain = org_domain_psl(domain);
	org->why = "public suffix list";
	org->steps[0] = look_up(run, domain);
	org->n = 1;
	if (!span_case_eq(org->domain, domain))
		org->steps[org->n++] = look_up(run, org->domain);
	org->unknown = org->any = false;
	for (size_t i = 0; i < org->n; i++) {
		org->unknown |= org->steps[i].unknown;
		org->any |= org->steps[i].text.p != NULL;
		if (org->steps[i].several) /* section 6.6.3: discovery ends */
			org->n = i + 1;
	}
}

/* Without any record the tree says nothing of who belongs together, but the facts on alignment
 * are wanted still: take the public suffix list. */
static void find_org(struct dmarc_run *run, struct span domain, struct dmarc_org *org)
{
	if (run->q->dmarc == DMARC_RFC7489) {
		org_by_list(run, domain, org);
		return;
	}
	org_by_tree(run, domain, org);
	if (!org->any && !org->unknown) {
		org->domain = org_domain_psl(domain);
		org->why = "no record on the way up; public suffix list";
	}
}

/* --- the record that applies --------------------------------------------------- */

/* Section 4.10.1: the author's domain, the organizational domain, the public suffix domain. */
static const struct dmarc_found *choose(const struct dmarc_org *org)
{
	const struct dmarc_found *at_suffix = NULL;
	for (size_t i = 0; i < org->n; i++) {
		const struct dmarc_found *f = &org->steps[i];
		if (!f->text.p)
			continue;
		if (i == 0 || span_case_eq(f->domain, org->domain))
			return f;
		if (f->record.psd == 'y')
			at_suffix = f;
	}
	return at_suffix;
}

/* The choice could be another one if we knew more. */
static bool choice_unknown(const struct dmarc_org *org, const struct dmarc_found *chosen)
{
	return org->unknown && chosen != &org->steps[0];
}

static enum dmarc_place place_of(struct dmarc_run *run, const struct dmarc_found *found,
				 struct span author, bool *unknown_r)
{
	*unknown_r = false;
	if (span_case_eq(found->domain, author))
		return DMARC_AT_AUTHOR;
	if (found->record.np == DMARC_ABSENT || run->q->dmarc == DMARC_RFC7489)
		return DMARC_ABOVE;
	/* Section 3.2.13: a domain does not exist when the DNS says NXDOMAIN (RFC 8020). */
	const struct dns_answer *a = dns_get(run->dns, author, DNS_A);
	run->waiting |= a->status == DNS_WAIT;
	*unknown_r = a->status == DNS_WAIT || a->status == DNS_UNKNOWN;
	return a->status == DNS_ABSENT && a->nxdomain ? DMARC_ABOVE_NONE : DMARC_ABOVE;
}

static enum dmarc_policy lower(enum dmarc_policy policy)
{
	return policy == DMARC_REJECT ? DMARC_QUARANTINE : DMARC_NONE;
}

/* RFC 7489 section 6.6.4 takes pct of the messages by chance. The same message must get the same
 * verdict each time, so the chance is a hash (FNV-1a) of it. */
static bool sampled(const struct message *m, unsigned pct)
{
	uint64_t hash = span_hash(span_sub(m->octets, 0, LIMIT_HEADER_BYTES));
	return (hash >> 32) % 100 < pct;
}

static enum dmarc_policy left_of(struct dmarc_run *run, const struct message *m,
				 const struct dmarc_record *r, enum dmarc_policy policy)
{
	if (run->q->dmarc == DMARC_RFC7489)
		return sampled(m, r->pct) ? policy : lower(policy);
	return r->testing ? lower(policy) : policy;
}

/* --- alignment ------------------------------------------------------------------ */

enum aligned { ALIGNED_NO, ALIGNED_YES, ALIGNED_UNKNOWN };

static enum aligned aligned(struct dmarc_run *run, struct span identifier, struct span author,
			    const struct dmarc_org *org, bool strict)
{
	struct dmarc_org theirs;
	if (span_case_eq(identifier, author))
		return ALIGNED_YES;
	if (strict || identifier.n == 0)
		return ALIGNED_NO;
	if (org->unknown)
		return ALIGNED_UNKNOWN;
	/* Only what lies at or under the author's organizational domain can have the same. */
	if (!is_under(identifier, org->domain))
		return ALIGNED_NO;
	if (run->q->dmarc == DMARC_RFC7489 || !org->any)
		return span_case_eq(org_domain_psl(identifier), org->domain) ? ALIGNED_YES
									     : ALIGNED_NO;
	org_by_tree(run, identifier, &theirs);
	if (theirs.unknown)
		return ALIGNED_UNKNOWN;
	return span_case_eq(theirs.domain, org->domain) ? ALIGNED_YES : ALIGNED_NO;
}

/* What one mechanism's result and alignment come to: only a pass that is aligned counts, and
 * a temperror that would be aligned leaves it open. */
static enum aligned counts(enum auth_result result, enum aligned a)
{
	if (a == ALIGNED_NO || (result != AUTH_PASS && result != AUTH_TEMPERROR))
		return ALIGNED_NO;
	return result == AUTH_PASS ? a : ALIGNED_UNKNOWN;
}

static enum aligned spf_aligned(struct dmarc_run *run, const struct auth *auth,
				struct span author, const struct dmarc_org *org, bool strict)
{
	if (auth->spf.unknown)
		return ALIGNED_UNKNOWN;
	if (counts(auth->spf.result, ALIGNED_YES) == ALIGNED_NO)
		return ALIGNED_NO;
	return counts(auth->spf.result, aligned(run, auth->spf.domain, author, org, strict));
}

static enum aligned dkim_aligned(struct dmarc_run *run, const struct auth *auth,
				 struct span author, const struct dmarc_org *org, bool strict)
{
	enum aligned best = ALIGNED_NO;
	for (size_t i = 0; i < auth->n_dkim && best != ALIGNED_YES; i++) {
		const struct dkim_result *d = &auth->dkim[i];
		if (counts(d->result, ALIGNED_YES) == ALIGNED_NO)
			continue;
		enum aligned one = counts(d->result, aligned(run, d->d, author, org, strict));
		if (one != ALIGNED_NO)
			best = one;
	}
	return best;
}

/* --- the check ------------------------------------------------------------------- */

/* False: a mailbox of another domain than *domain_r, which the first one sets. */
static bool one_domain(const struct addresses *from, struct span *domain_r)
{
	for (size_t i = 0; i < from->n; i++) {
		struct span domain = from->v[i].domain;
		if (!domain.p || domain.n == 0)
			continue;
		if (domain_r->p && !span_case_eq(*domain_r, domain))
			return false;
		*domain_r = domain;
	}
	return true;
}

/* The one domain of all mailboxes in all From fields; AUTH_PASS when there is one. RFC 5322 has one
 * field; where there are two, mail programs show the one or the other. */
static enum auth_result author_domain(const struct message *m, struct arena *arena,
				      struct span *domain_r, const char **why_r)
{
	*domain_r = SPAN_NONE;
	bool one = one_domain(&m->from, domain_r);
	const struct header *h = m->n_headers ? message_header(m, "from", NULL) : NULL;
	for (size_t n = 0; one && h && (h = message_header(m, "from", h)); n++) {
		struct addresses more = {.n = 0};
		unsigned faults = 0;
		if (n == LIMIT_DMARC_FROM_FIELDS)
			break;
		addresses_read(&more, arena, h->body, m->hint, &faults);
		one = one_domain(&more, domain_r);
	}
	*why_r = one ? "no domain in From" : "From has several domains";
	return !one ? AUTH_PERMERROR : domain_r->p ? AUTH_PASS : AUTH_NONE;
}

/* Sets the policy's fields; false: the record does not apply, or we do not know. */
static bool apply(struct dmarc_run *run, struct dmarc_result *r, const struct message *m,
		  struct dmarc_found *found, struct span author)
{
	bool unknown;
	if (!dmarc_record_settle(&found->record)) {
		r->why = "record without a policy";
		return false;
	}
	enum dmarc_policy policy = dmarc_lib_policy(&found->record,
						    place_of(run, found, author, &unknown));
	r->domain = found->domain;
	r->record = found->text;
	if (unknown || policy == DMARC_BAD) {
		r->result = AUTH_TEMPERROR;
		return false;
	}
	r->policy = dmarc_policy_name(policy);
	r->disposition = dmarc_policy_name(left_of(run, m, &found->record, policy));
	return true;
}

static void judge(struct dmarc_run *run, struct auth *auth, const struct message *m,
		  struct span author)
{
	struct dmarc_result *r = &auth->dmarc;
	struct dmarc_org org;
	find_org(run, author, &org);
	const struct dmarc_found *chosen = choose(&org);
	r->why = org.why;
	r->org_domain = org.unknown ? SPAN_NONE : org.domain;
	bool strict_spf = chosen && chosen->record.strict_spf;
	bool strict_dkim = chosen && chosen->record.strict_dkim;
	enum aligned spf = spf_aligned(run, auth, author, &org, strict_spf);
	enum aligned dkim = dkim_aligned(run, auth, author, &org, strict_dkim);
	r->spf_aligned = spf == ALIGNED_YES;
	r->dkim_aligned = dkim == ALIGNED_YES;
	r->spf_aligned_known = spf != ALIGNED_UNKNOWN;
	r->dkim_aligned_known = dkim != ALIGNED_UNKNOWN;
	if (choice_unknown(&org, chosen)) {
		r->result = AUTH_TEMPERROR;
		r->why = "the DNS did not tell";
		return;
	}
	struct dmarc_found found = chosen ? *chosen : (struct dmarc_found){.text = SPAN_NONE};
	if (!chosen || !apply(run, r, m, &found, author))
		return;
	if (r->spf_aligned || r->dkim_aligned)
		r->result = AUTH_PASS;
	else if (!r->spf_aligned_known || !r->dkim_aligned_known)
		r->result = AUTH_TEMPERROR;
	else
		r->result = AUTH_FAIL;
}

enum step dmarc_check(struct auth *auth, const struct message *m, const struct auth_query *q,
		      struct dns_session *dns, struct arena *arena)
{
	struct dmarc_run run = {.q = q, .dns = dns, .arena = arena};
	struct span author;
	const char *why;
	auth->dmarc = (struct dmarc_result){.result = AUTH_NONE, .policy = SPAN_NONE};
	if (!m)
		return STEP_DONE;
	enum auth_result r = author_domain(m, arena, &author, &why);
	if (r != AUTH_PASS) {
		auth->dmarc.result = r;
		auth->dmarc.why = why;
		auth->dmarc.spf_aligned_known = auth->dmarc.dkim_aligned_known = true;
		return STEP_DONE;
	}
	judge(&run, auth, m, author);
	return run.waiting ? STEP_WAIT : STEP_DONE;
}
