/*
 * patterns - regular expressions of rules, through the Hyperscan API (vectorscan).
 *
 * Linear in the text whatever the expression, so no time limit is needed. ASCII letters match
 * without case. Text is bytes; what is no UTF-8 can be searched too.
 *
 * Ownership: pattern_compile() .. pattern_free().
 */
#pragma once

#include "base/span.h"

struct pattern;

/* NULL when the expression is wrong; `why` (static memory) tells. */
struct pattern *pattern_compile(const char *expression, const char **why);
void pattern_free(struct pattern *p); /* accepts NULL */
bool pattern_matches(const struct pattern *p, struct span text);
