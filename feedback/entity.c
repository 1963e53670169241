#include "feedback/entity.h"

#include "base/digest.h"

/* Length of the first line with its line end. */
static size_t line_bytes(struct span s)
{
	size_t lf = span_find_char(s, '\n');
	return lf == SIZE_MAX ? s.n : lf + 1;
}

void entity_read(struct entity *e, struct span octets)
{
	for (size_t at = 0; at < octets.n;) {
		struct span rest = span_sub(octets, at, octets.n);
		size_t n = line_bytes(rest);
		if (span_trim(span_sub(rest, 0, n)).n == 0) {
			*e = (struct entity){span_sub(octets, 0, at), span_sub(rest, n, rest.n)};
			return;
		}
		at += n;
	}
	*e = (struct entity){octets, span_sub(octets, octets.n, octets.n)};
}

bool entity_next_field(struct span *header, struct span *name_r, struct span *body_r)
{
	if (header->n == 0)
		return false;
	size_t n = line_bytes(*header);
	while (n < header->n && (header->p[n] == ' ' || header->p[n] == '\t'))
		n += line_bytes(span_sub(*header, n, header->n));
	struct span field = span_sub(*header, 0, n);
	size_t colon = span_find_char(field, ':');
	*name_r = colon == SIZE_MAX ? SPAN("") : span_trim(span_sub(field, 0, colon));
	*body_r = colon == SIZE_MAX ? field : span_sub(field, colon + 1, field.n);
	*header = span_sub(*header, n, header->n);
	return true;
}

/* RFC 5322 section 2.2.3: a line end before a blank goes away. */
static struct span unfold(struct span body, struct arena *arena)
{
	body = span_trim(body);
	if (span_find_char(body, '\n') == SIZE_MAX)
		return body;
	char *out = arena_alloc(arena, body.n + 1);
	size_t n = 0;
	if (!out)
		return SPAN_NONE;
	for (size_t i = 0; i < body.n; i++)
		if (body.p[i] != '\r' && body.p[i] != '\n')
			out[n++] = body.p[i];
	return (struct span){out, n};
}

struct span entity_field(const struct entity *e, const char *name, size_t at, struct arena *arena)
{
	struct span header = e->header, found, body;
	while (entity_next_field(&header, &found, &body))
		if (span_case_eq(found, span_of(name)) && at-- == 0)
			return unfold(body, arena);
	return SPAN_NONE;
}

struct span entity_type(const struct entity *e, struct arena *arena)
{
	struct span value = entity_field(e, "content-type", 0, arena), type;
	if (!span_next_field(&value, ';', &type) || !span_trim(type).n)
		return SPAN("text/plain");
	return arena_lower(arena, span_trim(type));
}

/* Takes one `name=value` off; the value may be a quoted string with ';' inside. */
static bool next_parameter(struct span *rest, struct span *name_r, struct span *value_r)
{
	size_t equals = span_find_char(*rest, '=');
	if (equals == SIZE_MAX)
		return false;
	*name_r = span_trim(span_sub(*rest, 0, equals));
	*rest = span_sub(*rest, equals + 1, rest->n);
	while (rest->n && (rest->p[0] == ' ' || rest->p[0] == '\t'))
		*rest = span_sub(*rest, 1, rest->n);
	size_t end = 0;
	if (rest->n && rest->p[0] == '"') {
		for (end = 1; end < rest->n && rest->p[end] != '"'; end++)
			end += rest->p[end] == '\\';
		*value_r = span_sub(*rest, 1, end);
	} else {
		while (end < rest->n && rest->p[end] != ';')
			end++;
		*value_r = span_trim(span_sub(*rest, 0, end));
	}
	size_t semicolon = span_find_char(span_sub(*rest, end, rest->n), ';');
	*rest = semicolon == SIZE_MAX ? SPAN("") : span_sub(*rest, end + semicolon + 1, rest->n);
	return true;
}

struct span entity_parameter(const struct entity *e, const char *name, struct arena *arena)
{
	struct span rest = entity_field(e, "content-type", 0, arena), found, value;
	size_t semicolon = span_find_char(rest, ';');
	if (semicolon == SIZE_MAX)
		return SPAN_NONE;
	rest = span_sub(rest, semicolon + 1, rest.n);
	while (next_parameter(&rest, &found, &value))
		if (span_case_eq(found, span_of(name)))
			return value;
	return SPAN_NONE;
}

/* Whether a line is the boundary: 1, its close: 2, or neither: 0. */
static int boundary_line(struct span line, struct span boundary)
{
	if (line.n < boundary.n + 2 || line.p[0] != '-' || line.p[1] != '-' ||
	    memcmp(line.p + 2, boundary.p, boundary.n) != 0)
		return 0;
	struct span tail = span_trim(span_sub(line, boundary.n + 2, line.n));
	return tail.n == 0 ? 1 : span_starts(tail, SPAN("--")) ? 2 : 0;
}

size_t entity_parts(const struct entity *e, struct arena *arena, struct entity *parts, size_t max,
		    bool *closed_r)
{
	struct span boundary = entity_parameter(e, "boundary", arena), body = e->body;
	size_t n = 0, start = SIZE_MAX;
	*closed_r = false;
	if (!boundary.n || !span_starts(entity_type(e, arena), SPAN("multipart/")))
		return 0;
	for (size_t at = 0; at < body.n && !*closed_r;) {
		size_t bytes = line_bytes(span_sub(body, at, body.n));
		int kind = boundary_line(span_sub(body, at, at + bytes), boundary);
		if (kind && start != SIZE_MAX && n < max) {
			/* The line end before a boundary belongs to the boundary. */
			size_t end = at;
			if (end > start && body.p[end - 1] == '\n')
				end--;
			if (end > start && body.p[end - 1] == '\r')
				end--;
			entity_read(&parts[n++], span_sub(body, start, end));
		}
		at += bytes;
		if (kind)
			start = at;
		*closed_r = kind == 2;
	}
	if (!*closed_r && start != SIZE_MAX && n < max)
		entity_read(&parts[n++], span_sub(body, start, body.n));
	return n;
}

static int hex_digit(char c)
{
	c = ascii_lower(c);
	return ascii_is_digit(c) ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

size_t entity_decode_qp(struct span s, char *out)
{
	size_t n = 0;
	for (size_t i = 0; i < s.n; i++) {
		if (s.p[i] != '=' || i + 1 >= s.n) {
			out[n++] = s.p[i];
			continue;
		}
		size_t end = i + 1;
		while (end < s.n && (s.p[end] == ' ' || s.p[end] == '\t' || s.p[end] == '\r'))
			end++;
		if (end < s.n && s.p[end] == '\n') {
			i = end;
		} else if (i + 2 < s.n && hex_digit(s.p[i + 1]) >= 0 && hex_digit(s.p[i + 2]) >= 0) {
			out[n++] = (char)(hex_digit(s.p[i + 1]) * 16 + hex_digit(s.p[i + 2]));
			i += 2;
		} else {
			out[n++] = '=';
		}
	}
	return n;
}

struct span entity_decoded(const struct entity *e, struct arena *arena)
{
	struct span encoding = entity_field(e, "content-transfer-encoding", 0, arena);
	bool b64 = span_case_eq(encoding, SPAN("base64"));
	if (!b64 && !span_case_eq(encoding, SPAN("quoted-printable")))
		return e->body;
	char *out = arena_alloc(arena, e->body.n + 4);
	if (!out)
		return SPAN_NONE;
	size_t n = b64 ? base64_decode(e->body, out) : entity_decode_qp(e->body, out);
	return (struct span){out, n};
}
