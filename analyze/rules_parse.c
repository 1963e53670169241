/*
 * The statements of a rule file. One fault is told for each part of a rule and for each other
 * statement; reading goes on behind it, so that one run of `assay check` shows all.
 */
#include "analyze/rules_reader.h"

#include <errno.h>
#include <math.h>

#include "base/buf.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/limits.h"
#include "base/utf8.h"

static const char *const statements[] = {"rule", "adjust", "disable", "levels", "limit"};
#define N_STATEMENTS (sizeof(statements) / sizeof(statements[0]))

static bool at_statement(const struct reader *r)
{
	for (size_t i = 0; i < N_STATEMENTS; i++)
		if (r->l.token.first && at(&r->l, statements[i]))
			return true;
	return false;
}

bool fault(struct reader *r, struct place at, const char *what)
{
	diag_error(r->set->diag, at, "%s", what);
	return false;
}

bool member_follows(struct reader *r)
{
	return !at_statement(r) ||
	       fault(r, r->l.token.at, "'}' is missing before this statement");
}

bool expect(struct reader *r, const char *punct)
{
	if (take(&r->l, punct))
		return true;
	if (r->l.token.kind != TOKEN_FAULT)
		diag_error(r->set->diag, r->l.token.at, "'%s' is missing before %s", punct,
			   token_name(&r->l.token));
	return false;
}

bool take_word(struct reader *r, const char *what, struct token *t_r)
{
	if (r->l.token.kind != TOKEN_WORD) {
		if (r->l.token.kind != TOKEN_FAULT)
			diag_error(r->set->diag, r->l.token.at, "%s is missing before %s", what,
				   token_name(&r->l.token));
		return false;
	}
	*t_r = step(&r->l);
	return true;
}

static bool take_text(struct reader *r, const char *what, struct span *text_r)
{
	if (r->l.token.kind != TOKEN_TEXT) {
		if (r->l.token.kind != TOKEN_FAULT)
			diag_error(r->set->diag, r->l.token.at, "%s in quotes is missing before %s", what,
				   token_name(&r->l.token));
		return false;
	}
	*text_r = arena_copy(&r->set->arena, step(&r->l).text);
	return true;
}

bool take_score(struct reader *r, double *score_r)
{
	struct token t;
	uint64_t whole, hundredths = 0;
	if (!take_word(r, "a score", &t))
		return false;
	size_t dot = span_find_char(t.text, '.');
	struct span fraction = span_sub(t.text, dot == SIZE_MAX ? t.text.n : dot + 1, t.text.n);
	bool ok = span_number(span_sub(t.text, 0, dot), 1000, &whole) &&
		  (dot == SIZE_MAX || (fraction.n <= 2 && span_number(fraction, 99, &hundredths)));
	if (!ok)
		return fault(r, t.at, "a score is a number from 0 to 1000 with at most two decimals");
	*score_r = (double)whole + (double)hundredths / (fraction.n == 1 ? 10 : 100);
	return true;
}

static bool take_level(struct reader *r, enum level *level_r)
{
	struct token t;
	if (!take_word(r, "a level", &t))
		return false;
	struct diag_guess g = diag_guess(t.text);
	for (int i = LEVEL_MUST; i <= LEVEL_REVIEW; i++) {
		*level_r = (enum level)i;
		if (span_eq(t.text, span_of(level_name(*level_r))))
			return true;
		diag_guess_try(&g, span_of(level_name(*level_r)));
	}
	diag_error(r->set->diag, t.at, "unknown level %s%s", token_name(&t), diag_guess_text(&g));
	return false;
}

/* --- tests inside rules ----------------------------------------------------------- */

/* "x" or ("x" "y") or (). */
static bool read_list_value(struct reader *r, struct rule_override *o)
{
	struct span *list = NULL;
	size_t cap = 0;
	bool round = take(&r->l, "(");
	do {
		struct token t = r->l.token;
		if (round && take(&r->l, ")"))
			break;
		if (t.kind != TOKEN_TEXT) {
			if (t.kind != TOKEN_FAULT)
				diag_error(r->set->diag, t.at, "a list holds texts in quotes, not %s",
					   token_name(&t));
			return false;
		}
		if (!expr_check_word(r->set, o->id, &t) ||
		    !arena_grow(&r->set->arena, (void **)&list, o->n_list, &cap, sizeof(*list)))
			return false;
		list[o->n_list++] = step(&r->l).text;
	} while (round);
	o->list = list;
	return true;
}

static bool read_value(struct reader *r, struct rule_override *o, struct span name)
{
	struct token t = r->l.token;
	enum fact_type type = fact_infos[o->id].type;
	bool word = t.kind == TOKEN_WORD, ok = false;
	o->unknown = word && span_eq(t.text, SPAN("unknown"));
	if (!o->unknown && type == FACT_LIST)
		return read_list_value(r, o);
	if (o->unknown) {
		ok = true;
	} else if (type == FACT_NUMBER) {
		ok = word && parse_decimal(t.text, &o->number);
	} else if (type == FACT_CONDITION) {
		o->condition = word && span_eq(t.text, SPAN("true"));
		ok = o->condition || (word && span_eq(t.text, SPAN("false")));
	} else {
		ok = t.kind == TOKEN_TEXT || (word && type == FACT_WORD);
	}
	if (!ok) {
		if (t.kind != TOKEN_FAULT)
			diag_error(r->set->diag, t.at, "%s is no value of the %s '%.*s'",
				   token_name(&t), fact_type_name(type), SPAN_ARG(name));
		return false;
	}
	if (!o->unknown && type == FACT_WORD && !expr_check_word(r->set, o->id, &t))
		return false;
	o->text = t.text;
	step(&r->l);
	return true;
}

/* { fact = value ... } */
static bool read_overrides(struct reader *r, struct rule_test *test)
{
	r->in_braces = take(&r->l, "{");
	if (!r->in_braces)
		return true;
	while (!take(&r->l, "}")) {
		struct rule_override *o = ARENA_NEW(&r->set->arena, struct rule_override);
		struct span header, name;
		struct place at = r->l.token.at;
		if (!o || !expr_read_fact(r->set, &r->l, &o->id, &header, &name))
			return false;
		if (o->id == FACT_COUNT)
			return fault(r, at, "a test sets facts, not header fields");
		if (!expect(r, "=") || !read_value(r, o, name))
			return false;
		o->next = test->overrides;
		test->overrides = o;
	}
	r->in_braces = false;
	return true;
}

static bool read_test(struct reader *r, struct rule *rule)
{
	static const char *const kinds[] = {"hit", "miss", "skip"};
	struct rule_test *test = ARENA_NEW(&r->set->arena, struct rule_test);
	struct token t;
	if (!test || !take_word(r, "hit, miss or skip", &t))
		return false;
	struct diag_guess g = diag_guess(t.text);
	test->kind = TEST_SKIP + 1;
	for (int i = TEST_HIT; i <= TEST_SKIP; i++) {
		if (span_eq(t.text, span_of(kinds[i])))
			test->kind = (enum rule_test_kind)i;
		diag_guess_try(&g, span_of(kinds[i]));
	}
	if (test->kind > TEST_SKIP) {
		diag_error(r->set->diag, t.at, "a test is hit, miss or skip, not %s%s", token_name(&t),
			   diag_guess_text(&g));
		return false;
	}
	test->at = t.at;
	if (r->l.token.kind == TOKEN_TEXT)
		test->sample = step(&r->l).text;
	else if (!at(&r->l, "{"))
		return fault(r, r->l.token.at, "a test needs a sample in quotes or { facts }");
	if (!read_overrides(r, test))
		return false;
	struct rule_test **last = &rule->tests;
	while (*last)
		last = &(*last)->next;
	*last = test;
	return true;
}

/* --- rule ----------------------------------------------------------------------------- */

static bool read_clause(struct reader *r, struct rule *rule)
{
	struct token t;
	/* "2.1.1(1)" is four tokens to the lexer */
	if (!take_word(r, "the number of a clause", &t))
		return false;
	if (take(&r->l, "(")) {
		struct token item;
		if (!take_word(r, "the number of an item", &item) || !expect(r, ")"))
			return false;
		t.text = arena_printf(&r->set->arena, "%.*s(%.*s)", SPAN_ARG(t.text),
				      SPAN_ARG(item.text));
	}
	rule->clause = clause_find(t.text);
	if (rule->clause)
		return true;
	struct diag_guess g = diag_guess(t.text);
	for (size_t i = 0; i < CLAUSE_COUNT; i++)
		diag_guess_try(&g, span_of(clauses[i].number));
	diag_error(r->set->diag, t.at, "unknown clause %s%s", token_name(&t), diag_guess_text(&g));
	return false;
}

static bool read_show(struct reader *r, struct rule *rule)
{
	do {
		if (rule->n_show == LIMIT_EVIDENCE)
			return fault(r, r->l.token.at, "more than 8 facts to show");
		if (!expr_read_fact(r->set, &r->l, &rule->show[rule->n_show].id,
				    &rule->show[rule->n_show].header,
				    &rule->show[rule->n_show].name))
			return false;
		rule->n_show++;
	} while (r->l.token.kind == TOKEN_WORD && !r->l.token.first);
	return true;
}

static bool read_expr(struct reader *r, struct expr **e)
{
	if (*e)
		return fault(r, r->l.token.at, "said twice in one rule");
	*e = expr_read(r->set, &r->l);
	return *e != NULL;
}

static const char *const parts[] = {"clause", "applies", "when",    "unless", "score",
				    "level",  "tell",	 "tell.zh", "show",   "test"};
#define N_PARTS (sizeof(parts) / sizeof(parts[0]))

static bool read_part(struct reader *r, struct rule *rule)
{
	struct token t;
	if (!take_word(r, "'}' or a part of the rule", &t))
		return false;
	size_t i = 0;
	while (i < N_PARTS && !span_eq(t.text, span_of(parts[i])))
		i++;
	switch (i) {
	case 0:
		return read_clause(r, rule);
	case 1:
		return read_expr(r, &rule->applies);
	case 2:
		return read_expr(r, &rule->when);
	case 3:
		return read_expr(r, &rule->unless);
	case 4:
		rule->has_score = true;
		return take_score(r, &rule->score);
	case 5:
		rule->has_level = true;
		return take_level(r, &rule->level);
	case 6:
		return take_text(r, "a text", &rule->tell);
	case 7:
		return take_text(r, "a text", &rule->tell_zh);
	case 8:
		return read_show(r, rule);
	case 9:
		return read_test(r, rule);
	default:
		break;
	}
	struct diag_guess g = diag_guess(t.text);
	for (i = 0; i < N_PARTS; i++)
		diag_guess_try(&g, span_of(parts[i]));
	diag_error(r->set->diag, t.at, "a rule has no part %s%s", token_name(&t),
		   diag_guess_text(&g));
	return false;
}

/* Behind a fault: to the rule's next part, its end, or the next statement. */
static void skip_part(struct reader *r)
{
	for (; r->l.token.kind != TOKEN_END && !at_statement(r); lexer_next(&r->l)) {
		if (at(&r->l, "}") && !r->in_braces)
			break;
		if (at(&r->l, "}"))
			r->in_braces = false;
		struct diag_guess g = diag_guess(r->l.token.text);
		for (size_t i = 0; i < N_PARTS && !r->in_braces; i++) {
			if (at(&r->l, parts[i]))
				return;
			diag_guess_try(&g, span_of(parts[i]));
		}
		if (r->l.token.first && r->l.token.kind == TOKEN_WORD && *diag_guess_text(&g))
			return; /* "scor 3": read_part says what is wrong with it */
	}
	r->in_braces = false;
}

static bool has_test(const struct rule *rule, enum rule_test_kind kind)
{
	for (const struct rule_test *t = rule->tests; t; t = t->next)
		if (t->kind == kind)
			return true;
	return false;
}

static bool check_rule(struct reader *r, const struct rule *rule)
{
	const struct {
		bool there;
		const char *part;
	} musts[] = {{rule->clause != NULL, "clause"},	 {rule->when != NULL, "when"},
		     {rule->has_score, "score"},	 {rule->tell.n > 0, "tell"},
		     {has_test(rule, TEST_HIT), "test hit"}, {has_test(rule, TEST_MISS), "test miss"}};
	for (size_t i = 0; i < sizeof(musts) / sizeof(musts[0]); i++)
		if (!musts[i].there) {
			diag_error(r->set->diag, rule->at, "rule '%.*s' has no '%s'",
				   SPAN_ARG(rule->name), musts[i].part);
			return false;
		}
	for (const struct rule *other = r->set->first; other; other = other->next)
		if (span_eq(other->name, rule->name)) {
			diag_error(r->set->diag, rule->at,
				   "rule '%.*s' is there already (%s:%u); 'adjust' changes it",
				   SPAN_ARG(rule->name), other->at.file, other->at.line);
			return false;
		}
	return true;
}

static bool read_rule(struct reader *r)
{
	struct rule *rule = ARENA_NEW(&r->set->arena, struct rule);
	struct token name;
	if (!rule || !take_word(r, "the name of the rule", &name) || !expect(r, "{"))
		return false;
	rule->name = arena_copy(&r->set->arena, name.text);
	rule->at = name.at;
	rule->at.file = arena_str(&r->set->arena, span_of(name.at.file));
	rule->pack = r->pack;
	bool whole = true;
	while (!take(&r->l, "}")) {
		if (!member_follows(r))
			return false;
		if (read_part(r, rule))
			continue;
		whole = false;
		skip_part(r);
		if (r->l.token.kind == TOKEN_END || at_statement(r))
			return false;
	}
	if (!whole || !check_rule(r, rule))
		return false;
	if (!rule->has_level)
		rule->level = rule->clause->level;
	*r->set->last = rule;
	r->set->last = &rule->next;
	return true;
}

/* --- local tuning ---------------------------------------------------------------------------- */

static bool read_adjust(struct reader *r, bool disable)
{
	static const char *const words[] = {"reason", "until", "score", "level"};
	struct rule_adjust *a = ARENA_NEW(&r->set->arena, struct rule_adjust);
	struct token name, t;
	if (!a || !take_word(r, "the name of a rule", &name) || !expect(r, "{"))
		return false;
	*a = (struct rule_adjust){.rule = name.text, .at = name.at, .disable = disable};
	a->at.file = arena_str(&r->set->arena, span_of(name.at.file));
	while (!take(&r->l, "}")) {
		bool ok;
		if (!member_follows(r) || !take_word(r, "'}'", &t))
			return false;
		if (span_eq(t.text, SPAN("reason"))) {
			ok = take_text(r, "a reason", &a->reason);
		} else if (span_eq(t.text, SPAN("until"))) {
			a->has_until = true;
			ok = take_word(r, "a day (2027-01-31)", &t);
			a->until_at = t.at;
			a->until_at.file = a->at.file;
			if (ok && !clock_parse_day(t.text, &a->until_us))
				ok = fault(r, t.at, "a day is written 2027-01-31");
		} else if (!disable && span_eq(t.text, SPAN("score"))) {
			a->has_score = true;
			ok = take_score(r, &a->score);
		} else if (!disable && span_eq(t.text, SPAN("level"))) {
			a->has_level = true;
			ok = take_level(r, &a->level);
		} else {
			struct diag_guess g = diag_guess(t.text);
			for (size_t i = 0; i < (disable ? 2 : 4); i++)
				diag_guess_try(&g, span_of(words[i]));
			diag_error(r->set->diag, t.at, "%s has no part %s%s",
				   disable ? "disable" : "adjust", token_name(&t), diag_guess_text(&g));
			ok = false;
		}
		if (!ok)
			return false;
	}
	if (!a->reason.n)
		return fault(r, a->at, "a reason is missing: who reads this next year wants to know");
	*r->set->last_adjust = a;
	r->set->last_adjust = &a->next;
	return true;
}

static bool read_levels(struct reader *r)
{
	double levels[4] = {0, INFINITY, INFINITY, INFINITY};
	struct token t;
	if (!expect(r, "{"))
		return false;
	while (!take(&r->l, "}")) {
		if (!member_follows(r) || !take_word(r, "tag, defer or reject", &t))
			return false;
		struct diag_guess g = diag_guess(t.text);
		int a = ACTION_TAG;
		for (; a <= ACTION_REJECT; a++) {
			diag_guess_try(&g, span_of(action_name((enum action)a)));
			if (span_eq(t.text, span_of(action_name((enum action)a))))
				break;
		}
		if (a > ACTION_REJECT) {
			diag_error(r->set->diag, t.at, "unknown action %s%s", token_name(&t),
				   diag_guess_text(&g));
			return false;
		}
		if (!take(&r->l, "never") && !take_score(r, &levels[a]))
			return false;
	}
	memcpy(r->set->levels, levels, sizeof(levels)); /* the last one read wins */
	return true;
}

static bool read_statement(struct reader *r)
{
	struct token t = step(&r->l);
	if (t.kind == TOKEN_WORD && span_eq(t.text, SPAN("rule")))
		return read_rule(r);
	if (t.kind == TOKEN_WORD && span_eq(t.text, SPAN("adjust")))
		return read_adjust(r, false);
	if (t.kind == TOKEN_WORD && span_eq(t.text, SPAN("disable")))
		return read_adjust(r, true);
	if (t.kind == TOKEN_WORD && span_eq(t.text, SPAN("levels")))
		return read_levels(r);
	if (t.kind == TOKEN_WORD && span_eq(t.text, SPAN("limit")))
		return rules_read_limit(r);
	struct diag_guess g = diag_guess(t.text);
	for (size_t i = 0; i < N_STATEMENTS; i++)
		diag_guess_try(&g, span_of(statements[i]));
	if (t.kind != TOKEN_FAULT)
		diag_error(r->set->diag, t.at, "unknown statement %s%s", token_name(&t),
			   diag_guess_text(&g));
	return false;
}

/* The tokens of a file are its meaning: blanks and comments do not change the hash. */
static void hash_tokens(struct ruleset *set, const char *path, struct span octets)
{
	struct lexer l;
	struct arena scratch;
	arena_init(&scratch, LIMIT_RULE_FILE_BYTES * 4);
	lexer_init(&l, &scratch, NULL, path, octets);
	for (; l.token.kind != TOKEN_END; lexer_next(&l)) {
		buf_addc(set->hash_text, ' ');
		buf_add(set->hash_text, l.token.raw);
	}
	arena_free(&scratch);
}

void rules_read_file(struct ruleset *set, const char *path, struct span pack)
{
	struct reader r = {.set = set, .pack = pack};
	struct file_view view;
	int error = file_view_open(path, LIMIT_RULE_FILE_BYTES, &view);
	if (error < 0) {
		diag_error(set->diag, (struct place){path, 0, 0}, "%s", strerror(-error));
		return;
	}
	/* texts and names of rules outlive the file */
	struct span octets = arena_copy(&set->arena, view.bytes);
	file_view_close(&view);
	if (!utf8_valid(octets) || (octets.n && memchr(octets.p, '\0', octets.n))) {
		diag_error(set->diag, (struct place){path, 0, 0}, "not a text file in UTF-8");
		return;
	}
	lexer_init(&r.l, &set->arena, set->diag, path, octets);
	while (r.l.token.kind != TOKEN_END)
		if (!read_statement(&r))
			while (r.l.token.kind != TOKEN_END && !at_statement(&r))
				lexer_next(&r.l);
	hash_tokens(set, path, octets);
}
