/*
 * arena - all memory of one transaction, freed at once.
 *
 * Ownership: arena_init() .. arena_free() bracket one transaction; nothing taken
 *            from an arena is freed singly, nothing outlives it.
 * Units:     bytes.
 * Errors:    past `limit` (or out of memory) arena_alloc() returns NULL and the
 *            arena stays `overflowed`; the pipeline looks at that flag once per
 *            step instead of after every allocation.
 */
#pragma once

#include <stdarg.h>

#include "base/span.h"

struct arena_block;

struct arena {
	struct arena_block *blocks;
	char *at, *end; /* free room in the newest block */
	size_t used;    /* bytes taken from the system */
	size_t limit;
	bool overflowed;
};

void arena_init(struct arena *a, size_t limit_bytes);
void arena_free(struct arena *a);
/* Empties the arena and keeps one block for the next transaction. */
void arena_reset(struct arena *a);

/* For a process that judges one message after the other: malloc() keeps up to LIMIT_KEPT_BYTES of
 * free memory. Else the pages of each larger mail go back to the kernel and come again with a
 * fault each, a fifth of what reading such a mail costs. */
void arena_keep_memory(void);

/* Zeroed, aligned for any type. NULL when the limit is reached. */
void *arena_alloc(struct arena *a, size_t bytes);
/* The same, not zeroed: for large buffers whose every octet is written before it is read. */
void *arena_room(struct arena *a, size_t bytes);
#define ARENA_NEW(a, type) ((type *)arena_alloc((a), sizeof(type)))
#define ARENA_ARRAY(a, type, n) \
	((n) > SIZE_MAX / sizeof(type) ? NULL : (type *)arena_alloc((a), (n) * sizeof(type)))

/* Copies; an empty span when the limit is reached. The copy has a NUL behind it. */
struct span arena_copy(struct arena *a, struct span s);
/* The copy as a C string; NULL when the limit is reached. A NUL inside ends it early. */
char *arena_str(struct arena *a, struct span s);
struct span arena_lower(struct arena *a, struct span s); /* ASCII */
struct span arena_printf(struct arena *a, const char *format, ...)
	__attribute__((format(printf, 2, 3)));

/* Room for one more element in a growing array: doubles `*array` (count `n`, room `*cap`).
 * Returns false when the limit is reached; the array is then as it was. */
bool arena_grow(struct arena *a, void **array, size_t n, size_t *cap, size_t element_bytes);
