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
					    "<",
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
	/* a street and its number: "Example, Inc., 12 Main St" */
	for (size_t i = 0; i + 2 < end; i++)
		if (line.p[i] == ',' && line.p[i + 1] == ' ' && ascii_is_digit(line.p[i + 2]))
			end = i;
	while (end > 0 && memchr(" .,|", line.p[end - 1], 4))
		end--;
	while (end > 0 && end < line.n && (line.p[end] & 0xc0) == 0x80)
		end--;
	return end >= 2 ? (struct text_range){at, at + end} : (struct text_range){0, 0};
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
	if (form == strlen("公司") && least > 6)
		from = behind_counting(s, from, at);
	while (from < at && (s.p[from] == ')' || ascii_is_digit(s.p[from])))
		from++;
	return at - from >= least && at - from <= 3 * WIDE_CHARS
		       ? (struct text_range){from, at + form}
		       : (struct text_range){0, 0};
}

/* "深圳市…公司", "北京…公司": with the region in front it is the registered name. */
static bool has_region(struct span name)
{
	static const char *const regions[] = {"省", "市", "北京", "上海", "广州", "深圳", "天津",
					      "重庆", "香港"};
	for (size_t i = 0; i < sizeof(regions) / sizeof(regions[0]); i++) {
		size_t at = span_find(span_sub(name, 0, 12), span_of(regions[i]));
		if (at != SIZE_MAX && (at > 0 || strlen(regions[i]) > 3))
			return true;
	}
	return false;
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
static struct text_range wide_company(struct span s, const struct phrase_hit *hit)
{
	size_t form = hit->to - hit->from;
	struct text_range r = {0, 0};
	if (hit->kind == PHRASE_KAISHA)
		r = behind_form(s, hit->from, form);
	if (!r.to) /* bare 公司 needs a longer name */
		r = before_form(s, hit->from, form, form == strlen("公司") ? 12 : 6);
	return r;
}

/* --- forms in letters ------------------------------------------------------------------ */

static bool capital(struct span original, size_t at)
{
	return at < original.n && ((original.p[at] >= 'A' && original.p[at] <= 'Z') ||
				   ascii_is_digit(original.p[at]) || (original.p[at] & 0x80));
}

/* Words with a capital before "Inc.", "Ltd", "GmbH" and their like. */
static struct text_range latin_company(struct span s, struct span original,
				       const struct folded *map,
				       const struct phrase_hit *hit)
{
	struct text_range none = {0, 0};
	size_t i = hit->from, from = i, words = 0;
	if (!i || (s.p[i - 1] != ' ' && s.p[i - 1] != ',') || !capital(original, fold_from(map, i)))
		return none;
	/* two letters are a form in capitals alone: "Muster AG" */
	size_t behind = (size_t)fold_from(map, i) + 1;
	char second = behind < original.n ? original.p[behind] : ' ';
	if (hit->to - i == 2 && !(second >= 'A' && second <= 'Z'))
		return none;
	if (hit->to < s.n && word_byte(s.p[hit->to]) && s.p[hit->to] != '.')
		return none;
	while (words < 6) {
		size_t at = from;
		while (at > 0 && (s.p[at - 1] == ' ' || s.p[at - 1] == ','))
			at--;
		size_t stop = at;
		while (at > 0 && word_byte(s.p[at - 1]) && stop - at < 30)
			at--;
		struct span word = span_sub(s, at, stop);
		bool joins = span_eq(word, SPAN("of")) || span_eq(word, SPAN("and")) ||
			     span_eq(word, SPAN("&"));
		if (at == stop || (!capital(original, fold_from(map, at)) && !joins) || s.p[stop - 1] == '.')
			break;
		from = at;
		words++;
	}
	/* "and Example Ltd", "of Example, Inc." */
	for (const char *const *joint = (const char *const[]){"and ", "of ", "& ", NULL}; *joint; joint++)
		from += span_starts(span_sub(s, from, i), span_of(*joint)) ? strlen(*joint) : 0;
	return words && from < i ? (struct text_range){from, hit->to} : none;
}

/* The end of a name at its legal form: "Example Inc., Springfield, USA". */
static void cut_at_form(struct span s, const struct phrase_hits *hits, size_t k,
			struct text_range *r)
{
	for (; k < hits->n && hits->v[k].from < r->to; k++) {
		size_t end = hits->v[k].to;
		if (hits->v[k].kind != PHRASE_FORM || hits->v[k].from <= r->from + 1)
			continue;
		bool dot = end < s.n && s.p[end] == '.';
		if (end + dot < r->to && s.p[end + dot] == ',')
			r->to = end;
	}
}

/* Words that stand small inside of names. */
static bool joins_name(struct span word)
{
	static const char *const words[] = {"of", "and", "&", "for", "the", "de", "der", "du", "la"};
	for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++)
		if (span_eq(word, span_of(words[i])))
			return true;
	return false;
}

/* Words with capitals behind "subscribed to", "emails from": what the reader is subscribed to. */
#define SUBSCRIBED_WORDS 6
static struct text_range behind_subscribed(struct span s, struct span original,
					   const struct folded *map, size_t at)
{
	while (at < s.n && (s.p[at] == ' ' || s.p[at] == '"'))
		at++;
	if (span_starts(span_sub(s, at, s.n), SPAN("the ")))
		at += 4;
	size_t from = at, to = at;
	for (size_t words = 0; words < SUBSCRIBED_WORDS && at < s.n; words++) {
		size_t first = at;
		while (at < s.n && word_byte(s.p[at]) && at - first < 30)
			at++;
		struct span word = span_sub(s, first, at);
		char begin = word.n ? original.p[fold_from(map, first)] : ' ';
		bool big = begin >= 'A' && begin <= 'Z';
		if (!big && (to == from || !joins_name(word)))
			break;
		if (big)
			to = at;
		if (at >= s.n || s.p[at] != ' ')
			break;
		at++;
	}
	while (to > from && memchr(".,-'", s.p[to - 1], 4))
		to--;
	return to - from >= 4 ? (struct text_range){from, to} : (struct text_range){0, 0};
}

void company_find(struct name_pick *pick, const struct name_hints *hints, struct span s,
		  struct span original, const struct folded *map, const struct phrase_hits *hits)
{
	for (size_t i = 0; i < hits->n; i++) {
		const struct phrase_hit *hit = &hits->v[i];
		struct text_range r = {0, 0};
		int score = 0;
		switch ((enum phrase_kind)hit->kind) {
		case PHRASE_PAYER:
		case PHRASE_OWNER:
			r = behind_copyright(s, hit->from);
			cut_at_form(s, hits, i + 1, &r);
			score = hit->kind == PHRASE_PAYER ? NAME_SCORE_PAYER : NAME_SCORE_COPYRIGHT;
			break;
		case PHRASE_COMPANY:
		case PHRASE_KAISHA:
		case PHRASE_HOUSE:
			r = wide_company(s, hit);
			score = hit->kind == PHRASE_HOUSE && !has_region(span_sub(s, r.from, r.to))
					? NAME_SCORE_BARE
					: NAME_SCORE_WIDE;
			break;
		case PHRASE_SUBSCRIBED:
			r = behind_subscribed(s, original, map, hit->to);
			score = NAME_SCORE_SUBSCRIBED;
			break;
		case PHRASE_FORM:
			r = latin_company(s, original, map, hit);
			score = NAME_SCORE_LEGAL;
			break;
		default:
			continue;
		}
		name_offer(pick, hints, s, r, score);
	}
}
