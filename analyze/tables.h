/*
 * tables - the lists and trained tables of rules/, built into the program.
 *
 * They are part of what the figures of tests/eval were measured with, so a gateway judges with
 * the same whatever its folders hold; changing one is a rebuild.
 */
#pragma once

#include "base/span.h"

struct span table_phrases(void); /* rules/lists/phrases.txt */
struct span table_class(void);   /* rules/tables/class.bin, see classify.c */
struct span table_ngrams(void);  /* rules/tables/ngrams.bin, see subject.c */
