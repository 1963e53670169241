/*
 * command - one verb of the command line.
 *
 * main.c holds the table; each verb is a function in the folder whose work it does. Results go
 * to stdout, everything else to stderr; the return value is an exit code of sysexits.h.
 */
#pragma once

#include "base/buf.h"
#include "base/config.h"

enum lang { LANG_EN, LANG_ZH };

struct command_context {
	struct config *config; /* loaded already; options of the verb may change it */
	const char *program;   /* for messages: "assay scan" */
	enum lang lang;        /* --lang, else LC_ALL, LC_MESSAGES, LANG */
};

typedef int command_fn(struct command_context *context, int argc, char **argv);

struct command {
	const char *name;
	command_fn *run;
	const char *synopsis; /* the arguments */
	const char *summary;  /* one line */
	const char *manual;   /* where it is described: "assay-run(1)" */
};

/* --- options that several verbs share ------------------------------------- */

/* Walks argv from 1: options are "--name", "--name=value", "--name value". */
struct options {
	const char *program;
	int argc, at; /* start with at = 0: argv[0] is the verb */
	char **argv;
	/* private */
	bool operands_only;
	const char *inline_value;
};

/* The next word: an option's name ("--json", "-i") or "" for an operand (its text is *value_r
 * then). NULL at the end. After "--" everything is an operand; "-" is one. A value that nobody asked
 * for ("--json=5") comes next as a whole, an option that no verb knows. */
const char *options_next(struct options *o, const char **value_r);
/* The value of the option just returned; NULL, and said on stderr, when there is none. */
const char *options_value(struct options *o);

/* "assay scan: message" on stderr. Returns EX_USAGE. */
int command_usage(const char *program, const char *format, ...)
	__attribute__((format(printf, 2, 3)));
/* The same for a word that is none of `commands`, which end with a NULL name. */
int command_unknown(const char *program, const char *word, const struct command *commands);
/* The same for other troubles; returns `code`. */
int command_fail(const char *program, int code, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

/* Writes `out` to stdout and empties it: EX_OK, or what command_output_lost() says. */
int command_print(const char *program, struct buf *out);
/* The results did not get out, errno says why. Returns EX_IOERR; a reader that went away on purpose
 * ("| head") is told nothing. */
int command_output_lost(const char *program);
