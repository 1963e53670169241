/*
 * class_train - trains and measures the models of analyze/classify.c.
 *
 *     class_train DATA OWN [TABLE]
 *
 * Logistic regression by stochastic gradient with AdaGrad and L2, the mean of its later rounds.
 * Figures come from five-fold cross-validation whose parts share no source; Platt's scaling is
 * fitted on the held-out scores. Intervals are by bootstrap over sources, since the mails of one
 * sender are right or wrong together. With TABLE the models of all samples are written there.
 * Same inputs, same table. EVAL_ERRORS=1 lists what was wrong.
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "analyze/classify.h"
#include "tests/eval/corpus.h"

#define FOLDS 5
#define EPOCHS 30
#define L2 5e-4f
#define SURE 0.7 /* as in classify.c */

struct vector {
	uint32_t *bucket;
	float *value;
	size_t n;
	int label; /* +1, -1 */
	unsigned fold;
	float weight;
	size_t sample;
	bool variant; /* without its headers: trained with, not measured */
	double held_out;
};

struct problem {
	struct vector *v;
	size_t n;
	float w[CLASS_BUCKETS], bias;
};

static uint64_t seed = 88172645463325252u;

static uint64_t next_random(void)
{
	seed ^= seed << 13;
	seed ^= seed >> 7;
	seed ^= seed << 17;
	return seed;
}

static double dot(const struct problem *p, const struct vector *x)
{
	double s = (double)p->bias;
	for (size_t i = 0; i < x->n; i++)
		s += (double)(p->w[x->bucket[i]] * x->value[i]);
	return s;
}

static void learn(struct problem *p, const struct vector *x, float *g2, float *bias_g2)
{
	double s = dot(p, x);
	float g = (float)(-x->label / (1 + exp(x->label * s))) * x->weight;
	for (size_t k = 0; k < x->n; k++) {
		float *w = &p->w[x->bucket[k]];
		float d = g * x->value[k] + L2 * *w;
		g2[x->bucket[k]] += d * d;
		*w -= 0.3f * d / (sqrtf(g2[x->bucket[k]]) + 1e-4f);
	}
	*bias_g2 += g * g;
	p->bias -= 0.3f * g / sqrtf(*bias_g2);
}

/* Trains on every part but `fold` (FOLDS: on all). */
static void train(struct problem *p, unsigned fold)
{
	static float g2[CLASS_BUCKETS];
	size_t *order = calloc(p->n, sizeof(*order));
	float bias_g2 = 1;
	memset(p->w, 0, sizeof(p->w));
	memset(g2, 0, sizeof(g2));
	p->bias = 0;
	for (size_t i = 0; i < p->n; i++)
		order[i] = i;
	static float sum[CLASS_BUCKETS];
	double bias_sum = 0;
	int taken = 0;
	memset(sum, 0, sizeof(sum));
	for (int epoch = 0; epoch < EPOCHS; epoch++) {
		for (size_t i = p->n; i > 1; i--) {
			size_t k = next_random() % i, t = order[i - 1];
			order[i - 1] = order[k];
			order[k] = t;
		}
		for (size_t i = 0; i < p->n; i++)
			if (p->v[order[i]].fold != fold)
				learn(p, &p->v[order[i]], g2, &bias_g2);
		/* The mean of the later rounds depends less on the order of the mails. */
		if (epoch < EPOCHS / 3)
			continue;
		for (size_t i = 0; i < CLASS_BUCKETS; i++)
			sum[i] += p->w[i];
		bias_sum += (double)p->bias;
		taken++;
	}
	for (size_t i = 0; i < CLASS_BUCKETS; i++)
		p->w[i] = sum[i] / (float)taken;
	p->bias = (float)(bias_sum / taken);
	free(order);
}

static void cross_validate(struct problem *p)
{
	for (unsigned fold = 0; fold < FOLDS; fold++) {
		train(p, fold);
		for (size_t i = 0; i < p->n; i++)
			if (p->v[i].fold == fold)
				p->v[i].held_out = dot(p, &p->v[i]);
	}
}

static void fit_platt(const struct problem *p, double *a_r, double *b_r)
{
	double a = 1, b = 0;
	for (int round = 0; round < 3000; round++) {
		double ga = 0, gb = 0, n = 0;
		for (size_t i = 0; i < p->n; i++) {
			if (p->v[i].variant)
				continue;
			double q = 1 / (1 + exp(-(a * p->v[i].held_out + b)));
			double d = (q - (p->v[i].label > 0)) * (double)p->v[i].weight;
			ga += d * p->v[i].held_out;
			gb += d;
			n += (double)p->v[i].weight;
		}
		a -= 0.2 * ga / n;
		b -= 0.2 * gb / n;
	}
	*a_r = a;
	*b_r = b;
}

struct counts {
	double n, tp, fp, fn, abstained;
};

/* How often a source is drawn in one round of a bootstrap: Poisson with mean 1. */
static unsigned drawn(uint32_t source, unsigned round)
{
	uint64_t h = ((uint64_t)source << 32 | round) * 0x9e3779b97f4a7c15u;
	h ^= h >> 29;
	h *= 0xbf58476d1ce4e5b9u;
	double u = (double)(h >> 11) / 9007199254740992.0, p = exp(-1), sum = p;
	unsigned n = 0;
	while (u > sum && n < 12)
		sum += p /= ++n;
	return n;
}

static void count(struct counts *k, const struct vector *v, double a, double b, int positive,
		  double times)
{
	double q = 1 / (1 + exp(-positive * (a * v->held_out + b)));
	bool is = v->label * positive > 0;
	k->n += times;
	k->abstained += times * (q < SURE && q > 1 - SURE);
	k->tp += times * (q >= SURE && is);
	k->fp += times * (q >= SURE && !is);
	k->fn += times * (q <= 1 - SURE && is);
}

static double f1(const struct counts *k)
{
	return 2 * k->tp / (2 * k->tp + k->fp + k->fn);
}

static int ascending(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;
	return x < y ? -1 : x > y;
}

static bool in_sets(const char *set, const char *const *sets)
{
	for (; sets && *sets; sets++)
		if (strcmp(set, *sets) == 0)
			return true;
	return !sets;
}

/* F1 of the `positive` label among what was answered. */
static void report(const char *name, const struct problem *p, const struct corpus *c, double a,
		   double b, int positive, const char *const *sets)
{
	static double f1s[1000];
	size_t *at = calloc(p->n, sizeof(*at)), m = 0;
	struct counts all = {0};
	for (size_t i = 0; i < p->n; i++)
		if (!p->v[i].variant && in_sets(c->v[p->v[i].sample].set, sets)) {
			at[m++] = i;
			count(&all, &p->v[i], a, b, positive, 1);
		}
	for (int round = 0; round < 1000 && m; round++) {
		struct counts k = {0};
		for (size_t i = 0; i < m; i++)
			count(&k, &p->v[at[i]], a, b, positive,
			      drawn(c->v[p->v[at[i]].sample].source, (unsigned)round));
		f1s[round] = f1(&k);
	}
	qsort(f1s, 1000, sizeof(f1s[0]), ascending);
	printf("%-42s n %5.0f  F1 %.3f [%.3f %.3f]  precision %.3f recall %.3f  abstained %.1f "
	       "%%\n",
	       name, all.n, f1(&all), f1s[25], f1s[974], all.tp / (all.tp + all.fp),
	       all.tp / (all.tp + all.fn), 100 * all.abstained / all.n);
	free(at);
}

static void add_vectors(struct problem *p, const struct corpus *c, size_t i,
			struct content *content, int label, float weight)
{
	for (int variant = 0; variant < 2; variant++) {
		struct class_features f = class_features(content, NULL, !variant);
		struct vector *x = &p->v[p->n++];
		*x = (struct vector){.label = label,
				     .fold = corpus_fold(c, i, FOLDS),
				     .weight = weight,
				     .sample = i,
				     .variant = variant,
				     .n = f.n,
				     .bucket = calloc(f.n + 1, sizeof(*x->bucket)),
				     .value = calloc(f.n + 1, sizeof(*x->value))};
		for (size_t k = 0; k < f.n; k++) {
			x->bucket[k] = f.v[k].bucket;
			x->value[k] = f.v[k].value;
		}
	}
}

static void balance(struct problem *p)
{
	double sum[2] = {0, 0};
	for (size_t i = 0; i < p->n; i++)
		sum[p->v[i].label > 0] += (double)p->v[i].weight;
	for (size_t i = 0; i < p->n; i++)
		p->v[i].weight *= (float)((sum[0] + sum[1]) / 2 / sum[p->v[i].label > 0]);
}

static void quantise(const struct problem *p, int8_t (*out)[CLASS_MODELS], int model, float *scale_r)
{
	float max = 1e-6f;
	for (size_t i = 0; i < CLASS_BUCKETS; i++)
		max = fabsf(p->w[i]) > max ? fabsf(p->w[i]) : max;
	for (size_t i = 0; i < CLASS_BUCKETS; i++)
		out[i][model] = (int8_t)lrintf(p->w[i] / max * 127);
	*scale_r = max / 127;
}

static void list_errors(const struct problem *p, const struct corpus *c, double a, double b)
{
	for (size_t i = 0; i < p->n; i++) {
		double q = 1 / (1 + exp(-(a * p->v[i].held_out + b)));
		if (!p->v[i].variant && (p->v[i].label > 0 ? q <= 1 - SURE : q >= SURE))
			printf("  %.3f %s\n", q, c->v[p->v[i].sample].path);
	}
}

static void load_problems(struct problem *problems, const struct corpus *c)
{
	for (int k = 0; k < CLASS_MODELS; k++)
		problems[k].v = calloc(2 * c->n, sizeof(*problems[k].v));
	for (size_t i = 0; i < c->n; i++) {
		struct arena a;
		struct message m;
		const struct sample *s = &c->v[i];
		arena_init(&a, LIMIT_ARENA_BYTES);
		struct content *content = corpus_read(c, i, &m, &a);
		/* Old spam is only half of what marketing looks like; our own are few. */
		float weight = strstr(s->set, "spam") ? 0.3f : strcmp(s->set, "own") == 0 ? 3 : 1;
		if (content)
			add_vectors(&problems[CLASS_MARKETING_MODEL], c, i, content,
				    s->label == LABEL_OTHER ? -1 : 1, weight);
		if (content && (s->label == LABEL_COMMERCIAL || s->label == LABEL_TRANSACTIONAL))
			add_vectors(&problems[CLASS_KIND_MODEL], c, i, content,
				    s->label == LABEL_COMMERCIAL ? 1 : -1, weight);
		arena_free(&a);
	}
}

static int write_table(const char *path, const struct class_table_head *head, const void *weights,
		       size_t bytes)
{
	FILE *out = fopen(path, "wb");
	bool ok = out && fwrite(head, sizeof(*head), 1, out) == 1 &&
		  fwrite(weights, bytes, 1, out) == 1;
	ok = out && fclose(out) == 0 && ok;
	if (!ok)
		perror(path);
	return !ok;
}

int main(int argc, char **argv)
{
	static const char *const trusted[] = {"newsletters", "templates", "hard-ham",
					      "ham",	     NULL};
	static const char *const own[] = {"own", NULL};
	static const char *const chinese[] = {"zh-normal", "zh-spam", NULL};
	static struct problem problems[CLASS_MODELS];
	static int8_t weights[CLASS_BUCKETS][CLASS_MODELS];
	struct class_table_head head = {.magic = CLASS_MAGIC, .buckets = CLASS_BUCKETS};
	struct corpus corpus;
	if (argc < 3 || corpus_load(&corpus, argv[1], argv[2]) < 0) {
		fprintf(stderr, "usage: class_train DATA OWN [TABLE]\n");
		return 64;
	}
	load_problems(problems, &corpus);
	for (int k = 0; k < CLASS_MODELS; k++) {
		struct problem *p = &problems[k];
		double a, b;
		balance(p);
		cross_validate(p);
		fit_platt(p, &a, &b);
		if (k == CLASS_MARKETING_MODEL) {
			report("marketing: newsletters, templates, ham", p, &corpus, a, b, 1,
			       trusted);
			report("marketing: Chinese", p, &corpus, a, b, 1, chinese);
			report("marketing: our own mails", p, &corpus, a, b, 1, own);
			report("marketing: all", p, &corpus, a, b, 1, NULL);
		} else {
			report("commercial: all", p, &corpus, a, b, 1, NULL);
			report("transactional: all", p, &corpus, a, b, -1, NULL);
			report("transactional: without spam", p, &corpus, a, b, -1, trusted);
		}
		if (getenv("EVAL_ERRORS"))
			list_errors(p, &corpus, a, b);
		train(p, FOLDS);
		quantise(p, weights, k, &head.scale[k]);
		head.bias[k] = p->bias;
		head.a[k] = (float)a;
		head.b[k] = (float)b;
	}
	return argc > 3 ? write_table(argv[3], &head, weights, sizeof(weights)) : 0;
}
