/* The database of the queue: its tables, events on their way to the log, reports as rows. */
#include "feedback/queue_private.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/json.h"
#include "base/limits.h"
#include "feedback/eventlog.h"

static const char schema[] =
	"CREATE TABLE IF NOT EXISTS report ("
	" id TEXT PRIMARY KEY, sender TEXT NOT NULL, kind TEXT NOT NULL, state TEXT NOT NULL,"
	" dest TEXT NOT NULL, envelope TEXT NOT NULL, message_id TEXT NOT NULL, complaint TEXT,"
	" message BLOB, created_us INTEGER NOT NULL, due_us INTEGER NOT NULL,"
	" attempts INTEGER NOT NULL DEFAULT 0, reply TEXT, claim INTEGER, claim_us INTEGER);"
	/* With the id: after a retry thousands are due at one moment. */
	"DROP INDEX IF EXISTS report_due; DROP INDEX IF EXISTS report_lane;"
	"CREATE INDEX IF NOT EXISTS report_waiting ON report (due_us, id) WHERE state = 'queued';"
	"CREATE INDEX IF NOT EXISTS report_lanes ON report (" QUEUE_DOMAIN ", due_us, id)"
	" WHERE state = 'queued' AND claim IS NULL;"
	"CREATE INDEX IF NOT EXISTS report_claim ON report (claim) WHERE claim IS NOT NULL;"
	"CREATE INDEX IF NOT EXISTS report_flying ON report (" QUEUE_DOMAIN ")"
	" WHERE claim IS NOT NULL;"
	"CREATE INDEX IF NOT EXISTS report_message ON report (message_id);"
	"CREATE INDEX IF NOT EXISTS report_state ON report (state, due_us);"
	/* Counted as they change: whoever asks each second reads four rows and not all. */
	"CREATE TABLE IF NOT EXISTS report_count ("
	" state TEXT PRIMARY KEY, n INTEGER NOT NULL) WITHOUT ROWID;"
	"CREATE TRIGGER IF NOT EXISTS report_begins AFTER INSERT ON report BEGIN"
	" INSERT INTO report_count VALUES (new.state, 1)"
	" ON CONFLICT (state) DO UPDATE SET n = n + 1; END;"
	"CREATE TRIGGER IF NOT EXISTS report_ends AFTER DELETE ON report BEGIN"
	" UPDATE report_count SET n = n - 1 WHERE state = old.state; END;"
	"CREATE TRIGGER IF NOT EXISTS report_changes AFTER UPDATE OF state ON report"
	" WHEN old.state <> new.state BEGIN"
	" UPDATE report_count SET n = n - 1 WHERE state = old.state;"
	" INSERT INTO report_count VALUES (new.state, 1)"
	" ON CONFLICT (state) DO UPDATE SET n = n + 1; END;"
	"CREATE TABLE IF NOT EXISTS destination ("
	" domain TEXT PRIMARY KEY, tat_us INTEGER NOT NULL, failures INTEGER NOT NULL DEFAULT 0,"
	" open_until_us INTEGER NOT NULL DEFAULT 0, reply TEXT) WITHOUT ROWID;"
	"CREATE TABLE IF NOT EXISTS complaint ("
	" rcpt TEXT NOT NULL, message TEXT NOT NULL, kind TEXT NOT NULL, id TEXT NOT NULL,"
	" report TEXT NOT NULL, time_us INTEGER NOT NULL, PRIMARY KEY (rcpt, message, kind))"
	" WITHOUT ROWID;"
	"CREATE INDEX IF NOT EXISTS complaint_rcpt ON complaint (rcpt, time_us);"
	"CREATE TABLE IF NOT EXISTS tally ("
	" name TEXT NOT NULL, period INTEGER NOT NULL, n INTEGER NOT NULL, until_us INTEGER NOT NULL,"
	" PRIMARY KEY (name, period)) WITHOUT ROWID;"
	"CREATE TABLE IF NOT EXISTS answer ("
	" key TEXT PRIMARY KEY, text TEXT NOT NULL, time_us INTEGER NOT NULL) WITHOUT ROWID;"
	"CREATE TABLE IF NOT EXISTS address ("
	" sender TEXT NOT NULL, address TEXT NOT NULL, since_us INTEGER NOT NULL, why TEXT NOT NULL,"
	" PRIMARY KEY (sender, address)) WITHOUT ROWID;"
	"CREATE TABLE IF NOT EXISTS bounce ("
	" report TEXT PRIMARY KEY, sender TEXT NOT NULL, address TEXT NOT NULL,"
	" status TEXT NOT NULL, time_us INTEGER NOT NULL) WITHOUT ROWID;"
	"CREATE INDEX IF NOT EXISTS report_dest ON report (sender, dest, created_us);"
	"CREATE TABLE IF NOT EXISTS digest_mark ("
	" one INTEGER PRIMARY KEY, position TEXT NOT NULL, closed_hour INTEGER NOT NULL,"
	" closed_day INTEGER NOT NULL);"
	"CREATE TABLE IF NOT EXISTS digest_total ("
	" sender TEXT NOT NULL, hour INTEGER NOT NULL, campaign TEXT NOT NULL,"
	" answers INTEGER NOT NULL, hard INTEGER NOT NULL, soft INTEGER NOT NULL,"
	" PRIMARY KEY (sender, hour, campaign)) WITHOUT ROWID;"
	"CREATE INDEX IF NOT EXISTS digest_total_hour ON digest_total (hour);"
	"CREATE TABLE IF NOT EXISTS digest_code ("
	" sender TEXT NOT NULL, hour INTEGER NOT NULL, campaign TEXT NOT NULL, code INTEGER NOT NULL,"
	" enhanced TEXT NOT NULL, at_rcpt INTEGER NOT NULL, n INTEGER NOT NULL,"
	" first_us INTEGER NOT NULL, last_us INTEGER NOT NULL, sample TEXT NOT NULL,"
	" PRIMARY KEY (sender, hour, campaign, code, enhanced, at_rcpt)) WITHOUT ROWID;"
	"CREATE TABLE IF NOT EXISTS digest_address ("
	" sender TEXT NOT NULL, hour INTEGER NOT NULL, address TEXT NOT NULL, code INTEGER NOT NULL,"
	" enhanced TEXT NOT NULL, n INTEGER NOT NULL, again INTEGER NOT NULL,"
	" first_us INTEGER NOT NULL, last_us INTEGER NOT NULL,"
	" PRIMARY KEY (sender, hour, address)) WITHOUT ROWID;"
	"CREATE TABLE IF NOT EXISTS digest_removed ("
	" sender TEXT NOT NULL, rcpt TEXT NOT NULL, told_us INTEGER NOT NULL,"
	" PRIMARY KEY (sender, rcpt)) WITHOUT ROWID;"
	"CREATE TABLE IF NOT EXISTS digest_complaint ("
	" sender TEXT NOT NULL, hour INTEGER NOT NULL, event TEXT NOT NULL, kind TEXT NOT NULL,"
	" word TEXT NOT NULL, n INTEGER NOT NULL,"
	" PRIMARY KEY (sender, hour, event, kind, word)) WITHOUT ROWID;"
	"CREATE TABLE IF NOT EXISTS failure ("
	" sender TEXT NOT NULL, hour INTEGER NOT NULL, domain TEXT NOT NULL, peer TEXT NOT NULL,"
	" n INTEGER NOT NULL, time_us INTEGER NOT NULL, line TEXT NOT NULL,"
	" PRIMARY KEY (sender, hour, domain, peer)) WITHOUT ROWID;"
	"CREATE TABLE IF NOT EXISTS shelf ("
	" number INTEGER PRIMARY KEY AUTOINCREMENT, sender TEXT NOT NULL, report TEXT UNIQUE NOT NULL,"
	" object TEXT NOT NULL, time_us INTEGER NOT NULL);"
	"CREATE INDEX IF NOT EXISTS shelf_sender ON shelf (sender, number);"
	"CREATE TABLE IF NOT EXISTS outbox (id TEXT PRIMARY KEY, line TEXT NOT NULL);";

/* Of a file from before reports were counted. */
static int count_old_reports(struct queue *q)
{
	struct db_query *s = db_query(q->db, "SELECT EXISTS (SELECT 1 FROM report)"
					     " AND NOT EXISTS (SELECT 1 FROM report_count)");
	int r = db_step(s);
	bool uncounted = r == DB_ROW && db_int(s, 0);
	db_end(s);
	if (r < 0 || !uncounted)
		return r < 0 ? r : 0;
	return db_run(db_query(q->db, "INSERT OR IGNORE INTO report_count"
				      " SELECT state, count(*) FROM report GROUP BY state"));
}

int queue_open(const char *state, struct queue **q_r)
{
	char path[PATH_MAX];
	*q_r = NULL;
	if (snprintf(path, sizeof(path), "%s/queue.sqlite", state) >= (int)sizeof(path))
		return -ENAMETOOLONG;
	struct queue *q = calloc(1, sizeof(*q));
	if (!q)
		return -ENOMEM;
	q->opened_us = clock_now_us();
	int r = db_open(path, schema, &q->db);
	if (r == 0)
		r = count_old_reports(q);
	if (r < 0) {
		queue_close(q);
		return r;
	}
	*q_r = q;
	return 0;
}

void queue_close(struct queue *q)
{
	if (!q)
		return;
	db_close(q->db);
	free(q);
}

int queue_begin(struct queue *q)
{
	return db_begin(q->db);
}

int queue_end(struct queue *q, int r)
{
	return db_finish(q->db, r);
}

/* --- events ------------------------------------------------------------------ */

int queue_event(struct queue *q, const char *id, struct span line)
{
	struct db_query *s = db_query(q->db, "INSERT INTO outbox (id, line) VALUES (?1, ?2)");
	db_bind_text(s, 1, span_of(id));
	db_bind_text(s, 2, line);
	return db_run(s);
}

static int report_event(struct queue *q, const struct queue_item *item, const char *state)
{
	struct buf line = BUF_INIT;
	struct json j = JSON_INIT(&line);
	char id[ID_BYTES], time[CLOCK_TEXT_BYTES];
	int64_t now_us = clock_now_us();
	id_make(now_us, id);
	json_open(&j, NULL, '{');
	json_cstr(&j, "event", "report");
	json_cstr(&j, "id", id);
	json_cstr(&j, "time", clock_rfc3339(now_us, time));
	json_text(&j, "kind", item->kind);
	json_text(&j, "sender", item->sender);
	json_text(&j, "complaint", item->complaint);
	json_text(&j, "message_id", item->message_id);
	json_cstr(&j, "state", state);
	json_close(&j, '}');
	int r = line.failed ? -ENOMEM : queue_event(q, id, buf_span(&line));
	buf_free(&line);
	return r;
}

/* Events written in one transaction: a commit waits for the disk. */
#define EVENTS_AT_ONCE 64

/* Under the write lock, so that two processes do not write the same event. A crash between the log
 * and the commit repeats lines, each under its id. What was not appended stays. */
static int write_some_events(struct queue *q, struct eventlog *log)
{
	int r = queue_begin(q);
	if (r < 0)
		return r;
	char last[ID_BYTES * 2] = "";
	int appended = 0, found = 0;
	struct db_query *s = db_query(q->db, "SELECT id, line FROM outbox ORDER BY id LIMIT ?1");
	db_bind_int(s, 1, EVENTS_AT_ONCE);
	while (appended == 0 && (r = db_step(s)) == DB_ROW) {
		found = DB_ROW;
		appended = eventlog_append(log, db_text(s, 1));
		if (appended == 0)
			snprintf(last, sizeof(last), "%.*s", SPAN_ARG(db_text(s, 0)));
	}
	db_end(s);
	if (last[0]) {
		s = db_query(q->db, "DELETE FROM outbox WHERE id <= ?1");
		db_bind_text(s, 1, span_of(last));
		r = db_run(s);
	}
	r = queue_end(q, r < 0 ? r : 0);
	return appended < 0 ? appended : r < 0 ? r : found;
}

int queue_write_events(struct queue *q, const char *state)
{
	struct eventlog *log;
	struct db_query *s = db_query(q->db, "SELECT 1 FROM outbox LIMIT 1");
	int r = db_step(s);
	db_end(s);
	if (r != DB_ROW)
		return r;
	r = eventlog_open(&log, state);
	if (r < 0)
		return r;
	do
		r = write_some_events(q, log);
	while (r == DB_ROW);
	eventlog_close(log);
	return r;
}

/* --- reports ------------------------------------------------------------------- */

int queue_put(struct queue *q, const struct queue_item *item)
{
	const char *state = item->reply.p ? "suppressed" : "queued";
	struct db_query *s = db_query(q->db,
		"INSERT INTO report (id, sender, kind, state, dest, envelope, message_id, complaint,"
		" message, created_us, due_us, reply) VALUES (?1, ?2, ?3, ?11, ?4, ?5, ?6, ?7, ?8,"
		" ?9, ?10, ?12)");
	db_bind_text(s, 1, item->id);
	db_bind_text(s, 2, item->sender);
	db_bind_text(s, 3, item->kind);
	db_bind_text(s, 4, item->to);
	db_bind_text(s, 5, item->envelope);
	db_bind_text(s, 6, item->message_id);
	db_bind_text(s, 7, item->complaint);
	db_bind_blob(s, 8, item->reply.p ? SPAN_NONE : item->message);
	db_bind_int(s, 9, item->created_us);
	db_bind_int(s, 10, item->due_us);
	db_bind_text(s, 11, span_of(state));
	db_bind_text(s, 12, item->reply);
	int r = db_run(s);
	return r < 0 ? r : report_event(q, item, state);
}

#define ITEM_COLUMNS \
	"id, sender, kind, state, dest, envelope, message_id, complaint, reply, created_us, due_us," \
	" attempts"

static void read_item(struct db_query *s, struct queue_item *item)
{
	*item = (struct queue_item){
		.id = db_text(s, 0), .sender = db_text(s, 1), .kind = db_text(s, 2),
		.state = db_text(s, 3), .to = db_text(s, 4), .envelope = db_text(s, 5),
		.message_id = db_text(s, 6), .complaint = db_text(s, 7), .reply = db_text(s, 8),
		.created_us = db_int(s, 9), .due_us = db_int(s, 10), .attempts = db_int(s, 11),
	};
}

void queue_item_json(const struct queue_item *item, struct buf *out)
{
	struct json j = JSON_INIT(out);
	char time[CLOCK_TEXT_BYTES];
	json_open(&j, NULL, '{');
	json_text(&j, "id", item->id);
	json_text(&j, "sender", item->sender);
	json_text(&j, "kind", item->kind);
	json_text(&j, "state", item->state);
	json_text(&j, "to", item->to);
	json_text(&j, "message_id", item->message_id);
	json_text(&j, "complaint", item->complaint);
	json_cstr(&j, "time", clock_rfc3339(item->created_us, time));
	json_cstr(&j, "due", clock_rfc3339(item->due_us, time));
	json_int(&j, "attempts", item->attempts);
	json_text(&j, "reply", item->reply);
	json_close(&j, '}');
	buf_addc(out, '\n');
}

static int each_item(struct db_query *s, queue_list_fn *fn, void *arg)
{
	struct queue_item item;
	int r;
	while ((r = db_step(s)) == DB_ROW) {
		read_item(s, &item);
		r = fn(&item, arg);
		if (r < 0)
			break;
	}
	db_end(s);
	return r;
}

int queue_list(struct queue *q, queue_list_fn *fn, void *arg)
{
	return each_item(db_query(q->db, "SELECT " ITEM_COLUMNS " FROM report ORDER BY id"), fn,
			 arg);
}

int queue_page(struct queue *q, struct span sender, struct span after, uint64_t n,
	       queue_list_fn *fn, void *arg)
{
	struct db_query *s = db_query(q->db, "SELECT " ITEM_COLUMNS " FROM report WHERE id > ?1"
					     " AND (?2 = '' OR sender = ?2) ORDER BY id LIMIT ?3");
	db_bind_text(s, 1, after);
	db_bind_text(s, 2, sender);
	db_bind_int(s, 3, (int64_t)n);
	return each_item(s, fn, arg);
}

int queue_set_state(struct queue *q, const struct queue_item *item, const char *state,
		    struct span reply)
{
	struct db_query *s = db_query(q->db, "UPDATE report SET state = ?2, reply = ?3, claim = NULL,"
					     " message = CASE WHEN ?2 = 'failed' THEN message END"
					     " WHERE id = ?1");
	db_bind_text(s, 1, item->id);
	db_bind_text(s, 2, span_of(state));
	db_bind_text(s, 3, reply);
	int r = db_run(s);
	return r < 0 ? r : report_event(q, item, state);
}

int queue_withdraw(struct queue *q, struct span report, const char *why)
{
	int r = queue_void_claims(q, clock_now_us());
	if (r < 0)
		return r;
	struct db_query *s = db_query(q->db, "SELECT " ITEM_COLUMNS " FROM report WHERE id = ?1"
					     " AND state IN ('queued', 'failed') AND claim IS NULL");
	db_bind_text(s, 1, report);
	r = db_step(s);
	if (r == DB_ROW) {
		struct queue_item item;
		read_item(s, &item);
		r = queue_set_state(q, &item, "suppressed", span_of(why));
		if (r == 0)
			r = shelf_withdraw(q, &item, why, clock_now_us());
	} else if (r == 0) {
		r = QUEUE_E_NONE;
	}
	db_end(s);
	return r;
}

int queue_came_back(struct queue *q, struct span report, struct span status)
{
	char why[64];
	struct queue_item item;
	snprintf(why, sizeof(why), "came back: %.*s", (int)(status.n < 40 ? status.n : 40), status.p);
	struct db_query *s = db_query(q->db, "SELECT " ITEM_COLUMNS " FROM report"
					     " WHERE id = upper(?1) AND state = 'sent'");
	db_bind_text(s, 1, report);
	int r = db_step(s);
	if (r == DB_ROW) {
		read_item(s, &item);
		r = queue_set_state(q, &item, "failed", span_of(why));
	}
	db_end(s);
	return r;
}

int queue_retry(struct queue *q, struct span id, int64_t now_us)
{
	int r = queue_begin(q);
	if (r < 0)
		return r;
	/* A report that had failed has five more days. */
	struct db_query *s = db_query(q->db,
		"UPDATE report SET due_us = ?2, created_us = CASE state WHEN 'failed' THEN ?2 ELSE"
		" created_us END, state = 'queued' WHERE state IN ('queued', 'failed')"
		" AND message IS NOT NULL AND (?1 = '' OR id = ?1)");
	db_bind_text(s, 1, id.n ? id : SPAN(""));
	db_bind_int(s, 2, now_us);
	r = db_run(s);
	int64_t n = db_changes(q->db);
	/* Who asks for it now does not want to wait for the destination's rest either. */
	if (r == 0) {
		s = db_query(q->db, "UPDATE destination SET open_until_us = 0 WHERE ?1 = '' OR domain ="
				    " (SELECT " QUEUE_DOMAIN " FROM report WHERE id = ?1)");
		db_bind_text(s, 1, id.n ? id : SPAN(""));
		r = db_run(s);
	}
	r = queue_end(q, r);
	return r < 0 ? r : n || !id.n ? 0 : QUEUE_E_NONE;
}

int queue_load(struct queue *q, struct span id, struct arena *arena, struct queue_item *item)
{
	struct db_query *s = db_query(q->db, "SELECT " ITEM_COLUMNS ", message FROM report"
					     " WHERE id = ?1");
	db_bind_text(s, 1, id);
	int r = db_step(s);
	if (r == DB_ROW) {
		read_item(s, item);
		struct span *spans[] = {&item->id, &item->sender, &item->kind, &item->state,
					&item->to, &item->envelope, &item->message_id,
					&item->complaint};
		for (size_t i = 0; i < sizeof(spans) / sizeof(spans[0]); i++)
			*spans[i] = arena_copy(arena, *spans[i]);
		item->reply = SPAN_NONE;
		item->message = arena_copy(arena, db_text(s, 12));
	}
	db_end(s);
	if (arena->overflowed)
		return -ENOMEM;
	return r < 0 ? r : r == DB_ROW ? 0 : QUEUE_E_NONE;
}

int64_t queue_version(struct queue *q)
{
	return db_data_version(q->db);
}

int queue_purge(struct queue *q, int64_t now_us)
{
	static const struct {
		const char *sql;
		int64_t kept_us;
	} old[] = {
		{"DELETE FROM report WHERE due_us < ?1 AND state IN ('sent', 'suppressed', 'failed')",
		 LIMIT_COMPLAINT_US},
		{"DELETE FROM complaint WHERE time_us < ?1", LIMIT_COMPLAINT_US},
		{"DELETE FROM bounce WHERE time_us < ?1", LIMIT_COMPLAINT_US},
		{"DELETE FROM digest_removed WHERE told_us < ?1", LIMIT_REMOVED_US},
		{"DELETE FROM shelf WHERE time_us < ?1", LIMIT_SHELF_US},
		{"DELETE FROM answer WHERE time_us < ?1", LIMIT_HTTP_ANSWER_US},
		{"DELETE FROM tally WHERE until_us < ?1", 0},
	};
	int r = 0;
	for (size_t i = 0; i < sizeof(old) / sizeof(old[0]) && r == 0; i++) {
		struct db_query *s = db_query(q->db, old[i].sql);
		db_bind_int(s, 1, now_us - old[i].kept_us);
		r = db_run(s);
	}
	return r;
}
