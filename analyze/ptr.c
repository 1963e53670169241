/*
 * ptr - the names of the client's address, and whether they point back (clause 2.2.1, Note 13).
 *
 * At most ten names are followed, as RFC 7208 section 4.6.4 has it for the ptr mechanism; the
 * others are listed, and nothing is said of them.
 */
#include "analyze/auth.h"
#include "base/limits.h"

static bool points_back(const struct dns_answer *answer, const struct ip *ip)
{
	for (size_t i = 0; i < answer->n; i++) {
		struct ip found = answer->records[i].ip;
		if (found.family == 6)
			found = ip_from_v6(found.bytes);
		if (ip_eq(&found, ip))
			return true;
	}
	return false;
}

enum step ptr_check(struct ptr_result *ptr, const struct auth_query *q, struct dns_session *dns,
		    struct arena *arena)
{
	char reverse[IP_REVERSE_BYTES];
	bool waiting = false, unknown = false;
	*ptr = (struct ptr_result){.known = false};
	if (!q->ip.family)
		return STEP_DONE;
	const struct dns_answer *names = dns_get(dns, span_of(ip_reverse(&q->ip, reverse)), DNS_PTR);
	if (names->status == DNS_WAIT)
		return STEP_WAIT;
	if (names->status == DNS_UNKNOWN)
		return STEP_DONE;
	ptr->known = true;
	struct span *list = ARENA_ARRAY(arena, struct span, names->n + 1);
	enum ptr_back *back = ARENA_ARRAY(arena, enum ptr_back, names->n + 1);
	if (!list || !back) {
		ptr->known = false;
		return STEP_DONE;
	}
	for (size_t i = 0; i < names->n; i++) {
		list[i] = names->records[i].name;
		if (i >= LIMIT_SPF_NAMES)
			continue;
		const struct dns_answer *a =
			dns_get(dns, list[i], q->ip.family == 4 ? DNS_A : DNS_AAAA);
		waiting |= a->status == DNS_WAIT;
		if (a->status == DNS_FOUND || a->status == DNS_ABSENT)
			back[i] = points_back(a, &q->ip) ? PTR_BACK_YES : PTR_BACK_NO;
		else
			unknown = true;
		ptr->confirmed |= back[i] == PTR_BACK_YES;
	}
	ptr->names = list;
	ptr->n = names->n;
	ptr->back = back;
	ptr->confirmed_known = ptr->confirmed || !unknown;
	return waiting ? STEP_WAIT : STEP_DONE;
}
