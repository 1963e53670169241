/*
 * opendmarc - libopendmarc as another judge of DMARC, for comparison.
 *
 * Include it in one program. Records come from opendmarc_dns_fake_record(), the public suffix list
 * from the file that Debian keeps up to date; nothing asks the DNS.
 */
#pragma once

#include <stdio.h>
#include <stdlib.h>
#include <sys/types.h>
#include <opendmarc/dmarc.h>

#include "base/span.h"

#define OPENDMARC_SUFFIXES "/usr/share/publicsuffix/public_suffix_list.dat"

static OPENDMARC_LIB_T opendmarc_library;

/* What it says; `policy` is one of DMARC_POLICY_*. */
struct opendmarc_verdict {
	int query, policy, spf, dkim;
	bool subdomain; /* sp= was used */
};

__attribute__((unused)) static bool opendmarc_open(void)
{
	opendmarc_library.tld_type = OPENDMARC_TLD_TYPE_MOZILLA;
	snprintf((char *)opendmarc_library.tld_source_file,
		 sizeof(opendmarc_library.tld_source_file), "%s", OPENDMARC_SUFFIXES);
	return opendmarc_policy_library_init(&opendmarc_library) == DMARC_PARSE_OKAY;
}

__attribute__((unused)) static u_char *opendmarc_text(struct span s, char out[512])
{
	snprintf(out, 512, "%.*s", SPAN_ARG(s));
	return (u_char *)out;
}

/* `from`: the body of From. `spf`, `dkim`: DMARC_POLICY_*_OUTCOME_*; a domain that is .p NULL was not
 * checked. */
__attribute__((unused)) static struct opendmarc_verdict
opendmarc_judge(struct span from, struct span spf_domain, int spf, struct span dkim_domain, int dkim)
{
	struct opendmarc_verdict v = {.policy = DMARC_POLICY_ABSENT};
	char text[512], ip[] = "192.0.2.1", none[] = "";
	DMARC_POLICY_T *context = opendmarc_policy_connect_init((u_char *)ip, 4);
	if (!context)
		abort();
	/* From first: of several domains the library keeps the one that is like it */
	v.query = opendmarc_policy_store_from_domain(context, opendmarc_text(from, text));
	if (spf_domain.p)
		opendmarc_policy_store_spf(context, opendmarc_text(spf_domain, text), spf,
					   DMARC_POLICY_SPF_ORIGIN_MAILFROM, (u_char *)none);
	if (dkim_domain.p)
		opendmarc_policy_store_dkim(context, opendmarc_text(dkim_domain, text), NULL, dkim,
					    (u_char *)none);
	if (v.query == DMARC_PARSE_OKAY)
		v.query = opendmarc_policy_query_dmarc(context, (u_char *)none);
	if (v.query == DMARC_PARSE_OKAY) {
		v.policy = opendmarc_get_policy_to_enforce(context);
		v.subdomain = opendmarc_get_policy_token_used(context) == DMARC_USED_POLICY_IS_SP;
		opendmarc_policy_fetch_alignment(context, &v.dkim, &v.spf);
	}
	opendmarc_policy_connect_shutdown(context);
	return v;
}
