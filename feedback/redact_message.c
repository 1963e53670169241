/*
 * Header fields and whole messages. A field is one of three:
 *
 *   the sender's own    Message-ID, List-*, Feedback-ID, CFBL-*, DKIM-Signature, Return-Path, X-*:
 *                       kept octet by octet, even when an address is part of it (VERP): that is
 *                       how he finds his subscriber, and he put it there. A field that is
 *                       nothing but the address is a recipient field, whatever its name.
 *   a recipient field   To, Cc, Delivered-To ...: written anew from the addresses in it.
 *   any other           searched; written anew in UTF-8 when the address stands in encoded words.
 *
 * Our own fields are left out: what stands above the first Received field that names our host
 * was added behind our gateway, and X-Assay-*, Authentication-Results with our name, and further
 * Received fields of ours wherever they stand.
 */
#include "base/digest.h"
#include "base/limits.h"
#include "feedback/entity.h"
#include "feedback/redact_private.h"

static bool name_in(struct span name, const char *const *names, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (span_case_eq(name, span_of(names[i])))
			return true;
	return false;
}

static bool is_recipient_field(struct span name)
{
	static const char *const names[] = {
		"to", "cc", "bcc", "resent-to", "resent-cc", "resent-bcc", "delivered-to",
		"x-delivered-to", "x-original-to", "envelope-to", "x-envelope-to", "apparently-to",
		"x-apparently-to", "x-forwarded-to", "x-forwarded-for", "x-rcpt-to", "x-receiver",
		"x-recipient", "original-recipient", "final-recipient", "x-original-recipient",
		"x-hmxmroriginalrecipient", "x-real-to", "disposition-notification-to",
	};
	return name_in(name, names, sizeof(names) / sizeof(names[0]));
}

static bool is_senders_own(struct span name)
{
	static const char *const names[] = {
		"message-id", "references", "in-reply-to", "feedback-id", "dkim-signature",
		"domainkey-signature", "return-path",
	};
	return name_in(name, names, sizeof(names) / sizeof(names[0])) ||
	       span_case_starts(name, SPAN("list-")) || span_case_starts(name, SPAN("cfbl-")) ||
	       span_case_starts(name, SPAN("arc-")) || span_case_starts(name, SPAN("x-"));
}

/* --- addresses in a text --------------------------------------------------------- */

static bool local_char(char c)
{
	return ascii_is_alpha(c) || ascii_is_digit(c) || (unsigned char)c >= 0x80 ||
	       (c && strchr("!#$%&'*+-/=?^_`{|}~.", c));
}

static bool domain_text_char(char c)
{
	return ascii_is_alpha(c) || ascii_is_digit(c) || (unsigned char)c >= 0x80 || c == '-' ||
	       c == '.';
}

/* The next thing that looks like an address at or behind *at; junk is passed over. */
static bool next_address(struct span text, size_t *at, struct span *address_r)
{
	for (size_t i = *at; i < text.n; i++) {
		if (text.p[i] != '@')
			continue;
		size_t from = i, to = i + 1;
		if (from > *at && text.p[from - 1] == '"') {
			from--;
			while (from > *at && text.p[from - 1] != '"')
				from--;
			from -= from > *at;
		}
		while (from > *at && local_char(text.p[from - 1]))
			from--;
		while (to < text.n && domain_text_char(text.p[to]))
			to++;
		if (from == i || to == i + 1)
			continue;
		*address_r = span_sub(text, from, to);
		*at = to;
		return true;
	}
	return false;
}

static bool is_author(const struct message *m, struct span address)
{
	const struct addresses *lists[] = {&m->from, &m->sender, &m->reply_to};
	for (size_t k = 0; k < 3; k++)
		for (size_t i = 0; i < lists[k]->n; i++)
			if (span_case_eq(lists[k]->v[i].addr, address))
				return true;
	return false;
}

/* RFC 5321 section 4.4: "for" Path. */
static struct span received_for(struct span text)
{
	for (size_t at = 0;;) {
		size_t found = span_case_find(span_sub(text, at, text.n), SPAN("for"));
		if (found == SIZE_MAX)
			return SPAN_NONE;
		at += found + 3;
		if (at >= text.n || (text.p[at] != ' ' && text.p[at] != '<') ||
		    (at > 3 && !ascii_is_space(text.p[at - 4]) && text.p[at - 4] != ')'))
			continue;
		struct span rest = span_sub(text, at, text.n), word;
		if (!span_next_word(&rest, &word))
			return SPAN_NONE;
		size_t from = 0;
		if (next_address(word, &from, &word))
			return word;
	}
}

void redactor_add_message(struct redactor *r, const struct message *m)
{
	for (size_t i = 0; i < m->n_headers; i++) {
		struct header *h = &m->headers[i];
		struct span address;
		if (span_case_eq(h->name, SPAN("received"))) {
			address = received_for(message_header_text(m, h));
			if (address.n)
				redactor_add(r, address);
		}
		if (!is_recipient_field(h->name))
			continue;
		struct span text = message_header_text(m, h);
		for (size_t at = 0; next_address(text, &at, &address);)
			if (!is_author(m, address))
				redactor_add(r, address);
	}
}

/* --- fields ------------------------------------------------------------------------- */

/* RFC 2047 B words of UTF-8; each word is at most 75 octets and holds whole characters. */
void redact_encode_words(struct span text, struct arena *arena, struct buf *out)
{
	if (utf8_is_ascii(text) && text.n < 900 && span_find_char(text, '\n') == SIZE_MAX) {
		buf_add(out, text);
		return;
	}
	bool first = true;
	while (text.n) {
		struct span piece = utf8_cut(text, 45);
		if (!piece.n)
			piece = span_sub(text, 0, 1);
		struct span code = base64_encode(arena, piece);
		buf_addf(out, "%s=?UTF-8?B?%.*s?=", first ? "" : "\r\n ", SPAN_ARG(code));
		text = span_sub(text, piece.n, text.n);
		first = false;
	}
}

static void write_recipients(struct redactor *r, struct span name, struct span text,
			     struct buf *out)
{
	struct span address;
	size_t n = 0;
	buf_addf(out, "%.*s: ", SPAN_ARG(name));
	for (size_t at = 0; next_address(text, &at, &address); n++)
		buf_addf(out, "%s<%.*s>", n ? ",\r\n\t" : "", SPAN_ARG(redactor_show(r, address)));
	buf_adds(out, n ? "\r\n" : "undisclosed-recipients:;\r\n");
}

/* Nothing but one address that we hide: "<wang@receiver.example>". */
static bool is_bare_recipient(struct redactor *r, struct span text)
{
	struct span address;
	size_t at = 0;
	text = span_trim(text);
	if (text.n > 2 && text.p[0] == '<' && text.p[text.n - 1] == '>')
		text = span_sub(text, 1, text.n - 1);
	if (!next_address(text, &at, &address) || address.n != text.n)
		return false;
	return redactor_hides(r, text);
}

void redact_field(struct redactor *r, struct span name, struct span field, struct span decoded,
		  struct buf *out)
{
	size_t colon = span_find_char(field, ':');
	struct span body = colon == SIZE_MAX ? field : span_sub(field, colon + 1, field.n);
	if (is_recipient_field(name) && !span_case_eq(name, SPAN("disposition-notification-to"))) {
		write_recipients(r, name, decoded, out);
		return;
	}
	if (is_senders_own(name)) {
		if (is_bare_recipient(r, body))
			write_recipients(r, name, body, out);
		else
			buf_add(out, field);
		return;
	}
	/* Encoded words first: what they hide is rewritten with them. */
	struct span shown = redact_text(r, decoded);
	if (shown.p != decoded.p && span_find(body, SPAN("=?")) != SIZE_MAX) {
		buf_addf(out, "%.*s: ", SPAN_ARG(name));
		redact_encode_words(shown, redactor_arena(r), out);
		buf_adds(out, "\r\n");
		return;
	}
	struct span same = redact_text(r, field);
	if (same.p != field.p && !span_ends(same, SPAN("\r\n")))
		same = arena_printf(redactor_arena(r), "%.*s\r\n", SPAN_ARG(span_trim(same)));
	buf_add(out, same);
}

static bool received_by(struct span text, struct span host)
{
	struct span word, rest = text;
	bool by = false;
	while (span_next_word(&rest, &word)) {
		while (word.n && (word.p[word.n - 1] == ';' || word.p[word.n - 1] == '.'))
			word.n--;
		if (by)
			return span_case_eq(word, host);
		by = span_case_eq(word, SPAN("by"));
	}
	return false;
}

static bool is_ours(const struct message *m, struct header *h, struct span host)
{
	if (span_case_starts(h->name, SPAN("x-assay-")))
		return true;
	if (!host.n)
		return false;
	if (span_case_eq(h->name, SPAN("received")))
		return received_by(message_header_text(m, h), host);
	if (!span_case_eq(h->name, SPAN("authentication-results")) &&
	    !span_case_eq(h->name, SPAN("received-spf")))
		return false;
	struct span text = span_trim(message_header_text(m, h)), id;
	return span_next_field(&text, ';', &id) && span_next_word(&id, &text) &&
	       span_case_eq(text, host);
}

/* Index of the first field that came from outside. */
static size_t first_foreign(const struct message *m, struct span host)
{
	for (size_t i = 0; host.n && i < m->n_headers; i++)
		if (span_case_eq(m->headers[i].name, SPAN("received")) &&
		    received_by(message_header_text(m, &m->headers[i]), host))
			return i + 1;
	return 0;
}

static void write_header(struct redactor *r, struct message *m, enum redact_profile profile,
			 struct span host, struct buf *out)
{
	size_t foreign = first_foreign(m, host);
	for (size_t i = 0; i < m->n_headers; i++) {
		struct header *h = &m->headers[i];
		if (profile == REDACT_IDS_ONLY && !span_case_eq(h->name, SPAN("message-id")) &&
		    !span_case_eq(h->name, SPAN("cfbl-feedback-id")))
			continue;
		if ((i < foreign && !span_case_eq(h->name, SPAN("return-path"))) ||
		    is_ours(m, h, host))
			continue;
		redact_field(r, h->name, h->field, message_header_text(m, h), out);
	}
}

/* --- bodies --------------------------------------------------------------------------- */

static void write_base64(struct redactor *r, struct span text, struct buf *out)
{
	for (size_t at = 0; at < text.n; at += 57) {
		struct span code = base64_encode(redactor_arena(r), span_sub(text, at, at + 57));
		buf_addf(out, "%.*s\r\n", SPAN_ARG(code));
	}
}

static void write_qp(struct span text, struct buf *out)
{
	size_t column = 0;
	for (size_t i = 0; i < text.n; i++) {
		unsigned char c = (unsigned char)text.p[i];
		bool line_end = c == '\r' && i + 1 < text.n && text.p[i + 1] == '\n';
		if (line_end) {
			buf_adds(out, "\r\n");
			column = 0;
			i++;
			continue;
		}
		if (column >= 72) {
			buf_adds(out, "=\r\n");
			column = 0;
		}
		if (c < 32 || c > 126 || c == '=' || c == ' ') {
			buf_addf(out, "=%02X", c);
			column += 3;
		} else {
			buf_addc(out, (char)c);
			column++;
		}
	}
}

static void write_leaf(struct redactor *r, const struct part *part, struct span body,
		       struct buf *out)
{
	struct arena *arena = redactor_arena(r);
	bool b64 = span_case_eq(part->encoding, SPAN("base64"));
	bool qp = span_case_eq(part->encoding, SPAN("quoted-printable"));
	if ((!span_starts(part->type, SPAN("text/")) && !span_starts(part->type, SPAN("message/"))) ||
	    (part->flags & PART_ATTACHMENT && !span_starts(part->type, SPAN("message/")))) {
		char hash[SHA256_TEXT_BYTES];
		buf_addf(out, "[%zu octets of %.*s removed, sha256 %s]\r\n", body.n,
			 SPAN_ARG(part->type), sha256_text(body, hash));
		return;
	}
	if (!b64 && !qp) {
		buf_add(out, redact_text(r, body));
		return;
	}
	char *text = arena_alloc(arena, body.n + 4);
	if (!text)
		return;
	struct span decoded = {text, 0};
	decoded.n = b64 ? base64_decode(body, text) : entity_decode_qp(body, text);
	struct span shown = redact_text(r, decoded);
	/* The raw form is searched too: text that is no code at all is read as it stands. */
	if (shown.p == decoded.p)
		buf_add(out, b64 ? body : redact_text(r, body));
	else if (b64)
		write_base64(r, shown, out);
	else
		write_qp(shown, out);
}

/* What stands between leaves: boundaries, headers of parts, preamble and epilogue. */
static void write_structure(struct redactor *r, struct span text, struct buf *out)
{
	struct arena *arena = redactor_arena(r);
	while (text.n) {
		struct span rest = text, line;
		span_next_line(&rest, &line);
		size_t n = text.n - rest.n;
		while (rest.n && (rest.p[0] == ' ' || rest.p[0] == '\t') && n > 2) {
			span_next_line(&rest, &line);
			n = text.n - rest.n;
		}
		struct span field = span_sub(text, 0, n), decoded = field;
		struct message one;
		if (span_find(field, SPAN("=?")) != SIZE_MAX &&
		    message_parse(&one, arena, field) == 0 && one.n_headers)
			decoded = message_header_text(&one, &one.headers[0]);
		struct span shown = redact_text(r, field);
		if (shown.p == field.p && decoded.p != field.p && redact_finds(r, decoded))
			buf_addf(out, "%.*s: redacted\r\n", SPAN_ARG(one.headers[0].name));
		else
			buf_add(out, shown);
		text = span_sub(text, n, text.n);
	}
}

static void write_body(struct redactor *r, struct message *m, struct buf *out)
{
	size_t at = m->body_offset;
	for (size_t i = 0; i < m->n_parts; i++) {
		const struct part *part = &m->parts[i];
		if (part->offset < at || part->offset + part->length > m->octets.n)
			continue;
		write_structure(r, span_sub(m->octets, at, part->offset), out);
		write_leaf(r, part, span_sub(m->octets, part->offset, part->offset + part->length),
			   out);
		at = part->offset + part->length;
	}
	write_structure(r, span_sub(m->octets, at, m->octets.n), out);
}

void redact_message(struct redactor *r, struct message *m, enum redact_profile profile,
		    struct span host, struct buf *out, bool *whole_r, bool *eight_bit_r)
{
	size_t start = out->n;
	*whole_r = profile == REDACT_FULL && m->octets.n <= LIMIT_REPORT_MESSAGE_BYTES && !m->partial;
	write_header(r, m, profile, host, out);
	if (*whole_r) {
		buf_adds(out, "\r\n");
		write_body(r, m, out);
	}
	*eight_bit_r = !utf8_is_ascii(span_sub(buf_span(out), start, out->n));
}
