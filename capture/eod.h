/*
 * eod - the octets behind DATA: takes dots off, finds the end of data.
 *
 * Strictly the end is CRLF "." CRLF (RFC 5321 section 4.1.1.4). Some receivers end a message at
 * looser forms too (LF "." LF and its relatives; CVE-2023-51764 to -51766), so which octets are
 * the message is the receiver's decision. The first place where another reading is possible is
 * remembered as the *candidate*, with the octets as sent from there on.
 *
 * Ownership: the message goes into the `struct octets` given; the tail is eod's own.
 */
#pragma once

#include "base/buf.h"
#include "capture/octets.h"

enum eod_mode { EOD_AUTO, EOD_STRICT, EOD_LF };

struct eod {
	enum eod_mode mode;
	uint8_t state;       /* private: where in a possible end of data we are */
	bool last_cr;        /* the octet before was CR */
	bool kept_cr;        /* so was the last one that went into the message */
	bool candidate;      /* another end is possible; octets_mark() stands there */
	bool tail_lost;      /* more stood behind the candidate than is kept */
	struct buf tail;     /* as sent, from behind the candidate's line on */
	uint32_t flags;      /* enum txn_flag: bare LF, bare CR, NUL */
};

void eod_start(struct eod *e, enum eod_mode mode);
void eod_free(struct eod *e);
/* Takes content off `*rest` into `out`; true when the end of data was reached (what is left in
 * `*rest` stands behind it). */
bool eod_feed(struct eod *e, struct octets *out, struct span *rest);
/* Octets are missing here: no end of data reaches over the hole. */
void eod_gap(struct eod *e);
/* Whether commands stand behind the candidate: a smuggled transaction. */
bool eod_tail_is_commands(const struct eod *e);
