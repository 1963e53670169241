/*
 * Labels are a table, conversion is iconv's, except for what is frequent and simple: UTF-8 is
 * checked, windows-1252 is a table here, HZ is GB with the high bits off.
 *
 * Guessing. Chinese bulk mail of the last twenty years is full of raw GBK header fields and of
 * wrong labels, so octets must sometimes be asked what they are. The cost of errors is lopsided:
 * windows-1252 read as GB18030 turns English into Chinese (each accented letter swallows its
 * neighbour). So a double-byte charset must explain *every* high octet as a pair of which nearly
 * all are common characters (GB 2312 level 1, Big5 level 1, the 2,350 Hangul of KS X 1001).
 */
#include "analyze/charset.h"

#include <errno.h>
#include <iconv.h>

#include "base/utf8.h"

enum kind { KIND_UTF8, KIND_ASCII, KIND_1252, KIND_HZ, KIND_ICONV };

struct charset {
	const char *label;
	const char *name; /* ours */
	enum kind kind;
	const char *iconv; /* NULL: none is needed */
};

/* Sorted by label. */
static const struct charset charsets[] = {
	{"ansi_x3.4-1968", "us-ascii", KIND_ASCII, NULL},
	{"ascii", "us-ascii", KIND_ASCII, NULL},
	{"big5", "big5", KIND_ICONV, "BIG5-HKSCS"},
	{"big5-hkscs", "big5", KIND_ICONV, "BIG5-HKSCS"},
	{"chinesebig5", "big5", KIND_ICONV, "BIG5-HKSCS"},
	{"cn-big5", "big5", KIND_ICONV, "BIG5-HKSCS"},
	{"cn-gb", "gb18030", KIND_ICONV, "GB18030"},
	{"cp1250", "windows-1250", KIND_ICONV, "CP1250"},
	{"cp1251", "windows-1251", KIND_ICONV, "CP1251"},
	{"cp1252", "windows-1252", KIND_1252, NULL},
	{"cp437", "ibm437", KIND_ICONV, "IBM437"},
	{"cp850", "ibm850", KIND_ICONV, "IBM850"},
	{"cp866", "ibm866", KIND_ICONV, "IBM866"},
	{"cp932", "cp932", KIND_ICONV, "CP932"},
	{"cp936", "gb18030", KIND_ICONV, "GB18030"},
	{"cp949", "cp949", KIND_ICONV, "CP949"},
	{"cp950", "big5", KIND_ICONV, "BIG5-HKSCS"},
	{"euc-cn", "gb18030", KIND_ICONV, "GB18030"},
	{"euc-jp", "euc-jp", KIND_ICONV, "EUC-JP-MS"},
	{"euc-kr", "cp949", KIND_ICONV, "CP949"},
	{"euc-tw", "euc-tw", KIND_ICONV, "EUC-TW"},
	{"euccn", "gb18030", KIND_ICONV, "GB18030"},
	{"eucjp", "euc-jp", KIND_ICONV, "EUC-JP-MS"},
	{"euckr", "cp949", KIND_ICONV, "CP949"},
	{"gb18030", "gb18030", KIND_ICONV, "GB18030"},
	{"gb2312", "gb18030", KIND_ICONV, "GB18030"},
	{"gb_2312-80", "gb18030", KIND_ICONV, "GB18030"},
	{"gbk", "gb18030", KIND_ICONV, "GB18030"},
	{"hz", "hz-gb-2312", KIND_HZ, "GB18030"},
	{"hz-gb-2312", "hz-gb-2312", KIND_HZ, "GB18030"},
	{"ibm437", "ibm437", KIND_ICONV, "IBM437"},
	{"ibm850", "ibm850", KIND_ICONV, "IBM850"},
	{"ibm866", "ibm866", KIND_ICONV, "IBM866"},
	{"iso-2022-jp", "iso-2022-jp", KIND_ICONV, "ISO-2022-JP-3"},
	{"iso-2022-jp-2", "iso-2022-jp-2", KIND_ICONV, "ISO-2022-JP-2"},
	{"iso-2022-kr", "iso-2022-kr", KIND_ICONV, "ISO-2022-KR"},
	{"iso-8859-1", "windows-1252", KIND_1252, NULL},
	{"iso-8859-10", "iso-8859-10", KIND_ICONV, "ISO-8859-10"},
	{"iso-8859-11", "windows-874", KIND_ICONV, "CP874"},
	{"iso-8859-13", "iso-8859-13", KIND_ICONV, "ISO-8859-13"},
	{"iso-8859-14", "iso-8859-14", KIND_ICONV, "ISO-8859-14"},
	{"iso-8859-15", "iso-8859-15", KIND_ICONV, "ISO-8859-15"},
	{"iso-8859-16", "iso-8859-16", KIND_ICONV, "ISO-8859-16"},
	{"iso-8859-2", "iso-8859-2", KIND_ICONV, "ISO-8859-2"},
	{"iso-8859-3", "iso-8859-3", KIND_ICONV, "ISO-8859-3"},
	{"iso-8859-4", "iso-8859-4", KIND_ICONV, "ISO-8859-4"},
	{"iso-8859-5", "iso-8859-5", KIND_ICONV, "ISO-8859-5"},
	{"iso-8859-6", "iso-8859-6", KIND_ICONV, "ISO-8859-6"},
	{"iso-8859-7", "iso-8859-7", KIND_ICONV, "ISO-8859-7"},
	{"iso-8859-8", "iso-8859-8", KIND_ICONV, "ISO-8859-8"},
	{"iso-8859-8-i", "iso-8859-8", KIND_ICONV, "ISO-8859-8"},
	{"iso-8859-9", "windows-1254", KIND_ICONV, "CP1254"},
	{"iso-ir-58", "gb18030", KIND_ICONV, "GB18030"},
	{"iso8859-1", "windows-1252", KIND_1252, NULL},
	{"iso8859-15", "iso-8859-15", KIND_ICONV, "ISO-8859-15"},
	{"iso8859-2", "iso-8859-2", KIND_ICONV, "ISO-8859-2"},
	{"iso_8859-1", "windows-1252", KIND_1252, NULL},
	{"koi8-r", "koi8-r", KIND_ICONV, "KOI8-R"},
	{"koi8-u", "koi8-u", KIND_ICONV, "KOI8-U"},
	{"korean", "cp949", KIND_ICONV, "CP949"},
	{"ks_c_5601", "cp949", KIND_ICONV, "CP949"},
	{"ks_c_5601-1987", "cp949", KIND_ICONV, "CP949"},
	{"ks_c_5601-1989", "cp949", KIND_ICONV, "CP949"},
	{"ksc5601", "cp949", KIND_ICONV, "CP949"},
	{"l1", "windows-1252", KIND_1252, NULL},
	{"latin-1", "windows-1252", KIND_1252, NULL},
	{"latin1", "windows-1252", KIND_1252, NULL},
	{"mac", "macintosh", KIND_ICONV, "MACINTOSH"},
	{"macintosh", "macintosh", KIND_ICONV, "MACINTOSH"},
	{"ms936", "gb18030", KIND_ICONV, "GB18030"},
	{"ms_kanji", "cp932", KIND_ICONV, "CP932"},
	{"shift-jis", "cp932", KIND_ICONV, "CP932"},
	{"shift_jis", "cp932", KIND_ICONV, "CP932"},
	{"sjis", "cp932", KIND_ICONV, "CP932"},
	{"tis-620", "windows-874", KIND_ICONV, "CP874"},
	{"uhc", "cp949", KIND_ICONV, "CP949"},
	{"unicode-1-1-utf-7", "utf-7", KIND_ICONV, "UTF-7"},
	{"unicode-1-1-utf-8", "utf-8", KIND_UTF8, NULL},
	{"us-ascii", "us-ascii", KIND_ASCII, NULL},
	{"utf-16", "utf-16", KIND_ICONV, "UTF-16"},
	{"utf-16be", "utf-16be", KIND_ICONV, "UTF-16BE"},
	{"utf-16le", "utf-16le", KIND_ICONV, "UTF-16LE"},
	{"utf-32", "utf-32", KIND_ICONV, "UTF-32"},
	/* browsers dropped it; mail readers show it, so it would hide words from the rules */
	{"utf-7", "utf-7", KIND_ICONV, "UTF-7"},
	{"utf-8", "utf-8", KIND_UTF8, NULL},
	{"utf8", "utf-8", KIND_UTF8, NULL},
	{"utf8mb4", "utf-8", KIND_UTF8, NULL},
	{"viscii", "viscii", KIND_ICONV, "VISCII"},
	{"windows-1250", "windows-1250", KIND_ICONV, "CP1250"},
	{"windows-1251", "windows-1251", KIND_ICONV, "CP1251"},
	{"windows-1252", "windows-1252", KIND_1252, NULL},
	{"windows-1253", "windows-1253", KIND_ICONV, "CP1253"},
	{"windows-1254", "windows-1254", KIND_ICONV, "CP1254"},
	{"windows-1255", "windows-1255", KIND_ICONV, "CP1255"},
	{"windows-1256", "windows-1256", KIND_ICONV, "CP1256"},
	{"windows-1257", "windows-1257", KIND_ICONV, "CP1257"},
	{"windows-1258", "windows-1258", KIND_ICONV, "CP1258"},
	{"windows-31j", "cp932", KIND_ICONV, "CP932"},
	{"windows-874", "windows-874", KIND_ICONV, "CP874"},
	{"windows-936", "gb18030", KIND_ICONV, "GB18030"},
	{"windows-949", "cp949", KIND_ICONV, "CP949"},
	{"x-big5", "big5", KIND_ICONV, "BIG5-HKSCS"},
	{"x-euc-jp", "euc-jp", KIND_ICONV, "EUC-JP-MS"},
	{"x-gbk", "gb18030", KIND_ICONV, "GB18030"},
	{"x-mac-roman", "macintosh", KIND_ICONV, "MACINTOSH"},
	{"x-sjis", "cp932", KIND_ICONV, "CP932"},
	{"x-x-big5", "big5", KIND_ICONV, "BIG5-HKSCS"},
};
#define CHARSETS (sizeof(charsets) / sizeof(charsets[0]))

/* Converters stay open: opening one costs more than converting a mail. One process judges one
 * message at a time, so they are its own. (iconv_t)-1 marks a charset that the C library lacks. */
static iconv_t converters[CHARSETS];

static iconv_t converter_of(const struct charset *c)
{
	size_t i = (size_t)(c - charsets);
	if (!converters[i])
		converters[i] = iconv_open("UTF-8", c->iconv);
	return converters[i];
}

void charset_preload(void)
{
	for (size_t i = 0; i < CHARSETS; i++)
		if (charsets[i].iconv)
			converter_of(&charsets[i]);
}

const struct charset *charset_find(struct span label)
{
	label = span_trim(label);
	while (label.n && (*label.p == '"' || *label.p == '\''))
		label = span_sub(label, 1, label.n);
	while (label.n && (label.p[label.n - 1] == '"' || label.p[label.n - 1] == '\''))
		label.n--;
	char lower[24];
	if (label.n == 0 || label.n > sizeof(lower))
		return NULL;
	for (size_t i = 0; i < label.n; i++)
		lower[i] = ascii_lower(label.p[i]);
	size_t low = 0, high = CHARSETS;
	while (low < high) {
		size_t middle = (low + high) / 2;
		int order = span_cmp((struct span){lower, label.n},
				     span_of(charsets[middle].label));
		if (order == 0)
			return &charsets[middle];
		if (order < 0)
			high = middle;
		else
			low = middle + 1;
	}
	return NULL;
}

/* --- what octets are ------------------------------------------------------- */

size_t charset_ascii_run(struct span s)
{
	size_t i = 0;
	for (; i + 8 <= s.n; i += 8) {
		uint64_t word;
		memcpy(&word, s.p + i, 8);
		if (word & 0x8080808080808080u)
			break;
	}
	while (i < s.n && (unsigned char)s.p[i] < 0x80)
		i++;
	return i;
}

static bool is_utf8(struct span s)
{
	for (;;) {
		s = span_sub(s, charset_ascii_run(s), s.n);
		if (s.n == 0)
			return true;
		size_t n = utf8_char_bytes(s);
		if (n == 0)
			return false;
		s = span_sub(s, n, s.n);
	}
}

/* The syllables that Korean is written with most, in EUC-KR and in order: half of any text. Read as
 * GB 2312 the same octets are Chinese characters that are no more frequent than others. */
static const uint16_t frequent_hangul[] = {
	0xb0a1, 0xb0d4, 0xb0ed, 0xb0f8, 0xb0fa, 0xb1b8, 0xb1d7, 0xb1dd, 0xb1e2, 0xb3aa, 0xb4c2,
	0xb4cf, 0xb4d9, 0xb4e3, 0xb4eb, 0xb5b5, 0xb5bf, 0xb5e9, 0xb6f3, 0xb7ce, 0xb8a6, 0xb8ae,
	0xb8b8, 0xb9ab, 0xbab8, 0xbace, 0xbad0, 0xbaf1, 0xbbe7, 0xbbf3, 0xbcad, 0xbcba, 0xbcbc,
	0xbcf6, 0xbdba, 0xbdc0, 0xbdc3, 0xbdc5, 0xbec6, 0xbeee, 0xbfa1, 0xbfa9, 0xbfac, 0xbfc0,
	0xbfe4, 0xbfeb, 0xbff8, 0xc0b8, 0xc0ba, 0xc0bb, 0xc0c7, 0xc0cc, 0xc0ce, 0xc0cf, 0xc0d4,
	0xc0d6, 0xc0da, 0xc0e5, 0xc0fc, 0xc1a4, 0xc1a6, 0xc1d6, 0xc1f6, 0xc3bb, 0xc3e2, 0xc7cf,
	0xc7d1, 0xc7d5, 0xc7d8,
};

static bool is_frequent_hangul(unsigned lead, unsigned trail)
{
	unsigned code = lead << 8 | trail;
	size_t low = 0, high = sizeof(frequent_hangul) / sizeof(frequent_hangul[0]);
	while (low < high) {
		size_t middle = (low + high) / 2;
		if (frequent_hangul[middle] < code)
			low = middle + 1;
		else
			high = middle;
	}
	return low < sizeof(frequent_hangul) / sizeof(frequent_hangul[0]) &&
	       frequent_hangul[low] == code;
}

/* How octets look when they are read as pairs with a lead of 0x81 to 0xFE. */
struct pairs {
	size_t n;           /* pairs that are no punctuation, digit, foreign letter, frame */
	size_t bad;         /* high octets that are in no pair of GBK */
	size_t high;        /* pairs of two high octets, as GB 2312 and EUC have them alone */
	size_t gb_common;   /* GB 2312 level 1: rows 16 to 55 */
	size_t ks_hangul;   /* KS X 1001 rows 16 to 40 */
	size_t ks_frequent; /* of these */
	size_t n_big5, big5_common; /* as `n` for Big5; its level 1: A440 to C67E */
	bool big5;          /* every high octet is in a pair of Big5 */
};

static struct pairs count_pairs(struct span s)
{
	struct pairs p = {.big5 = true};
	for (size_t i = charset_ascii_run(s); i < s.n;) {
		unsigned lead = (unsigned char)s.p[i];
		if (lead < 0x80) {
			i++;
			continue;
		}
		unsigned trail = i + 1 < s.n ? (unsigned char)s.p[i + 1] : 0;
		bool high = trail >= 0xa1 && trail <= 0xfe;
		bool gbk = lead >= 0x81 && lead <= 0xfe && trail >= 0x40 && trail != 0x7f &&
			   trail != 0xff;
		p.bad += !gbk;
		p.big5 = p.big5 && lead >= 0xa1 && lead <= 0xf9 &&
			 ((trail >= 0x40 && trail <= 0x7e) || high);
		i += trail < 0x40 ? 1 : 2;
		if (lead < 0xa1 || lead > 0xa3) {
			p.n_big5++;
			p.big5_common += lead >= 0xa4 && lead <= 0xc6;
		}
		if (!gbk || (high && lead >= 0xa1 && lead <= 0xa9))
			continue;
		p.n++;
		p.high += high;
		p.gb_common += high && lead >= 0xb0 && lead <= 0xd7;
		p.ks_hangul += high && lead >= 0xb0 && lead <= 0xc8;
		p.ks_frequent += high && lead >= 0xb0 && lead <= 0xc8 &&
				 is_frequent_hangul(lead, trail);
	}
	return p;
}

/* All of twelve Chinese characters in the 25 rows of Hangul is one chance in 300; that a third of
 * them are the frequent ones, which read as Chinese are rare, none. */
static bool is_korean(const struct pairs *p)
{
	return !p->bad && p->n >= 8 && p->ks_hangul == p->n && p->ks_frequent * 3 >= p->n;
}

static const struct charset *named(const char *label)
{
	return charset_find(span_of(label));
}

const struct charset *charset_guess(struct span octets)
{
	if (is_utf8(octets))
		return named("utf-8");
	struct pairs p = count_pairs(octets);
	if (is_korean(&p))
		return named("euc-kr");
	/* An octet that was lost or cut off is no other charset, if there is text enough. */
	if (p.n >= 2 && p.gb_common * 10 >= (p.n + 5 * p.bad) * 8)
		return named("gb18030");
	if (p.big5 && p.n_big5 >= 3 && p.big5_common * 10 >= p.n_big5 * 9)
		return named("big5");
	return named("windows-1252");
}

/* --- conversion ------------------------------------------------------------ */

/* Grows the conversion's output, which is the newest thing in the arena. */
struct out {
	struct arena *arena;
	char *p;
	size_t n, cap;
};

static bool out_reserve(struct out *out, size_t bytes)
{
	if (out->p && out->cap - out->n >= bytes)
		return true;
	size_t cap = out->cap * 2 > out->n + bytes ? out->cap * 2 : out->n + bytes;
	char *p = arena_room(out->arena, cap);
	if (!p)
		return false;
	if (out->n)
		memcpy(p, out->p, out->n);
	out->p = p;
	out->cap = cap;
	return true;
}

static bool out_replacement(struct out *out)
{
	if (!out_reserve(out, 3))
		return false;
	memcpy(out->p + out->n, "\xef\xbf\xbd", 3);
	out->n += 3;
	return true;
}

/* Returns how many octets were no characters of the charset; SIZE_MAX: no room or no converter. */
static size_t convert(struct out *out, struct span s, const struct charset *c)
{
	iconv_t cd = converter_of(c);
	if (cd == (iconv_t)-1)
		return SIZE_MAX;
	iconv(cd, NULL, NULL, NULL, NULL);
	char *in = (char *)(uintptr_t)s.p;
	size_t left = s.n, bad = 0;
	if (!out_reserve(out, s.n + s.n / 2 + 16))
		return SIZE_MAX;
	while (left) {
		char *at = out->p + out->n;
		size_t room = out->cap - out->n;
		size_t r = iconv(cd, &in, &left, &at, &room);
		out->n = (size_t)(at - out->p);
		if (r != (size_t)-1)
			break;
		if (errno == E2BIG) {
			if (!out_reserve(out, left * 2 + 16))
				return SIZE_MAX;
			continue;
		}
		bad++;
		if (!out_replacement(out))
			return SIZE_MAX;
		in++;
		left--;
	}
	if (!out_reserve(out, 16))
		return SIZE_MAX;
	char *at = out->p + out->n;
	size_t room = out->cap - out->n;
	iconv(cd, NULL, NULL, &at, &room); /* a character that waited for a combining one */
	out->n = (size_t)(at - out->p);
	return bad;
}

/* 0x80 to 0x9F of windows-1252; the five holes are the C1 controls, as in the WHATWG table. */
static const uint16_t cp1252_high[32] = {
	0x20ac, 0x0081, 0x201a, 0x0192, 0x201e, 0x2026, 0x2020, 0x2021, 0x02c6, 0x2030, 0x0160,
	0x2039, 0x0152, 0x008d, 0x017d, 0x008f, 0x0090, 0x2018, 0x2019, 0x201c, 0x201d, 0x2022,
	0x2013, 0x2014, 0x02dc, 0x2122, 0x0161, 0x203a, 0x0153, 0x009d, 0x017e, 0x0178,
};

static size_t convert_1252(struct out *out, struct span s)
{
	if (!out_reserve(out, s.n * 3 + 4))
		return SIZE_MAX;
	for (size_t i = 0; i < s.n; i++) {
		unsigned char c = (unsigned char)s.p[i];
		if (c < 0x80)
			out->p[out->n++] = (char)c;
		else
			out->n += utf8_encode(c < 0xa0 ? cp1252_high[c - 0x80] : c,
					      out->p + out->n);
	}
	return 0;
}

/* RFC 1843: "~{" begins pairs of 7-bit octets, "~}" ends them, "~~" is a tilde. */
static size_t convert_hz(struct out *out, struct span s, const struct charset *c)
{
	char *gb = arena_room(out->arena, s.n + 1);
	if (!gb)
		return SIZE_MAX;
	size_t n = 0;
	bool pairs = false;
	for (size_t i = 0; i < s.n; i++) {
		char next = i + 1 < s.n ? s.p[i + 1] : 0;
		if (s.p[i] == '\n')
			pairs = false;
		if (s.p[i] == '~' && (next == '{' || next == '}')) {
			pairs = next == '{';
			i++;
		} else if (!pairs && s.p[i] == '~' && (next == '~' || next == '\n')) {
			if (next == '~')
				gb[n++] = '~';
			i++;
		} else {
			bool high = pairs && s.p[i] > 0x20;
			gb[n++] = (char)(high ? s.p[i] | 0x80 : s.p[i]);
		}
	}
	return convert(out, (struct span){gb, n}, c);
}

/* UTF-8 with U+FFFD for what is not. Returns the bad octets. */
static size_t convert_utf8(struct out *out, struct span s)
{
	size_t bad = 0;
	if (!out_reserve(out, s.n + 64))
		return SIZE_MAX;
	while (s.n) {
		size_t run = charset_ascii_run(s);
		if (run == 0) {
			run = utf8_char_bytes(s);
			if (run == 0) {
				bad++;
				if (!out_replacement(out))
					return SIZE_MAX;
				s = span_sub(s, 1, s.n);
				continue;
			}
		}
		if (!out_reserve(out, run))
			return SIZE_MAX;
		memcpy(out->p + out->n, s.p, run);
		out->n += run;
		s = span_sub(s, run, s.n);
	}
	return bad;
}

static size_t convert_any(struct out *out, struct span s, const struct charset *c)
{
	switch (c->kind) {
	case KIND_UTF8:
	case KIND_ASCII:
		return convert_utf8(out, s);
	case KIND_1252:
		return convert_1252(out, s);
	case KIND_HZ:
		return convert_hz(out, s, c);
	case KIND_ICONV:
		break;
	}
	return convert(out, s, c);
}

static void decode_as(struct charset_text *t, struct arena *arena, struct span s,
		      const struct charset *c)
{
	struct out out = {.arena = arena};
	t->charset = c;
	size_t bad = convert_any(&out, s, c);
	if (bad == SIZE_MAX) {
		/* No converter in this C library, or no room: keep what is ASCII. */
		out.n = 0;
		bad = convert_utf8(&out, s);
		t->broken = true;
	}
	t->broken = t->broken || bad > 0;
	t->text = out.p ? (struct span){out.p, bad == SIZE_MAX ? 0 : out.n} : SPAN_NONE;
}

/* Does the label stand against the octets? Called for octets that are not all ASCII. */
static bool label_is_false(const struct charset *c, struct span s)
{
	switch (c->kind) {
	case KIND_ASCII:
		return true;
	case KIND_UTF8: {
		/* A few bad octets are damage, many are another charset. */
		size_t bad = 0, good = 0;
		for (s = span_sub(s, charset_ascii_run(s), s.n); s.n;) {
			size_t n = utf8_char_bytes(s);
			bad += n == 0;
			good += n > 1;
			s = span_sub(s, n ? n : 1, s.n);
			s = span_sub(s, charset_ascii_run(s), s.n);
		}
		return bad > good;
	}
	case KIND_1252:
		/* Latin text is as good as never valid UTF-8 by accident. */
		return is_utf8(s);
	case KIND_ICONV:
		/* Korean bulk mail for China says gb2312 */
		if (!strcmp(c->name, "gb18030")) {
			struct pairs p = count_pairs(s);
			return is_korean(&p);
		}
		break;
	case KIND_HZ:
		break;
	}
	return false;
}

static bool is_ascii_superset(const struct charset *c)
{
	return c->kind != KIND_HZ &&
	       (c->kind != KIND_ICONV ||
		(strncmp(c->name, "utf-", 4) != 0 && strncmp(c->name, "iso-2022", 8) != 0));
}

/* Can octets that are no UTF-8 be of the charset? Of one with pairs they can only when they hold
 * pairs, and not accented letters that each swallow an ASCII neighbour. */
static bool charset_explains(const struct charset *c, struct span s)
{
	static const char *const paired[] = {"gb18030", "big5", "cp949", "cp932", "euc-jp", "euc-tw"};
	if (c->kind == KIND_UTF8 || c->kind == KIND_ASCII)
		return false;
	for (size_t i = 0; i < sizeof(paired) / sizeof(paired[0]); i++)
		if (!strcmp(c->name, paired[i])) {
			struct pairs p = count_pairs(s);
			return p.bad * 20 <= p.n && p.high * 4 >= p.n;
		}
	return true;
}

struct charset_text charset_decode(struct arena *arena, struct span octets, struct span label,
				   const struct charset *hint)
{
	struct charset_text t = {.text = octets};
	const struct charset *c = label.p ? charset_find(label) : NULL;
	t.unknown = label.p && span_trim(label).n && !c;
	t.guessed = !c;
	if (span_starts(octets, SPAN("\xef\xbb\xbf")) && (!c || is_ascii_superset(c))) {
		octets = t.text = span_sub(octets, 3, octets.n);
		c = named("utf-8");
	}
	bool ascii = charset_ascii_run(octets) == octets.n;
	if (ascii && (!c || is_ascii_superset(c))) {
		t.charset = c ? c : named("us-ascii");
		t.guessed = false;
		return t;
	}
	if (c && label_is_false(c, octets)) {
		c = NULL;
		t.guessed = true;
	}
	if (!c) {
		c = charset_guess(octets);
		bool sure = c->kind == KIND_UTF8 || !strcmp(c->name, "cp949");
		if (!sure && hint && is_ascii_superset(hint) && charset_explains(hint, octets))
			c = hint;
	}
	if (c->kind == KIND_UTF8 && is_utf8(octets)) {
		t.charset = c;
		return t;
	}
	decode_as(&t, arena, octets, c);
	if (t.broken && !t.guessed && c->kind == KIND_ICONV && is_ascii_superset(c)) {
		const struct charset *better = charset_guess(octets);
		if (better->kind == KIND_UTF8) {
			t = (struct charset_text){.text = octets, .charset = better,
						  .guessed = true};
		} else if (better->kind == KIND_ICONV && better != c &&
			   strcmp(better->name, c->name) != 0) {
			t.broken = false;
			t.guessed = true;
			decode_as(&t, arena, octets, better);
		}
	}
	return t;
}
