/*
 * config_private - what config.c (defaults, the file), config_statements.c (a reader for each
 * statement) and config_values.c (the values that statements are made of) share.
 *
 * Readers take what they can and return false after a fault, which has been said by then. All
 * strings go to the arena of the config.
 */
#pragma once

#include "base/config.h"
#include "base/lexer.h"

#define CONFIG_STATEMENTS 18

struct parser {
	struct lexer lexer;
	struct config *config;
	struct diag *diag;
	struct token word; /* of the statement being read */
	struct place seen[CONFIG_STATEMENTS];
	bool input; /* a listen, capture or spool statement stood in the file */
};

struct config_statement {
	const char *word;
	bool (*read)(struct parser *p);
	bool several; /* may stand more than once */
};
extern const struct config_statement config_statements[CONFIG_STATEMENTS];

/* --- values: `what` is what the statement needs, in words for a message --------------- */

/* The next word or text of the statement; .p NULL when there is none. */
struct span config_take(struct parser *p, const char *what);
const char *config_keep(struct parser *p, struct span s);
/* A relative one is taken from the folder of the file. */
const char *config_keep_path(struct parser *p, struct span s);
bool config_take_path(struct parser *p, const char *what, const char **path_r);
bool config_take_duration(struct parser *p, int64_t *us_r);
/* "unix:/path", "host:port", "[v6]:port" */
bool config_take_address(struct parser *p, const char **address_r);
/* The list goes on: a word or text that does not begin a statement. */
bool config_goes_on(const struct parser *p);
bool config_take_list(struct parser *p, const char *what, struct config_texts *texts, bool paths);
/* A list that no file has. */
void config_set_texts(struct config *c, struct config_texts *texts, const char *const *v, size_t n);
/* One of `words`; its index, or SIZE_MAX when it was none, and said. */
size_t config_take_choice(struct parser *p, const char *what, const char *const *words, size_t n);
/* `{ NAME value ... }`: calls `option` for each name, which stands before its value. */
bool config_take_options(struct parser *p, bool (*option)(struct parser *, void *), void *arg);
bool config_take_option_name(struct parser *p, const char *const *names, size_t n, size_t *i_r);
/* Says that `t` is none of `known`, and which of them was meant; returns false. */
bool config_unknown(struct parser *p, const struct token *t, const char *what,
		    const char *const *known, size_t n);
