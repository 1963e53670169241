/* queue_private - what the files of the queue share. */
#pragma once

#include "base/digest.h"
#include "feedback/db.h"
#include "feedback/queue.h"

struct queue {
	struct db *db;
	int64_t opened_us; /* our own claims since then are alive */
};

/* Where a report goes to, for rates, concurrency and the breaker; the expression of an index. */
#define QUEUE_DOMAIN "lower(substr(dest, instr(dest, '@') + 1))"

/* A report with its text, copied into the arena: an open statement would hold an old view of the
 * database until it is settled, and nothing can be written on top of an old view. QUEUE_E_NONE: no
 * such report. */
__attribute__((warn_unused_result)) int queue_load(struct queue *q, struct span id,
						   struct arena *arena, struct queue_item *item);
/* Inside a transaction: the report's state from now on, and its event; a claim on it ends. */
__attribute__((warn_unused_result)) int queue_set_state(struct queue *q,
							const struct queue_item *item,
							const char *state, struct span reply);
/* Ends claims of processes that are gone, or held past any time-out of a delivery. */
__attribute__((warn_unused_result)) int queue_void_claims(struct queue *q, int64_t now_us);

/* Inside a transaction, together with the claim: one delivery more has begun. */
__attribute__((warn_unused_result)) int destination_begin(struct queue *q, struct span domain,
							  int64_t now_us);
/* Inside a transaction, together with the result. */
__attribute__((warn_unused_result)) int destination_end(struct queue *q, struct span to,
							enum delivery result, struct span reply,
							int64_t asked_us, int64_t now_us);

/* Inside a transaction: the object of a webhook or of `pull` may be fetched from now on; once,
 * however often it is tried. And: an entry that says that it is withdrawn takes its place, if it
 * has one. */
__attribute__((warn_unused_result)) int shelf_put(struct queue *q, const struct queue_item *item,
						  int64_t now_us);
__attribute__((warn_unused_result)) int shelf_withdraw(struct queue *q,
						       const struct queue_item *item,
						       const char *why, int64_t now_us);

/* Inside a transaction: "gone" ends reports to it, several that were given up do too. */
__attribute__((warn_unused_result)) int queue_webhook_failed(struct queue *q,
							     const struct queue_item *item,
							     struct span reply, int64_t now_us);

/* A recipient is not written down where a hash does. */
const char *queue_rcpt_hash(struct span rcpt, char out[SHA256_TEXT_BYTES]);
/* Counts one more of `name` in this period; the count. */
__attribute__((warn_unused_result)) int tally(struct queue *q, struct span name, int64_t period,
					      int64_t until_us, uint64_t *n_r);
/* Inside a transaction: a report that was sent came back; with its event. */
__attribute__((warn_unused_result)) int queue_came_back(struct queue *q, struct span report,
							struct span status);
