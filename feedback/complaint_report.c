/* The report to one target: its text, its place in the queue. */
#include <errno.h>
#include <sys/random.h>

#include "base/clock.h"
#include "base/limits.h"
#include "feedback/arf.h"
#include "feedback/arf_lint.h"
#include "feedback/complaint_private.h"
#include "feedback/webhook.h"
#include "feedback/xarf.h"

/* RFC 8601 section 2.2 from what the event says. */
static struct span auth_results(struct intake *in)
{
	struct buf text = BUF_INIT;
	const struct json_value *spf = json_in_get(in->auth, "spf");
	const struct json_value *dkim = json_in_get(in->auth, "dkim");
	const struct json_value *dmarc = json_in_get(in->auth, "dmarc");
	struct span result = json_in_text(json_in_get(spf, "result"));
	buf_adds(&text, in->desk->config->host);
	if (result.n)
		buf_addf(&text, "; spf=%.*s smtp.mailfrom=%.*s", SPAN_ARG(result),
			 SPAN_ARG(arf_domain_of(json_in_text(json_in_get(spf, "domain")))));
	for (size_t i = 0; i < json_in_count(dkim) && i < DKIM_SIGNATURES_JUDGED; i++) {
		const struct json_value *one = json_in_at(dkim, i);
		result = json_in_text(json_in_get(one, "result"));
		if (result.n)
			buf_addf(&text, "; dkim=%.*s header.d=%.*s header.s=%.*s", SPAN_ARG(result),
				 SPAN_ARG(json_in_text(json_in_get(one, "d"))),
				 SPAN_ARG(json_in_text(json_in_get(one, "s"))));
	}
	result = json_in_text(json_in_get(dmarc, "result"));
	if (result.n && in->message.from.n)
		buf_addf(&text, "; dmarc=%.*s header.from=%.*s", SPAN_ARG(result),
			 SPAN_ARG(in->message.from.v[0].domain));
	struct span copy = span_find_char(buf_span(&text), ';') == SIZE_MAX
				   ? arena_printf(&in->arena, "%s; none", in->desk->config->host)
				   : arena_copy(&in->arena, buf_span(&text));
	buf_free(&text);
	return copy;
}

static void hide_recipients(struct intake *in, struct redactor *redactor)
{
	const struct json_value *rcpts = json_in_get(in->receipt.event, "rcpts");
	redactor_add(redactor, in->rcpt);
	for (size_t i = 0; i < json_in_count(rcpts); i++)
		redactor_add(redactor, json_in_text(json_in_get(json_in_at(rcpts, i), "to")));
	redactor_add_message(redactor, &in->message);
}

static int64_t due_us(const struct intake *in)
{
	uint64_t random = 0;
	const struct config *config = in->desk->config;
	if (config->complain.hold_us == 0) /* "0s sends at once" */
		return in->now_us;
	if (getrandom(&random, sizeof(random), 0) != (ssize_t)sizeof(random))
		random = (uint64_t)in->now_us;
	return in->now_us + config->complain.hold_us +
	       (int64_t)(random % (uint64_t)(config->complain.jitter_us + 1));
}

/* The same report under each try; a second one of the same complaint has an id of its own. */
static void name_report(struct intake *in, struct arf_report *report)
{
	struct complaint_result *result = in->result;
	char *id = result->reports[result->n_reports];
	id_make(in->now_us, id);
	report->id = span_of(result->n_reports == 0 ? result->id : id);
	result->n_reports++;
}

/* -EBADMSG: our linter finds it unfit, and has said why in the log. */
static int build(struct intake *in, const struct target *t, struct arf_report *report,
		 struct buf *text)
{
	bool xarf;
	uint8_t key[SHA256_BYTES];
	int64_t port;
	keys_token(&in->desk->keys, t->key, in->now_us, key);
	if (json_in_int(json_in_get(in->receipt.event, "port"), &port) && port > 0 && port < 65536)
		report->port = (uint16_t)port;
	report->redactor = redactor_create(&in->arena, (struct span){(char *)key, sizeof(key)},
					   arf_domain_of(report->from),
					   report->profile == REDACT_HEADERS);
	if (!report->redactor)
		return -ENOMEM;
	hide_recipients(in, report->redactor);
	if (t->object) {
		struct span id = span_of(in->result->reports[in->result->n_reports - 1]);
		int r = webhook_write(report, id, t->key, span_of(in->result->id), &in->arena, text);
		return r < 0 || webhook_lint_log(buf_span(text), in->rcpt, id) ? r : -EBADMSG;
	}
	xarf = t->xarf && xarf_can(report);
	int r = xarf ? xarf_write(report, &in->arena, text) : arf_write(report, &in->arena, text);
	if (r == 0 && !(xarf ? xarf_lint_log(buf_span(text), in->rcpt, report->id)
			     : arf_lint_log(buf_span(text), in->rcpt, report->id)))
		r = -EBADMSG;
	return r;
}

/* Why it is not sent; .p NULL: it is. */
static int suppressed(struct intake *in, const struct target *t, struct span *why_r)
{
	struct queue *q = in->desk->queue;
	*why_r = SPAN_NONE;
	int r = queue_address_why(q, t->key, t->to, &in->arena, why_r);
	uint64_t today;
	if (r < 0 || why_r->p)
		return r;
	uint64_t cap = in->desk->config->report.cap ? in->desk->config->report.cap
						    : LIMIT_REPORTS_PER_DAY;
	r = queue_count_today(q, t->key, in->now_us, &today);
	if (r == 0 && today > cap)
		*why_r = arena_printf(&in->arena, "more than %llu reports in a day: in the digest alone",
				      (unsigned long long)cap);
	return r;
}

int intake_report(struct intake *in, const struct target *t)
{
	const struct config *config = in->desk->config;
	struct span from = span_of(config->report.from ? config->report.from : "");
	struct span why;
	int r = suppressed(in, t, &why);
	if (r < 0)
		return r;
	if (!from.n)
		from = arena_printf(&in->arena, "postmaster@%s", config->host);
	struct arf_report report = {
		.kind = in->kind, .now_us = in->now_us,
		.host = span_of(config->host), .from = from, .to = t->to,
		.lang = t->chinese ? LANG_ZH : LANG_EN,
		.mail_from = in->mail_from, .rcpt = in->rcpt,
		.reported_domain = t->reported_domain, .auth_results = auth_results(in),
		.arrival_us = in->receipt.time_us, .source = in->peer, .message = &in->message,
		.profile = t->profile,
	};
	name_report(in, &report);
	struct span id = span_of(in->result->reports[in->result->n_reports - 1]);
	struct buf text = BUF_INIT;
	r = why.p ? 0 : build(in, t, &report, &text);
	/* The complaint counts all the same; who brought it could bring it again for ever. */
	if (r == -EBADMSG) {
		why = SPAN("a report about this message would be malformed or name the recipient");
		r = 0;
	}
	if (r == 0) {
		struct queue_item item = {
			.id = id, .sender = t->key, .kind = in->kind, .to = t->to,
			.message_id = arf_message_id(&report, &in->arena),
			.complaint = span_of(in->result->id), .reply = why,
			.envelope = keys_envelope(&in->desk->keys, from, id, &in->arena),
			.message = buf_span(&text), .created_us = in->now_us, .due_us = due_us(in),
		};
		r = queue_put(in->desk->queue, &item);
	}
	buf_free(&text);
	return r;
}
