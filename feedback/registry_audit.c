/*
 * The audit: one row for each decision, each with the hash of itself and the row before. The head
 * (number and hash of the last row) stands in a table of its own, so that rows cut off at the end
 * show as well. Who can write the file can write all of it anew; who writes down the head's hash
 * elsewhere (`sender audit` prints it) sees that too.
 */
#include <stdio.h>

#include "base/clock.h"
#include "base/digest.h"
#include "feedback/registry_private.h"

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

static int read_head(struct registry *reg, int64_t *seq_r, char hash[SHA256_TEXT_BYTES])
{
	struct db_query *q = db_query(reg->db, "SELECT seq, hash FROM head");
	*seq_r = 0;
	hash[0] = '\0';
	int r = db_step(q);
	if (r == DB_ROW) {
		*seq_r = db_int(q, 0);
		snprintf(hash, SHA256_TEXT_BYTES, "%.*s", SPAN_ARG(db_text(q, 1)));
	}
	db_end(q);
	return r < 0 ? r : 0;
}

int registry_note(struct registry *reg, struct span key, const char *action, const char *by,
		  struct span detail)
{
	char hash[SHA256_TEXT_BYTES], before[SHA256_TEXT_BYTES];
	struct registry_audit e = {.time_us = clock_now_us(), .key = key,
				   .action = span_of(action), .by = span_of(by ? by : ""),
				   .detail = detail.p ? detail : SPAN("")};
	int r = read_head(reg, &e.seq, before);
	if (r < 0)
		return r;
	e.seq++;
	entry_hash(span_of(before), &e, hash);
	struct db_query *q = db_query(reg->db,
		"INSERT INTO audit (seq, time_us, key, action, by, detail, hash)"
		" VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)");
	db_bind_int(q, 1, e.seq);
	db_bind_int(q, 2, e.time_us);
	db_bind_text(q, 3, e.key);
	db_bind_text(q, 4, e.action);
	db_bind_text(q, 5, e.by);
	db_bind_text(q, 6, e.detail);
	db_bind_text(q, 7, span_of(hash));
	reg->version = -1;
	if ((r = db_run(q)) < 0)
		return r;
	q = db_query(reg->db, "INSERT INTO head (one, seq, hash) VALUES (1, ?1, ?2)"
			      " ON CONFLICT (one) DO UPDATE SET seq = ?1, hash = ?2");
	db_bind_int(q, 1, e.seq);
	db_bind_text(q, 2, span_of(hash));
	return db_run(q);
}

static int walk(struct registry *reg, struct span key, registry_audit_fn *fn, void *arg,
		int64_t *seq_r, char before[SHA256_TEXT_BYTES])
{
	char hash[SHA256_TEXT_BYTES];
	struct db_query *q = db_query(
		reg->db, "SELECT seq, time_us, key, action, by, detail, hash FROM audit ORDER BY seq");
	int r;
	before[0] = '\0';
	*seq_r = 0;
	while ((r = db_step(q)) == DB_ROW) {
		struct registry_audit e = {db_int(q, 0),  db_int(q, 1),  db_text(q, 2),
					   db_text(q, 3), db_text(q, 4), db_text(q, 5),
					   db_text(q, 6)};
		entry_hash(span_of(before), &e, hash);
		if (e.seq != ++*seq_r || !span_eq(e.hash, span_of(hash))) {
			r = REGISTRY_E_TAMPERED;
			break;
		}
		memcpy(before, hash, sizeof(hash));
		if ((!key.n || span_eq(e.key, key)) && (r = fn(&e, arg)) != 0)
			break;
	}
	db_end(q);
	return r;
}

int registry_audit(struct registry *reg, struct span key, registry_audit_fn *fn, void *arg)
{
	char last[SHA256_TEXT_BYTES], head[SHA256_TEXT_BYTES];
	int64_t seq, head_seq;
	/* one view of the database: another process may add an entry meanwhile */
	int r = db_exec(reg->db, "BEGIN");
	if (r < 0)
		return r;
	r = walk(reg, key, fn, arg, &seq, last);
	if (r == 0)
		r = read_head(reg, &head_seq, head);
	if (r == 0 && (seq != head_seq || strcmp(last, head) != 0))
		r = REGISTRY_E_TAMPERED;
	db_rollback(reg->db);
	return r;
}
