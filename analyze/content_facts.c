/* content_facts - the facts of the body, and where in the octets their evidence stands. */
#include "analyze/content_parts.h"
#include "base/utf8.h"

struct span view_line(struct span text, size_t from, size_t to)
{
	size_t room = LIMIT_EVIDENCE_BYTES > to - from ? LIMIT_EVIDENCE_BYTES - (to - from) : 0;
	size_t begin = from, end = to;
	while (begin > 0 && from - begin < room / 2 && text.p[begin - 1] != '\n')
		begin--;
	while (end < text.n && end - to < room / 2 && text.p[end] != '\n')
		end++;
	/* not from the middle of a word */
	if (begin > 0 && text.p[begin - 1] != '\n')
		while (begin < from && ascii_is_alpha(text.p[begin]))
			begin++;
	while (begin < from && (text.p[begin] & 0xc0) == 0x80)
		begin++;
	while (end > to && end < text.n && (text.p[end] & 0xc0) == 0x80)
		end--;
	return utf8_cut(span_trim(span_sub(text, begin, end)), LIMIT_EVIDENCE_BYTES);
}

static bool unencoded(const struct part *p)
{
	return !p->encoding.n || span_eq(p->encoding, SPAN("7bit")) ||
	       span_eq(p->encoding, SPAN("8bit")) || span_eq(p->encoding, SPAN("binary"));
}

/* Line ends before `offset`, counted from the place that was asked for before. */
static size_t lines_before(struct line_mark *mark, struct span text, uint16_t part, uint32_t offset)
{
	if (mark->part != part || offset < mark->offset)
		*mark = (struct line_mark){.part = part};
	const char *at = text.p + mark->offset, *end = text.p + offset;
	while (at < end && (at = memchr(at, '\n', (size_t)(end - at)))) {
		mark->lines++;
		at++;
	}
	mark->offset = offset;
	return mark->lines;
}

/* Octets compared to be sure that a place is the one meant: charsets move places. */
#define PROBE_BYTES 24

void content_evidence(const struct content *c, struct fact *fact, struct span text, uint16_t part,
		      uint32_t offset)
{
	const struct message *m = c->message;
	int64_t at = -1;
	size_t length = 0;
	if (part < m->n_parts && unencoded(&m->parts[part]) && offset < m->parts[part].text.n) {
		const struct part *p = &m->parts[part];
		size_t lines = lines_before(c->mark, p->text, part, offset);
		struct span want = span_sub(p->text, offset, offset + PROBE_BYTES);
		size_t nl = span_find_char(want, '\n');
		want = span_sub(want, 0, nl == SIZE_MAX ? want.n : nl);
		struct span body = span_sub(m->octets, p->offset, p->offset + p->length);
		size_t place = offset + lines; /* LF in the text stands for CRLF */
		if (want.n && span_eq(span_sub(body, place, place + want.n), want)) {
			at = (int64_t)(p->offset + place);
			length = text.n < body.n - place ? text.n : body.n - place;
		}
	}
	facts_evidence(fact, utf8_cut(text, LIMIT_EVIDENCE_BYTES), at, length);
}

/* --- HTML and text ----------------------------------------------------------------- */

static size_t characters(struct span s)
{
	size_t i = 0, behind = 0; /* octets behind the first of a character */
	for (; i + 8 <= s.n; i += 8) {
		uint64_t word;
		memcpy(&word, s.p + i, 8);
		word = (word & ~(word << 1) & 0x8080808080808080u) >> 7;
		behind += (size_t)(word * 0x0101010101010101u >> 56);
	}
	for (; i < s.n; i++)
		behind += (s.p[i] & 0xc0) == 0x80;
	return s.n - behind;
}

#define FOOTER_BYTES 600

static void footer_fact(const struct content *c, struct facts *f)
{
	struct span text = span_trim(view_text(&c->shown.view));
	size_t from = text.n > FOOTER_BYTES ? text.n - FOOTER_BYTES : 0;
	while (from > 0 && from < text.n && text.p[from - 1] != '\n' &&
	       text.n - from < 2 * FOOTER_BYTES)
		from++;
	if (from == text.n && from)
		from = text.n - FOOTER_BYTES;
	while (from < text.n && (text.p[from] & 0xc0) == 0x80)
		from++;
	struct span footer = span_trim(span_sub(text, from, text.n));
	struct fact *fact = facts_set_text(f, F_BODY_FOOTER, footer.n ? footer : SPAN_NONE);
	if (!footer.n)
		return;
	const struct view_run *run =
		view_run_at(&c->shown.view, (size_t)(footer.p - c->shown.view.text));
	content_evidence(c, fact, footer, run ? run->part : 0, run ? run->offset : 0);
}

struct word_bit {
	unsigned bit;
	const char *word;
};

static void list_fact(const struct content *c, struct facts *f, enum fact_id id, unsigned bits,
		      const struct word_bit *words, size_t n_words)
{
	struct span *list = ARENA_ARRAY(c->arena, struct span, n_words);
	size_t n = 0;
	for (size_t i = 0; list && i < n_words; i++)
		if (bits & words[i].bit)
			list[n++] = span_of(words[i].word);
	facts_set_list(f, id, list, n);
}

static void html_facts(const struct content *c, struct facts *f)
{
	static const struct word_bit faults[] = {
		{VIEW_UNCLOSED, "unclosed"},
		{VIEW_STRAY_END, "stray-end"},
		{VIEW_DUPLICATE_ATTRIBUTE, "duplicate-attribute"},
		{VIEW_CUT, "cut"},
		{VIEW_TOO_DEEP, "too-deep"},
		{VIEW_STYLE_FLOOD, "style-flood"},
		{VIEW_NESTED_LINK, "nested-link"},
		{VIEW_NO_BODY, "no-body"},
		{VIEW_MISNESTED, "misnested"},
	};
	static const struct word_bit active[] = {
		{VIEW_SCRIPT, "script"},   {VIEW_FORM, "form"},
		{VIEW_IFRAME, "iframe"},   {VIEW_OBJECT, "object"},
		{VIEW_HANDLER, "handler"}, {VIEW_JAVASCRIPT, "javascript"},
		{VIEW_REFRESH, "refresh"},
	};
	const struct view *v = &c->shown.view;
	if (!v->html) {
		facts_set_absent(f, F_HTML_ACTIVE);
		facts_set_absent(f, F_HTML_FAULTS);
		facts_set_absent(f, F_HTML_FAULT_COUNT);
		return;
	}
	list_fact(c, f, F_HTML_ACTIVE, v->active, active, sizeof(active) / sizeof(active[0]));
	list_fact(c, f, F_HTML_FAULTS, v->faults, faults, sizeof(faults) / sizeof(faults[0]));
	facts_set_number(f, F_HTML_FAULT_COUNT, (double)v->fault_count);
}

static void text_facts(const struct content *c, struct facts *f)
{
	const struct view *v = &c->shown.view;
	facts_set_number(f, F_BODY_TEXT_SIZE, (double)characters(view_text(v)));
	facts_set_number(f, F_BODY_HIDDEN_SIZE,
			 (double)characters((struct span){v->hidden, v->n_hidden}));
	facts_set_number(f, F_BODY_LINKS, (double)v->links_seen);
	facts_set_list(f, F_BODY_LINK_DOMAINS, c->link_domains, c->n_link_domains);
	facts_set_number(f, F_BODY_IMAGES, (double)v->images);
	facts_set_number(f, F_BODY_PIXELS, (double)v->pixels);
	facts_set_text(f, F_BODY_LANGUAGE, c->language[0] ? span_of(c->language) : SPAN_NONE);
	footer_fact(c, f);
}

/* --- phrases -------------------------------------------------------------------------- */

/* A condition: some phrase of `kind` stands in what is shown (or in a link's target). */
static void phrase_fact(const struct content *c, struct facts *f, enum fact_id id,
			enum phrase_kind kind)
{
	const struct reading *r = &c->shown;
	struct fact *fact =
		facts_set_condition(f, id, r->hits.count[kind] || r->alt_hits.count[kind]);
	for (size_t i = 0; i < r->hits.n; i++) {
		if (r->hits.v[i].kind != kind)
			continue;
		size_t from = fold_from(&r->text, r->hits.v[i].from), to = fold_from(&r->text, r->hits.v[i].to);
		const struct view_run *run = view_run_at(&r->view, from);
		content_evidence(c, fact, view_line(view_text(&r->view), from, to),
				 run ? run->part : 0,
				 run ? run->offset + (uint32_t)(from - run->start) : 0);
		return;
	}
}

static void privacy_fact(const struct content *c, struct facts *f)
{
	const struct view *v = &c->shown.view;
	phrase_fact(c, f, F_PRIVACY_POLICY, PHRASE_PRIVACY);
	for (size_t i = 0; i < v->n_links && !fact_true(f, F_PRIVACY_POLICY); i++) {
		const struct view_link *l = &v->links[i];
		if (span_case_find(span_sub(l->target, 0, 300), SPAN("privacy")) == SIZE_MAX)
			continue;
		struct fact *fact = facts_set_condition(f, F_PRIVACY_POLICY, true);
		content_evidence(c, fact, l->target, l->part, l->offset);
	}
}

static void complaint_fact(const struct content *c, struct facts *f)
{
	static const char *const fields[] = {
		"X-Report-Abuse", "X-Report-Abuse-To",	"X-Abuse-Info",	   "X-Complaints-To",
		"CFBL-Address",	  "X-Abuse-Reports-To", "X-CSA-Complaints"};
	phrase_fact(c, f, F_COMPLAINT_METHOD, PHRASE_COMPLAINT);
	for (size_t i = 0; i < sizeof(fields) / sizeof(fields[0]); i++) {
		struct header *h = message_header(c->message, fields[i], NULL);
		if (!h || fact_true(f, F_COMPLAINT_METHOD))
			continue;
		struct fact *fact = facts_set_condition(f, F_COMPLAINT_METHOD, true);
		facts_evidence(fact, message_header_text(c->message, h), (int64_t)h->offset,
			       h->field.n);
	}
}

/* "Beware of ...": this near behind a warning a phrase is no offer. */
#define WARNED_BYTES 40

static bool warned_of(const struct phrase_hits *hits, const struct phrase_hit *hit)
{
	for (size_t i = 0; i < hits->n; i++)
		if (hits->v[i].kind == PHRASE_WARNING && hits->v[i].to <= hit->from &&
		    hit->from - hits->v[i].to <= WARNED_BYTES)
			return true;
	return false;
}

/* Two phrases of one class, none part of the other ("online casino"), make it a matter for a person to look at. */
#define REVIEW_CUES 2

static void review_fact(const struct content *c, struct facts *f)
{
	static const enum phrase_kind kinds[] = {PHRASE_ALCOHOL,  PHRASE_TOBACCO, PHRASE_ADULT,
						 PHRASE_GAMBLING, PHRASE_FRAUD,	  PHRASE_MEDICAL,
						 PHRASE_INVOICES, PHRASE_LOANS,	  PHRASE_PYRAMID,
						 PHRASE_WEAPONS,  PHRASE_GUARANTEE,
						 PHRASE_ABSOLUTE};
	size_t n_kinds = sizeof(kinds) / sizeof(kinds[0]), n = 0;
	struct span *list = ARENA_ARRAY(c->arena, struct span, n_kinds);
	const struct phrase_hits *hits = &c->shown.hits;
	const struct phrase_hit *first = NULL;
	for (size_t i = 0; list && i < n_kinds; i++) {
		const struct phrase_hit *seen = NULL;
		for (size_t k = 0; k < hits->n && hits->count[kinds[i]] >= REVIEW_CUES; k++) {
			if (hits->v[k].kind != kinds[i] ||
			    (seen && (hits->v[k].row == seen->row || hits->v[k].from < seen->to)) ||
			    (hits->count[PHRASE_WARNING] && warned_of(hits, &hits->v[k])))
				continue;
			if (seen) { /* a second, other phrase at another place */
				list[n++] = span_of(phrase_kind_name(kinds[i]));
				first = first ? first : seen;
				break;
			}
			seen = &hits->v[k];
		}
	}
	struct fact *fact = facts_set_list(f, F_CONTENT_REVIEW, list, n);
	if (first)
		facts_evidence(fact,
			       view_line(view_text(&c->shown.view), fold_from(&c->shown.text, first->from),
					 fold_from(&c->shown.text, first->to)),
			       -1, 0);
}

void content_facts(struct content *c, const struct message *m, const struct auth *auth,
		   const struct txn *txn, struct facts *f)
{
	(void)m;
	text_facts(c, f);
	html_facts(c, f);
	unsub_facts(c, auth, f);
	complaint_fact(c, f);
	privacy_fact(c, f);
	phrase_fact(c, f, F_CONSENT_BASIS, PHRASE_BASIS);
	phrase_fact(c, f, F_CONSENT_HARVESTED, PHRASE_HARVEST);
	phrase_fact(c, f, F_MINORS_NOTICE, PHRASE_MINORS);
	review_fact(c, f);
	identity_facts(c, txn, f);
	class_facts(c, txn, f);
	subject_facts(c, f);
}
