/*
 * view - what a person sees of a message's body: text, where it can be seen, links, images.
 *
 * view_add_html() walks the tokens with a stack of open elements and their computed styles;
 * view_add_plain() finds addresses in plain text. Both write into one view, so that a message of
 * several shown parts reads as one text. Visible and hidden text are kept apart: a hidden
 * preheader is normal, a hidden way to unsubscribe is not.
 *
 * Ownership: everything lies in the arena.
 * Units:     positions are bytes of `text`, `hidden` or `alt`; px as in css.h.
 */
#pragma once

#include "analyze/css.h"

/* Text of one style and one link. */
struct view_run {
	uint32_t start, length; /* in `text` when visible, else in `hidden` */
	uint32_t offset;        /* of its first byte in its part's text */
	int32_t link;           /* index, -1: none */
	float px, contrast;     /* contrast 0: not known */
	uint16_t part;
	bool visible;
};

enum link_kind { LINK_ANCHOR, LINK_AREA, LINK_FORM, LINK_PLAIN };

struct view_link {
	struct span target; /* decoded, trimmed */
	enum link_kind kind;
	uint32_t from, to;               /* in `text` */
	uint32_t hidden_from, hidden_to; /* in `hidden` */
	uint32_t alt_from, alt_to;       /* in `alt` */
	uint32_t offset; /* of its tag in its part's text */
	uint16_t part;
	bool visible;       /* some of its text or an image of it can be seen */
	bool says_unsub;    /* its target does; set by unsub.c */
	bool button;        /* has a background of its own, or is a <button> */
	float px, contrast; /* of its best visible text; px 0: image only */
};

enum view_fault {
	VIEW_UNCLOSED = 1, VIEW_STRAY_END = 2, VIEW_DUPLICATE_ATTRIBUTE = 4, VIEW_CUT = 8,
	VIEW_TOO_DEEP = 16, VIEW_STYLE_FLOOD = 32, VIEW_NESTED_LINK = 64, VIEW_NO_BODY = 128,
	VIEW_MISNESTED = 256,
};

enum view_active {
	VIEW_SCRIPT = 1, VIEW_FORM = 2, VIEW_IFRAME = 4, VIEW_OBJECT = 8, VIEW_HANDLER = 16,
	VIEW_JAVASCRIPT = 32, VIEW_REFRESH = 64,
};

struct view {
	struct arena *arena;
	char *text, *hidden, *alt; /* all of `capacity` */
	size_t n_text, n_hidden, n_alt, capacity;
	struct view_run *runs;
	size_t n_runs, cap_runs;
	uint32_t *shown; /* indexes of the visible runs, in order of their start */
	size_t n_shown, cap_shown;
	struct view_link *links;
	size_t n_links, cap_links, links_seen;
	struct view_link *written; /* addresses that HTML writes as text; clients make links of them */
	size_t n_written, cap_written;
	size_t images;   /* that a person can see */
	size_t pixels;   /* tracking pixels: remote images of at most 2 x 2, or hidden */
	double image_area; /* px^2 of images whose size is written */
	size_t tables, forms, form_required;
	unsigned faults, active; /* enum view_fault, enum view_active */
	size_t fault_count;
	bool html;
};

/* `bytes`: of all parts that will be added, together. */
void view_init(struct view *v, struct arena *arena, size_t bytes);
void view_add_html(struct view *v, struct span html, uint16_t part);
void view_add_plain(struct view *v, struct span text, uint16_t part);

/* Fills `written`, once all parts are added. */
void view_find_written(struct view *v);

static inline struct span view_text(const struct view *v)
{
	return (struct span){v->text, v->n_text};
}

/* What stands in a link: visible text, else hidden text, else the images' alternative text. */
struct span view_link_text(const struct view *v, const struct view_link *link);
/* Adds a run; past LIMIT_HTML_RUNS it is dropped. */
void view_add_run(struct view *v, struct view_run run);
/* The run that holds byte `at` of the visible text; NULL when there is none. */
const struct view_run *view_run_at(const struct view *v, size_t at);
