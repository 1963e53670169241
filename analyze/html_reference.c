/*
 * html_reference - character references: &amp; &#8212; &#x4e2d; &nbsp
 *
 * The names are those of HTML 4 that mail uses; the standard has 2,231, nearly all mathematics.
 * An unknown name stays as it is written, which is what a reader would see of it.
 */
#include "analyze/html.h"
#include "base/utf8.h"

static const struct {
	const char *name;
	uint32_t code;
} names[] = {
	{"amp", '&'}, {"lt", '<'}, {"gt", '>'}, {"quot", '"'}, {"apos", '\''}, {"nbsp", 0xa0},
	{"AMP", '&'}, {"LT", '<'}, {"GT", '>'}, {"QUOT", '"'}, {"COPY", 0xa9}, {"REG", 0xae},
	{"iexcl", 0xa1}, {"cent", 0xa2}, {"pound", 0xa3}, {"curren", 0xa4}, {"yen", 0xa5},
	{"brvbar", 0xa6}, {"sect", 0xa7}, {"uml", 0xa8}, {"copy", 0xa9}, {"ordf", 0xaa},
	{"laquo", 0xab}, {"not", 0xac}, {"shy", 0xad}, {"reg", 0xae}, {"macr", 0xaf},
	{"deg", 0xb0}, {"plusmn", 0xb1}, {"sup2", 0xb2}, {"sup3", 0xb3}, {"acute", 0xb4},
	{"micro", 0xb5}, {"para", 0xb6}, {"middot", 0xb7}, {"cedil", 0xb8}, {"sup1", 0xb9},
	{"ordm", 0xba}, {"raquo", 0xbb}, {"frac14", 0xbc}, {"frac12", 0xbd}, {"frac34", 0xbe},
	{"iquest", 0xbf}, {"Agrave", 0xc0}, {"Aacute", 0xc1}, {"Acirc", 0xc2}, {"Atilde", 0xc3},
	{"Auml", 0xc4}, {"Aring", 0xc5}, {"AElig", 0xc6}, {"Ccedil", 0xc7}, {"Egrave", 0xc8},
	{"Eacute", 0xc9}, {"Ecirc", 0xca}, {"Euml", 0xcb}, {"Igrave", 0xcc}, {"Iacute", 0xcd},
	{"Icirc", 0xce}, {"Iuml", 0xcf}, {"ETH", 0xd0}, {"Ntilde", 0xd1}, {"Ograve", 0xd2},
	{"Oacute", 0xd3}, {"Ocirc", 0xd4}, {"Otilde", 0xd5}, {"Ouml", 0xd6}, {"times", 0xd7},
	{"Oslash", 0xd8}, {"Ugrave", 0xd9}, {"Uacute", 0xda}, {"Ucirc", 0xdb}, {"Uuml", 0xdc},
	{"Yacute", 0xdd}, {"THORN", 0xde}, {"szlig", 0xdf}, {"agrave", 0xe0}, {"aacute", 0xe1},
	{"acirc", 0xe2}, {"atilde", 0xe3}, {"auml", 0xe4}, {"aring", 0xe5}, {"aelig", 0xe6},
	{"ccedil", 0xe7}, {"egrave", 0xe8}, {"eacute", 0xe9}, {"ecirc", 0xea}, {"euml", 0xeb},
	{"igrave", 0xec}, {"iacute", 0xed}, {"icirc", 0xee}, {"iuml", 0xef}, {"eth", 0xf0},
	{"ntilde", 0xf1}, {"ograve", 0xf2}, {"oacute", 0xf3}, {"ocirc", 0xf4}, {"otilde", 0xf5},
	{"ouml", 0xf6}, {"divide", 0xf7}, {"oslash", 0xf8}, {"ugrave", 0xf9}, {"uacute", 0xfa},
	{"ucirc", 0xfb}, {"uuml", 0xfc}, {"yacute", 0xfd}, {"thorn", 0xfe}, {"yuml", 0xff},
	{"OElig", 0x152}, {"oelig", 0x153}, {"Scaron", 0x160}, {"scaron", 0x161}, {"Yuml", 0x178},
	{"ensp", 0x2002}, {"emsp", 0x2003}, {"thinsp", 0x2009}, {"zwnj", 0x200c}, {"zwj", 0x200d},
	{"ndash", 0x2013}, {"mdash", 0x2014}, {"lsquo", 0x2018}, {"rsquo", 0x2019},
	{"sbquo", 0x201a}, {"ldquo", 0x201c}, {"rdquo", 0x201d}, {"bdquo", 0x201e},
	{"dagger", 0x2020}, {"Dagger", 0x2021}, {"bull", 0x2022}, {"hellip", 0x2026},
	{"permil", 0x2030}, {"lsaquo", 0x2039}, {"rsaquo", 0x203a}, {"euro", 0x20ac},
	{"trade", 0x2122}, {"larr", 0x2190}, {"uarr", 0x2191}, {"rarr", 0x2192}, {"darr", 0x2193},
	{"ne", 0x2260}, {"le", 0x2264}, {"ge", 0x2265}, {"check", 0x2713}, {"star", 0x2606},
	{"hearts", 0x2665}, {"clubs", 0x2663}, {"ast", '*'}, {"num", '#'}, {"colon", ':'},
	{"comma", ','}, {"period", '.'}, {"sol", '/'}, {"commat", '@'}, {"lpar", '('},
	{"rpar", ')'}, {"lowbar", '_'}, {"dollar", '$'}, {"percnt", '%'}, {"excl", '!'},
	{"quest", '?'}, {"equals", '='}, {"plus", '+'}, {"NewLine", '\n'}, {"Tab", '\t'},
	{"zwsp", 0x200b},
};

#define SLOTS 512
#define NAME_BYTES 8 /* the longest name above */
static uint8_t slots[SLOTS]; /* index + 1 */

static size_t name_slot(struct span name)
{
	uint64_t h = 0;
	for (size_t i = 0; i < name.n; i++)
		h = (h ^ (unsigned char)name.p[i]) * 0x9e3779b97f4a7c15u;
	return h >> 55;
}

static uint32_t name_code(struct span name)
{
	_Static_assert(sizeof(names) / sizeof(names[0]) < 256, "index fits");
	static bool ready;
	if (!ready) {
		for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
			size_t at = name_slot(span_of(names[i].name));
			while (slots[at])
				at = (at + 1) % SLOTS;
			slots[at] = (uint8_t)(i + 1);
		}
		ready = true;
	}
	for (size_t at = name_slot(name); slots[at]; at = (at + 1) % SLOTS)
		if (span_eq(span_of(names[slots[at] - 1].name), name))
			return names[slots[at] - 1].code;
	return 0;
}

/* windows-1252 in 0x80..0x9f, as the standard asks (13.2.5.80). */
static const uint16_t windows_1252[32] = {
	0x20ac, 0x81, 0x201a, 0x192, 0x201e, 0x2026, 0x2020, 0x2021, 0x2c6, 0x2030, 0x160,
	0x2039, 0x152, 0x8d, 0x17d, 0x8f, 0x90, 0x2018, 0x2019, 0x201c, 0x201d, 0x2022,
	0x2013, 0x2014, 0x2dc, 0x2122, 0x161, 0x203a, 0x153, 0x9d, 0x17e, 0x178};

static int digit_value(char c)
{
	if (ascii_is_digit(c))
		return c - '0';
	c = ascii_lower(c);
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : 16;
}

static uint32_t numeric(struct span s, size_t *taken_r)
{
	size_t i = 2;
	int base = 10;
	if (i < s.n && ascii_lower(s.p[i]) == 'x') {
		base = 16;
		i++;
	}
	size_t from = i;
	uint32_t code = 0;
	for (; i < s.n && digit_value(s.p[i]) < base; i++)
		if (code < 0x110000)
			code = code * (uint32_t)base + (uint32_t)digit_value(s.p[i]);
	if (i == from)
		return 0;
	*taken_r = i + (i < s.n && s.p[i] == ';');
	if (code >= 0x80 && code < 0xa0)
		code = windows_1252[code - 0x80];
	return code == 0 || code > 0x10ffff || (code >= 0xd800 && code < 0xe000) ? 0xfffd : code;
}

size_t html_reference(struct span *rest, char out[8])
{
	struct span s = *rest;
	size_t taken = 0;
	uint32_t code = 0;
	if (span_starts(s, SPAN("&nbsp;"))) { /* most of them */
		memcpy(out, "\xc2\xa0", 2);
		*rest = span_sub(s, 6, s.n);
		return 2;
	}
	if (s.n > 2 && s.p[1] == '#') {
		code = numeric(s, &taken);
	} else {
		size_t i = 1;
		while (i < s.n && i <= NAME_BYTES && (ascii_is_alpha(s.p[i]) || ascii_is_digit(s.p[i])))
			i++;
		bool closed = i < s.n && s.p[i] == ';';
		/* Without ';' a name must not run on: "&copy2" is no reference in a URL. */
		code = i > 1 ? name_code(span_sub(s, 1, i)) : 0;
		if (!closed && i < s.n && s.p[i] == '=')
			code = 0;
		taken = i + closed;
	}
	if (!code)
		return 0;
	char utf8[4];
	size_t n = utf8_encode((int32_t)code, utf8);
	if (n > taken)
		return 0;
	memcpy(out, utf8, n);
	*rest = span_sub(s, taken, s.n);
	return n;
}

struct span html_decode(struct arena *a, struct span raw)
{
	if (raw.n == 0 || !memchr(raw.p, '&', raw.n))
		return raw;
	char *out = arena_room(a, raw.n);
	if (!out)
		return SPAN_NONE;
	size_t n = 0;
	struct span rest = raw;
	while (rest.n) {
		char utf8[8];
		size_t k = rest.p[0] == '&' ? html_reference(&rest, utf8) : 0;
		if (k) {
			memcpy(out + n, utf8, k);
			n += k;
			continue;
		}
		/* up to the next '&', and one that is no reference itself */
		const char *next = memchr(rest.p + 1, '&', rest.n - 1);
		k = next ? (size_t)(next - rest.p) : rest.n;
		memcpy(out + n, rest.p, k);
		n += k;
		rest = span_sub(rest, k, rest.n);
	}
	return (struct span){out, n};
}
