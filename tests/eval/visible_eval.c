/*
 * visible_eval - is what view_html.c calls visible what a layout engine shows?
 *
 *     visible_eval DATA
 *
 * Behind each start tag of a link, cell, paragraph, division, span or font of every HTML part of
 * the corpus a word of its own is written ("zq17q"). Both sides then read the same page: ours puts
 * the word among the visible or the hidden text, litehtml (litehtml_words.cpp) draws it or not, and
 * its pixels tell the contrast. Printed is how often both agree, over all words and over those that
 * one of both hides. Words that our cascade hides by a font size of nothing or by opacity are told
 * apart: litehtml knows neither. Nor does it know colours without '#' (bgcolor=dddddd) and the
 * colours of <body> as attributes, which every browser takes: for it they are spelled out in CSS.
 */
#include <ctype.h>
#include <math.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/buf.h"
#include "tests/eval/corpus.h"

void litehtml_words(const char *html, void (*word)(void *, const char *, double contrast, int shown),
		    void *context);

#define MARKS 2000
#define PAGE_SECONDS 4 /* litehtml needs 1 s for its worst real mail */

struct page {
	size_t n;
	uint8_t ours[MARKS], theirs[MARKS]; /* 0 not seen, 1 hidden, 2 visible */
};

struct tally {
	size_t pages, late, words, agree, hidden, hidden_agree, apart;
};

static bool is_marked(enum html_tag tag)
{
	return tag == HTML_T_A || tag == HTML_T_TD || tag == HTML_T_P || tag == HTML_T_DIV ||
	       tag == HTML_T_SPAN_ || tag == HTML_T_FONT || tag == HTML_T_LI;
}

static void mark_page(struct span html, struct buf *out, struct page *p)
{
	struct html_scanner s;
	struct html_token t = {0};
	size_t done = 0;
	html_scanner_init(&s, html);
	while (html_next(&s, &t)) {
		if (t.kind != HTML_START || !is_marked(t.tag) || p->n == MARKS)
			continue;
		buf_add(out, span_sub(html, done, s.at));
		buf_addf(out, " zq%zuq ", p->n++);
		done = s.at;
	}
	buf_add(out, span_sub(html, done, html.n));
}

/* The value of an attribute in the text of a tag. */
static struct span raw_attribute(struct span tag, struct span name)
{
	size_t at = span_case_find(tag, name);
	if (at == SIZE_MAX || at == 0 || !ascii_is_space(tag.p[at - 1]))
		return SPAN_NONE;
	tag = span_sub(tag, at + name.n, tag.n);
	size_t from = tag.n && (*tag.p == '"' || *tag.p == '\''), to = from;
	while (to < tag.n && !ascii_is_space(tag.p[to]) && !strchr("\"'>", tag.p[to]))
		to++;
	return span_sub(tag, from, to);
}

/* "dddddd" and no more. */
static bool bare_color(struct span s)
{
	size_t from = s.n && (*s.p == '"' || *s.p == '\''), n = 0;
	while (from + n < s.n && n < 7 && isxdigit((unsigned char)s.p[from + n]))
		n++;
	return n == 6 && (from + n == s.n || !ascii_is_alpha(s.p[from + n]));
}

static void add_body_style(struct buf *out, struct span tag)
{
	struct span back = raw_attribute(tag, SPAN("bgcolor=")), text = raw_attribute(tag, SPAN("text="));
	struct span image = raw_attribute(tag, SPAN("background="));
	if (raw_attribute(tag, SPAN("style=")).p)
		return;
	buf_adds(out, " style=\"");
	if (back.n)
		buf_addf(out, "background-color:%s%.*s;", bare_color(back) ? "#" : "", SPAN_ARG(back));
	if (text.n)
		buf_addf(out, "color:%s%.*s;", bare_color(text) ? "#" : "", SPAN_ARG(text));
	if (image.n)
		buf_addf(out, "background-image:url(%.*s);", SPAN_ARG(image));
	buf_adds(out, "\"");
}

/* The page as litehtml understands what browsers do. */
static void spell_out(struct span page, struct buf *out)
{
	for (size_t at; (at = span_find_char(page, '<')) != SIZE_MAX;) {
		struct span tag = span_sub(page, at, page.n), rest;
		tag = span_sub(tag, 0, span_find_char(tag, '>'));
		rest = tag;
		buf_add(out, span_sub(page, 0, at));
		page = span_sub(page, at + tag.n, page.n);
		if (span_case_starts(tag, SPAN("<body"))) {
			buf_add(out, span_sub(tag, 0, 5));
			add_body_style(out, tag);
			rest = span_sub(tag, 5, tag.n);
		}
		for (size_t k; (k = span_case_find(rest, SPAN("color="))) != SIZE_MAX;) {
			buf_add(out, span_sub(rest, 0, k + 6));
			rest = span_sub(rest, k + 6, rest.n);
			if (!bare_color(rest))
				continue;
			size_t quote = !isxdigit((unsigned char)*rest.p);
			buf_add(out, span_sub(rest, 0, quote));
			buf_adds(out, "#");
			rest = span_sub(rest, quote, rest.n);
		}
		buf_add(out, rest);
		if (!tag.n)
			break;
	}
	buf_add(out, page);
}

/* The number of "zq17q"; SIZE_MAX: another word. */
static size_t mark_number(struct span word)
{
	uint64_t n;
	if (word.n < 4 || !span_starts(word, SPAN("zq")) || word.p[word.n - 1] != 'q' ||
	    !span_number(span_sub(word, 2, word.n - 1), MARKS - 1, &n))
		return SIZE_MAX;
	return (size_t)n;
}

static void read_ours(struct page *p, struct span text, uint8_t what)
{
	for (size_t at; (at = span_find(text, SPAN("zq"))) != SIZE_MAX;) {
		text = span_sub(text, at, text.n);
		size_t end = 2;
		while (end < text.n && ascii_is_digit(text.p[end]))
			end++;
		size_t n = mark_number(span_sub(text, 0, end + 1));
		if (n != SIZE_MAX)
			p->ours[n] = what;
		text = span_sub(text, 2, text.n);
	}
}

static void drawn(void *context, const char *text, double contrast, int shown)
{
	struct page *p = context;
	size_t n = mark_number(span_of(text));
	if (n != SIZE_MAX)
		p->theirs[n] = shown && (contrast == 0 || contrast >= 1.15) ? 2 : 1;
}

/* In a process of its own: a layout may take for ever, or the engine die. */
static bool read_theirs(struct page *p, const char *html)
{
	int ends[2], status;
	if (pipe(ends) < 0)
		abort();
	pid_t child = fork();
	if (child == 0) {
		alarm(PAGE_SECONDS);
		litehtml_words(html, drawn, p);
		for (size_t at = 0; at < sizeof(p->theirs);) {
			ssize_t n = write(ends[1], p->theirs + at, sizeof(p->theirs) - at);
			if (n <= 0)
				_exit(1);
			at += (size_t)n;
		}
		_exit(0);
	}
	close(ends[1]);
	size_t got = 0;
	for (ssize_t n; (n = read(ends[0], p->theirs + got, sizeof(p->theirs) - got)) > 0;)
		got += (size_t)n;
	close(ends[0]);
	waitpid(child, &status, 0);
	return got == sizeof(p->theirs);
}

/* Our runs whose hiding litehtml cannot know. */
static void set_apart(struct page *p, const struct view *v, struct tally *t)
{
	for (size_t i = 0; i < v->n_runs; i++) {
		const struct view_run *run = &v->runs[i];
		if (run->visible || run->px >= 2)
			continue;
		struct page tiny = {.n = 0};
		read_ours(&tiny, (struct span){v->hidden + run->start, run->length}, 1);
		for (size_t k = 0; k < p->n; k++)
			if (tiny.ours[k]) {
				t->apart++;
				p->ours[k] = 0;
			}
	}
}

static void compare(const char *path, struct span html, struct tally *t)
{
	static struct page p;
	struct buf marked = BUF_INIT, theirs_page = BUF_INIT;
	struct arena a;
	struct view v;
	p = (struct page){.n = 0};
	mark_page(html, &marked, &p);
	buf_addf(&marked, "%c", 0);
	struct span page = span_sub(buf_span(&marked), 0, buf_span(&marked).n - 1);
	arena_init(&a, LIMIT_ARENA_BYTES);
	view_init(&v, &a, page.n);
	view_add_html(&v, page, 0);
	read_ours(&p, view_text(&v), 2);
	read_ours(&p, (struct span){v.hidden, v.n_hidden}, 1);
	set_apart(&p, &v, t);
	t->pages++;
	spell_out(page, &theirs_page);
	buf_addf(&theirs_page, "%c", 0);
	if (!p.n || !read_theirs(&p, buf_span(&theirs_page).p)) {
		t->late += p.n > 0;
		goto out;
	}
	for (size_t i = 0; i < p.n; i++) {
		bool ours = p.ours[i] == 2, theirs = p.theirs[i] == 2;
		if (!p.ours[i])
			continue;
		t->words++;
		t->agree += ours == theirs;
		t->hidden += !ours || !theirs;
		t->hidden_agree += !ours && !theirs;
		if (ours != theirs && getenv("EVAL_ERRORS"))
			printf("  %s zq%zuq: ours %s, litehtml %s\n", path, i, ours ? "visible" : "hidden",
			       theirs ? "visible" : p.theirs[i] ? "drawn unseen" : "not drawn");
	}
out:
	arena_free(&a);
	buf_free(&marked);
	buf_free(&theirs_page);
}

int main(int argc, char **argv)
{
	static struct corpus corpus;
	static struct message m;
	struct tally t = {0};
	if (argc < 2 || corpus_load(&corpus, argv[1], NULL) < 0) {
		fprintf(stderr, "usage: visible_eval DATA\n");
		return 64;
	}
	for (size_t i = 0; i < corpus.n; i++) {
		struct arena a;
		arena_init(&a, LIMIT_ARENA_BYTES);
		if (message_parse(&m, &a, corpus.v[i].octets) == 0)
			for (size_t k = 0; k < m.n_parts; k++)
				if (span_eq(m.parts[k].type, SPAN("text/html")) && m.parts[k].text.p)
					compare(corpus.v[i].path, m.parts[k].text, &t);
		arena_free(&a);
	}
	double q = (double)t.agree / (double)t.words, half = 1.96 * sqrt(q * (1 - q) / (double)t.words);
	printf("visible or hidden   pages %zu (late %zu), words %zu: agreement %.4f [%.4f %.4f]; "
	       "hidden by one %zu, by both %zu; set apart %zu\n",
	       t.pages, t.late, t.words, q, q - half, q + half, t.hidden, t.hidden_agree, t.apart);
	return 0;
}
