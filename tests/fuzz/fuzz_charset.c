/*
 * Octets in a charset. The first octet chooses label and hint; the rest is text. What comes out is
 * UTF-8, whatever went in, and the same again when the octets are read once more (a converter
 * keeps no state of the text before).
 */
#include <assert.h>

#include "analyze/charset.h"
#include "base/limits.h"
#include "base/utf8.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	static const char *const labels[] = {NULL,	    "gb18030",	   "big5",    "shift_jis",
					     "iso-2022-jp", "iso-2022-kr", "euc-kr",  "euc-jp",
					     "hz-gb-2312",  "utf-7",	   "utf-16",  "iso-2022-jp-2",
					     "us-ascii",    "utf-8",	   "latin1",  "x-none"};
	static const char *const hints[] = {NULL, "gb18030", "big5", "iso-2022-jp", "koi8-r", "utf-8"};
	struct arena a;
	if (!n)
		return 0;
	arena_init(&a, LIMIT_ARENA_BYTES);
	const char *hint = hints[data[0] / 16 % 6];
	const struct charset *c = hint ? charset_find(span_of(hint)) : NULL;
	struct span octets = {(const char *)data + 1, n - 1};
	struct span label = span_of(labels[data[0] % 16]);
	struct charset_text once = charset_decode(&a, octets, label, c);
	struct charset_text again = charset_decode(&a, octets, label, c);
	assert(utf8_valid(once.text));
	assert(a.overflowed || span_eq(once.text, again.text));
	assert(charset_guess(octets));
	arena_free(&a);
	return 0;
}
