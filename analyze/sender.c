/*
 * Identification costs a hash look-up for each label of a domain and for each prefix length that
 * any filing uses, whatever the number of registered senders: a provider has tens of thousands.
 */
#include "analyze/sender.h"

enum slot_kind { SLOT_FREE, SLOT_DKIM, SLOT_DOMAIN, SLOT_RANGE };

enum slot_view { VIEW_ACTIVE, VIEW_INACTIVE, VIEW_WAITING };

struct sender_slot {
	enum slot_kind kind;
	enum slot_view view;
	struct span domain;
	struct ip_prefix range;
	const struct sender_entry *entry;
};

/* FNV-1a; the registry's operator approves what is in the table, so nobody can fill a chain. */
static uint64_t hash_add(uint64_t h, const void *bytes, size_t n)
{
	const uint8_t *p = bytes;
	for (size_t i = 0; i < n; i++)
		h = (h ^ (uint8_t)ascii_lower((char)p[i])) * 1099511628211u;
	return h;
}

static size_t hash_domain(const struct sender_slot *slot)
{
	uint64_t h = hash_add(14695981039346656037u + slot->kind + 16 * slot->view, slot->domain.p,
			      slot->domain.n);
	return (size_t)(h ^ h >> 32);
}

static size_t hash_range(const struct sender_slot *slot)
{
	const struct ip_prefix *range = &slot->range;
	uint64_t h = 14695981039346656037u + SLOT_RANGE + 16 * slot->view;
	for (size_t i = 0; i < sizeof(range->ip.bytes); i++)
		h = (h ^ range->ip.bytes[i]) * 1099511628211u;
	h = (h ^ range->bits ^ (uint64_t)range->ip.family << 8) * 1099511628211u;
	return (size_t)(h ^ h >> 32);
}

static bool slot_same(const struct sender_slot *a, const struct sender_slot *b)
{
	if (a->kind != b->kind || a->view != b->view)
		return false;
	if (a->kind == SLOT_RANGE)
		return a->range.bits == b->range.bits && ip_eq(&a->range.ip, &b->range.ip);
	return span_case_eq(a->domain, b->domain);
}

static size_t slot_hash(const struct sender_slot *slot)
{
	return slot->kind == SLOT_RANGE ? hash_range(slot) : hash_domain(slot);
}

static const struct sender_slot *slot_find(const struct sender_table *t,
					   const struct sender_slot *like)
{
	if (t->n_slots == 0)
		return NULL;
	for (size_t i = slot_hash(like);; i++) {
		const struct sender_slot *slot = &t->slots[i & (t->n_slots - 1)];
		if (slot->kind == SLOT_FREE)
			return NULL;
		if (slot_same(slot, like))
			return slot;
	}
}

/* The first filing of a name keeps it: filings that overlap are refused before they get here. */
static void slot_put(struct sender_slot *slots, size_t n_slots, struct sender_slot slot)
{
	for (size_t i = slot_hash(&slot);; i++) {
		struct sender_slot *at = &slots[i & (n_slots - 1)];
		if (at->kind != SLOT_FREE && slot_same(at, &slot))
			return;
		if (at->kind == SLOT_FREE) {
			*at = slot;
			return;
		}
	}
}

static size_t count_items(const struct sender_entry *v, size_t n)
{
	size_t items = 0;
	for (size_t i = 0; i < n; i++)
		items += v[i].n_dkim_domains + v[i].n_domains + v[i].n_ranges;
	return items;
}

static size_t list_bits(const bool used[129], unsigned max, uint8_t *bits)
{
	size_t n = 0;
	for (unsigned b = max + 1; b-- > 0;)
		if (used[b])
			bits[n++] = (uint8_t)b;
	return n;
}

static enum slot_view view_of(const struct sender_entry *e)
{
	return span_eq(e->state, SPAN("active"))    ? VIEW_ACTIVE
	       : span_eq(e->state, SPAN("waiting")) ? VIEW_WAITING
						    : VIEW_INACTIVE;
}

const struct sender_table *sender_table_build(const struct sender_entry *v, size_t n,
					      size_t n_others, struct arena *arena)
{
	size_t n_slots = 16;
	while (n_slots < 2 * count_items(v, n + n_others))
		n_slots *= 2;
	struct sender_table *t = ARENA_NEW(arena, struct sender_table);
	struct sender_slot *slots = ARENA_ARRAY(arena, struct sender_slot, n_slots);
	uint8_t *v4 = arena_alloc(arena, 33), *v6 = arena_alloc(arena, 129);
	if (!t || !slots || !v4 || !v6)
		return NULL;
	bool used4[129] = {false}, used6[129] = {false};
	for (size_t i = 0; i < n + n_others; i++) {
		struct sender_slot slot = {.kind = SLOT_DKIM, .view = view_of(&v[i]),
					   .entry = &v[i]};
		for (size_t k = 0; k < v[i].n_dkim_domains; k++) {
			slot.domain = v[i].dkim_domains[k];
			slot_put(slots, n_slots, slot);
		}
		slot.kind = SLOT_DOMAIN;
		for (size_t k = 0; k < v[i].n_domains; k++) {
			slot.domain = v[i].domains[k];
			slot_put(slots, n_slots, slot);
		}
		slot.kind = SLOT_RANGE;
		for (size_t k = 0; k < v[i].n_ranges; k++) {
			slot.range = v[i].ranges[k];
			slot_put(slots, n_slots, slot);
			(slot.range.ip.family == 4 ? used4 : used6)[slot.range.bits] = true;
		}
	}
	*t = (struct sender_table){.v = v, .n = n, .slots = slots, .n_slots = n_slots,
				   .v4_bits = v4, .v6_bits = v6};
	t->n_v4_bits = list_bits(used4, 32, v4);
	t->n_v6_bits = list_bits(used6, 128, v6);
	return t;
}

static const struct sender_entry *by_name(const struct sender_table *table, enum slot_view view,
					  enum slot_kind kind, struct span domain)
{
	while (table && domain.n) {
		const struct sender_slot *slot =
			slot_find(table, &(struct sender_slot){.kind = kind, .view = view,
							       .domain = domain});
		if (slot)
			return slot->entry;
		size_t dot = span_find_char(domain, '.');
		if (dot == SIZE_MAX)
			break;
		domain = span_sub(domain, dot + 1, domain.n);
	}
	return NULL;
}

const struct sender_entry *sender_by_dkim(const struct sender_table *table, struct span domain)
{
	return by_name(table, VIEW_ACTIVE, SLOT_DKIM, domain);
}

const struct sender_entry *sender_by_domain(const struct sender_table *table, struct span domain)
{
	return by_name(table, VIEW_ACTIVE, SLOT_DOMAIN, domain);
}

static const struct sender_entry *by_ip(const struct sender_table *table, enum slot_view view,
					const struct ip *ip)
{
	if (!table || !ip->family)
		return NULL;
	const uint8_t *bits = ip->family == 4 ? table->v4_bits : table->v6_bits;
	size_t n = ip->family == 4 ? table->n_v4_bits : table->n_v6_bits;
	for (size_t i = 0; i < n; i++) {
		struct sender_slot like = {.kind = SLOT_RANGE, .view = view,
					   .range = ip_prefix_of(ip, bits[i])};
		const struct sender_slot *slot = slot_find(table, &like);
		if (slot)
			return slot->entry;
	}
	return NULL;
}

const struct sender_entry *sender_by_ip(const struct sender_table *table, const struct ip *ip)
{
	return by_ip(table, VIEW_ACTIVE, ip);
}

bool domain_covers(struct span domain, struct span name)
{
	return domain.n && span_case_ends(name, domain) &&
	       (name.n == domain.n || name.p[name.n - domain.n - 1] == '.');
}

/* RFC 7489 section 3.1.1 relaxed alignment, with what DMARC found out about the author. */
static bool aligned(struct span d, const struct auth *auth, const struct message *m)
{
	if (!m || m->from.n == 0 || !m->from.v[0].domain.p)
		return false;
	struct span author = m->from.v[0].domain, org = auth->dmarc.org_domain;
	if (span_case_eq(d, author))
		return true;
	if (!org.n || !span_case_ends(d, org))
		return false;
	return d.n == org.n || d.p[d.n - org.n - 1] == '.';
}

static const struct dkim_result *best_signature(const struct auth *auth, const struct message *m)
{
	const struct dkim_result *best = NULL;
	for (size_t i = 0; i < auth->n_dkim; i++) {
		const struct dkim_result *sig = &auth->dkim[i];
		if (sig->result != AUTH_PASS)
			continue;
		if (aligned(sig->d, auth, m))
			return sig;
		if (!best)
			best = sig;
	}
	return best;
}

/* A look-up that failed on our side may hide an identity that somebody has filed. */
static bool hidden_by_temperror(const struct sender_table *table, const struct auth *auth)
{
	for (size_t i = 0; i < auth->n_dkim; i++)
		if (auth->dkim[i].result == AUTH_TEMPERROR && sender_by_dkim(table, auth->dkim[i].d))
			return true;
	return auth->spf.result == AUTH_TEMPERROR && sender_by_domain(table, auth->spf.domain);
}

/* In the order of RFC 6650 section 6; *by_r says what told. NULL: nobody. */
static const struct sender_entry *identify(const struct sender_table *table, enum slot_view view,
					   const struct auth *auth, const struct txn *txn,
					   struct span *by_r)
{
	const struct sender_entry *found = NULL;
	*by_r = SPAN("dkim");
	for (size_t i = 0; i < auth->n_dkim && !found; i++)
		if (auth->dkim[i].result == AUTH_PASS)
			found = by_name(table, view, SLOT_DKIM, auth->dkim[i].d);
	if (!found) {
		found = by_ip(table, view, &txn->peer);
		*by_r = SPAN("ip");
	}
	if (!found && auth->spf.result == AUTH_PASS) {
		found = by_name(table, view, SLOT_DOMAIN, auth->spf.domain);
		*by_r = SPAN("spf");
	}
	return found;
}

/* An address of a sender who was revoked may be somebody else's by now. */
static const struct sender_entry *identify_inactive(const struct sender_table *table,
						    const struct auth *auth, const struct txn *txn)
{
	struct span by;
	const struct sender_entry *found = identify(table, VIEW_INACTIVE, auth, txn, &by);
	return found && span_eq(by, SPAN("ip")) && span_eq(found->state, SPAN("revoked")) ? NULL
											   : found;
}

/* "campaign:customer:type:sender", of which the first may be empty. */
static struct span feedback_campaign(const struct message *m)
{
	struct header *h = message_header(m, "Feedback-ID", NULL);
	struct span text, campaign;
	if (!h)
		return SPAN_NONE;
	text = span_trim(message_header_text(m, h));
	if (!span_next_field(&text, ':', &campaign) || !span_trim(campaign).n)
		return SPAN_NONE;
	return span_trim(campaign);
}

static struct span list_of(const struct message *m, struct arena *arena)
{
	struct header *h = message_header(m, "List-Id", NULL);
	if (h) {
		/* RFC 2919: phrase <list-id>; the phrase may hold anything, quoted or not. */
		struct span text = message_header_text(m, h);
		size_t from = span_rfind_char(text, '<'), to = span_rfind_char(text, '>');
		if (from != SIZE_MAX && to != SIZE_MAX && from < to)
			text = span_sub(text, from + 1, to);
		text = span_trim(text);
		if (text.n)
			return arena_lower(arena, text);
	}
	return feedback_campaign(m);
}

static struct span campaign_of(const struct message *m)
{
	static const char *const names[] = {"X-Campaign-ID", "X-CampaignID", "X-Campaign"};
	struct span campaign = feedback_campaign(m);
	for (size_t i = 0; !campaign.n && i < sizeof(names) / sizeof(*names); i++) {
		struct header *h = message_header(m, names[i], NULL);
		if (h)
			campaign = span_trim(message_header_text(m, h));
	}
	return campaign.n ? campaign : SPAN_NONE;
}

void sender_identify(struct sender *s, const struct sender_table *table, const struct auth *auth,
		     const struct message *m, const struct txn *txn, struct arena *arena)
{
	struct span by;
	*s = (struct sender){.list = m ? list_of(m, arena) : SPAN_NONE,
			     .campaign = m ? campaign_of(m) : SPAN_NONE};
	s->registered = identify(table, VIEW_ACTIVE, auth, txn, &s->by);
	s->waiting = identify(table, VIEW_WAITING, auth, txn, &by);
	if (s->registered) {
		s->key = s->registered->key;
		s->registered_known = true;
		return;
	}
	s->inactive = identify_inactive(table, auth, txn);
	s->registered_known = table && !hidden_by_temperror(table, auth);
	const struct dkim_result *sig = best_signature(auth, m);
	if (sig) {
		s->by = SPAN("dkim");
		s->key = arena_lower(arena, sig->d);
	} else if (auth->spf.result == AUTH_PASS && auth->spf.domain.n) {
		s->by = SPAN("spf");
		s->key = arena_lower(arena, auth->spf.domain);
	} else if (txn->peer.family) {
		char text[IP_TEXT_BYTES];
		s->by = SPAN("ip");
		s->key = arena_copy(arena, span_of(ip_text(&txn->peer, text)));
	} else {
		s->by = s->key = SPAN_NONE;
	}
}

void sender_facts(const struct sender *s, const struct txn *txn, struct facts *facts)
{
	facts_set_text(facts, F_SENDER_KEY, s->key);
	facts_set_text(facts, F_SENDER_BY, s->by);
	if (s->registered_known)
		facts_set_condition(facts, F_SENDER_REGISTERED, s->registered != NULL);
	else
		facts_set_unknown(facts, F_SENDER_REGISTERED);
	if (!s->registered) {
		if (s->registered_known) {
			facts_set_absent(facts, F_SENDER_NAME);
			facts_set_absent(facts, F_SENDER_IP_FILED);
		}
		return;
	}
	facts_set_text(facts, F_SENDER_NAME, s->registered->key);
	bool filed = false;
	for (size_t i = 0; i < s->registered->n_ranges && !filed; i++)
		filed = ip_prefix_holds(&s->registered->ranges[i], &txn->peer);
	if (txn->peer.family)
		facts_set_condition(facts, F_SENDER_IP_FILED, filed);
}
