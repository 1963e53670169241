#include "feedback/complaint.h"

#include <errno.h>
#include <stdio.h>
#include <sys/random.h>

#include "base/clock.h"
#include "base/json_in.h"
#include "base/limits.h"
#include "feedback/arf.h"
#include "feedback/arf_lint.h"
#include "feedback/arf_read.h"
#include "feedback/entity.h"

/* One complaint on its way. */
struct intake {
	struct complaint_desk *desk;
	struct complaint_result *result;
	struct arena arena;
	int64_t now_us;
	struct span kind, way, rcpt;
	struct message message;
	struct receipt receipt;
	bool found;
	/* from the event of the transaction */
	const struct json_value *auth;
	struct ip peer;
	struct span mail_from;
	/* who is told */
	const struct sender_entry *sender;
	struct span reported_domain;
};

const char *complaint_outcome_name(enum complaint_outcome outcome)
{
	static const char *const names[] = {"report",    "unverified",  "duplicate",
					    "no-sender", "failed-auth", "withdrawn"};
	return names[outcome];
}

int complaint_desk_open(struct complaint_desk *desk, const struct config *config)
{
	*desk = (struct complaint_desk){.config = config};
	int r = keys_open(&desk->keys, config->state);
	if (r == 0)
		r = registry_open(config->state, &desk->registry);
	if (r == 0)
		r = queue_open(config->state, &desk->queue);
	if (r < 0)
		complaint_desk_close(desk);
	return r;
}

void complaint_desk_close(struct complaint_desk *desk)
{
	registry_close(desk->registry);
	queue_close(desk->queue);
	desk->registry = NULL;
	desk->queue = NULL;
}

/* --- did we receive it ------------------------------------------------------------ */

/* "accept; id=01JD...; score=0" in our own field (CONTRACT section 4). */
static struct span event_id_of(struct intake *in)
{
	struct header *h = message_header(&in->message, "X-Assay-Verdict", NULL);
	if (!h)
		return SPAN_NONE;
	struct span text = message_header_text(&in->message, h), field;
	while (span_next_field(&text, ';', &field)) {
		field = span_trim(field);
		if (span_starts(field, SPAN("id=")) && id_valid(span_sub(field, 3, field.n)))
			return span_sub(field, 3, field.n);
	}
	return SPAN_NONE;
}

static int look(struct intake *in, struct span rcpt, struct span event_id)
{
	int r = in->desk->find(in->desk->config, in->message.message_id, rcpt, event_id,
			       &in->receipt);
	if (r == 0) {
		in->found = true;
		in->rcpt = rcpt;
	}
	return r == RECEIPT_NEVER ? 0 : r;
}

/* The one recipient of the transaction, when there is one. */
static struct span only_rcpt(const struct receipt *receipt)
{
	const struct json_value *rcpts = json_in_get(receipt->event, "rcpts");
	struct span only = SPAN_NONE;
	for (size_t i = 0; i < json_in_count(rcpts); i++) {
		const struct json_value *one = json_in_at(rcpts, i);
		double code;
		if (json_in_number(json_in_get(one, "code"), &code) && code >= 300)
			continue;
		if (only.p)
			return SPAN_NONE;
		only = json_in_text(json_in_get(one, "to"));
	}
	return only;
}

/* Who complains, when nobody said: what the delivery wrote into the header, then the addresses
 * that the message was sent to, as far as the receipt knows them. */
static int look_for_addressee(struct intake *in, struct span event_id)
{
	static const char *const names[] = {"Delivered-To", "X-Original-To", "Envelope-To",
					    "X-Envelope-To"};
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		struct header *h = message_header(&in->message, names[i], NULL);
		struct span address = h ? span_trim(message_header_text(&in->message, h)) : SPAN_NONE;
		if (address.n > 2 && address.p[0] == '<')
			address = span_sub(address, 1, address.n - 1);
		int r = address.n ? look(in, address, event_id) : 0;
		if (r < 0 || in->found)
			return r;
	}
	int r = look(in, SPAN_NONE, event_id);
	if (r < 0 || !in->found)
		return r;
	in->rcpt = only_rcpt(&in->receipt);
	if (in->rcpt.p) {
		in->rcpt = arena_copy(&in->arena, in->rcpt);
		return 0;
	}
	in->desk->release(&in->receipt);
	in->found = false;
	const struct addresses *lists[] = {&in->message.to, &in->message.cc};
	for (size_t k = 0; k < 2; k++)
		for (size_t i = 0; i < lists[k]->n && i < 20 && !in->found; i++)
			if ((r = look(in, lists[k]->v[i].addr, event_id)) < 0)
				return r;
	return 0;
}

static int verify(struct intake *in, struct span rcpt)
{
	struct span event_id = event_id_of(in);
	if (!in->message.message_id.n && !event_id.n)
		return 0;
	return rcpt.n ? look(in, rcpt, event_id) : look_for_addressee(in, event_id);
}

/* --- who is told ------------------------------------------------------------------- */

static bool result_is(const struct json_value *object, const char *result)
{
	return span_eq(json_in_text(json_in_get(object, "result")), span_of(result));
}

static const struct sender_entry *by_signature(struct intake *in, const struct sender_table *table,
					       bool passed)
{
	const struct json_value *dkim = json_in_get(in->auth, "dkim");
	for (size_t i = 0; i < json_in_count(dkim); i++) {
		const struct json_value *one = json_in_at(dkim, i);
		struct span d = json_in_text(json_in_get(one, "d"));
		if (result_is(one, "pass") != passed)
			continue;
		const struct sender_entry *found = sender_by_dkim(table, d);
		if (!found && !passed)
			found = sender_by_domain(table, d);
		if (found) {
			in->reported_domain = d;
			return found;
		}
	}
	return NULL;
}

/* The gate. Nobody is 0 too, and the outcome says why; that the registry cannot be read is no
 * reason to lose a complaint for good. */
static int find_sender(struct intake *in)
{
	const struct sender_table *table = registry_senders(in->desk->registry);
	const struct json_value *spf = json_in_get(in->auth, "spf");
	struct span spf_domain = json_in_text(json_in_get(spf, "domain"));
	if (!table)
		return -EIO;
	struct span author = in->message.from.n ? in->message.from.v[0].domain : SPAN_NONE;
	in->reported_domain = author.n ? author : arf_domain_of(in->mail_from);
	in->sender = by_signature(in, table, true);
	if (!in->sender)
		in->sender = sender_by_ip(table, &in->peer);
	if (!in->sender && result_is(spf, "pass")) {
		in->sender = sender_by_domain(table, spf_domain);
		if (in->sender)
			in->reported_domain = spf_domain;
	}
	if (in->sender)
		return 0;
	bool claimed = by_signature(in, table, false) || sender_by_domain(table, spf_domain) ||
		       sender_by_domain(table, author) || sender_by_dkim(table, author);
	in->result->outcome = claimed ? COMPLAINT_FAILED_AUTH : COMPLAINT_NO_SENDER;
	in->result->why = claimed ? "it claims a registered sender, but nothing that passed says so"
				  : "no registered sender is responsible for it";
	return 0;
}

static void read_event(struct intake *in)
{
	const struct json_value *e = in->receipt.event;
	in->auth = json_in_get(e, "auth");
	in->mail_from = json_in_text(json_in_get(e, "mail_from"));
	struct span peer = json_in_text(json_in_get(e, "peer"));
	if (peer.n && !ip_parse(peer, &in->peer))
		in->peer.family = 0;
}

/* --- the report --------------------------------------------------------------------- */

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

static int put_report(struct intake *in, const struct filing *filing)
{
	const struct config *config = in->desk->config;
	uint8_t key[SHA256_BYTES];
	struct span from = span_of(config->report.from ? config->report.from : "");
	if (!from.n)
		from = arena_printf(&in->arena, "postmaster@%s", config->host);
	keys_token(&in->desk->keys, filing->key, in->now_us, key);
	struct arf_report report = {
		.id = span_of(in->result->id), .kind = in->kind, .now_us = in->now_us,
		.host = span_of(config->host), .from = from, .to = filing->feedback.address,
		.lang = filing->feedback.chinese ? LANG_ZH : LANG_EN,
		.mail_from = in->mail_from, .rcpt = in->rcpt,
		.reported_domain = in->reported_domain, .auth_results = auth_results(in),
		.arrival_us = in->receipt.time_us, .source = in->peer, .message = &in->message,
		.profile = filing->feedback.profile,
	};
	int64_t port;
	if (json_in_int(json_in_get(in->receipt.event, "port"), &port) && port > 0 && port < 65536)
		report.port = (uint16_t)port;
	report.redactor = redactor_create(&in->arena, (struct span){(char *)key, sizeof(key)},
					  arf_domain_of(from),
					  report.profile == REDACT_HEADERS);
	if (!report.redactor)
		return -ENOMEM;
	hide_recipients(in, report.redactor);
	struct buf text = BUF_INIT;
	int r = arf_write(&report, &in->arena, &text);
	if (r == 0) {
		id_make(in->now_us, in->result->report);
		struct span id = span_of(in->result->report);
		struct queue_item item = {
			.id = id, .sender = filing->key, .kind = in->kind, .to = report.to,
			.message_id = arf_message_id(&report, &in->arena),
			.complaint = report.id,
			.envelope = keys_envelope(&in->desk->keys, from, id, &in->arena),
			.message = buf_span(&text), .created_us = in->now_us, .due_us = due_us(in),
		};
		r = arf_lint_log(item.message, in->rcpt, id) ? queue_put(in->desk->queue, &item)
							     : -EBADMSG;
	}
	buf_free(&text);
	return r;
}

/* --- decide --------------------------------------------------------------------------- */

/* Takes the report of the opposite complaint back while it is held. */
static int withdraw(struct intake *in, struct span message_key)
{
	struct queue_complaint earlier = {.rcpt = in->rcpt, .message = message_key,
					  .kind = SPAN("abuse")};
	int r = queue_seen(in->desk->queue, &earlier, in->now_us - LIMIT_COMPLAINT_US);
	if (r != 0 || !earlier.report[0])
		return r < 0 ? r : 0;
	r = queue_withdraw(in->desk->queue, span_of(earlier.report), "taken back: not spam");
	if (r != 0)
		return r == QUEUE_E_NONE ? 0 : r;
	in->result->outcome = COMPLAINT_WITHDRAWN;
	in->result->why = "the earlier complaint is taken back, nothing was sent";
	/* He may change his mind again. */
	return queue_forget(in->desk->queue, &earlier);
}

/* Inside the queue's transaction. */
static int decide(struct intake *in, const char *event_id)
{
	struct complaint_result *result = in->result;
	struct span message_key = in->message.message_id.n ? in->message.message_id
							   : span_of(event_id);
	struct queue_complaint seen = {.rcpt = in->rcpt, .message = message_key, .kind = in->kind};
	int r = queue_seen(in->desk->queue, &seen, in->now_us - LIMIT_COMPLAINT_US);
	if (r == 0) {
		result->outcome = COMPLAINT_DUPLICATE;
		result->why = "the same complaint was made before";
	}
	if (r != QUEUE_E_NONE)
		return r;
	read_event(in);
	if (span_eq(in->kind, SPAN("not-spam")) &&
	    ((r = withdraw(in, message_key)) < 0 || result->outcome == COMPLAINT_WITHDRAWN))
		return r;
	if ((r = find_sender(in)) < 0)
		return r;
	if (in->sender) {
		snprintf(result->sender, sizeof(result->sender), "%.*s", SPAN_ARG(in->sender->key));
		const struct filing *filing =
			registry_filing(in->desk->registry, in->sender->key);
		result->outcome = COMPLAINT_REPORT;
		result->why = "the sender will be told";
		if (filing && filing->feedback.complaint)
			r = put_report(in, filing);
		else
			result->why = "the sender has filed no address for complaints";
	}
	memcpy(seen.id, result->id, sizeof(seen.id));
	memcpy(seen.report, result->report, sizeof(seen.report));
	seen.time_us = in->now_us;
	return r < 0 ? r : queue_remember(in->desk->queue, &seen);
}

static int write_event(struct intake *in)
{
	struct buf line = BUF_INIT;
	struct json j = JSON_INIT(&line);
	char time[CLOCK_TEXT_BYTES];
	struct span sender = span_of(in->result->sender);
	json_open(&j, NULL, '{');
	json_cstr(&j, "event", "complaint");
	json_cstr(&j, "id", in->result->id);
	json_cstr(&j, "time", clock_rfc3339(in->now_us, time));
	json_text(&j, "kind", in->kind);
	json_text(&j, "way", in->way);
	json_cstr(&j, "txn", in->found ? in->receipt.id : NULL);
	json_text(&j, "sender", sender.n ? sender : in->found ? in->receipt.sender_key : SPAN_NONE);
	json_cstr(&j, "outcome", complaint_outcome_name(in->result->outcome));
	json_close(&j, '}');
	int r = line.failed ? -ENOMEM
			    : queue_event(in->desk->queue, in->result->id, buf_span(&line));
	buf_free(&line);
	return r;
}

/* Reports and other mail of machines never make a report: two providers that are registered with
 * each other would send them for ever (RFC 3834 section 2). */
static bool is_machine_report(struct intake *in)
{
	struct entity top;
	entity_read(&top, in->message.octets);
	return span_eq(entity_type(&top, &in->arena), SPAN("multipart/report"));
}

static int settle(struct intake *in)
{
	struct queue *queue = in->desk->queue;
	int r = queue_begin(queue);
	if (r < 0)
		return r;
	if (in->found && is_machine_report(in)) {
		in->result->outcome = COMPLAINT_NO_SENDER;
		in->result->why = "it is a report itself";
	} else if (in->found) {
		r = decide(in, in->receipt.id);
	}
	if (r == 0)
		r = write_event(in);
	r = queue_end(queue, r);
	/* The complaint is safe by now; a log that cannot be written is told and tried again. */
	return r < 0 ? r : queue_write_events(queue, in->desk->config->state);
}

/* Mail from a Maildir, a pipe or a decoded part has LF alone; a report has CRLF (RFC 5965 section
 * 2). A CR alone would end a line for some readers and a header field for none: in the header it
 * becomes a blank. A header without a body gets its empty line. NULL: no memory. */
static struct span with_crlf(struct arena *arena, struct span s)
{
	size_t ends = 0, at = 0;
	for (size_t i = 0; i < s.n; i++)
		ends += s.p[i] == '\n' || s.p[i] == '\r';
	char *p = arena_alloc(arena, s.n + ends + 4);
	if (!p)
		return SPAN_NONE;
	bool header = true;
	for (size_t i = 0; i < s.n; i++) {
		bool bare_cr = s.p[i] == '\r' && !(i + 1 < s.n && s.p[i + 1] == '\n');
		if (s.p[i] != '\n' && !bare_cr) {
			p[at++] = s.p[i];
		} else if (bare_cr && header) {
			p[at++] = ' ';
		} else {
			if (s.p[i] == '\r' || i == 0 || s.p[i - 1] != '\r')
				p[at++] = '\r';
			p[at++] = '\n';
			if (at == 2 || (at >= 4 && memcmp(p + at - 4, "\r\n\r\n", 4) == 0))
				header = false;
		}
	}
	if (header && at) {
		memcpy(p + at, "\r\n\r\n", 4);
		at += at >= 2 && p[at - 1] == '\n' ? 2 : 4;
	}
	return (struct span){p, at};
}

static int read_form(struct intake *in, const struct complaint *c, struct arf_input *form)
{
	static const char *const ways[] = {"cli", "attachment", "arf"};
	arf_read(form, c->octets, &in->arena);
	in->kind = c->kind.p ? c->kind : SPAN("abuse");
	if (!c->kind.p && span_eq(form->kind, SPAN("not-spam")))
		in->kind = SPAN("not-spam");
	in->way = c->way.p ? c->way : span_of(ways[form->form]);
	struct span octets = with_crlf(&in->arena, form->message);
	return octets.p ? message_parse(&in->message, &in->arena, octets) : -ENOMEM;
}

int complaint_take(struct complaint_desk *desk, const struct complaint *c, int64_t now_us,
		   struct complaint_result *result)
{
	struct intake in = {.desk = desk, .result = result, .now_us = now_us};
	struct arf_input form;
	*result = (struct complaint_result){
		.outcome = COMPLAINT_UNVERIFIED,
		.why = "we did not receive this message for this recipient",
	};
	id_make(now_us, result->id);
	arena_init(&in.arena, 4 * LIMIT_ARENA_BYTES);
	int r = read_form(&in, c, &form);
	if (r == 0 && !form.not_complaint)
		r = verify(&in, c->rcpt.n ? c->rcpt : form.rcpt);
	/* The attachment may be the sender's own; then the mail around it is meant. */
	if (r == 0 && !in.found && form.form == FORM_ATTACHMENT &&
	    (r = message_parse(&in.message, &in.arena, with_crlf(&in.arena, c->octets))) == 0)
		r = verify(&in, c->rcpt);
	if (r == 0)
		r = settle(&in);
	if (in.found)
		desk->release(&in.receipt);
	arena_free(&in.arena);
	return r;
}
