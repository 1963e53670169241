/*
 * Destinations: the domains of feedback addresses. A slow or broken one must not hold up the
 * others, and a healthy one must not be flooded:
 *
 *   concurrency  LIMIT_DESTINATION_FLIGHTS deliveries at a time, counted by the claims, so that it
 *                holds over processes;
 *   rate         one theoretical arrival time a destination (GCRA): a report may go when it is not
 *                more than LIMIT_DESTINATION_BURST intervals ahead of now;
 *   breaker      after LIMIT_DESTINATION_FAILURES in a row the destination rests for a minute, then
 *                one report tries; each failure doubles the rest, a success ends it. A webhook
 *                may ask for a rest of its own at once (Retry-After).
 *
 * The row is in the database of the queue: a restart does not forget whom to leave alone.
 */
#include "base/clock.h"
#include "base/limits.h"
#include "base/log.h"
#include "feedback/queue_private.h"

static struct span domain_of(struct span to)
{
	size_t at = span_rfind_char(to, '@');
	return at == SIZE_MAX ? to : span_sub(to, at + 1, to.n);
}

int destination_begin(struct queue *q, struct span domain, int64_t now_us)
{
	struct db_query *s = db_query(q->db,
		"INSERT INTO destination (domain, tat_us) VALUES (?1, ?2 + ?3)"
		" ON CONFLICT (domain) DO UPDATE SET tat_us = max(tat_us, ?2) + ?3");
	db_bind_text(s, 1, domain);
	db_bind_int(s, 2, now_us);
	db_bind_int(s, 3, LIMIT_DESTINATION_INTERVAL_US);
	return db_run(s);
}

static int64_t rest_us(int64_t failures)
{
	int64_t rest = LIMIT_DESTINATION_REST_US;
	for (int64_t i = LIMIT_DESTINATION_FAILURES; i < failures; i++) {
		rest *= 2;
		if (rest >= LIMIT_DESTINATION_REST_MAX_US)
			return LIMIT_DESTINATION_REST_MAX_US;
	}
	return rest;
}

static int close_breaker(struct queue *q, struct span to)
{
	struct db_query *s = db_query(q->db, "UPDATE destination SET failures = 0, open_until_us = 0,"
					     " reply = NULL WHERE domain = lower(?1) AND failures > 0");
	db_bind_text(s, 1, domain_of(to));
	return db_run(s);
}

int destination_end(struct queue *q, struct span to, enum delivery result, struct span reply,
		    int64_t asked_us, int64_t now_us)
{
	if (result == DELIVERY_AWAY) /* our own next hop: no fault of the destination */
		return 0;
	if (result != DELIVERY_LATER)
		return close_breaker(q, to);
	int64_t failures = 1;
	struct db_query *s = db_query(q->db, "SELECT failures FROM destination"
					     " WHERE domain = lower(?1)");
	db_bind_text(s, 1, domain_of(to));
	int r = db_step(s);
	if (r == DB_ROW)
		failures = db_int(s, 0) + 1;
	db_end(s);
	if (r < 0)
		return r;
	int64_t until_us = failures >= LIMIT_DESTINATION_FAILURES ? now_us + rest_us(failures) : 0;
	if (asked_us && until_us < now_us + asked_us)
		until_us = now_us + asked_us;
	if (failures == LIMIT_DESTINATION_FAILURES)
		log_warn("destination.rests", "domain=%s reply=%s", log_safe(domain_of(to)),
			 log_safe(reply));
	s = db_query(q->db, "INSERT INTO destination (domain, tat_us, failures, open_until_us, reply)"
			    " VALUES (lower(?1), 0, ?2, ?3, ?4) ON CONFLICT (domain) DO UPDATE SET"
			    " failures = ?2, open_until_us = ?3, reply = ?4");
	db_bind_text(s, 1, domain_of(to));
	db_bind_int(s, 2, failures);
	db_bind_int(s, 3, until_us);
	db_bind_text(s, 4, reply);
	return db_run(s);
}

int queue_count(struct queue *q, int64_t now_us, struct queue_counts *counts_r)
{
	*counts_r = (struct queue_counts){0};
	struct db_query *s = db_query(q->db, "SELECT state, n FROM report_count");
	int r;
	while ((r = db_step(s)) == DB_ROW) {
		static const char *const names[] = {"queued", "sent", "failed", "suppressed"};
		uint64_t *const counts[] = {&counts_r->queued, &counts_r->sent, &counts_r->failed,
					    &counts_r->suppressed};
		for (size_t i = 0; i < 4; i++)
			if (span_eq(db_text(s, 0), span_of(names[i])))
				*counts[i] = (uint64_t)db_int(s, 1);
	}
	db_end(s);
	if (r < 0)
		return r;
	s = db_query(q->db, "SELECT count(*), (SELECT count(*) FROM address) FROM destination"
			    " WHERE open_until_us > ?1");
	db_bind_int(s, 1, now_us);
	r = db_step(s);
	counts_r->breakers = r == DB_ROW ? (uint64_t)db_int(s, 0) : 0;
	counts_r->addresses = r == DB_ROW ? (uint64_t)db_int(s, 1) : 0;
	db_end(s);
	return r < 0 ? r : 0;
}
