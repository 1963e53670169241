/*
 * css - style sheets: rules in buckets by the key of their last compound selector.
 *
 * For an element only the buckets of its id, its classes, its tag and of '*' are looked at, and
 * each comparison is counted: a sheet made to be slow runs into LIMIT_CSS_WORK, after which
 * only inline styles count. css_value.c reads values, css_style.c computes.
 */
#include "analyze/css.h"

#define COMPOUNDS 8 /* of one selector; longer ones are dropped */
#define COMPOUND_CLASSES 3
#define MATCHES 64	/* rules applied to one element, the weakest fall out */
#define DECLARATIONS 32 /* understood ones of one block */

struct compound {
	enum html_tag tag; /* HTML_T_OTHER: any */
	uint32_t id;
	uint32_t classes[COMPOUND_CLASSES];
	uint8_t n_classes;
	bool child; /* of the compound to its left, not any descendant */
};

struct css_rule {
	struct compound compounds[COMPOUNDS];
	uint8_t n_compounds;
	uint32_t specificity;
	uint32_t first, n; /* declarations */
	int32_t next;	   /* in its bucket, index + 1 */
};

static uint32_t name_hash(struct span s)
{
	uint32_t h = 2166136261u;
	for (size_t i = 0; i < s.n; i++)
		h = (h ^ (unsigned char)ascii_lower(s.p[i])) * 16777619u;
	return h ? h : 1;
}

void css_element_init(struct css_element *e, enum html_tag tag, struct span id, struct span classes)
{
	e->tag = tag;
	e->id = id.n ? name_hash(id) : 0;
	e->n_classes = 0;
	if (!classes.n)
		return;
	struct span word;
	while (e->n_classes < CSS_ELEMENT_CLASSES && span_next_word(&classes, &word))
		e->classes[e->n_classes++] = name_hash(word);
}

void css_sheet_init(struct css_sheet *sheet, struct arena *arena)
{
	memset(sheet, 0, sizeof(*sheet));
	sheet->arena = arena;
}

/* --- selectors ------------------------------------------------------------ */

static bool is_name_char(char c)
{
	return ascii_is_alpha(c) || ascii_is_digit(c) || c == '-' || c == '_' || (c & 0x80);
}

static struct span take_name(struct span *rest)
{
	size_t i = 0;
	while (i < rest->n && is_name_char(rest->p[i]))
		i++;
	struct span name = span_sub(*rest, 0, i);
	*rest = span_sub(*rest, i, rest->n);
	return name;
}

/* One compound selector: "td.footer#x:link". False when it holds what is not understood. */
static bool read_compound(struct span *rest, struct compound *c, uint32_t *specificity)
{
	bool any = false;
	if (rest->n && rest->p[0] == '*') {
		*rest = span_sub(*rest, 1, rest->n);
		any = true;
	} else if (rest->n && is_name_char(rest->p[0])) {
		c->tag = html_tag_find(take_name(rest));
		if (c->tag == HTML_T_OTHER)
			return false;
		*specificity += 1;
		any = true;
	}
	while (rest->n && (rest->p[0] == '.' || rest->p[0] == '#' || rest->p[0] == ':')) {
		char kind = rest->p[0];
		*rest = span_sub(*rest, 1, rest->n);
		struct span name = take_name(rest);
		if (!name.n)
			return false;
		if (kind == ':' && !span_case_eq(name, SPAN("link")))
			return false; /* states that a mail is not in when it is opened */
		if (kind == '#')
			c->id = name_hash(name);
		else if (kind == '.' && c->n_classes == COMPOUND_CLASSES)
			return false;
		else if (kind == '.')
			c->classes[c->n_classes++] = name_hash(name);
		*specificity += kind == '#' ? 1 << 16 : 1 << 8;
		any = true;
	}
	return any;
}

static bool read_selector(struct span s, struct css_rule *rule)
{
	struct span rest = span_trim(s);
	bool child = false;
	rule->n_compounds = 0;
	rule->specificity = 0;
	while (rest.n) {
		if (rule->n_compounds == COMPOUNDS)
			return false;
		struct compound *c = &rule->compounds[rule->n_compounds++];
		*c = (struct compound){.child = child};
		child = false;
		if (!read_compound(&rest, c, &rule->specificity))
			return false;
		size_t i = 0;
		while (i < rest.n && (ascii_is_space(rest.p[i]) || rest.p[i] == '>'))
			child |= rest.p[i++] == '>';
		if (!i && rest.n)
			return false; /* '[', '+', '~' */
		rest = span_sub(rest, i, rest.n);
	}
	return rule->n_compounds > 0;
}

static size_t bucket_of(const struct compound *last)
{
	uint32_t key = last->id ? last->id : last->n_classes ? last->classes[0] : last->tag;
	return (key ^ key >> 8 ^ key >> 16) % CSS_BUCKETS;
}

static void add_rules(struct css_sheet *sheet, struct span selectors, size_t first, size_t n)
{
	struct span selector;
	while (span_next_field(&selectors, ',', &selector)) {
		if (sheet->n_rules == LIMIT_CSS_RULES) {
			sheet->flooded = true;
			return;
		}
		if (!arena_grow(sheet->arena, (void **)&sheet->rules, sheet->n_rules,
				&sheet->cap_rules, sizeof(*sheet->rules)))
			return;
		struct css_rule *rule = &sheet->rules[sheet->n_rules];
		if (!read_selector(selector, rule))
			continue;
		size_t bucket = bucket_of(&rule->compounds[rule->n_compounds - 1]);
		rule->first = (uint32_t)first;
		rule->n = (uint32_t)n;
		rule->next = sheet->buckets[bucket];
		sheet->buckets[bucket] = (int32_t)++sheet->n_rules;
	}
}

/* --- sheets --------------------------------------------------------------- */

/* text.n when there is none. */
static size_t find_from(struct span text, size_t from, struct span what)
{
	size_t at = span_find(span_sub(text, from, text.n), what);
	return at == SIZE_MAX ? text.n : from + at;
}

/* The text without comments and without the "<!--", "-->" around old sheets. */
static struct span without_comments(struct arena *a, struct span text)
{
	char *out = arena_room(a, text.n + 1);
	size_t n = 0;
	if (!out)
		return SPAN_NONE;
	/* where the next of each begins; looked for again once it is passed */
	size_t comment = find_from(text, 0, SPAN("/*")), open = find_from(text, 0, SPAN("<!--"));
	size_t close = find_from(text, 0, SPAN("-->"));
	for (size_t i = 0; i < text.n;) {
		comment = comment < i ? find_from(text, i, SPAN("/*")) : comment;
		open = open < i ? find_from(text, i, SPAN("<!--")) : open;
		close = close < i ? find_from(text, i, SPAN("-->")) : close;
		size_t at = comment < open ? comment : open;
		at = close < at ? close : at;
		memcpy(out + n, text.p + i, at - i);
		n += at - i;
		i = at;
		if (i == text.n)
			break;
		if (i == comment) {
			size_t end = find_from(text, i + 2, SPAN("*/"));
			i = end < text.n ? end + 2 : text.n;
		} else {
			i += i == open ? 4 : 3;
		}
	}
	return (struct span){out, n};
}

/* Position behind the block that opens at `i`. */
static size_t skip_block(struct span t, size_t i)
{
	size_t open = 0;
	while (i < t.n) {
		const char *end = memchr(t.p + i, '}', t.n - i);
		size_t close = end ? (size_t)(end - t.p) : t.n;
		for (const char *p; (p = memchr(t.p + i, '{', close - i)); open++)
			i = (size_t)(p - t.p) + 1;
		i = close + 1;
		if (--open == 0 && end)
			return i;
	}
	return t.n;
}

static bool media_applies(struct span prelude)
{
	return span_case_starts(prelude, SPAN("@media")) &&
	       span_find_char(prelude, '(') == SIZE_MAX &&
	       (span_case_find(prelude, SPAN("screen")) != SIZE_MAX ||
		span_case_find(prelude, SPAN("all")) != SIZE_MAX);
}

void css_sheet_add(struct css_sheet *sheet, struct span raw)
{
	struct span t = without_comments(sheet->arena, raw);
	size_t i = 0;
	while (i < t.n) {
		size_t from = i;
		while (i < t.n && t.p[i] != '{' && t.p[i] != '}' && t.p[i] != ';')
			i++;
		if (i == t.n)
			return;
		struct span prelude = span_trim(span_sub(t, from, i));
		if (t.p[i] != '{' || (prelude.n && prelude.p[0] == '@' && media_applies(prelude))) {
			i++; /* end of an applied @media, of an @import, or its beginning */
			continue;
		}
		if (prelude.n && prelude.p[0] == '@') {
			i = skip_block(t, i);
			continue;
		}
		const char *close = memchr(t.p + i, '}', t.n - i);
		size_t end = close ? (size_t)(close - t.p) : t.n;
		struct css_declaration block[DECLARATIONS];
		size_t n = css_declarations(span_sub(t, i + 1, end), block, DECLARATIONS);
		size_t first = sheet->n_declarations;
		for (size_t k = 0; k < n; k++)
			if (arena_grow(sheet->arena, (void **)&sheet->declarations,
				       sheet->n_declarations, &sheet->cap_declarations,
				       sizeof(*block)))
				sheet->declarations[sheet->n_declarations++] = block[k];
		if (sheet->n_declarations > first)
			add_rules(sheet, prelude, first, sheet->n_declarations - first);
		i = close ? end + 1 : t.n;
	}
}

/* --- matching ------------------------------------------------------------- */

static bool compound_matches(const struct compound *c, const struct css_element *e)
{
	if ((c->tag && c->tag != e->tag) || (c->id && c->id != e->id))
		return false;
	for (unsigned i = 0; i < c->n_classes; i++) {
		bool found = false;
		for (unsigned k = 0; k < e->n_classes && !found; k++)
			found = c->classes[i] == e->classes[k];
		if (!found)
			return false;
	}
	return true;
}

/* Nearest ancestors first; with a child combinator in the middle this may miss a match that
 * needs backtracking, which no real sheet of our corpora does. */
static bool rule_matches(struct css_sheet *sheet, const struct css_rule *rule,
			 const struct css_element *path, size_t depth)
{
	unsigned k = rule->n_compounds - 1u;
	sheet->work++;
	if (!compound_matches(&rule->compounds[k], &path[depth - 1]))
		return false;
	for (size_t at = depth - 1; k > 0;) {
		bool child = rule->compounds[k].child;
		bool found = false;
		while (at > 0 && !found) {
			sheet->work++;
			found = compound_matches(&rule->compounds[k - 1], &path[--at]);
			if (child && !found)
				return false;
		}
		if (!found)
			return false;
		k--;
	}
	return true;
}

struct matches {
	const struct css_rule *v[MATCHES];
	size_t n;
};

static bool weaker(const struct css_rule *a, const struct css_rule *b)
{
	return a->specificity != b->specificity ? a->specificity < b->specificity : a < b;
}

static void keep_match(struct css_sheet *sheet, struct matches *m, const struct css_rule *rule)
{
	if (m->n == MATCHES) {
		if (weaker(rule, m->v[0]))
			return;
		memmove(m->v, m->v + 1, --m->n * sizeof(m->v[0]));
		sheet->work += MATCHES / 8;
	}
	size_t i = m->n++;
	for (; i > 0 && weaker(rule, m->v[i - 1]); i--) {
		m->v[i] = m->v[i - 1];
		sheet->work++;
	}
	m->v[i] = rule;
}

static void match_bucket(struct css_sheet *sheet, const struct compound *key,
			 const struct css_element *path, size_t depth, struct matches *m)
{
	for (int32_t i = sheet->buckets[bucket_of(key)]; i; i = sheet->rules[i - 1].next) {
		const struct css_rule *rule = &sheet->rules[i - 1];
		if (sheet->work > LIMIT_CSS_WORK) {
			sheet->flooded = true;
			return;
		}
		/* Another key in the same bucket must not be matched twice. */
		const struct compound *last = &rule->compounds[rule->n_compounds - 1];
		sheet->work++;
		if (last->id != key->id ||
		    (!key->id && last->n_classes != 0) != (key->n_classes != 0))
			continue;
		if (!key->id &&
		    (key->n_classes ? last->classes[0] != key->classes[0] : last->tag != key->tag))
			continue;
		if (rule_matches(sheet, rule, path, depth))
			keep_match(sheet, m, rule);
	}
}

static void apply(struct css_values *values, const struct css_declaration *d, size_t n,
		  bool important)
{
	for (size_t i = 0; i < n; i++)
		if (d[i].important == important) {
			values->v[d[i].property] = d[i].value;
			values->set |= 1u << d[i].property;
		}
}

#define INLINE_KEPT 4096 /* declarations; a page with more different styles reads them again */

/* The declarations of an inline style, in `own` or kept in the sheet. */
static const struct css_declaration *inline_declarations(struct css_sheet *sheet, struct span style,
							 struct css_declaration *own, size_t *n_r)
{
	uint64_t key = style.n;
	if (style.n >= sizeof(key)) {
		memcpy(&key, style.p + style.n - sizeof(key), sizeof(key));
		key ^= style.n << 32;
	}
	struct css_inline *known = &sheet->inlines[key * 0x9e3779b97f4a7c15u >> 58];
	if (known->text.p && span_eq(known->text, style)) {
		*n_r = known->n;
		return sheet->declarations + known->first;
	}
	size_t n = *n_r = css_declarations(style, own, DECLARATIONS);
	if (n && sheet->n_inline + n <= INLINE_KEPT) {
		size_t first = sheet->n_declarations;
		for (size_t k = 0; k < n; k++)
			if (arena_grow(sheet->arena, (void **)&sheet->declarations,
				       sheet->n_declarations, &sheet->cap_declarations,
				       sizeof(*own)))
				sheet->declarations[sheet->n_declarations++] = own[k];
		sheet->n_inline += n;
		if (sheet->n_declarations == first + n)
			*known = (struct css_inline){style, (uint32_t)first, (uint32_t)n};
	}
	return own;
}

void css_cascade(struct css_sheet *sheet, const struct css_element *path, size_t depth,
		 struct span inline_style, struct css_values *values)
{
	const struct css_element *e = &path[depth - 1];
	struct matches m;
	m.n = 0;
	if (sheet->n_rules) {
		match_bucket(sheet, &(struct compound){.tag = HTML_T_OTHER}, path, depth, &m);
		if (e->tag)
			match_bucket(sheet, &(struct compound){.tag = e->tag}, path, depth, &m);
		for (unsigned i = 0; i < e->n_classes; i++)
			match_bucket(sheet,
				     &(struct compound){.classes = {e->classes[i]}, .n_classes = 1},
				     path, depth, &m);
		if (e->id)
			match_bucket(sheet, &(struct compound){.id = e->id}, path, depth, &m);
	}
	struct css_declaration room[DECLARATIONS];
	const struct css_declaration *own = room;
	size_t n = 0;
	if (inline_style.n)
		own = inline_declarations(sheet, inline_style, room, &n);
	for (size_t i = 0; i < m.n; i++)
		apply(values, sheet->declarations + m.v[i]->first, m.v[i]->n, false);
	apply(values, own, n, false);
	for (size_t i = 0; i < m.n; i++)
		apply(values, sheet->declarations + m.v[i]->first, m.v[i]->n, true);
	apply(values, own, n, true);
}
