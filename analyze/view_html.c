/*
 * view_html - walks the tokens of an HTML part and writes the view.
 *
 * The stack holds the open elements with their computed styles. Three things keep it linear: an
 * end tag looks for its element only when one is open (`open` counts per tag) and then closes all
 * above it; past LIMIT_HTML_DEPTH elements are counted, not kept; implied ends (a <p> before a
 * <div>, a <td> before a <td>) look no further than the nearest table.
 */
#include "analyze/view.h"

#include <endian.h>

struct frame {
	struct style style;
	int32_t link; /* that text belongs to */
	float contrast;
	bool opened_link, shown, silent, pre, fresh_background;
};

struct walk {
	struct view *v;
	uint16_t part;
	struct css_sheet sheet;
	size_t depth;
	uint32_t open[HTML_TAG_COUNT], skipped[HTML_TAG_COUNT];
	char gap_text, gap_hidden; /* '\0', ' ' or '\n' before the next letter */
	bool saw_body;
	/* behind here nothing is zeroed */
	struct css_element path[LIMIT_HTML_DEPTH + 1]; /* one more for an element without content */
	struct frame frames[LIMIT_HTML_DEPTH];
};

static void fault(struct view *v, enum view_fault kind)
{
	v->faults |= kind;
	v->fault_count++;
}

static void gap(struct walk *w, char c)
{
	if (w->gap_text != '\n')
		w->gap_text = c;
	if (w->gap_hidden != '\n')
		w->gap_hidden = c;
}

/* --- links ------------------------------------------------------------------ */

static void link_end(struct walk *w, int32_t index)
{
	struct view_link *l = &w->v->links[index];
	l->to = (uint32_t)w->v->n_text;
	l->hidden_to = (uint32_t)w->v->n_hidden;
	l->alt_to = (uint32_t)w->v->n_alt;
}

static int32_t link_begin(struct walk *w, struct span target, enum link_kind kind, size_t offset)
{
	struct view *v = w->v;
	target = span_trim(html_decode(v->arena, target));
	v->links_seen++;
	if (span_case_starts(target, SPAN("javascript:")))
		v->active |= VIEW_JAVASCRIPT;
	if (v->n_links == LIMIT_HTML_LINKS ||
	    !arena_grow(v->arena, (void **)&v->links, v->n_links, &v->cap_links, sizeof(*v->links)))
		return -1;
	v->links[v->n_links] = (struct view_link){.target = target,
						  .kind = kind,
						  .from = (uint32_t)v->n_text,
						  .hidden_from = (uint32_t)v->n_hidden,
						  .alt_from = (uint32_t)v->n_alt,
						  .offset = (uint32_t)offset,
						  .part = w->part};
	link_end(w, (int32_t)v->n_links);
	return (int32_t)v->n_links++;
}

/* --- text -------------------------------------------------------------------- */

static void add_run(struct walk *w, const struct frame *f, size_t start, size_t offset)
{
	struct view *v = w->v;
	size_t n = (f->shown ? v->n_text : v->n_hidden) - start;
	if (!n)
		return;
	if (f->link >= 0 && f->shown) {
		struct view_link *l = &v->links[f->link];
		l->visible = true;
		l->button |= f->fresh_background;
		if (f->style.px >= l->px) {
			l->px = f->style.px;
			l->contrast = f->contrast;
		}
	}
	view_add_run(v, (struct view_run){(uint32_t)start, (uint32_t)n, (uint32_t)offset, f->link,
					  f->style.px, f->contrast, w->part, f->shown});
}

/* Bytes of a blank at the start of `s`: ASCII ones, no-break and other Unicode spaces. */
static size_t blank_bytes(struct span s)
{
	unsigned char c = (unsigned char)s.p[0];
	if (c <= ' ')
		return 1;
	if (c == 0xc2 && s.n > 1 && (unsigned char)s.p[1] == 0xa0)
		return 2;
	if (c == 0xe2 && s.n > 2 && (unsigned char)s.p[1] == 0x80 &&
	    ((unsigned char)s.p[2] <= 0x8f || (unsigned char)s.p[2] == 0xaf))
		return 3; /* U+2000..U+200F: spaces, zero width, direction marks */
	if (c == 0xe3 && s.n > 2 && !memcmp(s.p, "\xe3\x80\x80", 3))
		return 3;
	if (c == 0xef && s.n > 2 && !memcmp(s.p, "\xef\xbb\xbf", 3))
		return 3;
	if (c == 0xcd && s.n > 1 && (unsigned char)s.p[1] == 0x8f)
		return 2; /* U+034F, preheader padding */
	return 0;
}

static bool zero_width(struct span s, size_t n)
{
	return (n == 3 && (unsigned char)s.p[0] == 0xe2 && (unsigned char)s.p[2] >= 0x8b &&
		(unsigned char)s.p[2] <= 0x8f) ||
	       (n == 3 && (unsigned char)s.p[0] == 0xef) ||
	       (n == 2 && (unsigned char)s.p[0] == 0xcd);
}

/* Octets that stand for themselves: no '&' and no first octet of a blank. */
static uint8_t plain[256];

static void fill_plain(void)
{
	for (int c = ' ' + 1; c < 256; c++)
		plain[c] = !strchr("&\xc2\xcd\xe2\xe3\xef", c);
}

/* Eight octets of words and single blanks between them in ASCII, the last one no blank. */
static bool copy_eight(char *out, const char *p)
{
	const uint64_t ones = 0x0101010101010101u, high = 0x80 * ones;
	uint64_t word;
	memcpy(&word, p, 8);
	memcpy(out, &word, 8);
	word = le64toh(word);
	uint64_t blanks = ~((word ^ ' ' * ones) + 0x7f * ones);
	uint64_t references = ~((word ^ '&' * ones) + 0x7f * ones);
	uint64_t controls = ~(word + (0x80 - ' ') * ones);
	/* the top bit of an octet counts; one that is not ASCII spoils those behind it and itself */
	return !((word | references | controls | (blanks & (blanks << 8))) & high) && !(blanks >> 63);
}

static void add_text(struct walk *w, struct span raw, size_t offset)
{
	struct frame *f = &w->frames[w->depth - 1];
	struct view *v = w->v;
	if (f->contrast < 0) {
		f->contrast = style_contrast(&f->style);
		f->shown = style_visible(&f->style, f->contrast);
	}
	char *out = f->shown ? v->text : v->hidden;
	size_t *n = f->shown ? &v->n_text : &v->n_hidden;
	char *space = f->shown ? &w->gap_text : &w->gap_hidden;
	if (f->silent || *n + raw.n + 2 > v->capacity)
		return;
	size_t start = SIZE_MAX, first = 0, at = *n;
	char between = *space;
	struct span rest = raw;
	while (rest.n) {
		char utf8[8];
		size_t k = rest.p[0] == '&' ? html_reference(&rest, utf8) : 0;
		struct span one = k ? (struct span){utf8, k} : rest;
		size_t blank = plain[(unsigned char)one.p[0]] ? 0 : blank_bytes(one);
		if (blank) {
			if (f->pre && one.p[0] == '\n')
				between = '\n';
			else if (!between && !zero_width(one, blank))
				between = ' ';
			size_t skip = k ? 0 : blank; /* with all that indents the next line */
			while (!k && !f->pre && skip < rest.n && (unsigned char)rest.p[skip] <= ' ')
				skip++;
			rest = span_sub(rest, skip, rest.n);
			continue;
		}
		if (between && at)
			out[at++] = between;
		between = '\0';
		if (start == SIZE_MAX) {
			start = at;
			first = (size_t)(rest.p - raw.p);
		}
		size_t taken = 0;
		do { /* words, and single blanks between them */
			out[at++] = one.p[taken++];
			while (!k && one.n - taken >= 8 && copy_eight(out + at, one.p + taken)) {
				taken += 8;
				at += 8;
			}
		} while (taken < one.n &&
		       (k || plain[(unsigned char)one.p[taken]] ||
			(one.p[taken] == ' ' && taken + 1 < one.n &&
			 plain[(unsigned char)one.p[taken + 1]])));
		rest = span_sub(rest, k ? 0 : taken, rest.n);
	}
	*n = at;
	*space = between;
	if (start != SIZE_MAX)
		add_run(w, f, start, offset + first);
}

static void add_alt(struct view *v, struct span raw)
{
	struct span alt = span_trim(html_decode(v->arena, raw));
	if (!alt.n || v->n_alt + alt.n + 1 > v->capacity)
		return;
	memcpy(v->alt + v->n_alt, alt.p, alt.n);
	v->n_alt += alt.n;
	v->alt[v->n_alt++] = '\n';
}

/* --- elements ----------------------------------------------------------------- */

static void pop(struct walk *w)
{
	struct frame *f = &w->frames[--w->depth];
	enum html_tag tag = w->path[w->depth].tag;
	w->open[tag]--;
	if (f->opened_link)
		link_end(w, f->link);
	if (html_tag_flags(tag) & HTML_BLOCK)
		gap(w, '\n');
	else if (tag == HTML_T_TD || tag == HTML_T_TH)
		gap(w, ' ');
}

/* Closes the nearest `tag` and all above it; a scope element (not `tag` itself) stops the search
 * when `within` is set. */
static void close_tag(struct walk *w, enum html_tag tag, bool within)
{
	if (!w->open[tag])
		return;
	size_t at = w->depth;
	while (at > 1 && w->path[at - 1].tag != tag) {
		if (within && html_tag_flags(w->path[at - 1].tag) & HTML_SCOPE)
			return;
		at--;
	}
	if (at <= 1)
		return;
	while (w->depth >= at)
		pop(w);
}

/* Like close_tag() for parts of a table: stops at the nearest table. */
static void close_in_table(struct walk *w, enum html_tag tag)
{
	if (!w->open[tag])
		return;
	size_t at = w->depth;
	while (at > 1 && w->path[at - 1].tag != tag) {
		if (w->path[at - 1].tag == HTML_T_TABLE)
			return;
		at--;
	}
	while (at > 1 && w->depth >= at)
		pop(w);
}

static void implied_ends(struct walk *w, enum html_tag tag)
{
	if (html_tag_flags(tag) & HTML_CLOSES_P)
		close_tag(w, HTML_T_P, true);
	switch (tag) {
	case HTML_T_LI:
	case HTML_T_OPTION:
		close_tag(w, tag, true);
		break;
	case HTML_T_DD:
	case HTML_T_DT:
		close_tag(w, HTML_T_DD, true);
		close_tag(w, HTML_T_DT, true);
		break;
	case HTML_T_TBODY:
	case HTML_T_THEAD:
	case HTML_T_TFOOT:
	case HTML_T_TR:
		close_in_table(w, HTML_T_TR);
		break;
	case HTML_T_TD:
	case HTML_T_TH:
		close_in_table(w, HTML_T_TD);
		close_in_table(w, HTML_T_TH);
		break;
	case HTML_T_A:
		if (w->open[HTML_T_A])
			fault(w->v, VIEW_NESTED_LINK);
		close_tag(w, HTML_T_A, true);
		break;
	case HTML_T_BODY:
		w->saw_body = true;
		close_tag(w, HTML_T_HEAD, false);
		break;
	default:
		break;
	}
}

/* The style of `t` as the child of the innermost open element; its path entry is path[depth]. */
static void child_frame(struct walk *w, const struct html_token *t, struct frame *f,
			struct css_values *values)
{
	const struct frame *parent = &w->frames[w->depth - 1];
	css_element_init(&w->path[w->depth], t->tag, t->attribute[HTML_A_ID],
			 t->attribute[HTML_A_CLASS]);
	values->set = 0;
	css_presentation(t, values);
	struct span style = t->attribute[HTML_A_STYLE];
	if (style.n)
		style = html_decode(w->v->arena, style);
	css_cascade(&w->sheet, w->path, w->depth + 1, style, values);
	*f = *parent;
	f->opened_link = false;
	if (values->set) {
		f->style = css_compute(&parent->style, values);
		f->contrast = -1; /* until there is text */
		f->shown = style_visible(&f->style, 0);
	}
	if (html_tag_flags(t->tag) || f->style.background != parent->style.background)
		f->fresh_background = f->style.background != parent->style.background;
	f->silent = parent->silent || (html_tag_flags(t->tag) & HTML_SILENT);
	f->pre = parent->pre || t->tag == HTML_T_PRE;
}

static float dimension(struct span attribute, const struct css_values *values, enum css_property p)
{
	if (values->set & 1u << p && values->v[p].unit == CSS_PX)
		return values->v[p].number;
	struct css_declaration d;
	char text[24] = "width:";
	attribute = span_trim(attribute);
	if (!attribute.n || attribute.n > 8)
		return -1;
	float number = 0;
	size_t digits = 0;
	for (; digits < attribute.n && ascii_is_digit(attribute.p[digits]); digits++)
		number = number * 10 + (float)(attribute.p[digits] - '0');
	if (digits == attribute.n && digits < 7)
		return number;
	memcpy(text + 6, attribute.p, attribute.n);
	return css_declarations((struct span){text, attribute.n + 6}, &d, 1) &&
			       d.value.unit == CSS_PX
		       ? d.value.number
		       : -1;
}

static void add_image(struct walk *w, const struct html_token *t)
{
	struct view *v = w->v;
	struct frame f;
	struct css_values values;
	child_frame(w, t, &f, &values);
	float width = dimension(t->attribute[HTML_A_WIDTH], &values, CSS_WIDTH);
	float height = dimension(t->attribute[HTML_A_HEIGHT], &values, CSS_HEIGHT);
	bool remote = span_case_starts(span_trim(t->attribute[HTML_A_SRC]), SPAN("http"));
	bool tiny = width >= 0 && width <= 2 && height >= 0 && height <= 2;
	bool shown = style_visible(&f.style, 0) || f.style.px < 3;
	shown = shown && !(f.style.flags & (STYLE_UNDISPLAYED | STYLE_INVISIBLE));
	v->pixels += remote && (tiny || !shown);
	if (tiny || !shown || f.silent)
		return;
	v->images += !(height >= 0 && height <= 2) && !(width >= 0 && width <= 2);
	if (width > 0 && height > 0)
		v->image_area += (double)width * height;
	if (f.link >= 0 && height != 1 && width != 1)
		v->links[f.link].visible = true;
	add_alt(v, t->attribute[HTML_A_ALT]);
}

static void note_active(struct walk *w, const struct html_token *t)
{
	struct view *v = w->v;
	const struct span *a = t->attribute;
	if (t->handler)
		v->active |= VIEW_HANDLER;
	if (t->duplicate)
		fault(v, VIEW_DUPLICATE_ATTRIBUTE);
	switch (t->tag) {
	case HTML_T_SCRIPT:
		v->active |= VIEW_SCRIPT;
		break;
	case HTML_T_IFRAME:
	case HTML_T_FRAME:
		v->active |= VIEW_IFRAME;
		break;
	case HTML_T_OBJECT:
	case HTML_T_EMBED:
		v->active |= VIEW_OBJECT;
		break;
	case HTML_T_META:
		if (span_case_find(a[HTML_A_CONTENT], SPAN("url=")) != SIZE_MAX)
			v->active |= VIEW_REFRESH;
		break;
	case HTML_T_INPUT:
	case HTML_T_SELECT:
		v->form_required += !!(t->present & 1u << HTML_A_REQUIRED);
		break;
	default:
		break;
	}
}

/* Elements without content. */
static void void_element(struct walk *w, const struct html_token *t)
{
	const struct span *a = t->attribute;
	int32_t link;
	switch (t->tag) {
	case HTML_T_BR:
	case HTML_T_HR:
		gap(w, '\n');
		break;
	case HTML_T_IMG:
		add_image(w, t);
		break;
	case HTML_T_AREA:
		link = a[HTML_A_HREF].n ? link_begin(w, a[HTML_A_HREF], LINK_AREA, t->offset) : -1;
		if (link >= 0) {
			add_alt(w->v, a[HTML_A_ALT].n ? a[HTML_A_ALT] : a[HTML_A_TITLE]);
			w->v->links[link].visible = w->frames[w->depth - 1].shown;
			link_end(w, link);
		}
		break;
	case HTML_T_INPUT:
		if (span_case_eq(a[HTML_A_TYPE], SPAN("submit")) ||
		    span_case_eq(a[HTML_A_TYPE], SPAN("button")))
			add_text(w, a[HTML_A_VALUE], t->offset);
		break;
	default:
		break;
	}
}

static void start_tag(struct walk *w, const struct html_token *t)
{
	unsigned flags = html_tag_flags(t->tag);
	note_active(w, t);
	implied_ends(w, t->tag);
	if (flags & HTML_BLOCK)
		gap(w, '\n');
	w->v->tables += t->tag == HTML_T_TABLE;
	if (flags & HTML_VOID) {
		void_element(w, t);
		return;
	}
	if (t->tag == HTML_T_OTHER)
		return; /* its end could not be told from another's; it has no style of its own */
	if (w->depth == LIMIT_HTML_DEPTH) {
		if (!w->skipped[t->tag]++)
			fault(w->v, VIEW_TOO_DEEP);
		return;
	}
	struct css_values values;
	struct frame *f = &w->frames[w->depth];
	child_frame(w, t, f, &values);
	if (t->tag == HTML_T_A && t->attribute[HTML_A_HREF].n && !f->silent) {
		f->link = link_begin(w, t->attribute[HTML_A_HREF], LINK_ANCHOR, t->offset);
		f->opened_link = f->link >= 0;
	} else if (t->tag == HTML_T_FORM) {
		w->v->active |= VIEW_FORM;
		w->v->forms++;
		f->link = link_begin(w, t->attribute[HTML_A_ACTION], LINK_FORM, t->offset);
		f->opened_link = f->link >= 0;
	}
	if (t->tag == HTML_T_BUTTON && f->link >= 0)
		w->v->links[f->link].button = true;
	w->open[t->tag]++;
	w->depth++;
}

static void end_tag(struct walk *w, enum html_tag tag)
{
	if (w->skipped[tag]) {
		w->skipped[tag]--;
		return;
	}
	if (tag == HTML_T_P && !w->open[tag]) {
		gap(w, '\n'); /* the standard makes an empty paragraph of it */
		return;
	}
	if (tag == HTML_T_OTHER || html_tag_flags(tag) & HTML_VOID || !w->open[tag]) {
		if (!w->open[tag] && tag != HTML_T_OTHER && !(html_tag_flags(tag) & HTML_VOID))
			fault(w->v, VIEW_STRAY_END);
		return;
	}
	if (w->path[w->depth - 1].tag != tag && html_tag_flags(w->path[w->depth - 1].tag) == 0)
		fault(w->v, VIEW_MISNESTED);
	if (tag == HTML_T_TD || tag == HTML_T_TH || tag == HTML_T_TR || tag == HTML_T_TABLE)
		close_tag(w, tag, false);
	else
		close_tag(w, tag, true);
}

/* Sheets first: a rule at the end of the text styles what stands before it. */
static void read_sheets(struct walk *w, struct span html)
{
	size_t i = 0;
	while (i < html.n) {
		const char *p = memchr(html.p + i, '<', html.n - i);
		if (!p)
			return;
		i = (size_t)(p - html.p);
		struct span rest = span_sub(html, i, html.n);
		if (rest.n < 2 || (rest.p[1] != '!' && (rest.p[1] | 0x20) != 's')) {
			i++;
			continue;
		}
		if (span_starts(rest, SPAN("<!--"))) {
			size_t end = span_find(span_sub(rest, 4, rest.n), SPAN("-->"));
			i = end == SIZE_MAX ? html.n : i + 4 + end + 3;
		} else if (span_case_starts(rest, SPAN("<style")) && rest.n > 6 &&
			   !ascii_is_alpha(rest.p[6])) {
			struct html_scanner s;
			struct html_token t = {0};
			html_scanner_init(&s, rest);
			if (html_next(&s, &t) && html_next(&s, &t) && t.kind == HTML_RAWTEXT)
				css_sheet_add(&w->sheet, t.text);
			i += s.at;
		} else {
			i++;
		}
	}
}

static void finish(struct walk *w, const struct html_scanner *s)
{
	struct view *v = w->v;
	static const enum html_tag expected[] = {HTML_T_TABLE, HTML_T_DIV,    HTML_T_A,
						 HTML_T_FONT,  HTML_T_CENTER, HTML_T_B,
						 HTML_T_SPAN_, HTML_T_STRONG};
	for (size_t i = 0; i < sizeof(expected) / sizeof(expected[0]); i++)
		if (w->open[expected[i]])
			fault(v, VIEW_UNCLOSED);
	if (s->cut)
		fault(v, VIEW_CUT);
	if (w->sheet.flooded)
		fault(v, VIEW_STYLE_FLOOD);
	if (!w->saw_body)
		fault(v, VIEW_NO_BODY);
	while (w->depth > 1)
		pop(w);
}

void view_add_html(struct view *v, struct span html, uint16_t part)
{
	if (!plain['a'])
		fill_plain();
	struct walk *w = arena_room(v->arena, sizeof(*w));
	if (!w || html.n > UINT32_MAX)
		return;
	memset(w, 0, offsetof(struct walk, path));
	css_element_init(&w->path[0], HTML_T_OTHER, SPAN_NONE, SPAN_NONE);
	w->v = v;
	w->part = part;
	w->gap_text = w->gap_hidden = '\n';
	css_sheet_init(&w->sheet, v->arena);
	read_sheets(w, html);
	w->frames[0] =
		(struct frame){.style = style_root, .link = -1, .contrast = 21, .shown = true};
	w->depth = 1;
	v->html = true;
	struct html_scanner s;
	struct html_token t = {0};
	html_scanner_init(&s, html);
	while (html_next(&s, &t)) {
		switch (t.kind) {
		case HTML_TEXT:
			add_text(w, t.text, t.offset);
			break;
		case HTML_START:
			start_tag(w, &t);
			break;
		case HTML_END:
			end_tag(w, t.tag);
			break;
		case HTML_COMMENT:
		case HTML_RAWTEXT:
			break;
		}
	}
	finish(w, &s);
}
