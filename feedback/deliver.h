/*
 * deliver - hands reports to the provider's own MTA, or puts them into a folder; signs them
 * (DKIM) when the configuration names a key. What is for a webhook goes there by HTTPS, what is
 * to be fetched to the shelf, whatever the way of mail is.
 *
 * A courier has many reports under way at once, on the loop of its process: one that a destination
 * answers slowly or not at all keeps no other waiting. Which report may go next is the queue's
 * decision (queue_destination.c). When the next hop itself does not answer, everything waits for
 * it, seconds at first.
 *
 * Ownership: courier_create() .. courier_free(); queue, configuration and loop are the caller's
 *            and outlive it.
 * Errors:    a delivery says what became of it and why, in words for `assay queue list`.
 */
#pragma once

#include "base/buf.h"
#include "base/config.h"
#include "feedback/queue.h"

struct event_base;

enum { DELIVER_E_SIGNER = 2 };

/* --- a courier ------------------------------------------------------------- */

struct courier;

struct courier_counts {
	uint64_t sent, failed, later, away; /* deliveries by how they ended */
	unsigned flying;                    /* under way */
	bool resting;                       /* the next hop does not answer */
	bool unsigned_;                     /* the key cannot be used, reports wait */
};

__attribute__((warn_unused_result)) int courier_create(struct courier **c_r, struct queue *q,
						       const struct config *config,
						       struct event_base *loop);
/* Gives back the claims of what is still under way. */
void courier_free(struct courier *c); /* accepts NULL */
void courier_config(struct courier *c, const struct config *config);
/* Starts what is due and may go. 0, DELIVER_E_SIGNER (told in the log; all stay in the queue), or
 * negative errno when the queue cannot be used. Deliveries that end start the next ones. */
__attribute__((warn_unused_result)) int courier_run(struct courier *c);
/* Nothing new is started any more, and mail that has not come to its message is taken back into
 * the queue; `landed` is called when nothing is under way. */
void courier_stop(struct courier *c, void (*landed)(void *arg), void *arg);
struct courier_counts courier_counts(const struct courier *c);

/* The one process that delivers all the time holds this lock: a descriptor, -EBUSY when another one
 * does, or other negative errno. */
__attribute__((warn_unused_result)) int courier_lock(const char *state);
/* It is held: who is in a hurry leaves reports to that process. */
bool courier_present(const char *state);

/* Delivers what is due, until nothing is or the MTA is away, on a loop of its own. Counts into
 * *sent_r (may be NULL). Errors as courier_run(). */
__attribute__((warn_unused_result)) int deliver_due(struct queue *q, const struct config *config,
						    unsigned *sent_r);

/* --- ways out -------------------------------------------------------------- */

/* One file a report: ID.eml, written under a dot-name and renamed; a second try replaces it. */
enum delivery deliver_folder(const struct config *config, const struct queue_item *item,
			     struct span message, struct buf *reply);

/* Over the network. `item`, what is sent and the headers must live until `done` was called, which
 * happens from the loop. -ENOMEM: nothing was begun. */
struct carrier;
/* `asked_us`: a webhook asks to be left alone for so long (RFC 9110 section 10.2.3); 0: it does not. */
typedef void carrier_done_fn(void *arg, enum delivery result, struct span reply, int64_t asked_us);
__attribute__((warn_unused_result)) int carrier_create(struct carrier **c_r,
						       struct event_base *loop);
void carrier_free(struct carrier *c); /* cuts off what is under way; accepts NULL */
/* Ends the mails that nobody has seen an octet of yet, as if the next hop were away. */
void carrier_recall(struct carrier *c);
/* By SMTP to config->report.to. */
__attribute__((warn_unused_result)) int carrier_mail(struct carrier *c,
						     const struct config *config,
						     const struct queue_item *item,
						     struct span message, carrier_done_fn *done,
						     void *arg);
/* By HTTPS to item->to. 2xx: sent; 410: failed; all else: later, and never DELIVERY_AWAY. `headers`:
 * "Name: value", with a NULL behind the last. */
__attribute__((warn_unused_result)) int carrier_post(struct carrier *c,
						     const struct config *config,
						     const struct queue_item *item,
						     const char *const *headers,
						     carrier_done_fn *done, void *arg);
