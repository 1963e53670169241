#include "analyze/dnsbl.h"

#include "base/limits.h"
#include "base/log.h"

enum outcome { LISTED, NOT_LISTED, NO_ANSWER, WAITING };

/* Test entries of RFC 5782 section 5: one that must be listed, one that must not. */
struct test_points {
	const char *yes, *no;
};

static const struct test_points for_ip4 = {"2.0.0.127", "1.0.0.127"};
static const struct test_points for_ip6 = {
	"2.0.0.0.0.0.f.7.f.f.f.f.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0",
	"1.0.0.0.0.0.f.7.f.f.f.f.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0",
};
static const struct test_points for_domain = {"test", "invalid"};

static bool is_listing(const struct ip *code)
{
	const uint8_t *b = code->bytes;
	return b[0] == 127 && !(b[1] == 255 && b[2] == 255) &&
	       !(b[1] == 0 && b[2] == 0 && b[3] == 1) && !(b[1] == 0 && b[2] == 1 && b[3] == 255);
}

static enum outcome ask(struct span name, const char *list, struct ip *code_r,
			struct dns_session *dns, struct arena *arena)
{
	struct span full = arena_printf(arena, "%.*s.%s", SPAN_ARG(name), list);
	const struct dns_answer *a = dns_get(dns, full, DNS_A);
	if (a->status == DNS_WAIT)
		return WAITING;
	if (a->status == DNS_UNKNOWN)
		return NO_ANSWER;
	for (size_t i = 0; i < a->n; i++)
		if (!is_listing(&a->records[i].ip))
			return NO_ANSWER;
	if (a->status == DNS_FOUND)
		*code_r = a->records[0].ip;
	return a->status == DNS_FOUND ? LISTED : NOT_LISTED;
}

static void warn_once(const char *list)
{
	static const char *said[16];
	static size_t n_said;
	for (size_t i = 0; i < n_said; i++)
		if (said[i] == list)
			return;
	if (n_said == 16)
		return;
	said[n_said++] = list;
	log_warn("dnsbl.dead", "list=%s its own test entries are wrong", list);
}

/* The two answers stay in the cache, so the test costs nothing. */
static enum outcome alive(const char *list, const struct test_points *test,
			  struct dns_session *dns, struct arena *arena)
{
	struct ip code;
	enum outcome yes = ask(span_of(test->yes), list, &code, dns, arena);
	enum outcome no = ask(span_of(test->no), list, &code, dns, arena);
	if (yes == WAITING || no == WAITING)
		return WAITING;
	if (yes == LISTED && no == NOT_LISTED)
		return LISTED;
	if (yes != NO_ANSWER && no != NO_ANSWER)
		warn_once(list);
	return NO_ANSWER;
}

struct question {
	struct span name; /* as people write it */
	struct span query;
};

static enum step check(struct dnsbl_result *r, const struct config_texts *lists,
		       const struct test_points *test, const struct question *questions, size_t n,
		       struct dns_session *dns, struct arena *arena)
{
	bool waiting = false;
	*r = (struct dnsbl_result){.v = ARENA_ARRAY(arena, struct dnsbl_entry, lists->n * n + 1)};
	r->unknown = !r->v;
	for (size_t l = 0; l < lists->n && n && r->v; l++) {
		const char *list = lists->v[l];
		enum outcome live = alive(list, test, dns, arena);
		waiting |= live == WAITING;
		r->unknown |= live == NO_ANSWER;
		for (size_t i = 0; i < n; i++) {
			struct dnsbl_entry e = {.list = list, .name = questions[i].name};
			enum outcome o = ask(questions[i].query, list, &e.code, dns, arena);
			waiting |= o == WAITING;
			r->unknown |= o == NO_ANSWER;
			if (live == LISTED && (o == LISTED || o == NOT_LISTED))
				r->v[r->n++] = e;
		}
	}
	return waiting ? STEP_WAIT : STEP_DONE;
}

enum step dnsbl_domains(struct dnsbl_result *r, const struct config_texts *lists,
			const struct span *domains, size_t n, struct dns_session *dns,
			struct arena *arena)
{
	struct question questions[LIMIT_DNSBL_DOMAINS];
	size_t asked = 0;
	for (size_t i = 0; i < n && asked < LIMIT_DNSBL_DOMAINS; i++) {
		struct span domain = domains[i];
		struct ip ip;
		bool known = domain.n == 0 || domain.p[0] == '[' || ip_parse(domain, &ip);
		for (size_t k = 0; k < asked && !known; k++)
			known = span_case_eq(questions[k].name, domain);
		if (!known)
			questions[asked++] = (struct question){domain, domain};
	}
	return check(r, lists, &for_domain, questions, asked, dns, arena);
}

enum step dnsbl_ip(struct dnsbl_result *r, const struct config_texts *lists, const struct ip *ip,
		   struct dns_session *dns, struct arena *arena)
{
	char reverse[IP_REVERSE_BYTES], text[IP_TEXT_BYTES];
	struct span query = span_of(ip_reverse(ip, reverse));
	/* without ".in-addr.arpa" or ".ip6.arpa" */
	query.n -= ip->family == 4 ? 13 : 9;
	struct question q = {arena_copy(arena, span_of(ip_text(ip, text))), query};
	return check(r, lists, ip->family == 4 ? &for_ip4 : &for_ip6, &q, ip->family ? 1 : 0, dns,
		     arena);
}
