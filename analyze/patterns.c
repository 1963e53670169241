#include "analyze/patterns.h"

#include <stdio.h>
#include <stdlib.h>
#include <hs.h>

struct pattern {
	hs_database_t *database;
	hs_scratch_t *scratch;
};

struct pattern *pattern_compile(const char *expression, const char **why)
{
	static char message[200];
	hs_compile_error_t *error = NULL;
	struct pattern *p = calloc(1, sizeof(*p));
	*why = "out of memory";
	if (!p)
		return NULL;
	unsigned flags = HS_FLAG_CASELESS | HS_FLAG_SINGLEMATCH | HS_FLAG_DOTALL;
	if (hs_compile(expression, flags, HS_MODE_BLOCK, NULL, &p->database, &error) != HS_SUCCESS) {
		snprintf(message, sizeof(message), "%s", error ? error->message : "unknown reason");
		hs_free_compile_error(error);
		*why = message;
		pattern_free(p);
		return NULL;
	}
	if (hs_alloc_scratch(p->database, &p->scratch) != HS_SUCCESS) {
		pattern_free(p);
		return NULL;
	}
	return p;
}

void pattern_free(struct pattern *p)
{
	if (!p)
		return;
	hs_free_scratch(p->scratch);
	hs_free_database(p->database);
	free(p);
}

static int on_match(unsigned id, unsigned long long from, unsigned long long to, unsigned flags,
		    void *found)
{
	(void)id;
	(void)from;
	(void)to;
	(void)flags;
	*(bool *)found = true;
	return 1;
}

bool pattern_matches(const struct pattern *p, struct span text)
{
	bool found = false;
	if (text.n <= UINT32_MAX)
		hs_scan(p->database, text.p ? text.p : "", (unsigned)text.n, 0, p->scratch, on_match,
			&found);
	return found;
}
