/*
 * assay rebuild: the books again from the event log, with the same numbers.
 */
#include <string.h>

#include "feedback/commands.h"
#include "feedback/exit_code.h"
#include "feedback/recorder.h"
#include "feedback/state_folder.h"

int cmd_rebuild(struct command_context *context, int argc, char **argv)
{
	const char *why;
	if (argc > 1)
		return command_usage(context->program, "takes no argument, not '%s'", argv[1]);
	int r = state_folder_enter(context->config);
	if (r < 0)
		return command_fail(context->program, exit_code(r), "%s: %s",
				    context->config->state, strerror(-r));
	if ((r = recorder_rebuild(context->config, &why)) < 0)
		return command_fail(context->program,
				    exit_code(r) == EX_NOPERM ? EX_NOPERM : EX_TEMPFAIL, "%s: %s",
				    context->config->state, why);
	return EX_OK;
}
