/*
 * unsub - the ways to unsubscribe that the body offers.
 *
 * A way is a wish ("unsubscribe", 退订) together with something to act on: the wish is the text of
 * a link, or stands in one sentence with a link that means it ("click here"), an address or a URL
 * written out; or the sentence asks for an answer; or the link's target says it ("/unsub?u="). A
 * wish alone is no way, and "just delete it" is none either. A link that says "unsubscribe" and
 * leads nowhere ("#") is a way that is dead: it is told apart. What is said of the ways, and of
 * those in the header, is unsub_facts.c.
 */
#include "analyze/content_parts.h"

/* How far a link may stand from the wish that it serves: one long sentence. */
#define BEHIND_BYTES 200
#define BEFORE_BYTES 100
#define BEHIND_LINES 4
#define CANDIDATES 50 /* links looked at for one wish; empty ones may stand at one place */

static struct unsub_way *add_way(struct unsub *u, enum way_kind kind)
{
	u->seen++;
	if (u->n == UNSUB_WAYS)
		return NULL;
	u->ways[u->n] = (struct unsub_way){.kind = kind, .px = 16, .contrast = 21};
	return &u->ways[u->n++];
}

static bool is_mail_target(struct span t)
{
	return span_case_starts(t, SPAN("mailto:")) ||
	       (span_find_char(t, '@') != SIZE_MAX && span_find(t, SPAN("://")) == SIZE_MAX);
}

/* Something that a click acts on; "#" and "" are what templates leave. */
static bool usable(struct span t)
{
	return is_mail_target(t) || span_case_starts(t, SPAN("http")) ||
	       span_case_starts(t, SPAN("www.")) || span_starts(t, SPAN("//")) ||
	       (t.n > 1 && (t.p[0] == '{' || t.p[0] == '[' || t.p[0] == '%' || t.p[0] == '*' ||
			    t.p[0] == '<' || t.p[0] == '/'));
}

/* A link all the same, to a reader: its target is a placeholder that nobody filled in. */
static bool dead(struct span t)
{
	return !t.n || t.p[0] == '#';
}

/* Where in a target the cue stands; tracking tokens follow behind. */
#define LINK_CUE_BYTES 300

/* No cue is shorter. */
#define CUE_LEAST 4

/* Of four octets, letters in either case. */
static unsigned first_hash(const char *p)
{
	uint32_t four;
	memcpy(&four, p, sizeof(four));
	return (four | 0x20202020u) * 0x9e3779b1u >> 18;
}

static void mark_first(uint64_t *bits, const char *cue)
{
	unsigned h = first_hash(cue);
	bits[h / 64] |= 1ull << h % 64;
	bits[0] |= 1; /* made */
}

/* The target itself says it. */
static bool target_says_it(struct span t)
{
	static const char *const cues[] = {"unsub",
					   "optout",
					   "opt-out",
					   "opt_out",
					   "/remove",
					   "remove@",
					   "removeme",
					   "remove.",
					   "=remove",
					   "signoff",
					   "tuiding",
					   "quxiao",
					   "abmeld",
					   "abbestell",
					   "desabon",
					   "desinscri",
					   "descadastr",
					   "disiscri",
					   "unscribe",
					   "takemeoff",
					   "take-me-off",
					   "email-preferences",
					   "emailpreferences",
					   "subscription_preferences",
					   "manage-subscription",
					   "managesub",
					   "off-list",
					   "cancelar",
					   "afmeld",
					   "uitschrij",
					   "otpis",
					   "wypis"};
	/* Which first four octets cues have, by a hash: nearly all places fail there. */
	static uint64_t first[256];
	if (!first[0])
		for (size_t i = 0; i < sizeof(cues) / sizeof(cues[0]); i++)
			mark_first(first, cues[i]);
	t = span_sub(t, 0, LINK_CUE_BYTES);
	for (size_t at = 0; at + CUE_LEAST <= t.n; at++) {
		unsigned h = first_hash(t.p + at);
		if (!(first[h / 64] >> h % 64 & 1))
			continue;
		struct span rest = {t.p + at, t.n - at};
		for (size_t i = 0; i < sizeof(cues) / sizeof(cues[0]); i++)
			if (ascii_lower(*rest.p) == *cues[i] && span_case_starts(rest, span_of(cues[i])))
				return true;
	}
	return false;
}

/* First of `links` whose text begins at or behind `at`. */
static size_t link_from(const struct view_link *links, size_t n, size_t at)
{
	size_t low = 0, high = n;
	while (low < high) {
		size_t mid = low + (high - low) / 2;
		if (links[mid].from < at)
			low = mid + 1;
		else
			high = mid;
	}
	return low;
}

/* The first hit of `kind` that lies in [from, to) of the original of `folded`. */
static const struct phrase_hit *hit_within(const struct phrase_hits *hits,
					   const struct folded *folded, enum phrase_kind kind,
					   size_t from, size_t to)
{
	size_t low = 0, high = hits->n;
	while (low < high) { /* hits are in order of their ends */
		size_t mid = low + (high - low) / 2;
		if (fold_from(folded, hits->v[mid].to) <= from)
			low = mid + 1;
		else
			high = mid;
	}
	for (; low < hits->n && fold_from(folded, hits->v[low].to) <= to + 1; low++)
		if (hits->v[low].kind == kind && fold_from(folded, hits->v[low].from) >= from)
			return &hits->v[low];
	return NULL;
}

/* A short link right behind a wish, in its sentence: "pour vous désabonner, suivez ce lien". Not
 * for English, whose wishes are verbs with other objects too ("to remove"); what its links say
 * instead is in the list. */
#define CLOSE_BYTES 40
static bool close_behind(const struct view *v, const struct view_link *l,
			 const struct phrase_hit *wish, size_t to)
{
	static const char *const ends[] = {". ", "! ", "? ", "。", "！", "？", "|", "·", "•", "\n"};
	if (l->from < to || l->from - to > CLOSE_BYTES || l->to - l->from > CLOSE_BYTES ||
	    !memcmp(wish->language, "en", 2))
		return false;
	struct span between = span_sub(view_text(v), to, l->from);
	for (size_t i = 0; i < sizeof(ends) / sizeof(ends[0]); i++)
		if (span_find(between, span_of(ends[i])) != SIZE_MAX)
			return false;
	return true;
}

/* A link that serves a wish in another part of its sentence. */
static bool serves(const struct view *v, const struct view_link *l, const struct phrase_hits *hits,
		   const struct folded *text, const struct phrase_hit *wish, size_t to)
{
	if (!usable(l->target) || l->kind == LINK_FORM)
		return false;
	struct span shown = view_link_text(v, l);
	if (l->kind == LINK_PLAIN || l->says_unsub || !shown.n)
		return true;
	if (span_find(shown, SPAN("://")) != SIZE_MAX || span_find_char(shown, '@') != SIZE_MAX ||
	    span_case_starts(shown, SPAN("www.")))
		return true;
	if (shown.n > 60)
		return false;
	return hit_within(hits, text, PHRASE_HERE, l->from, l->to) != NULL ||
	       close_behind(v, l, wish, to);
}

static size_t lines_between(struct span text, size_t from, size_t to)
{
	size_t n = 0;
	struct span s = span_sub(text, from, to);
	for (size_t i = 0; i < s.n; i++)
		n += s.p[i] == '\n';
	return n;
}

/* How far link `l` is from the wish at [from, to); SIZE_MAX: in another sentence. */
static size_t distance(struct span text, const struct view_link *l, size_t from, size_t to)
{
	if (l->from >= from) {
		size_t end = to < l->from ? to : l->from;
		return lines_between(text, end, l->from) > BEHIND_LINES ? SIZE_MAX : l->from - end;
	}
	return l->to <= from && lines_between(text, l->to, from) <= 1 ? from - l->to : SIZE_MAX;
}

/* The nearest of `links` that serves the wish; *best_r is how near one was found before. */
static const struct view_link *nearest(const struct reading *r, const struct view_link *links,
				       size_t n, const struct phrase_hit *wish, size_t *best_r)
{
	const struct view *v = &r->view;
	size_t from = fold_from(&r->text, wish->from), to = fold_from(&r->text, wish->to);
	const struct view_link *best = NULL;
	size_t at = link_from(links, n, from > BEFORE_BYTES ? from - BEFORE_BYTES : 0);
	size_t stop = n - at < CANDIDATES ? n : at + CANDIDATES;
	for (; at < stop && links[at].from <= to + BEHIND_BYTES; at++) {
		const struct view_link *l = &links[at];
		if (!l->visible || l->to == l->from || !serves(v, l, &r->hits, &r->text, wish, to))
			continue;
		/* What stands nearer is meant: "Click here to unsubscribe. Visit ..." */
		size_t d = distance(view_text(v), l, from, to);
		if (d < *best_r) {
			*best_r = d;
			best = l;
		}
	}
	return best;
}

/* The link that serves the wish; NULL: none. */
static const struct view_link *serving_link(const struct reading *r, const struct phrase_hit *wish)
{
	const struct view *v = &r->view;
	size_t best = SIZE_MAX;
	const struct view_link *l = nearest(r, v->links, v->n_links, wish, &best);
	const struct view_link *written = nearest(r, v->written, v->n_written, wish, &best);
	return written ? written : l;
}

static void way_of_link(struct unsub *u, const struct view *v, const struct view_link *l,
			const struct phrase_hit *hit, struct span sentence)
{
	for (size_t i = 0; i < u->n; i++)
		if (l->target.p && u->ways[i].target.p == l->target.p) {
			u->ways[i].described |= hit != NULL;
			return;
		}
	struct unsub_way *way = add_way(u, is_mail_target(l->target) ? WAY_MAILTO
					   : l->kind == LINK_FORM    ? WAY_FORM
								     : WAY_LINK);
	if (!way)
		return;
	way->visible = l->visible;
	way->px = l->px;
	way->contrast = l->contrast;
	way->described = hit != NULL;
	way->dead = dead(l->target);
	way->text = sentence.n ? sentence : view_link_text(v, l);
	way->target = l->target;
	way->part = l->part;
	way->offset = l->offset;
	if (hit)
		memcpy(way->language, hit->language, sizeof(way->language));
}

/* A quoted line is a line as people send them: not longer. */
#define QUOTE_BYTES 1000

static bool quoted_line(struct span text, size_t at)
{
	size_t stop = at > QUOTE_BYTES ? at - QUOTE_BYTES : 0;
	while (at > stop && text.p[at - 1] != '\n')
		at--;
	return at < text.n && text.p[at] == '>';
}

/* An answer is asked for beside the wish: "no more mails? Please reply". */
#define ANSWER_BYTES 100
static bool answer_beside(const struct reading *r, const struct phrase_hit *wish)
{
	size_t from = fold_from(&r->text, wish->from), to = fold_from(&r->text, wish->to);
	struct span text = view_text(&r->view);
	const struct phrase_hit *hit =
		hit_within(&r->hits, &r->text, PHRASE_ANSWER,
			   from > ANSWER_BYTES ? from - ANSWER_BYTES : 0, to + ANSWER_BYTES);
	if (!hit)
		return false;
	size_t at = fold_from(&r->text, hit->from);
	return lines_between(text, at < to ? at : to, at < to ? from : at) <= 1;
}

static void way_of_text(struct unsub *u, const struct reading *r, const struct phrase_hit *hit,
			enum way_kind kind)
{
	size_t from = fold_from(&r->text, hit->from), to = fold_from(&r->text, hit->to);
	const struct view_run *run = view_run_at(&r->view, from);
	struct unsub_way *way = add_way(u, kind);
	if (!way)
		return;
	way->visible = way->described = true;
	way->px = run ? run->px : 16;
	way->contrast = run ? run->contrast : 21;
	way->text = view_line(view_text(&r->view), from, to);
	way->part = run ? run->part : 0;
	way->offset = run ? run->offset : 0;
	memcpy(way->language, hit->language, sizeof(way->language));
}

/* "There is no need to answer if you do not wish to get more": the wish is spoken of, and no way
 * told. */
#define NO_NEED_BYTES 80
static bool is_needless(const struct reading *r, const struct phrase_hit *hit)
{
	size_t from = hit->from > NO_NEED_BYTES ? hit->from - NO_NEED_BYTES : 0;
	struct span before = span_sub(r->text.text, from, hit->from);
	size_t at = span_find(before, SPAN("no need to "));
	return at != SIZE_MAX &&
	       span_find(span_sub(before, at, before.n), SPAN(". ")) == SIZE_MAX;
}

static void find_in_text(struct unsub *u, const struct reading *r)
{
	const struct view *v = &r->view;
	struct span text = view_text(v);
	size_t quoted_from = SIZE_MAX;
	for (size_t i = 0; i < r->hits.n && u->n < UNSUB_WAYS; i++) {
		const struct phrase_hit *hit = &r->hits.v[i];
		u->delete_only |= hit->kind == PHRASE_NOWAY;
		if (hit->kind != PHRASE_UNSUB && hit->kind != PHRASE_REPLY &&
		    hit->kind != PHRASE_LOGIN)
			continue;
		if (hit->kind == PHRASE_UNSUB && is_needless(r, hit))
			continue;
		size_t from = fold_from(&r->text, hit->from), to = fold_from(&r->text, hit->to);
		if (to - from < 400 && !v->html && from != quoted_from && quoted_line(text, from)) {
			quoted_from = from;
			continue;
		}
		const struct view_run *run = view_run_at(v, from);
		const struct view_link *l = run && run->link >= 0 ? &v->links[run->link] : NULL;
		if (l && (usable(l->target) || (dead(l->target) && l->kind == LINK_ANCHOR)) &&
		    hit->kind == PHRASE_UNSUB && (l->kind != LINK_FORM || v->forms)) {
			way_of_link(u, v, l, hit,
				    span_trim(span_sub(text, l->from, l->to)).n < 240
					    ? SPAN_NONE
					    : view_line(text, from, to));
			continue;
		}
		/* "To stop these mails log in and ...": the sentence is about the account. */
		if (hit->kind == PHRASE_UNSUB &&
		    hit_within(&r->hits, &r->text, PHRASE_LOGIN, from, to + BEHIND_BYTES / 2))
			continue;
		l = hit->kind == PHRASE_UNSUB ? serving_link(r, hit) : NULL;
		if (l)
			way_of_link(u, v, l, hit, view_line(text, from, to));
		else if (hit->kind == PHRASE_LOGIN)
			way_of_text(u, r, hit, WAY_LOGIN);
		else if (hit->kind == PHRASE_REPLY || answer_beside(r, hit))
			way_of_text(u, r, hit, WAY_REPLY);
	}
}

/* Links without a wish in their visible text: hidden text, images, targets. */
static void find_in_links(struct unsub *u, const struct reading *r)
{
	const struct view *v = &r->view;
	for (size_t i = 0; i < v->n_links && u->n < UNSUB_WAYS; i++) {
		const struct view_link *l = &v->links[i];
		if (!usable(l->target))
			continue;
		const struct phrase_hit *hit = hit_within(&r->hidden_hits, &r->hidden, PHRASE_UNSUB,
							  l->hidden_from, l->hidden_to);
		if (!hit)
			hit = hit_within(&r->alt_hits, &r->alt, PHRASE_UNSUB, l->alt_from,
					 l->alt_to);
		bool says = (l->visible || l->hidden_to > l->hidden_from) && l->says_unsub;
		if (hit || says)
			way_of_link(u, v, l, hit, SPAN_NONE);
	}
}

void unsub_find(struct unsub *u, struct reading *r)
{
	struct view *v = &r->view;
	for (size_t i = 0; i < v->n_links; i++)
		v->links[i].says_unsub = target_says_it(v->links[i].target);
	find_in_text(u, r);
	find_in_links(u, r);
	/* Addresses that HTML writes out: "remove http://example.com/remove.html" */
	for (size_t i = 0; i < v->n_written; i++)
		if (v->written[i].visible && target_says_it(v->written[i].target))
			way_of_link(u, v, &v->written[i], NULL, SPAN_NONE);
}
