/*
 * filing - what a sender files about himself: clause 2.1.1 in the words of CONTRACT section 5.
 *
 *     sender KEY {
 *         org      { name "..." credit-code "..." ... }
 *         ip       192.0.2.0/28 { owner "..." domain mail.example.com class commercial }
 *         domain   example.com
 *         dkim     example.com
 *         rate     3000 per hour
 *         feedback fbl@example.com { complaint error xarf profile token language zh }
 *     }
 *
 * All faults are told at once, as file:line:column. A filing without faults may still lack what
 * 2.1.1 asks for; filing_missing() names that.
 *
 * Ownership: everything lies in the arena given; `source` points into the text.
 * Errors:    faults are said through diag and counted; 0 faults: the filings are good.
 */
#pragma once

#include "base/diag.h"
#include "base/ip.h"
#include "feedback/redact.h"

/* Clause 2.1.1(1), in its order. */
#define FILING_ORG(X) \
	X(NAME, "name") X(ADDRESS, "address") X(NATURE, "nature") X(CREDIT_CODE, "credit-code") \
	X(LICENCE, "licence") X(SCOPE, "scope") X(CAPITAL, "capital") X(WEBSITE, "website") \
	X(REPRESENTATIVE, "representative") X(CONTACT, "contact") X(PHONE, "phone") \
	X(EMAIL, "email") X(IM, "im")

enum filing_org {
#define X(id, name) ORG_##id,
	FILING_ORG(X)
#undef X
	FILING_ORG_FIELDS
};

struct filing_range {
	struct ip_prefix prefix;
	struct span owner, domain, class;
};

struct filing {
	struct span key;
	struct span org[FILING_ORG_FIELDS]; /* .p NULL: not filed */
	struct filing_range *ranges;
	size_t n_ranges, cap_ranges;
	struct span *domains, *dkim; /* lower case */
	size_t n_domains, cap_domains, n_dkim, cap_dkim;
	uint64_t rate; /* 0: not filed */
	struct span rate_per;
	struct {
		struct span address; /* .p NULL: not filed */
		bool complaint, error;
		enum redact_profile profile;
		bool chinese, xarf;
	} feedback;
	struct span source; /* "sender KEY { ... }" as written */
};

struct filings {
	struct filing *v;
	size_t n, cap;
	unsigned faults;
};

/* Reads every filing of a text; `file` is for the diagnostics. */
void filings_read(struct filings *f, struct span text, const char *file, struct arena *arena,
		  struct diag *diag);
/* Names, separated by blanks, of what clause 2.1.1 asks for and the filing lacks; "" when it is
 * complete. */
struct span filing_missing(const struct filing *f, struct arena *arena);
/* A range, domain or DKIM domain that both file: its text; .p NULL: none. */
struct span filing_overlap(const struct filing *a, const struct filing *b, struct arena *arena);

/* RFC 1123 host name of at least two labels, the last one not a number. */
bool domain_name_valid(struct span name);
const char *filing_org_name(enum filing_org field);
