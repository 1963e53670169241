/* auth - the order in which the checks run. */
#include "analyze/auth.h"

enum step auth_check(struct auth *auth, const struct message *m, const struct auth_query *q,
		     struct dns_session *dns, struct arena *arena)
{
	/* All of them first, so that all have asked before any of them waits. */
	bool waiting = spf_check(&auth->spf, &auth->spf_helo, q, dns, arena) == STEP_WAIT;
	waiting |= ptr_check(&auth->ptr, q, dns, arena) == STEP_WAIT;
	if (m) {
		waiting |= dkim_check(auth, m, q, dns, arena) == STEP_WAIT;
		waiting |= arc_check(&auth->arc, m, q, dns, arena) == STEP_WAIT;
	}
	/* What the others have not found out yet counts as temperror here, so that DMARC asks for
	 * its own names now; its result is taken from the last run alone. */
	waiting |= dmarc_check(auth, m, q, dns, arena) == STEP_WAIT;
	return waiting ? STEP_WAIT : STEP_DONE;
}
