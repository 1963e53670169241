/*
 * lexer - words, texts and signs of the files that people write: assay.conf, rules, filings.
 *
 * One lexical grammar for all of them:
 *
 *     word     any run of characters but blanks, quotes, # { } ( ) , = ! < > ~
 *     text     "..." on one line; \" is a quote, \\ a backslash, every other backslash stands
 *              for itself, so that regular expressions need no doubling
 *     list     @name
 *     sign     { } ( ) == != < > <= >= = ~
 *     comment  # up to the end of the line, where a word could begin
 *
 * Paths, addresses, numbers, sizes and durations are words; the parser knows what it wants.
 * Line breaks mean nothing to the lexer, but a token tells whether it is the first of its line
 * and how deep it is indented: `assay.conf` ends its lists so.
 *
 * Ownership: a token's text points into the file's octets or the arena.
 * Errors:    what no token can be is said through diag and skipped.
 */
#pragma once

#include "base/arena.h"
#include "base/diag.h"

enum token_kind {
	TOKEN_END,
	TOKEN_WORD,
	TOKEN_TEXT,
	TOKEN_LIST, /* text without the '@' */
	TOKEN_OPEN, /* { */
	TOKEN_CLOSE,
	TOKEN_OPEN_ROUND,
	TOKEN_CLOSE_ROUND,
	TOKEN_EQ,
	TOKEN_NE,
	TOKEN_LT,
	TOKEN_GT,
	TOKEN_LE,
	TOKEN_GE,
	TOKEN_MATCH,  /* ~ */
	TOKEN_ASSIGN, /* = */
	TOKEN_FAULT,  /* has been said already */
};

struct token {
	enum token_kind kind;
	struct span text; /* of a text: without quotes and escapes */
	struct span raw;  /* as it stands in the file */
	struct place at;
	bool first; /* of its line */
};

struct lexer {
	struct token token; /* the current one */
	struct diag *diag;  /* NULL: faults are not said */
	struct arena *arena;
	unsigned depth; /* of { } around the current token */
	/* private */
	struct span bytes;
	size_t offset;
	const char *file;
	unsigned line, column;
	bool first;
};

/* Stands on the first token afterwards. `file` and `bytes` must outlive the tokens. */
void lexer_init(struct lexer *l, struct arena *arena, struct diag *diag, const char *file,
		struct span bytes);
/* Goes on to the next token. */
void lexer_next(struct lexer *l);

bool token_is(const struct token *t, const char *word); /* a word, exactly */
/* For messages: "'word'", "a text", "the end of the file". Lives until the next call. */
const char *token_name(const struct token *t);

/* Takes a token of that kind; else says "expected WHAT, not ..." and stays. */
bool lexer_take(struct lexer *l, enum token_kind kind, const char *what);
/* A word or a text. .p NULL when it was none, and said. */
struct span lexer_take_string(struct lexer *l, const char *what);

/* "3s", "500ms", "10m", "2h", "7d", "0": microseconds. False when it is none. */
bool parse_duration(struct span s, int64_t *us_r);
/* "64M", "512k", "1G", "4096": bytes. */
bool parse_size(struct span s, size_t *bytes_r);
/* "5.0", "-3", "3000": no exponent, no hexadecimal. */
bool parse_decimal(struct span s, double *value_r);
