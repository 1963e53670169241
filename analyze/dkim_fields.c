#include "analyze/dkim_fields.h"

#define NONE UINT32_MAX

struct group {
	uint32_t last; /* the lowest field of this name */
	uint32_t at;   /* the next to take */
};

struct dkim_fields {
	const struct message *m;
	const struct header *self;
	uint32_t *above; /* of each field: the next one up of the same name */
	struct group *groups;
	size_t n_groups;
	uint32_t *slots; /* hash table of groups */
	size_t mask;
};

static uint32_t hash_of(struct span name)
{
	uint32_t h = 2166136261u;
	for (size_t i = 0; i < name.n; i++)
		h = (h ^ (uint8_t)ascii_lower(name.p[i])) * 16777619u;
	return h ^ h >> 15;
}

static uint32_t *slot_of(struct dkim_fields *f, struct span name)
{
	size_t at = hash_of(name) & f->mask;
	while (f->slots[at] != NONE) {
		const struct group *g = &f->groups[f->slots[at]];
		if (span_case_eq(f->m->headers[g->last].name, name))
			break;
		at = (at + 1) & f->mask;
	}
	return &f->slots[at];
}

struct dkim_fields *dkim_fields_create(const struct message *m, struct arena *arena)
{
	struct dkim_fields *f = ARENA_NEW(arena, struct dkim_fields);
	size_t room = 16;
	while (room < 2 * m->n_headers)
		room *= 2;
	if (!f)
		return NULL;
	f->m = m;
	f->mask = room - 1;
	f->above = ARENA_ARRAY(arena, uint32_t, m->n_headers + 1);
	f->groups = ARENA_ARRAY(arena, struct group, m->n_headers + 1);
	f->slots = ARENA_ARRAY(arena, uint32_t, room);
	if (!f->above || !f->groups || !f->slots)
		return NULL;
	for (size_t i = 0; i < room; i++)
		f->slots[i] = NONE;
	for (uint32_t i = 0; i < m->n_headers; i++) {
		uint32_t *slot = slot_of(f, m->headers[i].name);
		f->above[i] = NONE;
		if (*slot == NONE)
			*slot = (uint32_t)f->n_groups++;
		else
			f->above[i] = f->groups[*slot].last;
		f->groups[*slot].last = i;
	}
	return f;
}

void dkim_fields_rewind(struct dkim_fields *f, const struct header *self)
{
	f->self = self;
	for (size_t i = 0; i < f->n_groups; i++)
		f->groups[i].at = f->groups[i].last;
}

const struct header *dkim_fields_take(struct dkim_fields *f, struct span name)
{
	uint32_t slot = *slot_of(f, name);
	if (slot == NONE)
		return NULL;
	struct group *g = &f->groups[slot];
	while (g->at != NONE) {
		const struct header *h = &f->m->headers[g->at];
		g->at = f->above[g->at];
		if (h != f->self)
			return h;
	}
	return NULL;
}
