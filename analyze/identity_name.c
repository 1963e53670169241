/*
 * identity_name - the names of senders: by a legal form, behind a copyright sign.
 *
 * A body names many companies: partners, owners of trade marks, photographers. Each finder offers
 * what it sees with a score (identity.h), and the best is taken; of two equal ones the later,
 * which is the footer's. A name that shares a word with From's display name or domain scores
 * more.
 */
#include "analyze/identity.h"

void name_offer(struct name_pick *pick, const struct name_hints *hints, struct span s,
		struct text_range r, int score)
{
	if (r.to <= r.from)
		return;
	struct span name = span_sub(s, r.from, r.to);
	for (size_t i = 0; i < hints->n; i++)
		if (span_find(name, hints->words[i]) != SIZE_MAX) {
			score += NAME_SCORE_HINT;
			break;
		}
	score += (int)(NAME_SCORE_PLACE * r.from / (s.n + 1));
	if (score >= pick->score)
		*pick = (struct name_pick){r, score};
}

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

/* Marks looked at of each kind: a page of nothing else says no more. */
#define MARKS 50

static void find_copyright(struct name_pick *pick, const struct name_hints *hints, struct span s)
{
	static const char *const marks[] = {"paid for by", "©", "copyright", "(c) 1", "(c) 2"};
	for (size_t k = 0; k < sizeof(marks) / sizeof(marks[0]); k++) {
		struct span mark = span_of(marks[k]);
		for (size_t from = 0, n = 0; n < MARKS; n++) {
			size_t at = span_find(span_sub(s, from, s.n), mark);
			if (at == SIZE_MAX)
				break;
			name_offer(pick, hints, s, behind_copyright(s, from + at),
				   k == 0 ? NAME_SCORE_PAYER : NAME_SCORE_COPYRIGHT);
			from += at + mark.n;
		}
	}
}

/* --- East Asian forms --------------------------------------------------------------- */

/* Bytes of the character that ends at `at`, when names have it: ideographs, kana, hangul, letters,
 * parentheses. */
static size_t name_char_before(struct span s, size_t at)
{
	unsigned char c = at >= 3 ? (unsigned char)s.p[at - 3] : 0;
	if ((c >= 0xe4 && c <= 0xed) || (c == 0xe3 && (unsigned char)s.p[at - 2] != 0x80))
		return 3;
	return at > 0 && (ascii_is_alpha(s.p[at - 1]) || ascii_is_digit(s.p[at - 1]) ||
			  s.p[at - 1] == '(' || s.p[at - 1] == ')');
}

static size_t name_char_at(struct span s, size_t at)
{
	unsigned char c = at + 3 <= s.n ? (unsigned char)s.p[at] : 0;
	if ((c >= 0xe4 && c <= 0xed) || (c == 0xe3 && (unsigned char)s.p[at + 1] != 0x80))
		return 3;
	return at < s.n && (ascii_is_alpha(s.p[at]) || ascii_is_digit(s.p[at]));
}

/* Where the name begins in "本公司是广州…有限公司", "我是…": behind the last word that no name
 * holds. */
static size_t behind_sentence(struct span s, size_t from, size_t to)
{
	static const char *const words[] = {"是", "系", "由", "的", "我", "您", "你", "本",
					    "贵", "请", "到", "为", "公司"};
	struct span piece = span_sub(s, from, to);
	for (size_t i = 0; i + 3 <= piece.n; i++)
		for (size_t k = 0; k < sizeof(words) / sizeof(words[0]); k++)
			if (span_starts(span_sub(piece, i, piece.n), span_of(words[k])))
				from = (size_t)(piece.p - s.p) + i + strlen(words[k]);
	return from;
}

/* "有个公司", "受多家公司": words of a sentence that long legal names may well hold. */
static size_t behind_counting(struct span s, size_t from, size_t at)
{
	static const char *const words[] = {"个", "各", "从", "受", "如", "与", "在", "了", "有",
					    "多", "家", "些", "等", "给", "让", "向"};
	struct span piece = span_sub(s, from, at);
	for (size_t i = 0; i + 3 <= piece.n; i++)
		for (size_t k = 0; k < sizeof(words) / sizeof(words[0]); k++)
			if (!memcmp(piece.p + i, words[k], 3))
				from = (size_t)(piece.p - s.p) + i + 3;
	return from;
}

#define WIDE_CHARS 20

static struct text_range before_form(struct span s, size_t at, size_t form, size_t least)
{
	size_t from = at, n, chars = 0;
	while (chars++ < WIDE_CHARS && (n = name_char_before(s, from)))
		from -= n;
	from = behind_sentence(s, from, at);
	if (form == strlen("公司"))
		from = behind_counting(s, from, at);
	while (from < at && (s.p[from] == ')' || ascii_is_digit(s.p[from])))
		from++;
	return at - from >= least && at - from <= 3 * WIDE_CHARS
		       ? (struct text_range){from, at + form}
		       : (struct text_range){0, 0};
}

static struct text_range behind_form(struct span s, size_t at, size_t form)
{
	size_t to = at + form, n, chars = 0;
	to += to < s.n && s.p[to] == ' ';
	size_t first = to;
	while (chars++ < WIDE_CHARS && (n = name_char_at(s, to)))
		to += n;
	return to - first >= 3 ? (struct text_range){at, to} : (struct text_range){0, 0};
}

/* ...有限公司, ...集团; 株式会社... and 주식회사... stand on either side. */
static void find_wide_company(struct name_pick *pick, const struct name_hints *hints,
			      struct span s)
{
	static const struct {
		const char *form;
		bool either_side;
		uint8_t least; /* bytes of the name before it */
		uint8_t score;
	} forms[] = {
		{"有限公司", false, 6, NAME_SCORE_WIDE},     {"有限责任公司", false, 6, NAME_SCORE_WIDE},
		{"股份公司", false, 6, NAME_SCORE_WIDE},     {"公司", false, 12, NAME_SCORE_BARE},
		{"集团", false, 6, NAME_SCORE_BARE},         {"集團", false, 6, NAME_SCORE_BARE},
		{"事务所", false, 6, NAME_SCORE_BARE},       {"工厂", false, 6, NAME_SCORE_BARE},
		{"器材厂", false, 6, NAME_SCORE_BARE},       
		       {"编辑部", false, 6, NAME_SCORE_BARE},
		{"出版社", false, 6, NAME_SCORE_BARE},       {"研究院", false, 6, NAME_SCORE_BARE},
		{"旗舰店", false, 6, NAME_SCORE_BARE},       {"旅行社", false, 6, NAME_SCORE_BARE},
		{"株式会社", true, 6, NAME_SCORE_WIDE},      {"有限会社", true, 6, NAME_SCORE_WIDE},
		{"合同会社", true, 6, NAME_SCORE_WIDE},      {"주식회사", true, 6, NAME_SCORE_WIDE},
		{"(주)", true, 6, NAME_SCORE_WIDE},          {"㈜", true, 6, NAME_SCORE_WIDE},
	};
	bool wide = false;
	for (size_t i = 0; i < s.n && !wide; i++)
		wide = (unsigned char)s.p[i] >= 0xe3 && (unsigned char)s.p[i] <= 0xed;
	for (size_t k = 0; wide && k < sizeof(forms) / sizeof(forms[0]); k++) {
		struct span form = span_of(forms[k].form);
		for (size_t base = 0, n = 0; n < MARKS; n++) {
			size_t at = span_find(span_sub(s, base, s.n), form);
			if (at == SIZE_MAX)
				break;
			at += base;
			struct text_range r = {0, 0};
			if (forms[k].either_side)
				r = behind_form(s, at, form.n);
			if (!r.to)
				r = before_form(s, at, form.n, forms[k].least);
			name_offer(pick, hints, s, r, forms[k].score);
			base = at + form.n;
		}
	}
}

/* --- forms in letters ------------------------------------------------------------------ */

static bool capital(struct span original, size_t at)
{
	return at < original.n && ((original.p[at] >= 'A' && original.p[at] <= 'Z') ||
				   ascii_is_digit(original.p[at]) || (original.p[at] & 0x80));
}

/* Bytes of the legal form that begins at s.p[i]; 0: none. */
static size_t legal_form(struct span s, struct span original, const uint32_t *map, size_t i)
{
	static const char *const forms[] = {
		"inc",   "llc",    "ltd",    "corp",         "corporation", "limited", "gmbh",
		"ag",    "plc",    "s.a",    "s.r.l",        "srl",         "sarl",    "b.v",
		"bv",    "pty",    "co., ltd", "incorporated", "l.l.c",     "n.v",     "nv",
		"s.p.a", "spa",    "s.l",    "sas",          "s.a.s",       "ltda",    "oy",
		"ab",    "a/s",    "aps",    "kg",           "ohg",         "e.v",     "llp",
		"pvt",   "sdn",    "pte",    "s.r.o",        "sp. z o.o",   "kft",     "co.,ltd",
		"s.a.s", "lda",    "eurl",   "s.c",          "sl",          "sa"};
	struct span rest = span_sub(s, i, i + 16);
	size_t end = 0;
	for (size_t k = 0; k < sizeof(forms) / sizeof(forms[0]); k++) {
		if (*forms[k] != rest.p[0])
			continue;
		struct span form = span_of(forms[k]);
		if (span_starts(rest, form) && form.n > end &&
		    (rest.n == form.n || !word_byte(rest.p[form.n]) || rest.p[form.n] == '.'))
			end = form.n;
	}
	/* two letters are a form in capitals alone: "Muster AG" */
	if (end == 2 && !(original.p[map[i] + 1] >= 'A' && original.p[map[i] + 1] <= 'Z'))
		return 0;
	return end;
}

/* Words with a capital before "Inc.", "Ltd", "GmbH" and their like. */
static void find_latin_company(struct name_pick *pick, const struct name_hints *hints,
			       struct span s, struct span original, const uint32_t *map)
{
	for (size_t i = 1, found = 0; i < s.n && found < MARKS; i++) {
		if ((s.p[i - 1] != ' ' && s.p[i - 1] != ',') || !ascii_is_alpha(s.p[i]) ||
		    !capital(original, map[i]))
			continue;
		size_t end = legal_form(s, original, map, i), from = i, words = 0;
		while (end && words < 6) {
			size_t at = from;
			while (at > 0 && (s.p[at - 1] == ' ' || s.p[at - 1] == ','))
				at--;
			size_t stop = at;
			while (at > 0 && word_byte(s.p[at - 1]) && stop - at < 30)
				at--;
			struct span word = span_sub(s, at, stop);
			bool joins = span_eq(word, SPAN("of")) || span_eq(word, SPAN("and")) ||
				     span_eq(word, SPAN("&"));
			if (at == stop || (!capital(original, map[at]) && !joins) ||
			    s.p[stop - 1] == '.')
				break;
			from = at;
			words++;
		}
		if (!words)
			continue;
		name_offer(pick, hints, s, (struct text_range){from, i + end}, NAME_SCORE_LEGAL);
		found++;
	}
}

void company_find(struct name_pick *pick, const struct name_hints *hints, struct span s,
		  struct span original, const uint32_t *map)
{
	find_copyright(pick, hints, s);
	find_wide_company(pick, hints, s);
	find_latin_company(pick, hints, s, original, map);
}
