/*
 * rates_exchange - brings the windows of this process together with those of all others.
 *
 * Every tick the keys that something happened to go to Redis, one call a bucket: what was counted
 * since, and back comes what all gateways have counted. So a hot sender costs one call a tick and
 * process, not one a message; a key that somebody waits for goes with its bucket at once. Without Redis counting goes on here; when it is back, what
 * was counted meanwhile is told at its own time, and nothing counts twice (rates.lua).
 *
 * Slots are those of Redis' clock. This side goes by the monotonic clock and learns the difference
 * from every answer, so a step of the machine's time changes nothing here; and it tells Redis the
 * time, so that a step of Redis' own clock changes nothing there (rates.lua).
 *
 * Ownership: rates_exchange_create() .. rates_exchange_free(), before rates_free().
 * Threads:   all on the loop; the table's lock is held for one batch at most.
 */
#pragma once

#include "base/config.h"
#include "base/json.h"
#include "feedback/rates.h"

struct event_base;
struct rates_exchange;

__attribute__((warn_unused_result)) int rates_exchange_create(struct rates_exchange **x_r,
							      struct rates *rates,
							      const struct config *config,
							      struct event_base *loop,
							      int64_t tick_us);
void rates_exchange_free(struct rates_exchange *x); /* accepts NULL */

/* Does this process know what the others counted for `key`, as of LIMIT_RATE_FRESH_US ago at most?
 * RATES_ASKED: an answer is on its way; `on_news` is called after answers. */
enum rates_known { RATES_KNOWN, RATES_ASKED, RATES_AWAY };
enum rates_known rates_exchange_know(struct rates_exchange *x, struct span key);
void rates_exchange_on_news(struct rates_exchange *x, void (*on_news)(void *arg), void *arg);

/* Keys of a role's status: "redis" ("there", "away", of a Cluster "partly away"), why it is away,
 * batches, keys, what was lost. */
void rates_exchange_status(const struct rates_exchange *x, struct json *j);
