#include "feedback/arf_read.h"

#include "base/limits.h"
#include "feedback/entity.h"

/* Parts of one multipart that are looked at. */
#define PARTS 32

static bool is_message(const struct entity *part, struct arena *arena)
{
	struct span type = entity_type(part, arena);
	if (span_eq(type, SPAN("message/rfc822")) || span_eq(type, SPAN("message/global")))
		return true;
	struct span name = entity_parameter(part, "name", arena);
	struct span disposition = entity_field(part, "content-disposition", 0, arena);
	return (span_eq(type, SPAN("application/octet-stream")) ||
		span_eq(type, SPAN("text/plain"))) &&
	       (span_case_ends(name, SPAN(".eml")) ||
		span_case_find(disposition, SPAN(".eml")) != SIZE_MAX);
}

/* The first attached message, level by level; what lies deeper than a forward of a forward is
 * part of the message complained about. */
static bool find_attached(const struct entity *top, struct arena *arena, struct span *message_r)
{
	struct entity level[PARTS] = {*top}, next[PARTS];
	size_t n = 1;
	bool closed;
	for (unsigned depth = 0; depth < 4 && n; depth++) {
		size_t m = 0;
		for (size_t i = 0; i < n; i++) {
			struct span type = entity_type(&level[i], arena);
			struct entity parts[PARTS];
			size_t k = entity_parts(&level[i], arena, parts, PARTS, &closed);
			for (size_t at = 0; at < k; at++) {
				/* RFC 2046 section 5.1.5: the default inside a digest */
				bool digest = span_eq(type, SPAN("multipart/digest")) &&
					      !entity_field(&parts[at], "content-type", 0, arena).p;
				if (digest || is_message(&parts[at], arena)) {
					*message_r = entity_decoded(&parts[at], arena);
					return message_r->n > 0;
				}
				if (m < PARTS)
					next[m++] = parts[at];
			}
		}
		memcpy(level, next, m * sizeof(*next));
		n = m;
	}
	return false;
}

/* "rfc822; wang@receiver.example", "<wang@receiver.example>" or the address alone. */
static struct span bare_address(struct span s)
{
	size_t semicolon = span_find_char(s, ';');
	if (semicolon != SIZE_MAX)
		s = span_sub(s, semicolon + 1, s.n);
	size_t from = span_find_char(s, '<'), to = span_rfind_char(s, '>');
	if (from != SIZE_MAX && to != SIZE_MAX && from < to)
		s = span_sub(s, from + 1, to);
	return span_trim(s);
}

static void read_fields(struct arf_input *in, const struct entity *part, struct arena *arena)
{
	/* The fields are the part's body; a base64 one has been seen. */
	struct entity fields = {entity_decoded(part, arena), SPAN_NONE};
	struct span type = entity_field(&fields, "feedback-type", 0, arena);
	if (type.n)
		in->kind = arena_lower(arena, type);
	in->not_complaint = span_eq(in->kind, SPAN("auth-failure"));
	static const char *const rcpt[] = {"original-rcpt-to", "dovecot-reporting-user",
					   "original-recipient"};
	for (size_t i = 0; i < 3 && !in->rcpt.n; i++)
		in->rcpt = bare_address(entity_field(&fields, rcpt[i], 0, arena));
	in->mail_from = bare_address(entity_field(&fields, "original-mail-from", 0, arena));
}

void arf_read(struct arf_input *in, struct span octets, struct arena *arena)
{
	struct entity top, parts[PARTS];
	bool closed, fields = false;
	*in = (struct arf_input){.form = FORM_MAIL, .message = octets};
	entity_read(&top, octets);
	if (!span_starts(entity_type(&top, arena), SPAN("multipart/")))
		return;
	size_t n = entity_parts(&top, arena, parts, PARTS, &closed);
	struct span message = SPAN_NONE;
	for (size_t i = 0; i < n; i++) {
		struct span type = entity_type(&parts[i], arena);
		if (span_eq(type, SPAN("message/feedback-report"))) {
			read_fields(in, &parts[i], arena);
			fields = true;
		} else if (span_eq(type, SPAN("text/rfc822-headers")) ||
			   span_eq(type, SPAN("message/rfc822-headers")) ||
			   span_eq(type, SPAN("text/rfc822")) || is_message(&parts[i], arena)) {
			if (!message.n)
				message = entity_decoded(&parts[i], arena);
		}
	}
	if (fields && message.n) {
		in->form = FORM_ARF;
		in->message = message;
	} else if (find_attached(&top, arena, &message)) {
		in->form = FORM_ATTACHMENT;
		in->message = message;
	}
}
