/* Reassembly under attack: what it keeps and what it costs are bounded. What it does with real
 * streams is tested through captures (tests/peers/capture_*.py).
 *
 * ASSAY_FLOOD_SEGMENTS is the length of each flood; 10000000 is a one-sided flood of hours. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <malloc.h>
#include <time.h>

#include <cmocka.h>

#include "base/clock.h"
#include "base/limits.h"
#include "capture/tcp.h"

struct seen {
	uint64_t octets, gap, opened, ended;
};

static void *opened(void *arg, const struct tcp_connection *c, int64_t time_us)
{
	(void)c;
	(void)time_us;
	((struct seen *)arg)->opened++;
	return arg;
}

static bool data(void *user, enum tcp_side side, struct span octets, int64_t time_us, bool one_sided)
{
	(void)side;
	(void)time_us;
	(void)one_sided;
	((struct seen *)user)->octets += octets.n;
	return true;
}

static void gap(void *user, enum tcp_side side, uint64_t length, int64_t time_us)
{
	(void)side;
	(void)time_us;
	((struct seen *)user)->gap += length;
}

static void conflict(void *user, enum tcp_side side)
{
	(void)user;
	(void)side;
}

static void ended(void *user, enum tcp_end why, int64_t time_us)
{
	(void)why;
	(void)time_us;
	((struct seen *)user)->ended++;
}

static bool is_server_port(void *arg, uint16_t port)
{
	(void)arg;
	return port == 25;
}

static const struct tcp_events events = {opened, data, gap, conflict, ended};

static struct tcp_segment segment(uint32_t client, uint32_t seq, struct span payload)
{
	char source[4] = {10, (char)(client >> 16), (char)(client >> 8), (char)client};
	return (struct tcp_segment){.source = ip_from_v4(source), .target = ip_from_v4("\xc0\0\2\x19"),
				    .source_port = 40000, .target_port = 25, .seq = seq,
				    .flags = TCP_ACK, .payload = payload};
}

enum order { FORWARD, BACKWARD, SCATTERED };

/* Segments of one direction with a hole before each. */
static void flood(enum order order, uint32_t flows)
{
	const char *asked = getenv("ASSAY_FLOOD_SEGMENTS");
	uint32_t segments = asked ? (uint32_t)strtoul(asked, NULL, 10) : 400000;
	char octets[100] = {0};
	struct seen seen = {0};
	struct tcp *t = tcp_create(&events, &seen, is_server_port);
	assert_non_null(t);
	int64_t start = clock_cpu_us();
	size_t before = mallinfo2().uordblks, most = 0;
	uint32_t random = 1;
	for (uint32_t i = 0; i < segments; i++) {
		uint32_t n = i / flows % 8000;
		random = random * 1664525 + 1013904223;
		uint32_t place = order == FORWARD ? i / flows
				 : order == BACKWARD ? i / flows - n + 8000 - n
						     : random >> 13;
		struct tcp_segment s = segment(i % flows, 1000 + place * 200,
					       (struct span){octets, sizeof(octets)});
		tcp_segment(t, &s, (int64_t)i);
		if (i % 4096 == 0) {
			size_t now = mallinfo2().uordblks - before;
			most = now > most ? now : most;
		}
	}
	tcp_finish(t, segments);
	uint64_t moved = tcp_counters(t)->moved;
	tcp_free(t);
	double spent = (double)(clock_cpu_us() - start) / 1e6;
	print_message("# order %d, %u flows: %u segments, %.2f CPU s, %zu KB at most, %.1f moves\n", order,
		      flows, segments, spent, most >> 10, (double)moved / segments);
	/* a flow costs its two streams' history and itself beside what waits */
	assert_true(most < LIMIT_REASSEMBLY_BYTES + (size_t)flows * 12000 + LIMIT_FLOW_BYTES);
	/* in order or backwards a piece is put in its place; scattered, half of what waits moves */
	assert_true(moved <= (uint64_t)segments * (order == SCATTERED ? LIMIT_FLOW_SEGMENTS / 2 : 4));
	assert_int_equal(seen.opened, seen.ended);
}

static void test_flood_forward(void **state)
{
	(void)state;
	flood(FORWARD, 1);
	flood(FORWARD, 500);
}

static void test_flood_backward(void **state)
{
	(void)state;
	flood(BACKWARD, 1);
	flood(BACKWARD, 500);
}

static void test_flood_scattered(void **state)
{
	(void)state;
	flood(SCATTERED, 1);
	flood(SCATTERED, 500);
}

/* More connections than are followed: the oldest go, each is told of. */
static void test_flood_of_flows(void **state)
{
	(void)state;
	struct seen seen = {0};
	struct tcp *t = tcp_create(&events, &seen, is_server_port);
	assert_non_null(t);
	int64_t start = clock_cpu_us();
	for (uint32_t i = 0; i < 4 * LIMIT_FLOWS; i++) {
		struct tcp_segment s = segment(i, 1, SPAN("EHLO x\r\n"));
		tcp_segment(t, &s, (int64_t)i);
		assert_true(tcp_flows(t) <= LIMIT_FLOWS);
	}
	assert_int_equal(tcp_counters(t)->flows_evicted, 3 * LIMIT_FLOWS);
	for (int64_t i = 0; i < 100; i++)
		tcp_time(t, 4 * LIMIT_FLOWS + i);
	tcp_free(t);
	print_message("# %d flows: %.2f CPU s\n", 4 * LIMIT_FLOWS, (double)(clock_cpu_us() - start) / 1e6);
	assert_int_equal(seen.opened, 4 * LIMIT_FLOWS);
	assert_int_equal(seen.ended, 4 * LIMIT_FLOWS);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_flood_forward),
		cmocka_unit_test(test_flood_backward),
		cmocka_unit_test(test_flood_scattered),
		cmocka_unit_test(test_flood_of_flows),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
