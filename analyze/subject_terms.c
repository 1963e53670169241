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

/* What an octet of folded text is in a word: MORE has to be looked at with its neighbours. */
enum { LETTER = 1, DIGIT = 2, MORE = 4 };
static struct {
	bool ready;
	uint8_t kind[256];
	unsigned char gram[256]; /* a blank for what is no letter, at its place what is one */
} octets;

static void fill_octets(void)
{
	for (int c = 0; c < 256; c++) {
		bool letter = subject_letter((char)c);
		octets.kind[c] = !letter		   ? 0
				 : c & 0x80		   ? MORE
				 : ascii_is_digit((char)c) ? DIGIT
							   : LETTER;
		octets.gram[c] = letter ? (unsigned char)c : ' ';
	}
	octets.ready = true;
}

/* U+3040..U+D7FF without the marks of U+3000..U+303F. */
static inline bool is_wide(struct span s, size_t i)
{
	unsigned char c = (unsigned char)s.p[i];
	return c >= 0xe3 && c <= 0xed && i + 3 <= s.n &&
	       !(c == 0xe3 && (unsigned char)s.p[i + 1] == 0x80);
}

/* A blank or line end between ideographs: words are spaced out and broken over lines. */
static inline bool joins_wide(struct span s, size_t i)
{
	return i + 1 < s.n && (s.p[i] == ' ' || s.p[i] == '\n') && is_wide(s, i + 1);
}

static uint64_t wide_char(struct span s, size_t i)
{
	return (uint64_t)(unsigned char)s.p[i] << 16 | (uint64_t)(unsigned char)s.p[i + 1] << 8 |
	       (unsigned char)s.p[i + 2];
}

/* --- n-grams --------------------------------------------------------------------- */

/* An octet adds no more than this; and what has to be free for any step. */
#define STEP_GRAMS (WORD_WEIGHT + 1)
#define ROOM (SUBJECT_PIECE_LEAST - 1)
_Static_assert(ROOM >= WORD_WEIGHT + 3, "an ideograph ends a word and adds three");

static const uint64_t *all_wanted(void)
{
	static uint64_t all[SUBJECT_MAYBE_BITS / 64];
	if (!all[0])
		memset(all, 0xff, sizeof(all));
	return all;
}

struct subject_walk subject_walk(struct span folded)
{
	if (!octets.ready)
		fill_octets();
	return (struct subject_walk){.text = folded, .letters = ' ', .n_letters = 1};
}

/* Adds the n-gram where `maybe` has its bit. Returns how many it added. */
static inline size_t add(struct subject_gram *out, const uint64_t *maybe, uint64_t h, bool wide)
{
	uint32_t hash = mix(h);
	if (!subject_maybe(maybe, hash))
		return 0;
	*out = (struct subject_gram){hash, wide};
	return 1;
}

/* The word that ends, unless it is one of one or two letters. */
static inline size_t end_word(struct subject_walk *w, struct subject_gram *out,
			      const uint64_t *maybe, size_t letters)
{
	size_t k = 0;
	if (letters >= 3) {
		for (int i = 0; i < WORD_WEIGHT; i++)
			k += add(out + k, maybe, w->word, false);
		w->n += WORD_WEIGHT;
	}
	w->word = w->n_word = 0;
	return k;
}

/* 1, 2 and 3 ideographs that end with the one at w->at. */
static size_t walk_wide(struct subject_walk *w, struct subject_gram *out, const uint64_t *maybe)
{
	size_t k = end_word(w, out, maybe, w->n_word);
	w->n_letters = 0;
	w->wide = w->wide << 16 | (mix(wide_char(w->text, w->at) + 1) & 0xffff);
	w->n_wide++;
	for (unsigned i = 1; i <= 3 && i <= w->n_wide; i++) {
		uint64_t last = w->wide & ((1ull << 16 * i) - 1);
		k += add(out + k, maybe, last * 0x9e3779b97f4a7c15u + i, true);
		w->n++;
	}
	w->at += 3;
	w->at += joins_wide(w->text, w->at);
	return k;
}

/* `steps` letters and what stands between them, up to an ideograph: most of what a body costs
 * here, so that what changes with each octet lies in variables of its own. */
static size_t walk_letters(struct subject_walk *w, size_t steps, struct subject_gram *out,
			   const uint64_t *maybe)
{
	const char *p = w->text.p + w->at, *word_begin = p - w->n_word;
	const char *end = steps < w->text.n - w->at ? p + steps : w->text.p + w->text.n;
	uint64_t word = w->word;
	uint32_t letters = w->letters;
	unsigned n_letters = w->n_letters;
	size_t k = 0, n = 0;
	for (; p < end; p++) {
		unsigned char c = octets.gram[(unsigned char)*p];
		if (c == ' ') {
			w->word = word;
			k += end_word(w, out + k, maybe, (size_t)(p - word_begin));
			word = 0;
			word_begin = p + 1;
			if (n_letters && (letters & 0xff) == ' ')
				continue;
		} else if (c >= 0xe3 && is_wide(w->text, (size_t)(p - w->text.p))) {
			break;
		} else {
			word = (word ^ c) * 0x100000001b3u + 7;
		}
		letters = letters << 8 | c;
		if (n_letters < 4 && ++n_letters < 4)
			continue;
		n++;
		k += add(out + k, maybe, letters * 0x9e3779b97f4a7c15u, false);
	}
	size_t at = (size_t)(p - w->text.p);
	w->n_wide = at > w->at ? 0 : w->n_wide;
	w->at = at;
	w->n += n;
	w->word = word;
	w->n_word = (unsigned)(p - word_begin);
	w->letters = letters;
	w->n_letters = n_letters;
	return k;
}

size_t subject_next_wanted(struct subject_walk *w, const uint64_t *maybe, size_t until,
			   struct subject_gram *out, size_t max)
{
	size_t k = 0;
	while (k + ROOM < max && w->n + ROOM < until) {
		size_t room = max - k, left = until - w->n;
		size_t steps = ((room < left ? room : left) - ROOM - 1) / STEP_GRAMS + 1;
		if (w->at < w->text.n && is_wide(w->text, w->at)) {
			k += walk_wide(w, out + k, maybe);
		} else if (w->at < w->text.n) {
			k += walk_letters(w, steps, out + k, maybe);
		} else {
			k += end_word(w, out + k, maybe, w->n_word);
			break;
		}
	}
	return k;
}

size_t subject_grams(struct span folded, struct subject_gram *out, size_t max)
{
	struct subject_walk w = subject_walk(folded);
	return subject_next_wanted(&w, all_wanted(), SIZE_MAX, out, max);
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

#define HASH_START 14695981039346656037u

static inline uint64_t hash_on(uint64_t h, char c)
{
	return (h ^ (unsigned char)c) * 1099511628211u;
}

static inline bool goes_on(struct span s, size_t i)
{
	if (i == s.n)
		return false;
	unsigned kind = octets.kind[(unsigned char)s.p[i]];
	return kind & MORE ? !is_wide(s, i) && !is_mark(s, i) : kind != 0;
}

/* What begins with digits: "725,000" is 725000, "14.95" one number, "3rd" a word. */
static uint32_t digits_hash(struct span s, size_t *at)
{
	size_t i = *at;
	uint64_t h = HASH_START;
	bool number = true;
	do {
		number = number && octets.kind[(unsigned char)s.p[i]] == DIGIT;
		h = hash_on(h, s.p[i++]);
		if (number && joins_digits(s, i))
			h = s.p[i++] == '.' ? hash_on(h, '.') : h;
	} while (goes_on(s, i));
	*at = i;
	return number ? mix(h) | SUBJECT_NUMBER : mix(h) & ~SUBJECT_NUMBER;
}

/* A word by its first letters, and by all that stands behind a digit in it. */
static inline uint32_t word_hash(struct span s, size_t *at)
{
	const unsigned char *from = (const unsigned char *)s.p + *at, *p = from;
	const unsigned char *end = (const unsigned char *)s.p + s.n;
	const unsigned char *stem = end - from > STEM_LETTERS ? from + STEM_LETTERS : end;
	uint64_t h = HASH_START, before = h;
	bool digit = false;
	do {
		before = h;
		h = hash_on(h, (char)*p++);
	} while (p < stem && octets.kind[*p] == LETTER);
	if (p == stem)
		while (p < end && octets.kind[*p] == LETTER)
			p++;
	if (p < end && octets.kind[*p]) /* more than letters of ASCII */
		for (size_t i = (size_t)(p - from) + *at; goes_on(s, i); i++, p++) {
			digit |= octets.kind[*p] == DIGIT;
			before = h;
			if (p < stem || digit)
				h = hash_on(h, (char)*p);
		}
	/* the plural of a short word */
	size_t n = (size_t)(p - from);
	if (!digit && n >= 4 && n <= STEM_LETTERS && p[-1] == 's')
		h = before;
	*at += n;
	return mix(h) & ~SUBJECT_NUMBER;
}

bool subject_next_term(struct span s, size_t *at, struct subject_gram *term_r, struct span *text_r)
{
	size_t i = *at;
	if (!octets.ready)
		fill_octets();
	for (;;) {
		while (i < s.n && !octets.kind[(unsigned char)s.p[i]])
			i++;
		size_t from = i;
		if (i >= s.n)
			break;
		unsigned kind = octets.kind[(unsigned char)s.p[i]];
		if (kind == MORE && is_wide(s, i)) {
			i += 3;
			i += joins_wide(s, i);
			if (i >= s.n || !is_wide(s, i))
				continue;
			uint64_t h = (wide_char(s, from) << 24 | wide_char(s, i)) *
				     0x9e3779b97f4a7c15u;
			*term_r = (struct subject_gram){mix(h) & ~SUBJECT_NUMBER, true};
			*text_r = span_sub(s, from, i + 3);
			*at = i;
			return true;
		}
		if (kind == MORE && is_mark(s, i)) {
			i += 3;
			continue;
		}
		uint32_t hash = kind == DIGIT ? digits_hash(s, &i) : word_hash(s, &i);
		if (i - from < 2 && kind != DIGIT)
			continue;
		*term_r = (struct subject_gram){hash, false};
		*text_r = (struct span){s.p + from, i - from};
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
