#include "feedback/rates_private.h"

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/limits.h"

struct rates *rates_create(size_t max_keys)
{
	struct rates *r = calloc(1, sizeof(*r));
	if (!r)
		return NULL;
	r->max = max_keys ? max_keys : 1;
	for (r->n_chains = 64; r->n_chains < r->max; r->n_chains *= 2)
		;
	r->chains = calloc(r->n_chains, sizeof(struct rates_entry *));
	if (!r->chains || pthread_mutex_init(&r->lock, NULL) != 0 ||
	    pthread_cond_init(&r->heard, NULL) != 0) {
		free(r->chains);
		free(r);
		return NULL;
	}
	r->wake_fd = -1;
	return r;
}

static void entry_free(struct rates_entry *e)
{
	series_free(&e->seen);
	series_free(&e->untold);
	free(e);
}

void rates_free(struct rates *r)
{
	if (!r)
		return;
	for (struct rates_entry *e = r->oldest, *newer; e; e = newer) {
		newer = e->newer;
		entry_free(e);
	}
	pthread_cond_destroy(&r->heard);
	pthread_mutex_destroy(&r->lock);
	free(r->chains);
	free(r);
}

/* --- keys ------------------------------------------------------------------------- */

static struct rates_entry **chain_of(const struct rates *r, struct span key)
{
	uint64_t hash = span_hash(key);
	return &r->chains[(hash ^ hash >> 29) & (r->n_chains - 1)];
}

static struct span key_of(const struct rates_entry *e)
{
	return (struct span){e->key, e->key_n};
}

static struct span cut(struct span key)
{
	return span_sub(key, 0, LIMIT_RATE_KEY_BYTES);
}

struct rates_entry *rates_find(struct rates *r, struct span key)
{
	key = cut(key);
	for (struct rates_entry *e = *chain_of(r, key); e; e = e->next_in_chain)
		if (span_eq(key, key_of(e)))
			return e;
	return NULL;
}

static void unlink_use(struct rates *r, struct rates_entry *e)
{
	*(e->older ? &e->older->newer : &r->oldest) = e->newer;
	*(e->newer ? &e->newer->older : &r->newest) = e->older;
}

static void link_newest(struct rates *r, struct rates_entry *e)
{
	e->older = r->newest;
	e->newer = NULL;
	*(r->newest ? &r->newest->newer : &r->oldest) = e;
	r->newest = e;
}

static void forget(struct rates *r, struct rates_entry *e)
{
	struct rates_entry **at = chain_of(r, key_of(e));
	while (*at != e)
		at = &(*at)->next_in_chain;
	*at = e->next_in_chain;
	if (e->dirty) {
		for (at = &r->dirty[e->bucket]; *at != e;)
			at = &(*at)->next_dirty;
		*at = e->next_dirty;
	}
	r->forgotten += e->untold.n > 0;
	unlink_use(r, e);
	entry_free(e);
	r->n--;
}

/* The oldest goes, but not what Redis is to hear yet or a batch is about: among a few. */
static void forget_one(struct rates *r)
{
	struct rates_entry *e = r->oldest;
	for (int i = 0; e && i < 32 && (e->untold.n || e->gauged || e->open || e->flying); i++)
		e = e->newer;
	if (e && !e->flying && !e->gauged)
		forget(r, e);
}

struct rates_entry *rates_make(struct rates *r, struct span key)
{
	key = cut(key);
	struct rates_entry *e = rates_find(r, key);
	if (e) {
		unlink_use(r, e);
		link_newest(r, e);
		return e;
	}
	if (r->n >= r->max)
		forget_one(r);
	e = r->n < r->max ? calloc(1, sizeof(*e) + key.n + 1) : NULL;
	if (!e)
		return NULL;
	e->key_n = (uint16_t)key.n;
	if (key.n)
		memcpy(e->key, key.p, key.n);
	e->bucket = (uint8_t)books_bucket(key);
	struct rates_entry **chain = chain_of(r, key);
	e->next_in_chain = *chain;
	*chain = e;
	link_newest(r, e);
	r->n++;
	return e;
}

void rates_make_dirty(struct rates *r, struct rates_entry *e)
{
	if (e->dirty || !r->shared)
		return;
	e->dirty = true;
	e->next_dirty = r->dirty[e->bucket];
	r->dirty[e->bucket] = e;
}

static void make_gauged(struct rates *r, struct rates_entry *e)
{
	if (e->gauged || !r->shared)
		return;
	e->gauged = true;
	e->next_gauged = r->gauged[e->bucket];
	r->gauged[e->bucket] = e;
}

/* Under way everywhere, as far as this gateway has heard. */
static int under_way(const struct rates_entry *e, int64_t now_us)
{
	bool fresh = e->others_us && now_us - e->others_us < LIMIT_GAUGE_FRESH_US;
	return e->open + (fresh ? e->others : 0);
}

/* --- windows ---------------------------------------------------------------------- */

void rates_count(struct rates *r, struct span key, int n, int64_t at_us)
{
	pthread_mutex_lock(&r->lock);
	uint32_t at = rates_slot(r, at_us);
	struct rates_entry *e = rates_make(r, key);
	if (e) {
		if (series_add(&e->seen, at, n, at) && r->shared &&
		    series_add(&e->untold, at, n, at))
			rates_make_dirty(r, e);
	}
	pthread_mutex_unlock(&r->lock);
}

double rates_read(struct rates *r, struct span key, int64_t window_us, int64_t now_us)
{
	pthread_mutex_lock(&r->lock);
	const struct rates_entry *e = rates_find(r, key);
	double n = e ? series_read(&e->seen, window_us, now_us + r->shift_us) : 0;
	pthread_mutex_unlock(&r->lock);
	return n;
}

int64_t rates_wait(struct rates *r, struct span key, const struct limit *limits, size_t n,
		   int64_t now_us)
{
	static const struct series nothing;
	int64_t longest = 0;
	pthread_mutex_lock(&r->lock);
	struct rates_entry *e = rates_find(r, key);
	for (size_t i = 0; i < n; i++) {
		double most = (double)limits[i].count;
		int64_t wait;
		if (limits[i].window_us == LIMIT_AT_ONCE) {
			wait = (e ? under_way(e, now_us) : 0) + 1 > most ? US_PER_S : 0;
			if (wait && e) {
				e->gauge_wanted = true;
				make_gauged(r, e);
			}
		} else {
			wait = series_wait(e ? &e->seen : &nothing, limits[i].window_us, most,
					   now_us + r->shift_us);
		}
		if (wait > longest)
			longest = wait;
	}
	/* Who is refused counts nothing, so nobody would ask Redis what has left meanwhile. */
	if (longest && e)
		rates_make_dirty(r, e);
	pthread_mutex_unlock(&r->lock);
	return longest;
}

static bool wake(struct rates *r)
{
	const uint64_t one = 1;
	return write(r->wake_fd, &one, sizeof(one)) == sizeof(one);
}

int rates_open(struct rates *r, struct span key, int change)
{
	pthread_mutex_lock(&r->lock);
	struct rates_entry *e = change > 0 ? rates_make(r, key) : rates_find(r, key);
	int open = 0;
	if (e) {
		e->open += change;
		if (e->open < 0) /* it made room meanwhile */
			e->open = 0;
		open = e->open;
		make_gauged(r, e);
		if (change < 0 && e->asks) /* somewhere else it may be asked for */
			wake(r);
	}
	pthread_mutex_unlock(&r->lock);
	return open;
}

void rates_ask(struct rates *r, struct span key, uint32_t most, int64_t until_us)
{
	const struct timespec until = {.tv_sec = until_us / US_PER_S,
				       .tv_nsec = until_us % US_PER_S * 1000};
	pthread_mutex_lock(&r->lock);
	/* what is open stays in the table */
	struct rates_entry *e = rates_find(r, key);
	if (e && e->open && e->gauged) {
		uint32_t mine = ++e->asks;
		e->most = most;
		int trouble = wake(r) ? 0 : EIO;
		while (trouble == 0 && (int32_t)(e->asks_known - mine) < 0)
			trouble = pthread_cond_clockwait(&r->heard, &r->lock, CLOCK_MONOTONIC,
							 &until);
	}
	pthread_mutex_unlock(&r->lock);
}

bool rates_over(struct rates *r, struct span key, double most, int64_t now_us)
{
	pthread_mutex_lock(&r->lock);
	const struct rates_entry *e = rates_find(r, key);
	bool over = e && under_way(e, now_us) > most;
	pthread_mutex_unlock(&r->lock);
	return over;
}

size_t rates_keys(struct rates *r)
{
	pthread_mutex_lock(&r->lock);
	size_t n = r->n;
	pthread_mutex_unlock(&r->lock);
	return n;
}
