/*
 * rates_gauge - how many transactions of a key are under way at all gateways together.
 *
 * `limit SCOPE { N at once }` compares with this. Every 100 ms, and as soon as a thread asks for a place
 * (rates_ask()) or gives it back, each gateway tells Redis how many of a key it has under way, and hears the sum of
 * all others. What it tells is a state and no change, so a lost call does no harm; what is not told
 * again counts no more after LIMIT_GAUGE_KEEP_S, so that a gateway which died holds no place.
 *
 * Redis writes down no more than there are places, so of two gateways that take the last one at
 * the same moment the second hears that it is gone, and one that is refused takes nobody's.
 *
 * Without Redis the others are forgotten after LIMIT_GAUGE_FRESH_US, and each gateway has the whole
 * limit for itself.
 *
 * Ownership: rates_gauge_create() .. redis_async_free(), rates_gauge_free().
 * Threads:   as rates_exchange.h, whose part it is.
 */
#pragma once

#include "feedback/rates.h"
#include "feedback/redis_async.h"

struct rates_gauge;

/* NULL: out of memory. `id` names this process; it and the others are referenced. */
struct rates_gauge *rates_gauge_create(struct rates *rates, struct redis_async *redis,
				       const char *id);
void rates_gauge_free(struct rates_gauge *g); /* after redis_async_free(); accepts NULL */
void rates_gauge_tick(struct rates_gauge *g);
