/*
 * supervisor - `assay run`: starts the roles, starts those again that die, ends them together.
 *
 * It reads no mail and no network. It reads configuration and rules, at its start and at a reload, and every
 * role goes by what it accepted. A reload and a change of the registry replace the analysis workers one by
 * one, each new one ready before the old one goes, so that no message waits.
 *
 * STATE/run/control.sock takes one word a connection: "status" is answered with a JSON object, "reload" and
 * "registry" with "ok" when all roles have the rules, or all workers the registry, as they are; else with
 * "failed: ..." (everything is as it was), "partly: ..." (the words say who stays behind) or "busy: ...".
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
