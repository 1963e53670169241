/* Sliding windows against a list of every single transaction. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/clock.h"
#include "feedback/rates.h"

enum { EVENTS = 20000 };

static void close_to_the_truth(void **unused)
{
	(void)unused;
	static const int64_t lengths[] = {60 * US_PER_S, 3600 * US_PER_S, 86400 * US_PER_S};
	static int64_t times[EVENTS];
	struct rates *r = rates_create(10);
	int64_t now = 1000 * US_PER_S;
	size_t first[3] = {0};
	double worst[3] = {0};
	srand(3);
	for (size_t i = 0; i < EVENTS; i++) {
		now += rand() % (20 * (int)US_PER_S / 100); /* ten a second */
		times[i] = now;
		rates_count(r, SPAN("ip:192.0.2.1"), 1, now);
		for (size_t w = 0; w < 3; w++) {
			while (times[first[w]] <= now - lengths[w])
				first[w]++;
			double truth = (double)(i + 1 - first[w]);
			double error = fabs(rates_read(r, SPAN("ip:192.0.2.1"), lengths[w], now) - truth);
			if (truth > 300 && error / truth > worst[w])
				worst[w] = error / truth;
		}
	}
	for (size_t w = 0; w < 3; w++)
		if (worst[w] > 0.01)
			fail_msg("window %zu: %.2f %% off", w, worst[w] * 100);
	rates_free(r);
}

static void nothing_at_once(void **unused)
{
	(void)unused;
	struct rates *r = rates_create(10);
	struct limit limit = {600, 60 * US_PER_S, false};
	int64_t now = 1000 * US_PER_S;
	/* a tenth more than the quota, evenly over a minute */
	for (int i = 0; i < 660; i++)
		rates_count(r, SPAN("k"), 1, now += US_PER_S / 11);
	assert_true(rates_wait(r, SPAN("k"), &limit, 1, now) > 0);
	/* eleven a second leave, so in ten seconds 50 find room, and not the quota at once */
	int passed = 0;
	for (int i = 0; i < 1000; i++) {
		now += US_PER_S / 100;
		if (rates_wait(r, SPAN("k"), &limit, 1, now) == 0) {
			rates_count(r, SPAN("k"), 1, now);
			passed++;
		}
	}
	assert_in_range(passed, 40, 60);
	/* who waits as told finds room */
	int64_t wait = rates_wait(r, SPAN("k"), &limit, 1, now);
	assert_int_equal(rates_wait(r, SPAN("k"), &limit, 1, now + wait), 0);
	/* after the window nothing is left */
	assert_true(rates_read(r, SPAN("k"), 60 * US_PER_S, now + 62 * US_PER_S) == 0);
	rates_free(r);
}

static void several_limits(void **unused)
{
	(void)unused;
	struct rates *r = rates_create(10);
	static const struct limit limits[] = {{5, 60 * US_PER_S, false}, {8, 3600 * US_PER_S, false}};
	int64_t now = 5000 * US_PER_S;
	assert_int_equal(rates_wait(r, SPAN("k"), limits, 2, now), 0);
	rates_count(r, SPAN("k"), 5, now);
	int64_t wait = rates_wait(r, SPAN("k"), limits, 2, now);
	assert_true(wait > 0 && wait <= 62 * US_PER_S);
	rates_count(r, SPAN("k"), 3, now);
	wait = rates_wait(r, SPAN("k"), limits, 2, now);
	assert_true(wait > 3000 * US_PER_S && wait <= 3720 * US_PER_S);
	static const struct limit none = {0, 60 * US_PER_S, false};
	assert_true(rates_wait(r, SPAN("new"), &none, 1, now) == 60 * US_PER_S);
	rates_free(r);
}

static void keys_make_room(void **unused)
{
	(void)unused;
	struct rates *r = rates_create(100);
	char key[32];
	for (int i = 0; i < 1000; i++) {
		snprintf(key, sizeof(key), "k%d", i);
		rates_count(r, span_of(key), 1, 1000 * US_PER_S);
		rates_count(r, SPAN("busy"), 1, 1000 * US_PER_S);
	}
	assert_true(rates_read(r, SPAN("busy"), 60 * US_PER_S, 1000 * US_PER_S) == 1000);
	assert_true(rates_read(r, SPAN("k999"), 60 * US_PER_S, 1000 * US_PER_S) == 1);
	assert_true(rates_read(r, SPAN("k1"), 60 * US_PER_S, 1000 * US_PER_S) == 0);
	/* what is told late counts at its time, and can be taken back there */
	rates_count(r, SPAN("busy"), 1, 900 * US_PER_S);
	assert_true(rates_read(r, SPAN("busy"), 60 * US_PER_S, 1000 * US_PER_S) == 1000);
	assert_true(rates_read(r, SPAN("busy"), 3600 * US_PER_S, 1000 * US_PER_S) == 1001);
	rates_count(r, SPAN("busy"), -1, 900 * US_PER_S);
	assert_true(rates_read(r, SPAN("busy"), 3600 * US_PER_S, 1000 * US_PER_S) == 1000);
	rates_free(r);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(close_to_the_truth),
		cmocka_unit_test(nothing_at_once),
		cmocka_unit_test(several_limits),
		cmocka_unit_test(keys_make_room),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
