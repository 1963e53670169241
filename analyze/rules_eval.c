/*
 * Judging: three truth values (Kleene's). A rule whose outcome hangs on an unknown fact is
 * skipped; one that is decided without it is judged. The sub-expressions that made a rule true are
 * its evidence.
 */
#include <math.h>
#include <stdio.h>

#include "analyze/rules_private.h"
#include "base/buf.h"
#include "base/limits.h"
#include "base/utf8.h"

enum truth { FALSE, TRUE, UNKNOWN };

static struct fact fact_of(const struct facts *f, enum fact_id id, struct span header)
{
	return id == FACT_COUNT ? facts_header(f, header) : f->v[id];
}

static enum truth truth_of(bool v)
{
	return v ? TRUE : FALSE;
}

static enum truth compare(const struct expr *e, const struct fact *fact)
{
	bool known = fact->state == FACT_KNOWN;
	if (e->id != FACT_COUNT && fact_infos[e->id].type == FACT_NUMBER) {
		double v = known ? fact->number : 0;
		switch (e->op) {
		case OP_EQ:
			return truth_of(v == e->number);
		case OP_NE:
			return truth_of(v != e->number);
		case OP_LT:
			return truth_of(v < e->number);
		case OP_GT:
			return truth_of(v > e->number);
		case OP_LE:
			return truth_of(v <= e->number);
		case OP_GE:
			return truth_of(v >= e->number);
		}
	}
	bool same = span_eq(known ? fact->text : SPAN(""), e->text);
	return truth_of(e->op == OP_EQ ? same : !same);
}

static bool is_list(const struct expr *e)
{
	return e->id != FACT_COUNT && fact_infos[e->id].type == FACT_LIST;
}

static enum truth in(const struct expr *e, const struct fact *fact, struct arena *scratch)
{
	bool found = false;
	if (fact->state != FACT_KNOWN)
		return FALSE;
	if (!e->list) {
		for (size_t i = 0; i < fact->list.n; i++)
			found |= span_case_eq(fact->list.v[i], e->text);
	} else if (is_list(e)) {
		for (size_t i = 0; i < fact->list.n; i++)
			found |= rule_list_has(e->list, fact->list.v[i], scratch);
	} else {
		found = rule_list_has(e->list, fact->text, scratch);
	}
	return truth_of(found);
}

static enum truth match(const struct expr *e, const struct fact *fact)
{
	bool found = false;
	if (is_list(e)) {
		for (size_t i = 0; fact->state == FACT_KNOWN && i < fact->list.n; i++)
			found |= pattern_matches(e->pattern, fact->list.v[i]);
	} else {
		found = pattern_matches(e->pattern,
					fact->state == FACT_KNOWN ? fact->text : SPAN(""));
	}
	return truth_of(found);
}

/* The parser bounds 'not', '(' and operands, and so the depth of this. */
static enum truth eval(const struct expr *e, const struct facts *f)
{
	enum truth left, right;
	struct fact fact;
	switch (e->kind) {
	case EXPR_AND:
		left = eval(e->left, f);
		if (left == FALSE)
			return FALSE;
		right = eval(e->right, f);
		return right == FALSE ? FALSE : left == UNKNOWN || right == UNKNOWN ? UNKNOWN : TRUE;
	case EXPR_OR:
		left = eval(e->left, f);
		if (left == TRUE)
			return TRUE;
		right = eval(e->right, f);
		return right == TRUE ? TRUE : left == UNKNOWN || right == UNKNOWN ? UNKNOWN : FALSE;
	case EXPR_NOT:
		left = eval(e->left, f);
		return left == UNKNOWN ? UNKNOWN : left == TRUE ? FALSE : TRUE;
	default:
		break;
	}
	fact = fact_of(f, e->id, e->header);
	if (fact.state == FACT_UNKNOWN)
		return UNKNOWN;
	switch (e->kind) {
	case EXPR_FACT:
		return truth_of(fact.state == FACT_KNOWN && fact.condition);
	case EXPR_IN:
		return in(e, &fact, f->arena);
	case EXPR_MATCH:
		return match(e, &fact);
	default:
		return compare(e, &fact);
	}
}

enum rule_outcome rule_judge(const struct rule *rule, const struct facts *f)
{
	enum truth applies = rule->applies ? eval(rule->applies, f) : TRUE;
	if (applies == FALSE)
		return RULE_NOT_APPLICABLE;
	enum truth unless = rule->unless ? eval(rule->unless, f) : FALSE;
	if (unless == TRUE)
		return RULE_NOT_APPLICABLE;
	enum truth when = eval(rule->when, f);
	if (applies == TRUE && when == FALSE)
		return RULE_PASSED;
	if (applies == UNKNOWN || unless == UNKNOWN || when == UNKNOWN)
		return RULE_SKIPPED;
	return RULE_HIT;
}

/* --- evidence --------------------------------------------------------------------- */

struct collector {
	const struct facts *f;
	struct evidence_item items[LIMIT_EVIDENCE];
	size_t n;
};

/* A fact without a place in the message shows its value. */
static struct span value_text(const struct fact *fact, enum fact_type type, struct arena *a)
{
	if (fact->state == FACT_ABSENT)
		return type == FACT_NUMBER ? SPAN("0") : SPAN("none");
	switch (type) {
	case FACT_NUMBER:
		return arena_printf(a, "%.10g", fact->number);
	case FACT_CONDITION:
		return fact->condition ? SPAN("yes") : SPAN("no");
	case FACT_LIST: {
		struct buf text = BUF_INIT;
		for (size_t i = 0; i < fact->list.n && text.n < LIMIT_EVIDENCE_BYTES; i++) {
			buf_adds(&text, i ? ", " : "");
			buf_add(&text, fact->list.v[i]);
		}
		struct span s = arena_copy(a, buf_span(&text));
		buf_free(&text);
		return s;
	}
	default:
		return fact->text;
	}
}

static void add_evidence(struct collector *c, enum fact_id id, struct span header, struct span name)
{
	for (size_t i = 0; i < c->n; i++)
		if (span_eq(c->items[i].fact, name))
			return;
	if (c->n == LIMIT_EVIDENCE)
		return;
	struct fact fact = fact_of(c->f, id, header);
	if (fact.state == FACT_UNKNOWN)
		return;
	struct evidence e = fact.evidence;
	if (!e.text.p) {
		e.text = value_text(&fact, id == FACT_COUNT ? FACT_TEXT : fact_infos[id].type,
				    c->f->arena);
		if (fact.state == FACT_ABSENT)
			e = (struct evidence){e.text, -1, 0, NULL};
	}
	for (const struct evidence *at = &e; at && c->n < LIMIT_EVIDENCE; at = at->next) {
		struct evidence_item *item = &c->items[c->n++];
		*item = (struct evidence_item){name, *at};
		item->evidence.text = utf8_cut(at->text, LIMIT_EVIDENCE_BYTES);
	}
}

/* The leaves that made `e` what it is. */
static void collect(struct collector *c, const struct expr *e, bool wanted)
{
	switch (e->kind) {
	case EXPR_NOT:
		collect(c, e->left, !wanted);
		return;
	case EXPR_AND:
	case EXPR_OR:
		for (int i = 0; i < 2; i++) {
			const struct expr *side = i ? e->right : e->left;
			if (eval(side, c->f) == truth_of(wanted))
				collect(c, side, wanted);
		}
		return;
	default:
		add_evidence(c, e->id, e->header, e->name);
	}
}

static void make_finding(const struct rule *rule, const struct facts *f, struct finding *finding)
{
	struct collector c = {.f = f};
	for (size_t i = 0; i < rule->n_show; i++)
		add_evidence(&c, rule->show[i].id, rule->show[i].header, rule->show[i].name);
	collect(&c, rule->when, true);
	struct evidence_item *items = ARENA_ARRAY(f->arena, struct evidence_item, c.n + 1);
	if (items)
		memcpy(items, c.items, c.n * sizeof(*items));
	*finding = (struct finding){
		.rule = rule->name.p, .clause = rule->clause->number, .level = rule->level,
		.score = rule->score, .tell = rule->tell.p,
		.tell_zh = rule->tell_zh.p ? rule->tell_zh.p : rule->tell.p,
		.evidence = items, .n_evidence = items ? c.n : 0,
	};
}

/* --- verdict ------------------------------------------------------------------------ */

struct unjudged {
	struct span *v;
	size_t n, cap;
};

static void add_unknown(struct unjudged *u, const struct expr *e, const struct facts *f)
{
	if (!e)
		return;
	if (e->kind == EXPR_AND || e->kind == EXPR_OR || e->kind == EXPR_NOT) {
		add_unknown(u, e->left, f);
		add_unknown(u, e->right, f);
		return;
	}
	if (fact_of(f, e->id, e->header).state != FACT_UNKNOWN)
		return;
	for (size_t i = 0; i < u->n; i++)
		if (span_eq(u->v[i], e->name))
			return;
	if (arena_grow(f->arena, (void **)&u->v, u->n, &u->cap, sizeof(*u->v)))
		u->v[u->n++] = e->name;
}

static enum action action_of(const struct ruleset *set, double score)
{
	for (int a = ACTION_REJECT; a > ACTION_ACCEPT; a--)
		if (score >= set->levels[a])
			return (enum action)a;
	return ACTION_ACCEPT;
}

void ruleset_judge(const struct ruleset *set, const struct facts *f, bool partial,
		   struct verdict *v)
{
	struct finding *findings = ARENA_ARRAY(f->arena, struct finding, set->n + 1);
	enum rule_outcome *outcomes = ARENA_ARRAY(f->arena, enum rule_outcome, set->n + 1);
	struct unjudged unjudged = {0};
	double passed = 0, judged = 0;
	*v = (struct verdict){.partial = partial, .ruleset = set->hash, .compliance = NAN};
	if (!findings || !outcomes) {
		v->partial = true;
		return;
	}
	for (size_t i = 0; i < set->n; i++) {
		const struct rule *rule = set->rules[i];
		outcomes[i] = rule_judge(rule, f);
		if (outcomes[i] == RULE_HIT) {
			make_finding(rule, f, &findings[v->n_findings++]);
			v->score += rule->score;
			judged += rule->score;
		} else if (outcomes[i] == RULE_PASSED) {
			passed += rule->score;
			judged += rule->score;
		} else if (outcomes[i] == RULE_SKIPPED) {
			add_unknown(&unjudged, rule->applies, f);
			add_unknown(&unjudged, rule->unless, f);
			add_unknown(&unjudged, rule->when, f);
		}
	}
	v->findings = findings;
	v->outcomes = outcomes;
	v->n_rules = set->n;
	v->unjudged = unjudged.v;
	v->n_unjudged = unjudged.n;
	/* 64.300000000000001 is no score: two decimals are kept */
	v->score = round(v->score * 100) / 100;
	if (judged > 0)
		v->compliance = round(passed / judged * 1000) / 10;
	v->action = action_of(set, v->score);
}
