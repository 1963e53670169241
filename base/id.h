/*
 * id - unique ids of events: 26 characters of Crockford base32, sorted by time.
 *
 * 48 bits of milliseconds and 80 random bits, the layout known as ULID: two gateways
 * need no agreement, and log lines sort by id.
 *
 * Units:  microseconds since 1970-01-01T00:00:00Z.
 */
#pragma once

#include "base/span.h"

#define ID_BYTES 27 /* with NUL */

void id_make(int64_t now_us, char out[ID_BYTES]);
bool id_valid(struct span s);
/* When a valid one was made, to the millisecond. */
int64_t id_time_us(struct span id);
