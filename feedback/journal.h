/*
 * journal - the event log as a running role writes it: what cannot be written now is kept and
 * written later.
 *
 * On a full disk events wait in memory, in their order, up to LIMIT_JOURNAL_BYTES; what comes
 * then is lost, counted and said. So is at once what no log takes, a line too long or empty. Mail
 * goes on all the time.
 *
 * Threads: of the loop's thread alone.
 */
#pragma once

#include "base/config.h"
#include "base/json.h"

struct event_base;
struct journal;

__attribute__((warn_unused_result)) int journal_open(struct journal **j_r,
						     const struct config *config,
						     struct event_base *loop);
/* Tries once more what waits; what still waits then is said. Accepts NULL. */
void journal_close(struct journal *j);

/* `written` (may be NULL) is called when the line is in the log, now or later; never for one that
 * was lost or that journal_forget() was called for. */
typedef void journal_written_fn(void *arg);
void journal_write(struct journal *j, struct span line, journal_written_fn *written, void *arg);
/* Written at once, or not at all: false, on a full disk or when others wait already. */
bool journal_try(struct journal *j, struct span line);
/* The caller does not wait any more; the line is written all the same. */
void journal_forget(struct journal *j, void *arg);

/* "log":{...} */
void journal_status(const struct journal *j, struct json *out);
