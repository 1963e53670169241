#include "feedback/xarf.h"

#include <errno.h>
#include <stdio.h>

#include "base/clock.h"
#include "base/digest.h"
#include "base/json.h"
#include "base/json_in.h"
#include "base/limits.h"
#include "base/log.h"
#include "feedback/entity.h"
#include "feedback/outgoing.h"

bool xarf_can(const struct arf_report *r)
{
	return span_eq(r->kind, SPAN("abuse")) && r->source.family && r->port && r->mail_from.n;
}

/* A version 4 UUID that is the same for every try of the report. */
static const char *uuid_of(struct span id, char out[40])
{
	char hex[SHA256_TEXT_BYTES];
	sha256_text(id, hex);
	snprintf(out, 40, "%.8s-%.4s-4%.3s-%c%.3s-%.12s", hex, hex + 8, hex + 13,
		 "89ab"[hex[16] & 3], hex + 17, hex + 20);
	return out;
}

static void add_contact(struct json *j, const char *key, const struct arf_report *r)
{
	struct span domain = arf_domain_of(r->from);
	json_open(j, key, '{');
	json_text(j, "org", domain);
	json_text(j, "contact", r->from);
	json_text(j, "domain", domain);
	json_close(j, '}');
}

static void add_evidence(struct json *j, struct span part3, bool whole, struct arena *arena)
{
	char hash[SHA256_TEXT_BYTES];
	json_open(j, "evidence", '[');
	json_open(j, NULL, '{');
	json_cstr(j, "content_type", whole ? "message/rfc822" : "text/rfc822-headers");
	json_cstr(j, "description", "the message, recipients as tokens");
	json_text(j, "payload", base64_encode(arena, part3));
	sha256_text(part3, hash);
	json_text(j, "hash", arena_printf(arena, "sha256:%s", hash));
	json_int(j, "size", (int64_t)part3.n);
	json_close(j, '}');
	json_close(j, ']');
}

/* JSON strings are UTF-8 whatever a header holds. */
static struct span text_of(const struct arf_report *r, struct span s, size_t most)
{
	s = redact_text(r->redactor, s);
	return span_sub(s, 0, most);
}

static void write_json(const struct arf_report *r, struct span part3, bool whole,
		       struct arena *arena, struct buf *out)
{
	struct json j = JSON_INIT(out);
	char ip[IP_TEXT_BYTES], time[CLOCK_TEXT_BYTES], uuid[40];
	bool hidden = redactor_hides(r->redactor, r->mail_from);
	json_open(&j, NULL, '{');
	json_cstr(&j, "xarf_version", "4.2.0");
	json_cstr(&j, "report_id", uuid_of(r->id, uuid));
	json_cstr(&j, "timestamp", clock_rfc3339(r->arrival_us, time));
	add_contact(&j, "reporter", r);
	add_contact(&j, "sender", r);
	json_cstr(&j, "source_identifier", ip_text(&r->source, ip));
	json_int(&j, "source_port", r->port);
	json_cstr(&j, "category", "messaging");
	json_cstr(&j, "type", "spam");
	json_cstr(&j, "evidence_source", "user_complaint");
	json_cstr(&j, "protocol", "smtp");
	json_text(&j, "smtp_from", hidden ? redactor_show(r->redactor, r->mail_from) : r->mail_from);
	if (r->rcpt.n)
		json_text(&j, "smtp_to", redactor_show(r->redactor, r->rcpt));
	if (r->profile != REDACT_IDS_ONLY && r->message->subject.n)
		json_text(&j, "subject", text_of(r, r->message->subject, 120));
	if (r->message->message_id.n && r->message->message_id.n <= 200)
		json_text(&j, "message_id", r->message->message_id);
	add_evidence(&j, part3, whole, arena);
	json_close(&j, '}');
	buf_addc(out, '\n');
}

int xarf_write(const struct arf_report *r, struct arena *arena, struct buf *out)
{
	struct buf part3 = BUF_INIT, object = BUF_INIT;
	bool whole, eight_bit;
	char ip[IP_TEXT_BYTES], date[CLOCK_TEXT_BYTES];
	redact_message(r->redactor, r->message, r->profile, r->host, &part3, &whole, &eight_bit);
	write_json(r, buf_span(&part3), whole, arena, &object);
	struct outgoing m = {
		.from = r->from, .to = r->to, .id = r->id, .now_us = r->now_us,
		.subject = SPAN("Abuse report (XARF)"), .message_id = arf_message_id(r, arena),
	};
	outgoing_begin(&m, out, arena);
	clock_rfc5322(r->arrival_us, date);
	ip_text(&r->source, ip);
	outgoing_text(&m, r->lang == LANG_ZH
		? arena_printf(arena, "收件人将一封邮件标记为垃圾邮件。来源 IP：%s，时间：%s。\n"
				      "详情见附件 xarf.json（XARF 4）。收件人地址以代号表示。\n"
				      "如不希望再收到此类报告，请回复本邮件，主题写 STOP。\n", ip, date)
		: arena_printf(arena, "A recipient marked a message as spam. It came from IP %s on\n%s.\n\n"
				      "xarf.json holds the details (XARF 4). The recipient's address is "
				      "shown as a\ntoken. To stop these reports, answer with the "
				      "subject STOP.\n", ip, date));
	outgoing_attach(&m, "application/json", "xarf.json", buf_span(&object));
	outgoing_end(&m);
	int trouble = part3.failed || object.failed || out->failed || arena->overflowed ? -ENOMEM : 0;
	buf_free(&part3);
	buf_free(&object);
	return trouble;
}

/* --- the linter ---------------------------------------------------------------------- */

static const char *fault_of(struct span report, struct span rcpt, struct arena *arena)
{
	struct entity top, parts[3];
	bool closed = false;
	const struct json_value *first;
	entity_read(&top, report);
	if (span_case_find(report, rcpt) != SIZE_MAX)
		return "the recipient's address stands in it";
	if (!entity_field(&top, "auto-submitted", 0, arena).p)
		return "no Auto-Submitted";
	if (entity_parts(&top, arena, parts, 3, &closed) != 2 || !closed)
		return "not two parts";
	struct span text = entity_decoded(&parts[1], arena);
	struct json_value *v = json_in_parse(text, NULL);
	const char *fault = v ? NULL : "xarf.json is no JSON";
	static const char *const needed[] = {
		"xarf_version", "report_id", "timestamp", "reporter", "sender", "source_identifier",
		"source_port", "category", "type", "protocol", "smtp_from", "evidence"};
	for (size_t i = 0; i < sizeof(needed) / sizeof(needed[0]) && !fault; i++)
		if (json_in_is_null(json_in_get(v, needed[i])))
			fault = "a field that XARF requires is missing";
	first = json_in_at(json_in_get(v, "evidence"), 0);
	struct span payload = json_in_text(json_in_get(first, "payload"));
	struct entity evidence = {SPAN_NONE, payload};
	if (!fault && !payload.n)
		fault = "no evidence";
	char *room = arena_alloc(arena, payload.n + 1);
	if (!fault && room) {
		struct span plain = {room, base64_decode(evidence.body, room)};
		if (rcpt.n && span_case_find(plain, rcpt) != SIZE_MAX)
			fault = "the recipient's address stands in the evidence";
	}
	if (!fault && rcpt.n && span_case_find(text, rcpt) != SIZE_MAX)
		fault = "the recipient's address stands in xarf.json";
	json_in_free(v);
	return fault;
}

bool xarf_lint_log(struct span report, struct span rcpt, struct span id)
{
	struct arena arena;
	arena_init(&arena, LIMIT_ARENA_BYTES);
	const char *fault = fault_of(report, rcpt, &arena);
	if (fault)
		log_error("report.fault", "report=%.*s fault=\"%s\"", SPAN_ARG(id), fault);
	arena_free(&arena);
	return !fault;
}
