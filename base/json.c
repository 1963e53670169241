#include "base/json.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/utf8.h"

/* Octets at the start of `s` that a string may hold as they are: ASCII from the blank on. */
static size_t plain_bytes(struct span s)
{
	const uint64_t ones = 0x0101010101010101u, high = 0x80 * ones;
	size_t i = 0;
	for (; i + 8 <= s.n; i += 8) {
		uint64_t word;
		memcpy(&word, s.p + i, 8);
		/* zero octets of an ASCII word end in 0x7f and get no top bit */
		uint64_t quotes = (word ^ '"' * ones) + 0x7f * ones;
		uint64_t slashes = (word ^ '\\' * ones) + 0x7f * ones;
		uint64_t visible = word + (0x80 - ' ') * ones;
		if (word & high || ~(quotes & slashes & visible) & high)
			break;
	}
	while (i < s.n && s.p[i] >= ' ' && s.p[i] <= '~' && s.p[i] != '"' && s.p[i] != '\\')
		i++;
	return i;
}

/* What is not plain at the start of `s`: escaped, or characters as they are, or the replacement of
 * one that is none. Returns its octets. */
static size_t add_character(struct buf *out, struct span s)
{
	static const char hex[] = "0123456789abcdef";
	unsigned char c = (unsigned char)s.p[0];
	size_t n = c & 0x80 ? utf8_char_bytes(s) : 1;
	switch (c) {
	case '"':
		buf_adds(out, "\\\"");
		break;
	case '\\':
		buf_adds(out, "\\\\");
		break;
	case '\n':
		buf_adds(out, "\\n");
		break;
	case '\r':
		buf_adds(out, "\\r");
		break;
	case '\t':
		buf_adds(out, "\\t");
		break;
	default:
		if (c < 0x20) {
			buf_adds(out, "\\u00");
			buf_addc(out, hex[c >> 4]);
			buf_addc(out, hex[c & 15]);
		} else {
			for (size_t k = n; k && n < s.n && s.p[n] & 0x80; n += k)
				k = utf8_char_bytes(span_sub(s, n, s.n));
			buf_add(out, n ? span_sub(s, 0, n) : SPAN("\xef\xbf\xbd"));
		}
	}
	return n ? n : 1;
}

static void quote(struct buf *out, struct span s)
{
	size_t n = plain_bytes(s);
	if (n == s.n && buf_reserve(out, n + 2)) { /* nearly all are */
		char *to = out->p + out->n;
		to[0] = '"';
		memcpy(to + 1, s.n ? s.p : "", n);
		to[n + 1] = '"';
		to[n + 2] = '\0';
		out->n += n + 2;
		return;
	}
	buf_addc(out, '"');
	while (s.n) {
		buf_add(out, span_sub(s, 0, n));
		s = span_sub(s, n, s.n);
		if (s.n)
			s = span_sub(s, add_character(out, s), s.n);
		n = plain_bytes(s);
	}
	buf_addc(out, '"');
}

void json_key(struct json *j, struct span key)
{
	if (j->comma)
		buf_addc(j->out, ',');
	quote(j->out, key);
	buf_addc(j->out, ':');
	j->comma = false;
}

static void begin(struct json *j, const char *key)
{
	if (key)
		json_key(j, span_of(key));
	else if (j->comma)
		buf_addc(j->out, ',');
	j->comma = true;
}

void json_open(struct json *j, const char *key, char bracket)
{
	begin(j, key);
	buf_addc(j->out, bracket);
	j->comma = false;
}

void json_close(struct json *j, char bracket)
{
	buf_addc(j->out, bracket);
	j->comma = true;
}

void json_text(struct json *j, const char *key, struct span s)
{
	begin(j, key);
	if (s.p)
		quote(j->out, s);
	else
		buf_adds(j->out, "null");
}

void json_cstr(struct json *j, const char *key, const char *s)
{
	json_text(j, key, span_of(s));
}

void json_int(struct json *j, const char *key, int64_t value)
{
	begin(j, key);
	buf_addf(j->out, "%lld", (long long)value);
}

/* Scores and counts: what has at most six digits and three behind the point, as "%.6g" has it. */
static bool small_decimal(double value, char text[32])
{
	if (!(value >= 0 && value < 1000) || signbit(value))
		return false;
	unsigned thousandths = (unsigned)(value * 1000 + 0.5);
	if (thousandths >= 1000000 || (double)thousandths / 1000 != value)
		return false;
	unsigned whole = thousandths / 1000, rest = thousandths % 1000;
	size_t n = 0;
	for (unsigned unit = whole >= 100 ? 100 : whole >= 10 ? 10 : 1; unit; unit /= 10)
		text[n++] = (char)('0' + whole / unit % 10);
	if (rest)
		text[n++] = '.';
	for (unsigned unit = 100; rest; rest %= unit, unit /= 10)
		text[n++] = (char)('0' + rest / unit);
	text[n] = '\0';
	return true;
}

static bool round_trips(double value, int digits, char text[32])
{
	snprintf(text, 32, "%.*g", digits, value);
	return strtod(text, NULL) == value;
}

void json_number(struct json *j, const char *key, double value)
{
	begin(j, key);
	if (!isfinite(value)) {
		buf_adds(j->out, "null");
		return;
	}
	char text[32];
	if (small_decimal(value, text) || round_trips(value, 6, text)) {
		buf_adds(j->out, text);
		return;
	}
	/* with a digit more it does, too: the fewest are found by halves */
	int low = 7, high = 17;
	while (low < high) {
		int digits = low + (high - low) / 2;
		if (round_trips(value, digits, text))
			high = digits;
		else
			low = digits + 1;
	}
	round_trips(value, low, text);
	buf_adds(j->out, text);
}

void json_bool(struct json *j, const char *key, bool value)
{
	begin(j, key);
	buf_adds(j->out, value ? "true" : "false");
}

void json_null(struct json *j, const char *key)
{
	begin(j, key);
	buf_adds(j->out, "null");
}
