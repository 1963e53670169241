#include "feedback/webhook.h"

#include <errno.h>

#include "base/clock.h"
#include "base/digest.h"
#include "base/json.h"
#include "base/json_in.h"
#include "base/limits.h"
#include "base/log.h"

static void begin(struct json *j, struct span id, struct span kind, struct span sender,
		  int64_t now_us)
{
	char time[CLOCK_TEXT_BYTES];
	json_open(j, NULL, '{');
	json_int(j, "version", 1);
	json_text(j, "id", id);
	json_text(j, "kind", kind);
	json_cstr(j, "time", clock_rfc3339(now_us, time));
	json_text(j, "sender", sender);
}

static void add_fields(struct json *j, const struct arf_report *r)
{
	char ip[IP_TEXT_BYTES], time[CLOCK_TEXT_BYTES];
	bool hidden = redactor_hides(r->redactor, r->mail_from);
	json_text(j, "original_mail_from",
		  hidden ? redactor_show(r->redactor, r->mail_from) : r->mail_from);
	json_text(j, "original_rcpt_to",
		  r->rcpt.n ? redactor_show(r->redactor, r->rcpt) : SPAN_NONE);
	json_cstr(j, "arrival_date", clock_rfc3339(r->arrival_us, time));
	json_text(j, "reporting_mta", r->host);
	json_cstr(j, "source_ip", r->source.family ? ip_text(&r->source, ip) : NULL);
	if (r->port)
		json_int(j, "source_port", r->port);
	else
		json_null(j, "source_port");
	json_text(j, "authentication_results", r->auth_results);
	json_text(j, "reported_domain", r->reported_domain);
	json_text(j, "message_id",
		  r->message->message_id.n ? redact_text(r->redactor, r->message->message_id)
					   : SPAN_NONE);
	json_text(j, "subject", r->profile != REDACT_IDS_ONLY && r->message->subject.n
					? redact_text(r->redactor, r->message->subject)
					: SPAN_NONE);
}

int webhook_write(const struct arf_report *r, struct span id, struct span sender,
		  struct span complaint, struct arena *arena, struct buf *out)
{
	struct buf part3 = BUF_INIT;
	struct json j = JSON_INIT(out);
	bool whole, eight_bit;
	redact_message(r->redactor, r->message, r->profile, r->host, &part3, &whole, &eight_bit);
	begin(&j, id, r->kind, sender, r->now_us);
	json_text(&j, "complaint", complaint);
	add_fields(&j, r);
	json_open(&j, "original", '{');
	json_cstr(&j, "content_type", whole ? "message/rfc822" : "text/rfc822-headers");
	json_text(&j, "base64", base64_encode(arena, buf_span(&part3)));
	json_close(&j, '}');
	json_close(&j, '}');
	int trouble = part3.failed || out->failed || arena->overflowed ? -ENOMEM : 0;
	buf_free(&part3);
	return trouble;
}

void webhook_write_digest(struct span id, struct span kind, struct span sender, int64_t now_us,
			  struct span digest, struct buf *out)
{
	struct json j = JSON_INIT(out);
	begin(&j, id, kind, sender, now_us);
	json_key(&j, SPAN("digest"));
	buf_add(out, span_trim(digest));
	json_close(&j, '}');
}

void webhook_write_withdrawn(struct span id, struct span sender, struct span complaint,
			     const char *why, int64_t now_us, struct buf *out)
{
	struct json j = JSON_INIT(out);
	begin(&j, id, SPAN("withdrawn"), sender, now_us);
	json_text(&j, "complaint", complaint);
	json_cstr(&j, "why", why);
	json_close(&j, '}');
}

/* --- the linter ---------------------------------------------------------------------- */

static const char *fault_of(struct span object, struct span rcpt, const struct json_value *v,
			    struct arena *arena)
{
	static const char *const needed[] = {"version", "id", "kind", "time", "sender",
					     "original_mail_from", "arrival_date", "original"};
	struct span code = json_in_text(json_in_get(json_in_get(v, "original"), "base64"));
	char *room = arena_alloc(arena, code.n + 1);
	if (!v || span_find_char(object, '\n') != SIZE_MAX)
		return "it is not one line of JSON";
	for (size_t i = 0; i < sizeof(needed) / sizeof(needed[0]); i++)
		if (json_in_is_null(json_in_get(v, needed[i])))
			return "a field is missing";
	if (!room || !code.n)
		return "there is no original";
	struct span plain = {room, base64_decode(code, room)};
	if (rcpt.n && span_case_find(object, rcpt) != SIZE_MAX)
		return "the recipient's address stands in it";
	/* In the sender's own ids it may stay (VERP), as in arf_lint.c. */
	struct span line;
	while (span_next_line(&plain, &line))
		if (rcpt.n && span_case_find(line, rcpt) != SIZE_MAX &&
		    (span_case_starts(line, SPAN("to:")) || span_case_starts(line, SPAN("cc:")) ||
		     span_case_starts(line, SPAN("subject:")) ||
		     span_case_starts(line, SPAN("received:"))))
			return "the recipient's address stands in the original";
	return NULL;
}

bool webhook_lint_log(struct span object, struct span rcpt, struct span id)
{
	struct arena arena;
	arena_init(&arena, 4 * LIMIT_ARENA_BYTES);
	struct json_value *v = json_in_parse(object, NULL);
	const char *fault = fault_of(object, rcpt, v, &arena);
	if (fault)
		log_error("report.fault", "report=%.*s fault=\"%s\"", SPAN_ARG(id), fault);
	json_in_free(v);
	arena_free(&arena);
	return !fault;
}

/* --- the signature --------------------------------------------------------------------- */

struct span webhook_secret(const struct keys *k, struct span sender, struct arena *arena)
{
	uint8_t key[SHA256_BYTES];
	keys_webhook(k, sender, key);
	struct span code = base64_encode(arena, (struct span){(char *)key, sizeof(key)});
	return arena_printf(arena, "whsec_%.*s", SPAN_ARG(code));
}

struct span webhook_signature(const struct keys *k, struct span sender, struct span id,
			      int64_t time_s, struct span body, struct arena *arena)
{
	uint8_t key[SHA256_BYTES], mac[SHA256_BYTES];
	struct buf text = BUF_INIT;
	keys_webhook(k, sender, key);
	buf_addf(&text, "%.*s.%lld.", SPAN_ARG(id), (long long)time_s);
	buf_add(&text, body);
	hmac_sha256((struct span){(char *)key, sizeof(key)}, buf_span(&text), mac);
	struct span code = text.failed ? SPAN("")
				       : base64_encode(arena, (struct span){(char *)mac, sizeof(mac)});
	buf_free(&text);
	return arena_printf(arena, "v1,%.*s", SPAN_ARG(code));
}
