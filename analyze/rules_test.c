/* The tests inside the rules: a sample's facts, overridden, must hit, miss or skip. */
#include <stdio.h>
#include <stdlib.h>

#include "analyze/rules_private.h"
#include "base/limits.h"

void rule_override_apply(const struct rule_override *o, struct facts *f)
{
	if (o->unknown) {
		facts_set_unknown(f, o->id);
		return;
	}
	switch (fact_infos[o->id].type) {
	case FACT_NUMBER:
		facts_set_number(f, o->id, o->number);
		break;
	case FACT_CONDITION:
		facts_set_condition(f, o->id, o->condition);
		break;
	case FACT_LIST:
		facts_set_list(f, o->id, o->list, o->n_list);
		break;
	default:
		facts_set_text(f, o->id, o->text);
	}
}

static const char *outcome_name(enum rule_outcome outcome)
{
	static const char *const names[] = {"does not apply", "misses", "hits", "is skipped"};
	return names[outcome];
}

static bool matches(enum rule_test_kind kind, enum rule_outcome outcome)
{
	switch (kind) {
	case TEST_HIT:
		return outcome == RULE_HIT;
	case TEST_MISS:
		return outcome == RULE_PASSED || outcome == RULE_NOT_APPLICABLE;
	default:
		return outcome == RULE_SKIPPED;
	}
}

static bool run_test(const struct rule *rule, const struct rule_test *test,
		     const struct rule_tester *tester, struct facts *f)
{
	char what[300];
	const struct facts *sample = NULL;
	struct arena arena;
	arena_init(&arena, LIMIT_RULE_FILE_BYTES);
	facts_init(f, &arena);
	if (test->sample.p) {
		sample = tester->sample(tester->arg, test->sample);
		if (sample) {
			*f = *sample;
			f->arena = &arena;
		}
	}
	for (const struct rule_override *o = test->overrides; o; o = o->next)
		rule_override_apply(o, f);
	enum rule_outcome outcome = rule_judge(rule, f);
	bool ok = (sample || !test->sample.p) && matches(test->kind, outcome);
	static const char *const kinds[] = {"hit", "miss", "skip"};
	snprintf(what, sizeof(what), "test %s%s%.*s: %s", kinds[test->kind],
		 test->sample.p ? " " : "", SPAN_ARG(test->sample),
		 test->sample.p && !sample ? "the sample cannot be read" : outcome_name(outcome));
	tester->told(tester->arg, rule->name.p, rule->at.file, test->at.line, ok, what);
	arena_free(&arena);
	return ok;
}

unsigned ruleset_run_tests(const struct ruleset *set, const struct rule_tester *tester,
			   unsigned *run_r)
{
	unsigned failed = 0, run = 0;
	struct facts *f = malloc(sizeof(*f));
	for (const struct rule *rule = set->first; rule && f; rule = rule->next)
		for (const struct rule_test *t = rule->tests; t; t = t->next, run++)
			failed += !run_test(rule, t, tester, f);
	free(f);
	*run_r = run;
	return failed;
}
