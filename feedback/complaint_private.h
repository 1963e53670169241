/* complaint_private - one complaint on its way through the files of complaint*.c. */
#pragma once

#include "base/json_in.h"
#include "feedback/arf_read.h"
#include "feedback/complaint.h"

/* One who is told: a registered sender, or an address that the mail itself asks to tell. */
struct target {
	struct span key;
	const struct filing *filing; /* NULL: a CFBL-Address */
	struct span reported_domain;
	struct span to; /* .p NULL: he has filed no address for complaints */
	bool xarf, chinese;
	bool object; /* JSON for a webhook or to be fetched */
	enum redact_profile profile;
};

struct intake {
	struct complaint_desk *desk;
	struct complaint_result *result;
	struct arena arena;
	int64_t now_us;
	struct span kind, way, rcpt;
	struct message message;
	struct receipt receipt;
	bool found;
	bool inline_forward; /* mail to abuse@ without a message attached */
	/* from the event of the transaction */
	const struct json_value *auth;
	struct ip peer;
	struct span mail_from;
	/* who is told */
	struct target targets[COMPLAINT_TARGETS];
	size_t n_targets;
};

/* complaint_found.c: did we receive it, and for whom? Sets found, receipt, rcpt. */
__attribute__((warn_unused_result)) int intake_verify(struct intake *in, struct span rcpt);
/* complaint_match.c: whom to tell; nobody is 0 too, and the outcome says why. */
__attribute__((warn_unused_result)) int intake_match(struct intake *in);
/* Made by a machine for machines: never reported (RFC 3834 section 2). Why; NULL: it is not. */
const char *intake_machine_mail(struct intake *in);
/* complaint_report.c: puts the report to one target into the queue. */
__attribute__((warn_unused_result)) int intake_report(struct intake *in, const struct target *t);
/* complaint_help.c: inside the queue's transaction, a word of help to who forwarded inline. */
__attribute__((warn_unused_result)) int intake_help(struct intake *in);
