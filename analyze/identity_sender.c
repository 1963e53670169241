/*
 * identity_sender - which of the names in the body is the sender's.
 *
 * What From says is the best hint: its display name where the body repeats it, the name in its
 * domain where the body writes it, single words of both. Beside these and the companies of
 * identity_name.c, a name stands where people write theirs: before or above the postal address,
 * below "Regards,". The names of mail providers' domains are nobody's.
 */
#include "analyze/content_parts.h"
#include "analyze/identity.h"

static bool is_name_letter(char c)
{
	return ascii_is_alpha(c) || ascii_is_digit(c) || (c & 0x80);
}

/* Domains that anybody can have an address in, without their ends. */
static bool is_provider(struct span name)
{
	static const char *const names[] = {
		"gmail",  "googlemail", "yahoo",   "ymail",   "hotmail", "outlook", "live",
		"msn",    "aol",        "icloud",  "gmx",     "web",     "mail",    "email",
		"163",    "126",        "139",     "189",     "yeah",    "qq",      "foxmail",
		"sina",   "sohu",       "tom",     "21cn",    "263",     "vip",     "aliyun",
		"yandex", "naver",      "daum",    "hanmail", "orange",  "wanadoo", "free",
		"libero", "juno",       "excite",  "lycos",   "netscape", "proton", "protonmail",
		"zoho",   "t-online",   "comcast", "att",     "verizon", "newsletter", "news",
		"example"};
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		if (span_eq(name, span_of(names[i])))
			return true;
	return false;
}

/* Words that say what a mail is and not who sends it. */
static bool is_common(struct span word)
{
	static const char *const words[] = {
		"the",     "team",    "news",   "newsletter", "newsletters", "info",  "mail",
		"email",   "service", "support", "weekly",    "daily",       "alert", "alerts",
		"from",    "your",    "update", "updates",    "customer",    "sales", "online",
		"company", "free",    "offer",  "offers",     "store",       "shop",  "club",
		"list",    "and",     "for",    "important",  "message",     "admin", "contact",
		"marketing", "community", "today", "group",   "press",       "deals", "with",
		"contest", "new",     "product", "products",  "software",    "special", "network", "mailing",
		"lists"};
	for (size_t i = 0; i < sizeof(words) / sizeof(words[0]) && word.n; i++)
		if (words[i][0] == word.p[0] && span_eq(word, span_of(words[i])))
			return true;
	return false;
}

/* The name in "news.mail.example.co.uk": the label before the public end. */
static struct span domain_name(struct span domain)
{
	static const char *const second[] = {"co", "com", "net", "org", "gov", "edu", "ac", "or", "ne"};
	struct span label = SPAN_NONE, rest = domain;
	for (int level = 0; level < 3; level++) {
		size_t dot = span_rfind_char(rest, '.');
		label = dot == SIZE_MAX ? rest : span_sub(rest, dot + 1, rest.n);
		bool shared = level == 0;
		for (size_t i = 0; level == 1 && i < sizeof(second) / sizeof(second[0]); i++)
			shared |= span_eq(label, span_of(second[i]));
		if (!shared || dot == SIZE_MAX)
			break;
		rest = span_sub(rest, 0, dot);
	}
	return label;
}

/* The last place where the body writes `name` as words of its own, not inside an address:
 * "Example.com" may follow. */
#define PLACES 50
static struct text_range written_name(struct span s, struct span name)
{
	struct text_range last = {0, 0};
	for (size_t base = 0, n = 0; n < PLACES; n++) {
		size_t at = span_find(span_sub(s, base, s.n), name);
		if (at == SIZE_MAX)
			break;
		at += base;
		size_t end = at + name.n;
		char before = at ? s.p[at - 1] : ' ', behind = end < s.n ? s.p[end] : ' ';
		bool wide = (name.p[0] & 0x80) != 0;
		struct span said = span_sub(s, at > 12 ? at - 12 : 0, at);
		bool helper = span_ends(said, SPAN("powered by ")) || span_ends(said, SPAN("hosted by "));
		if (!helper && (wide || !is_name_letter(before)) && !memchr("/@.-_", before, 5) &&
		    (wide || !is_name_letter(behind)) && behind != '@' && behind != '-')
			last = (struct text_range){at, end};
		base = end;
	}
	return last;
}

static void add_hint(struct name_hints *hints, struct span word)
{
	if (hints->n < NAME_HINTS && word.n >= 3 && !is_common(word))
		hints->words[hints->n++] = word;
}

/* Takes the next run of letters off `rest`. */
static bool next_name_word(struct span *rest, struct span *word_r)
{
	size_t from = 0, to;
	while (from < rest->n && !is_name_letter(rest->p[from]))
		from++;
	for (to = from; to < rest->n && is_name_letter(rest->p[to]);)
		to++;
	*word_r = span_sub(*rest, from, to);
	*rest = span_sub(*rest, to, rest->n);
	return word_r->n > 0;
}

static bool all_common(const struct span *words, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (!is_common(words[i]))
			return false;
	return true;
}

/* The longest run of words of the display name that the body writes. */
static void offer_words(struct name_pick *pick, const struct name_hints *hints, struct span s,
			struct span display)
{
	struct span words[NAME_HINTS], rest = display;
	size_t n = 0;
	while (n < NAME_HINTS && next_name_word(&rest, &words[n]))
		n++;
	for (size_t from = 0; from < n; from++)
		for (size_t to = n; to > from; to--) {
			const char *end = words[to - 1].p + words[to - 1].n;
			struct span run = {words[from].p, (size_t)(end - words[from].p)};
			if ((to - from == 1 && run.n < 4) || all_common(words + from, to - from))
				continue;
			struct text_range r = written_name(s, run);
			if (r.to)
				name_offer(pick, hints, s, r,
					   NAME_SCORE_WORDS + 5 * (int)(to - from));
		}
}

/* Up to six words with a capital at the start, and not a sentence. */
#define LABEL_BYTES 50
static bool looks_named(const struct reading *r, size_t from, size_t to)
{
	struct span s = span_sub(r->text.text, from, to), original = view_text(&r->view), word;
	size_t words = 0, common = 0, first = from;
	while (first < to && !is_name_letter(r->text.text.p[first]))
		first++;
	if (s.n < 3 || s.n > LABEL_BYTES || first == to)
		return false;
	unsigned char c = (unsigned char)original.p[fold_from(&r->text, first)];
	for (size_t i = 0; i < s.n; i++)
		if (memchr(":@/?!\"<>", s.p[i], 8) || s.p[i] == '\n')
			return false;
	while (span_next_word(&s, &word)) {
		words++;
		common += is_common(word);
	}
	return words <= 6 && common < words && ((c >= 'A' && c <= 'Z') || c == '[');
}

/* The name before the postal address in its line, or alone in the line above. */
static void offer_addressee(struct name_pick *pick, const struct name_hints *hints,
			    const struct reading *r, size_t at)
{
	struct span s = r->text.text;
	size_t end = at;
	bool above = false;
	while (end > 0 && memchr(" ,:|-\n", s.p[end - 1], 6)) {
		above |= s.p[end - 1] == '\n';
		end--;
	}
	size_t from = end;
	while (from > 0 && end - from <= LABEL_BYTES && s.p[from - 1] != '\n' && s.p[from - 1] != '|')
		from--;
	while (from < end && s.p[from] == ' ')
		from++;
	if (looks_named(r, from, end))
		name_offer(pick, hints, s, (struct text_range){from, end},
			   NAME_SCORE_ADDRESSEE - above * 5);
}

static void offer_signature(struct name_pick *pick, const struct name_hints *hints,
			    const struct reading *r)
{
	struct span s = r->text.text;
	for (size_t k = 0; k < r->hits.n; k++) {
		if (r->hits.v[k].kind != PHRASE_CLOSING)
			continue;
		size_t from = r->hits.v[k].to;
		while (from < s.n && memchr(" ,.!-", s.p[from], 5))
			from++;
		if (from < s.n && s.p[from] == '\n')
			from++;
		while (from < s.n && memchr(" -", s.p[from], 2))
			from++;
		size_t to = from;
		while (to < s.n && to - from <= LABEL_BYTES && s.p[to] != '\n')
			to++;
		while (to > from && memchr(" .,", s.p[to - 1], 3))
			to--;
		if (looks_named(r, from, to))
			name_offer(pick, hints, s, (struct text_range){from, to},
				   NAME_SCORE_SIGNATURE);
	}
}

struct text_range sender_name_find(struct content *c, struct text_range address)
{
	const struct message *m = c->message;
	const struct reading *r = &c->shown;
	struct span s = r->text.text, display = SPAN_NONE, brand = SPAN_NONE, word;
	struct name_pick pick = {.score = 0};
	struct name_hints hints = {.n = 0};
	if (m->from.n) {
		const struct address *from = &m->from.v[0];
		display = span_trim(fold_text(c->arena, from->name).text);
		brand = domain_name(from->domain);
		if (is_provider(brand) || brand.n < 4)
			brand = SPAN_NONE;
		if (span_find_char(display, '@') != SIZE_MAX || display.n < 3)
			display = SPAN_NONE;
		add_hint(&hints, brand);
		for (struct span rest = display; next_name_word(&rest, &word);)
			add_hint(&hints, word);
	}
	company_find(&pick, &hints, s, view_text(&r->view), &r->text, &r->hits);
	const struct name_hints none = {.n = 0}; /* what follows is From's own or has its score */
	if (display.n) {
		name_offer(&pick, &none, s, written_name(s, display), NAME_SCORE_DISPLAY);
		offer_words(&pick, &none, s, display);
	}
	if (brand.n)
		name_offer(&pick, &none, s, written_name(s, brand), NAME_SCORE_BRAND);
	if (address.to)
		offer_addressee(&pick, &hints, r, address.from);
	offer_signature(&pick, &hints, r);
	return pick.range;
}
