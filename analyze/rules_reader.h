/*
 * rules_reader - what the files that read statements share: rules_parse.c and rules_limit.c.
 *
 * Errors: functions return false when they have told a fault.
 */
#pragma once

#include "analyze/rules_private.h"

/* One file under way. */
struct reader {
	struct ruleset *set;
	struct lexer l;
	struct span pack;
	bool in_braces; /* of the part that is being read */
};

bool fault(struct reader *r, struct place at, const char *what);
/* Before each member of { }: a statement that begins here means that '}' was forgotten. */
bool member_follows(struct reader *r);
bool expect(struct reader *r, const char *punct);
bool take_word(struct reader *r, const char *what, struct token *t_r);
bool take_score(struct reader *r, double *score_r);

bool rules_read_limit(struct reader *r); /* rules_limit.c, behind the word */
