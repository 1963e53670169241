/*
 * failure - authentication failure reports (RFC 6591) to registered senders who have asked for them.
 *
 * Off unless a filing says `auth-failure`. What is reported is mail that names a domain of the sender
 * in its From and fails DMARC; it goes to the filed address alone, never to a ruf= of the DNS, for
 * nobody has agreed with us on that one. digest.c counts failures while it reads the event log, one
 * row for each domain and client address of an hour; when the hour is over a row becomes one report
 * with its number of Incidents. The log keeps no messages: the third part of a report has the header
 * fields that an event holds, recipients as tokens.
 *
 * Bounds: LIMIT_FAILURE_ROWS addresses of a sender wait at a time, LIMIT_FAILURES_PER_DAY reports
 * go to one sender; the rest is in nobody's mailbox but in the log.
 *
 * Ownership: failure_create() .. failure_free(); desk and loop are the caller's.
 * Errors:    negative errno; nothing is lost then.
 * Standard:  RFC 6591 section 3, RFC 9991 section 4 (type dmarc, Identity-Alignment, SPF-DNS).
 */
#pragma once

#include "base/json_in.h"
#include "feedback/complaint.h"

struct event_base;
struct failure_desk;

/* Inside a transaction of the queue: counts the txn event if it is such a failure. */
__attribute__((warn_unused_result)) int failure_count(struct complaint_desk *desk,
						      const struct json_value *event,
						      struct span line, int64_t time_us,
						      int64_t hour);

__attribute__((warn_unused_result)) int failure_create(struct failure_desk **f_r,
						       struct complaint_desk *desk,
						       struct event_base *loop);
void failure_free(struct failure_desk *f); /* accepts NULL */
/* Puts one report of an hour that is over into the queue, or asks the DNS for what it needs.
 * *made_r: a report was put in. */
__attribute__((warn_unused_result)) int failure_work(struct failure_desk *f, int64_t now_us,
						     bool *made_r);
