/*
 * Each layer is one pass that reads at `i` and writes at `w` <= i. A decoder looks at the octets
 * from `i` on and says how many of them make one octet (or none, when they are to be skipped);
 * it sees at most LOOK octets, so a pass is linear.
 */
#include "feedback/redact_view.h"

#define LOOK 48

/* What stands at a place: `used` octets of the view become `made` octets. used 0: no code. */
struct code {
	size_t used;
	size_t made; /* 0 or 1 */
	uint8_t c;
};

static int hex_value(uint8_t c)
{
	if (ascii_is_digit((char)c))
		return c - '0';
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* `digits` hexadecimal digits at `p`; -1 when they are not there. */
static int32_t hex_number(const uint8_t *p, size_t n, size_t digits)
{
	int32_t value = 0;
	if (n < digits)
		return -1;
	for (size_t i = 0; i < digits; i++) {
		int v = hex_value(p[i]);
		if (v < 0)
			return -1;
		value = value * 16 + v;
	}
	return value;
}

/* ASCII alone matters: addresses with other octets are compared as octets. */
static struct code ascii_code(size_t used, int32_t value)
{
	if (value <= 0 || value > 255)
		return (struct code){0, 0, 0};
	return (struct code){used, 1, (uint8_t)ascii_lower((char)value)};
}

static struct code code_qp(const uint8_t *p, size_t n)
{
	if (p[0] != '=' || n < 2)
		return (struct code){0, 0, 0};
	size_t blanks = 1;
	while (blanks < n && (p[blanks] == ' ' || p[blanks] == '\t'))
		blanks++;
	if (blanks < n && p[blanks] == '\n')
		return (struct code){blanks + 1, 0, 0};
	if (blanks + 1 < n && p[blanks] == '\r' && p[blanks + 1] == '\n')
		return (struct code){blanks + 2, 0, 0};
	return ascii_code(3, hex_number(p + 1, n - 1, 2));
}

static struct code code_percent(const uint8_t *p, size_t n)
{
	if (p[0] != '%')
		return (struct code){0, 0, 0};
	return ascii_code(3, hex_number(p + 1, n - 1, 2));
}

static struct code code_entity(const uint8_t *p, size_t n)
{
	static const struct {
		struct span name;
		uint8_t c;
	} names[] = {
		{{"&commat;", 8}, '@'}, {{"&period;", 8}, '.'}, {{"&lowbar;", 8}, '_'},
		{{"&plus;", 6}, '+'},   {{"&hyphen;", 8}, '-'}, {{"&equals;", 8}, '='},
		{{"&lt;", 4}, '<'},     {{"&gt;", 4}, '>'},     {{"&quot;", 6}, '"'},
		{{"&amp;", 5}, '&'},    {{"&percnt;", 8}, '%'}, {{"&dash;", 6}, '-'},
	};
	if (p[0] != '&' || n < 3)
		return (struct code){0, 0, 0};
	if (p[1] != '#') {
		for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
			if (n >= names[i].name.n && !memcmp(p, names[i].name.p, names[i].name.n))
				return (struct code){names[i].name.n, 1, names[i].c};
		if (n >= 5 && !memcmp(p, "&shy;", 5))
			return (struct code){5, 0, 0};
		return (struct code){0, 0, 0};
	}
	bool hex = p[2] == 'x';
	int32_t value = 0;
	size_t i = hex ? 3 : 2, digits = 0;
	for (; i < n && digits < 8; i++, digits++) {
		int v = hex_value(p[i]);
		if (v < 0 || (!hex && v > 9))
			break;
		value = value * (hex ? 16 : 10) + v;
		if (value > 0x10ffff)
			return (struct code){0, 0, 0};
	}
	if (digits == 0)
		return (struct code){0, 0, 0};
	i += i < n && p[i] == ';';
	if (value >= 0xff01 && value <= 0xff5e)
		value -= 0xfee0;
	if (value == 0xad || (value >= 0x200b && value <= 0x200f) || value == 0x2060 ||
	    value == 0xfeff)
		return (struct code){i, 0, 0};
	return ascii_code(i, value);
}

static struct code code_escape(const uint8_t *p, size_t n)
{
	if (p[0] != '\\' || n < 4)
		return (struct code){0, 0, 0};
	if (p[1] == 'u' && p[2] == '{') {
		size_t i = 3;
		while (i < n && hex_value(p[i]) >= 0)
			i++;
		if (i < n && p[i] == '}' && i > 3 && i < 9)
			return ascii_code(i + 1, hex_number(p + 3, i - 3, i - 3));
	}
	if (p[1] == 'u')
		return ascii_code(6, hex_number(p + 2, n - 2, 4));
	if (p[1] == 'x')
		return ascii_code(4, hex_number(p + 2, n - 2, 2));
	/* CSS: \000040, \40 and a blank */
	int32_t six = hex_number(p + 1, n - 1, 6);
	if (six >= 0)
		return ascii_code(7, six);
	if (p[1] >= '0' && p[1] <= '3' && p[2] >= '0' && p[2] <= '7' && p[3] >= '0' && p[3] <= '7')
		return ascii_code(4, (p[1] - '0') * 64 + (p[2] - '0') * 8 + p[3] - '0');
	return (struct code){0, 0, 0};
}

/* Three base64 characters hold UTF-16 of one ASCII character: "+AEA-" is "@". The view is in
 * lower case already, so "aea" stands for it; nothing that people write looks like this. */
static struct code code_utf7(const uint8_t *p, size_t n)
{
	if (n >= 5 && !memcmp(p, "+aea-", 5))
		return (struct code){5, 1, '@'};
	if (n >= 5 && !memcmp(p, "+ad0-", 5))
		return (struct code){5, 1, '='};
	return (struct code){0, 0, 0};
}

static struct code code_wide(const uint8_t *p, size_t n)
{
	if (p[0] == 0)
		return (struct code){1, 0, 0};
	if (n >= 2 && p[0] == 0xc2 && p[1] == 0xad)
		return (struct code){2, 0, 0};
	if (n < 3)
		return (struct code){0, 0, 0};
	uint32_t u = (uint32_t)(p[0] & 15) << 12 | (uint32_t)(p[1] & 63) << 6 | (p[2] & 63);
	if (p[0] != 0xe2 && p[0] != 0xef && p[0] != 0xe3)
		return (struct code){0, 0, 0};
	if (u >= 0xff01 && u <= 0xff5e)
		return ascii_code(3, (int32_t)(u - 0xfee0));
	if (u == 0xfe6b)
		return ascii_code(3, '@');
	if (u == 0x3002 || u == 0xff61)
		return ascii_code(3, '.');
	if ((u >= 0x200b && u <= 0x200f) || (u >= 0x202a && u <= 0x202e) ||
	    (u >= 0x2060 && u <= 0x2064) || u == 0xfeff)
		return (struct code){3, 0, 0};
	return (struct code){0, 0, 0};
}

/* "?= =?utf-8?q?": nothing stands between two encoded words (RFC 2047 section 6.2). */
static struct code code_words(const uint8_t *p, size_t n)
{
	struct code none = {0};
	size_t i = 2;
	if (n < 9 || p[0] != '?' || p[1] != '=')
		return none;
	while (i < n && ascii_is_space((char)p[i]))
		i++;
	if (i + 2 > n || p[i] != '=' || p[i + 1] != '?')
		return none;
	size_t end = i + 42 < n ? i + 42 : n;
	for (i += 2; i + 2 < end; i++)
		if (p[i] == '?')
			return p[i + 1] == 'q' && p[i + 2] == '?'
				       ? (struct code){.used = i + 3, .made = 0}
				       : none;
	return none;
}

static void view_run(struct view *v, struct code (*decode)(const uint8_t *p, size_t n))
{
	size_t w = 0;
	for (size_t i = 0; i < v->n;) {
		size_t n = v->n - i < LOOK ? v->n - i : LOOK;
		struct code code = decode(v->c + i, n);
		size_t used = code.used && code.used <= n ? code.used : 1;
		if (code.used && code.used <= n && code.made == 0) {
			i += used;
			continue;
		}
		v->from[w] = v->from[i];
		v->to[w] = v->to[i + used - 1];
		v->c[w] = code.used && code.used <= n ? code.c : v->c[i];
		w++;
		i += used;
	}
	v->n = w;
}

static void keep(struct view *v, size_t w, size_t i)
{
	v->c[w] = v->c[i];
	v->from[w] = v->from[i];
	v->to[w] = v->to[i];
}

/* A tag ends at the first '>'; where none follows, '<' is a character. */
static void view_tags(struct view *v)
{
	size_t w = 0, last = v->n;
	while (last > 0 && v->c[last - 1] != '>')
		last--;
	bool inside = false;
	for (size_t i = 0; i < v->n; i++) {
		if (v->c[i] == '<' && i < last && i + 1 < v->n &&
		    (ascii_is_alpha((char)v->c[i + 1]) || v->c[i + 1] == '/' || v->c[i + 1] == '!'))
			inside = true;
		if (!inside)
			keep(v, w++, i);
		if (v->c[i] == '>')
			inside = false;
	}
	v->n = w;
}

/* RFC 5322 comments of at most this many octets are skipped: longer ones are prose. */
#define COMMENT_BYTES 64

static void view_squeeze(struct view *v)
{
	size_t w = 0, open = SIZE_MAX;
	for (size_t i = 0; i < v->n; i++) {
		uint8_t c = v->c[i];
		if (c == '(' && open == SIZE_MAX)
			open = w;
		if (c == ')' && open != SIZE_MAX) {
			if (w - open <= COMMENT_BYTES)
				w = open;
			open = SIZE_MAX;
			continue;
		}
		if (c == '"' || c == '\'' || c == '\\' || c == '[' || c == ']' ||
		    ascii_is_space((char)c))
			continue;
		keep(v, w++, i);
	}
	v->n = w;
}

bool redact_view_init(struct view *v, struct span source, struct arena *arena)
{
	*v = (struct view){arena_alloc(arena, source.n + 1),
			   ARENA_ARRAY(arena, uint32_t, source.n + 1),
			   ARENA_ARRAY(arena, uint32_t, source.n + 1), source.n};
	if (!v->c || !v->from || !v->to || source.n >= UINT32_MAX)
		return false;
	for (size_t i = 0; i < source.n; i++) {
		v->c[i] = (uint8_t)ascii_lower(source.p[i]);
		v->from[i] = (uint32_t)i;
		v->to[i] = (uint32_t)i + 1;
	}
	return true;
}

void view_layer(struct view *v, enum view_layer layer)
{
	static struct code (*const decoders[VIEW_LAYERS])(const uint8_t *, size_t) = {
		[VIEW_QP] = code_qp,         [VIEW_PERCENT] = code_percent,
		[VIEW_ENTITY] = code_entity, [VIEW_ESCAPE] = code_escape,
		[VIEW_UTF7] = code_utf7,     [VIEW_WIDE] = code_wide,
		[VIEW_WORDS] = code_words,
	};
	if (layer == VIEW_TAGS)
		view_tags(v);
	else if (layer == VIEW_SQUEEZE)
		view_squeeze(v);
	else
		view_run(v, decoders[layer]);
}
