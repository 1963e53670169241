/*
 * rfc2047 - header text: unfolded, encoded words decoded, always valid UTF-8.
 *
 * Ours, because bulk mail breaks the rules in ways that readers must mend: a character cut in
 * two by adjacent words (they are joined as octets first), base64 padding in the middle, blanks
 * inside words, gb2312 that is GBK, raw 8-bit text between words.
 *
 * Ownership: the result lies in the arena, or is the input when nothing had to change.
 * Errors:    none; an empty span when the arena is full.
 * Standard:  RFC 2047, RFC 2231 section 5 (language), RFC 6532 (raw UTF-8).
 */
#pragma once

#include "analyze/charset.h"

enum rfc2047_fault {
	RFC2047_BAD_WORD = 1,     /* looks like an encoded word and is none, or is broken */
	RFC2047_LONG_WORD = 2,    /* over 75 characters */
	RFC2047_UNKNOWN = 4,      /* a charset that we do not know */
	RFC2047_MISMATCH = 8,     /* octets that are not of the word's charset */
	RFC2047_8BIT = 16,        /* raw octets over 127 */
	RFC2047_8BIT_NO_UTF8 = 32, /* ... that are not UTF-8 either */
};

/* `hint` may be NULL: the charset of the message's text, for raw 8-bit octets. Sets bits of
 * *faults (enum rfc2047_fault), which may be NULL. */
struct span rfc2047_decode(struct arena *arena, struct span raw, const struct charset *hint,
			   unsigned *faults);
