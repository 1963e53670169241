/* css_value - declarations: which property, which value, !important. */
#include "analyze/css.h"

#include <stdlib.h>

static const struct {
	const char *name;
	uint8_t property;
} properties[] = {
	{"color", CSS_COLOR},
	{"background-color", CSS_BACKGROUND},
	{"background", CSS_BACKGROUND},
	{"background-image", CSS_BACKGROUND_IMAGE},
	{"font-size", CSS_FONT_SIZE},
	{"font", CSS_FONT_SIZE},
	{"display", CSS_DISPLAY},
	{"visibility", CSS_VISIBILITY},
	{"opacity", CSS_OPACITY},
	{"overflow", CSS_OVERFLOW},
	{"overflow-y", CSS_OVERFLOW},
	{"max-height", CSS_MAX_HEIGHT},
	{"height", CSS_HEIGHT},
	{"max-width", CSS_MAX_WIDTH},
	{"width", CSS_WIDTH},
	{"position", CSS_POSITION},
	{"left", CSS_LEFT},
	{"margin-left", CSS_LEFT},
	{"top", CSS_TOP},
	{"margin-top", CSS_TOP},
	{"text-indent", CSS_INDENT},
};

static const struct {
	const char *name;
	uint32_t rgb;
} colours[] = {
	{"black", 0x000000},
	{"silver", 0xc0c0c0},
	{"gray", 0x808080},
	{"grey", 0x808080},
	{"white", 0xffffff},
	{"maroon", 0x800000},
	{"red", 0xff0000},
	{"purple", 0x800080},
	{"fuchsia", 0xff00ff},
	{"magenta", 0xff00ff},
	{"green", 0x008000},
	{"lime", 0x00ff00},
	{"olive", 0x808000},
	{"yellow", 0xffff00},
	{"navy", 0x000080},
	{"blue", 0x0000ff},
	{"teal", 0x008080},
	{"aqua", 0x00ffff},
	{"cyan", 0x00ffff},
	{"orange", 0xffa500},
	{"aliceblue", 0xf0f8ff},
	{"beige", 0xf5f5dc},
	{"brown", 0xa52a2a},
	{"coral", 0xff7f50},
	{"cornflowerblue", 0x6495ed},
	{"cornsilk", 0xfff8dc},
	{"crimson", 0xdc143c},
	{"darkblue", 0x00008b},
	{"darkgray", 0xa9a9a9},
	{"darkgrey", 0xa9a9a9},
	{"darkgreen", 0x006400},
	{"darkred", 0x8b0000},
	{"darkorange", 0xff8c00},
	{"deeppink", 0xff1493},
	{"deepskyblue", 0x00bfff},
	{"dimgray", 0x696969},
	{"dimgrey", 0x696969},
	{"dodgerblue", 0x1e90ff},
	{"firebrick", 0xb22222},
	{"floralwhite", 0xfffaf0},
	{"forestgreen", 0x228b22},
	{"gainsboro", 0xdcdcdc},
	{"ghostwhite", 0xf8f8ff},
	{"gold", 0xffd700},
	{"hotpink", 0xff69b4},
	{"indigo", 0x4b0082},
	{"ivory", 0xfffff0},
	{"khaki", 0xf0e68c},
	{"lavender", 0xe6e6fa},
	{"lightblue", 0xadd8e6},
	{"lightgray", 0xd3d3d3},
	{"lightgrey", 0xd3d3d3},
	{"lightgreen", 0x90ee90},
	{"lightyellow", 0xffffe0},
	{"linen", 0xfaf0e6},
	{"midnightblue", 0x191970},
	{"mintcream", 0xf5fffa},
	{"orangered", 0xff4500},
	{"pink", 0xffc0cb},
	{"plum", 0xdda0dd},
	{"royalblue", 0x4169e1},
	{"salmon", 0xfa8072},
	{"seagreen", 0x2e8b57},
	{"skyblue", 0x87ceeb},
	{"slategray", 0x708090},
	{"snow", 0xfffafa},
	{"steelblue", 0x4682b4},
	{"tan", 0xd2b48c},
	{"tomato", 0xff6347},
	{"turquoise", 0x40e0d0},
	{"violet", 0xee82ee},
	{"wheat", 0xf5deb3},
	{"whitesmoke", 0xf5f5f5},
	{"antiquewhite", 0xfaebd7},
	{"azure", 0xf0ffff},
	{"chocolate", 0xd2691e},
};

/* Property names by key: two have the same first 8 letters, their lengths differ. */
#define SLOT_BITS 7
#define SLOTS (1 << SLOT_BITS)
static struct {
	uint64_t key;
	uint8_t index; /* + 1 */
} property_slots[SLOTS];

static int property_find(struct span name)
{
	static bool ready;
	if (!ready) {
		for (size_t i = 0; i < sizeof(properties) / sizeof(properties[0]); i++) {
			uint64_t key = html_key(span_of(properties[i].name));
			size_t at = html_slot(key, SLOT_BITS);
			while (property_slots[at].index)
				at = (at + 1) % SLOTS;
			property_slots[at].key = key;
			property_slots[at].index = (uint8_t)(i + 1);
		}
		ready = true;
	}
	uint64_t key = html_key(name);
	for (size_t at = html_slot(key, SLOT_BITS); property_slots[at].index; at = (at + 1) % SLOTS)
		if (property_slots[at].key == key &&
		    span_case_eq(span_of(properties[property_slots[at].index - 1].name), name))
			return property_slots[at].index - 1;
	return -1;
}

static int hex_value(char c)
{
	if (ascii_is_digit(c))
		return c - '0';
	c = ascii_lower(c);
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static bool hex_colour(struct span s, uint32_t *colour_r)
{
	uint32_t v = 0;
	for (size_t i = 0; i < s.n; i++) {
		int digit = hex_value(s.p[i]);
		if (digit < 0)
			return false;
		v = v << 4 | (uint32_t)digit;
	}
	if (s.n == 3)
		v = (v & 0xf00) * 0x1100 | (v & 0x0f0) * 0x110 | (v & 0x00f) * 0x11;
	else if (s.n == 8)
		v = v >> 8 | v << 24;
	else if (s.n != 6)
		return false;
	*colour_r = s.n == 8 ? v : v | 0xff000000u;
	return true;
}

/* A decimal number at the start of `*rest`, taken off. No strtod: it reads past spans. */
static bool take_number(struct span *rest, float *number_r)
{
	size_t i = 0, digits = 0;
	float sign = 1, v = 0, scale = 1;
	if (i < rest->n && (rest->p[i] == '-' || rest->p[i] == '+'))
		sign = rest->p[i++] == '-' ? -1 : 1;
	for (; i < rest->n && ascii_is_digit(rest->p[i]); i++, digits++)
		v = v * 10 + (float)(rest->p[i] - '0');
	if (i < rest->n && rest->p[i] == '.')
		for (i++; i < rest->n && ascii_is_digit(rest->p[i]); i++, digits++)
			v += (float)(rest->p[i] - '0') * (scale /= 10);
	if (!digits)
		return false;
	*number_r = sign * (v < 1e6f ? v : 1e6f);
	*rest = span_sub(*rest, i, rest->n);
	return true;
}

/* "rgb(1, 2, 3)", "rgba(1 2 3 / 50%)". */
static bool function_colour(struct span s, uint32_t *colour_r)
{
	size_t open = span_find_char(s, '(');
	if (open == SIZE_MAX || !span_case_starts(s, SPAN("rgb")))
		return false;
	struct span rest = span_sub(s, open + 1, s.n);
	uint32_t parts[4] = {0, 0, 0, 255};
	for (int i = 0; i < 4; i++) {
		while (rest.n &&
		       (ascii_is_space(rest.p[0]) || rest.p[0] == ',' || rest.p[0] == '/'))
			rest = span_sub(rest, 1, rest.n);
		float v;
		if (!take_number(&rest, &v)) {
			if (i < 3)
				return false;
			break;
		}
		if (rest.n && rest.p[0] == '%') {
			v = v * 2.55f;
			rest = span_sub(rest, 1, rest.n);
		} else if (i == 3) {
			v *= 255;
		}
		parts[i] = v < 0 ? 0 : v > 255 ? 255 : (uint32_t)(v + 0.5f);
	}
	*colour_r = parts[3] << 24 | parts[0] << 16 | parts[1] << 8 | parts[2];
	return true;
}

bool css_colour(struct span s, uint32_t *colour_r)
{
	s = span_trim(s);
	if (!s.n)
		return false;
	if (s.p[0] == '#')
		return hex_colour(span_sub(s, 1, s.n), colour_r);
	if (function_colour(s, colour_r))
		return true;
	if (span_case_eq(s, SPAN("transparent")) || span_case_eq(s, SPAN("none"))) {
		*colour_r = 0;
		return true;
	}
	for (size_t i = 0; i < sizeof(colours) / sizeof(colours[0]); i++)
		if (span_case_eq(span_of(colours[i].name), s)) {
			*colour_r = colours[i].rgb | 0xff000000u;
			return true;
		}
	/* bgcolor=ffffff without '#' is read by every client */
	return s.n == 6 && hex_colour(s, colour_r);
}

static bool read_length(struct span s, struct css_value *v)
{
	struct span rest = s;
	if (!take_number(&rest, &v->number))
		return false;
	v->unit = CSS_PX;
	if (span_case_starts(rest, SPAN("em")))
		v->unit = CSS_EM;
	else if (span_case_starts(rest, SPAN("rem")))
		v->unit = CSS_REM;
	else if (span_starts(rest, SPAN("%")))
		v->unit = CSS_PERCENT;
	else if (span_case_starts(rest, SPAN("pt")))
		v->number *= 4.0f / 3;
	else if (span_case_starts(rest, SPAN("in")))
		v->number *= 96;
	else if (span_case_starts(rest, SPAN("cm")))
		v->number *= 37.8f;
	else if (span_case_starts(rest, SPAN("mm")))
		v->number *= 3.78f;
	else if (span_case_starts(rest, SPAN("ex")))
		*v = (struct css_value){CSS_EM, {v->number / 2}};
	return true;
}

static bool read_font_size(struct span s, struct css_value *v)
{
	static const struct {
		const char *word;
		enum css_unit unit;
		float number;
	} words[] = {
		{"xx-small", CSS_PX, 9},  {"x-small", CSS_PX, 10},     {"small", CSS_PX, 13},
		{"medium", CSS_PX, 16},	  {"large", CSS_PX, 18},       {"x-large", CSS_PX, 24},
		{"xx-large", CSS_PX, 32}, {"smaller", CSS_EM, 0.833f}, {"larger", CSS_EM, 1.2f},
	};
	for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++)
		if (span_case_eq(s, span_of(words[i].word))) {
			*v = (struct css_value){words[i].unit, {words[i].number}};
			return true;
		}
	return read_length(s, v) && v->number >= 0;
}

/* The size in "font: bold 12px/1.5 Arial": the first word with a unit. */
static bool read_font(struct span s, struct css_value *v)
{
	struct span word;
	while (span_next_word(&s, &word)) {
		size_t slash = span_find_char(word, '/');
		struct span size = span_sub(word, 0, slash == SIZE_MAX ? word.n : slash);
		bool digits = size.n && (ascii_is_digit(size.p[0]) || size.p[0] == '.');
		bool unit =
			size.n && (ascii_is_alpha(size.p[size.n - 1]) || size.p[size.n - 1] == '%');
		if ((!digits || unit) && read_font_size(size, v))
			return true;
	}
	return false;
}

static void read_word(struct span s, struct css_value *v)
{
	static const struct {
		const char *word;
		enum css_word value;
	} words[] = {
		{"none", CSS_W_NONE},	      {"hidden", CSS_W_HIDDEN},
		{"collapse", CSS_W_HIDDEN},   {"clip", CSS_W_HIDDEN},
		{"absolute", CSS_W_ABSOLUTE}, {"fixed", CSS_W_ABSOLUTE},
		{"inherit", CSS_W_INHERIT},
	};
	*v = (struct css_value){.unit = CSS_WORD, .word = CSS_W_OTHER};
	for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++)
		if (span_case_eq(s, span_of(words[i].word)))
			v->word = words[i].value;
}

/* The colour among the words of the shorthand, and whether it names an image. */
static size_t read_background(struct span s, struct css_declaration *out, size_t room)
{
	size_t n = 0, i = 0;
	bool image = span_case_find(s, SPAN("url(")) != SIZE_MAX ||
		     span_case_find(s, SPAN("gradient(")) != SIZE_MAX;
	if (image && n < room)
		out[n++] =
			(struct css_declaration){.property = CSS_BACKGROUND_IMAGE,
						 .value = {.unit = CSS_WORD, .word = CSS_W_OTHER}};
	while (i < s.n && n < room) {
		while (i < s.n && ascii_is_space(s.p[i]))
			i++;
		size_t from = i, open = 0;
		for (; i < s.n && (open || !ascii_is_space(s.p[i])); i++)
			open = s.p[i] == '(' ? 1 : s.p[i] == ')' ? 0 : open;
		uint32_t colour;
		if (css_colour(span_sub(s, from, i), &colour)) {
			out[n++] = (struct css_declaration){
				.property = CSS_BACKGROUND,
				.value = {.unit = CSS_COLOUR, .colour = colour}};
			break;
		}
	}
	return n;
}

/* One declaration; returns how many of `out` it made. */
static size_t read_declaration(int index, struct span value, struct css_declaration *out,
			       size_t room)
{
	struct css_value *v = &out->value;
	out->property = properties[index].property;
	switch (out->property) {
	case CSS_BACKGROUND:
		if (properties[index].name[10] == '\0')
			return read_background(value, out, room);
		/* fall through */
	case CSS_COLOR:
		v->unit = CSS_COLOUR;
		if (span_case_eq(value, SPAN("inherit"))) {
			read_word(value, v);
			return 1;
		}
		return css_colour(value, &v->colour);
	case CSS_FONT_SIZE:
		return properties[index].name[4] ? read_font_size(value, v) : read_font(value, v);
	case CSS_BACKGROUND_IMAGE:
	case CSS_DISPLAY:
	case CSS_VISIBILITY:
	case CSS_OVERFLOW:
	case CSS_POSITION:
		read_word(value, v);
		return 1;
	default:
		return read_length(value, v);
	}
}

size_t css_declarations(struct span text, struct css_declaration *out, size_t max)
{
	size_t n = 0;
	struct span one;
	while (n < max && span_next_field(&text, ';', &one)) {
		size_t colon = span_find_char(one, ':');
		if (colon == SIZE_MAX)
			continue;
		int index = property_find(span_trim(span_sub(one, 0, colon)));
		if (index < 0)
			continue;
		struct span value = span_trim(span_sub(one, colon + 1, one.n));
		size_t bang = span_rfind_char(value, '!');
		bool important = bang != SIZE_MAX && span_case_find(span_sub(value, bang, value.n),
								    SPAN("important")) != SIZE_MAX;
		if (important)
			value = span_trim(span_sub(value, 0, bang));
		size_t made = read_declaration(index, value, out + n, max - n);
		for (size_t k = 0; k < made; k++)
			out[n + k].important = important;
		n += made;
	}
	return n;
}
