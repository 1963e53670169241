/*
 * listings - since when an address or a domain stands in a block list (clause 2.2.4 asks how soon
 * a sender looks after it).
 *
 * The lists themselves do not tell, so the first look at which it was listed is kept, in Redis for
 * all gateways: one hash a name, `{b042}rbl:NAME`, a field for each list, seconds since 1970. The
 * first look at which it is not listed any more takes the field out. Without Redis it is not known,
 * and the rule is skipped.
 *
 * Redis is asked for a name and list once in LIMIT_LISTING_FRESH_US; between, a table of this
 * process answers. What is lost with Redis makes a listing younger, never older.
 *
 * Ownership: listings_create() .. listings_free(); the analyzer's hooks point to it.
 * Blocking:  for one round trip to Redis; after trouble it is left alone for a while. A worker opens
 *            it with REDIS_HURRY, and its messages wait for LIMIT_REDIS_HURRY_US at most.
 */
#pragma once

#include "analyze/analyze.h"

struct listings;

/* Opens Redis at once, `redis_flags` as for redis_open(); one that is away is tried again later. NULL
 * when out of memory. */
struct listings *listings_create(const struct config *config, unsigned redis_flags);
void listings_attach(struct listings *l, struct analyzer_hooks *hooks);
void listings_free(struct listings *l); /* accepts NULL */

/* The hook: sets since_us of what is listed, forgets what is not. */
void listings_look(struct listings *l, struct dnsbl_entry *v, size_t n, int64_t now_us);
