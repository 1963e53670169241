/* What one delivery costs the queue while many reports wait: CPU of taking it and of settling it. And
 * the same while the first half of them waits behind one destination that may have no more.
 * bench_queue [REPORTS] [DESTINATIONS] */
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "base/clock.h"
#include "base/limits.h"
#include "feedback/queue.h"

#define DELIVERIES 300

static void must(int r, const char *what)
{
	if (r == 0)
		return;
	fprintf(stderr, "bench_queue: %s: %d\n", what, r);
	exit(1);
}

static void fill(struct queue *q, unsigned reports, unsigned destinations, bool busy)
{
	char id[ID_BYTES], to[80], message_id[80];
	int64_t now_us = clock_now_us() - US_PER_S; /* and one more is due each microsecond */
	must(queue_begin(q), "begin");
	for (unsigned i = 0; i < reports; i++) {
		id_make(now_us, id);
		bool first = busy && i < reports / 2;
		snprintf(to, sizeof(to), "fbl@s%u.example", first ? 0 : i % destinations);
		snprintf(message_id, sizeof(message_id), "<%s.abuse@mbox.example>", id);
		struct queue_item item = {.id = span_of(id), .sender = SPAN("s"), .kind = SPAN("abuse"),
					  .to = span_of(to), .message_id = span_of(message_id),
					  .complaint = SPAN_NONE, .envelope = SPAN("fbl@mbox.example"),
					  .message = SPAN("From: fbl@mbox.example\r\n\r\nreport\r\n"),
					  .created_us = now_us, .due_us = now_us + (int64_t)i};
		must(queue_put(q, &item), "put");
	}
	must(queue_end(q, 0), "end");
}

static void measure(unsigned reports, unsigned destinations, bool busy)
{
	char folder[] = "/tmp/assay-bench.XXXXXX", command[80];
	struct arena arena, held;
	struct queue *q;
	struct queue_item item;
	int64_t take_us = 0, settle_us = 0;
	must(mkdtemp(folder) ? 0 : -1, folder);
	must(queue_open(folder, &q), "open");
	fill(q, reports, destinations, busy);
	arena_init(&arena, LIMIT_ARENA_BYTES);
	arena_init(&held, LIMIT_ARENA_BYTES);
	for (unsigned i = 0; busy && i < LIMIT_DESTINATION_FLIGHTS; i++)
		must(queue_take(q, clock_now_us(), false, &held, &item), "take");
	for (unsigned i = 0; i < DELIVERIES; i++) {
		arena_reset(&arena);
		int64_t at_us = clock_cpu_us();
		must(queue_take(q, clock_now_us(), false, &arena, &item), "take");
		take_us += clock_cpu_us() - at_us;
		at_us = clock_cpu_us();
		must(queue_settle(q, &item, DELIVERY_SENT, SPAN("250 ok"), 0, clock_now_us()), "settle");
		settle_us += clock_cpu_us() - at_us;
	}
	printf("%u reports to %u destinations wait%s: take %.2f ms, settle %.2f ms of CPU a report\n",
	       reports, destinations, busy ? ", the first half to a busy one" : "",
	       (double)take_us / 1000 / DELIVERIES, (double)settle_us / 1000 / DELIVERIES);
	queue_close(q);
	arena_free(&arena);
	arena_free(&held);
	snprintf(command, sizeof(command), "rm -rf %s", folder);
	must(system(command), command);
}

int main(int argc, char **argv)
{
	unsigned reports = argc > 1 ? (unsigned)atoi(argv[1]) : 10000;
	unsigned destinations = argc > 2 ? (unsigned)atoi(argv[2]) : 20;
	if (reports < 2 * DELIVERIES || !destinations)
		return 64;
	measure(reports, destinations, false);
	measure(reports, destinations, destinations > 1);
	return 0;
}
