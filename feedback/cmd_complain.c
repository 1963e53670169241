/* assay complain [--kind abuse|not-spam] [--rcpt ADDR] [--way WORD] FILE|- */
#include <stdio.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/file.h"
#include "base/limits.h"
#include "feedback/commands.h"
#include "feedback/complaint_drop.h"
#include "feedback/deliver.h"
#include "feedback/exit_code.h"
#include "feedback/recorder.h"
#include "feedback/state_folder.h"

struct request {
	struct complaint complaint;
	const char *file;
};

static int read_words(struct request *q, const char *program, int argc, char **argv)
{
	struct options o = {.program = program, .argc = argc, .argv = argv};
	const char *operand, *option;
	while ((option = options_next(&o, &operand))) {
		struct span *value = strcmp(option, "--kind") == 0   ? &q->complaint.kind
				     : strcmp(option, "--rcpt") == 0 ? &q->complaint.rcpt
				     : strcmp(option, "--way") == 0  ? &q->complaint.way
								     : NULL;
		if (value) {
			const char *text = options_value(&o);
			if (!text)
				return EX_USAGE;
			*value = span_of(text);
		} else if (*option) {
			return command_usage(program, "unknown option '%s'", option);
		} else if (q->file) {
			return command_usage(program, "too many words: '%s'", operand);
		} else {
			q->file = operand;
		}
	}
	if (!q->file)
		return command_usage(program, "a file, or - for standard input, is needed");
	if (q->complaint.kind.p && !span_eq(q->complaint.kind, SPAN("abuse")) &&
	    !span_eq(q->complaint.kind, SPAN("not-spam")))
		return command_usage(program, "--kind takes abuse or not-spam, not '%.*s'",
				     SPAN_ARG(q->complaint.kind));
	if (q->complaint.way.p && (!q->complaint.way.n || q->complaint.way.n > 32))
		return command_usage(program, "--way takes one short word");
	return EX_OK;
}

static void print_result(const struct complaint_result *result)
{
	printf("%s %s", result->id, complaint_outcome_name(result->outcome));
	if (result->sender[0])
		printf(" sender=%s", result->sender);
	for (size_t i = 0; i < result->n_reports; i++)
		printf(" report=%s", result->reports[i]);
	printf(" (%s)\n", result->why);
}

/* "0s sends at once"; what cannot go now stays in the queue. Where `run` is up it is quicker than we
 * are, and nobody waits here for a destination that is silent. */
static int send_at_once(struct complaint_desk *desk, const struct complaint_result *result)
{
	const struct config *config = desk->config;
	if (config->complain.hold_us != 0 || result->outcome != COMPLAINT_REPORT ||
	    config->report.via == REPORT_VIA_NONE)
		return 0;
	if (config->report.via == REPORT_VIA_SMTP && courier_present(config->state))
		return 0;
	return deliver_due(desk->queue, config, NULL);
}

static int take(struct command_context *context, const struct complaint *complaint)
{
	struct complaint_desk desk;
	struct complaint_result result;
	const struct config *config = context->config;
	int r = complaint_desk_open(&desk, config);
	/* An account that cannot read the keys leaves it for one that can. */
	if ((r == -EACCES || r == -EPERM) && complaint_drop(config->state, complaint,
							    clock_now_us()) == 0) {
		puts("left for 'assay run' or 'assay queue run'");
		return EX_OK;
	}
	if (r < 0)
		return command_fail(context->program, exit_code(r), "%s: %s", config->state,
				    strerror(-r));
	desk.find = receipts_find;
	desk.release = receipt_free;
	r = complaint_take(&desk, complaint, clock_now_us(), &result);
	if (r == 0) {
		print_result(&result);
		r = send_at_once(&desk, &result);
		if (r >= 0)
			r = queue_write_events(desk.queue, config->state);
		complaint_desk_close(&desk);
		return r < 0 ? command_fail(context->program, exit_code(r), "%s: %s", config->state,
					    strerror(-r)) : EX_OK;
	}
	complaint_desk_close(&desk);
	if (recorder_redis_away(r))
		return command_fail(context->program, EX_TEMPFAIL,
				    "the complaint is not taken without Redis; try again");
	return command_fail(context->program, exit_code(r) == EX_IOERR ? EX_TEMPFAIL : exit_code(r),
			    "the complaint is not taken: %s", strerror(-r));
}

int cmd_complain(struct command_context *context, int argc, char **argv)
{
	struct request q = {.file = NULL};
	struct file_view view;
	int code = read_words(&q, context->program, argc, argv);
	if (code != EX_OK)
		return code;
	int r = file_view_input(q.file, LIMIT_COMPLAINT_BYTES, &view);
	if (r < 0)
		return command_fail(context->program, EX_NOINPUT, "%s: %s", q.file, strerror(-r));
	q.complaint.octets = view.bytes;
	r = state_folder_enter(context->config);
	code = r < 0 ? command_fail(context->program, exit_code(r), "%s: %s",
				    context->config->state, strerror(-r))
		     : take(context, &q.complaint);
	file_view_close(&view);
	return code;
}
