/*
 * complaint - from "this is spam" to a report in the queue, or to the reason why there is none.
 *
 * Only a message that we received, for this recipient, counts (RFC 6650 section 8: forged
 * complaints): it is looked up in the receipts. Whom to tell follows from what passed when it was
 * received, not from what it says now: DKIM d= that passed, the IP range, else the SPF domain
 * that passed; nobody is told on an identity that failed (RFC 6650 section 6). A second complaint
 * of the same person about the same message is a duplicate. "Not spam" takes a report back that
 * is still held, else it is reported too (RFC 6430).
 *
 * Ownership: complaint_take() keeps nothing.
 * Errors:    negative errno when we could not tell or write: nothing is kept then, and the
 *            complaint must be handed in again.
 */
#pragma once

#include "base/command.h"
#include "feedback/keys.h"
#include "feedback/queue.h"
#include "feedback/receipts.h"
#include "feedback/registry.h"

enum complaint_outcome {
	COMPLAINT_REPORT,
	COMPLAINT_UNVERIFIED,
	COMPLAINT_DUPLICATE,
	COMPLAINT_NO_SENDER,
	COMPLAINT_FAILED_AUTH,
	COMPLAINT_WITHDRAWN,
};
const char *complaint_outcome_name(enum complaint_outcome outcome);

struct complaint_desk {
	const struct config *config;
	struct registry *registry;
	struct queue *queue;
	struct keys keys;
	/* receipts_find() and receipt_free(), or a test's own; set behind complaint_desk_open() */
	int (*find)(const struct config *config, struct span message_id, struct span rcpt,
		    struct span event_id, struct receipt *r);
	void (*release)(struct receipt *r);
};

struct complaint {
	struct span octets; /* as handed in */
	struct span kind;   /* .p NULL: as its report says, else abuse */
	struct span rcpt;   /* .p NULL: as its report or its header says */
	struct span way;    /* .p NULL: by its form */
};

struct complaint_result {
	enum complaint_outcome outcome;
	char id[ID_BYTES];
	char reports[COMPLAINT_TARGETS][ID_BYTES];
	size_t n_reports;
	char sender[80]; /* key of the first who is told; "" when nobody was found */
	const char *why;       /* words for a person, static */
};

__attribute__((warn_unused_result)) int complaint_desk_open(struct complaint_desk *desk,
							    const struct config *config);
void complaint_desk_close(struct complaint_desk *desk);
__attribute__((warn_unused_result)) int complaint_take(struct complaint_desk *desk,
						       const struct complaint *c, int64_t now_us,
						       struct complaint_result *result);
