#include "analyze/identity_words.h"

bool has_any(struct span s, const char *const *words)
{
	for (; *words; words++)
		if (span_find(s, span_of(*words)) != SIZE_MAX)
			return true;
	return false;
}

bool is_one_of(struct span word, const char *const *words)
{
	char first = word.n ? word.p[0] : ' ';
	for (const char *w; (w = *words) != NULL; words++)
		if (*w == first && span_eq(word, span_of(w)))
			return true;
	return false;
}

bool has_word(struct span s, const char *const *words)
{
	for (size_t i = 0; i < s.n;) {
		if (!is_word_char(s.p[i])) {
			i++;
			continue;
		}
		size_t from = i;
		while (i < s.n && is_word_char(s.p[i]))
			i++;
		if (is_one_of((struct span){s.p + from, i - from}, words))
			return true;
	}
	return false;
}

bool is_of_sentence(struct span word)
{
	static const char *const words[] = {
		"a",   "an",   "be",   "is",   "are",	"was",	"for",	"to",  "in",
		"on",  "very", "only", "this", "that",	"your", "you",	"it",  "will",
		"not", "now",  "so",   "we",   "i",	"if",	"as",	"or",  "with",
		"by",  "at",   "from", "no",   "all",	"more", "just", "our", "their",
		"how", "what", "why",  "when", "where", "who",	"see",	"get", "up",
		"has", "have", "can",  "do",   "my",	NULL};
	return is_one_of(word, words);
}
