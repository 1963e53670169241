/* subject_terms - the n-grams and terms of folded text; see subject.h. */
#include "analyze/subject.h"

#define STEM_LETTERS 6 /* of a word: "mortgage" and "mortgages" are one term */

/* A whole word counts as so many n-grams: swaps within one topic are found by its words. */
#define WORD_WEIGHT 2

static uint32_t mix(uint64_t h)
{
	h ^= h >> 29;
	h *= 0xbf58476d1ce4e5b9u;
	return (uint32_t)(h >> 32);
}

static bool is_wide(struct span s, size_t i)
{
	unsigned char c = (unsigned char)s.p[i];
	/* U+3040..U+D7FF without the marks of U+3000..U+303F */
	return i + 3 <= s.n && c >= 0xe3 && c <= 0xed &&
	       !(c == 0xe3 && (unsigned char)s.p[i + 1] == 0x80) && c != 0xee;
}

static uint64_t wide_char(struct span s, size_t i)
{
	return (uint64_t)(unsigned char)s.p[i] << 16 | (uint64_t)(unsigned char)s.p[i + 1] << 8 |
	       (unsigned char)s.p[i + 2];
}

struct gram_state {
	uint64_t letters, wide; /* the last four letters; the last three ideographs */
	uint64_t word;		/* hash of the word so far */
	unsigned n_letters, n_wide, n_word;
};

/* Blanks for what is no letter; at its place what is one. */
static char letters[256];

static void fill_letters(void)
{
	for (int c = 0; c < 256; c++)
		letters[c] = subject_letter((char)c) ? (char)c : ' ';
}

size_t subject_grams(struct span s, struct subject_gram *out, size_t max)
{
	struct gram_state g = {.letters = ' ', .n_letters = 1};
	size_t n = 0;
	if (!letters['a'])
		fill_letters();
	for (size_t i = 0; i <= s.n && n + 3 + WORD_WEIGHT < max;) {
		char c = i == s.n ? ' ' : letters[(unsigned char)s.p[i]];
		bool wide = i < s.n && is_wide(s, i);
		if (g.n_word && (wide || c == ' ')) {
			for (int k = 0; k < WORD_WEIGHT && g.n_word >= 3; k++)
				out[n++] = (struct subject_gram){mix(g.word), false};
			g.word = g.n_word = 0;
		}
		if (i == s.n)
			break;
		if (wide) {
			g.n_letters = 0;
			g.wide = g.wide << 16 | (mix(wide_char(s, i) + 1) & 0xffff);
			g.n_wide++;
			for (unsigned k = 1; k <= 3 && k <= g.n_wide; k++)
				out[n++] = (struct subject_gram){
					mix((g.wide & ((1ull << 16 * k) - 1)) *
						    0x9e3779b97f4a7c15u +
					    k),
					true};
			i += 3;
			continue;
		}
		g.n_wide = 0;
		i++;
		if (c != ' ') {
			g.word = (g.word ^ (unsigned char)c) * 0x100000001b3u + 7;
			g.n_word++;
		}
		if (c == ' ' && g.n_letters && (g.letters & 0xff) == ' ')
			continue;
		g.letters = g.letters << 8 | (unsigned char)c;
		g.n_letters++;
		if (g.n_letters >= 4)
			out[n++] = (struct subject_gram){
				mix((g.letters & 0xffffffffu) * 0x9e3779b97f4a7c15u), false};
	}
	return n;
}

/* --- terms ----------------------------------------------------------------------- */

/* Punctuation of U+2000..U+2BFF and U+3000..U+303F. */
static bool is_mark(struct span s, size_t i)
{
	unsigned char c = (unsigned char)s.p[i];
	return i + 3 <= s.n &&
	       (c == 0xe2 || (c == 0xe3 && (unsigned char)s.p[i + 1] == 0x80));
}

/* A comma or point inside a number. */
static bool joins_digits(struct span s, size_t i)
{
	return i + 1 < s.n && (s.p[i] == ',' || s.p[i] == '.') && ascii_is_digit(s.p[i + 1]);
}

bool subject_next_term(struct span s, size_t *at, struct subject_gram *term_r, struct span *text_r)
{
	size_t i = *at;
	while (i < s.n) {
		size_t from = i, digits = 0, n = 0;
		uint64_t h = 14695981039346656037u, before = h;
		if (is_wide(s, i)) {
			i += 3;
			if (!is_wide(s, i))
				continue;
			h = (wide_char(s, from) << 24 | wide_char(s, i)) * 0x9e3779b97f4a7c15u;
			*term_r = (struct subject_gram){mix(h) & ~SUBJECT_NUMBER, true};
			*text_r = span_sub(s, from, i + 3);
			*at = i;
			return true;
		}
		if (is_mark(s, i)) {
			i += 3;
			continue;
		}
		if (!subject_letter(s.p[i])) {
			i++;
			continue;
		}
		while (i < s.n && subject_letter(s.p[i]) &&
		       !(s.p[i] & 0x80 && (is_wide(s, i) || is_mark(s, i)))) {
			digits += ascii_is_digit(s.p[i]);
			before = h;
			if (n < STEM_LETTERS || digits)
				h = (h ^ (unsigned char)s.p[i]) * 1099511628211u;
			n++;
			i++;
			/* "725,000" is 725000, "14.95" one number */
			if (digits == n && joins_digits(s, i))
				h = s.p[i++] == '.' ? (h ^ '.') * 1099511628211u : h;
		}
		if (n < 2 && !digits)
			continue;
		/* the plural of a short word */
		if (!digits && n >= 4 && n <= STEM_LETTERS && s.p[i - 1] == 's')
			h = before;
		bool number = digits == n;
		*term_r = (struct subject_gram){number ? mix(h) | SUBJECT_NUMBER : mix(h) & ~SUBJECT_NUMBER, false};
		*text_r = span_sub(s, from, i);
		*at = i;
		return true;
	}
	*at = i;
	return false;
}

size_t subject_terms(struct span s, struct subject_gram *out, size_t max)
{
	struct span text;
	size_t n = 0, at = 0;
	while (n < max && subject_next_term(s, &at, &out[n], &text))
		n++;
	return n;
}
