/*
 * standing - is a registered sender well-behaved? Clause 2.6.5 lets his limits be relaxed then.
 *
 * By the books of the last 30 days:
 *
 *     good   1,000 recipients or more, complaints below 0.1 %, returns below 5 %
 *     poor   complaints of 0.3 % or more, or hard returns of 10 % or more, each proven: the lower
 *            bound of Wilson's 95 % interval counts, so 3 complaints about 500 mails prove nothing
 *
 * and usual otherwise, also while Redis is away. What it does to limits is the postmaster's:
 * `limit sender { ... relaxed 2 tightened 0.5 }`.
 *
 * Ownership: standing_create() .. standing_free().
 * Threads:   standing_of() may be called from any; the books are asked on the loop.
 */
#pragma once

#include "base/config.h"

enum standing { STANDING_USUAL, STANDING_GOOD, STANDING_POOR };

struct event_base;
struct standings;

__attribute__((warn_unused_result)) int standing_create(struct standings **s_r,
							const struct config *config,
							struct event_base *loop);
void standing_free(struct standings *s); /* accepts NULL */

/* At once; the first answer about a sender is STANDING_USUAL, while the books are asked. */
enum standing standing_of(struct standings *s, struct span key);

/* The judgement alone. */
struct standing_counts {
	uint64_t sent, accepted, hard, open, complaints;
};
enum standing standing_judge(const struct standing_counts *c);
