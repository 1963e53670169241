/* subject - what the Subject promises against what the mail is. */
#include "analyze/subject.h"
#include "analyze/html.h"
#include "analyze/tables.h"
#include "base/buf.h"

/* "Re:", "Fwd:" and their kin of other languages at the start of a folded subject; the rest. */
static bool reply_prefix(struct span s, struct span *rest_r)
{
	static const char *const prefixes[] = {
		"re:",	 "re :",  "fw:",   "fwd:",  "aw:",   "wg:",    "tr:",	"sv:",
		"rv:",	 "rif:",  "res:",  "enc:",  "antw:", "vs:",    "回复:", "转发:",
		"回覆:", "轉寄:", "答复:", "答覆:", "轉發:", "回覆：", NULL};
	for (const char *const *p = prefixes; *p; p++)
		if (span_starts(s, span_of(*p))) {
			*rest_r = span_sub(s, strlen(*p), s.n);
			return true;
		}
	return false;
}

/* Something of an earlier message stands in the body. */
static bool quotes(const struct content *c)
{
	static const char *const marks[] = {"wrote:",
					    "writes:",
					    "-----original message",
					    "\nfrom:",
					    "forwarded message",
					    "begin forwarded",
					    "said:",
					    "schrieb",
					    "a ecrit",
					    "escribio:",
					    "ha scritto",
					    "写道",
					    "原始邮件",
					    "发件人",
					    "寫道",
					    "的大作中提到",
					    NULL};
	const struct reading *readings[] = {&c->shown, &c->other};
	for (size_t r = 0; r < 2; r++) {
		struct span s = readings[r]->text.text;
		for (const char *const *m = marks; *m; m++)
			if (span_find(s, span_of(*m)) != SIZE_MAX)
				return true;
		for (size_t i = 0; i + 1 < s.n; i++)
			if ((i == 0 || s.p[i - 1] == '\n') &&
			    (s.p[i] == '>' ||
			     ((s.p[i] == '|' || s.p[i] == ':') && s.p[i + 1] == ' ') ||
			     (i + 2 < s.n && s.p[i + 1] == '>' && ascii_is_alpha(s.p[i]))))
				return true;
	}
	for (size_t i = 0; i < c->message->n_parts; i++)
		if (span_starts(c->message->parts[i].type, SPAN("message/")))
			return true;
	return false;
}

static void fake_reply_fact(const struct content *c, struct span folded, struct facts *f)
{
	const struct message *m = c->message;
	struct span rest;
	bool reply = reply_prefix(folded, &rest);
	bool thread =
		message_header(m, "In-Reply-To", NULL) || message_header(m, "References", NULL);
	if (!m->subject.p) {
		facts_set_absent(f, F_SUBJECT_FAKE_REPLY);
		return;
	}
	if (reply && !thread && !c->readable) {
		facts_set_unknown(f, F_SUBJECT_FAKE_REPLY);
		return;
	}
	struct fact *fact =
		facts_set_condition(f, F_SUBJECT_FAKE_REPLY, reply && !thread && !quotes(c));
	struct header *h = message_header(m, "Subject", NULL);
	facts_evidence(fact, m->subject, h ? (int64_t)h->offset : -1, h ? h->field.n : 0);
}

static bool ad_prefix(struct span s, struct span *rest_r)
{
	static const char *const prefixes[] = {"adv:",	"ad:",	"(ad)",	  "<ad>",     "【ad】",
					       "【广告】", "(广告)", "广告:", "【廣告】", "(廣告)",
					       "廣告:", "(광고)", NULL};
	for (const char *const *p = prefixes; *p; p++)
		if (span_starts(s, span_of(*p))) {
			*rest_r = span_sub(s, strlen(*p), s.n);
			return true;
		}
	return false;
}

struct span subject_bare(struct arena *a, struct span subject)
{
	struct span s = span_trim(fold_text(a, span_sub(subject, 0, 600)).text), rest;
	for (int i = 0; i < 6; i++) {
		if (reply_prefix(s, &rest)) {
			s = span_trim(rest);
		} else if (s.n && s.p[0] == '[' && span_find_char(s, ']') < 40) {
			s = span_trim(span_sub(s, span_find_char(s, ']') + 1, s.n));
		} else if (ad_prefix(s, &rest)) {
			s = span_trim(rest);
		} else {
			break;
		}
	}
	return s;
}

static struct span body_text(const struct content *c)
{
	const struct span pieces[] = {c->shown.text.text, c->shown.alt.text, c->shown.hidden.text};
	size_t n = 0;
	char *out = arena_alloc(c->arena, pieces[0].n + pieces[1].n + pieces[2].n + 3);
	if (!out)
		return SPAN_NONE;
	/* Images' texts and preheaders first: they are short and often the point of the mail. */
	for (size_t i = 3; i-- > 0;) {
		size_t take = i == 0 ? pieces[i].n : pieces[i].n < 4000 ? pieces[i].n : 4000;
		if (take)
			memcpy(out + n, pieces[i].p, take);
		n += take;
		out[n++] = ' ';
	}
	return (struct span){out, n};
}

/* Where titles are looked for, and how much of one is read. */
#define TITLE_PLACE 8000
#define TITLE_BYTES 400

static struct span title_text(const struct content *c)
{
	const struct part *p = message_part(c->message, "text/html");
	struct span head = p ? span_sub(p->text, 0, TITLE_PLACE) : SPAN_NONE;
	size_t at = span_case_find(head, SPAN("<title"));
	struct span rest = at == SIZE_MAX ? SPAN_NONE : span_sub(head, at, at + TITLE_BYTES);
	size_t from = span_find_char(rest, '>'), to = span_case_find(rest, SPAN("</title"));
	if (from == SIZE_MAX)
		return SPAN_NONE;
	return fold_text(c->arena, html_decode(c->arena, span_sub(rest, from + 1, to))).text;
}

static void add_folded(struct arena *a, struct buf *b, struct span s)
{
	buf_add(b, fold_text(a, s).text);
	buf_adds(b, " ");
}

struct subject_texts subject_texts(const struct content *c)
{
	const struct message *m = c->message;
	struct buf names = BUF_INIT;
	struct subject_texts t = {.body = body_text(c), .title = title_text(c)};
	for (size_t i = 0; i < m->from.n && i < 2; i++) {
		add_folded(c->arena, &names, m->from.v[i].name);
		add_folded(c->arena, &names, m->from.v[i].addr);
	}
	for (size_t i = 0; i < m->to.n && i < 3; i++) {
		add_folded(c->arena, &names, m->to.v[i].name);
		add_folded(c->arena, &names, m->to.v[i].addr);
	}
	t.names = arena_copy(c->arena, buf_span(&names));
	buf_free(&names);
	return t;
}

/* An image mail shows its words in pictures: this many px^2 for each visible byte. */
#define IMAGE_AREA_PER_BYTE 2000

static void consistency_fact(const struct content *c, struct span bare, struct facts *f)
{
	const struct view *v = &c->shown.view;
	struct subject_texts texts = subject_texts(c);
	bool pictures = v->image_area > (double)v->n_text * IMAGE_AREA_PER_BYTE;
	struct subject_score s = subject_judge(c->arena, table_ngrams(), bare, &texts);
	if (s.abstained || pictures || !c->readable) {
		facts_set_unknown(f, F_SUBJECT_CONSISTENCY);
		facts_set_unknown(f, F_SUBJECT_UNCOVERED);
		return;
	}
	struct header *h = message_header(c->message, "Subject", NULL);
	facts_evidence(facts_set_number(f, F_SUBJECT_CONSISTENCY, s.value), c->message->subject,
		       h ? (int64_t)h->offset : -1, h ? h->field.n : 0);
	struct span *missed = ARENA_ARRAY(c->arena, struct span, SUBJECT_MISSED);
	if (missed)
		memcpy(missed, s.missed, sizeof(s.missed));
	facts_set_list(f, F_SUBJECT_UNCOVERED, missed, missed ? s.n_missed : 0);
}

/* The Subject speaks of the recipient's own order, bill or account. */
static void fake_transactional_fact(const struct content *c, struct span bare, struct facts *f)
{
	struct phrase_hits hits;
	phrases_find(bare, c->arena, &hits);
	bool claims = hits.count[PHRASE_ACCOUNT] || hits.count[PHRASE_ORDER] ||
		      hits.count[PHRASE_BILLING];
	if (!claims)
		facts_set_condition(f, F_SUBJECT_FAKE_TRANSACTIONAL, false);
	else if (fact_known(f, F_CLASS_KIND))
		facts_set_condition(f, F_SUBJECT_FAKE_TRANSACTIONAL,
				    span_eq(f->v[F_CLASS_KIND].text, SPAN("commercial")));
	else
		facts_set_unknown(f, F_SUBJECT_FAKE_TRANSACTIONAL);
}

/* Takes `word` off the front of `*s`, with at most one blank or dot between its characters. */
static bool take_spaced(struct span *s, struct span word)
{
	struct span rest = *s;
	while (word.n) {
		size_t n = (unsigned char)word.p[0] < 0x80 ? 1 : 3;
		if (!span_starts(rest, span_sub(word, 0, n)))
			return false;
		rest = span_sub(rest, n, rest.n);
		word = span_sub(word, n, word.n);
		if (word.n && rest.n && strchr(" .-_*", rest.p[0]))
			rest = span_sub(rest, 1, rest.n);
	}
	*s = rest;
	return true;
}

/* An octet of a character of three octets that is no punctuation: an ideograph, a syllable. */
static bool ideograph(struct span s)
{
	unsigned char c = s.n ? (unsigned char)s.p[0] : 0;
	return c >= 0xe3 && c <= 0xed && !(c == 0xe3 && s.n > 1 && (unsigned char)s.p[1] == 0x80);
}

/* Brackets, stars and blanks in front of the mark. */
static struct span skip_ornament(struct span s, bool *bracket_r)
{
	while (s.n) {
		unsigned char c = (unsigned char)s.p[0];
		bool mark = c == 0xe2 || (c == 0xe3 && s.n > 1 && (unsigned char)s.p[1] == 0x80);
		if (!mark && (c >= 0x80 || ascii_is_alpha((char)c) || ascii_is_digit((char)c)))
			break;
		*bracket_r |= mark || (c != ' ' && c != '"');
		s = span_sub(s, mark ? 3 : 1, s.n);
	}
	return s;
}

/* Order 38, article 13: the Subject begins with "AD" or 广告. In brackets or bare, spaced out,
 * full width (folding made that narrow), and the words of other countries' rules. "Admin", "ad
 * hoc" and 广告公司 begin alike and are none: a bare mark is in capitals and a word of its own. */
static void ad_mark_fact(struct span subject, const struct folded *folded, struct facts *f)
{
	static const char *const words[] = {"广告", "廣告", "광고", "advertisement",
					    "advert", "adv",  "ad",   NULL};
	bool bracket = false, marked = false;
	struct span start = skip_ornament(folded->text, &bracket);
	for (const char *const *w = words; *w && !marked; w++) {
		struct span rest = start;
		if (!take_spaced(&rest, span_of(*w)))
			continue;
		if (ideograph(start)) {
			marked = bracket || !ideograph(rest) || take_spaced(&rest, SPAN("ad"));
			continue;
		}
		/* "Ａ" is EF BC A1 */
		size_t at = fold_from(folded, (size_t)(start.p - folded->text.p));
		bool capital = subject.p[at] == 'A' || span_starts(span_sub(subject, at, at + 3),
								   SPAN("\xef\xbc\xa1"));
		char next = rest.n ? rest.p[0] : 0;
		marked = !ascii_is_alpha(next) && !ascii_is_digit(next) && next != '\'' &&
			 (bracket || capital || next == ':' || !next);
	}
	facts_set_condition(f, F_SUBJECT_AD_MARK, marked);
}

void subject_facts(struct content *c, struct facts *f)
{
	const struct message *m = c->message;
	struct folded folded = {.n_steps = 0};
	struct span bare = m->subject.p ? subject_bare(c->arena, m->subject) : SPAN_NONE;
	if (m->subject.p)
		folded = fold_text(c->arena, m->subject);
	fake_reply_fact(c, folded.text, f);
	facts_set_condition(f, F_SUBJECT_EMPTY, bare.n == 0);
	ad_mark_fact(m->subject, &folded, f);
	fake_transactional_fact(c, bare, f);
	consistency_fact(c, bare, f);
}
