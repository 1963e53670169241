/* What comes back to a return address: a report that bounces, STOP, or anything else. */
#include <string.h>

#include "base/limits.h"
#include "feedback/bounce.h"
#include "tests/fuzz/desk.h"

#define REPORT "01JDAAAAAAAAAAAAAAAAAAAAAA"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

/* One report that was sent, under a key that the seeds know. */
static void set_up(void)
{
	desk_set_up();
	memset(&desk.keys, 0, sizeof(desk.keys));
	struct queue_item item = {
		.id = SPAN(REPORT), .sender = SPAN("esp"), .kind = SPAN("abuse"),
		.to = SPAN("fbl@esp.example"), .message_id = SPAN("<" REPORT ".abuse@mbox.example>"),
		.envelope = SPAN("fbl@mbox.example"), .message = SPAN("x"), .created_us = 1,
		.due_us = 1,
	};
	int r = queue_begin(desk.queue);
	if (r == 0)
		r = queue_end(desk.queue, queue_put(desk.queue, &item));
	if (r < 0)
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	enum bounce_outcome outcome;
	struct span text = {(const char *)data, n};
	if (!desk.queue)
		set_up();
	/* the report's own return address, whatever the header says */
	struct arena a;
	arena_init(&a, 4096);
	struct span rcpt = keys_envelope(&desk.keys, span_of(config.report.from), SPAN(REPORT), &a);
	if (bounce_take(&desk, text, n % 2 ? rcpt : SPAN_NONE, 1795420800000000, &outcome) < 0 ||
	    !bounce_outcome_name(outcome))
		abort();
	arena_free(&a);
	return 0;
}
