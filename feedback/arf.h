/*
 * arf - writes one complaint as a report that a sender's software reads (Abuse Reporting Format).
 *
 * Three parts: words for people, fields for programs, the message or its header with the
 * recipients behind tokens. The order and letters of some fields matter to real readers: Sisimai
 * knows a report only by `report-type=feedback-report` in lower case and by a literal
 * `Content-Type: message/feedback-report`, and drops one whose Original-Rcpt-To has no "@".
 *
 * Ownership: nothing is kept; the text goes into the buffer given.
 * Errors:    -ENOMEM, also when the redactor's arena is full: an incomplete redaction must not go
 *            out.
 * Standard:  RFC 5965, 6591, 9991 (auth-failure), 6430 (not-spam), 6590, 6692 (Source-Port), 8601, 3834.
 */
#pragma once

#include "base/command.h"
#include "feedback/redact.h"

/* What a report of failed authentication (kind "auth-failure", DMARC) has beside the rest. */
struct arf_failure {
	uint64_t incidents;
	struct span delivery;                   /* Delivery-Result */
	struct span dkim_domain, dkim_selector; /* of a signature that failed; .p NULL: none */
	struct span spf_dns;                    /* .p NULL: SPF of an aligned domain did not fail */
};

struct arf_report {
	struct span id;   /* of the complaint: Message-ID and boundary come from it */
	struct span kind; /* "abuse", "not-spam", "auth-failure" */
	int64_t now_us;
	struct span host; /* Reporting-MTA */
	struct span from, to;
	enum lang lang;
	/* of the transaction; .p NULL where it is not known */
	struct span mail_from, rcpt, reported_domain, auth_results;
	int64_t arrival_us;
	struct ip source;
	uint16_t port;
	struct message *message;
	enum redact_profile profile;
	struct redactor *redactor; /* holds every recipient already */
	const struct arf_failure *failure; /* NULL: a complaint */
};

__attribute__((warn_unused_result)) int arf_write(const struct arf_report *report,
						  struct arena *arena, struct buf *out);
/* "<ID.KIND@domain of from>": the same for every try. */
struct span arf_message_id(const struct arf_report *report, struct arena *arena);
/* The part behind the last '@'; the text itself when there is none. */
struct span arf_domain_of(struct span address);
