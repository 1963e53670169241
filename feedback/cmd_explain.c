/* assay explain FILE - one mail in depth: each clause, the rules that judge it, the evidence. */
#include <errno.h>
#include <stdio.h>
#include <sysexits.h>
#include <unistd.h>

#include "analyze/print.h"
#include "base/clock.h"
#include "capture/spool.h"
#include "feedback/commands.h"
#include "feedback/exit_code.h"
#include "feedback/registry.h"

static int explain(struct command_context *context, const char *path, bool json)
{
	struct analyzer z;
	struct registry *registry = NULL;
	struct txn *t = NULL;
	struct analysis *a;
	struct buf out = BUF_INIT;
	int code = EX_OK, r = analyzer_open(&z, context->config, clock_now_us());
	if (r)
		return r == ANALYZER_E_NO_ZONE ? EX_NOINPUT : r > 0 ? EX_CONFIG
			     : command_fail(context->program, EX_OSERR, "%s", strerror(-r));
	/* Without a state folder nobody is registered. Where the registry cannot be read, who is
	 * registered is unknown; that is no reason to say nothing. */
	if (access(context->config->state, F_OK) == 0) {
		r = registry_open(context->config->state, &registry);
		registry_attach(registry, &z.hooks);
		if (r < 0)
			fprintf(stderr, "%s: %s: the registry cannot be read: %s\n", context->program,
				context->config->state, strerror(-r));
	}
	r = spool_read_file(path, &t);
	if (r == -ENOMSG) {
		code = command_fail(context->program, EX_DATAERR, "%s: no mail", path);
	} else if (r < 0) {
		code = command_fail(context->program, exit_code(r), "%s: %s", path, strerror(-r));
	} else if ((r = analyzer_judge(&z, t, &a)) < 0) {
		txn_free(t);
		code = command_fail(context->program, EX_OSERR, "%s", strerror(-r));
	} else {
		if (json)
			analysis_write_event(a, &out, true);
		else
			print_explanation(a, context->lang, &out);
		analysis_free(a);
		if (out.failed || fwrite(out.p, 1, out.n, stdout) != out.n || fflush(stdout) != 0)
			code = command_fail(context->program, EX_IOERR,
					    "cannot write the results: %s", strerror(errno));
	}
	buf_free(&out);
	analyzer_close(&z);
	registry_close(registry);
	return code;
}

int cmd_explain(struct command_context *context, int argc, char **argv)
{
	struct options o = {.program = context->program, .argc = argc, .argv = argv};
	const char *path = NULL, *operand, *option, *value;
	bool json = false;
	while ((option = options_next(&o, &operand))) {
		if (strcmp(option, "--json") == 0) {
			json = true;
		} else if (strcmp(option, "--dns") == 0) {
			if (!(value = options_value(&o)))
				return EX_USAGE;
			context->config->dns.source = DNS_ZONE;
			context->config->dns.zone = value;
		} else if (*option) {
			return command_usage(context->program, "unknown option '%s'", option);
		} else if (path) {
			return command_usage(context->program, "one mail at a time");
		} else {
			path = operand;
		}
	}
	if (!path)
		return command_usage(context->program, "which mail? name its file");
	return explain(context, path, json);
}
