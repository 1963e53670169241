/* identity_code - the unified credit code and ICP filing numbers of China. */
#include "analyze/identity.h"

/* --- GB 32100-2015: 17 characters and a check character, weights 3^i mod 31 ------- */

static const char code_alphabet[] = "0123456789ABCDEFGHJKLMNPQRTUWXY";

static int code_value(char c)
{
	c = c >= 'a' && c <= 'z' ? (char)(c - 32) : c;
	const char *at = c ? strchr(code_alphabet, c) : NULL;
	return at ? (int)(at - code_alphabet) : -1;
}

bool credit_code_valid(struct span code)
{
	int sum = 0, weight = 1;
	if (code.n != 18)
		return false;
	for (size_t i = 0; i < 17; i++) {
		int v = code_value(code.p[i]);
		if (v < 0)
			return false;
		sum += v * weight;
		weight = weight * 3 % 31;
	}
	return code_value(code.p[17]) == (31 - sum % 31) % 31;
}

struct text_range credit_code_find(struct span s)
{
	for (size_t i = 0; i < s.n;) {
		if (!ascii_is_digit(s.p[i]) && !ascii_is_alpha(s.p[i])) {
			i++;
			continue;
		}
		size_t from = i;
		while (i < s.n && (ascii_is_digit(s.p[i]) || ascii_is_alpha(s.p[i])))
			i++;
		/* 1, 5, 9: kinds of registering authority that organisations have */
		if (i - from == 18 && ascii_is_digit(s.p[from]) &&
		    credit_code_valid(span_sub(s, from, i)))
			return (struct text_range){from, i};
	}
	return (struct text_range){0, 0};
}

/* "京ICP备12345678号-1": folded "icp" with 备 or 证 and digits behind, a province before. */
struct text_range icp_find(struct span s)
{
	for (size_t i = 0; i + 9 < s.n; i++) {
		const char *p = memchr(s.p + i, 'i', s.n - i - 9);
		if (!p)
			break;
		i = (size_t)(p - s.p);
		struct span rest = span_sub(s, i, s.n);
		if (!span_starts(rest, SPAN("icp")))
			continue;
		size_t at = rest.n > 3 && rest.p[3] == ' ' ? 4 : 3;
		struct span mark = span_sub(rest, at, at + 3);
		if (!span_eq(mark, SPAN("备")) && !span_eq(mark, SPAN("证")))
			continue;
		for (at += 3; at < rest.n && !ascii_is_digit(rest.p[at]) && at < 12;)
			at++;
		size_t digits = 0;
		while (at + digits < rest.n && ascii_is_digit(rest.p[at + digits]))
			digits++;
		if (digits < 5 || digits > 10)
			continue;
		size_t from = i >= 3 && (unsigned char)s.p[i - 3] >= 0xe4 ? i - 3 : i,
		       to = i + at + digits;
		if (span_starts(span_sub(s, to, s.n), SPAN("号")))
			to += 3;
		return (struct text_range){from, to};
	}
	return (struct text_range){0, 0};
}
