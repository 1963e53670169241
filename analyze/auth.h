/*
 * auth - what SPF, DKIM, DMARC, ARC and the reverse DNS say of one transaction.
 *
 * The result words are those of RFC 8601 section 2.7; temperror is our UNKNOWN.
 *
 * Ownership: everything lies in the arena given to the checks.
 */
#pragma once

#include "analyze/dns.h"
#include "analyze/message.h"
#include "analyze/step.h"

enum auth_result {
	AUTH_NONE,
	AUTH_PASS,
	AUTH_FAIL,
	AUTH_SOFTFAIL,
	AUTH_NEUTRAL,
	AUTH_POLICY,
	AUTH_TEMPERROR,
	AUTH_PERMERROR,
};
const char *auth_result_name(enum auth_result result);

struct spf_result {
	enum auth_result result;
	struct span domain;      /* whose record was checked; .p NULL: nothing to check */
	struct span mechanism;   /* that matched, as written; "default" when none did */
	struct span explanation; /* RFC 7208 section 6.2; .p NULL: none */
	const char *why;         /* permerror, temperror: what is wrong */
	unsigned lookups;        /* terms that cost a look-up */
	bool unknown;            /* the source does not tell this identity: "none" says nothing */
};

#define DKIM_SIGNATURES_JUDGED 10 /* RFC 6376 section 6.1 lets a verifier set its limit */

struct dkim_result {
	enum auth_result result;
	struct span d, s, i;
	struct span algorithm; /* "rsa-sha256" */
	const char *reason;    /* RFC 8601 reason in words; NULL when it passed */
	unsigned key_bits;     /* 0: not known */
	bool testing;          /* t=y */
	bool strict;           /* t=s */
	bool has_length;       /* l= */
	bool appended;         /* octets behind l= */
	const struct span *signed_fields; /* h=, lower case */
	size_t n_signed_fields;
	struct span b; /* first 8 characters of b=, for header.b of RFC 6008 */
};

struct dmarc_result {
	enum auth_result result;
	struct span policy;      /* none quarantine reject; .p NULL: no record */
	struct span disposition; /* after t= */
	struct span domain;      /* where the record was found */
	struct span record;
	struct span org_domain;
	const char *why; /* "tree walk: psd=n at ...", "public suffix list", ... */
	bool spf_aligned, dkim_aligned;
	bool spf_aligned_known, dkim_aligned_known; /* false: DNS was in the way */
};

struct arc_result {
	enum auth_result result; /* none pass fail; temperror when DNS was in the way */
	unsigned instances;
	const char *reason;
	bool judged; /* as auth.dkim_judged */
};

/* Does a name of the client's address point back to it? */
enum ptr_back { PTR_BACK_UNKNOWN, PTR_BACK_NO, PTR_BACK_YES };

struct ptr_result {
	bool known; /* false: DNS did not tell */
	const struct span *names;
	size_t n;
	bool confirmed; /* some name points back */
	bool confirmed_known;
	const enum ptr_back *back; /* one per name */
};

struct auth {
	struct spf_result spf, spf_helo;
	struct dkim_result *dkim; /* in header order */
	size_t n_dkim;
	size_t dkim_fields; /* all DKIM-Signature fields, judged or not */
	bool dkim_judged;   /* the keys were there: later runs of the step keep the results */
	struct dmarc_result dmarc;
	struct arc_result arc;
	struct ptr_result ptr;
};

/* Who is asking, from the envelope. */
struct auth_query {
	struct ip ip; /* family 0: unknown, then SPF and PTR say temperror */
	struct span helo, mail_from;
	int64_t time_us; /* for x= and t= */
	enum dmarc_standard dmarc;
	const char *host; /* our own name: the %{r} macro, authserv-id */
};

/* Each may be called again after STEP_WAIT with the same arguments. */
enum step spf_check(struct spf_result *mail_from, struct spf_result *helo,
		    const struct auth_query *q, struct dns_session *dns, struct arena *arena);
enum step dkim_check(struct auth *auth, const struct message *m, const struct auth_query *q,
		     struct dns_session *dns, struct arena *arena);
enum step arc_check(struct arc_result *arc, const struct message *m, const struct auth_query *q,
		    struct dns_session *dns, struct arena *arena);
enum step ptr_check(struct ptr_result *ptr, const struct auth_query *q, struct dns_session *dns,
		    struct arena *arena);
/* Behind SPF and DKIM. `m` NULL: no message (SPF only). */
enum step dmarc_check(struct auth *auth, const struct message *m, const struct auth_query *q,
		      struct dns_session *dns, struct arena *arena);

/* All of the above in their order; asks for everything that is missing before it waits. */
enum step auth_check(struct auth *auth, const struct message *m, const struct auth_query *q,
		     struct dns_session *dns, struct arena *arena);

/* The organizational domain of `domain` by the public suffix list; `domain` itself when it has
 * none ("com"). Lower case; in memory that lives as long as the process or in `domain`. */
struct span org_domain_psl(struct span domain);

/* Facts of section "authentication". */
void auth_facts(const struct auth *auth, const struct message *m, struct facts *facts);
/* The value of "auth" in the event. */
void auth_write_json(const struct auth *auth, struct json *j, const char *key);
/* RFC 8601 Authentication-Results: field body without name and CRLF, folded. */
struct span auth_results_field(const struct auth *auth, const struct message *m,
			       const struct auth_query *q, struct arena *arena);
