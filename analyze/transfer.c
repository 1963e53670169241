#include "analyze/transfer.h"

/* 0 to 63: a digit; 64: white space; 65: '='; 66: none of the alphabet. */
enum { B64_SPACE = 64, B64_PAD = 65, B64_FOREIGN = 66 };

static uint8_t b64_values[256];

static void b64_make(void)
{
	static const char digits[] =
		"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
	memset(b64_values, B64_FOREIGN, sizeof(b64_values));
	for (unsigned i = 0; i < 64; i++)
		b64_values[(unsigned char)digits[i]] = (uint8_t)i;
	b64_values['\r'] = b64_values['\n'] = b64_values[' '] = b64_values['\t'] = B64_SPACE;
	b64_values['='] = B64_PAD;
}

/* Whole quanta while nothing but digits comes; returns the octets of `s` taken. */
static size_t b64_fast(const unsigned char *p, size_t n, char **out, size_t room)
{
	size_t i = 0;
	char *o = *out;
	for (; i + 4 <= n && room >= 3; i += 4, room -= 3) {
		unsigned a = b64_values[p[i]], b = b64_values[p[i + 1]];
		unsigned c = b64_values[p[i + 2]], d = b64_values[p[i + 3]];
		if ((a | b | c | d) >= 64)
			break;
		uint32_t v = a << 18 | b << 12 | c << 6 | d;
		*o++ = (char)(v >> 16);
		*o++ = (char)(v >> 8);
		*o++ = (char)v;
	}
	*out = o;
	return i;
}

struct transfer_result base64_text_decode(struct base64_state *state, struct span s, char *out,
					  size_t room)
{
	struct transfer_result r = {.bad = SIZE_MAX};
	char *at = out, *end = out + room;
	if (!b64_values['A' + 1])
		b64_make();
	for (size_t i = 0; i < s.n; i++) {
		if (state->n == 0)
			i += b64_fast((const unsigned char *)s.p + i, s.n - i, &at,
				      (size_t)(end - at));
		if (i >= s.n)
			break;
		unsigned v = b64_values[(unsigned char)s.p[i]];
		if (v == B64_SPACE)
			continue;
		if (v == B64_PAD) {
			/* Padding ends a quantum; text that follows begins a new one. */
			state->ended = true;
			state->n = 0;
			continue;
		}
		if (v == B64_FOREIGN) {
			if (r.bad == SIZE_MAX)
				r.bad = i;
			r.foreign++;
			continue;
		}
		if (at == end) {
			r.cut = true;
			break;
		}
		state->ended = false;
		state->bits = state->bits << 6 | v;
		if (state->n > 0)
			*at++ = (char)(state->bits >> (6 - 2 * state->n));
		state->n = (state->n + 1) % 4;
	}
	r.n = (size_t)(at - out);
	return r;
}

static int hex_value(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	c = ascii_lower(c);
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* Position behind blanks and a line end at `i`; `i` itself when it is no soft line break. */
static size_t qp_soft_break(struct span s, size_t i)
{
	size_t j = i;
	while (j < s.n && (s.p[j] == ' ' || s.p[j] == '\t'))
		j++;
	if (j < s.n && s.p[j] == '\r')
		j++;
	if (j < s.n && s.p[j] == '\n')
		return j + 1;
	return j == s.n ? j : i;
}

struct transfer_result qp_decode(struct span s, char *out, size_t room)
{
	struct transfer_result r = {.bad = SIZE_MAX};
	for (size_t i = 0; i < s.n;) {
		struct span rest = span_sub(s, i, s.n);
		size_t run = span_find_char(rest, '=');
		if (run == SIZE_MAX)
			run = rest.n;
		if (run > room - r.n) {
			run = room - r.n;
			r.cut = true;
		}
		memcpy(out + r.n, rest.p, run);
		r.n += run;
		i += run;
		if (r.cut || i >= s.n)
			break;
		int high = i + 1 < s.n ? hex_value(s.p[i + 1]) : -1;
		int low = i + 2 < s.n ? hex_value(s.p[i + 2]) : -1;
		if (high >= 0 && low >= 0) {
			if (r.n == room) {
				r.cut = true;
				break;
			}
			out[r.n++] = (char)(high << 4 | low);
			i += 3;
			continue;
		}
		size_t behind = qp_soft_break(s, i + 1);
		if (behind > i + 1 || i + 1 == s.n) {
			i = behind;
			continue;
		}
		if (r.bad == SIZE_MAX)
			r.bad = i;
		if (r.n == room) {
			r.cut = true;
			break;
		}
		out[r.n++] = '=';
		i++;
	}
	return r;
}
