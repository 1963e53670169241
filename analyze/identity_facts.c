/*
 * identity_facts - who the body says that it is from.
 *
 * The name is, in this order: one with a legal form or behind a copyright sign, the From display
 * name where the body repeats it, the name in From's domain where the body writes it. The
 * e-mail address is one that is not the recipient's and not made for unsubscribing or for one
 * recipient alone.
 */
#include "analyze/content_parts.h"
#include "analyze/identity.h"

/* A longer local part is a token of one recipient, not an address to write to. */
#define LOCAL_PART_BYTES 40

static struct found_text at_place(const struct content *c, struct text_range p)
{
	struct found_text t = {.text = SPAN_NONE};
	if (p.to <= p.from)
		return t;
	const struct folded *folded = &c->shown.text;
	size_t from = folded->from[p.from], to = folded->from[p.to];
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

static bool is_recipient(const struct message *m, const struct txn *txn, struct span addr)
{
	for (size_t i = 0; i < m->to.n && i < RECIPIENTS; i++)
		if (span_case_eq(m->to.v[i].addr, addr))
			return true;
	for (size_t i = 0; i < m->cc.n && i < RECIPIENTS; i++)
		if (span_case_eq(m->cc.v[i].addr, addr))
			return true;
	for (size_t i = 0; txn && i < txn->n_rcpts && i < RECIPIENTS; i++)
		if (span_case_eq(txn->rcpts[i].to, addr))
			return true;
	struct header *h = message_header(m, "Delivered-To", NULL);
	return h && span_case_eq(message_header_text(m, h), addr);
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
		"subscribe", "noreply", "no-reply", "do-not-reply", "donotreply"};
	for (size_t i = 0; i < sizeof(cues) / sizeof(cues[0]); i++)
		if (span_case_find(addr, span_of(cues[i])) != SIZE_MAX)
			return true;
	return false;
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
	for (size_t i = 0; i < v->n_links; i++) {
		const struct view_link *l = &v->links[i];
		struct span addr = address_in(l->target);
		if (!l->visible)
			continue;
		/* What a person reads counts before where the link leads. */
		struct span shown = view_link_text(v, l);
		bool written = span_case_find(shown, addr.n ? addr : SPAN("@")) != SIZE_MAX;
		if (!addr.n || for_unsubscribing(addr) || is_recipient(m, txn, addr))
			continue;
		int rank = 1 + written * 2 + (own.n && span_case_ends(addr, own) ? 4 : 0);
		if (rank > best) {
			best = rank;
			c->identity.email = (struct found_text){addr, l->part, l->offset};
		}
	}
}

/* Addresses that HTML writes as text, without a link. */
static void find_written_email(struct content *c, const struct txn *txn)
{
	const struct view *v = &c->shown.view;
	for (size_t i = 0; i < v->n_written && !c->identity.email.text.p; i++) {
		const struct view_link *l = &v->written[i];
		struct span addr = address_in(l->target);
		if (addr.n && !for_unsubscribing(addr) && !is_recipient(c->message, txn, addr))
			c->identity.email = (struct found_text){addr, l->part, l->offset};
	}
}

/* A name that From has, where the body writes it as a word and not inside an address. */
static struct text_range written_name(struct content *c, struct span name)
{
	struct span folded = fold_text(c->arena, name).text, s = c->shown.text.text;
	if (folded.n < 3 || span_find_char(folded, '@') != SIZE_MAX)
		return (struct text_range){0, 0};
	struct text_range last = {0, 0};
	for (size_t base = 0, n = 0; n < 50; n++) {
		size_t at = span_find(span_sub(s, base, s.n), folded);
		if (at == SIZE_MAX)
			break;
		at += base;
		size_t end = at + folded.n;
		char before = at ? s.p[at - 1] : ' ', behind = end < s.n ? s.p[end] : ' ';
		if (!ascii_is_alpha(before) && !memchr("/@.-_", before, 5) &&
		    !ascii_is_alpha(behind) && behind != '@' &&
		    !(behind == '.' && end + 1 < s.n && ascii_is_alpha(s.p[end + 1])))
			last = (struct text_range){at, end};
		base = end;
	}
	return last;
}

static void find_name(struct content *c)
{
	const struct message *m = c->message;
	const struct reading *r = &c->shown;
	struct text_range p = company_find(r->text.text, view_text(&r->view), r->text.from);
	if (!p.to && m->from.n) {
		const struct address *from = &m->from.v[0];
		if (from->name.p)
			p = written_name(c, from->name);
		struct span tail = domain_tail(from->domain);
		size_t dot = span_find_char(tail, '.');
		if (!p.to && dot != SIZE_MAX && dot >= 4)
			p = written_name(c, span_sub(tail, 0, dot));
	}
	c->identity.name = at_place(c, p);
}

void identity_find(struct content *c)
{
	struct span s = c->shown.text.text;
	find_name(c);
	c->identity.phone = at_place(c, phone_find(s));
	c->identity.address = at_place(c, address_find(s));
	c->identity.credit_code = at_place(c, credit_code_find(s));
	c->identity.icp = at_place(c, icp_find(s));
}

static void set_found(const struct content *c, struct facts *f, enum fact_id id,
		      const struct found_text *t)
{
	if (!t->text.p && (!c->readable || c->partial)) {
		facts_set_unknown(f, id);
		return;
	}
	struct fact *fact = facts_set_text(f, id, t->text);
	if (t->text.p)
		content_evidence(c, fact, t->text, t->part, t->offset);
}

void identity_facts(struct content *c, const struct txn *txn, struct facts *f)
{
	find_email(c, txn);
	find_written_email(c, txn);
	set_found(c, f, F_IDENTITY_NAME, &c->identity.name);
	set_found(c, f, F_IDENTITY_ADDRESS, &c->identity.address);
	set_found(c, f, F_IDENTITY_PHONE, &c->identity.phone);
	set_found(c, f, F_IDENTITY_EMAIL, &c->identity.email);
	set_found(c, f, F_IDENTITY_CREDIT_CODE, &c->identity.credit_code);
	set_found(c, f, F_IDENTITY_ICP, &c->identity.icp);
}
