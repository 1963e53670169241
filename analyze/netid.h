/*
 * netid - the network identity of the client: names, HELO, returnable addresses, block lists.
 */
#pragma once

#include "analyze/auth.h"
#include "analyze/content.h"

/* Sets the facts of section "network identity". `ptr` comes from auth_check(). */
enum step netid_check(const struct auth *auth, const struct message *m, const struct content *c,
		      const struct auth_query *q, const struct config *config,
		      struct dns_session *dns, struct facts *facts);
