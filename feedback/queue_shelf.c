/*
 * The shelf: reports as JSON that their sender may fetch. AUTOINCREMENT gives no number twice, and one
 * writer at a time puts things here, so a cursor that has seen N has seen all up to N. For the same
 * reason nothing that may have been fetched changes or goes without a word: what is withdrawn gives
 * way to an entry behind all others that says so, under the id of the report.
 */
#include <errno.h>

#include "feedback/queue_private.h"
#include "feedback/webhook.h"

static int put(struct queue *q, const struct queue_item *item, struct span object, int64_t now_us)
{
	struct db_query *s = db_query(q->db, "INSERT OR IGNORE INTO shelf (sender, report, object,"
					     " time_us) VALUES (?1, ?2, ?3, ?4)");
	db_bind_text(s, 1, item->sender);
	db_bind_text(s, 2, item->id);
	db_bind_text(s, 3, object);
	db_bind_int(s, 4, now_us);
	return db_run(s);
}

int shelf_put(struct queue *q, const struct queue_item *item, int64_t now_us)
{
	return queue_is_object(item) ? put(q, item, item->message, now_us) : 0;
}

int shelf_withdraw(struct queue *q, const struct queue_item *item, const char *why, int64_t now_us)
{
	struct buf object = BUF_INIT;
	struct db_query *s = db_query(q->db, "DELETE FROM shelf WHERE report = ?1");
	db_bind_text(s, 1, item->id);
	int r = db_run(s);
	if (r < 0 || db_changes(q->db) == 0)
		return r;
	webhook_write_withdrawn(item->id, item->sender, item->complaint, why, now_us, &object);
	r = object.failed ? -ENOMEM : put(q, item, buf_span(&object), now_us);
	buf_free(&object);
	return r;
}

int queue_shelf(struct queue *q, struct span sender, uint64_t after, uint64_t n,
		queue_shelf_fn *fn, void *arg)
{
	struct db_query *s = db_query(q->db, "SELECT number, object FROM shelf WHERE sender = ?1"
					     " AND number > ?2 ORDER BY number LIMIT ?3");
	int r;
	db_bind_text(s, 1, sender);
	db_bind_int(s, 2, (int64_t)after);
	db_bind_int(s, 3, (int64_t)n);
	while ((r = db_step(s)) == DB_ROW) {
		struct queue_shelved one = {db_int(s, 0), db_text(s, 1)};
		if ((r = fn(&one, arg)) < 0)
			break;
	}
	db_end(s);
	return r;
}
