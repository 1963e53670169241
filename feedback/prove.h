/*
 * prove - makes the proofs of a filing: asks the DNS, reads a signed mail, sends tokens.
 *
 *     dns          _assay.DOMAIN TXT "assay-token=TOKEN"
 *     dkim         a mail with the token that DOMAIN signed
 *     ptr          every address of a range has a name that points back, within the filed domains
 *     postmaster, abuse, feedback
 *                  a mail with a token to that address; the token comes back
 *
 * Ownership: nothing is kept; results go into the registry.
 * Errors:    REGISTRY_E_*, PROVE_E_*, negative errno. What the DNS does not tell changes nothing.
 * Standard:  RFC 1035, 1912 section 2.1 (names that point back), 2142, 6376, 3834.
 */
#pragma once

#include "feedback/queue.h"
#include "feedback/registry.h"

enum {
	PROVE_E_ZONE = 100, /* the DNS cannot be asked: faults of its configuration, said */
	PROVE_E_FROM,       /* no `report from` in the configuration */
	PROVE_E_MAIL,       /* the mail proves nothing; `why` tells */
};

/* Runs the DNS and the reverse-name proofs of what is under review. */
__attribute__((warn_unused_result)) int prove_names(struct registry *r,
						    const struct config *config, struct span key);
/* Puts a mail for each address that has to be proven into the queue; how many into *sent_r. */
__attribute__((warn_unused_result)) int prove_send(struct registry *r, struct queue *q,
						   const struct config *config, struct span key,
						   unsigned *sent_r);
/* A signed mail with the sender's token. `what` gets what it proves, or why it does not. */
__attribute__((warn_unused_result)) int prove_mail(struct registry *r,
						   const struct config *config, struct span key,
						   struct span octets, struct buf *what);
