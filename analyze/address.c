/*
 *	address-list = [address] *("," [address])
 *	address      = mailbox / group
 *	group        = display-name ":" [mailbox-list] ";"
 *	mailbox      = [phrase] "<" [route ":"] addr-spec ">" / addr-spec
 *
 * A loop over tokens with one mailbox in the making and no recursion: a group is a colon that
 * drops the words before it, so "a:a:a:a:..." costs what its letters cost. Comments nest by a
 * counter. Whatever cannot be understood is skipped up to the next comma.
 */
#include "analyze/address.h"

#include "analyze/idna.h"
#include "analyze/rfc2047.h"
#include "base/limits.h"
#include "base/utf8.h"

enum kind { T_END, T_WORD, T_QUOTED, T_COMMENT, T_LITERAL, T_SPECIAL };

struct token {
	enum kind kind;
	struct span raw;  /* with quotes, brackets, parentheses */
	bool open;        /* no closing mark */
	bool blank_before;
};

#define PIECES 64 /* words of one mailbox that are kept; a longer name is cut */

struct reader {
	struct arena *arena;
	struct span rest;
	const struct charset *hint;
	unsigned faults;
	struct addresses *list;
	size_t cap;
	/* the mailbox in the making */
	struct token words[PIECES];
	size_t n_words;
	struct span angle;   /* what stood between < and >; .p NULL: none */
	struct span comment; /* the last one */
	bool junk;           /* words behind the angle */
};

static bool is_special(char c)
{
	return c == '<' || c == '>' || c == ',' || c == ';' || c == ':';
}

/* Position behind the mark that closes what opens at s.p[0]; comments nest. */
static size_t closed_at(struct span s, char open, char close, bool *is_open)
{
	size_t depth = 0;
	for (size_t i = 0; i < s.n; i++) {
		if (s.p[i] == '\\')
			i++;
		else if (s.p[i] == close && (open != close || i > 0)) {
			if (open == close || --depth == 0)
				return i + 1;
		} else if (s.p[i] == open)
			depth++;
	}
	*is_open = true;
	return s.n;
}

static struct token next_token(struct span *rest)
{
	struct token t = {.kind = T_END};
	size_t i = 0;
	while (i < rest->n && (ascii_is_space(rest->p[i]) || rest->p[i] == '\0'))
		i++;
	t.blank_before = i > 0;
	*rest = span_sub(*rest, i, rest->n);
	if (rest->n == 0)
		return t;
	size_t n = 1;
	char c = rest->p[0];
	if (c == '"') {
		t.kind = T_QUOTED;
		n = closed_at(*rest, '"', '"', &t.open);
	} else if (c == '(') {
		t.kind = T_COMMENT;
		n = closed_at(*rest, '(', ')', &t.open);
	} else if (c == '[') {
		t.kind = T_LITERAL;
		n = closed_at(*rest, '[', ']', &t.open);
	} else if (is_special(c)) {
		t.kind = T_SPECIAL;
	} else {
		t.kind = T_WORD;
		while (n < rest->n && !ascii_is_space(rest->p[n]) && !is_special(rest->p[n]) &&
		       rest->p[n] != '"' && rest->p[n] != '(' && rest->p[n] != '[')
			n++;
	}
	t.raw = span_sub(*rest, 0, n);
	*rest = span_sub(*rest, n, rest->n);
	return t;
}

/* Without the quotes and backslashes of a quoted string or comment. */
static struct span unquoted(struct arena *arena, const struct token *t)
{
	struct span s = span_sub(t->raw, 1, t->raw.n - (t->open || t->raw.n < 2 ? 0 : 1));
	if (span_find_char(s, '\\') == SIZE_MAX)
		return s;
	char *p = arena_alloc(arena, s.n);
	size_t n = 0;
	for (size_t i = 0; p && i < s.n; i++) {
		if (s.p[i] == '\\' && i + 1 < s.n)
			i++;
		p[n++] = s.p[i];
	}
	return p ? (struct span){p, n} : SPAN_NONE;
}

static struct span decoded(struct reader *r, struct span s)
{
	static const struct {
		unsigned bit, fault;
	} rows[] = {
		{RFC2047_BAD_WORD, ADDRESS_BAD_WORD},	{RFC2047_LONG_WORD, ADDRESS_LONG_WORD},
		{RFC2047_UNKNOWN, ADDRESS_UNKNOWN},	{RFC2047_MISMATCH, ADDRESS_MISMATCH},
		{RFC2047_8BIT_NO_UTF8, ADDRESS_8BIT},
	};
	unsigned faults = 0;
	s = rfc2047_decode(r->arena, s, r->hint, &faults);
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		if (faults & rows[i].bit)
			r->faults |= rows[i].fault;
	return s;
}

/* The words as one text, a blank where there was white space. */
static struct span phrase(struct reader *r)
{
	if (r->n_words == 0)
		return SPAN_NONE;
	if (r->n_words == 1) {
		struct token *t = &r->words[0];
		return decoded(r, t->kind == T_QUOTED ? unquoted(r->arena, t) : t->raw);
	}
	size_t bytes = 0;
	for (size_t i = 0; i < r->n_words; i++)
		bytes += r->words[i].raw.n + 1;
	char *p = arena_alloc(r->arena, bytes);
	size_t n = 0;
	for (size_t i = 0; p && i < r->n_words; i++) {
		struct token *t = &r->words[i];
		struct span s = t->kind == T_QUOTED ? unquoted(r->arena, t) : t->raw;
		if (i > 0 && t->blank_before)
			p[n++] = ' ';
		if (s.n)
			memcpy(p + n, s.p, s.n);
		n += s.n;
	}
	return p ? decoded(r, (struct span){p, n}) : SPAN_NONE;
}

static bool local_ok(struct span local, bool quoted)
{
	if (quoted)
		return true;
	if (local.n == 0)
		return false;
	for (size_t i = 0; i < local.n; i++) {
		unsigned char c = (unsigned char)local.p[i];
		if (c <= ' ' || c == 127 || (c < 128 && strchr("()<>[]:;@\\,\"", c)))
			return false;
		if (c == '.' && (i == 0 || i + 1 == local.n || local.p[i + 1] == '.'))
			return false;
	}
	return true;
}

static bool domain_ok(struct span domain)
{
	if (domain.n && domain.p[0] == '[')
		return domain.n > 2 && domain.p[domain.n - 1] == ']';
	if (domain.n == 0 || domain.n > 255)
		return false;
	for (size_t i = 0; i < domain.n; i++) {
		unsigned char c = (unsigned char)domain.p[i];
		if (c == '.' && (i == 0 || i + 1 == domain.n || domain.p[i + 1] == '.'))
			return false;
		if (c < 128 && c != '.' && c != '-' && c != '_' && !ascii_is_alpha((char)c) &&
		    !ascii_is_digit((char)c))
			return false;
	}
	return true;
}

/* `text` has no comments and no blanks any more. Returns whether it follows the grammar. */
static bool split(struct arena *arena, struct span text, struct address *a)
{
	a->addr = text;
	size_t at = span_rfind_char(text, '@');
	struct span local = span_sub(text, 0, at), domain = SPAN_NONE;
	if (at != SIZE_MAX) {
		domain = span_sub(text, at + 1, text.n);
		a->domain = domain.n ? idna_to_ascii(arena, domain) : SPAN_NONE;
		if (a->domain.n == 0) /* soft hyphens alone, and their like */
			a->domain = SPAN_NONE;
	}
	bool quoted = local.n >= 2 && local.p[0] == '"' && local.p[local.n - 1] == '"';
	struct token t = {.kind = T_QUOTED, .raw = local};
	a->local = quoted ? unquoted(arena, &t) : local;
	return local_ok(local, quoted) && domain_ok(domain);
}

bool address_split(struct arena *arena, struct span addr, struct address *a_r)
{
	*a_r = (struct address){.name = SPAN_NONE};
	split(arena, span_trim(addr), a_r);
	return a_r->domain.n > 0;
}

/* An addr-spec without white space and comments, route cut off. */
static struct span squeeze(struct reader *r, struct span s)
{
	if (s.n && s.p[0] == '@') { /* "@a,@b:joe@c", obsolete */
		size_t colon = span_find_char(s, ':');
		if (colon != SIZE_MAX)
			s = span_sub(s, colon + 1, s.n);
	}
	bool plain = true;
	for (size_t i = 0; i < s.n && plain; i++)
		plain = (unsigned char)s.p[i] > ' ' && s.p[i] != '(';
	if (plain)
		return s;
	char *p = arena_alloc(r->arena, s.n);
	size_t n = 0;
	struct token t;
	while (p && (t = next_token(&s)).kind != T_END) {
		if (t.kind == T_COMMENT)
			continue;
		for (size_t i = 0; i < t.raw.n; i++)
			if (t.raw.p[i] != '\r' && t.raw.p[i] != '\n')
				p[n++] = t.raw.p[i];
	}
	return p ? (struct span){p, n} : SPAN_NONE;
}

/* "joe @ example.com (Joe)" without brackets: the words joined. */
static struct span bare_address(struct reader *r)
{
	size_t bytes = 0, at_signs = 0;
	for (size_t i = 0; i < r->n_words; i++) {
		bytes += r->words[i].raw.n;
		at_signs += r->words[i].kind == T_WORD &&
			    span_find_char(r->words[i].raw, '@') != SIZE_MAX;
	}
	if (r->n_words == 1)
		return r->words[0].raw;
	if (at_signs == 0) { /* words alone: no address, keep them as written */
		r->faults |= ADDRESS_BAD;
		const char *start = r->words[0].raw.p;
		struct span last = r->words[r->n_words - 1].raw;
		return (struct span){start, (size_t)(last.p + last.n - start)};
	}
	char *p = arena_alloc(r->arena, bytes);
	size_t n = 0;
	for (size_t i = 0; p && i < r->n_words; i++) {
		struct span raw = r->words[i].raw;
		/* "Joe joe@example.com": a blank inside the local part ends a name */
		bool dotted = n && (p[n - 1] == '.' || p[n - 1] == '@' || raw.p[0] == '.' ||
				    raw.p[0] == '@' || !r->words[i].blank_before);
		if (n && !dotted) {
			r->faults |= ADDRESS_BAD;
			if (memchr(p, '@', n))
				break;
			n = 0;
		}
		memcpy(p + n, raw.p, raw.n);
		n += raw.n;
	}
	return p ? (struct span){p, n} : SPAN_NONE;
}

static void mailbox_reset(struct reader *r)
{
	r->n_words = 0;
	r->angle = r->comment = SPAN_NONE;
	r->junk = false;
}

static void mailbox_finish(struct reader *r)
{
	struct address a = {.name = SPAN_NONE};
	if (!r->angle.p && r->n_words == 0) {
		mailbox_reset(r); /* ",," is obsolete and empty */
		return;
	}
	r->list->total++;
	if (r->list->n >= LIMIT_ADDRESSES) {
		r->faults |= ADDRESS_CUT;
		mailbox_reset(r);
		return;
	}
	struct span text;
	if (r->angle.p) {
		a.name = phrase(r);
		text = squeeze(r, r->angle);
	} else {
		text = bare_address(r);
	}
	if (!a.name.n && r->comment.p) {
		struct token t = {.kind = T_COMMENT, .raw = r->comment};
		a.name = decoded(r, unquoted(r->arena, &t));
	}
	if (!split(r->arena, text, &a) || r->junk)
		r->faults |= ADDRESS_BAD;
	if (!utf8_valid(text)) {
		r->faults |= ADDRESS_8BIT;
		a.addr = utf8_repair(r->arena, text);
		a.local = utf8_repair(r->arena, a.local);
		a.domain = utf8_repair(r->arena, a.domain);
	}
	if (arena_grow(r->arena, (void **)&r->list->v, r->list->n, &r->cap, sizeof(a)))
		r->list->v[r->list->n++] = a;
	mailbox_reset(r);
}

/* Behind '<': up to '>', quotes and comments skipped over. */
static void read_angle(struct reader *r)
{
	struct span at = r->rest;
	size_t i = 0;
	while (i < at.n && at.p[i] != '>' && at.p[i] != '<') {
		bool open = false;
		if (at.p[i] == '"')
			i += closed_at(span_sub(at, i, at.n), '"', '"', &open);
		else if (at.p[i] == '(')
			i += closed_at(span_sub(at, i, at.n), '(', ')', &open);
		else
			i++;
	}
	if (i >= at.n || at.p[i] != '>')
		r->faults |= ADDRESS_BAD;
	if (r->angle.p)
		r->junk = true;
	else
		r->angle = span_trim(span_sub(at, 0, i));
	r->rest = span_sub(at, i < at.n && at.p[i] == '>' ? i + 1 : i, at.n);
}

static void read_special(struct reader *r, char c, size_t *colons)
{
	switch (c) {
	case '<':
		read_angle(r);
		break;
	case ',':
	case ';':
		mailbox_finish(r);
		break;
	case ':':
		r->faults |= r->n_words ? ADDRESS_GROUP : ADDRESS_BAD;
		mailbox_reset(r);
		if (++*colons > LIMIT_GROUP_COLONS) {
			r->faults |= ADDRESS_CUT;
			r->rest = SPAN_NONE;
		}
		break;
	default:
		r->faults |= ADDRESS_BAD;
	}
}

void addresses_read(struct addresses *list, struct arena *arena, struct span body,
		    const struct charset *hint, unsigned *faults)
{
	struct reader r = {.arena = arena, .rest = body, .hint = hint, .list = list};
	size_t colons = 0;
	r.cap = list->n; /* the next one makes a new array */
	for (;;) {
		struct token t = next_token(&r.rest);
		if (t.kind == T_END)
			break;
		if (t.open)
			r.faults |= ADDRESS_BAD;
		if (t.kind == T_SPECIAL) {
			read_special(&r, t.raw.p[0], &colons);
		} else if (t.kind == T_COMMENT) {
			r.comment = t.raw;
		} else if (r.angle.p) {
			r.junk = true;
		} else if (r.n_words < PIECES) {
			r.words[r.n_words++] = t;
		}
	}
	mailbox_finish(&r);
	*faults |= r.faults;
}
