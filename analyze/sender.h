/*
 * sender - who is held responsible for a transaction, and what is known of him.
 *
 * Identification order (RFC 6650 section 6: never on an identity that failed): DKIM d= that
 * passed, then IP range of a filing, then the SPF domain that passed. With no registered sender
 * the key is the aligned (else the first) DKIM domain, else the SPF domain, else the IP.
 *
 * The registry is feedback/'s; analyze/ sees a snapshot of it through this table.
 */
#pragma once

#include "analyze/auth.h"

struct sender_entry {
	struct span key;   /* registry key */
	struct span name;  /* organisation */
	struct span state; /* "active", "suspended", ... */
	const struct span *dkim_domains, *domains;
	size_t n_dkim_domains, n_domains;
	const struct ip_prefix *ranges;
	size_t n_ranges;
	/* filed identity, for comparison with the body */
	struct span phone, email, address;
};

struct sender_table {
	const struct sender_entry *v;
	size_t n;
};

struct sender {
	struct span by;  /* dkim ip spf */
	struct span key; /* registry key, or domain, or address */
	const struct sender_entry *registered; /* NULL: not registered or not active */
	struct span list; /* List-Id, else Feedback-ID's campaign; .p NULL: none */
};

void sender_identify(struct sender *s, const struct sender_table *table, const struct auth *auth,
		     const struct message *m, const struct txn *txn, struct arena *arena);
void sender_facts(const struct sender *s, const struct txn *txn, struct facts *facts);
