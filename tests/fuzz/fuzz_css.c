/* Fuzz: a style sheet, and its first line as the inline style of elements that it may match. */
#include <assert.h>
#include <math.h>

#include "analyze/css.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	static struct css_sheet sheet;
	struct arena a;
	struct css_element path[3];
	struct span text = {(const char *)data, n}, rest = text, line = SPAN_NONE;
	struct style style = style_root;
	arena_init(&a, (size_t)64 << 20);
	css_sheet_init(&sheet, &a);
	css_sheet_add(&sheet, text);
	css_sheet_add(&sheet, text);
	(void)span_next_line(&rest, &line);
	css_element_init(&path[0], HTML_T_BODY, SPAN_NONE, SPAN("a"));
	css_element_init(&path[1], HTML_T_DIV, SPAN("x"), SPAN("a b"));
	css_element_init(&path[2], HTML_T_A, SPAN("y"), SPAN("b c d"));
	for (size_t depth = 1; depth <= 3; depth++) {
		struct css_values first = {.set = 0}, again = {.set = 0};
		css_cascade(&sheet, path, depth, line, &first);
		css_cascade(&sheet, path, depth, line, &again); /* from what was kept */
		assert(first.set == again.set);
		style = css_compute(&style, &first);
		float contrast = style_contrast(&style);
		assert(contrast == 0 || (contrast >= 1 && contrast <= 21.01f));
		(void)style_visible(&style, contrast);
	}
	arena_free(&a);
	return 0;
}
