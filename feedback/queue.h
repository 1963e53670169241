/*
 * queue - reports on their way to senders: durable, at least once, under one Message-ID.
 *
 * A report is a row of STATE/queue.sqlite with its text until it is delivered or given up. The
 * same database holds which complaints were seen (so that one transaction decides "duplicate"
 * and puts the report in) and the events that are not in the event log yet: an event is written
 * by whoever comes next when its writer died.
 *
 * Whoever delivers takes a claim on the row with his process id. A claim whose process is gone is
 * void at once; a process that delivers has one handle. After a crash between the other side's 250 and our commit a report goes out a
 * second time under the same Message-ID.
 *
 * Ownership: queue_open() .. queue_close(). Spans of an item live until the callback returns.
 * Units:     microseconds since the epoch.
 * Errors:    negative errno; -ENOSPC leaves the queue as it was.
 */
#pragma once

#include "base/arena.h"
#include "base/buf.h"
#include "base/config.h"
#include "base/id.h"
#include "base/span.h"

enum { QUEUE_E_NONE = 1 };

/* Who may be told of one complaint: brand, provider, the address that the mail asks for. */
#define COMPLAINT_TARGETS 4

struct db;
struct queue;
struct eventlog;

struct queue_item {
	struct span id, sender, kind, state, to, message_id, complaint;
	struct span envelope; /* return address */
	struct span reply;    /* of the last try; .p NULL: none */
	struct span message;  /* not filled by queue_list() */
	int64_t created_us, due_us, attempts;
};

/* Where a report goes that waits to be fetched. */
#define QUEUE_PULL "pull:"
/* It is JSON for a webhook or to be fetched, no mail. */
static inline bool queue_is_object(const struct queue_item *item)
{
	return span_starts(item->to, SPAN("https://")) || span_starts(item->to, SPAN(QUEUE_PULL));
}

__attribute__((warn_unused_result)) int queue_open(const char *state, struct queue **q_r);
void queue_close(struct queue *q); /* accepts NULL */

/* A write transaction over everything below; queue_end() as db_finish(). */
__attribute__((warn_unused_result)) int queue_begin(struct queue *q);
__attribute__((warn_unused_result)) int queue_end(struct queue *q, int r);

/* Inside a transaction: a new report and its event. State "queued", or with a `reply`
 * "suppressed" for that reason; then its text is not kept. */
__attribute__((warn_unused_result)) int queue_put(struct queue *q, const struct queue_item *item);
/* Inside a transaction: takes a report back that is not on its way. QUEUE_E_NONE: too late. */
__attribute__((warn_unused_result)) int queue_withdraw(struct queue *q, struct span report,
						       const char *why);
/* Inside a transaction: an event for the log, written after the commit by queue_write_events(). */
__attribute__((warn_unused_result)) int queue_event(struct queue *q, const char *id,
						    struct span line);
/* -ENOSPC and the like keep the events for the next time. */
__attribute__((warn_unused_result)) int queue_write_events(struct queue *q, const char *state);

/* --- complaints seen ------------------------------------------------------- */

struct queue_complaint {
	struct span rcpt, message, kind; /* the key; the recipient is kept as a hash */
	char id[ID_BYTES];
	char reports[ID_BYTES * COMPLAINT_TARGETS]; /* ids with blanks between; "": none */
	int64_t time_us;
};
/* Fills id, report, time; QUEUE_E_NONE: not seen since `since_us`. */
__attribute__((warn_unused_result)) int queue_seen(struct queue *q, struct queue_complaint *c,
						   int64_t since_us);
__attribute__((warn_unused_result)) int queue_remember(struct queue *q,
						       const struct queue_complaint *c);
/* The same complaint counts again. */
__attribute__((warn_unused_result)) int queue_forget(struct queue *q,
						     const struct queue_complaint *c);

/* Counts one more move of this person's client; how many in this hour. */
__attribute__((warn_unused_result)) int queue_count_moves(struct queue *q, struct span rcpt,
							  int64_t now_us, uint64_t *n_r);
/* Takes back what is still held of this person's complaints of the last hour. */
__attribute__((warn_unused_result)) int queue_withdraw_moves(struct queue *q, struct span rcpt,
							     int64_t now_us);
/* Counts one more report to this sender; how many today. */
__attribute__((warn_unused_result)) int queue_count_today(struct queue *q, struct span sender,
							  int64_t now_us, uint64_t *n_r);

/* Once in `period_us` for each `name`: *first_r. */
__attribute__((warn_unused_result)) int queue_once(struct queue *q, struct span name,
						   int64_t now_us, int64_t period_us, bool *first_r);
__attribute__((warn_unused_result)) int queue_once_undo(struct queue *q, struct span name);
/* The answer that was given under an Idempotency-Key; .p NULL: none. */
__attribute__((warn_unused_result)) int queue_answer_find(struct queue *q, struct span key,
							  struct arena *arena,
							  struct span *answer_r);
__attribute__((warn_unused_result)) int queue_answer_keep(struct queue *q, struct span key,
							  struct span answer, int64_t now_us);

/* --- feedback addresses ------------------------------------------------------ */

/* An address here is a mail address or a webhook's URL. */

/* Why nothing goes to this address of this sender; .p NULL: all is well. */
__attribute__((warn_unused_result)) int queue_address_why(struct queue *q, struct span sender,
							  struct span address,
							  struct arena *arena, struct span *why_r);
/* Inside a transaction: the report came back for good (`status` as in RFC 3463). Several of many
 * suspend the address: *suspended_r. QUEUE_E_NONE: no such report. */
__attribute__((warn_unused_result)) int queue_address_bounced(struct queue *q, struct span report,
							      struct span status, int64_t now_us,
							      bool *suspended_r);
/* Inside a transaction: its owner wants no more. QUEUE_E_NONE: no such report. */
__attribute__((warn_unused_result)) int queue_address_stop(struct queue *q, struct span report,
							   int64_t now_us);
/* Reports go there again. QUEUE_E_NONE: they do. */
__attribute__((warn_unused_result)) int queue_address_resume(struct queue *q, struct span address);
struct queue_address {
	struct span sender, address, why;
	int64_t since_us;
};
typedef int queue_address_fn(const struct queue_address *a, void *arg);
__attribute__((warn_unused_result)) int queue_address_list(struct queue *q, queue_address_fn *fn,
							   void *arg);

/* --- the shelf --------------------------------------------------------------- */

/* Reports as JSON that their sender may fetch: those of a webhook once they were tried, those of
 * `pull`. Numbers grow in the order in which reports can be seen, so that a cursor misses none. One
 * that was withdrawn goes, and an entry behind the last says so. */
struct queue_shelved {
	int64_t number;
	struct span object; /* JSON on one line */
};
typedef int queue_shelf_fn(const struct queue_shelved *s, void *arg);
__attribute__((warn_unused_result)) int queue_shelf(struct queue *q, struct span sender,
						    uint64_t after, uint64_t n,
						    queue_shelf_fn *fn, void *arg);

/* --- work ------------------------------------------------------------------ */

/* What is told of a report, as one line of JSON. */
void queue_item_json(const struct queue_item *item, struct buf *out);

typedef int queue_list_fn(const struct queue_item *item, void *arg);
__attribute__((warn_unused_result)) int queue_list(struct queue *q, queue_list_fn *fn, void *arg);

/* Up to `n` reports behind the one with id `after`, in the order of ids; `sender` empty: all. */
__attribute__((warn_unused_result)) int queue_page(struct queue *q, struct span sender,
						   struct span after, uint64_t n,
						   queue_list_fn *fn, void *arg);

/* Makes a report (`id` empty: all that wait or have failed) due now. QUEUE_E_NONE: no such. */
__attribute__((warn_unused_result)) int queue_retry(struct queue *q, struct span id,
						    int64_t now_us);

/* Takes under our claim the report that is due longest among the destinations that may have one
 * more now (queue_destination.c); its spans lie in the arena. `capped`: their rates are minded
 * too. QUEUE_E_NONE: none. */
__attribute__((warn_unused_result)) int queue_take(struct queue *q, int64_t now_us, bool capped,
						   struct arena *arena, struct queue_item *item_r);
enum delivery {
	DELIVERY_SENT,
	DELIVERY_LATER,
	DELIVERY_FAILED,
	DELIVERY_AWAY, /* our own next hop did not answer: no try, no fault of the destination */
};
/* Writes down what became of it and its event; gives the claim back. `asked_us`: how long the other
 * side asks to be left alone, which holds for its destination; 0: it does not. */
__attribute__((warn_unused_result)) int queue_settle(struct queue *q, const struct queue_item *item,
						     enum delivery result, struct span reply,
						     int64_t asked_us, int64_t now_us);
/* When the next report is due; INT64_MAX: none waits. */
int64_t queue_next_due(struct queue *q);
/* A number that differs after another process has written. */
int64_t queue_version(struct queue *q);

struct queue_counts {
	uint64_t queued, sent, failed, suppressed; /* reports by state */
	uint64_t breakers;                         /* destinations that rest */
	uint64_t addresses;                        /* feedback addresses that get none */
};
__attribute__((warn_unused_result)) int queue_count(struct queue *q, int64_t now_us,
						    struct queue_counts *counts_r);
/* Forgets reports delivered and complaints seen longer ago than we answer for. */
__attribute__((warn_unused_result)) int queue_purge(struct queue *q, int64_t now_us);
