/* topic - see topic.h. */
#include "analyze/topic.h"

#include <math.h>

#include "analyze/subject.h"
#include "analyze/tables.h"

#define BITS (8 * TOPIC_BYTES)
#define TERMS_LEAST 20	  /* different ones; with fewer the bits are noise */
#define RARITY_LEAST 1.6  /* "you", "for": what one mail in five has is no topic */
/* What hardly any mail has is a name, a number, a misspelling: of one letter, not of its topic. */
#define RARE 3.5
#define RARE_WEIGHT 0.7
#define TEXT_BYTES 60000

static uint64_t mix(uint64_t h)
{
	h ^= h >> 31;
	h *= 0x9e3779b97f4a7c15u;
	h ^= h >> 29;
	h *= 0xbf58476d1ce4e5b9u;
	return h ^ h >> 32;
}

static void vote(float *sums, uint32_t term, float weight)
{
	for (unsigned i = 0; i < BITS; i += 64) {
		uint64_t word = mix((uint64_t)term << 11 | i);
		for (unsigned k = 0; k < 64; k++)
			sums[i + k] += word >> k & 1 ? weight : -weight;
	}
}

bool topic_of(const struct content *c, struct topic *t)
{
	const struct span texts[] = {c->shown.text.text, c->shown.alt.text};
	uint64_t seen[SUBJECT_TERM_BUCKETS / 64] = {0};
	float sums[BITS] = {0};
	size_t n = 0;
	for (size_t i = 0; i < 2; i++) {
		struct span text = span_sub(texts[i], 0, TEXT_BYTES), word;
		struct subject_gram term;
		for (size_t at = 0; subject_next_term(text, &at, &term, &word);) {
			uint32_t bucket = term.hash % SUBJECT_TERM_BUCKETS;
			double rarity = subject_rarity(table_ngrams(), term.hash);
			if (seen[bucket / 64] >> bucket % 64 & 1 || rarity < RARITY_LEAST)
				continue;
			seen[bucket / 64] |= 1ull << bucket % 64;
			vote(sums, term.hash, (float)(rarity > RARE ? RARE_WEIGHT : rarity));
			n++;
		}
	}
	*t = (struct topic){{0}};
	for (size_t i = 0; i < BITS; i++)
		t->bits[i / 8] |= (unsigned char)((sums[i] > 0) << i % 8);
	return n >= TERMS_LEAST;
}

double topic_cosine(const struct topic *a, const struct topic *b)
{
	unsigned differ = 0;
	for (size_t i = 0; i < TOPIC_BYTES; i++)
		differ += (unsigned)__builtin_popcount((unsigned)(a->bits[i] ^ b->bits[i]));
	return cos(M_PI * differ / BITS);
}

bool topic_read(struct span hex, struct topic *t)
{
	if (hex.n != TOPIC_DIGITS)
		return false;
	*t = (struct topic){{0}};
	for (size_t i = 0; i < hex.n; i++) {
		char c = ascii_lower(hex.p[i]);
		bool letter = c >= 'a' && c <= 'f';
		if (!letter && !ascii_is_digit(c))
			return false;
		unsigned v = (unsigned)(letter ? c - 'a' + 10 : c - '0');
		t->bits[i / 2] = (unsigned char)(t->bits[i / 2] << 4 | v);
	}
	return true;
}
