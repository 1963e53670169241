/*
 * charset - octets in any charset that mail uses, made UTF-8; and guesses where the label lies.
 *
 * The label table is closed: iconv_open() never sees a name that came from mail (converters of
 * rare charsets have had holes: CVE-2024-2961 in ISO-2022-CN-EXT).
 * Labels mean what senders mean by them: gb2312 is read as GB18030, ks_c_5601 as CP949,
 * iso-8859-1 as windows-1252, shift_jis as CP932.
 *
 * Ownership: results lie in the arena, or are the input itself when it needs no change.
 * Errors:    none; octets that the charset does not have become U+FFFD and set `broken`.
 */
#pragma once

#include "base/arena.h"

struct charset; /* one row of the table */

/* By label of any case, with or without quotes and blanks; NULL when we do not know it. */
const struct charset *charset_find(struct span label);

/* What octets without a (true) label most likely are; never NULL. Conservative: UTF-8 when it is
 * valid; a Chinese or Korean charset only when nearly all of it is common characters; else
 * windows-1252, so that no Western text turns into Chinese. */
const struct charset *charset_guess(struct span octets);

struct charset_text {
	struct span text;             /* UTF-8, always valid */
	const struct charset *charset; /* as read */
	bool guessed;                 /* no label, an unknown one, or one that was not true */
	bool broken;                  /* some octets are not of the charset */
	bool unknown;                 /* there was a label and we do not know it */
};

/* `label` .p NULL: none. `hint` goes before a guess when octets without a true label can be of it and
 * are surely of no other; may be NULL. */
struct charset_text charset_decode(struct arena *arena, struct span octets, struct span label,
				   const struct charset *hint);

/* Opens every converter, so that a process without access to files can decode all of them. */
void charset_preload(void);

/* Position of the first octet that is not ASCII; s.n when there is none. */
size_t charset_ascii_run(struct span s);
