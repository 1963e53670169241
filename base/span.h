/*
 * span - a piece of text that somebody else owns: pointer and length, no NUL.
 *
 * Everything that came from mail, wire, DNS or a file is a span. The cursor
 * functions (span_next_*) cannot pass the end.
 *
 * Ownership: none; a span lives as long as what it points into.
 * Units:     bytes.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

struct span {
	const char *p;
	size_t n;
};

#define SPAN_NONE ((struct span){NULL, 0})
#define SPAN(literal) ((struct span){(literal), sizeof(literal) - 1})
/* for printf("%.*s") */
#define SPAN_ARG(s) (int)(s).n, (s).p ? (s).p : ""

static inline struct span span_of(const char *cstr)
{
	return (struct span){cstr, cstr ? strlen(cstr) : 0};
}

/* From `from` up to, not including, `to`; both are cut to the span. */
static inline struct span span_sub(struct span s, size_t from, size_t to)
{
	if (to > s.n)
		to = s.n;
	if (from > to)
		from = to;
	return (struct span){s.p ? s.p + from : NULL, to - from};
}

static inline bool span_eq(struct span a, struct span b)
{
	return a.n == b.n && (a.n == 0 || memcmp(a.p, b.p, a.n) == 0);
}

/* ASCII letters without case. */
bool span_case_eq(struct span a, struct span b);
static inline bool span_starts(struct span s, struct span prefix)
{
	return s.n >= prefix.n && (prefix.n == 0 || memcmp(s.p, prefix.p, prefix.n) == 0);
}

bool span_case_starts(struct span s, struct span prefix);
bool span_ends(struct span s, struct span suffix);
bool span_case_ends(struct span s, struct span suffix);

/* Position of the first `needle`, or SIZE_MAX. */
size_t span_find(struct span s, struct span needle);
size_t span_case_find(struct span s, struct span needle);
size_t span_find_char(struct span s, char c);
size_t span_rfind_char(struct span s, char c);
/* The first ASCII digit at or behind `from`; s.n when there is none. */
size_t span_find_digit(struct span s, size_t from);

/* Without blanks, tabs, CR and LF at both ends. */
struct span span_trim(struct span s);

/* Takes the next line off `rest`, without its CRLF or LF; false when nothing is left. */
bool span_next_line(struct span *rest, struct span *line);

/* Takes what stands before the next `sep` off `rest`; false when nothing is left. The last
 * field needs no separator; "a,," gives "a", "". */
bool span_next_field(struct span *rest, char sep, struct span *field);

/* Takes the next word between blanks, tabs, CR, LF off `rest`; false when nothing is left. */
bool span_next_word(struct span *rest, struct span *word);

/* Decimal digits alone, at most `max`; false for anything else, empty too. */
bool span_number(struct span s, uint64_t max, uint64_t *value_r);

/* <0, 0, >0 by bytes. */
int span_cmp(struct span a, struct span b);

/* FNV-1a: the same for ever, and no defence against texts that are chosen to be alike. */
uint64_t span_hash(struct span s);
uint64_t span_case_hash(struct span s);

static inline char ascii_lower(char c)
{
	return c >= 'A' && c <= 'Z' ? (char)(c + 32) : c;
}

static inline bool ascii_is_alpha(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

static inline bool ascii_is_digit(char c)
{
	return c >= '0' && c <= '9';
}

static inline bool ascii_is_space(char c)
{
	return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}
