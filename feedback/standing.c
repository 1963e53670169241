#include "feedback/standing.h"

#include <errno.h>
#include <math.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

#include <event2/event.h>

#include "base/clock.h"
#include "base/limits.h"
#include "feedback/books.h"
#include "feedback/redis_async.h"

#define DAYS 30
#define GOOD_SENT 1000 /* fewer say nothing */
#define GOOD_COMPLAINTS 0.001
#define GOOD_RETURNS 0.05
#define POOR_COMPLAINTS 0.003
#define POOR_HARD 0.10
#define CHAINS 4096

struct sender_standing {
	struct sender_standing *next;
	enum standing standing;
	int64_t asked_us; /* 0: never */
	unsigned missing; /* answers of buckets that are to come */
	bool failed;	  /* one of them did not come */
	struct standing_counts counts;
	char key[];
};

struct standings {
	pthread_mutex_t lock; /* chains and `standing` */
	struct redis_async *redis;
	struct event *tick;
	struct sender_standing *chains[CHAINS];
	size_t n, next_chain;
};

/* The lower end of Wilson's interval of 95 % for `part` of `whole`. */
static double proven_share(uint64_t part, uint64_t whole)
{
	const double z = 1.96, n = (double)whole;
	if (!whole || part > whole)
		return 0;
	double p = (double)part / n;
	return (p + z * z / (2 * n) - z * sqrt((p * (1 - p) + z * z / (4 * n)) / n)) /
	       (1 + z * z / n);
}

enum standing standing_judge(const struct standing_counts *c)
{
	if (proven_share(c->complaints, c->accepted) >= POOR_COMPLAINTS ||
	    proven_share(c->hard, c->sent) >= POOR_HARD)
		return STANDING_POOR;
	if (c->sent >= GOOD_SENT && (double)c->complaints < GOOD_COMPLAINTS * (double)c->accepted &&
	    (double)(c->hard + c->open) < GOOD_RETURNS * (double)c->sent)
		return STANDING_GOOD;
	return STANDING_USUAL;
}

static void on_counts(void *arg, const struct redis_answer *answer)
{
	struct sender_standing *e = arg;
	uint64_t *const into[] = {&e->counts.sent, &e->counts.accepted, &e->counts.hard,
				  &e->counts.open, &e->counts.complaints};
	if (redis_answer_count(answer) == sizeof(into) / sizeof(*into))
		for (size_t i = 0; i < sizeof(into) / sizeof(*into); i++)
			*into[i] += (uint64_t)redis_answer_int(redis_answer_at(answer, i));
	else
		e->failed = true;
	/* what is written is one word, and a reader may see it late */
	if (--e->missing == 0 && !e->failed)
		__atomic_store_n(&e->standing, standing_judge(&e->counts), __ATOMIC_RELAXED);
}

static void ask(struct standings *s, struct sender_standing *e, int64_t now_us)
{
	char last[24], first[24], row[LIMIT_BOOKS_NAME_BYTES + 3], tag[BOOKS_KEY_BYTES];
	int64_t today = clock_now_us() / US_PER_S / 86400;
	snprintf(row, sizeof(row), "s:%.*s", SPAN_ARG(books_name(span_of(e->key))));
	snprintf(first, sizeof(first), "%lld", (long long)(today - DAYS + 1));
	snprintf(last, sizeof(last), "%lld", (long long)today);
	e->asked_us = now_us;
	e->counts = (struct standing_counts){0, 0, 0, 0, 0};
	e->failed = false;
	for (unsigned bucket = 0; bucket < BOOKS_BUCKETS; bucket++) {
		const struct span words[] = {
			SPAN("FCALL"), SPAN("assay_days"), SPAN("1"),	 books_key(bucket, tag),
			span_of(row),  span_of(first),	   span_of(last)};
		e->missing++;
		if (!redis_async_call(s->redis, words[3], 7, words, on_counts, e)) {
			e->missing--;
			e->failed = true;
		}
	}
}

/* A few senders a tick, so that a start with many does not flood Redis. */
static void on_tick(evutil_socket_t fd, short what, void *arg)
{
	struct standings *s = arg;
	int64_t now_us = clock_mono_us();
	int asked = 0;
	(void)fd;
	(void)what;
	pthread_mutex_lock(&s->lock);
	for (size_t i = 0; i < CHAINS && asked < 4; i++, s->next_chain++)
		for (struct sender_standing *e = s->chains[s->next_chain % CHAINS]; e; e = e->next)
			if (!e->missing && (!e->asked_us || e->failed ||
					    now_us - e->asked_us > LIMIT_STANDING_US)) {
				ask(s, e, now_us);
				asked++;
			}
	pthread_mutex_unlock(&s->lock);
}

int standing_create(struct standings **s_r, const struct config *config, struct event_base *loop)
{
	static const struct timeval interval = {0, 100000};
	struct standings *s = calloc(1, sizeof(*s));
	*s_r = NULL;
	if (!s || pthread_mutex_init(&s->lock, NULL) != 0) {
		free(s);
		return -ENOMEM;
	}
	s->tick = event_new(loop, -1, EV_PERSIST, on_tick, s);
	if (!s->tick || event_add(s->tick, &interval) < 0 ||
	    redis_async_create(&s->redis, config, loop) < 0) {
		standing_free(s);
		return -ENOMEM;
	}
	*s_r = s;
	return 0;
}

void standing_free(struct standings *s)
{
	if (!s)
		return;
	redis_async_free(s->redis); /* answers what is open */
	if (s->tick)
		event_free(s->tick);
	for (size_t i = 0; i < CHAINS; i++)
		for (struct sender_standing *e = s->chains[i], *next; e; e = next) {
			next = e->next;
			free(e);
		}
	pthread_mutex_destroy(&s->lock);
	free(s);
}

enum standing standing_of(struct standings *s, struct span key)
{
	uint64_t hash = span_hash(key);
	enum standing standing = STANDING_USUAL;
	struct sender_standing **at = &s->chains[(hash ^ hash >> 29) % CHAINS], *e;
	pthread_mutex_lock(&s->lock);
	for (e = *at; e && !span_eq(span_of(e->key), key);)
		e = e->next;
	if (e) {
		standing = __atomic_load_n(&e->standing, __ATOMIC_RELAXED);
	} else if (s->n < LIMIT_STANDINGS && key.n && key.n <= LIMIT_RATE_KEY_BYTES &&
		   (e = calloc(1, sizeof(*e) + key.n + 1))) {
		memcpy(e->key, key.p, key.n);
		e->next = *at;
		*at = e;
		s->n++;
	}
	pthread_mutex_unlock(&s->lock);
	return standing;
}
