/* css_presentation - what tags and old attributes say of style: <font>, bgcolor, <h1>. */
#include "analyze/css.h"

static void set_px(struct css_values *values, enum css_unit unit, float number)
{
	values->set |= 1u << CSS_FONT_SIZE;
	values->v[CSS_FONT_SIZE] = (struct css_value){unit, {number}};
}

static void set_colour(struct css_values *values, enum css_property p, struct span s)
{
	uint32_t colour;
	if (s.n && css_colour(s, &colour)) {
		values->set |= 1u << p;
		values->v[p] = (struct css_value){.unit = CSS_COLOUR, .colour = colour};
	}
}

/* <font size="-1">: sizes 1 to 7, 3 is normal. */
static void set_font_size(struct css_values *values, struct span s)
{
	static const float px[] = {10, 13, 16, 18, 24, 32, 48};
	s = span_trim(s);
	if (!s.n)
		return;
	bool plus = s.p[0] == '+', minus = s.p[0] == '-';
	char digit = s.n > (size_t)(plus || minus) ? s.p[plus || minus] : 0;
	if (!ascii_is_digit(digit))
		return;
	int size = digit - '0';
	size = plus ? 3 + size : minus ? 3 - size : size;
	set_px(values, CSS_PX, px[size < 1 ? 0 : size > 7 ? 6 : size - 1]);
}

void css_presentation(const struct html_token *t, struct css_values *values)
{
	static const float heading[] = {2, 1.5f, 1.17f, 1, 0.83f, 0.67f};
	const struct span *a = t->attribute;
	if (t->tag >= HTML_T_H1 && t->tag <= HTML_T_H6)
		set_px(values, CSS_EM, heading[t->tag - HTML_T_H1]);
	else if (t->tag == HTML_T_SMALL || t->tag == HTML_T_SUB || t->tag == HTML_T_SUP)
		set_px(values, CSS_EM, 0.833f);
	else if (t->tag == HTML_T_BIG)
		set_px(values, CSS_EM, 1.2f);
	if (t->tag == HTML_T_A && a[HTML_A_HREF].p)
		set_colour(values, CSS_COLOR, SPAN("#0000ee"));
	if (!t->present)
		return;
	if (t->tag == HTML_T_FONT) {
		set_font_size(values, a[HTML_A_SIZE]);
		set_colour(values, CSS_COLOR, a[HTML_A_COLOR]);
	}
	if (t->tag == HTML_T_BODY)
		set_colour(values, CSS_COLOR, a[HTML_A_TEXT]);
	set_colour(values, CSS_BACKGROUND, a[HTML_A_BGCOLOR]);
	if (a[HTML_A_BACKGROUND].n) {
		values->set |= 1u << CSS_BACKGROUND_IMAGE;
		values->v[CSS_BACKGROUND_IMAGE] =
			(struct css_value){.unit = CSS_WORD, .word = CSS_W_OTHER};
	}
	if (t->present & 1u << HTML_A_HIDDEN) {
		values->set |= 1u << CSS_DISPLAY;
		values->v[CSS_DISPLAY] = (struct css_value){.unit = CSS_WORD, .word = CSS_W_NONE};
	}
}
