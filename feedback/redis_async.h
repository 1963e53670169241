/*
 * redis_async - Redis on the loop: calls are sent now and answered by a callback; nothing blocks.
 *
 * It never sends a call again. A node that is not there, a slot that has moved, a library that is
 * missing: the caller hears of it and tries later, by which time this side has connected, learnt
 * the slots or loaded the functions. So a call is made at most once, and what is exact comes from
 * the functions themselves (numbers of batches in rates.lua).
 *
 * For a sandbox without files: redis_async_create() opens the folder of a private Redis, asks for the
 * addresses of names and reads resolv.conf and hosts; afterwards only sockets are needed. A name
 * whose Redis is away is asked for again: it may come back elsewhere.
 *
 * Ownership: redis_async_create() .. redis_async_free(), which answers every open call with NULL.
 *            An answer lives while the callback runs.
 * Threads:   all on the loop.
 */
#pragma once

#include "feedback/redis.h"

struct event_base;
struct redis_async;

/* NULL: the connection broke or LIMIT_RATE_TIMEOUT_US passed; it is unknown whether the call was
 * done. An error of Redis is an answer (redis_answer_error()). */
typedef void redis_async_fn(void *arg, const struct redis_answer *answer);

/* Connects in the background, again and again. Negative errno: memory. */
__attribute__((warn_unused_result)) int redis_async_create(struct redis_async **r_r,
							   const struct config *config,
							   struct event_base *loop);
void redis_async_free(struct redis_async *r); /* accepts NULL */

/* Of the node that holds `key`. */
enum redis_async_state {
	REDIS_ASYNC_READY,
	REDIS_ASYNC_CONNECTING, /* for the first time: worth a short wait */
	REDIS_ASYNC_AWAY,
};
enum redis_async_state redis_async_state(struct redis_async *r, struct span key);

/* false: not READY, or no memory; the callback will not be called. */
bool redis_async_call(struct redis_async *r, struct span key, size_t argc, const struct span *argv,
		      redis_async_fn *fn, void *arg);

/* Why it is away, for people; "" when it is not. */
const char *redis_async_trouble(const struct redis_async *r);
