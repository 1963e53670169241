#include "feedback/listings.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/random.h>

#include "base/clock.h"
#include "base/limits.h"
#include "base/log.h"
#include "feedback/books.h"

#define SLOTS 4096 /* names of an hour; two that share one cost a round trip each time */
#define KEY_BYTES 320

struct seen {
	uint64_t hash; /* of list and name */
	int64_t since_us; /* 0: not listed */
	int64_t until_us; /* as long as this is believed */
};

struct listings {
	const struct config *config;
	struct redis *redis;
	int64_t away_until_us, retry_us; /* each time in vain it is left alone twice as long */
	bool said; /* that Redis is away */
	uint64_t seed; /* senders choose their domains */
	struct seen seen[SLOTS];
};

static void leave_alone(struct listings *l, int64_t now_us, const char *why)
{
	if (!l->said)
		log_warn("listings.redis", "why=%s since when listings stand is not known", why);
	l->said = true;
	l->retry_us = l->retry_us ? l->retry_us * 2 : LIMIT_LISTING_RETRY_US;
	if (l->retry_us > LIMIT_LISTING_FRESH_US)
		l->retry_us = LIMIT_LISTING_FRESH_US;
	l->away_until_us = now_us + l->retry_us;
}

static bool connect_redis(struct listings *l, unsigned flags, int64_t now_us)
{
	if (l->redis)
		return true;
	if (redis_open(&l->redis, l->config, flags) == 0)
		return true;
	l->redis = NULL;
	leave_alone(l, now_us, redis_open_trouble());
	return false;
}

struct listings *listings_create(const struct config *config, unsigned redis_flags)
{
	struct listings *l = calloc(1, sizeof(*l));
	if (!l)
		return NULL;
	l->config = config;
	connect_redis(l, redis_flags, clock_now_us());
	if (getrandom(&l->seed, sizeof(l->seed), GRND_NONBLOCK) < 0)
		l->seed = (uint64_t)clock_mono_us();
	return l;
}

void listings_free(struct listings *l)
{
	if (!l)
		return;
	redis_close(l->redis);
	free(l);
}

static uint64_t mix(uint64_t h, struct span s)
{
	for (size_t i = 0; i < s.n; i++) {
		h = (h ^ (unsigned char)ascii_lower(s.p[i])) * 0x9e3779b97f4a7c15u;
		h ^= h >> 29;
	}
	return h;
}

static uint64_t hash_of(const struct listings *l, const struct dnsbl_entry *e)
{
	uint64_t h = mix(mix(l->seed, e->name), SPAN("|"));
	h = mix(h, span_of(e->list));
	return h ? h : 1;
}

static struct seen *seen_of(struct listings *l, const struct dnsbl_entry *e)
{
	return &l->seen[hash_of(l, e) % SLOTS];
}

static bool is_fresh(struct listings *l, const struct dnsbl_entry *e, int64_t now_us)
{
	const struct seen *s = seen_of(l, e);
	/* a clock that was set back makes nothing be believed for longer */
	return s->hash == hash_of(l, e) && now_us < s->until_us &&
	       s->until_us - now_us <= LIMIT_LISTING_FRESH_US &&
	       (s->since_us != 0) == (e->code.family != 0);
}

/* since_us of an entry that Redis has been asked for */
#define ASKED (-1)

static void queue_look(struct listings *l, const struct dnsbl_entry *e, int64_t now_us)
{
	char key[KEY_BYTES], now[24], keep[24];
	int n = snprintf(key, sizeof(key), "{b%03u}rbl:", books_bucket(e->name));
	for (size_t i = 0; i < e->name.n && n < KEY_BYTES - 1; i++)
		key[n++] = ascii_lower(e->name.p[i]);
	struct span k = {key, (size_t)n}, list = span_of(e->list);
	snprintf(now, sizeof(now), "%lld", (long long)(now_us / US_PER_S));
	snprintf(keep, sizeof(keep), "%lld", (long long)(LIMIT_LISTING_US / US_PER_S));
	if (!e->code.family) {
		redis_queue(l->redis, k, 3, (struct span[]){SPAN("HDEL"), k, list});
		return;
	}
	redis_queue(l->redis, k, 4, (struct span[]){SPAN("HSETNX"), k, list, span_of(now)});
	redis_queue(l->redis, k, 3, (struct span[]){SPAN("EXPIRE"), k, span_of(keep)});
	redis_queue(l->redis, k, 3, (struct span[]){SPAN("HGET"), k, list});
}

/* Answers come in the order of the questions: one for HDEL, three for a listing. */
static void take_answers(struct listings *l, struct dnsbl_entry *v, size_t n, int64_t now_us)
{
	for (size_t i = 0, at = 0; i < n; i++) {
		if (v[i].since_us != ASKED)
			continue;
		v[i].since_us = 0;
		at += v[i].code.family ? 3 : 1;
		const struct redis_answer *a = redis_answer(l->redis, at - 1);
		int64_t since_us = redis_answer_int(a) * US_PER_S;
		if (redis_answer_error(a).p || (v[i].code.family && since_us <= 0))
			continue; /* a Redis that refuses to write, a value that is none of ours */
		/* a clock that was set back makes no listing of the future */
		if (since_us > now_us)
			since_us = now_us;
		*seen_of(l, &v[i]) = (struct seen){
			.hash = hash_of(l, &v[i]),
			.since_us = v[i].code.family ? since_us : 0,
			.until_us = now_us + LIMIT_LISTING_FRESH_US,
		};
		if (v[i].code.family)
			v[i].since_us = since_us;
	}
}

void listings_look(struct listings *l, struct dnsbl_entry *v, size_t n, int64_t now_us)
{
	bool asks = false;
	for (size_t i = 0; i < n; i++) {
		if (!is_fresh(l, &v[i], now_us))
			asks = true;
		else if (v[i].code.family)
			v[i].since_us = seen_of(l, &v[i])->since_us;
	}
	bool left_alone = now_us < l->away_until_us && l->away_until_us - now_us <= l->retry_us;
	if (!asks || left_alone || !connect_redis(l, 0, now_us))
		return;
	for (size_t i = 0; i < n; i++)
		if (!is_fresh(l, &v[i], now_us)) {
			queue_look(l, &v[i], now_us);
			v[i].since_us = ASKED;
		}
	int r = redis_exchange(l->redis);
	if (r == -ENOTCONN && !l->retry_us) /* it was there: it may have come back already */
		r = redis_exchange(l->redis);
	if (r < 0) {
		for (size_t i = 0; i < n; i++)
			if (v[i].since_us == ASKED)
				v[i].since_us = 0;
		leave_alone(l, now_us, redis_trouble(l->redis));
		return;
	}
	l->said = false;
	l->retry_us = 0;
	take_answers(l, v, n, now_us);
}

static void look(void *arg, struct dnsbl_entry *v, size_t n, int64_t now_us)
{
	listings_look(arg, v, n, now_us);
}

void listings_attach(struct listings *l, struct analyzer_hooks *hooks)
{
	hooks->listings = look;
	hooks->listings_arg = l;
}
