/*
 * dnsbl - block lists in the DNS (RFC 5782): who lists an address or a domain.
 *
 * Lists are the operator's choice; none is asked by default. Before a list is believed it must
 * pass the test of RFC 5782 section 5: its entry 127.0.0.2 (for IPv6 ::ffff:7f00:2, for domains
 * TEST) is listed and 127.0.0.1 (::ffff:7f00:1, INVALID) is not. A list that has died and answers
 * everything, or nothing, is UNKNOWN from then on, with one warning.
 *
 * Codes: a listing is an address in 127.0.0.0/8. By the usage of the lists, 127.255.255.0/24 is
 * their refusal to answer us, 127.0.0.1 and 127.0.1.255 say that we asked what may not be asked;
 * anything outside 127/8 is a parked domain. None of these is a listing.
 */
#pragma once

#include "analyze/auth.h"

/* What a list said of a name. */
struct dnsbl_entry {
	const char *list; /* "zen.example" of the configuration */
	struct span name; /* "192.0.2.1", "example.com" */
	struct ip code;   /* 127.0.0.x; family 0: not listed */
	int64_t since_us; /* seen there since; 0: not known. Set by who keeps it, see analyze.h */
};

struct dnsbl_result {
	struct dnsbl_entry *v; /* of the lists that passed their test */
	size_t n;
	bool unknown; /* some list gave no usable answer */
};

/* Each domain in each list. Equal domains are asked once; addresses are left out. */
enum step dnsbl_domains(struct dnsbl_result *r, const struct config_texts *lists,
			const struct span *domains, size_t n, struct dns_session *dns,
			struct arena *arena);
enum step dnsbl_ip(struct dnsbl_result *r, const struct config_texts *lists, const struct ip *ip,
		   struct dns_session *dns, struct arena *arena);
