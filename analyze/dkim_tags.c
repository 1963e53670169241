/*
 *	tag-list  =  tag-spec *( ";" tag-spec ) [ ";" ]
 *	tag-spec  =  [FWS] tag-name [FWS] "=" [FWS] tag-value [FWS]
 *	tag-name  =  ALPHA *ALNUMPUNC
 *	tag-value =  [ tval *( 1*(WSP / FWS) tval ) ]
 *	VALCHAR   =  %x21-3A / %x3C-7E / UTF8-non-ascii
 */
#include "analyze/dkim_tags.h"

#include "base/digest.h"
#include "base/utf8.h"

static bool name_valid(struct span name)
{
	if (!name.n || !ascii_is_alpha(name.p[0]))
		return false;
	for (size_t i = 1; i < name.n; i++)
		if (!ascii_is_alpha(name.p[i]) && !ascii_is_digit(name.p[i]) && name.p[i] != '_')
			return false;
	return true;
}

static bool value_valid(struct span value)
{
	bool high = false;
	for (size_t i = 0; i < value.n; i++) {
		uint8_t c = (uint8_t)value.p[i];
		if ((c < 0x20 && !ascii_is_space((char)c)) || c == 0x7f)
			return false;
		high |= c >= 0x80;
	}
	return !high || utf8_valid(value);
}

bool dkim_tags_parse(struct dkim_tags *tags, struct span text)
{
	struct span spec;
	tags->n = 0;
	while (span_next_field(&text, ';', &spec)) {
		if (!span_trim(spec).n && !span_trim(text).n && tags->n)
			return true; /* behind the last ';' */
		size_t equals = span_find_char(spec, '=');
		if (equals == SIZE_MAX || tags->n == LIMIT_DKIM_TAGS)
			return false;
		struct dkim_tag *tag = &tags->v[tags->n];
		tag->name = span_trim(span_sub(spec, 0, equals));
		tag->raw = span_sub(spec, equals + 1, spec.n);
		tag->value = span_trim(tag->raw);
		if (!name_valid(tag->name) || !value_valid(tag->value))
			return false;
		for (size_t i = 0; i < tags->n; i++)
			if (span_eq(tags->v[i].name, tag->name))
				return false;
		tags->n++;
	}
	return tags->n > 0;
}

const struct dkim_tag *dkim_tag(const struct dkim_tags *tags, const char *name)
{
	for (size_t i = 0; i < tags->n; i++)
		if (span_eq(tags->v[i].name, span_of(name)))
			return &tags->v[i];
	return NULL;
}

struct span dkim_squeeze(struct span value, struct arena *arena)
{
	char *out = arena_alloc(arena, value.n + 1);
	size_t n = 0;
	if (!out)
		return SPAN_NONE;
	for (size_t i = 0; i < value.n; i++)
		if (!ascii_is_space(value.p[i]))
			out[n++] = value.p[i];
	return (struct span){out, n};
}

struct span dkim_base64(struct span value, struct arena *arena)
{
	struct span text = dkim_squeeze(value, arena);
	char *out = arena_alloc(arena, text.n + 4);
	if (!out || !text.n)
		return SPAN_NONE;
	size_t n = base64_decode_strict(text, out);
	/* Deviation: some signers and many key records leave the padding out. */
	if (n == SIZE_MAX && text.n % 4 > 1 && span_find_char(text, '=') == SIZE_MAX) {
		char *padded = arena_alloc(arena, text.n + 4);
		if (!padded)
			return SPAN_NONE;
		memcpy(padded, text.p, text.n);
		memcpy(padded + text.n, "==", 2);
		n = base64_decode_strict((struct span){padded, (text.n + 3) & ~(size_t)3}, out);
	}
	return n == SIZE_MAX || !n ? SPAN_NONE : (struct span){out, n};
}

bool dkim_next_item(struct span *rest, struct span *item)
{
	if (!span_next_field(rest, ':', item))
		return false;
	*item = span_trim(*item);
	return true;
}

bool dkim_list_has(struct span value, struct span item)
{
	struct span at;
	while (dkim_next_item(&value, &at))
		if (span_case_eq(at, item))
			return true;
	return false;
}
