/*
 * assay report [SENDER] [--json]: the books in numbers, one row a sender.
 */
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/json.h"
#include "feedback/books.h"
#include "feedback/commands.h"
#include "feedback/exit_code.h"
#include "feedback/recorder.h"
#include "feedback/state_folder.h"

static double share(uint64_t part, uint64_t whole)
{
	return whole ? 100.0 * (double)part / (double)whole : 0.0;
}

static void write_json(struct buf *out, struct span sender, const struct books_row *row)
{
	struct json j = JSON_INIT(out);
	json_open(&j, NULL, '{');
	json_text(&j, "sender", sender.n ? sender : SPAN_NONE);
	json_int(&j, "transactions", (int64_t)row->transactions);
	json_int(&j, "sent", (int64_t)row->sent);
	json_int(&j, "accepted", (int64_t)row->accepted);
	json_int(&j, "hard", (int64_t)row->hard);
	json_int(&j, "soft", (int64_t)row->soft);
	json_int(&j, "pending", (int64_t)row->pending);
	json_int(&j, "complaints", (int64_t)row->complaints);
	json_int(&j, "reports", (int64_t)row->reports);
	json_number(&j, "minute", row->window.minute);
	json_number(&j, "hour", row->window.hour);
	json_number(&j, "day", row->window.day);
	json_number(&j, "return_rate", share(row->hard + row->soft, row->sent));
	json_number(&j, "complaint_rate", share(row->complaints, row->accepted));
	json_close(&j, '}');
	buf_addc(out, '\n');
}

static void write_heading(struct buf *out)
{
	buf_addf(out, "%-30s %8s %9s %9s %7s %7s %7s %7s %7s %9s %9s %8s %8s\n", "sender", "transact",
		 "sent", "accepted", "hard", "soft", "pending", "compl", "reports", "in 1 h",
		 "in 24 h", "returned", "complain");
}

static void write_row(struct buf *out, struct span sender, const struct books_row *row)
{
	buf_addf(out,
		 "%-30.*s %8llu %9llu %9llu %7llu %7llu %7llu %7llu %7llu %9.0f %9.0f %7.2f%% "
		 "%7.3f%%\n",
		 SPAN_ARG(sender.n ? sender : SPAN("(unknown)")),
		 (unsigned long long)row->transactions, (unsigned long long)row->sent,
		 (unsigned long long)row->accepted, (unsigned long long)row->hard,
		 (unsigned long long)row->soft, (unsigned long long)row->pending,
		 (unsigned long long)row->complaints, (unsigned long long)row->reports, row->window.hour,
		 row->window.day, share(row->hard + row->soft, row->sent),
		 share(row->complaints, row->accepted));
}

static int report_senders(struct redis *redis, const struct span *senders, size_t n, bool json,
			  struct buf *out)
{
	int64_t now_us = clock_now_us();
	if (!json)
		write_heading(out);
	for (size_t i = 0; i < n; i++) {
		struct books_row row;
		struct buf name = BUF_INIT;
		buf_adds(&name, "s:");
		buf_add(&name, senders[i]);
		int r = books_read(redis, name.p, now_us, &row);
		buf_free(&name);
		if (r)
			return r;
		if (json)
			write_json(out, senders[i], &row);
		else
			write_row(out, senders[i], &row);
	}
	return 0;
}

int cmd_report(struct command_context *context, int argc, char **argv)
{
	struct options o = {.program = context->program, .argc = argc, .argv = argv};
	const char *option, *word, *sender = NULL;
	bool json = false;
	while ((option = options_next(&o, &word))) {
		if (strcmp(option, "--json") == 0)
			json = true;
		else if (*option)
			return command_usage(context->program, "unknown option '%s'", option);
		else if (sender)
			return command_usage(context->program, "one sender, not '%s' too", word);
		else
			sender = word;
	}
	int r = state_folder_enter(context->config);
	if (r < 0)
		return command_fail(context->program, exit_code(r), "%s: %s",
				    context->config->state, strerror(-r));
	struct redis *redis;
	if ((r = redis_open(&redis, context->config, REDIS_MAY_START)) < 0)
		return command_fail(context->program,
				    exit_code(r) == EX_NOPERM ? EX_NOPERM : EX_TEMPFAIL, "%s: %s",
				    context->config->state, redis_open_trouble());
	r = recorder_catch_up(context->config);
	if (r < 0) {
		redis_close(redis);
		return command_fail(context->program, EX_TEMPFAIL,
				    "the event log could not be applied: %s", strerror(-r));
	}
	struct arena arena;
	struct buf out = BUF_INIT;
	struct span one = span_of(sender), *senders = &one;
	size_t n = 1;
	arena_init(&arena, SIZE_MAX);
	r = sender ? 0 : books_senders(redis, &arena, &senders, &n);
	if (r == 0)
		r = report_senders(redis, senders, n, json, &out);
	int code = EX_OK;
	if (r)
		code = command_fail(context->program, EX_TEMPFAIL, "%s", books_trouble());
	else if (out.failed || fwrite(out.p, 1, out.n, stdout) != out.n || fflush(stdout) != 0)
		code = command_fail(context->program, EX_IOERR, "standard output: %s",
				    strerror(errno));
	buf_free(&out);
	arena_free(&arena);
	redis_close(redis);
	return code;
}
