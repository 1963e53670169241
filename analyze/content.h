/*
 * content - what the mail says: visible text, links, unsubscribe, identity, class, subject.
 *
 * Needs the parsed message and, for what DKIM must cover, the authentication results.
 */
#pragma once

#include "analyze/auth.h"

struct content; /* what content_read() found; see html.h for the parts */

/* Reads text and HTML parts; NULL when the arena is full. */
struct content *content_read(const struct message *m, struct arena *arena);
/* Sets the facts of the sections HTML, unsubscribe, identity, class and subject. */
void content_facts(struct content *c, const struct message *m, const struct auth *auth,
		   const struct txn *txn, struct facts *facts);
/* The domains that links lead to, for the URL block lists. */
const struct span *content_link_domains(const struct content *c, size_t *n_r);
