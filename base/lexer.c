#include "base/lexer.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/utf8.h"

static void step(struct lexer *l, size_t bytes)
{
	for (size_t end = l->offset + bytes; l->offset < end; l->offset++) {
		unsigned char c = (unsigned char)l->bytes.p[l->offset];
		if (c == '\n') {
			l->line++;
			l->column = 1;
			l->first = true;
		} else if ((c & 0xc0) != 0x80) {
			l->column++;
		}
	}
}

static int peek(const struct lexer *l, size_t ahead)
{
	return l->offset + ahead < l->bytes.n ? (unsigned char)l->bytes.p[l->offset + ahead] : -1;
}

static void skip_blanks(struct lexer *l)
{
	for (;;) {
		int c = peek(l, 0);
		if (c == '#')
			while (c >= 0 && c != '\n') {
				step(l, 1);
				c = peek(l, 0);
			}
		if (c < 0 || !ascii_is_space((char)c))
			return;
		step(l, 1);
	}
}

/* Ends a word. '#' does not: it may stand in a URL's fragment. */
static bool ends_word(int c)
{
	return c < 0 || ascii_is_space((char)c) || (c != '\0' && strchr("\"{}(),=!<>~", c)) ||
	       c < 0x20 || c == 0x7f;
}

static void fault(struct lexer *l, const char *message)
{
	l->token.kind = TOKEN_FAULT;
	if (l->diag)
		diag_error(l->diag, l->token.at, "%s", message);
}

static void read_text(struct lexer *l)
{
	size_t start = l->offset + 1, n = 1, escapes = 0;
	for (;; n++) {
		int c = peek(l, n);
		if (c < 0 || c == '\n') {
			step(l, n);
			fault(l, "text is not closed on its line");
			return;
		}
		if (c == '"')
			break;
		if (c == '\\' && (peek(l, n + 1) == '"' || peek(l, n + 1) == '\\')) {
			escapes++;
			n++;
		}
	}
	struct span s = {l->bytes.p + start, n - 1};
	step(l, n + 1);
	l->token.kind = TOKEN_TEXT;
	l->token.text = s;
	if (!utf8_valid(s)) {
		fault(l, "text is no UTF-8");
		return;
	}
	if (!escapes)
		return;
	char *p = arena_alloc(l->arena, s.n);
	size_t kept = 0;
	for (size_t i = 0; p && i < s.n; i++) {
		if (s.p[i] == '\\' && i + 1 < s.n && (s.p[i + 1] == '"' || s.p[i + 1] == '\\'))
			i++;
		p[kept++] = s.p[i];
	}
	l->token.text = (struct span){p, kept};
}

static void read_sign(struct lexer *l)
{
	static const struct {
		const char *sign;
		enum token_kind kind;
	} signs[] = {{"==", TOKEN_EQ}, {"!=", TOKEN_NE},         {"<=", TOKEN_LE},
		     {">=", TOKEN_GE}, {"<", TOKEN_LT},          {">", TOKEN_GT},
		     {"=", TOKEN_ASSIGN}, {"~", TOKEN_MATCH},    {"{", TOKEN_OPEN},
		     {"}", TOKEN_CLOSE}, {"(", TOKEN_OPEN_ROUND}, {")", TOKEN_CLOSE_ROUND}};
	struct span rest = span_sub(l->bytes, l->offset, l->bytes.n);
	for (size_t i = 0; i < sizeof(signs) / sizeof(signs[0]); i++) {
		if (!span_starts(rest, span_of(signs[i].sign)))
			continue;
		l->token.kind = signs[i].kind;
		step(l, strlen(signs[i].sign));
		return;
	}
	int c = peek(l, 0);
	char message[80];
	if (c == ',')
		snprintf(message, sizeof(message), "unexpected ','; members stand side by side");
	else if (c == '!')
		snprintf(message, sizeof(message), "unexpected '!'; write 'not' or '!='");
	else
		snprintf(message, sizeof(message), "unexpected octet 0x%02x", (unsigned)c);
	fault(l, message);
	step(l, 1);
}

static void read_word(struct lexer *l)
{
	size_t n = 0;
	while (!ends_word(peek(l, n)))
		n++;
	struct span s = span_sub(l->bytes, l->offset, l->offset + n);
	step(l, n);
	l->token.kind = TOKEN_WORD;
	l->token.text = s;
	if (!utf8_valid(s)) {
		fault(l, "word is no UTF-8");
	} else if (s.p[0] == '@') {
		l->token.kind = TOKEN_LIST;
		l->token.text = span_sub(s, 1, s.n);
		if (s.n == 1)
			fault(l, "'@' without the name of a list");
	}
}

void lexer_next(struct lexer *l)
{
	if (l->token.kind == TOKEN_OPEN)
		l->depth++;
	skip_blanks(l);
	l->token = (struct token){.kind = TOKEN_END,
				  .at = {l->file, l->line, l->column},
				  .first = l->first};
	l->first = false;
	size_t start = l->offset;
	int c = peek(l, 0);
	if (c == '"')
		read_text(l);
	else if (c >= 0 && ends_word(c))
		read_sign(l);
	else if (c >= 0)
		read_word(l);
	l->token.raw = span_sub(l->bytes, start, l->offset);
	if (l->token.kind == TOKEN_CLOSE && l->depth)
		l->depth--;
}

void lexer_init(struct lexer *l, struct arena *arena, struct diag *diag, const char *file,
		struct span bytes)
{
	if (span_starts(bytes, SPAN("\xef\xbb\xbf"))) /* a byte order mark of some editors */
		bytes = span_sub(bytes, 3, bytes.n);
	*l = (struct lexer){.diag = diag,
			    .arena = arena,
			    .bytes = bytes,
			    .file = file,
			    .line = 1,
			    .column = 1,
			    .first = true};
	lexer_next(l);
}

bool token_is(const struct token *t, const char *word)
{
	return t->kind == TOKEN_WORD && span_eq(t->text, span_of(word));
}

const char *token_name(const struct token *t)
{
	static char name[80];
	if (t->kind == TOKEN_END)
		return "the end of the file";
	if (t->kind == TOKEN_TEXT)
		return "a text";
	struct span s = utf8_cut(t->raw, 60);
	snprintf(name, sizeof(name), "'%.*s'", SPAN_ARG(s));
	return name;
}

static bool unexpected(struct lexer *l, const char *what)
{
	if (l->token.kind != TOKEN_FAULT && l->diag)
		diag_error(l->diag, l->token.at, "expected %s, not %s", what,
			   token_name(&l->token));
	return false;
}

bool lexer_take(struct lexer *l, enum token_kind kind, const char *what)
{
	if (l->token.kind != kind)
		return unexpected(l, what);
	lexer_next(l);
	return true;
}

struct span lexer_take_string(struct lexer *l, const char *what)
{
	struct span s = l->token.text;
	if (l->token.kind != TOKEN_WORD && l->token.kind != TOKEN_TEXT) {
		unexpected(l, what);
		return SPAN_NONE;
	}
	lexer_next(l);
	return s;
}

bool parse_decimal(struct span s, double *value_r)
{
	char copy[32];
	size_t digits = 0, points = 0;
	if (s.n == 0 || s.n >= sizeof(copy))
		return false;
	for (size_t i = 0; i < s.n; i++) {
		if (ascii_is_digit(s.p[i]))
			digits++;
		else if (s.p[i] == '.' && digits)
			points++;
		else if (i > 0 || s.p[i] != '-')
			return false;
	}
	if (!digits || points > 1 || s.p[s.n - 1] == '.')
		return false;
	memcpy(copy, s.p, s.n);
	copy[s.n] = '\0';
	*value_r = strtod(copy, NULL);
	return true;
}

struct unit {
	const char *name;
	uint64_t factor;
};

static bool parse_unit(struct span s, const struct unit *units, size_t n, uint64_t *value_r)
{
	size_t digits = 0;
	while (digits < s.n && ascii_is_digit(s.p[digits]))
		digits++;
	struct span unit = span_sub(s, digits, s.n);
	for (size_t i = 0; i < n; i++) {
		if (!span_eq(unit, span_of(units[i].name)))
			continue;
		if (!span_number(span_sub(s, 0, digits), INT64_MAX / units[i].factor, value_r))
			return false;
		*value_r *= units[i].factor;
		return true;
	}
	return false;
}

bool parse_duration(struct span s, int64_t *us_r)
{
	static const struct unit units[] = {{"us", 1},         {"ms", 1000},        {"s", 1000000},
					    {"m", 60000000},   {"h", 3600000000},   {"d", 86400000000},
					    {"w", 604800000000}};
	uint64_t value;
	if (span_eq(s, SPAN("0")))
		value = 0;
	else if (!parse_unit(s, units, sizeof(units) / sizeof(units[0]), &value))
		return false;
	*us_r = (int64_t)value;
	return true;
}

bool parse_size(struct span s, size_t *bytes_r)
{
	static const struct unit units[] = {{"", 1},         {"k", 1 << 10}, {"K", 1 << 10},
					    {"M", 1 << 20},  {"G", 1 << 30}};
	uint64_t value;
	if (!parse_unit(s, units, sizeof(units) / sizeof(units[0]), &value))
		return false;
	*bytes_r = (size_t)value;
	return true;
}
