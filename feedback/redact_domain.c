/*
 * The other form of a domain name: U-labels for A-labels and back, by Punycode alone. A recipient
 * may be written either way in a message; no check of IDNA's tables is needed, because the result
 * is searched for and never looked up.
 *
 * Standard: RFC 3492.
 */
#include "feedback/redact_private.h"

enum { BASE = 36, TMIN = 1, TMAX = 26, SKEW = 38, DAMP = 700, FIRST_BIAS = 72, FIRST_N = 128 };

/* RFC 1035 section 2.3.4 */
#define LABEL_CHARS 63

static uint32_t adapt(uint32_t delta, uint32_t points, bool first)
{
	uint32_t k = 0;
	delta = first ? delta / DAMP : delta / 2;
	delta += delta / points;
	for (; delta > ((BASE - TMIN) * TMAX) / 2; k += BASE)
		delta /= BASE - TMIN;
	return k + (BASE - TMIN + 1) * delta / (delta + SKEW);
}

static uint32_t threshold(uint32_t k, uint32_t bias)
{
	return k <= bias ? TMIN : k >= bias + TMAX ? TMAX : k - bias;
}

/* RFC 3492 section 6.2; false for what is no Punycode. */
static bool puny_decode(struct span s, struct buf *out)
{
	uint32_t points[LABEL_CHARS], n = FIRST_N, i = 0, bias = FIRST_BIAS;
	size_t count = 0, dash = span_rfind_char(s, '-'), at = 0;
	if (s.n > LABEL_CHARS)
		return false;
	if (dash != SIZE_MAX) {
		for (; count < dash; count++)
			points[count] = (uint8_t)s.p[count];
		at = dash + 1;
	}
	while (at < s.n) {
		uint32_t old = i, weight = 1;
		for (uint32_t k = BASE;; k += BASE) {
			if (at >= s.n)
				return false;
			char c = ascii_lower(s.p[at++]);
			uint32_t digit = c >= 'a' && c <= 'z' ? (uint32_t)(c - 'a')
					 : ascii_is_digit(c)  ? (uint32_t)(c - '0') + 26
							      : BASE;
			if (digit >= BASE || digit > (UINT32_MAX / 2 - i) / weight)
				return false;
			i += digit * weight;
			uint32_t t = threshold(k, bias);
			if (digit < t)
				break;
			if (weight > UINT32_MAX / 2 / (BASE - t))
				return false;
			weight *= BASE - t;
		}
		if (count >= LABEL_CHARS)
			return false;
		bias = adapt(i - old, (uint32_t)count + 1, old == 0);
		n += i / (uint32_t)(count + 1);
		i %= (uint32_t)(count + 1);
		if (n > 0x10ffff)
			return false;
		memmove(points + i + 1, points + i, (count - i) * sizeof(points[0]));
		points[i++] = n;
		count++;
	}
	for (size_t k = 0; k < count; k++) {
		char text[4];
		buf_add(out, (struct span){text, utf8_encode((int32_t)points[k], text)});
	}
	return true;
}

static void put_number(uint32_t q, uint32_t bias, struct buf *out)
{
	static const char digits[] = "abcdefghijklmnopqrstuvwxyz0123456789";
	for (uint32_t k = BASE;; k += BASE) {
		uint32_t t = threshold(k, bias);
		if (q < t)
			break;
		buf_addc(out, digits[t + (q - t) % (BASE - t)]);
		q = (q - t) / (BASE - t);
	}
	buf_addc(out, digits[q]);
}

/* RFC 3492 section 6.3 */
static bool puny_encode(struct span s, struct buf *out)
{
	int32_t points[LABEL_CHARS], c;
	uint32_t n = FIRST_N, delta = 0, bias = FIRST_BIAS;
	size_t count = 0, done = 0;
	while ((c = utf8_next(&s)) >= 0) {
		if (count >= LABEL_CHARS)
			return false;
		points[count++] = c;
		if (c < FIRST_N) {
			buf_addc(out, (char)c);
			done++;
		}
	}
	size_t basic = done;
	if (basic)
		buf_addc(out, '-');
	while (done < count) {
		uint32_t next = UINT32_MAX;
		for (size_t k = 0; k < count; k++)
			if ((uint32_t)points[k] >= n && (uint32_t)points[k] < next)
				next = (uint32_t)points[k];
		delta += (next - n) * (uint32_t)(done + 1); /* < 2^27: at most 63 characters */
		n = next;
		for (size_t k = 0; k < count; k++) {
			if ((uint32_t)points[k] < n)
				delta++;
			if ((uint32_t)points[k] != n)
				continue;
			put_number(delta, bias, out);
			bias = adapt(delta, (uint32_t)done + 1, done == basic);
			done++;
			delta = 0;
		}
		delta++;
		n++;
	}
	return true;
}

struct span redact_domain_form(struct span domain, struct arena *arena)
{
	struct buf out = BUF_INIT;
	struct span label, rest = domain;
	bool other = false, ok = true;
	while (ok && span_next_field(&rest, '.', &label)) {
		if (out.n)
			buf_addc(&out, '.');
		if (span_case_starts(label, SPAN("xn--"))) {
			ok = puny_decode(span_sub(label, 4, label.n), &out);
			other = true;
		} else if (!utf8_is_ascii(label)) {
			buf_adds(&out, "xn--");
			ok = puny_encode(label, &out);
			other = true;
		} else {
			buf_add(&out, label);
		}
	}
	struct span form = SPAN_NONE;
	if (ok && other && !out.failed)
		form = arena_copy(arena, buf_span(&out));
	buf_free(&out);
	return form;
}
