#include "base/arena.h"

#include <malloc.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/limits.h"

/* The first block holds an envelope and is one that malloc() keeps at hand (up to 1,032 octets): of
 * captured packets there are thousands at once. Then blocks grow from 16 KiB to 1 MiB: a 5 kB mail
 * takes two, a large one few. */
#define BLOCK_FIRST_BYTES ((size_t)992)
#define BLOCK_MIN_BYTES ((size_t)16 << 10)
#define BLOCK_MAX_BYTES ((size_t)1 << 20)

struct arena_block {
	struct arena_block *older;
	size_t size;
	_Alignas(max_align_t) char data[];
};

void arena_keep_memory(void)
{
	/* blocks come from the heap, whose free end is given back when it is larger */
	mallopt(M_MMAP_THRESHOLD, BLOCK_MAX_BYTES * 2);
	mallopt(M_TRIM_THRESHOLD, LIMIT_KEPT_BYTES);
}

void arena_init(struct arena *a, size_t limit_bytes)
{
	*a = (struct arena){.limit = limit_bytes};
}

void arena_free(struct arena *a)
{
	for (struct arena_block *b = a->blocks; b;) {
		struct arena_block *older = b->older;
		free(b);
		b = older;
	}
	arena_init(a, a->limit);
}

void arena_reset(struct arena *a)
{
	struct arena_block *keep = a->blocks;
	if (!keep) {
		a->overflowed = false;
		return;
	}
	for (struct arena_block *b = keep->older; b;) {
		struct arena_block *older = b->older;
		free(b);
		b = older;
	}
	keep->older = NULL;
	a->at = keep->data;
	a->end = keep->data + keep->size;
	a->used = keep->size;
	a->overflowed = false;
}

static bool add_block(struct arena *a, size_t bytes)
{
	size_t size = a->blocks ? a->blocks->size * 2 : BLOCK_FIRST_BYTES;
	if (a->blocks && size < BLOCK_MIN_BYTES)
		size = BLOCK_MIN_BYTES;
	if (size > BLOCK_MAX_BYTES)
		size = BLOCK_MAX_BYTES;
	if (size < bytes)
		size = bytes;
	if (size > a->limit - (a->used < a->limit ? a->used : a->limit))
		return false;
	struct arena_block *b = malloc(sizeof(*b) + size);
	if (!b)
		return false;
	b->older = a->blocks;
	b->size = size;
	a->blocks = b;
	a->used += size;
	a->at = b->data;
	a->end = b->data + size;
	return true;
}

void *arena_room(struct arena *a, size_t bytes)
{
	const size_t align = _Alignof(max_align_t);
	if (bytes > SIZE_MAX - align) {
		a->overflowed = true;
		return NULL;
	}
	bytes = bytes ? (bytes + align - 1) / align * align : align;
	if ((size_t)(a->end - a->at) < bytes && !add_block(a, bytes)) {
		a->overflowed = true;
		return NULL;
	}
	void *p = a->at;
	a->at += bytes;
	return p;
}

void *arena_alloc(struct arena *a, size_t bytes)
{
	void *p = arena_room(a, bytes);
	return p ? memset(p, 0, bytes) : NULL;
}

struct span arena_copy(struct arena *a, struct span s)
{
	char *p = arena_room(a, s.n + 1);
	if (!p)
		return SPAN_NONE;
	if (s.n)
		memcpy(p, s.p, s.n);
	p[s.n] = '\0';
	return (struct span){p, s.n};
}

char *arena_str(struct arena *a, struct span s)
{
	return (char *)arena_copy(a, s).p;
}

struct span arena_lower(struct arena *a, struct span s)
{
	char *p = arena_alloc(a, s.n + 1);
	if (!p)
		return SPAN_NONE;
	for (size_t i = 0; i < s.n; i++)
		p[i] = ascii_lower(s.p[i]);
	return (struct span){p, s.n};
}

struct span arena_printf(struct arena *a, const char *format, ...)
{
	va_list args;
	va_start(args, format);
	va_list again;
	va_copy(again, args);
	int n = vsnprintf(NULL, 0, format, args);
	va_end(args);
	struct span s = SPAN_NONE;
	char *p = n < 0 ? NULL : arena_alloc(a, (size_t)n + 1);
	if (p) {
		vsnprintf(p, (size_t)n + 1, format, again);
		s = (struct span){p, (size_t)n};
	}
	va_end(again);
	return s;
}

bool arena_grow(struct arena *a, void **array, size_t n, size_t *cap, size_t element_bytes)
{
	if (n < *cap)
		return true;
	size_t room = *cap ? *cap * 2 : 4;
	if (room > SIZE_MAX / element_bytes)
		return false;
	char *bigger = arena_room(a, room * element_bytes);
	if (!bigger)
		return false;
	if (n)
		memcpy(bigger, *array, n * element_bytes);
	memset(bigger + n * element_bytes, 0, (room - n) * element_bytes);
	*array = bigger;
	*cap = room;
	return true;
}
