/*
 * dnsbl - block lists in the DNS (RFC 5782): who lists an address or a domain.
 *
 * Lists are the operator's choice; none is asked by default. Before a list is believed it must
 * pass the test of RFC 5782 section 5: its entry 127.0.0.2 (for domains: TEST) is listed and
 * 127.0.0.1 (INVALID) is not. A list that has died and answers everything, or nothing, is
 * UNKNOWN from then on, with one warning. Answers in 127.255.255.0/24 are refusals of the list
 * to answer us, never listings.
 */
#pragma once

#include "analyze/auth.h"

struct dnsbl_result {
	const struct span *lists; /* that name it */
	size_t n;
	bool unknown; /* some list gave no usable answer */
};

/* Whether any of `domains` is listed by the domain lists. */
enum step dnsbl_domains(struct dnsbl_result *r, const struct config_texts *lists,
			const struct span *domains, size_t n, struct dns_session *dns,
			struct arena *arena);
enum step dnsbl_ip(struct dnsbl_result *r, const struct config_texts *lists, const struct ip *ip,
		   struct dns_session *dns, struct arena *arena);
