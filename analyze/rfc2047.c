/*
 *	encoded-word = "=?" charset ["*" language] "?" encoding "?" encoded-text "?="
 *
 * One pass over the field. Words that only white space parts and that have the same charset are
 * decoded into one run of octets; the run is converted when something else comes. A search for
 * "?=" that found nothing is not made again, so the pass is linear.
 *
 * Deviation: blanks inside encoded-text and words over 75 characters are read, because mail
 * readers do and senders count on it. Both are told as faults.
 */
#include "analyze/rfc2047.h"

#include "analyze/transfer.h"
#include "base/utf8.h"

#define LONGEST_WORD 75 /* RFC 2047 section 2 */

struct word {
	struct span charset;
	char encoding; /* 'b' or 'q' */
	struct span text;
	size_t length; /* of the whole word */
};

struct decoder {
	struct arena *arena;
	const struct charset *hint;
	unsigned faults;
	char *out; /* UTF-8 */
	size_t n, cap;
	/* the run of adjacent words */
	char *run;
	size_t run_n, run_cap;
	struct span run_charset; /* .p NULL: no run */
	struct base64_state base64;
	char last_encoding;
	size_t no_end_before; /* no "?=" begins at or behind this position; SIZE_MAX: unknown */
};

static void put(struct decoder *d, struct span s)
{
	if (d->cap - d->n < s.n) {
		size_t cap = (d->n + s.n) * 2;
		char *bigger = arena_room(d->arena, cap);
		if (!bigger)
			return;
		if (d->n)
			memcpy(bigger, d->out, d->n);
		d->out = bigger;
		d->cap = cap;
	}
	if (s.n)
		memcpy(d->out + d->n, s.p, s.n);
	d->n += s.n;
}

/* Reads the word at `at`. 0: there is none; 1: a word; -1: it began like one. */
static int word_read(struct decoder *d, struct span raw, size_t at, struct word *w)
{
	size_t i = at + 2, start = i;
	while (i < raw.n && i - start < 64 && raw.p[i] != '?' && (unsigned char)raw.p[i] > ' ')
		i++;
	if (i >= raw.n || raw.p[i] != '?' || i == start)
		return 0;
	w->charset = span_sub(raw, start, i);
	size_t star = span_find_char(w->charset, '*');
	if (star != SIZE_MAX)
		w->charset.n = star;
	if (i + 2 >= raw.n || raw.p[i + 2] != '?')
		return 0;
	w->encoding = ascii_lower(raw.p[i + 1]);
	if (w->encoding != 'b' && w->encoding != 'q')
		return -1;
	size_t text = i + 3;
	if (text >= d->no_end_before)
		return -1;
	size_t length = span_find(span_sub(raw, text, raw.n), SPAN("?="));
	if (length == SIZE_MAX) {
		d->no_end_before = text;
		return -1;
	}
	w->text = span_sub(raw, text, text + length);
	w->length = text + length + 2 - at;
	return 1;
}

/* Q: "_" is a blank; the rest is quoted-printable without soft line breaks. */
static size_t q_decode(struct decoder *d, struct span s, char *out)
{
	size_t n = 0;
	for (size_t i = 0; i < s.n; i++) {
		char c = s.p[i];
		if (c == '=' && i + 2 < s.n) {
			struct transfer_result r = qp_decode(span_sub(s, i, i + 3), out + n, 3);
			if (r.bad == SIZE_MAX && r.n == 1) {
				n++;
				i += 2;
				continue;
			}
		}
		if (c == '=' || (unsigned char)c >= 0x80)
			d->faults |= RFC2047_BAD_WORD;
		if (c == '\r' || c == '\n')
			continue;
		out[n++] = c == '_' ? ' ' : c;
	}
	return n;
}

static void run_add(struct decoder *d, const struct word *w)
{
	if (d->run_cap - d->run_n < w->text.n + 3) {
		size_t cap = (d->run_n + w->text.n + 64) * 2;
		char *bigger = arena_room(d->arena, cap);
		if (!bigger)
			return;
		if (d->run_n)
			memcpy(bigger, d->run, d->run_n);
		d->run = bigger;
		d->run_cap = cap;
	}
	char *out = d->run + d->run_n;
	if (w->encoding == 'q') {
		d->run_n += q_decode(d, w->text, out);
	} else {
		/* A quantum cut in two by the sender goes on in the next word, unless the rest
		 * of it is zero: then it was only not padded. */
		static const uint32_t rest_bits[4] = {0, 0x3f, 0xf, 0x3};
		bool goes_on = d->last_encoding == 'b' && d->base64.n && !d->base64.ended &&
			       (d->base64.bits & rest_bits[d->base64.n]);
		if (!goes_on)
			d->base64 = (struct base64_state){0};
		struct transfer_result r = base64_text_decode(&d->base64, w->text, out,
							      d->run_cap - d->run_n);
		d->run_n += r.n;
		if (r.bad != SIZE_MAX)
			d->faults |= RFC2047_BAD_WORD;
	}
	d->last_encoding = w->encoding;
}

/* Line ends and other control characters that came out of a word would forge fields. */
static void drop_controls(char *p, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if ((unsigned char)p[i] < ' ')
			p[i] = ' ';
}

static void run_flush(struct decoder *d)
{
	if (!d->run_charset.p)
		return;
	const struct charset *c = charset_find(d->run_charset);
	struct charset_text t = charset_decode(d->arena, (struct span){d->run, d->run_n},
					       d->run_charset, d->hint);
	if (t.unknown)
		d->faults |= RFC2047_UNKNOWN;
	else if (t.broken || (t.guessed && c))
		d->faults |= RFC2047_MISMATCH;
	size_t before = d->n;
	put(d, t.text);
	if (d->n > before)
		drop_controls(d->out + before, d->n - before);
	d->run_n = 0;
	d->run_charset = SPAN_NONE;
	d->base64 = (struct base64_state){0};
	d->last_encoding = 0;
}

/* Text outside of words, without line ends. */
static void put_raw(struct decoder *d, struct span s)
{
	while (s.n) {
		size_t i = 0;
		while (i < s.n && s.p[i] != '\r' && s.p[i] != '\n')
			i++;
		put(d, span_sub(s, 0, i));
		while (i < s.n && (s.p[i] == '\r' || s.p[i] == '\n'))
			i++;
		s = span_sub(s, i, s.n);
	}
}

static void put_text(struct decoder *d, struct span s)
{
	if (charset_ascii_run(s) < s.n) {
		struct charset_text t = charset_decode(d->arena, s, SPAN_NONE, d->hint);
		d->faults |= RFC2047_8BIT;
		if (!utf8_valid(s))
			d->faults |= RFC2047_8BIT_NO_UTF8;
		s = t.text;
	}
	size_t before = d->n;
	put_raw(d, s);
	for (size_t i = before; i < d->n; i++)
		if (d->out[i] == '\0')
			d->out[i] = ' ';
}

static bool all_blank(struct span s)
{
	return span_trim(s).n == 0;
}

static void decode_words(struct decoder *d, struct span raw, size_t first)
{
	size_t text = 0, at = first;
	while (at < raw.n) {
		size_t next = span_find(span_sub(raw, at, raw.n), SPAN("=?"));
		if (next == SIZE_MAX)
			break;
		at += next;
		struct word w;
		int r = word_read(d, raw, at, &w);
		if (r <= 0) {
			if (r < 0)
				d->faults |= RFC2047_BAD_WORD;
			at += 2;
			continue;
		}
		struct span between = span_sub(raw, text, at);
		bool joins = d->run_charset.p && all_blank(between) &&
			     span_case_eq(d->run_charset, w.charset);
		if (!joins) {
			bool blank_between_words = d->run_charset.p && all_blank(between);
			run_flush(d);
			if (!blank_between_words)
				put_text(d, between);
			d->run_charset = w.charset;
		}
		if (w.length > LONGEST_WORD)
			d->faults |= RFC2047_LONG_WORD;
		run_add(d, &w);
		at += w.length;
		text = at;
	}
	run_flush(d);
	put_text(d, span_sub(raw, text, raw.n));
}

struct span rfc2047_decode(struct arena *arena, struct span raw, const struct charset *hint,
			   unsigned *faults)
{
	raw = span_trim(raw);
	size_t first = span_find(raw, SPAN("=?"));
	bool plain = first == SIZE_MAX && charset_ascii_run(raw) == raw.n;
	if (plain && span_find_char(raw, '\n') == SIZE_MAX &&
	    span_find_char(raw, '\r') == SIZE_MAX && span_find_char(raw, '\0') == SIZE_MAX)
		return raw;
	struct decoder d = {.arena = arena, .hint = hint, .no_end_before = SIZE_MAX};
	d.cap = raw.n + 16;
	d.out = arena_room(arena, d.cap);
	if (!d.out)
		return SPAN_NONE;
	decode_words(&d, raw, first == SIZE_MAX ? raw.n : first);
	if (faults)
		*faults |= d.faults;
	return span_trim((struct span){d.out, d.n});
}
