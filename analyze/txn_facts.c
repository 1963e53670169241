/* Facts of section "the transaction". */
#include "analyze/message.h"

static const struct span *flag_words(const struct txn *txn, struct arena *arena, size_t *n_r)
{
	size_t n = 0;
	struct span *v = ARENA_ARRAY(arena, struct span, 32);
	for (unsigned bit = 0; v && bit < 32; bit++) {
		const char *name = txn->flags & 1u << bit
					   ? txn_flag_name((enum txn_flag)(1u << bit)) : NULL;
		if (name)
			v[n++] = span_of(name);
	}
	*n_r = n;
	return v;
}

void txn_facts(const struct txn *txn, struct facts *f)
{
	char text[IP_TEXT_BYTES];
	size_t n_flags;
	facts_set_text(f, F_TXN_SOURCE, span_of(txn_source_name(txn->source)));
	if (txn->peer.family)
		facts_set_text(f, F_TXN_PEER,
			       arena_copy(f->arena, span_of(ip_text(&txn->peer, text))));
	if (txn->helo.s.p)
		facts_set_text(f, F_TXN_HELO, txn->helo.s);
	if (txn->mail_from.s.p) {
		struct address a;
		bool split = address_split(f->arena, txn->mail_from.s, &a);
		facts_set_text(f, F_TXN_MAIL_FROM, txn->mail_from.s);
		facts_set_text(f, F_TXN_MAIL_FROM_DOMAIN, split ? a.domain : SPAN_NONE);
	}
	/* A spool tells at most one recipient of several: then the count is not known. */
	if (txn->source == TXN_PCAP || txn->source == TXN_MILTER || txn->n_rcpts > 1)
		facts_set_number(f, F_TXN_RCPT_COUNT, (double)txn->rcpts_seen);
	facts_set_condition(f, F_TXN_COMPLETE, txn->complete);
	if (txn->source == TXN_PCAP || txn->source == TXN_MILTER || txn->tls.on)
		facts_set_condition(f, F_TXN_TLS, txn->tls.on);
	const struct span *flags = flag_words(txn, f->arena, &n_flags);
	facts_set_list(f, F_TXN_FLAGS, flags, n_flags);
	facts_set_condition(f, F_SMTP_SMUGGLING, txn->flags & TXN_SMUGGLING);
}
