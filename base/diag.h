/*
 * diag - faults of files that people write: rules, configuration, filings, zones.
 *
 *     rules/bad.rules:2:10: error: unknown clause '2.3.9' (did you mean '2.3.2'?)
 *
 * All faults of a file are told, each on one line of stderr; what was loaded before stays.
 *
 * Ownership: a diag is the caller's, zeroed; nothing that is given is kept.
 * Errors:    the caller looks at `errors` when he is through the file.
 */
#pragma once

#include <stdarg.h>
#include <stdio.h>

#include "base/span.h"

struct diag {
	FILE *out; /* NULL: stderr */
	unsigned errors, warnings;
};

struct place {
	const char *file;
	unsigned line, column; /* from 1; column counts characters; 0: not known */
};

/* Lines past this many errors are counted, not printed: a binary file named by mistake. */
#define DIAG_PRINTED 100

void diag_error(struct diag *d, struct place at, const char *format, ...)
	__attribute__((format(printf, 3, 4)));
void diag_warning(struct diag *d, struct place at, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

/* The candidate nearest to `word` by edit distance, or NULL when none is near enough to be meant.
 * Feed all candidates, then look at `best`. */
struct diag_guess {
	struct span word, best;
	size_t distance;
};
struct diag_guess diag_guess(struct span word);
void diag_guess_try(struct diag_guess *g, struct span candidate);
/* " (did you mean 'x'?)" or "", in static memory. */
const char *diag_guess_text(const struct diag_guess *g);
