/* css_style - from specified values to what a person sees: size, colours, contrast, hidden. */
#include "analyze/css.h"

#include <math.h>

#define OFF_SCREEN_PX (-500) /* "left: -9999px" and its like; real margins stay above -100 */
#define NO_BOX_PX 1	     /* a box this high or wide shows no letter */
#define SEEN_PX 3	     /* text below cannot be read as text; 1px and 0 are preheader tricks */
#define SEEN_OPACITY 0.1f
#define SEEN_CONTRAST 1.1f /* #fefefe on white is 1.01, #eeeeee 1.16 */

const struct style style_root = {
	.color = 0xff000000u, .background = 0xffffffffu, .px = 16, .opacity = 1};

static const struct css_value *get(const struct css_values *values, enum css_property p)
{
	return values->set & 1u << p ? &values->v[p] : NULL;
}

static bool is_word(const struct css_values *values, enum css_property p, enum css_word word)
{
	const struct css_value *v = get(values, p);
	return v && v->unit == CSS_WORD && v->word == word;
}

/* A length in px; `fallback` when it is not set or relative to a box that nobody laid out. */
static float length(const struct css_values *values, enum css_property p, float px, float fallback)
{
	const struct css_value *v = get(values, p);
	if (!v || v->unit == CSS_WORD)
		return fallback;
	if (v->unit == CSS_PERCENT)
		return v->number == 0 ? 0 : fallback;
	return v->unit == CSS_EM ? v->number * px : v->unit == CSS_REM ? v->number * 16 : v->number;
}

static uint32_t blend(uint32_t over, uint32_t under, float opacity)
{
	float a = (float)(over >> 24) / 255 * opacity;
	uint32_t out = 0xff;
	for (int shift = 16; shift >= 0; shift -= 8) {
		float mixed = (float)(over >> shift & 0xff) * a +
			      (float)(under >> shift & 0xff) * (1 - a);
		out = out << 8 | (uint32_t)(mixed + 0.5f);
	}
	return out;
}

static void compute_colours(struct style *s, const struct css_values *values)
{
	const struct css_value *v = get(values, CSS_COLOR);
	if (v && v->unit == CSS_COLOUR)
		s->color = v->colour;
	if (get(values, CSS_BACKGROUND_IMAGE) && !is_word(values, CSS_BACKGROUND_IMAGE, CSS_W_NONE))
		s->flags |= STYLE_ON_IMAGE;
	v = get(values, CSS_BACKGROUND);
	if (v && v->unit == CSS_COLOUR && v->colour >> 24) {
		/* Beside an image the colour is what shows while images are off: judged by it. */
		s->background = blend(v->colour, s->background, 1);
		s->flags &= (uint8_t)~STYLE_ON_IMAGE;
	}
}

static void compute_box(struct style *s, const struct css_values *values)
{
	float none = NO_BOX_PX + 1;
	if (is_word(values, CSS_OVERFLOW, CSS_W_HIDDEN) &&
	    (length(values, CSS_MAX_HEIGHT, s->px, none) <= NO_BOX_PX ||
	     length(values, CSS_HEIGHT, s->px, none) <= NO_BOX_PX ||
	     length(values, CSS_MAX_WIDTH, s->px, none) <= NO_BOX_PX ||
	     length(values, CSS_WIDTH, s->px, none) <= NO_BOX_PX))
		s->flags |= STYLE_CLIPPED;
	if (length(values, CSS_INDENT, s->px, 0) <= OFF_SCREEN_PX ||
	    length(values, CSS_LEFT, s->px, 0) <= OFF_SCREEN_PX ||
	    length(values, CSS_TOP, s->px, 0) <= OFF_SCREEN_PX)
		s->flags |= STYLE_OFF_SCREEN;
}

struct style css_compute(const struct style *parent, const struct css_values *values)
{
	struct style s = *parent;
	if (!values->set)
		return s;
	const struct css_value *v = get(values, CSS_FONT_SIZE);
	if (v && v->unit == CSS_PERCENT)
		s.px = parent->px * v->number / 100;
	else if (v)
		s.px = length(values, CSS_FONT_SIZE, parent->px, parent->px);
	compute_colours(&s, values);
	if (is_word(values, CSS_DISPLAY, CSS_W_NONE))
		s.flags |= STYLE_UNDISPLAYED;
	if (is_word(values, CSS_VISIBILITY, CSS_W_HIDDEN))
		s.flags |= STYLE_INVISIBLE;
	else if (is_word(values, CSS_VISIBILITY, CSS_W_OTHER))
		s.flags &= (uint8_t)~STYLE_INVISIBLE;
	v = get(values, CSS_OPACITY);
	if (v && v->unit != CSS_WORD) {
		/* CSS Color 4 section 3.1: cut to 0 and 1 */
		float opacity = v->number / (v->unit == CSS_PERCENT ? 100 : 1);
		s.opacity *= opacity < 0 ? 0 : opacity > 1 ? 1 : opacity;
	}
	compute_box(&s, values);
	return s;
}

static float linear[256];

static float luminance(uint32_t c)
{
	return 0.2126f * linear[c >> 16 & 0xff] + 0.7152f * linear[c >> 8 & 0xff] +
	       0.0722f * linear[c & 0xff];
}

float style_contrast(const struct style *s)
{
	if (linear[255] == 0)
		for (int i = 0; i < 256; i++) {
			float v = (float)i / 255;
			linear[i] = v <= 0.04045f ? v / 12.92f : powf((v + 0.055f) / 1.055f, 2.4f);
		}
	if (s->flags & STYLE_ON_IMAGE)
		return 0;
	float text = luminance(blend(s->color, s->background, s->opacity)) + 0.05f;
	float ground = luminance(s->background) + 0.05f;
	return text > ground ? text / ground : ground / text;
}

bool style_visible(const struct style *s, float contrast)
{
	return !(s->flags &
		 (STYLE_UNDISPLAYED | STYLE_INVISIBLE | STYLE_CLIPPED | STYLE_OFF_SCREEN)) &&
	       s->px >= SEEN_PX && s->opacity >= SEEN_OPACITY &&
	       (contrast == 0 || contrast >= SEEN_CONTRAST);
}
