/*
 * dynamic - does a reverse name look like one that a provider gave to a pool of addresses?
 *
 * Nobody publishes which addresses are dynamic in one form; names tell it by their words ("dyn",
 * "pool", "dsl") and by holding the address itself ("c-192-0-2-1.isp.example"). A name that says
 * "static", or names a mail host, is not taken for one whatever else it holds.
 */
#pragma once

#include "base/ip.h"

/* `name`: a PTR name in lower case; `host_n`: its octets left of the organizational domain. */
bool dynamic_name(struct span name, size_t host_n, const struct ip *ip);
/* The address, or what makes it one of its network, stands in `host`. */
bool dynamic_holds_address(struct span host, const struct ip *ip);
