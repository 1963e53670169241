/*
 * buf - a growing byte buffer for output: text, JSON, a report being written.
 *
 * Invariant: when `n` > 0, p[n] is NUL, so p is also a C string.
 * Ownership: buf_free() gives the memory back; BUF_INIT holds none.
 * Errors:    out of memory sets `failed`; later additions do nothing. Looked at
 *            once, at the end.
 */
#pragma once

#include <stdarg.h>

#include "base/span.h"

struct buf {
	char *p;
	size_t n, cap;
	bool failed;
};

#define BUF_INIT ((struct buf){NULL, 0, 0, false})

void buf_free(struct buf *b);
static inline void buf_reset(struct buf *b)
{
	b->n = 0;
}
static inline struct span buf_span(const struct buf *b)
{
	return (struct span){b->p, b->n};
}

void buf_add(struct buf *b, struct span s);
void buf_adds(struct buf *b, const char *cstr);
void buf_addc(struct buf *b, char c);
void buf_addf(struct buf *b, const char *format, ...) __attribute__((format(printf, 2, 3)));
void buf_vaddf(struct buf *b, const char *format, va_list args)
	__attribute__((format(printf, 2, 0)));
/* Room for `bytes` more; false when there is none. */
bool buf_reserve(struct buf *b, size_t bytes);
