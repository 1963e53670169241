/* summary - the table of senders that `assay scan --summary` prints. */
#include <math.h>
#include <search.h>
#include <stdio.h>
#include <stdlib.h>

#include "analyze/print.h"
#include "base/utf8.h"

/* Senders kept apart; later ones are summed up as "(others)". A scan of 10^6 messages of a real
 * gateway has some 10^4 senders. */
#define SUMMARY_SENDERS 100000

struct sender_total {
	char *key; /* also the tree's order */
	bool registered;
	uint64_t messages, commercial, findings, must, actions[4];
	double score, compliance;
	uint64_t judged;
};

struct summary {
	void *tree; /* tsearch(3) over struct sender_total */
	struct sender_total **all;
	size_t n, cap;
	struct sender_total others, total;
};

static int by_key(const void *a, const void *b)
{
	return strcmp(((const struct sender_total *)a)->key, ((const struct sender_total *)b)->key);
}

struct summary *summary_create(void)
{
	return calloc(1, sizeof(struct summary));
}

static struct sender_total *find_or_add(struct summary *s, const char *key)
{
	struct sender_total probe = {.key = (char *)key};
	struct sender_total **found = tfind(&probe, &s->tree, by_key);
	if (found)
		return *found;
	if (s->n == SUMMARY_SENDERS)
		return &s->others;
	if (s->n == s->cap) {
		size_t cap = s->cap ? s->cap * 2 : 64;
		struct sender_total **bigger = realloc(s->all, cap * sizeof(struct sender_total *));
		if (!bigger)
			return &s->others;
		s->all = bigger;
		s->cap = cap;
	}
	struct sender_total *t = calloc(1, sizeof(*t));
	if (!t || !(t->key = strdup(key)) || !tsearch(t, &s->tree, by_key)) {
		if (t)
			free(t->key);
		free(t);
		return &s->others;
	}
	s->all[s->n++] = t;
	return t;
}

static void add_to(struct sender_total *t, const struct analysis *a)
{
	const struct verdict *v = &a->verdict;
	const struct fact *kind = &a->facts.v[F_CLASS_KIND];
	t->messages++;
	t->registered |= a->sender.registered != NULL;
	t->commercial += kind->state == FACT_KNOWN && span_eq(kind->text, SPAN("commercial"));
	t->findings += v->n_findings;
	for (size_t i = 0; i < v->n_findings; i++)
		t->must += v->findings[i].level == LEVEL_MUST;
	t->score += v->score;
	t->actions[v->action]++;
	if (!isnan(v->compliance)) {
		t->compliance += v->compliance;
		t->judged++;
	}
}

void summary_add(struct summary *s, const struct analysis *a)
{
	char *key = arena_str(&a->txn->arena, a->sender.key.n ? a->sender.key : SPAN("(unknown)"));
	add_to(key ? find_or_add(s, key) : &s->others, a);
	add_to(&s->total, a);
}

static int by_messages(const void *a, const void *b)
{
	const struct sender_total *x = *(struct sender_total *const *)a;
	const struct sender_total *y = *(struct sender_total *const *)b;
	if (x->messages != y->messages)
		return x->messages < y->messages ? 1 : -1;
	return strcmp(x->key, y->key);
}

static void print_row(const struct sender_total *t, struct span key, struct buf *out)
{
	print_cell(out, key, 34);
	buf_addf(out, " %8llu %8llu %8llu %8llu %7.1f ", (unsigned long long)t->messages,
		 (unsigned long long)t->commercial, (unsigned long long)t->findings,
		 (unsigned long long)t->must, t->messages ? t->score / (double)t->messages : 0);
	if (t->judged)
		buf_addf(out, "%9.1f %%", t->compliance / (double)t->judged);
	else
		buf_addf(out, "%11s", "-");
	buf_addf(out, " %7llu %6llu %6llu %6llu\n", (unsigned long long)t->actions[ACTION_ACCEPT],
		 (unsigned long long)t->actions[ACTION_TAG],
		 (unsigned long long)t->actions[ACTION_DEFER],
		 (unsigned long long)t->actions[ACTION_REJECT]);
}

/* A heading right-aligned in `columns`, as the numbers under it. */
static void print_heading(struct buf *out, const char *text, size_t columns)
{
	size_t width = utf8_width(span_of(text));
	for (size_t i = width; i < columns; i++)
		buf_addc(out, ' ');
	buf_adds(out, text);
}

void summary_print(const struct summary *s, enum lang lang, struct buf *out)
{
	static const struct {
		const char *text[2];
		size_t columns;
	} headings[] = {
		{{"messages", "邮件数"}, 9},   {{"commerc.", "商业类"}, 9}, {{"findings", "问题"}, 9},
		{{"must", "强制项"}, 9},       {{"score", "扣分"}, 8},      {{"compliance", "合规率"}, 12},
		{{"accept", "接受"}, 8},       {{"tag", "标记"}, 7},        {{"defer", "延迟"}, 7},
		{{"reject", "拒绝"}, 7},
	};
	print_cell(out, lang == LANG_ZH ? SPAN("发送者 (* 已备案)") : SPAN("sender (* registered)"), 34);
	for (size_t i = 0; i < sizeof(headings) / sizeof(headings[0]); i++)
		print_heading(out, headings[i].text[lang], headings[i].columns);
	buf_addc(out, '\n');
	if (s->n)
		qsort(s->all, s->n, sizeof(struct sender_total *), by_messages);
	for (size_t i = 0; i < s->n; i++) {
		char key[64];
		struct span name = utf8_cut(span_of(s->all[i]->key), sizeof(key) - 4);
		int n = snprintf(key, sizeof(key), "%s%.*s", s->all[i]->registered ? "* " : "",
				 SPAN_ARG(name));
		print_row(s->all[i], (struct span){key, (size_t)n}, out);
	}
	if (s->others.messages)
		print_row(&s->others, lang == LANG_ZH ? SPAN("(其他)") : SPAN("(others)"), out);
	print_row(&s->total, lang == LANG_ZH ? SPAN("合计") : SPAN("total"), out);
}

void summary_free(struct summary *s)
{
	if (!s)
		return;
	for (size_t i = 0; i < s->n; i++) {
		tdelete(s->all[i], &s->tree, by_key);
		free(s->all[i]->key);
		free(s->all[i]);
	}
	free(s->all);
	free(s);
}
