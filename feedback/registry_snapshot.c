/*
 * The active senders in memory, made again when the database has changed. One snapshot serves
 * many analyses: an old one stays until none can point into it any more.
 */
#include <errno.h>
#include <stdlib.h>

#include "analyze/analyze.h"
#include "base/clock.h"
#include "base/limits.h"
#include "base/log.h"
#include "feedback/db.h"
#include "feedback/registry_private.h"

/* Longer than any analysis waits: DNS, rates and the milter's deadline together. */
#define SNAPSHOT_KEPT_US (60 * US_PER_S)

/* Analyses that wait for an answer still point into the snapshot that they began with. */
struct snapshot {
	struct arena arena;
	const struct sender_table *table;
	struct filing *filings;
	size_t n_filings, cap_filings;
	int64_t retired_us; /* monotonic */
	struct snapshot *older;
};

void registry_free_snapshots(struct snapshot **at, int64_t us)
{
	while (*at) {
		struct snapshot *old = *at;
		if (us != INT64_MAX && (!old->retired_us || old->retired_us >= us)) {
			at = &old->older;
			continue;
		}
		*at = old->older;
		arena_free(&old->arena);
		free(old);
	}
}

static int add_active(const struct registry_sender *s, void *arg)
{
	struct snapshot *snap = arg;
	if (!span_eq(s->state, SPAN("active")) && !span_eq(s->state, SPAN("change-pending")))
		return 0;
	if (!arena_grow(&snap->arena, (void **)&snap->filings, snap->n_filings, &snap->cap_filings,
			sizeof(*snap->filings)))
		return -ENOMEM;
	struct filings all;
	struct diag diag = {.out = NULL};
	filings_read(&all, arena_copy(&snap->arena, s->filing.source), "registry", &snap->arena, &diag);
	if (all.n != 1)
		return snap->arena.overflowed ? -ENOMEM : -EBADMSG;
	snap->filings[snap->n_filings++] = all.v[0];
	return 0;
}

static int make_entry(const struct filing *f, struct arena *arena, struct sender_entry *e)
{
	struct ip_prefix *ranges = ARENA_ARRAY(arena, struct ip_prefix, f->n_ranges + 1);
	if (!ranges)
		return -ENOMEM;
	for (size_t i = 0; i < f->n_ranges; i++)
		ranges[i] = f->ranges[i].prefix;
	*e = (struct sender_entry){
		.key = f->key, .name = f->org[ORG_NAME], .state = SPAN("active"),
		.dkim_domains = f->dkim, .n_dkim_domains = f->n_dkim,
		.domains = f->domains, .n_domains = f->n_domains,
		.ranges = ranges, .n_ranges = f->n_ranges,
		.phone = f->org[ORG_PHONE], .email = f->org[ORG_EMAIL],
		.address = f->org[ORG_ADDRESS],
	};
	return 0;
}

static int load_snapshot(struct registry *reg, struct snapshot *snap)
{
	int r = registry_list(reg, add_active, snap);
	if (r != 0)
		return r;
	struct sender_entry *v = ARENA_ARRAY(&snap->arena, struct sender_entry, snap->n_filings + 1);
	if (!v)
		return -ENOMEM;
	for (size_t i = 0; i < snap->n_filings; i++)
		if ((r = make_entry(&snap->filings[i], &snap->arena, &v[i])) < 0)
			return r;
	snap->table = sender_table_build(v, snap->n_filings, &snap->arena);
	return snap->table ? 0 : -ENOMEM;
}

const struct sender_table *registry_senders(struct registry *reg)
{
	if (!reg->db)
		return reg->now ? reg->now->table : NULL;
	int64_t version = db_data_version(reg->db), now_us = clock_mono_us();
	if (reg->now && version == reg->version)
		return reg->now->table;
	registry_free_snapshots(&reg->now, now_us - SNAPSHOT_KEPT_US);
	struct snapshot *snap = calloc(1, sizeof(*snap));
	if (!snap)
		return NULL;
	arena_init(&snap->arena, LIMIT_ARENA_BYTES);
	int r = load_snapshot(reg, snap);
	if (r < 0) {
		log_error("registry.snapshot", "error=%s", strerror(-r));
		arena_free(&snap->arena);
		free(snap);
		return NULL;
	}
	if (reg->now)
		reg->now->retired_us = now_us;
	snap->older = reg->now;
	reg->now = snap;
	reg->version = version;
	return snap->table;
}

void registry_freeze(struct registry *reg)
{
	if (!registry_senders(reg))
		log_error("registry.freeze", "who is registered stays unknown");
	db_close(reg->db);
	reg->db = NULL;
}

const struct filing *registry_filing(const struct registry *reg, struct span key)
{
	for (size_t i = 0; reg->now && i < reg->now->n_filings; i++)
		if (span_eq(reg->now->filings[i].key, key))
			return &reg->now->filings[i];
	return NULL;
}

static const struct sender_table *senders(void *arg)
{
	return arg ? registry_senders(arg) : NULL;
}

void registry_attach(struct registry *reg, struct analyzer_hooks *hooks)
{
	hooks->senders = senders;
	hooks->arg = reg;
}
