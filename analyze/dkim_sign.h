/*
 * dkim_sign - puts our own DKIM signature on a message that is ready to go out.
 *
 * relaxed/relaxed, with rsa-sha256 or ed25519-sha256 as the key is. From, To, Subject and Date are
 * named once more than they occur, so that nobody can add a second one on the way (RFC 6376
 * section 8.15); no l=, no x=.
 *
 * Ownership: dkim_signer_open() .. dkim_signer_close(); domain and selector stay the caller's.
 * Errors:    negative errno, DKIM_SIGN_E_KEY, DKIM_SIGN_E_NAME, DKIM_SIGN_E_MESSAGE.
 * Standard:  RFC 6376 sections 3.5, 5; RFC 8301, 8463.
 */
#pragma once

#include "base/buf.h"
#include "base/pkey.h"

enum {
	DKIM_SIGN_E_KEY = 1, /* no private key (RSA of 1024 bits or more, Ed25519) */
	DKIM_SIGN_E_NAME,    /* domain or selector cannot be in the DNS */
	DKIM_SIGN_E_MESSAGE, /* no From, or a line that does not end in CRLF */
};

struct dkim_signer {
	struct span domain, selector;
	struct pkey *key;
};

/* Reads the key; checks names. After anything but 0 there is nothing to close. */
__attribute__((warn_unused_result)) int dkim_signer_open(struct dkim_signer *signer,
							 struct span domain, struct span selector,
							 const char *key_file);
void dkim_signer_close(struct dkim_signer *signer);
/* What an error of these functions means, for a person. */
const char *dkim_sign_trouble(int r);

/* Adds the field "DKIM-Signature: ...CRLF" to `out`; it goes in front of `message`. */
__attribute__((warn_unused_result)) int dkim_signer_sign(const struct dkim_signer *signer,
						  struct span message, int64_t time_s,
						  struct buf *out);
