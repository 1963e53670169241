#include "base/diag.h"

#include <assert.h>

static void print(struct diag *d, struct place at, const char *kind, const char *format,
		  va_list args)
{
	FILE *out = d->out ? d->out : stderr;
	assert(format); /* gcc's sanitizer build warns of a null format otherwise */
	if (at.line && at.column)
		fprintf(out, "%s:%u:%u: %s: ", at.file, at.line, at.column, kind);
	else if (at.line)
		fprintf(out, "%s:%u: %s: ", at.file, at.line, kind);
	else
		fprintf(out, "%s: %s: ", at.file, kind);
	vfprintf(out, format, args);
	fputc('\n', out);
}

void diag_error(struct diag *d, struct place at, const char *format, ...)
{
	if (d->errors++ >= DIAG_PRINTED)
		return;
	va_list args;
	va_start(args, format);
	print(d, at, "error", format, args);
	va_end(args);
}

void diag_warning(struct diag *d, struct place at, const char *format, ...)
{
	d->warnings++;
	va_list args;
	va_start(args, format);
	print(d, at, "warning", format, args);
	va_end(args);
}

#define GUESS_BYTES 64

/* Edit distance with swaps of neighbours, by bytes; words are short. */
static size_t distance(struct span a, struct span b)
{
	size_t rows[3][GUESS_BYTES + 1];
	for (size_t j = 0; j <= b.n; j++)
		rows[0][j] = j;
	for (size_t i = 1; i <= a.n; i++) {
		size_t *now = rows[i % 3], *before = rows[(i + 2) % 3], *older = rows[(i + 1) % 3];
		now[0] = i;
		for (size_t j = 1; j <= b.n; j++) {
			size_t cost = before[j - 1] + (a.p[i - 1] != b.p[j - 1]);
			if (before[j] + 1 < cost)
				cost = before[j] + 1;
			if (now[j - 1] + 1 < cost)
				cost = now[j - 1] + 1;
			if (i > 1 && j > 1 && a.p[i - 1] == b.p[j - 2] && a.p[i - 2] == b.p[j - 1] &&
			    older[j - 2] + 1 < cost)
				cost = older[j - 2] + 1;
			now[j] = cost;
		}
	}
	return rows[a.n % 3][b.n];
}

struct diag_guess diag_guess(struct span word)
{
	/* a third of the letters and one more may be wrong, of three or fewer just one */
	return (struct diag_guess){word, SPAN_NONE, word.n <= 3 ? 2 : word.n / 3 + 2};
}

void diag_guess_try(struct diag_guess *g, struct span candidate)
{
	if (g->word.n > GUESS_BYTES || candidate.n > GUESS_BYTES)
		return;
	size_t d = distance(g->word, candidate);
	/* 'clas' begins 'class.kind': a name that goes on is near, but no nearer than a slip. */
	if (g->word.n >= 4 && span_starts(candidate, g->word) && d > g->word.n / 3 + 1)
		d = g->word.n / 3 + 1;
	if (d < g->distance) {
		g->distance = d;
		g->best = candidate;
	}
}

const char *diag_guess_text(const struct diag_guess *g)
{
	static char text[GUESS_BYTES + 32];
	if (!g->best.p)
		return "";
	snprintf(text, sizeof(text), " (did you mean '%.*s'?)", SPAN_ARG(g->best));
	return text;
}
