#include "feedback/failure.h"

#include <errno.h>
#include <stdlib.h>

#include "analyze/dns.h"
#include "base/clock.h"
#include "base/limits.h"
#include "base/log.h"
#include "feedback/arf.h"
#include "feedback/arf_lint.h"
#include "feedback/queue_private.h"

struct failure_desk {
	struct complaint_desk *desk;
	struct event_base *loop;
	struct dns *dns;
	struct dns_session *session; /* NULL: nothing is asked */
};

/* --- counting ---------------------------------------------------------------------------- */

static const struct json_value *auth_of(const struct json_value *event, const char *method)
{
	return json_in_get(json_in_get(event, "auth"), method);
}

/* A registered sender whose domain this is and who wants to know. */
static const struct filing *filing_of(struct complaint_desk *desk, struct span domain)
{
	const struct sender_table *table = registry_senders(desk->registry);
	const struct sender_entry *s = table ? sender_by_domain(table, domain) : NULL;
	if (table && !s)
		s = sender_by_dkim(table, domain);
	const struct filing *f = s ? registry_filing(desk->registry, s->key) : NULL;
	return f && f->feedback.auth_failure && f->feedback.address.p ? f : NULL;
}

int failure_count(struct complaint_desk *desk, const struct json_value *event, struct span line,
		  int64_t time_us, int64_t hour)
{
	struct span from = json_in_text(json_in_get(event, "from"));
	struct span peer = json_in_text(json_in_get(event, "peer"));
	if (!from.n || !peer.n || line.n > LIMIT_FAILURE_BYTES ||
	    !span_eq(json_in_text(json_in_get(auth_of(event, "dmarc"), "result")), SPAN("fail")))
		return 0;
	const struct filing *f = filing_of(desk, arf_domain_of(from));
	if (!f)
		return 0;
	struct db_query *s = db_query(desk->queue->db,
		"INSERT INTO failure (sender, hour, domain, peer, n, time_us, line)"
		" SELECT ?1, ?2, lower(?3), ?4, 1, ?5, ?6 WHERE EXISTS (SELECT 1 FROM failure WHERE"
		"  sender = ?1 AND hour = ?2 AND domain = lower(?3) AND peer = ?4)"
		"  OR (SELECT count(*) FROM failure WHERE sender = ?1) < ?7"
		" ON CONFLICT (sender, hour, domain, peer) DO UPDATE SET n = n + 1");
	db_bind_text(s, 1, f->key);
	db_bind_int(s, 2, hour);
	db_bind_text(s, 3, arf_domain_of(from));
	db_bind_text(s, 4, peer);
	db_bind_int(s, 5, time_us);
	db_bind_text(s, 6, line);
	db_bind_int(s, 7, LIMIT_FAILURE_ROWS);
	return db_run(s);
}

/* --- one row -------------------------------------------------------------------------------- */

struct row {
	struct span sender, domain, peer, line;
	int64_t hour, n, time_us;
	struct json_value *event;
};

/* The first of an hour that is over; QUEUE_E_NONE. */
static int load(struct queue *q, struct arena *arena, struct row *row)
{
	struct db_query *s = db_query(q->db, "SELECT sender, hour, domain, peer, n, time_us, line"
					     " FROM failure WHERE hour <= (SELECT closed_hour FROM"
					     " digest_mark) ORDER BY hour LIMIT 1");
	int r = db_step(s);
	if (r == DB_ROW)
		*row = (struct row){
			.sender = arena_copy(arena, db_text(s, 0)),
			.domain = arena_copy(arena, db_text(s, 2)),
			.peer = arena_copy(arena, db_text(s, 3)),
			.line = arena_copy(arena, db_text(s, 6)),
			.hour = db_int(s, 1), .n = db_int(s, 4), .time_us = db_int(s, 5),
		};
	db_end(s);
	return r < 0 ? r : r != DB_ROW ? QUEUE_E_NONE : arena->overflowed ? -ENOMEM : 0;
}

static int remove_row(struct queue *q, const struct row *row)
{
	struct db_query *s = db_query(q->db, "DELETE FROM failure WHERE sender = ?1 AND hour = ?2"
					     " AND domain = ?3 AND peer = ?4");
	db_bind_text(s, 1, row->sender);
	db_bind_int(s, 2, row->hour);
	db_bind_text(s, 3, row->domain);
	db_bind_text(s, 4, row->peer);
	return db_run(s);
}

/* --- its report ------------------------------------------------------------------------------ */

/* Whether a domain is one that DMARC would have aligned with the From. */
static bool aligned(const struct row *row, struct span domain)
{
	struct span policy = json_in_text(json_in_get(auth_of(row->event, "dmarc"), "domain"));
	return domain.n && domain_covers(policy.n ? policy : row->domain, domain);
}

/* The domain of an SPF identity that failed although it was aligned; .p NULL: none did. */
static struct span failed_spf(const struct row *row)
{
	const struct json_value *spf = auth_of(row->event, "spf");
	struct span result = json_in_text(json_in_get(spf, "result"));
	struct span domain = arf_domain_of(json_in_text(json_in_get(spf, "domain")));
	bool none = !result.n || span_eq(result, SPAN("none")) || span_eq(result, SPAN("pass"));
	return !none && aligned(row, domain) ? domain : SPAN_NONE;
}

/* The header fields that the log has kept. */
static struct span header_of(const struct row *row, struct arena *arena)
{
	struct buf text = BUF_INIT;
	struct span subject = json_in_text(json_in_get(row->event, "subject"));
	struct span id = json_in_text(json_in_get(row->event, "message_id"));
	struct span from = json_in_text(json_in_get(row->event, "from"));
	buf_addf(&text, "From: <%.*s>\r\nSubject: ", SPAN_ARG(from));
	redact_encode_words(subject.n ? subject : SPAN("(none)"), arena, &text);
	if (id.n && span_find_char(id, '\n') == SIZE_MAX && span_find_char(id, '\r') == SIZE_MAX)
		buf_addf(&text, "\r\nMessage-ID: %.*s", SPAN_ARG(id));
	buf_adds(&text, "\r\n\r\n");
	struct span copy = text.failed ? SPAN_NONE : arena_copy(arena, buf_span(&text));
	buf_free(&text);
	return copy;
}

static struct span delivery_of(const struct row *row)
{
	int64_t code = 0;
	if (!json_in_int(json_in_get(json_in_get(row->event, "reply"), "code"), &code))
		code = 0;
	struct span action = json_in_text(json_in_get(row->event, "action"));
	return code >= 500 || span_eq(action, SPAN("reject")) ? SPAN("reject")
	       : code >= 400 || span_eq(action, SPAN("defer")) ? SPAN("other")
							       : SPAN("delivered");
}

static void fill_failure(const struct row *row, struct span spf_record, struct arena *arena,
			 struct arf_failure *failure)
{
	const struct json_value *dkim = auth_of(row->event, "dkim");
	*failure = (struct arf_failure){.incidents = (uint64_t)row->n,
					.delivery = delivery_of(row)};
	for (size_t i = 0; i < json_in_count(dkim) && !failure->dkim_domain.n; i++) {
		const struct json_value *one = json_in_at(dkim, i);
		struct span d = json_in_text(json_in_get(one, "d"));
		if (!aligned(row, d) || span_eq(json_in_text(json_in_get(one, "result")), SPAN("pass")))
			continue;
		failure->dkim_domain = d;
		failure->dkim_selector = json_in_text(json_in_get(one, "s"));
	}
	struct span domain = failed_spf(row);
	if (domain.n && spf_record.n)
		failure->spf_dns = arena_printf(arena, "txt:%.*s:\"%.*s\"", SPAN_ARG(domain),
						SPAN_ARG(spf_record));
}

static int write_report(struct complaint_desk *desk, const struct row *row,
			const struct filing *filing, struct span spf_record, struct span id,
			int64_t now_us, struct arena *arena, struct buf *out, struct span *message_id_r)
{
	const struct config *config = desk->config;
	struct arf_failure failure;
	struct message message;
	uint8_t key[SHA256_BYTES];
	const struct json_value *rcpts = json_in_get(row->event, "rcpts");
	int r = message_parse(&message, arena, header_of(row, arena));
	if (r < 0)
		return r;
	fill_failure(row, spf_record, arena, &failure);
	struct arf_report report = {
		.id = id, .kind = SPAN("auth-failure"), .now_us = now_us,
		.host = span_of(config->host), .from = span_of(config->report.from),
		.to = filing->feedback.address,
		.lang = filing->feedback.chinese ? LANG_ZH : LANG_EN,
		.mail_from = json_in_text(json_in_get(row->event, "mail_from")),
		.reported_domain = row->domain, .arrival_us = row->time_us,
		.auth_results = arena_printf(arena, "%s; dmarc=fail header.from=%.*s", config->host,
					     SPAN_ARG(row->domain)),
		.message = &message, .profile = REDACT_TOKEN, .failure = &failure,
	};
	if (!ip_parse(row->peer, &report.source))
		report.source.family = 0;
	keys_token(&desk->keys, row->sender, now_us, key);
	report.redactor = redactor_create(arena, (struct span){(char *)key, sizeof(key)},
					  arf_domain_of(report.from), false);
	if (!report.redactor)
		return -ENOMEM;
	for (size_t i = 0; i < json_in_count(rcpts); i++)
		redactor_add(report.redactor, json_in_text(json_in_get(json_in_at(rcpts, i), "to")));
	*message_id_r = arf_message_id(&report, arena);
	r = arf_write(&report, arena, out);
	return r == 0 && !arf_lint_log(buf_span(out), SPAN_NONE, id) ? -EBADMSG : r;
}

/* Inside a transaction: into the queue, or nowhere when it is too many or nobody wants it now. */
static int put(struct complaint_desk *desk, const struct row *row, struct span spf_record,
	       int64_t now_us, struct arena *arena, bool *made_r)
{
	char text[ID_BYTES];
	const struct filing *filing = filing_of(desk, row->domain);
	struct span why, message_id;
	uint64_t today = 0;
	struct buf mail = BUF_INIT;
	if (!filing || !span_eq(filing->key, row->sender))
		return 0;
	int r = queue_address_why(desk->queue, row->sender, filing->feedback.address, arena, &why);
	if (r == 0 && !why.p)
		r = queue_count_today(desk->queue,
				      arena_printf(arena, "failure %.*s", SPAN_ARG(row->sender)),
				      now_us, &today);
	if (r < 0 || why.p || today > LIMIT_FAILURES_PER_DAY)
		return r;
	id_make(now_us, text);
	struct span id = span_of(text);
	r = write_report(desk, row, filing, spf_record, id, now_us, arena, &mail, &message_id);
	if (r == 0) {
		struct queue_item item = {
			.id = id, .sender = row->sender, .kind = SPAN("auth-failure"),
			.to = filing->feedback.address, .message_id = message_id,
			.envelope = keys_envelope(&desk->keys, span_of(desk->config->report.from), id,
						  arena),
			.message = buf_span(&mail), .created_us = now_us, .due_us = now_us,
		};
		r = queue_put(desk->queue, &item);
		*made_r = r == 0;
	}
	buf_free(&mail);
	return r == -EBADMSG ? 0 : r; /* said in the log; it would be wrong every time */
}

/* --- the DNS --------------------------------------------------------------------------------- */

static void on_wake(void *arg)
{
	(void)arg; /* the next call looks */
}

/* The record that failed. False: it is not known yet. */
static bool ask(struct failure_desk *f, struct span domain, struct span *record_r)
{
	*record_r = SPAN_NONE;
	if (!f->dns && dns_create(&f->dns, f->loop, f->desk->config) != 0)
		return true; /* without it the report says less */
	if (!f->session && !(f->session = dns_session_create(f->dns, on_wake, f)))
		return true;
	const struct dns_answer *txt = dns_get(f->session, domain, DNS_TXT);
	for (size_t i = 0; i < txt->n; i++)
		if (span_case_starts(txt->records[i].name, SPAN("v=spf1")))
			*record_r = txt->records[i].name;
	return txt->status != DNS_WAIT;
}

static void asked(struct failure_desk *f, bool all)
{
	dns_session_release(f->session);
	f->session = NULL;
	if (all) {
		dns_free(f->dns);
		f->dns = NULL;
	}
}

static int tell(struct failure_desk *f, struct row *row, int64_t now_us, struct arena *arena,
		bool *made_r)
{
	struct span record = SPAN_NONE, domain = failed_spf(row);
	if (domain.n && !ask(f, domain, &record))
		return 0;
	int r = queue_begin(f->desk->queue);
	if (r == 0) {
		r = put(f->desk, row, record, now_us, arena, made_r);
		if (r == 0)
			r = remove_row(f->desk->queue, row);
		r = queue_end(f->desk->queue, r);
	}
	asked(f, false);
	return r;
}

int failure_work(struct failure_desk *f, int64_t now_us, bool *made_r)
{
	struct arena arena;
	struct row row;
	*made_r = false;
	if (!f->desk->config->report.from)
		return 0;
	arena_init(&arena, 4 * LIMIT_ARENA_BYTES);
	int r = load(f->desk->queue, &arena, &row);
	if (r == 0) {
		row.event = json_in_parse(row.line, NULL);
		r = tell(f, &row, now_us, &arena, made_r);
		json_in_free(row.event);
	} else if (r == QUEUE_E_NONE) {
		asked(f, true);
		r = 0;
	}
	arena_free(&arena);
	return r;
}

int failure_create(struct failure_desk **f_r, struct complaint_desk *desk, struct event_base *loop)
{
	struct failure_desk *f = calloc(1, sizeof(*f));
	*f_r = f;
	if (!f)
		return -ENOMEM;
	*f = (struct failure_desk){.desk = desk, .loop = loop};
	return 0;
}

void failure_free(struct failure_desk *f)
{
	if (!f)
		return;
	asked(f, true);
	free(f);
}
