#include "analyze/print.h"

#include <math.h>
#include <stdio.h>

#include "analyze/clauses.h"
#include "base/clock.h"
#include "base/limits.h"
#include "base/utf8.h"

/* --- words ------------------------------------------------------------------- */

struct words {
	const char *text[2]; /* by enum lang */
};

static const char *say(const struct words *words, enum lang lang)
{
	return words->text[lang];
}

static const struct words level_words[] = {
	[LEVEL_MUST] = {{"must", "必须"}},     [LEVEL_SHOULD] = {{"should", "应当"}},
	[LEVEL_MAY] = {{"may", "可以"}},       [LEVEL_INFO] = {{"info", "提示"}},
	[LEVEL_REVIEW] = {{"review", "复核"}},
};
static const struct words action_words[] = {
	[ACTION_ACCEPT] = {{"accept", "接受"}}, [ACTION_TAG] = {{"tag", "标记"}},
	[ACTION_DEFER] = {{"defer", "延迟"}},   [ACTION_REJECT] = {{"reject", "拒绝"}},
};
static const struct words prov_words[] = {
	[PROV_UNKNOWN] = {{"unknown", "未知"}},
	[PROV_INFERRED] = {{"inferred", "推断"}},
	[PROV_SEEN] = {{"seen", "实测"}},
};

const char *print_word(struct span english, enum lang lang)
{
	const struct words *const tables[] = {level_words, action_words};
	const size_t n[] = {sizeof(level_words) / sizeof(level_words[0]),
			    sizeof(action_words) / sizeof(action_words[0])};
	for (size_t t = 0; t < 2; t++)
		for (size_t i = 0; i < n[t]; i++)
			if (span_eq(span_of(tables[t][i].text[LANG_EN]), english))
				return say(&tables[t][i], lang);
	return "-";
}

/* --- text that came from mail --------------------------------------------------- */

void print_safe(struct buf *out, struct span s, size_t bytes)
{
	bool cut = s.n > bytes;
	s = utf8_cut(s, bytes);
	while (s.n) {
		struct span before = s;
		int32_t c = utf8_next(&s);
		bool bidi = (c >= 0x202a && c <= 0x202e) || (c >= 0x2066 && c <= 0x2069);
		if (c == '\n' || c == '\r' || c == '\t')
			buf_addc(out, ' ');
		else if (c < 0x20 || (c >= 0x7f && c < 0xa0) || c == 0xfffd || bidi)
			buf_adds(out, "\xef\xbf\xbd");
		else
			buf_add(out, span_sub(before, 0, before.n - s.n));
	}
	if (cut)
		buf_adds(out, "…");
}

void print_cell(struct buf *out, struct span s, size_t columns)
{
	struct buf safe = BUF_INIT;
	print_safe(&safe, s, columns * 4);
	struct span rest = buf_span(&safe);
	size_t width = 0;
	while (rest.n) {
		struct span before = rest;
		utf8_next(&rest);
		struct span one = span_sub(before, 0, before.n - rest.n);
		size_t w = utf8_width(one);
		if (width + w > columns)
			break;
		buf_add(out, one);
		width += w;
	}
	for (; width < columns; width++)
		buf_addc(out, ' ');
	buf_free(&safe);
}

/* --- one verdict ------------------------------------------------------------------ */

static struct span fact_text(const struct analysis *a, enum fact_id id)
{
	return a->facts.v[id].state == FACT_KNOWN ? a->facts.v[id].text : SPAN_NONE;
}

static void add_score(const struct verdict *v, enum lang lang, struct buf *out)
{
	static const struct words score = {{"score", "扣分"}}, compliance = {{"compliance", "合规率"}},
				  partial = {{"partial", "部分判定"}};
	buf_addf(out, "%s %.1f  ", say(&score, lang), v->score);
	if (isnan(v->compliance))
		buf_addf(out, "%s -", say(&compliance, lang));
	else
		buf_addf(out, "%s %.1f %%", say(&compliance, lang), v->compliance);
	buf_addf(out, "  %s", say(&action_words[v->action], lang));
	if (v->partial)
		buf_addf(out, "  (%s)", say(&partial, lang));
}

static const char *kind_word(const struct analysis *a, enum lang lang)
{
	static const struct words commercial = {{"commercial", "商业类"}},
				  transactional = {{"transactional", "事务类"}},
				  other = {{"not marketing", "非营销"}}, unknown = {{"unclear", "未定"}};
	struct span kind = fact_text(a, F_CLASS_KIND);
	const struct fact *marketing = &a->facts.v[F_CLASS_MARKETING];
	if (span_eq(kind, SPAN("commercial")))
		return say(&commercial, lang);
	if (span_eq(kind, SPAN("transactional")))
		return say(&transactional, lang);
	return say(marketing->state == FACT_KNOWN && !marketing->condition ? &other : &unknown, lang);
}

void print_verdict(const struct analysis *a, enum lang lang, struct buf *out)
{
	const struct verdict *v = &a->verdict;
	print_safe(out, a->txn->file.p ? a->txn->file : span_of(a->txn->id), 400);
	if (a->txn->source == TXN_MBOX || a->txn->source == TXN_PCAP)
		buf_addf(out, " #%u", a->txn->tx);
	buf_adds(out, "\n  ");
	print_cell(out, fact_text(a, F_FROM_ADDRESS), 34);
	buf_addc(out, ' ');
	print_cell(out, span_of(kind_word(a, lang)), 14);
	add_score(v, lang, out);
	buf_addc(out, '\n');
	for (size_t i = 0; i < v->n_findings; i++) {
		const struct finding *f = &v->findings[i];
		buf_addf(out, "    %-7s", f->clause);
		print_cell(out, span_of(say(&level_words[f->level], lang)), 7);
		buf_addf(out, "%5.1f  %-28s %s\n", f->score, f->rule,
			 lang == LANG_ZH ? f->tell_zh : f->tell);
	}
}

/* --- one mail explained -------------------------------------------------------------- */

static void add_row(struct buf *out, const char *name, struct span value, enum provenance prov,
		    enum lang lang)
{
	buf_adds(out, "  ");
	print_cell(out, span_of(name), 16);
	print_safe(out, value.p ? value : SPAN("-"), 300);
	if (value.p)
		buf_addf(out, "  [%s]", say(&prov_words[prov], lang));
	buf_addc(out, '\n');
}

static void add_envelope(const struct analysis *a, enum lang lang, struct buf *out)
{
	static const struct words heading = {{"Envelope", "信封"}}, peer = {{"client", "客户端"}},
				  from = {{"MAIL FROM", "MAIL FROM"}}, rcpts = {{"recipients", "收件人数"}},
				  time = {{"received", "接收时间"}};
	const struct txn *t = a->txn;
	char text[CLOCK_TEXT_BYTES], address[IP_TEXT_BYTES], count[32];
	buf_addf(out, "%s\n", say(&heading, lang));
	struct span ip = t->peer.family ? span_of(ip_text(&t->peer, address)) : SPAN_NONE;
	add_row(out, say(&peer, lang), ip, t->peer_prov, lang);
	add_row(out, "HELO", t->helo.s, t->helo.prov, lang);
	add_row(out, say(&from, lang), t->mail_from.s, t->mail_from.prov, lang);
	snprintf(count, sizeof(count), "%llu", (unsigned long long)t->rcpts_seen);
	add_row(out, say(&rcpts, lang), t->rcpts_seen ? span_of(count) : SPAN_NONE,
		t->n_rcpts ? t->rcpts[0].prov : PROV_UNKNOWN, lang);
	add_row(out, say(&time, lang), span_of(clock_rfc3339(t->time_us, text)), t->time_prov, lang);
}

static void add_message(const struct analysis *a, enum lang lang, struct buf *out)
{
	static const struct words heading = {{"Message", "邮件"}}, from = {{"from", "发件人"}},
				  subject = {{"subject", "主题"}}, class = {{"class", "类别"}},
				  sender = {{"sender", "责任方"}};
	buf_addf(out, "%s\n", say(&heading, lang));
	struct span name = fact_text(a, F_FROM_NAME), address = fact_text(a, F_FROM_ADDRESS);
	buf_adds(out, "  ");
	print_cell(out, span_of(say(&from, lang)), 16);
	print_safe(out, name, 120);
	buf_adds(out, name.n ? " <" : "<");
	print_safe(out, address, 200);
	buf_adds(out, ">\n  ");
	print_cell(out, span_of(say(&subject, lang)), 16);
	print_safe(out, a->message.subject, 240);
	buf_adds(out, "\n  ");
	print_cell(out, span_of(say(&class, lang)), 16);
	buf_adds(out, kind_word(a, lang));
	const struct fact *reasons = &a->facts.v[F_CLASS_REASONS];
	for (size_t i = 0; reasons->state == FACT_KNOWN && i < reasons->list.n && i < 5; i++) {
		buf_adds(out, i ? ", " : " (");
		print_safe(out, reasons->list.v[i], 60);
	}
	buf_adds(out, reasons->state == FACT_KNOWN ? ")\n  " : "\n  ");
	print_cell(out, span_of(say(&sender, lang)), 16);
	if (!a->sender.key.n) {
		buf_adds(out, "-\n");
		return;
	}
	print_safe(out, a->sender.key, 120);
	buf_addf(out, " (%.*s%s)\n", SPAN_ARG(a->sender.by),
		 a->sender.registered ? (lang == LANG_ZH ? ", 已备案" : ", registered") : "");
}

static void add_auth(const struct analysis *a, enum lang lang, struct buf *out)
{
	const struct auth *auth = &a->auth;
	buf_addf(out, "%s\n  spf=%s", lang == LANG_ZH ? "认证" : "Authentication",
		 auth_result_name(auth->spf.result));
	if (auth->spf.domain.p) {
		buf_adds(out, " (");
		print_safe(out, auth->spf.domain, 100);
		buf_adds(out, auth->spf.mechanism.n ? ", " : "");
		print_safe(out, auth->spf.mechanism, 100);
		buf_adds(out, ")");
	}
	for (size_t i = 0; i < auth->n_dkim; i++) {
		const struct dkim_result *d = &auth->dkim[i];
		buf_addf(out, "\n  dkim=%s (d=", auth_result_name(d->result));
		print_safe(out, d->d, 100);
		buf_adds(out, " s=");
		print_safe(out, d->s, 100);
		buf_addf(out, "%s%s)", d->reason ? ", " : "", d->reason ? d->reason : "");
	}
	if (auth->n_dkim == 0)
		buf_adds(out, "\n  dkim=none");
	buf_addf(out, "\n  dmarc=%s", auth_result_name(auth->dmarc.result));
	if (auth->dmarc.policy.p)
		buf_addf(out, " (p=%.*s, %.*s)", SPAN_ARG(auth->dmarc.policy),
			 SPAN_ARG(auth->dmarc.domain));
	buf_adds(out, "\n  ptr=");
	for (size_t i = 0; i < auth->ptr.n && i < 3; i++) {
		buf_adds(out, i ? ", " : "");
		print_safe(out, auth->ptr.names[i], 100);
	}
	buf_addf(out, "%s\n",
		 !auth->ptr.known	? "?"
		 : auth->ptr.n == 0	? "none"
		 : auth->ptr.confirmed	? lang == LANG_ZH ? " (正反向一致)" : " (confirmed)"
		 : lang == LANG_ZH	? " (正反向不一致)"
					: " (not confirmed)");
}

static const struct finding *finding_of(const struct verdict *v, const char *rule)
{
	for (size_t i = 0; i < v->n_findings; i++)
		if (strcmp(v->findings[i].rule, rule) == 0)
			return &v->findings[i];
	return NULL;
}

/* A quotation of more than a line that stands in `out` already is not read a second time. */
#define QUOTED_ONCE 90

static void add_evidence(const struct evidence_item *item, enum lang lang, struct buf *out)
{
	struct buf line = BUF_INIT;
	buf_addf(&line, "        > %.*s: ", SPAN_ARG(item->fact));
	size_t before = line.n;
	print_safe(&line, item->evidence.text, LIMIT_EVIDENCE_BYTES);
	if (item->evidence.offset >= 0)
		buf_addf(&line, " (%s %lld)", lang == LANG_ZH ? "偏移" : "at octet",
			 (long long)item->evidence.offset);
	buf_addc(&line, '\n');
	if (line.n > QUOTED_ONCE && span_find(buf_span(out), buf_span(&line)) != SIZE_MAX) {
		buf_add(out, span_sub(buf_span(&line), 0, before));
		buf_adds(out, lang == LANG_ZH ? "同上\n" : "as above\n");
	} else {
		buf_add(out, buf_span(&line));
	}
	buf_free(&line);
}

static void add_rule(const struct analysis *a, const struct rule_info *rule,
		     enum rule_outcome outcome, enum lang lang, struct buf *out)
{
	static const struct words outcomes[] = {
		[RULE_NOT_APPLICABLE] = {{"does not apply", "不适用"}},
		[RULE_PASSED] = {{"ok", "符合"}},
		[RULE_HIT] = {{"FINDING", "不符合"}},
		[RULE_SKIPPED] = {{"not judged: facts unknown", "无法判定：事实未知"}},
	};
	buf_addf(out, "    %-28s %s\n", rule->name, say(&outcomes[outcome], lang));
	const struct finding *f = outcome == RULE_HIT ? finding_of(&a->verdict, rule->name) : NULL;
	if (!f)
		return;
	buf_addf(out, "        %s (%s, %.1f)\n", lang == LANG_ZH ? f->tell_zh : f->tell,
		 say(&level_words[f->level], lang), f->score);
	for (size_t i = 0; i < f->n_evidence; i++)
		add_evidence(&f->evidence[i], lang, out);
}

/* --- clause by clause ---------------------------------------------------------------- */

static void add_clause(const struct analysis *a, const struct clause *c, enum lang lang,
		       struct buf *out)
{
	size_t n = 0;
	for (size_t i = 0; i < a->verdict.n_rules; i++) {
		struct rule_info rule = ruleset_rule(a->rules, i);
		if (strcmp(rule.clause, c->number) != 0)
			continue;
		if (n++ == 0)
			buf_addf(out, "  %s  %s  (%s)\n", c->number,
				 lang == LANG_ZH ? c->title_zh : c->title,
				 say(&level_words[c->level], lang));
		add_rule(a, &rule, a->verdict.outcomes[i], lang, out);
	}
}

void print_explanation(const struct analysis *a, enum lang lang, struct buf *out)
{
	const struct verdict *v = &a->verdict;
	print_safe(out, a->txn->file.p ? a->txn->file : span_of(a->txn->id), 400);
	buf_addf(out, "\n\n%s  ", lang == LANG_ZH ? "结论" : "Verdict");
	add_score(v, lang, out);
	buf_addf(out, "  (%s %s)\n\n", lang == LANG_ZH ? "规则集" : "rule set", v->ruleset);
	add_envelope(a, lang, out);
	if (a->has_message)
		add_message(a, lang, out);
	add_auth(a, lang, out);
	buf_addf(out, "\n%s\n", lang == LANG_ZH ? "逐条说明" : "Clause by clause");
	for (size_t i = 0; i < CLAUSE_COUNT; i++)
		add_clause(a, &clauses[i], lang, out);
	if (v->n_unjudged) {
		buf_addf(out, "\n%s:", lang == LANG_ZH ? "未知的事实" : "Facts that are unknown");
		for (size_t i = 0; i < v->n_unjudged; i++)
			buf_addf(out, " %.*s", SPAN_ARG(v->unjudged[i]));
		buf_addc(out, '\n');
	}
}
