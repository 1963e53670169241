/*
 * cfbl - the address at which a message itself asks for complaints, when its signatures allow that.
 *
 * Judged when the message comes in, with the signatures as they were checked then: a complaint
 * shows a message that a recipient could have changed.
 *
 * Ownership: spans lie in the arena given.
 * Standard:  RFC 9477 sections 3.1 and 5.
 */
#pragma once

#include "analyze/auth.h"
#include "base/json.h"

struct cfbl {
	struct span address;
	struct span domain; /* d= of the signature that answers for the address */
	bool xarf;
	bool present; /* there is such a field, whatever came of it */
};

/* .address.p NULL: nobody is to be told. */
struct cfbl cfbl_find(const struct message *m, const struct auth *auth, struct arena *arena);
/* The key "cfbl" of an event; nothing when the message has no such field. */
void cfbl_write_json(const struct cfbl *c, struct json *j);
