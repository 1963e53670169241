/*
 * bounce - what comes back to the return address of a report: a delivery status notification, the
 * word STOP, the answer of a machine.
 *
 * The return address names the report and carries a MAC (keys.h), so nobody can make an address
 * look dead from outside. STOP comes to the From address instead: it must name a report's
 * Message-ID, which nobody knows but who got it. Nothing that comes here is ever answered.
 *
 * Standard: RFC 3464; RFC 3834 section 2.
 */
#pragma once

#include "feedback/complaint.h"

enum bounce_outcome {
	BOUNCE_FAILED,    /* the report came back for good */
	BOUNCE_SUSPENDED, /* and its address gets no more */
	BOUNCE_DELAYED,   /* it is still under way */
	BOUNCE_STOP,      /* the owner wants no more */
	BOUNCE_IGNORED,   /* an answer that says nothing to us */
	BOUNCE_UNKNOWN,   /* not about a report of ours */
};
const char *bounce_outcome_name(enum bounce_outcome outcome);

/* `rcpt`: the address it came to, .p NULL: as its header says. Negative errno: nothing is kept, it
 * must be handed in again. */
__attribute__((warn_unused_result)) int bounce_take(struct complaint_desk *desk, struct span octets,
						    struct span rcpt, int64_t now_us,
						    enum bounce_outcome *outcome_r);
