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

/* A domain covers its subdomains; of several filings the most specific domain or range holds. */
struct sender_table {
	const struct sender_entry *v;
	size_t n;
	/* private: open addressing over domains and ranges, see sender.c */
	const struct sender_slot *slots;
	size_t n_slots; /* a power of two; 0: the table is empty */
	const uint8_t *v4_bits, *v6_bits; /* prefix lengths in use, longest first */
	size_t n_v4_bits, n_v6_bits;
};

/* A table over `v`, which lives as long as the arena. NULL when the arena is full. */
const struct sender_table *sender_table_build(const struct sender_entry *v, size_t n,
					      struct arena *arena);
/* NULL when there is none. */
const struct sender_entry *sender_by_dkim(const struct sender_table *table, struct span domain);
const struct sender_entry *sender_by_domain(const struct sender_table *table, struct span domain);
const struct sender_entry *sender_by_ip(const struct sender_table *table, const struct ip *ip);

/* `table` NULL: the registry is not at hand, and whether the sender is registered is UNKNOWN. */
struct sender {
	struct span by;  /* dkim ip spf */
	struct span key; /* registry key, or domain, or address */
	const struct sender_entry *registered; /* NULL: not registered or not active */
	bool registered_known; /* false: a temperror hides an identity that is filed */
	struct span list; /* List-Id, else Feedback-ID's campaign; .p NULL: none */
	struct span campaign; /* Feedback-ID's first field, else X-Campaign(-)ID; .p NULL: none */
};

void sender_identify(struct sender *s, const struct sender_table *table, const struct auth *auth,
		     const struct message *m, const struct txn *txn, struct arena *arena);
void sender_facts(const struct sender *s, const struct txn *txn, struct facts *facts);
