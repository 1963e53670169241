/*
 * clauses - the 33 normative items of the specification, and what a receiver can see of each.
 *
 * One line each in clauses.def. A rule names the clause that it judges; titles are ours, not the
 * specification's wording.
 */
#pragma once

#include "analyze/verdict.h"

enum observability {
	OBS_JUDGED,         /* directly, from mail, envelope, DNS and history */
	OBS_PARTLY,         /* in part, or by a proxy */
	OBS_REGISTRY,       /* only by comparing what was filed */
	OBS_SIGNS,          /* not itself; there are signs */
	OBS_NOT_OBSERVABLE, /* duties of others than the sender */
};

struct clause {
	const char *number;
	enum level level;
	enum observability observability;
	const char *title, *title_zh;
	const char *seen; /* what of it a receiver sees */
};

#define CLAUSE_COUNT 33
extern const struct clause clauses[CLAUSE_COUNT];

/* NULL when there is none. */
const struct clause *clause_find(struct span number);
const char *observability_name(enum observability o); /* "judged" ... */
