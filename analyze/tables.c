#include "analyze/tables.h"

/* From tables.S. */
extern const char assay_phrases_begin[], assay_phrases_end[];
extern const char assay_class_begin[], assay_class_end[];
extern const char assay_ngrams_begin[], assay_ngrams_end[];

struct span table_phrases(void)
{
	return (struct span){assay_phrases_begin,
			     (size_t)(assay_phrases_end - assay_phrases_begin)};
}

struct span table_class(void)
{
	return (struct span){assay_class_begin, (size_t)(assay_class_end - assay_class_begin)};
}

struct span table_ngrams(void)
{
	return (struct span){assay_ngrams_begin, (size_t)(assay_ngrams_end - assay_ngrams_begin)};
}
