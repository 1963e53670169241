/*
 * filing_private - what the files that read filings share: filing.c has the words and the
 * statements of every sender, filing_more.c campaigns, certificates and dates.
 */
#pragma once

#include "base/lexer.h"
#include "feedback/filing.h"

/* The shared lexer, its token kinds reduced to those of a filing. */
enum kind { T_END, T_WORD, T_TEXT, T_OPEN, T_CLOSE, T_OTHER };

struct reader {
	struct lexer lexer;
	bool started; /* the lexer stands on its first token from the beginning */
	enum kind token;
	struct span value;
	struct arena *arena;
	struct diag *diag;
};

/* At the token just read. */
#define fault(r, ...) diag_error((r)->diag, (r)->lexer.token.at, __VA_ARGS__)

void filing_next(struct reader *r);
/* The value behind a word: a text or a word. */
bool filing_value(struct reader *r, const char *of, struct span *value_r);
void filing_unknown(struct reader *r, const char *what, const char *const *words, size_t n);

/* What follows returns whether the token behind it is read already. */
bool filing_read_class(struct reader *r, struct span *class_r);
bool filing_read_domain(struct reader *r, const char *word, struct span **v, size_t *n,
			size_t *cap);
/* .ip.family 0: it was none, and said. */
bool filing_read_prefix(struct reader *r, struct ip_prefix *prefix_r);
bool filing_read_rate(struct reader *r, const char *word, struct filing_rate *rate);
bool filing_read_campaign(struct reader *r, struct filing *f);
bool filing_read_certificate(struct reader *r, struct filing *f);
bool filing_read_other(struct reader *r, struct filing *f);
/* `end`: a day means its end. */
bool filing_read_time(struct reader *r, const char *word, bool end, int64_t *us_r);
/* Past the '}' of the block that is open. */
void filing_skip_block(struct reader *r);
