#include "feedback/rates_exchange.h"

#include <endian.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <event2/event.h>

#include "base/buf.h"
#include "base/clock.h"
#include "base/id.h"
#include "base/limits.h"
#include "base/log.h"
#include "feedback/rates_gauge.h"
#include "feedback/rates_private.h"
#include "feedback/redis_async.h"
#include "feedback/redis_cluster.h"

/* A difference of clocks that is a step: rates.lua's JUMP. What that leaves between the masters of a
 * Cluster must be none here, or each answer of the one is a step from the other. */
#define STEP_US (2 * US_PER_S)
#define TAIL_SLOTS 4 /* the newest slots, which others may still add to (rates.lua, SETTLED) */

#define WORDS 7 /* of a call before what it carries */

/* What one call carries, kept until it is known that Redis has it. */
struct batch {
	struct rates_entry **entries;
	size_t n;
	struct span *words; /* WORDS of the call, then key and request of each entry */
	struct buf text;    /* requests, one behind the other */
	uint64_t number;
	char number_text[24], time_text[24];
};

struct bucket {
	struct rates_exchange *owner;
	char tag[BOOKS_KEY_BYTES];
	struct batch *batch; /* NULL: nothing under way */
	bool sent;	     /* it waits for its answer; else it is to be sent again */
	bool hurry;	     /* somebody waits for a key of it */
	bool away;	     /* its node was, or refused; until it answers */
	bool asked;	     /* whether it is there again, or the time */
	uint64_t number;     /* of the last batch that Redis has */
	uint32_t epoch;	     /* counts what the bucket has lost */
	int64_t sent_us, asked_us;
};

struct rates_exchange {
	struct rates *rates;
	struct redis_async *redis;
	struct rates_gauge *gauge;
	struct event *tick, *soon, *wake;
	int wake_fd; /* rates_ask() of other threads */
	char id[ID_BYTES]; /* of this process: numbers of batches are its own */
	struct bucket buckets[BOOKS_BUCKETS];
	bool timed; /* the clock of Redis is known */
	unsigned time_bucket; /* who is asked for it next */
	bool cluster;	/* buckets come and go by themselves */
	bool told_away; /* the log knows that some are away */
	void (*on_news)(void *arg);
	void *news_arg;
	uint64_t batches, keys, losses, errors;
	char error[200];
};

static void put32(struct buf *b, uint32_t v)
{
	v = htole32(v);
	buf_add(b, (struct span){(const char *)&v, sizeof(v)});
}

static uint32_t get32(const char *p)
{
	uint32_t v;
	memcpy(&v, p, sizeof(v));
	return le32toh(v);
}

/* --- a batch -------------------------------------------------------------------------- */

static void batch_free(struct batch *b)
{
	buf_free(&b->text);
	free(b->entries);
	free(b->words);
	free(b);
}

static void put_series(struct buf *b, const struct series *s)
{
	for (size_t i = 0; i < s->n; i++) {
		put32(b, s->v[i].at);
		put32(b, (uint32_t)s->v[i].n);
	}
}

/* What is known of the key but for what this request tells anyway. */
static void put_restore(struct buf *b, const struct rates_entry *e)
{
	for (size_t i = 0; i < e->seen.n; i++) {
		int32_t n = e->seen.v[i].n - series_get(&e->untold, e->seen.v[i].at);
		if (n <= 0)
			continue;
		put32(b, e->seen.v[i].at);
		put32(b, (uint32_t)n);
	}
}

/* The first slot that the last answer may not have had whole. */
static uint32_t tail_of(const struct rates_entry *e)
{
	return e->told_at > TAIL_SLOTS ? e->told_at - TAIL_SLOTS : 0;
}

static void put_request(struct buf *b, const struct bucket *bucket, struct rates_entry *e)
{
	uint16_t n = htole16(e->untold.n);
	put32(b, tail_of(e));
	put32(b, e->revision);
	buf_add(b, (struct span){(const char *)&n, sizeof(n)});
	put_series(b, &e->untold);
	if (e->exchanged_us && e->epoch != bucket->epoch)
		put_restore(b, e);
}

/* Takes what is dirty into a batch, with the lock held. NULL: out of memory, it stays dirty. */
static struct batch *gather(struct rates_exchange *x, struct bucket *bucket, unsigned index)
{
	struct rates *r = x->rates;
	struct batch *b = calloc(1, sizeof(*b));
	size_t n = 0;
	for (const struct rates_entry *e = r->dirty[index]; e && n < LIMIT_RATE_BATCH;
	     e = e->next_dirty)
		n++;
	if (!b || !(b->entries = calloc(n, sizeof(struct rates_entry *))) ||
	    !(b->words = calloc(WORDS + 2 * n, sizeof(*b->words)))) {
		if (b)
			batch_free(b);
		return NULL;
	}
	size_t *ends = calloc(n, sizeof(*ends));
	for (struct rates_entry *e = r->dirty[index];
	     ends && b->n < n && b->text.n < LIMIT_RATE_BATCH_BYTES; e = e->next_dirty) {
		put_request(&b->text, bucket, e);
		b->entries[b->n] = e;
		ends[b->n++] = b->text.n;
	}
	if (!ends || b->text.failed) {
		free(ends);
		batch_free(b);
		return NULL;
	}
	for (size_t i = 0, begin = 0; i < b->n; begin = ends[i++]) {
		struct rates_entry *e = b->entries[i];
		b->words[WORDS + 2 * i] = (struct span){e->key, e->key_n};
		b->words[WORDS + 1 + 2 * i] = span_sub(buf_span(&b->text), begin, ends[i]);
		r->dirty[index] = e->next_dirty;
		e->dirty = false;
		e->flying = true;
		series_free(&e->untold);
	}
	free(ends);
	b->number = bucket->number + 1;
	snprintf(b->number_text, sizeof(b->number_text), "%llu", (unsigned long long)b->number);
	b->words[0] = SPAN("FCALL");
	b->words[1] = SPAN("assay_rates");
	b->words[2] = SPAN("1");
	b->words[3] = span_of(bucket->tag);
	b->words[4] = span_of(x->id);
	b->words[5] = span_of(b->number_text);
	return b;
}

/* --- answers --------------------------------------------------------------------------- */

/* Entries that were counted by another clock than Redis': those that it knows are read anew. */
static void step(struct rates *r, int64_t by_us)
{
	int64_t slots = by_us / SERIES_SLOT_US;
	for (struct rates_entry *e = r->oldest; e; e = e->newer) {
		for (size_t i = 0; i < e->untold.n; i++)
			e->untold.v[i].at += (uint32_t)slots;
		for (size_t i = 0; e->revision == 0 && i < e->seen.n; i++)
			e->seen.v[i].at += (uint32_t)slots;
		e->revision = 0;
	}
}

/* `time`: Redis' in microseconds, somewhere between sending and now. */
static void learn_time(struct rates_exchange *x, struct span time, int64_t sent_us, int64_t now_us)
{
	uint64_t redis_us;
	if (!span_number(time, INT64_MAX, &redis_us))
		return;
	struct rates *r = x->rates;
	int64_t by_us = (int64_t)redis_us - (sent_us + (now_us - sent_us) / 2) - r->shift_us;
	int64_t doubt_us = (now_us - sent_us) / 2;
	if (by_us > STEP_US + doubt_us || by_us < -STEP_US - doubt_us) {
		step(r, by_us);
		r->shift_us += by_us;
	} else if (doubt_us < LIMIT_RATE_TICK_US / 4) {
		r->shift_us += x->timed ? by_us / 8 : by_us;
	}
	x->timed = true;
}

/* What everybody counted, as Redis has it, and what was counted here since the batch. */
static void take_answer(struct rates *r, struct rates_entry *e, struct span list, int64_t now_us)
{
	uint32_t now = rates_slot(r, now_us);
	uint32_t revision = list.n >= 5 ? get32(list.p + 1) : 0;
	bool whole = !list.n || list.p[0] == 'w';
	if (!whole && !e->revision) { /* a step came between: it is no end of what is here */
		rates_make_dirty(r, e);
		return;
	}
	/* what came from another clock Redis may have put into other slots than are here */
	if (whole)
		series_free(&e->seen);
	else
		series_cut(&e->seen, tail_of(e));
	for (size_t i = 5; i + 8 <= list.n; i += 8)
		if (!series_set(&e->seen, get32(list.p + i), (int32_t)get32(list.p + i + 4), now))
			revision = 0; /* out of memory: the whole list next time */
	for (size_t i = 0; i < e->untold.n; i++)
		if ((whole || e->untold.v[i].at >= tail_of(e)) &&
		    !series_add(&e->seen, e->untold.v[i].at, e->untold.v[i].n, now))
			revision = 0;
	e->revision = revision;
	e->told_at = now;
	e->exchanged_us = now_us;
}

static void take_batch(struct rates_exchange *x, struct bucket *bucket,
		       const struct redis_answer *answer)
{
	struct batch *b = bucket->batch;
	struct rates *r = x->rates;
	int64_t now_us = clock_mono_us();
	pthread_mutex_lock(&r->lock);
	learn_time(x, redis_answer_text(redis_answer_at(answer, 1)), bucket->sent_us, now_us);
	bool lost = span_eq(redis_answer_text(redis_answer_at(answer, 0)), SPAN("lost"));
	if (lost) {
		bucket->epoch++;
		bucket->hurry = true; /* no answer for any key of it yet */
	}
	for (size_t i = 0; i < b->n; i++) {
		struct rates_entry *e = b->entries[i];
		e->flying = false;
		if (lost && e->exchanged_us) {
			rates_make_dirty(r, e); /* its counts are to be restored */
			continue;
		}
		e->epoch = bucket->epoch;
		take_answer(r, e, redis_answer_text(redis_answer_at(answer, 2 + i)), now_us);
	}
	pthread_mutex_unlock(&r->lock);
	bucket->number = b->number;
	x->batches++;
	x->keys += b->n;
	x->losses += lost;
	bucket->batch = NULL;
	batch_free(b);
}

/* True for an answer that is none. NULL: the connection broke, and the tick sees whether it is back. */
static bool is_refused(struct bucket *bucket, const struct redis_answer *answer)
{
	struct span error = redis_answer_error(answer);
	/* who has moved is asked where he is now at the next tick */
	if (error.p && redis_refusal_of(error) != REDIS_MOVED) {
		bucket->away = true;
		snprintf(bucket->owner->error, sizeof(bucket->owner->error), "%.*s",
			 SPAN_ARG(error));
	}
	if (!answer || error.p)
		return true;
	bucket->away = false;
	return false;
}

static void on_answer(void *arg, const struct redis_answer *answer)
{
	struct bucket *bucket = arg;
	struct rates_exchange *x = bucket->owner;
	bucket->sent = false; /* without an answer it is sent again, under its number */
	if (!bucket->batch)
		return;
	if (is_refused(bucket, answer)) {
		x->errors++;
		return;
	}
	take_batch(x, bucket, answer);
	if (bucket->hurry)
		event_active(x->soon, EV_TIMEOUT, 0);
	if (x->on_news)
		x->on_news(x->news_arg);
}

static void on_time(void *arg, const struct redis_answer *answer)
{
	struct bucket *bucket = arg;
	struct rates_exchange *x = bucket->owner;
	bucket->asked = false;
	if (is_refused(bucket, answer))
		return;
	pthread_mutex_lock(&x->rates->lock);
	learn_time(x, redis_answer_text(redis_answer_at(answer, 1)), bucket->asked_us,
		   clock_mono_us());
	pthread_mutex_unlock(&x->rates->lock);
	event_active(x->soon, EV_TIMEOUT, 0);
}

/* --- the tick -------------------------------------------------------------------------- */

/* What this bucket has told us before it is told back: its server's clock may have jumped. */
static struct span time_known(const struct bucket *bucket, int64_t now_us, char out[24])
{
	int64_t us = bucket->number ? now_us + bucket->owner->rates->shift_us : 0;
	return (struct span){out, (size_t)snprintf(out, 24, "%lld", (long long)us)};
}

static void send_bucket(struct rates_exchange *x, unsigned index)
{
	struct bucket *bucket = &x->buckets[index];
	if (bucket->sent ||
	    redis_async_state(x->redis, span_of(bucket->tag)) != REDIS_ASYNC_READY)
		return;
	if (!bucket->batch) {
		pthread_mutex_lock(&x->rates->lock);
		if (x->rates->dirty[index])
			bucket->batch = gather(x, bucket, index);
		pthread_mutex_unlock(&x->rates->lock);
	}
	if (!bucket->batch)
		return;
	struct batch *b = bucket->batch;
	bucket->hurry = false;
	bucket->sent_us = clock_mono_us();
	b->words[6] = time_known(bucket, bucket->sent_us, b->time_text);
	bucket->sent = redis_async_call(x->redis, b->words[3], WORDS + 2 * b->n, b->words,
					on_answer, bucket);
}

/* Without a batch: what time is it there, and is it there? */
static void ask(struct rates_exchange *x, struct bucket *bucket)
{
	char time_text[24];
	if (bucket->asked)
		return;
	bucket->asked_us = clock_mono_us();
	const struct span words[] = {SPAN("FCALL"),
				     SPAN("assay_rates"),
				     SPAN("1"),
				     span_of(bucket->tag),
				     span_of(x->id),
				     SPAN("0"),
				     time_known(bucket, bucket->asked_us, time_text)};
	bucket->asked = redis_async_call(x->redis, words[3], WORDS, words, on_time, bucket);
}

/* The first thing to know is what time it is there: slots are named by it. Any node may say it. */
static bool is_timed(struct rates_exchange *x)
{
	bool asked = x->timed;
	for (unsigned i = 0; i < BOOKS_BUCKETS && !asked; i++) {
		struct bucket *bucket = &x->buckets[x->time_bucket++ % BOOKS_BUCKETS];
		ask(x, bucket);
		asked = bucket->asked;
	}
	return x->timed;
}

/* Buckets whose keys have the counts of this gateway alone. */
static unsigned buckets_away(const struct rates_exchange *x)
{
	unsigned n = 0;
	for (unsigned i = 0; i < BOOKS_BUCKETS; i++)
		n += x->buckets[i].away;
	return n;
}

/* One server that refuses a bucket would refuse those without traffic too. */
static bool is_partly_away(const struct rates_exchange *x, unsigned away)
{
	return x->cluster && away > 0 && away < BOOKS_BUCKETS;
}

/* The log hears of the first bucket that goes and of the last that is back: those of other masters
 * answer at each tick. */
static void look(struct rates_exchange *x)
{
	const char *trouble = redis_async_trouble(x->redis);
	for (unsigned i = 0; i < BOOKS_BUCKETS; i++) {
		struct bucket *bucket = &x->buckets[i];
		if (redis_async_state(x->redis, span_of(bucket->tag)) != REDIS_ASYNC_AWAY)
			continue;
		bucket->away = true;
		if (trouble[0])
			snprintf(x->error, sizeof(x->error), "%s", trouble);
	}
	unsigned away = buckets_away(x);
	if (away && !x->told_away)
		log_warn("rates.away", "%slimits go by what this gateway counts: %s",
			 is_partly_away(x, away) ? "some " : "", x->error);
	else if (!away && x->told_away)
		log_warn("rates.back", "limits go by the windows of all gateways again");
	x->told_away = away > 0;
	if (!away)
		x->error[0] = '\0';
}

static void on_tick(evutil_socket_t fd, short what, void *arg)
{
	struct rates_exchange *x = arg;
	bool wanted[BOOKS_BUCKETS];
	(void)fd;
	(void)what;
	look(x);
	if (!is_timed(x))
		return;
	pthread_mutex_lock(&x->rates->lock);
	for (unsigned i = 0; i < BOOKS_BUCKETS; i++)
		wanted[i] = x->rates->dirty[i] || x->buckets[i].batch;
	pthread_mutex_unlock(&x->rates->lock);
	for (unsigned i = 0; i < BOOKS_BUCKETS; i++) {
		if (wanted[i])
			send_bucket(x, i);
		else if (x->buckets[i].away)
			ask(x, &x->buckets[i]);
	}
	rates_gauge_tick(x->gauge);
}

static void on_wake(evutil_socket_t fd, short what, void *arg)
{
	struct rates_exchange *x = arg;
	uint64_t n;
	(void)what;
	if (read(fd, &n, sizeof(n)) == sizeof(n))
		rates_gauge_tick(x->gauge);
}

/* What somebody waits for; the rest of what happened waits for the tick, with more of it. */
static void on_soon(evutil_socket_t fd, short what, void *arg)
{
	struct rates_exchange *x = arg;
	(void)fd;
	(void)what;
	if (!is_timed(x))
		return;
	for (unsigned i = 0; i < BOOKS_BUCKETS; i++)
		if (x->buckets[i].hurry)
			send_bucket(x, i);
}

int rates_exchange_create(struct rates_exchange **x_r, struct rates *rates,
			  const struct config *config, struct event_base *loop, int64_t tick_us)
{
	const struct timeval interval = {tick_us / US_PER_S, tick_us % US_PER_S};
	struct rates_exchange *x = calloc(1, sizeof(*x));
	*x_r = NULL;
	if (!x)
		return -ENOMEM;
	x->rates = rates;
	x->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	id_make(clock_now_us(), x->id);
	x->cluster = config->redis.kind == REDIS_CLUSTER;
	for (unsigned i = 0; i < BOOKS_BUCKETS; i++) {
		x->buckets[i].owner = x;
		snprintf(x->buckets[i].tag, sizeof(x->buckets[i].tag), "{b%03u}r", i);
	}
	pthread_mutex_lock(&rates->lock);
	rates->shared = true;
	rates->wake_fd = x->wake_fd;
	rates->shift_us = clock_now_us() - clock_mono_us(); /* until Redis says better */
	pthread_mutex_unlock(&rates->lock);
	x->tick = event_new(loop, -1, EV_PERSIST, on_tick, x);
	x->soon = event_new(loop, -1, 0, on_soon, x);
	x->wake = event_new(loop, x->wake_fd, EV_READ | EV_PERSIST, on_wake, x);
	if (x->wake_fd < 0 || !x->tick || !x->soon || !x->wake ||
	    event_add(x->tick, &interval) < 0 || event_add(x->wake, NULL) < 0 ||
	    redis_async_create(&x->redis, config, loop) < 0 ||
	    !(x->gauge = rates_gauge_create(rates, x->redis, x->id))) {
		rates_exchange_free(x);
		return -ENOMEM;
	}
	*x_r = x;
	return 0;
}

void rates_exchange_free(struct rates_exchange *x)
{
	if (!x)
		return;
	redis_async_free(x->redis); /* answers what is open */
	rates_gauge_free(x->gauge);
	for (size_t i = 0; i < BOOKS_BUCKETS; i++)
		if (x->buckets[i].batch)
			batch_free(x->buckets[i].batch);
	if (x->tick)
		event_free(x->tick);
	if (x->soon)
		event_free(x->soon);
	if (x->wake)
		event_free(x->wake);
	if (x->wake_fd >= 0)
		close(x->wake_fd);
	free(x);
}

enum rates_known rates_exchange_know(struct rates_exchange *x, struct span key)
{
	struct rates *r = x->rates;
	pthread_mutex_lock(&r->lock);
	struct rates_entry *e = rates_make(r, key);
	bool fresh =
		e && e->exchanged_us && clock_mono_us() - e->exchanged_us < LIMIT_RATE_FRESH_US;
	if (e && !fresh)
		rates_make_dirty(r, e);
	struct bucket *bucket = &x->buckets[e ? e->bucket : 0];
	pthread_mutex_unlock(&r->lock);
	if (fresh)
		return RATES_KNOWN;
	if (!e || redis_async_state(x->redis, span_of(bucket->tag)) == REDIS_ASYNC_AWAY)
		return RATES_AWAY;
	/* when the loop comes around, with all who ask until then */
	bucket->hurry = true;
	event_active(x->soon, EV_TIMEOUT, 0);
	return RATES_ASKED;
}

void rates_exchange_on_news(struct rates_exchange *x, void (*on_news)(void *arg), void *arg)
{
	x->on_news = on_news;
	x->news_arg = arg;
}

void rates_exchange_status(const struct rates_exchange *x, struct json *j)
{
	unsigned away = buckets_away(x);
	json_cstr(j, "redis", !x->timed		      ? "away"
			      : is_partly_away(x, away) ? "partly away"
			      : away		      ? "away"
						      : "there");
	const char *trouble = redis_async_trouble(x->redis);
	json_cstr(j, "redis_trouble", x->error[0] ? x->error : trouble[0] ? trouble : NULL);
	json_int(j, "rate_batches", (int64_t)x->batches);
	json_int(j, "rate_keys_exchanged", (int64_t)x->keys);
	json_int(j, "rate_losses", (int64_t)x->losses);
	json_int(j, "rate_errors", (int64_t)x->errors);
}
