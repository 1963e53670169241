#include "feedback/letter.h"

#include <errno.h>

#include "feedback/arf.h"
#include "feedback/outgoing.h"

int letter_put(struct queue *q, const struct config *config, const struct keys *keys,
	       const struct letter *letter, int64_t now_us, struct arena *arena)
{
	struct span from = span_of(config->report.from);
	char text[ID_BYTES];
	id_make(now_us, text);
	struct span id = span_of(text);
	struct outgoing m = {
		.from = from, .to = letter->to, .id = id, .now_us = now_us,
		.subject = letter->subject, .in_reply_to = letter->in_reply_to,
		.message_id = arena_printf(arena, "<%s.%.*s@%.*s>", text, SPAN_ARG(letter->kind),
					   SPAN_ARG(arf_domain_of(from))),
	};
	struct buf mail = BUF_INIT;
	outgoing_begin(&m, &mail, arena);
	outgoing_text(&m, letter->text);
	outgoing_end(&m);
	struct queue_item item = {
		.id = id, .sender = letter->sender, .kind = letter->kind, .to = letter->to,
		.message_id = m.message_id, .envelope = keys_envelope(keys, from, id, arena),
		.message = buf_span(&mail), .created_us = now_us, .due_us = now_us,
	};
	int r = mail.failed || arena->overflowed ? -ENOMEM : queue_put(q, &item);
	buf_free(&mail);
	return r;
}
