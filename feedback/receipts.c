#include "feedback/receipts.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/limits.h"
#include "feedback/books.h"
#include "feedback/eventlog.h"
#include "feedback/recorder.h"

/* A receipt as postings.c writes it:
 * "gateway position time_us\nby\nkey\nhash hash ..." */
struct entry {
	struct span gateway, by, key, hashes;
	struct eventlog_position at;
	int64_t time_us;
};

static bool read_entry(struct span text, struct entry *e)
{
	struct span first, position, time;
	uint64_t us;
	if (!span_next_field(&text, '\n', &first) || !span_next_field(&text, '\n', &e->by) ||
	    !span_next_field(&text, '\n', &e->key))
		return false;
	e->hashes = text;
	if (!span_next_word(&first, &e->gateway) || !span_next_word(&first, &position) ||
	    !span_next_word(&first, &time) || !span_number(time, INT64_MAX, &us))
		return false;
	e->time_us = (int64_t)us;
	return eventlog_position_parse(position, &e->at);
}

/* The event, when it stands in our log. */
static struct json_value *read_event(const struct config *config,
				     const struct eventlog_position *at)
{
	struct span line;
	if (eventlog_line_at(config->state, at, &line) < 0)
		return NULL;
	struct json_value *event = json_in_parse(line, NULL);
	free((char *)line.p);
	return event;
}

static bool event_has_rcpt(const struct json_value *event, struct span rcpt)
{
	const struct json_value *rcpts = json_in_get(event, "rcpts");
	for (size_t i = 0; i < json_in_count(rcpts); i++)
		if (span_case_eq(json_in_text(json_in_get(json_in_at(rcpts, i), "to")), rcpt))
			return true;
	return false;
}

static bool entry_has_rcpt(const struct entry *e, const struct identity *id, struct span rcpt)
{
	char want[IDENTITY_HASH_BYTES];
	struct span rest = e->hashes, hash;
	size_t n = 0;
	books_rcpt_hash(id, rcpt, want);
	for (; span_next_word(&rest, &hash); n++)
		if (span_eq(hash, span_of(want)))
			return true;
	/* More than were kept: the benefit of the doubt, the log decides where it is ours. */
	return n >= LIMIT_RECEIPT_RCPTS;
}

/* Copies what the answer of Redis holds into the receipt's own memory. */
static int take(struct receipt *r, struct span id, const struct entry *e,
		struct json_value *event)
{
	char *memory = malloc(e->by.n + e->key.n + 1);
	if (!memory) {
		json_in_free(event);
		return -ENOMEM;
	}
	receipt_free(r);
	memcpy(memory, e->by.p, e->by.n);
	memcpy(memory + e->by.n, e->key.p, e->key.n);
	*r = (struct receipt){.time_us = e->time_us, .event = event, .memory = memory};
	memcpy(r->id, id.p, id.n);
	if (e->by.n)
		r->sender_by = (struct span){memory, e->by.n};
	if (e->key.n)
		r->sender_key = (struct span){memory + e->by.n, e->key.n};
	return 0;
}

/* Newest first is not needed: the newest that fits wins. */
static int choose(const struct config *config, const struct identity *identity,
		  const struct redis_answer *answer, struct span rcpt, struct receipt *r)
{
	int result = RECEIPT_NEVER;
	for (size_t i = 0; i + 1 < redis_answer_count(answer); i += 2) {
		struct entry e;
		struct span id = redis_answer_text(redis_answer_at(answer, i));
		struct span text = redis_answer_text(redis_answer_at(answer, i + 1));
		/* An event that somebody wrote without an id of ours: a complaint could not name it. */
		if (id.n != ID_BYTES - 1 || !read_entry(text, &e) ||
		    (result == 0 && e.time_us < r->time_us) ||
		    (rcpt.p && !entry_has_rcpt(&e, identity, rcpt)))
			continue;
		struct json_value *event = NULL;
		if (span_eq(e.gateway, span_of(identity->gateway)))
			event = read_event(config, &e.at);
		if (event && rcpt.p && !event_has_rcpt(event, rcpt)) {
			json_in_free(event);
			continue;
		}
		int taken = take(r, id, &e, event);
		if (taken < 0)
			return taken;
		result = 0;
	}
	return result;
}

/* Has the recorder of `run` brought the log into this bucket up to `end`? */
static bool has_caught_up(struct redis *redis, const struct identity *identity, unsigned bucket,
			  const struct eventlog_position *end)
{
	struct eventlog_position marks[BOOKS_BUCKETS];
	return books_marks(redis, identity->gateway, marks) != 0 ||
	       eventlog_position_cmp(&marks[bucket], end) >= 0;
}

static int ask(const struct config *config, struct redis *redis, const struct identity *identity,
	       const char *hash, struct span rcpt, struct receipt *r)
{
	struct span words[] = {span_of(hash)};
	books_call(redis, "assay_receipts", books_bucket(words[0]), words, 1);
	int result = redis_exchange(redis);
	if (result == 0 && redis_answer_error(redis_answer(redis, 0)).p)
		result = -EPROTO;
	return result == 0 ? choose(config, identity, redis_answer(redis, 0), rcpt, r) : result;
}

static int find_by_message(const struct config *config, struct span message_id, struct span rcpt,
			   struct receipt *r)
{
	struct identity identity;
	struct redis *redis;
	struct eventlog_position end = {.offset = 0};
	char hash[IDENTITY_HASH_BYTES];
	/* The message may have come a moment ago. */
	int result = recorder_catch_up(config);
	bool busy = result == RECORDER_E_BUSY;
	if (result < 0 || (result = identity_load(config, &identity)) < 0 ||
	    (busy && (result = eventlog_end(config->state, &end)) < 0) ||
	    (result = redis_open(&redis, config, REDIS_MAY_START)) < 0)
		return result;
	books_message_hash(&identity, message_id, hash);
	int64_t until_us = clock_mono_us() + LIMIT_RECEIPT_WAIT_US;
	for (;;) {
		/* asked in this order, or the recorder could pass between the two */
		bool last = !busy || clock_mono_us() > until_us ||
			    has_caught_up(redis, &identity, books_bucket(span_of(hash)), &end);
		result = ask(config, redis, &identity, hash, rcpt, r);
		if (result != RECEIPT_NEVER || last)
			break;
		usleep(20000);
	}
	redis_close(redis);
	return result;
}

static struct span event_id_of(const struct json_value *event)
{
	return json_in_text(json_in_get(event, "id"));
}

/* An id holds its time: the segment of that time is searched, and those that were begun while the
 * line could still come. A full one takes 50 ms. */
static int find_by_id(const struct config *config, struct span id, struct span rcpt,
		      struct receipt *r)
{
	struct eventlog_reader *reader;
	struct eventlog_position from;
	struct span line;
	int64_t until_us = id_time_us(id) + LIMIT_EVENT_LATE_US;
	int result = eventlog_at_time(config->state, id_time_us(id), &from);
	if (result == 0)
		result = eventlog_reader_open(&reader, config->state, &from);
	if (result < 0)
		return result == -ENOENT ? RECEIPT_NEVER : result;
	int found = RECEIPT_NEVER;
	while (found == RECEIPT_NEVER && (result = eventlog_next(reader, &line)) > 0) {
		struct eventlog_position at = eventlog_reader_line(reader);
		if (strcmp(at.segment, from.segment) != 0 && eventlog_begun_us(&at) > until_us)
			break;
		if (span_find(line, id) == SIZE_MAX)
			continue;
		struct json_value *event = json_in_parse(line, NULL);
		const struct json_value *sender = json_in_get(event, "sender");
		struct entry e = {.by = json_in_text(json_in_get(sender, "by")),
				  .key = json_in_text(json_in_get(sender, "key"))};
		if (span_eq(json_in_text(json_in_get(event, "event")), SPAN("txn")) &&
		    span_eq(event_id_of(event), id) &&
		    (!rcpt.p || event_has_rcpt(event, rcpt)) &&
		    clock_parse_rfc3339(json_in_text(json_in_get(event, "time")), &e.time_us))
			found = take(r, id, &e, event);
		else
			json_in_free(event);
	}
	eventlog_reader_close(reader);
	return result < 0 ? result : found;
}

int receipts_find(const struct config *config, struct span message_id, struct span rcpt,
		  struct span event_id, struct receipt *r)
{
	*r = (struct receipt){.event = NULL};
	int result = RECEIPT_NEVER;
	if (message_id.p)
		result = find_by_message(config, message_id, rcpt, r);
	if (result == RECEIPT_NEVER && event_id.p && id_valid(event_id))
		result = find_by_id(config, event_id, rcpt, r);
	return result;
}

void receipt_free(struct receipt *r)
{
	json_in_free(r->event);
	free(r->memory);
	*r = (struct receipt){.event = NULL};
}
