/*
 * spf_lib - libspf2 behind one question: does this a, mx or exists mechanism match the client?
 *
 * Only this file's .c includes libspf2's headers. Look-ups go to the caller's function, which
 * counts them and keeps in mind what failed or is still missing; after either the answer here
 * means nothing.
 *
 * Errors: SPF_MATCH_BROKEN is our own trouble (memory, a fault inside the library).
 */
#pragma once

#include "analyze/dns.h"
#include "analyze/spf_record.h"

enum spf_match { SPF_MATCH_NO, SPF_MATCH_YES, SPF_MATCH_BROKEN };

typedef const struct dns_answer *spf_lookup_fn(void *arg, struct span name, enum dns_type type);

/* `name`: the domain of `term` with its macros expanded. */
enum spf_match spf_lib_match(const struct spf_term *term, struct span name,
			     const struct ip *client, spf_lookup_fn *lookup, void *arg);
