/*
 * arf_lint - is this a report as RFC 5965 wants it? Stricter than any reader: none that exists
 * minds a missing required field. No report goes into the queue with a fault.
 *
 * Errors: faults are words in a buf, one a line; 0 faults: the report is good.
 */
#pragma once

#include "base/buf.h"

/* `rcpt`: an address that must not stand in it; .p NULL: none. */
unsigned arf_lint(struct span report, struct span rcpt, struct buf *faults);
/* The same for the queue: says the faults in the log, under the report's id. True: none. */
bool arf_lint_log(struct span report, struct span rcpt, struct span id);
