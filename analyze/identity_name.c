/* identity_name - company names, the unified credit code, ICP filing numbers. */
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

/* --- names ------------------------------------------------------------------------- */

#define NAME_BYTES 80

static bool word_byte(char c)
{
	return ascii_is_alpha(c) || ascii_is_digit(c) || (c & 0x80) || c == '\'' || c == '&' ||
	       c == '-' || c == '.';
}

/* Behind "©", "copyright", "paid for by" (who pays must be named), years and "by", up to the end
 * of the name. */
static struct text_range behind_copyright(struct span s, size_t at)
{
	static const char *const skip[] = {"paid for by", "copyright", "(c)", "©",
					   "by ",	  "the ",      NULL};
	static const char *const stops[] = {"all rights",
					    "rights reserved",
					    " | ",
					    ". ",
					    " - ",
					    ";",
					    " · ",
					    " unsubscribe",
					    " privacy",
					    " and not authorized",
					    " not authorized",
					    ", p.o.",
					    ", po box",
					    "(www",
					    " (http",
					    " is a ",
					    " and its ",
					    "。",
					    NULL};
	bool more = true;
	size_t stop_skip = at + NAME_BYTES < s.n ? at + NAME_BYTES : s.n;
	while (at < stop_skip && more) {
		struct span rest = span_sub(s, at, s.n);
		more = false;
		for (const char *const *w = skip; *w && !more; w++)
			if (span_starts(rest, span_of(*w))) {
				at += strlen(*w);
				more = true;
			}
		if (!more && (ascii_is_digit(rest.p[0]) || memchr(" ,-:", rest.p[0], 4))) {
			at++;
			more = true;
		}
	}
	struct span line = span_sub(s, at, at + NAME_BYTES);
	size_t end = span_find_char(line, '\n');
	end = end == SIZE_MAX ? line.n : end;
	for (const char *const *w = stops; *w; w++) {
		size_t stop = span_find(span_sub(line, 0, end), span_of(*w));
		end = stop < end ? stop : end;
	}
	while (end > 0 && memchr(" .,|", line.p[end - 1], 4))
		end--;
	while (end > 0 && end < line.n && (line.p[end] & 0xc0) == 0x80)
		end--;
	return end >= 2 ? (struct text_range){at, at + end} : (struct text_range){0, 0};
}

static struct text_range find_copyright(struct span s)
{
	static const char *const marks[] = {"paid for by", "©", "copyright", "(c) 1", "(c) 2"};
	struct text_range best = {0, 0};
	/* the last one: a footer's, not that of a quoted text above it */
	for (size_t k = 0; k < sizeof(marks) / sizeof(marks[0]); k++) {
		struct span mark = span_of(marks[k]);
		for (size_t from = 0, n = 0; n < 50; n++) {
			size_t at = span_find(span_sub(s, from, s.n), mark);
			if (at == SIZE_MAX)
				break;
			struct text_range p = behind_copyright(s, from + at);
			if (p.to > p.from && p.from >= best.from)
				best = p;
			from += at + mark.n;
		}
		if (best.to)
			break;
	}
	return best;
}

/* Where the name begins in "本公司是广州…有限公司", "我是…",
	"欢迎您来到…": behind the last word that no
 * name holds. */
static size_t behind_sentence(struct span s, size_t from, size_t to)
{
	static const char *const words[] = {"是", "系", "由", "的", "我", "您",
					    "你", "贵", "本", "请", "到", "为"};
	struct span piece = span_sub(s, from, to);
	for (size_t i = 0; i + 3 <= piece.n; i++)
		for (size_t k = 0; k < sizeof(words) / sizeof(words[0]); k++)
			if (!memcmp(piece.p + i, words[k], 3))
				from = (size_t)(piece.p - s.p) + i + 3;
	return from;
}

/* Chinese forms: ...有限公司, ...集团, 株式会社. */
static struct text_range find_wide_company(struct span s)
{
	/* all forms are ideographs of U+4E00..U+9FFF */
	bool wide = false;
	for (size_t i = 0; i < s.n && !wide; i++)
		wide = (unsigned char)s.p[i] >= 0xe4 && (unsigned char)s.p[i] <= 0xe9;
	if (!wide)
		return (struct text_range){0, 0};
	static const char *const forms[] = {"有限公司", "有限责任公司", "股份公司", "株式会社",
					    "公司",	"集团",		"事务所",   "工厂"};
	for (size_t k = 0; k < sizeof(forms) / sizeof(forms[0]); k++) {
		struct span form = span_of(forms[k]);
		for (size_t base = 0, n = 0; n < 40; n++) {
			size_t at = span_find(span_sub(s, base, s.n), form);
			if (at == SIZE_MAX)
				break;
			at += base;
			size_t from = at, chars = 0;
			/* back over ideographs (3 bytes, E4..E9) and letters */
			while (chars < 20) {
				unsigned char c = from >= 3 ? (unsigned char)s.p[from - 3] : 0;
				if (c >= 0xe4 && c <= 0xe9)
					from -= 3;
				else if (from > 0 && (ascii_is_alpha(s.p[from - 1]) ||
						      s.p[from - 1] == '(' || s.p[from - 1] == ')'))
					from--;
				else
					break;
				chars++;
			}
			from = behind_sentence(s, from, at);
			/* at least two characters of a name; bare 公司 needs four */
			if (at - from >= (form.n == 6 ? 12u : 6u) && at - from <= 60)
				return (struct text_range){from, at + form.n};
			base = at + form.n;
		}
	}
	return (struct text_range){0, 0};
}

static bool capital(struct span original, size_t at)
{
	return at < original.n && ((original.p[at] >= 'A' && original.p[at] <= 'Z') ||
				   ascii_is_digit(original.p[at]) || (original.p[at] & 0x80));
}

/* Words with a capital before "Inc.", "Ltd", "GmbH" and their like. */
static struct text_range find_latin_company(struct span s, struct span original,
					    const uint32_t *map)
{
	static const char *const forms[] = {"inc",	"llc",	 "ltd", "corp", "corporation",
					    "limited",	"gmbh",	 "ag",	"plc",	"s.a",
					    "s.r.l",	"sarl",	 "b.v", "pty",	"incorporated",
					    "co., ltd", "l.l.c", "n.v"};
	for (size_t i = 1; i < s.n; i++) {
		if ((s.p[i - 1] != ' ' && s.p[i - 1] != ',') || !ascii_is_alpha(s.p[i]))
			continue;
		struct span rest = span_sub(s, i, i + 16);
		size_t end = 0;
		for (size_t k = 0; k < sizeof(forms) / sizeof(forms[0]); k++) {
			if (*forms[k] != rest.p[0])
				continue;
			struct span form = span_of(forms[k]);
			if (span_starts(rest, form) &&
			    (rest.n == form.n || !word_byte(rest.p[form.n]) ||
			     rest.p[form.n] == '.') &&
			    form.n > end)
				end = form.n;
		}
		if (!end || !capital(original, map[i]))
			continue;
		size_t from = i, words = 0;
		while (words < 6) {
			size_t at = from;
			while (at > 0 && (s.p[at - 1] == ' ' || s.p[at - 1] == ','))
				at--;
			size_t stop = at;
			while (at > 0 && word_byte(s.p[at - 1]) && stop - at < 30)
				at--;
			bool joins = span_eq(span_sub(s, at, stop), SPAN("of")) ||
				     span_eq(span_sub(s, at, stop), SPAN("and")) ||
				     span_eq(span_sub(s, at, stop), SPAN("&"));
			if (at == stop || (!capital(original, map[at]) && !joins) ||
			    s.p[stop - 1] == '.')
				break;
			from = at;
			words++;
		}
		if (words)
			return (struct text_range){from, i + end};
	}
	return (struct text_range){0, 0};
}

struct text_range company_find(struct span s, struct span original, const uint32_t *map)
{
	struct text_range p = find_copyright(s);
	if (!p.to)
		p = find_wide_company(s);
	if (!p.to)
		p = find_latin_company(s, original, map);
	return p;
}
