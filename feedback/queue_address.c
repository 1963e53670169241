/*
 * Feedback addresses that are dead or want no more, and the tallies that keep a flood out.
 *
 * Reports go through the provider's MTA, which takes them and learns later that an address is dead.
 * Each report has a return address of its own, so a bounce names its report and is counted once.
 * LIMIT_BOUNCES of them within LIMIT_BOUNCES_US that are at least half of what was sent meanwhile
 * suspend the address: a full mailbox of a day or a policy that catches one in a hundred does not.
 */
#include <errno.h>
#include <stdio.h>

#include "base/clock.h"
#include "base/limits.h"
#include "base/log.h"
#include "feedback/queue_private.h"

int tally(struct queue *q, struct span name, int64_t period, int64_t until_us, uint64_t *n_r)
{
	struct db_query *s = db_query(q->db,
		"INSERT INTO tally (name, period, n, until_us) VALUES (?1, ?2, 1, ?3)"
		" ON CONFLICT (name, period) DO UPDATE SET n = n + 1 RETURNING n");
	db_bind_text(s, 1, name);
	db_bind_int(s, 2, period);
	db_bind_int(s, 3, until_us);
	int r = db_step(s);
	*n_r = r == DB_ROW ? (uint64_t)db_int(s, 0) : 0;
	while (r == DB_ROW)
		r = db_step(s);
	db_end(s);
	return r;
}

int queue_once(struct queue *q, struct span name, int64_t now_us, int64_t period_us, bool *first_r)
{
	struct db_query *s = db_query(q->db,
		"INSERT INTO tally (name, period, n, until_us) VALUES (?1, 0, 1, ?2)"
		" ON CONFLICT (name, period) DO UPDATE SET until_us = ?2 WHERE until_us <= ?3");
	db_bind_text(s, 1, name);
	db_bind_int(s, 2, now_us + period_us);
	db_bind_int(s, 3, now_us);
	int r = db_run(s);
	*first_r = r == 0 && db_changes(q->db) == 1;
	return r;
}

int queue_once_undo(struct queue *q, struct span name)
{
	struct db_query *s = db_query(q->db, "DELETE FROM tally WHERE name = ?1 AND period = 0");
	db_bind_text(s, 1, name);
	return db_run(s);
}

int queue_answer_find(struct queue *q, struct span key, struct arena *arena, struct span *answer_r)
{
	struct db_query *s = db_query(q->db, "SELECT text FROM answer WHERE key = ?1");
	db_bind_text(s, 1, key);
	int r = db_step(s);
	*answer_r = r == DB_ROW ? arena_copy(arena, db_text(s, 0)) : SPAN_NONE;
	db_end(s);
	return r < 0 ? r : 0;
}

int queue_answer_keep(struct queue *q, struct span key, struct span answer, int64_t now_us)
{
	struct db_query *s = db_query(q->db, "INSERT OR REPLACE INTO answer (key, text, time_us)"
					     " VALUES (?1, ?2, ?3)");
	db_bind_text(s, 1, key);
	db_bind_text(s, 2, answer);
	db_bind_int(s, 3, now_us);
	return db_run(s);
}

int queue_count_moves(struct queue *q, struct span rcpt, int64_t now_us, uint64_t *n_r)
{
	char name[SHA256_TEXT_BYTES + 8] = "moves ";
	queue_rcpt_hash(rcpt, name + 6);
	return tally(q, span_of(name), now_us / (3600 * US_PER_S), now_us + 2 * 3600 * US_PER_S, n_r);
}

int queue_count_today(struct queue *q, struct span sender, int64_t now_us, uint64_t *n_r)
{
	char name[200];
	snprintf(name, sizeof(name), "reports %.*s", SPAN_ARG(sender));
	return tally(q, span_of(name), now_us / (86400 * US_PER_S), now_us + 2 * 86400 * US_PER_S,
		     n_r);
}

int queue_withdraw_moves(struct queue *q, struct span rcpt, int64_t now_us)
{
	char hash[SHA256_TEXT_BYTES];
	struct db_query *s = db_query(q->db, "SELECT report FROM complaint WHERE rcpt = ?1"
					     " AND time_us > ?2 AND report <> ''");
	db_bind_text(s, 1, span_of(queue_rcpt_hash(rcpt, hash)));
	db_bind_int(s, 2, now_us - 3600 * US_PER_S);
	int r;
	while ((r = db_step(s)) == DB_ROW) {
		struct span rest = db_text(s, 0), id;
		while (r >= 0 && span_next_word(&rest, &id))
			r = queue_withdraw(q, id, "a program moved it: so many in an hour");
		if (r < 0)
			break;
	}
	db_end(s);
	return r < 0 ? r : 0;
}

/* --- addresses --------------------------------------------------------------------------- */

int queue_address_why(struct queue *q, struct span sender, struct span address,
		      struct arena *arena, struct span *why_r)
{
	struct db_query *s = db_query(q->db, "SELECT why FROM address WHERE sender = ?1"
					     " AND address = lower(?2)");
	db_bind_text(s, 1, sender);
	db_bind_text(s, 2, address);
	int r = db_step(s);
	*why_r = r == DB_ROW ? arena_copy(arena, db_text(s, 0)) : SPAN_NONE;
	db_end(s);
	return r < 0 ? r : 0;
}

static int close_address(struct queue *q, struct span sender, struct span address, const char *why,
			 int64_t now_us)
{
	struct db_query *s = db_query(q->db,
		"INSERT OR IGNORE INTO address (sender, address, since_us, why)"
		" VALUES (?1, lower(?2), ?3, ?4)");
	db_bind_text(s, 1, sender);
	db_bind_text(s, 2, address);
	db_bind_int(s, 3, now_us);
	db_bind_text(s, 4, span_of(why));
	int r = db_run(s);
	if (r < 0)
		return r;
	if (db_changes(q->db))
		log_warn("feedback.suspended", "sender=%s address=%s why=\"%s\"", log_safe(sender),
			 log_safe(address), why);
	/* What waits for it goes into the digests. */
	s = db_query(q->db, "SELECT id FROM report WHERE sender = ?1 AND lower(dest) = lower(?2)"
			    " AND state = 'queued'");
	db_bind_text(s, 1, sender);
	db_bind_text(s, 2, address);
	while ((r = db_step(s)) == DB_ROW)
		if ((r = queue_withdraw(q, db_text(s, 0), why)) < 0)
			break;
	db_end(s);
	return r < 0 ? r : 0;
}

/* Sender and address of a report. */
static int find_report(struct queue *q, struct span report, struct arena *arena,
		       struct span *sender_r, struct span *address_r)
{
	/* by its id, or by its Message-ID without the brackets */
	struct db_query *s = db_query(q->db,
		"SELECT sender, dest FROM report WHERE id = upper(?1)"
		" OR (instr(?1, '@') AND message_id = '<' || ?1 || '>')");
	db_bind_text(s, 1, report);
	int r = db_step(s);
	if (r == DB_ROW) {
		*sender_r = arena_copy(arena, db_text(s, 0));
		*address_r = arena_copy(arena, db_text(s, 1));
	}
	db_end(s);
	return r < 0 ? r : arena->overflowed ? -ENOMEM : r == DB_ROW ? 0 : QUEUE_E_NONE;
}

/* How many bounced, and how many were sent since the first of those. */
static int count_bounces(struct queue *q, struct span sender, struct span address, int64_t now_us,
			 int64_t *bounced_r, int64_t *sent_r)
{
	struct db_query *s = db_query(q->db,
		"SELECT count(*), (SELECT count(*) FROM report WHERE sender = ?1 AND dest = ?2"
		"  AND state IN ('sent', 'failed') AND created_us >= (SELECT min(r.created_us) FROM bounce b"
		"   JOIN report r ON r.id = b.report WHERE b.sender = ?1 AND b.address = ?2"
		"   AND b.time_us > ?3))"
		" FROM bounce WHERE sender = ?1 AND address = ?2 AND time_us > ?3");
	db_bind_text(s, 1, sender);
	db_bind_text(s, 2, address);
	db_bind_int(s, 3, now_us - LIMIT_BOUNCES_US);
	int r = db_step(s);
	if (r == DB_ROW) {
		*bounced_r = db_int(s, 0);
		*sent_r = db_int(s, 1);
	}
	db_end(s);
	return r < 0 ? r : 0;
}

int queue_address_bounced(struct queue *q, struct span report, struct span status, int64_t now_us,
			  bool *suspended_r)
{
	struct arena arena;
	struct span sender, address;
	int64_t bounced = 0, sent = 0;
	*suspended_r = false;
	arena_init(&arena, 64 << 10);
	int r = find_report(q, report, &arena, &sender, &address);
	if (r == 0) {
		struct db_query *s = db_query(q->db,
			"INSERT OR IGNORE INTO bounce (report, sender, address, status, time_us)"
			" VALUES (upper(?1), ?2, ?3, ?4, ?5)");
		db_bind_text(s, 1, report);
		db_bind_text(s, 2, sender);
		db_bind_text(s, 3, address);
		db_bind_text(s, 4, status);
		db_bind_int(s, 5, now_us);
		r = db_run(s);
	}
	if (r == 0)
		r = queue_came_back(q, report, status);
	if (r == 0)
		r = count_bounces(q, sender, address, now_us, &bounced, &sent);
	if (r == 0 && bounced >= LIMIT_BOUNCES && bounced * 2 >= sent) {
		char why[120];
		snprintf(why, sizeof(why), "%lld of %lld reports came back (%.*s): address suspended",
			 (long long)bounced, (long long)(sent > bounced ? sent : bounced),
			 (int)(status.n < 20 ? status.n : 20), status.p);
		*suspended_r = true;
		r = close_address(q, sender, address, why, now_us);
	}
	arena_free(&arena);
	return r;
}

int queue_webhook_failed(struct queue *q, const struct queue_item *item, struct span reply,
			 int64_t now_us)
{
	bool suspended;
	if (span_starts(reply, SPAN("HTTP 410")))
		return close_address(q, item->sender, item->to, "it answered 410, gone", now_us);
	return queue_address_bounced(q, item->id, SPAN("no answer for days"), now_us, &suspended);
}

int queue_address_stop(struct queue *q, struct span report, int64_t now_us)
{
	struct arena arena;
	struct span sender, address;
	arena_init(&arena, 64 << 10);
	int r = find_report(q, report, &arena, &sender, &address);
	if (r == 0)
		r = close_address(q, sender, address, "its owner answered STOP", now_us);
	arena_free(&arena);
	return r;
}

int queue_address_resume(struct queue *q, struct span address)
{
	int r = queue_begin(q);
	if (r < 0)
		return r;
	struct db_query *s = db_query(q->db, "DELETE FROM address WHERE address = lower(?1)");
	db_bind_text(s, 1, address);
	r = db_run(s);
	int64_t n = db_changes(q->db);
	if (r == 0) {
		s = db_query(q->db, "DELETE FROM bounce WHERE lower(address) = lower(?1)");
		db_bind_text(s, 1, address);
		r = db_run(s);
	}
	r = queue_end(q, r);
	return r < 0 ? r : n ? 0 : QUEUE_E_NONE;
}

int queue_address_list(struct queue *q, queue_address_fn *fn, void *arg)
{
	struct db_query *s = db_query(q->db, "SELECT sender, address, why, since_us FROM address"
					     " ORDER BY sender, address");
	int r;
	while ((r = db_step(s)) == DB_ROW) {
		struct queue_address a = {db_text(s, 0), db_text(s, 1), db_text(s, 2), db_int(s, 3)};
		if ((r = fn(&a, arg)) < 0)
			break;
	}
	db_end(s);
	return r;
}
