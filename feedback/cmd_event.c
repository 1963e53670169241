/*
 * assay event open|click|unsubscribe [--rcpt ADDR] [--method WORD] [--status N] MESSAGE-ID|FILE|-
 *
 * What happened to a mail in its mailbox, as the provider's own interface saw it: a line in the event
 * log, when we received that mail. An unsubscription is the proof of clause 2.3.3: when it was asked
 * for, how, and what the sender's server answered. The recipient is not written down.
 */
#include <stdio.h>

#include "analyze/message.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/json.h"
#include "base/limits.h"
#include "feedback/commands.h"
#include "feedback/eventlog.h"
#include "feedback/exit_code.h"
#include "feedback/receipts.h"
#include "feedback/recorder.h"
#include "feedback/state_folder.h"

struct request {
	const char *kind, *rcpt, *method, *what;
	uint64_t status;
	struct span message_id;
};

static int read_words(struct request *q, const char *program, int argc, char **argv)
{
	static const char *const kinds[] = {"open", "click", "unsubscribe"};
	struct options o = {.program = program, .argc = argc, .argv = argv};
	const char *operand, *option, *value;
	bool known = false;
	while ((option = options_next(&o, &operand))) {
		if (!*option) {
			const char **place = !q->kind ? &q->kind : &q->what;
			if (q->what)
				return command_usage(program, "too many words: '%s'", operand);
			*place = operand;
			continue;
		}
		if (strcmp(option, "--rcpt") != 0 && strcmp(option, "--method") != 0 &&
		    strcmp(option, "--status") != 0)
			return command_usage(program, "unknown option '%s'", option);
		if (!(value = options_value(&o)))
			return EX_USAGE;
		if (option[2] == 'r')
			q->rcpt = value;
		else if (option[2] == 'm')
			q->method = value;
		else if (!span_number(span_of(value), 999, &q->status))
			return command_usage(program, "--status takes the HTTP status, not '%s'", value);
	}
	for (size_t i = 0; q->kind && i < 3; i++)
		known |= strcmp(q->kind, kinds[i]) == 0;
	if (!known || !q->what)
		return command_usage(program,
				     "open, click or unsubscribe and a Message-ID or file are needed");
	return EX_OK;
}

static int write_event(const struct config *config, const struct request *q,
		       const struct receipt *receipt)
{
	struct eventlog *log;
	struct buf line = BUF_INIT;
	struct json j = JSON_INIT(&line);
	char id[ID_BYTES], time[CLOCK_TEXT_BYTES];
	int64_t now_us = clock_now_us();
	id_make(now_us, id);
	json_open(&j, NULL, '{');
	json_cstr(&j, "event", q->kind);
	json_cstr(&j, "id", id);
	json_cstr(&j, "time", clock_rfc3339(now_us, time));
	json_cstr(&j, "txn", receipt->id);
	json_text(&j, "sender", receipt->sender_key);
	json_text(&j, "list", json_in_text(json_in_get(receipt->event, "list")));
	json_cstr(&j, "method", q->method);
	if (q->status)
		json_int(&j, "status", (int64_t)q->status);
	else
		json_null(&j, "status");
	json_close(&j, '}');
	int r = line.failed ? -ENOMEM : eventlog_open(&log, config->state);
	if (r == 0) {
		r = eventlog_append(log, buf_span(&line));
		eventlog_close(log);
	}
	buf_free(&line);
	if (r == 0)
		printf("%s %s\n", id, q->kind);
	return r;
}

static int record(struct command_context *context, const struct request *q)
{
	struct receipt receipt;
	int r = state_folder_enter(context->config);
	if (r == 0)
		r = receipts_find(context->config, q->message_id, span_of(q->rcpt), SPAN_NONE, &receipt);
	if (r == RECEIPT_NEVER) {
		puts("unverified (we did not receive this message for this recipient)");
		return EX_OK;
	}
	if (r == 0) {
		r = write_event(context->config, q, &receipt);
		receipt_free(&receipt);
	}
	if (r < 0 && recorder_redis_away(r))
		return command_fail(context->program, EX_TEMPFAIL, "Redis is away; try again");
	return r < 0 ? command_fail(context->program, exit_code(r), "%s: %s",
				    context->config->state, strerror(-r))
		     : EX_OK;
}

int cmd_event(struct command_context *context, int argc, char **argv)
{
	struct request q = {.kind = NULL};
	struct file_view view = {.bytes = SPAN_NONE};
	struct arena arena;
	struct message m;
	int code = read_words(&q, context->program, argc, argv);
	if (code != EX_OK)
		return code;
	q.message_id = span_of(q.what);
	if (q.what[0] == '<')
		return record(context, &q);
	int r = file_view_input(q.what, LIMIT_COMPLAINT_BYTES, &view);
	if (r < 0)
		return command_fail(context->program, EX_NOINPUT, "%s: %s", q.what, strerror(-r));
	arena_init(&arena, LIMIT_ARENA_BYTES);
	r = message_parse(&m, &arena, view.bytes);
	q.message_id = m.message_id;
	code = r < 0 ? command_fail(context->program, EX_OSERR, "%s: %s", q.what, strerror(-r))
	       : !q.message_id.n
		       ? command_fail(context->program, EX_DATAERR, "%s has no Message-ID", q.what)
		       : record(context, &q);
	arena_free(&arena);
	file_view_close(&view);
	return code;
}
