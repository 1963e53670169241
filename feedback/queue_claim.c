/*
 * Claims: which report is next, who delivers it, what became of it.
 *
 * Next is the one that is due longest among the destinations that may have one more now
 * (queue_destination.c). Whoever takes it marks the row with his process id and the time, so that
 * nobody takes it twice and the claims of a destination can be counted over processes. The result
 * ends the claim: a report is sent, has failed, or is due again later, until it has waited for
 * LIMIT_QUEUE_US. A claim that gets no result becomes void, and the report is next again.
 */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/limits.h"
#include "feedback/queue_private.h"

static bool process_lives(int64_t pid)
{
	return pid > 0 && (kill((pid_t)pid, 0) == 0 || errno == EPERM);
}

int queue_void_claims(struct queue *q, int64_t now_us)
{
	struct db_query *s = db_query(q->db, "SELECT DISTINCT claim, claim_us FROM report"
					     " WHERE claim IS NOT NULL");
	int r;
	while ((r = db_step(s)) == DB_ROW) {
		bool alive = db_int(s, 0) == getpid()
				     ? db_int(s, 1) >= q->opened_us
				     : process_lives(db_int(s, 0)) &&
					       db_int(s, 1) > now_us - LIMIT_DELIVERY_US;
		if (alive)
			continue;
		struct db_query *u = db_query(q->db, "UPDATE report SET claim = NULL"
						     " WHERE claim = ?1 AND claim_us = ?2");
		db_bind_int(u, 1, db_int(s, 0));
		db_bind_int(u, 2, db_int(s, 1));
		if ((r = db_run(u)) < 0)
			break;
	}
	db_end(s);
	return r;
}

/* Of lanes (destinations) that may have one more now, the report that is due longest. ?1 is now, ?2
 * the latest theoretical arrival time, ?3 the most claims of one. */
#define LANE_IS_FREE(lane) \
	" ifnull(d.open_until_us, 0) <= ?1 AND ifnull(d.tat_us, 0) <= ?2" \
	" AND (SELECT count(*) FROM report WHERE claim IS NOT NULL AND " QUEUE_DOMAIN " = " lane ")" \
	" < CASE WHEN ifnull(d.failures, 0) > 0 THEN 1 ELSE ?3 END"

/* Among the first that are due: with thousands of lanes one of these is nearly always free. */
static const char next_of_first[] =
	"SELECT first.id, first.domain FROM ("
	"  SELECT id, " QUEUE_DOMAIN " AS domain, due_us FROM report"
	"  INDEXED BY report_waiting WHERE state = 'queued' AND claim IS NULL AND due_us <= ?1"
	"  ORDER BY due_us, id LIMIT 100) AS first"
	" LEFT JOIN destination d ON d.domain = first.domain WHERE" LANE_IS_FREE("first.domain")
	" ORDER BY first.due_us, first.id LIMIT 1";

/* When those are all of lanes that rest: the lanes are walked by index steps, however many reports
 * wait behind each. */
static const char next_of_lanes[] =
	"WITH RECURSIVE lane (domain) AS ("
	" SELECT min(" QUEUE_DOMAIN ") FROM report INDEXED BY report_lanes"
	"  WHERE state = 'queued' AND claim IS NULL"
	" UNION ALL SELECT (SELECT min(" QUEUE_DOMAIN ") FROM report INDEXED BY report_lanes"
	"  WHERE state = 'queued' AND claim IS NULL AND " QUEUE_DOMAIN " > lane.domain) FROM lane"
	"  WHERE lane.domain IS NOT NULL)"
	" SELECT report.id, lane.domain FROM lane"
	" LEFT JOIN destination d ON d.domain = lane.domain"
	" JOIN report ON report.id = (SELECT id FROM report INDEXED BY report_lanes"
	"  WHERE state = 'queued' AND claim IS NULL AND " QUEUE_DOMAIN " = lane.domain"
	"  AND due_us <= ?1 ORDER BY due_us, id LIMIT 1)"
	" WHERE" LANE_IS_FREE("lane.domain") " ORDER BY report.due_us, report.id LIMIT 1";

static int find_next(struct queue *q, int64_t now_us, bool capped, struct db_query **s_r)
{
	const char *const sql[] = {next_of_first, next_of_lanes};
	int r = 0;
	for (size_t i = 0; r == 0 && i < 2; i++) {
		db_end(*s_r);
		*s_r = db_query(q->db, sql[i]);
		db_bind_int(*s_r, 1, now_us);
		db_bind_int(*s_r, 2, capped ? now_us + LIMIT_DESTINATION_BURST *
							       LIMIT_DESTINATION_INTERVAL_US
					    : INT64_MAX);
		db_bind_int(*s_r, 3, LIMIT_DESTINATION_FLIGHTS);
		r = db_step(*s_r);
	}
	return r;
}

int queue_take(struct queue *q, int64_t now_us, bool capped, struct arena *arena,
	       struct queue_item *item_r)
{
	char id[ID_BYTES] = "";
	int r = queue_begin(q);
	if (r < 0)
		return r;
	r = queue_void_claims(q, now_us);
	struct db_query *s = NULL;
	if (r == 0)
		r = find_next(q, now_us, capped, &s);
	if (r == DB_ROW) {
		snprintf(id, sizeof(id), "%.*s", SPAN_ARG(db_text(s, 0)));
		struct db_query *u = db_query(q->db, "UPDATE report SET claim = ?2, claim_us = ?3"
						     " WHERE id = ?1");
		db_bind_text(u, 1, span_of(id));
		db_bind_int(u, 2, getpid());
		db_bind_int(u, 3, now_us);
		r = db_run(u);
		if (r == 0)
			r = destination_begin(q, db_text(s, 1), now_us);
	}
	db_end(s);
	r = queue_end(q, r);
	if (r < 0 || !id[0])
		return r < 0 ? r : QUEUE_E_NONE;
	return queue_load(q, span_of(id), arena, item_r);
}

/* 5, 10, 20 ... minutes, at most a day; longer where the other side asks for it. */
static int64_t wait_us(int64_t attempts, int64_t asked_us)
{
	int64_t wait = 300 * US_PER_S;
	for (int64_t i = 0; i < attempts && wait < 86400 * US_PER_S; i++)
		wait *= 2;
	wait = wait < 86400 * US_PER_S ? wait : 86400 * US_PER_S;
	return wait > asked_us ? wait : asked_us;
}

int queue_settle(struct queue *q, const struct queue_item *item, enum delivery result,
		 struct span reply, int64_t asked_us, int64_t now_us)
{
	if ((result == DELIVERY_LATER || result == DELIVERY_AWAY) &&
	    now_us - item->created_us > LIMIT_QUEUE_US)
		result = DELIVERY_FAILED;
	int r = queue_begin(q);
	if (r < 0)
		return r;
	if (result != DELIVERY_AWAY && (r = shelf_put(q, item, now_us)) < 0)
		return queue_end(q, r);
	if (result == DELIVERY_LATER || result == DELIVERY_AWAY) {
		bool tried = result == DELIVERY_LATER;
		struct db_query *s = db_query(q->db,
			"UPDATE report SET claim = NULL, attempts = attempts + ?4, due_us = ?2,"
			" reply = ?3 WHERE id = ?1");
		db_bind_text(s, 1, item->id);
		db_bind_int(s, 2, tried ? now_us + wait_us(item->attempts, asked_us) : item->due_us);
		db_bind_text(s, 3, reply);
		db_bind_int(s, 4, tried);
		r = db_run(s);
	} else {
		r = queue_set_state(q, item, result == DELIVERY_SENT ? "sent" : "failed", reply);
	}
	if (r == 0)
		r = destination_end(q, item->to, result, reply, asked_us, now_us);
	if (r == 0 && result == DELIVERY_FAILED && queue_is_object(item))
		r = queue_webhook_failed(q, item, reply, now_us);
	return queue_end(q, r);
}

int64_t queue_next_due(struct queue *q)
{
	struct db_query *s = db_query(q->db, "SELECT min(due_us) FROM report WHERE state = 'queued'");
	int64_t due = INT64_MAX;
	if (db_step(s) == DB_ROW && db_text(s, 0).p)
		due = db_int(s, 0);
	db_end(s);
	return due;
}
