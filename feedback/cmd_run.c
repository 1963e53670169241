/* assay run, status, reload - the daemon and the two words one says to it. */
#include <errno.h>
#include <stdio.h>
#include <sysexits.h>

#include "base/buf.h"
#include "base/json_in.h"
#include "base/log.h"
#include "feedback/commands.h"
#include "feedback/exit_code.h"
#include "feedback/supervisor.h"

/* Longer than the supervisor lets anybody wait. */
#define RELOAD_MS 60000
#define STATUS_MS 5000

static int no_operands(struct command_context *context, int argc, char **argv, bool *json)
{
	struct options o = {.program = context->program, .argc = argc, .argv = argv};
	const char *operand, *option;
	while ((option = options_next(&o, &operand))) {
		if (json && strcmp(option, "--json") == 0)
			*json = true;
		else if (*option)
			return command_usage(context->program, "unknown option '%s'", option);
		else
			return command_usage(context->program, "takes no argument, not '%s'",
					     operand);
	}
	return EX_OK;
}

int cmd_run(struct command_context *context, int argc, char **argv)
{
	int code = no_operands(context, argc, argv, NULL);
	log_set_level(LOG_INFO); /* who was refused, which complaint came: a daemon's log is its diary */
	return code == EX_OK ? supervisor_run(context) : code;
}

static int ask(struct command_context *context, const char *word, int timeout_ms, struct buf *out)
{
	int r = supervisor_ask(context->config, word, timeout_ms, out);
	if (r == 0 && out->n == 0)
		r = -ECONNREFUSED;
	if (r == -ENOENT || r == -ECONNREFUSED)
		return command_fail(context->program, EX_UNAVAILABLE, "`assay run` is not up for %s",
				    context->config->state);
	if (r < 0)
		return command_fail(context->program, exit_code(r), "%s: %s",
				    context->config->state, strerror(-r));
	return EX_OK;
}

/* Columns of a terminal, and where what a role says begins. */
#define STATUS_WIDTH 100
#define STATUS_INDENT 27

/* What there is nothing of is left out: of a hundred counters the few that count are seen. */
static void print_value(const struct json_value *v, const char *key, int *column)
{
	int64_t number;
	double real;
	char value[300] = "";
	struct span text = json_in_text(v);
	if (json_in_is_object(v)) {
		const char *inner = NULL;
		while ((inner = json_in_next_key(v, inner))) {
			char name[128];
			snprintf(name, sizeof(name), "%s.%s", key, inner);
			print_value(json_in_get(v, inner), name, column);
		}
		return;
	}
	if (text.p)
		snprintf(value, sizeof(value), "=%.*s", SPAN_ARG(text));
	else if (json_in_int(v, &number) && number != 0)
		snprintf(value, sizeof(value), "=%lld", (long long)number);
	else if (!json_in_int(v, &number) && json_in_number(v, &real))
		snprintf(value, sizeof(value), "=%.1f", real);
	else if (!json_in_true(v))
		return;
	int width = (int)(strlen(key) + strlen(value)) + 2;
	if (*column + width > STATUS_WIDTH && *column > STATUS_INDENT) {
		printf("\n%*s", STATUS_INDENT, "");
		*column = STATUS_INDENT;
	}
	printf("  %s%s", key, value);
	*column += width;
}

/* A block a role: name, process, state, then what it says of itself. */
static void print_status(const struct json_value *status)
{
	const struct json_value *roles = json_in_get(status, "roles");
	struct span since = json_in_text(json_in_get(status, "since"));
	struct span state = json_in_text(json_in_get(status, "state"));
	int64_t pid = 0;
	json_in_int(json_in_get(status, "pid"), &pid);
	printf("assay run, pid %lld, since %.*s, state %.*s%s\n", (long long)pid, SPAN_ARG(since),
	       SPAN_ARG(state), json_in_true(json_in_get(status, "ready")) ? "" : ", not ready");
	for (size_t i = 0; i < json_in_count(roles); i++) {
		const struct json_value *role = json_in_at(roles, i);
		const char *key = NULL;
		int column = STATUS_INDENT;
		pid = 0;
		json_in_int(json_in_get(role, "pid"), &pid);
		printf("%-9.*s %7lld  %-8.*s", SPAN_ARG(json_in_text(json_in_get(role, "role"))),
		       (long long)pid, SPAN_ARG(json_in_text(json_in_get(role, "state"))));
		while ((key = json_in_next_key(role, key)))
			if (strcmp(key, "role") != 0 && strcmp(key, "pid") != 0 &&
			    strcmp(key, "state") != 0)
				print_value(json_in_get(role, key), key, &column);
		putchar('\n');
	}
}

int cmd_status(struct command_context *context, int argc, char **argv)
{
	bool json = false;
	struct buf out = BUF_INIT;
	int code = no_operands(context, argc, argv, &json);
	if (code == EX_OK)
		code = ask(context, "status", STATUS_MS, &out);
	if (code == EX_OK && json) {
		fwrite(out.p, 1, out.n, stdout);
	} else if (code == EX_OK) {
		struct json_value *status = json_in_parse(buf_span(&out), NULL);
		if (status)
			print_status(status);
		else
			code = command_fail(context->program, EX_PROTOCOL,
					    "the answer is no JSON: another version runs");
		json_in_free(status);
	}
	buf_free(&out);
	return code;
}

int cmd_reload(struct command_context *context, int argc, char **argv)
{
	struct buf out = BUF_INIT;
	int code = no_operands(context, argc, argv, NULL);
	if (code == EX_OK)
		code = ask(context, "reload", RELOAD_MS, &out);
	if (code == EX_OK && !span_eq(buf_span(&out), SPAN("ok\n")))
		code = command_fail(context->program,
				    span_starts(buf_span(&out), SPAN("failed")) ? EX_CONFIG : EX_TEMPFAIL,
				    "%.*s", SPAN_ARG(span_trim(buf_span(&out))));
	buf_free(&out);
	return code;
}
