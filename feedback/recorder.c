#include "feedback/recorder.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/file.h"
#include "base/limits.h"
#include "base/log.h"
#include "feedback/postings.h"

/* How long an event waits for the next batch at most: a batch is a call a bucket, and what many
 * events count in the same row is added up before. */
#define TICK_MS 500
#define RETRY_MS 1000   /* between two looks whether Redis is back */
#define CHECK_US 500000 /* between two looks whether the books were begun anew */
#define TIDY_US (60 * US_PER_S) /* between two looks for segments that are old */

struct recorder {
	const struct config *config;
	struct identity identity;
	int lock;
	unsigned redis_flags;
	struct redis *redis;             /* NULL: not connected */
	struct eventlog_reader *reader;  /* NULL: the marks are to be asked first */
	struct eventlog_position marks[BOOKS_BUCKETS];
	struct postings postings;
	unsigned batched; /* events in them */
	int64_t checked_us, tidied_us;
	bool away;
	struct recorder_progress *progress; /* NULL: nobody asks */
};

/* --- opening ------------------------------------------------------------------------ */

static int lock_take(const struct config *config)
{
	char path[PATH_MAX];
	struct stat owner;
	if (snprintf(path, sizeof(path), "%s/recorder.lock", config->state) >= (int)sizeof(path))
		return -ENAMETOOLONG;
	int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0640);
	if (fd < 0)
		return -errno;
	int r = 0;
	/* What root makes belongs to the owner of the state folder. */
	if (stat(config->state, &owner) < 0 ||
	    (geteuid() == 0 && fchown(fd, owner.st_uid, owner.st_gid) < 0))
		r = -errno;
	else if (flock(fd, LOCK_EX | LOCK_NB) < 0)
		r = errno == EWOULDBLOCK ? RECORDER_E_BUSY : -errno;
	if (r)
		close(fd);
	return r < 0 ? r : r == RECORDER_E_BUSY ? -EBUSY : fd;
}

static int recorder_open(struct recorder *r, const struct config *config, unsigned redis_flags)
{
	*r = (struct recorder){.config = config, .redis_flags = redis_flags, .lock = -1};
	int result = identity_load(config, &r->identity);
	if (result < 0)
		return result;
	if ((r->lock = lock_take(config)) < 0)
		return r->lock == -EBUSY ? RECORDER_E_BUSY : r->lock;
	postings_init(&r->postings, &r->identity);
	return 0;
}

static void recorder_close(struct recorder *r)
{
	if (r->lock < 0)
		return;
	eventlog_reader_close(r->reader);
	redis_close(r->redis);
	postings_free(&r->postings);
	close(r->lock);
}

/* --- one batch --------------------------------------------------------------------- */

static const struct eventlog_position *first_of(const struct eventlog_position marks[BOOKS_BUCKETS])
{
	const struct eventlog_position *first = &marks[0];
	for (size_t i = 1; i < BOOKS_BUCKETS; i++)
		if (eventlog_position_cmp(&marks[i], first) < 0)
			first = &marks[i];
	return first;
}

/* What lies before it is in all books. */
static const struct eventlog_position *first_mark(const struct recorder *r)
{
	return first_of(r->marks);
}

static void tell_progress(struct recorder *r, uint64_t events, bool level, const char *trouble)
{
	struct recorder_progress *p = r->progress;
	if (!p)
		return;
	pthread_mutex_lock(&p->lock);
	p->events += events;
	p->applied = *first_mark(r);
	if (level)
		p->level_us = clock_mono_us();
	snprintf(p->trouble, sizeof(p->trouble), "%s", trouble);
	pthread_mutex_unlock(&p->lock);
}

/* Says once that Redis went away or refuses, and why. */
static int away(struct recorder *r, int result, const char *why)
{
	if (!r->away) {
		if (result == -EPROTO)
			log_error("redis.refused", "the event log waits: %s", why);
		else
			log_warn("redis.away", "the event log waits: %s", why);
	}
	r->away = true;
	tell_progress(r, 0, false, why);
	redis_close(r->redis);
	r->redis = NULL;
	eventlog_reader_close(r->reader);
	r->reader = NULL;
	return result;
}

/* Asks each bucket where it is and opens the log at the first of these places. -ENOENT: there is
 * no log. */
static int find_place(struct recorder *r)
{
	int result;
	if (!r->redis && (result = redis_open(&r->redis, r->config, r->redis_flags)) < 0)
		return away(r, result, redis_open_trouble());
	result = books_marks(r->redis, r->identity.gateway, r->marks);
	if (result)
		return away(r, result < 0 ? result : -EPROTO, books_trouble());
	const struct eventlog_position *first = first_mark(r);
	if (r->away)
		log_warn("redis.back", "applying the event log from %s",
			 first->segment[0] ? first->segment : "its beginning");
	r->away = false;
	r->checked_us = clock_mono_us();
	tell_progress(r, 0, false, "");
	return eventlog_reader_open(&r->reader, r->config->state, first);
}

/* Reads lines into the postings: 1 when there may be more, 0 at the end of the log. */
static int read_batch(struct recorder *r)
{
	struct span line;
	postings_reset(&r->postings);
	for (r->batched = 0; r->batched < LIMIT_BATCH_EVENTS; r->batched++) {
		int result = eventlog_next(r->reader, &line);
		if (result <= 0)
			return result;
		struct eventlog_position at = eventlog_reader_line(r->reader);
		if (!postings_add(&r->postings, line, &at, r->marks))
			log_warn("log.line", "%s:%llu is no JSON and counts nothing", at.segment,
				 (unsigned long long)at.offset);
		if (r->postings.failed)
			return -ENOMEM;
		if (r->postings.full || r->postings.arguments >= LIMIT_BATCH_ARGUMENTS) {
			r->batched++;
			return 1;
		}
	}
	return 1;
}

static int queue_bucket(struct recorder *r, unsigned bucket, const struct eventlog_position *to)
{
	const struct posting_list *list = &r->postings.buckets[bucket];
	char key[BOOKS_KEY_BYTES], before[EVENTLOG_POSITION_BYTES], behind[EVENTLOG_POSITION_BYTES];
	struct span *words = calloc(7 + list->n, sizeof(*words));
	if (!words)
		return -ENOMEM;
	words[0] = SPAN("FCALL");
	words[1] = SPAN("assay_record");
	words[2] = SPAN("1");
	words[3] = books_key(bucket, key);
	words[4] = span_of(r->identity.gateway);
	words[5] = span_of(eventlog_position_text(&r->marks[bucket], before));
	words[6] = span_of(eventlog_position_text(to, behind));
	const char *p = list->bytes.p;
	for (size_t i = 0; i < list->n; i++) {
		words[7 + i] = (struct span){p, list->lengths[i]};
		p += list->lengths[i];
	}
	redis_queue(r->redis, words[3], 7 + list->n, words);
	free(words);
	return 0;
}

/* Sends every bucket its share, an empty one too, so that all marks move on together. A bucket
 * that is somewhere else took nothing: the marks are asked anew. */
static int send_batch(struct recorder *r)
{
	struct eventlog_position to = eventlog_reader_position(r->reader);
	unsigned sent[BOOKS_BUCKETS];
	size_t n = 0;
	/* The books must not know what a power cut can take from the log. */
	int result = eventlog_reader_sync(r->reader);
	for (unsigned bucket = 0; result == 0 && bucket < BOOKS_BUCKETS; bucket++) {
		if (eventlog_position_cmp(&r->marks[bucket], &to) >= 0)
			continue;
		sent[n++] = bucket;
		result = queue_bucket(r, bucket, &to);
	}
	if (result < 0)
		return result;
	if (n && (result = redis_exchange(r->redis)) < 0)
		return away(r, result, redis_trouble(r->redis));
	bool elsewhere = false;
	for (size_t i = 0; i < n; i++) {
		const struct redis_answer *answer = redis_answer(r->redis, i);
		struct span error = redis_answer_error(answer);
		if (error.p) {
			char why[256];
			snprintf(why, sizeof(why), "%.*s", SPAN_ARG(error));
			return away(r, -EPROTO, why);
		}
		if (redis_answer_text(answer).p)
			elsewhere = true;
		else
			r->marks[sent[i]] = to;
	}
	if (elsewhere) {
		eventlog_reader_close(r->reader);
		r->reader = NULL;
	}
	return 0;
}

/* With nothing to send nobody tells us that the books were begun anew, or lost: ask. */
static int check_place(struct recorder *r)
{
	struct eventlog_position marks[BOOKS_BUCKETS];
	if (clock_mono_us() - r->checked_us < CHECK_US)
		return 0;
	int result = books_marks(r->redis, r->identity.gateway, marks);
	if (result)
		return away(r, result < 0 ? result : -EPROTO, books_trouble());
	r->checked_us = clock_mono_us();
	bool same = true;
	for (size_t i = 0; i < BOOKS_BUCKETS; i++)
		same = same && eventlog_position_cmp(&marks[i], &r->marks[i]) == 0;
	if (!same) {
		eventlog_reader_close(r->reader);
		r->reader = NULL;
	}
	return 0;
}

/* All that the log has now. */
static int apply(struct recorder *r)
{
	for (;;) {
		int result = r->reader ? 0 : find_place(r);
		if (result == -ENOENT) /* no log yet */
			tell_progress(r, 0, true, "");
		if (result < 0)
			return result == -ENOENT ? 0 : result;
		int more = read_batch(r);
		if (more < 0)
			return more;
		if ((result = send_batch(r)) < 0)
			return result;
		if (r->reader)
			tell_progress(r, r->batched, !more, "");
		if (!more && r->reader && ((result = check_place(r)) < 0 || r->reader))
			return result;
	}
}

/* One old segment, when the log has been applied: 1 when there may be more. */
static int tidy(struct recorder *r)
{
	if (!r->reader || (r->tidied_us && clock_mono_us() - r->tidied_us < TIDY_US))
		return 0;
	int result = eventlog_tidy(r->config->state, first_mark(r), r->config->log.compress_us,
				   r->config->log.keep_us);
	if (result < 0)
		log_warn("log.tidy", "old segments stay: %s", strerror(-result));
	if (result <= 0)
		r->tidied_us = clock_mono_us();
	return result;
}

/* --- the three ways to use it ---------------------------------------------------------- */

int recorder_catch_up(const struct config *config)
{
	struct recorder r;
	int result = recorder_open(&r, config, REDIS_MAY_START);
	if (result == 0)
		result = apply(&r);
	recorder_close(&r);
	return result;
}

bool recorder_redis_away(int result)
{
	return result == -ENOTCONN || result == -ETIMEDOUT || result == -EPROTO;
}

int recorder_run(const struct config *config, int stop_fd, struct recorder_progress *progress)
{
	struct recorder r;
	struct pollfd stop = {.fd = stop_fd, .events = POLLIN};
	int result;
	/* A command may be catching up just now; it will be done soon. */
	while ((result = recorder_open(&r, config, 0)) == RECORDER_E_BUSY)
		if (poll(&stop, 1, TICK_MS) > 0)
			return 0;
	r.progress = progress;
	while (result == 0) {
		int applied = apply(&r);
		if (applied < 0 && !recorder_redis_away(applied))
			result = applied;
		else if (poll(&stop, 1, applied < 0 ? RETRY_MS : tidy(&r) > 0 ? 0 : TICK_MS) > 0)
			break;
	}
	recorder_close(&r);
	return result;
}

/* Takes away the keys of generations that are over. */
static int sweep_master(struct redis *redis, size_t master)
{
	char cursor[32] = "0";
	do {
		const struct span scan[] = {SPAN("SCAN"), span_of(cursor), SPAN("MATCH"),
					    SPAN("{b[0-9][0-9][0-9]}[0-9]*"), SPAN("COUNT"),
					    SPAN("1000")};
		const struct redis_answer *answer;
		int result = redis_ask_master(redis, master, 6, scan, &answer);
		if (result < 0)
			return result;
		snprintf(cursor, sizeof(cursor), "%.*s",
			 SPAN_ARG(redis_answer_text(redis_answer_at(answer, 0))));
		const struct redis_answer *keys = redis_answer_at(answer, 1);
		struct buf names = BUF_INIT;
		for (size_t i = 0; i < redis_answer_count(keys); i++) {
			buf_add(&names, redis_answer_text(redis_answer_at(keys, i)));
			buf_addc(&names, '\0');
		}
		struct span rest = buf_span(&names), name;
		size_t n = 0;
		while (span_next_field(&rest, '\0', &name)) {
			char key[BOOKS_KEY_BYTES];
			snprintf(key, sizeof(key), "%.6sgen", name.p);
			const struct span words[] = {SPAN("FCALL"), SPAN("assay_sweep"), SPAN("2"),
						     span_of(key), name};
			redis_queue(redis, name, 5, words);
			n++;
		}
		result = n ? redis_exchange(redis) : 0;
		buf_free(&names);
		if (result < 0)
			return result;
	} while (strcmp(cursor, "0") != 0 && cursor[0]);
	return 0;
}

static int renew(struct redis *redis, const char **why_r)
{
	for (unsigned bucket = 0; bucket < BOOKS_BUCKETS; bucket++)
		books_call(redis, "assay_renew", bucket, NULL, 0);
	int result = redis_exchange(redis);
	*why_r = redis_trouble(redis);
	for (unsigned bucket = 0; result == 0 && bucket < BOOKS_BUCKETS; bucket++) {
		static char words[256];
		struct span error = redis_answer_error(redis_answer(redis, bucket));
		if (!error.p)
			continue;
		snprintf(words, sizeof(words), "%.*s", SPAN_ARG(error));
		*why_r = words;
		result = -EPROTO;
	}
	return result;
}

int recorder_behind(const struct config *config, struct redis *redis, uint64_t *octets_r)
{
	struct identity identity;
	struct eventlog_position marks[BOOKS_BUCKETS];
	int result = identity_load(config, &identity);
	if (result == 0)
		result = books_marks(redis, identity.gateway, marks);
	if (result == 0)
		result = eventlog_behind(config->state, first_of(marks), octets_r);
	return result;
}

/* Until every bucket has the log up to `end`, by us or by the recorder of `run`. */
static int wait_for(const struct config *config, struct redis *redis,
		    const struct eventlog_position *end)
{
	struct identity identity;
	struct eventlog_position marks[BOOKS_BUCKETS];
	int result = identity_load(config, &identity);
	while (result == 0) {
		result = recorder_catch_up(config);
		if (result < 0)
			return result;
		if ((result = books_marks(redis, identity.gateway, marks)))
			return result < 0 ? result : -EPROTO;
		bool there = true;
		for (size_t i = 0; i < BOOKS_BUCKETS; i++)
			there = there && eventlog_position_cmp(&marks[i], end) >= 0;
		if (there)
			return 0;
		nanosleep(&(struct timespec){.tv_nsec = 50000000}, NULL);
	}
	return result;
}

int recorder_rebuild(const struct config *config, const char **why_r)
{
	static char words[768];
	struct eventlog_position end;
	struct redis *redis = NULL;
	int result = eventlog_end(config->state, &end);
	if (result == -ENOENT)
		result = 0; /* no log: the books are to be empty */
	*why_r = "the event log cannot be read";
	if (result < 0)
		return result;
	if ((result = redis_open(&redis, config, REDIS_MAY_START)) < 0) {
		*why_r = redis_open_trouble();
		return result;
	}
	if ((result = renew(redis, why_r)) == 0 &&
	    (result = wait_for(config, redis, &end)) < 0) {
		snprintf(words, sizeof(words), "the log could not be applied again: %s",
			 strerror(-result));
		*why_r = words;
	}
	for (size_t i = 0; result == 0 && i < redis_masters(redis); i++)
		if ((result = sweep_master(redis, i)) < 0)
			*why_r = redis_trouble(redis);
	if (*why_r != words) /* it lies in what is closed now */
		snprintf(words, sizeof(words), "%s", *why_r);
	*why_r = words;
	redis_close(redis);
	return result;
}
