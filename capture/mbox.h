/*
 * mbox - finds the messages of an mbox file (RFC 4155 and its older relatives).
 *
 * Three families: mboxo and mboxrd end a message at the next "From " line behind an empty line
 * and quote such lines in bodies with '>'; mboxcl quotes too and has Content-Length; mboxcl2 has
 * Content-Length and quotes nothing. Content-Length is believed when a "From " line or the end of
 * the file stands where it points.
 *
 * Ownership: results point into what was given.
 * Errors:    bad input is data (`damaged`); a file that does not begin with "From " is none of these.
 */
#pragma once

#include "base/span.h"

struct mbox_message {
	struct span from_line; /* without "From " and line end */
	struct span octets;    /* header and body, without the empty line that the format adds */
	bool quoted;           /* ">From " lines stand for "From " lines */
	bool damaged;          /* no header behind the "From " line */
};

/* Takes the next message off `*rest`; false at the end. `*rest` must begin with "From ". */
bool mbox_next(struct span *rest, struct mbox_message *message_r);

/* Whether `line` looks like an mbox separator: "From " address, and a year at its end. */
bool mbox_is_separator(struct span line);
