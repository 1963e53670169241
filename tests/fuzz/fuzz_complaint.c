/* A complaint on its whole way: whatever is handed in about the one mail that was received for one
 * recipient, it is decided, one report at most is made of it, and none names the recipient. */
#include "base/clock.h"
#include "base/json_in.h"
#include "base/limits.h"
#include "tests/fuzz/desk.h"

#define TXN "01JDAAAAAAAAAAAAAAAAAAAAAA"
#define RCPT "wang@mbox.example"
#define MESSAGE_ID "<1@esp.example>"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static int find(const struct config *c, struct span message_id, struct span rcpt,
		struct span event_id, struct receipt *r)
{
	static const char event[] =
		"{\"mail_from\":\"b@esp.example\",\"peer\":\"192.0.2.9\",\"port\":4711,\"message_id\":"
		"\"" MESSAGE_ID "\",\"rcpts\":[{\"to\":\"" RCPT "\",\"code\":250}],\"auth\":{\"dkim\":"
		"[{\"d\":\"esp.example\",\"s\":\"x\",\"result\":\"pass\"}],\"spf\":{\"result\":\"none\"}}}";
	(void)c;
	*r = (struct receipt){.time_us = 1795420800 * US_PER_S, .id = TXN};
	if ((!span_eq(message_id, SPAN(MESSAGE_ID)) && !span_eq(event_id, SPAN(TXN))) ||
	    (rcpt.p && !span_case_eq(rcpt, SPAN(RCPT))))
		return RECEIPT_NEVER;
	r->event = json_in_parse(SPAN(event), NULL);
	return r->event ? 0 : -1;
}

static void release(struct receipt *r)
{
	json_in_free(r->event);
	r->event = NULL;
}

static void set_up(void)
{
	static const char text[] = "sender esp { dkim esp.example feedback fbl@esp.example { complaint } }";
	struct arena a;
	struct filings all;
	struct diag diag = {.out = NULL};
	struct buf said = BUF_INIT;
	const char *now;
	desk_set_up();
	desk.find = find;
	desk.release = release;
	arena_init(&a, LIMIT_ARENA_BYTES);
	filings_read(&all, SPAN(text), "f", &a, &diag);
	if (all.faults || registry_file_all(desk.registry, all.v, 1, "clerk", &said) < 0 ||
	    registry_approve(desk.registry, SPAN("esp"), "a", "test", &now) < 0 ||
	    registry_approve(desk.registry, SPAN("esp"), "b", NULL, &now) < 0)
		abort();
	arena_free(&a);
	buf_free(&said);
}

/* Forgets the complaint, so that the next one is decided anew. */
static void forget(const char *kind)
{
	struct queue_complaint c = {.rcpt = SPAN(RCPT), .message = SPAN(MESSAGE_ID),
				    .kind = span_of(kind)};
	if (queue_begin(desk.queue) < 0 || queue_end(desk.queue, queue_forget(desk.queue, &c)) < 0)
		abort();
}

/* The address stands in no line of the report that is ours to write; see arf_lint.c for the sender's
 * own ids. */
static void check_report(struct span id)
{
	struct arena a;
	struct queue_item item;
	arena_init(&a, LIMIT_ARENA_BYTES);
	if (queue_take(desk.queue, INT64_MAX / 2, false, &a, &item) == 0) {
		struct span rest = item.message, line;
		if (!span_eq(item.id, id))
			abort(); /* it is the only one that waits */
		while (span_next_line(&rest, &line))
			if (span_case_find(line, SPAN(RCPT)) != SIZE_MAX &&
			    (span_case_starts(line, SPAN("To:")) || span_case_starts(line, SPAN("Cc:")) ||
			     span_case_starts(line, SPAN("Subject:")) ||
			     span_case_starts(line, SPAN("Original-Rcpt-To:")) ||
			     span_case_starts(line, SPAN("Delivered-To:"))))
				abort();
		if (queue_settle(desk.queue, &item, DELIVERY_SENT, SPAN("ok"), 0, clock_now_us()) < 0)
			abort();
	}
	arena_free(&a);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	struct complaint_result first, again;
	struct complaint c = {.octets = {(const char *)data, n}, .rcpt = n % 2 ? SPAN(RCPT) : SPAN_NONE};
	if (!desk.queue)
		set_up();
	if (complaint_take(&desk, &c, clock_now_us(), &first) < 0 || first.n_reports > 1)
		abort();
	if (first.n_reports) {
		check_report(span_of(first.reports[0]));
		/* by another way it is the same */
		c.way = SPAN("http");
		if (complaint_take(&desk, &c, clock_now_us(), &again) < 0 ||
		    again.outcome != COMPLAINT_DUPLICATE)
			abort();
	}
	if (first.outcome != COMPLAINT_UNVERIFIED) {
		forget("abuse");
		forget("not-spam");
	}
	return 0;
}
