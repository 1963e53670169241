/*
 * assay report [SENDER] [--by list|campaign|ip|class|hour|day] [--days N] [--recipient ADDRESS]
 * [--json]: the books in numbers, one row a sender, or what of it was asked for.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "analyze/print.h"
#include "base/clock.h"
#include "base/json.h"
#include "base/limits.h"
#include "base/utf8.h"
#include "feedback/books.h"
#include "feedback/commands.h"
#include "feedback/exit_code.h"
#include "feedback/recorder.h"
#include "feedback/state_folder.h"

#define DAYS 30 /* what was seen in so many days has a row, unless --days says otherwise */
#define MOST_DAYS 40 /* the books keep days as long (books.lua) */

/* Of the log not in the books, when it is said: a busy gateway's recorder is always a second behind. */
#define BEHIND_OCTETS (UINT64_C(16) << 20)

enum by { BY_SENDER, BY_LIST, BY_CAMPAIGN, BY_IP, BY_CLASS, BY_HOUR, BY_DAY, BY_RECIPIENT };
static const char *const by_names[] = {"sender", "list", "campaign", "ip",
				       "class",	 "hour", "day",	     "recipient"};
static const char *const by_rows[] = {"s:", "l:", "c:", "i:", "k:"};

struct report {
	struct redis *redis;
	char named[LIMIT_BOOKS_NAME_BYTES + 1];
	const char *sender; /* NULL: all */
	const char *recipient;
	enum by by;
	bool json;
	int days; /* 0: all that the books know */
	int width; /* of the first column */
	int64_t now_us;
	struct buf out;
};

static double share(uint64_t part, uint64_t whole)
{
	return whole ? 100.0 * (double)part / (double)whole : 0.0;
}

/* Only senders and addresses have windows. */
static bool has_windows(const struct report *r)
{
	return r->by == BY_SENDER || r->by == BY_IP;
}

/* `name` is the sender of a row by sender, list, campaign; what the row is about is `what`. */
static void write_json(struct report *r, struct span name, struct span what,
		       const struct books_row *row)
{
	struct json j = JSON_INIT(&r->out);
	json_open(&j, NULL, '{');
	json_text(&j, "sender", name.n ? name : SPAN_NONE);
	if (r->by != BY_SENDER)
		json_text(&j, by_names[r->by], what);
	json_int(&j, "transactions", (int64_t)row->transactions);
	json_int(&j, "sent", (int64_t)row->sent);
	json_int(&j, "accepted", (int64_t)row->accepted);
	json_int(&j, "hard", (int64_t)row->hard);
	json_int(&j, "soft", (int64_t)row->soft);
	json_int(&j, "pending", (int64_t)row->pending);
	json_int(&j, "complaints", (int64_t)row->complaints);
	json_int(&j, "reports", (int64_t)row->reports);
	if (has_windows(r)) {
		json_number(&j, "minute", row->window.minute);
		json_number(&j, "hour", row->window.hour);
		json_number(&j, "day", row->window.day);
	}
	if (r->by != BY_RECIPIENT) { /* what came through to it is not counted */
		json_number(&j, "return_rate", share(row->hard + row->soft, row->sent));
		json_number(&j, "complaint_rate", share(row->complaints, row->accepted));
	}
	json_close(&j, '}');
	buf_addc(&r->out, '\n');
}

static void write_heading(struct report *r)
{
	buf_addf(&r->out, "%-*s %8s %9s %9s %7s %7s %7s %10s %7s %9s %9s %9s %11s\n", r->width,
		 by_names[r->by], "transact", "sent", "accepted", "hard", "soft", "pending",
		 "complaints", "reports", "in 1 h", "in 24 h", "returned", "complained");
}

static void write_text(struct report *r, struct span name, const struct books_row *row)
{
	char hour[24] = "-", day[24] = "-";
	if (has_windows(r)) {
		snprintf(hour, sizeof(hour), "%.0f", row->window.hour);
		snprintf(day, sizeof(day), "%.0f", row->window.day);
	}
	size_t from = r->out.n;
	print_safe(&r->out, name.n ? name : SPAN("(unknown)"), LIMIT_RATE_KEY_BYTES);
	int wide = (int)utf8_width(span_sub(buf_span(&r->out), from, r->out.n));
	buf_addf(&r->out,
		 "%*s %8llu %9llu %9llu %7llu %7llu %7llu %10llu %7llu %9s %9s %8.2f%% %10.3f%%\n",
		 wide < r->width ? r->width - wide : 0, "", (unsigned long long)row->transactions,
		 (unsigned long long)row->sent, (unsigned long long)row->accepted,
		 (unsigned long long)row->hard, (unsigned long long)row->soft,
		 (unsigned long long)row->pending, (unsigned long long)row->complaints,
		 (unsigned long long)row->reports, hour, day,
		 share(row->hard + row->soft, row->sent), share(row->complaints, row->accepted));
}

/* `name` as the books have it: "SENDER", "SENDER/LIST", "IP". */
static void write_row(struct report *r, struct span name, const struct books_row *row)
{
	struct span sender = name, what = name;
	size_t slash = span_find_char(name, '/');
	if (r->by == BY_LIST || r->by == BY_CAMPAIGN) {
		sender = span_sub(name, 0, slash);
		what = span_sub(name, slash + 1, name.n);
	} else if (r->by != BY_SENDER) {
		sender = span_of(r->sender);
	}
	if (r->json)
		write_json(r, sender, what, row);
	else
		write_text(r, name, row);
}

/* The names of one sender's lists and campaigns, all where nobody was named. */
static size_t only_ours(const struct report *r, struct span *names, size_t n)
{
	struct span prefix = span_of(r->sender);
	size_t kept = 0;
	for (size_t i = 0; i < n; i++)
		if (!r->sender || r->by == BY_SENDER ||
		    (names[i].n > prefix.n && span_starts(names[i], prefix) &&
		     names[i].p[prefix.n] == '/'))
			names[kept++] = names[i];
	return kept;
}

static int report_rows(struct report *r, struct arena *arena, struct span *names, size_t n)
{
	n = only_ours(r, names, n);
	struct span *rows = ARENA_ARRAY(arena, struct span, n);
	struct books_row *counts = ARENA_ARRAY(arena, struct books_row, n);
	for (size_t i = 0; i < n && rows; i++)
		rows[i] = arena_printf(arena, "%s%.*s", by_rows[r->by], SPAN_ARG(names[i]));
	if (arena->overflowed)
		return -ENOMEM;
	int result = books_read(r->redis, rows, n, r->now_us, r->days, counts);
	for (size_t i = 0; result == 0 && i < n; i++)
		if (!r->days || r->sender || counts[i].sent || counts[i].transactions ||
		    counts[i].complaints || counts[i].reports)
			write_row(r, names[i], &counts[i]);
	return result;
}

static int report_series(struct report *r)
{
	struct books_row rows[BOOKS_DAYS];
	struct buf name = BUF_INIT;
	enum books_period period = r->by == BY_DAY ? BOOKS_DAY : BOOKS_HOUR;
	int n = period == BOOKS_DAY ? BOOKS_DAYS : BOOKS_HOURS;
	int64_t length = (period == BOOKS_DAY ? 86400 : 3600) * US_PER_S, now = r->now_us / length;
	buf_adds(&name, r->sender ? "s:" : "t");
	if (r->sender)
		buf_adds(&name, r->sender);
	buf_addc(&name, '\0');
	int result = name.failed ? -ENOMEM
				 : books_series(r->redis, name.p, period, r->now_us, rows);
	buf_free(&name);
	for (int i = 0; result == 0 && i < n; i++) {
		char text[CLOCK_TEXT_BYTES];
		clock_rfc3339((now - n + 1 + i) * length, text);
		write_row(r, period == BOOKS_DAY ? span_sub(span_of(text), 0, 10) : span_of(text),
			  &rows[i]);
	}
	return result;
}

/* Recipients stand in the books under a keyed hash; only who has the state folder can ask. */
static int report_recipient(struct report *r, const struct config *config)
{
	struct identity identity;
	struct books_row row;
	char hash[IDENTITY_HASH_BYTES], name[IDENTITY_HASH_BYTES + 2];
	int result = identity_load(config, &identity);
	if (result < 0)
		return result;
	snprintf(name, sizeof(name), "r:%s",
		 books_rcpt_hash(&identity, span_of(r->recipient), hash));
	struct span one = span_of(name);
	if ((result = books_read(r->redis, &one, 1, r->now_us, 0, &row)) == 0)
		write_row(r, span_of(hash), &row);
	return result;
}

/* Have the books anything of the sender that was named? 1: yes. */
static int sender_is_known(struct report *r)
{
	struct books_row row;
	char name[LIMIT_BOOKS_NAME_BYTES + 3];
	snprintf(name, sizeof(name), "s:%s", r->sender);
	struct span one = span_of(name);
	int result = books_read(r->redis, &one, 1, r->now_us, 0, &row);
	return result < 0 ? result
			  : row.transactions || row.sent || row.complaints || row.reports;
}

static int report(struct report *r, const struct config *config)
{
	struct arena arena;
	struct span one = span_of(r->sender), *names = &one;
	size_t n = 1;
	int result = 0;
	r->width = r->by == BY_LIST || r->by == BY_CAMPAIGN ? 56 : 30;
	if (!r->json)
		write_heading(r);
	if (r->by == BY_HOUR || r->by == BY_DAY)
		return report_series(r);
	if (r->by == BY_RECIPIENT)
		return report_recipient(r, config);
	arena_init(&arena, SIZE_MAX);
	if (r->by != BY_SENDER)
		result = books_names(r->redis, &arena, by_rows[r->by], r->now_us,
				     r->days ? r->days : DAYS, &names, &n);
	else if (!r->sender)
		result = books_senders(r->redis, &arena, &names, &n);
	if (result == 0)
		result = report_rows(r, &arena, names, n);
	arena_free(&arena);
	return result;
}

static int read_options(struct command_context *context, int argc, char **argv, struct report *r)
{
	struct options o = {.program = context->program, .argc = argc, .argv = argv};
	const char *option, *word;
	while ((option = options_next(&o, &word))) {
		if (strcmp(option, "--json") == 0) {
			r->json = true;
		} else if (strcmp(option, "--recipient") == 0) {
			if (!(r->recipient = options_value(&o)))
				return EX_USAGE;
			r->by = BY_RECIPIENT;
		} else if (strcmp(option, "--by") == 0) {
			const char *by = options_value(&o);
			if (!by)
				return EX_USAGE;
			for (r->by = BY_SENDER; r->by < BY_RECIPIENT; r->by++)
				if (strcmp(by, by_names[r->by]) == 0)
					break;
			if (r->by == BY_RECIPIENT)
				return command_usage(context->program,
						     "'--by' takes sender, list, campaign, ip, "
						     "class, hour or day, not '%s'",
						     by);
		} else if (strcmp(option, "--days") == 0) {
			const char *n = options_value(&o);
			uint64_t days;
			if (!n)
				return EX_USAGE;
			if (!span_number(span_of(n), MOST_DAYS, &days) || days == 0)
				return command_usage(context->program,
						     "'--days' takes 1 to %d, not '%s'", MOST_DAYS,
						     n);
			r->days = (int)days;
		} else if (*option) {
			return command_usage(context->program, "unknown option '%s'", option);
		} else if (r->sender) {
			return command_usage(context->program, "one sender, not '%s' too", word);
		} else {
			snprintf(r->named, sizeof(r->named), "%.*s",
				 SPAN_ARG(books_name(span_of(word))));
			r->sender = r->named;
		}
	}
	if (r->days && r->by >= BY_HOUR)
		return command_usage(context->program, "rows by %s have no '--days'",
				     by_names[r->by]);
	if (r->sender && (r->by == BY_IP || r->by == BY_CLASS || r->by == BY_RECIPIENT))
		return command_usage(context->program, "rows by %s are of all senders",
				     by_names[r->by]);
	return EX_OK;
}

int cmd_report(struct command_context *context, int argc, char **argv)
{
	struct report report_now = {.now_us = clock_now_us(), .out = BUF_INIT}, *r = &report_now;
	int code = read_options(context, argc, argv, r);
	if (code != EX_OK)
		return code;
	int result = state_folder_enter(context->config);
	if (result < 0)
		return command_fail(context->program, exit_code(result), "%s: %s",
				    context->config->state, strerror(-result));
	if ((result = redis_open(&r->redis, context->config, REDIS_MAY_START)) < 0)
		return command_fail(context->program,
				    exit_code(result) == EX_NOPERM ? EX_NOPERM : EX_TEMPFAIL,
				    "%s: %s", context->config->state, redis_open_trouble());
	result = recorder_catch_up(context->config);
	if (result < 0) {
		redis_close(r->redis);
		return command_fail(context->program, EX_TEMPFAIL,
				    "the event log could not be applied: %s", strerror(-result));
	}
	uint64_t behind;
	if (result == RECORDER_E_BUSY &&
	    recorder_behind(context->config, r->redis, &behind) == 0 && behind > BEHIND_OCTETS)
		fprintf(stderr, "%s: the books have not all of the log: %llu MB are still to come\n",
			context->program, (unsigned long long)(behind >> 20));
	if (r->sender && (result = sender_is_known(r)) == 0) {
		redis_close(r->redis);
		return command_fail(context->program, EX_NOUSER, "the books have nothing of a sender '%s'",
				    r->sender);
	}
	if (result < 0 || (result = report(r, context->config)))
		code = command_fail(context->program, EX_TEMPFAIL, "%s",
				    result == -ENOMEM ? strerror(ENOMEM) : books_trouble());
	else
		code = command_print(context->program, &r->out);
	buf_free(&r->out);
	redis_close(r->redis);
	return code;
}
