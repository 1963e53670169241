#include "analyze/netid.h"

#include "analyze/dynamic.h"
#include "analyze/idna.h"
#include "base/clock.h"

/* --- reverse names --------------------------------------------------------------------- */

static size_t host_part(struct span name)
{
	return name.n - org_domain_psl(name).n;
}

/* The names that were looked up and do not point back. */
static void set_unconfirmed(const struct ptr_result *ptr, struct facts *f)
{
	struct span *v = ARENA_ARRAY(f->arena, struct span, ptr->n + 1);
	size_t n = 0;
	for (size_t i = 0; v && i < ptr->n; i++)
		if (ptr->back[i] == PTR_BACK_NO)
			v[n++] = ptr->names[i];
	if (v && (n || ptr->confirmed_known))
		facts_set_list(f, F_NET_PTR_UNCONFIRMED, v, n);
}

static void set_ptr(const struct ptr_result *ptr, const struct auth_query *q, struct facts *f)
{
	if (!ptr->known)
		return; /* all stay unknown */
	struct fact *names = facts_set_list(f, F_NET_PTR, ptr->names, ptr->n);
	if (ptr->n == 0) {
		facts_set_condition(f, F_NET_PTR_CONFIRMED, false);
		facts_set_absent(f, F_NET_PTR_DYNAMIC);
		facts_set_absent(f, F_NET_PTR_UNCONFIRMED);
		return;
	}
	facts_evidence(names, ptr->names[0], -1, 0);
	set_unconfirmed(ptr, f);
	if (ptr->confirmed_known)
		facts_evidence(facts_set_condition(f, F_NET_PTR_CONFIRMED, ptr->confirmed),
			       ptr->names[0], -1, 0);
	/* One static name is enough: an address may have several. */
	bool dynamic = true;
	for (size_t i = 0; i < ptr->n && dynamic; i++)
		dynamic = dynamic_name(ptr->names[i], host_part(ptr->names[i]), &q->ip);
	facts_evidence(facts_set_condition(f, F_NET_PTR_DYNAMIC, dynamic), ptr->names[0], -1, 0);
}

/* --- who belongs together ------------------------------------------------------------------ */

static struct span from_domain(const struct message *m)
{
	return m && m->from.n ? m->from.v[0].domain : SPAN_NONE;
}

static struct span mail_from_domain(const struct auth_query *q)
{
	size_t at = span_rfind_char(q->mail_from, '@');
	return at == SIZE_MAX ? SPAN_NONE : span_sub(q->mail_from, at + 1, q->mail_from.n);
}

/* Anybody may write any name into the reverse zone of his own network, so a name counts when it
 * points back. */
static void set_from_ptr(const struct ptr_result *ptr, struct span org, struct facts *f)
{
	bool same = false, unknown = false;
	struct span name = SPAN_NONE;
	if (!ptr->known)
		return;
	for (size_t i = 0; i < ptr->n && !same; i++) {
		if (!span_case_eq(org, org_domain_psl(ptr->names[i])))
			continue;
		same = ptr->back[i] == PTR_BACK_YES;
		unknown |= ptr->back[i] == PTR_BACK_UNKNOWN;
		name = ptr->names[i];
	}
	if (same || !unknown)
		facts_evidence(facts_set_condition(f, F_NET_FROM_PTR_SAME, same),
			       name.p ? name : ptr->n ? ptr->names[0] : SPAN_NONE, -1, 0);
}

/* "from=example.com dkim=esp.example": each with its organizational domain, no pair twice. */
static void add_domain(struct span *v, size_t *n, const char *who, struct span domain,
		       struct arena *arena)
{
	if (!domain.n || domain.p[0] == '[')
		return;
	struct span text = arena_printf(arena, "%s=%.*s", who, SPAN_ARG(org_domain_psl(domain)));
	for (size_t i = 0; i < *n; i++)
		if (span_case_eq(v[i], text))
			return;
	v[(*n)++] = text;
}

static void set_domains(const struct auth *auth, const struct message *m,
			const struct auth_query *q, struct facts *f)
{
	struct span from = from_domain(m), sender = idna_to_ascii(f->arena, mail_from_domain(q));
	struct span *v = ARENA_ARRAY(f->arena, struct span, auth->n_dkim + auth->ptr.n + 2);
	size_t n = 0;
	if (!v)
		return;
	add_domain(v, &n, "from", from, f->arena);
	add_domain(v, &n, "mail-from", sender, f->arena);
	for (size_t i = 0; i < auth->n_dkim; i++)
		add_domain(v, &n, "dkim", auth->dkim[i].d, f->arena);
	for (size_t i = 0; i < auth->ptr.n; i++)
		add_domain(v, &n, "ptr", auth->ptr.names[i], f->arena);
	facts_set_list(f, F_NET_ORG_DOMAINS, v, n);
	if (!m)
		return;
	if (!from.n) {
		facts_set_absent(f, F_NET_FROM_PTR_SAME);
		facts_set_absent(f, F_NET_FROM_MAIL_FROM_SAME);
		facts_set_absent(f, F_NET_FROM_DKIM_SAME);
		return;
	}
	struct span org = org_domain_psl(from);
	set_from_ptr(&auth->ptr, org, f);
	if (sender.n) /* the null sender has no domain to compare */
		facts_evidence(facts_set_condition(f, F_NET_FROM_MAIL_FROM_SAME,
						   span_case_eq(org, org_domain_psl(sender))),
			       sender, -1, 0);
	else if (q->mail_from.p)
		facts_set_absent(f, F_NET_FROM_MAIL_FROM_SAME);
	bool same = false;
	for (size_t i = 0; i < auth->n_dkim; i++)
		same |= span_case_eq(org, org_domain_psl(auth->dkim[i].d));
	if (auth->n_dkim)
		facts_set_condition(f, F_NET_FROM_DKIM_SAME, same);
	else
		facts_set_absent(f, F_NET_FROM_DKIM_SAME);
}

/* --- HELO ---------------------------------------------------------------------------- */

/* RFC 5321 section 4.1.3: "[192.0.2.1]", "[IPv6:2001:db8::1]" */
static bool is_literal(struct span s, struct ip *ip_r)
{
	if (s.n < 3 || s.p[0] != '[' || s.p[s.n - 1] != ']')
		return false;
	s = span_sub(s, 1, s.n - 1);
	if (span_case_starts(s, SPAN("IPv6:")))
		s = span_sub(s, 5, s.n);
	return ip_parse(s, ip_r);
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
	struct ip ip;
	bool literal = is_literal(helo, &ip), fqdn = is_fqdn(helo);
	facts_evidence(facts_set_text(f, F_NET_HELO_SYNTAX,
				      literal ? SPAN("literal") : fqdn ? SPAN("fqdn") : SPAN("bad")),
		       helo, -1, 0);
	if (!fqdn) {
		facts_set_absent(f, F_NET_HELO_RESOLVES);
		if (!literal)
			facts_set_absent(f, F_NET_HELO_MATCHES);
		else if (q->ip.family)
			facts_evidence(facts_set_condition(f, F_NET_HELO_MATCHES,
							   ip_eq(&ip, &q->ip)),
				       helo, -1, 0);
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
	if (!domain.n || domain.p[0] == '[') { /* a literal needs no DNS, and nobody uses it */
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
	struct span *lists = ARENA_ARRAY(f->arena, struct span, r->n + 1), where = SPAN_NONE;
	char code[IP_TEXT_BYTES];
	size_t n = 0;
	for (size_t i = 0; lists && i < r->n; i++) {
		const struct dnsbl_entry *e = &r->v[i];
		if (!e->code.family)
			continue;
		if (!where.p)
			where = arena_printf(f->arena, "%.*s in %s: %s", SPAN_ARG(e->name), e->list,
					     ip_text(&e->code, code));
		if (n == 0 || !span_eq(lists[n - 1], span_of(e->list)))
			lists[n++] = span_of(e->list);
	}
	if (n)
		facts_evidence(facts_set_list(f, id, lists, n), where, -1, 0);
	else if (asked->n && !r->unknown)
		facts_set_absent(f, id);
}

/* The lists of domains have what somebody registered; a host's own name is no use to them. */
static void add_org(struct span *v, size_t *n, struct span domain)
{
	if (domain.n)
		v[(*n)++] = org_domain_psl(domain);
}

static void keep(struct netid_listings *listings, const struct dnsbl_result *r)
{
	for (size_t i = 0; i < r->n; i++)
		listings->v[listings->n++] = r->v[i];
}

static bool check_lists(const struct auth *auth, const struct message *m, const struct content *c,
			const struct auth_query *q, const struct config *config,
			struct dns_session *dns, struct facts *f, struct netid_listings *listings)
{
	struct arena *arena = f->arena;
	struct dnsbl_result ip, domain, url;
	size_t n = 0, n_links = 0, n_urls = 0;
	const struct span *links = c ? content_link_domains(c, &n_links) : NULL;
	struct span *domains = ARENA_ARRAY(arena, struct span, auth->n_dkim + 2);
	struct span *urls = ARENA_ARRAY(arena, struct span, n_links + 1);
	*listings = (struct netid_listings){NULL, 0};
	if (!domains || !urls)
		return false;
	add_org(domains, &n, from_domain(m));
	if (q->helo.p && is_fqdn(q->helo))
		add_org(domains, &n, q->helo);
	for (size_t i = 0; i < auth->n_dkim; i++)
		if (auth->dkim[i].result == AUTH_PASS)
			add_org(domains, &n, auth->dkim[i].d);
	for (size_t i = 0; i < n_links; i++)
		add_org(urls, &n_urls, links[i]);
	bool waiting = dnsbl_ip(&ip, &config->dnsbl_ip, &q->ip, dns, arena) == STEP_WAIT;
	waiting |= dnsbl_domains(&domain, &config->dnsbl_domain, domains, n, dns, arena) == STEP_WAIT;
	waiting |= dnsbl_domains(&url, &config->dnsbl_url, urls, n_urls, dns, arena) == STEP_WAIT;
	if (waiting)
		return true;
	if (q->ip.family)
		set_listed(f, F_RBL_IP, &config->dnsbl_ip, &ip);
	set_listed(f, F_RBL_DOMAIN, &config->dnsbl_domain, &domain);
	set_listed(f, F_RBL_URL, &config->dnsbl_url, &url);
	listings->v = ARENA_ARRAY(arena, struct dnsbl_entry, ip.n + domain.n + 1);
	if (listings->v) {
		keep(listings, &ip);
		keep(listings, &domain);
	}
	return false;
}

void netid_listed_since(const struct netid_listings *listings, int64_t now_us, struct facts *f)
{
	const struct dnsbl_entry *oldest = NULL;
	bool any = false;
	for (size_t i = 0; i < listings->n; i++) {
		const struct dnsbl_entry *e = &listings->v[i];
		any |= e->code.family != 0;
		if (e->code.family && e->since_us && (!oldest || e->since_us < oldest->since_us))
			oldest = e;
	}
	if (oldest)
		facts_evidence(facts_set_number(f, F_RBL_DAYS,
						(double)((now_us - oldest->since_us) / (86400 * US_PER_S))),
			       arena_printf(f->arena, "%.*s in %s", SPAN_ARG(oldest->name),
					    oldest->list),
			       -1, 0);
	else if (listings->n && !any)
		facts_set_absent(f, F_RBL_DAYS);
}

enum step netid_check(const struct auth *auth, const struct message *m, const struct content *c,
		      const struct auth_query *q, const struct config *config,
		      struct dns_session *dns, struct facts *f, struct netid_listings *listings)
{
	bool waiting = check_helo(q, dns, f);
	set_ptr(&auth->ptr, q, f);
	set_domains(auth, m, q, f);
	if (m) {
		struct span reply_to = m->reply_to.n ? m->reply_to.v[0].domain : SPAN_NONE;
		waiting |= check_returnable(from_domain(m), F_NET_FROM_RETURNABLE, dns, f);
		waiting |= check_returnable(reply_to, F_NET_REPLY_TO_RETURNABLE, dns, f);
	}
	waiting |= check_lists(auth, m, c, q, config, dns, f, listings);
	return waiting ? STEP_WAIT : STEP_DONE;
}
