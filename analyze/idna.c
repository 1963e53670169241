#include "analyze/idna.h"

#include <idn2.h>

#include "base/utf8.h"

#define LONGEST_NAME 1024 /* octets of UTF-8 that can shrink to the 253 of a name */

struct span idna_to_ascii(struct arena *arena, struct span domain)
{
	/* A NUL would end the name for the library and make another sender's domain of it. */
	if (utf8_is_ascii(domain) || domain.n > LONGEST_NAME || !utf8_valid(domain) ||
	    span_find_char(domain, '\0') != SIZE_MAX)
		return arena_lower(arena, domain);
	char *name = arena_str(arena, domain), *ascii = NULL;
	if (!name)
		return SPAN_NONE;
	/* UTS 46 as browsers use it; emoji domains exist under the older rules alone. */
	int r = idn2_to_ascii_8z(name, &ascii, IDN2_NFC_INPUT | IDN2_NONTRANSITIONAL);
	if (r != IDN2_OK)
		r = idn2_to_ascii_8z(name, &ascii, IDN2_NFC_INPUT | IDN2_TRANSITIONAL);
	if (r != IDN2_OK)
		return arena_lower(arena, domain);
	struct span out = arena_lower(arena, span_of(ascii));
	idn2_free(ascii);
	return out;
}

struct span idna_to_unicode(struct arena *arena, struct span domain)
{
	if (span_case_find(domain, SPAN("xn--")) == SIZE_MAX || domain.n > LONGEST_NAME ||
	    span_find_char(domain, '\0') != SIZE_MAX)
		return domain;
	char *name = arena_str(arena, domain), *unicode = NULL;
	if (!name || idn2_to_unicode_8z8z(name, &unicode, 0) != IDN2_OK)
		return domain;
	struct span out = arena_copy(arena, span_of(unicode));
	idn2_free(unicode);
	return out;
}
