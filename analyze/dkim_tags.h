/*
 * dkim_tags - tag lists "a=b; c=d", as DKIM and ARC fields and key records have them.
 *
 * Ownership: values point into the text.
 * Standard:  RFC 6376 section 3.2; UTF-8 in values by RFC 8616 section 3.
 */
#pragma once

#include "base/arena.h"
#include "base/limits.h"

struct dkim_tag {
	struct span name;
	struct span value; /* without blanks around it */
	struct span raw;   /* everything between '=' and ';' */
};

struct dkim_tags {
	struct dkim_tag v[LIMIT_DKIM_TAGS];
	size_t n;
};

/* False when the text is no tag list: a syntax fault, a tag given twice, too many tags. */
bool dkim_tags_parse(struct dkim_tags *tags, struct span text);
/* NULL when the tag is not there. Names have case. */
const struct dkim_tag *dkim_tag(const struct dkim_tags *tags, const char *name);

/* `value` without any white space in it. */
struct span dkim_squeeze(struct span value, struct arena *arena);
/* Base64 with folding white space, decoded. .p NULL: it is none, or empty. */
struct span dkim_base64(struct span value, struct arena *arena);
/* Takes the next item of a colon list ("a : b") off `rest`, without blanks around it. */
bool dkim_next_item(struct span *rest, struct span *item);
/* `value` is a colon list that holds `item` (any case). */
bool dkim_list_has(struct span value, struct span item);
