#include "capture/mbox.h"

/* A separator has a year, so that a sentence beginning with "From " does not end a message. Real
 * ones end in "2004", "2004 +0200" or "04 remote from host". */
static bool has_year(struct span s)
{
	for (size_t i = 0; i + 4 <= s.n; i++) {
		bool starts = (s.p[i] == '1' && s.p[i + 1] == '9') ||
			      (s.p[i] == '2' && s.p[i + 1] == '0');
		if (starts && ascii_is_digit(s.p[i + 2]) && ascii_is_digit(s.p[i + 3]) &&
		    (i == 0 || !ascii_is_digit(s.p[i - 1])) &&
		    (i + 4 == s.n || !ascii_is_digit(s.p[i + 4])))
			return true;
	}
	return false;
}

bool mbox_is_separator(struct span line)
{
	if (!span_starts(line, SPAN("From ")))
		return false;
	struct span rest = span_sub(line, 5, line.n), colon = rest;
	/* the time of day: "12:34" */
	size_t at = span_find_char(colon, ':');
	return at != SIZE_MAX && at > 0 && ascii_is_digit(colon.p[at - 1]) && has_year(rest);
}

/* The line that starts at `at`, without its end; `*next_r` is where the following one starts. */
static struct span line_at(struct span s, size_t at, size_t *next_r)
{
	struct span rest = span_sub(s, at, s.n), line = SPAN_NONE;
	span_next_line(&rest, &line);
	*next_r = s.n - rest.n;
	return line;
}

/* Where the header ends (behind the empty line), and Content-Length when there is a usable one. */
static size_t read_header(struct span s, size_t at, uint64_t *length_r, bool *has_length_r,
			  bool *any_field_r)
{
	*has_length_r = *any_field_r = false;
	while (at < s.n) {
		size_t next;
		struct span line = line_at(s, at, &next);
		if (line.n == 0)
			return next;
		size_t colon = span_find_char(line, ':');
		if (colon != SIZE_MAX && colon > 0 && !ascii_is_space(line.p[0]))
			*any_field_r = true;
		if (span_case_starts(line, SPAN("content-length:")))
			*has_length_r = span_number(span_trim(span_sub(line, 15, line.n)),
						    UINT64_MAX / 2, length_r);
		at = next;
	}
	return s.n;
}

/* Whether `at` is the end of the file or, after blank lines, the start of a separator. */
static bool ends_at(struct span s, size_t at, size_t *separator_r)
{
	for (int blank = 0; at < s.n && blank < 3; blank++) {
		size_t next;
		struct span line = line_at(s, at, &next);
		if (mbox_is_separator(line)) {
			*separator_r = at;
			return true;
		}
		if (line.n)
			return false;
		at = next;
	}
	*separator_r = s.n;
	return at >= s.n;
}

static size_t find_separator(struct span s, size_t at)
{
	while (at < s.n) {
		size_t hit = span_find(span_sub(s, at, s.n), SPAN("\nFrom "));
		if (hit == SIZE_MAX)
			return s.n;
		size_t line_start = at + hit + 1, next;
		/* behind an empty line: LF LF or LF CR LF */
		bool blank_before = (line_start >= 2 && s.p[line_start - 2] == '\n') ||
				    (line_start >= 3 && s.p[line_start - 2] == '\r' &&
				     s.p[line_start - 3] == '\n') ||
				    line_start == at + 1;
		if (blank_before && mbox_is_separator(line_at(s, line_start, &next)))
			return line_start;
		at = line_start;
	}
	return s.n;
}

bool mbox_next(struct span *rest, struct mbox_message *m)
{
	struct span s = *rest;
	if (s.n == 0)
		return false;
	size_t start, end, separator;
	struct span from_line = line_at(s, 0, &start);
	*m = (struct mbox_message){.from_line = span_sub(from_line, 5, from_line.n), .quoted = true};
	/* Nothing between two separators. A search for the end of that header would run to the end of
	 * the file, for each line of one that has only separators. */
	if (mbox_is_separator(line_at(s, start, &end))) {
		m->damaged = true;
		m->octets = span_sub(s, start, start);
		*rest = span_sub(s, start, s.n);
		return true;
	}
	uint64_t length = 0;
	bool has_length, any_field;
	size_t body = read_header(s, start, &length, &has_length, &any_field);
	m->damaged = !any_field;
	if (has_length && length <= s.n - body && ends_at(s, body + length, &separator)) {
		end = body + length;
		/* mboxcl quotes, mboxcl2 does not: an unquoted one inside tells. */
		m->quoted = span_find(span_sub(s, body, end), SPAN("\nFrom ")) == SIZE_MAX;
	} else {
		/* a header without an empty line may run into the next message */
		separator = find_separator(s, start > 0 ? start - 1 : 0);
		end = separator;
		if (end > start && s.p[end - 1] == '\n' && separator < s.n) {
			end--; /* the empty line that the format adds */
			if (end > start && s.p[end - 1] == '\r')
				end--;
		}
	}
	m->octets = span_sub(s, start, end < start ? start : end);
	*rest = span_sub(s, separator > start ? separator : start, s.n);
	return true;
}
