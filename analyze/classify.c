/* classify - marketing or not, commercial or transactional (Note 3). */
#include "analyze/content_parts.h"

void class_facts(struct content *c, const struct txn *txn, struct facts *f)
{
	const struct message *m = c->message;
	(void)txn;
	const uint32_t *n = c->shown.hits.count;
	bool list = message_header(m, "List-Post", NULL) || message_header(m, "In-Reply-To", NULL);
	double promo = n[PHRASE_PROMO] + n[PHRASE_ACTION] + n[PHRASE_PERIODIC] + n[PHRASE_MEMBER];
	double service = n[PHRASE_ACCOUNT] + n[PHRASE_ORDER] + n[PHRASE_BILLING];
	bool bulk = c->unsub.n || message_header(m, "List-Unsubscribe", NULL);
	if (list || (!bulk && promo < 3)) {
		facts_set_condition(f, F_CLASS_MARKETING, false);
		facts_set_absent(f, F_CLASS_KIND);
	} else {
		facts_set_condition(f, F_CLASS_MARKETING, true);
		facts_set_text(f, F_CLASS_KIND, service > promo ? SPAN("transactional") : SPAN("commercial"));
	}
}
