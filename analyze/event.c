/* event - the txn event of a judged transaction: one line of JSON. */
#include "analyze/analyze.h"

#include <math.h>

#include "analyze/cfbl.h"
#include "base/limits.h"

static struct span fact_text(const struct facts *f, enum fact_id id)
{
	return f->v[id].state == FACT_KNOWN ? f->v[id].text : SPAN_NONE;
}

static void write_condition(struct json *j, const char *key, const struct fact *fact)
{
	if (fact->state == FACT_KNOWN)
		json_bool(j, key, fact->condition);
	else
		json_null(j, key);
}

static void write_number(struct json *j, const char *key, const struct fact *fact)
{
	if (fact->state == FACT_KNOWN)
		json_number(j, key, fact->number);
	else
		json_null(j, key);
}

static void write_sender(const struct sender *s, struct json *j)
{
	json_open(j, "sender", '{');
	json_text(j, "by", s->by);
	json_text(j, "key", s->key);
	json_text(j, "registered", s->registered ? s->registered->key : SPAN_NONE);
	json_close(j, '}');
	json_text(j, "list", s->list);
	json_text(j, "campaign", s->campaign);
}

static void write_class(const struct facts *f, struct json *j)
{
	json_open(j, "class", '{');
	write_condition(j, "marketing", &f->v[F_CLASS_MARKETING]);
	json_text(j, "kind", fact_text(f, F_CLASS_KIND));
	json_text(j, "sub", fact_text(f, F_CLASS_SUB));
	write_number(j, "p", &f->v[F_CLASS_P]);
	json_close(j, '}');
}

static void write_finding(const struct finding *finding, struct json *j)
{
	json_open(j, NULL, '{');
	json_cstr(j, "rule", finding->rule);
	json_cstr(j, "clause", finding->clause);
	json_cstr(j, "level", level_name(finding->level));
	json_number(j, "score", finding->score);
	json_open(j, "evidence", '[');
	for (size_t i = 0; i < finding->n_evidence; i++) {
		const struct evidence_item *item = &finding->evidence[i];
		json_open(j, NULL, '{');
		json_text(j, "fact", item->fact);
		json_text(j, "text", item->evidence.text);
		if (item->evidence.offset >= 0) {
			json_int(j, "offset", item->evidence.offset);
			json_int(j, "length", (int64_t)item->evidence.length);
		} else {
			json_null(j, "offset");
			json_null(j, "length");
		}
		json_close(j, '}');
	}
	json_close(j, ']');
	json_close(j, '}');
}

static void write_verdict(const struct verdict *v, struct json *j)
{
	json_open(j, "findings", '[');
	for (size_t i = 0; i < v->n_findings; i++)
		write_finding(&v->findings[i], j);
	json_close(j, ']');
	json_open(j, "unjudged", '[');
	for (size_t i = 0; i < v->n_unjudged; i++)
		json_text(j, NULL, v->unjudged[i]);
	json_close(j, ']');
	json_number(j, "score", v->score);
	json_number(j, "compliance", v->compliance);
	json_cstr(j, "action", action_name(v->action));
	json_bool(j, "partial", v->partial);
	json_cstr(j, "ruleset", v->ruleset);
}

static void write_fact(const struct fact *fact, enum fact_type type, struct json *j)
{
	if (fact->state == FACT_UNKNOWN) {
		json_null(j, NULL);
		return;
	}
	bool known = fact->state == FACT_KNOWN;
	switch (type) {
	case FACT_NUMBER:
		json_number(j, NULL, known ? fact->number : 0);
		break;
	case FACT_CONDITION:
		json_bool(j, NULL, known && fact->condition);
		break;
	case FACT_WORD:
	case FACT_TEXT:
		json_text(j, NULL, known ? fact->text : SPAN(""));
		break;
	case FACT_LIST:
		json_open(j, NULL, '[');
		for (size_t i = 0; known && i < fact->list.n; i++)
			json_text(j, NULL, fact->list.v[i]);
		json_close(j, ']');
		break;
	}
}

static void write_facts(const struct facts *f, struct json *j)
{
	json_open(j, "facts", '{');
	for (unsigned i = 0; i < FACT_COUNT; i++) {
		json_key(j, span_of(fact_infos[i].name));
		write_fact(&f->v[i], fact_infos[i].type, j);
	}
	json_close(j, '}');
}

/* Only where the message asks for complaints: the key is there when the field is. */
static void write_cfbl(const struct analysis *a, struct json *j)
{
	struct arena arena;
	if (!a->has_message)
		return;
	arena_init(&arena, LIMIT_HEADER_BYTES * 4);
	struct cfbl cfbl = cfbl_find(&a->message, &a->auth, &arena);
	cfbl_write_json(&cfbl, j);
	arena_free(&arena);
}

void analysis_write_event(const struct analysis *a, struct buf *out, bool facts)
{
	struct json j = JSON_INIT(out);
	json_open(&j, NULL, '{');
	json_cstr(&j, "event", "txn");
	txn_write_json(a->txn, &j);
	json_text(&j, "message_id", a->has_message ? a->message.message_id : SPAN_NONE);
	json_text(&j, "from", fact_text(&a->facts, F_FROM_ADDRESS));
	json_text(&j, "subject", a->has_message ? a->message.subject : SPAN_NONE);
	write_sender(&a->sender, &j);
	write_class(&a->facts, &j);
	auth_write_json(&a->auth, &j, "auth");
	write_cfbl(a, &j);
	write_verdict(&a->verdict, &j);
	if (facts)
		write_facts(&a->facts, &j);
	json_close(&j, '}');
	buf_addc(out, '\n');
}

/* A message that could not be judged is known by its Message-ID all the same: a complaint about it
 * asks for that. No parser is let near it, for one may have died of it. */
static struct span message_id_of(const struct txn *t)
{
	struct span rest = span_sub(t->message, 0, LIMIT_UNJUDGED_BYTES), line;
	while (span_next_line(&rest, &line) && line.n) {
		if (!span_case_starts(line, SPAN("Message-ID:")))
			continue;
		struct span id = span_trim(span_sub(line, 11, line.n));
		if (!id.n && span_next_line(&rest, &line) && line.n && strchr(" \t", line.p[0]))
			id = span_trim(line);
		return id.n ? id : SPAN_NONE;
	}
	return SPAN_NONE;
}

void analysis_write_unjudged(const struct txn *t, const char *why, struct buf *out)
{
	static const struct facts none; /* FACT_UNKNOWN is 0 */
	static const struct auth unknown = {
		.spf.result = AUTH_TEMPERROR,   .spf_helo.result = AUTH_TEMPERROR,
		.dmarc.result = AUTH_TEMPERROR, .arc.result = AUTH_TEMPERROR,
	};
	const struct sender nobody = {0};
	const struct span unjudged = span_of(why);
	const struct verdict verdict = {.unjudged = &unjudged, .n_unjudged = 1, .compliance = NAN,
					.action = ACTION_ACCEPT, .partial = true};
	struct json j = JSON_INIT(out);
	json_open(&j, NULL, '{');
	json_cstr(&j, "event", "txn");
	txn_write_json(t, &j);
	json_text(&j, "message_id", message_id_of(t));
	json_null(&j, "from");
	json_null(&j, "subject");
	write_sender(&nobody, &j);
	write_class(&none, &j);
	auth_write_json(&unknown, &j, "auth");
	write_verdict(&verdict, &j);
	json_close(&j, '}');
	buf_addc(out, '\n');
}
