#include "analyze/message.h"

#include "base/date.h"
#include "base/limits.h"

const struct fault_info fault_infos[FAULT_KINDS] = {
#define FAULT(id, word, meaning) {word, meaning},
#include "analyze/format_faults.def"
#undef FAULT
};

void message_fault(struct message *m, enum fault_kind kind, size_t offset, size_t length)
{
	if (m->fault_places[kind] >= LIMIT_FAULT_PLACES ||
	    !arena_grow(m->arena, (void **)&m->faults, m->n_faults, &m->cap_faults,
			sizeof(m->faults[0])))
		return;
	m->fault_places[kind]++;
	m->faults[m->n_faults++] =
		(struct fault){fault_infos[kind].word, offset, length, kind};
}

static void field_fault(struct message *m, enum fault_kind kind, const struct header *h)
{
	message_fault(m, kind, h->offset, h->field.n);
}

/* RFC 5322 section 3.6: at most one of each. */
static void count_fields(struct message *m)
{
	static const struct {
		const char *name;
		enum fault_kind dup;
	} rows[] = {
		{"date", FAULT_DUP_DATE},
		{"from", FAULT_DUP_FROM},
		{"sender", FAULT_DUP_SENDER},
		{"reply-to", FAULT_DUP_REPLY_TO},
		{"to", FAULT_DUP_TO},
		{"cc", FAULT_DUP_CC},
		{"bcc", FAULT_DUP_BCC},
		{"subject", FAULT_DUP_SUBJECT},
		{"message-id", FAULT_DUP_MESSAGE_ID},
		{"in-reply-to", FAULT_DUP_IN_REPLY_TO},
		{"references", FAULT_DUP_REFERENCES},
		{"mime-version", FAULT_DUP_MIME},
		{"content-type", FAULT_DUP_MIME},
		{"content-transfer-encoding", FAULT_DUP_MIME},
	};
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		const struct header *h = message_header(m, rows[i].name, NULL);
		while (h && (h = message_header(m, rows[i].name, h)))
			field_fault(m, rows[i].dup, h);
	}
}

/* Blanks and comments behind an element: true when nothing else is there. */
static bool only_comments(struct span s)
{
	size_t depth = 0;
	for (size_t i = 0; i < s.n; i++) {
		if (s.p[i] == '\\' && depth && i + 1 < s.n)
			i++;
		else if (s.p[i] == '(')
			depth++;
		else if (s.p[i] == ')' && depth)
			depth--;
		else if (!depth && !ascii_is_space(s.p[i]))
			return false;
	}
	return depth == 0;
}

/* msg-id = "<" id-left "@" id-right ">" and nothing behind it but comments. */
static bool message_id_ok(struct span s)
{
	s = span_trim(s);
	size_t close = span_find_char(s, '>');
	if (close == SIZE_MAX || close < 4 || s.p[0] != '<' ||
	    !only_comments(span_sub(s, close + 1, s.n)))
		return false;
	s = span_sub(s, 1, close);
	size_t at = span_rfind_char(s, '@');
	if (at == SIZE_MAX || at == 0 || at + 1 == s.n)
		return false;
	for (size_t i = 0; i < s.n; i++)
		if ((unsigned char)s.p[i] <= ' ' || s.p[i] == '<' || s.p[i] == '>')
			return false;
	return true;
}

static void check_date(struct message *m)
{
	const struct header *h = message_header(m, "date", NULL);
	unsigned faults = 0;
	if (!h) {
		message_fault(m, FAULT_NO_DATE, 0, 0);
		return;
	}
	m->has_date = date_read(span_trim(h->body), &m->date_us, &faults);
	if (!m->has_date)
		field_fault(m, FAULT_BAD_DATE, h);
	if (faults & DATE_OBSOLETE)
		field_fault(m, FAULT_OBSOLETE_DATE, h);
	if (faults & DATE_WEEKDAY)
		field_fault(m, FAULT_BAD_WEEKDAY, h);
}

static void check_message_id(struct message *m)
{
	const struct header *h = message_header(m, "message-id", NULL);
	if (!h) {
		message_fault(m, FAULT_NO_MESSAGE_ID, 0, 0);
		return;
	}
	struct span body = span_trim(h->body);
	if (!message_id_ok(body))
		field_fault(m, FAULT_BAD_MESSAGE_ID, h);
}

static void check_octets(struct message *m)
{
	struct preflight_lines l;
	preflight_lines(&l, m->octets);
	m->longest_line = l.longest;
	if (l.too_long != SIZE_MAX)
		message_fault(m, FAULT_LINE_TOO_LONG, l.too_long, l.longest);
	if (l.bare_cr != SIZE_MAX)
		message_fault(m, FAULT_BARE_CR, l.bare_cr, 1);
	if (l.bare_lf != SIZE_MAX)
		message_fault(m, FAULT_BARE_LF, l.bare_lf, 1);
	if (l.nul != SIZE_MAX)
		message_fault(m, FAULT_NUL, l.nul, 1);
}

void format_faults(struct message *m, const struct preflight_header *h)
{
	check_octets(m);
	for (size_t i = 0; i < h->n_bad; i++)
		message_fault(m, FAULT_BAD_HEADER_LINE, h->bad[i].offset, h->bad[i].length);
	if (h->blank_before_colon.p)
		message_fault(m, FAULT_BLANK_BEFORE_COLON,
			      (size_t)(h->blank_before_colon.p - m->octets.p),
			      h->blank_before_colon.n);
	if (h->no_empty_line)
		message_fault(m, FAULT_NO_EMPTY_LINE, h->body_offset, 0);
	count_fields(m);
	check_date(m);
	check_message_id(m);
	if (!message_header(m, "mime-version", NULL)) {
		const struct header *type = message_header(m, "content-type", NULL);
		if (type)
			field_fault(m, FAULT_NO_MIME_VERSION, type);
	}
	if (span_trim(span_sub(m->octets, m->body_offset, m->octets.n)).n == 0)
		message_fault(m, FAULT_EMPTY_BODY, m->body_offset, 0);
}
