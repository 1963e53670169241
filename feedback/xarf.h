/*
 * xarf - a complaint as a report of XARF version 4, for those who filed `xarf` or asked for it in
 * their CFBL-Address: a mail with words for people and xarf.json.
 *
 * Ownership, Errors: as arf.h.
 * Standard:  XARF 4.2.0, messaging/spam; RFC 9477 section 3.5.
 */
#pragma once

#include "feedback/arf.h"

/* XARF needs the peer's address and port, and has no word for "not spam": then ARF is sent. */
bool xarf_can(const struct arf_report *report);
__attribute__((warn_unused_result)) int xarf_write(const struct arf_report *report,
						   struct arena *arena, struct buf *out);
/* No address of a person in it, the frame as it should be; faults are told in the log under the
 * report's id. True: none. */
bool xarf_lint_log(struct span report, struct span rcpt, struct span id);
