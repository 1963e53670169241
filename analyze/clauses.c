#include "analyze/clauses.h"

const struct clause clauses[CLAUSE_COUNT] = {
#define CLAUSE(number, level, observability, title, title_zh, seen) \
	{number, LEVEL_##level, OBS_##observability, title, title_zh, seen},
#include "analyze/clauses.def"
#undef CLAUSE
};

/* The array is exactly full: a line too few would leave its last number NULL. */
_Static_assert(sizeof(clauses) / sizeof(clauses[0]) == CLAUSE_COUNT, "33 clauses");

const struct clause *clause_find(struct span number)
{
	for (size_t i = 0; i < CLAUSE_COUNT; i++)
		if (span_eq(number, span_of(clauses[i].number)))
			return &clauses[i];
	return NULL;
}

const char *observability_name(enum observability o)
{
	static const char *const names[] = {"judged", "partly", "registry only", "signs only",
					    "not observable"};
	return names[o];
}

const char *level_name(enum level level)
{
	static const char *const names[] = {"must", "should", "may", "info", "review"};
	return names[level];
}

const char *action_name(enum action action)
{
	static const char *const names[] = {"accept", "tag", "defer", "reject"};
	return names[action];
}
