/*
 * What was proven of a filing. A proof belongs to the sender and its subject, not to one filing: a
 * change proves only what is new in it. After LIMIT_PROOF_US it counts no more.
 */
#include <errno.h>
#include <stdio.h>
#include <sys/random.h>

#include "base/clock.h"
#include "base/digest.h"
#include "base/limits.h"
#include "feedback/registry_private.h"

const char *proof_kind_name(enum proof_kind kind)
{
	static const char *const names[] = {"dns", "dkim", "ptr", "postmaster", "abuse", "feedback"};
	return names[kind];
}

/* --- what is needed ------------------------------------------------------------------ */

struct needs {
	struct arena *arena;
	struct registry_proof *v;
	size_t n, cap;
};

static void need(struct needs *needs, enum proof_kind kind, struct span subject)
{
	for (size_t i = 0; i < needs->n; i++)
		if (needs->v[i].kind == kind && span_eq(needs->v[i].subject, subject))
			return;
	if (arena_grow(needs->arena, (void **)&needs->v, needs->n, &needs->cap, sizeof(*needs->v)))
		needs->v[needs->n++] =
			(struct registry_proof){.kind = kind, .subject = subject, .needed = true};
}

static void list_needs(struct needs *needs, const struct filing *f)
{
	char text[IP_TEXT_BYTES];
	for (size_t i = 0; i < f->n_domains; i++)
		need(needs, PROOF_DNS, f->domains[i]);
	for (size_t i = 0; i < f->n_dkim; i++) {
		need(needs, PROOF_DNS, f->dkim[i]);
		need(needs, PROOF_DKIM, f->dkim[i]);
	}
	for (size_t i = 0; i < f->n_ranges; i++)
		need(needs, PROOF_PTR,
		     arena_printf(needs->arena, "%s/%u", ip_text(&f->ranges[i].prefix.ip, text),
				  f->ranges[i].prefix.bits));
	for (size_t i = 0; i < f->n_domains; i++) {
		need(needs, PROOF_POSTMASTER,
		     arena_printf(needs->arena, "postmaster@%.*s", SPAN_ARG(f->domains[i])));
		need(needs, PROOF_ABUSE,
		     arena_printf(needs->arena, "abuse@%.*s", SPAN_ARG(f->domains[i])));
	}
	if (f->feedback.address.p)
		need(needs, PROOF_FEEDBACK, f->feedback.address);
}

static struct registry_proof *find_need(struct needs *needs, enum proof_kind kind,
					struct span subject)
{
	for (size_t i = 0; i < needs->n; i++)
		if (needs->v[i].kind == kind && span_eq(needs->v[i].subject, subject))
			return &needs->v[i];
	return NULL;
}

int registry_proofs(struct registry *reg, const struct filing *f, int64_t now_us,
		    struct arena *arena, const struct registry_proof **v_r, size_t *n_r)
{
	struct needs needs = {.arena = arena};
	list_needs(&needs, f);
	struct db_query *q = db_query(reg->db, "SELECT kind, subject, asked_us, made_us, detail"
					       " FROM proof WHERE key = ?1");
	int r;
	db_bind_text(q, 1, f->key);
	while ((r = db_step(q)) == DB_ROW) {
		struct registry_proof *p =
			find_need(&needs, (enum proof_kind)db_int(q, 0), db_text(q, 1));
		if (!p)
			continue;
		p->asked_us = db_int(q, 2);
		if (db_int(q, 3) > now_us - LIMIT_PROOF_US)
			p->made_us = db_int(q, 3);
		if (db_text(q, 4).p)
			p->detail = arena_copy(arena, db_text(q, 4));
	}
	db_end(q);
	for (size_t i = 0; i < needs.n; i++) {
		struct registry_proof *p = &needs.v[i], *other;
		if (p->kind != PROOF_DKIM)
			continue;
		other = find_need(&needs, PROOF_DNS, p->subject);
		p->needed = p->made_us && !other->made_us;
		other->needed = !p->needed;
	}
	*v_r = needs.v;
	*n_r = needs.n;
	return r < 0 ? r : arena->overflowed ? -ENOMEM : 0;
}

/* --- what was made -------------------------------------------------------------------- */

/* One statement about one proof, inside a transaction. */
struct proving {
	struct registry *reg;
	struct span key, subject;
	enum proof_kind kind;
};

static struct db_query *about(const struct proving *p, const char *sql)
{
	struct db_query *q = db_query(p->reg->db, sql);
	db_bind_text(q, 1, p->key);
	db_bind_int(q, 2, p->kind);
	db_bind_text(q, 3, p->subject);
	return q;
}

static int put_proof(const struct proving *p, bool made, struct span detail)
{
	int64_t now_us = clock_now_us(), made_us = 0;
	struct db_query *q = about(p, "SELECT made_us FROM proof WHERE key = ?1 AND kind = ?2"
				      " AND subject = ?3");
	int r = db_step(q);
	if (r == DB_ROW)
		made_us = db_int(q, 0);
	db_end(q);
	if (r < 0)
		return r;
	q = about(p, "INSERT INTO proof (key, kind, subject, made_us, detail) VALUES (?1, ?2, ?3, ?4,"
		     " ?5) ON CONFLICT (key, kind, subject) DO UPDATE SET made_us = ?4, detail = ?5,"
		     " token = CASE WHEN ?4 IS NULL THEN token END");
	if (made)
		db_bind_int(q, 4, now_us);
	db_bind_text(q, 5, detail);
	if ((r = db_run(q)) < 0)
		return r;
	bool valid = made_us > now_us - LIMIT_PROOF_US;
	if (made == valid)
		return 0; /* nothing that a person decides by has changed */
	struct buf text = BUF_INIT;
	buf_addf(&text, "%s %.*s: %.*s", proof_kind_name(p->kind), SPAN_ARG(p->subject),
		 SPAN_ARG(detail));
	r = text.failed ? -ENOMEM
			: registry_note(p->reg, p->key, made ? "proof" : "proof-void", "assay",
					buf_span(&text));
	buf_free(&text);
	return r;
}

int registry_prove(struct registry *reg, struct span key, enum proof_kind kind,
		   struct span subject, bool made, struct span detail)
{
	const struct proving p = {reg, key, subject, kind};
	int r = db_begin(reg->db);
	return r < 0 ? r : db_finish(reg->db, put_proof(&p, made, detail));
}

static int get_token(const struct proving *p, char token[REGISTRY_TOKEN_BYTES])
{
	uint8_t random[16];
	bool found = false;
	struct db_query *q = about(p, "SELECT token, asked_us FROM proof WHERE key = ?1 AND kind = ?2"
				      " AND subject = ?3");
	int r = db_step(q);
	if (r == DB_ROW && db_text(q, 0).n && db_text(q, 0).n < REGISTRY_TOKEN_BYTES) {
		found = true;
		snprintf(token, REGISTRY_TOKEN_BYTES, "%.*s", SPAN_ARG(db_text(q, 0)));
		if (db_int(q, 1) > clock_now_us() - LIMIT_TOKEN_US) {
			db_end(q);
			return REGISTRY_E_STATE;
		}
	}
	db_end(q);
	if (r < 0 || found)
		return r < 0 ? r : 0;
	if (getrandom(random, sizeof(random), 0) != (ssize_t)sizeof(random))
		return -EIO;
	base32_lower(random, sizeof(random), token);
	q = about(p, "INSERT INTO proof (key, kind, subject, token) VALUES (?1, ?2, ?3, ?4)"
		     " ON CONFLICT (key, kind, subject) DO UPDATE SET token = ?4, asked_us = NULL");
	db_bind_text(q, 4, span_of(token));
	return db_run(q);
}

int registry_token(struct registry *reg, struct span key, enum proof_kind kind,
		   struct span subject, char token[REGISTRY_TOKEN_BYTES])
{
	const struct proving p = {reg, key, subject, kind};
	int r = db_begin(reg->db);
	return r < 0 ? r : db_finish(reg->db, get_token(&p, token));
}

int registry_asked(struct registry *reg, struct span key, enum proof_kind kind,
		   struct span subject)
{
	const struct proving p = {reg, key, subject, kind};
	struct db_query *q = about(&p, "UPDATE proof SET asked_us = ?4 WHERE key = ?1 AND kind = ?2"
				       " AND subject = ?3");
	db_bind_int(q, 4, clock_now_us());
	return db_run(q);
}

static int confirm(struct registry *reg, struct span key, struct span token, struct arena *arena,
		   struct buf *what)
{
	struct proving p = {.reg = reg, .key = key};
	struct registry_row row;
	int r = registry_find(reg, key, arena, &row);
	if (r != 0)
		return r;
	struct db_query *q = db_query(reg->db, "SELECT kind, subject FROM proof WHERE key = ?1"
					       " AND token = ?2");
	db_bind_text(q, 1, key);
	db_bind_text(q, 2, arena_lower(arena, span_trim(token)));
	r = db_step(q);
	if (r == DB_ROW) {
		p.kind = (enum proof_kind)db_int(q, 0);
		p.subject = arena_copy(arena, db_text(q, 1));
	}
	db_end(q);
	if (r != DB_ROW)
		return r < 0 ? r : REGISTRY_E_TOKEN;
	buf_addf(what, "%s %.*s", proof_kind_name(p.kind), SPAN_ARG(p.subject));
	return put_proof(&p, true, SPAN("the token came back"));
}

int registry_confirm(struct registry *reg, struct span key, struct span token, struct buf *what)
{
	struct arena arena;
	arena_init(&arena, LIMIT_ARENA_BYTES);
	int r = db_begin(reg->db);
	if (r == 0)
		r = db_finish(reg->db, confirm(reg, key, token, &arena, what));
	arena_free(&arena);
	return r;
}
