/*
 * rates - how many transactions a key had in the last minute, hour, day: true sliding windows.
 *
 * A window is a ring of 64 slots and the part of the oldest slot that still lies in it, so what
 * leaves a window leaves it little by little: there is no moment at which a whole quota is free
 * again. The error is at most what one slot (1/64 of the window) holds unevenly.
 *
 * These are this process's own windows. They need nobody, cost a hash look-up and never block;
 * they are what limits go by when Redis is away.
 *
 * Ownership: rates_create() .. rates_free().
 * Units:     transactions; microseconds of any clock that does not jump (clock_mono_us()).
 * Errors:    none that a caller could act on: without memory a key counts as never seen, which
 *            refuses nobody.
 */
#pragma once

#include "analyze/rules.h"

struct rates;

/* `max_keys`: past it the key that was idle longest makes room. NULL when out of memory. */
struct rates *rates_create(size_t max_keys);
void rates_free(struct rates *r); /* accepts NULL */

/* One transaction (or `n`) of `key`: "ip:192.0.2.1", "sender:example.com". */
void rates_count(struct rates *r, struct span key, uint64_t n, int64_t now_us);

/* Transactions of `key` in the last `window_us`: 60, 3600 or 86400 seconds. */
double rates_read(const struct rates *r, struct span key, int64_t window_us, int64_t now_us);

/* May one more transaction of `key` come under these limits? 0: yes; else the microseconds to
 * wait until all of them have room. A refused transaction is not to be counted. */
int64_t rates_wait(const struct rates *r, struct span key, const struct limit *limits, size_t n,
		   int64_t now_us);
