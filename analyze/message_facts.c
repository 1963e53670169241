/* Facts of section "the message", and the family header.NAME. */
#include "analyze/message.h"

#include "base/clock.h"
#include "base/limits.h"
#include "base/utf8.h"

static void at_header(const struct message *m, struct fact *fact, const char *name)
{
	struct header *h = message_header(m, name, NULL);
	if (h)
		facts_evidence(fact, utf8_cut(message_header_text(m, h), LIMIT_EVIDENCE_BYTES),
			       (int64_t)h->offset, h->field.n);
}

static void set_text(const struct message *m, struct facts *f, enum fact_id id, struct span s,
		     const char *field)
{
	at_header(m, facts_set_text(f, id, s), field);
}

static struct fact header_fact(const void *message, struct span name)
{
	const struct message *m = message;
	char text[128];
	struct fact fact = {.state = FACT_ABSENT, .evidence = {.offset = -1}};
	if (name.n >= sizeof(text))
		return fact;
	memcpy(text, name.p, name.n);
	text[name.n] = '\0';
	struct header *h = message_header(m, text, NULL);
	if (!h) {
		/* Past the limits there may be one. */
		fact.state = m->partial ? FACT_UNKNOWN : FACT_ABSENT;
		return fact;
	}
	fact.state = FACT_KNOWN;
	fact.text = message_header_text(m, h);
	facts_evidence(&fact, utf8_cut(fact.text, LIMIT_EVIDENCE_BYTES), (int64_t)h->offset,
		       h->field.n);
	return fact;
}

/* Fewer come in order by chance. */
#define SORTED_MAILBOXES 6

/* Strictly rising, so that one address many times is no list. */
static bool sorted(const struct addresses *list)
{
	for (size_t i = 1; i < list->n; i++) {
		struct span a = list->v[i - 1].addr, b = list->v[i].addr;
		size_t n = a.n < b.n ? a.n : b.n, k = 0;
		while (k < n && ascii_lower(a.p[k]) == ascii_lower(b.p[k]))
			k++;
		if (k == n ? a.n >= b.n : ascii_lower(a.p[k]) > ascii_lower(b.p[k]))
			return false;
	}
	return list->n >= SORTED_MAILBOXES;
}

static void address_facts(const struct message *m, struct facts *f)
{
	static const struct address none;
	const struct address *from = m->from.n ? &m->from.v[0] : &none;
	const struct address *reply_to = m->reply_to.n ? &m->reply_to.v[0] : &none;
	at_header(m, facts_set_number(f, F_FROM_COUNT, (double)m->from.total), "from");
	set_text(m, f, F_FROM_ADDRESS, from->addr, "from");
	set_text(m, f, F_FROM_DOMAIN, from->domain, "from");
	set_text(m, f, F_FROM_NAME, from->name, "from");
	set_text(m, f, F_SENDER_ADDRESS, m->sender.n ? m->sender.v[0].addr : SPAN_NONE, "sender");
	set_text(m, f, F_REPLY_TO_ADDRESS, reply_to->addr, "reply-to");
	set_text(m, f, F_REPLY_TO_DOMAIN, reply_to->domain, "reply-to");
	at_header(m, facts_set_number(f, F_TO_COUNT, (double)(m->to.total + m->cc.total)), "to");
	bool in_order = sorted(&m->to) || sorted(&m->cc);
	at_header(m, facts_set_condition(f, F_TO_SORTED, in_order), sorted(&m->to) ? "to" : "cc");
}

static void part_facts(const struct message *m, struct facts *f)
{
	struct span *names = m->n_parts ? ARENA_ARRAY(f->arena, struct span, m->n_parts) : NULL;
	size_t n = 0;
	for (size_t i = 0; names && i < m->n_parts; i++)
		if (m->parts[i].flags & PART_ATTACHMENT)
			names[n++] = m->parts[i].filename.p ? m->parts[i].filename : SPAN("");
	facts_set_number(f, F_MESSAGE_PARTS, (double)m->n_parts);
	facts_set_list(f, F_MESSAGE_ATTACHMENTS, names, n);
	facts_set_condition(f, F_MESSAGE_TEXT, message_part(m, "text/plain") != NULL);
	facts_set_condition(f, F_MESSAGE_HTML, message_part(m, "text/html") != NULL);
}

/* UTF-8 in header fields is right in an SMTPUTF8 transaction (RFC 6532). */
static bool excused(const struct fault *fault, const struct message *m, const struct txn *txn)
{
	return fault->kind == FAULT_BIT8_HEADER && txn->flags & TXN_SMTPUTF8 &&
	       utf8_valid(span_sub(m->octets, fault->offset, fault->offset + fault->length));
}

/* "bad-cc: Cc: ..." and where it stands. */
static struct evidence fault_evidence(const struct message *m, const struct fault *fault,
				      struct arena *arena)
{
	struct span place = span_sub(m->octets, fault->offset, fault->offset + fault->length);
	struct evidence e = {.offset = (int64_t)fault->offset, .length = fault->length};
	if (fault->offset == 0 && fault->length == 0) /* of a field that is not there */
		e.offset = -1;
	place = span_trim(utf8_repair(arena, utf8_cut(place, LIMIT_EVIDENCE_BYTES)));
	e.text = place.n ? arena_printf(arena, "%s: %.*s", fault->word, (int)place.n, place.p)
			 : span_of(fault->word);
	return e;
}

/* Sets the chain that begins in `fact`: one place a word. */
static void add_places(const struct message *m, const struct fault *const *places, size_t n,
		       struct fact *fact, struct arena *arena)
{
	struct evidence *more = n > 1 ? ARENA_ARRAY(arena, struct evidence, n - 1) : NULL;
	struct evidence *last = &fact->evidence;
	for (size_t i = 0; i < n && last; i++) {
		*last = fault_evidence(m, places[i], arena);
		if (i + 1 < n)
			last->next = more ? &more[i] : NULL;
		last = more ? more + i : NULL;
	}
}

static void fault_facts(const struct message *m, const struct txn *txn, struct facts *f)
{
	struct span *words = ARENA_ARRAY(f->arena, struct span, FAULT_KINDS);
	const struct fault *places[FAULT_KINDS];
	bool seen[FAULT_KINDS] = {false};
	size_t n = 0, n_places = 0;
	for (size_t i = 0; words && i < m->n_faults; i++) {
		const struct fault *fault = &m->faults[i];
		if (seen[fault->kind] || excused(fault, m, txn))
			continue;
		seen[fault->kind] = true;
		places[n_places++] = fault;
		words[n++] = span_of(fault->word);
	}
	/* As received; the octets judged may have been mended by the source. */
	if (words && txn->flags & TXN_BARE_LF && !seen[FAULT_BARE_LF])
		words[n++] = span_of(fault_infos[FAULT_BARE_LF].word);
	if (words && txn->flags & TXN_BARE_CR && !seen[FAULT_BARE_CR])
		words[n++] = span_of(fault_infos[FAULT_BARE_CR].word);
	struct fact *fact = facts_set_list(f, F_FORMAT_FAULTS, words, n);
	add_places(m, places, n_places, fact, f->arena);
	facts_set_number(f, F_FORMAT_FAULT_COUNT, (double)n);
	facts_set_condition(f, F_FORMAT_8BIT_HEADER, seen[FAULT_BIT8_HEADER]);
	facts_set_number(f, F_FORMAT_LINE_LENGTH, (double)m->longest_line);
}

void message_facts(const struct message *m, const struct txn *txn, struct facts *f)
{
	f->header = header_fact;
	f->message = m;
	facts_set_number(f, F_MESSAGE_SIZE, (double)txn->size);
	facts_set_condition(f, F_MESSAGE_PARTIAL, m->partial);
	address_facts(m, f);
	part_facts(m, f);
	set_text(m, f, F_SUBJECT_TEXT, m->subject, "subject");
	set_text(m, f, F_MESSAGE_ID, m->message_id, "message-id");
	/* A spool without the receiver's stamp does not know when the message came. */
	if (m->has_date && txn->time_prov != PROV_UNKNOWN)
		at_header(m, facts_set_number(f, F_DATE_SKEW,
					      (double)(m->date_us - txn->time_us) / US_PER_S),
			  "date");
	else if (!m->has_date)
		facts_set_absent(f, F_DATE_SKEW);
	fault_facts(m, txn, f);
}
