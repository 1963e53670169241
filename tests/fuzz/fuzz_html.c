/* Fuzz: HTML, its styles and its text through the view, the folding and the finders. */
#include <assert.h>

#include "analyze/fold.h"
#include "analyze/identity.h"
#include "analyze/phrases.h"
#include "analyze/view.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	struct arena a;
	struct view v;
	struct phrase_hits hits;
	struct span text = {(const char *)data, n};
	arena_init(&a, (size_t)64 << 20);
	view_init(&v, &a, n);
	view_add_html(&v, text, 0);
	view_find_written(&v);
	assert(v.n_text <= v.capacity && v.n_hidden <= v.capacity && v.n_alt <= v.capacity);
	for (size_t i = 0; i < v.n_links; i++) {
		assert(v.links[i].from <= v.links[i].to && v.links[i].to <= v.n_text);
		assert(i == 0 || v.links[i - 1].from <= v.links[i].from);
		(void)view_link_text(&v, &v.links[i]);
	}
	for (size_t i = 0; i < v.n_runs; i++)
		assert(v.runs[i].start + v.runs[i].length <= (v.runs[i].visible ? v.n_text : v.n_hidden));
	struct folded f = fold_text(&a, view_text(&v));
	assert(f.text.n <= v.n_text);
	phrases_find(f.text, &a, &hits);
	for (size_t i = 0; i < hits.n; i++)
		assert(hits.v[i].from < hits.v[i].to && hits.v[i].to <= f.text.n);
	struct text_range p = phone_find(f.text);
	assert(p.from <= p.to && p.to <= f.text.n);
	p = address_find(f.text, &hits);
	assert(p.from <= p.to && p.to <= f.text.n);
	struct name_search names = {.text = f.text, .original = view_text(&v), .map = &f, .hits = &hits,
				    .hints = {SPAN("bank")}, .n_hints = 1, .brand = SPAN("bank"),
				    .linked = SPAN("shop"), .wide = true};
	name_find_latin(&names);
	name_find_east(&names);
	p = name_choose(&names);
	assert(p.from <= p.to && p.to <= f.text.n);
	p = icp_find(f.text, &hits);
	assert(p.from <= p.to && p.to <= f.text.n);
	(void)credit_code_find(f.text);
	arena_free(&a);
	return 0;
}
