/*
 * content_eval - the body's ways to unsubscribe and its identity against labels by hand, and
 * what the content step costs.
 *
 *     content_eval DATA LABELS      measure
 *     content_eval DATA --dump SET  one line a mail: what was found, for labelling
 *
 * A label line is `path unsub name address phone email`, separated by tabs; each 0 (is not there),
 * - (not judged), 1 (is there) or what the found text must hold: "10018|PO Box 7", letters and
 * digits compared alone. A found text that holds none of them is false and the true one missed.
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/file.h"
#include "tests/eval/corpus.h"

#define TASKS 5
static const char *const tasks[TASKS] = {"unsubscribe", "name", "address", "phone", "email"};

static void read_facts(const struct corpus *c, size_t i, struct facts *f, struct arena *a,
		       double *ms_r)
{
	static struct message m;
	facts_init(f, a);
	if (message_parse(&m, a, c->v[i].octets) < 0)
		return;
	int64_t start = clock_cpu_us();
	struct content *content = content_read(&m, a);
	if (content)
		content_facts(content, &m, NULL, NULL, f);
	*ms_r = (double)(clock_cpu_us() - start) / 1e3;
}

static const enum fact_id ids[TASKS] = {F_UNSUB_BODY, F_IDENTITY_NAME, F_IDENTITY_ADDRESS,
					F_IDENTITY_PHONE, F_IDENTITY_EMAIL};

static bool is_there(const struct facts *f, size_t task)
{
	return task == 0 ? fact_true(f, ids[0]) : fact_known(f, ids[task]);
}

struct tally {
	double tp, fp, fn, tn;
};

static void print_interval(const char *name, double k, double n)
{
	double z = 1.96, q = n > 0 ? k / n : 0, d = 1 + z * z / n;
	double mid = (q + z * z / (2 * n)) / d;
	double half = z * sqrt(q * (1 - q) / n + z * z / (4 * n * n)) / d;
	printf("  %s %.3f [%.3f %.3f]", name, q, n > 0 ? mid - half : 0, n > 0 ? mid + half : 0);
}

/* Letters, digits and octets of other scripts, lower case: what a label and a text have in common. */
static size_t squeeze(struct span s, char *out, size_t cap)
{
	size_t n = 0;
	for (size_t i = 0; i < s.n && n < cap; i++)
		if (ascii_is_alpha(s.p[i]) || ascii_is_digit(s.p[i]) || s.p[i] & 0x80)
			out[n++] = ascii_lower(s.p[i]);
	return n;
}

/* Whether `found` holds one of the texts of `label`, which '|' separates. */
static bool is_right(struct span label, struct span found)
{
	char text[4096], want[256];
	size_t n = squeeze(found, text, sizeof(text));
	struct span one;
	while (span_next_field(&label, '|', &one)) {
		size_t w = squeeze(one, want, sizeof(want));
		if (w && span_find((struct span){text, n}, (struct span){want, w}) != SIZE_MAX)
			return true;
	}
	return false;
}

static size_t find_sample(const struct corpus *c, struct span path)
{
	for (size_t i = 0; i < c->n; i++)
		if (span_eq(span_of(c->v[i].path), path))
			return i;
	return SIZE_MAX;
}

static void print_error(const char *task, const char *path, struct span want,
			const struct fact *found)
{
	struct span s = span_sub(found->text, 0, 120);
	printf("  %s %s: %.*s, found ", task, path, SPAN_ARG(want));
	if (found->state != FACT_KNOWN || !s.n)
		s = SPAN("nothing");
	for (size_t i = 0; i < s.n; i++)
		putchar(s.p[i] == '\n' ? '/' : s.p[i]);
	printf("\n");
}

static int measure(const struct corpus *c, const char *labels)
{
	struct tally tally[TASKS] = {{0}};
	struct file_view view;
	struct span rest, line, field;
	if (file_view_open(labels, (size_t)8 << 20, &view) < 0) {
		perror(labels);
		return 66;
	}
	rest = view.bytes;
	while (span_next_line(&rest, &line)) {
		struct facts f;
		struct arena a;
		double ms;
		size_t i = line.n && line.p[0] != '#' && span_next_field(&line, '\t', &field)
				   ? find_sample(c, field)
				   : SIZE_MAX;
		if (i == SIZE_MAX)
			continue;
		arena_init(&a, LIMIT_ARENA_BYTES);
		read_facts(c, i, &f, &a, &ms);
		for (size_t t = 0; t < TASKS && span_next_field(&line, '\t', &field); t++) {
			if (span_eq(field, SPAN("-")))
				continue;
			bool want = !span_eq(field, SPAN("0")), got = is_there(&f, t);
			bool right = want == got;
			if (want && got && !span_eq(field, SPAN("1")))
				right = is_right(field, f.v[ids[t]].text);
			tally[t].tp += want && got && right;
			tally[t].fp += got && !(want && right);
			tally[t].fn += want && !(got && right);
			tally[t].tn += !want && !got;
			if (!right && getenv("EVAL_ERRORS"))
				print_error(tasks[t], c->v[i].path, field, &f.v[ids[t]]);
		}
		arena_free(&a);
	}
	for (size_t t = 0; t < TASKS; t++) {
		const struct tally *k = &tally[t];
		printf("%-12s n %3.0f", tasks[t], k->tp + k->fp + k->fn + k->tn);
		print_interval("precision", k->tp, k->tp + k->fp);
		print_interval("recall", k->tp, k->tp + k->fn);
		printf("  F1 %.3f\n", 2 * k->tp / (2 * k->tp + k->fp + k->fn));
	}
	file_view_close(&view);
	return 0;
}

static void measure_time(const struct corpus *c)
{
	double sum = 0, most = 0, sum20 = 0;
	size_t n = 0, n20 = 0, worst = 0;
	for (size_t i = 0; i < c->n; i++) {
		struct facts f;
		struct arena a;
		double ms = 0;
		arena_init(&a, LIMIT_ARENA_BYTES);
		read_facts(c, i, &f, &a, &ms);
		sum += ms;
		n++;
		if (ms > most) {
			most = ms;
			worst = i;
		}
		if (c->v[i].octets.n > 15000 && c->v[i].octets.n < 25000) {
			sum20 += ms;
			n20++;
		}
		arena_free(&a);
	}
	printf("content step: n %zu, mean %.3f ms, of 15-25 kB (n %zu) %.3f ms, most %.2f ms "
	       "(%s)\n",
	       n, sum / (double)n, n20, n20 ? sum20 / (double)n20 : 0, most, c->v[worst].path);
}

static void print_text(const char *name, const struct facts *f, enum fact_id id)
{
	struct span s = f->v[id].state == FACT_KNOWN ? span_sub(f->v[id].text, 0, 90) : SPAN("-");
	printf(" | %s: ", name);
	for (size_t i = 0; i < s.n; i++)
		putchar(s.p[i] == '\n' ? '/' : s.p[i]);
}

static void dump(const struct corpus *c, const char *set)
{
	for (size_t i = 0; i < c->n; i++) {
		struct facts f;
		struct arena a;
		double ms;
		if (strcmp(c->v[i].set, set) != 0)
			continue;
		arena_init(&a, LIMIT_ARENA_BYTES);
		read_facts(c, i, &f, &a, &ms);
		printf("%s | unsub %d vis %d leg %d px %.0f c %.1f '%.*s'", c->v[i].path,
		       fact_true(&f, F_UNSUB_BODY), fact_true(&f, F_UNSUB_VISIBLE),
		       fact_true(&f, F_UNSUB_LEGIBLE), f.v[F_UNSUB_PX].number,
		       f.v[F_UNSUB_CONTRAST].number,
		       SPAN_ARG(span_sub(f.v[F_UNSUB_BODY].evidence.text, 0, 80)));
		print_text("name", &f, F_IDENTITY_NAME);
		print_text("addr", &f, F_IDENTITY_ADDRESS);
		print_text("phone", &f, F_IDENTITY_PHONE);
		print_text("email", &f, F_IDENTITY_EMAIL);
		print_text("kind", &f, F_CLASS_KIND);
		if (getenv("EVAL_FOOTER"))
			printf("\n%.*s\n", SPAN_ARG(f.v[F_BODY_FOOTER].text));
		printf("\n");
		arena_free(&a);
	}
}

int main(int argc, char **argv)
{
	struct corpus corpus;
	if (argc < 3 || corpus_load(&corpus, argv[1], NULL) < 0) {
		fprintf(stderr, "usage: content_eval DATA LABELS | content_eval DATA --dump SET\n");
		return 64;
	}
	if (argc > 3) {
		dump(&corpus, argv[3]);
		return 0;
	}
	int r = measure(&corpus, argv[2]);
	measure_time(&corpus);
	return r;
}
