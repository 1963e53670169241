#include "base/buf.h"

#include <stdio.h>
#include <stdlib.h>

void buf_free(struct buf *b)
{
	free(b->p);
	*b = BUF_INIT;
}

bool buf_reserve(struct buf *b, size_t bytes)
{
	if (b->failed || bytes > SIZE_MAX / 2 - b->n - 1) {
		b->failed = true;
		return false;
	}
	if (b->n + bytes + 1 <= b->cap)
		return true;
	size_t cap = b->cap ? b->cap * 2 : 256;
	if (cap < b->n + bytes + 1)
		cap = b->n + bytes + 1;
	char *p = realloc(b->p, cap);
	if (!p) {
		b->failed = true;
		return false;
	}
	b->p = p;
	b->cap = cap;
	return true;
}

void buf_add(struct buf *b, struct span s)
{
	if (s.n == 0 || !buf_reserve(b, s.n))
		return;
	memcpy(b->p + b->n, s.p, s.n);
	b->n += s.n;
	b->p[b->n] = '\0';
}

void buf_adds(struct buf *b, const char *cstr)
{
	buf_add(b, span_of(cstr));
}

void buf_addc(struct buf *b, char c)
{
	if (!buf_reserve(b, 1))
		return;
	b->p[b->n++] = c;
	b->p[b->n] = '\0';
}

void buf_vaddf(struct buf *b, const char *format, va_list args)
{
	va_list again;
	va_copy(again, args);
	/* what is added is short nearly always: one look is enough */
	if (buf_reserve(b, 64)) {
		size_t room = b->cap - b->n;
		int n = vsnprintf(b->p + b->n, room, format, args);
		bool fits = n >= 0 && (size_t)n < room;
		if (n >= 0 && !fits && buf_reserve(b, (size_t)n)) {
			vsnprintf(b->p + b->n, (size_t)n + 1, format, again);
			fits = true;
		}
		b->n += fits ? (size_t)n : 0;
		b->p[b->n] = '\0';
	}
	va_end(again);
}

void buf_addf(struct buf *b, const char *format, ...)
{
	va_list args;
	va_start(args, format);
	buf_vaddf(b, format, args);
	va_end(args);
}
