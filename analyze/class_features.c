/*
 * class_features - what a mail looks like to the models of classify.c.
 *
 * Groups: header fields that say how a mail was sent, who talks to whom (lists, threads,
 * signatures), the layout, phrases and figures, words of the subject, words of the body. Texts
 * that name one sender, list or product are learned as words only; all else is a trait that
 * carries over to senders that nobody has seen.
 */
#include "analyze/classify.h"

#include <math.h>

struct maker {
	struct class_features f;
	struct arena *arena;
	size_t group; /* where the open group began */
};

/* What an octet is to those who read all of a text. */
enum {
	WORD = 1,    /* inside a word of letters */
	BEGINS = 2,  /* of such a word */
	DIGIT = 4,
	FIGURES = 8, /* figure_features() looks at it: digits, "!", the first of "you" and 您 */
};
static uint8_t octets[256];

static void fill_octets(void)
{
	for (int c = 0; c < 256; c++) {
		bool letter = ascii_is_alpha((char)c), digit = ascii_is_digit((char)c);
		octets[c] = (uint8_t)((letter || c == '\'' || (c >= 0x80 && c <= 0xdf) ? WORD : 0) |
				      (letter || (c >= 0xc3 && c <= 0xdf) ? BEGINS : 0) |
				      (digit ? DIGIT | FIGURES : 0) |
				      (c == '!' || c == 'y' || c == 0xe6 ? FIGURES : 0));
	}
}

static inline bool is(char c, unsigned kinds)
{
	return octets[(unsigned char)c] & kinds;
}

/* FNV-1a: the hash of a text goes on where that of its beginning stopped. */
#define HASH_START 14695981039346656037u

static inline uint64_t hash_byte(uint64_t h, char c)
{
	return (h ^ (unsigned char)c) * 1099511628211u;
}

static uint64_t hash_on(uint64_t h, struct span s)
{
	for (size_t i = 0; i < s.n; i++)
		h = hash_byte(h, s.p[i]);
	return h;
}

static void add_hashed(struct maker *k, uint64_t hash, struct span text)
{
	if (k->f.n < CLASS_FEATURES)
		k->f.v[k->f.n++] =
			(struct class_feature){(uint32_t)(hash >> 32) % CLASS_BUCKETS, 1, text};
}

/* `prefix` is a literal such as "w:"; `text` lives as long as the arena. */
static void add(struct maker *k, const char *prefix, struct span text)
{
	add_hashed(k, hash_on(hash_on(HASH_START, span_of(prefix)), text), text);
}

static void add_literal(struct maker *k, const char *text)
{
	add(k, "", span_of(text));
}

/* Values of the group become a vector of length `weight`. */
static void end_group(struct maker *k, float weight)
{
	size_t n = k->f.n - k->group;
	float value = n ? weight / sqrtf((float)n) : 0;
	for (size_t i = k->group; i < k->f.n; i++)
		k->f.v[i].value = value;
	k->group = k->f.n;
}

/* --- header fields ------------------------------------------------------------- */

static void header_features(struct maker *k, const struct message *m, const struct txn *txn)
{
	static const char *const present[] = {"List-Unsubscribe",
					      "List-Unsubscribe-Post",
					      "List-Id",
					      "List-Post",
					      "List-Help",
					      "Feedback-ID",
					      "X-Auto-Response-Suppress",
					      "X-CSA-Complaints",
					      "CFBL-Address",
					      "In-Reply-To",
					      "References",
					      "X-Mailman-Version",
					      "X-Loop",
					      "X-BeenThere",
					      "X-Campaign",
					      "X-CampaignID",
					      "X-Report-Abuse",
					      "X-SG-EID",
					      "X-Mailgun-Sid",
					      "X-SES-Outgoing",
					      "X-AliDM-RcptTo",
					      "X-SENDCLOUD-UUID",
					      "X-MC-User",
					      "X-PM-Message-Id",
					      "User-Agent",
					      "X-Priority",
					      "Errors-To"};
	for (size_t i = 0; i < sizeof(present) / sizeof(present[0]); i++)
		if (message_header(m, present[i], NULL))
			add(k, "h:", span_of(present[i]));
	static const char *const valued[] = {"Precedence", "Auto-Submitted"};
	for (size_t i = 0; i < 2; i++) {
		struct header *h = message_header(m, valued[i], NULL);
		if (h) {
			struct span word, rest = message_header_text(m, h);
			if (span_next_word(&rest, &word))
				add(k, i ? "auto:" : "prec:", arena_lower(k->arena, word));
		}
	}
	static const char *const programs[] = {"X-Mailer", "User-Agent"};
	for (size_t i = 0; i < 2; i++) {
		struct header *h = message_header(m, programs[i], NULL);
		struct span word, rest = h ? message_header_text(m, h) : SPAN_NONE;
		size_t letters = 0;
		if (!h || !span_next_word(&rest, &word))
			continue;
		while (letters < word.n && ascii_is_alpha(word.p[letters]))
			letters++;
		add(k, "program:", arena_lower(k->arena, span_sub(word, 0, letters)));
	}
	struct header *path = message_header(m, "Return-Path", NULL);
	struct span bounce = txn && txn->mail_from.s.p ? txn->mail_from.s
			     : path			? message_header_text(m, path)
							: SPAN_NONE;
	/* one bounce address a recipient: "bounce-123-you=example.org@" */
	if (bounce.n > 40 && (span_find_char(bounce, '=') != SIZE_MAX ||
			      span_case_find(bounce, SPAN("bounce")) != SIZE_MAX))
		add_literal(k, "verp");
	if (txn && txn->mail_from.s.p && !txn->mail_from.s.n)
		add_literal(k, "null-sender");
	if (m->to.total + m->cc.total > 1)
		add_literal(k, "several-recipients");
	end_group(k, 2);
}

/* --- who talks to whom ----------------------------------------------------------- */

/* The last two labels, three below a short second one ("co.uk"): near enough for a trait. */
static struct span organisation(struct span domain)
{
	size_t dots = 0, last = domain.n, from = 0;
	for (size_t i = domain.n; i-- > 0;) {
		if (domain.p[i] != '.')
			continue;
		size_t label = last - i - 1;
		dots++;
		last = i;
		if (dots >= 2 && !(dots == 2 && label <= 3 && domain.n - i < 9)) {
			from = i + 1;
			break;
		}
	}
	return span_sub(domain, from, domain.n);
}

static bool same_organisation(struct span a, struct span b)
{
	return a.n && b.n && span_case_eq(organisation(a), organisation(b));
}

/* The domain of a List-Id or List-Post: the last word with a dot. */
static struct span list_domain(const struct message *m)
{
	static const char *const fields[] = {"List-Post", "X-BeenThere", "List-Id"};
	for (size_t i = 0; i < 3; i++) {
		struct header *h = message_header(m, fields[i], NULL);
		struct span text = h ? message_header_text(m, h) : SPAN_NONE;
		size_t at = span_rfind_char(text, i < 2 ? '@' : '<');
		text = at == SIZE_MAX ? text : span_sub(text, at + 1, text.n);
		size_t end = 0;
		while (end < text.n && (ascii_is_alpha(text.p[end]) || ascii_is_digit(text.p[end]) ||
					text.p[end] == '.' || text.p[end] == '-'))
			end++;
		if (end && span_find_char(span_sub(text, 0, end), '.') != SIZE_MAX)
			return span_sub(text, 0, end);
	}
	return SPAN_NONE;
}

/* Lines of others, quoted: "> ", "| ", or what stands above them. */
static bool quotes_lines(struct span text)
{
	size_t quoted = 0;
	text = span_sub(text, 0, 20000);
	while (text.n && quoted < 2) {
		size_t i = 0;
		while (i < text.n && text.p[i] == ' ')
			i++;
		quoted += i < text.n && text.p[i] == '>';
		size_t end = span_find_char(text, '\n');
		text = span_sub(text, end == SIZE_MAX ? text.n : end + 1, text.n);
	}
	return quoted >= 2;
}

/* The writer's given name stands alone near the end, or behind a dash. */
static bool signs(const struct content *c, struct span name)
{
	struct span word, rest = fold_text(c->arena, span_sub(name, 0, 80)).text;
	struct span text = c->shown.text.text;
	text = span_sub(text, text.n > 700 ? text.n - 700 : 0, text.n);
	size_t words = 0;
	bool found = false;
	while (span_next_word(&rest, &word) && words < 4) {
		words++;
		if (word.n < 3)
			continue;
		for (size_t at = 0; at < text.n;) {
			size_t hit = span_find(span_sub(text, at, text.n), word);
			if (hit == SIZE_MAX)
				break;
			size_t from = at + hit, to = from + word.n;
			found |= (from == 0 || text.p[from - 1] == '\n' ||
				  text.p[from - 1] == '-') &&
				 (to == text.n || !ascii_is_alpha(text.p[to]));
			at = to;
		}
	}
	return found && words >= 1;
}

static void social_features(struct maker *k, const struct content *c)
{
	const struct message *m = c->message;
	struct span from = m->from.n ? m->from.v[0].domain : SPAN_NONE, list = list_domain(m);
	bool thread =
		message_header(m, "In-Reply-To", NULL) || message_header(m, "References", NULL);
	bool quoted = quotes_lines(c->shown.text.text) ||
		      (c->has_other && quotes_lines(c->other.text.text));
	bool outside = list.n && from.n && !same_organisation(from, list);
	size_t own = 0;
	if (thread)
		add_literal(k, "thread");
	if (quoted)
		add_literal(k, "quotes");
	if (thread && quoted)
		add_literal(k, "answers");
	/* A member writes to a list; an owner sends its own mail over it. */
	if (outside)
		add_literal(k, "writes-to-a-list");
	else if (list.n)
		add_literal(k, "owns-the-list");
	if (m->subject.n && m->subject.p[0] == '[')
		add_literal(k, "tagged-subject");
	if (m->from.n && signs(c, m->from.v[0].name))
		add_literal(k, "signed-by-hand");
	for (size_t i = 0; i < c->n_link_domains; i++)
		own += same_organisation(c->link_domains[i], from);
	if (c->n_link_domains)
		add_literal(k, own ? "links-to-itself" : "links-to-others");
	if (own && outside)
		add_literal(k, "list-and-own-links");
	for (size_t i = 0; i < m->to.n && i < 8; i++)
		if (m->from.n && span_case_eq(m->to.v[i].addr, m->from.v[0].addr))
			add_literal(k, "to-itself");
	if (!m->to.n)
		add_literal(k, "to-nobody");
	end_group(k, 2);
}

/* --- addresses and layout ---------------------------------------------------------- */

static void from_features(struct maker *k, const struct message *m)
{
	static const char *const free_mail[] = {
		"gmail.com", "hotmail.com", "yahoo.com", "aol.com",	"msn.com",  "outlook.com",
		"qq.com",    "163.com",	    "126.com",	 "sina.com",	"sohu.com", "yahoo.com.cn",
		"gmx.de",    "web.de",	    "mail.ru",	 "yahoo.co.uk", "tom.com",  "foxmail.com"};
	static const char *const roles[] = {"noreply", "no-reply",   "donotreply",   "news",
					    "info",    "newsletter", "support",	     "service",
					    "sales",   "marketing",  "notification", "billing",
					    "order",   "account",    "update",	     "offers",
					    "deals",   "mailer",     "bounce",	     "list"};
	if (m->from.n) {
		const struct address *from = &m->from.v[0];
		for (size_t i = 0; i < sizeof(free_mail) / sizeof(free_mail[0]); i++)
			if (span_eq(from->domain, span_of(free_mail[i])))
				add_literal(k, "from:free-mail");
		for (size_t i = 0; i < sizeof(roles) / sizeof(roles[0]); i++)
			if (span_case_find(from->local, span_of(roles[i])) != SIZE_MAX)
				add(k, "from:", span_of(roles[i]));
	}
	end_group(k, 1);
}

/* 0, 1, 2-3, 4-7, ... as one feature. */
static void add_bucket(struct maker *k, const char *name, size_t n)
{
	static const char *const steps[] = {"0",  "1",	"2",  "4",   "8",
					    "16", "32", "64", "128", "256"};
	size_t step = 0;
	while (n && step < 9) {
		n >>= 1;
		step++;
	}
	/* "name:step" */
	size_t n_name = strlen(name), n_step = strlen(steps[step]);
	char *text = arena_room(k->arena, n_name + 1 + n_step);
	if (!text)
		return;
	memcpy(text, name, n_name);
	text[n_name] = ':';
	memcpy(text + n_name + 1, steps[step], n_step);
	add(k, "", (struct span){text, n_name + 1 + n_step});
}

static void layout_features(struct maker *k, const struct content *c)
{
	const struct view *v = &c->shown.view;
	size_t buttons = 0, tracked = 0, external = 0;
	for (size_t i = 0; i < v->n_links; i++) {
		struct span t = span_sub(v->links[i].target, 0, 600);
		buttons += v->links[i].button;
		external += span_case_starts(t, SPAN("http"));
		tracked += span_find(t, SPAN("utm_")) != SIZE_MAX ||
			   (t.n > 100 && span_case_starts(t, SPAN("http")));
	}
	add_literal(k, v->html ? "l:html" : "l:plain");
	add_bucket(k, "l:links", v->n_links);
	add_bucket(k, "l:external", external);
	add_bucket(k, "l:images", v->images);
	add_bucket(k, "l:text", v->n_text / 100);
	if (buttons)
		add_bucket(k, "l:buttons", buttons);
	if (tracked)
		add_bucket(k, "l:tracked", tracked);
	if (v->pixels)
		add_literal(k, "l:pixel");
	if (v->tables)
		add_bucket(k, "l:tables", v->tables);
	if (c->has_other)
		add_literal(k, "l:alternative");
	if (v->n_hidden)
		add_literal(k, "l:hidden");
	end_group(k, 1.5f);
}

static void phrase_features(struct maker *k, const struct content *c)
{
	uint32_t seen[PHRASE_KIND_COUNT] = {0};
	if (c->unsub.n)
		add_literal(k, "unsub-way");
	for (int kind = 0; kind < PHRASE_SENDER; kind++) { /* the rest says who, not what */
		uint32_t n = c->shown.hits.count[kind] + c->other.hits.count[kind];
		if (n && !seen[kind]++)
			add_bucket(k, phrase_kind_name((enum phrase_kind)kind), n);
	}
	if (c->identity.address.text.p)
		add_literal(k, "identity:address");
	if (c->identity.icp.text.p)
		add_literal(k, "identity:icp");
	end_group(k, 1.5f);
}

/* Prices, percentages, codes, dates: how many, and what stands beside them is for the words. */
static void figure_features(struct maker *k, const struct content *c)
{
	struct span s = span_sub(c->shown.text.text, 0, 30000);
	size_t prices = 0, percents = 0, codes = 0, long_numbers = 0, exclaims = 0, you = 0;
	for (size_t i = 0; i < s.n; i++) {
		char ch = s.p[i];
		if (!is(ch, FIGURES)) /* most letters are nothing here */
			continue;
		exclaims += ch == '!';
		you += ch == 'y' && i && !ascii_is_alpha(s.p[i - 1]) &&
		       span_starts(span_sub(s, i, s.n), SPAN("you"));
		you += span_starts(span_sub(s, i, i + 3), SPAN("您"));
		if (!ascii_is_digit(ch) || (i && (ascii_is_digit(s.p[i - 1]))))
			continue;
		size_t end = i;
		while (end < s.n && ascii_is_digit(s.p[end]))
			end++;
		struct span before = span_sub(s, i > 4 ? i - 4 : 0, i);
		struct span after = span_sub(s, end, end + 8);
		prices += span_ends(before, SPAN("$")) || span_ends(before, SPAN("$ ")) ||
			  span_ends(before, SPAN("€")) || span_ends(before, SPAN("£")) ||
			  span_ends(before, SPAN("¥")) || span_starts(after, SPAN("元")) ||
			  span_starts(after, SPAN(" eur")) || span_starts(after, SPAN(" €")) ||
			  span_starts(after, SPAN("円")) || span_starts(after, SPAN("원"));
		percents += span_starts(after, SPAN("%")) || span_starts(after, SPAN(" %")) ||
			    span_starts(after, SPAN("折"));
		long_numbers += end - i >= 8;
		codes += end - i >= 4 && end - i < 8 &&
			 (end == s.n || !ascii_is_alpha(s.p[end])) &&
			 (end - i > 4 || s.p[i] > '2' || s.p[i] == '0');
		i = end - 1;
	}
	add_bucket(k, "f:prices", prices);
	add_bucket(k, "f:percents", percents);
	add_bucket(k, "f:codes", codes);
	add_bucket(k, "f:numbers", long_numbers);
	add_bucket(k, "f:exclaims", exclaims);
	add_bucket(k, "f:you", s.n ? you * 4000 / (s.n + 400) : 0);
	end_group(k, 1.5f);
}

/* --- words ------------------------------------------------------------------------------ */

/* Words of alphabets, pairs of words, pairs of ideographs: up to `max` of them. Digits count by
 * their length: "#4": an order number, not which one. `pairs` may be NULL. */
static void word_features(struct maker *k, const char *prefix, const char *pairs, struct span s,
			  size_t max)
{
	static const char *const digits[] = {"#1", "#2", "#3", "#4", "#5", "#6", "#7", "#8", "#9+"};
	const uint64_t one = hash_on(HASH_START, span_of(prefix));
	const uint64_t two = pairs ? hash_on(HASH_START, span_of(pairs)) : 0;
	uint64_t both = 0; /* of the pair that began at `last`, up to here */
	size_t stop = k->f.n + max, last = SIZE_MAX;
	for (size_t i = 0; i < s.n && k->f.n < stop;) {
		unsigned char c = (unsigned char)s.p[i];
		size_t from = i;
		if (is(s.p[i], DIGIT)) {
			while (i < s.n && is(s.p[i], DIGIT))
				i++;
			add(k, prefix, span_of(digits[(i - from > 9 ? 9 : i - from) - 1]));
			last = SIZE_MAX;
		} else if (is(s.p[i], BEGINS)) {
			/* the word, the pair that it ends and the one that it begins, at once */
			uint64_t word = one, next = two;
			const char *p = s.p + i, *end = s.p + s.n;
			for (; p < end && is(*p, WORD); p++) {
				word = hash_byte(word, *p);
				both = hash_byte(both, *p);
				next = hash_byte(next, *p);
			}
			i = (size_t)(p - s.p);
			if (i - from >= 2 && i - from <= 24)
				add_hashed(k, word, span_sub(s, from, i));
			if (pairs && last != SIZE_MAX && i - last <= 40)
				add_hashed(k, both, span_sub(s, last, i));
			both = next;
			last = from;
		} else if (c >= 0xe3 && c <= 0xed && from + 3 <= s.n) {
			i += 3;
			unsigned char next = i + 3 <= s.n ? (unsigned char)s.p[i] : 0;
			if (next >= 0xe3 && next <= 0xed) {
				add(k, prefix, span_sub(s, from, i + 3));
				unsigned char third = i + 6 <= s.n ? (unsigned char)s.p[i + 3] : 0;
				if (pairs && third >= 0xe3 && third <= 0xed)
					add(k, pairs, span_sub(s, from, i + 6));
			}
			last = SIZE_MAX;
		} else {
			if (c != ' ')
				last = SIZE_MAX;
			both = hash_byte(both, (char)c);
			i++;
		}
	}
}

struct class_features class_features(const struct content *c, const struct txn *txn, bool headers)
{
	struct maker k = {.arena = c->arena};
	const struct message *m = c->message;
	k.f.v = arena_room(c->arena, CLASS_FEATURES * sizeof(*k.f.v));
	if (!k.f.v)
		return k.f;
	if (!octets['a'])
		fill_octets();
	if (headers)
		header_features(&k, m, txn);
	social_features(&k, c);
	from_features(&k, m);
	layout_features(&k, c);
	phrase_features(&k, c);
	figure_features(&k, c);
	if (m->subject.p)
		word_features(&k, "s:", "s2:", fold_text(c->arena, span_sub(m->subject, 0, 400)).text, 60);
	end_group(&k, 1.5f);
	struct span s = c->shown.text.text;
	word_features(&k, "w:", "p:", s, 2000);
	/* A long mail says at its end who sent it and how to leave. */
	if (s.n > 16000)
		word_features(&k, "w:", "p:", span_sub(s, s.n - 4000, s.n), 700);
	end_group(&k, 2.5f);
	return k.f;
}
