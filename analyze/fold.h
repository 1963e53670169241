/*
 * fold - text as phrases compare it: lower case, no accents, one blank for many.
 *
 * Letters with accents lose them (Latin, Vietnamese), Cyrillic and full-width forms become small
 * and narrow, quotes and dashes their ASCII kin. The map leads from each folded byte back to
 * the original, for evidence. utf8_fold() of base/ does all of Unicode and costs ten times as
 * much; phrases need no more than this.
 *
 * Ownership: in the arena given.
 */
#pragma once

#include "base/arena.h"

struct folded {
	struct span text;
	uint32_t *from; /* per byte of `text`, and one behind the last: position in the original */
};

/* Line ends stay as LF, other blanks become one blank. Empty when the arena is full. */
struct folded fold_text(struct arena *a, struct span original);
/* Without the map; `out` has room for original.n bytes. Returns the length. */
size_t fold_into(char *out, struct span original);
