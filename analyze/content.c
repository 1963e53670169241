/*
 * content - reads the body: which parts a person is shown, their text, phrases, links.
 *
 * Of an alternative the HTML is shown. Which plain parts are alternatives follows from their
 * order and depth, since leaves are all that a message keeps: plain text right before HTML at
 * the same depth is its alternative, plain text elsewhere (a list's footer) is shown too.
 */
#include "analyze/content_parts.h"
#include "base/utf8.h"

static bool is_html(const struct part *p)
{
	return span_eq(p->type, SPAN("text/html")) && p->text.p;
}

static bool is_text(const struct part *p)
{
	return p->text.p && !(p->flags & PART_ATTACHMENT) &&
	       (is_html(p) || span_eq(p->type, SPAN("text/plain")) ||
		span_eq(p->type, SPAN("text/enriched")));
}

static bool is_alternative(const struct message *m, size_t i)
{
	if (is_html(&m->parts[i]))
		return false;
	for (size_t k = i + 1; k < m->n_parts; k++)
		if (is_text(&m->parts[k]) && is_html(&m->parts[k]))
			return m->parts[k].depth >= m->parts[i].depth;
	return false;
}

static void read_view(struct reading *r, const struct message *m, struct arena *a, bool alternative,
		      bool *partial)
{
	size_t bytes = 0;
	for (size_t i = 0; i < m->n_parts; i++)
		if (is_text(&m->parts[i]) && is_alternative(m, i) == alternative)
			bytes += m->parts[i].text.n + 2;
	view_init(&r->view, a, bytes);
	for (size_t i = 0; i < m->n_parts && i < UINT16_MAX; i++) {
		const struct part *p = &m->parts[i];
		if (!is_text(p) || is_alternative(m, i) != alternative)
			continue;
		*partial |= (p->flags & PART_CUT) != 0;
		if (is_html(p))
			view_add_html(&r->view, p->text, (uint16_t)i);
		else
			view_add_plain(&r->view, p->text, (uint16_t)i);
	}
	view_find_written(&r->view);
}

static void read_phrases(struct reading *r, struct arena *a, bool *partial)
{
	struct view *v = &r->view;
	*partial |= v->n_text > LIMIT_CONTENT_TEXT_BYTES;
	struct span text = utf8_cut(view_text(v), LIMIT_CONTENT_TEXT_BYTES);
	struct span hidden =
		utf8_cut((struct span){v->hidden, v->n_hidden}, LIMIT_CONTENT_TEXT_BYTES);
	struct span alt = utf8_cut((struct span){v->alt, v->n_alt}, LIMIT_CONTENT_TEXT_BYTES);
	r->text = fold_text(a, text);
	r->hidden = fold_text(a, hidden);
	r->alt = fold_text(a, alt);
	phrases_find(r->text.text, a, &r->hits);
	phrases_find(r->hidden.text, a, &r->hidden_hits);
	phrases_find(r->alt.text, a, &r->alt_hits);
}

/* --- language ----------------------------------------------------------------- */

struct scripts {
	size_t latin, han, kana, hangul, cyrillic, traditional;
};

/* Small letters among the ASCII octets at the start of folded text, eight at once; *letters_r of
 * them. Returns how many octets were looked at. */
static size_t ascii_letters(struct span s, size_t *letters_r)
{
	const uint64_t ones = 0x0101010101010101u, high = 0x80 * ones;
	size_t i = 0, n = 0;
	for (; i + 8 <= s.n; i += 8) {
		uint64_t word;
		memcpy(&word, s.p + i, 8);
		if (word & high)
			break;
		uint64_t letters = (word + (0x80 - 'a') * ones) & ~(word + (0x80 - 'z' - 1) * ones);
		n += (size_t)(((letters & high) >> 7) * ones >> 56);
	}
	for (; i < s.n && !(s.p[i] & 0x80); i++)
		n += ascii_is_alpha(s.p[i]);
	*letters_r = n;
	return i;
}

static struct scripts count_scripts(struct span s)
{
	struct scripts n = {0};
	s = span_sub(s, 0, 20000);
	while (s.n) {
		size_t letters;
		s = span_sub(s, ascii_letters(s, &letters), s.n);
		n.latin += letters;
		if (!s.n)
			break;
		int32_t c = utf8_next(&s);
		n.han += c >= 0x4e00 && c < 0xa000;
		n.kana += c >= 0x3040 && c < 0x3100;
		n.hangul += c >= 0xac00 && c < 0xd7a4;
		n.cyrillic += c >= 0x400 && c < 0x500;
	}
	return n;
}

/* Words of at most seven letters that every text of a language has, found by a hash of their
 * octets; a word may be of several languages. */
#define LANGUAGES 7
#define WORD_SLOTS 256u
static const struct {
	const char *language, *words;
} language_words[LANGUAGES] = {
	{"en", "the and you for this with your from are have that"},
	{"de", "der die und sie nicht mit ist ein das fur auf von"},
	{"fr", "les des vous est pour une dans votre avec sur pas"},
	{"es", "los del para con una por las que usted nuestro su"},
	{"pt", "voce para com uma dos nao seu sua mais por que"},
	{"it", "che per con una del sono della non alla il di"},
	{"nl", "het een van voor niet met zijn deze naar ook uw"},
};
static struct {
	bool ready;
	uint64_t word[WORD_SLOTS];
	uint8_t languages[WORD_SLOTS]; /* a bit each */
} word_table;

static uint64_t word_key(struct span word)
{
	uint64_t key = 0;
	memcpy(&key, word.p, word.n);
	return key;
}

static size_t word_slot(uint64_t key)
{
	size_t i = key * 0x9e3779b97f4a7c15u >> 56;
	while (word_table.word[i] && word_table.word[i] != key)
		i = (i + 1) % WORD_SLOTS;
	return i;
}

static void make_word_table(void)
{
	word_table.ready = true;
	for (unsigned k = 0; k < LANGUAGES; k++) {
		struct span rest = span_of(language_words[k].words), word;
		while (span_next_word(&rest, &word)) {
			size_t i = word_slot(word_key(word));
			word_table.word[i] = word_key(word);
			word_table.languages[i] |= (uint8_t)(1u << k);
		}
	}
}

static const char *latin_language(struct span folded)
{
	size_t hits[LANGUAGES] = {0}, best = 0, words = 0;
	if (!word_table.ready)
		make_word_table();
	folded = span_sub(folded, 0, 1200); /* some 200 words tell */
	for (size_t from = 0, to; from < folded.n; from = to + 1) {
		for (to = from; to < folded.n && !ascii_is_space(folded.p[to]);)
			to++;
		struct span word = span_sub(folded, from, to);
		if (word.n < 2 || word.n > 7)
			continue;
		words++;
		unsigned languages = word_table.languages[word_slot(word_key(word))];
		for (unsigned k = 0; languages >> k; k++)
			hits[k] += languages >> k & 1;
	}
	for (size_t i = 1; i < LANGUAGES; i++)
		if (hits[i] > hits[best])
			best = i;
	return hits[best] * 12 >= words && hits[best] >= 2 ? language_words[best].language : "";
}

static void find_language(struct content *c)
{
	struct scripts n = count_scripts(c->shown.text.text);
	size_t wide = n.han + n.kana + n.hangul;
	const char *language = "";
	/* One ideograph says as much as a few letters. */
	if (wide * 3 > n.latin && wide > 4)
		language = n.hangul > n.han + n.kana ? "ko" : n.kana * 5 > n.han ? "ja" : "zh";
	else if (n.cyrillic > n.latin && n.cyrillic > 10)
		language = "ru";
	else if (n.latin > 20)
		language = latin_language(c->shown.text.text);
	memcpy(c->language, language, strlen(language) + 1);
}

/* --- links -------------------------------------------------------------------------- */

static inline bool ends_host(char c)
{
	return (unsigned char)c <= ' ' || c == '/' || c == '?' || c == '#' || c == ':' || c == '\\';
}

/* The host of an http URL, lower case; .p NULL: none. */
static struct span link_host(struct arena *a, struct span url)
{
	size_t scheme = span_find(span_sub(url, 0, 16), SPAN("://"));
	struct span host = SPAN_NONE;
	if (scheme != SIZE_MAX && span_case_starts(url, SPAN("http")))
		host = span_sub(url, scheme + 3, url.n);
	else if (span_case_starts(url, SPAN("www.")))
		host = url;
	size_t end = 0;
	while (end < host.n && !ends_host(host.p[end]))
		end++;
	host = span_sub(host, 0, end);
	size_t at = span_rfind_char(host, '@');
	if (at != SIZE_MAX)
		host = span_sub(host, at + 1, host.n);
	if (!host.n || host.n > 253 || span_find_char(host, '.') == SIZE_MAX)
		return SPAN_NONE;
	return arena_lower(a, host);
}

/* More domains than that are looked up by nobody. */
#define LINK_DOMAINS 64

static void find_domains(struct content *c)
{
	struct span *list = ARENA_ARRAY(c->arena, struct span, LINK_DOMAINS);
	const struct reading *readings[] = {&c->shown, &c->other};
	size_t n = 0;
	if (!list)
		return;
	for (size_t r = 0; r < 2; r++)
		for (size_t i = 0; i < readings[r]->view.n_links && n < LINK_DOMAINS; i++) {
			struct span host = link_host(c->arena, readings[r]->view.links[i].target);
			bool known = !host.p;
			for (size_t k = 0; k < n && !known; k++)
				known = span_eq(list[k], host);
			if (!known)
				list[n++] = host;
		}
	c->link_domains = list;
	c->n_link_domains = n;
}

const struct span *content_link_domains(const struct content *c, size_t *n_r)
{
	*n_r = c->n_link_domains;
	return c->link_domains;
}

struct content *content_read(const struct message *m, struct arena *a)
{
	struct content *c = ARENA_NEW(a, struct content);
	if (!c)
		return NULL;
	c->message = m;
	c->arena = a;
	c->mark = ARENA_NEW(a, struct line_mark);
	if (!c->mark)
		return NULL;
	for (size_t i = 0; i < m->n_parts; i++) {
		c->readable |= is_text(&m->parts[i]);
		c->has_other |= is_text(&m->parts[i]) && is_alternative(m, i);
	}
	/* A message without a body says nothing, and that is known. */
	c->readable |= !m->partial;
	read_view(&c->shown, m, a, false, &c->partial);
	read_phrases(&c->shown, a, &c->partial);
	if (c->has_other) {
		read_view(&c->other, m, a, true, &c->partial);
		read_phrases(&c->other, a, &c->partial);
	}
	find_language(c);
	find_domains(c);
	unsub_find(&c->unsub, &c->shown);
	if (!c->unsub.n && c->has_other)
		unsub_find(&c->unsub, &c->other);
	identity_find(c);
	return a->overflowed ? NULL : c;
}
