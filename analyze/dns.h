/*
 * dns - answers from the DNS, asked for as if they were there already.
 *
 * A step of the pipeline calls dns_get(). When the answer is in the session or in the cache it
 * comes at once; otherwise the look-up is started, DNS_WAIT comes back, and the step returns
 * STEP_WAIT. When the last missing answer has come (or the deadline has passed), the session's
 * `wake` is called, and the whole step is run again; what it asked before is answered the same.
 *
 *     const struct dns_answer *txt = dns_get(session, name, DNS_TXT);
 *     if (txt->status == DNS_WAIT)
 *             waiting = true;      // ask for everything else first, then return STEP_WAIT
 *
 * Ownership: answers live until dns_session_release().
 * Errors:    none that a caller could see: what we could not find out is DNS_UNKNOWN with `why`.
 * Standard:  RFC 1035; RFC 2308 for ABSENT; RFC 8020.
 */
#pragma once

#include "base/config.h"
#include "base/ip.h"

enum dns_type { DNS_A = 1, DNS_NS = 2, DNS_CNAME = 5, DNS_SOA = 6, DNS_PTR = 12, DNS_MX = 15,
		DNS_TXT = 16, DNS_AAAA = 28 };

enum dns_status {
	DNS_WAIT,    /* not known yet: run the step again when woken */
	DNS_FOUND,   /* at least one record */
	DNS_ABSENT,  /* the DNS says that there is none */
	DNS_UNKNOWN, /* time-out, SERVFAIL, lies, limits */
};

struct dns_record {
	/* A, AAAA: the address. PTR, MX: `name` (lower case, no dot at the end; "" is the root) and
	 * MX's preference. TXT: `name` holds the strings joined without blanks (any octets). */
	struct ip ip;
	struct span name;
	uint16_t preference;
};

struct dns_answer {
	enum dns_status status;
	bool nxdomain; /* ABSENT because the name does not exist, not the type alone */
	const struct dns_record *records;
	size_t n;
	const char *why; /* UNKNOWN: "timeout", "servfail", "deadline", "bad name", "loop", ... */
};

struct dns;         /* one per process: resolver and cache */
struct dns_session; /* one per transaction */

/* `loop` is a struct event_base of libevent. Zone faults are printed as file:line:column and
 * make DNS_E_FAULTS, a zone file that cannot be read DNS_E_NO_ZONE; negative errno otherwise. */
enum { DNS_E_FAULTS = 1, DNS_E_NO_ZONE = 2 };
struct event_base;
__attribute__((warn_unused_result)) int dns_create(struct dns **dns_r, struct event_base *loop,
						   const struct config *config);
void dns_free(struct dns *dns); /* accepts NULL */

typedef void dns_wake_fn(void *arg);
/* The deadline runs from here. NULL when out of memory. */
struct dns_session *dns_session_create(struct dns *dns, dns_wake_fn *wake, void *arg);
void dns_session_release(struct dns_session *session); /* accepts NULL; no wake after it */

/* Never NULL. `name` without the dot at the end, any case; a bad name is UNKNOWN. */
const struct dns_answer *dns_get(struct dns_session *session, struct span name,
				 enum dns_type type);
