/*
 * bench_content - what the content step costs beside libxml2's SAX parser on the same HTML.
 *
 *     bench_content DATA [RUNS]
 *
 * Reads the mails of DATA/mail and the templates (tests/eval/corpus.c), takes those whose HTML has
 * 15 to 25 kB, and prints CPU ms a mail: parsing the message, the content step by its parts,
 * libxml2's HTML SAX parser with handlers that do nothing. The cheapest of RUNS runs of each mail
 * counts: what else runs on the machine is not ours. Then the most that any mail of the data takes.
 */
#include <libxml/HTMLparser.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "tests/eval/corpus.h"

static double cpu_ms(void)
{
	struct timespec ts;
	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &ts);
	return (double)ts.tv_sec * 1e3 + (double)ts.tv_nsec / 1e6;
}

enum { PARSE, READ, FACTS, SAX, STEPS };

static void least(double *v, double ms)
{
	*v = ms < *v ? ms : *v;
}

static struct span html_of(const struct message *m)
{
	for (size_t i = 0; i < m->n_parts; i++)
		if (span_eq(m->parts[i].type, SPAN("text/html")))
			return m->parts[i].text;
	return SPAN_NONE;
}

static void element(void *context, const xmlChar *name, const xmlChar **attributes)
{
	(void)name;
	(void)attributes;
	++*(size_t *)context;
}

static void end(void *context, const xmlChar *name)
{
	(void)name;
	++*(size_t *)context;
}

static void text(void *context, const xmlChar *s, int n)
{
	(void)s;
	*(size_t *)context += (size_t)n;
}

static size_t sax(struct span html)
{
	htmlSAXHandler handler = {.startElement = element, .endElement = end, .characters = text};
	size_t seen = 0;
	htmlParserCtxtPtr c = htmlCreatePushParserCtxt(&handler, &seen, html.p, html.n < 4 ? 0 : 4, NULL,
						       XML_CHAR_ENCODING_UTF8);
	if (!c)
		abort();
	htmlCtxtUseOptions(c, HTML_PARSE_RECOVER | HTML_PARSE_NOERROR | HTML_PARSE_NOWARNING);
	htmlParseChunk(c, html.p + 4, (int)html.n - 4, 1);
	htmlFreeParserCtxt(c);
	return seen;
}

static void run(const struct corpus *c, size_t i, double *best, size_t *html_bytes)
{
	struct message m;
	struct facts f;
	struct arena a;
	double t[5];
	arena_init(&a, LIMIT_ARENA_BYTES);
	facts_init(&f, &a);
	t[0] = cpu_ms();
	if (message_parse(&m, &a, c->v[i].octets) < 0)
		goto out;
	t[1] = cpu_ms();
	struct content *content = content_read(&m, &a);
	t[2] = cpu_ms();
	if (content)
		content_facts(content, &m, NULL, NULL, &f);
	t[3] = cpu_ms();
	struct span html = html_of(&m);
	*html_bytes = html.n;
	if (html.n > 4)
		sax(html);
	t[4] = cpu_ms();
	for (size_t k = 0; k < STEPS; k++)
		least(&best[k], t[k + 1] - t[k]);
out:
	arena_free(&a);
}

int main(int argc, char **argv)
{
	static struct corpus corpus;
	double sum[STEPS] = {0}, most = 0, bytes = 0;
	size_t n = 0, worst = 0, runs = argc > 2 ? strtoul(argv[2], NULL, 10) : 5;
	if (argc < 2 || corpus_load(&corpus, argv[1], NULL) < 0) {
		printf("skipped: there is no test data (usage: bench_content DATA [RUNS])\n");
		return 77;
	}
	arena_keep_memory(); /* as workers do */
	for (size_t i = 0; i < corpus.n; i++) {
		double best[STEPS] = {1e9, 1e9, 1e9, 1e9};
		size_t html_bytes = 0;
		run(&corpus, i, best, &html_bytes);
		double step = best[READ] + best[FACTS];
		bool slow = step > most, counted = html_bytes >= 15000 && html_bytes <= 25000;
		for (size_t r = 1; r < runs && (slow || counted); r++)
			run(&corpus, i, best, &html_bytes);
		step = best[READ] + best[FACTS];
		if (step > most) {
			most = step;
			worst = i;
		}
		if (!counted)
			continue;
		for (size_t k = 0; k < STEPS; k++)
			sum[k] += best[k];
		bytes += (double)html_bytes;
		n++;
	}
	printf("HTML of 15-25 kB: n %zu, mean %.1f kB\n", n, bytes / 1e3 / (double)n);
	printf("%-24s %.3f ms\n", "parse (MIME, charset)", sum[PARSE] / (double)n);
	printf("%-24s %.3f ms (read %.3f, facts %.3f)\n", "content step",
	       (sum[READ] + sum[FACTS]) / (double)n, sum[READ] / (double)n, sum[FACTS] / (double)n);
	printf("%-24s %.3f ms\n", "libxml2 SAX", sum[SAX] / (double)n);
	printf("most of all %zu mails: %.2f ms (%s)\n", corpus.n, most, corpus.v[worst].path);
	return 0;
}
