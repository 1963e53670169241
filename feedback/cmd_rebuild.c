/*
 * assay rebuild: the books again from the event log, with the same numbers.
 */
#include <string.h>
#include <sysexits.h>

#include "feedback/commands.h"
#include "feedback/recorder.h"

int cmd_rebuild(struct command_context *context, int argc, char **argv)
{
	const char *why;
	if (argc > 1)
		return command_usage(context->program, "takes no argument, not '%s'", argv[1]);
	int r = recorder_rebuild(context->config, &why);
	if (r < 0)
		return command_fail(context->program, EX_TEMPFAIL, "%s (%s)", why, strerror(-r));
	return EX_OK;
}
