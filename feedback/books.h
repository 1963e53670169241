/*
 * books - the counters in Redis: where they lie, and reading them.
 *
 * 64 buckets, each with its own hash tag, spread over one Redis or a Cluster alike; books.lua has
 * the keys and what writes them. Numbers for people are derived here, when they are read.
 *
 * Errors: as redis.h; BOOKS_E_REFUSED: Redis answered with an error, redis words in
 *         books_trouble().
 */
#pragma once

#include "feedback/identity.h"
#include "feedback/redis.h"

#define BOOKS_BUCKETS 64

enum { BOOKS_E_REFUSED = 1 };

/* The same text gives the same bucket for ever; ASCII letters without case. */
unsigned books_bucket(struct span text);
/* The key that every function is called with: "{b042}gen". */
#define BOOKS_KEY_BYTES 12
struct span books_key(unsigned bucket, char out[BOOKS_KEY_BYTES]);

/* A name as rows have it: cut to LIMIT_BOOKS_NAME_BYTES. */
struct span books_name(struct span name);

const char *books_message_hash(const struct identity *id, struct span message_id,
			       char out[IDENTITY_HASH_BYTES]);
const char *books_rcpt_hash(const struct identity *id, struct span rcpt,
			    char out[IDENTITY_HASH_BYTES]);

/* Queues FCALL `function` for one bucket with up to so many arguments. */
#define BOOKS_CALL_WORDS 19
void books_call(struct redis *r, const char *function, unsigned bucket, const struct span *args,
		size_t n);

/* What a row holds, all buckets together. sent = accepted + hard + soft + pending. */
struct books_row {
	uint64_t transactions, sent, accepted, hard, soft, pending, complaints, reports;
	struct books_window {
		double minute, hour, day; /* transactions in the last 60 s, 60 minutes, 24 hours */
	} window;
};

/* Rows: "s:SENDER", "t", "l:SENDER/LIST", "c:SENDER/CAMPAIGN", "i:IP", "k:CLASS", "r:HASH" (a
 * recipient, what was returned to it alone; it has no days). They count the last `days` days of UTC,
 * today being one, or with 0 all that the books know. `now_us` parts pending from soft and ends the
 * windows, which only "s:" and "i:" have; they go by the transactions' own times and are exact to
 * the part of the oldest minute. */
__attribute__((warn_unused_result)) int books_read(struct redis *r, const struct span *rows,
						   size_t n, int64_t now_us, int days,
						   struct books_row *rows_r);
/* All senders in order of name, from `arena`. */
__attribute__((warn_unused_result)) int books_senders(struct redis *r, struct arena *arena,
						      struct span **senders_r, size_t *n_r);
/* What has a row of that kind ("l:", "c:", "i:", "k:") in the last `days`, in order of name. */
__attribute__((warn_unused_result)) int books_names(struct redis *r, struct arena *arena,
						    const char *kind, int64_t now_us, int days,
						    struct span **names_r, size_t *n_r);
/* The last 24 hours or 30 days (UTC) of a row, the present one last; they have no windows, and pending
 * is what was answered 4xx in that hour or day and not otherwise since. */
enum books_period { BOOKS_HOUR, BOOKS_DAY };
#define BOOKS_HOURS 24
#define BOOKS_DAYS  30
__attribute__((warn_unused_result)) int books_series(struct redis *r, const char *row,
						     enum books_period period, int64_t now_us,
						     struct books_row *rows_r);
/* How far each bucket has this gateway's log. */
struct eventlog_position;
__attribute__((warn_unused_result)) int books_marks(struct redis *r, const char *gateway,
						    struct eventlog_position *marks_r);
const char *books_trouble(void);
