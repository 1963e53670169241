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

/* A range as it was filed (clause 2.1.1(2)). */
struct sender_range {
	const struct span *domains; /* that its addresses map to */
	size_t n_domains;
	struct span class; /* commercial transactional mixed; .p NULL: not filed */
	int64_t since_us;  /* when a change that added it came into force; 0: always */
};

/* A campaign (clause 2.1.1(3)); what is empty was not filed. */
struct sender_campaign {
	struct span name, class;
	const struct span *from, *domains, *helo;
	size_t n_from, n_domains, n_helo;
	const struct ip_prefix *ranges;
	size_t n_ranges;
	struct span topic; /* of the sample letter, see topic.h */
};

/*
 * `state` decides what an entry is for: "active" ones identify; "suspended", "revoked" and
 * "expired" ones are found where no active one is; "waiting" is a change that is not in force: its
 * since_us says when it will be, INT64_MAX when that is not decided.
 */
struct sender_entry {
	struct span key;   /* registry key */
	struct span name;  /* organisation */
	struct span state;
	const struct span *dkim_domains, *domains;
	size_t n_dkim_domains, n_domains;
	const int64_t *dkim_since_us, *domain_since_us; /* as sender_range; NULL: always */
	const struct ip_prefix *ranges;
	size_t n_ranges;
	const struct sender_range *filed; /* one for each of `ranges`; NULL: nothing but these */
	int64_t since_us;
	uint64_t rate; /* transactions in rate_window_s; 0: not filed */
	int64_t rate_window_s;
	int64_t certificate_until_us; /* of the Internet Society's; 0: not filed */
	const struct sender_campaign *campaigns;
	size_t n_campaigns;
	/* filed identity, for comparison with the body */
	struct span phone, email, address, credit_code;
};

/* A domain covers its subdomains; of several filings the most specific domain or range holds. */
struct sender_table {
	const struct sender_entry *v; /* the active ones first */
	size_t n;                     /* active ones */
	/* private: open addressing over domains and ranges, see sender.c */
	const struct sender_slot *slots;
	size_t n_slots; /* a power of two; 0: the table is empty */
	const uint8_t *v4_bits, *v6_bits; /* prefix lengths in use, longest first */
	size_t n_v4_bits, n_v6_bits;
};

/* A table over `v`, which lives as long as the arena: `n` active entries, then `n_others` of other
 * states. NULL when the arena is full. */
const struct sender_table *sender_table_build(const struct sender_entry *v, size_t n,
					      size_t n_others, struct arena *arena);
/* NULL when there is none. */
const struct sender_entry *sender_by_dkim(const struct sender_table *table, struct span domain);
const struct sender_entry *sender_by_domain(const struct sender_table *table, struct span domain);
const struct sender_entry *sender_by_ip(const struct sender_table *table, const struct ip *ip);

/* `table` NULL: the registry is not at hand, and whether the sender is registered is UNKNOWN. */
struct sender {
	struct span by;  /* dkim ip spf */
	struct span key; /* registry key, or domain, or address */
	const struct sender_entry *registered; /* NULL: not registered or not active */
	const struct sender_entry *inactive; /* suspended, revoked, expired; NULL: none */
	const struct sender_entry *waiting;  /* a change that names what this mail uses; NULL: none */
	bool registered_known; /* false: a temperror hides an identity that is filed */
	struct span list; /* List-Id, else Feedback-ID's campaign; .p NULL: none */
	struct span campaign; /* Feedback-ID's first field, else X-Campaign(-)ID; .p NULL: none */
};

void sender_identify(struct sender *s, const struct sender_table *table, const struct auth *auth,
		     const struct message *m, const struct txn *txn, struct arena *arena);
void sender_facts(const struct sender *s, const struct txn *txn, struct facts *facts);
/* What the mail has otherwise than its sender filed it (sender_filing.c). `content` may be NULL. */
struct content;
void sender_filing_facts(const struct sender *s, const struct auth *auth, const struct message *m,
			 const struct content *content, const struct txn *txn, struct facts *facts);
/* Who the body says that it is from, against the filing `e` (sender_identity.c); the identity facts
 * are set. */
void sender_identity_facts(const struct sender_entry *e, struct facts *facts);
/* Behind the history: the rate against the one that was filed. */
void sender_rate_facts(const struct sender *s, struct facts *facts);

/* `name` is `domain` or below it, in any case. */
bool domain_covers(struct span domain, struct span name);
