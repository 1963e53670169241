/*
 * libopendmarc 1.4.2, kept from what it gets wrong: its alignment (strict passes for
 * subdomains when a public suffix list is loaded, wildcard rules, A-labels), its record parser's
 * leniency, its DNS. It sees a record that we wrote, under names that we made up, with no
 * authentication result, and says which policy is to be enforced.
 *
 * Traps: `domain` of store_dmarc() replaces the From domain; an organizational domain that is
 * not NULL makes it use sp=.
 */
#include "analyze/dmarc_lib.h"

#include <stdio.h>
#include <sys/types.h>

#include <opendmarc/dmarc.h>

#define AUTHOR "author.org.invalid"
#define ORGANIZATION "org.invalid"

/* The library wants writable u_char strings; it does not write to them. */
static u_char *text(char *s)
{
	return (u_char *)s;
}

static void write_record(char *out, size_t room, const struct dmarc_record *r,
			 enum dmarc_place place)
{
	enum dmarc_policy sp = r->sp;
	if (place == DMARC_ABOVE_NONE && r->np != DMARC_ABSENT)
		sp = r->np;
	int n = snprintf(out, room, "v=DMARC1; p=%s", dmarc_policy_name(r->p).p);
	if (sp != DMARC_ABSENT && n > 0)
		snprintf(out + n, room - (size_t)n, "; sp=%s", dmarc_policy_name(sp).p);
}

enum dmarc_policy dmarc_lib_policy(const struct dmarc_record *record, enum dmarc_place place)
{
	char client[] = "192.0.2.1", author[] = AUTHOR, organization[] = ORGANIZATION;
	char written[80];
	enum dmarc_policy policy = DMARC_BAD;
	DMARC_POLICY_T *context =
		opendmarc_policy_connect_init(text(client), DMARC_POLICY_IP_TYPE_IPV4);
	if (!context)
		return DMARC_BAD;
	write_record(written, sizeof(written), record, place);
	if (opendmarc_policy_store_from_domain(context, text(author)) == DMARC_PARSE_OKAY &&
	    opendmarc_policy_store_dmarc(context, text(written), text(author),
					 place == DMARC_AT_AUTHOR ? NULL : text(organization)) ==
		    DMARC_PARSE_OKAY) {
		switch (opendmarc_get_policy_to_enforce(context)) {
		case DMARC_POLICY_NONE: policy = DMARC_NONE; break;
		case DMARC_POLICY_QUARANTINE: policy = DMARC_QUARANTINE; break;
		case DMARC_POLICY_REJECT: policy = DMARC_REJECT; break;
		default: break;
		}
	}
	opendmarc_policy_connect_shutdown(context);
	return policy;
}
