/*
 * subject_train - trains and measures subject.consistency by swapped subjects.
 *
 *     subject_train DATA [TABLE]
 *
 * True pairs are the mails as they are, one for each distinct subject; a swapped pair has the
 * subject of another mail of the same set: any (random), that of the nearest body (hard), or one
 * of the same source. Background, cohort and weights come from the half of the sources that is
 * not measured. Mails whose bodies are alike (cosine over 0.6) or whose subjects share a quarter
 * of their n-grams are no swap. AUC with its 95 % interval (Hanley and McNeil, 1982), and the
 * share of swaps found at 1 % false alarms.
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "analyze/subject.h"
#include "tests/eval/corpus.h"

#define DIMENSIONS 1024
#define MU 100.0f

struct pair {
	struct span bare;
	struct subject_texts texts;
	const char *set;
	uint32_t source;
	unsigned half;
	float vector[DIMENSIONS];
	uint32_t subject;
};

static struct pair *pairs;
static size_t n_pairs;
static struct arena keep;
static uint64_t seed = 88172645463325252u;

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
			t.links = arena_copy(&keep, t.links);
			if (bare.n >= 4 && !known_subject(subject, c->v[i].set))
				pairs[n_pairs++] = (struct pair){.bare = arena_copy(&keep, bare),
								 .texts = t,
								 .set = c->v[i].set,
								 .source = c->v[i].source,
								 .half = corpus_fold(c, i, 2),
								 .subject = subject};
		}
		arena_free(&a);
	}
}

/* --- the table -------------------------------------------------------------- */

/* log(mails / mails that hold the term). */
static void make_rarity(unsigned half, struct subject_gram *g, uint8_t *rarity)
{
	uint32_t *count = calloc(SUBJECT_TERM_BUCKETS, sizeof(*count));
	size_t *last = calloc(SUBJECT_TERM_BUCKETS, sizeof(*last)), mails = 0;
	for (size_t i = 0; i < n_pairs; i++) {
		if (pairs[i].half == half)
			continue;
		mails++;
		size_t n = subject_terms(pairs[i].texts.body, g, 2 * SUBJECT_BODY_BYTES + 8);
		for (size_t k = 0; k < n; k++) {
			size_t bucket = g[k].hash % SUBJECT_TERM_BUCKETS;
			count[bucket] += last[bucket] != i + 1;
			last[bucket] = i + 1;
		}
	}
	for (size_t i = 0; i < SUBJECT_TERM_BUCKETS; i++)
		rarity[i] = (uint8_t)(log(((double)mails + 1) / (count[i] + 0.5)) /
				      (double)SUBJECT_LOG_STEP);
	free(count);
	free(last);
}

/* `half` 2: of all. */
static struct span make_table(unsigned half)
{
	size_t grams = (size_t)SUBJECT_COHORT * SUBJECT_COHORT_GRAMS;
	size_t bytes =
		sizeof(struct subject_table_head) + SUBJECT_BUCKETS + SUBJECT_TERM_BUCKETS +
		grams * sizeof(uint32_t);
	char *table = arena_alloc(&keep, bytes);
	struct subject_table_head *head = (struct subject_table_head *)(void *)table;
	uint8_t *logs = (uint8_t *)(head + 1);
	uint8_t *rarity = logs + SUBJECT_BUCKETS;
	uint32_t *cohort = (uint32_t *)(void *)(rarity + SUBJECT_TERM_BUCKETS);
	uint32_t *count = calloc(SUBJECT_BUCKETS, sizeof(*count));
	struct subject_gram *g = calloc(2 * SUBJECT_BODY_BYTES + 8, sizeof(*g));
	double total = 0;
	*head = (struct subject_table_head){.magic = SUBJECT_MAGIC,
					    .buckets = SUBJECT_BUCKETS,
					    .term_buckets = SUBJECT_TERM_BUCKETS,
					    .measures = SUBJECT_MEASURES,
					    .cohort = SUBJECT_COHORT,
					    .cohort_grams = SUBJECT_COHORT_GRAMS,
					    .mu = MU};
	for (size_t i = 0; i < n_pairs; i++) {
		if (pairs[i].half == half)
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
	make_rarity(half, g, rarity);
	for (size_t k = 0; k < SUBJECT_COHORT; k++) {
		/* as many Chinese ones as others, so that each kind of body meets its own */
		bool chinese = k % 2;
		for (size_t tries = 0; tries < 100000; tries++) {
			const struct pair *p = &pairs[next_random() % n_pairs];
			size_t n = subject_grams(p->bare, g, SUBJECT_COHORT_GRAMS + 4);
			if (p->half == half || n < 8 || g[0].wide != chinese)
				continue;
			head->cohort_n[k] =
				n < SUBJECT_COHORT_GRAMS ? (uint32_t)n : SUBJECT_COHORT_GRAMS;
			for (size_t i = 0; i < head->cohort_n[k]; i++)
				cohort[k * SUBJECT_COHORT_GRAMS + i] = g[i].hash;
			break;
		}
	}
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

static void print_auc(const char *name, const double *t, size_t nt, const double *f, size_t nf)
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
	double se = sqrt((auc * (1 - auc) + ((double)nt - 1) * (q1 - auc * auc) +
			  ((double)nf - 1) * (q2 - auc * auc)) /
			 ((double)nt * (double)nf));
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
	unsigned half;
	bool own, wide;
};

static struct example *examples;
static size_t n_examples;

static void add_example(const struct span *tables, const struct pair *p, const struct pair *from,
			float weight)
{
	struct arena a;
	arena_init(&a, LIMIT_ARENA_BYTES);
	struct subject_score s = subject_judge(&a, tables[p->half], from->bare, &p->texts);
	if (!s.abstained) {
		struct example *e = &examples[n_examples++];
		*e = (struct example){
			.weight = weight, .half = p->half, .own = p == from, .wide = s.wide};
		memcpy(e->m, s.measure, sizeof(e->m));
	}
	arena_free(&a);
}

/* True pairs and their swaps, each set counting alike; swaps stay within a half. */
static void make_examples(const struct span *tables)
{
	static const struct {
		const char *set;
		float weight;
	} sets[] = {{"newsletters", 1.5f}, {"hard-ham", 1.5f}, {"spam", 1}, {"zh-spam", 1},
		    {"ham", 0.7f},	   {"zh-normal", 0.3f}};
	size_t *at = calloc(n_pairs, sizeof(*at));
	examples = calloc(5 * n_pairs, sizeof(*examples));
	for (size_t s = 0; s < sizeof(sets) / sizeof(sets[0]); s++)
		for (unsigned half = 0; half < 2; half++) {
			size_t n = 0;
			for (size_t i = 0; i < n_pairs; i++)
				if (pairs[i].half == half && strcmp(pairs[i].set, sets[s].set) == 0)
					at[n++] = i;
			for (size_t i = 0; i < n; i++) {
				const struct pair *p = &pairs[at[i]];
				float w = sets[s].weight * 300 / (float)n;
				add_example(tables, p, p, w);
				for (int kind = 0; kind < 3; kind++) {
					size_t k = swap_for(at, n, i, kind == 2);
					if (k != SIZE_MAX)
						add_example(tables, p, &pairs[at[k]],
							    kind == 2 ? w / 2 : w / 4);
				}
			}
		}
	free(at);
}

#define ROUNDS 400
#define WEIGHT_DECAY 1e-3

/* Logistic regression by gradient; of the examples of `half` (2: of all) and one script. */
static void fit_weights(unsigned half, bool wide, float *out)
{
	double w[SUBJECT_MEASURES] = {0}, g2[SUBJECT_MEASURES];
	for (size_t k = 0; k < SUBJECT_MEASURES; k++)
		g2[k] = 1e-6;
	for (int round = 0; round < ROUNDS; round++) {
		double g[SUBJECT_MEASURES] = {0}, total = 1e-9;
		for (size_t i = 0; i < n_examples; i++) {
			const struct example *e = &examples[i];
			double s = 0;
			if (e->wide != wide || (half != 2 && e->half != half))
				continue;
			for (size_t k = 0; k < SUBJECT_MEASURES; k++)
				s += w[k] * (double)e->m[k];
			double d = (1 / (1 + exp(-s)) - e->own) * (double)e->weight;
			for (size_t k = 0; k < SUBJECT_MEASURES; k++)
				g[k] += d * (double)e->m[k];
			total += (double)e->weight;
		}
		for (size_t k = 0; k < SUBJECT_MEASURES; k++) {
			double d = g[k] / total + WEIGHT_DECAY * w[k];
			g2[k] += d * d;
			w[k] -= 0.3 * d / sqrt(g2[k]);
		}
	}
	for (size_t k = 0; k < SUBJECT_MEASURES; k++)
		out[k] = (float)w[k];
}

static void set_weights(struct span table, unsigned half)
{
	struct subject_table_head *head = (struct subject_table_head *)(void *)(uintptr_t)table.p;
	fit_weights(half, false, head->weight[0]);
	fit_weights(half, true, head->weight[1]);
}

static void measure(const char *name, const char *const *sets, const struct span *tables)
{
	size_t *at = calloc(n_pairs, sizeof(*at)), n = 0, nt = 0;
	double *t = calloc(n_pairs, sizeof(*t)), *f = calloc(n_pairs, sizeof(*f));
	for (size_t i = 0; i < n_pairs; i++)
		for (const char *const *s = sets; *s; s++)
			if (strcmp(*s, pairs[i].set) == 0)
				at[n++] = i;
	for (int kind = 0; kind < 4; kind++) {
		size_t nf = 0;
		for (size_t i = 0; i < n; i++) {
			struct arena a;
			const struct pair *p = &pairs[at[i]];
			size_t k = kind == 0   ? i
				   : kind == 3 ? same_source(at, n, i)
					       : swap_for(at, n, i, kind == 2);
			if (k == SIZE_MAX)
				continue;
			arena_init(&a, LIMIT_ARENA_BYTES);
			struct subject_score s =
				subject_judge(&a, tables[p->half], pairs[at[k]].bare, &p->texts);
			if (!s.abstained)
				*(kind == 0 ? &t[nt++] : &f[nf++]) = s.value;
			arena_free(&a);
		}
		if (kind == 0) {
			size_t below = 0;
			qsort(t, nt, sizeof(*t), ascending);
			while (below < nt && t[below] < 0)
				below++;
			printf("%s: n %zu, answered %zu; 1 %% of true pairs are below %.2f, 5 %% "
			       "below %.2f; below 0 %.1f %%\n",
			       name, n, nt, t[nt / 100], t[nt / 20],
			       100 * (double)below / (double)nt);
		} else if (nt > 10 && nf > 10) {
			print_auc(kind == 1 ? "random" : kind == 2 ? "hard" : "source", t, nt, f, nf);
		}
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
	struct span tables[] = {make_table(0), make_table(1)};
	make_examples(tables);
	set_weights(tables[0], 1);
	set_weights(tables[1], 0);
	measure("hard-ham newsletters", (const char *const[]){"hard-ham", NULL}, tables);
	measure("newsletters", (const char *const[]){"newsletters", NULL}, tables);
	measure("Chinese spam", (const char *const[]){"zh-spam", NULL}, tables);
	measure("English spam and hard-ham", (const char *const[]){"spam", "hard-ham", NULL},
		tables);
	measure("list mail", (const char *const[]){"ham", NULL}, tables);
	if (argc < 3)
		return 0;
	struct span all = make_table(2);
	set_weights(all, 2);
	FILE *out = fopen(argv[2], "wb");
	bool ok = out && fwrite(all.p, all.n, 1, out) == 1;
	ok = out && fclose(out) == 0 && ok;
	if (!ok)
		perror(argv[2]);
	return !ok;
}
