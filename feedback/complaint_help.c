/*
 * The word of help for a person who forwards a complaint inline to abuse@: the header that could
 * show which mail it was is gone then. Once a week to one address, a few hundred a day to all, never
 * to a machine, a list or the null sender (RFC 3834 section 2).
 */
#include "base/limits.h"
#include "feedback/complaint_private.h"
#include "feedback/letter.h"

static struct span field(struct intake *in, const char *name)
{
	struct header *h = message_header(&in->message, name, NULL);
	return h ? span_trim(message_header_text(&in->message, h)) : SPAN_NONE;
}

static bool by_a_person(struct intake *in)
{
	struct span automatic = field(in, "Auto-Submitted"), precedence = field(in, "Precedence");
	return (!automatic.n || span_case_starts(automatic, SPAN("no"))) && !precedence.n &&
	       !field(in, "List-Id").n && !field(in, "List-Unsubscribe").n &&
	       !span_eq(field(in, "Return-Path"), SPAN("<>")) && in->message.from.n == 1;
}

static const char help_text[] =
	"Your mail to the abuse desk holds no message that can be checked: please forward the mail\n"
	"that you complain about AS AN ATTACHMENT, so that its header comes along.\n\n"
	"您的投诉邮件中没有可供核实的原始邮件。请将被投诉的邮件以附件形式转发，以保留邮件头。\n";

static int put(struct intake *in, struct span to)
{
	struct letter l = {
		.sender = SPAN("-"), .kind = SPAN("help"), .to = to, .text = SPAN(help_text),
		.subject = SPAN("How to forward a complaint / 如何转发投诉"),
		.in_reply_to = in->message.message_id.n ? in->message.message_id : SPAN("<unknown>"),
	};
	return letter_put(in->desk->queue, in->desk->config, &in->desk->keys, &l, in->now_us,
			  &in->arena);
}

int intake_help(struct intake *in)
{
	struct queue *q = in->desk->queue;
	bool first;
	uint64_t today;
	if (!in->desk->config->report.from || !by_a_person(in))
		return 0;
	struct span to = in->message.from.v[0].addr;
	if (!to.n || to.n > 254)
		return 0;
	struct span name = arena_printf(&in->arena, "help %.*s", SPAN_ARG(arena_lower(&in->arena, to)));
	int r = queue_once(q, name, in->now_us, LIMIT_HELP_US, &first);
	if (r < 0 || !first)
		return r;
	r = queue_count_today(q, SPAN("help"), in->now_us, &today);
	return r < 0 || today > LIMIT_HELP_PER_DAY ? r : put(in, to);
}
