/*
 * classify - marketing or not, commercial or transactional (Note 3).
 *
 * Groups of features: header fields that say how a mail was sent, the layout, phrases, words of
 * the subject, words of the body. The models are linear, so the reasons are the features with
 * the largest weight times value. Near the border both answers would be guesses: it abstains,
 * and the facts stay unknown.
 */
#include "analyze/classify.h"
#include "analyze/tables.h"

#include <math.h>

/* Below this confidence no answer is given. */
#define SURE 0.70
#define REASONS 5

struct maker {
	struct class_features f;
	struct arena *arena;
	size_t group; /* where the open group began */
};

static uint32_t feature_hash(struct span prefix, struct span text)
{
	uint64_t h = 14695981039346656037u;
	for (size_t i = 0; i < prefix.n; i++)
		h = (h ^ (unsigned char)prefix.p[i]) * 1099511628211u;
	for (size_t i = 0; i < text.n; i++)
		h = (h ^ (unsigned char)text.p[i]) * 1099511628211u;
	return (uint32_t)(h >> 32) % CLASS_BUCKETS;
}

/* `prefix` is a literal such as "w:"; `text` lives as long as the arena. */
static void add(struct maker *k, const char *prefix, struct span text)
{
	if (k->f.n < CLASS_FEATURES)
		k->f.v[k->f.n++] =
			(struct class_feature){feature_hash(span_of(prefix), text), 1, text};
}

static void add_literal(struct maker *k, const char *text)
{
	add(k, "", span_of(text));
}

/* Values of the group become a vector of length `weight`. */
static void end_group(struct maker *k, float weight)
{
	size_t n = k->f.n - k->group;
	float value = n ? weight / sqrtf((float)n) : 0;
	for (size_t i = k->group; i < k->f.n; i++)
		k->f.v[i].value = value;
	k->group = k->f.n;
}

/* --- header fields ------------------------------------------------------------- */

static void header_features(struct maker *k, const struct message *m, const struct txn *txn)
{
	static const char *const present[] = {"List-Unsubscribe",
					      "List-Unsubscribe-Post",
					      "List-Id",
					      "List-Post",
					      "List-Help",
					      "Feedback-ID",
					      "X-Auto-Response-Suppress",
					      "X-CSA-Complaints",
					      "CFBL-Address",
					      "In-Reply-To",
					      "References",
					      "X-Mailman-Version",
					      "X-Loop",
					      "X-BeenThere",
					      "X-Campaign",
					      "X-CampaignID",
					      "X-Report-Abuse",
					      "X-SG-EID",
					      "X-Mailgun-Sid",
					      "X-SES-Outgoing",
					      "X-AliDM-RcptTo",
					      "X-SENDCLOUD-UUID",
					      "X-MC-User",
					      "X-PM-Message-Id",
					      "User-Agent",
					      "X-Priority",
					      "Errors-To"};
	for (size_t i = 0; i < sizeof(present) / sizeof(present[0]); i++)
		if (message_header(m, present[i], NULL))
			add(k, "h:", span_of(present[i]));
	static const char *const valued[] = {"Precedence", "Auto-Submitted"};
	for (size_t i = 0; i < 2; i++) {
		struct header *h = message_header(m, valued[i], NULL);
		if (h) {
			struct span word, rest = message_header_text(m, h);
			if (span_next_word(&rest, &word))
				add(k, i ? "auto:" : "prec:", arena_lower(k->arena, word));
		}
	}
	if (txn && txn->mail_from.s.p && !txn->mail_from.s.n)
		add_literal(k, "null-sender");
	if (m->to.total + m->cc.total > 1)
		add_literal(k, "several-recipients");
	end_group(k, 2);
}

/* --- addresses and layout ---------------------------------------------------------- */

static void from_features(struct maker *k, const struct message *m)
{
	static const char *const free_mail[] = {
		"gmail.com", "hotmail.com", "yahoo.com", "aol.com",	"msn.com",  "outlook.com",
		"qq.com",    "163.com",	    "126.com",	 "sina.com",	"sohu.com", "yahoo.com.cn",
		"gmx.de",    "web.de",	    "mail.ru",	 "yahoo.co.uk", "tom.com",  "foxmail.com"};
	static const char *const roles[] = {"noreply", "no-reply",   "donotreply",   "news",
					    "info",    "newsletter", "support",	     "service",
					    "sales",   "marketing",  "notification", "billing",
					    "order",   "account",    "update",	     "offers",
					    "deals",   "mailer",     "bounce",	     "list"};
	if (m->from.n) {
		const struct address *from = &m->from.v[0];
		for (size_t i = 0; i < sizeof(free_mail) / sizeof(free_mail[0]); i++)
			if (span_eq(from->domain, span_of(free_mail[i])))
				add_literal(k, "from:free-mail");
		for (size_t i = 0; i < sizeof(roles) / sizeof(roles[0]); i++)
			if (span_case_find(from->local, span_of(roles[i])) != SIZE_MAX)
				add(k, "from:", span_of(roles[i]));
	}
	end_group(k, 1);
}

/* 0, 1, 2-3, 4-7, ... as one feature. */
static void add_bucket(struct maker *k, const char *name, size_t n)
{
	static const char *const steps[] = {"0",  "1",	"2",  "4",   "8",
					    "16", "32", "64", "128", "256"};
	size_t step = 0;
	while (n && step < 9) {
		n >>= 1;
		step++;
	}
	struct span text = arena_printf(k->arena, "%s:%s", name, steps[step]);
	if (text.p)
		add(k, "", text);
}

static void layout_features(struct maker *k, const struct content *c)
{
	const struct view *v = &c->shown.view;
	size_t buttons = 0, tracked = 0, external = 0;
	for (size_t i = 0; i < v->n_links; i++) {
		struct span t = span_sub(v->links[i].target, 0, 600);
		buttons += v->links[i].button;
		external += span_case_starts(t, SPAN("http"));
		tracked += span_find(t, SPAN("utm_")) != SIZE_MAX ||
			   (t.n > 100 && span_case_starts(t, SPAN("http")));
	}
	add_literal(k, v->html ? "l:html" : "l:plain");
	add_bucket(k, "l:links", v->n_links);
	add_bucket(k, "l:external", external);
	add_bucket(k, "l:images", v->images);
	add_bucket(k, "l:text", v->n_text / 100);
	if (buttons)
		add_bucket(k, "l:buttons", buttons);
	if (tracked)
		add_bucket(k, "l:tracked", tracked);
	if (v->pixels)
		add_literal(k, "l:pixel");
	if (v->tables)
		add_bucket(k, "l:tables", v->tables);
	if (c->has_other)
		add_literal(k, "l:alternative");
	if (v->n_hidden)
		add_literal(k, "l:hidden");
	end_group(k, 1.5f);
}

static void phrase_features(struct maker *k, const struct content *c)
{
	uint32_t seen[PHRASE_KIND_COUNT] = {0};
	if (c->unsub.n)
		add_literal(k, "unsub-way");
	for (int kind = 0; kind < PHRASE_KIND_COUNT; kind++) {
		uint32_t n = c->shown.hits.count[kind] + c->other.hits.count[kind];
		if (n && !seen[kind]++)
			add_bucket(k, phrase_kind_name((enum phrase_kind)kind), n);
	}
	if (c->identity.address.text.p)
		add_literal(k, "identity:address");
	if (c->identity.icp.text.p)
		add_literal(k, "identity:icp");
	end_group(k, 1.5f);
}

/* --- words ------------------------------------------------------------------------------ */

/* Words of alphabets and pairs of ideographs, up to `max` of them. Digits count by their length:
 * "#4": an order number, not which one. */
static void word_features(struct maker *k, const char *prefix, struct span s, size_t max)
{
	static const char *const digits[] = {"#1", "#2", "#3", "#4", "#5", "#6", "#7", "#8", "#9+"};
	size_t stop = k->f.n + max;
	for (size_t i = 0; i < s.n && k->f.n < stop;) {
		unsigned char c = (unsigned char)s.p[i];
		size_t from = i;
		if (ascii_is_digit((char)c)) {
			while (i < s.n && ascii_is_digit(s.p[i]))
				i++;
			add(k, prefix, span_of(digits[(i - from > 9 ? 9 : i - from) - 1]));
		} else if (ascii_is_alpha((char)c) || (c >= 0xc3 && c <= 0xdf)) {
			while (i < s.n &&
			       (ascii_is_alpha(s.p[i]) || s.p[i] == '\'' ||
				((unsigned char)s.p[i] >= 0x80 && (unsigned char)s.p[i] <= 0xdf)))
				i++;
			if (i - from >= 2 && i - from <= 24)
				add(k, prefix, span_sub(s, from, i));
		} else if (c >= 0xe3 && c <= 0xed && from + 3 <= s.n) {
			i += 3;
			unsigned char next = i + 3 <= s.n ? (unsigned char)s.p[i] : 0;
			if (next >= 0xe3 && next <= 0xed)
				add(k, prefix, span_sub(s, from, i + 3));
		} else {
			i++;
		}
	}
}

struct class_features class_features(const struct content *c, const struct txn *txn, bool headers)
{
	struct maker k = {.arena = c->arena};
	const struct message *m = c->message;
	k.f.v = ARENA_ARRAY(c->arena, struct class_feature, CLASS_FEATURES);
	if (!k.f.v)
		return k.f;
	if (headers)
		header_features(&k, m, txn);
	from_features(&k, m);
	layout_features(&k, c);
	phrase_features(&k, c);
	if (m->subject.p)
		word_features(&k, "s:", fold_text(c->arena, span_sub(m->subject, 0, 400)).text, 60);
	end_group(&k, 1.5f);
	struct span s = c->shown.text.text;
	word_features(&k, "w:", s, 1000);
	/* A long mail says at its end who sent it and how to leave. */
	if (s.n > 16000)
		word_features(&k, "w:", span_sub(s, s.n - 4000, s.n), 500);
	end_group(&k, 2.5f);
	return k.f;
}

/* --- models --------------------------------------------------------------------------------- */

static const struct class_table_head *table(const int8_t **weights_r)
{
	struct span t = table_class();
	const struct class_table_head *head = (const struct class_table_head *)(const void *)t.p;
	if (t.n != sizeof(*head) + CLASS_MODELS * (size_t)CLASS_BUCKETS ||
	    head->magic != CLASS_MAGIC || head->buckets != CLASS_BUCKETS)
		return NULL;
	*weights_r = (const int8_t *)(head + 1);
	return head;
}

static double score(const struct class_table_head *head, const int8_t *weights,
		    const struct class_features *f, enum class_model model)
{
	double sum = head->bias[model];
	const int8_t *w = weights + model * (size_t)CLASS_BUCKETS;
	for (size_t i = 0; i < f->n; i++)
		sum += (double)f->v[i].value * w[f->v[i].bucket] * (double)head->scale[model];
	return sum;
}

static double probability(const struct class_table_head *head, double s, enum class_model model)
{
	return 1 / (1 + exp(-((double)head->a[model] * s + (double)head->b[model])));
}

/* The features that speak loudest for the answer. */
static void set_reasons(const struct content *c, const struct class_features *f, const int8_t *w,
			int sign, struct facts *facts)
{
	struct span *list = ARENA_ARRAY(c->arena, struct span, REASONS);
	float weight[REASONS];
	size_t n = 0;
	for (size_t i = 0; list && i < f->n; i++) {
		float v = f->v[i].value * (float)(w[f->v[i].bucket] * sign);
		bool twice = false;
		for (size_t k = 0; k < n; k++)
			twice |= span_eq(list[k], f->v[i].text);
		if (v <= 0 || twice || !f->v[i].text.n)
			continue;
		size_t at = n < REASONS ? n++ : REASONS;
		if (at == REASONS && v <= weight[REASONS - 1])
			continue;
		at = at == REASONS ? REASONS - 1 : at;
		for (; at > 0 && weight[at - 1] < v; at--) {
			weight[at] = weight[at - 1];
			list[at] = list[at - 1];
		}
		weight[at] = v;
		list[at] = f->v[i].text;
	}
	facts_set_list(facts, F_CLASS_REASONS, list, n);
}

static const char *sub_class(const struct content *c, bool commercial)
{
	static const struct {
		enum phrase_kind kind;
		const char *sub;
	} com[] = {{PHRASE_PERIODIC, "periodic"},
		   {PHRASE_PROMO, "promo"},
		   {PHRASE_MEMBER, "member"}},
	  trans[] = {{PHRASE_ACCOUNT, "account"},
		     {PHRASE_ORDER, "order"},
		     {PHRASE_BILLING, "billing"}};
	const char *best = "other";
	uint32_t most = 0;
	for (size_t i = 0; i < 3; i++) {
		uint32_t n = c->shown.hits.count[commercial ? com[i].kind : trans[i].kind];
		if (n > most) {
			most = n;
			best = commercial ? com[i].sub : trans[i].sub;
		}
	}
	return best;
}

void class_facts(struct content *c, const struct txn *txn, struct facts *f)
{
	const int8_t *weights;
	const struct class_table_head *head = table(&weights);
	if (!head || !c->readable) {
		facts_set_unknown(f, F_CLASS_MARKETING);
		facts_set_unknown(f, F_CLASS_KIND);
		return;
	}
	struct class_features features = class_features(c, txn, true);
	double marketing = probability(head, score(head, weights, &features, CLASS_MARKETING_MODEL),
				       CLASS_MARKETING_MODEL);
	if (marketing < SURE && marketing > 1 - SURE)
		return; /* all unknown: it could be either */
	bool is_marketing = marketing >= SURE;
	facts_set_condition(f, F_CLASS_MARKETING, is_marketing);
	if (!is_marketing) {
		facts_set_absent(f, F_CLASS_KIND);
		facts_set_absent(f, F_CLASS_SUB);
		facts_set_number(f, F_CLASS_P, 1 - marketing);
		set_reasons(c, &features, weights, -1, f);
		return;
	}
	double commercial = probability(head, score(head, weights, &features, CLASS_KIND_MODEL),
					CLASS_KIND_MODEL);
	bool is_commercial = commercial >= 0.5;
	double p = is_commercial ? commercial : 1 - commercial;
	if (p < SURE) {
		set_reasons(c, &features, weights, 1, f);
		return;
	}
	facts_set_text(f, F_CLASS_KIND, is_commercial ? SPAN("commercial") : SPAN("transactional"));
	facts_set_text(f, F_CLASS_SUB, span_of(sub_class(c, is_commercial)));
	facts_set_number(f, F_CLASS_P, p * marketing);
	set_reasons(c, &features, weights + (size_t)CLASS_BUCKETS, is_commercial ? 1 : -1, f);
}
