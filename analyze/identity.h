/*
 * identity - telephone numbers, postal addresses, names and codes in a text.
 *
 * Each finder reads folded text (fold.h), where full-width digits are ASCII and blanks are one,
 * and tells a place in it. Grammars, no gazetteer: what looks like an address of China, North
 * America, Europe, Japan or Korea by its parts counts.
 *
 * Standard: GB 32100-2015 (unified credit code), E.164, YD/T ICP filing numbers.
 */
#pragma once

#include "base/span.h"

struct text_range {
	size_t from, to; /* in the text; from == to: none */
};

struct text_range phone_find(struct span folded);
struct text_range address_find(struct span folded);
struct text_range credit_code_find(struct span folded);
struct text_range icp_find(struct span folded);
/* GB 32100 with its check digit; lower or upper case. */
bool credit_code_valid(struct span code);
/* A company by its legal form ("... Co., Ltd.", ...有限公司), or the name behind a copyright sign.
 * `original` is needed for its capital letters, `from` leads there (fold.h). */
struct text_range company_find(struct span folded, struct span original, const uint32_t *from);
