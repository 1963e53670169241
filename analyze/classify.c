/*
 * classify - marketing or not, commercial or transactional (Note 3).
 *
 * The models are linear, so the reasons are the features (class_features.c) with the largest
 * weight times value. Near the border both answers would be guesses: it abstains, and the facts
 * stay unknown.
 */
#include "analyze/classify.h"
#include "analyze/subject.h"
#include "analyze/tables.h"

#include <math.h>

/* Below this confidence no answer is given. */
#define SURE 0.70
#define REASONS 5

/* --- models --------------------------------------------------------------------------------- */

/* The weights of one bucket, or of one feature, in each model. */
struct weights {
	int8_t of[CLASS_MODELS];
};

static const struct class_table_head *table(const struct weights **weights_r)
{
	struct span t = table_class();
	const struct class_table_head *head = (const struct class_table_head *)(const void *)t.p;
	if (t.n != sizeof(*head) + CLASS_BUCKETS * sizeof(struct weights) || head->magic != CLASS_MAGIC ||
	    head->buckets != CLASS_BUCKETS)
		return NULL;
	*weights_r = (const struct weights *)(head + 1);
	return head;
}

/* Both scores at once, and each feature's weights: looking into the table is what costs. */
static void score(const struct class_table_head *head, const struct weights *all,
		  const struct class_features *f, double sums[CLASS_MODELS], struct weights *own)
{
	for (int model = 0; model < CLASS_MODELS; model++)
		sums[model] = head->bias[model];
	for (size_t i = 0; i < f->n; i++) {
		own[i] = all[f->v[i].bucket];
		for (int model = 0; model < CLASS_MODELS; model++)
			sums[model] += (double)f->v[i].value * own[i].of[model] *
				       (double)head->scale[model];
	}
}

static double probability(const struct class_table_head *head, double s, enum class_model model)
{
	return 1 / (1 + exp(-((double)head->a[model] * s + (double)head->b[model])));
}

/* The features that speak loudest for the answer. */
static void set_reasons(const struct content *c, const struct class_features *f, const struct weights *w,
			enum class_model model, int sign, struct facts *facts)
{
	struct span *list = ARENA_ARRAY(c->arena, struct span, REASONS);
	float weight[REASONS];
	size_t n = 0;
	for (size_t i = 0; list && i < f->n; i++) {
		float v = f->v[i].value * (float)(w[i].of[model] * sign);
		if (v <= 0 || !f->v[i].text.n || (n == REASONS && v <= weight[REASONS - 1]))
			continue;
		bool twice = false;
		for (size_t k = 0; k < n; k++)
			twice |= span_eq(list[k], f->v[i].text);
		if (twice)
			continue;
		size_t at = n < REASONS ? n++ : REASONS - 1;
		for (; at > 0 && weight[at - 1] < v; at--) {
			weight[at] = weight[at - 1];
			list[at] = list[at - 1];
		}
		weight[at] = v;
		list[at] = f->v[i].text;
	}
	facts_set_list(facts, F_CLASS_REASONS, list, n);
}

static const char *sub_class(const struct content *c, bool commercial)
{
	static const struct {
		enum phrase_kind kind;
		const char *sub;
	} com[] = {{PHRASE_PERIODIC, "periodic"},
		   {PHRASE_PROMO, "promo"},
		   {PHRASE_MEMBER, "member"}},
	  trans[] = {{PHRASE_ACCOUNT, "account"},
		     {PHRASE_ORDER, "order"},
		     {PHRASE_BILLING, "billing"}};
	const char *best = "other";
	uint32_t most = 0;
	for (size_t i = 0; i < 3; i++) {
		uint32_t n = c->shown.hits.count[commercial ? com[i].kind : trans[i].kind];
		if (n > most) {
			most = n;
			best = commercial ? com[i].sub : trans[i].sub;
		}
	}
	return best;
}

/* Fewer different words than this, and nothing to follow or to look at, say nothing of a class:
 * empty mails, test mails of one word over and over. */
#define WORDS_ENOUGH 3
#define WORDS_READ 100000 /* octets; a flood of one word ends here */

static size_t different_words(struct span folded, uint32_t *seen, size_t n)
{
	struct subject_gram term;
	struct span word;
	size_t at = 0;
	folded = span_sub(folded, 0, WORDS_READ);
	while (n < WORDS_ENOUGH && subject_next_term(folded, &at, &term, &word)) {
		size_t i = 0;
		while (i < n && seen[i] != term.hash)
			i++;
		seen[i] = term.hash;
		n += i == n;
	}
	return n;
}

static bool says_something(const struct content *c)
{
	const struct message *m = c->message;
	const struct reading *readings[] = {&c->shown, &c->other};
	uint32_t seen[WORDS_ENOUGH + 1];
	size_t n = 0;
	for (size_t i = 0; i < 2; i++) {
		const struct view *v = &readings[i]->view;
		if (v->n_links || v->n_written || v->images || v->forms)
			return true;
		n = different_words(readings[i]->text.text, seen, n);
		n = different_words(readings[i]->alt.text, seen, n);
	}
	for (size_t i = 0; i < m->n_parts; i++)
		if (m->parts[i].flags & PART_ATTACHMENT)
			return true;
	if (n < WORDS_ENOUGH && m->subject.p)
		n = different_words(subject_bare(c->arena, m->subject), seen, n);
	return n >= WORDS_ENOUGH;
}

void class_facts(struct content *c, const struct txn *txn, struct facts *f)
{
	static const struct span nothing[] = {{"no content", sizeof("no content") - 1}};
	const struct weights *all;
	const struct class_table_head *head = table(&all);
	if (!head || !c->readable) {
		facts_set_unknown(f, F_CLASS_MARKETING);
		facts_set_unknown(f, F_CLASS_KIND);
		return;
	}
	if (!says_something(c)) {
		facts_set_list(f, F_CLASS_REASONS, nothing, 1);
		return;
	}
	struct class_features features = class_features(c, txn, true);
	struct weights *own = arena_room(c->arena, (features.n + 1) * sizeof(*own));
	double scores[CLASS_MODELS];
	if (!own)
		return;
	score(head, all, &features, scores, own);
	double marketing = probability(head, scores[CLASS_MARKETING_MODEL], CLASS_MARKETING_MODEL);
	if (marketing < SURE && marketing > 1 - SURE)
		return; /* all unknown: it could be either */
	bool is_marketing = marketing >= SURE;
	facts_set_condition(f, F_CLASS_MARKETING, is_marketing);
	if (!is_marketing) {
		facts_set_absent(f, F_CLASS_KIND);
		facts_set_absent(f, F_CLASS_SUB);
		facts_set_number(f, F_CLASS_P, 1 - marketing);
		set_reasons(c, &features, own, CLASS_MARKETING_MODEL, -1, f);
		return;
	}
	double commercial = probability(head, scores[CLASS_KIND_MODEL], CLASS_KIND_MODEL);
	bool is_commercial = commercial >= 0.5;
	double p = is_commercial ? commercial : 1 - commercial;
	if (p < SURE) {
		set_reasons(c, &features, own, CLASS_MARKETING_MODEL, 1, f);
		return;
	}
	facts_set_text(f, F_CLASS_KIND, is_commercial ? SPAN("commercial") : SPAN("transactional"));
	facts_set_text(f, F_CLASS_SUB, span_of(sub_class(c, is_commercial)));
	facts_set_number(f, F_CLASS_P, p * marketing);
	set_reasons(c, &features, own, CLASS_KIND_MODEL, is_commercial ? 1 : -1, f);
}
