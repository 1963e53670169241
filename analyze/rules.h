/*
 * rules - a set of requirements, read from rule files, applied to facts.
 *
 * The language is assay-rules(5). A set is loaded as a whole or not at all; it never changes
 * afterwards, and several transactions may use it at once.
 *
 * Ownership: ruleset_load() .. ruleset_unref(); a transaction that is being judged holds a
 *            reference, so a reload takes effect between two messages.
 * Errors:    RULES_E_FAULTS: faults were printed as file:line:column; negative errno otherwise.
 */
#pragma once

#include "analyze/verdict.h"
#include "base/config.h"

enum { RULES_E_FAULTS = 1 };

struct ruleset;

/* `today_us` decides which adjustments have expired. */
__attribute__((warn_unused_result)) int ruleset_load(struct ruleset **set_r,
						     const struct config *config, int64_t today_us);
struct ruleset *ruleset_ref(struct ruleset *set);
void ruleset_unref(struct ruleset *set); /* accepts NULL */
const char *ruleset_hash(const struct ruleset *set);

/* What `explain` shows of a rule. */
struct rule_info {
	const char *name, *pack, *clause, *tell, *tell_zh, *file;
	unsigned line;
	enum level level;
	double score;
	bool off;      /* its pack is off */
	bool disabled; /* by a `disable` */
};
/* The rules that are judged, in the order of verdict.outcomes. */
size_t ruleset_count(const struct ruleset *set);
struct rule_info ruleset_rule(const struct ruleset *set, size_t i);
/* All that were read, those that are off too. */
void ruleset_each(const struct ruleset *set, void (*visit)(void *arg, const struct rule_info *rule),
		  void *arg);

/* Runs the tests inside the rules. `sample` gives the facts of a sample (NULL: it cannot be read);
 * `told` hears of each test. Returns how many failed. */
struct rule_tester {
	const struct facts *(*sample)(void *arg, struct span name);
	void (*told)(void *arg, const char *rule, const char *file, unsigned line, bool ok,
		     const char *what);
	void *arg;
};
unsigned ruleset_run_tests(const struct ruleset *set, const struct rule_tester *tester,
			   unsigned *run_r);

/* Judges. `partial` comes from the message; all memory from facts->arena. */
void ruleset_judge(const struct ruleset *set, const struct facts *facts, bool partial,
		   struct verdict *verdict);

/* limit SCOPE { N per UNIT ... } */
enum limit_scope { LIMIT_IP, LIMIT_NET, LIMIT_MAILFROM, LIMIT_DKIM, LIMIT_SENDER, LIMIT_SCOPES };
#define LIMIT_AT_ONCE 0 /* as a window: transactions that are under way together */
struct limit {
	uint64_t count;
	int64_t window_us; /* 60, 3600 or 86400 seconds, or LIMIT_AT_ONCE */
	bool dry_run;      /* refuses nobody, is counted and logged */
};
/* The limits of one scope, shortest window first. */
const struct limit *ruleset_limits(const struct ruleset *set, enum limit_scope scope,
				   size_t *n_r);
/* What a sender's limits are multiplied with when his standing is good, or poor; 1 by default. */
struct limit_standing {
	double relaxed, tightened;
};
struct limit_standing ruleset_standing(const struct ruleset *set);
/* The limits alone, as octets for another process of this program, which makes a set of them: its
 * limits are those of the first whatever the files say by then. -EBADMSG: they are no such octets. */
struct buf;
void ruleset_write_limits(const struct ruleset *set, struct buf *out);
__attribute__((warn_unused_result)) int ruleset_read_limits(struct ruleset **set_r,
							    struct span octets);
const char *limit_scope_name(enum limit_scope scope);
