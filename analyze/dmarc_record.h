/*
 * dmarc_record - one DMARC record taken apart.
 *
 * Standard: RFC 9989 section 4.7 (and pct of RFC 7489 section 6.3).
 */
#pragma once

#include "base/span.h"

enum dmarc_policy { DMARC_ABSENT, DMARC_NONE, DMARC_QUARANTINE, DMARC_REJECT, DMARC_BAD };

struct dmarc_record {
	enum dmarc_policy p, sp, np;
	bool strict_dkim, strict_spf;
	bool testing; /* t=y */
	char psd;     /* y n u */
	bool rua;     /* a place for reports that could be one */
	unsigned pct; /* RFC 7489 only */
};

/* The TXT record is a DMARC record: "v=DMARC1" stands first. */
bool dmarc_record_is(struct span text);

/* Reads any octets; false when it is no DMARC record. */
bool dmarc_record_parse(struct dmarc_record *record_r, struct span text);

/* Section 4.10.1: without a good p (or with a bad sp, np) a record that wants reports is read
 * as p=none; without that, false: it is as if there were no record. */
bool dmarc_record_settle(struct dmarc_record *record);

/* "none", "quarantine", "reject"; .p NULL for the others. */
struct span dmarc_policy_name(enum dmarc_policy policy);
