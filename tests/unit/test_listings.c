/* Since when listings stand: a real Redis keeps it, over processes, restarts and its own absence. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/limits.h"
#include "feedback/listings.h"
#include "feedback/redis.h"

#define DAY (86400 * US_PER_S)

static char state[] = "/tmp/assay-listings-XXXXXX";
static struct config config = {.redis = {.kind = REDIS_SPAWN}};
static const int64_t start = 1795766400 * US_PER_S;

static struct dnsbl_entry entry(const char *list, const char *name, bool listed)
{
	struct dnsbl_entry e = {.list = list, .name = span_of(name)};
	if (listed)
		ip_parse(SPAN("127.0.0.2"), &e.code);
	return e;
}

/* One look by a process that has just begun; days since the first look, or -1. */
static int look(const char *list, const char *name, bool listed, int64_t now_us)
{
	struct listings *l = listings_create(&config, REDIS_MAY_START);
	struct dnsbl_entry e = entry(list, name, listed);
	assert_non_null(l);
	listings_look(l, &e, 1, now_us);
	listings_free(l);
	return e.since_us ? (int)((now_us - e.since_us) / DAY) : -1;
}

static void kept(void **unused)
{
	(void)unused;
	assert_int_equal(look("a.bl", "192.0.2.1", true, start), 0);
	assert_int_equal(look("a.bl", "192.0.2.1", true, start + 3 * DAY), 3);
	assert_int_equal(look("b.bl", "192.0.2.1", true, start + 3 * DAY), 0); /* another list */
	assert_int_equal(look("a.bl", "192.0.2.2", true, start + 3 * DAY), 0); /* another name */
	assert_int_equal(look("a.bl", "192.0.2.1", true, start + 12 * DAY), 12);
	assert_int_equal(look("b.bl", "192.0.2.1", true, start + 12 * DAY), 9);
	/* taken out, and listed again */
	assert_int_equal(look("a.bl", "192.0.2.1", false, start + 13 * DAY), -1);
	assert_int_equal(look("a.bl", "192.0.2.1", true, start + 20 * DAY), 0);
	assert_int_equal(look("b.bl", "192.0.2.1", true, start + 20 * DAY), 17);
	/* domains without case */
	assert_int_equal(look("d.bl", "Example.COM", true, start), 0);
	assert_int_equal(look("d.bl", "example.com", true, start + DAY), 1);
	/* a clock that was set back */
	assert_int_equal(look("d.bl", "example.com", true, start - DAY), 0);
}

/* Several at once, fresh ones among them; each gets its own answer. */
static void together(void **unused)
{
	(void)unused;
	struct listings *l = listings_create(&config, REDIS_MAY_START);
	look("x.bl", "one.example", true, start - 2 * DAY);
	look("x.bl", "three.example", true, start - 5 * DAY);
	for (int round = 0; round < 3; round++) {
		struct dnsbl_entry v[] = {
			entry("x.bl", "one.example", true), entry("x.bl", "two.example", false),
			entry("x.bl", "three.example", true), entry("x.bl", "three.example", true),
			entry("x.bl", "four.example", true),
		};
		if (round == 1) /* one of them is asked for, the others are at hand */
			v[1] = entry("x.bl", "five.example", true);
		listings_look(l, v, 5, start + round * US_PER_S);
		assert_int_equal((start - v[0].since_us) / DAY, 2);
		assert_int_equal((start - v[2].since_us) / DAY, 5);
		assert_int_equal(v[2].since_us, v[3].since_us);
		assert_int_equal(v[4].since_us, start);
		assert_int_equal(v[1].since_us, round == 1 ? start + US_PER_S : 0);
	}
	listings_free(l);
}

/* Ten thousand names through one table of 4,096: whoever shares a place is asked for anew. */
static void many(void **unused)
{
	(void)unused;
	struct listings *l = listings_create(&config, REDIS_MAY_START);
	for (int round = 0; round < 2; round++)
		for (int i = 0; i < 10000; i += 20) {
			struct dnsbl_entry v[20];
			char names[20][24];
			for (int k = 0; k < 20; k++) {
				snprintf(names[k], sizeof(names[k]), "n%d.example", i + k);
				v[k] = entry("m.bl", names[k], (i + k) % 3 != 0);
			}
			listings_look(l, v, 20, start + round * DAY);
			for (int k = 0; k < 20; k++)
				assert_int_equal(v[k].since_us, (i + k) % 3 ? start : 0);
		}
	listings_free(l);
}

static void away(void **unused)
{
	(void)unused;
	static const char *nowhere[] = {"127.0.0.1:1"};
	struct config other = {.state = state, .redis = {REDIS_TCP, {nowhere, NULL, 1}}};
	struct listings *l = listings_create(&other, 0);
	struct dnsbl_entry e = entry("a.bl", "192.0.2.1", true);
	assert_non_null(l);
	for (int i = 0; i < 1000; i++) { /* left alone between: no thousand time-outs */
		listings_look(l, &e, 1, clock_now_us());
		assert_int_equal(e.since_us, 0);
	}
	listings_free(l);
	/* a private Redis that nobody has started is not waited for */
	struct config private = {.state = "/nonexistent", .redis = {.kind = REDIS_SPAWN}};
	int64_t begin = clock_mono_us();
	l = listings_create(&private, 0);
	listings_look(l, &e, 1, clock_now_us());
	assert_int_equal(e.since_us, 0);
	assert_true(clock_mono_us() - begin < LIMIT_REDIS_TIMEOUT_US);
	listings_free(l);
}

static pid_t server_pid(void)
{
	struct redis *redis;
	const struct redis_answer *answer;
	struct span info[] = {SPAN("INFO"), SPAN("server")};
	assert_int_equal(redis_open(&redis, &config, REDIS_MAY_START), 0);
	assert_int_equal(redis_ask_master(redis, 0, 2, info, &answer), 0);
	struct span text = redis_answer_text(answer);
	size_t at = span_find(text, SPAN("process_id:"));
	assert_true(at < text.n);
	pid_t pid = atoi(text.p + at + 11);
	redis_close(redis);
	return pid;
}

/* A worker, which cannot open a file any more: a silent Redis costs it one short wait, and one that
 * was started anew is found again. */
static void in_a_hurry(void **unused)
{
	(void)unused;
	struct listings *l = listings_create(&config, REDIS_HURRY);
	struct dnsbl_entry e = entry("h.bl", "192.0.2.9", true);
	int64_t now_us = start, begin_us;
	pid_t pid = server_pid();
	listings_look(l, &e, 1, now_us);
	assert_int_equal(e.since_us, start);

	kill(pid, SIGSTOP);
	begin_us = clock_mono_us();
	for (int i = 0; i < 100; i++) {
		struct dnsbl_entry other = entry("h.bl", "192.0.2.10", true);
		listings_look(l, &other, 1, now_us);
		assert_int_equal(other.since_us, 0);
	}
	assert_true(clock_mono_us() - begin_us < LIMIT_REDIS_TIMEOUT_US);
	kill(pid, SIGKILL);

	assert_true(server_pid() != pid);
	char folder[64], away[64];
	snprintf(folder, sizeof(folder), "%s/redis", state);
	snprintf(away, sizeof(away), "%s/moved", state);
	assert_int_equal(rename(folder, away), 0); /* no path leads there now, but the open folder */
	struct dnsbl_entry again = entry("h.bl", "192.0.2.11", true);
	now_us += LIMIT_LISTING_FRESH_US;
	listings_look(l, &again, 1, now_us);
	assert_int_equal(again.since_us, now_us);
	assert_int_equal(rename(away, folder), 0);
	listings_free(l);
}

/* A key that holds something else is no trouble of anybody's. */
static void broken(void **unused)
{
	(void)unused;
	struct redis *redis;
	const struct redis_answer *answer;
	look("a.bl", "192.0.2.77", true, start);
	assert_int_equal(redis_open(&redis, &config, REDIS_MAY_START), 0);
	struct span script[] = {SPAN("EVAL"),
				SPAN("for _,k in ipairs(redis.call('KEYS','*rbl:192.0.2.77')) do "
				     "redis.call('SET',k,'x') end"), SPAN("0")};
	assert_int_equal(redis_ask_master(redis, 0, 3, script, &answer), 0);
	redis_close(redis);
	assert_int_equal(look("a.bl", "192.0.2.77", true, start + DAY), -1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(kept), cmocka_unit_test(together), cmocka_unit_test(many),
		cmocka_unit_test(away), cmocka_unit_test(in_a_hurry),
		cmocka_unit_test(broken),
	};
	const struct CMUnitTest alone[] = {cmocka_unit_test(away)};
	if (!mkdtemp(state))
		return 1;
	config.state = state;
	bool redis = system("command -v redis-server >/dev/null") == 0;
	if (!redis)
		print_message("# SKIPPED: redis-server is not installed\n");
	int r = redis ? cmocka_run_group_tests(tests, NULL, NULL)
		      : cmocka_run_group_tests(alone, NULL, NULL);
	struct redis *server;
	const struct redis_answer *answer;
	struct span stop[] = {SPAN("SHUTDOWN"), SPAN("NOSAVE")};
	if (redis && redis_open(&server, &config, 0) == 0) {
		int gone = redis_ask_master(server, 0, 2, stop, &answer); /* it answers by going */
		(void)gone;
		redis_close(server);
	}
	char command[64];
	snprintf(command, sizeof(command), "rm -rf %s", state);
	return system(command) == 0 ? r : 1;
}
