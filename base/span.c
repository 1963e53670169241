#include "base/span.h"

#include <endian.h>

bool span_case_eq(struct span a, struct span b)
{
	if (a.n != b.n)
		return false;
	for (size_t i = 0; i < a.n; i++)
		if (ascii_lower(a.p[i]) != ascii_lower(b.p[i]))
			return false;
	return true;
}

bool span_case_starts(struct span s, struct span prefix)
{
	return s.n >= prefix.n && span_case_eq(span_sub(s, 0, prefix.n), prefix);
}

bool span_ends(struct span s, struct span suffix)
{
	return s.n >= suffix.n && span_eq(span_sub(s, s.n - suffix.n, s.n), suffix);
}

bool span_case_ends(struct span s, struct span suffix)
{
	return s.n >= suffix.n && span_case_eq(span_sub(s, s.n - suffix.n, s.n), suffix);
}

/* Places whose first and last octet are the needle's, eight at once; `any_case` of ASCII letters. */
static inline size_t find(struct span s, struct span needle, bool any_case)
{
	const uint64_t ones = 0x0101010101010101u, high = 0x80 * ones;
	const uint64_t lower = any_case ? 0x20 * ones : 0; /* other octets it makes alike, too */
	if (needle.n == 0)
		return 0;
	if (s.n < needle.n)
		return SIZE_MAX;
	const size_t places = s.n - needle.n + 1, last = needle.n - 1;
	const uint64_t begin = (unsigned char)needle.p[0] * ones | lower;
	const uint64_t end = (unsigned char)needle.p[last] * ones | lower;
	size_t i = 0;
	for (; i + 8 <= places; i += 8) {
		uint64_t a, b;
		memcpy(&a, s.p + i, 8);
		memcpy(&b, s.p + i + last, 8);
		uint64_t differ = ((le64toh(a) | lower) ^ begin) | ((le64toh(b) | lower) ^ end);
		/* the top bits of octets that are zero; above the first one of others, too */
		uint64_t hits = (differ - ones) & ~differ & high;
		for (; hits; hits &= hits - 1) {
			struct span at = {s.p + i + (size_t)__builtin_ctzll(hits) / 8, needle.n};
			if (any_case ? span_case_eq(at, needle) : span_eq(at, needle))
				return (size_t)(at.p - s.p);
		}
	}
	for (; i < places; i++) {
		struct span at = {s.p + i, needle.n};
		if (any_case ? span_case_eq(at, needle) : span_eq(at, needle))
			return i;
	}
	return SIZE_MAX;
}

/* memmem() prepares itself for long needles, which short lines do not pay back. */
#define SHORT_NEEDLE 64

/* Where the needle has an octet that few texts have often; SIZE_MAX: nowhere. */
static size_t rare_octet(struct span needle)
{
	static const bool rare[256] = {
		['b'] = true, ['f'] = true, ['g'] = true, ['j'] = true, ['k'] = true, ['q'] = true,
		['v'] = true, ['w'] = true, ['x'] = true, ['y'] = true, ['z'] = true, ['/'] = true,
		['*'] = true, ['<'] = true, ['>'] = true, [':'] = true, [';'] = true, ['='] = true,
		['@'] = true, ['&'] = true, ['#'] = true, ['"'] = true, ['('] = true, [')'] = true,
		['['] = true, [']'] = true};
	for (size_t i = 0; i < needle.n; i++)
		if (rare[(unsigned char)needle.p[i]])
			return i;
	return SIZE_MAX;
}

size_t span_find(struct span s, struct span needle)
{
	if (s.n < needle.n)
		return SIZE_MAX;
	if (needle.n > SHORT_NEEDLE) {
		const char *hit = memmem(s.p, s.n, needle.p, needle.n);
		return hit ? (size_t)(hit - s.p) : SIZE_MAX;
	}
	size_t rare = s.n >= 32 ? rare_octet(needle) : SIZE_MAX;
	if (rare == SIZE_MAX)
		return find(s, needle, false);
	const char *p = s.p + rare, *end = s.p + s.n - (needle.n - rare) + 1;
	while (p < end && (p = memchr(p, needle.p[rare], (size_t)(end - p)))) {
		if (memcmp(p - rare, needle.p, needle.n) == 0)
			return (size_t)(p - rare - s.p);
		p++;
	}
	return SIZE_MAX;
}

size_t span_case_find(struct span s, struct span needle)
{
	return find(s, needle, true);
}

size_t span_find_char(struct span s, char c)
{
	const char *hit = s.n ? memchr(s.p, c, s.n) : NULL;
	return hit ? (size_t)(hit - s.p) : SIZE_MAX;
}

size_t span_rfind_char(struct span s, char c)
{
	const char *hit = s.n ? memrchr(s.p, c, s.n) : NULL;
	return hit ? (size_t)(hit - s.p) : SIZE_MAX;
}

/* Eight octets at once: most text has no digits. */
size_t span_find_digit(struct span s, size_t from)
{
	const uint64_t ones = 0x0101010101010101u, high = 0x80 * ones;
	size_t i = from;
	for (; i + 8 <= s.n; i += 8) {
		uint64_t word;
		memcpy(&word, s.p + i, 8);
		/* the high bit of each octet that is at least '0', or is above '9' */
		uint64_t low = word & ~high;
		uint64_t digits = (low + (0x80 - '0') * ones) & ~(low + (0x80 - '9' - 1) * ones);
		if (digits & ~word & high)
			break;
	}
	while (i < s.n && !ascii_is_digit(s.p[i]))
		i++;
	return i;
}

struct span span_trim(struct span s)
{
	while (s.n && ascii_is_space(s.p[0]))
		s = span_sub(s, 1, s.n);
	while (s.n && ascii_is_space(s.p[s.n - 1]))
		s.n--;
	return s;
}

bool span_next_line(struct span *rest, struct span *line)
{
	if (rest->n == 0)
		return false;
	size_t end = span_find_char(*rest, '\n');
	if (end == SIZE_MAX) {
		*line = *rest;
		*rest = span_sub(*rest, rest->n, rest->n);
	} else {
		*line = span_sub(*rest, 0, end);
		*rest = span_sub(*rest, end + 1, rest->n);
	}
	if (line->n && line->p[line->n - 1] == '\r')
		line->n--;
	return true;
}

bool span_next_field(struct span *rest, char sep, struct span *field)
{
	if (rest->n == 0)
		return false;
	size_t end = span_find_char(*rest, sep);
	if (end == SIZE_MAX) {
		*field = *rest;
		*rest = span_sub(*rest, rest->n, rest->n);
	} else {
		*field = span_sub(*rest, 0, end);
		*rest = span_sub(*rest, end + 1, rest->n);
	}
	return true;
}

bool span_next_word(struct span *rest, struct span *word)
{
	size_t i = 0;
	while (i < rest->n && ascii_is_space(rest->p[i]))
		i++;
	size_t start = i;
	while (i < rest->n && !ascii_is_space(rest->p[i]))
		i++;
	*word = span_sub(*rest, start, i);
	*rest = span_sub(*rest, i, rest->n);
	return word->n > 0;
}

bool span_number(struct span s, uint64_t max, uint64_t *value_r)
{
	uint64_t value = 0;
	if (s.n == 0)
		return false;
	for (size_t i = 0; i < s.n; i++) {
		if (!ascii_is_digit(s.p[i]))
			return false;
		uint64_t digit = (uint64_t)(s.p[i] - '0');
		if (digit > max || value > (max - digit) / 10)
			return false;
		value = value * 10 + digit;
	}
	*value_r = value;
	return true;
}

int span_cmp(struct span a, struct span b)
{
	size_t n = a.n < b.n ? a.n : b.n;
	int r = n ? memcmp(a.p, b.p, n) : 0;
	return r ? r : (a.n > b.n) - (a.n < b.n);
}

static inline uint64_t hash(struct span s, bool any_case)
{
	uint64_t h = 14695981039346656037ULL;
	for (size_t i = 0; i < s.n; i++)
		h = (h ^ (unsigned char)(any_case ? ascii_lower(s.p[i]) : s.p[i])) * 1099511628211ULL;
	return h;
}

uint64_t span_hash(struct span s)
{
	return hash(s, false);
}

uint64_t span_case_hash(struct span s)
{
	return hash(s, true);
}
