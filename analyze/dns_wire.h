/*
 * dns_wire - an answer packet taken apart. Hostile octets in, records or UNKNOWN out.
 *
 * Standard: RFC 1035 section 4; RFC 2308 section 5 (how long nothing is nothing).
 */
#pragma once

#include "analyze/dns.h"

/* `name` in lower case. Follows CNAMEs inside the packet. *ttl_r in seconds. */
struct dns_answer dns_wire_read(struct span packet, struct span name, enum dns_type type,
				struct arena *arena, uint32_t *ttl_r);
