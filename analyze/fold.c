#include "analyze/fold.h"
#include "base/utf8.h"

/* U+00C0..U+017F: the letter without its accent; ' ' for what is no letter with one. */
static const char latin[] = "aaaaaaaceeeeiiiidnooooo ouuuuypsaaaaaaaceeeeiiiidnooooo ouuuuypy"
			    "aaaaaaccccccccddddeeeeeeeeeegggggggghhhhiiiiiiiiiiiijjkkklllllll"
			    "lllnnnnnnnnnoooooooorrrrrrssssssssttttttuuuuuuuuuuuuwwyyyzzzzzzs";

/* U+1EA0..U+1EF9, Vietnamese, in pairs of capital and small. */
static const char vietnamese[] = "aaaaaaaaaaaaeeeeeeeeiioooooooooooouuuuuuuyyyy";

static size_t put(char *out, const char *bytes, size_t n)
{
	memcpy(out, bytes, n);
	return n;
}

/* One character of two or more bytes; returns what it wrote, never more than it read. */
static size_t fold_character(const unsigned char *p, size_t n, char *out)
{
	if (n == 2) {
		unsigned c = (p[0] & 0x1fu) << 6 | (p[1] & 0x3fu);
		if (c == 0xa0)
			return put(out, " ", 1);
		if (c == 0xad || (c >= 0x300 && c < 0x370))
			return 0; /* soft hyphen, combining marks */
		if (c == 0xdf)
			return put(out, "ss", 2);
		if (c >= 0xc0 && c < 0x180 && latin[c - 0xc0] != ' ')
			return put(out, &latin[c - 0xc0], 1);
		if (c >= 0x410 && c < 0x430)
			c += 0x20;
		else if (c >= 0x400 && c < 0x410)
			c += 0x50;
		if (c == 0x451)
			c = 0x435; /* Russian writes e for yo */
		out[0] = (char)(0xc0 | c >> 6);
		out[1] = (char)(0x80 | (c & 0x3f));
		return 2;
	}
	if (n == 3) {
		unsigned c = (p[0] & 0x0fu) << 12 | (p[1] & 0x3fu) << 6 | (p[2] & 0x3fu);
		if (c >= 0xff01 && c <= 0xff5e) {
			out[0] = ascii_lower((char)(c - 0xff01 + '!'));
			return 1;
		}
		if (c == 0x3000 || (c >= 0x2000 && c <= 0x200a) || c == 0x202f)
			return put(out, " ", 1);
		if ((c >= 0x200b && c <= 0x200f) || c == 0xfeff || c == 0x2060)
			return 0;
		if (c == 0x2018 || c == 0x2019 || c == 0x201b)
			return put(out, "'", 1);
		if (c >= 0x201c && c <= 0x201f)
			return put(out, "\"", 1);
		if (c >= 0x2010 && c <= 0x2015)
			return put(out, "-", 1);
		if (c >= 0x1ea0 && c < 0x1efa)
			return put(out, &vietnamese[(c - 0x1ea0) / 2], 1);
	}
	return put(out, (const char *)p, n);
}

static size_t fold(char *out, uint32_t *from, struct span s)
{
	size_t n = 0;
	bool blank = true;
	for (size_t i = 0; i < s.n;) {
		unsigned char c = (unsigned char)s.p[i];
		if (c > ' ' && c < 0x80) { /* most of most texts */
			if (from)
				from[n] = (uint32_t)i;
			out[n++] = ascii_lower((char)c);
			blank = false;
			i++;
			continue;
		}
		if (c == ' ') {
			if (!blank) {
				if (from)
					from[n] = (uint32_t)i;
				out[n++] = ' ';
			}
			blank = true;
			i++;
			continue;
		}
		size_t taken = 1, made;
		char one[4];
		if (c < 0x80) {
			one[0] = c == '\n' ? '\n' : c <= ' ' ? ' ' : ascii_lower((char)c);
			made = 1;
		} else {
			taken = utf8_char_bytes(span_sub(s, i, s.n));
			made = taken ? fold_character((const unsigned char *)s.p + i, taken, one)
				     : 0;
			taken = taken ? taken : 1;
		}
		if (made == 1 && (one[0] == ' ' || one[0] == '\n')) {
			if (blank && n) {
				if (one[0] == '\n')
					out[n - 1] = '\n';
				made = 0;
			}
			made = n ? made : 0;
			blank = true;
		} else if (made) {
			blank = false;
		}
		for (size_t k = 0; k < made; k++) {
			if (from)
				from[n] = (uint32_t)i;
			out[n++] = one[k];
		}
		i += taken;
	}
	if (from)
		from[n] = (uint32_t)s.n;
	return n;
}

struct folded fold_text(struct arena *a, struct span original)
{
	if (original.n > UINT32_MAX / 8)
		return (struct folded){{NULL, 0}, NULL};
	char *out = arena_room(a, original.n + 1);
	uint32_t *from = arena_room(a, (original.n + 1) * sizeof(*from));
	if (!out || !from)
		return (struct folded){{NULL, 0}, NULL};
	size_t n = fold(out, from, original);
	return (struct folded){{out, n}, from};
}

size_t fold_into(char *out, struct span original)
{
	return fold(out, NULL, original);
}
