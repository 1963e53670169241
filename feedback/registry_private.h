/*
 * registry_private - what the two files of the registry share: registry.c writes and lists what
 * the database holds, registry_snapshot.c keeps the active senders in memory.
 */
#pragma once

#include "feedback/registry.h"

struct snapshot;

struct registry {
	struct db *db;
	struct snapshot *now; /* NULL: none yet */
	int64_t version;      /* data_version of `now`; own changes set it to -1 */
};

/* Frees those that were retired before `us` (monotonic); INT64_MAX: all. */
void registry_free_snapshots(struct snapshot **at, int64_t us);
