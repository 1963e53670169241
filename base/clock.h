/*
 * clock - wall-clock and monotonic time, and the forms of time that Assay writes.
 *
 * Units: microseconds since 1970-01-01T00:00:00Z (wall) or since boot (monotonic).
 * Judgements use the transaction's own time, never this clock: a mail judged tomorrow
 * gets today's verdict.
 */
#pragma once

#include "base/span.h"

#define US_PER_S 1000000LL
#define HOUR_US  (3600 * US_PER_S)

int64_t clock_now_us(void);
int64_t clock_mono_us(void);
/* CPU time of this process. */
int64_t clock_cpu_us(void);

/* Room for "2026-11-23T08:00:00Z" and for an RFC 5322 date, with NUL. */
#define CLOCK_TEXT_BYTES 40
/* RFC 3339 in UTC, whole seconds. */
const char *clock_rfc3339(int64_t us, char out[CLOCK_TEXT_BYTES]);
/* RFC 5322 section 3.3 in UTC: "Mon, 23 Nov 2026 08:00:00 +0000". */
const char *clock_rfc5322(int64_t us, char out[CLOCK_TEXT_BYTES]);
/* Reads RFC 3339 (any offset, fraction ignored past microseconds); false when it is none. */
bool clock_parse_rfc3339(struct span s, int64_t *us_r);
/* Reads "2026-11-23" as the start of that day in UTC. */
bool clock_parse_day(struct span s, int64_t *us_r);
