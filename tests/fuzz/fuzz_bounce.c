/* What comes back to a return address: a report that bounces, STOP, or anything else. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/limits.h"
#include "feedback/bounce.h"

#define REPORT "01JDAAAAAAAAAAAAAAAAAAAAAA"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static char folder[] = "/tmp/assay-fuzz-bounce.XXXXXX";
static struct config config;
static struct complaint_desk desk;

static void clean(void)
{
	char command[80];
	complaint_desk_close(&desk);
	snprintf(command, sizeof(command), "rm -rf %s", folder);
	if (system(command) != 0)
		perror(folder);
}

/* One report that was sent, under a key that the seeds know. */
static void set_up(void)
{
	if (!mkdtemp(folder))
		abort();
	config = (struct config){.state = folder, .host = "mx1.mbox.example"};
	config.report.from = "fbl@mbox.example";
	if (complaint_desk_open(&desk, &config) < 0)
		abort();
	atexit(clean);
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
