/*
 * param - the value and parameters of Content-Type and Content-Disposition.
 *
 * Standard:  RFC 2045 section 5.1, RFC 2183, RFC 2231 (continuations, charsets), and what mailers
 *            write instead: encoded words in quotes, raw 8-bit names, blanks without quotes.
 * Ownership: in the arena given, or in `body`.
 */
#pragma once

#include "analyze/charset.h"

struct param {
	struct span name;  /* lower case, without RFC 2231 marks */
	struct span value; /* decoded, UTF-8 */
	struct span raw;   /* unquoted, not decoded: for boundary and charset */
};

struct params {
	struct span value; /* "text/html", "attachment": lower case */
	struct param *v;
	size_t n;
	bool bad; /* against the grammar */
};

/* At most LIMIT_PARAMS parameters are read. */
void params_read(struct params *p, struct arena *arena, struct span body,
		 const struct charset *hint);
/* The first of that name; NULL when there is none. */
const struct param *params_find(const struct params *p, const char *name);
