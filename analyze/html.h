/*
 * html - the tokens of an HTML text: start tags with attributes, end tags, text, comments.
 *
 * A scanner, no tree: what is open at a place is html_view's business. It reads any bytes, goes
 * forward only and never twice over the same text, so 100 kB of anything costs the same.
 * Deviations from the HTML standard (13.2.5): attribute values are left raw (html_decode() reads
 * them when somebody asks), attributes past LIMIT_HTML_ATTRIBUTES of one tag are counted alone,
 * CDATA is a comment everywhere.
 *
 * Ownership: tokens point into the text; a token lives until the next html_next().
 * Standard:  HTML Living Standard, section 13.2.5 (tokenization).
 */
#pragma once

#include "base/arena.h"
#include "base/limits.h"

enum html_tag_flags {
	HTML_VOID = 1,   /* has no end tag */
	HTML_BLOCK = 2,  /* begins and ends a line */
	HTML_RAW = 4,    /* its content is no markup and nothing that is shown */
	HTML_SILENT = 8, /* its content is not shown: head and its like */
	HTML_CLOSES_P = 16,
	HTML_SCOPE = 32, /* implied end tags do not reach out of it */
};

/* Tags that mean something here; HTML_T_OTHER is all the rest. */
#define HTML_TAGS(T) \
	T(A, "a", 0) T(ABBR, "abbr", 0) T(ADDRESS, "address", HTML_BLOCK | HTML_CLOSES_P) \
	T(AREA, "area", HTML_VOID) T(ARTICLE, "article", HTML_BLOCK | HTML_CLOSES_P) \
	T(ASIDE, "aside", HTML_BLOCK | HTML_CLOSES_P) T(B, "b", 0) T(BASE, "base", HTML_VOID) \
	T(BIG, "big", 0) T(BLOCKQUOTE, "blockquote", HTML_BLOCK | HTML_CLOSES_P) \
	T(BODY, "body", HTML_BLOCK) T(BR, "br", HTML_VOID) T(BUTTON, "button", 0) \
	T(CENTER, "center", HTML_BLOCK | HTML_CLOSES_P) T(CAPTION, "caption", HTML_BLOCK) \
	T(CODE, "code", 0) T(COL, "col", HTML_VOID) T(DEL, "del", 0) \
	T(DD, "dd", HTML_BLOCK) T(DIV, "div", HTML_BLOCK | HTML_CLOSES_P) \
	T(DL, "dl", HTML_BLOCK | HTML_CLOSES_P) T(DT, "dt", HTML_BLOCK) T(EM, "em", 0) \
	T(EMBED, "embed", HTML_VOID) T(FIELDSET, "fieldset", HTML_BLOCK | HTML_CLOSES_P) \
	T(FIGURE, "figure", HTML_BLOCK | HTML_CLOSES_P) T(FONT, "font", 0) \
	T(FOOTER, "footer", HTML_BLOCK | HTML_CLOSES_P) \
	T(FORM, "form", HTML_BLOCK | HTML_CLOSES_P) T(FRAME, "frame", HTML_VOID) \
	T(H1, "h1", HTML_BLOCK | HTML_CLOSES_P) T(H2, "h2", HTML_BLOCK | HTML_CLOSES_P) \
	T(H3, "h3", HTML_BLOCK | HTML_CLOSES_P) T(H4, "h4", HTML_BLOCK | HTML_CLOSES_P) \
	T(H5, "h5", HTML_BLOCK | HTML_CLOSES_P) T(H6, "h6", HTML_BLOCK | HTML_CLOSES_P) \
	T(HEAD, "head", HTML_SILENT) T(HEADER, "header", HTML_BLOCK | HTML_CLOSES_P) \
	T(HR, "hr", HTML_VOID | HTML_BLOCK | HTML_CLOSES_P) T(HTML, "html", HTML_BLOCK) \
	T(I, "i", 0) T(IFRAME, "iframe", HTML_RAW) T(IMG, "img", HTML_VOID) \
	T(INPUT, "input", HTML_VOID) T(INS, "ins", 0) T(LABEL, "label", 0) T(LI, "li", HTML_BLOCK) \
	T(LINK, "link", HTML_VOID) T(MAIN, "main", HTML_BLOCK | HTML_CLOSES_P) \
	T(MAP, "map", 0) T(META, "meta", HTML_VOID) \
	T(NAV, "nav", HTML_BLOCK | HTML_CLOSES_P) T(NOBR, "nobr", 0) \
	T(NOEMBED, "noembed", HTML_RAW) \
	T(NOFRAMES, "noframes", HTML_RAW) T(OBJECT, "object", HTML_SCOPE) \
	T(OL, "ol", HTML_BLOCK | HTML_CLOSES_P) T(OPTION, "option", HTML_BLOCK) \
	T(P, "p", HTML_BLOCK | HTML_CLOSES_P) T(PARAM, "param", HTML_VOID) \
	T(PRE, "pre", HTML_BLOCK | HTML_CLOSES_P) T(S, "s", 0) \
	T(SCRIPT, "script", HTML_RAW) T(SECTION, "section", HTML_BLOCK | HTML_CLOSES_P) \
	T(SELECT, "select", 0) T(SMALL, "small", 0) T(SOURCE, "source", HTML_VOID) \
	T(STRIKE, "strike", 0) T(TT, "tt", 0) \
	T(SPAN_, "span", 0) T(STRONG, "strong", 0) T(STYLE, "style", HTML_RAW) \
	T(SUB, "sub", 0) T(SUP, "sup", 0) T(SVG, "svg", HTML_SILENT) \
	T(TABLE, "table", HTML_BLOCK | HTML_SCOPE) T(TBODY, "tbody", HTML_BLOCK) \
	T(TD, "td", HTML_SCOPE) T(TEXTAREA, "textarea", HTML_RAW) T(TFOOT, "tfoot", HTML_BLOCK) \
	T(TH, "th", HTML_SCOPE) T(THEAD, "thead", HTML_BLOCK) T(TITLE, "title", HTML_RAW) \
	T(TR, "tr", HTML_BLOCK) T(U, "u", 0) T(UL, "ul", HTML_BLOCK | HTML_CLOSES_P) \
	T(WBR, "wbr", HTML_VOID) T(XMP, "xmp", HTML_RAW)

enum html_tag {
	HTML_T_OTHER,
#define T(id, name, flags) HTML_T_##id,
	HTML_TAGS(T)
#undef T
	HTML_TAG_COUNT
};

/* Attributes that mean something here. */
#define HTML_ATTRIBUTES(A) \
	A(ACTION, "action") A(ALT, "alt") A(BACKGROUND, "background") A(BGCOLOR, "bgcolor") \
	A(CHARSET, "charset") A(CHECKED, "checked") A(CLASS, "class") A(COLOR, "color") \
	A(CONTENT, "content") A(HEIGHT, "height") A(HIDDEN, "hidden") A(HREF, "href") A(ID, "id") \
	A(LANG, "lang") A(NAME, "name") A(REQUIRED, "required") A(SIZE, "size") A(SRC, "src") \
	A(STYLE, "style") A(TEXT, "text") A(TITLE, "title") A(TYPE, "type") A(VALUE, "value") \
	A(WIDTH, "width")

enum html_attribute_id {
	HTML_A_OTHER,
#define A(id, name) HTML_A_##id,
	HTML_ATTRIBUTES(A)
#undef A
	HTML_ATTRIBUTE_COUNT
};

enum html_kind { HTML_TEXT, HTML_START, HTML_END, HTML_COMMENT, HTML_RAWTEXT };

struct html_token {
	enum html_kind kind;
	enum html_tag tag; /* START, END, RAWTEXT (whose content it is) */
	struct span name;  /* of the tag, as written */
	struct span text;  /* TEXT, COMMENT, RAWTEXT: raw */
	size_t offset;     /* of its first byte in the text */
	/* START: values by meaning, .p NULL: not there. The first of a name counts. */
	struct span attribute[HTML_ATTRIBUTE_COUNT];
	uint32_t present;      /* bit per attribute id */
	unsigned n_attributes; /* as written, others too */
	bool handler;          /* has an on... attribute */
	bool duplicate;        /* a name stood twice */
};

struct html_scanner {
	struct span text;
	size_t at;
	enum html_tag raw; /* inside this raw-text element */
	bool cut;          /* the text ended inside a tag or comment */
};

void html_scanner_init(struct html_scanner *s, struct span text);
/* False at the end. `token` is {0} before the first call. */
bool html_next(struct html_scanner *s, struct html_token *token);

unsigned html_tag_flags(enum html_tag tag);
enum html_tag html_tag_find(struct span name);

/* Takes one character reference at the start of `*rest` (which begins with '&') off and writes
 * it as UTF-8; 0: not one, nothing taken. Never writes more bytes than it takes. */
size_t html_reference(struct span *rest, char out[8]);
/* `raw` with its character references read; `raw` itself when it has none. */
struct span html_decode(struct arena *a, struct span raw);

/* The first 8 bytes in lower case as one number, and the length: tag and property look-up. */
static inline uint64_t html_key_of(uint64_t first, size_t n)
{
	return first + (uint64_t)n * 0x9e3779b97f4a7c15u;
}

/* The first slot of a key in a table of 2^bits: what short names differ in are its low bits. */
static inline size_t html_slot(uint64_t key, unsigned bits)
{
	return key * 0x9e3779b97f4a7c15u >> (64 - bits);
}

static inline uint64_t html_key(struct span s)
{
	uint64_t key = 0;
	for (size_t i = 0; i < s.n && i < 8; i++)
		key = key << 8 | (unsigned char)ascii_lower(s.p[i]);
	return html_key_of(key, s.n);
}
