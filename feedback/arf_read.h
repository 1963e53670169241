/*
 * arf_read - what somebody hands in as a complaint: the mail itself, a mail with it attached, or a
 * report that holds one.
 *
 * Read generously, because every producer differs: field names in any case, "Received-Date" for
 * "Arrival-Date", version 0.1, a report without its third part closed, ".eml" files sent as
 * application/octet-stream in base64.
 *
 * Ownership: spans point into the octets given or lie in the arena.
 * Standard:  RFC 5965 section 3, RFC 6430.
 */
#pragma once

#include "base/arena.h"

enum complaint_form { FORM_MAIL, FORM_ATTACHMENT, FORM_ARF };

struct arf_input {
	enum complaint_form form;
	struct span message; /* the message complained about; may be its header alone */
	struct span kind;    /* Feedback-Type in lower case; .p NULL: none */
	struct span rcpt;    /* Original-Rcpt-To or the reporting user; .p NULL: none */
	struct span mail_from;
	bool not_complaint; /* a report that is none of a person: auth-failure */
};

void arf_read(struct arf_input *in, struct span octets, struct arena *arena);
