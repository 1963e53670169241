/*
 * zone - a DNS master file that answers instead of the DNS: for tests, samples, a look back.
 *
 * One file may hold records of any names; what is not in it does not exist (NXDOMAIN). Beside
 * RFC 1035 section 5 ($ORIGIN, $TTL, $INCLUDE, parentheses, quotes, escapes, '@', blank owner):
 *
 *     $TIMEOUT  name [type]    asked for it (or that type of it), the DNS stays silent
 *     $SERVFAIL name [type]    ... answers SERVFAIL
 *
 * Both are answered at once, as UNKNOWN: nobody waits for a time-out that is certain.
 *
 * Ownership: zone_load() .. zone_free(); answers live as long as the zone.
 * Errors:    faults are printed as file:line:column, all of them; nothing is loaded then.
 * Standard:  RFC 1035 section 5, RFC 2308, 4592 (wildcards), 3597 (unknown types are skipped).
 */
#pragma once

#include "analyze/dns.h"
#include "base/diag.h"

struct zone;

__attribute__((warn_unused_result)) int zone_load(struct zone **zone_r, const char *path,
						  struct diag *diag);
void zone_free(struct zone *zone); /* accepts NULL */

/* `name` in lower case, without a dot at the end. CNAMEs are followed. `arena` takes what the
 * answer needs beside the zone's own memory. */
struct dns_answer zone_answer(const struct zone *zone, struct span name, enum dns_type type,
			      struct arena *arena);
