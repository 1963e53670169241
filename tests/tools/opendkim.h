/*
 * opendkim - libopendkim as another verifier and signer, for comparison.
 *
 * Include it in one program (optional dependency opendkim). Keys come from opendkim_record, not
 * from the DNS. A message goes in by dkim_chunk(), so that its own parser splits it.
 */
#pragma once

#include <stdlib.h>
#include <stdbool.h>
#include <sys/types.h>
#include <opendkim/dkim.h>
#ifdef __SANITIZE_ADDRESS__
#include <sanitizer/lsan_interface.h>
#endif

#include "base/buf.h"

static DKIM_LIB *opendkim_library;
static char opendkim_record[2048];

/* libopendkim 2.11 never frees the key of an Ed25519 signer; that is no leak of ours. */
__attribute__((unused)) static void opendkim_leaks(bool allowed)
{
#ifdef __SANITIZE_ADDRESS__
	if (allowed)
		__lsan_disable();
	else
		__lsan_enable();
#else
	(void)allowed;
#endif
}

static DKIM_CBSTAT opendkim_key(DKIM *dkim, DKIM_SIGINFO *sig, u_char *buf, size_t n)
{
	(void)dkim, (void)sig;
	snprintf((char *)buf, n, "%s", opendkim_record);
	return DKIM_CBSTAT_CONTINUE;
}

__attribute__((unused)) static void opendkim_open(void)
{
	opendkim_library = dkim_init(NULL, NULL);
	if (!opendkim_library ||
	    dkim_set_key_lookup(opendkim_library, opendkim_key) != DKIM_STAT_OK)
		abort();
}

/* DKIM_STAT_OK: a signature passed. *error_r: the error of the first signature. */
__attribute__((unused)) static DKIM_STAT opendkim_verify(struct span mail, DKIM_SIGERROR *error_r)
{
	DKIM_STAT r;
	DKIM_SIGINFO **sigs;
	int n = 0;
	DKIM *dkim = dkim_verify(opendkim_library, (const u_char *)"id", NULL, &r);
	*error_r = DKIM_SIGERROR_UNKNOWN;
	if (!dkim)
		abort();
	r = dkim_chunk(dkim, (u_char *)mail.p, mail.n);
	if (r == DKIM_STAT_OK)
		r = dkim_chunk(dkim, NULL, 0);
	if (r == DKIM_STAT_OK)
		r = dkim_eom(dkim, NULL);
	if (dkim_getsiglist(dkim, &sigs, &n) == DKIM_STAT_OK && n > 0)
		*error_r = dkim_sig_geterror(sigs[0]);
	dkim_free(dkim);
	return r;
}
