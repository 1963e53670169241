/*
 * Header text. The first octet chooses the charset of raw octets; the rest is the field's body.
 * What comes out is UTF-8 on one line, whatever went in, and decoding it again (there may be words
 * in words) stays so.
 */
#include <assert.h>

#include "analyze/rfc2047.h"
#include "base/limits.h"
#include "base/utf8.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static void check(struct span text)
{
	assert(utf8_valid(text));
	for (size_t i = 0; i < text.n; i++)
		assert(text.p[i] != '\0' && text.p[i] != '\r' && text.p[i] != '\n');
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	static const char *const hints[] = {NULL, "utf-8", "gb2312", "big5", "iso-2022-jp", "x"};
	struct arena arena;
	unsigned faults = 0;
	if (n == 0)
		return 0;
	arena_init(&arena, LIMIT_ARENA_BYTES);
	const char *hint = hints[data[0] % 6];
	struct span raw = {(const char *)data + 1, n - 1};
	const struct charset *charset = hint ? charset_find(span_of(hint)) : NULL;
	struct span once = rfc2047_decode(&arena, raw, charset, &faults);
	check(once);
	check(rfc2047_decode(&arena, once, charset, NULL));
	assert(!(faults & RFC2047_8BIT_NO_UTF8) || (faults & RFC2047_8BIT));
	arena_free(&arena);
	return 0;
}
