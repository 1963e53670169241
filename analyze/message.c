/*
 * Order: header fields, then the tree and the text (they tell the charset that raw 8-bit header
 * fields are probably in), then what the fields say.
 */
#include "analyze/message.h"

#include <errno.h>

#include "analyze/mime.h"
#include "analyze/param.h"
#include "analyze/rfc2047.h"
#include "analyze/transfer.h"
#include "base/limits.h"
#include "base/utf8.h"

#define META_BYTES 4096 /* of HTML in which a charset declaration is looked for; browsers: 1,024 */

struct builder {
	struct message *m;
	size_t cap_parts;
	size_t text_left; /* of LIMIT_TEXT_BYTES */
	bool body_found;  /* a text part that is no attachment */
};

/* --- header fields ---------------------------------------------------------- */

static struct header *find_field(struct header *v, size_t n, struct span name)
{
	for (size_t i = 0; i < n; i++)
		if (v[i].name.n == name.n && span_case_eq(v[i].name, name))
			return &v[i];
	return NULL;
}

struct header *message_header(const struct message *m, const char *name,
			      const struct header *after)
{
	size_t from = after ? (size_t)(after - m->headers) + 1 : 0;
	if (from == m->n_headers)
		return NULL;
	return find_field(m->headers + from, m->n_headers - from, span_of(name));
}

struct span message_header_text(const struct message *m, struct header *header)
{
	if (!header->decoded) {
		header->text = rfc2047_decode(m->arena, header->body, m->hint, NULL);
		header->decoded = true;
	}
	return header->text;
}

/* --- parts ------------------------------------------------------------------ */

static struct span field_lower(struct arena *arena, struct header *h)
{
	struct span s = h ? span_trim(h->body) : SPAN_NONE;
	size_t end = 0;
	while (end < s.n && !ascii_is_space(s.p[end]) && s.p[end] != ';' && s.p[end] != '(')
		end++;
	return h ? arena_lower(arena, span_sub(s, 0, end)) : SPAN_NONE;
}

/* <meta charset="x"> or <meta http-equiv=... content="text/html; charset=x">. */
static struct span meta_charset(struct span html)
{
	html = span_sub(html, 0, META_BYTES);
	size_t at = span_case_find(html, SPAN("<meta"));
	while (at != SIZE_MAX) {
		html = span_sub(html, at + 5, html.n);
		size_t close = span_find_char(html, '>');
		struct span tag = span_sub(html, 0, close);
		size_t name = span_case_find(tag, SPAN("charset"));
		if (name != SIZE_MAX) {
			tag = span_trim(span_sub(tag, name + 7, tag.n));
			if (tag.n && tag.p[0] == '=') {
				tag = span_trim(span_sub(tag, 1, tag.n));
				size_t i = 0, from = tag.n && (*tag.p == '"' || *tag.p == '\'');
				for (i = from; i < tag.n && !ascii_is_space(tag.p[i]) &&
					       !strchr("\"'/;", tag.p[i]); i++)
					;
				return span_sub(tag, from, i);
			}
		}
		at = span_case_find(html, SPAN("<meta"));
	}
	return SPAN_NONE;
}

/* A base64 body one octet in so many of which is foreign to base64 is none: a gateway on the way
 * decoded it and left the field, and mail that was never encoded claims to be. What is damaged on
 * the way has far fewer. Such a body is read as it stands. */
#define FOREIGN_SHARE 8

/* The octets behind the transfer encoding, at most `room` of them. */
static struct span decode_transfer(struct builder *b, struct part *part, size_t room)
{
	struct message *m = b->m;
	struct span body = span_sub(m->octets, part->offset, part->offset + part->length);
	bool base64 = span_eq(part->encoding, SPAN("base64"));
	bool qp = span_eq(part->encoding, SPAN("quoted-printable"));
	if (!base64 && !qp) {
		if (body.n > room)
			part->flags |= PART_CUT;
		return span_sub(body, 0, room);
	}
	size_t need = base64 ? body.n / 4 * 3 + 3 : body.n;
	char *p = arena_room(m->arena, need < room ? need : room);
	if (!p)
		return SPAN_NONE;
	struct base64_state state = {0};
	struct transfer_result r = base64
		? base64_text_decode(&state, body, p, need < room ? need : room)
		: qp_decode(body, p, need < room ? need : room);
	if (r.cut)
		part->flags |= PART_CUT;
	if (base64 && r.foreign > body.n / FOREIGN_SHARE) {
		message_fault(m, FAULT_BAD_BASE64, part->offset + r.bad, 1);
		part->flags |= body.n > room ? PART_CUT : 0;
		return span_sub(body, 0, room);
	}
	if (r.bad != SIZE_MAX)
		message_fault(m, base64 ? FAULT_BAD_BASE64 : FAULT_BAD_QP, part->offset + r.bad, 1);
	return (struct span){p, r.n};
}

/* CRLF and lone CR become LF, NUL a blank. `s` itself when there is nothing to do. */
static struct span lf_lines(struct arena *arena, struct span s)
{
	if (span_find_char(s, '\r') == SIZE_MAX && span_find_char(s, '\0') == SIZE_MAX)
		return s;
	char *p = arena_room(arena, s.n);
	size_t n = 0;
	for (size_t i = 0; p && i < s.n;) {
		const char *cr = memchr(s.p + i, '\r', s.n - i);
		size_t run = (cr ? (size_t)(cr - s.p) : s.n) - i;
		memcpy(p + n, s.p + i, run);
		n += run;
		i += run;
		if (i < s.n) {
			i += i + 1 < s.n && s.p[i + 1] == '\n' ? 2 : 1;
			p[n++] = '\n';
		}
	}
	for (char *nul = p; nul && (nul = memchr(nul, '\0', n - (size_t)(nul - p)));)
		*nul = ' ';
	return p ? (struct span){p, n} : SPAN_NONE;
}

/* The charset of the first encoded word in Subject or From: the sender's, most likely; NULL: none. */
static const struct charset *words_charset(const struct message *m)
{
	static const char *const names[] = {"subject", "from"};
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		struct header *h = message_header(m, names[i], NULL);
		size_t at = h ? span_find(h->body, SPAN("=?")) : SIZE_MAX;
		if (at == SIZE_MAX)
			continue;
		struct span label = span_sub(h->body, at + 2, h->body.n);
		label = span_sub(label, 0, span_find_char(label, '?'));
		const struct charset *c = charset_find(label);
		if (c)
			return c;
	}
	return NULL;
}

static void read_text(struct builder *b, struct part *part)
{
	struct message *m = b->m;
	struct span octets = decode_transfer(b, part, b->text_left);
	struct span label = part->charset;
	if (!label.p && span_eq(part->type, SPAN("text/html")))
		label = meta_charset(octets);
	bool declared_7bit = !part->encoding.p || span_eq(part->encoding, SPAN("7bit"));
	if (declared_7bit && charset_ascii_run(octets) < octets.n)
		message_fault(m, FAULT_UNDECLARED_8BIT, part->offset + charset_ascii_run(octets),
			      1);
	const struct charset *hint = m->hint;
	if (!hint && !label.p && charset_ascii_run(octets) < octets.n)
		hint = words_charset(m);
	struct charset_text t = charset_decode(m->arena, octets, label, hint);
	part->flags |= t.guessed ? PART_CHARSET_GUESSED : 0;
	part->flags |= t.broken ? PART_CHARSET_BROKEN : 0;
	if (t.unknown)
		message_fault(m, FAULT_CHARSET_UNKNOWN, part->offset, 0);
	else if (part->charset.p && (t.broken || t.guessed))
		message_fault(m, FAULT_CHARSET_MISMATCH, part->offset, 0);
	/* Conversion may triple the octets: what is kept counts too. */
	if (t.text.n > b->text_left) {
		part->flags |= PART_CUT;
		t.text = utf8_cut(t.text, b->text_left);
	}
	b->text_left -= octets.n > t.text.n ? octets.n : t.text.n;
	if (part->flags & PART_CUT)
		m->partial = true;
	part->text = lf_lines(m->arena, t.text);
	if (!m->hint && charset_ascii_run(octets) < octets.n)
		m->hint = t.charset;
	b->body_found = true;
}

/* The fields of a part, or of the message when it has one part alone. */
struct part_fields {
	struct header *v;
	size_t n;
};

static void encoding_faults(struct message *m, const struct part *part, const struct header *h)
{
	static const char *const known[] = {"7bit", "8bit", "binary", "base64",
					    "quoted-printable"};
	for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++)
		if (span_eq(part->encoding, span_of(known[i])))
			return;
	message_fault(m, FAULT_UNKNOWN_ENCODING, h->offset, h->field.n);
}

static void add_part(struct builder *b, struct part_fields fields, const struct mime_node *node)
{
	struct message *m = b->m;
	if (!arena_grow(m->arena, (void **)&m->parts, m->n_parts, &b->cap_parts,
			sizeof(m->parts[0]))) {
		m->partial = true;
		return;
	}
	struct part *part = &m->parts[m->n_parts++];
	*part = (struct part){.depth = node->depth, .type = SPAN("text/plain"),
			      .offset = node->begin, .length = node->end - node->begin};
	struct header *type = find_field(fields.v, fields.n, SPAN("content-type"));
	struct header *disposition =
		find_field(fields.v, fields.n, SPAN("content-disposition"));
	struct header *encoding =
		find_field(fields.v, fields.n, SPAN("content-transfer-encoding"));
	struct header *id = find_field(fields.v, fields.n, SPAN("content-id"));
	struct params p = {.n = 0}, d = {.n = 0};
	if (type) {
		params_read(&p, m->arena, type->body, m->hint);
		size_t slash = span_find_char(p.value, '/');
		bool ok = slash != SIZE_MAX && slash > 0 && slash + 1 < p.value.n;
		if (ok)
			part->type = p.value;
		if (p.bad || !ok)
			message_fault(m, FAULT_BAD_CONTENT_TYPE, type->offset, type->field.n);
		const struct param *charset = params_find(&p, "charset");
		if (charset && span_trim(charset->raw).n)
			part->charset = arena_lower(m->arena, span_trim(charset->raw));
	}
	if (disposition)
		params_read(&d, m->arena, disposition->body, m->hint);
	const struct param *name = params_find(&d, "filename");
	if (!name)
		name = params_find(&p, "name");
	part->filename = name ? name->value : SPAN_NONE;
	part->cid = id ? span_trim(id->body) : SPAN_NONE;
	part->encoding = field_lower(m->arena, encoding);
	if (encoding)
		encoding_faults(m, part, encoding);
	bool text = span_starts(part->type, SPAN("text/"));
	/* A name alone makes no attachment of the first text: readers show it as the body. */
	if (span_eq(d.value, SPAN("attachment")) ||
	    (part->filename.p && !span_eq(d.value, SPAN("inline")) && !(text && !b->body_found)))
		part->flags |= PART_ATTACHMENT;
	if (text && !(part->flags & PART_ATTACHMENT))
		read_text(b, part);
}

/* --- multiparts -------------------------------------------------------------- */

static void check_multipart(struct message *m, const struct preflight_view *view,
			    struct part_fields fields)
{
	struct header *type = find_field(fields.v, fields.n, SPAN("content-type"));
	struct header *encoding =
		find_field(fields.v, fields.n, SPAN("content-transfer-encoding"));
	struct span code = field_lower(m->arena, encoding);
	if (span_eq(code, SPAN("base64")) || span_eq(code, SPAN("quoted-printable")))
		message_fault(m, FAULT_ENCODED_MULTIPART, encoding->offset, encoding->field.n);
	if (!type)
		return;
	struct params p;
	params_read(&p, m->arena, type->body, m->hint);
	const struct param *boundary = params_find(&p, "boundary");
	struct span b = boundary ? boundary->raw : SPAN_NONE;
	bool opened = false, closed = false;
	for (size_t i = 0; b.n && i < view->n_dashes && !closed; i++) {
		struct span line = span_sub(m->octets, view->dashes[i].offset,
					    view->dashes[i].offset + view->dashes[i].length);
		if (line.n < b.n + 2 || !span_starts(span_sub(line, 2, line.n), b))
			continue;
		opened = true;
		closed = line.n == b.n + 4 && span_ends(line, SPAN("--"));
	}
	if (!opened)
		message_fault(m, FAULT_MISSING_BOUNDARY, type->offset, type->field.n);
	else if (!closed && !view->cut)
		message_fault(m, FAULT_UNTERMINATED_MULTIPART, type->offset, type->field.n);
}

static void read_node(struct builder *b, const struct preflight_view *view,
		      const struct mime_node *node, unsigned *multiparts)
{
	struct message *m = b->m;
	struct part_fields fields = {NULL, 0};
	if (node->depth == 0) {
		fields = (struct part_fields){m->headers, m->n_headers};
	} else if (node->has_header) {
		struct preflight_header h;
		size_t end = node->multipart ? m->octets.n : node->begin;
		preflight_header(&h, m->arena, span_sub(m->octets, node->header, end),
				 node->header);
		fields = (struct part_fields){h.v, h.n};
	}
	if (!node->multipart)
		add_part(b, fields, node);
	else if (++*multiparts <= LIMIT_MIME_DEPTH)
		check_multipart(m, view, fields);
}

static int read_multipart(struct builder *b, struct span content_type)
{
	struct message *m = b->m;
	struct preflight_view view;
	struct mime_tree tree;
	unsigned multiparts = 0;
	int r = preflight_view(&view, m->arena, m->octets, m->body_offset, content_type);
	if (r < 0)
		return r;
	r = mime_read(&tree, m->arena, &view);
	m->partial = m->partial || tree.cut || r < 0;
	for (size_t i = 0; i < tree.n; i++)
		read_node(b, &view, &tree.v[i], &multiparts);
	preflight_view_free(&view);
	return 0;
}

static int read_parts(struct message *m)
{
	struct builder b = {.m = m, .text_left = LIMIT_TEXT_BYTES};
	struct header *type = message_header(m, "content-type", NULL);
	int r = 0;
	if (type && span_case_starts(span_trim(type->body), SPAN("multipart/")))
		r = read_multipart(&b, type->field);
	/* One part, or a multipart in which none was found: readers show it as text. */
	if (r == 0 && m->n_parts == 0) {
		struct mime_node node = {.begin = m->body_offset, .end = m->octets.n};
		struct part_fields fields = {m->headers, m->n_headers};
		add_part(&b, fields, &node);
		struct part *part = m->n_parts ? &m->parts[0] : NULL;
		if (part && span_starts(part->type, SPAN("multipart/"))) {
			part->type = SPAN("text/plain");
			part->flags &= ~(unsigned)PART_ATTACHMENT;
			read_text(&b, part);
		}
	}
	return r;
}

const struct part *message_part(const struct message *m, const char *type)
{
	for (size_t i = 0; i < m->n_parts; i++)
		if (!(m->parts[i].flags & PART_ATTACHMENT) &&
		    span_eq(m->parts[i].type, span_of(type)))
			return &m->parts[i];
	return NULL;
}

/* --- what the fields say ------------------------------------------------------ */

struct word_fault {
	unsigned bit;
	enum fault_kind kind;
};

static const struct word_fault text_rows[] = {
	{RFC2047_BAD_WORD, FAULT_BAD_ENCODED_WORD}, {RFC2047_LONG_WORD, FAULT_LONG_ENCODED_WORD},
	{RFC2047_UNKNOWN, FAULT_CHARSET_UNKNOWN},   {RFC2047_MISMATCH, FAULT_CHARSET_MISMATCH},
};

static const struct word_fault name_rows[] = {
	{ADDRESS_BAD_WORD, FAULT_BAD_ENCODED_WORD}, {ADDRESS_LONG_WORD, FAULT_LONG_ENCODED_WORD},
	{ADDRESS_UNKNOWN, FAULT_CHARSET_UNKNOWN},   {ADDRESS_MISMATCH, FAULT_CHARSET_MISMATCH},
};

static void word_faults(struct message *m, const struct header *h, unsigned faults,
			const struct word_fault rows[4])
{
	for (size_t i = 0; i < 4; i++)
		if (faults & rows[i].bit)
			message_fault(m, rows[i].kind, h->offset, h->field.n);
}

static void read_addresses(struct message *m)
{
	const struct {
		const char *name;
		struct addresses *list;
		enum fault_kind bad;
	} rows[] = {
		{"from", &m->from, FAULT_BAD_FROM},
		{"sender", &m->sender, FAULT_BAD_SENDER},
		{"reply-to", &m->reply_to, FAULT_BAD_REPLY_TO},
		{"to", &m->to, FAULT_BAD_TO},
		{"cc", &m->cc, FAULT_BAD_CC},
	};
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct header *h = message_header(m, rows[i].name, NULL);
		struct addresses *list = rows[i].list;
		unsigned faults = 0;
		if (!h)
			continue;
		addresses_read(list, m->arena, h->body, m->hint, &faults);
		bool group = faults & ADDRESS_GROUP;
		if (faults & ADDRESS_BAD || (list->total == 0 && !group) ||
		    (list == &m->sender && list->total != 1))
			message_fault(m, rows[i].bad, h->offset, h->field.n);
		word_faults(m, h, faults, name_rows);
		if (faults & ADDRESS_CUT)
			m->partial = true;
	}
	if (!message_header(m, "from", NULL))
		message_fault(m, FAULT_NO_FROM, 0, 0);
	if (m->from.total > 1 && m->sender.total == 0) {
		const struct header *h = message_header(m, "from", NULL);
		message_fault(m, FAULT_SEVERAL_FROM_NO_SENDER, h->offset, h->field.n);
	}
}

static void read_fields(struct message *m)
{
	for (size_t i = 0; i < m->n_headers; i++)
		if (charset_ascii_run(m->headers[i].field) < m->headers[i].field.n)
			message_fault(m, FAULT_BIT8_HEADER, m->headers[i].offset,
				      m->headers[i].field.n);
	read_addresses(m);
	struct header *subject = message_header(m, "subject", NULL);
	if (subject) {
		unsigned faults = 0;
		subject->text = rfc2047_decode(m->arena, subject->body, m->hint, &faults);
		subject->decoded = true;
		word_faults(m, subject, faults, text_rows);
		m->subject = subject->text.p ? subject->text : SPAN("");
	}
	struct header *id = message_header(m, "message-id", NULL);
	if (id)
		m->message_id = message_header_text(m, id);
}

int message_parse(struct message *m, struct arena *arena, struct span octets)
{
	struct preflight_header h;
	*m = (struct message){.arena = arena, .octets = octets};
	if (!octets.p)
		m->octets = SPAN("");
	preflight_header(&h, arena, m->octets, 0);
	m->headers = h.v;
	m->n_headers = h.n;
	m->body_offset = h.body_offset;
	m->partial = h.cut;
	format_faults(m, &h);
	int r = read_parts(m);
	if (r < 0)
		return r;
	read_fields(m);
	m->partial = m->partial || arena->overflowed;
	return 0;
}
