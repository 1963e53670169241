/*
 * check_host() of RFC 7208.
 *
 * We choose the record, walk its terms, follow include and redirect, count and bound what it
 * costs, and make the explanation; libspf2 says whether an a, mx or exists mechanism matches
 * (spf_lib.c says why only these). Every look-up goes through ask(): when an answer is
 * missing, the walk stops, the whole check returns STEP_WAIT and is run again later. A run
 * costs microseconds; nothing of an unfinished run is kept but the DNS answers.
 *
 * Recursion: include and redirect only, each costs one of the ten look-ups.
 */
#include "analyze/auth.h"
#include "analyze/idna.h"
#include "analyze/spf_lib.h"
#include "analyze/spf_macro.h"
#include "base/limits.h"

/* Longest name in text form, without the dot at the end (RFC 1035 section 2.3.4). */
#define NAME_BYTES 253
#define LABEL_BYTES 63

struct spf_run {
	const struct auth_query *q;
	struct dns_session *dns;
	struct arena *arena;
	struct spf_env env; /* .domain is that of the record at hand */
	unsigned lookups, voids;
	unsigned depth; /* of includes */
	bool waiting; /* an answer is missing: stop */
	bool trouble;  /* an answer is UNKNOWN */
	bool too_many; /* MX names */
	bool hosts;    /* the mechanism at hand wants addresses: a, mx */
	const char *why;
};

/* What one record came to. */
struct spf_outcome {
	enum auth_result result;
	struct span mechanism;
	struct span exp;    /* domain-spec of the record that decided */
	struct span domain; /* whose record that was */
};

static enum auth_result check_domain(struct spf_run *run, struct span domain,
				     struct spf_outcome *out);

static const struct dns_answer absent = {.status = DNS_ABSENT};

/* A name that the DNS can be asked for. What macros make need not be one. */
static bool is_name(struct span s)
{
	struct span rest = s, label;
	if (s.n == 0 || s.n > NAME_BYTES || s.p[s.n - 1] == '.')
		return false;
	while (span_next_field(&rest, '.', &label)) {
		if (label.n == 0 || label.n > LABEL_BYTES)
			return false;
		for (size_t i = 0; i < label.n; i++)
			if (label.p[i] < ' ' || label.p[i] >= 0x7f)
				return false;
	}
	return true;
}

static const struct dns_answer *ask(struct spf_run *run, struct span name, enum dns_type type)
{
	if (!is_name(name))
		return &absent; /* RFC 7208 section 4.3: such a name has no records */
	const struct dns_answer *a = dns_get(run->dns, name, type);
	if (a->status == DNS_WAIT) {
		run->waiting = true;
	} else if (a->status == DNS_UNKNOWN) {
		run->trouble = true;
		run->why = a->why;
	}
	return a;
}

/* The host has addresses of the other family alone. Such a look-up has found something for all
 * that matters: else a domain with three IPv4 hosts would be permerror for each IPv6 client. */
static bool other_family_only(struct spf_run *run, struct span name, enum dns_type type,
			      const struct dns_answer *a)
{
	if (a->nxdomain || type != (run->q->ip.family == 6 ? DNS_AAAA : DNS_A) || !is_name(name))
		return false;
	const struct dns_answer *other =
		dns_get(run->dns, name, type == DNS_A ? DNS_AAAA : DNS_A);
	run->waiting |= other->status == DNS_WAIT;
	return other->status != DNS_ABSENT; /* what we do not know is not held against it */
}

/* For mechanisms: what finds nothing is counted (section 4.6.4). */
static const struct dns_answer *ask_counted(void *arg, struct span name, enum dns_type type)
{
	struct spf_run *run = arg;
	const struct dns_answer *a = ask(run, name, type);
	if (a->status == DNS_ABSENT && !(run->hosts && other_family_only(run, name, type, a)))
		run->voids++;
	if (type != DNS_MX || a->status != DNS_FOUND)
		return a;
	if (a->n > LIMIT_SPF_NAMES) {
		run->too_many = true;
		return &absent;
	}
	/* Ask for all hosts at once; libspf2 asks for one after the other. */
	for (size_t i = 0; i < a->n; i++)
		if (is_name(a->records[i].name))
			dns_get(run->dns, a->records[i].name,
				run->q->ip.family == 6 ? DNS_AAAA : DNS_A);
	return a;
}

static enum auth_result fault(struct spf_run *run, enum auth_result result, const char *why)
{
	run->why = why;
	return result;
}

/* --- the client's validated names (sections 5.5 and 7.3, "p") --------------- */

static bool points_back(struct spf_run *run, struct span name)
{
	const struct dns_answer *a = dns_get(run->dns, name,
					     run->q->ip.family == 6 ? DNS_AAAA : DNS_A);
	if (a->status == DNS_WAIT)
		run->waiting = true;
	for (size_t i = 0; a->status == DNS_FOUND && i < a->n; i++)
		if (ip_eq(&a->records[i].ip, &run->q->ip))
			return true;
	return false;
}

static bool is_under(struct span name, struct span domain)
{
	return span_case_eq(name, domain) ||
	       (name.n > domain.n && span_case_ends(name, domain) &&
		name.p[name.n - domain.n - 1] == '.');
}

/* The best validated name: `domain` itself, else one under it, else any. .p NULL: none. Trouble
 * with the DNS makes no error here (section 5.5), only no name. */
static struct span validated_name(struct spf_run *run, struct span domain)
{
	char reverse[IP_REVERSE_BYTES];
	struct span best = SPAN_NONE;
	unsigned rank = 0;
	const struct dns_answer *a =
		dns_get(run->dns, span_of(ip_reverse(&run->q->ip, reverse)), DNS_PTR);
	if (a->status == DNS_WAIT)
		run->waiting = true;
	for (size_t i = 0; a->status == DNS_FOUND && i < a->n && i < LIMIT_SPF_NAMES; i++) {
		struct span name = a->records[i].name;
		if (!is_name(name) || !points_back(run, name))
			continue;
		unsigned r = span_case_eq(name, domain) ? 3 : is_under(name, domain) ? 2 : 1;
		if (r > rank) {
			rank = r;
			best = name;
		}
	}
	return best;
}

/* --- terms ------------------------------------------------------------------ */

/* Macros expanded, cut from the left to a name's length (section 7.3), no dot at the end. */
static struct span target_name(struct spf_run *run, struct span domain_spec, struct span domain)
{
	if (!domain_spec.p)
		return domain;
	run->env.domain = domain;
	if (spf_macro_uses(domain_spec, 'p')) {
		struct span name = validated_name(run, domain);
		run->env.validated = name.p ? name : SPAN("unknown");
	}
	struct span s = spf_macro_expand(domain_spec, false, &run->env, run->arena);
	if (s.n && s.p[s.n - 1] == '.')
		s.n--;
	while (s.n > NAME_BYTES) {
		size_t dot = span_find_char(s, '.');
		s = span_sub(s, dot == SIZE_MAX ? s.n : dot + 1, s.n);
	}
	return s;
}

static bool costs_lookup(enum spf_mechanism m)
{
	return m != SPF_MECH_ALL && m != SPF_MECH_IP4 && m != SPF_MECH_IP6;
}

static enum auth_result match_include(struct spf_run *run, struct span target, bool *match_r)
{
	struct spf_outcome inner;
	run->depth++;
	enum auth_result r = check_domain(run, target, &inner);
	run->depth--;
	*match_r = r == AUTH_PASS;
	if (r == AUTH_NONE)
		return fault(run, AUTH_PERMERROR, "include of a domain without SPF record");
	return r == AUTH_PERMERROR || r == AUTH_TEMPERROR ? r : AUTH_PASS;
}

static enum auth_result match_hosts(struct spf_run *run, const struct spf_term *t,
				    struct span target, bool *match_r)
{
	run->hosts = t->mechanism != SPF_MECH_EXISTS;
	enum spf_match match = spf_lib_match(t, target, &run->q->ip, ask_counted, run);
	if (run->waiting || run->trouble)
		return AUTH_TEMPERROR;
	if (run->too_many)
		return fault(run, AUTH_PERMERROR, "more than 10 MX names");
	if (match == SPF_MATCH_BROKEN)
		return fault(run, AUTH_TEMPERROR, "out of memory");
	*match_r = match == SPF_MATCH_YES;
	return AUTH_PASS;
}

/* AUTH_PASS: *match_r is the answer. Anything else ends the check. */
static enum auth_result match_term(struct spf_run *run, const struct spf_term *t,
				   struct span domain, bool *match_r)
{
	enum auth_result r = AUTH_PASS;
	*match_r = false;
	if (costs_lookup(t->mechanism) && ++run->lookups > LIMIT_SPF_LOOKUPS)
		return fault(run, AUTH_PERMERROR, "more than 10 look-ups");
	struct span target = target_name(run, t->domain, domain);
	if (run->waiting)
		return AUTH_TEMPERROR;
	switch (t->mechanism) {
	case SPF_MECH_ALL: *match_r = true; break;
	case SPF_MECH_IP4:
	case SPF_MECH_IP6: *match_r = ip_prefix_holds(&t->prefix, &run->q->ip); break;
	case SPF_MECH_INCLUDE: return match_include(run, target, match_r);
	case SPF_MECH_A:
	case SPF_MECH_MX:
	case SPF_MECH_EXISTS: r = match_hosts(run, t, target, match_r); break;
	case SPF_MECH_PTR: {
		struct span name = validated_name(run, target);
		*match_r = name.p && is_under(name, target);
		break;
	}
	}
	if (r == AUTH_PASS && run->voids > LIMIT_SPF_VOID_LOOKUPS)
		return fault(run, AUTH_PERMERROR, "more than 2 look-ups found nothing");
	return r;
}

/* While one answer is missing, ask for what the rest of the record will surely need soon:
 * a record with ten includes then waits twice, not ten times. Only for the outermost record, so
 * that a hostile tree of includes costs no more than twice the look-ups that SPF allows. */
static void prefetch(struct spf_run *run, const struct spf_record *record, size_t from)
{
	for (size_t i = from, n = 0; i < record->n_terms && n < LIMIT_SPF_LOOKUPS; i++) {
		const struct spf_term *t = &record->terms[i];
		if (t->mechanism == SPF_MECH_ALL)
			return;
		n += costs_lookup(t->mechanism);
		if (t->mechanism == SPF_MECH_INCLUDE && is_name(t->domain) &&
		    span_find_char(t->domain, '%') == SIZE_MAX)
			dns_get(run->dns, t->domain, DNS_TXT);
	}
}

static enum auth_result walk(struct spf_run *run, const struct spf_record *record,
			     struct span domain, struct spf_outcome *out)
{
	for (size_t i = 0; i < record->n_terms; i++) {
		const struct spf_term *t = &record->terms[i];
		bool match;
		enum auth_result r = match_term(run, t, domain, &match);
		if (run->waiting) {
			if (run->depth == 0)
				prefetch(run, record, i + 1);
			return AUTH_TEMPERROR;
		}
		if (r != AUTH_PASS || match) {
			out->mechanism = t->written;
			out->exp = record->exp;
			out->domain = domain;
		}
		if (r != AUTH_PASS)
			return r;
		if (match)
			return t->qualifier == '+'   ? AUTH_PASS
			       : t->qualifier == '-' ? AUTH_FAIL
			       : t->qualifier == '~' ? AUTH_SOFTFAIL
						     : AUTH_NEUTRAL;
	}
	if (!record->redirect.p) {
		out->mechanism = SPAN("default");
		return AUTH_NEUTRAL;
	}
	if (++run->lookups > LIMIT_SPF_LOOKUPS)
		return fault(run, AUTH_PERMERROR, "more than 10 look-ups");
	struct span target = target_name(run, record->redirect, domain);
	if (run->waiting)
		return AUTH_TEMPERROR;
	enum auth_result r = check_domain(run, target, out);
	if (r == AUTH_NONE)
		return fault(run, AUTH_PERMERROR, "redirect to a domain without SPF record");
	return r;
}

/* --- records ------------------------------------------------------------------ */

static enum auth_result choose_record(struct spf_run *run, struct span domain,
				      struct span *text_r)
{
	size_t n = 0;
	const struct dns_answer *a = ask(run, domain, DNS_TXT);
	if (a->status == DNS_WAIT || a->status == DNS_UNKNOWN)
		return AUTH_TEMPERROR;
	for (size_t i = 0; a->status == DNS_FOUND && i < a->n; i++) {
		if (spf_record_is(a->records[i].name)) {
			*text_r = a->records[i].name;
			n++;
		}
	}
	if (n > 1)
		return fault(run, AUTH_PERMERROR, "more than one SPF record");
	return n ? AUTH_PASS : AUTH_NONE;
}

static enum auth_result check_domain(struct spf_run *run, struct span domain,
				     struct spf_outcome *out)
{
	struct span text;
	struct spf_record record;
	const char *why;
	*out = (struct spf_outcome){.result = AUTH_NONE};
	/* Section 4.3: one label alone is no domain that sends mail, nor is an address literal. */
	if (!is_name(domain) || span_find_char(domain, '.') == SIZE_MAX || domain.p[0] == '[')
		return AUTH_NONE;
	enum auth_result r = choose_record(run, domain, &text);
	if (r != AUTH_PASS)
		return r;
	int fault_code = spf_record_parse(&record, text, run->arena, &why);
	if (fault_code == SPF_E_BAD_RECORD)
		return fault(run, AUTH_PERMERROR, why);
	if (fault_code < 0)
		return fault(run, AUTH_TEMPERROR, "out of memory");
	return walk(run, &record, domain, out);
}

/* Section 6.2: anything wrong with it, and there is no explanation. */
static struct span explain(struct spf_run *run, const struct spf_outcome *out)
{
	if (!out->exp.p)
		return SPAN_NONE;
	struct span name = target_name(run, out->exp, out->domain);
	if (run->waiting || !is_name(name))
		return SPAN_NONE;
	const struct dns_answer *a = dns_get(run->dns, name, DNS_TXT);
	if (a->status == DNS_WAIT)
		run->waiting = true;
	if (a->status != DNS_FOUND || a->n != 1 || !spf_macro_valid(a->records[0].name, true))
		return SPAN_NONE;
	run->env.domain = out->domain;
	if (spf_macro_uses(a->records[0].name, 'p')) {
		struct span validated = validated_name(run, out->domain);
		run->env.validated = validated.p ? validated : SPAN("unknown");
	}
	return spf_macro_expand(a->records[0].name, true, &run->env, run->arena);
}

/* --- identities --------------------------------------------------------------- */

static struct span without_dot(struct span domain)
{
	if (domain.n && domain.p[domain.n - 1] == '.')
		domain.n--;
	return domain;
}

static bool has_8bit(struct span s)
{
	for (size_t i = 0; i < s.n; i++)
		if ((unsigned char)s.p[i] >= 0x80)
			return true;
	return false;
}

static bool check_identity(struct spf_result *result, struct span local, struct span domain,
			   const struct auth_query *q, struct dns_session *dns,
			   struct arena *arena)
{
	struct spf_run run = {.q = q, .dns = dns, .arena = arena};
	struct spf_outcome out = {.result = AUTH_NONE};
	if (has_8bit(domain)) /* RFC 8616 section 4: U-labels are looked up as A-labels */
		domain = idna_to_ascii(arena, domain);
	run.env = (struct spf_env){
		.ip = q->ip,
		.local = local.n ? local : SPAN("postmaster"), /* section 4.3 */
		.sender_domain = domain,
		.helo = q->helo,
		.receiver = q->host && *q->host ? span_of(q->host) : SPAN("unknown"),
		.time_us = q->time_us,
	};
	*result = (struct spf_result){.result = AUTH_NONE, .domain = without_dot(domain)};
	if (!domain.p || domain.n == 0) {
		result->domain = SPAN_NONE;
		return true;
	}
	if (q->ip.family == 0) {
		result->result = AUTH_TEMPERROR;
		result->why = "client address unknown";
		return true;
	}
	result->result = check_domain(&run, result->domain, &out);
	if (result->result == AUTH_FAIL && !run.waiting)
		result->explanation = explain(&run, &out);
	result->mechanism = out.mechanism;
	result->lookups = run.lookups;
	result->why = result->result >= AUTH_TEMPERROR ? run.why : NULL;
	return !run.waiting;
}

enum step spf_check(struct spf_result *mail_from, struct spf_result *helo,
		    const struct auth_query *q, struct dns_session *dns, struct arena *arena)
{
	struct span local = SPAN("postmaster"), domain = q->helo;
	if (!q->mail_from.p)
		domain = SPAN_NONE;
	if (q->mail_from.n) {
		size_t at = span_rfind_char(q->mail_from, '@');
		local = span_sub(q->mail_from, 0, at == SIZE_MAX ? 0 : at);
		domain = span_sub(q->mail_from, at == SIZE_MAX ? 0 : at + 1, q->mail_from.n);
	}
	/* Both, so that both have asked before we wait. */
	bool done = check_identity(helo, SPAN_NONE, q->helo, q, dns, arena);
	done &= check_identity(mail_from, local, domain, q, dns, arena);
	helo->unknown = !q->helo.p;
	mail_from->unknown = !domain.p;
	return done ? STEP_DONE : STEP_WAIT;
}
