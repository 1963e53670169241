#include "analyze/dnsbl.h"

#include "base/log.h"

/* Domains of one message that are asked for, each at each list. */
#define DNSBL_DOMAINS 20

enum outcome { LISTED, NOT_LISTED, NO_ANSWER, WAITING };

static enum outcome ask(struct span name, const char *list, struct dns_session *dns,
			struct arena *arena)
{
	struct span full = arena_printf(arena, "%.*s%s%s", SPAN_ARG(name), name.n ? "." : "", list);
	const struct dns_answer *a = dns_get(dns, full, DNS_A);
	if (a->status == DNS_WAIT)
		return WAITING;
	if (a->status == DNS_UNKNOWN)
		return NO_ANSWER;
	for (size_t i = 0; i < a->n; i++) {
		const uint8_t *b = a->records[i].ip.bytes;
		if (b[0] != 127 || (b[1] == 255 && b[2] == 255))
			return NO_ANSWER; /* a parked domain, or the list refuses us */
	}
	return a->status == DNS_FOUND ? LISTED : NOT_LISTED;
}

/* RFC 5782 section 5. The two answers stay in the cache, so the test costs nothing. */
static enum outcome alive(const char *list, bool domains, struct dns_session *dns,
			  struct arena *arena)
{
	enum outcome yes = ask(domains ? SPAN("test") : SPAN("2.0.0.127"), list, dns, arena);
	enum outcome no = ask(domains ? SPAN("invalid") : SPAN("1.0.0.127"), list, dns, arena);
	if (yes == WAITING || no == WAITING)
		return WAITING;
	if (yes == LISTED && no == NOT_LISTED)
		return LISTED;
	if (yes != NO_ANSWER && no != NO_ANSWER) {
		static const char *said[16];
		static size_t n_said;
		bool known = n_said == 16;
		for (size_t i = 0; i < n_said; i++)
			known |= said[i] == list;
		if (!known) {
			said[n_said++] = list;
			log_warn("dnsbl.dead", "list=%s its own test entries are wrong", list);
		}
	}
	return NO_ANSWER;
}

static enum step check(struct dnsbl_result *r, const struct config_texts *lists, bool domains,
		       const struct span *names, size_t n, struct dns_session *dns,
		       struct arena *arena)
{
	struct span *found = ARENA_ARRAY(arena, struct span, lists->n + 1);
	bool waiting = false;
	*r = (struct dnsbl_result){.lists = found, .unknown = !found};
	for (size_t l = 0; l < lists->n && found; l++) {
		enum outcome live = alive(lists->v[l], domains, dns, arena);
		bool listed = false;
		waiting |= live == WAITING;
		r->unknown |= live == NO_ANSWER;
		for (size_t i = 0; i < n && i < DNSBL_DOMAINS; i++) {
			enum outcome o = ask(names[i], lists->v[l], dns, arena);
			waiting |= o == WAITING;
			r->unknown |= o == NO_ANSWER;
			listed |= o == LISTED;
		}
		if (listed && live == LISTED)
			found[r->n++] = span_of(lists->v[l]);
	}
	return waiting ? STEP_WAIT : STEP_DONE;
}

enum step dnsbl_domains(struct dnsbl_result *r, const struct config_texts *lists,
			const struct span *domains, size_t n, struct dns_session *dns,
			struct arena *arena)
{
	return check(r, lists, true, domains, n, dns, arena);
}

enum step dnsbl_ip(struct dnsbl_result *r, const struct config_texts *lists, const struct ip *ip,
		   struct dns_session *dns, struct arena *arena)
{
	char reverse[IP_REVERSE_BYTES];
	ip_reverse(ip, reverse);
	struct span name = span_of(reverse);
	/* without ".in-addr.arpa" or ".ip6.arpa" */
	name.n -= ip->family == 4 ? 13 : 9;
	return check(r, lists, false, &name, ip->family ? 1 : 0, dns, arena);
}
