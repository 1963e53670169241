/*
 * rates_private - the table of rates as its exchange with Redis sees it.
 *
 * Everything here is called with rates.lock held.
 */
#pragma once

#include <pthread.h>

#include "feedback/books.h"
#include "feedback/rates.h"
#include "feedback/series.h"

struct rates_entry {
	struct rates_entry *next_in_chain;
	struct rates_entry *older, *newer;     /* by last use */
	struct rates_entry *next_dirty;        /* to be exchanged; valid while `dirty` */
	struct series seen;    /* everybody's as of the last exchange, and `untold` */
	struct series untold;  /* counted here and in no batch yet */
	int64_t exchanged_us;  /* of the last answer; 0: never */
	uint32_t told_at;      /* slot of now of the last answer */
	uint32_t revision;     /* of Redis' list as of the last answer; 0: not known */
	uint32_t epoch;        /* of the bucket at the last answer */
	struct rates_entry *next_gauged; /* valid while `gauged` */
	int64_t others_us;     /* of the last answer about `others` */
	int open;              /* transactions under way */
	int told_open;         /* as Redis has it; -1: not known */
	int others;            /* under way at all other gateways */
	uint32_t most;         /* places that Redis gives at all; 0: no bound */
	uint32_t asks, asks_told, asks_known; /* of rates_ask(): made, on their way, answered */
	uint16_t key_n;
	uint8_t bucket;
	bool dirty, flying;    /* flying: a batch points here */
	bool gauged;           /* rates_gauge.h tells Redis of it and may point here */
	bool gauge_wanted;     /* somebody was refused: what have the others now? */
	char key[];
};

struct rates {
	pthread_mutex_t lock;
	pthread_cond_t heard; /* asks_known has changed somewhere */
	struct rates_entry **chains;
	size_t n_chains, n, max;
	struct rates_entry *oldest, *newest;
	int64_t shift_us; /* the time of slots minus the clock of the callers */
	struct rates_entry *dirty[BOOKS_BUCKETS];
	struct rates_entry *gauged[BOOKS_BUCKETS];
	bool shared;      /* with an exchange: entries become dirty */
	int wake_fd;      /* an eventfd of the exchange: somebody asks; -1: none */
	uint64_t forgotten; /* entries that made room before Redis had their counts */
};

struct rates_entry *rates_find(struct rates *r, struct span key);
struct rates_entry *rates_make(struct rates *r, struct span key); /* NULL when out of memory */
void rates_make_dirty(struct rates *r, struct rates_entry *e);

static inline uint32_t rates_slot(const struct rates *r, int64_t us)
{
	return (uint32_t)((us + r->shift_us) / SERIES_SLOT_US);
}
