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
	for (size_t i = 0; (i = span_find_digit(s, i)) < s.n;) {
		if (i && ascii_is_alpha(s.p[i - 1])) {
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

/* "京ICP备12345678号-1": the mark with digits behind, a province before. */
struct text_range icp_find(struct span s, const struct phrase_hits *hits)
{
	for (size_t k = 0; k < hits->n; k++) {
		size_t from = hits->v[k].from, at = hits->v[k].to, digits = 0;
		if (hits->v[k].kind != PHRASE_FILING)
			continue;
		while (at < s.n && !ascii_is_digit(s.p[at]) && at < hits->v[k].to + 6)
			at++;
		while (at + digits < s.n && ascii_is_digit(s.p[at + digits]))
			digits++;
		if (digits < 5 || digits > 10)
			continue;
		if (from >= 3 && (unsigned char)s.p[from - 3] >= 0xe4)
			from -= 3;
		size_t to = at + digits;
		if (span_starts(span_sub(s, to, s.n), SPAN("号")))
			to += 3;
		return (struct text_range){from, to};
	}
	return (struct text_range){0, 0};
}
