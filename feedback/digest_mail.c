/*
 * A digest as a mail: words for people in the sender's language, the same numbers as JSON and as
 * CSV. Addresses that a sender should remove stand in plain: he wrote them and was answered "no
 * such user" himself. Everything else is a count.
 */
#include <errno.h>
#include <stdio.h>

#include "base/clock.h"
#include "base/json.h"
#include "base/limits.h"
#include "feedback/digest.h"
#include "feedback/outgoing.h"
#include "feedback/queue_private.h"
#include "feedback/webhook.h"

struct telling {
	struct complaint_desk *desk;
	struct db *db;
	const struct filing *filing;
	const struct digest_period *period;
	int64_t now_us;
	struct arena arena;
	struct buf text, csv, csv2, object;
	struct json j;
	bool zh;
};

static const char *period_text(struct telling *t)
{
	char from[CLOCK_TEXT_BYTES], to[CLOCK_TEXT_BYTES];
	clock_rfc3339(t->period->from_hour * 3600 * US_PER_S, from);
	clock_rfc3339(t->period->to_hour * 3600 * US_PER_S, to);
	struct span text = arena_printf(&t->arena, "%s/%s", from, to);
	return text.n ? text.p : "";
}

/* RFC 4180 */
static void add_cell(struct buf *csv, struct span s, bool last)
{
	buf_addc(csv, '"');
	for (size_t i = 0; i < s.n; i++) {
		if (s.p[i] == '"')
			buf_addc(csv, '"');
		buf_addc(csv, (unsigned char)s.p[i] < 32 ? ' ' : s.p[i]);
	}
	buf_adds(csv, last ? "\"\r\n" : "\",");
}

static struct span or_blank(struct span s)
{
	return s.p ? s : SPAN("");
}

static void add_number(struct buf *csv, int64_t n)
{
	buf_addf(csv, "%lld,", (long long)n);
}

static struct db_query *query(struct telling *t, const char *sql)
{
	struct db_query *s = db_query(t->db, sql);
	db_bind_text(s, 1, t->filing->key);
	db_bind_int(s, 2, t->period->from_hour);
	db_bind_int(s, 3, t->period->to_hour);
	return s;
}

static void open_object(struct telling *t, const char *digest)
{
	t->j = JSON_INIT(&t->object);
	json_open(&t->j, NULL, '{');
	json_cstr(&t->j, "digest", digest);
	json_int(&t->j, "version", 1);
	json_text(&t->j, "sender", t->filing->key);
	json_cstr(&t->j, "period", period_text(t));
	json_cstr(&t->j, "length", t->period->day ? "day" : "hour");
}

static void write_mail(struct telling *t, struct outgoing *m, const char *csv_name,
		       const char *csv2_name, struct buf *mail)
{
	outgoing_begin(m, mail, &t->arena);
	outgoing_text(m, buf_span(&t->text));
	outgoing_attach(m, "application/json", "digest.json", buf_span(&t->object));
	outgoing_attach(m, "text/csv; charset=utf-8", csv_name, buf_span(&t->csv));
	if (csv2_name)
		outgoing_attach(m, "text/csv; charset=utf-8", csv2_name, buf_span(&t->csv2));
	outgoing_end(m);
}

/* Puts the digest into the queue. */
static int send(struct telling *t, const char *kind, const char *subject, const char *csv_name,
		const char *csv2_name)
{
	const struct config *config = t->desk->config;
	bool object = t->filing->feedback.url.p != NULL;
	struct span to = object ? t->filing->feedback.url : t->filing->feedback.address;
	struct span why, from = span_of(config->report.from);
	char id_text[ID_BYTES];
	if (!from.n)
		from = arena_printf(&t->arena, "postmaster@%s", config->host);
	struct span domain = span_sub(from, span_rfind_char(from, '@') + 1, from.n);
	id_make(t->now_us, id_text);
	struct span id = span_of(id_text);
	struct outgoing m = {
		.from = from, .to = to, .id = id, .now_us = t->now_us,
		.subject = arena_printf(&t->arena, "%s, %.*s, %s", subject,
					SPAN_ARG(t->filing->key), period_text(t)),
		.message_id = arena_printf(&t->arena, "<%s.%s@%.*s>", id_text, kind,
					   SPAN_ARG(domain)),
	};
	struct buf mail = BUF_INIT;
	json_close(&t->j, '}');
	buf_addc(&t->object, '\n');
	if (object)
		webhook_write_digest(id, span_of(kind), t->filing->key, t->now_us,
				     buf_span(&t->object), &mail);
	else
		write_mail(t, &m, csv_name, csv2_name, &mail);
	int r = queue_address_why(t->desk->queue, t->filing->key, to, &t->arena, &why);
	bool failed = mail.failed || t->text.failed || t->object.failed || t->csv.failed ||
		      t->csv2.failed || t->arena.overflowed;
	if (r == 0 && failed)
		r = -ENOMEM;
	if (r == 0) {
		struct queue_item item = {
			.id = id, .sender = t->filing->key, .kind = span_of(kind), .to = to,
			.message_id = m.message_id, .reply = why,
			.envelope = keys_envelope(&t->desk->keys, from, id, &t->arena),
			.message = buf_span(&mail), .created_us = t->now_us, .due_us = t->now_us,
		};
		r = queue_put(t->desk->queue, &item);
	}
	buf_free(&mail);
	return r;
}

/* --- errors --------------------------------------------------------------------------------- */

static int add_totals(struct telling *t, int64_t *refused_r)
{
	struct db_query *s = query(t, "SELECT ifnull(sum(answers), 0), ifnull(sum(hard), 0),"
				      " ifnull(sum(soft), 0) FROM digest_total"
				      " WHERE sender = ?1 AND hour >= ?2 AND hour < ?3");
	int r = db_step(s);
	if (r == DB_ROW) {
		long long answers = (long long)db_int(s, 0), hard = (long long)db_int(s, 1),
			  soft = (long long)db_int(s, 2);
		json_int(&t->j, "answers", answers);
		json_int(&t->j, "hard", hard);
		json_int(&t->j, "soft", soft);
		*refused_r = hard + soft;
		buf_addf(&t->text,
			 t->zh ? "时段：%s\n收件人应答 %lld 次，其中永久拒收 %lld 次，暂时拒收 %lld 次。\n\n"
			       : "Period: %s\n%lld recipients were answered; %lld were refused for good, "
				 "%lld for now.\n\n",
			 period_text(t), answers, hard, soft);
	}
	db_end(s);
	return r < 0 ? r : 0;
}

static void add_code(struct telling *t, struct db_query *s, const struct digest_class *class)
{
	char first[CLOCK_TEXT_BYTES], last[CLOCK_TEXT_BYTES];
	clock_rfc3339(db_int(s, 5), first);
	clock_rfc3339(db_int(s, 6), last);
	json_open(&t->j, NULL, '{');
	json_text(&t->j, "campaign", db_text(s, 0).n ? db_text(s, 0) : SPAN_NONE);
	json_int(&t->j, "code", db_int(s, 1));
	json_text(&t->j, "enhanced", db_text(s, 2).n ? db_text(s, 2) : SPAN_NONE);
	json_cstr(&t->j, "at", db_int(s, 3) ? "recipient" : "message");
	json_cstr(&t->j, "class", class->name);
	json_int(&t->j, "count", db_int(s, 4));
	json_cstr(&t->j, "first", first);
	json_cstr(&t->j, "last", last);
	json_text(&t->j, "sample", db_text(s, 7));
	json_cstr(&t->j, "advice", t->zh ? class->advice_zh : class->advice);
	json_close(&t->j, '}');
	add_cell(&t->csv, db_text(s, 0), false);
	add_number(&t->csv, db_int(s, 1));
	add_cell(&t->csv, db_text(s, 2), false);
	add_cell(&t->csv, span_of(class->name), false);
	add_number(&t->csv, db_int(s, 4));
	add_cell(&t->csv, span_of(first), false);
	add_cell(&t->csv, span_of(last), false);
	add_cell(&t->csv, db_text(s, 7), true);
	buf_addf(&t->text, "%8lld  %lld %-7.*s %-10s %.*s\n          %s ... %s\n          %.*s\n",
		 (long long)db_int(s, 4), (long long)db_int(s, 1), SPAN_ARG(db_text(s, 2)),
		 class->name, SPAN_ARG(db_text(s, 0)), first, last,
		 SPAN_ARG(span_sub(db_text(s, 7), 0, 100)));
}

static int add_codes(struct telling *t)
{
	const struct digest_class *seen[16];
	size_t n_seen = 0;
	struct db_query *s = query(t,
		"SELECT campaign, code, enhanced, at_rcpt, sum(n), min(first_us), max(last_us), min(sample)"
		" FROM digest_code WHERE sender = ?1 AND hour >= ?2 AND hour < ?3"
		" GROUP BY campaign, code, enhanced, at_rcpt ORDER BY campaign, sum(n) DESC LIMIT ?4");
	int r;
	db_bind_int(s, 4, LIMIT_DIGEST_ROWS);
	json_open(&t->j, "codes", '[');
	buf_adds(&t->csv, "campaign,code,enhanced,class,count,first,last,sample\r\n");
	while ((r = db_step(s)) == DB_ROW) {
		const struct digest_class *class =
			digest_classify(db_int(s, 1), db_text(s, 2), db_int(s, 3) != 0);
		size_t at = 0;
		while (at < n_seen && seen[at] != class)
			at++;
		if (at == n_seen && n_seen < 16)
			seen[n_seen++] = class;
		add_code(t, s, class);
	}
	db_end(s);
	json_close(&t->j, ']');
	buf_adds(&t->text, "\n");
	for (size_t i = 0; i < n_seen; i++)
		buf_addf(&t->text, "%s: %s\n", seen[i]->name,
			 t->zh ? seen[i]->advice_zh : seen[i]->advice);
	return r;
}

/* From now on he knows: another try is a matter of hygiene. */
static int remember_told(struct telling *t, struct span address)
{
	char hash[SHA256_TEXT_BYTES];
	struct db_query *s = db_query(t->db, "INSERT OR IGNORE INTO digest_removed"
					     " (sender, rcpt, told_us) VALUES (?1, ?2, ?3)");
	db_bind_text(s, 1, t->filing->key);
	db_bind_text(s, 2, span_of(queue_rcpt_hash(address, hash)));
	db_bind_int(s, 3, t->now_us);
	return db_run(s);
}

static int add_addresses(struct telling *t)
{
	struct db_query *s = query(t,
		"SELECT address, max(code), max(enhanced), sum(n), sum(again), min(first_us), max(last_us)"
		" FROM digest_address WHERE sender = ?1 AND hour >= ?2 AND hour < ?3"
		" GROUP BY address ORDER BY address");
	int64_t addresses = 0, again = 0;
	int r;
	json_open(&t->j, "remove", '[');
	buf_adds(&t->csv2, "address,code,enhanced,count,tried_again,first,last\r\n");
	while ((r = db_step(s)) == DB_ROW) {
		char first[CLOCK_TEXT_BYTES], last[CLOCK_TEXT_BYTES];
		clock_rfc3339(db_int(s, 5), first);
		clock_rfc3339(db_int(s, 6), last);
		again += db_int(s, 4) > 0;
		if (addresses++ >= LIMIT_DIGEST_ROWS)
			continue;
		if ((r = remember_told(t, db_text(s, 0))) < 0)
			break;
		json_open(&t->j, NULL, '{');
		json_text(&t->j, "address", db_text(s, 0));
		json_int(&t->j, "code", db_int(s, 1));
		json_text(&t->j, "enhanced", db_text(s, 2).n ? db_text(s, 2) : SPAN_NONE);
		json_int(&t->j, "count", db_int(s, 3));
		json_int(&t->j, "tried_again", db_int(s, 4));
		json_cstr(&t->j, "first", first);
		json_cstr(&t->j, "last", last);
		json_close(&t->j, '}');
		add_cell(&t->csv2, db_text(s, 0), false);
		add_number(&t->csv2, db_int(s, 1));
		add_cell(&t->csv2, db_text(s, 2), false);
		add_number(&t->csv2, db_int(s, 3));
		add_number(&t->csv2, db_int(s, 4));
		add_cell(&t->csv2, span_of(first), false);
		add_cell(&t->csv2, span_of(last), true);
	}
	db_end(s);
	json_close(&t->j, ']');
	json_int(&t->j, "remove_total", addresses);
	json_int(&t->j, "hygiene_warnings", again);
	if (addresses)
		buf_addf(&t->text, t->zh ? "\n应删除的地址：%lld 个，见 addresses.csv。\n"
					 : "\n%lld addresses are to be removed; addresses.csv lists them.\n",
			 (long long)addresses);
	if (again)
		buf_addf(&t->text,
			 t->zh ? "警告：其中 %lld 个此前已告知应删除，仍在继续发送（第 2.4.4 条）。\n"
			       : "Warning: %lld of them were in an earlier digest and were tried again "
				 "(clause 2.4.4).\n",
			 (long long)again);
	return r;
}

static int tell_errors(struct telling *t, unsigned *made)
{
	int64_t refused = 0;
	open_object(t, "error");
	int r = add_totals(t, &refused);
	if (r < 0 || refused == 0)
		return r;
	if ((r = add_codes(t)) < 0 || (r = add_addresses(t)) < 0)
		return r;
	++*made;
	return send(t, "error-digest",
		    t->zh ? (t->period->day ? "错误日报" : "错误时报")
			  : (t->period->day ? "Delivery errors of a day" : "Delivery errors of an hour"),
		    "codes.csv", "addresses.csv");
}

/* --- complaints ------------------------------------------------------------------------------ */

/* "complaint report 12", "report suppressed 3" as one object of counts each. */
static int add_outcomes(struct telling *t, const char *event, const char *key, int64_t *n_r,
			int64_t *suppressed_r)
{
	struct db_query *s = query(t,
		"SELECT kind, word, sum(n) FROM digest_complaint WHERE sender = ?1 AND hour >= ?2"
		" AND hour < ?3 AND event = ?4 GROUP BY kind, word ORDER BY kind, word");
	int r;
	db_bind_text(s, 4, span_of(event));
	json_open(&t->j, key, '[');
	while ((r = db_step(s)) == DB_ROW) {
		int64_t n = db_int(s, 2);
		json_open(&t->j, NULL, '{');
		json_text(&t->j, "kind", db_text(s, 0));
		json_text(&t->j, event[0] == 'c' ? "outcome" : "state", db_text(s, 1));
		json_int(&t->j, "count", n);
		json_close(&t->j, '}');
		buf_addf(&t->text, "%8lld  %s %.*s %.*s\n", (long long)n, event,
			 SPAN_ARG(db_text(s, 0)), SPAN_ARG(db_text(s, 1)));
		*n_r += n;
		if (span_eq(db_text(s, 1), SPAN("suppressed")))
			*suppressed_r += n;
	}
	db_end(s);
	json_close(&t->j, ']');
	return r;
}

/* Each report of the period with the Message-ID that it is about: what was not sent is here. */
static int add_reports(struct telling *t)
{
	struct db_query *s = query(t,
		"SELECT report.id, report.kind, report.state, report.reply, complaint.message,"
		" report.created_us FROM report LEFT JOIN complaint ON complaint.id = report.complaint"
		" WHERE report.sender = ?1 AND report.created_us >= ?2 * 3600000000"
		" AND report.created_us < ?3 * 3600000000 AND report.complaint IS NOT NULL"
		" ORDER BY report.id LIMIT ?4");
	int r;
	db_bind_int(s, 4, LIMIT_DIGEST_ROWS);
	buf_adds(&t->csv, "report,kind,state,why,message_id,time\r\n");
	while ((r = db_step(s)) == DB_ROW) {
		char time[CLOCK_TEXT_BYTES];
		bool told = span_eq(db_text(s, 2), SPAN("suppressed"));
		for (int column = 0; column < 5; column++)
			add_cell(&t->csv, column == 3 && !told ? SPAN("") : or_blank(db_text(s, column)),
				 false);
		add_cell(&t->csv, span_of(clock_rfc3339(db_int(s, 5), time)), true);
	}
	db_end(s);
	return r;
}

static int tell_complaints(struct telling *t, unsigned *made)
{
	int64_t complaints = 0, reports = 0, suppressed = 0;
	open_object(t, "complaint");
	buf_addf(&t->text, t->zh ? "时段：%s\n\n" : "Period: %s\n\n", period_text(t));
	int r = add_outcomes(t, "complaint", "complaints", &complaints, &suppressed);
	if (r == 0)
		r = add_outcomes(t, "report", "reports", &reports, &suppressed);
	/* An hour is worth a mail when something of it is told nowhere else. */
	if (r < 0 || complaints + reports == 0 || (!t->period->day && suppressed == 0))
		return r;
	if ((r = add_reports(t)) < 0)
		return r;
	buf_adds(&t->text, t->zh ? "\n未单独发送的报告及原因见 reports.csv。\n"
				 : "\nreports.csv lists the reports, those too that were not sent, and "
				   "why.\n");
	++*made;
	return send(t, "complaint-digest",
		    t->zh ? (t->period->day ? "投诉日报" : "投诉时报")
			  : (t->period->day ? "Complaints of a day" : "Complaints of an hour"),
		    "reports.csv", NULL);
}

/* --- one sender -------------------------------------------------------------------------------- */

static void begin(struct telling *t)
{
	buf_reset(&t->text);
	buf_reset(&t->csv);
	buf_reset(&t->csv2);
	buf_reset(&t->object);
}

int digest_tell(struct complaint_desk *desk, struct span sender, const struct digest_period *period,
		int64_t now_us, unsigned *made_r)
{
	struct telling t = {.desk = desk, .db = desk->queue->db, .period = period, .now_us = now_us};
	if (!registry_senders(desk->registry))
		return -EIO;
	t.filing = registry_filing(desk->registry, sender);
	if (!t.filing || !t.filing->feedback.address.p)
		return 0;
	t.zh = t.filing->feedback.chinese;
	arena_init(&t.arena, LIMIT_ARENA_BYTES);
	int r = t.filing->feedback.error ? tell_errors(&t, made_r) : 0;
	begin(&t);
	if (r == 0 && t.filing->feedback.complaint)
		r = tell_complaints(&t, made_r);
	buf_free(&t.text);
	buf_free(&t.csv);
	buf_free(&t.csv2);
	buf_free(&t.object);
	arena_free(&t.arena);
	return r;
}
