/*
 * identity_name - which of the names in a body is the sender's: the one with the most evidence.
 *
 * A body names many: partners, owners of trade marks, photographers, the service that delivers.
 * Each finder offers what it sees; how the body says a name is worth something alone, and what
 * stands around adds to it: agreement with From, with the domain that the links lead to, the
 * postal address or the telephone beside it, the footer, that it is said again. Of two equal ones
 * the later is taken, which is the footer's.
 *
 * The first look is cheap and keeps a few; only those are weighed. Weights were set by hand on
 * the labels of tests/eval.
 */
#include "analyze/identity.h"
#include "analyze/identity_words.h"

static const int worth[NAME_HOWS] = {
	[NAME_REGISTERED] = 90,	   [NAME_PAYER] = 75,  [NAME_BRAND] = 74,
	[NAME_DISPLAY] = 72,	   [NAME_OWNER] = 60,  [NAME_ADDRESSEE] = 55,
	[NAME_ABOVE_ADDRESS] = 50, [NAME_FORM] = 46,   [NAME_WORDS] = 46,
	[NAME_SPEAKER] = 45,	   [NAME_SENDER] = 45, [NAME_SUBSCRIBED] = 40,
	[NAME_LINKED] = 40,	   [NAME_ROLE] = 42,   [NAME_SIGNATURE] = 35,
	[NAME_HOUSE] = 25,	   [NAME_SITE] = 16,   [NAME_HEADING] = 20,
};

enum evidence {
	EVIDENCE_FROM = 30,   /* a word of From's display name or domain is in it */
	EVIDENCE_WORD = 15,   /* one word of these alone; or the domain of most links */
	EVIDENCE_PLACE = 10,  /* at the end of the text; less above */
	EVIDENCE_AGAIN = 8,   /* written more than once */
	EVIDENCE_SUBJECT = 8, /* in the subject */
	EVIDENCE_CONTACT = 5, /* the postal address or telephone is near */
	EVIDENCE_LEAST = 35,  /* less is no name of the sender's */
};

/* --- places ---------------------------------------------------------------------------- */

bool is_quoted(struct span s, size_t at)
{
	static const char *const fields[] = {
		"from:", "to:",	    "cc:",     "reply-to:", "von:",    "an:",
		"de :",	 "发件人:", "收件人:", "寄件者:",   "收件者:", NULL};
	struct span line = span_sub(s, line_start(s, at), at);
	while (line.n && line.p[0] == ' ')
		line = span_sub(line, 1, line.n);
	if (line.n && (line.p[0] == '>' || (line.p[0] == ':' && line.n > 1 && line.p[1] == ' ')))
		return true;
	return starts_with_any(line, fields);
}

/* Who delivers, pays for space or owns a mark is not who sends. */
static bool is_helper(struct span s, size_t at)
{
	static const char *const words[] = {"powered by",    "hosted by",	 "sent via",
					    "sent with",     "sent through",	 "sent using",
					    "delivered by",  "sponsored by",	 "trademark of",
					    "trademarks of", "photo by",	 "photo",
					    "courtesy of",   "created with",	 "maintained by",
					    "designed by",   "partnership with", "sponsor",
					    "技术支持",	     "程序开发",	 NULL};
	struct span said = span_sub(s, at > 32 ? at - 32 : 0, at);
	while (said.n && memchr(" :\"", said.p[said.n - 1], 3))
		said.n--;
	if (span_ends(said, SPAN(" the")))
		said.n -= 4;
	return ending(said, words) > 0;
}

bool name_capital(const struct name_search *n, size_t at)
{
	size_t i = at < n->text.n ? fold_from(n->map, at) : n->original.n;
	return i < n->original.n && ((n->original.p[i] >= 'A' && n->original.p[i] <= 'Z') ||
				     ascii_is_digit(n->original.p[i]) || (n->original.p[i] & 0x80));
}

/* Where a text that begins at `at` ends when it has the letters of `name`; 0: it does not. */
static size_t same_letters(struct span s, size_t at, struct span name)
{
	size_t i = at, k = 0;
	while (k < name.n && i < s.n) {
		if (s.p[i] == name.p[k]) {
			i++;
			k++;
		} else if (k && memchr(" -*'&", s.p[i], 5) && !memchr(" -*'&", s.p[i - 1], 5)) {
			i++;
		} else {
			return 0;
		}
	}
	return k == name.n ? i : 0;
}

/* Whether [at, end) stands as words of their own, not in an address and not somebody else's. */
static bool stands_alone(struct span s, size_t at, size_t end)
{
	bool wide = (s.p[at] & 0x80) != 0;
	char before = at ? s.p[at - 1] : ' ', behind = end < s.n ? s.p[end] : ' ';
	return (wide || (!is_word_char(before) && !is_word_char(behind))) &&
	       !memchr("/@.-_&", before, 6) && behind != '@' && behind != '-' &&
	       !is_helper(s, at) && !is_quoted(s, at);
}

#define PLACES 50

struct text_range name_written(struct span s, struct span name)
{
	struct text_range last = {0, 0};
	for (size_t base = 0, n = 0; n < PLACES && name.n; n++) {
		size_t at = span_find(span_sub(s, base, s.n), name);
		if (at == SIZE_MAX)
			break;
		at += base;
		base = at + name.n;
		if (stands_alone(s, at, base))
			last = (struct text_range){at, base};
	}
	return last;
}

struct text_range name_spelled(struct span s, struct span letters)
{
	struct text_range last = name_written(s, letters);
	for (size_t at = 0, n = 0; n < PLACES && letters.n && !last.to; at++) {
		const char *next = at < s.n ? memchr(s.p + at, letters.p[0], s.n - at) : NULL;
		if (!next)
			break;
		at = (size_t)(next - s.p);
		size_t end = at && is_word_char(s.p[at - 1]) ? 0 : same_letters(s, at, letters);
		n += end != 0;
		if (end && stands_alone(s, at, end))
			last = (struct text_range){at, end};
	}
	return last;
}

/* --- weighing -------------------------------------------------------------------------- */

/* Sentences, and words that tell what stands beside them in forms, footers and greetings: no names.
 */
static bool is_label(struct span name)
{
	static const char *const words[] = {
		"address",   "billing",	    "shipping", "delivery", "date",    "order",
		"follow",    "click",	    "here",	"phone",    "fax",     "unsubscribe",
		"privacy",   "copyright",   "browser",	"mailing",  "please",  "email",
		"affiliate", "quantities",  "payment",	"invoice",  "limited", "total",
		"subscribe", "information", "dear",	"hi",	    "hello",   "update",
		"updates",   "welcome",	    "free",	"new",	    "view",    "introducing",
		"sincerely", "regards",	    "thanks",	"pmb",	    "id",      "attn",
		"attention", "manager",	    NULL};
	struct span word, rest = name;
	size_t n = 0;
	bool label = false, sentence = false;
	while (span_next_word(&rest, &word)) {
		n++;
		label |= is_one_of(word, words);
		sentence |= is_of_sentence(word) && !span_eq(word, SPAN("for"));
	}
	return (label && n <= 4) || sentence;
}

void name_offer(struct name_search *n, struct text_range r, enum name_how how, int more)
{
	if (r.to <= r.from || is_helper(n->text, r.from) || is_quoted(n->text, r.from))
		return;
	bool by_place = how == NAME_ADDRESSEE || how == NAME_ABOVE_ADDRESS ||
			how == NAME_SIGNATURE || how == NAME_ROLE || how == NAME_HEADING;
	if (by_place && is_label(span_sub(n->text, r.from, r.to)))
		return;
	struct name_candidate c = {r, how, worth[how] + more};
	c.score += (int)(EVIDENCE_PLACE * r.from / (n->text.n + 1));
	if (n->n_best < NAME_CANDIDATES) {
		n->best[n->n_best++] = c;
		return;
	}
	size_t least = 0;
	for (size_t i = 1; i < n->n_best; i++)
		if (n->best[i].score < n->best[least].score)
			least = i;
	if (c.score < n->best[least].score)
		return;
	/* in the order of their offers: of equal ones the later counts */
	memmove(n->best + least, n->best + least + 1, (n->n_best - least - 1) * sizeof(c));
	n->best[n->n_best - 1] = c;
}

/* Letters and digits of a name alone; at most `cap`. */
static size_t squeeze(struct span name, char *out, size_t cap)
{
	size_t n = 0;
	for (size_t i = 0; i < name.n && n < cap; i++)
		if (is_word_char(name.p[i]))
			out[n++] = name.p[i];
	return n;
}

/* What the domain's word says of a name: the same letters, or some of the name's words, are more
 * than one word of it, which may be a first name or a common one. */
static int of_domain(struct span name, struct span domain)
{
	char letters[64];
	struct span squeezed = {letters, squeeze(name, letters, sizeof(letters))};
	if (!domain.n || squeezed.n < 4)
		return 0;
	if (span_find(squeezed, domain) != SIZE_MAX)
		return EVIDENCE_FROM;
	if (span_find(domain, squeezed) == SIZE_MAX)
		return 0;
	return span_find_char(name, ' ') == SIZE_MAX ? EVIDENCE_WORD : EVIDENCE_FROM;
}

static int of_from(const struct name_search *n, struct span name)
{
	int most = of_domain(name, n->brand);
	bool alone = span_find_char(name, ' ') == SIZE_MAX && !(name.p[0] & 0x80);
	for (size_t i = 0; !most && i < n->n_hints; i++)
		if (span_find(name, n->hints[i]) != SIZE_MAX)
			most = alone ? EVIDENCE_WORD : EVIDENCE_FROM;
	return most;
}

static bool is_near(struct text_range a, struct text_range b)
{
	const size_t bytes = 120;
	return b.to && (a.to <= b.from	 ? b.from - a.to
			: b.to <= a.from ? a.from - b.to
					 : 0) < bytes;
}

static bool is_again(const struct name_search *n, struct text_range r)
{
	struct span name = span_sub(n->text, r.from, r.to);
	return name_written(span_sub(n->text, 0, r.from), name).to ||
	       name_written(span_sub(n->text, r.to, n->text.n), name).to;
}

static int weigh(const struct name_search *n, const struct name_candidate *c)
{
	struct span name = span_sub(n->text, c->range.from, c->range.to);
	int score = c->score;
	if (c->how == NAME_BRAND || c->how == NAME_DISPLAY)
		return score;	  /* From says it whole */
	if (c->how == NAME_WORDS) /* they are From's own; the domain says more */
		return score + of_domain(name, n->brand) * 2 / 3;
	score += of_from(n, name);
	if (c->how != NAME_LINKED && of_domain(name, n->linked))
		score += EVIDENCE_WORD;
	score += (span_find(n->subject, name) != SIZE_MAX) * EVIDENCE_SUBJECT;
	score += (is_near(c->range, n->address) || is_near(c->range, n->phone)) * EVIDENCE_CONTACT;
	return score + is_again(n, c->range) * EVIDENCE_AGAIN;
}

/* "Blue Widget" goes on in "Blue Widget Foundation". */
static struct text_range with_kind(const struct name_search *n, struct text_range r)
{
	static const char *const kinds[] = {
		"institute",	 "foundation",	"society",    "association", "university",
		"college",	 "council",	"center",     "centre",	     "group",
		"company",	 "corporation", "inc",	      "llc",	     "ltd",
		"gmbh",		 "committee",	"federation", "trust",	     "bank",
		"union",	 "magazine",	"systems",    "networks",    "technologies",
		"international", NULL};
	size_t at = r.to + 1, end = at;
	while (end < n->text.n && ascii_is_alpha(n->text.p[end]))
		end++;
	if (r.to && at < n->text.n && n->text.p[r.to] == ' ' && name_capital(n, at) &&
	    is_one_of(span_sub(n->text, at, end), kinds))
		r.to = end;
	return r;
}

struct text_range name_choose(const struct name_search *n)
{
	struct text_range chosen = {0, 0};
	int most = EVIDENCE_LEAST;
	for (size_t i = 0; i < n->n_best; i++) {
		int score = weigh(n, &n->best[i]);
		if (score >= most) {
			most = score;
			chosen = n->best[i].range;
		}
	}
	return with_kind(n, chosen);
}
