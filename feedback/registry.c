#include "feedback/registry_private.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/random.h>

#include "base/clock.h"
#include "base/digest.h"
#include "base/limits.h"

/*
 * sender.holds is the filing in force, sender.waits the one under review. filing.decided: two
 * people have approved it. claim.since_us: when it came into force; NULL while its filing waits.
 */
static const char schema[] =
	"CREATE TABLE IF NOT EXISTS sender ("
	" key TEXT PRIMARY KEY, state TEXT NOT NULL, name TEXT, holds INTEGER, waits INTEGER,"
	" token TEXT NOT NULL, revoked_by TEXT, filed_us INTEGER NOT NULL, reason TEXT,"
	" receipt TEXT, since_us INTEGER, until_us INTEGER, standing INTEGER NOT NULL DEFAULT 0,"
	" due_us INTEGER);"
	"CREATE INDEX IF NOT EXISTS sender_due ON sender (due_us) WHERE due_us IS NOT NULL;"
	"CREATE TABLE IF NOT EXISTS filing ("
	" id INTEGER PRIMARY KEY, key TEXT NOT NULL, text TEXT NOT NULL, filed_by TEXT,"
	" filed_us INTEGER NOT NULL, effective_us INTEGER NOT NULL, expires_us INTEGER NOT NULL,"
	" waived TEXT, decided INTEGER NOT NULL DEFAULT 0);"
	"CREATE TABLE IF NOT EXISTS approval ("
	" filing INTEGER NOT NULL, by TEXT NOT NULL, time_us INTEGER NOT NULL,"
	" PRIMARY KEY (filing, by)) WITHOUT ROWID;"
	"CREATE TABLE IF NOT EXISTS claim ("
	" filing INTEGER NOT NULL, kind INTEGER NOT NULL, subject BLOB NOT NULL,"
	" bits INTEGER NOT NULL, key TEXT NOT NULL, since_us INTEGER,"
	" PRIMARY KEY (kind, subject, bits, filing)) WITHOUT ROWID;"
	"CREATE INDEX IF NOT EXISTS claim_filing ON claim (filing);"
	"CREATE TABLE IF NOT EXISTS proof ("
	" key TEXT NOT NULL, kind INTEGER NOT NULL, subject TEXT NOT NULL, token TEXT,"
	" asked_us INTEGER, made_us INTEGER, detail TEXT,"
	" PRIMARY KEY (key, kind, subject)) WITHOUT ROWID;"
	"CREATE TABLE IF NOT EXISTS audit ("
	" seq INTEGER PRIMARY KEY, time_us INTEGER NOT NULL, key TEXT NOT NULL,"
	" action TEXT NOT NULL, by TEXT NOT NULL, detail TEXT NOT NULL, hash TEXT NOT NULL);"
	"CREATE TABLE IF NOT EXISTS copied (one INTEGER PRIMARY KEY, seq INTEGER NOT NULL,"
	" origin TEXT NOT NULL);"
	"CREATE TABLE IF NOT EXISTS head ("
	" one INTEGER PRIMARY KEY, seq INTEGER NOT NULL, hash TEXT NOT NULL);"
	"CREATE TRIGGER IF NOT EXISTS audit_kept BEFORE UPDATE ON audit"
	" BEGIN SELECT RAISE(ABORT, 'the audit is only added to'); END;"
	"CREATE TRIGGER IF NOT EXISTS audit_whole BEFORE DELETE ON audit"
	" BEGIN SELECT RAISE(ABORT, 'the audit is only added to'); END;";

int registry_open(const char *state, struct registry **r_r)
{
	char path[PATH_MAX];
	*r_r = NULL;
	if (snprintf(path, sizeof(path), "%s/registry.sqlite", state) >= (int)sizeof(path))
		return -ENAMETOOLONG;
	struct registry *reg = calloc(1, sizeof(*reg));
	if (!reg)
		return -ENOMEM;
	reg->version = -1;
	int r = db_open(path, schema, &reg->db);
	if (r == 0)
		r = registry_advance(reg, clock_now_us());
	if (r < 0) {
		registry_close(reg);
		return r;
	}
	*r_r = reg;
	return 0;
}

void registry_close(struct registry *reg)
{
	if (!reg)
		return;
	db_close(reg->db);
	registry_free_snapshots(&reg->now, INT64_MAX);
	free(reg);
}

/* --- reading -------------------------------------------------------------------- */

int registry_load_filing(struct registry *reg, int64_t id, struct arena *arena, struct filing *f_r,
			 struct span *waived_r)
{
	struct db_query *q = db_query(reg->db, "SELECT text, waived FROM filing WHERE id = ?1");
	struct filings all = {.v = NULL};
	struct diag diag = {.out = NULL};
	db_bind_int(q, 1, id);
	int r = db_step(q);
	if (r == DB_ROW) {
		filings_read(&all, arena_copy(arena, db_text(q, 0)), "registry", arena, &diag);
		if (waived_r && db_text(q, 1).p)
			*waived_r = arena_copy(arena, db_text(q, 1));
	}
	db_end(q);
	if (r < 0)
		return r;
	if (all.n != 1)
		return arena->overflowed ? -ENOMEM : -EBADMSG;
	*f_r = all.v[0];
	return 0;
}

int64_t registry_number(struct registry *reg, const char *sql, int64_t number, struct span text)
{
	struct db_query *q = db_query(reg->db, sql);
	db_bind_int(q, 1, number);
	if (text.p)
		db_bind_text(q, 2, text);
	int r = db_step(q);
	int64_t n = r == DB_ROW ? db_int(q, 0) : r;
	db_end(q);
	return n;
}

static int read_approvers(struct registry *reg, int64_t filing, struct arena *arena,
			  struct registry_sender *s)
{
	struct db_query *q = db_query(reg->db, "SELECT a.by, f.decided FROM approval AS a JOIN filing"
					       " AS f ON f.id = a.filing WHERE a.filing = ?1"
					       " ORDER BY a.time_us");
	int r;
	db_bind_int(q, 1, filing);
	while ((r = db_step(q)) == DB_ROW) {
		s->approved_by = arena_printf(arena, "%.*s%s%.*s", SPAN_ARG(s->approved_by),
					      s->approved_by.n ? ", " : "", SPAN_ARG(db_text(q, 0)));
		s->decided = db_int(q, 1);
	}
	db_end(q);
	return r;
}

static struct span column(struct db_query *q, int at, struct arena *arena)
{
	struct span text = db_text(q, at);
	return text.p ? arena_copy(arena, text) : SPAN_NONE;
}

struct registry_row registry_read_row(struct db_query *q, struct arena *arena)
{
	return (struct registry_row){
		.key = column(q, 0, arena), .state = column(q, 1, arena),
		.token = column(q, 2, arena), .holds = db_int(q, 3), .waits = db_int(q, 4),
		.filed_us = db_int(q, 5), .revoked_by = column(q, 6, arena),
		.reason = column(q, 7, arena), .receipt = column(q, 8, arena),
		.since_us = db_int(q, 9), .until_us = db_int(q, 10), .standing = db_int(q, 11),
	};
}

int registry_find(struct registry *reg, struct span key, struct arena *arena,
		  struct registry_row *row_r)
{
	struct db_query *q =
		db_query(reg->db, "SELECT " REGISTRY_COLUMNS " FROM sender WHERE key = ?1");
	db_bind_text(q, 1, key);
	int r = db_step(q);
	if (r == DB_ROW)
		*row_r = registry_read_row(q, arena);
	db_end(q);
	return r < 0 ? r : r == DB_ROW ? 0 : REGISTRY_E_NONE;
}

static int complete(struct registry *reg, const struct registry_row *row, struct arena *arena,
		    struct registry_sender *s)
{
	*s = (struct registry_sender){
		.key = row->key, .state = row->state, .token = row->token,
		.revoked_by = row->revoked_by, .reason = row->reason, .receipt = row->receipt,
		.filed_us = row->filed_us, .since_us = row->since_us, .until_us = row->until_us,
		.standing = (enum registry_standing)row->standing,
	};
	int r = registry_load_filing(reg, row->holds ? row->holds : row->waits, arena, &s->filing,
				     &s->waived);
	if (r == 0 && row->holds && row->waits) {
		s->pending = ARENA_NEW(arena, struct filing);
		r = s->pending ? registry_load_filing(reg, row->waits, arena, s->pending, NULL)
			       : -ENOMEM;
	}
	if (r == 0 && (row->waits || span_eq(row->state, SPAN("suspended"))))
		r = read_approvers(reg, row->waits ? row->waits : row->holds, arena, s);
	if (r == 0)
		s->missing = filing_missing(registry_reviewed(s), arena);
	return r;
}

int registry_get(struct registry *reg, struct span key, struct arena *arena,
		 struct registry_sender *s_r)
{
	struct registry_row row;
	int r = registry_find(reg, key, arena, &row);
	if (r == 0)
		r = complete(reg, &row, arena, s_r);
	return r ? r : registry_proofs(reg, registry_reviewed(s_r), clock_now_us(), arena,
				       &s_r->proofs, &s_r->n_proofs);
}

static int list(struct registry *reg, struct db_query *q, registry_list_fn *fn, void *arg)
{
	struct arena arena;
	int r;
	arena_init(&arena, LIMIT_ARENA_BYTES);
	while ((r = db_step(q)) == DB_ROW) {
		struct registry_sender s;
		struct registry_row row = registry_read_row(q, &arena);
		if ((r = complete(reg, &row, &arena, &s)) != 0 || (r = fn(&s, arg)) != 0)
			break;
		arena_reset(&arena);
	}
	db_end(q);
	arena_free(&arena);
	return r;
}

int registry_list(struct registry *reg, registry_list_fn *fn, void *arg)
{
	return list(reg, db_query(reg->db, "SELECT " REGISTRY_COLUMNS " FROM sender ORDER BY key"), fn,
		    arg);
}

int registry_ending(struct registry *reg, int64_t us, registry_list_fn *fn, void *arg)
{
	struct db_query *q = db_query(reg->db, "SELECT " REGISTRY_COLUMNS " FROM sender WHERE holds"
					       " IS NOT NULL AND until_us > ?1 AND until_us < ?2"
					       " AND state IN ('active', 'change-pending', 'suspended')"
					       " ORDER BY key");
	db_bind_int(q, 1, clock_now_us());
	db_bind_int(q, 2, us);
	return list(reg, q, fn, arg);
}

/* --- filing ----------------------------------------------------------------------- */

static int put_filing(struct registry *reg, const struct filing *f, const char *by, int64_t *id_r)
{
	struct db_query *q = db_query(reg->db,
		"INSERT INTO filing (key, text, filed_by, filed_us, effective_us, expires_us)"
		" VALUES (?1, ?2, ?3, ?4, ?5, ?6)");
	db_bind_text(q, 1, f->key);
	db_bind_text(q, 2, f->source);
	db_bind_text(q, 3, span_of(by));
	db_bind_int(q, 4, clock_now_us());
	db_bind_int(q, 5, f->effective_us);
	db_bind_int(q, 6, f->expires_us);
	int r = db_run(q);
	*id_r = db_last_id(reg->db);
	return r;
}

/* `anew`: nothing holds any more. */
static int put_sender(struct registry *reg, const struct filing *f, const char *state, bool anew,
		      int64_t id)
{
	uint8_t random[16];
	char token[40];
	if (getrandom(random, sizeof(random), 0) != (ssize_t)sizeof(random))
		return -EIO;
	base32_lower(random, sizeof(random), token);
	struct db_query *q = db_query(reg->db,
		"INSERT INTO sender (key, state, name, waits, token, filed_us)"
		" VALUES (?1, ?2, ?3, ?4, ?5, ?6) ON CONFLICT (key) DO UPDATE SET"
		" holds = CASE WHEN ?7 THEN NULL ELSE holds END,"
		" state = excluded.state, name = coalesce(excluded.name, name), waits = excluded.waits,"
		" filed_us = excluded.filed_us,"
		" revoked_by = CASE WHEN ?7 THEN NULL ELSE revoked_by END,"
		" reason = CASE WHEN excluded.state IN ('suspended', 'expired') THEN reason END");
	db_bind_text(q, 1, f->key);
	db_bind_text(q, 2, span_of(state));
	db_bind_text(q, 3, f->org[ORG_NAME]);
	db_bind_int(q, 4, id);
	db_bind_text(q, 5, span_of(token));
	db_bind_int(q, 6, clock_now_us());
	db_bind_int(q, 7, anew);
	return db_run(q);
}

/* The state of a sender who files this. */
static const char *state_filed(const struct registry_row *before, bool lacks)
{
	if (before->key.p && before->holds) {
		if (span_eq(before->state, SPAN("active")) ||
		    span_eq(before->state, SPAN("change-pending")))
			return "change-pending";
		if (span_eq(before->state, SPAN("suspended")))
			return "suspended";
		if (span_eq(before->state, SPAN("expired")))
			return "expired";
	}
	return lacks ? "draft" : "submitted";
}

static void add_doubts(const struct filing *f, const struct registry_row *before,
		       struct span missing, struct buf *note)
{
	struct buf lines = BUF_INIT;
	struct span rest, line;
	if (span_eq(before->state, SPAN("suspended")))
		buf_adds(&lines, "he is suspended; approving the change makes him active\n");
	filing_doubts(f, clock_now_us(), &lines);
	if (missing.n)
		buf_addf(&lines, "lacks what clause 2.1.1 asks for: %.*s\n", SPAN_ARG(missing));
	for (rest = buf_span(&lines); span_next_line(&rest, &line);)
		buf_addf(note, "sender '%.*s': %.*s\n", SPAN_ARG(f->key), SPAN_ARG(line));
	buf_free(&lines);
}

static int file_one(struct registry *reg, const struct filing *f, const char *by,
		    struct arena *arena, struct buf *note)
{
	struct registry_row before = {.key = SPAN_NONE};
	int64_t id = 0;
	int r = registry_find(reg, f->key, arena, &before);
	if (r < 0)
		return r;
	struct span missing = filing_missing(f, arena);
	const char *state = state_filed(&before, missing.n > 0);
	if ((r = put_filing(reg, f, by, &id)) < 0)
		return r;
	if (before.waits)
		r = registry_claims_drop(reg, before.waits);
	if (r == 0)
		r = registry_claim(reg, f, id, note);
	if (r != 0)
		return r;
	bool anew = span_eq(before.state, SPAN("revoked"));
	if ((r = put_sender(reg, f, state, anew, id)) < 0 ||
	    (r = registry_set_due(reg, f->key)) < 0)
		return r;
	add_doubts(f, &before, missing, note);
	return registry_note(reg, f->key, before.key.p ? "change-filed" : "filed", by, f->source);
}

int registry_file_all(struct registry *reg, const struct filing *v, size_t n, const char *by,
		      struct buf *note)
{
	struct arena arena;
	arena_init(&arena, LIMIT_ARENA_BYTES);
	int r = registry_advance(reg, clock_now_us());
	if (r == 0)
		r = db_begin(reg->db);
	if (r == 0) {
		/* every collision is told before none is filed */
		bool overlap = false;
		for (size_t i = 0; i < n && (r == 0 || r == REGISTRY_E_OVERLAP); i++) {
			r = file_one(reg, &v[i], by, &arena, note);
			overlap |= r == REGISTRY_E_OVERLAP;
			arena_reset(&arena);
		}
		r = db_finish(reg->db, r == 0 && overlap ? REGISTRY_E_OVERLAP : r);
	}
	arena_free(&arena);
	return r;
}
