#include "base/json.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/utf8.h"

static void quote(struct buf *out, struct span s)
{
	static const char hex[] = "0123456789abcdef";
	buf_addc(out, '"');
	size_t i = 0;
	while (i < s.n) {
		size_t start = i, n = 1;
		while (i < s.n && n && (unsigned char)s.p[i] >= 0x20 && s.p[i] != '"' &&
		       s.p[i] != '\\') {
			n = s.p[i] & 0x80 ? utf8_char_bytes(span_sub(s, i, s.n)) : 1;
			i += n;
		}
		buf_add(out, span_sub(s, start, i));
		if (i == s.n)
			break;
		unsigned char c = (unsigned char)s.p[i++];
		if (c >= 0x80) {
			buf_adds(out, "\xef\xbf\xbd");
			continue;
		}
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
			buf_adds(out, "\\u00");
			buf_addc(out, hex[c >> 4]);
			buf_addc(out, hex[c & 15]);
		}
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

void json_number(struct json *j, const char *key, double value)
{
	begin(j, key);
	if (!isfinite(value)) {
		buf_adds(j->out, "null");
		return;
	}
	char text[32];
	for (int digits = 6; digits <= 17; digits++) {
		snprintf(text, sizeof(text), "%.*g", digits, value);
		if (strtod(text, NULL) == value)
			break;
	}
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
