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
	for (; *words && word.n; words++)
		if (**words == word.p[0] && span_eq(word, span_of(*words)))
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
