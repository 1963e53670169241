/* subject_score - see subject.h. One pass over the body with a small table of wanted n-grams. */
#include "analyze/subject.h"

#include <math.h>

#define MIN_BODY_GRAMS 40 /* a shorter body covers nothing */
#define MIN_GRAMS 4	  /* of the subject */

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

static bool is_letter(char c)
{
	return ascii_is_alpha(c) || ascii_is_digit(c) || (c & 0x80);
}

size_t subject_grams(struct span s, struct subject_gram *out, size_t max)
{
	struct gram_state g = {.letters = ' ', .n_letters = 1};
	size_t n = 0;
	for (size_t i = 0; i <= s.n && n + 3 + WORD_WEIGHT < max;) {
		if (g.n_word && (i == s.n || is_wide(s, i) || !is_letter(s.p[i]))) {
			for (int k = 0; k < WORD_WEIGHT && g.n_word >= 3; k++)
				out[n++] = (struct subject_gram){mix(g.word), false};
			g.word = g.n_word = 0;
		}
		if (i == s.n)
			break;
		if (is_wide(s, i)) {
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
		char c = is_letter(s.p[i]) ? s.p[i] : ' ';
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

/* Wanted n-grams: open addressing, a power of two with room. */
#define WANTED 4096u
struct wanted {
	uint32_t hash[WANTED];
	uint16_t count[WANTED];
	bool used[WANTED];
};

static size_t wanted_slot(const struct wanted *w, uint32_t hash)
{
	size_t i = hash % WANTED;
	while (w->used[i] && w->hash[i] != hash)
		i = (i + 1) % WANTED;
	return i;
}

static void want(struct wanted *w, uint32_t hash)
{
	size_t i = wanted_slot(w, hash);
	w->hash[i] = hash;
	w->used[i] = true;
}

/* log((tf + mu p) / (n + mu) / p); most n-grams of the cohort have tf = 0, and then p cancels. */
/* `missing`: its value for tf = 0. */
static double gram_value(const struct subject_table_head *head, const uint8_t *logs,
			 const struct wanted *w, uint32_t hash, double n, double missing)
{
	double mu = (double)head->mu, tf = w->count[wanted_slot(w, hash)];
	if (tf == 0)
		return missing;
	double p = exp(-(double)logs[hash % head->buckets] * (double)SUBJECT_LOG_STEP);
	return log((tf + mu * p) / (n + mu) / p);
}

static const struct subject_table_head *table_head(struct span t)
{
	const struct subject_table_head *head =
		(const struct subject_table_head *)(const void *)t.p;
	size_t grams = (size_t)SUBJECT_COHORT * SUBJECT_COHORT_GRAMS;
	if (t.n != sizeof(*head) + SUBJECT_BUCKETS + grams * sizeof(uint32_t) ||
	    head->magic != SUBJECT_MAGIC || head->buckets != SUBJECT_BUCKETS)
		return NULL;
	return head;
}

struct subject_score subject_judge(struct arena *a, struct span table, struct span bare,
				   struct span body)
{
	struct subject_score none = {.abstained = true}, s = none;
	const struct subject_table_head *head = table_head(table);
	struct wanted *w = ARENA_NEW(a, struct wanted);
	struct subject_gram *grams = ARENA_ARRAY(a, struct subject_gram, SUBJECT_GRAMS);
	body = span_sub(body, 0, SUBJECT_BODY_BYTES);
	struct subject_gram *text = ARENA_ARRAY(a, struct subject_gram, 2 * body.n + 8);
	if (!head || !w || !grams || !text)
		return none;
	const uint8_t *logs = (const uint8_t *)(head + 1);
	const uint32_t *cohort = (const uint32_t *)(const void *)(logs + SUBJECT_BUCKETS);
	size_t n_grams = subject_grams(bare, grams, SUBJECT_GRAMS);
	size_t n = subject_grams(body, text, 2 * body.n + 8);
	if (n_grams < MIN_GRAMS || n < MIN_BODY_GRAMS)
		return none;
	for (size_t i = 0; i < n_grams; i++)
		want(w, grams[i].hash);
	for (size_t k = 0; k < SUBJECT_COHORT; k++)
		for (size_t i = 0; i < head->cohort_n[k] && i < SUBJECT_COHORT_GRAMS; i++)
			want(w, cohort[k * SUBJECT_COHORT_GRAMS + i]);
	for (size_t i = 0; i < n; i++) {
		size_t slot = wanted_slot(w, text[i].hash);
		w->count[slot] += w->used[slot] && w->count[slot] < UINT16_MAX;
	}
	double missing = log((double)head->mu / ((double)n + (double)head->mu));
	double sum = 0, cohort_sum = 0, cohort_squares = 0;
	for (size_t i = 0; i < n_grams; i++)
		sum += gram_value(head, logs, w, grams[i].hash, (double)n, missing);
	for (size_t k = 0; k < SUBJECT_COHORT; k++) {
		double one = 0;
		size_t m = head->cohort_n[k];
		for (size_t i = 0; i < m; i++)
			one += gram_value(head, logs, w, cohort[k * SUBJECT_COHORT_GRAMS + i],
					  (double)n, missing);
		one /= m ? (double)m : 1;
		cohort_sum += one;
		cohort_squares += one * one;
	}
	double mean = cohort_sum / SUBJECT_COHORT;
	double variance = cohort_squares / SUBJECT_COHORT - mean * mean;
	s.abstained = false;
	s.grams = n_grams;
	s.raw = sum / (double)n_grams;
	/* Half of the way to the cohort's scale: its deviation is itself uncertain. */
	s.value = (s.raw - mean) / (0.5 + 0.5 * sqrt(variance > 0 ? variance : 0));
	return s;
}
