/*
 * Both forms of the body drop the empty lines at its end, so CRLFs are held back (`held`) until
 * more text comes. Lines end at CRLF alone: a bare CR or LF is text, as RFC 6376 section 5.3
 * leaves it to the signer to have none.
 */
#include "analyze/dkim_canon.h"

struct sink {
	struct sha256 *hash;
	uint64_t seen, limit;
	size_t n;
	char buffer[4096];
};

static void sink_flush(struct sink *s)
{
	sha256_add(s->hash, (struct span){s->buffer, s->n});
	s->n = 0;
}

static void sink_add(struct sink *s, const char *p, size_t n)
{
	uint64_t left = s->seen < s->limit ? s->limit - s->seen : 0;
	s->seen += n;
	if (n > left)
		n = (size_t)left;
	if (n > sizeof(s->buffer) - s->n) {
		sink_flush(s);
		if (n >= sizeof(s->buffer)) {
			sha256_add(s->hash, (struct span){p, n});
			return;
		}
	}
	memcpy(s->buffer + s->n, p, n);
	s->n += n;
}

static bool is_blank(char c)
{
	return c == ' ' || c == '\t';
}

/* Runs of blanks become one space; a single space needs no cut. */
static void add_squeezed(struct sink *s, const char *p, const char *end)
{
	const char *from = p;
	while (p < end) {
		if (!is_blank(*p)) {
			p++;
			continue;
		}
		if (*p == ' ' && (p + 1 == end || !is_blank(p[1]))) {
			p++;
			continue;
		}
		sink_add(s, from, (size_t)(p - from));
		sink_add(s, " ", 1);
		while (p < end && is_blank(*p))
			p++;
		from = p;
	}
	sink_add(s, from, (size_t)(end - from));
}

/* The end of the line that starts at `p`, its CRLF left out; *next_r is behind it. */
static const char *line_end(const char *p, const char *end, const char **next_r)
{
	const char *at = p;
	while ((at = memchr(at, '\r', (size_t)(end - at)))) {
		if (at + 1 < end && at[1] == '\n') {
			*next_r = at + 2;
			return at;
		}
		at++;
	}
	*next_r = end;
	return end;
}

/* Simple form needs no lines: everything but the CRLFs at the end goes as it is. */
static void body_simple(struct sink *s, struct span body)
{
	while (body.n >= 2 && body.p[body.n - 2] == '\r' && body.p[body.n - 1] == '\n')
		body.n -= 2;
	sink_add(s, body.p, body.n);
	sink_add(s, "\r\n", 2);
}

static void body_relaxed(struct sink *s, struct span body)
{
	size_t held = 0;
	bool some = false;
	const char *p = body.p, *end = body.p + body.n, *next;
	for (; p < end; p = next) {
		const char *stop = line_end(p, end, &next);
		while (stop > p && is_blank(stop[-1]))
			stop--;
		if (stop > p) {
			for (; held; held--)
				sink_add(s, "\r\n", 2);
			add_squeezed(s, p, stop);
			some = true;
		}
		held++;
	}
	if (some)
		sink_add(s, "\r\n", 2);
}

void dkim_hash_body(struct sha256 *hash, struct span body, enum dkim_form form, uint64_t length,
		    struct dkim_body_hash *hash_r)
{
	struct sink s;
	s.hash = hash;
	s.seen = s.n = 0;
	s.limit = length;
	sha256_restart(hash);
	if (!body.p)
		body = SPAN("");
	if (form == DKIM_SIMPLE)
		body_simple(&s, body);
	else
		body_relaxed(&s, body);
	sink_flush(&s);
	hash_r->length = s.seen;
	sha256_finish(hash, hash_r->digest);
}

/* The body of a field in relaxed form, unfolded: CRLFs are dropped, blanks squeezed across them
 * and across calls. */
struct unfold {
	bool text;  /* something was written: blanks in front are dropped */
	bool blank; /* blanks wait for text */
};

static void add_unfolded(struct sink *s, struct unfold *u, const char *p, const char *end)
{
	while (p < end) {
		if (*p == '\r' && p + 1 < end && p[1] == '\n') {
			p += 2;
			continue;
		}
		if (is_blank(*p)) {
			u->blank = true;
			p++;
			continue;
		}
		const char *from = p;
		while (p < end && !is_blank(*p) && !(*p == '\r' && p + 1 < end && p[1] == '\n'))
			p++;
		if (u->blank && u->text)
			sink_add(s, " ", 1);
		sink_add(s, from, (size_t)(p - from));
		u->blank = false;
		u->text = true;
	}
}

static void add_relaxed(struct sink *s, struct span field, struct span cut)
{
	size_t colon = span_find_char(field, ':');
	if (colon == SIZE_MAX)
		colon = field.n;
	size_t name = colon;
	while (name && is_blank(field.p[name - 1]))
		name--;
	for (size_t i = 0; i < name; i++) {
		char c = ascii_lower(field.p[i]);
		sink_add(s, &c, 1);
	}
	sink_add(s, ":", 1);
	struct unfold u = {false, false};
	const char *p = field.p + (colon < field.n ? colon + 1 : colon), *end = field.p + field.n;
	if (cut.p) {
		add_unfolded(s, &u, p, cut.p);
		p = cut.p + cut.n;
	}
	add_unfolded(s, &u, p, end);
}

static struct span without_crlf(struct span field)
{
	if (span_ends(field, SPAN("\r\n")))
		field.n -= 2;
	else if (field.n && field.p[field.n - 1] == '\n')
		field.n--;
	return field;
}

static void add_field(struct sha256 *hash, struct span field, struct span cut,
		      enum dkim_form form, bool last)
{
	struct sink s;
	s.hash = hash;
	s.seen = s.n = 0;
	s.limit = DKIM_NO_LENGTH;
	field = without_crlf(field);
	if (cut.p && cut.p + cut.n > field.p + field.n) /* b= at the end has the CRLF in it */
		cut.n = (size_t)(field.p + field.n - cut.p);
	if (form == DKIM_RELAXED) {
		add_relaxed(&s, field, cut);
	} else if (cut.p) {
		sink_add(&s, field.p, (size_t)(cut.p - field.p));
		const char *rest = cut.p + cut.n;
		sink_add(&s, rest, (size_t)(field.p + field.n - rest));
	} else {
		sink_add(&s, field.p, field.n);
	}
	if (!last)
		sink_add(&s, "\r\n", 2);
	sink_flush(&s);
}

void dkim_add_field(struct sha256 *hash, struct span field, enum dkim_form form)
{
	add_field(hash, field, SPAN_NONE, form, false);
}

void dkim_add_signature_field(struct sha256 *hash, struct span field, struct span cut,
			      enum dkim_form form)
{
	add_field(hash, field, cut, form, true);
}
