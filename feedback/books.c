#include "feedback/books.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/limits.h"
#include "base/utf8.h"
#include "feedback/eventlog.h"

static char trouble[256];

unsigned books_bucket(struct span text)
{
	uint64_t hash = span_case_hash(text);
	return (unsigned)((hash ^ hash >> 32) % BOOKS_BUCKETS);
}

struct span books_key(unsigned bucket, char out[BOOKS_KEY_BYTES])
{
	int n = snprintf(out, BOOKS_KEY_BYTES, "{b%03u}gen", bucket % 1000);
	return (struct span){out, (size_t)n};
}

struct span books_name(struct span name)
{
	return utf8_cut(name, LIMIT_BOOKS_NAME_BYTES);
}

const char *books_message_hash(const struct identity *id, struct span message_id,
			       char out[IDENTITY_HASH_BYTES])
{
	return identity_hash(id, "message", &message_id, 1, out);
}

/* Without case in the whole address: who complains may write it otherwise than the envelope. */
const char *books_rcpt_hash(const struct identity *id, struct span rcpt,
			    char out[IDENTITY_HASH_BYTES])
{
	char lower[LIMIT_PATH_BYTES];
	size_t n = rcpt.n < sizeof(lower) ? rcpt.n : sizeof(lower);
	for (size_t i = 0; i < n; i++)
		lower[i] = ascii_lower(rcpt.p[i]);
	struct span text = {lower, n};
	return identity_hash(id, "rcpt", &text, 1, out);
}

void books_call(struct redis *r, const char *function, unsigned bucket, const struct span *args,
		size_t n)
{
	char key[BOOKS_KEY_BYTES];
	struct span words[4 + BOOKS_CALL_WORDS] = {SPAN("FCALL"), span_of(function), SPAN("1"),
						   books_key(bucket, key)};
	for (size_t i = 0; i < n && i < BOOKS_CALL_WORDS; i++)
		words[4 + i] = args[i];
	redis_queue(r, words[3], 4 + n, words);
}

/* The same call for every bucket; answers are 0..63. */
static int call_all(struct redis *r, const char *function, const struct span *args, size_t n)
{
	for (unsigned bucket = 0; bucket < BOOKS_BUCKETS; bucket++)
		books_call(r, function, bucket, args, n);
	int result = redis_exchange(r);
	if (result < 0) {
		snprintf(trouble, sizeof(trouble), "%s", redis_trouble(r));
		return result;
	}
	for (unsigned bucket = 0; bucket < BOOKS_BUCKETS; bucket++) {
		struct span error = redis_answer_error(redis_answer(r, bucket));
		if (error.p) {
			snprintf(trouble, sizeof(trouble), "%.*s", SPAN_ARG(error));
			return BOOKS_E_REFUSED;
		}
	}
	return 0;
}

/* --- a row ----------------------------------------------------------------------- */

static uint64_t field(const struct redis_answer *counts, const char *name)
{
	for (size_t i = 0; i + 1 < redis_answer_count(counts); i += 2) {
		if (!span_eq(redis_answer_text(redis_answer_at(counts, i)), span_of(name)))
			continue;
		int64_t value = redis_answer_int(redis_answer_at(counts, i + 1));
		return value > 0 ? (uint64_t)value : 0;
	}
	return 0;
}

/* Hours back from now that are read: all that may hold a recipient younger than the window. */
#define HOURS (LIMIT_RETRY_WINDOW_US / HOUR_US + 1)
/* Rows of one call. Redis serves nobody else until a call has ended: this many rows of senders that
 * were busy all day (1,441 minutes each) are some 10 ms. */
#define ROWS_AT_ONCE (BOOKS_CALL_WORDS - 3)

static void add_counts(const struct redis_answer *counts, struct books_row *row)
{
	row->transactions += field(counts, "transactions");
	row->sent += field(counts, "sent");
	row->accepted += field(counts, "accepted");
	row->hard += field(counts, "hard");
	row->complaints += field(counts, "complaints");
	row->reports += field(counts, "reports");
}

static double number_at(const struct redis_answer *a, size_t i)
{
	char text[32];
	struct span s = redis_answer_text(redis_answer_at(a, i));
	snprintf(text, sizeof(text), "%.*s", SPAN_ARG(s));
	return strtod(text, NULL);
}

static void add_bucket(const struct redis_answer *a, struct books_row *row)
{
	const struct redis_answer *counts = redis_answer_at(a, 0);
	int64_t pending = redis_answer_int(redis_answer_at(a, 1));
	add_counts(counts, row);
	if (pending > 0)
		row->pending += (uint64_t)pending;
	else
		pending = 0;
	row->soft += field(counts, "open") - (uint64_t)pending;
	row->window.minute += number_at(a, 2);
	row->window.hour += number_at(a, 3);
	row->window.day += number_at(a, 4);
}

int books_read(struct redis *r, const struct span *rows, size_t n, int64_t now_us, int days,
	       struct books_row *rows_r)
{
	char hour[24], day[24], now[24];
	snprintf(hour, sizeof(hour), "%lld", (long long)(now_us / HOUR_US - HOURS));
	snprintf(day, sizeof(day), "%lld",
		 days ? (long long)(now_us / (24 * HOUR_US) - days + 1) : 0LL);
	snprintf(now, sizeof(now), "%lld", (long long)(now_us / US_PER_S));
	memset(rows_r, 0, n * sizeof(*rows_r));
	for (size_t done = 0; done < n; done += ROWS_AT_ONCE) {
		size_t share = n - done < ROWS_AT_ONCE ? n - done : ROWS_AT_ONCE;
		struct span args[3 + ROWS_AT_ONCE] = {span_of(hour), span_of(day), span_of(now)};
		memcpy(args + 3, rows + done, share * sizeof(*rows));
		int result = call_all(r, "assay_rows", args, 3 + share);
		if (result)
			return result;
		for (unsigned bucket = 0; bucket < BOOKS_BUCKETS; bucket++)
			for (size_t i = 0; i < share; i++)
				add_bucket(redis_answer_at(redis_answer(r, bucket), i),
					   &rows_r[done + i]);
	}
	return 0;
}

int books_series(struct redis *r, const char *row, enum books_period period, int64_t now_us,
		 struct books_row *rows_r)
{
	int64_t n = period == BOOKS_HOUR ? BOOKS_HOURS : BOOKS_DAYS;
	int64_t last = now_us / (period == BOOKS_HOUR ? HOUR_US : 24 * HOUR_US), first = last - n + 1;
	char from[24], to[24];
	memset(rows_r, 0, (size_t)n * sizeof(*rows_r));
	snprintf(from, sizeof(from), "%lld", (long long)first);
	snprintf(to, sizeof(to), "%lld", (long long)last);
	const struct span args[] = {span_of(row), period == BOOKS_HOUR ? SPAN("H") : SPAN("D"),
				    span_of(from), span_of(to)};
	int result = call_all(r, "assay_series", args, 4);
	for (unsigned bucket = 0; result == 0 && bucket < BOOKS_BUCKETS; bucket++) {
		const struct redis_answer *a = redis_answer(r, bucket);
		for (size_t i = 0; i < redis_answer_count(a); i++) {
			const struct redis_answer *one = redis_answer_at(a, i);
			int64_t at = redis_answer_int(redis_answer_at(one, 0)) - first;
			if (at < 0 || at >= n)
				continue;
			add_counts(redis_answer_at(one, 1), &rows_r[at]);
			rows_r[at].pending += field(redis_answer_at(one, 1), "open");
		}
	}
	return result;
}

/* --- names and marks --------------------------------------------------------------- */

static int by_name(const void *a, const void *b)
{
	return span_cmp(*(const struct span *)a, *(const struct span *)b);
}

/* The texts of every bucket's answer, each once, in order. */
static int take_names(struct redis *r, struct arena *arena, struct span **names_r, size_t *n_r)
{
	struct span *v = NULL;
	size_t n = 0, cap = 0, kept = 0;
	for (unsigned bucket = 0; bucket < BOOKS_BUCKETS; bucket++) {
		const struct redis_answer *a = redis_answer(r, bucket);
		for (size_t i = 0; i < redis_answer_count(a); i++) {
			if (!arena_grow(arena, (void **)&v, n, &cap, sizeof(*v)))
				return -ENOMEM;
			v[n++] = arena_copy(arena, redis_answer_text(redis_answer_at(a, i)));
		}
	}
	if (n)
		qsort(v, n, sizeof(*v), by_name);
	/* one sender may have rows in several buckets */
	for (size_t i = 0; i < n; i++)
		if (i == 0 || !span_eq(v[i], v[kept - 1]))
			v[kept++] = v[i];
	*names_r = v;
	*n_r = kept;
	return arena->overflowed ? -ENOMEM : 0;
}

int books_senders(struct redis *r, struct arena *arena, struct span **senders_r, size_t *n_r)
{
	int result = call_all(r, "assay_senders", NULL, 0);
	return result ? result : take_names(r, arena, senders_r, n_r);
}

int books_names(struct redis *r, struct arena *arena, const char *kind, int64_t now_us, int days,
		struct span **names_r, size_t *n_r)
{
	int64_t today = now_us / (24 * HOUR_US);
	char first[24], last[24];
	snprintf(first, sizeof(first), "%lld", (long long)(today - days + 1));
	snprintf(last, sizeof(last), "%lld", (long long)today);
	const struct span args[] = {span_of(kind), span_of(first), span_of(last)};
	int result = call_all(r, "assay_names", args, 3);
	return result ? result : take_names(r, arena, names_r, n_r);
}

int books_marks(struct redis *r, const char *gateway, struct eventlog_position *marks_r)
{
	const struct span args[] = {span_of(gateway)};
	int result = call_all(r, "assay_mark", args, 1);
	for (unsigned bucket = 0; result == 0 && bucket < BOOKS_BUCKETS; bucket++) {
		struct span text = redis_answer_text(redis_answer(r, bucket));
		if (!eventlog_position_parse(text, &marks_r[bucket])) {
			snprintf(trouble, sizeof(trouble), "the mark of bucket %u is no position",
				 bucket);
			return BOOKS_E_REFUSED;
		}
	}
	return result;
}

const char *books_trouble(void)
{
	return trouble;
}
