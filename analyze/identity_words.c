#include "analyze/identity_words.h"

/* No address is longer, and what stands farther away says nothing about a name; without a bound a
 * line of 30 kB would be walked for each number. */
#define LINE_BACK_BYTES 300

size_t line_start(struct span s, size_t at)
{
	size_t stop = at > LINE_BACK_BYTES ? at - LINE_BACK_BYTES : 0;
	while (at > stop && s.p[at - 1] != '\n')
		at--;
	return at;
}

bool has_any(struct span s, const char *const *words)
{
	for (; *words; words++)
		if (span_find(s, span_of(*words)) != SIZE_MAX)
			return true;
	return false;
}

bool has_any_case(struct span s, const char *const *words)
{
	for (; *words; words++)
		if (span_case_find(s, span_of(*words)) != SIZE_MAX)
			return true;
	return false;
}

bool starts_with_any(struct span s, const char *const *words)
{
	for (; *words; words++)
		if (span_case_starts(s, span_of(*words)))
			return true;
	return false;
}

size_t ending(struct span s, const char *const *words)
{
	for (; *words; words++)
		if (span_ends(s, span_of(*words)))
			return strlen(*words);
	return 0;
}

/* A number below 256 from the ends and the length of a word. */
static unsigned outline(struct span word)
{
	return ((unsigned char)word.p[0] * 31u + (unsigned char)word.p[word.n - 1] * 7u +
		(unsigned)word.n) % 256;
}

/* Whether a word may be of the list, by its outline: most words fail at that. Lists live for ever, so
 * that their address tells which one it is. */
static bool may_be_one_of(struct span word, const char *const *words)
{
	static struct {
		const char *const *words;
		uint64_t outlines[256 / 64];
	} known[16];
	size_t slot = (uintptr_t)words / sizeof(*words) % 16;
	uint64_t *outlines = known[slot].outlines;
	if (known[slot].words != words) {
		known[slot].words = words;
		memset(outlines, 0, sizeof(known[slot].outlines));
		for (const char *const *w = words; *w; w++) {
			unsigned o = outline(span_of(*w));
			outlines[o / 64] |= 1ull << o % 64;
		}
	}
	unsigned o = outline(word);
	return outlines[o / 64] >> o % 64 & 1;
}

bool is_one_of(struct span word, const char *const *words)
{
	if (!word.n || !may_be_one_of(word, words))
		return false;
	for (const char *w; (w = *words) != NULL; words++)
		if (*w == word.p[0] && span_eq(word, span_of(w)))
			return true;
	return false;
}

bool has_word(struct span s, const char *const *words)
{
	for (struct span word; next_word(&s, &word);)
		if (is_one_of(word, words))
			return true;
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
