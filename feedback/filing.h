/*
 * filing - what a sender files about himself: clause 2.1.1 in the words of CONTRACT section 5.
 *
 *     sender KEY {
 *         org         { name "..." credit-code "..." ... }
 *         ip          192.0.2.0/28 { owner "..." domain mail.example.com class commercial }
 *         domain      example.com
 *         dkim        example.com
 *         rate        3000 per hour
 *         feedback    fbl@example.com { complaint error xarf profile token language zh
 *                                       webhook https://hooks.example.com/assay }
 *         campaign    spring { from news@example.com helo mail.example.com ip 192.0.2.0/29
 *                              domain example.com recipients 20000 cycle "weekly"
 *                              rate 1000 per hour max-rate 300 per hour class commercial
 *                              sample "spring.eml" SHA-256 topic SKETCH }
 *         certificate { filing "..." number "..." issued 2026-01-15 expires 2027-01-14 }
 *         other       "what else there is to say"
 *         effective   2027-01-31
 *         expires     2027-12-31
 *     }
 *
 * Filing number and certificate are the Internet Society's (clause 2.1.4), only recorded here.
 * Days begin and end at midnight of Asia/Shanghai; a time of RFC 3339 is taken as it is.
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
	struct span owner, class;
	struct span *domains; /* that the addresses map to, lower case */
	size_t n_domains, cap_domains;
};

struct filing_rate {
	uint64_t messages; /* 0: not filed */
	struct span per;   /* minute hour day */
};
int64_t filing_rate_window_s(const struct filing_rate *rate);

/* Clause 2.1.1(3): voluntary. */
struct filing_campaign {
	struct span name, cycle, class;
	struct ip_prefix *ranges;
	struct span *domains, *from, *helo; /* lower case */
	size_t n_ranges, cap_ranges, n_domains, cap_domains, n_from, cap_from, n_helo, cap_helo;
	uint64_t recipients;
	struct filing_rate rate, max_rate; /* on average; the most of one address */
	struct span sample, sample_sha256; /* name of the letter, its hash in hexadecimal */
	struct span topic; /* what the letter is about (analyze/topic.h), hexadecimal */
};

struct filing {
	struct span key;
	struct span org[FILING_ORG_FIELDS]; /* .p NULL: not filed */
	struct filing_range *ranges;
	size_t n_ranges, cap_ranges;
	struct span *domains, *dkim; /* lower case */
	size_t n_domains, cap_domains, n_dkim, cap_dkim;
	struct filing_rate rate;
	struct filing_campaign *campaigns;
	size_t n_campaigns, cap_campaigns;
	struct {
		struct span filing, number; /* of the Internet Society */
		int64_t issued_us, expires_us; /* 0: not filed */
	} certificate;
	struct span *other;
	size_t n_other, cap_other;
	int64_t effective_us, expires_us; /* 0: at once; as long as the provider lets it */
	struct {
		struct span address; /* .p NULL: not filed */
		bool complaint, error, auth_failure;
		enum redact_profile profile;
		bool chinese, xarf;
		/* Reports go here as JSON, not to the address: "https://...", or QUEUE_PULL (queue.h),
		 * where they wait to be fetched. .p NULL: not filed */
		struct span url;
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
 * complete. A natural person (Note 2) has no code, scope, capital and representative. */
struct span filing_missing(const struct filing *f, struct arena *arena);
/* What is odd but possible, a line each: addresses that are not public, dates that have passed. */
struct buf;
void filing_doubts(const struct filing *f, int64_t now_us, struct buf *lines);

/* RFC 1123 host name of at least two labels, the last one not a number. */
bool domain_name_valid(struct span name);
/* A mail address whose domain is such a name, without quotes. */
bool mail_address_valid(struct span s);
/* The host of "https://host[:port]/path" in lower case; .p NULL: it is no such URL. */
struct span filing_url_host(struct span url);
/* An address of RFC 6890 that nobody sends from to another provider is not. */
bool ip_is_public(const struct ip *ip);
/* GB 11714: eight characters and a check character, with or without '-' before it. */
bool organization_code_valid(struct span code);
/* 15 digits, the last one a check digit (ISO 7064 MOD 11,10), as licences had before 2015. */
bool licence_number_valid(struct span number);
const char *filing_org_name(enum filing_org field);
