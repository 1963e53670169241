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
	struct loaded *active, *others; /* in order of their keys */
	size_t n_active, cap_active, n_others, cap_others;
	struct since *since;
	size_t n_since, cap_since;
	int64_t retired_us; /* monotonic */
	struct snapshot *older;
};

struct loaded {
	struct filing filing;
	const char *state;
	int64_t since_us; /* of a change that waits */
	enum registry_standing standing;
};

/* When a range or domain came into force that the first filing did not have. */
struct since {
	struct span key, subject;
	int64_t kind, bits, us;
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

/* --- reading ------------------------------------------------------------------------- */

static int add_filing(struct snapshot *snap, struct span text, const char *state, int64_t since_us,
		      int64_t standing)
{
	bool active = strcmp(state, "active") == 0;
	struct loaded **v = active ? &snap->active : &snap->others;
	size_t *n = active ? &snap->n_active : &snap->n_others;
	struct filings all;
	struct diag diag = {.out = NULL};
	if (!arena_grow(&snap->arena, (void **)v, *n, active ? &snap->cap_active : &snap->cap_others,
			sizeof(**v)))
		return -ENOMEM;
	filings_read(&all, arena_copy(&snap->arena, text), "registry", &snap->arena, &diag);
	if (all.n != 1)
		return snap->arena.overflowed ? -ENOMEM : -EBADMSG;
	(*v)[(*n)++] = (struct loaded){all.v[0], state, since_us, (enum registry_standing)standing};
	return 0;
}

/* The name of a state in the table: that of the filing that holds. */
static const char *state_of(struct span state)
{
	return span_eq(state, SPAN("suspended")) ? "suspended"
	       : span_eq(state, SPAN("revoked")) ? "revoked"
	       : span_eq(state, SPAN("expired")) ? "expired"
						 : "active";
}

static int load_filings(struct registry *reg, struct snapshot *snap)
{
	struct db_query *q = db_query(reg->db,
		"SELECT s.state, s.standing, h.text, w.text, w.effective_us, w.decided FROM sender AS s"
		" LEFT JOIN filing AS h ON h.id = s.holds LEFT JOIN filing AS w ON w.id = s.waits"
		" WHERE s.holds IS NOT NULL OR s.state = 'approved' ORDER BY s.key");
	int r;
	while ((r = db_step(q)) == DB_ROW) {
		int64_t effective_us = db_int(q, 5) ? db_int(q, 4) : INT64_MAX;
		const char *state = state_of(db_text(q, 0));
		r = 0;
		if (db_text(q, 2).p)
			r = add_filing(snap, db_text(q, 2), state, 0, db_int(q, 1));
		if (r == 0 && db_text(q, 3).p && strcmp(state, "revoked") != 0)
			r = add_filing(snap, db_text(q, 3), "waiting", effective_us, 0);
		if (r < 0)
			break;
	}
	db_end(q);
	return r;
}

static int load_since(struct registry *reg, struct snapshot *snap)
{
	struct db_query *q = db_query(reg->db, "SELECT key, kind, subject, bits, since_us FROM claim"
					       " WHERE since_us > 0 ORDER BY key");
	int r;
	while ((r = db_step(q)) == DB_ROW) {
		if (!arena_grow(&snap->arena, (void **)&snap->since, snap->n_since, &snap->cap_since,
				sizeof(*snap->since))) {
			r = -ENOMEM;
			break;
		}
		snap->since[snap->n_since++] = (struct since){
			arena_copy(&snap->arena, db_text(q, 0)),
			arena_copy(&snap->arena, db_text(q, 2)), db_int(q, 1), db_int(q, 3),
			db_int(q, 4)};
	}
	db_end(q);
	return r;
}

/* --- entries of the table --------------------------------------------------------------- */

static const struct since *since_of(const struct snapshot *snap, struct span key, size_t *n_r)
{
	size_t low = 0, high = snap->n_since;
	while (low < high) {
		size_t middle = low + (high - low) / 2;
		if (span_cmp(snap->since[middle].key, key) < 0)
			low = middle + 1;
		else
			high = middle;
	}
	*n_r = 0;
	while (low + *n_r < snap->n_since && span_eq(snap->since[low + *n_r].key, key))
		(*n_r)++;
	return low ? snap->since + low : snap->since; /* NULL + 0 is undefined */
}

static int64_t find_since(const struct since *v, size_t n, enum claim_kind kind,
			  struct span subject, int64_t bits)
{
	for (size_t i = 0; i < n; i++)
		if (v[i].kind == (int64_t)kind && v[i].bits == bits && span_eq(v[i].subject, subject))
			return v[i].us;
	return 0;
}

static const int64_t *names_since(struct arena *arena, const struct since *v, size_t n,
				  enum claim_kind kind, const struct span *names, size_t n_names)
{
	int64_t *us = n ? ARENA_ARRAY(arena, int64_t, n_names + 1) : NULL;
	for (size_t i = 0; us && i < n_names; i++)
		us[i] = find_since(v, n, kind, names[i], 0);
	return us;
}

static const struct sender_campaign *make_campaigns(struct arena *arena, const struct filing *f)
{
	struct sender_campaign *v = ARENA_ARRAY(arena, struct sender_campaign, f->n_campaigns + 1);
	for (size_t i = 0; v && i < f->n_campaigns; i++) {
		const struct filing_campaign *c = &f->campaigns[i];
		v[i] = (struct sender_campaign){
			.name = c->name, .class = c->class, .from = c->from, .n_from = c->n_from,
			.domains = c->domains, .n_domains = c->n_domains, .helo = c->helo,
			.n_helo = c->n_helo, .ranges = c->ranges, .n_ranges = c->n_ranges,
			.topic = c->topic,
		};
	}
	return v;
}

static int make_entry(struct snapshot *snap, const struct loaded *loaded, struct sender_entry *e)
{
	const struct filing *f = &loaded->filing;
	struct arena *arena = &snap->arena;
	char subject[CLAIM_BYTES];
	size_t n_since;
	const struct since *since = since_of(snap, f->key, &n_since);
	struct ip_prefix *ranges = ARENA_ARRAY(arena, struct ip_prefix, f->n_ranges + 1);
	struct sender_range *filed = ARENA_ARRAY(arena, struct sender_range, f->n_ranges + 1);
	if (!ranges || !filed)
		return -ENOMEM;
	for (size_t i = 0; i < f->n_ranges; i++) {
		const struct filing_range *range = &f->ranges[i];
		ranges[i] = range->prefix;
		filed[i] = (struct sender_range){
			range->domains, range->n_domains, range->class,
			find_since(since, n_since, CLAIM_RANGE,
				   registry_claim_range(&range->prefix, subject), range->prefix.bits)};
	}
	*e = (struct sender_entry){
		.key = f->key, .name = f->org[ORG_NAME], .state = span_of(loaded->state),
		.dkim_domains = f->dkim, .n_dkim_domains = f->n_dkim,
		.domains = f->domains, .n_domains = f->n_domains,
		.dkim_since_us = names_since(arena, since, n_since, CLAIM_DKIM, f->dkim, f->n_dkim),
		.domain_since_us = names_since(arena, since, n_since, CLAIM_DOMAIN, f->domains,
					       f->n_domains),
		.ranges = ranges, .n_ranges = f->n_ranges, .filed = filed,
		.since_us = loaded->since_us, .rate = f->rate.messages,
		.rate_window_s = filing_rate_window_s(&f->rate),
		.certificate_until_us = f->certificate.expires_us,
		.campaigns = make_campaigns(arena, f), .n_campaigns = f->n_campaigns,
		.phone = f->org[ORG_PHONE], .email = f->org[ORG_EMAIL],
		.address = f->org[ORG_ADDRESS], .credit_code = f->org[ORG_CREDIT_CODE],
	};
	return arena->overflowed ? -ENOMEM : 0;
}

static int load_snapshot(struct registry *reg, struct snapshot *snap)
{
	/* one view of the database for both questions */
	int r = db_exec(reg->db, "BEGIN");
	if (r < 0)
		return r;
	r = load_filings(reg, snap);
	if (r == 0)
		r = load_since(reg, snap);
	db_rollback(reg->db);
	size_t n = snap->n_active + snap->n_others;
	struct sender_entry *v = ARENA_ARRAY(&snap->arena, struct sender_entry, n + 1);
	for (size_t i = 0; r == 0 && v && i < n; i++)
		r = make_entry(snap, i < snap->n_active ? &snap->active[i]
							: &snap->others[i - snap->n_active], &v[i]);
	if (r == 0 && v)
		snap->table = sender_table_build(v, snap->n_active, snap->n_others, &snap->arena);
	return r < 0 ? r : snap->table ? 0 : -ENOMEM;
}

const struct sender_table *registry_senders(struct registry *reg)
{
	if (!reg->db)
		return reg->now ? reg->now->table : NULL;
	int64_t version = db_data_version(reg->db), now_us = clock_mono_us();
	if (reg->now && version == reg->version && clock_now_us() < reg->due_us)
		return reg->now->table;
	int r = registry_advance(reg, clock_now_us());
	if (r < 0)
		log_error("registry.advance", "error=%s", strerror(-r));
	if (reg->now && version == reg->version)
		return reg->now->table;
	registry_free_snapshots(&reg->now, now_us - SNAPSHOT_KEPT_US);
	struct snapshot *snap = calloc(1, sizeof(*snap));
	if (!snap)
		return NULL;
	arena_init(&snap->arena, LIMIT_REGISTRY_BYTES);
	r = load_snapshot(reg, snap);
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

static const struct loaded *find_active(const struct registry *reg, struct span key)
{
	size_t low = 0, high = reg->now ? reg->now->n_active : 0;
	while (low < high) {
		size_t middle = low + (high - low) / 2;
		int order = span_cmp(reg->now->active[middle].filing.key, key);
		if (order == 0)
			return &reg->now->active[middle];
		if (order < 0)
			low = middle + 1;
		else
			high = middle;
	}
	return NULL;
}

const struct filing *registry_filing(const struct registry *reg, struct span key)
{
	const struct loaded *found = find_active(reg, key);
	return found ? &found->filing : NULL;
}

bool registry_rate_of(const struct registry *reg, struct span key, struct registry_rate *rate_r)
{
	const struct loaded *found = find_active(reg, key);
	if (found)
		*rate_r = (struct registry_rate){found->filing.rate.messages,
						 filing_rate_window_s(&found->filing.rate),
						 found->standing};
	return found != NULL;
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
