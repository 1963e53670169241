/*
 * supervisor - `assay run`: starts the roles, starts those again that die, ends them together.
 *
 * It reads no mail and no network. Reloading and a change of the registry replace the analysis
 * workers one by one, each new one ready before the old one goes, so that a fault in the rules
 * leaves everything as it was and no message waits.
 *
 * STATE/run/control.sock takes one word a connection: "status" is answered with a JSON object,
 * "reload" with "ok" or with what is wrong, when it is done; "registry" with "ok" when every worker knows
 * the registry as it is.
 */
#pragma once

#include "base/command.h"

int supervisor_run(struct command_context *context);

/* For commands: asks the supervisor of this state folder; its answer in `answer`. -ENOENT or
 * -ECONNREFUSED: none runs. */
struct buf;
__attribute__((warn_unused_result)) int supervisor_ask(const struct config *config,
						       const char *word, int timeout_ms,
						       struct buf *answer);
