/*
 * recorder - brings the event log into the books, each event exactly once.
 *
 * Each bucket of the books holds the position up to which it has this gateway's log. A batch
 * carries the position before and behind it and is applied whole, or not at all when the bucket
 * is somewhere else: after a crash here, a Redis that lost its last second, a fail-over or a
 * rebuild the recorder asks where each bucket really is and goes on from there.
 *
 * Exactly one recorder works for a state folder: it holds STATE/recorder.lock.
 *
 * Errors: RECORDER_E_BUSY: `assay run` has it, nothing to do. Negative errno otherwise, -ENOTCONN
 *         and the like when Redis is away: nothing is lost, the log waits. What happened is said
 *         in the log once (redis.away, redis.refused, redis.back), not for each event.
 */
#pragma once

#include <pthread.h>

#include "base/config.h"
#include "feedback/eventlog.h"

struct redis;

enum { RECORDER_E_BUSY = 1 };

/* Applies all that the log has now. */
__attribute__((warn_unused_result)) int recorder_catch_up(const struct config *config);

/* Was it Redis, away or refusing? Then the log has been told why, with its address. */
bool recorder_redis_away(int result);

/* How far a recorder is, for another thread; under `lock`. */
struct recorder_progress {
	pthread_mutex_t lock;
	struct eventlog_position applied; /* what lies before it is in all books */
	uint64_t events;                  /* applied since the start */
	int64_t level_us; /* clock_mono_us() when the books last had all of the log; 0: never yet */
	char trouble[160]; /* why the log waits for Redis; "" when it does not */
};

/* The recorder of `assay run`: until `stop_fd` can be read. Redis away is waited for. */
__attribute__((warn_unused_result)) int recorder_run(const struct config *config, int stop_fd,
						     struct recorder_progress *progress);

/* How much of the log, in octets, is not in all books; as books_marks() when Redis refuses. */
__attribute__((warn_unused_result)) int recorder_behind(const struct config *config,
							struct redis *redis, uint64_t *octets_r);

/* Begins the books anew and applies the log from its first line; with `run` up its recorder does
 * the work and this waits for it. Other gateways on the same Redis apply theirs again by
 * themselves. `why_r`: words for people after a failure. */
__attribute__((warn_unused_result)) int recorder_rebuild(const struct config *config,
							 const char **why_r);
