/*
 * dns_unbound - questions to the real DNS through libunbound's event API.
 *
 * The one file that knows libunbound. Answers come as packets; dns_wire.h reads them.
 */
#pragma once

#include "analyze/dns.h"

struct resolver;

/* `packet` .p NULL: no answer, `why` tells. */
typedef void resolver_answer_fn(void *arg, struct span packet, const char *why);

__attribute__((warn_unused_result)) int resolver_create(struct resolver **r_r,
							struct event_base *loop,
							const struct config *config);
void resolver_free(struct resolver *r); /* no answer comes after it; accepts NULL */
/* `answer` may be called before this returns. Negative errno: nothing was asked. */
__attribute__((warn_unused_result)) int resolver_ask(struct resolver *r, const char *name, int type,
						     resolver_answer_fn *answer, void *arg);
