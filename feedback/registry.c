#include "feedback/registry_private.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/random.h>

#include "base/clock.h"
#include "base/digest.h"
#include "base/limits.h"
#include "base/log.h"
#include "feedback/db.h"

static const char schema[] =
	"CREATE TABLE IF NOT EXISTS sender ("
	" key TEXT PRIMARY KEY, state TEXT NOT NULL, name TEXT, holds INTEGER, waits INTEGER,"
	" token TEXT NOT NULL, revoked_by TEXT, filed_us INTEGER NOT NULL);"
	"CREATE TABLE IF NOT EXISTS filing ("
	" id INTEGER PRIMARY KEY, key TEXT NOT NULL, text TEXT NOT NULL, filed_by TEXT,"
	" filed_us INTEGER NOT NULL, waived TEXT);"
	"CREATE TABLE IF NOT EXISTS approval ("
	" filing INTEGER NOT NULL, by TEXT NOT NULL, time_us INTEGER NOT NULL,"
	" PRIMARY KEY (filing, by)) WITHOUT ROWID;"
	"CREATE TABLE IF NOT EXISTS proof ("
	" key TEXT NOT NULL, kind TEXT NOT NULL, subject TEXT NOT NULL, made_us INTEGER NOT NULL,"
	" detail TEXT, PRIMARY KEY (key, kind, subject)) WITHOUT ROWID;"
	"CREATE TABLE IF NOT EXISTS audit ("
	" seq INTEGER PRIMARY KEY, time_us INTEGER NOT NULL, key TEXT NOT NULL,"
	" action TEXT NOT NULL, by TEXT NOT NULL, detail TEXT NOT NULL, hash TEXT NOT NULL);"
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

/* --- audit --------------------------------------------------------------------- */

static void entry_hash(struct span before, const struct registry_audit *e,
		       char out[SHA256_TEXT_BYTES])
{
	struct buf text = BUF_INIT;
	struct json j = JSON_INIT(&text); /* quoting keeps fields apart */
	json_open(&j, NULL, '[');
	json_text(&j, NULL, before);
	json_int(&j, NULL, e->seq);
	json_int(&j, NULL, e->time_us);
	json_text(&j, NULL, e->key);
	json_text(&j, NULL, e->action);
	json_text(&j, NULL, e->by);
	json_text(&j, NULL, e->detail);
	json_close(&j, ']');
	sha256_text(buf_span(&text), out);
	buf_free(&text);
}

/* Inside a transaction. */
static int audit(struct registry *reg, struct span key, const char *action, const char *by,
		 struct span detail)
{
	char hash[SHA256_TEXT_BYTES], before[SHA256_TEXT_BYTES] = "";
	struct registry_audit e = {.time_us = clock_now_us(), .key = key,
				   .action = span_of(action), .by = span_of(by ? by : ""),
				   .detail = detail.p ? detail : SPAN("")};
	struct db_query *q = db_query(reg->db,
				      "SELECT seq, hash FROM audit ORDER BY seq DESC LIMIT 1");
	int r = db_step(q);
	if (r == DB_ROW) {
		e.seq = db_int(q, 0);
		snprintf(before, sizeof(before), "%.*s", SPAN_ARG(db_text(q, 1)));
	}
	db_end(q);
	if (r < 0)
		return r;
	e.seq++;
	entry_hash(span_of(before), &e, hash);
	q = db_query(reg->db, "INSERT INTO audit (seq, time_us, key, action, by, detail, hash)"
			      " VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)");
	db_bind_int(q, 1, e.seq);
	db_bind_int(q, 2, e.time_us);
	db_bind_text(q, 3, e.key);
	db_bind_text(q, 4, e.action);
	db_bind_text(q, 5, e.by);
	db_bind_text(q, 6, e.detail);
	db_bind_text(q, 7, span_of(hash));
	reg->version = -1;
	return db_run(q);
}

int registry_audit(struct registry *reg, struct span key, registry_audit_fn *fn, void *arg)
{
	char hash[SHA256_TEXT_BYTES], before[SHA256_TEXT_BYTES] = "";
	struct db_query *q = db_query(
		reg->db, "SELECT seq, time_us, key, action, by, detail, hash FROM audit ORDER BY seq");
	int r;
	int64_t seq = 0;
	while ((r = db_step(q)) == DB_ROW) {
		struct registry_audit e = {db_int(q, 0),  db_int(q, 1),  db_text(q, 2),
					   db_text(q, 3), db_text(q, 4), db_text(q, 5),
					   db_text(q, 6)};
		entry_hash(span_of(before), &e, hash);
		if (e.seq != ++seq || !span_eq(e.hash, span_of(hash))) {
			r = REGISTRY_E_STATE;
			break;
		}
		memcpy(before, hash, sizeof(before));
		if ((!key.n || span_eq(e.key, key)) && (r = fn(&e, arg)) != 0)
			break;
	}
	db_end(q);
	return r;
}

/* --- reading -------------------------------------------------------------------- */

static int load_filing(struct registry *reg, int64_t id, struct arena *arena, struct filing *f_r,
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

static int one_approver(struct registry *reg, int64_t filing, struct arena *arena,
			struct span *by_r)
{
	struct db_query *q =
		db_query(reg->db, "SELECT by FROM approval WHERE filing = ?1 ORDER BY time_us LIMIT 1");
	db_bind_int(q, 1, filing);
	int r = db_step(q);
	if (r == DB_ROW)
		*by_r = arena_copy(arena, db_text(q, 0));
	db_end(q);
	return r < 0 ? r : 0;
}

/* A row of the table sender, before its filings are read. */
struct row {
	struct span key, state, token, revoked_by;
	int64_t holds, waits, filed_us; /* ids; 0: none */
};

#define ROW_COLUMNS "key, state, token, holds, waits, filed_us, revoked_by"

static struct row read_row(struct db_query *q, struct arena *arena)
{
	return (struct row){
		.key = arena_copy(arena, db_text(q, 0)), .state = arena_copy(arena, db_text(q, 1)),
		.token = arena_copy(arena, db_text(q, 2)), .holds = db_int(q, 3),
		.waits = db_int(q, 4), .filed_us = db_int(q, 5),
		.revoked_by = db_text(q, 6).p ? arena_copy(arena, db_text(q, 6)) : SPAN_NONE,
	};
}

static int find_row(struct registry *reg, struct span key, struct arena *arena, struct row *row_r)
{
	struct db_query *q = db_query(reg->db, "SELECT " ROW_COLUMNS " FROM sender WHERE key = ?1");
	db_bind_text(q, 1, key);
	int r = db_step(q);
	if (r == DB_ROW)
		*row_r = read_row(q, arena);
	db_end(q);
	return r < 0 ? r : r == DB_ROW ? 0 : REGISTRY_E_NONE;
}

static int complete(struct registry *reg, const struct row *row, struct arena *arena,
		    struct registry_sender *s)
{
	*s = (struct registry_sender){.key = row->key, .state = row->state, .token = row->token,
				      .filed_us = row->filed_us};
	int r = load_filing(reg, row->holds ? row->holds : row->waits, arena, &s->filing,
			    &s->waived);
	if (r == 0 && row->holds && row->waits) {
		s->pending = ARENA_NEW(arena, struct filing);
		r = s->pending ? load_filing(reg, row->waits, arena, s->pending, NULL) : -ENOMEM;
	}
	if (r == 0 && row->waits)
		r = one_approver(reg, row->waits, arena, &s->approved_by);
	if (r == 0)
		s->missing = filing_missing(s->pending ? s->pending : &s->filing, arena);
	return r;
}

int registry_get(struct registry *reg, struct span key, struct arena *arena,
		 struct registry_sender *s_r)
{
	struct row row;
	int r = find_row(reg, key, arena, &row);
	return r ? r : complete(reg, &row, arena, s_r);
}

int registry_list(struct registry *reg, registry_list_fn *fn, void *arg)
{
	struct arena arena;
	struct db_query *q = db_query(reg->db, "SELECT " ROW_COLUMNS " FROM sender ORDER BY key");
	int r;
	arena_init(&arena, LIMIT_ARENA_BYTES);
	while ((r = db_step(q)) == DB_ROW) {
		struct registry_sender s;
		struct row row = read_row(q, &arena);
		if ((r = complete(reg, &row, &arena, &s)) != 0 || (r = fn(&s, arg)) != 0)
			break;
		arena_reset(&arena);
	}
	db_end(q);
	arena_free(&arena);
	return r;
}

/* --- filing ----------------------------------------------------------------------- */

struct overlap_search {
	const struct filing *filing;
	struct buf *note;
	bool found;
};

static int search_overlap(const struct registry_sender *s, void *arg)
{
	struct overlap_search *search = arg;
	struct arena arena;
	if (span_eq(s->key, search->filing->key) || span_eq(s->state, SPAN("revoked")))
		return 0;
	arena_init(&arena, LIMIT_ARENA_BYTES);
	struct span what = filing_overlap(search->filing, &s->filing, &arena);
	if (!what.p && s->pending)
		what = filing_overlap(search->filing, s->pending, &arena);
	if (what.p) {
		buf_addf(search->note, "%.*s is filed by sender '%.*s' already\n", SPAN_ARG(what),
			 SPAN_ARG(s->key));
		search->found = true;
	}
	arena_free(&arena);
	return 0;
}

static int put_filing(struct registry *reg, const struct filing *f, const char *by, int64_t *id_r)
{
	struct db_query *q = db_query(reg->db, "INSERT INTO filing (key, text, filed_by, filed_us)"
					       " VALUES (?1, ?2, ?3, ?4)");
	db_bind_text(q, 1, f->key);
	db_bind_text(q, 2, f->source);
	db_bind_text(q, 3, span_of(by));
	db_bind_int(q, 4, clock_now_us());
	int r = db_run(q);
	*id_r = db_last_id(reg->db);
	return r;
}

static int put_sender(struct registry *reg, const struct filing *f, const char *state, int64_t id)
{
	uint8_t random[16];
	char token[40];
	if (getrandom(random, sizeof(random), 0) != (ssize_t)sizeof(random))
		return -EIO;
	base32_lower(random, sizeof(random), token);
	struct db_query *q = db_query(reg->db,
		"INSERT INTO sender (key, state, name, waits, token, filed_us)"
		" VALUES (?1, ?2, ?3, ?4, ?5, ?6) ON CONFLICT (key) DO UPDATE SET"
		" holds = CASE WHEN excluded.state IN ('draft', 'submitted') THEN NULL ELSE holds END,"
		" state = excluded.state, name = coalesce(excluded.name, name), waits = excluded.waits,"
		" filed_us = excluded.filed_us, revoked_by = NULL");
	db_bind_text(q, 1, f->key);
	db_bind_text(q, 2, span_of(state));
	db_bind_text(q, 3, f->org[ORG_NAME]);
	db_bind_int(q, 4, id);
	db_bind_text(q, 5, span_of(token));
	db_bind_int(q, 6, clock_now_us());
	return db_run(q);
}

int registry_file(struct registry *reg, const struct filing *f, const char *by, struct buf *note)
{
	struct arena arena;
	struct row row = {.holds = 0};
	struct overlap_search search = {f, note, false};
	int64_t id = 0;
	arena_init(&arena, LIMIT_ARENA_BYTES);
	int r = db_begin(reg->db);
	if (r < 0)
		goto out;
	r = registry_list(reg, search_overlap, &search);
	if (r == 0 && search.found)
		r = REGISTRY_E_OVERLAP;
	if (r == 0) {
		r = find_row(reg, f->key, &arena, &row);
		r = r == REGISTRY_E_NONE ? 0 : r;
	}
	if (r == 0 && span_eq(row.state, SPAN("suspended"))) {
		buf_addf(note, "sender '%.*s' is suspended; approving the change makes it active\n",
			 SPAN_ARG(f->key));
	}
	struct span missing = filing_missing(f, &arena);
	if (r == 0)
		r = put_filing(reg, f, by, &id);
	if (r == 0)
		r = put_sender(reg, f, row.holds && span_eq(row.state, SPAN("active")) ? "change-pending"
				       : span_eq(row.state, SPAN("change-pending"))    ? "change-pending"
				       : span_eq(row.state, SPAN("suspended"))         ? "suspended"
				       : missing.n                                     ? "draft"
										       : "submitted",
			       id);
	if (r == 0)
		r = audit(reg, f->key, row.key.p ? "change-filed" : "filed", by, f->source);
	if (r == 0 && missing.n)
		buf_addf(note, "sender '%.*s' lacks what clause 2.1.1 asks for: %.*s\n",
			 SPAN_ARG(f->key), SPAN_ARG(missing));
	r = db_finish(reg->db, r);
out:
	arena_free(&arena);
	return r;
}

/* --- deciding ------------------------------------------------------------------------ */

static int set_sender(struct registry *reg, struct span key, const char *state,
		      const char *revoked_by, bool waiting_holds)
{
	struct db_query *q = db_query(reg->db,
		"UPDATE sender SET state = ?2, revoked_by = ?3,"
		" holds = CASE WHEN ?4 THEN waits ELSE holds END,"
		" waits = CASE WHEN ?4 THEN NULL ELSE waits END WHERE key = ?1");
	db_bind_text(q, 1, key);
	db_bind_text(q, 2, span_of(state));
	db_bind_text(q, 3, span_of(revoked_by));
	db_bind_int(q, 4, waiting_holds);
	return db_run(q);
}

static int64_t count(struct registry *reg, const char *sql, int64_t number, struct span text)
{
	struct db_query *q = db_query(reg->db, sql);
	if (number)
		db_bind_int(q, 1, number);
	if (text.p)
		db_bind_text(q, 2, text);
	int r = db_step(q);
	int64_t n = r == DB_ROW ? db_int(q, 0) : r;
	db_end(q);
	return n;
}

/* Every DKIM domain of the filing shows our token in the DNS. */
static bool proven(struct registry *reg, const struct filing *f)
{
	for (size_t i = 0; i < f->n_dkim + f->n_domains; i++) {
		struct span domain = i < f->n_dkim ? f->dkim[i] : f->domains[i - f->n_dkim];
		struct db_query *q = db_query(reg->db, "SELECT 1 FROM proof WHERE key = ?1 AND"
						       " kind = 'dns' AND subject = ?2");
		db_bind_text(q, 1, f->key);
		db_bind_text(q, 2, domain);
		int r = db_step(q);
		db_end(q);
		if (r != DB_ROW)
			return false;
	}
	return f->n_ranges == 0 && f->n_dkim + f->n_domains > 0;
}

static int waive(struct registry *reg, int64_t filing, struct span key, const char *by,
		 const char *reason)
{
	struct db_query *q = db_query(reg->db, "UPDATE filing SET waived = ?2 WHERE id = ?1");
	db_bind_int(q, 1, filing);
	db_bind_text(q, 2, span_of(reason));
	int r = db_run(q);
	return r < 0 ? r : audit(reg, key, "waived", by, span_of(reason));
}

static int approve(struct registry *reg, struct span key, const char *by, const char *waiver,
		   struct arena *arena, const char **state_r)
{
	struct row row;
	struct filing f;
	struct span waived = SPAN_NONE;
	int r = find_row(reg, key, arena, &row);
	if (r)
		return r;
	/* Taking a suspension back is a decision about the filing that holds. */
	int64_t id = row.waits ? row.waits : span_eq(row.state, SPAN("suspended")) ? row.holds : 0;
	if (!id || span_eq(row.state, SPAN("revoked")))
		return REGISTRY_E_STATE;
	if (count(reg, "SELECT count(*) FROM approval WHERE filing = ?1 AND by = ?2", id,
		  span_of(by)) > 0)
		return REGISTRY_E_SAME;
	if ((r = load_filing(reg, id, arena, &f, &waived)) < 0)
		return r;
	if (!waived.p && !waiver && (!proven(reg, &f) || filing_missing(&f, arena).n))
		return REGISTRY_E_UNPROVEN;
	if (waiver && (r = waive(reg, id, key, by, waiver)) < 0)
		return r;
	struct db_query *q = db_query(reg->db, "INSERT INTO approval (filing, by, time_us)"
					       " VALUES (?1, ?2, ?3)");
	db_bind_int(q, 1, id);
	db_bind_text(q, 2, span_of(by));
	db_bind_int(q, 3, clock_now_us());
	if ((r = db_run(q)) < 0)
		return r;
	int64_t n = count(reg, "SELECT count(*) FROM approval WHERE filing = ?1", id, SPAN_NONE);
	if (n < 0)
		return (int)n;
	if (n >= 2)
		*state_r = "active";
	else
		*state_r = span_eq(row.state, SPAN("change-pending")) ? "change-pending"
			   : span_eq(row.state, SPAN("suspended"))    ? "suspended"
								      : "under-review";
	r = set_sender(reg, key, *state_r, NULL, n >= 2 && row.waits);
	return r < 0 ? r : audit(reg, key, n >= 2 ? "approved" : "approved-first", by, SPAN_NONE);
}

int registry_approve(struct registry *reg, struct span key, const char *by, const char *waiver,
		     const char **state_r)
{
	struct arena arena;
	arena_init(&arena, LIMIT_ARENA_BYTES);
	int r = db_begin(reg->db);
	if (r == 0)
		r = db_finish(reg->db, approve(reg, key, by, waiver, &arena, state_r));
	arena_free(&arena);
	return r;
}

int registry_suspend(struct registry *reg, struct span key, const char *by, const char *reason)
{
	struct arena arena;
	struct row row;
	arena_init(&arena, LIMIT_ARENA_BYTES);
	int r = db_begin(reg->db);
	if (r < 0)
		goto out;
	r = find_row(reg, key, &arena, &row);
	if (r == 0 && !row.holds)
		r = REGISTRY_E_STATE;
	if (r == 0 && span_eq(row.state, SPAN("revoked")))
		r = REGISTRY_E_STATE;
	if (r == 0)
		r = set_sender(reg, key, "suspended", NULL, false);
	if (r == 0) { /* coming back needs two people again */
		struct db_query *q = db_query(reg->db, "DELETE FROM approval WHERE filing = ?1");
		db_bind_int(q, 1, row.holds);
		r = db_run(q);
	}
	if (r == 0)
		r = audit(reg, key, "suspended", by, span_of(reason));
	r = db_finish(reg->db, r);
out:
	arena_free(&arena);
	return r;
}

static int revoke(struct registry *reg, struct span key, const char *by, const char *reason,
		  struct arena *arena, const char **state_r)
{
	struct row row;
	int r = find_row(reg, key, arena, &row);
	if (r)
		return r;
	if (span_eq(row.state, SPAN("revoked")))
		return REGISTRY_E_STATE;
	if (row.revoked_by.p && span_eq(row.revoked_by, span_of(by)))
		return REGISTRY_E_SAME;
	if (row.revoked_by.p) {
		*state_r = "revoked";
		r = set_sender(reg, key, "revoked", by, false);
	} else {
		/* One alone can stop the reports at once, but not end the registration. */
		*state_r = "suspended";
		r = set_sender(reg, key, "suspended", by, false);
	}
	return r < 0 ? r : audit(reg, key, row.revoked_by.p ? "revoked" : "revoked-first", by,
				 span_of(reason));
}

int registry_revoke(struct registry *reg, struct span key, const char *by, const char *reason,
		    const char **state_r)
{
	struct arena arena;
	arena_init(&arena, LIMIT_ARENA_BYTES);
	int r = db_begin(reg->db);
	if (r == 0)
		r = db_finish(reg->db, revoke(reg, key, by, reason, &arena, state_r));
	arena_free(&arena);
	return r;
}
