/*
 *	body      = value *( ";" attribute "=" ( token / quoted-string ) )
 *	attribute = name [ "*" section ] [ "*" ]
 *
 * Sections of one name ("filename*0*=", "filename*1=") are gathered in the order of their
 * numbers, so that a sender may put them in any order; the pieces are joined as octets and
 * decoded once, since a character may be cut between two sections.
 */
#include "analyze/param.h"

#include <stdlib.h>

#include "analyze/rfc2047.h"
#include "base/limits.h"

struct piece {
	struct span name; /* lower case */
	struct span text; /* unquoted */
	unsigned section; /* 0 for one without number */
	bool numbered, percent;
	unsigned order; /* as it stood */
};

static void skip_blank(struct span *s)
{
	while (s->n) {
		size_t i = 0;
		while (i < s->n && ascii_is_space(s->p[i]))
			i++;
		if (i < s->n && s->p[i] == '(') {
			size_t depth = 0;
			for (; i < s->n; i++) {
				if (s->p[i] == '\\')
					i++;
				else if (s->p[i] == '(')
					depth++;
				else if (s->p[i] == ')' && --depth == 0)
					break;
			}
			*s = span_sub(*s, i + 1, s->n);
			continue;
		}
		*s = span_sub(*s, i, s->n);
		return;
	}
}

/* A quoted string at the start of `s`, taken off, without quotes and backslashes. */
static struct span take_quoted(struct arena *arena, struct span *s, bool *bad)
{
	char *p = arena_alloc(arena, s->n);
	size_t n = 0, i = 1;
	for (; i < s->n && s->p[i] != '"'; i++) {
		char c = s->p[i];
		if (c == '\r' || c == '\n')
			continue;
		/* A backslash in front of anything else is a Windows path of a careless mailer. */
		if (c == '\\' && i + 1 < s->n && (s->p[i + 1] == '"' || s->p[i + 1] == '\\'))
			c = s->p[++i];
		if (p)
			p[n++] = c;
	}
	*bad = *bad || i >= s->n;
	*s = span_sub(*s, i + 1, s->n);
	return p ? (struct span){p, n} : SPAN_NONE;
}

/* Up to the next ';', trimmed; a comment behind it is not part of it. */
static struct span take_bare(struct span *s)
{
	size_t end = span_find_char(*s, ';');
	struct span t = span_sub(*s, 0, end);
	*s = span_sub(*s, end == SIZE_MAX ? s->n : end, s->n);
	size_t comment = span_find(t, SPAN(" ("));
	if (comment != SIZE_MAX)
		t.n = comment;
	return span_trim(t);
}

/* Splits "filename*1*" into its name and marks. */
static void split_name(struct piece *piece)
{
	struct span name = piece->name;
	if (span_ends(name, SPAN("*"))) {
		piece->percent = true;
		name.n--;
	}
	size_t star = span_find_char(name, '*');
	uint64_t section;
	if (star != SIZE_MAX && span_number(span_sub(name, star + 1, name.n), 9999, &section)) {
		piece->section = (unsigned)section;
		piece->numbered = true;
		name.n = star;
	}
	piece->name = name;
}

static bool read_piece(struct arena *arena, struct span *rest, struct piece *piece, bool *bad)
{
	*piece = (struct piece){.order = 0};
	for (;;) {
		skip_blank(rest);
		if (rest->n == 0)
			return false;
		if (rest->p[0] != ';')
			break;
		*rest = span_sub(*rest, 1, rest->n);
	}
	size_t i = 0;
	while (i < rest->n && rest->p[i] != '=' && rest->p[i] != ';')
		i++;
	piece->name = arena_lower(arena, span_trim(span_sub(*rest, 0, i)));
	*rest = span_sub(*rest, i, rest->n);
	if (rest->n == 0 || rest->p[0] == ';') {
		*bad = true;
		piece->name = SPAN_NONE;
		return true;
	}
	*rest = span_sub(*rest, 1, rest->n);
	split_name(piece);
	skip_blank(rest);
	if (rest->n && rest->p[0] == '"') {
		piece->text = take_quoted(arena, rest, bad);
		struct span junk = take_bare(rest);
		*bad = *bad || junk.n > 0;
	} else {
		piece->text = take_bare(rest);
	}
	return true;
}

static int piece_order(const void *a, const void *b)
{
	const struct piece *x = a, *y = b;
	int r = span_cmp(x->name, y->name);
	if (r == 0 && x->numbered != y->numbered)
		r = x->numbered ? -1 : 1; /* RFC 2231 forms win over the plain one */
	if (r == 0 && x->percent != y->percent && !x->numbered)
		r = x->percent ? -1 : 1;
	if (r == 0)
		r = (x->section > y->section) - (x->section < y->section);
	return r ? r : (x->order > y->order) - (x->order < y->order);
}

static int hex_value(char c)
{
	if (ascii_is_digit(c))
		return c - '0';
	c = ascii_lower(c);
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static size_t percent_decode(struct span s, char *out)
{
	size_t n = 0;
	for (size_t i = 0; i < s.n; i++) {
		int high = s.p[i] == '%' && i + 2 < s.n ? hex_value(s.p[i + 1]) : -1;
		int low = high >= 0 ? hex_value(s.p[i + 2]) : -1;
		out[n++] = low >= 0 ? (char)(high << 4 | low) : s.p[i];
		i += low >= 0 ? 2 : 0;
	}
	return n;
}

/* One parameter of pieces[0..n), all of one name in their order. */
static struct param join(struct arena *arena, const struct piece *pieces, size_t n,
			 const struct charset *hint)
{
	struct param param = {.name = pieces[0].name, .value = pieces[0].text,
			      .raw = pieces[0].text};
	if (!pieces[0].numbered && !pieces[0].percent) {
		param.value = rfc2047_decode(arena, pieces[0].text, hint, NULL);
		return param;
	}
	size_t used = pieces[0].numbered ? 0 : 1, bytes = 0;
	while (used < n && pieces[used].numbered)
		used++;
	for (size_t i = 0; i < used; i++)
		bytes += pieces[i].text.n;
	char *p = arena_alloc(arena, bytes + 1);
	if (!p)
		return param;
	struct span label = SPAN_NONE;
	size_t at = 0;
	for (size_t i = 0; i < used; i++) {
		struct span text = pieces[i].text;
		if (i > 0 && pieces[i].section == pieces[i - 1].section)
			continue;
		if (i == 0 && pieces[i].percent) {
			size_t quote = span_find_char(text, '\'');
			struct span behind = span_sub(text, quote + 1, text.n);
			size_t second = quote == SIZE_MAX ? SIZE_MAX : span_find_char(behind, '\'');
			if (second != SIZE_MAX) {
				label = span_sub(text, 0, quote);
				text = span_sub(behind, second + 1, behind.n);
			}
		}
		if (pieces[i].percent) {
			at += percent_decode(text, p + at);
		} else if (text.n) {
			memcpy(p + at, text.p, text.n);
			at += text.n;
		}
	}
	param.raw = (struct span){p, at};
	param.value = label.n ? charset_decode(arena, param.raw, label, hint).text
			      : rfc2047_decode(arena, param.raw, hint, NULL);
	return param;
}

void params_read(struct params *p, struct arena *arena, struct span body,
		 const struct charset *hint)
{
	*p = (struct params){.bad = false};
	skip_blank(&body);
	p->value = arena_lower(arena, take_bare(&body));
	/* most of a full list's room is never looked at */
	struct piece *pieces = arena_room(arena, LIMIT_PARAMS * sizeof(*pieces));
	p->v = arena_room(arena, LIMIT_PARAMS * sizeof(*p->v));
	if (!pieces || !p->v)
		return;
	size_t n = 0;
	while (n < LIMIT_PARAMS && read_piece(arena, &body, &pieces[n], &p->bad)) {
		pieces[n].order = (unsigned)n;
		n += pieces[n].name.n > 0;
	}
	qsort(pieces, n, sizeof(pieces[0]), piece_order);
	for (size_t i = 0; i < n;) {
		size_t end = i + 1;
		while (end < n && span_eq(pieces[end].name, pieces[i].name))
			end++;
		p->v[p->n++] = join(arena, pieces + i, end - i, hint);
		i = end;
	}
}

const struct param *params_find(const struct params *p, const char *name)
{
	for (size_t i = 0; i < p->n; i++)
		if (span_eq(p->v[i].name, span_of(name)))
			return &p->v[i];
	return NULL;
}
