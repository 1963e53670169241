#include "base/command.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sysexits.h>

#include "base/diag.h"

const char *options_next(struct options *o, const char **value_r)
{
	*value_r = NULL;
	if (o->inline_value) {
		char *whole = o->argv[o->at];
		whole[strlen(whole)] = '=';
		o->inline_value = NULL;
		return whole;
	}
	if (++o->at >= o->argc)
		return NULL;
	char *word = o->argv[o->at];
	if (!o->operands_only && strcmp(word, "--") == 0) {
		o->operands_only = true;
		return options_next(o, value_r);
	}
	if (o->operands_only || word[0] != '-' || word[1] == '\0') {
		*value_r = word;
		return "";
	}
	char *equals = word[1] == '-' ? strchr(word, '=') : NULL;
	if (equals) {
		*equals = '\0';
		o->inline_value = equals + 1;
	}
	return word;
}

const char *options_value(struct options *o)
{
	const char *value = o->inline_value;
	o->inline_value = NULL;
	if (value)
		return value;
	if (o->at + 1 < o->argc)
		return o->argv[++o->at];
	command_usage(o->program, "%s needs a value", o->argv[o->at]);
	return NULL;
}

static void say(const char *program, const char *format, va_list args)
{
	fprintf(stderr, "%s: ", program);
	vfprintf(stderr, format, args);
	fputc('\n', stderr);
}

int command_usage(const char *program, const char *format, ...)
{
	va_list args;
	va_start(args, format);
	say(program, format, args);
	va_end(args);
	return EX_USAGE;
}

int command_unknown(const char *program, const char *word, const struct command *commands)
{
	struct diag_guess guess = diag_guess(span_of(word));
	for (const struct command *c = commands; c->name; c++)
		diag_guess_try(&guess, span_of(c->name));
	return command_usage(program, "unknown command '%s'%s; '%s --help' lists them", word,
			     diag_guess_text(&guess), program);
}

int command_fail(const char *program, int code, const char *format, ...)
{
	va_list args;
	va_start(args, format);
	say(program, format, args);
	va_end(args);
	return code;
}

int command_output_lost(const char *program)
{
	if (errno == EPIPE)
		return EX_IOERR;
	return command_fail(program, EX_IOERR, "cannot write the results: %s", strerror(errno));
}

int command_print(const char *program, struct buf *out)
{
	errno = out->failed ? ENOMEM : 0;
	if (out->failed || fwrite(out->p ? out->p : "", 1, out->n, stdout) != out->n ||
	    fflush(stdout) != 0)
		return command_output_lost(program);
	buf_reset(out);
	return EX_OK;
}
