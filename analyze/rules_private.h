/*
 * rules_private - what the files of the rule language share: rules_expr.c reads and types
 * expressions, rules_parse.c and rules_limit.c read statements, rules_load.c puts a set together,
 * rules_eval.c judges.
 */
#pragma once

#include "analyze/clauses.h"
#include "analyze/patterns.h"
#include "analyze/rules.h"
#include "base/lexer.h"
#include "base/limits.h"

/* Whether the current token is that word or sign ("{", "==" ...). */
bool at(const struct lexer *l, const char *word_or_sign);
/* Steps over it when it is. */
bool take(struct lexer *l, const char *word_or_sign);
/* Steps on, and returns the token before. */
struct token step(struct lexer *l);

/* A list file: rules/lists/NAME.txt, an entry a line. An entry that begins with '.' holds the
 * domain and all below it. */
struct rule_list {
	struct rule_list *next;
	struct span name;
	struct span *entries; /* sorted, lower case */
	size_t n;
};

enum expr_kind {
	EXPR_AND,
	EXPR_OR,
	EXPR_NOT,
	EXPR_FACT,    /* a condition */
	EXPR_COMPARE, /* fact OP literal */
	EXPR_IN,      /* text in @list, or literal in list fact */
	EXPR_MATCH,   /* text ~ "expression" */
};

enum expr_op { OP_EQ, OP_NE, OP_LT, OP_GT, OP_LE, OP_GE };

struct expr {
	enum expr_kind kind;
	enum expr_op op;
	struct expr *left, *right; /* AND, OR; NOT has left alone */
	/* the fact: `id`, or FACT_COUNT and the header's name */
	enum fact_id id;
	struct span header;
	struct span name; /* as written, for evidence */
	double number;
	struct span text;
	const struct rule_list *list;
	struct pattern *pattern;
};

enum rule_test_kind { TEST_HIT, TEST_MISS, TEST_SKIP };

struct rule_override {
	struct rule_override *next;
	enum fact_id id;
	bool unknown, condition;
	double number;
	struct span text;
	const struct span *list;
	size_t n_list;
};

struct rule_test {
	struct rule_test *next;
	enum rule_test_kind kind;
	struct span sample; /* .p NULL: overrides alone */
	struct place at;
	struct rule_override *overrides;
};

struct rule {
	struct rule *next;
	struct span name, pack;
	struct place at;
	const struct clause *clause;
	enum level level;
	double score;
	struct expr *applies, *when, *unless;
	struct span tell, tell_zh;
	struct {
		enum fact_id id;
		struct span header, name;
	} show[LIMIT_EVIDENCE];
	size_t n_show;
	struct rule_test *tests;
	bool has_level, has_score, off, disabled;
};

struct rule_adjust {
	struct rule_adjust *next;
	struct span rule, reason;
	struct place at, until_at;
	bool disable, has_score, has_level, has_until;
	double score;
	enum level level;
	int64_t until_us;
};

struct ruleset {
	unsigned refs;
	struct arena arena;
	char hash[17];
	struct rule *first, **last;
	struct rule **rules; /* that are on, in order */
	size_t n;
	struct rule_list *lists;
	struct rule_adjust *adjusts, **last_adjust;
	double levels[4]; /* by enum action; INFINITY: never */
	struct limit *limits[LIMIT_SCOPES];
	size_t n_limits[LIMIT_SCOPES];
	struct limit_standing standing;
	struct pattern **patterns;
	size_t n_patterns, cap_patterns;
	/* while loading */
	const struct config *config;
	struct diag *diag;
	struct buf *hash_text;
};

/* Reads one expression; NULL when it is faulty (told). */
struct expr *expr_read(struct ruleset *set, struct lexer *l);
/* Reads a fact's name: `id` FACT_COUNT for header.NAME. False when it is unknown (told). */
bool expr_read_fact(struct ruleset *set, struct lexer *l, enum fact_id *id_r, struct span *header_r,
		    struct span *name_r);
/* Whether that word or text can be a value of the fact; else the fault is told with the word that
 * may have been meant. */
bool expr_check_word(struct ruleset *set, enum fact_id id, const struct token *t);
/* The list @name, read at its first use; NULL when it is not there (told). */
const struct rule_list *rule_list_get(struct ruleset *set, struct span name, struct place at);
bool rule_list_has(const struct rule_list *list, struct span entry, struct arena *scratch);

/* Reads all statements of a file into the set. */
void rules_read_file(struct ruleset *set, const char *path, struct span pack);

/* The fact as the overrides of a test say it. */
void rule_override_apply(const struct rule_override *o, struct facts *f);
/* What became of rule `i` of the set alone. */
enum rule_outcome rule_judge(const struct rule *rule, const struct facts *f);
