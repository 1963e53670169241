/*
 * unsub_facts - the facts of unsubscribing: what the header fields promise, and what the ways in
 * the body (unsub.c) are worth to a person.
 *
 * One click counts when a DKIM signature that passed covers both fields: else anybody could have
 * put them in. What a person can see is told by the best way: letters large enough come before
 * contrast.
 *
 * Standard: RFC 2369 section 3.2, RFC 8058 sections 3 and 4; contrast as in WCAG 2.
 */
#include "analyze/content_parts.h"

/* --- header fields ----------------------------------------------------------- */

/* The next "<uri>" of List-Unsubscribe; comments between are skipped. */
static bool next_uri(struct span *rest, struct span *uri_r)
{
	size_t open = span_find_char(*rest, '<');
	if (open == SIZE_MAX)
		return false;
	struct span tail = span_sub(*rest, open + 1, rest->n);
	size_t close = span_find_char(tail, '>');
	if (close == SIZE_MAX)
		return false;
	*uri_r = span_trim(span_sub(tail, 0, close));
	*rest = span_sub(tail, close + 1, tail.n);
	return true;
}

struct header_ways {
	bool url, https, mailto;
	struct header *field;
	struct span text;
};

static struct header_ways header_ways(const struct message *m)
{
	struct header_ways w = {.field = message_header(m, "List-Unsubscribe", NULL)};
	if (!w.field)
		return w;
	w.text = message_header_text(m, w.field);
	struct span rest = w.text, uri;
	while (next_uri(&rest, &uri)) {
		w.https |= span_case_starts(uri, SPAN("https://")) && uri.n > 8;
		w.url |= (span_case_starts(uri, SPAN("http://")) && uri.n > 7) || w.https;
		w.mailto |= span_case_starts(uri, SPAN("mailto:")) &&
			    span_find_char(uri, '@') != SIZE_MAX;
	}
	return w;
}

static bool covers(const struct dkim_result *d, struct span name)
{
	for (size_t i = 0; i < d->n_signed_fields; i++)
		if (span_case_eq(d->signed_fields[i], name))
			return true;
	return false;
}

static void one_click_fact(const struct message *m, const struct header_ways *w,
			   const struct auth *auth, struct facts *f)
{
	struct header *post = message_header(m, "List-Unsubscribe-Post", NULL);
	bool wanted =
		post && w->https &&
		span_case_eq(message_header_text(m, post), SPAN("List-Unsubscribe=One-Click"));
	bool covered = false, unclear = auth == NULL;
	for (size_t i = 0; auth && i < auth->n_dkim; i++) {
		const struct dkim_result *d = &auth->dkim[i];
		bool both = covers(d, SPAN("list-unsubscribe")) &&
			    covers(d, SPAN("list-unsubscribe-post"));
		covered |= both && d->result == AUTH_PASS;
		unclear |= both && d->result == AUTH_TEMPERROR;
	}
	if (!post) {
		facts_set_absent(f, F_UNSUB_ONE_CLICK);
	} else if (wanted && !covered && unclear) {
		facts_set_unknown(f, F_UNSUB_ONE_CLICK);
	} else {
		struct fact *fact = facts_set_condition(f, F_UNSUB_ONE_CLICK, wanted && covered);
		facts_evidence(fact, message_header_text(m, post), (int64_t)post->offset,
			       post->field.n);
	}
	facts_set_condition(f, F_UNSUB_POST, wanted);
}

/* --- ways in the body -------------------------------------------------------- */

#define LEGIBLE_PX 9
#define LEGIBLE_CONTRAST 3

/* px 0: an image, whose letters nobody measured. */
static bool has_legible_px(const struct unsub_way *way)
{
	return way->px == 0 || way->px >= LEGIBLE_PX;
}

static const struct unsub_way *best_visible(const struct unsub *u)
{
	const struct unsub_way *best = NULL;
	for (size_t i = 0; i < u->n; i++) {
		const struct unsub_way *way = &u->ways[i];
		if (!way->visible)
			continue;
		bool legible = has_legible_px(way);
		bool best_legible = best && has_legible_px(best);
		/* contrast 0 (on an image, or an image itself) is not held against it */
		float contrast = way->contrast == 0 ? 21 : way->contrast;
		float best_contrast = best && best->contrast != 0 ? best->contrast : 21;
		if (!best || legible > best_legible ||
		    (legible == best_legible && contrast > best_contrast))
			best = way;
	}
	return best;
}

static void visible_facts(const struct content *c, struct facts *f)
{
	const struct unsub *u = &c->unsub;
	const struct unsub_way *best = best_visible(u);
	const struct unsub_way *shown = best ? best : &u->ways[0];
	struct fact *fact = facts_set_condition(f, F_UNSUB_VISIBLE, best != NULL);
	content_evidence(c, fact, shown->text, shown->part, shown->offset);
	bool legible = best && has_legible_px(best) &&
		       (best->contrast == 0 || best->contrast >= LEGIBLE_CONTRAST);
	fact = facts_set_condition(f, F_UNSUB_LEGIBLE, legible);
	content_evidence(c, fact, shown->text, shown->part, shown->offset);
	if (best && best->px > 0)
		facts_set_number(f, F_UNSUB_PX, best->px);
	else
		facts_set_unknown(f, F_UNSUB_PX);
	if (best && best->contrast > 0)
		facts_set_number(f, F_UNSUB_CONTRAST, best->contrast);
	else
		facts_set_unknown(f, F_UNSUB_CONTRAST);
}

static void methods_fact(const struct content *c, const struct header_ways *w, struct facts *f)
{
	static const char *const names[] = {"link", "mailto", "reply", "login", "form"};
	struct span *list = ARENA_ARRAY(c->arena, struct span, 7);
	bool seen[5] = {false};
	size_t n = 0;
	if (!list)
		return;
	if (w->url)
		list[n++] = SPAN("header-url");
	if (w->mailto)
		list[n++] = SPAN("header-mailto");
	for (size_t i = 0; i < c->unsub.n; i++)
		if (!seen[c->unsub.ways[i].kind]) {
			seen[c->unsub.ways[i].kind] = true;
			list[n++] = span_of(names[c->unsub.ways[i].kind]);
		}
	facts_set_list(f, F_UNSUB_METHODS, list, n);
}

static void body_facts(const struct content *c, struct facts *f)
{
	const struct unsub *u = &c->unsub;
	bool described = false, only_login = u->n > 0, all_dead = u->n > 0;
	const struct unsub_way *worded = &u->ways[0];
	for (size_t i = 0; i < u->n; i++) {
		described |= u->ways[i].described && u->ways[i].visible;
		only_login &= u->ways[i].kind == WAY_LOGIN;
		all_dead &= u->ways[i].dead;
		if (u->ways[i].language[0] && !worded->language[0])
			worded = &u->ways[i];
	}
	struct fact *fact = facts_set_condition(f, F_UNSUB_BODY, u->n > 0);
	if (u->n)
		content_evidence(c, fact, u->ways[0].text, u->ways[0].part, u->ways[0].offset);
	facts_set_number(f, F_UNSUB_BODY_COUNT, (double)u->n);
	facts_set_condition(f, F_UNSUB_DELETE_ONLY, u->delete_only && !u->n);
	if (!u->n) {
		static const enum fact_id none[] = {
			F_UNSUB_VISIBLE,   F_UNSUB_LEGIBLE, F_UNSUB_PX,	     F_UNSUB_CONTRAST,
			F_UNSUB_DESCRIBED, F_UNSUB_LOGIN,   F_UNSUB_LANGUAGE,
			F_UNSUB_DEAD};
		for (size_t i = 0; i < sizeof(none) / sizeof(none[0]); i++)
			facts_set_absent(f, none[i]);
		return;
	}
	visible_facts(c, f);
	fact = facts_set_condition(f, F_UNSUB_DESCRIBED, described);
	content_evidence(c, fact, worded->text, worded->part, worded->offset);
	facts_set_condition(f, F_UNSUB_LOGIN, only_login);
	fact = facts_set_condition(f, F_UNSUB_DEAD, all_dead);
	content_evidence(c, fact, u->ways[0].text, u->ways[0].part, u->ways[0].offset);
	facts_set_text(f, F_UNSUB_LANGUAGE,
		       worded->language[0] ? span_of(worded->language) : SPAN_NONE);
}

void unsub_facts(const struct content *c, const struct auth *auth, struct facts *f)
{
	const struct message *m = c->message;
	struct header_ways w = header_ways(m);
	struct fact *fact = facts_set_condition(f, F_UNSUB_HEADER, w.url || w.mailto);
	if (w.field)
		facts_evidence(fact, w.text, (int64_t)w.field->offset, w.field->field.n);
	one_click_fact(m, &w, auth, f);
	methods_fact(c, &w, f);
	bool form_reason = c->shown.view.forms && c->shown.view.form_required && c->unsub.n;
	facts_set_condition(f, F_UNSUB_FORM_REASON, form_reason);
	if (!c->readable || (c->partial && !c->unsub.n)) {
		/* nothing was read, or not all: no way found says nothing */
		static const enum fact_id body[] = {
			F_UNSUB_BODY,	  F_UNSUB_BODY_COUNT, F_UNSUB_VISIBLE,	 F_UNSUB_LEGIBLE,
			F_UNSUB_PX,	  F_UNSUB_CONTRAST,   F_UNSUB_DESCRIBED, F_UNSUB_LOGIN,
			F_UNSUB_LANGUAGE, F_UNSUB_DELETE_ONLY, F_UNSUB_DEAD};
		for (size_t i = 0; i < sizeof(body) / sizeof(body[0]); i++)
			facts_set_unknown(f, body[i]);
		return;
	}
	body_facts(c, f);
}
