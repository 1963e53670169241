/*
 * dkim_fields - the header fields of a message by name, taken bottom up (RFC 6376 section 5.4.2).
 *
 * Linear in the fields and in the names asked for: h= may name a thousand of a thousand.
 *
 * Ownership: the arena's.
 */
#pragma once

#include "analyze/message.h"

struct dkim_fields;

/* NULL when the arena is full. */
struct dkim_fields *dkim_fields_create(const struct message *m, struct arena *arena);
/* Start again at the bottom; `self`, the signature's own field, is never taken. */
void dkim_fields_rewind(struct dkim_fields *f, const struct header *self);
/* The next field of this name from the bottom; NULL when there is none left. */
const struct header *dkim_fields_take(struct dkim_fields *f, struct span name);
