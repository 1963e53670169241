/*
 * rates_gateway CONF - a gateway's rates without the gateway: reads commands, a line each, from
 * standard input and answers each with a line. Tests and benchmarks drive several of them at once.
 *
 *   count KEY N                 N transactions now
 *   past KEY N                  one transaction now and one in each of N slots before
 *   spread PREFIX KEYS N        N transactions over KEYS keys
 *   pump PREFIX KEYS N SECONDS  N transactions a second over KEYS keys, from a thread: how many
 *                               were counted
 *   read KEY                    minute hour day, as known here
 *   flood IP N SECONDS THREADS  N transactions a second through the limiter (rules of CONF):
 *                               passed refused longest_us
 *   begin IP N                  N transactions begin in the same moment (rules of CONF), each in its
 *                               thread: how many passed, and the longest that one waited in us
 *   end IP                      it is over
 *   judge SENDER IP             what an analysis would be told: sender.hour sender.day ip.hour
 *                               (- where unknown) and the microseconds it waited
 *   standing SENDER             0 usual, 1 good, 2 poor, as the books say
 *   status                      JSON
 *
 * With a `listen policy` in CONF it serves that too.
 */
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <event2/event.h>

#include "base/buf.h"
#include "base/clock.h"
#include "feedback/history.h"
#include "feedback/limiter.h"
#include "feedback/policy.h"
#include "feedback/rates_exchange.h"
#include "feedback/series.h"

static struct rates *rates;
static struct rates_exchange *exchange;
static struct limiter *limiter;
static struct history *history;
static struct analyzer_hooks hooks;
static struct policy *policy;
static struct standings *standings;

/* --- an analysis at its step "history" -------------------------------------------------- */

struct analysis_stub {
	struct txn *txn;
	struct sender sender;
	struct facts facts;
	int64_t begin_us;
};

static void print_fact(const struct facts *f, enum fact_id id)
{
	if (fact_known(f, id))
		printf("%.0f ", f->v[id].number);
	else
		printf("- ");
}

static void judge_run(void *arg)
{
	struct analysis_stub *a = arg;
	if (hooks.history(hooks.history_arg, &a->sender, a->txn, &a->facts, judge_run, a) ==
	    STEP_WAIT)
		return;
	print_fact(&a->facts, F_SENDER_HOUR);
	print_fact(&a->facts, F_SENDER_DAY);
	print_fact(&a->facts, F_IP_HOUR);
	printf("%lld\n", (long long)(clock_mono_us() - a->begin_us));
	fflush(stdout);
	txn_free(a->txn);
	free(a);
}

static void judge(const char *sender, const char *ip)
{
	struct analysis_stub *a = calloc(1, sizeof(*a));
	if (!a || !(a->txn = txn_create(TXN_MILTER, clock_now_us())))
		abort();
	a->sender.key = arena_copy(&a->txn->arena, span_of(sender));
	ip_parse(span_of(ip), &a->txn->peer);
	facts_init(&a->facts, &a->txn->arena);
	a->begin_us = clock_mono_us();
	judge_run(a);
}

/* --- load on the limiter ------------------------------------------------------------------ */

struct flood {
	pthread_t thread;
	struct limiter_query query;
	double each_us;
	int64_t until_us, longest_us;
	unsigned passed, refused;
	struct flood *all;
	unsigned threads;
};

static void *flood_thread(void *arg)
{
	struct flood *f = arg;
	int64_t begin_us = clock_mono_us(), now_us;
	for (unsigned i = 0; (now_us = clock_mono_us()) < f->until_us; i++) {
		int64_t due_us = begin_us + (int64_t)(f->each_us * i);
		struct limiter_refusal refusal;
		if (due_us > now_us) {
			int64_t wait_ns = (due_us - now_us) * 1000;
			nanosleep(&(struct timespec){wait_ns / 1000000000, wait_ns % 1000000000},
				  NULL);
		}
		now_us = clock_mono_us();
		if (limiter_refuses(limiter, &f->query, now_us, &refusal))
			f->refused++;
		else
			f->passed++;
		int64_t took_us = clock_mono_us() - now_us;
		if (took_us > f->longest_us)
			f->longest_us = took_us;
	}
	return NULL;
}

/* Waits for the others and answers, while the loop goes on. */
static void *flood_end(void *arg)
{
	struct flood *f = arg;
	unsigned passed = 0, refused = 0;
	int64_t longest_us = 0;
	for (unsigned i = 0; i < f->threads; i++) {
		pthread_join(f[i].thread, NULL);
		passed += f[i].passed;
		refused += f[i].refused;
		if (f[i].longest_us > longest_us)
			longest_us = f[i].longest_us;
	}
	printf("%u %u %lld\n", passed, refused, (long long)longest_us);
	fflush(stdout);
	free(f);
	return NULL;
}

static void flood(const char *ip, double a_second, double seconds, unsigned threads)
{
	struct flood *f = calloc(threads, sizeof(*f));
	pthread_t end;
	for (unsigned i = 0; f && i < threads; i++) {
		ip_parse(span_of(ip), &f[i].query.ip);
		f[i].each_us = 1e6 * threads / a_second;
		f[i].until_us = clock_mono_us() + (int64_t)(seconds * 1e6);
		f[i].threads = threads;
		if (pthread_create(&f[i].thread, NULL, flood_thread, &f[i]) != 0)
			abort();
	}
	if (!f || pthread_create(&end, NULL, flood_end, f) != 0 || pthread_detach(end) != 0)
		abort();
}

/* --- many at once -------------------------------------------------------------------------- */

static void *begin_thread(void *arg)
{
	struct flood *f = arg;
	struct limiter_refusal refusal;
	int64_t now_us = clock_mono_us();
	f->passed = !limiter_refuses_exactly(limiter, &f->query, now_us, &refusal);
	f->longest_us = clock_mono_us() - now_us;
	return NULL;
}

static void begin(const char *ip, unsigned threads)
{
	struct flood *f = calloc(threads, sizeof(*f));
	pthread_t end;
	for (unsigned i = 0; f && i < threads; i++) {
		ip_parse(span_of(ip), &f[i].query.ip);
		f[i].threads = threads;
		if (pthread_create(&f[i].thread, NULL, begin_thread, &f[i]) != 0)
			abort();
	}
	if (!f || pthread_create(&end, NULL, flood_end, f) != 0 || pthread_detach(end) != 0)
		abort();
}

/* --- load on the exchange ---------------------------------------------------------------- */

struct pump {
	char prefix[64];
	unsigned keys;
	double a_second, seconds;
};

static void *pump_thread(void *arg)
{
	struct pump *p = arg;
	int64_t begin_us = clock_mono_us(), now_us = begin_us,
		end_us = begin_us + (int64_t)(p->seconds * 1e6);
	unsigned long counted = 0;
	char key[96];
	for (; now_us < end_us; now_us = clock_mono_us()) {
		double due = p->a_second * (double)(now_us - begin_us) / 1e6;
		for (; (double)counted < due; counted++) {
			snprintf(key, sizeof(key), "%s%lu", p->prefix, counted % p->keys);
			rates_count(rates, span_of(key), 1, now_us);
		}
		nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
	}
	printf("%lu\n", counted);
	fflush(stdout);
	free(p);
	return NULL;
}

static void pump(const char *prefix, unsigned keys, double a_second, double seconds)
{
	struct pump *p = calloc(1, sizeof(*p));
	pthread_t thread;
	if (!p)
		abort();
	*p = (struct pump){.keys = keys, .a_second = a_second, .seconds = seconds};
	snprintf(p->prefix, sizeof(p->prefix), "%.60s", prefix);
	if (pthread_create(&thread, NULL, pump_thread, p) != 0 || pthread_detach(thread) != 0)
		abort();
}

static void command(char *line)
{
	char key[300], n[64], seconds[32], threads[32];
	double windows[3];
	int words = sscanf(line, "%*s %299s %63s %31s %31s", key, n, seconds, threads);
	int64_t now_us = clock_mono_us();
	if (strncmp(line, "count ", 6) == 0 && words >= 2) {
		rates_count(rates, span_of(key), atoi(n), now_us);
		puts("ok");
	} else if (strncmp(line, "past ", 5) == 0 && words >= 2) {
		/* most slots that a list can have: 64 of a second, 60 of a minute, then wider ones */
		for (int i = atoi(n), age = 0; i >= 0; i--, age += (int)series_width(age))
			rates_count(rates, span_of(key), 1,
				    now_us - age * (int64_t)SERIES_SLOT_US);
		puts("ok");
	} else if (strncmp(line, "spread ", 7) == 0 && words >= 3) {
		char one[340];
		for (int i = 0; i < atoi(seconds); i++) {
			snprintf(one, sizeof(one), "%s%d", key, i % atoi(n));
			rates_count(rates, span_of(one), 1, now_us);
		}
		puts("ok");
	} else if (strncmp(line, "read ", 5) == 0 && words >= 1) {
		static const int64_t lengths[] = {60, 3600, 86400};
		static const struct limit none = {.window_us = 60 * US_PER_S};
		/* whoever is refused asks again what the others counted */
		rates_count(rates, span_of(key), 0, now_us);
		(void)rates_wait(rates, span_of(key), &none, 1, now_us);
		for (int i = 0; i < 3; i++)
			windows[i] = rates_read(rates, span_of(key), lengths[i] * US_PER_S, now_us);
		printf("%.1f %.1f %.1f\n", windows[0], windows[1], windows[2]);
	} else if (strncmp(line, "begin ", 6) == 0 && words >= 2) {
		begin(key, (unsigned)atoi(n));
		return;
	} else if (strncmp(line, "end ", 4) == 0 && words >= 1) {
		struct limiter_query q = {.ip = {0}};
		ip_parse(span_of(key), &q.ip);
		limiter_ended(limiter, &q);
		puts("ok");
	} else if (strncmp(line, "judge ", 6) == 0 && words >= 2) {
		judge(key, n);
		return;
	} else if (strncmp(line, "standing ", 9) == 0 && words >= 1) {
		printf("%d\n", standing_of(standings, span_of(key)));
	} else if (strncmp(line, "pump ", 5) == 0 && words >= 4) {
		pump(key, (unsigned)atoi(n), atof(seconds), atof(threads));
		return;
	} else if (strncmp(line, "flood ", 6) == 0 && words >= 4) {
		flood(key, atof(n), atof(seconds), (unsigned)atoi(threads));
	} else {
		struct buf out = BUF_INIT;
		struct json j = JSON_INIT(&out);
		json_open(&j, NULL, '{');
		rates_exchange_status(exchange, &j);
		json_open(&j, "limiter", '{');
		limiter_status(limiter, &j);
		json_close(&j, '}');
		json_open(&j, "history", '{');
		history_status(history, &j);
		json_close(&j, '}');
		json_open(&j, "policy", '{');
		if (policy)
			policy_status(policy, &j);
		json_close(&j, '}');
		json_close(&j, '}');
		printf("%.*s\n", (int)out.n, out.p);
		buf_free(&out);
	}
	fflush(stdout);
}

static void on_read(struct bufferevent *in, void *loop)
{
	char *line;
	(void)loop;
	while ((line = evbuffer_readln(bufferevent_get_input(in), NULL, EVBUFFER_EOL_LF))) {
		command(line);
		free(line);
	}
}

static void on_end(struct bufferevent *in, short what, void *loop)
{
	(void)in;
	(void)what;
	event_base_loopbreak(loop);
}

int main(int argc, char **argv)
{
	struct config config;
	struct ruleset *rules;
	struct event_base *loop = event_base_new();
	signal(SIGPIPE, SIG_IGN);
	if (argc != 2 || !loop || config_load(&config, argv[1]) != 0 ||
	    ruleset_load(&rules, &config, clock_now_us()) != 0)
		return 1;
	rates = rates_create(1000000);
	if (!rates || rates_exchange_create(&exchange, rates, &config, loop, LIMIT_RATE_TICK_US) < 0 ||
	    limiter_create(&limiter, &config, rules, loop) < 0 ||
	    standing_create(&standings, &config, loop) < 0 ||
	    history_create(&history, &config, loop) < 0 || policy_open(&policy, &config) < 0 ||
	    (policy && policy_start(policy, loop, limiter, config.milter.address != NULL) < 0))
		return 1;
	history_attach(history, &hooks);
	struct bufferevent *in = bufferevent_socket_new(loop, 0, 0);
	bufferevent_setcb(in, on_read, NULL, on_end, loop);
	bufferevent_enable(in, EV_READ);
	event_base_dispatch(loop);
	bufferevent_free(in);
	policy_close(policy);
	history_free(history);
	standing_free(standings);
	rates_exchange_free(exchange);
	rates_free(rates);
	limiter_free(limiter);
	ruleset_unref(rules);
	config_free(&config);
	event_base_free(loop);
	return 0;
}
