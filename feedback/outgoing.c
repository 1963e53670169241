#include "feedback/outgoing.h"

#include "base/clock.h"
#include "base/digest.h"
#include "base/utf8.h"
#include "feedback/redact.h"

void outgoing_field(struct buf *out, const char *name, struct span value)
{
	buf_addf(out, "%s: ", name);
	for (size_t i = 0; i < value.n; i++) {
		unsigned char c = (unsigned char)value.p[i];
		buf_addc(out, c < 32 || c == 127 ? ' ' : c > 127 ? '?' : (char)c);
	}
	buf_adds(out, "\r\n");
}

void outgoing_begin(struct outgoing *m, struct buf *out, struct arena *arena)
{
	char date[CLOCK_TEXT_BYTES];
	m->out = out;
	m->arena = arena;
	outgoing_field(out, "From", m->from);
	outgoing_field(out, "To", m->to);
	buf_adds(out, "Subject: ");
	redact_encode_words(m->subject, arena, out);
	buf_adds(out, "\r\n");
	outgoing_field(out, "Date", span_of(clock_rfc5322(m->now_us, date)));
	outgoing_field(out, "Message-ID", m->message_id);
	if (m->in_reply_to.n)
		outgoing_field(out, "In-Reply-To", m->in_reply_to);
	outgoing_field(out, "Auto-Submitted",
		       m->in_reply_to.n ? SPAN("auto-replied") : SPAN("auto-generated"));
	/* Every octet of the parts is 7 bit and none of them can hold the boundary: base64. */
	buf_addf(out, "MIME-Version: 1.0\r\nContent-Type: multipart/mixed; "
		      "boundary=\"=_assay_%.*s\"\r\n", SPAN_ARG(m->id));
}

static void part(struct outgoing *m)
{
	buf_addf(m->out, "\r\n--=_assay_%.*s\r\n", SPAN_ARG(m->id));
}

static void add_base64(struct outgoing *m, struct span octets)
{
	buf_adds(m->out, "Content-Transfer-Encoding: base64\r\n\r\n");
	struct span code = base64_encode(m->arena, octets);
	for (size_t at = 0; at < code.n; at += 76) {
		buf_add(m->out, span_sub(code, at, at + 76));
		buf_adds(m->out, "\r\n");
	}
	m->out->failed |= m->arena->overflowed;
}

/* Plain ASCII in short lines stands as it is: people read sources of such mails. */
static bool plain(struct span text)
{
	size_t length = 0;
	for (size_t i = 0; i < text.n; i++) {
		length = text.p[i] == '\n' ? 0 : length + 1;
		if (length > 900 || (length == 1 && text.p[i] == '-'))
			return false;
	}
	return utf8_is_ascii(text);
}

void outgoing_text(struct outgoing *m, struct span text)
{
	part(m);
	bool as_is = plain(text);
	buf_addf(m->out, "Content-Type: text/plain; charset=%s\r\n", as_is ? "us-ascii" : "utf-8");
	if (!as_is) {
		add_base64(m, text);
		return;
	}
	buf_adds(m->out, "Content-Transfer-Encoding: 7bit\r\n\r\n");
	struct span line;
	while (span_next_line(&text, &line)) {
		buf_add(m->out, line);
		buf_adds(m->out, "\r\n");
	}
}

void outgoing_attach(struct outgoing *m, const char *type, const char *name, struct span octets)
{
	part(m);
	buf_addf(m->out, "Content-Type: %s\r\nContent-Disposition: attachment; filename=\"%s\"\r\n",
		 type, name);
	add_base64(m, octets);
}

void outgoing_end(struct outgoing *m)
{
	buf_addf(m->out, "\r\n--=_assay_%.*s--\r\n", SPAN_ARG(m->id));
}
