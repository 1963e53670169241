/*
 * receipts - "did we receive this message, and for whom?": what a complaint is checked against.
 *
 * The recorder keeps for 30 days, under the keyed hash of each Message-ID, where the transactions
 * with it stand in the event log. A complaint about a message that we never received, or that was
 * not received for that recipient, is a forgery or a mistake and must cost no sender anything.
 *
 * Ownership: receipts_find() fills `r`, receipt_free() gives it back.
 * Errors:    RECEIPT_NEVER: no such transaction; negative errno: Redis or the log could not be
 *            asked, so nothing is known (never take that for RECEIPT_NEVER).
 */
#pragma once

#include "base/config.h"
#include "base/id.h"
#include "base/json_in.h"

enum { RECEIPT_NEVER = 1 };

struct receipt {
	char id[ID_BYTES];        /* of the txn event */
	int64_t time_us;          /* of the transaction */
	struct json_value *event; /* the txn event; NULL when another gateway logged it */
	struct span sender_key, sender_by; /* of the event; .p NULL: unknown */
	void *memory; /* private */
};

/* The transaction of that message. `message_id` with angle brackets, or .p NULL; `rcpt` without
 * them, or .p NULL for any; `event_id` (from our own header), or .p NULL, is tried when the
 * Message-ID finds nothing. With several transactions the newest for that recipient. */
__attribute__((warn_unused_result)) int receipts_find(const struct config *config,
						      struct span message_id, struct span rcpt,
						      struct span event_id, struct receipt *r);
void receipt_free(struct receipt *r);
