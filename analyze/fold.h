/*
 * fold - text as phrases compare it: lower case, no accents, one blank for many.
 *
 * Letters with accents lose them (Latin, Vietnamese), Cyrillic and full-width forms become small
 * and narrow, quotes and dashes their ASCII kin. fold_from() leads from a folded byte back to
 * the original, for evidence. utf8_fold() of base/ does all of Unicode and costs ten times as
 * much; phrases need no more than this.
 *
 * Ownership: in the arena given.
 */
#pragma once

#include "base/arena.h"

/* From the folded byte `at` on the original goes with it byte by byte, from `from`. */
struct fold_step {
	uint32_t at, from;
};

struct folded {
	struct span text;
	struct fold_step *steps; /* in order; most text is changed at few places */
	size_t n_steps, cap_steps;
};

/* Line ends stay as LF, other blanks become one blank. Empty when the arena is full. */
struct folded fold_text(struct arena *a, struct span original);
/* Where in the original the character stands that became the byte `at`; text.n: its end. */
uint32_t fold_from(const struct folded *f, size_t at);
