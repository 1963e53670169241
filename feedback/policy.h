/*
 * policy - Postfix' policy delegation: limits answered before DATA, without a milter.
 *
 * A request is lines name=value and an empty line; the answer is one line action=... and an empty
 * line (Postfix SMTPD_POLICY_README). Requests of the stages RCPT, DATA and END-OF-MESSAGE that
 * have one `instance` are one transaction and counted once; with a milter on, which counts, the
 * listener only asks, and nothing against what the milter has under way. What is incomplete, of
 * another stage, or meets trouble of ours: DUNNO.
 *
 * Threads: all on the loop.
 * Errors:  a client that breaks the protocol or a bound (limits.h) is hung up on.
 */
#pragma once

#include "base/config.h"
#include "feedback/limiter.h"

struct policy;

/* Binds config->policy (still root: its group and mode) and serves it on `loop` from
 * policy_start() on. 0 with *p_r NULL when no such listener is configured; negative errno, with
 * words in the log. */
__attribute__((warn_unused_result)) int policy_open(struct policy **p_r, const struct config *config);
__attribute__((warn_unused_result)) int policy_start(struct policy *p, struct event_base *loop,
						     struct limiter *limiter, bool milter_counts);
void policy_close(struct policy *p); /* accepts NULL */
void policy_status(const struct policy *p, struct json *j);
