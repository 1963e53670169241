#include "analyze/netid.h"

#include <stdio.h>

#include "analyze/dnsbl.h"

/* --- names that look like those of dynamic addresses -------------------------------- */

/* Whether the octets of an IPv4 address stand in the name: decimal in either order, with any
 * separators, or as eight hexadecimal digits. */
static bool holds_address(struct span name, const struct ip *ip)
{
	const uint8_t *b = ip->bytes;
	char text[5][24];
	static const char separators[] = ".-_x";
	if (ip->family != 4)
		return false;
	for (size_t s = 0; s < 4; s++) {
		char c = separators[s];
		snprintf(text[0], sizeof(text[0]), "%u%c%u%c%u%c%u", b[0], c, b[1], c, b[2], c, b[3]);
		snprintf(text[1], sizeof(text[1]), "%u%c%u%c%u%c%u", b[3], c, b[2], c, b[1], c, b[0]);
		snprintf(text[2], sizeof(text[2]), "%03u%c%03u%c%03u%c%03u", b[0], c, b[1], c, b[2], c,
			 b[3]);
		for (size_t t = 0; t < 3; t++)
			if (span_find(name, span_of(text[t])) != SIZE_MAX)
				return true;
	}
	snprintf(text[3], sizeof(text[3]), "%03u%03u%03u%03u", b[0], b[1], b[2], b[3]);
	snprintf(text[4], sizeof(text[4]), "%02x%02x%02x%02x", b[0], b[1], b[2], b[3]);
	return span_find(name, span_of(text[3])) != SIZE_MAX ||
	       span_find(name, span_of(text[4])) != SIZE_MAX;
}

static bool has_word(struct span name, const char *const *words, size_t n)
{
	struct span rest = name, label;
	while (span_next_field(&rest, '.', &label)) {
		struct span parts = label, part;
		while (span_next_field(&parts, '-', &part)) {
			while (part.n && ascii_is_digit(part.p[part.n - 1]))
				part.n--; /* "pool12" */
			for (size_t i = 0; i < n; i++)
				if (span_case_eq(part, span_of(words[i])))
					return true;
		}
	}
	return false;
}

static bool looks_dynamic(struct span name, const struct ip *ip)
{
	static const char *const dynamic[] = {
		"dyn",   "dynamic", "dynamicip", "dhcp", "pool", "pools", "ppp",  "pppoe", "dial",
		"dialup", "adsl",   "dsl",       "vdsl", "xdsl", "cable", "cust", "customer", "broadband",
		"dip",   "home",    "res",       "user", "wlan", "wifi",  "mobile", "gprs", "lte", "ftth",
	};
	static const char *const fixed[] = {"static", "mail", "mx", "smtp", "mta", "out", "relay",
					    "mailout", "outbound", "sendmail", "edm"};
	struct span host = span_sub(name, 0, name.n - org_domain_psl(name).n);
	if (has_word(host, fixed, sizeof(fixed) / sizeof(fixed[0])))
		return false;
	return has_word(host, dynamic, sizeof(dynamic) / sizeof(dynamic[0])) ||
	       holds_address(host, ip);
}

static void set_ptr(const struct ptr_result *ptr, const struct message *m,
		    const struct auth_query *q, struct facts *f)
{
	if (!ptr->known)
		return; /* all stay unknown */
	struct fact *names = facts_set_list(f, F_NET_PTR, ptr->names, ptr->n);
	if (ptr->n == 0) {
		facts_set_condition(f, F_NET_PTR_CONFIRMED, false);
		facts_set_absent(f, F_NET_PTR_DYNAMIC);
		facts_set_condition(f, F_NET_FROM_PTR_SAME, false);
		return;
	}
	facts_evidence(names, ptr->names[0], -1, 0);
	if (ptr->confirmed_known)
		facts_evidence(facts_set_condition(f, F_NET_PTR_CONFIRMED, ptr->confirmed),
			       ptr->names[0], -1, 0);
	/* One static name is enough: an address may have several. */
	bool dynamic = true, same = false;
	for (size_t i = 0; i < ptr->n; i++)
		dynamic &= looks_dynamic(ptr->names[i], &q->ip);
	facts_evidence(facts_set_condition(f, F_NET_PTR_DYNAMIC, dynamic), ptr->names[0], -1, 0);
	if (!m)
		return;
	if (m->from.n == 0 || !m->from.v[0].domain.n) {
		facts_set_absent(f, F_NET_FROM_PTR_SAME);
		return;
	}
	struct span org = org_domain_psl(m->from.v[0].domain);
	for (size_t i = 0; i < ptr->n; i++)
		same |= span_case_eq(org, org_domain_psl(ptr->names[i]));
	facts_evidence(facts_set_condition(f, F_NET_FROM_PTR_SAME, same), ptr->names[0], -1, 0);
}

/* --- HELO ---------------------------------------------------------------------------- */

/* RFC 5321 section 4.1.3: "[192.0.2.1]", "[IPv6:2001:db8::1]" */
static bool is_literal(struct span s)
{
	struct ip ip;
	if (s.n < 3 || s.p[0] != '[' || s.p[s.n - 1] != ']')
		return false;
	s = span_sub(s, 1, s.n - 1);
	if (span_case_starts(s, SPAN("IPv6:")))
		s = span_sub(s, 5, s.n);
	return ip_parse(s, &ip);
}

/* RFC 1123 section 2.1: letters, digits, hyphens; at least two labels, the last not all digits. */
static bool is_fqdn(struct span s)
{
	struct span rest = s, label = SPAN_NONE;
	size_t labels = 0;
	bool digits = true;
	if (s.n == 0 || s.n > 253)
		return false;
	while (span_next_field(&rest, '.', &label)) {
		if (label.n == 0 || label.n > 63 || label.p[0] == '-' || label.p[label.n - 1] == '-')
			return false;
		digits = true;
		for (size_t i = 0; i < label.n; i++) {
			char c = label.p[i];
			if (!ascii_is_alpha(c) && !ascii_is_digit(c) && c != '-' && c != '_')
				return false;
			digits &= ascii_is_digit(c);
		}
		labels++;
	}
	return labels >= 2 && !digits && s.p[s.n - 1] != '.';
}

static bool check_helo(const struct auth_query *q, struct dns_session *dns, struct facts *f)
{
	struct span helo = q->helo;
	if (!helo.p)
		return false;
	bool literal = is_literal(helo), fqdn = is_fqdn(helo);
	facts_evidence(facts_set_text(f, F_NET_HELO_SYNTAX,
				      literal ? SPAN("literal") : fqdn ? SPAN("fqdn") : SPAN("bad")),
		       helo, -1, 0);
	if (!fqdn) {
		facts_set_absent(f, F_NET_HELO_RESOLVES);
		facts_set_absent(f, F_NET_HELO_MATCHES);
		return false;
	}
	const struct dns_answer *a = dns_get(dns, helo, DNS_A), *aaaa = dns_get(dns, helo, DNS_AAAA);
	if (a->status == DNS_WAIT || aaaa->status == DNS_WAIT)
		return true;
	bool found = a->status == DNS_FOUND || aaaa->status == DNS_FOUND, matches = false;
	bool unknown = a->status == DNS_UNKNOWN || aaaa->status == DNS_UNKNOWN;
	for (size_t i = 0; i < a->n; i++)
		matches |= ip_eq(&a->records[i].ip, &q->ip);
	for (size_t i = 0; i < aaaa->n; i++)
		matches |= ip_eq(&aaaa->records[i].ip, &q->ip);
	if (found || !unknown)
		facts_evidence(facts_set_condition(f, F_NET_HELO_RESOLVES, found), helo, -1, 0);
	if (q->ip.family && (matches || !unknown))
		facts_evidence(facts_set_condition(f, F_NET_HELO_MATCHES, matches), helo, -1, 0);
	return false;
}

/* --- addresses that mail can be returned to ------------------------------------------------ */

/* RFC 5321 section 5.1 with the null MX of RFC 7505. True while it waits. */
static bool check_returnable(struct span domain, enum fact_id id, struct dns_session *dns,
			     struct facts *f)
{
	if (!domain.n) {
		facts_set_absent(f, id);
		return false;
	}
	const struct dns_answer *mx = dns_get(dns, domain, DNS_MX), *a = dns_get(dns, domain, DNS_A),
				*aaaa = dns_get(dns, domain, DNS_AAAA);
	if (mx->status == DNS_WAIT || a->status == DNS_WAIT || aaaa->status == DNS_WAIT)
		return true;
	bool null_mx = mx->n == 1 && mx->records[0].name.n == 0;
	bool address = a->status == DNS_FOUND || aaaa->status == DNS_FOUND;
	bool unknown = mx->status == DNS_UNKNOWN ||
		       (mx->status == DNS_ABSENT && !address &&
			(a->status == DNS_UNKNOWN || aaaa->status == DNS_UNKNOWN));
	if (unknown)
		return false;
	bool returnable = mx->status == DNS_FOUND ? !null_mx : address;
	facts_evidence(facts_set_condition(f, id, returnable), domain, -1, 0);
	return false;
}

/* --- block lists ---------------------------------------------------------------------------- */

/* Nobody named a list to ask: unknown, so that rules about listings do not pass unasked. */
static void set_listed(struct facts *f, enum fact_id id, const struct config_texts *asked,
		       const struct dnsbl_result *r)
{
	if (r->n)
		facts_evidence(facts_set_list(f, id, r->lists, r->n), r->lists[0], -1, 0);
	else if (asked->n && !r->unknown)
		facts_set_absent(f, id);
}

static bool check_lists(const struct auth *auth, const struct message *m, const struct content *c,
			const struct auth_query *q, const struct config *config,
			struct dns_session *dns, struct facts *f)
{
	struct arena *arena = f->arena;
	struct dnsbl_result ip, domain, url;
	struct span *domains = ARENA_ARRAY(arena, struct span, auth->n_dkim + 2);
	size_t n = 0, n_links = 0;
	if (!domains)
		return false;
	if (m && m->from.n && m->from.v[0].domain.n)
		domains[n++] = m->from.v[0].domain;
	if (q->helo.p && is_fqdn(q->helo))
		domains[n++] = q->helo;
	for (size_t i = 0; i < auth->n_dkim; i++)
		if (auth->dkim[i].result == AUTH_PASS)
			domains[n++] = auth->dkim[i].d;
	const struct span *links = c ? content_link_domains(c, &n_links) : NULL;
	bool waiting = dnsbl_ip(&ip, &config->dnsbl_ip, &q->ip, dns, arena) == STEP_WAIT;
	waiting |= dnsbl_domains(&domain, &config->dnsbl_domain, domains, n, dns, arena) == STEP_WAIT;
	waiting |= dnsbl_domains(&url, &config->dnsbl_url, links, n_links, dns, arena) == STEP_WAIT;
	if (waiting)
		return true;
	if (q->ip.family)
		set_listed(f, F_RBL_IP, &config->dnsbl_ip, &ip);
	set_listed(f, F_RBL_DOMAIN, &config->dnsbl_domain, &domain);
	set_listed(f, F_RBL_URL, &config->dnsbl_url, &url);
	return false;
}

enum step netid_check(const struct auth *auth, const struct message *m, const struct content *c,
		      const struct auth_query *q, const struct config *config,
		      struct dns_session *dns, struct facts *f)
{
	bool waiting = check_helo(q, dns, f);
	set_ptr(&auth->ptr, m, q, f);
	if (m) {
		struct span from = m->from.n ? m->from.v[0].domain : SPAN_NONE;
		struct span reply_to = m->reply_to.n ? m->reply_to.v[0].domain : SPAN_NONE;
		waiting |= check_returnable(from, F_NET_FROM_RETURNABLE, dns, f);
		waiting |= check_returnable(reply_to, F_NET_REPLY_TO_RETURNABLE, dns, f);
	}
	waiting |= check_lists(auth, m, c, q, config, dns, f);
	return waiting ? STEP_WAIT : STEP_DONE;
}
