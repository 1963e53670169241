/*
 * identity_words - words and lines of folded text (fold.h). Lists of words end in NULL.
 */
#pragma once

#include "base/span.h"

static inline bool is_word_char(char c)
{
	return ascii_is_alpha(c) || ascii_is_digit(c) || (c & 0x80);
}

static inline bool has_digit(struct span s)
{
	return span_find_digit(s, 0) < s.n;
}

/* Takes the next run of word characters off `rest`, over what stands before it; span_next_word()
 * parts at blanks alone. False when there is none. */
static inline bool next_word(struct span *rest, struct span *word_r)
{
	size_t from = 0, to;
	while (from < rest->n && !is_word_char(rest->p[from]))
		from++;
	for (to = from; to < rest->n && is_word_char(rest->p[to]);)
		to++;
	*word_r = span_sub(*rest, from, to);
	*rest = span_sub(*rest, to, rest->n);
	return word_r->n > 0;
}

/* Where the line of `at` begins; of a very long line, a place not far before `at`. */
size_t line_start(struct span s, size_t at);

/* One of `words` anywhere, also inside of other words: what ideographs need. */
bool has_any(struct span s, const char *const *words);
/* The same of text as it is written: ASCII letters in either case. */
bool has_any_case(struct span s, const char *const *words);
/* One of `words` in front; ASCII letters in either case. */
bool starts_with_any(struct span s, const char *const *words);
/* Bytes of the first of `words` that `s` ends with; 0: none. */
size_t ending(struct span s, const char *const *words);
/* `word` is one of `words`: a static list, for what is known of it is found by its address. */
bool is_one_of(struct span word, const char *const *words);
/* One of `words` as a word of its own. */
bool has_word(struct span s, const char *const *words);
/* A word that sentences are made of; in capitals it is shouted, and still in no name. */
bool is_of_sentence(struct span word);
