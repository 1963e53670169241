/* Complaints that came already: the same one by two ways is one. */
#include "feedback/queue_private.h"

#include <stdio.h>

#include "base/buf.h"
#include "base/digest.h"

/* A recipient is not written down where a hash does. */
const char *queue_rcpt_hash(struct span rcpt, char out[SHA256_TEXT_BYTES])
{
	struct buf lower = BUF_INIT;
	for (size_t i = 0; i < rcpt.n; i++)
		buf_addc(&lower, ascii_lower(rcpt.p[i]));
	sha256_text(buf_span(&lower), out);
	buf_free(&lower);
	return out;
}

int queue_seen(struct queue *q, struct queue_complaint *c, int64_t since_us)
{
	char hash[SHA256_TEXT_BYTES];
	struct db_query *s = db_query(q->db,
		"SELECT id, report, time_us FROM complaint"
		" WHERE rcpt = ?1 AND message = ?2 AND kind = ?3 AND time_us >= ?4");
	db_bind_text(s, 1, span_of(queue_rcpt_hash(c->rcpt, hash)));
	db_bind_text(s, 2, c->message);
	db_bind_text(s, 3, c->kind);
	db_bind_int(s, 4, since_us);
	int r = db_step(s);
	if (r == DB_ROW) {
		snprintf(c->id, sizeof(c->id), "%.*s", SPAN_ARG(db_text(s, 0)));
		snprintf(c->reports, sizeof(c->reports), "%.*s", SPAN_ARG(db_text(s, 1)));
		c->time_us = db_int(s, 2);
	}
	db_end(s);
	return r < 0 ? r : r == DB_ROW ? 0 : QUEUE_E_NONE;
}

int queue_remember(struct queue *q, const struct queue_complaint *c)
{
	char hash[SHA256_TEXT_BYTES];
	struct db_query *s = db_query(q->db,
		"INSERT OR REPLACE INTO complaint (rcpt, message, kind, id, report, time_us)"
		" VALUES (?1, ?2, ?3, ?4, ?5, ?6)");
	db_bind_text(s, 1, span_of(queue_rcpt_hash(c->rcpt, hash)));
	db_bind_text(s, 2, c->message);
	db_bind_text(s, 3, c->kind);
	db_bind_text(s, 4, span_of(c->id));
	db_bind_text(s, 5, span_of(c->reports));
	db_bind_int(s, 6, c->time_us);
	return db_run(s);
}

int queue_forget(struct queue *q, const struct queue_complaint *c)
{
	char hash[SHA256_TEXT_BYTES];
	struct db_query *s = db_query(q->db, "DELETE FROM complaint WHERE rcpt = ?1"
					     " AND message = ?2 AND kind = ?3");
	db_bind_text(s, 1, span_of(queue_rcpt_hash(c->rcpt, hash)));
	db_bind_text(s, 2, c->message);
	db_bind_text(s, 3, c->kind);
	return db_run(s);
}
