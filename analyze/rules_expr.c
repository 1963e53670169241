/*
 * Expressions: a recursive descent over
 *
 *     or      = and *("or" and)
 *     and     = unary *("and" unary)
 *     unary   = "not" unary / "(" or ")" / test
 *     test    = fact [ op literal / "in" list / "~" text ]
 *             / literal "in" fact
 *     op      = "==" "!=" "<" ">" "<=" ">="
 *
 * typed while it is read: a condition stands alone, a text is compared, only numbers have an
 * order. Depth is bounded, so is the recursion.
 */
#include "analyze/rules_private.h"
#include "base/limits.h"

bool at(const struct lexer *l, const char *word_or_sign)
{
	static const struct {
		const char *sign;
		enum token_kind kind;
	} signs[] = {{"{", TOKEN_OPEN}, {"}", TOKEN_CLOSE}, {"(", TOKEN_OPEN_ROUND},
		     {")", TOKEN_CLOSE_ROUND}, {"==", TOKEN_EQ}, {"!=", TOKEN_NE}, {"<", TOKEN_LT},
		     {">", TOKEN_GT}, {"<=", TOKEN_LE}, {">=", TOKEN_GE}, {"~", TOKEN_MATCH},
		     {"=", TOKEN_ASSIGN}};
	for (size_t i = 0; i < sizeof(signs) / sizeof(signs[0]); i++)
		if (strcmp(signs[i].sign, word_or_sign) == 0)
			return l->token.kind == signs[i].kind;
	return token_is(&l->token, word_or_sign);
}

bool take(struct lexer *l, const char *word_or_sign)
{
	if (!at(l, word_or_sign))
		return false;
	lexer_next(l);
	return true;
}

struct token step(struct lexer *l)
{
	struct token before = l->token;
	lexer_next(l);
	return before;
}

struct reader {
	struct ruleset *set;
	struct lexer *l;
	unsigned depth, operands;
};

static struct expr *read_or(struct reader *r);

static struct expr *new_expr(struct reader *r, enum expr_kind kind)
{
	struct expr *e = ARENA_NEW(&r->set->arena, struct expr);
	if (e)
		e->kind = kind;
	return e;
}

/* What the lexer told is not told again. */
static struct expr *fault(struct reader *r, struct place at, const char *what)
{
	if (r->l->token.kind != TOKEN_FAULT)
		diag_error(r->set->diag, at, "%s", what);
	return NULL;
}

bool expr_read_fact(struct ruleset *set, struct lexer *l, enum fact_id *id_r, struct span *header_r,
		    struct span *name_r)
{
	struct token t = l->token;
	*header_r = SPAN_NONE;
	*name_r = t.text;
	*id_r = FACT_COUNT;
	if (t.kind != TOKEN_WORD) {
		if (t.kind != TOKEN_FAULT)
			diag_error(set->diag, t.at, "a fact is missing before %s", token_name(&t));
		return false;
	}
	if (span_starts(t.text, SPAN("header.")) && t.text.n > 7) {
		*header_r = arena_lower(&set->arena, span_sub(t.text, 7, t.text.n));
		step(l);
		return true;
	}
	*id_r = fact_find(t.text);
	if (*id_r != FACT_COUNT) {
		step(l);
		return true;
	}
	struct diag_guess g = diag_guess(t.text);
	for (unsigned i = 0; i < FACT_COUNT; i++)
		diag_guess_try(&g, span_of(fact_infos[i].name));
	diag_error(set->diag, t.at, "unknown fact %s%s", token_name(&t), diag_guess_text(&g));
	return false;
}

bool expr_check_word(struct ruleset *set, enum fact_id id, const struct token *t)
{
	struct span rest = span_of(id < FACT_COUNT && fact_words[id] ? fact_words[id] : "");
	struct diag_guess g = diag_guess(t->text);
	if (rest.n == 0 || t->text.n == 0)
		return true;
	while (rest.n) {
		size_t n = span_find_char(rest, ' ');
		struct span word = span_sub(rest, 0, n);
		if (span_eq(word, t->text))
			return true;
		diag_guess_try(&g, word);
		rest = n == SIZE_MAX ? SPAN_NONE : span_sub(rest, n + 1, rest.n);
	}
	diag_error(set->diag, t->at, "'%s' is never '%.*s'%s; it is one of: %s", fact_infos[id].name,
		   SPAN_ARG(t->text), diag_guess_text(&g), fact_words[id]);
	return false;
}

static enum fact_type type_of(const struct expr *e)
{
	return e->id == FACT_COUNT ? FACT_TEXT : fact_infos[e->id].type;
}

static bool take_op(struct lexer *l, enum expr_op *op_r)
{
	static const char *const ops[] = {"==", "!=", "<", ">", "<=", ">="};
	for (int i = 0; i < 6; i++)
		if (take(l, ops[i])) {
			*op_r = (enum expr_op)i;
			return true;
		}
	return false;
}

static struct expr *read_compare(struct reader *r, struct expr *e, struct place op_at)
{
	struct token t = r->l->token;
	enum fact_type type = type_of(e);
	e->kind = EXPR_COMPARE;
	if (type == FACT_LIST)
		return fault(r, op_at, "a list is not compared; write 'x in LIST' or 'LIST ~ \"...\"'");
	if (type == FACT_CONDITION)
		return fault(r, op_at, "a condition is not compared; write it alone, or 'not' before it");
	if (type != FACT_NUMBER && e->op > OP_NE)
		return fault(r, op_at, "only numbers have an order");
	if (t.kind != TOKEN_WORD && t.kind != TOKEN_TEXT) {
		if (t.kind != TOKEN_FAULT)
			diag_error(r->set->diag, t.at, "a value is missing before %s",
				   token_name(&t));
		return NULL;
	}
	if (type == FACT_NUMBER && (t.kind == TOKEN_TEXT || !parse_decimal(t.text, &e->number))) {
		diag_error(r->set->diag, t.at, "'%.*s' is a number; %s is none", SPAN_ARG(e->name),
			   token_name(&t));
		return NULL;
	}
	if (type == FACT_TEXT && t.kind == TOKEN_WORD)
		return fault(r, t.at, "a text is compared with a text in quotes");
	if (type == FACT_WORD && !expr_check_word(r->set, e->id, &t))
		return NULL;
	e->text = t.text;
	step(r->l);
	return e;
}

static struct expr *read_in(struct reader *r, struct expr *e)
{
	struct token t = r->l->token;
	enum fact_type type = type_of(e);
	e->kind = EXPR_IN;
	if (type == FACT_NUMBER || type == FACT_CONDITION)
		return fault(r, t.at, "only texts, words and lists can be in a list");
	if (t.kind != TOKEN_LIST)
		return fault(r, t.at, "'in' takes a list: @name is rules/lists/name.txt");
	e->list = rule_list_get(r->set, t.text, t.at);
	step(r->l);
	return e->list ? e : NULL;
}

static struct expr *read_match(struct reader *r, struct expr *e)
{
	struct token t = r->l->token;
	const char *why;
	e->kind = EXPR_MATCH;
	if (type_of(e) == FACT_NUMBER || type_of(e) == FACT_CONDITION)
		return fault(r, t.at, "only texts, words and lists match an expression");
	if (t.kind != TOKEN_TEXT)
		return fault(r, t.at, "'~' takes a regular expression in quotes");
	struct ruleset *set = r->set;
	char *expression = arena_str(&set->arena, t.text);
	e->pattern = pattern_compile(expression ? expression : "", &why);
	if (!e->pattern) {
		diag_error(set->diag, t.at, "bad regular expression: %s", why);
		return NULL;
	}
	if (!arena_grow(&set->arena, (void **)&set->patterns, set->n_patterns, &set->cap_patterns,
			sizeof(*set->patterns))) {
		pattern_free(e->pattern);
		return NULL;
	}
	set->patterns[set->n_patterns++] = e->pattern;
	step(r->l);
	return e;
}

/* "text" in fact: the literal stands in front. */
static struct expr *read_literal_in(struct reader *r)
{
	struct expr *e = new_expr(r, EXPR_IN);
	struct token literal = step(r->l);
	if (!e)
		return NULL;
	e->text = literal.text;
	if (!take(r->l, "in"))
		return fault(r, literal.at, "a text is no condition; compare a fact with it");
	struct place at = r->l->token.at;
	if (!expr_read_fact(r->set, r->l, &e->id, &e->header, &e->name))
		return NULL;
	if (type_of(e) != FACT_LIST)
		return fault(r, at, "'in' needs a list on its right");
	return expr_check_word(r->set, e->id, &literal) ? e : NULL;
}

static struct expr *read_test(struct reader *r)
{
	struct token t = r->l->token;
	if (t.kind == TOKEN_TEXT)
		return read_literal_in(r);
	struct expr *e = new_expr(r, EXPR_FACT);
	if (!e || !expr_read_fact(r->set, r->l, &e->id, &e->header, &e->name))
		return NULL;
	struct place op_at = r->l->token.at;
	if (take_op(r->l, &e->op))
		return read_compare(r, e, op_at);
	if (take(r->l, "in"))
		return read_in(r, e);
	if (take(r->l, "~"))
		return read_match(r, e);
	if (at(r->l, "="))
		return fault(r, op_at, "'=' sets; compare with '=='");
	if (type_of(e) != FACT_CONDITION) {
		diag_error(r->set->diag, t.at, "a %s is not a condition; compare it: '%.*s'",
			   fact_type_name(type_of(e)), SPAN_ARG(e->name));
		return NULL;
	}
	return e;
}

static struct expr *read_unary(struct reader *r)
{
	struct expr *e;
	if (++r->depth > LIMIT_RULE_DEPTH)
		return fault(r, r->l->token.at, "nested too deeply");
	if (take(r->l, "not")) {
		e = new_expr(r, EXPR_NOT);
		if (e && !(e->left = read_unary(r)))
			e = NULL;
	} else if (at(r->l, "(")) {
		struct place open = r->l->token.at;
		step(r->l);
		e = read_or(r);
		if (e && !take(r->l, ")"))
			e = fault(r, open, "'(' without ')'");
	} else {
		e = read_test(r);
	}
	r->depth--;
	return e;
}

static struct expr *read_chain(struct reader *r, const char *word, enum expr_kind kind,
			       struct expr *(*operand)(struct reader *))
{
	struct expr *left = operand(r);
	while (left && at(r->l, word)) {
		struct expr *e = new_expr(r, kind);
		if (++r->operands == LIMIT_RULE_OPERANDS)
			return fault(r, r->l->token.at, "more than 1000 operands; use a list");
		step(r->l);
		if (!e || !(e->right = operand(r)))
			return NULL;
		e->left = left;
		left = e;
	}
	return left;
}

static struct expr *read_and(struct reader *r)
{
	return read_chain(r, "and", EXPR_AND, read_unary);
}

static struct expr *read_or(struct reader *r)
{
	return read_chain(r, "or", EXPR_OR, read_and);
}

struct expr *expr_read(struct ruleset *set, struct lexer *l)
{
	struct reader r = {.set = set, .l = l};
	return read_or(&r);
}
