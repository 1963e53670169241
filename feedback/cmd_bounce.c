/* assay bounce [--rcpt ADDR] FILE|- : a mail that came to the address of reports */
#include <stdio.h>

#include "base/clock.h"
#include "base/file.h"
#include "base/limits.h"
#include "feedback/bounce.h"
#include "feedback/commands.h"
#include "feedback/exit_code.h"
#include "feedback/state_folder.h"

static int take(struct command_context *context, struct span octets, struct span rcpt)
{
	struct complaint_desk desk;
	enum bounce_outcome outcome;
	const char *state = context->config->state;
	int r = state_folder_enter(context->config);
	if (r == 0)
		r = complaint_desk_open(&desk, context->config);
	if (r < 0)
		return command_fail(context->program, exit_code(r), "%s: %s", state, strerror(-r));
	r = bounce_take(&desk, octets, rcpt, clock_now_us(), &outcome);
	complaint_desk_close(&desk);
	if (r < 0)
		return command_fail(context->program,
				    exit_code(r) == EX_IOERR ? EX_TEMPFAIL : exit_code(r), "%s: %s",
				    state, strerror(-r));
	puts(bounce_outcome_name(outcome));
	return EX_OK;
}

int cmd_bounce(struct command_context *context, int argc, char **argv)
{
	struct options o = {.program = context->program, .argc = argc, .argv = argv};
	const char *operand, *option, *file = NULL, *rcpt = NULL;
	struct file_view view;
	while ((option = options_next(&o, &operand))) {
		if (strcmp(option, "--rcpt") == 0) {
			if (!(rcpt = options_value(&o)))
				return EX_USAGE;
		} else if (*option) {
			return command_usage(context->program, "unknown option '%s'", option);
		} else if (file) {
			return command_usage(context->program, "too many words: '%s'", operand);
		} else {
			file = operand;
		}
	}
	if (!file)
		return command_usage(context->program,
				     "a file, or - for standard input, is needed");
	int r = file_view_input(file, LIMIT_COMPLAINT_BYTES, &view);
	if (r < 0)
		return command_fail(context->program, EX_NOINPUT, "%s: %s", file, strerror(-r));
	int code = take(context, view.bytes, span_of(rcpt));
	file_view_close(&view);
	return code;
}
