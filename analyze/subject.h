/*
 * subject - the n-grams behind subject.consistency, shared with its trainer.
 *
 * The score asks: does the body make the subject's character n-grams likelier than mail in
 * general does? For each n-gram of the subject log((tf + mu p) / (n + mu) / p), where tf counts
 * it in the body of n n-grams and p is its share in the background table; the mean, less the
 * mean that a cohort of other subjects gets from the same body, over their deviation. Letters
 * make 4-grams across blanks and whole words, ideographs 1- to 3-grams.
 *
 * The file: struct subject_table_head, `buckets` bytes of quantised log p, then for each subject
 * of the cohort its n-gram hashes.
 */
#pragma once

#include "analyze/content_parts.h"

#define SUBJECT_MAGIC 0x314e5347u /* "GSN1" */
#define SUBJECT_BUCKETS (1u << 18)
#define SUBJECT_COHORT 48
#define SUBJECT_COHORT_GRAMS 24 /* of one cohort subject */
#define SUBJECT_GRAMS 200       /* of the subject that is judged */
#define SUBJECT_BODY_BYTES 12000 /* of the body that is read */
#define SUBJECT_LOG_STEP 0.0625f /* byte b stands for log p = -b * step */

struct subject_table_head {
	uint32_t magic, buckets, cohort, cohort_grams;
	float mu;
	uint32_t cohort_n[SUBJECT_COHORT];
};

struct subject_gram {
	uint32_t hash;
	bool wide; /* of ideographs */
};

/* N-grams of folded text, at most `max`. Returns how many. */
size_t subject_grams(struct span folded, struct subject_gram *out, size_t max);
/* The subject without Re:, [list], AD marks and their like, folded. */
struct span subject_bare(struct arena *a, struct span subject);
/* What the body is compared by: visible text, alternative texts, hidden text. */
struct span subject_body(const struct content *c);

struct subject_score {
	bool abstained;
	double value; /* normalised; higher is more consistent */
	double raw;
	size_t grams;
};
/* `table` in the file's form. */
struct subject_score subject_judge(struct arena *a, struct span table, struct span bare,
				   struct span body);
