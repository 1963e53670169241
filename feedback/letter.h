/*
 * letter - a mail of words alone to a person (a proof, a help, a notice), put into the queue.
 *
 * Ownership: nothing is kept; texts lie in the caller's memory until letter_put() returns.
 * Errors:    negative errno, and nothing is in the queue then.
 */
#pragma once

#include "feedback/keys.h"
#include "feedback/queue.h"

struct letter {
	struct span sender, kind, to;
	struct span subject, text;  /* UTF-8 */
	struct span in_reply_to;    /* .p NULL: none */
};

/* Inside a transaction of the queue; `config` names where reports come from. */
__attribute__((warn_unused_result)) int letter_put(struct queue *q, const struct config *config,
						   const struct keys *keys,
						   const struct letter *letter, int64_t now_us,
						   struct arena *arena);
