/*
 * identity_words - words of folded text (fold.h), compared with lists that end in NULL.
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

/* One of `words` anywhere, also inside of other words: what ideographs need. */
bool has_any(struct span s, const char *const *words);
/* `word` is one of `words`: a static list, for what is known of it is found by its address. */
bool is_one_of(struct span word, const char *const *words);
/* One of `words` as a word of its own. */
bool has_word(struct span s, const char *const *words);
/* A word that sentences are made of; in capitals it is shouted, and still in no name. */
bool is_of_sentence(struct span word);
