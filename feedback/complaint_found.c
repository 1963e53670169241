/* Did we receive the message complained about, and for whom? */
#include "feedback/complaint_private.h"

/* "accept; id=01JD...; score=0" in our own field (CONTRACT section 4). */
static struct span event_id_of(struct intake *in)
{
	struct header *h = message_header(&in->message, "X-Assay-Verdict", NULL);
	if (!h)
		return SPAN_NONE;
	struct span text = message_header_text(&in->message, h), field;
	while (span_next_field(&text, ';', &field)) {
		field = span_trim(field);
		if (span_starts(field, SPAN("id=")) && id_valid(span_sub(field, 3, field.n)))
			return span_sub(field, 3, field.n);
	}
	return SPAN_NONE;
}

/* Our field under another Message-ID than came with it: somebody has put it there. What is not ASCII
 * may stand in the log otherwise than in the mail. */
static bool is_another(const struct intake *in)
{
	struct span logged = json_in_text(json_in_get(in->receipt.event, "message_id"));
	for (size_t i = 0; i < logged.n; i++)
		if ((unsigned char)logged.p[i] > 126)
			return false;
	return logged.n && in->message.message_id.n && !span_eq(logged, in->message.message_id);
}

static int look(struct intake *in, struct span rcpt, struct span event_id)
{
	int r = in->desk->find(in->desk->config, in->message.message_id, rcpt, event_id,
			       &in->receipt);
	if (r == 0 && is_another(in)) {
		in->desk->release(&in->receipt);
	} else if (r == 0) {
		in->found = true;
		in->rcpt = rcpt;
	}
	return r == RECEIPT_NEVER ? 0 : r;
}

/* The one recipient of the transaction, when there is one. */
static struct span only_rcpt(const struct receipt *receipt)
{
	const struct json_value *rcpts = json_in_get(receipt->event, "rcpts");
	struct span only = SPAN_NONE;
	for (size_t i = 0; i < json_in_count(rcpts); i++) {
		const struct json_value *one = json_in_at(rcpts, i);
		double code;
		if (json_in_number(json_in_get(one, "code"), &code) && code >= 300)
			continue;
		if (only.p)
			return SPAN_NONE;
		only = json_in_text(json_in_get(one, "to"));
	}
	return only;
}

/* Who complains, when nobody said: what the delivery wrote into the header, then the addresses
 * that the message was sent to, as far as the receipt knows them. */
static int look_for_addressee(struct intake *in, struct span event_id)
{
	static const char *const names[] = {"Delivered-To", "X-Original-To", "Envelope-To",
					    "X-Envelope-To"};
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		struct header *h = message_header(&in->message, names[i], NULL);
		struct span address = h ? span_trim(message_header_text(&in->message, h)) : SPAN_NONE;
		if (address.n > 2 && address.p[0] == '<')
			address = span_sub(address, 1, address.n - 1);
		int r = address.n ? look(in, address, event_id) : 0;
		if (r < 0 || in->found)
			return r;
	}
	int r = look(in, SPAN_NONE, event_id);
	if (r < 0 || !in->found)
		return r;
	in->rcpt = only_rcpt(&in->receipt);
	if (in->rcpt.p) {
		in->rcpt = arena_copy(&in->arena, in->rcpt);
		return 0;
	}
	in->desk->release(&in->receipt);
	in->found = false;
	const struct addresses *lists[] = {&in->message.to, &in->message.cc};
	for (size_t k = 0; k < 2; k++)
		for (size_t i = 0; i < lists[k]->n && i < 20 && !in->found; i++)
			if ((r = look(in, lists[k]->v[i].addr, event_id)) < 0)
				return r;
	return 0;
}

int intake_verify(struct intake *in, struct span rcpt)
{
	struct span event_id = event_id_of(in);
	/* Cut off behind our own field: of the sender's message there is nothing to report. */
	if (!message_header(&in->message, "From", NULL))
		event_id = SPAN_NONE;
	if (!in->message.message_id.n && !event_id.n)
		return 0;
	return rcpt.n ? look(in, rcpt, event_id) : look_for_addressee(in, event_id);
}
