/*
 * redact - hides the recipients of a message behind tokens (RFC 6590).
 *
 * A token is the same for the same recipient and the same sender, and nothing else: 20 characters
 * of base32 of HMAC-SHA256 under a key that is this sender's alone. It is shown as
 * TOKEN@our-domain, because readers of reports drop one without "@".
 *
 * What is searched is not the text but what a person or a program can read in it: percent and
 * entity and backslash escapes, quoted-printable, base64 and hexadecimal runs, encoded words,
 * wide and invisible characters, tags, case, punycode. Each is a layer that is taken off the
 * text while the place of every octet is kept; what matches in any layer is cut out of the text.
 *
 * Ownership: everything lies in the arena given to redactor_create().
 * Errors:    an arena that is full sets `overflowed`; then nothing of the result may be shown.
 * Standard:  RFC 6590, RFC 3492 for domains.
 */
#pragma once

#include "analyze/message.h"
#include "base/arena.h"
#include "base/buf.h"

#define REDACT_TOKEN_BYTES 21 /* with NUL */

/* What of the original a report shows; the words of `profile` in a filing. */
enum redact_profile {
	REDACT_TOKEN,    /* headers, recipients as tokens: the default */
	REDACT_HEADERS,  /* headers, recipients as one constant */
	REDACT_FULL,     /* the message without attachments, recipients as tokens */
	REDACT_IDS_ONLY, /* Message-ID and CFBL-Feedback-ID alone (RFC 9477 section 3.5) */
};
bool redact_profile_parse(struct span word, enum redact_profile *profile_r);

struct redactor;

/* `key` is the sender's, `domain` ours. */
struct redactor *redactor_create(struct arena *arena, struct span key, struct span domain,
				 bool constant);
/* Hides this address too, and its form without "+tag". Not an address: nothing happens. */
void redactor_add(struct redactor *r, struct span address);
/* Hides the recipients that the header of a message names. */
void redactor_add_message(struct redactor *r, const struct message *m);
/* This very address is one of those. */
bool redactor_hides(const struct redactor *r, struct span address);
/* Tokens of what was added last for this address: "TOKEN@our-domain". */
struct span redactor_show(struct redactor *r, struct span address);

/* The bare token (feedback.md's test vector): 20 characters and NUL. */
void redact_token(struct span key, struct span address, char out[REDACT_TOKEN_BYTES]);

/* `text` with every recipient replaced; `text` itself when there is none in it. */
struct span redact_text(struct redactor *r, struct span text);
bool redact_finds(struct redactor *r, struct span text);

/* One header field with its CRLF. `decoded`: what it says, in UTF-8. */
void redact_field(struct redactor *r, struct span name, struct span field, struct span decoded,
		  struct buf *out);
/* UTF-8 as a header field body: itself when it is short ASCII, else RFC 2047 B words, folded. */
void redact_encode_words(struct span text, struct arena *arena, struct buf *out);
/* The third part of a report. `host`: our own trace fields are left out. Sets *eight_bit_r when
 * there are octets above 127. REDACT_FULL falls back to the headers past
 * LIMIT_REPORT_MESSAGE_BYTES; *whole_r says what it became. */
void redact_message(struct redactor *r, struct message *m, enum redact_profile profile,
		    struct span host, struct buf *out, bool *whole_r, bool *eight_bit_r);
