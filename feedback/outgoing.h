/*
 * outgoing - the frame of mails that we send beside ARF reports: one text for people, attachments
 * for programs, always marked as made by a machine.
 *
 * Example:  outgoing_begin(&m, &out, arena); outgoing_text(&m, text);
 *           outgoing_attach(&m, "text/csv; charset=utf-8", "codes.csv", csv); outgoing_end(&m);
 *
 * Ownership: nothing is kept; what is written goes into the buffer given.
 * Errors:    the buffer's `failed`.
 * Standard:  RFC 5322, 2045, 2047, 3834 (Auto-Submitted).
 */
#pragma once

#include "base/arena.h"
#include "base/buf.h"

struct outgoing {
	struct span from, to, subject, message_id; /* subject: UTF-8 */
	struct span id; /* the boundary is made of it */
	struct span in_reply_to; /* .p NULL: none */
	int64_t now_us;
	/* private */
	struct buf *out;
	struct arena *arena;
};

void outgoing_begin(struct outgoing *m, struct buf *out, struct arena *arena);
void outgoing_text(struct outgoing *m, struct span text); /* lines end in LF or CRLF */
void outgoing_attach(struct outgoing *m, const char *type, const char *name, struct span octets);
void outgoing_end(struct outgoing *m);

/* A header field of ASCII; what came from a wire cannot end the field or leave 7 bit. */
void outgoing_field(struct buf *out, const char *name, struct span value);
