/*
 * css - the small part of the cascade that decides whether text can be seen and read.
 *
 * Selectors by type, class, id, descendant and child; inline styles; !important; presentational
 * attributes. Properties: colours, font size, display, visibility, opacity, overflow with heights
 * and widths, positions far off the page. No layout: whether a line is covered by another is
 * not known here. Media queries with conditions do not apply (they are for other screens), and
 * a rule with a selector that is not understood is dropped, as the standard asks.
 *
 * Ownership: a sheet lies in its arena and points into nothing else.
 * Units:     CSS pixels.
 * Standard:  CSS 2.2 chapters 4-6, CSS Color 4 section 4 (sRGB).
 */
#pragma once

#include "analyze/html.h"

enum css_property {
	CSS_COLOR, CSS_BACKGROUND, CSS_BACKGROUND_IMAGE, CSS_FONT_SIZE, CSS_DISPLAY,
	CSS_VISIBILITY, CSS_OPACITY, CSS_OVERFLOW, CSS_MAX_HEIGHT, CSS_HEIGHT, CSS_MAX_WIDTH,
	CSS_WIDTH, CSS_POSITION, CSS_LEFT, CSS_TOP, CSS_INDENT, CSS_PROPERTY_COUNT
};

enum css_unit { CSS_PX, CSS_EM, CSS_REM, CSS_PERCENT, CSS_WORD, CSS_COLOUR };

enum css_word { CSS_W_NONE, CSS_W_HIDDEN, CSS_W_ABSOLUTE, CSS_W_INHERIT, CSS_W_OTHER };

struct css_value {
	enum css_unit unit;
	union {
		float number;
		uint32_t colour; /* 0xAARRGGBB */
		enum css_word word;
	};
};

struct css_declaration {
	uint8_t property;
	bool important;
	struct css_value value;
};

/* Specified values of one element; the last one that is set wins. */
struct css_values {
	uint32_t set; /* bit per property */
	struct css_value v[CSS_PROPERTY_COUNT];
};

enum style_flags {
	STYLE_UNDISPLAYED = 1, /* display: none, here or above */
	STYLE_INVISIBLE = 2,   /* visibility: hidden */
	STYLE_CLIPPED = 4,     /* a box of no height or width that hides what overflows */
	STYLE_OFF_SCREEN = 8,
	STYLE_ON_IMAGE = 16,   /* the background is an image: contrast not known */
};

/* Computed style of one element, what its children inherit. */
struct style {
	uint32_t color, background; /* 0xAARRGGBB, background opaque */
	float px;
	float opacity; /* product of all above */
	uint8_t flags;
};

extern const struct style style_root;

/* What selectors look at. */
#define CSS_ELEMENT_CLASSES 8
struct css_element {
	enum html_tag tag;
	uint32_t id; /* hashes; 0: none */
	uint32_t classes[CSS_ELEMENT_CLASSES];
	unsigned n_classes;
};

void css_element_init(struct css_element *e, enum html_tag tag, struct span id,
		      struct span classes);

#define CSS_BUCKETS 256
/* Inline styles that were read; templates repeat the same ones in each cell. */
#define CSS_INLINE_STYLES 64
struct css_inline {
	struct span text;
	uint32_t first, n; /* in the sheet's declarations */
};
struct css_rule;
struct css_sheet {
	struct arena *arena;
	struct css_rule *rules;
	size_t n_rules, cap_rules;
	struct css_declaration *declarations;
	size_t n_declarations, cap_declarations;
	int32_t buckets[CSS_BUCKETS]; /* rule index + 1, by the key of the last compound */
	struct css_inline inlines[CSS_INLINE_STYLES];
	size_t n_inline;              /* declarations kept for them */
	size_t work;                  /* comparisons made, see LIMIT_CSS_WORK */
	bool flooded;
};

void css_sheet_init(struct css_sheet *sheet, struct arena *arena);
/* Adds the rules of one <style> element. */
void css_sheet_add(struct css_sheet *sheet, struct span text);

/* Reads "a: b; c: d"; returns how many of `max` were understood. */
size_t css_declarations(struct span text, struct css_declaration *out, size_t max);
bool css_colour(struct span s, uint32_t *colour_r);

/* What the tag and its presentational attributes say, before any style sheet. */
void css_presentation(const struct html_token *t, struct css_values *values);
/* The cascade for the last of `path`: presentational values are in `values` already, then the
 * sheet's rules and `inline_style` are applied over them. */
void css_cascade(struct css_sheet *sheet, const struct css_element *path, size_t depth,
		 struct span inline_style, struct css_values *values);
/* From specified to computed. */
struct style css_compute(const struct style *parent, const struct css_values *values);

/* Contrast of text and background, 1 to 21 (WCAG 2.2); 0 when the background is not known. */
float style_contrast(const struct style *style);
/* A person can see text of this style: not hidden, not tiny, not in its background's colour. */
bool style_visible(const struct style *style, float contrast);
