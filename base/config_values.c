/* The values that the statements of assay.conf are made of. */
#include "base/config_private.h"

#include <sys/un.h>

struct span config_take(struct parser *p, const char *what)
{
	const struct token *t = &p->lexer.token;
	if (t->kind == TOKEN_END || (t->first && t->at.column <= p->word.at.column)) {
		diag_error(p->diag, p->word.at, "'%.*s' needs %s", SPAN_ARG(p->word.text), what);
		return SPAN_NONE;
	}
	return lexer_take_string(&p->lexer, what);
}

const char *config_keep(struct parser *p, struct span s)
{
	return arena_str(&p->config->arena, s);
}

const char *config_keep_path(struct parser *p, struct span s)
{
	const char *file = p->lexer.token.at.file, *slash = strrchr(file, '/');
	if (s.n == 0 || s.p[0] == '/' || !slash)
		return config_keep(p, s);
	return arena_printf(&p->config->arena, "%.*s/%.*s", (int)(slash - file), file, SPAN_ARG(s))
		.p;
}

bool config_take_path(struct parser *p, const char *what, const char **path_r)
{
	struct span s = config_take(p, what);
	if (s.p)
		*path_r = config_keep_path(p, s);
	return s.p != NULL;
}

bool config_take_duration(struct parser *p, int64_t *us_r)
{
	struct token t = p->lexer.token;
	struct span s = config_take(p, "a duration");
	if (!s.p)
		return false;
	if (parse_duration(s, us_r))
		return true;
	diag_error(p->diag, t.at, "'%.*s' is no duration; write it like 500ms, 3s, 10m, 2h or 7d",
		   SPAN_ARG(s));
	return false;
}

/* More words than this are not listed: their manual is. */
#define CHOICES_TOLD 6

static const char *all_of(struct parser *p, const char *const *words, size_t n)
{
	struct span text = SPAN("");
	for (size_t i = 0; i < n; i++)
		text = arena_printf(&p->config->arena, "%.*s%s%s", SPAN_ARG(text),
				    i == 0      ? "; it is "
				    : i + 1 < n ? ", "
						: " or ",
				    words[i]);
	return text.p ? text.p : "";
}

bool config_unknown(struct parser *p, const struct token *t, const char *what,
		    const char *const *known, size_t n)
{
	struct diag_guess guess = diag_guess(t->text);
	for (size_t i = 0; i < n; i++)
		diag_guess_try(&guess, span_of(known[i]));
	if (t->kind == TOKEN_WORD || t->kind == TOKEN_TEXT)
		diag_error(p->diag, t->at, "unknown %s %s%s", what, token_name(t),
			   guess.best.p || n > CHOICES_TOLD ? diag_guess_text(&guess)
							    : all_of(p, known, n));
	else if (t->kind != TOKEN_FAULT)
		diag_error(p->diag, t->at, "expected a %s, not %s", what, token_name(t));
	return false;
}

size_t config_take_choice(struct parser *p, const char *what, const char *const *words, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		if (!token_is(&p->lexer.token, words[i]))
			continue;
		lexer_next(&p->lexer);
		return i;
	}
	config_unknown(p, &p->lexer.token, what, words, n);
	return SIZE_MAX;
}

bool config_goes_on(const struct parser *p)
{
	const struct token *t = &p->lexer.token;
	return (t->kind == TOKEN_WORD || t->kind == TOKEN_TEXT) &&
	       (!t->first || t->at.column > p->word.at.column);
}

bool config_take_list(struct parser *p, const char *what, struct config_texts *texts, bool paths)
{
	struct arena *a = &p->config->arena;
	struct config_place *at = NULL;
	size_t cap = 0, at_cap = 0;
	*texts = (struct config_texts){0};
	if (!config_goes_on(p)) {
		diag_error(p->diag, p->word.at, "'%.*s' needs %s", SPAN_ARG(p->word.text), what);
		return false;
	}
	while (config_goes_on(p)) {
		struct place here = p->lexer.token.at;
		struct span s = config_take(p, what);
		if (!arena_grow(a, (void **)&texts->v, texts->n, &cap, sizeof(*texts->v)) ||
		    !arena_grow(a, (void **)&at, texts->n, &at_cap, sizeof(*at)))
			return false;
		at[texts->n] = (struct config_place){here.line, here.column};
		texts->v[texts->n++] = paths ? config_keep_path(p, s) : config_keep(p, s);
	}
	texts->at = at;
	return true;
}

bool config_take_options(struct parser *p, bool (*option)(struct parser *, void *), void *arg)
{
	if (p->lexer.token.kind != TOKEN_OPEN)
		return true;
	lexer_next(&p->lexer);
	while (p->lexer.token.kind != TOKEN_CLOSE) {
		if (p->lexer.token.kind == TOKEN_END)
			return lexer_take(&p->lexer, TOKEN_CLOSE, "'}'");
		if (!option(p, arg))
			return false;
	}
	lexer_next(&p->lexer);
	return true;
}

bool config_take_option_name(struct parser *p, const char *const *names, size_t n, size_t *i_r)
{
	*i_r = config_take_choice(p, "option", names, n);
	return *i_r != SIZE_MAX;
}

bool config_take_address(struct parser *p, const char **address_r)
{
	struct token t = p->lexer.token;
	struct span s = config_take(p, "an address");
	uint64_t port;
	if (!s.p)
		return false;
	if (span_starts(s, SPAN("unix:")) && s.n > 5) {
		const char *path = config_keep_path(p, span_sub(s, 5, s.n));
		if (path && strlen(path) >= sizeof((struct sockaddr_un){0}.sun_path)) {
			diag_error(p->diag, t.at, "the path of a socket has %zu octets at most",
				   sizeof((struct sockaddr_un){0}.sun_path) - 1);
			return false;
		}
		*address_r = arena_printf(&p->config->arena, "unix:%s", path ? path : "").p;
		return true;
	}
	size_t colon = span_rfind_char(s, ':');
	if (colon != SIZE_MAX && colon > 0 &&
	    span_number(span_sub(s, colon + 1, s.n), 65535, &port)) {
		*address_r = config_keep(p, s);
		return true;
	}
	diag_error(p->diag, t.at, "'%.*s' is no address; write unix:/path or host:port",
		   SPAN_ARG(s));
	return false;
}

void config_set_texts(struct config *c, struct config_texts *texts, const char *const *v, size_t n)
{
	*texts = (struct config_texts){ARENA_ARRAY(&c->arena, const char *, n), NULL, n};
	if (texts->v)
		memcpy(texts->v, v, n * sizeof(*v));
	else
		texts->n = 0;
}
