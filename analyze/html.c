#include "analyze/html.h"

/* Tag and attribute names are found by their key in small hash tables, filled once. */
#define SLOT_BITS 9
#define SLOTS (1 << SLOT_BITS)

struct name_slot {
	uint64_t key;
	const char *name; /* NULL: free */
	uint16_t n, id;
};

static struct name_slot tag_slots[SLOTS], attribute_slots[SLOTS];
static uint8_t tag_flags[HTML_TAG_COUNT];
static const char *tag_names[HTML_TAG_COUNT];
static bool ready;

static void slot_add(struct name_slot *slots, const char *name, unsigned id)
{
	uint64_t key = html_key(span_of(name));
	size_t i = html_slot(key, SLOT_BITS);
	while (slots[i].name)
		i = (i + 1) % SLOTS;
	slots[i] = (struct name_slot){key, name, (uint16_t)strlen(name), (uint16_t)id};
}

/* `key` is the name's; with the length it is all of a name of up to eight octets. */
static inline unsigned slot_find(const struct name_slot *slots, struct span name, uint64_t key)
{
	for (size_t i = html_slot(key, SLOT_BITS); slots[i].name; i = (i + 1) % SLOTS)
		if (slots[i].key == key && slots[i].n == name.n &&
		    (name.n <= 8 || span_case_eq(span_of(slots[i].name), name)))
			return slots[i].id;
	return 0;
}

/* What an octet is inside a tag, and behind '<'. */
enum {
	BLANK = 1, ENDS_TAG_NAME = 2, ENDS_ATTRIBUTE_NAME = 4, ENDS_VALUE = 8, LETTER = 16,
	DECLARES = 32,
};
static uint8_t octets[256];

static void octets_fill(const char *list, unsigned bits)
{
	for (; *list; list++)
		octets[(unsigned char)*list] |= (uint8_t)bits;
}

static void tables_fill(void)
{
#define T(id, name, flags)                                                                         \
	slot_add(tag_slots, name, HTML_T_##id);                                                    \
	tag_names[HTML_T_##id] = name;                                                             \
	tag_flags[HTML_T_##id] = flags;
	HTML_TAGS(T)
#undef T
#define A(id, name) slot_add(attribute_slots, name, HTML_A_##id);
	HTML_ATTRIBUTES(A)
#undef A
	octets_fill(" \n\t\r\f", BLANK | ENDS_TAG_NAME | ENDS_ATTRIBUTE_NAME | ENDS_VALUE);
	octets_fill(">", ENDS_TAG_NAME | ENDS_ATTRIBUTE_NAME | ENDS_VALUE);
	octets_fill("/", ENDS_TAG_NAME | ENDS_ATTRIBUTE_NAME);
	octets_fill("=", ENDS_ATTRIBUTE_NAME);
	octets_fill("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ", LETTER);
	octets_fill("!?", DECLARES);
	ready = true;
}

unsigned html_tag_flags(enum html_tag tag)
{
	return tag_flags[tag];
}

enum html_tag html_tag_find(struct span name)
{
	if (!ready)
		tables_fill();
	return (enum html_tag)slot_find(tag_slots, name, html_key(name));
}

void html_scanner_init(struct html_scanner *s, struct span text)
{
	if (!ready)
		tables_fill();
	*s = (struct html_scanner){.text = text};
}

static inline bool is(char c, unsigned bits)
{
	return octets[(unsigned char)c] & bits;
}

static bool is_blank(char c)
{
	return is(c, BLANK);
}

static size_t skip_blanks(struct span t, size_t i)
{
	while (i < t.n && is_blank(t.p[i]))
		i++;
	return i;
}

/* The value behind '=' at `i`; sets where it ends. */
static struct span read_value(struct html_scanner *s, size_t i, size_t *end_r)
{
	struct span t = s->text;
	i = skip_blanks(t, i);
	if (i < t.n && (t.p[i] == '"' || t.p[i] == '\'')) {
		const char *close = memchr(t.p + i + 1, t.p[i], t.n - i - 1);
		size_t to = close ? (size_t)(close - t.p) : t.n;
		s->cut |= !close;
		*end_r = close ? to + 1 : t.n;
		return span_sub(t, i + 1, to);
	}
	size_t from = i;
	while (i < t.n && !is(t.p[i], ENDS_VALUE))
		i++;
	*end_r = i;
	return span_sub(t, from, i);
}

/* The name at *at, up to an octet of `ends` behind its first (a '=' in front belongs to an
 * attribute's name), and its key (html_key()). */
static struct span read_name(struct span t, size_t *at, unsigned ends, uint64_t *key_r)
{
	const char *from = t.p + *at, *p = from, *end = t.p + t.n;
	const char *eighth = t.n - *at > 8 ? from + 8 : end;
	uint64_t key = 0;
	do
		key = key << 8 | (unsigned char)ascii_lower(*p++);
	while (p < eighth && !is(*p, ends));
	if (p == eighth)
		while (p < end && !is(*p, ends))
			p++;
	size_t n = (size_t)(p - from);
	*at += n;
	*key_r = html_key_of(key, n);
	return (struct span){from, n};
}

static void keep_attribute(struct html_token *token, struct span name, uint64_t key,
			   struct span value)
{
	token->n_attributes++;
	if (token->n_attributes > LIMIT_HTML_ATTRIBUTES)
		return;
	unsigned id = slot_find(attribute_slots, name, key);
	if (id == HTML_A_OTHER) {
		token->handler |= name.n > 4 && span_case_starts(name, SPAN("on"));
		return;
	}
	if (token->present & 1u << id) {
		token->duplicate = true;
		return;
	}
	token->present |= 1u << id;
	token->attribute[id] = value;
}

static void read_attributes(struct html_scanner *s, struct html_token *token)
{
	struct span t = s->text;
	size_t i = s->at;
	for (;;) {
		while (i < t.n && (is_blank(t.p[i]) || t.p[i] == '/'))
			i++;
		if (i >= t.n || t.p[i] == '>')
			break;
		uint64_t key;
		struct span name = read_name(t, &i, ENDS_ATTRIBUTE_NAME, &key);
		struct span value = span_sub(t, i, i);
		size_t behind = skip_blanks(t, i);
		if (behind < t.n && t.p[behind] == '=')
			value = read_value(s, behind + 1, &i);
		if (token->kind == HTML_START)
			keep_attribute(token, name, key, value);
	}
	s->cut |= i >= t.n;
	s->at = i < t.n ? i + 1 : t.n;
}

static void read_tag(struct html_scanner *s, struct html_token *token, size_t name_at)
{
	struct span t = s->text;
	uint64_t key;
	s->at = name_at;
	token->name = read_name(t, &s->at, ENDS_TAG_NAME, &key);
	token->tag = (enum html_tag)slot_find(tag_slots, token->name, key);
	read_attributes(s, token);
	if (token->kind == HTML_START && tag_flags[token->tag] & HTML_RAW)
		s->raw = token->tag;
}

/* "<!--" up to "-->"; "<!...>", "<?...>", "</ ...>" up to '>'. */
static void read_comment(struct html_scanner *s, struct html_token *token)
{
	struct span rest = span_sub(s->text, s->at, s->text.n);
	size_t body = 2, end, close = 1;
	if (span_starts(rest, SPAN("<!--"))) {
		body = 4;
		/* "<!-->" and "<!--->" are empty comments */
		if (span_starts(span_sub(rest, 4, rest.n), SPAN(">")) ||
		    span_starts(span_sub(rest, 4, rest.n), SPAN("->"))) {
			end = 4;
			close = rest.p[4] == '>' ? 1 : 2;
		} else {
			size_t at = span_find(span_sub(rest, 4, rest.n), SPAN("-->"));
			end = at == SIZE_MAX ? rest.n : at + 4;
			close = 3;
		}
	} else {
		end = span_find_char(rest, '>');
	}
	if (end >= rest.n) {
		s->cut = true;
		end = rest.n;
		close = 0;
	}
	token->kind = HTML_COMMENT;
	token->text = span_sub(rest, body, end);
	s->at += end + close;
}

/* The content of a raw-text element, up to its own end tag. */
static void read_raw(struct html_scanner *s, struct html_token *token)
{
	struct span t = s->text, name = span_of(tag_names[s->raw]);
	size_t from = s->at, i = from;
	while (i < t.n) {
		const char *p = memchr(t.p + i, '<', t.n - i);
		i = p ? (size_t)(p - t.p) : t.n;
		struct span rest = span_sub(t, i + 2, t.n);
		if (p && i + 1 < t.n && t.p[i + 1] == '/' && span_case_starts(rest, name) &&
		    (rest.n == name.n || is_blank(rest.p[name.n]) || rest.p[name.n] == '>' ||
		     rest.p[name.n] == '/'))
			break;
		i += p ? 1 : 0;
	}
	s->cut |= i >= t.n;
	token->kind = HTML_RAWTEXT;
	token->tag = s->raw;
	token->text = span_sub(t, from, i);
	s->raw = HTML_T_OTHER;
	s->at = i;
}

/* Whether '<' at `i` begins markup. */
static inline bool opens_markup(struct span t, size_t i)
{
	if (i + 1 >= t.n)
		return false;
	char c = t.p[i + 1];
	return is(c, LETTER | DECLARES) || (c == '/' && i + 2 < t.n && !is_blank(t.p[i + 2]));
}

bool html_next(struct html_scanner *s, struct html_token *token)
{
	struct span t = s->text;
	if (s->at >= t.n)
		return false;
	token->offset = s->at;
	token->tag = HTML_T_OTHER;
	if (s->raw) {
		read_raw(s, token);
		return true;
	}
	if (t.p[s->at] != '<' || !opens_markup(t, s->at)) {
		size_t i = s->at;
		do {
			i++;
			const char *p = i < t.n ? memchr(t.p + i, '<', t.n - i) : NULL;
			i = p ? (size_t)(p - t.p) : t.n;
		} while (i < t.n && !opens_markup(t, i));
		token->kind = HTML_TEXT;
		token->text = span_sub(t, s->at, i);
		s->at = i;
		return true;
	}
	char c = t.p[s->at + 1];
	if (is(c, DECLARES) || (c == '/' && !is(t.p[s->at + 2], LETTER))) {
		read_comment(s, token);
		return true;
	}
	token->kind = c == '/' ? HTML_END : HTML_START;
	if (token->kind == HTML_START) {
		for (; token->present; token->present &= token->present - 1)
			token->attribute[__builtin_ctz(token->present)] = SPAN_NONE;
		token->n_attributes = 0;
		token->handler = token->duplicate = false;
	}
	read_tag(s, token, s->at + (c == '/' ? 2 : 1));
	return true;
}
