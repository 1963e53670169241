#include "feedback/rates.h"

#include <stdlib.h>

#include "base/clock.h"

enum { SLOTS = 64, WINDOWS = 3 };

static const int64_t window_lengths_us[WINDOWS] = {60 * US_PER_S, 3600 * US_PER_S,
						   86400 * US_PER_S};

/* slots[newest % SLOTS] is being filled; SLOTS + 1 would be needed for the oldest, partial one, so
 * the ring holds that many. */
struct window {
	int64_t newest; /* number of the slot: time / slot length */
	uint64_t total; /* of all slots */
	uint32_t slots[SLOTS + 1];
};

struct entry {
	struct entry *next_in_chain;
	struct entry *older, *newer; /* by last use */
	size_t key_n;
	struct window windows[WINDOWS];
	char key[];
};

struct rates {
	struct entry **chains;
	size_t n_chains, n, max;
	struct entry *oldest, *newest;
};

struct rates *rates_create(size_t max_keys)
{
	struct rates *r = calloc(1, sizeof(*r));
	if (!r)
		return NULL;
	r->max = max_keys ? max_keys : 1;
	for (r->n_chains = 64; r->n_chains < r->max; r->n_chains *= 2)
		;
	r->chains = calloc(r->n_chains, sizeof(struct entry *));
	if (!r->chains) {
		free(r);
		return NULL;
	}
	return r;
}

void rates_free(struct rates *r)
{
	if (!r)
		return;
	for (struct entry *e = r->oldest, *newer; e; e = newer) {
		newer = e->newer;
		free(e);
	}
	free(r->chains);
	free(r);
}

/* --- keys ------------------------------------------------------------------------- */

static struct entry **chain_of(const struct rates *r, struct span key)
{
	uint64_t hash = 14695981039346656037ULL; /* FNV-1a */
	for (size_t i = 0; i < key.n; i++)
		hash = (hash ^ (unsigned char)key.p[i]) * 1099511628211ULL;
	return &r->chains[(hash ^ hash >> 29) & (r->n_chains - 1)];
}

static struct entry *find(const struct rates *r, struct span key)
{
	for (struct entry *e = *chain_of(r, key); e; e = e->next_in_chain)
		if (span_eq(key, (struct span){e->key, e->key_n}))
			return e;
	return NULL;
}

static void unlink_use(struct rates *r, struct entry *e)
{
	*(e->older ? &e->older->newer : &r->oldest) = e->newer;
	*(e->newer ? &e->newer->older : &r->newest) = e->older;
}

static void link_newest(struct rates *r, struct entry *e)
{
	e->older = r->newest;
	e->newer = NULL;
	*(r->newest ? &r->newest->newer : &r->oldest) = e;
	r->newest = e;
}

static void forget(struct rates *r, struct entry *e)
{
	struct entry **at = chain_of(r, (struct span){e->key, e->key_n});
	while (*at != e)
		at = &(*at)->next_in_chain;
	*at = e->next_in_chain;
	unlink_use(r, e);
	free(e);
	r->n--;
}

static struct entry *make(struct rates *r, struct span key)
{
	if (r->n == r->max)
		forget(r, r->oldest);
	struct entry *e = calloc(1, sizeof(*e) + key.n + 1);
	if (!e)
		return NULL;
	e->key_n = key.n;
	if (key.n)
		memcpy(e->key, key.p, key.n);
	struct entry **chain = chain_of(r, key);
	e->next_in_chain = *chain;
	*chain = e;
	link_newest(r, e);
	r->n++;
	return e;
}

/* --- windows ---------------------------------------------------------------------- */

static int64_t slot_us(size_t window)
{
	return window_lengths_us[window] / SLOTS;
}

/* Turns the ring to `slot`: what is older than the window leaves it. */
static void turn(struct window *w, int64_t slot)
{
	int64_t steps = slot - w->newest;
	if (steps <= 0)
		return; /* the clock went back: counted in the newest slot */
	if (steps > SLOTS) {
		memset(w, 0, sizeof(*w));
		w->newest = slot;
		return;
	}
	while (w->newest < slot) {
		uint32_t *leaving = &w->slots[(uint64_t)++w->newest % (SLOTS + 1)];
		w->total -= *leaving;
		*leaving = 0;
	}
}

/* Without the part of the oldest slot that has left the window already. */
static double value(const struct window *before, size_t window, int64_t now_us)
{
	struct window w = *before;
	int64_t length = slot_us(window);
	turn(&w, now_us / length);
	double gone = (double)(now_us - w.newest * length) / (double)length;
	gone = gone < 0 ? 0 : gone > 1 ? 1 : gone;
	return (double)w.total - gone * w.slots[(uint64_t)(w.newest + 1) % (SLOTS + 1)];
}

void rates_count(struct rates *r, struct span key, uint64_t n, int64_t now_us)
{
	struct entry *e = find(r, key);
	if (e) {
		unlink_use(r, e);
		link_newest(r, e);
	} else if (!(e = make(r, key))) {
		return;
	}
	for (size_t i = 0; i < WINDOWS; i++) {
		struct window *w = &e->windows[i];
		turn(w, now_us / slot_us(i));
		uint32_t *slot = &w->slots[(uint64_t)w->newest % (SLOTS + 1)];
		uint32_t room = UINT32_MAX - *slot, more = n < room ? (uint32_t)n : room;
		*slot += more;
		w->total += more;
	}
}

static size_t window_of(int64_t window_us)
{
	size_t i = 0;
	while (i + 1 < WINDOWS && window_lengths_us[i] < window_us)
		i++;
	return i;
}

double rates_read(const struct rates *r, struct span key, int64_t window_us, int64_t now_us)
{
	const struct entry *e = find(r, key);
	size_t i = window_of(window_us);
	return e ? value(&e->windows[i], i, now_us) : 0;
}

int64_t rates_wait(const struct rates *r, struct span key, const struct limit *limits, size_t n,
		   int64_t now_us)
{
	const struct entry *e = find(r, key);
	int64_t wait = 0;
	for (size_t k = 0; e && k < n; k++) {
		size_t i = window_of(limits[k].window_us);
		int64_t step = slot_us(i), at = now_us + wait;
		/* Slot by slot: after SLOTS + 1 of them the window is empty. A limit of 0 never
		 * has room and asks for a whole window. */
		for (int s = 0; s <= SLOTS + 1 &&
				value(&e->windows[i], i, at) + 1 > (double)limits[k].count; s++)
			at += step;
		if (at - now_us > wait)
			wait = at - now_us;
	}
	for (size_t k = 0; !e && k < n; k++)
		if (limits[k].count == 0 && limits[k].window_us > wait)
			wait = limits[k].window_us;
	return wait;
}
