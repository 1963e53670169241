#include "analyze/fold.h"

#include <endian.h>

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

static inline bool is_plain(char c)
{
	return (unsigned char)c >= ' ' && (unsigned char)c < 0x80;
}

/* Eight bytes of ASCII, made small, unless one of them is a control character or a blank that
 * follows a blank. *blank says whether a blank stands in front, and then whether the last is one. */
static bool fold_eight(char *out, const char *p, bool *blank)
{
	const uint64_t ones = 0x0101010101010101u, high = 0x80 * ones;
	uint64_t word;
	memcpy(&word, p, 8);
	word = le64toh(word);
	if (word & high || ~(word + (0x80 - ' ') * ones) & high)
		return false;
	uint64_t blanks = ~((word ^ ' ' * ones) + 0x7f * ones) & high;
	if (blanks & (blanks << 8 | (*blank ? 0x80 : 0)))
		return false;
	*blank = blanks >> 63;
	uint64_t capitals = (word + (0x80 - 'A') * ones) & ~(word + (0x80 - 'Z' - 1) * ones) & high;
	word = htole64(word + (capitals >> 2));
	memcpy(out, &word, 8);
	return true;
}

/* Notes that the folded byte `at` is of the original's `from`, unless that follows. */
static inline void note(struct folded *f, struct arena *a, size_t at, size_t from)
{
	const struct fold_step *last = f->n_steps ? &f->steps[f->n_steps - 1] : NULL;
	if (last ? at - last->at == from - last->from : at == from)
		return;
	if (arena_grow(a, (void **)&f->steps, f->n_steps, &f->cap_steps, sizeof(*f->steps)))
		f->steps[f->n_steps++] = (struct fold_step){(uint32_t)at, (uint32_t)from};
}

/* `f`: gets the steps; NULL: nobody asks for them. */
static size_t fold(char *out, struct folded *f, struct arena *a, struct span s)
{
	size_t n = 0;
	bool blank = true;
	for (size_t i = 0; i < s.n;) {
		unsigned char c = (unsigned char)s.p[i];
		if (is_plain(s.p[i]) && !(c == ' ' && blank)) { /* most of most texts */
			if (f)
				note(f, a, n, i);
			while (s.n - i >= 8 && fold_eight(out + n, s.p + i, &blank)) {
				i += 8;
				n += 8;
			}
			for (; i < s.n && is_plain(s.p[i]) && !(s.p[i] == ' ' && blank); i++) {
				out[n++] = ascii_lower(s.p[i]);
				blank = s.p[i] == ' ';
			}
			continue;
		}
		size_t taken = 1, made;
		char one[4];
		if (c < 0x80) {
			one[0] = c == '\n' ? '\n' : ' ';
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
		if (made && f)
			note(f, a, n, i);
		if (made == 2 && f && one[0] == 's') /* one letter became two */
			note(f, a, n + 1, i);
		memcpy(out + n, one, made);
		n += made;
		i += taken;
	}
	if (f)
		note(f, a, n, s.n);
	return n;
}

struct folded fold_text(struct arena *a, struct span original)
{
	struct folded f = {.n_steps = 0};
	if (original.n > UINT32_MAX / 8)
		return f;
	char *out = arena_room(a, original.n + 1);
	if (!out)
		return f;
	size_t n = fold(out, &f, a, original);
	if (!a->overflowed)
		f.text = (struct span){out, n};
	return f;
}

uint32_t fold_from(const struct folded *f, size_t at)
{
	/* all bytes of a character are of its first */
	while (at && at < f->text.n && ((unsigned char)f->text.p[at] & 0xc0) == 0x80)
		at--;
	size_t low = 0, high = f->n_steps;
	while (low < high) {
		size_t mid = low + (high - low) / 2;
		if (f->steps[mid].at <= at)
			low = mid + 1;
		else
			high = mid;
	}
	return low ? f->steps[low - 1].from + ((uint32_t)at - f->steps[low - 1].at) : (uint32_t)at;
}
