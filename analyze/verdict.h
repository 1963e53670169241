/*
 * verdict - what the rules make of one transaction.
 *
 * Ownership: lies in the transaction's arena; names and texts belong to the rule set, which the
 *            analysis holds.
 */
#pragma once

#include "analyze/facts.h"

enum level { LEVEL_MUST, LEVEL_SHOULD, LEVEL_MAY, LEVEL_INFO, LEVEL_REVIEW };
enum action { ACTION_ACCEPT, ACTION_TAG, ACTION_DEFER, ACTION_REJECT };

const char *level_name(enum level level);    /* "must" ... */
const char *action_name(enum action action); /* "accept" ... */

/* What became of one rule. */
enum rule_outcome {
	RULE_NOT_APPLICABLE, /* its `applies` is false */
	RULE_PASSED,         /* judged: the requirement is met */
	RULE_HIT,            /* judged: a finding */
	RULE_SKIPPED,        /* a fact it needs is unknown */
};

struct evidence_item {
	struct span fact; /* name */
	struct evidence evidence;
};

struct finding {
	const char *rule, *clause;
	enum level level;
	double score;
	const char *tell, *tell_zh; /* tell_zh falls back to tell */
	const struct evidence_item *evidence;
	size_t n_evidence;
};

struct verdict {
	const struct finding *findings;
	size_t n_findings;
	const enum rule_outcome *outcomes; /* one per rule of the set, in its order */
	size_t n_rules;
	const struct span *unjudged; /* names of unknown facts that rules needed */
	size_t n_unjudged;
	double score;      /* sum of the findings' scores */
	double compliance; /* percent: weight passed / weight judged; NaN when none was judged */
	enum action action;
	bool partial;
	const char *ruleset; /* hash of the rules, hexadecimal */
};
