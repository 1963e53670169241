#include "base/utf8.h"

#include <stdlib.h>
#include <utf8proc.h>

size_t utf8_char_bytes(struct span s)
{
	if (s.n == 0)
		return 0;
	const unsigned char *p = (const unsigned char *)s.p;
	if (p[0] < 0x80)
		return 1;
	size_t n = p[0] >= 0xf0 ? 4 : p[0] >= 0xe0 ? 3 : 2;
	if (p[0] < 0xc2 || p[0] > 0xf4 || s.n < n)
		return 0;
	for (size_t i = 1; i < n; i++)
		if ((p[i] & 0xc0) != 0x80)
			return 0;
	/* overlong forms, surrogates, past U+10FFFF (RFC 3629 section 4) */
	if ((p[0] == 0xe0 && p[1] < 0xa0) || (p[0] == 0xed && p[1] > 0x9f) ||
	    (p[0] == 0xf0 && p[1] < 0x90) || (p[0] == 0xf4 && p[1] > 0x8f))
		return 0;
	return n;
}

int32_t utf8_next(struct span *rest)
{
	if (rest->n == 0)
		return -1;
	const unsigned char *p = (const unsigned char *)rest->p;
	size_t n = utf8_char_bytes(*rest);
	int32_t c = 0xfffd;
	if (n == 1)
		c = p[0];
	else if (n == 2)
		c = (p[0] & 0x1f) << 6 | (p[1] & 0x3f);
	else if (n == 3)
		c = (p[0] & 0x0f) << 12 | (p[1] & 0x3f) << 6 | (p[2] & 0x3f);
	else if (n == 4)
		c = (p[0] & 0x07) << 18 | (p[1] & 0x3f) << 12 | (p[2] & 0x3f) << 6 | (p[3] & 0x3f);
	*rest = span_sub(*rest, n ? n : 1, rest->n);
	return c;
}

bool utf8_is_ascii(struct span s)
{
	for (size_t i = 0; i < s.n; i++)
		if ((unsigned char)s.p[i] >= 0x80)
			return false;
	return true;
}

bool utf8_valid(struct span s)
{
	for (size_t i = 0; i < s.n;) {
		if ((unsigned char)s.p[i] < 0x80) {
			i++;
			continue;
		}
		size_t n = utf8_char_bytes(span_sub(s, i, s.n));
		if (n == 0)
			return false;
		i += n;
	}
	return true;
}

struct span utf8_cut(struct span s, size_t bytes)
{
	if (s.n <= bytes)
		return s;
	size_t n = bytes;
	while (n > 0 && bytes - n < 3 && ((unsigned char)s.p[n] & 0xc0) == 0x80)
		n--;
	return span_sub(s, 0, n);
}

size_t utf8_encode(int32_t c, char out[4])
{
	if (c < 0 || c > 0x10ffff || (c >= 0xd800 && c <= 0xdfff))
		c = 0xfffd;
	return (size_t)utf8proc_encode_char(c, (utf8proc_uint8_t *)out);
}

struct span utf8_repair(struct arena *a, struct span s)
{
	if (utf8_valid(s))
		return s;
	size_t bad = 0;
	for (size_t i = 0; i < s.n;) {
		size_t n = utf8_char_bytes(span_sub(s, i, s.n));
		bad += n == 0;
		i += n ? n : 1;
	}
	char *p = arena_alloc(a, s.n + 2 * bad + 1);
	if (!p)
		return SPAN_NONE;
	size_t at = 0;
	for (size_t i = 0; i < s.n;) {
		size_t n = utf8_char_bytes(span_sub(s, i, s.n));
		memcpy(p + at, n ? s.p + i : "\xef\xbf\xbd", n ? n : 3);
		at += n ? n : 3;
		i += n ? n : 1;
	}
	return (struct span){p, at};
}

struct span utf8_fold(struct arena *a, struct span s)
{
	if (utf8_is_ascii(s))
		return arena_lower(a, s);
	s = utf8_repair(a, s);
	utf8proc_uint8_t *folded = NULL;
	utf8proc_ssize_t n = utf8proc_map((const utf8proc_uint8_t *)s.p, (utf8proc_ssize_t)s.n,
					  &folded,
					  UTF8PROC_STABLE | UTF8PROC_COMPOSE | UTF8PROC_COMPAT |
						  UTF8PROC_CASEFOLD | UTF8PROC_IGNORE);
	struct span out = SPAN_NONE;
	if (n >= 0)
		out = arena_copy(a, (struct span){(char *)folded, (size_t)n});
	free(folded);
	return out;
}

size_t utf8_width(struct span s)
{
	size_t width = 0;
	for (int32_t c; (c = utf8_next(&s)) >= 0;)
		width += (size_t)utf8proc_charwidth(c);
	return width;
}
