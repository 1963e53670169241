/*
 * identity_facts - who the body says that it is from.
 *
 * Names are chosen in identity_sender.c. The e-mail address is one that is not the recipient's
 * (under any of the domains that forward to them) and not made for unsubscribing or for one
 * recipient alone. A telephone number is told with ASCII digits, whatever the width it was
 * written in.
 */
#include "analyze/content_parts.h"
#include "analyze/identity.h"
#include "analyze/identity_words.h"

/* A longer local part is a token of one recipient, not an address to write to. */
#define LOCAL_PART_BYTES 40

struct found_text content_place(const struct content *c, struct text_range p)
{
	struct found_text t = {.text = SPAN_NONE};
	if (p.to <= p.from)
		return t;
	const struct folded *folded = &c->shown.text;
	size_t from = fold_from(folded, p.from), to = fold_from(folded, p.to);
	t.text = span_trim(span_sub(view_text(&c->shown.view), from, to));
	const struct view_run *run = view_run_at(&c->shown.view, from);
	if (run) {
		t.part = run->part;
		t.offset = run->offset + (uint32_t)(from - run->start);
	}
	return t;
}

/* Compared with each address of the body; a mail to more is not written to its readers by name. */
#define RECIPIENTS 100

static struct span local_part(struct span addr)
{
	size_t at = span_rfind_char(addr, '@');
	return at == SIZE_MAX ? SPAN_NONE : span_sub(addr, 0, at);
}

/* The same address, or the same long local part in another domain of the person: mail is
 * forwarded, and the list knows the address that it was subscribed with. */
#define TELLING_LOCAL_BYTES 6
static bool same_person(struct span recipient, struct span addr)
{
	struct span local = local_part(recipient);
	return span_case_eq(recipient, addr) ||
	       (local.n >= TELLING_LOCAL_BYTES && span_case_eq(local, local_part(addr)));
}

static bool is_recipient(const struct message *m, const struct txn *txn, struct span addr)
{
	for (size_t i = 0; i < m->to.n && i < RECIPIENTS; i++)
		if (same_person(m->to.v[i].addr, addr))
			return true;
	for (size_t i = 0; i < m->cc.n && i < RECIPIENTS; i++)
		if (same_person(m->cc.v[i].addr, addr))
			return true;
	for (size_t i = 0; txn && i < txn->n_rcpts && i < RECIPIENTS; i++)
		if (same_person(txn->rcpts[i].to, addr))
			return true;
	struct header *h = message_header(m, "Delivered-To", NULL);
	return h && same_person(message_header_text(m, h), addr);
}

/* local@domain in a link's target or text; .p NULL: none. */
static struct span address_in(struct span s)
{
	if (span_case_starts(s, SPAN("mailto:")))
		s = span_sub(s, 7, s.n);
	else if (span_find(s, SPAN("://")) != SIZE_MAX)
		return SPAN_NONE;
	size_t end = span_find_char(s, '?');
	s = span_trim(span_sub(s, 0, end == SIZE_MAX ? s.n : end));
	size_t at = span_find_char(s, '@');
	if (at == SIZE_MAX || at == 0 || at > LOCAL_PART_BYTES ||
	    span_find_char(span_sub(s, at, s.n), '_') != SIZE_MAX || /* of a form to fill in */
	    span_find_char(span_sub(s, at, s.n), '.') == SIZE_MAX)
		return SPAN_NONE;
	for (size_t i = 0; i < s.n; i++)
		if ((unsigned char)s.p[i] <= ' ' || s.p[i] == ',' || s.p[i] == ';')
			return span_sub(s, 0, i < at ? 0 : i);
	return s;
}

/* Made for a machine: nobody reads there. */
static bool for_unsubscribing(struct span addr)
{
	static const char *const cues[] = {
		"unsub",     "remove",	"leave-",   "optout",	    "opt-out",	  "bounce",
		"off@",	     "signoff", "-off",	    "listserv@",    "majordomo@", "-request@",
		"subscribe", "noreply", "no-reply", "do-not-reply", "donotreply", "listmaster@",
		NULL};
	return has_any_case(addr, cues);
}

/* Where to complain, not whom to ask: taken when there is nothing else (RFC 2142). */
static bool for_complaints(struct span addr)
{
	static const char *const names[] = {"abuse@", "postmaster@", "spam@", "complaint@",
					    "complaints@", "privacy@", "dmca@", "legal@", "fbl@",
					    "hostmaster@", "security@", NULL};
	return starts_with_any(addr, names);
}

/* The text before says that the address is the reader's: "sent to", "Hello", "subscribed as". */
static bool called_yours(const struct view *v, const struct view_link *l)
{
	static const char *const words[] = {
		"sent to", "sent to:", "is for", "is for:", "subscribed as", "subscription is", "hi",
		"hi,", "hello", "hello,", "dear", "subscribed to as", "you are", "your address", "your e-mail address",
		"your email address", "your email", "intended for", "delivered to", "to:", "you,",
		"subscribed with", "registered as", "gesendet an", "gerichtet an", "envoye a",
		"enviado a", "enviado para", "inviata a", "发送至", "发送到", "发给", "寄給", "您的邮箱",
		"宛"};
	struct span before = span_trim(span_sub(view_text(v), l->from > 40 ? l->from - 40 : 0, l->from));
	while (before.n && memchr(" [(<:\"'", before.p[before.n - 1], 7))
		before.n--;
	for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
		struct span w = span_of(words[i]);
		if (span_case_ends(before, w) &&
		    (before.n == w.n || !ascii_is_alpha(before.p[before.n - w.n - 1])))
			return true;
	}
	return false;
}

/* The link is one of the ways to unsubscribe, or says again where one that has a subject writes to.
 * A bare address may serve for both. */
static bool is_way(const struct content *c, const struct view_link *l, struct span addr)
{
	for (size_t i = 0; i < c->unsub.n; i++) {
		struct span target = c->unsub.ways[i].target;
		if (l->target.p && target.p == l->target.p)
			return true;
		if (span_find_char(target, '?') == SIZE_MAX)
			continue;
		bool bare = span_find_char(l->target, '?') == SIZE_MAX;
		if (bare ? span_case_eq(address_in(target), addr) : span_case_eq(target, l->target))
			return true;
	}
	return false;
}

static bool ends_sentence(struct span s, size_t at)
{
	char c = s.p[at], next = at + 1 < s.n ? s.p[at + 1] : '\n';
	return c == '|' || ((c == '.' || c == '!' || c == '?') && (next == ' ' || next == '\n'));
}

/* Words of leaving in the sentence that the address stands in, and none of asking: it only stops
 * mail, in words that are no known way to unsubscribe. The end of a line parts sentences, but for
 * the one right before the address. */
#define SENTENCES 50 /* read in one mail: nobody writes to more addresses to leave */
#define SENTENCE_BEFORE_BYTES 160
#define SENTENCE_BEHIND_BYTES 80
static bool only_to_leave(const struct view *v, const struct view_link *l)
{
	static const char *const leaving[] = {
		"remov",       "unsubscri",	"opt out",     "opt-out",     "opting out",
		"no longer",   "not to receive", "not wish to", "not want to", "future mail",
		"taken out of", "taken off",	"off our",     "off this",    "off from",
		"belong on",   "退订",		"退訂",	       "取消订阅",    NULL};
	static const char *const asking[] = {"question", "contact us", "comment", "feedback", "inquir",
					     "enquir",	 "咨询",       "客服",	  "联系我们", NULL};
	struct span text = view_text(v);
	size_t from = l->from, to = l->to < l->from ? l->from : l->to;
	size_t first = from > SENTENCE_BEFORE_BYTES ? from - SENTENCE_BEFORE_BYTES : 0;
	size_t last = text.n - to > SENTENCE_BEHIND_BYTES ? to + SENTENCE_BEHIND_BYTES : text.n;
	while (from > first && (text.p[from - 1] == ' ' || text.p[from - 1] == '\n'))
		from--;
	while (from > first && text.p[from - 1] != '\n' && !ends_sentence(text, from - 1))
		from--;
	while (to < last && text.p[to] != '\n' && !ends_sentence(text, to))
		to++;
	struct span sentence = span_sub(text, from, to);
	return has_any_case(sentence, leaving) && !has_any_case(sentence, asking);
}

/* An address of the sender's in this link; .p NULL: none. */
static struct span senders(const struct content *c, const struct txn *txn,
			   const struct view_link *l)
{
	struct span addr = l->kind == LINK_FORM ? SPAN_NONE : address_in(l->target);
	size_t at = span_find_char(addr, '@');
	if (!addr.n || is_quoted(view_text(&c->shown.view), l->from) || for_unsubscribing(addr) ||
	    is_recipient(c->message, txn, addr) || is_way(c, l, addr) ||
	    called_yours(&c->shown.view, l) ||
	    span_case_starts(span_sub(addr, at + 1, addr.n), SPAN("lists.")))
		return SPAN_NONE;
	return addr;
}

/* The last two labels. */
static struct span domain_tail(struct span domain)
{
	size_t dot = span_rfind_char(domain, '.');
	if (dot == SIZE_MAX || dot == 0)
		return domain;
	size_t before = span_rfind_char(span_sub(domain, 0, dot), '.');
	return before == SIZE_MAX ? domain : span_sub(domain, before + 1, domain.n);
}

static void find_email(struct content *c, const struct txn *txn)
{
	const struct message *m = c->message;
	const struct view *v = &c->shown.view;
	struct span own = m->from.n ? domain_tail(m->from.v[0].domain) : SPAN_NONE;
	int best = 0;
	size_t looks = 0;
	for (size_t i = 0; i < v->n_links; i++) {
		const struct view_link *l = &v->links[i];
		if (!l->visible)
			continue;
		struct span addr = senders(c, txn, l);
		/* What a person reads counts before where the link leads. */
		struct span shown = view_link_text(v, l);
		bool written = span_case_find(shown, addr.n ? addr : SPAN("@")) != SIZE_MAX;
		if (!addr.n)
			continue;
		bool asked = m->reply_to.n && span_case_eq(addr, m->reply_to.v[0].addr);
		int rank = for_complaints(addr) ? 1
						: 2 + written * 2 + asked * 3 +
							  (own.n && span_case_ends(addr, own) ? 4 : 0);
		if (rank > best && looks++ < SENTENCES && !only_to_leave(v, l)) {
			best = rank;
			c->identity.email = (struct found_text){addr, l->part, l->offset};
		}
	}
}

/* Addresses that HTML writes as text, without a link. */
static void find_written_email(struct content *c, const struct txn *txn)
{
	const struct view *v = &c->shown.view;
	size_t looks = 0;
	for (size_t i = 0; i < v->n_written; i++) {
		struct span known = c->identity.email.text;
		if (known.n && !for_complaints(known))
			break;
		const struct view_link *l = &v->written[i];
		struct span addr = senders(c, txn, l);
		if (addr.n && (!known.n || !for_complaints(addr)) && looks++ < SENTENCES &&
		    !only_to_leave(v, l))
			c->identity.email = (struct found_text){addr, l->part, l->offset};
	}
}

void identity_find(struct content *c)
{
	struct span s = c->shown.text.text;
	struct text_range address = address_find(s, &c->shown.hits);
	struct text_range phone = phone_find(s);
	c->identity.name = sender_name_find(c, address, phone);
	c->identity.phone = content_place(c, phone);
	c->identity.phone_digits = c->identity.phone.text;
	for (size_t i = 0; i < c->identity.phone.text.n; i++)
		if (c->identity.phone.text.p[i] & 0x80)
			c->identity.phone_digits = span_trim(span_sub(s, phone.from, phone.to));
	c->identity.address = content_place(c, address);
	c->identity.credit_code = content_place(c, credit_code_find(s));
	c->identity.icp = content_place(c, icp_find(s, &c->shown.hits));
}

static void set_found_as(const struct content *c, struct facts *f, enum fact_id id,
			 const struct found_text *t, struct span value)
{
	if (!t->text.p && (!c->readable || c->partial)) {
		facts_set_unknown(f, id);
		return;
	}
	struct fact *fact = facts_set_text(f, id, value);
	if (t->text.p)
		content_evidence(c, fact, t->text, t->part, t->offset);
}

static void set_found(const struct content *c, struct facts *f, enum fact_id id,
		      const struct found_text *t)
{
	set_found_as(c, f, id, t, t->text);
}

void identity_facts(struct content *c, const struct txn *txn, struct facts *f)
{
	find_email(c, txn);
	find_written_email(c, txn);
	set_found(c, f, F_IDENTITY_NAME, &c->identity.name);
	set_found(c, f, F_IDENTITY_ADDRESS, &c->identity.address);
	set_found_as(c, f, F_IDENTITY_PHONE, &c->identity.phone, c->identity.phone_digits);
	set_found(c, f, F_IDENTITY_EMAIL, &c->identity.email);
	set_found(c, f, F_IDENTITY_CREDIT_CODE, &c->identity.credit_code);
	set_found(c, f, F_IDENTITY_ICP, &c->identity.icp);
}
