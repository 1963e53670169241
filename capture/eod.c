#include "capture/eod.h"

#include "base/limits.h"

/*
 * The states are what was read since the last line end. A line that begins strictly (behind CRLF)
 * loses a leading dot; one that begins behind a bare LF keeps it in the strict reading, though a
 * loose receiver may see the end of data there.
 */
enum state {
	IN_LINE,
	STRICT_START, /* behind CRLF, or at the very beginning */
	STRICT_DOT,   /* CRLF "." */
	STRICT_DOT_CR,
	STRICT_DOT_CR_CR,
	LOOSE_START, /* behind a bare LF */
	LOOSE_DOT,
	LOOSE_DOT_CR,
};

void eod_start(struct eod *e, enum eod_mode mode)
{
	buf_reset(&e->tail);
	e->mode = mode;
	e->state = STRICT_START;
	e->last_cr = e->kept_cr = false;
	e->candidate = e->tail_lost = false;
	e->flags = 0;
}

void eod_free(struct eod *e)
{
	buf_free(&e->tail);
}

void eod_gap(struct eod *e)
{
	e->state = IN_LINE;
	e->last_cr = e->kept_cr = false;
}

static void keep_tail(struct eod *e, struct span s)
{
	if (!e->candidate || s.n == 0)
		return;
	if (e->tail.n + s.n > LIMIT_HELD_BYTES) {
		e->tail_lost = true;
		return;
	}
	buf_add(&e->tail, s);
}

/* A loose form of the end stands here: the dot and its line end are at the end of what was read.
 * The message up to it is in `out` already, without the dot. True when it is the end. */
static bool loose_end(struct eod *e, struct octets *out)
{
	if (e->mode == EOD_LF)
		return true;
	if (e->mode == EOD_AUTO && !e->candidate) {
		octets_mark(out);
		e->candidate = true;
	}
	return false;
}

static void line_end(struct eod *e, bool with_cr)
{
	e->state = with_cr ? STRICT_START : LOOSE_START;
	if (!with_cr)
		e->flags |= TXN_BARE_LF;
}

/* Whole lines without a possible end of data, as many as there are; stops in front of a line that
 * begins with a dot, or behind the last LF. */
static size_t plain_lines(struct eod *e, struct span s)
{
	size_t at = 0;
	while (at < s.n) {
		const char *lf = memchr(s.p + at, '\n', s.n - at);
		if (!lf)
			return at;
		size_t end = (size_t)(lf - s.p);
		bool with_cr = end > at ? s.p[end - 1] == '\r' : at == 0 && e->last_cr;
		if (!with_cr)
			e->flags |= TXN_BARE_LF;
		at = end + 1;
		e->state = with_cr ? STRICT_START : LOOSE_START;
		e->last_cr = false;
		if (at < s.n && s.p[at] == '.')
			return at;
	}
	return at;
}

static void note_odd_octets(struct eod *e, struct span s)
{
	if (s.n && !(e->flags & TXN_NUL) && memchr(s.p, '\0', s.n))
		e->flags |= TXN_NUL;
	if (e->flags & TXN_BARE_CR)
		return;
	for (const char *p = s.p, *end = s.p + s.n; p < end && (p = memchr(p, '\r', (size_t)(end - p)));
	     p++)
		if (p + 1 < end && p[1] != '\n') {
			e->flags |= TXN_BARE_CR;
			return;
		}
}

static void add(struct eod *e, struct octets *out, struct span s)
{
	if (s.n == 0)
		return;
	if (e->kept_cr && s.p[0] != '\n')
		e->flags |= TXN_BARE_CR;
	e->kept_cr = s.p[s.n - 1] == '\r';
	note_odd_octets(e, s);
	octets_add(out, s);
}

/* One octet in a state behind a line start. True at the end of data. */
static bool step(struct eod *e, struct octets *out, char c)
{
	switch (e->state) {
	case STRICT_START:
	case LOOSE_START:
		if (c == '.') {
			e->state = e->state == STRICT_START ? STRICT_DOT : LOOSE_DOT;
			return false;
		}
		break;
	case STRICT_DOT:
		if (c == '\r') {
			e->state = STRICT_DOT_CR;
			return false;
		}
		if (c == '\n' && loose_end(e, out)) /* CRLF.LF */
			return true;
		break; /* the dot is gone (RFC 5321 section 4.5.2) */
	case STRICT_DOT_CR:
		if (c == '\n')
			return true;
		if (c == '\r') {
			e->state = STRICT_DOT_CR_CR;
			return false;
		}
		e->flags |= TXN_BARE_CR;
		add(e, out, SPAN("\r"));
		break;
	case STRICT_DOT_CR_CR:
		if (c == '\n' && loose_end(e, out)) /* CRLF.CRCRLF */
			return true;
		add(e, out, SPAN("\r\r"));
		e->last_cr = true;
		break;
	case LOOSE_DOT:
		if (c == '\r') {
			e->state = LOOSE_DOT_CR;
			return false;
		}
		if (c == '\n' && loose_end(e, out)) /* LF.LF */
			return true;
		add(e, out, SPAN("."));
		break;
	case LOOSE_DOT_CR:
		if (c == '\n' && loose_end(e, out)) /* LF.CRLF */
			return true;
		if (c != '\n')
			e->flags |= TXN_BARE_CR;
		add(e, out, SPAN(".\r"));
		e->last_cr = true;
		break;
	default:
		break;
	}
	add(e, out, (struct span){&c, 1});
	if (c == '\n')
		line_end(e, e->last_cr);
	else
		e->state = IN_LINE;
	e->last_cr = c == '\r';
	return false;
}

/* Octets looked at together. Most of a mail has nothing of interest in it: every LF behind a CR,
 * every CR before an LF, no dot at a line start, no NUL. That is seen sixteen octets at a time. */
#define BLOCK 512

typedef unsigned char lanes __attribute__((vector_size(16)));

static lanes load(const char *p)
{
	lanes v;
	memcpy(&v, p, sizeof(v));
	return v;
}

/* Whether p[0] .. p[n - 1] is plain, each octet judged with the one before it. */
static bool block_is_plain(const char *p, size_t n)
{
	lanes bad = {0};
	size_t i = 0;
	for (; i + 1 + sizeof(lanes) <= n; i += sizeof(lanes)) {
		lanes a = load(p + i), b = load(p + i + 1);
		bad |= (lanes)(((b == '\n') ^ (a == '\r')) | ((a == '\n') & (b == '.')) | (a == 0));
	}
	uint64_t halves[2];
	memcpy(halves, &bad, sizeof(halves));
	if (halves[0] | halves[1])
		return false;
	for (; i < n; i++) {
		char a = p[i], b = i + 1 < n ? p[i + 1] : a == '\r' ? '\n' : 'x';
		if ((b == '\n') != (a == '\r') || (a == '\n' && b == '.') || a == '\0')
			return false;
	}
	return true;
}

/* How many octets at the start of `s` need no closer look. */
static size_t plain_octets(const struct eod *e, struct span s)
{
	size_t at = 0;
	if ((s.p[0] == '\n') != e->last_cr)
		return 0;
	while (at < s.n) {
		/* one octet further, so that the next block's first is judged with it too */
		size_t n = s.n - at < BLOCK ? s.n - at : BLOCK + (s.n - at > BLOCK);
		if (!block_is_plain(s.p + at, n))
			break;
		at += n > BLOCK ? BLOCK : n;
	}
	return at;
}

static void add_plain(struct eod *e, struct octets *out, struct span s)
{
	char last = s.p[s.n - 1];
	octets_add(out, s);
	e->state = last == '\n' ? STRICT_START : IN_LINE;
	e->last_cr = e->kept_cr = last == '\r';
}

bool eod_feed(struct eod *e, struct octets *out, struct span *rest)
{
	while (rest->n) {
		struct span before = *rest;
		bool had_candidate = e->candidate, end = false;
		size_t plain;
		bool may_end = e->state != IN_LINE &&
			       (rest->p[0] == '.' ||
				(e->state != STRICT_START && e->state != LOOSE_START));
		if (may_end) {
			char c = rest->p[0];
			*rest = span_sub(*rest, 1, rest->n);
			end = step(e, out, c);
		} else if ((plain = plain_octets(e, *rest))) {
			add_plain(e, out, span_sub(*rest, 0, plain));
			*rest = span_sub(*rest, plain, rest->n);
		} else {
			if (e->last_cr && rest->p[0] != '\n')
				e->flags |= TXN_BARE_CR;
			size_t n = plain_lines(e, *rest);
			bool whole = n > 0;
			if (!whole)
				n = rest->n;
			struct span s = span_sub(*rest, 0, n);
			add(e, out, s);
			if (!whole) {
				e->state = IN_LINE;
				e->last_cr = s.p[n - 1] == '\r';
			}
			*rest = span_sub(*rest, n, rest->n);
		}
		if (had_candidate)
			keep_tail(e, span_sub(before, 0, before.n - rest->n));
		if (end)
			return true;
	}
	return false;
}

bool eod_tail_is_commands(const struct eod *e)
{
	static const char *const verbs[] = {"mail from:", "rcpt to:", "ehlo ", "helo ", "rset", "data",
					    "quit", "bdat "};
	struct span rest = buf_span(&e->tail), line;
	for (int i = 0; i < 3 && span_next_line(&rest, &line); i++)
		for (size_t v = 0; v < sizeof(verbs) / sizeof(verbs[0]); v++)
			if (span_case_starts(line, span_of(verbs[v])))
				return true;
	return false;
}
