/*
 * netid - the network identity of the client: names, HELO, returnable addresses, block lists.
 */
#pragma once

#include "analyze/content.h"
#include "analyze/dnsbl.h"

/* What the block lists said of the client's address and the sender's domains. */
struct netid_listings {
	struct dnsbl_entry *v;
	size_t n;
};

/* Sets the facts of section "network identity" but rbl.days. auth->ptr comes from auth_check(). */
enum step netid_check(const struct auth *auth, const struct message *m, const struct content *c,
		      const struct auth_query *q, const struct config *config,
		      struct dns_session *dns, struct facts *facts,
		      struct netid_listings *listings_r);

/* Sets rbl.days from `since_us` of the entries: unknown while nobody has set one. */
void netid_listed_since(const struct netid_listings *listings, int64_t now_us,
			struct facts *facts);
