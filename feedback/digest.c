#include "feedback/digest.h"

#include <errno.h>
#include <stdio.h>

#include "base/clock.h"
#include "base/json_in.h"
#include "base/limits.h"
#include "feedback/eventlog.h"
#include "feedback/failure.h"
#include "feedback/queue_private.h"

/* An hour is closed so long after its end: an event is written when its transaction is over. */
#define GRACE_US (120 * US_PER_S)
/* The first reading of a log goes back so far by the hour; what is older is one hour. */
#define OLDEST_HOURS 48
/* Work of one call. */
#define SLICE_US (US_PER_S / 5)
#define SLICE_LINES 20000

/* Hours since the epoch; the day of China to which one belongs, and the first hour of a day. */
#define DAY_OF(hour) (((hour) + 8) / 24)
#define FIRST_HOUR(day) ((day) * 24 - 8)

struct reading {
	struct complaint_desk *desk;
	struct db *db;
	int64_t now_us;
	int64_t closed_hour, closed_day;
	struct eventlog_position at;
	int trouble;
};

/* --- where we are ----------------------------------------------------------------------- */

static int load_mark(struct reading *d)
{
	struct db_query *s = db_query(d->db, "SELECT position, closed_hour, closed_day FROM digest_mark");
	int r = db_step(s);
	d->at = (struct eventlog_position){.offset = 0};
	if (r == DB_ROW) {
		if (!eventlog_position_parse(db_text(s, 0), &d->at))
			r = -EBADMSG;
		d->closed_hour = db_int(s, 1);
		d->closed_day = db_int(s, 2);
	} else {
		d->closed_hour = d->now_us / HOUR_US - OLDEST_HOURS;
		d->closed_day = DAY_OF(d->closed_hour) - 1;
	}
	db_end(s);
	return r < 0 ? r : 0;
}

static int save_mark(struct reading *d)
{
	char text[EVENTLOG_POSITION_BYTES];
	struct db_query *s = db_query(d->db,
		"INSERT INTO digest_mark (one, position, closed_hour, closed_day)"
		" VALUES (1, ?1, ?2, ?3) ON CONFLICT (one) DO UPDATE SET position = ?1,"
		" closed_hour = ?2, closed_day = ?3");
	db_bind_text(s, 1, span_of(eventlog_position_text(&d->at, text)));
	db_bind_int(s, 2, d->closed_hour);
	db_bind_int(s, 3, d->closed_day);
	return db_run(s);
}

/* --- one event ----------------------------------------------------------------------------- */

static int64_t hour_of(const struct reading *d, int64_t time_us)
{
	int64_t hour = time_us / HOUR_US;
	return hour > d->closed_hour ? hour : d->closed_hour + 1;
}

static void run(struct reading *d, struct db_query *s)
{
	int r = db_run(s);
	d->trouble = d->trouble ? d->trouble : r;
}

/* One recipient's answer. */
struct answer {
	struct span sender, campaign, to, enhanced, text;
	int64_t code, time_us, hour;
	bool at_rcpt;
};

/* "5.7.1 rejected ..." */
static struct span leading_status(struct span text)
{
	size_t n = 0, dots = 0;
	while (n < text.n && (ascii_is_digit(text.p[n]) || text.p[n] == '.'))
		dots += text.p[n++] == '.';
	return dots == 2 && n >= 5 && text.p[1] == '.' ? span_sub(text, 0, n) : SPAN_NONE;
}

/* The words of a reply show nobody: the recipient in them is a token. */
static struct span sample_of(struct reading *d, const struct answer *a, struct arena *arena)
{
	uint8_t key[SHA256_BYTES];
	const struct config *config = d->desk->config;
	struct span from = span_of(config->report.from ? config->report.from : config->host);
	size_t at = span_rfind_char(from, '@');
	keys_token(&d->desk->keys, a->sender, a->time_us, key);
	struct redactor *r = redactor_create(arena, (struct span){(char *)key, sizeof(key)},
					     at == SIZE_MAX ? from : span_sub(from, at + 1, from.n),
					     false);
	if (!r)
		return SPAN("");
	redactor_add(r, a->to);
	return redact_text(r, span_sub(a->text, 0, 200));
}

static void count_code(struct reading *d, const struct answer *a)
{
	struct arena arena;
	arena_init(&arena, 4 << 20);
	struct db_query *s = db_query(d->db,
		"INSERT INTO digest_code (sender, hour, campaign, code, enhanced, at_rcpt, n, first_us,"
		" last_us, sample) VALUES (?1, ?2, ?3, ?4, ?5, ?6, 1, ?7, ?7, ?8)"
		" ON CONFLICT (sender, hour, campaign, code, enhanced, at_rcpt) DO UPDATE SET n = n + 1,"
		" first_us = min(first_us, ?7), last_us = max(last_us, ?7)");
	db_bind_text(s, 1, a->sender);
	db_bind_int(s, 2, a->hour);
	db_bind_text(s, 3, a->campaign);
	db_bind_int(s, 4, a->code);
	db_bind_text(s, 5, a->enhanced);
	db_bind_int(s, 6, a->at_rcpt);
	db_bind_int(s, 7, a->time_us);
	db_bind_text(s, 8, sample_of(d, a, &arena));
	run(d, s);
	arena_free(&arena);
}

/* An address to be removed; tried again after the sender was told, it is a matter of hygiene. */
static void count_address(struct reading *d, const struct answer *a)
{
	char hash[SHA256_TEXT_BYTES];
	queue_rcpt_hash(a->to, hash);
	struct db_query *s = db_query(d->db,
		"INSERT INTO digest_address (sender, hour, address, code, enhanced, n, again, first_us,"
		" last_us) VALUES (?1, ?2, ?3, ?4, ?5, 1, (SELECT count(*) FROM digest_removed"
		"  WHERE sender = ?1 AND rcpt = ?7 AND told_us < ?6), ?6, ?6)"
		" ON CONFLICT (sender, hour, address) DO UPDATE SET n = n + 1, code = ?4,"
		" enhanced = ?5, again = again + excluded.again, first_us = min(first_us, ?6),"
		" last_us = max(last_us, ?6)");
	db_bind_text(s, 1, a->sender);
	db_bind_int(s, 2, a->hour);
	db_bind_text(s, 3, a->to);
	db_bind_int(s, 4, a->code);
	db_bind_text(s, 5, a->enhanced);
	db_bind_int(s, 6, a->time_us);
	db_bind_text(s, 7, span_of(hash));
	run(d, s);
}

static void count_totals(struct reading *d, const struct answer *a, int64_t answers, int64_t hard,
			 int64_t soft)
{
	struct db_query *s = db_query(d->db,
		"INSERT INTO digest_total (sender, hour, campaign, answers, hard, soft)"
		" VALUES (?1, ?2, ?3, ?4, ?5, ?6) ON CONFLICT (sender, hour, campaign) DO UPDATE SET"
		" answers = answers + ?4, hard = hard + ?5, soft = soft + ?6");
	db_bind_text(s, 1, a->sender);
	db_bind_int(s, 2, a->hour);
	db_bind_text(s, 3, a->campaign);
	db_bind_int(s, 4, answers);
	db_bind_int(s, 5, hard);
	db_bind_int(s, 6, soft);
	run(d, s);
}

static struct span or_empty(struct span s)
{
	return s.p ? s : SPAN("");
}

/* The refusal that holds for a recipient: his own, else the message's. False: he was not refused. */
static bool refusal(const struct json_value *rcpt, const struct json_value *reply, struct answer *a)
{
	a->at_rcpt = json_in_int(json_in_get(rcpt, "code"), &a->code) && a->code >= 400;
	const struct json_value *from = a->at_rcpt ? rcpt : reply;
	if (!a->at_rcpt && !(json_in_int(json_in_get(reply, "code"), &a->code) && a->code >= 400))
		return false;
	a->text = or_empty(json_in_text(json_in_get(from, "text")));
	a->enhanced = json_in_text(json_in_get(from, "enhanced"));
	if (!a->enhanced.p)
		a->enhanced = leading_status(a->text);
	a->enhanced = or_empty(a->enhanced);
	return true;
}

static void read_txn(struct reading *d, const struct json_value *e, int64_t time_us)
{
	const struct json_value *rcpts = json_in_get(e, "rcpts"), *reply = json_in_get(e, "reply");
	struct answer a = {.time_us = time_us, .hour = hour_of(d, time_us)};
	int64_t hard = 0, soft = 0;
	a.sender = json_in_text(json_in_get(json_in_get(e, "sender"), "registered"));
	a.campaign = or_empty(json_in_text(json_in_get(e, "list")));
	if (!a.sender.n)
		return;
	for (size_t i = 0; i < json_in_count(rcpts) && d->trouble == 0; i++) {
		const struct json_value *rcpt = json_in_at(rcpts, i);
		if (!refusal(rcpt, reply, &a))
			continue;
		a.to = or_empty(json_in_text(json_in_get(rcpt, "to")));
		hard += a.code >= 500;
		soft += a.code < 500;
		count_code(d, &a);
		if (strcmp(digest_classify(a.code, a.enhanced, a.at_rcpt)->name, "remove") == 0)
			count_address(d, &a);
	}
	count_totals(d, &a, (int64_t)json_in_count(rcpts), hard, soft);
}

/* Complaints by their outcome, reports by the state that they end in. */
static void read_other(struct reading *d, const struct json_value *e, struct span event,
		       int64_t time_us)
{
	struct span sender = json_in_text(json_in_get(e, "sender"));
	bool complaint = span_eq(event, SPAN("complaint"));
	struct span word = json_in_text(json_in_get(e, complaint ? "outcome" : "state"));
	struct span kind = or_empty(json_in_text(json_in_get(e, "kind")));
	/* not the digests themselves: each would make the next one */
	if (!sender.n || !word.n || (!span_eq(kind, SPAN("abuse")) && !span_eq(kind, SPAN("not-spam"))))
		return;
	struct db_query *s = db_query(d->db,
		"INSERT INTO digest_complaint (sender, hour, event, kind, word, n)"
		" VALUES (?1, ?2, ?3, ?4, ?5, 1) ON CONFLICT (sender, hour, event, kind, word)"
		" DO UPDATE SET n = n + 1");
	db_bind_text(s, 1, sender);
	db_bind_int(s, 2, hour_of(d, time_us));
	db_bind_text(s, 3, event);
	db_bind_text(s, 4, kind);
	db_bind_text(s, 5, word);
	run(d, s);
}

static void read_line(struct reading *d, struct span line)
{
	/* Most of the log; a quote inside a text has a backslash before it. */
	if (span_find(line, SPAN("\"registered\":null")) != SIZE_MAX &&
	    span_find(line, SPAN("\"dmarc\":{\"result\":\"fail\"")) == SIZE_MAX)
		return;
	struct json_value *e = json_in_parse(line, NULL);
	struct span event = json_in_text(json_in_get(e, "event"));
	int64_t time_us;
	if (clock_parse_rfc3339(json_in_text(json_in_get(e, "time")), &time_us)) {
		if (span_eq(event, SPAN("txn"))) {
			read_txn(d, e, time_us);
			int r = failure_count(d->desk, e, line, time_us, hour_of(d, time_us));
			d->trouble = d->trouble ? d->trouble : r;
		}
		if (span_eq(event, SPAN("complaint")) || span_eq(event, SPAN("report")))
			read_other(d, e, event, time_us);
	}
	json_in_free(e);
}

/* --- the log ------------------------------------------------------------------------------- */

static int read_slice(struct reading *d, bool *more_r)
{
	struct eventlog_reader *reader;
	struct span line;
	int64_t end_us = clock_mono_us() + SLICE_US;
	*more_r = false;
	int r = eventlog_reader_open(&reader, d->desk->config->state, &d->at);
	if (r < 0)
		return r == -ENOENT ? 0 : r;
	if ((r = db_begin(d->db)) == 0) {
		size_t lines = 0;
		while (d->trouble == 0 && !*more_r && (r = eventlog_next(reader, &line)) > 0) {
			read_line(d, line);
			*more_r = ++lines == SLICE_LINES ||
				  (lines % 64 == 0 && clock_mono_us() > end_us);
		}
		d->at = eventlog_reader_position(reader);
		r = r < 0 ? r : d->trouble;
		if (r == 0)
			r = save_mark(d);
		r = db_finish(d->db, r);
	}
	eventlog_reader_close(reader);
	return r;
}

/* --- closing ------------------------------------------------------------------------------- */

/* Everybody with something in these hours; a list first, for what is told writes into the tables. */
static int tell_all(struct reading *d, const struct digest_period *period, unsigned *made)
{
	struct arena arena;
	struct span *senders = NULL;
	size_t n = 0, cap = 0;
	arena_init(&arena, LIMIT_ARENA_BYTES);
	struct db_query *s = db_query(d->db,
		"SELECT sender FROM digest_total WHERE hour >= ?1 AND hour < ?2 UNION"
		" SELECT sender FROM digest_complaint WHERE hour >= ?1 AND hour < ?2");
	db_bind_int(s, 1, period->from_hour);
	db_bind_int(s, 2, period->to_hour);
	int r;
	while ((r = db_step(s)) == DB_ROW &&
	       arena_grow(&arena, (void **)&senders, n, &cap, sizeof(*senders)))
		senders[n++] = arena_copy(&arena, db_text(s, 0));
	db_end(s);
	if (r >= 0 && arena.overflowed)
		r = -ENOMEM;
	for (size_t i = 0; i < n && r >= 0; i++)
		r = digest_tell(d->desk, senders[i], period, d->now_us, made);
	arena_free(&arena);
	return r < 0 ? r : 0;
}

/* What the daily digest has told is not kept: addresses stand there in plain. */
static int forget(struct reading *d, int64_t before_hour)
{
	static const char *const deletes[] = {
		"DELETE FROM digest_total WHERE hour < ?1", "DELETE FROM digest_code WHERE hour < ?1",
		"DELETE FROM digest_address WHERE hour < ?1",
		"DELETE FROM digest_complaint WHERE hour < ?1"};
	for (size_t i = 0; i < sizeof(deletes) / sizeof(deletes[0]); i++) {
		struct db_query *s = db_query(d->db, deletes[i]);
		db_bind_int(s, 1, before_hour);
		int r = db_run(s);
		if (r < 0)
			return r;
	}
	return 0;
}

static int close_hour(struct reading *d, int64_t hour, unsigned *made)
{
	struct digest_period period = {hour, hour + 1, false};
	int r = db_begin(d->db);
	if (r < 0)
		return r;
	r = tell_all(d, &period, made);
	d->closed_hour = hour;
	if (r == 0)
		r = save_mark(d);
	return db_finish(d->db, r);
}

static int close_day(struct reading *d, int64_t day, unsigned *made)
{
	struct digest_period period = {FIRST_HOUR(day), FIRST_HOUR(day + 1), true};
	int r = db_begin(d->db);
	if (r < 0)
		return r;
	r = tell_all(d, &period, made);
	d->closed_day = day;
	if (d->closed_hour < period.to_hour - 1)
		d->closed_hour = period.to_hour - 1;
	if (r == 0)
		r = forget(d, period.to_hour);
	if (r == 0)
		r = save_mark(d);
	return db_finish(d->db, r);
}

/* The first hour with counts; `behind` it. INT64_MAX: there is none. */
static int first_hour(struct reading *d, int64_t behind, int64_t *hour_r)
{
	struct db_query *s = db_query(d->db,
		"SELECT min(hour) FROM (SELECT min(hour) AS hour FROM digest_total WHERE hour > ?1"
		" UNION ALL SELECT min(hour) FROM digest_complaint WHERE hour > ?1)");
	db_bind_int(s, 1, behind);
	int r = db_step(s);
	*hour_r = r == DB_ROW && db_text(s, 0).p ? db_int(s, 0) : INT64_MAX;
	db_end(s);
	return r < 0 ? r : 0;
}

/* Hours and days with nothing in them are passed over: a daemon that slept for a year is quick. */
static int close_what_is_over(struct reading *d, unsigned *made)
{
	int64_t last = (d->now_us - GRACE_US) / HOUR_US - 1, next, oldest;
	int r = 0;
	while (r == 0 && d->closed_hour < last) {
		if ((r = first_hour(d, 0, &oldest)) < 0 ||
		    (r = first_hour(d, d->closed_hour, &next)) < 0)
			break;
		if (oldest > last) { /* nothing is left of what is over */
			d->closed_hour = last;
			d->closed_day = DAY_OF(last + 1) - 1;
			return save_mark(d);
		}
		int64_t day_end = FIRST_HOUR(DAY_OF(oldest) + 1) - 1;
		if (next <= day_end && next <= last)
			r = close_hour(d, next, made);
		else if (day_end <= last)
			r = close_day(d, DAY_OF(oldest), made);
		else
			d->closed_hour = last;
	}
	return r;
}

int digest_work(struct complaint_desk *desk, int64_t now_us, unsigned *made_r, bool *more_r)
{
	struct reading d = {.desk = desk, .db = desk->queue->db, .now_us = now_us};
	*made_r = 0;
	int r = load_mark(&d);
	if (r == 0)
		r = read_slice(&d, more_r);
	if (r == 0 && !*more_r)
		r = close_what_is_over(&d, made_r);
	return r;
}
