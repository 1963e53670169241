#include "feedback/complaint_private.h"

#include <errno.h>
#include <stdio.h>

#include "base/clock.h"
#include "base/limits.h"

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

/* --- decide --------------------------------------------------------------------------- */

/* Takes the reports of the earlier complaint back, all of them or none: one that has gone is
 * answered with a "not spam" report instead. */
static int withdraw_all(struct queue *q, const char *reports, const char *why)
{
	struct span rest = span_of(reports), id;
	int r = reports[0] ? 0 : QUEUE_E_NONE;
	while (r == 0 && span_next_word(&rest, &id))
		r = queue_withdraw(q, id, why);
	return r;
}

/* Takes the report of the opposite complaint back while it is held. */
static int withdraw(struct intake *in, struct span message_key)
{
	struct queue *q = in->desk->queue;
	struct queue_complaint earlier = {.rcpt = in->rcpt, .message = message_key,
					  .kind = SPAN("abuse")};
	int r = queue_seen(q, &earlier, in->now_us - LIMIT_COMPLAINT_US);
	if (r != 0)
		return r < 0 ? r : 0;
	r = withdraw_all(q, earlier.reports, "taken back: not spam");
	if (r != 0)
		return r == QUEUE_E_NONE ? 0 : r;
	in->result->outcome = COMPLAINT_WITHDRAWN;
	in->result->why = "the earlier complaint is taken back, nothing was sent";
	/* He may change his mind again. */
	return queue_forget(q, &earlier);
}

/* A client that moves a whole folder makes hundreds of moves a minute; no person judges so many
 * mails. What it moved before is taken back as far as it is held. */
static int mass_move(struct intake *in)
{
	uint64_t n;
	if (!span_eq(in->way, SPAN("imap")))
		return 0;
	int r = queue_count_moves(in->desk->queue, in->rcpt, in->now_us, &n);
	if (r < 0 || n <= LIMIT_MOVES_PER_HOUR)
		return r;
	in->result->outcome = COMPLAINT_UNVERIFIED;
	in->result->why = "so many moves in an hour are a program's doing";
	return n == LIMIT_MOVES_PER_HOUR + 1
		       ? queue_withdraw_moves(in->desk->queue, in->rcpt, in->now_us)
		       : 0;
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

static int tell(struct intake *in)
{
	struct complaint_result *result = in->result;
	int r = 0;
	snprintf(result->sender, sizeof(result->sender), "%.*s", SPAN_ARG(in->targets[0].key));
	result->outcome = COMPLAINT_REPORT;
	result->why = "the sender has filed no address for complaints";
	for (size_t i = 0; i < in->n_targets && r == 0; i++) {
		if (!in->targets[i].to.p)
			continue;
		r = intake_report(in, &in->targets[i]);
		result->why = "the sender will be told";
	}
	return r;
}

/* Inside the queue's transaction. */
static int decide(struct intake *in, const char *event_id)
{
	struct complaint_result *result = in->result;
	/* As we received it, where that is known: one message has one key, whatever is handed in. */
	struct span logged = json_in_text(json_in_get(in->receipt.event, "message_id"));
	struct span handed_in = in->message.message_id;
	struct span message_key = logged.n ? logged : handed_in.n ? handed_in : span_of(event_id);
	struct queue_complaint seen = {.rcpt = in->rcpt, .message = message_key, .kind = in->kind};
	int r = queue_seen(in->desk->queue, &seen, in->now_us - LIMIT_COMPLAINT_US);
	if (r == 0) {
		result->outcome = COMPLAINT_DUPLICATE;
		result->why = "the same complaint was made before";
	}
	if (r != QUEUE_E_NONE)
		return r;
	read_event(in);
	result->outcome = COMPLAINT_REPORT;
	if ((r = mass_move(in)) < 0 || result->outcome == COMPLAINT_UNVERIFIED)
		return r;
	const char *machine = intake_machine_mail(in);
	if (machine) {
		result->outcome = COMPLAINT_NO_SENDER;
		result->why = machine;
		return 0;
	}
	if (span_eq(in->kind, SPAN("not-spam")) &&
	    ((r = withdraw(in, message_key)) < 0 || result->outcome == COMPLAINT_WITHDRAWN))
		return r;
	if ((r = intake_match(in)) == 0 && in->n_targets)
		r = tell(in);
	memcpy(seen.id, result->id, sizeof(seen.id));
	seen.reports[0] = '\0';
	for (size_t i = 0, at = 0; i < result->n_reports; i++)
		at += (size_t)snprintf(seen.reports + at, sizeof(seen.reports) - at, "%s%s",
				       i ? " " : "", result->reports[i]);
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

static int settle(struct intake *in)
{
	struct queue *queue = in->desk->queue;
	int r = queue_begin(queue);
	if (r < 0)
		return r;
	if (in->found)
		r = decide(in, in->receipt.id);
	else if (in->inline_forward)
		r = intake_help(in);
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
	/* Decoded, and with CRLF twice: for an attachment, and for the mail around it. */
	arena_init(&in.arena, 2 * LIMIT_ARENA_BYTES + 5 * c->octets.n);
	int r = read_form(&in, c, &form);
	if (r == 0 && !form.not_complaint)
		r = intake_verify(&in, c->rcpt.n ? c->rcpt : form.rcpt);
	/* The attachment may be the sender's own; then the mail around it is meant. */
	if (r == 0 && !in.found && form.form == FORM_ATTACHMENT &&
	    (r = message_parse(&in.message, &in.arena, with_crlf(&in.arena, c->octets))) == 0)
		r = intake_verify(&in, c->rcpt);
	in.inline_forward = form.form == FORM_MAIL && span_eq(in.way, SPAN("attachment"));
	if (r == 0)
		r = settle(&in);
	if (in.found)
		desk->release(&in.receipt);
	arena_free(&in.arena);
	return r;
}
