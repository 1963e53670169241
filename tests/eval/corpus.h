/*
 * corpus - the mails that the evaluations read: files of ../shared/data with what they stand
 * for, and mails of our own (own_mails.txt).
 *
 * Labels come from folders and file names; `source` is what must not stand on both sides of a
 * split: the sender's domain, the template family, the mailing list.
 */
#pragma once

#include "analyze/content_parts.h"

enum label { LABEL_OTHER, LABEL_COMMERCIAL, LABEL_TRANSACTIONAL, LABEL_MARKETING /* kind not told */ };

struct sample {
	const char *path; /* below the data folder; "own:N" for our own */
	const char *set;  /* "newsletters", "hard-ham", ... */
	enum label label;
	uint32_t source; /* hash */
	struct span octets;
};

struct corpus {
	struct sample *v;
	size_t n, cap;
	const char *root;
};

/* Reads the list of files under `root`, and the mails of `own` (NULL: none). */
int corpus_load(struct corpus *c, const char *root, const char *own);
/* Parses and reads sample `i`; NULL when memory is out. `m` and what comes back live in `a`. */
struct content *corpus_read(const struct corpus *c, size_t i, struct message *m, struct arena *a);
/* Which of `k` parts the source of sample `i` is in. */
unsigned corpus_fold(const struct corpus *c, size_t i, unsigned k);
