/*
 * From one state to the next. Every decision is one transaction: it looks at the sender, refuses or
 * changes him, and adds to the audit; a crash leaves the old state or the new one.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/id.h"
#include "base/limits.h"
#include "feedback/registry_private.h"

/* Two people: names that differ in more than case and blanks around them. */
static bool same_person(struct span a, struct span b)
{
	return span_case_eq(span_trim(a), span_trim(b));
}

static bool is_name(const char *by)
{
	struct span name = span_trim(span_of(by));
	for (size_t i = 0; i < name.n; i++)
		if ((unsigned char)name.p[i] < ' ' || name.p[i] == 127)
			return false;
	return name.n > 0 && name.n <= LIMIT_PERSON_BYTES;
}

static bool in_state(const struct registry_row *row, const char *state)
{
	return span_eq(row->state, span_of(state));
}

/* One decision: `decide` runs inside a transaction. */
struct decision {
	struct registry *reg;
	struct span key;
	const char *by, *reason; /* reason: of a waiver, NULL: none */
	const char **state_r;
	struct arena arena;
	struct registry_row row;
	int64_t now_us;
	enum registry_standing standing;
};

static int run(struct decision *d, int (*decide)(struct decision *d))
{
	if (!is_name(d->by))
		return REGISTRY_E_NAME;
	d->now_us = clock_now_us();
	int r = registry_advance(d->reg, d->now_us);
	if (r < 0)
		return r;
	arena_init(&d->arena, LIMIT_ARENA_BYTES);
	struct span by = span_trim(span_of(d->by));
	d->by = arena_str(&d->arena, by);
	r = d->by ? db_begin(d->reg->db) : -ENOMEM;
	if (r == 0) {
		r = registry_find(d->reg, d->key, &d->arena, &d->row);
		if (r == 0)
			r = decide(d);
		if (r == 0)
			r = registry_set_due(d->reg, d->key);
		r = db_finish(d->reg->db, r);
	}
	arena_free(&d->arena);
	return r;
}

static int set(struct decision *d, const char *state, struct span revoked_by, struct span reason)
{
	struct db_query *q = db_query(d->reg->db, "UPDATE sender SET state = ?2, revoked_by = ?3,"
						  " reason = ?4 WHERE key = ?1");
	db_bind_text(q, 1, d->key);
	db_bind_text(q, 2, span_of(state));
	db_bind_text(q, 3, revoked_by);
	db_bind_text(q, 4, reason);
	return db_run(q);
}

static int forget_approvals(struct registry *reg, int64_t filing)
{
	struct db_query *q = db_query(reg->db, "DELETE FROM approval WHERE filing = ?1");
	db_bind_int(q, 1, filing);
	int r = db_run(q);
	if (r < 0)
		return r;
	q = db_query(reg->db, "UPDATE filing SET decided = 0 WHERE id = ?1");
	db_bind_int(q, 1, filing);
	return db_run(q);
}

int registry_set_due(struct registry *reg, struct span key)
{
	struct db_query *q = db_query(reg->db,
		"UPDATE sender SET due_us = (SELECT min(t) FROM ("
		" SELECT effective_us AS t FROM filing WHERE id = sender.waits AND decided"
		"  AND sender.state <> 'revoked'"
		" UNION ALL SELECT until_us WHERE holds IS NOT NULL"
		"  AND state IN ('active', 'change-pending', 'suspended'))) WHERE key = ?1");
	db_bind_text(q, 1, key);
	reg->due_us = 0; /* asked again */
	return db_run(q);
}

/* --- coming into force ---------------------------------------------------------- */

/* An enrolment is confirmed anew every year, or sooner when the sender says so. */
static int64_t end_of(int64_t expires_us, int64_t now_us)
{
	int64_t end_us = now_us + LIMIT_ENROLMENT_US;
	return expires_us && expires_us < end_us ? expires_us : end_us;
}

/* `filing` holds from now on; it may be the one that holds already (after a suspension). */
static int activate(struct registry *reg, const struct registry_row *row, int64_t filing,
		    const char *by, int64_t now_us)
{
	char id[ID_BYTES], receipt[ID_BYTES + 8];
	id_make(now_us, id);
	snprintf(receipt, sizeof(receipt), "PER-%s", id);
	int64_t expires_us = registry_number(reg, "SELECT expires_us FROM filing WHERE id = ?1",
					     filing, SPAN_NONE);
	if (expires_us < 0)
		return (int)expires_us;
	int64_t until_us = filing == row->holds ? row->until_us : end_of(expires_us, now_us);
	int r = 0;
	if (filing != row->holds)
		r = registry_claims_hold(reg, filing, row->holds, now_us);
	if (r < 0)
		return r;
	struct db_query *q = db_query(reg->db,
		"UPDATE sender SET state = 'active', holds = ?2, waits = CASE WHEN waits = ?2 THEN NULL"
		" ELSE waits END, revoked_by = NULL, reason = NULL,"
		" receipt = CASE WHEN holds = ?2 THEN receipt ELSE ?3 END,"
		" since_us = CASE WHEN holds = ?2 THEN since_us ELSE ?4 END, until_us = ?5"
		" WHERE key = ?1");
	db_bind_text(q, 1, row->key);
	db_bind_int(q, 2, filing);
	db_bind_text(q, 3, span_of(receipt));
	db_bind_int(q, 4, now_us);
	db_bind_int(q, 5, until_us);
	if ((r = db_run(q)) < 0)
		return r;
	return registry_note(reg, row->key, "active", by,
			     filing == row->holds ? row->receipt : span_of(receipt));
}

static int expire(struct registry *reg, const struct registry_row *row)
{
	struct db_query *q = db_query(reg->db, "UPDATE sender SET state = 'expired' WHERE key = ?1");
	db_bind_text(q, 1, row->key);
	int r = db_run(q);
	return r < 0 ? r : registry_note(reg, row->key, "expired", "assay", SPAN_NONE);
}

/* The sender whose time came first. REGISTRY_E_NONE: nobody's. */
static int advance_one(struct registry *reg, int64_t now_us, struct arena *arena)
{
	struct registry_row row;
	struct db_query *q = db_query(reg->db, "SELECT " REGISTRY_COLUMNS " FROM sender WHERE due_us"
					       " <= ?1 ORDER BY due_us LIMIT 1");
	db_bind_int(q, 1, now_us);
	int r = db_step(q);
	if (r == DB_ROW)
		row = registry_read_row(q, arena);
	db_end(q);
	if (r != DB_ROW)
		return r < 0 ? r : REGISTRY_E_NONE;
	int64_t effective = registry_number(reg, "SELECT count(*) FROM filing WHERE id = ?1 AND decided"
						 " AND effective_us <= CAST(?2 AS INTEGER)", row.waits,
					    arena_printf(arena, "%lld", (long long)now_us));
	if (effective < 0)
		return (int)effective;
	r = effective ? activate(reg, &row, row.waits, "assay", now_us) : expire(reg, &row);
	return r < 0 ? r : registry_set_due(reg, row.key);
}

static int64_t next_due(struct registry *reg)
{
	struct db_query *q = db_query(reg->db, "SELECT coalesce(min(due_us), ?1) FROM sender"
					       " WHERE due_us IS NOT NULL");
	db_bind_int(q, 1, INT64_MAX);
	int r = db_step(q);
	int64_t due_us = r == DB_ROW ? db_int(q, 0) : r;
	db_end(q);
	return due_us;
}

int registry_advance(struct registry *reg, int64_t now_us)
{
	struct arena arena;
	int64_t due_us = next_due(reg);
	if (due_us < 0)
		return (int)due_us;
	reg->due_us = due_us;
	if (due_us > now_us)
		return 0;
	int r = db_begin(reg->db);
	if (r < 0)
		return r;
	arena_init(&arena, LIMIT_ARENA_BYTES);
	while ((r = advance_one(reg, now_us, &arena)) == 0)
		arena_reset(&arena);
	r = db_finish(reg->db, r == REGISTRY_E_NONE ? 0 : r);
	arena_free(&arena);
	if (r == 0 && (due_us = next_due(reg)) >= 0)
		reg->due_us = due_us;
	return r;
}

/* --- approve ---------------------------------------------------------------------- */

/* What nobody has proven or filed, for the audit; "" nothing. */
static int find_unproven(struct decision *d, const struct filing *f, struct span *what_r)
{
	const struct registry_proof *proofs;
	size_t n;
	int r = registry_proofs(d->reg, f, d->now_us, &d->arena, &proofs, &n);
	*what_r = filing_missing(f, &d->arena);
	for (size_t i = 0; r == 0 && i < n; i++)
		if (proofs[i].needed && !proofs[i].made_us)
			*what_r = arena_printf(&d->arena, "%.*s%s%s %.*s", SPAN_ARG(*what_r),
					       what_r->n ? ", " : "", proof_kind_name(proofs[i].kind),
					       SPAN_ARG(proofs[i].subject));
	return r < 0 ? r : d->arena.overflowed ? -ENOMEM : 0;
}

static int waive(struct decision *d, int64_t filing, struct span unproven)
{
	struct db_query *q = db_query(d->reg->db, "UPDATE filing SET waived = ?2 WHERE id = ?1");
	db_bind_int(q, 1, filing);
	db_bind_text(q, 2, span_of(d->reason));
	int r = db_run(q);
	return r < 0 ? r : registry_note(d->reg, d->key, "waived", d->by,
					 arena_printf(&d->arena, "%s (%.*s)", d->reason,
						      SPAN_ARG(unproven)));
}

/* How many have approved; *same_r: this person is one of them. */
static int count_approvals(struct decision *d, int64_t filing, bool *same_r)
{
	struct db_query *q = db_query(d->reg->db, "SELECT by FROM approval WHERE filing = ?1");
	int r, n = 0;
	*same_r = false;
	db_bind_int(q, 1, filing);
	while ((r = db_step(q)) == DB_ROW) {
		*same_r |= same_person(db_text(q, 0), span_of(d->by));
		n++;
	}
	db_end(q);
	return r < 0 ? r : n;
}

static int put_approval(struct decision *d, int64_t filing, bool last)
{
	struct db_query *q = db_query(d->reg->db, "INSERT INTO approval (filing, by, time_us)"
						  " VALUES (?1, ?2, ?3)");
	db_bind_int(q, 1, filing);
	db_bind_text(q, 2, span_of(d->by));
	db_bind_int(q, 3, d->now_us);
	int r = db_run(q);
	if (r == 0 && last) {
		q = db_query(d->reg->db, "UPDATE filing SET decided = 1 WHERE id = ?1");
		db_bind_int(q, 1, filing);
		r = db_run(q);
	}
	return r < 0 ? r : registry_note(d->reg, d->key, last ? "approved" : "approved-first", d->by,
					 SPAN_NONE);
}

/* Where one approval, or two of a filing whose day has not come, leave the sender. */
static const char *state_approved(const struct registry_row *row, bool last)
{
	static const char *const kept[] = {"change-pending", "suspended", "expired"};
	for (size_t i = 0; i < 3; i++)
		if (in_state(row, kept[i]))
			return kept[i];
	return last ? "approved" : "under-review";
}

static int approve(struct decision *d)
{
	const struct registry_row *row = &d->row;
	struct filing f;
	struct span waived = SPAN_NONE, unproven;
	bool same;
	/* Taking a suspension back is a decision about the filing that holds. */
	int64_t id = row->waits ? row->waits : in_state(row, "suspended") ? row->holds : 0;
	if (!id || in_state(row, "revoked") || in_state(row, "needs-info"))
		return REGISTRY_E_STATE;
	int n = count_approvals(d, id, &same);
	if (n < 0)
		return n;
	if (n >= 2)
		return REGISTRY_E_STATE;
	if (same)
		return REGISTRY_E_SAME;
	int r = registry_load_filing(d->reg, id, &d->arena, &f, &waived);
	if (r == 0)
		r = find_unproven(d, &f, &unproven);
	if (r < 0)
		return r;
	if (unproven.n && !waived.p && !d->reason)
		return REGISTRY_E_UNPROVEN;
	if (d->reason && (r = waive(d, id, unproven)) < 0)
		return r;
	bool last = n == 1;
	if ((r = put_approval(d, id, last)) < 0)
		return r;
	if (last && f.effective_us <= d->now_us) {
		*d->state_r = "active";
		return activate(d->reg, row, id, d->by, d->now_us);
	}
	*d->state_r = state_approved(row, last);
	return set(d, *d->state_r, row->revoked_by, row->reason);
}

int registry_approve(struct registry *reg, struct span key, const char *by, const char *waiver,
		     const char **state_r)
{
	struct decision d = {.reg = reg, .key = key, .by = by, .reason = waiver,
			     .state_r = state_r};
	return run(&d, approve);
}

/* --- send back, suspend, revoke ----------------------------------------------------- */

static int needs_info(struct decision *d)
{
	const struct registry_row *row = &d->row;
	if (!row->waits || in_state(row, "revoked"))
		return REGISTRY_E_STATE;
	int r = forget_approvals(d->reg, row->waits);
	if (r < 0)
		return r;
	*d->state_r = !row->holds                  ? "needs-info"
		      : in_state(row, "suspended") ? "suspended"
		      : in_state(row, "expired")   ? "expired"
						   : "change-pending";
	r = set(d, *d->state_r, row->revoked_by, span_of(d->reason));
	return r < 0 ? r : registry_note(d->reg, d->key, "needs-info", d->by, span_of(d->reason));
}

int registry_needs_info(struct registry *reg, struct span key, const char *by, const char *reason,
			const char **state_r)
{
	struct decision d = {.reg = reg, .key = key, .by = by, .reason = reason,
			     .state_r = state_r};
	return run(&d, needs_info);
}

static int suspend(struct decision *d)
{
	if (!d->row.holds || in_state(&d->row, "revoked") || in_state(&d->row, "expired"))
		return REGISTRY_E_STATE;
	int r = set(d, "suspended", d->row.revoked_by, span_of(d->reason));
	if (r == 0) /* coming back needs two people again */
		r = forget_approvals(d->reg, d->row.holds);
	if (r == 0 && d->row.waits)
		r = forget_approvals(d->reg, d->row.waits);
	return r < 0 ? r : registry_note(d->reg, d->key, "suspended", d->by, span_of(d->reason));
}

int registry_suspend(struct registry *reg, struct span key, const char *by, const char *reason)
{
	struct decision d = {.reg = reg, .key = key, .by = by, .reason = reason};
	return run(&d, suspend);
}

static const char *static_state(struct span state)
{
	static const char *const all[] = {"draft", "submitted", "needs-info", "expired"};
	for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++)
		if (span_eq(state, span_of(all[i])))
			return all[i];
	return "";
}

static int end_claims(struct decision *d)
{
	int r = d->row.holds ? registry_claims_drop(d->reg, d->row.holds) : 0;
	return r == 0 && d->row.waits ? registry_claims_drop(d->reg, d->row.waits) : r;
}

static int revoke(struct decision *d)
{
	const struct registry_row *row = &d->row;
	if (in_state(row, "revoked"))
		return REGISTRY_E_STATE;
	if (row->revoked_by.p && same_person(row->revoked_by, span_of(d->by)))
		return REGISTRY_E_SAME;
	if (row->revoked_by.p) {
		*d->state_r = "revoked";
		int r = end_claims(d);
		if (r == 0)
			r = set(d, "revoked", span_of(d->by), span_of(d->reason));
		return r < 0 ? r : registry_note(d->reg, d->key, "revoked", d->by, span_of(d->reason));
	}
	/* One alone can stop the reports at once, but not end the registration. */
	bool holds = row->holds && !in_state(row, "expired");
	*d->state_r = holds ? "suspended"
		      : in_state(row, "under-review") || in_state(row, "approved")
			      ? "submitted" /* its approvals are void */
			      : static_state(row->state);
	int r = set(d, *d->state_r, span_of(d->by), span_of(d->reason));
	if (r == 0 && holds)
		r = forget_approvals(d->reg, row->holds);
	if (r == 0 && row->waits)
		r = forget_approvals(d->reg, row->waits);
	return r < 0 ? r : registry_note(d->reg, d->key, "revoked-first", d->by, span_of(d->reason));
}

int registry_revoke(struct registry *reg, struct span key, const char *by, const char *reason,
		    const char **state_r)
{
	struct decision d = {.reg = reg, .key = key, .by = by, .reason = reason,
			     .state_r = state_r};
	return run(&d, revoke);
}

/* --- standing ------------------------------------------------------------------------ */

const char *registry_standing_name(enum registry_standing standing)
{
	static const char *const names[] = {"usual", "good", "poor"};
	return names[standing];
}

static int stand(struct decision *d)
{
	if (!d->row.holds || in_state(&d->row, "revoked"))
		return REGISTRY_E_STATE;
	struct db_query *q = db_query(d->reg->db, "UPDATE sender SET standing = ?2 WHERE key = ?1");
	db_bind_text(q, 1, d->key);
	db_bind_int(q, 2, d->standing);
	int r = db_run(q);
	return r < 0 ? r : registry_note(d->reg, d->key, "standing", d->by,
					 arena_printf(&d->arena, "%s: %s",
						      registry_standing_name(d->standing), d->reason));
}

int registry_stand(struct registry *reg, struct span key, enum registry_standing standing,
		   const char *by, const char *reason)
{
	struct decision d = {.reg = reg, .key = key, .by = by, .reason = reason,
			     .standing = standing};
	return run(&d, stand);
}
