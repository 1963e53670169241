/*
 * subject - what stands behind subject.consistency, shared with its trainer.
 *
 * The score asks: does the body make the Subject's words likelier than mail in general does?
 * Measured are a language model (for each n-gram of the subject log((tf + mu p) / (n + mu) / p),
 * where tf counts it in the body of n n-grams and p is its share in the background; the mean, in
 * the body and in its first lines), what the mail covers of the subject's terms, weighted by their
 * rarity, pairs of words, numbers, and the odds of each term: how often the own body has it
 * ("invoice" nearly always, "important" seldom), against the chance that a body of this length has
 * it anyway. A logistic model, one for each kind of script, weighs these measures; it is trained
 * on swapped subjects. More measures made it worse: their weights are learnt from few mails.
 * What is hung on a subject to make it unlike others ("rates 6269", "news [t4are]") counts only
 * where the body has it.
 * Letters make 4-grams across blanks and whole words, ideographs 1- to 3-grams; terms are the
 * first letters of words, numbers without their commas, and pairs of ideographs.
 *
 * The file: struct subject_table_head, SUBJECT_BUCKETS bytes of quantised log p of n-grams,
 * SUBJECT_TERM_BUCKETS bytes of quantised rarity of terms, as many of how often subjects with the
 * term had it in their body (high nibble) or not (low nibble).
 */
#pragma once

#include "analyze/content_parts.h"

#define SUBJECT_MAGIC 0x354e5347u /* "GSN5" */
#define SUBJECT_BUCKETS (1u << 18)
#define SUBJECT_TERM_BUCKETS (1u << 16)
#define SUBJECT_GRAMS 200       /* of the subject that is judged */
#define SUBJECT_TERMS 60
#define SUBJECT_MISSED 6 /* words that explain a low score */
#define SUBJECT_BODY_BYTES 12000 /* of the body that is read */
#define SUBJECT_LOG_STEP 0.0625f /* byte b stands for log p = -b * step, rarity b * step */

/* The measures; subject_score.c says how each is made. */
enum subject_measure {
	SUBJECT_BIAS, SUBJECT_MODEL, SUBJECT_MODEL_EARLY, SUBJECT_BODY_LENGTH, SUBJECT_PAIRS,
	SUBJECT_COVERED, SUBJECT_COVERED_AND_LENGTH, SUBJECT_COVERED_NAMES, SUBJECT_SUM_COVERED,
	SUBJECT_SUM_MISSED, SUBJECT_TIMES, SUBJECT_NUMBERS_COVERED, SUBJECT_FIGURES_COVERED,
	SUBJECT_FIGURES_MISSED, SUBJECT_ODDS_MOST, SUBJECT_ODDS_LEAST, SUBJECT_ODDS_ANYWHERE,
	SUBJECT_ODDS_TITLE, SUBJECT_HAS_TITLE, SUBJECT_MEASURES
};

/* Steps of the chance that a body has a term. */
#define SUBJECT_CHANCES 13

struct subject_table_head {
	uint32_t magic, buckets, term_buckets, measures;
	float mu;
	float weight[2][SUBJECT_MEASURES]; /* of subjects in letters, in ideographs */
	float mean_terms[2];		   /* of a body */
	float script_rarity[2];		   /* log(mails / mails in that script) */
	/* For each step of chance, in letters and in ideographs: how often a subject's own body
	 * has the term, how often another's. */
	float own[2][SUBJECT_CHANCES], other[2][SUBJECT_CHANCES];
};

struct subject_gram {
	uint32_t hash;
	bool wide; /* of ideographs */
};

/* Of a term that is a number. */
#define SUBJECT_NUMBER 0x80000000u

/* An octet of folded text that is in a word. */
static inline bool subject_letter(char c)
{
	return ascii_is_alpha(c) || ascii_is_digit(c) || (c & 0x80);
}

/* N-grams of folded text, at most `max`. Returns how many. */
size_t subject_grams(struct span folded, struct subject_gram *out, size_t max);

#define SUBJECT_PIECE_LEAST 6
/* A bit for the upper half of each hash that is wanted. */
#define SUBJECT_MAYBE_BITS 65536u
static inline bool subject_maybe(const uint64_t *maybe, uint32_t hash)
{
	return maybe[hash >> 22] >> (hash >> 16) % 64 & 1;
}

/* The same of a long text, a piece at a time. */
struct subject_walk {
	struct span text;
	size_t at;
	size_t n;	     /* n-grams so far */
	uint64_t word, wide; /* hash of the word so far; the last three ideographs */
	uint32_t letters;    /* the last four */
	unsigned n_word, n_wide, n_letters;
};
struct subject_walk subject_walk(struct span folded);
/* The next ones whose bit in `maybe` is set, at most `max`, which is SUBJECT_PIECE_LEAST or more,
 * while w->n is at most `until`; 0 at the end. */
size_t subject_next_wanted(struct subject_walk *w, const uint64_t *maybe, size_t until,
			   struct subject_gram *out, size_t max);
/* The next term of folded text at or behind *at: its hash, `wide` for ideographs, and where it
 * stands. False at the end. */
bool subject_next_term(struct span folded, size_t *at, struct subject_gram *term_r,
		       struct span *text_r);
/* Terms of folded text. Returns how many. */
size_t subject_terms(struct span folded, struct subject_gram *out, size_t max);
/* log(mails / mails that have the term); 0 without a table. */
double subject_rarity(struct span table, uint32_t term);
/* The step of the chance that a body of so many terms has a term of that rarity (in octets). */
size_t subject_chance(double rarity, double terms, double mean_terms);
/* The subject without Re:, [list], AD marks and their like, folded. */
struct span subject_bare(struct arena *a, struct span subject);

/* What a subject is held against, folded. */
struct subject_texts {
	struct span body;  /* alternative texts, preheader, visible text */
	struct span title; /* of the HTML */
	struct span names; /* sender and recipient, as From and To have them */
};

struct subject_texts subject_texts(const struct content *c);

struct subject_score {
	bool abstained;
	bool wide;    /* the subject is in ideographs */
	double value; /* log odds that the subject is the body's own, less SUBJECT_OFFSET */
	float measure[SUBJECT_MEASURES];
	struct span missed[SUBJECT_MISSED]; /* words of the subject that stand in none of the texts */
	size_t n_missed;
};

/* The log odds (own : swapped) under which a subject is called foreign: 1 in 100 newsletters,
 * whose subjects are often vague, is below. */
#define SUBJECT_OFFSET (-2.25)

/* `table` in the file's form. */
struct subject_score subject_judge(struct arena *a, struct span table, struct span bare,
				   const struct subject_texts *texts);
