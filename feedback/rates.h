/*
 * rates - how many transactions a key had in the last minute, hour, day: true sliding windows.
 *
 * What one process counts, and with an exchange (rates_exchange.h) what all gateways count: the
 * windows hold everybody's counts as of the last exchange and what came here since. Without Redis
 * they go on by themselves, and what others counted leaves them in its time.
 *
 * Ownership: rates_create() .. rates_free().
 * Threads:   all functions may be called from any; a call takes the lock for a microsecond, and
 *            rates_ask() waits.
 * Units:     transactions; microseconds of a clock that does not jump (clock_mono_us()).
 * Errors:    none that a caller could act on: without memory a key counts as never seen, which
 *            refuses nobody.
 */
#pragma once

#include "analyze/rules.h"

struct rates;

/* `max_keys`: past it the key that was idle longest makes room. NULL when out of memory. */
struct rates *rates_create(size_t max_keys);
void rates_free(struct rates *r); /* accepts NULL */

/* `n` transactions of `key` ("ip:192.0.2.1", "sender:example.com") at `at_us`; a negative `n`
 * takes back what was counted there. */
void rates_count(struct rates *r, struct span key, int n, int64_t at_us);

/* Transactions of `key` in the last `window_us`: 60, 3600 or 86400 seconds. */
double rates_read(struct rates *r, struct span key, int64_t window_us, int64_t now_us);

/* May one more transaction of `key` come under these limits? 0: yes; else the microseconds to wait
 * until all of them have room. A refused transaction is not to be counted. LIMIT_AT_ONCE is compared
 * with what is under way here and, as of the last exchange, at all others (rates_ask() knows better),
 * and waiting for it takes a second. */
int64_t rates_wait(struct rates *r, struct span key, const struct limit *limits, size_t n,
		   int64_t now_us);

/* Transactions of `key` that are under way in this process: adds `change`, returns how many. */
int rates_open(struct rates *r, struct span key, int change);

/* Behind rates_open(), for a thread that is not the loop's: asks Redis for the places that are open
 * here, `most` of all gateways together (0: as many as there are), and waits for its answer until
 * `until_us` at most. Two that ask for the last place at the same moment: one gets it. */
void rates_ask(struct rates *r, struct span key, uint32_t most, int64_t until_us);
/* Are more than `most` under way, those here with those that all others have been given? */
bool rates_over(struct rates *r, struct span key, double most, int64_t now_us);

size_t rates_keys(struct rates *r); /* that are kept */
