/*
 * utf8 - reading, checking and cutting UTF-8 (RFC 3629). Folding and classes of
 * characters come from utf8proc through this file alone.
 *
 * Ownership: results point into `s`, or into the arena that was given.
 * Units:     octets, where it does not say characters or columns.
 */
#pragma once

#include "base/arena.h"

/* Bytes of the well-formed character at the start of `s`, or 0. */
size_t utf8_char_bytes(struct span s);

/* The character at the start of `*rest`, taken off; U+FFFD for a bad byte (one byte is taken).
 * -1 at the end. */
int32_t utf8_next(struct span *rest);

bool utf8_valid(struct span s);
bool utf8_is_ascii(struct span s);

/* `s` cut to at most `bytes`, at a character. */
struct span utf8_cut(struct span s, size_t bytes);

/* Writes `c` as 1 to 4 bytes; 3 bytes of U+FFFD for what is no character. */
size_t utf8_encode(int32_t c, char out[4]);

/* Compatibility form, case folded, default-ignorable characters dropped (NFKC_Casefold).
 * Bad bytes become U+FFFD first. Empty when the arena is full. */
struct span utf8_fold(struct arena *a, struct span s);

/* Bad bytes replaced by U+FFFD; `s` itself when there are none. */
struct span utf8_repair(struct arena *a, struct span s);

/* Columns on a terminal: 2 for wide characters, 0 for combining and control ones. */
size_t utf8_width(struct span s);
