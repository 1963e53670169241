/*
 * series - when the transactions of one key came, over a day: counts in slots that widen with age.
 *
 * A slot is 1/64 of the shortest window it can still lie at the end of: 0.94 s for the last
 * minute, 56 s for the last hour, 22.5 minutes for the last day. So one list of at most 200
 * counts serves all three windows, a key that was seen once has one entry, and a window is exact
 * but for what its oldest slot holds unevenly. What leaves a window leaves it little by little:
 * there is no moment at which a whole quota is free again.
 *
 * rates.lua keeps the same list for all gateways together; the two files change together.
 *
 * Ownership: SERIES_INIT .. series_free().
 * Units:     `at` counts slots of SERIES_SLOT_US; microseconds of the same clock elsewhere.
 * Errors:    false when out of memory; nothing was added then.
 */
#pragma once

#include "base/span.h"

#define SERIES_SLOT_US 937500 /* a minute / 64 */
#define SERIES_MINUTE 64      /* slots */
#define SERIES_HOUR (60 * SERIES_MINUTE)
#define SERIES_DAY (24 * SERIES_HOUR)
#define SERIES_MOST 200 /* entries after series_compact() */

struct series_slot {
	uint32_t at; /* begin of the slot */
	int32_t n;   /* negative only in what is still to be told to Redis */
};

struct series {
	struct series_slot *v; /* in order of `at` */
	uint16_t n, cap;
};

#define SERIES_INIT ((struct series){NULL, 0, 0})

void series_free(struct series *s);

/* Slots of that age are this wide. */
uint32_t series_width(int64_t age);

/* `now`: the slot of now, by which old slots are widened and forgotten. */
bool series_add(struct series *s, uint32_t at, int32_t n, uint32_t now);
/* The count of exactly this slot becomes `n`. */
bool series_set(struct series *s, uint32_t at, int32_t n, uint32_t now);
/* The count of exactly this slot, 0 without one. */
int32_t series_get(const struct series *s, uint32_t at);
/* Without what lies at or behind `from`. */
void series_cut(struct series *s, uint32_t from);
void series_compact(struct series *s, uint32_t now);

/* Transactions in the last `window_us`: 60, 3600 or 86400 seconds. */
double series_read(const struct series *s, int64_t window_us, int64_t now_us);
/* Microseconds until there is room for one more where `most` may come in a window; a whole window
 * when `most` is 0. */
int64_t series_wait(const struct series *s, int64_t window_us, double most, int64_t now_us);
