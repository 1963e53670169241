/* Fuzz: text as it is through the folding, the phrases and the finders of identity. */
#include <assert.h>

#include "analyze/fold.h"
#include "analyze/identity.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static void check(struct text_range r, size_t n)
{
	assert(r.from <= r.to && r.to <= n);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	struct arena a;
	struct phrase_hits hits;
	struct span text = {(const char *)data, n};
	arena_init(&a, (size_t)64 << 20);
	struct folded f = fold_text(&a, text);
	assert(f.text.n <= n);
	for (size_t i = 0; i < f.text.n; i++)
		assert(fold_from(&f, i) < n && (i == 0 || fold_from(&f, i - 1) <= fold_from(&f, i)));
	phrases_find(f.text, &a, &hits);
	uint32_t ends = 0;
	for (size_t i = 0; i < hits.n; i++) {
		assert(hits.v[i].from < hits.v[i].to && hits.v[i].to <= f.text.n);
		assert(hits.v[i].to >= ends);
		ends = hits.v[i].to;
	}
	check(phone_find(f.text), f.text.n);
	check(address_find(f.text, &hits), f.text.n);
	check(credit_code_find(f.text), f.text.n);
	check(icp_find(f.text, &hits), f.text.n);
	struct name_search names = {.text = f.text, .original = text, .map = &f, .hits = &hits,
				    .hints = {SPAN("bank")}, .n_hints = 1, .brand = SPAN("bank"),
				    .linked = SPAN("shop"), .wide = true};
	name_find_latin(&names);
	name_find_east(&names);
	check(name_choose(&names), f.text.n);
	check(name_spelled(f.text, names.brand), f.text.n);
	arena_free(&a);
	return 0;
}
