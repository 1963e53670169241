/*
 * subject_train - trains and measures subject.consistency by swapped subjects.
 *
 *     subject_train DATA [TABLE]
 *
 * True pairs are the mails as they are, one for each distinct subject; a swapped pair has the
 * subject of another mail of the same set: any (random, RANDOM_ROUNDS for each mail), that of the
 * nearest body (hard), or one of the same source. Sources are in FOLDS folds; background, odds
 * and weights that judge a pair come from the folds that hold neither its body nor its
 * subject. Mails whose bodies are alike (cosine over 0.6) or whose subjects share a quarter of
 * their n-grams are no swap. AUC with its 95 % interval (Hanley and McNeil, 1982), and the share
 * of swaps found at 1 % false alarms.
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "analyze/subject.h"
#include "tests/eval/corpus.h"

#define DIMENSIONS 1024
#define MU 100.0f
#define FOLDS 5

struct pair {
	struct span bare;
	struct subject_texts texts;
	const char *set;
	uint32_t source;
	unsigned fold;
	float vector[DIMENSIONS];
	uint32_t subject;
};

static struct pair *pairs;
static size_t n_pairs;
static struct arena keep;
#define SEED 88172645463325252u
static uint64_t seed = SEED;

static uint64_t next_random(void)
{
	seed ^= seed << 13;
	seed ^= seed >> 7;
	seed ^= seed << 17;
	return seed;
}

static uint32_t text_hash(struct span s)
{
	uint64_t h = 14695981039346656037u;
	for (size_t i = 0; i < s.n; i++)
		h = (h ^ (unsigned char)s.p[i]) * 1099511628211u;
	return (uint32_t)(h >> 32);
}

static bool known_subject(uint32_t subject, const char *set)
{
	for (size_t i = 0; i < n_pairs; i++)
		if (pairs[i].subject == subject && strcmp(pairs[i].set, set) == 0)
			return true;
	return false;
}

static void load(const struct corpus *c)
{
	pairs = calloc(c->n, sizeof(*pairs));
	for (size_t i = 0; i < c->n; i++) {
		struct arena a;
		struct message m;
		arena_init(&a, LIMIT_ARENA_BYTES);
		struct content *content = corpus_read(c, i, &m, &a);
		if (content && m.subject.p && strcmp(c->v[i].set, "templates") != 0) {
			struct span bare = subject_bare(&a, m.subject);
			uint32_t subject = text_hash(bare);
			struct subject_texts t = subject_texts(content);
			t.body = arena_copy(&keep, span_sub(t.body, 0, SUBJECT_BODY_BYTES));
			t.title = arena_copy(&keep, t.title);
			t.names = arena_copy(&keep, t.names);
			if (bare.n >= 4 && !known_subject(subject, c->v[i].set))
				pairs[n_pairs++] = (struct pair){.bare = arena_copy(&keep, bare),
								 .texts = t,
								 .set = c->v[i].set,
								 .source = c->v[i].source,
								 .fold = corpus_fold(c, i, FOLDS),
								 .subject = subject};
		}
		arena_free(&a);
	}
}

/* --- the table -------------------------------------------------------------- */

/* The folds that a table knows nothing of, as bits. */
static bool is_out(const struct pair *p, unsigned out)
{
	return out >> p->fold & 1;
}

/* What is counted of terms in the bodies that a table is made of. */
struct term_counts {
	uint32_t *mails; /* that hold a term of that bucket */
	double n;	 /* mails */
	struct {
		double n, terms; /* mails in letters, in ideographs; terms of them all */
	} script[2];
};

static void count_terms(unsigned out, struct subject_gram *g, struct term_counts *c)
{
	size_t *last = calloc(SUBJECT_TERM_BUCKETS, sizeof(*last));
	*c = (struct term_counts){.mails = calloc(SUBJECT_TERM_BUCKETS, sizeof(*c->mails))};
	for (size_t i = 0; i < n_pairs; i++) {
		if (is_out(&pairs[i], out))
			continue;
		size_t n = subject_terms(pairs[i].texts.body, g, 2 * SUBJECT_BODY_BYTES + 8);
		size_t wides = 0;
		for (size_t k = 0; k < n; k++) {
			size_t bucket = g[k].hash % SUBJECT_TERM_BUCKETS;
			c->mails[bucket] += last[bucket] != i + 1;
			last[bucket] = i + 1;
			wides += g[k].wide;
		}
		bool wide = wides * 2 > n;
		c->n++;
		c->script[wide].n++;
		c->script[wide].terms += (double)n;
	}
	free(last);
}

/* log(mails / mails that hold the term), `less` of them not counted. */
static double rarity_of(const struct term_counts *c, size_t bucket, bool less)
{
	return log((c->n + 1) / (c->mails[bucket] - (less ? 1 : 0) + 0.5));
}

/* The terms of one body, as bits of their hashes. */
#define BODY_BITS (1u << 22)
static uint64_t body_bits[BODY_BITS / 64];

static void set_body(const struct subject_gram *g, size_t n, bool in)
{
	for (size_t k = 0; k < n; k++) {
		uint32_t bit = g[k].hash % BODY_BITS;
		if (in)
			body_bits[bit / 64] |= 1ull << bit % 64;
		else
			body_bits[bit / 64] = 0;
	}
}

static bool in_body(uint32_t hash)
{
	return body_bits[hash % BODY_BITS / 64] >> hash % 64 & 1;
}

/* How often the terms of subjects stand in their own bodies and in others', by the chance that
 * they stand there. The mail that a subject is from is not counted for its chance. */
static void make_odds(unsigned out, const struct term_counts *c, struct subject_gram *g,
		      struct subject_table_head *head, uint8_t *kept)
{
	enum { OTHERS = 3 };
	double seen[2][2][SUBJECT_CHANCES] = {{{0}}}, hits[2][2][SUBJECT_CHANCES] = {{{0}}};
	struct subject_gram terms[SUBJECT_TERMS];
	for (size_t wide = 0; wide < 2; wide++) {
		double mails = c->script[wide].n;
		head->mean_terms[wide] = (float)(c->script[wide].terms / mails);
		head->script_rarity[wide] = (float)log(c->n / mails);
	}
	for (size_t i = 0; i < n_pairs; i++) {
		if (is_out(&pairs[i], out))
			continue;
		size_t n = subject_terms(pairs[i].texts.body, g, 2 * SUBJECT_BODY_BYTES + 8);
		set_body(g, n, true);
		for (size_t tries = 0, others = 0; others <= OTHERS && tries < 200; tries++) {
			bool own = tries == 0;
			const struct pair *p = own ? &pairs[i] : &pairs[next_random() % n_pairs];
			if (is_out(p, out) || strcmp(p->set, pairs[i].set) != 0 ||
			    (!own && p == &pairs[i]))
				continue;
			others++;
			size_t m = subject_terms(p->bare, terms, SUBJECT_TERMS);
			for (size_t k = 0; k < m; k++) {
				size_t bucket = terms[k].hash % SUBJECT_TERM_BUCKETS;
				bool hit = in_body(terms[k].hash), wide = terms[k].wide;
				/* an own body without the term has not been counted for it */
				bool less = c->mails[bucket] && (!own || hit);
				double rarity = rarity_of(c, bucket, less) -
						(double)head->script_rarity[wide];
				size_t step = subject_chance(fmax(rarity, 0), (double)n,
							     (double)head->mean_terms[wide]);
				seen[own][wide][step]++;
				hits[own][wide][step] += hit;
				unsigned high = kept[bucket] >> 4, low = kept[bucket] & 15;
				if (own && hit && high < 15)
					kept[bucket] += 16;
				else if (own && !hit && low < 15)
					kept[bucket]++;
			}
		}
		set_body(g, n, false);
	}
	for (size_t wide = 0; wide < 2; wide++)
		for (size_t i = 0; i < SUBJECT_CHANCES; i++) {
			double other = (hits[0][wide][i] + 0.3) / (seen[0][wide][i] + 1.5);
			double own = (hits[1][wide][i] + 0.5) / (seen[1][wide][i] + 2);
			head->other[wide][i] = (float)(other < 0.97 ? other : 0.97);
			head->own[wide][i] = (float)(own < 0.98 ? own : 0.98);
		}
}

static struct span make_table(unsigned out)
{
	size_t bytes =
		sizeof(struct subject_table_head) + SUBJECT_BUCKETS + 2 * SUBJECT_TERM_BUCKETS;
	char *table = arena_alloc(&keep, bytes);
	struct subject_table_head *head = (struct subject_table_head *)(void *)table;
	uint8_t *logs = (uint8_t *)(head + 1);
	uint8_t *rarity = logs + SUBJECT_BUCKETS;
	uint8_t *kept = rarity + SUBJECT_TERM_BUCKETS;
	uint32_t *count = calloc(SUBJECT_BUCKETS, sizeof(*count));
	struct subject_gram *g = calloc(2 * SUBJECT_BODY_BYTES + 8, sizeof(*g));
	double total = 0;
	struct term_counts terms;
	memset(table, 0, bytes);
	*head = (struct subject_table_head){.magic = SUBJECT_MAGIC,
					    .buckets = SUBJECT_BUCKETS,
					    .term_buckets = SUBJECT_TERM_BUCKETS,
					    .measures = SUBJECT_MEASURES,
					    .mu = MU};
	for (size_t i = 0; i < n_pairs; i++) {
		if (is_out(&pairs[i], out))
			continue;
		/* 6,000 n-grams of each body: no long digest may make up the language */
		size_t n = subject_grams(pairs[i].texts.body, g, 2 * SUBJECT_BODY_BYTES + 8);
		for (size_t k = 0; k < n && k < 6000; k++, total++)
			count[g[k].hash % SUBJECT_BUCKETS]++;
	}
	for (size_t i = 0; i < SUBJECT_BUCKETS; i++) {
		double b = -log((count[i] + 0.3) / (total + 0.3 * SUBJECT_BUCKETS)) /
			   (double)SUBJECT_LOG_STEP;
		logs[i] = b > 255 ? 255 : (uint8_t)b;
	}
	count_terms(out, g, &terms);
	for (size_t i = 0; i < SUBJECT_TERM_BUCKETS; i++)
		rarity[i] = (uint8_t)(rarity_of(&terms, i, false) / (double)SUBJECT_LOG_STEP);
	make_odds(out, &terms, g, head, kept);
	free(terms.mails);
	free(count);
	free(g);
	return (struct span){table, bytes};
}

/* --- swaps -------------------------------------------------------------------- */

static void make_vectors(void)
{
	static float frequency[DIMENSIONS * 64];
	struct subject_gram *g = calloc(2 * SUBJECT_BODY_BYTES + 8, sizeof(*g));
	for (size_t i = 0; i < n_pairs; i++) {
		size_t n = subject_grams(pairs[i].texts.body, g, 2 * SUBJECT_BODY_BYTES + 8);
		for (size_t k = 0; k < n; k++)
			frequency[g[k].hash % (DIMENSIONS * 64)]++;
	}
	for (size_t i = 0; i < n_pairs; i++) {
		size_t n = subject_grams(pairs[i].texts.body, g, 2 * SUBJECT_BODY_BYTES + 8);
		double norm = 0;
		for (size_t k = 0; k < n; k++) {
			float sign = g[k].hash >> 31 ? 1 : -1;
			pairs[i].vector[g[k].hash % DIMENSIONS] +=
				sign / sqrtf(frequency[g[k].hash % (DIMENSIONS * 64)]);
		}
		for (size_t k = 0; k < DIMENSIONS; k++)
			norm += (double)pairs[i].vector[k] * (double)pairs[i].vector[k];
		for (size_t k = 0; k < DIMENSIONS && norm > 0; k++)
			pairs[i].vector[k] /= (float)sqrt(norm);
	}
	free(g);
}

static double cosine(const struct pair *a, const struct pair *b)
{
	float sum = 0;
	for (size_t k = 0; k < DIMENSIONS; k++)
		sum += a->vector[k] * b->vector[k];
	return (double)sum;
}

static bool alike(const struct pair *a, const struct pair *b)
{
	struct subject_gram x[SUBJECT_GRAMS], y[SUBJECT_GRAMS];
	size_t n = subject_grams(a->bare, x, SUBJECT_GRAMS),
	       m = subject_grams(b->bare, y, SUBJECT_GRAMS);
	size_t shared = 0;
	for (size_t i = 0; i < n; i++)
		for (size_t k = 0; k < m; k++)
			if (x[i].hash == y[k].hash) {
				shared++;
				break;
			}
	return shared * 4 > n || cosine(a, b) > 0.6;
}

/* The mail whose subject body `i` gets; SIZE_MAX: none. */
static size_t swap_for(const size_t *at, size_t n, size_t i, bool hard)
{
	size_t best = SIZE_MAX;
	double nearest = -2;
	for (size_t tries = 0; !hard && tries < 50; tries++) {
		size_t k = next_random() % n;
		if (k != i && !alike(&pairs[at[i]], &pairs[at[k]]))
			return k;
	}
	for (size_t k = 0; hard && k < n; k++) {
		double d = k == i ? -2 : cosine(&pairs[at[i]], &pairs[at[k]]);
		if (d > nearest && !alike(&pairs[at[i]], &pairs[at[k]])) {
			nearest = d;
			best = k;
		}
	}
	return best;
}

static size_t same_source(const size_t *at, size_t n, size_t i)
{
	size_t start = next_random() % n;
	for (size_t step = 0; step < n; step++) {
		size_t k = (start + step) % n;
		if (k != i && pairs[at[k]].source == pairs[at[i]].source &&
		    !alike(&pairs[at[i]], &pairs[at[k]]))
			return k;
	}
	return SIZE_MAX;
}

static int ascending(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;
	return x < y ? -1 : x > y;
}

/* Each pair is there `rounds` times, with other swaps. */
static void print_auc(const char *name, const double *t, size_t nt, const double *f, size_t nf,
		      double rounds)
{
	double wins = 0, found = 0, below = 0;
	double limit = t[nt / 100];
	for (size_t i = 0; i < nf; i++) {
		for (size_t k = 0; k < nt; k++)
			wins += t[k] > f[i] ? 1 : t[k] == f[i] ? 0.5 : 0;
		found += f[i] < limit;
		below += f[i] < 0;
	}
	double auc = wins / ((double)nt * (double)nf), q1 = auc / (2 - auc),
	       q2 = 2 * auc * auc / (1 + auc);
	double mt = (double)nt / rounds, mf = (double)nf / rounds;
	double se = sqrt((auc * (1 - auc) + (mt - 1) * (q1 - auc * auc) +
			  (mf - 1) * (q2 - auc * auc)) /
			 (mt * mf));
	printf("  %-7s AUC %.3f [%.3f %.3f]  found at 1 %% false alarms %.0f %%, "
	       "below 0 %.0f %%\n",
	       name, auc,
	       auc - 1.96 * se, auc + 1.96 * se < 1 ? auc + 1.96 * se : 1,
	       100 * found / (double)nf, 100 * below / (double)nf);
}

/* --- weights -------------------------------------------------------------------- */

struct example {
	float m[SUBJECT_MEASURES];
	float weight;
	unsigned folds; /* of body and subject, as bits */
	bool own, wide;
};

static struct example *examples;
static size_t n_examples;

/* The table that judges the folds `a` and `b`. Tables differ a little in scale, so a true pair is
 * judged beside each of its swaps by the table of that swap. */
static struct span tables[FOLDS][FOLDS];

static struct subject_score judge_pair(struct arena *a, const struct pair *p,
				       const struct pair *from, unsigned fold)
{
	return subject_judge(a, tables[p->fold][fold], from->bare, &p->texts);
}

static void add_example(const struct pair *p, const struct pair *from, unsigned fold, float weight)
{
	struct arena a;
	arena_init(&a, LIMIT_ARENA_BYTES);
	struct subject_score s = judge_pair(&a, p, from, fold);
	if (!s.abstained) {
		struct example *e = &examples[n_examples++];
		*e = (struct example){.weight = weight,
				      .folds = 1u << p->fold | 1u << fold,
				      .own = p == from,
				      .wide = s.wide};
		memcpy(e->m, s.measure, sizeof(e->m));
	}
	arena_free(&a);
}

/* True pairs and their swaps, each set counting alike. */
static void make_examples(void)
{
	static const struct {
		const char *set;
		float weight;
	} sets[] = {{"newsletters", 1.5f}, {"hard-ham", 1.5f}, {"spam", 1}, {"zh-spam", 1},
		    {"ham", 0.7f},	   {"zh-normal", 0.3f}};
	size_t *at = calloc(n_pairs, sizeof(*at));
	examples = calloc(8 * n_pairs, sizeof(*examples));
	for (size_t s = 0; s < sizeof(sets) / sizeof(sets[0]); s++) {
		size_t n = 0;
		for (size_t i = 0; i < n_pairs; i++)
			if (strcmp(pairs[i].set, sets[s].set) == 0)
				at[n++] = i;
		float w = sets[s].weight * 300 / (float)(n ? n : 1);
		for (size_t i = 0; i < n; i++) {
			const struct pair *p = &pairs[at[i]];
			for (int kind = 0; kind < 4; kind++) {
				size_t k = swap_for(at, n, i, kind == 3);
				float share = kind == 3 ? w / 2 : w / 6;
				if (k == SIZE_MAX)
					continue;
				const struct pair *from = &pairs[at[k]];
				add_example(p, from, from->fold, share);
				add_example(p, p, from->fold, share);
			}
		}
	}
	free(at);
}

#define NEWTON_STEPS 9
#define WEIGHT_DECAY 0.03

/* Solves the upper triangle of the positive definite `h` for `g`, in place (Cholesky). */
static void solve(double h[SUBJECT_MEASURES][SUBJECT_MEASURES], double *g)
{
	for (size_t i = 0; i < SUBJECT_MEASURES; i++) {
		double root = sqrt(h[i][i]);
		for (size_t k = i; k < SUBJECT_MEASURES; k++)
			h[i][k] /= root;
		for (size_t r = i + 1; r < SUBJECT_MEASURES; r++)
			for (size_t k = r; k < SUBJECT_MEASURES; k++)
				h[r][k] -= h[i][r] * h[i][k];
		g[i] /= root;
		for (size_t r = i + 1; r < SUBJECT_MEASURES; r++)
			g[r] -= h[i][r] * g[i];
	}
	for (size_t i = SUBJECT_MEASURES; i-- > 0;) {
		for (size_t k = i + 1; k < SUBJECT_MEASURES; k++)
			g[i] -= h[i][k] * g[k];
		g[i] /= h[i][i];
	}
}

/* One step of Newton's method towards the weights of a logistic model; the penalty of a weight
 * goes with the deviation of its measure, half of the way to that of standardised ones. */
static void newton_step(unsigned out, bool wide, double *w)
{
	static double h[SUBJECT_MEASURES][SUBJECT_MEASURES];
	double g[SUBJECT_MEASURES] = {0}, mean[SUBJECT_MEASURES] = {0},
	       square[SUBJECT_MEASURES] = {0}, total = 1e-9;
	memset(h, 0, sizeof(h));
	for (size_t i = 0; i < n_examples; i++) {
		const struct example *e = &examples[i];
		double s = 0, weight = (double)e->weight;
		if (e->wide != wide || e->folds & out)
			continue;
		for (size_t k = 0; k < SUBJECT_MEASURES; k++)
			s += w[k] * (double)e->m[k];
		double p = 1 / (1 + exp(-s)), d = (p - e->own) * weight, d2 = p * (1 - p) * weight;
		for (size_t k = 0; k < SUBJECT_MEASURES; k++) {
			double m = (double)e->m[k];
			g[k] += d * m;
			mean[k] += weight * m;
			square[k] += weight * m * m;
			for (size_t r = 0; r <= k; r++)
				h[r][k] += d2 * m * (double)e->m[r];
		}
		total += weight;
	}
	for (size_t k = 0; k < SUBJECT_MEASURES; k++) {
		double variance = square[k] / total - mean[k] * mean[k] / total / total;
		double penalty = k == SUBJECT_BIAS ? 0 : WEIGHT_DECAY * sqrt(fmax(variance, 0));
		g[k] = g[k] / total + penalty * w[k];
		for (size_t r = 0; r <= k; r++)
			h[r][k] /= total;
		h[k][k] += penalty + 1e-6;
	}
	solve(h, g);
	for (size_t k = 0; k < SUBJECT_MEASURES; k++)
		w[k] -= g[k];
}

/* Of the examples of one script that are not of `out`. */
static void fit_weights(unsigned out, bool wide, float *weights)
{
	double w[SUBJECT_MEASURES] = {0};
	for (int step = 0; step < NEWTON_STEPS; step++)
		newton_step(out, wide, w);
	for (size_t k = 0; k < SUBJECT_MEASURES; k++)
		weights[k] = (float)w[k];
}

static void set_weights(struct span table, unsigned out)
{
	struct subject_table_head *head = (struct subject_table_head *)(void *)(uintptr_t)table.p;
	fit_weights(out, false, head->weight[0]);
	fit_weights(out, true, head->weight[1]);
}

static bool judged(const struct pair *p, const struct pair *from, unsigned fold, double *value_r)
{
	struct arena a;
	arena_init(&a, LIMIT_ARENA_BYTES);
	struct subject_score s = judge_pair(&a, p, from, fold);
	arena_free(&a);
	*value_r = s.value;
	return !s.abstained;
}

static void measure(const char *name, const char *const *sets)
{
	/* One random subject a mail leaves .004 to chance. */
	enum { RANDOM, HARD, SOURCE, KINDS, RANDOM_ROUNDS = 6 };
	static const char *const kinds[] = {"random", "hard", "source"};
	size_t *at = calloc(n_pairs, sizeof(*at)), n = 0;
	double *t = calloc(RANDOM_ROUNDS * n_pairs, sizeof(*t)),
	       *f = calloc(RANDOM_ROUNDS * n_pairs, sizeof(*f));
	seed = SEED;
	for (size_t i = 0; i < n_pairs; i++)
		for (const char *const *s = sets; *s; s++)
			if (strcmp(*s, pairs[i].set) == 0)
				at[n++] = i;
	for (int kind = 0; kind < KINDS; kind++) {
		size_t nt = 0, nf = 0, below = 0, rounds = kind == RANDOM ? RANDOM_ROUNDS : 1;
		for (size_t i = 0; i < n * rounds; i++) {
			const struct pair *p = &pairs[at[i % n]];
			size_t k = kind == SOURCE ? same_source(at, n, i % n)
						  : swap_for(at, n, i % n, kind == HARD);
			if (k == SIZE_MAX)
				continue;
			const struct pair *from = &pairs[at[k]];
			nt += judged(p, p, from->fold, &t[nt]);
			nf += judged(p, from, from->fold, &f[nf]);
		}
		if (nt <= 10 || nf <= 10)
			continue;
		qsort(t, nt, sizeof(*t), ascending);
		while (below < nt && t[below] < 0)
			below++;
		if (kind == RANDOM)
			printf("%s: n %zu, answered %zu; 1 %% of true pairs are below %.2f, 5 %% "
			       "below %.2f; below 0 %.1f %%\n",
			       name, n, nt / rounds, t[nt / 100], t[nt / 20],
			       100 * (double)below / (double)nt);
		print_auc(kinds[kind], t, nt, f, nf, (double)rounds);
	}
	free(at);
	free(t);
	free(f);
}

int main(int argc, char **argv)
{
	struct corpus corpus;
	arena_init(&keep, (size_t)2 << 30);
	if (argc < 2 || corpus_load(&corpus, argv[1], NULL) < 0) {
		fprintf(stderr, "usage: subject_train DATA [TABLE]\n");
		return 64;
	}
	load(&corpus);
	make_vectors();
	for (unsigned i = 0; i < FOLDS; i++)
		for (unsigned k = 0; k <= i; k++)
			tables[i][k] = tables[k][i] = make_table(1u << i | 1u << k);
	make_examples();
	for (unsigned i = 0; i < FOLDS; i++)
		for (unsigned k = 0; k <= i; k++)
			set_weights(tables[i][k], 1u << i | 1u << k);
	measure("hard-ham newsletters", (const char *const[]){"hard-ham", NULL});
	measure("newsletters", (const char *const[]){"newsletters", NULL});
	measure("Chinese spam", (const char *const[]){"zh-spam", NULL});
	measure("English spam and hard-ham", (const char *const[]){"spam", "hard-ham", NULL});
	measure("list mail", (const char *const[]){"ham", NULL});
	if (argc < 3)
		return 0;
	struct span all = make_table(0);
	set_weights(all, 0);
	FILE *out = fopen(argv[2], "wb");
	bool ok = out && fwrite(all.p, all.n, 1, out) == 1;
	ok = out && fclose(out) == 0 && ok;
	if (!ok)
		perror(argv[2]);
	return !ok;
}
