/*
 * deliver - hands reports to the provider's own MTA, or puts them into a folder; signs them
 * (DKIM) when the configuration names a key.
 *
 * Errors: a delivery says what became of it and why, in words for `assay queue list`.
 */
#pragma once

#include "base/buf.h"
#include "base/config.h"
#include "feedback/queue.h"

enum { DELIVER_E_SIGNER = 2 };

/* One file a report: ID.eml, written under a dot-name and renamed; a second try replaces it. */
enum delivery deliver_folder(const struct config *config, const struct queue_item *item,
			     struct span message, struct buf *reply);
/* To config->report.to. *away_r: nobody answered there, so other reports need not try. */
enum delivery deliver_smtp(const struct config *config, const struct queue_item *item,
			   struct span message, struct buf *reply, bool *away_r);

/* Delivers what is due, until nothing is or the MTA is away. Counts into *sent_r (may be NULL).
 * 0, DELIVER_E_SIGNER when they cannot be signed (told in the log; all stay in the queue), or
 * negative errno when the queue cannot be used. */
__attribute__((warn_unused_result)) int deliver_due(struct queue *q, const struct config *config,
						    unsigned *sent_r);
