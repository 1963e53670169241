/*
 * redis - Redis, one server or a Cluster, behind hiredis: commands queued, sent together, answered
 * together.
 *
 *     redis_queue(r, key, argc, argv);   as often as needed
 *     result = redis_exchange(r);        one round trip
 *     redis_answer(r, i)                 of the i-th command queued
 *
 * Every command names the key it is about, so a Cluster's node can be found by its slot; moved
 * slots are followed within the exchange. Assay's own functions (books.lua) are loaded when a
 * server does not have them or has those of another version.
 *
 * Ownership: redis_open() .. redis_close(). Answers live until the next redis_queue().
 * Errors:    -ENOTCONN: Redis is away; -ETIMEDOUT: it does not answer; both leave it unknown
 *            which commands were done. An answer that is an error of Redis is data:
 *            redis_answer_error(). redis_trouble() has the words for people.
 * Blocking:  yes, up to LIMIT_REDIS_TIMEOUT_US. The milter's path uses rates.h instead.
 */
#pragma once

#include "base/config.h"

struct redis;
struct redis_answer; /* is a redisReply */

enum redis_open_flags {
	REDIS_MAY_START = 1, /* start the private server when nobody else has */
	/* For who must not wait: LIMIT_REDIS_HURRY_US is all the time there is, a server that reads
	 * its files counts as away, and one that is away is none of redis_open()'s trouble: each
	 * exchange tries anew. Works in a sandbox without files, with names of hosts where a
	 * redis_async of the same process looks them up. */
	REDIS_HURRY = 2,
};

/* Connects at once. With `redis spawn` it waits until the private server has read its files. */
__attribute__((warn_unused_result)) int redis_open(struct redis **r_r, const struct config *config,
						   unsigned flags);
void redis_close(struct redis *r); /* accepts NULL */

void redis_queue(struct redis *r, struct span key, size_t argc, const struct span *argv);
__attribute__((warn_unused_result)) int redis_exchange(struct redis *r);
const struct redis_answer *redis_answer(const struct redis *r, size_t i);

/* What went wrong in words, after a negative result of any function above. */
const char *redis_trouble(const struct redis *r);
/* Of the last redis_open() that failed. */
const char *redis_open_trouble(void);

/* Answers; NULL and other types give nothing, as in json_in.h. */
struct span redis_answer_text(const struct redis_answer *a); /* .p NULL: no string */
struct span redis_answer_error(const struct redis_answer *a); /* .p NULL: no error */
int64_t redis_answer_int(const struct redis_answer *a); /* integers and decimal strings */
size_t redis_answer_count(const struct redis_answer *a);
const struct redis_answer *redis_answer_at(const struct redis_answer *a, size_t i);

/* How many servers hold data, and one command to each of them (queue nothing in between). */
size_t redis_masters(const struct redis *r);
__attribute__((warn_unused_result)) int redis_ask_master(struct redis *r, size_t master,
							 size_t argc, const struct span *argv,
							 const struct redis_answer **answer_r);

/* Slot of a key (Redis Cluster specification): CRC16 of what stands in the first {...}. */
unsigned redis_slot(struct span key);
