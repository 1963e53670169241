/*
 * topic_eval - how far are letters of one sender, and of different ones, from each other?
 *
 *     topic_eval DATA
 *
 * Of newsletters and hard ham: each letter beside the next one of its source, as a filed sample and
 * what is sent under it are, and beside one of another source. Printed are the shares under the
 * cosine where sender_filing.c says that the topic is another.
 */
#include <stdio.h>
#include <stdlib.h>

#include "analyze/topic.h"
#include "tests/eval/corpus.h"

#define SAME_TOPIC 0.15

struct letter {
	struct topic topic;
	uint32_t source;
};

static void tell(const char *name, const double *v, size_t n)
{
	size_t under = 0;
	double sum = 0;
	for (size_t i = 0; i < n; i++) {
		under += v[i] < SAME_TOPIC;
		sum += v[i];
	}
	printf("  %-18s n %4zu  mean cosine %.2f  under %.2f: %.1f %%\n", name, n,
	       n ? sum / (double)n : 0, SAME_TOPIC, n ? 100 * (double)under / (double)n : 0);
}

int main(int argc, char **argv)
{
	static struct corpus corpus;
	static struct message m;
	if (argc < 2 || corpus_load(&corpus, argv[1], NULL) < 0) {
		fprintf(stderr, "usage: topic_eval DATA\n");
		return 64;
	}
	struct letter *v = calloc(corpus.n, sizeof(*v));
	double *same = calloc(corpus.n, sizeof(*same)), *other = calloc(corpus.n, sizeof(*other));
	size_t n = 0, n_same = 0, n_other = 0;
	for (size_t i = 0; i < corpus.n; i++) {
		struct arena a;
		if (strcmp(corpus.v[i].set, "newsletters") && strcmp(corpus.v[i].set, "hard-ham"))
			continue;
		arena_init(&a, LIMIT_ARENA_BYTES);
		struct content *c = corpus_read(&corpus, i, &m, &a);
		v[n].source = corpus.v[i].source;
		n += c && topic_of(c, &v[n].topic);
		arena_free(&a);
	}
	for (size_t i = 0; i < n; i++) {
		size_t k = i + 1;
		while (k < n && v[k].source != v[i].source)
			k++;
		if (k < n)
			same[n_same++] = topic_cosine(&v[i].topic, &v[k].topic);
		k = (i * 31 + 17) % n;
		if (v[k].source != v[i].source)
			other[n_other++] = topic_cosine(&v[i].topic, &v[k].topic);
	}
	tell("the same source", same, n_same);
	tell("different sources", other, n_other);
	return 0;
}
