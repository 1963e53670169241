#include "feedback/limiter.h"

#include <errno.h>
#include <math.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/limits.h"
#include "base/log.h"
#include "feedback/rates_exchange.h"

/* Between two lines in the log about the same scope: a flood of refusals is not one of lines. */
#define SAY_US (10 * US_PER_S)

struct counters {
	uint64_t counted, refused, dry_run;
	uint64_t unsaid;    /* refusals since the last line */
	int64_t said_us[2]; /* monotonic; of refusals and of dry-run */
};

struct limiter {
	pthread_mutex_t lock; /* rules, counters; and a query's check and count are one step */
	struct ruleset *rules;
	struct rates *rates;
	struct rates *under_way; /* of pair_of(), in this process: rates_open() alone */
	struct rates_exchange *exchange; /* NULL: this gateway alone */
	struct standings *standings;
	struct limiter_hooks hooks;
	struct counters counters[LIMIT_SCOPES];
	int64_t longest_us; /* of limiter_refuses() */
};

int limiter_create(struct limiter **l_r, const struct config *c, struct ruleset *rules,
		   struct event_base *loop)
{
	*l_r = NULL;
	struct limiter *l = calloc(1, sizeof(*l));
	if (!l)
		return -ENOMEM;
	l->rates = rates_create(LIMIT_RATE_KEYS);
	l->under_way = rates_create(LIMIT_UNDER_WAY);
	if (!l->rates || !l->under_way || pthread_mutex_init(&l->lock, NULL) != 0) {
		rates_free(l->rates);
		rates_free(l->under_way);
		free(l);
		return -ENOMEM;
	}
	l->rules = ruleset_ref(rules);
	int r = !loop ? 0 : rates_exchange_create(&l->exchange, l->rates, c, loop,
						  LIMIT_RATE_TICK_US);
	if (r == 0 && loop)
		r = standing_create(&l->standings, c, loop);
	if (r < 0) {
		limiter_free(l);
		return r;
	}
	*l_r = l;
	return 0;
}

void limiter_free(struct limiter *l)
{
	if (!l)
		return;
	rates_exchange_free(l->exchange);
	standing_free(l->standings);
	rates_free(l->rates);
	rates_free(l->under_way);
	ruleset_unref(l->rules);
	pthread_mutex_destroy(&l->lock);
	free(l);
}

void limiter_set_hooks(struct limiter *l, const struct limiter_hooks *hooks)
{
	l->hooks = *hooks;
}

void limiter_reload(struct limiter *l, struct ruleset *rules)
{
	pthread_mutex_lock(&l->lock);
	struct ruleset *old = l->rules;
	l->rules = ruleset_ref(rules);
	ruleset_unref(old);
	pthread_mutex_unlock(&l->lock);
}

/* --- the keys of a query ------------------------------------------------------------ */

/* Behind the `n` octets that are there. */
static struct span add_lower(char out[LIMIT_RATE_KEY_BYTES + 1], int n, struct span text)
{
	for (size_t i = 0; i < text.n && n < LIMIT_RATE_KEY_BYTES; i++)
		out[n++] = ascii_lower(text.p[i]);
	out[n] = '\0';
	return (struct span){out, (size_t)n};
}

/* "192.0.2.1 example.com": what the milter and the policy service both know of a transaction. Empty
 * behind MAIL. */
static struct span pair_of(const struct limiter_query *q, char out[LIMIT_RATE_KEY_BYTES + 1])
{
	char address[IP_TEXT_BYTES];
	if (!q->ip.family)
		return SPAN_NONE;
	int n = snprintf(out, LIMIT_RATE_KEY_BYTES + 1, "%s ", ip_text(&q->ip, address));
	return add_lower(out, n, q->mail_from_domain);
}

/* "net:192.0.2.0/24"; empty where the query does not know it. */
static struct span key_of(const struct limiter_query *q, enum limit_scope scope,
			  char out[LIMIT_RATE_KEY_BYTES + 1])
{
	char address[IP_TEXT_BYTES];
	struct span text = SPAN_NONE;
	int n;
	switch (scope) {
	case LIMIT_IP:
		if (q->ip.family)
			text = span_of(ip_text(&q->ip, address));
		break;
	case LIMIT_NET:
		if (q->ip.family) {
			uint8_t bits = q->ip.family == 4 ? 24 : 64;
			struct ip_prefix net = ip_prefix_of(&q->ip, bits);
			n = snprintf(out, LIMIT_RATE_KEY_BYTES + 1, "net:%s/%u",
				     ip_text(&net.ip, address), bits);
			return (struct span){out, (size_t)n};
		}
		break;
	case LIMIT_MAILFROM:
		text = q->mail_from_domain;
		break;
	case LIMIT_DKIM:
		text = q->dkim;
		break;
	case LIMIT_SENDER:
		text = q->sender;
		break;
	default:
		break;
	}
	if (!text.n)
		return SPAN_NONE;
	n = snprintf(out, LIMIT_RATE_KEY_BYTES + 1, "%s:", limit_scope_name(scope));
	return add_lower(out, n, text);
}

/* --- the answer ---------------------------------------------------------------------- */

/* The limits of one scope for one key. */
struct bounds {
	const struct limit *v;
	size_t n;
	double factor;
	struct limit filed;
};

static void bounds_of(const struct limiter *l, enum limit_scope scope,
		      const struct limiter_query *q, struct bounds *b)
{
	struct limiter_sender s = {.filed = {.count = 0}};
	*b = (struct bounds){.factor = 1};
	b->v = ruleset_limits(l->rules, scope, &b->n);
	if (scope != LIMIT_SENDER || !l->hooks.sender ||
	    !l->hooks.sender(l->hooks.arg, q->sender, &s))
		return;
	struct limit_standing factors = ruleset_standing(l->rules);
	bool matters = factors.relaxed != 1 || factors.tightened != 1;
	if (s.standing == STANDING_USUAL && l->standings && matters)
		s.standing = standing_of(l->standings, q->sender);
	if (s.standing != STANDING_USUAL)
		b->factor = s.standing == STANDING_GOOD ? factors.relaxed : factors.tightened;
	if (s.filed.count) {
		b->filed = s.filed;
		b->v = &b->filed;
		b->n = 1;
	}
}

/* The limit as it holds for this key. Standing tightens it to one at least: with less nothing would
 * ever pass, however long somebody waits. */
static struct limit limit_of(const struct bounds *b, size_t i)
{
	struct limit limit = b->v[i];
	double most = floor((double)limit.count * b->factor);
	limit.count = most < 1 ? 1 : (uint64_t)most;
	return limit;
}

static const char *unit_of(const struct limit *limit)
{
	if (limit->window_us == LIMIT_AT_ONCE)
		return "at once";
	return limit->window_us <= 60 * US_PER_S     ? "per minute"
	       : limit->window_us <= 3600 * US_PER_S ? "per hour"
						     : "per day";
}

static void write_refusal(struct limiter_refusal *r, enum limit_scope scope, struct span key,
			  const struct limit *limit, int64_t wait_us)
{
	static const char *const whose[LIMIT_SCOPES] = {"this address", "this network",
							"this envelope sender domain",
							"this signing domain", "this sender"};
	r->scope = scope;
	r->limit = *limit;
	snprintf(r->key, sizeof(r->key), "%.*s", SPAN_ARG(key));
	r->seconds = (unsigned)((wait_us + US_PER_S - 1) / US_PER_S);
	snprintf(r->text, sizeof(r->text),
		 "Too many messages from %s: %llu %s are accepted; try again in %u seconds",
		 whose[scope], (unsigned long long)r->limit.count, unit_of(limit), r->seconds);
}

/* Says it in the log, but not for every message of a flood. */
static void say(struct counters *c, const struct limiter_refusal *r, bool dry_run, int64_t now_us)
{
	int64_t *said_us = &c->said_us[dry_run];
	if (*said_us && now_us - *said_us < SAY_US) {
		c->unsaid += !dry_run;
		return;
	}
	*said_us = now_us ? now_us : 1;
	log_info(dry_run ? "limit.dry-run" : "limit.refused",
		 "key=%s limit=%llu window=%s wait=%us others=%llu", log_safe(span_of(r->key)),
		 (unsigned long long)r->limit.count, unit_of(&r->limit), r->seconds,
		 (unsigned long long)(dry_run ? 0 : c->unsaid));
	if (!dry_run)
		c->unsaid = 0;
}

enum looks {
	LOOK_ALL,
	LOOK_QUIET,   /* the same, but counters stay */
	LOOK_WINDOWS, /* not at those `at once` */
	LOOK_PLACES,  /* only at those, when the transaction has its place already */
};

static int64_t wait_of(struct limiter *l, struct span key, const struct limit *limit, int64_t now_us,
		       enum looks looks)
{
	if (looks != LOOK_PLACES)
		return rates_wait(l->rates, key, limit, 1, now_us);
	return rates_over(l->rates, key, (double)limit->count, now_us) ? US_PER_S : 0;
}

/* The longest wait of all scopes; NULL keys ask for nothing. */
static int64_t check(struct limiter *l, const struct limiter_query *q, int64_t now_us,
		     enum looks looks, struct limiter_refusal *r_r)
{
	char text[LIMIT_RATE_KEY_BYTES + 1];
	int64_t longest_us = 0;
	bool quiet = looks == LOOK_QUIET;
	for (int s = 0; s < LIMIT_SCOPES; s++) {
		struct span key = key_of(q, (enum limit_scope)s, text);
		struct bounds b;
		if (!key.n)
			continue;
		bounds_of(l, (enum limit_scope)s, q, &b);
		for (size_t i = 0; i < b.n; i++) {
			struct limiter_refusal would;
			const struct limit limit = limit_of(&b, i);
			if (looks == (limit.window_us == LIMIT_AT_ONCE ? LOOK_WINDOWS : LOOK_PLACES))
				continue;
			int64_t wait_us = wait_of(l, key, &limit, now_us, looks);
			if (!wait_us || (!limit.dry_run && wait_us <= longest_us))
				continue;
			write_refusal(limit.dry_run ? &would : r_r, (enum limit_scope)s, key,
				      &limit, wait_us);
			if (!limit.dry_run)
				longest_us = wait_us;
			else if (!quiet) {
				l->counters[s].dry_run++;
				say(&l->counters[s], &would, true, now_us);
			}
		}
	}
	if (longest_us && !quiet) {
		l->counters[r_r->scope].refused++;
		say(&l->counters[r_r->scope], r_r, false, now_us);
	}
	return longest_us;
}

static bool has_at_once(const struct bounds *b)
{
	return b->n && b->v[0].window_us == LIMIT_AT_ONCE; /* shortest first */
}

static bool has_window(const struct bounds *b)
{
	return b->n && b->v[b->n - 1].window_us != LIMIT_AT_ONCE;
}

/* Of those that are over by what they took, not by the rules: a limit that came meanwhile gave them no
 * place, and one that was lifted meanwhile would come back with its places gone for ever. */
static void open_place(struct rates *rates, const struct limiter_query *q, int scope, struct span key,
		       int change)
{
	uint32_t bit = 1U << scope;
	if (change < 0 && q->places && !(*q->places & bit))
		return;
	rates_open(rates, key, change);
	if (q->places)
		*q->places = change > 0 ? *q->places | bit : *q->places & ~bit;
}

/* Counts `n` in the windows, and `open` more or less under way, of every scope with a limit. */
static void count(struct limiter *l, const struct limiter_query *q, int n, int open, int64_t at_us)
{
	char text[LIMIT_RATE_KEY_BYTES + 1];
	for (int s = 0; s < LIMIT_SCOPES; s++) {
		struct span key = key_of(q, (enum limit_scope)s, text);
		struct bounds b;
		if (!key.n)
			continue;
		bounds_of(l, (enum limit_scope)s, q, &b);
		if (n && has_window(&b)) {
			rates_count(l->rates, key, n, at_us);
			l->counters[s].counted += (uint64_t)n;
		}
		if (open < 0 || (open && has_at_once(&b)))
			open_place(l->rates, q, s, key, open);
	}
	struct span pair = pair_of(q, text);
	if (open && pair.n)
		open_place(l->under_way, q, LIMIT_SCOPES, pair, open);
}

bool limiter_at_mail(struct limiter *l)
{
	static const enum limit_scope scopes[] = {LIMIT_IP, LIMIT_NET, LIMIT_MAILFROM};
	bool found = false;
	pthread_mutex_lock(&l->lock);
	for (size_t s = 0; s < sizeof(scopes) / sizeof(scopes[0]); s++) {
		size_t n;
		const struct limit *v = ruleset_limits(l->rules, scopes[s], &n);
		for (size_t i = 0; i < n; i++)
			found |= !v[i].dry_run;
	}
	pthread_mutex_unlock(&l->lock);
	return found;
}

/* A key whose places are to be asked for. */
struct place {
	char text[LIMIT_RATE_KEY_BYTES + 1];
	struct span key;
	uint32_t most; /* of the lowest limit that refuses; 0: none does */
};

static size_t places_of(struct limiter *l, const struct limiter_query *q,
			struct place v[LIMIT_SCOPES])
{
	size_t n = 0;
	for (int s = 0; s < LIMIT_SCOPES; s++) {
		struct place *p = &v[n];
		struct bounds b;
		p->key = key_of(q, (enum limit_scope)s, p->text);
		p->most = 0;
		if (!p->key.n)
			continue;
		bounds_of(l, (enum limit_scope)s, q, &b);
		for (size_t i = 0; i < b.n && b.v[i].window_us == LIMIT_AT_ONCE; i++) {
			uint64_t most = limit_of(&b, i).count;
			if (!b.v[i].dry_run && (!p->most || most < p->most))
				p->most = most < UINT32_MAX ? (uint32_t)most : UINT32_MAX;
		}
		n += has_at_once(&b);
	}
	return n;
}

static bool let_in(struct limiter *l, const struct limiter_query *q, int64_t now_us,
		   enum looks looks, struct limiter_refusal *r_r)
{
	int64_t begin_us = clock_mono_us();
	bool refused = check(l, q, now_us, looks, r_r) > 0;
	if (!refused)
		count(l, q, 1, 1, now_us);
	int64_t took_us = clock_mono_us() - begin_us;
	if (took_us > l->longest_us)
		l->longest_us = took_us;
	return !refused;
}

bool limiter_refuses(struct limiter *l, const struct limiter_query *q, int64_t now_us,
		     struct limiter_refusal *r_r)
{
	pthread_mutex_lock(&l->lock);
	bool refused = !let_in(l, q, now_us, LOOK_ALL, r_r);
	pthread_mutex_unlock(&l->lock);
	return refused;
}

bool limiter_refuses_exactly(struct limiter *l, const struct limiter_query *q, int64_t now_us,
			     struct limiter_refusal *r_r)
{
	struct place places[LIMIT_SCOPES];
	pthread_mutex_lock(&l->lock);
	bool refused = !let_in(l, q, now_us, LOOK_WINDOWS, r_r);
	size_t n = refused ? 0 : places_of(l, q, places);
	pthread_mutex_unlock(&l->lock);
	if (n == 0)
		return refused;
	int64_t until_us = clock_mono_us() + LIMIT_GAUGE_WAIT_US;
	for (size_t i = 0; i < n; i++)
		rates_ask(l->rates, places[i].key, places[i].most, until_us);
	pthread_mutex_lock(&l->lock);
	refused = check(l, q, clock_mono_us(), LOOK_PLACES, r_r) > 0;
	if (refused)
		count(l, q, -1, -1, now_us);
	pthread_mutex_unlock(&l->lock);
	return refused;
}

bool limiter_would_refuse(struct limiter *l, const struct limiter_query *q, int64_t now_us,
			  struct limiter_refusal *r_r)
{
	pthread_mutex_lock(&l->lock);
	bool refused = check(l, q, now_us, LOOK_QUIET, r_r) > 0;
	pthread_mutex_unlock(&l->lock);
	return refused;
}

bool limiter_has_under_way(struct limiter *l, const struct limiter_query *q)
{
	char text[LIMIT_RATE_KEY_BYTES + 1];
	struct span pair = pair_of(q, text);
	return pair.n && rates_open(l->under_way, pair, 0) > 0;
}

void limiter_take_back(struct limiter *l, const struct limiter_query *q, int64_t counted_us)
{
	pthread_mutex_lock(&l->lock);
	count(l, q, -1, 0, counted_us);
	pthread_mutex_unlock(&l->lock);
}

void limiter_ended(struct limiter *l, const struct limiter_query *q)
{
	pthread_mutex_lock(&l->lock);
	count(l, q, 0, -1, 0);
	pthread_mutex_unlock(&l->lock);
}

void limiter_status(struct limiter *l, struct json *j)
{
	pthread_mutex_lock(&l->lock);
	json_open(j, "limits", '{');
	for (int s = 0; s < LIMIT_SCOPES; s++) {
		const struct counters *c = &l->counters[s];
		json_open(j, limit_scope_name((enum limit_scope)s), '{');
		json_int(j, "counted", (int64_t)c->counted);
		json_int(j, "refused", (int64_t)c->refused);
		json_int(j, "dry_run", (int64_t)c->dry_run);
		json_close(j, '}');
	}
	json_close(j, '}');
	json_int(j, "rate_keys", (int64_t)rates_keys(l->rates));
	json_int(j, "limit_longest_us", l->longest_us);
	if (l->exchange)
		rates_exchange_status(l->exchange, j);
	pthread_mutex_unlock(&l->lock);
}
