#include "feedback/series.h"

#include <stdlib.h>

#include "base/clock.h"

/* Slots past which a whole day and the widest slot at its end have gone. */
#define FORGOTTEN (SERIES_DAY + SERIES_HOUR)
/* A count from further ahead than this is of a clock that has jumped, and does not count. */
#define AHEAD 64

void series_free(struct series *s)
{
	free(s->v);
	*s = SERIES_INIT;
}

uint32_t series_width(int64_t age)
{
	if (age <= SERIES_MINUTE + 1)
		return 1;
	/* a slot that begins inside the hour may have been cut from one that began before it */
	return age <= SERIES_HOUR + 120 ? 60 : 1440;
}

/* The first entry at or behind `at`; new ones are mostly the last. */
static size_t place_of(const struct series *s, uint32_t at)
{
	size_t i = s->n;
	while (i > 0 && s->v[i - 1].at >= at)
		i--;
	return i;
}

void series_compact(struct series *s, uint32_t now)
{
	uint16_t kept = 0;
	for (uint16_t i = 0; i < s->n; i++) {
		int64_t age = (int64_t)now - s->v[i].at;
		if (age > FORGOTTEN || s->v[i].n == 0)
			continue;
		uint32_t width = series_width(age), at = s->v[i].at / width * width;
		if (kept && s->v[kept - 1].at >= at)
			s->v[kept - 1].n += s->v[i].n;
		else
			s->v[kept++] = (struct series_slot){at, s->v[i].n};
	}
	s->n = kept;
}

static bool make_room(struct series *s, uint32_t now)
{
	if (s->n < s->cap)
		return true;
	if (s->n >= 32)
		series_compact(s, now);
	if (s->n < s->cap - s->cap / 4)
		return true;
	size_t cap = s->cap ? s->cap * 2U : 2;
	if (cap > UINT16_MAX)
		return false;
	struct series_slot *more = realloc(s->v, cap * sizeof(*more));
	if (!more)
		return false;
	s->v = more;
	s->cap = (uint16_t)cap;
	return true;
}

/* The entry of that slot, made when it is not there; NULL when out of memory. */
static struct series_slot *entry(struct series *s, uint32_t at, uint32_t now)
{
	size_t i = place_of(s, at);
	if (i < s->n && s->v[i].at == at)
		return &s->v[i];
	if (!make_room(s, now))
		return NULL;
	i = place_of(s, at); /* what stood there may have been put together */
	if (i == s->n || s->v[i].at != at) {
		memmove(s->v + i + 1, s->v + i, (s->n - i) * sizeof(*s->v));
		s->v[i] = (struct series_slot){at, 0};
		s->n++;
	}
	return &s->v[i];
}

bool series_add(struct series *s, uint32_t at, int32_t n, uint32_t now)
{
	struct series_slot *slot = entry(s, at, now);
	if (slot && __builtin_add_overflow(slot->n, n, &slot->n))
		slot->n = INT32_MAX;
	return slot != NULL;
}

bool series_set(struct series *s, uint32_t at, int32_t n, uint32_t now)
{
	struct series_slot *slot = entry(s, at, now);
	if (slot)
		slot->n = n;
	return slot != NULL;
}

int32_t series_get(const struct series *s, uint32_t at)
{
	size_t i = place_of(s, at);
	return i < s->n && s->v[i].at == at ? s->v[i].n : 0;
}

void series_cut(struct series *s, uint32_t from)
{
	s->n = (uint16_t)place_of(s, from);
}

static uint32_t slot_of_window(int64_t window_us)
{
	return window_us <= 60 * US_PER_S ? 1 : window_us <= 3600 * US_PER_S ? 60 : 1440;
}

double series_read(const struct series *s, int64_t window_us, int64_t now_us)
{
	int64_t width = slot_of_window(window_us), begin_us = now_us - window_us;
	int64_t last = now_us / SERIES_SLOT_US + AHEAD;
	double sum = 0;
	for (size_t i = s->n; i-- > 0;) {
		int64_t at = s->v[i].at / width * width;
		int64_t end_us = (at + width) * SERIES_SLOT_US;
		if (s->v[i].at > last)
			continue;
		if (end_us <= begin_us)
			break;
		if (at * SERIES_SLOT_US >= begin_us)
			sum += s->v[i].n;
		else /* the part of the slot that has not left yet */
			sum += s->v[i].n * (double)(end_us - begin_us) /
			       (double)(width * SERIES_SLOT_US);
	}
	return sum > 0 ? sum : 0;
}

int64_t series_wait(const struct series *s, int64_t window_us, double most, int64_t now_us)
{
	if (most < 1)
		return window_us;
	if (series_read(s, window_us, now_us) + 1 <= most)
		return 0;
	/* Nothing comes while we look ahead, so the count only falls: halve. Behind the window and
	 * one slot it is empty. */
	int64_t full = 0, room = window_us + slot_of_window(window_us) * SERIES_SLOT_US;
	while (room - full > SERIES_SLOT_US / 4) {
		int64_t middle = full + (room - full) / 2;
		if (series_read(s, window_us, now_us + middle) + 1 <= most)
			room = middle;
		else
			full = middle;
	}
	return room;
}
