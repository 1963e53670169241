#include "analyze/preflight.h"

#include <errno.h>
#include <stdlib.h>

#include "base/limits.h"

#define LONGEST_LINE 998 /* RFC 5322 section 2.1.1 */

void preflight_lines(struct preflight_lines *l, struct span octets)
{
	*l = (struct preflight_lines){0, SIZE_MAX, SIZE_MAX, SIZE_MAX, SIZE_MAX};
	l->nul = span_find_char(octets, '\0');
	for (size_t at = 0; at < octets.n;) {
		const char *line = octets.p + at;
		const char *end = memchr(line, '\n', octets.n - at);
		size_t n = end ? (size_t)(end - line) : octets.n - at;
		size_t next = at + n + (end ? 1 : 0);
		bool crlf = end && n && line[n - 1] == '\r';
		n -= crlf;
		if (end && !crlf && l->bare_lf == SIZE_MAX)
			l->bare_lf = at + n;
		if (n > l->longest)
			l->longest = n;
		if (n > LONGEST_LINE && l->too_long == SIZE_MAX)
			l->too_long = at;
		if (l->bare_cr == SIZE_MAX && n) {
			const char *cr = memchr(line, '\r', n);
			if (cr)
				l->bare_cr = (size_t)(cr - octets.p);
		}
		at = next;
	}
}

/* --- header fields --------------------------------------------------------- */

/* Position behind the line at `at`, its LF included. */
static size_t line_end(struct span s, size_t at)
{
	const char *end = at < s.n ? memchr(s.p + at, '\n', s.n - at) : NULL;
	return end ? (size_t)(end - s.p) + 1 : s.n;
}

static bool is_empty_line(struct span line)
{
	return span_eq(line, SPAN("\r\n")) || span_eq(line, SPAN("\n"));
}

/* Octets of the field name at the start of the line; 0: it is no field. *colon_r behind it. */
static size_t field_name(struct span line, size_t *colon_r)
{
	size_t i = 0;
	while (i < line.n && line.p[i] > ' ' && line.p[i] < 127 && line.p[i] != ':')
		i++;
	size_t name = i;
	while (i < line.n && (line.p[i] == ' ' || line.p[i] == '\t'))
		i++;
	if (name == 0 || i >= line.n || line.p[i] != ':')
		return 0;
	*colon_r = i;
	return name;
}

/* Where the header ends that is too large to be read: behind the first empty line. */
static size_t find_body(struct span octets, size_t from)
{
	for (size_t at = from; at < octets.n;) {
		size_t end = line_end(octets, at);
		if (is_empty_line(span_sub(octets, at, end)))
			return end;
		at = end;
	}
	return octets.n;
}

static void note_bad(struct preflight_header *h, size_t base, size_t at, size_t end)
{
	if (h->n_bad < PREFLIGHT_BAD_LINES) {
		h->bad[h->n_bad].offset = base + at;
		h->bad[h->n_bad].length = end - at;
		h->n_bad++;
	}
}

/* Is a line behind `field` the rest of its last encoded word? Some mailers break the base64 of a
 * long subject like that of a body: no blank begins the next line. */
static bool ends_in_word(struct span field, struct span line)
{
	struct span tail = span_trim(span_sub(
		field, field.n > LONGEST_LINE ? field.n - LONGEST_LINE : 0, field.n));
	/* "=?" charset "?" encoding "?" text */
	size_t third = span_rfind_char(tail, '?');
	if (third == SIZE_MAX || third < 3 || tail.p[third - 2] != '?' ||
	    !strchr("bBqQ", tail.p[third - 1]))
		return false;
	size_t first = span_rfind_char(span_sub(tail, 0, third - 2), '?');
	struct span rest = span_sub(line, 0, span_find(line, SPAN("?=")));
	return first != SIZE_MAX && first > 0 && tail.p[first - 1] == '=' &&
	       span_find_char(span_sub(tail, first, tail.n), ' ') == SIZE_MAX &&
	       span_find_char(rest, ' ') == SIZE_MAX;
}

/*
 * A line that is no field is skipped when a field follows it: an mbox "From " line, or a folded
 * line whose blanks were lost, unless it ends an encoded word. Two such lines in a row are a body
 * without an empty line in front.
 */
void preflight_header(struct preflight_header *h, struct arena *arena, struct span octets,
		      size_t base)
{
	size_t cap = 0, bad_at = SIZE_MAX;
	*h = (struct preflight_header){.body_offset = SIZE_MAX};
	for (size_t at = 0; at < octets.n;) {
		size_t end = line_end(octets, at), colon = 0;
		struct span line = span_sub(octets, at, end);
		if (is_empty_line(line)) {
			h->body_offset = end;
			break;
		}
		if (end > LIMIT_HEADER_BYTES || h->n >= LIMIT_HEADER_FIELDS) {
			h->cut = true;
			h->body_offset = find_body(octets, at);
			break;
		}
		bool blank = line.p[0] == ' ' || line.p[0] == '\t';
		size_t name = blank ? 0 : field_name(line, &colon);
		bool joins = h->n && bad_at == SIZE_MAX &&
			     (blank || (!name && ends_in_word(h->v[h->n - 1].field, line)));
		if (joins) {
			h->v[h->n - 1].field.n += line.n;
			h->v[h->n - 1].body.n += line.n;
			if (!blank)
				note_bad(h, base, at, end);
		} else if (name == 0) {
			if (bad_at != SIZE_MAX) {
				h->body_offset = bad_at;
				h->no_empty_line = true;
				break;
			}
			note_bad(h, base, at, end);
			bad_at = at;
		} else {
			if (!arena_grow(arena, (void **)&h->v, h->n, &cap, sizeof(h->v[0]))) {
				h->cut = true;
				h->body_offset = find_body(octets, at);
				break;
			}
			h->v[h->n++] = (struct header){
				.name = span_sub(line, 0, name),
				.field = line,
				.body = span_sub(line, colon + 1, line.n),
				.offset = base + at,
			};
			if (colon > name && !h->blank_before_colon.p)
				h->blank_before_colon = line;
			bad_at = SIZE_MAX;
		}
		at = end;
	}
	if (h->body_offset == SIZE_MAX) {
		/* The end came first. A last line that is no field is a body. */
		h->body_offset = bad_at != SIZE_MAX ? bad_at : octets.n;
		h->no_empty_line = bad_at != SIZE_MAX;
	}
}

/* --- the view for GMime ---------------------------------------------------- */

/* Nested messages become leaves of an unknown type of the same length. The true type is read
 * from the octets themselves. */
static void mask_types(char *p, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		struct span rest = {p + i, n - i};
		/* a boundary may hold these words too, behind '=' or a quote */
		bool value = i > 0 && (p[i - 1] == ':' || ascii_is_space(p[i - 1]));
		if (!value)
			continue;
		if (span_case_starts(rest, SPAN("message/")))
			p[i] = 'x';
		else if (span_case_starts(rest, SPAN("multipart/digest")))
			p[i + 10] = 'x'; /* it holds messages by default */
	}
}

struct dash_scan {
	struct span octets;
	size_t at;           /* next octet to look at */
	size_t header_lines; /* all of them */
};

/* Header lines that may stand behind a "--" line: up to the next empty one. Returns the position
 * behind them; *cut_at is set when there are too many. */
static size_t scan_block(struct dash_scan *scan, size_t at, size_t *cut_at)
{
	size_t start = at;
	while (at < scan->octets.n) {
		size_t end = line_end(scan->octets, at);
		struct span line = span_sub(scan->octets, at, end);
		if (is_empty_line(line) || span_starts(line, SPAN("--")))
			return at;
		if (++scan->header_lines > LIMIT_PART_HEADER_LINES ||
		    end - start > LIMIT_HEADER_BYTES) {
			*cut_at = at;
			return at;
		}
		at = end;
	}
	return at;
}

static bool next_dash(struct dash_scan *scan, struct dash_line *line_r)
{
	struct span s = scan->octets;
	while (scan->at < s.n) {
		size_t at = scan->at;
		if (!span_starts(span_sub(s, at, s.n), SPAN("--"))) {
			size_t hit = span_find(span_sub(s, at, s.n), SPAN("\n--"));
			if (hit == SIZE_MAX)
				break;
			at += hit + 1;
		}
		size_t end = line_end(s, at);
		struct span line = span_sub(s, at, end);
		while (line.n && ascii_is_space(line.p[line.n - 1]))
			line.n--;
		*line_r = (struct dash_line){at, line.n};
		scan->at = end;
		return true;
	}
	return false;
}

int preflight_view(struct preflight_view *view, struct arena *arena, struct span octets,
		   size_t body_offset, struct span content_type)
{
	*view = (struct preflight_view){.body_offset = body_offset};
	struct dash_scan scan = {.octets = octets, .at = body_offset};
	struct dash_line line, *dashes = NULL, *blocks = NULL;
	size_t n = 0, cap = 0, n_blocks = 0, cap_blocks = 0, cut_at = SIZE_MAX;
	while (cut_at == SIZE_MAX && next_dash(&scan, &line)) {
		if (n >= LIMIT_DASH_LINES ||
		    !arena_grow(arena, (void **)&dashes, n, &cap, sizeof(line)) ||
		    !arena_grow(arena, (void **)&blocks, n_blocks, &cap_blocks, sizeof(line))) {
			cut_at = line.offset;
			break;
		}
		dashes[n++] = line;
		size_t end = scan_block(&scan, scan.at, &cut_at);
		blocks[n_blocks++] = (struct dash_line){scan.at, end - scan.at};
		scan.at = end;
	}
	size_t end = cut_at == SIZE_MAX ? octets.n : cut_at;
	view->cut = cut_at != SIZE_MAX;
	view->dashes = dashes;
	view->n_dashes = n;
	view->body_at = content_type.n + 2;
	view->n = view->body_at + (end - body_offset);
	view->p = malloc(view->n + 1);
	if (!view->p)
		return -ENOMEM;
	if (content_type.n)
		memcpy(view->p, content_type.p, content_type.n);
	memcpy(view->p + content_type.n, "\r\n", 2);
	if (end > body_offset)
		memcpy(view->p + view->body_at, octets.p + body_offset, end - body_offset);
	mask_types(view->p, content_type.n);
	for (size_t i = 0; i < n_blocks; i++) {
		size_t from = blocks[i].offset;
		size_t length = from + blocks[i].length > end ? end - from : blocks[i].length;
		mask_types(view->p + view->body_at + (from - body_offset), from < end ? length : 0);
	}
	return 0;
}

void preflight_view_free(struct preflight_view *view)
{
	free(view->p);
	view->p = NULL;
}
