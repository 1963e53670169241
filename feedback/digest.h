/*
 * digest - what went wrong with a sender's mail, hour by hour and day by day (clause 2.6.5), and
 * what became of complaints.
 *
 * The event log is followed line by line; counts and the place up to which they hold are written in
 * one transaction, so every recipient's answer is in exactly one hour and one day, through crashes
 * and late events: an event of an hour that is closed already goes into the open one. The days
 * are those of China (UTC+8). The unit is one recipient of one transaction with its answer; the
 * books fold retries of one message into one (postings.h), here each refusal counts.
 *
 * Errors: negative errno; nothing is counted then and the next call goes on from the same place.
 */
#pragma once

#include "feedback/complaint.h"

/* Reads on, for a fraction of a second; at the end of the log closes hours and days that are over.
 * *made_r: digests put into the queue. *more_r: the log goes on. */
__attribute__((warn_unused_result)) int digest_work(struct complaint_desk *desk, int64_t now_us,
						    unsigned *made_r, bool *more_r);

/* What an answer of ours means for a sender. */
struct digest_class {
	const char *name; /* "remove", "quota", "rate", ... */
	const char *advice, *advice_zh;
};
/* `enhanced` .p NULL: none was given. `at_rcpt`: the recipient was refused, not the message. */
const struct digest_class *digest_classify(int64_t code, struct span enhanced, bool at_rcpt);

/* --- digest_mail.c ------------------------------------------------------------------ */

/* Hours [from, to) of one sender. */
struct digest_period {
	int64_t from_hour, to_hour;
	bool day;
};
/* Inside a transaction: puts the digests of that period that the sender wants into the queue.
 * *made_r counts them. */
__attribute__((warn_unused_result)) int digest_tell(struct complaint_desk *desk, struct span sender,
						    const struct digest_period *period,
						    int64_t now_us, unsigned *made_r);
