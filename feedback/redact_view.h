/*
 * redact_view - a text with layers of encoding taken off, each octet knowing where it came from.
 *
 * c[i] stands for the octets [from[i], to[i]) of the source. A view starts as the source itself
 * in lower case; view_layer() rewrites it in place, which never makes it longer.
 */
#pragma once

#include "base/arena.h"

struct view {
	uint8_t *c;
	uint32_t *from, *to;
	size_t n;
};

enum view_layer {
	VIEW_QP,      /* =40, soft line breaks */
	VIEW_WORDS,   /* the joint of two encoded words, of Q in a body too */
	VIEW_PERCENT, /* %40 */
	VIEW_ENTITY,  /* &#64; &#x40; &commat; */
	VIEW_ESCAPE,  /* \u0040 \x40 \100 */
	VIEW_UTF7,    /* +AEA- */
	VIEW_WIDE,    /* full-width forms, invisible characters, NUL of UTF-16 */
	VIEW_TAGS,    /* <...> of HTML */
	VIEW_SQUEEZE, /* blanks, quotes, comments */
	VIEW_LAYERS
};

bool redact_view_init(struct view *v, struct span source, struct arena *arena);
void view_layer(struct view *v, enum view_layer layer);
