#include "feedback/rates_gauge.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/limits.h"
#include "feedback/rates_private.h"

struct gauge_bucket {
	struct rates_gauge *owner;
	struct rates_entry **asked; /* of the call under way, `n` of them */
	size_t n;
};

struct rates_gauge {
	struct rates *rates;
	struct redis_async *redis;
	const char *id;
	struct gauge_bucket buckets[BOOKS_BUCKETS];
};

struct rates_gauge *rates_gauge_create(struct rates *rates, struct redis_async *redis,
				       const char *id)
{
	struct rates_gauge *g = calloc(1, sizeof(*g));
	if (!g)
		return NULL;
	g->rates = rates;
	g->redis = redis;
	g->id = id;
	for (size_t i = 0; i < BOOKS_BUCKETS; i++)
		g->buckets[i].owner = g;
	return g;
}

void rates_gauge_free(struct rates_gauge *g)
{
	if (!g)
		return;
	for (size_t i = 0; i < BOOKS_BUCKETS; i++)
		free(g->buckets[i].asked);
	free(g);
}

static void exchange(struct gauge_bucket *b, unsigned index);

static void on_answer(void *arg, const struct redis_answer *answer)
{
	struct gauge_bucket *b = arg;
	struct rates *r = b->owner->rates;
	unsigned index = (unsigned)(b - b->owner->buckets);
	int64_t now_us = clock_mono_us();
	bool good = answer && redis_answer_count(answer) == b->n;
	pthread_mutex_lock(&r->lock);
	for (size_t i = 0; i < b->n; i++) {
		struct rates_entry *e = b->asked[i];
		e->asks_known = e->asks_told;
		if (!good) { /* told again at the next tick */
			e->told_open = -1;
			continue;
		}
		e->others = (int)redis_answer_int(redis_answer_at(answer, i));
		e->others_us = now_us;
	}
	pthread_cond_broadcast(&r->heard);
	bool more = false; /* who asked meanwhile does not wait for the tick */
	for (const struct rates_entry *e = r->gauged[index]; e && !more; e = e->next_gauged)
		more = e->asks != e->asks_told;
	pthread_mutex_unlock(&r->lock);
	free(b->asked);
	b->asked = NULL;
	b->n = 0;
	if (good && more)
		exchange(b, index);
}

static bool is_due(const struct rates_entry *e, int64_t now_us)
{
	return e->open != e->told_open || e->gauge_wanted || e->asks != e->asks_told ||
	       now_us - e->others_us > LIMIT_GAUGE_RENEW_US;
}

/* What has ended and been told leaves the list, without Redis untold: there it ends by itself, and
 * nobody waits for it. */
static void leave(struct rates *r, unsigned index, bool away)
{
	struct rates_entry **at = &r->gauged[index];
	while (*at) {
		struct rates_entry *e = *at;
		if (away)
			e->asks_known = e->asks_told = e->asks;
		if (!e->open && (away || (!e->told_open && !e->gauge_wanted))) {
			*at = e->next_gauged;
			e->gauged = e->gauge_wanted = false;
			e->told_open = 0;
		} else {
			at = &e->next_gauged;
		}
	}
	if (away)
		pthread_cond_broadcast(&r->heard);
}

/* Those of the bucket that Redis is to hear of. */
static void gather(struct gauge_bucket *b, unsigned index, int64_t now_us)
{
	struct rates_entry *first = b->owner->rates->gauged[index], *e;
	size_t n = 0;
	for (e = first; e && n < LIMIT_RATE_BATCH; e = e->next_gauged)
		n += is_due(e, now_us);
	if (!n || !(b->asked = calloc(n, sizeof(struct rates_entry *))))
		return;
	for (e = first; e && b->n < n; e = e->next_gauged)
		if (is_due(e, now_us))
			b->asked[b->n++] = e;
}

/* What is said of one key: its name, how many it has here, how many there may be. */
#define WORDS 3

static void exchange(struct gauge_bucket *b, unsigned index)
{
	struct rates *r = b->owner->rates;
	char tag[BOOKS_KEY_BYTES], keep[16], (*numbers)[2][16] = NULL;
	struct span *words = NULL;
	snprintf(tag, sizeof(tag), "{b%03u}r", index % 1000);
	snprintf(keep, sizeof(keep), "%d", LIMIT_GAUGE_KEEP_S);
	pthread_mutex_lock(&r->lock);
	leave(r, index, false);
	gather(b, index, clock_mono_us());
	if (b->n && (words = calloc(6 + WORDS * b->n, sizeof(*words))) &&
	    (numbers = calloc(b->n, sizeof(*numbers)))) {
		for (size_t i = 0; i < b->n; i++) {
			struct rates_entry *e = b->asked[i];
			struct span *word = words + 6 + WORDS * i;
			snprintf(numbers[i][0], sizeof(numbers[i][0]), "%d", e->open);
			snprintf(numbers[i][1], sizeof(numbers[i][1]), "%u", e->most);
			word[0] = (struct span){e->key, e->key_n};
			word[1] = span_of(numbers[i][0]);
			word[2] = span_of(numbers[i][1]);
			e->told_open = e->open;
			e->asks_told = e->asks;
			e->gauge_wanted = false;
		}
	}
	pthread_mutex_unlock(&r->lock);
	bool sent = false;
	if (numbers) {
		words[0] = SPAN("FCALL");
		words[1] = SPAN("assay_under_way");
		words[2] = SPAN("1");
		words[3] = span_of(tag);
		words[4] = span_of(b->owner->id);
		words[5] = span_of(keep);
		sent = redis_async_call(b->owner->redis, span_of(tag), 6 + WORDS * b->n, words,
					on_answer, b);
	}
	if (!sent)
		on_answer(b, NULL);
	free(words);
	free(numbers);
}

void rates_gauge_tick(struct rates_gauge *g)
{
	bool any[BOOKS_BUCKETS];
	char tag[BOOKS_KEY_BYTES];
	pthread_mutex_lock(&g->rates->lock);
	for (unsigned i = 0; i < BOOKS_BUCKETS; i++)
		any[i] = g->rates->gauged[i] && !g->buckets[i].asked;
	pthread_mutex_unlock(&g->rates->lock);
	for (unsigned i = 0; i < BOOKS_BUCKETS; i++) {
		if (!any[i])
			continue;
		snprintf(tag, sizeof(tag), "{b%03u}r", i % 1000);
		if (redis_async_state(g->redis, span_of(tag)) == REDIS_ASYNC_READY) {
			exchange(&g->buckets[i], i);
			continue;
		}
		pthread_mutex_lock(&g->rates->lock);
		leave(g->rates, i, true);
		pthread_mutex_unlock(&g->rates->lock);
	}
}
