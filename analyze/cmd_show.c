/* assay show facts|clauses|rules - the vocabulary, the specification, the rules that judge it. */
#include <errno.h>
#include <stdio.h>
#include <sysexits.h>

#include "analyze/clauses.h"
#include "analyze/commands.h"
#include "analyze/rules.h"
#include "base/clock.h"
#include "base/json.h"

struct show {
	struct command_context *context;
	struct ruleset *set;
	struct buf out;
	bool json, man;
	const char *clause; /* rules_of_clause() looks for it */
	struct json *j;
	unsigned found;
};

/* Text for a manual: a dot or an apostrophe at a line's start would be a macro. */
static void man_text(struct buf *out, const char *text)
{
	if (text[0] == '.' || text[0] == '\'')
		buf_adds(out, "\\&");
	for (; *text; text++) {
		if (*text == '\\')
			buf_adds(out, "\\e");
		else if (*text == '-')
			buf_adds(out, "\\-");
		else
			buf_addc(out, *text);
	}
}

static void man_head(struct buf *out, const char *title, const char *name, const char *what,
		     const char *text)
{
	buf_addf(out, ".Dd November 24, 2026\n.Dt %s 7\n.Os\n.Sh NAME\n.Nm %s\n.Nd %s\n"
		      ".Sh DESCRIPTION\n%s\n.Bl -tag -width Ds\n",
		 title, name, what, text);
}

static void show_facts(struct show *s)
{
	struct json j = JSON_INIT(&s->out);
	if (s->man)
		man_head(&s->out, "ASSAY-FACTS", "assay-facts", "what the rules of Assay may see",
			 "Each fact is known, absent or unknown; a rule that needs an unknown fact is "
			 "skipped.\nMade from\n.Pa analyze/facts.def .");
	for (unsigned i = 0; i < FACT_COUNT; i++) {
		const struct fact_info *f = &fact_infos[i];
		if (s->json) {
			j.comma = false;
			json_open(&j, NULL, '{');
			json_cstr(&j, "fact", f->name);
			json_cstr(&j, "type", fact_type_name(f->type));
			json_cstr(&j, "unit", f->unit[0] ? f->unit : NULL);
			json_cstr(&j, "meaning", f->meaning);
			json_cstr(&j, "words", fact_words[i]);
			json_close(&j, '}');
			buf_addc(&s->out, '\n');
		} else if (s->man) {
			buf_addf(&s->out, ".It Ic %s Pq %s%s%s\n", f->name, fact_type_name(f->type),
				 f->unit[0] ? ", " : "", f->unit);
			man_text(&s->out, f->meaning);
			if (fact_words[i])
				buf_addf(&s->out, ".\nOne of\n.Cm %s ", fact_words[i]);
			buf_adds(&s->out, fact_words[i] ? ".\n" : "\n");
		} else {
			buf_addf(&s->out, "%-28s %-10s %s%s%s%s\n", f->name, fact_type_name(f->type),
				 f->meaning, f->unit[0] ? " (" : "", f->unit, f->unit[0] ? ")" : "");
		}
	}
	if (s->man)
		buf_adds(&s->out, ".It Ic header.NAME Pq text\n"
				  "the decoded text of the first header field of that name\n.El\n");
	else if (!s->json)
		buf_addf(&s->out, "%-28s %-10s %s\n", "header.NAME", "text",
			 "the decoded text of the first header field of that name");
}

static void rules_of_clause(void *arg, const struct rule_info *rule)
{
	struct show *s = arg;
	if (strcmp(rule->clause, s->clause) != 0)
		return;
	s->found++;
	if (s->j)
		json_cstr(s->j, NULL, rule->name);
	else
		buf_addf(&s->out, "%s%s%s", s->found > 1 ? ", " : "", rule->name,
			 rule->off ? " (off)" : rule->disabled ? " (disabled)" : "");
}

static void show_clauses(struct show *s)
{
	bool zh = s->context->lang == LANG_ZH;
	if (s->man)
		man_head(&s->out, "ASSAY-CLAUSES", "assay-clauses",
			 "the clauses that Assay judges mail by",
			 "The normative items of the E-mail Marketing Specification V1.2 of the "
			 "Internet Society of China.\nMade from\n.Pa analyze/clauses.def .");
	for (size_t i = 0; i < CLAUSE_COUNT; i++) {
		const struct clause *c = &clauses[i];
		struct json j = JSON_INIT(&s->out);
		s->clause = c->number;
		s->found = 0;
		if (s->json) {
			json_open(&j, NULL, '{');
			json_cstr(&j, "clause", c->number);
			json_cstr(&j, "level", level_name(c->level));
			json_cstr(&j, "observable", observability_name(c->observability));
			json_cstr(&j, "title", c->title);
			json_cstr(&j, "title_zh", c->title_zh);
			json_cstr(&j, "seen", c->seen);
			json_open(&j, "rules", '[');
			s->j = &j;
			ruleset_each(s->set, rules_of_clause, s);
			s->j = NULL;
			json_close(&j, ']');
			json_close(&j, '}');
			buf_addc(&s->out, '\n');
			continue;
		}
		if (s->man) {
			buf_addf(&s->out, ".It Sy %s Pq %s, %s\n", c->number, level_name(c->level),
				 observability_name(c->observability));
			man_text(&s->out, c->title);
			buf_adds(&s->out, ".\nSeen: ");
			man_text(&s->out, c->seen);
			buf_adds(&s->out, ".\n");
			continue;
		}
		buf_addf(&s->out, "%-9s %-7s %-15s %s\n%34s", c->number, level_name(c->level),
			 observability_name(c->observability), zh ? c->title_zh : c->title, "");
		ruleset_each(s->set, rules_of_clause, s);
		buf_addf(&s->out, "%s\n", s->found ? "" : zh ? "（无规则）" : "(no rule)");
	}
	if (s->man)
		buf_adds(&s->out, ".El\n");
}

static void show_rule(void *arg, const struct rule_info *r)
{
	struct show *s = arg;
	if (!s->json) {
		buf_addf(&s->out, "%-30s %-9s %-7s %5.1f  %-12s %s%s\n", r->name, r->clause,
			 level_name(r->level), r->score, r->pack[0] ? r->pack : "local",
			 r->off	       ? "(pack is off) "
			 : r->disabled ? "(disabled) "
				       : "",
			 s->context->lang == LANG_ZH ? r->tell_zh : r->tell);
		return;
	}
	struct json j = JSON_INIT(&s->out);
	json_open(&j, NULL, '{');
	json_cstr(&j, "rule", r->name);
	json_cstr(&j, "clause", r->clause);
	json_cstr(&j, "level", level_name(r->level));
	json_number(&j, "score", r->score);
	json_cstr(&j, "pack", r->pack[0] ? r->pack : NULL);
	json_bool(&j, "on", !r->off && !r->disabled);
	json_cstr(&j, "tell", r->tell);
	json_cstr(&j, "tell_zh", r->tell_zh);
	json_cstr(&j, "file", r->file);
	json_int(&j, "line", r->line);
	json_close(&j, '}');
	buf_addc(&s->out, '\n');
}

int cmd_show(struct command_context *context, int argc, char **argv)
{
	struct options o = {.program = context->program, .argc = argc, .argv = argv};
	struct show s = {.context = context};
	const char *what = NULL, *operand, *option;
	while ((option = options_next(&o, &operand))) {
		if (strcmp(option, "--json") == 0)
			s.json = true;
		else if (strcmp(option, "--man") == 0)
			s.man = true;
		else if (*option || what)
			return command_usage(context->program, "unknown %s '%s'",
					     *option ? "option" : "word", *option ? option : operand);
		else
			what = operand;
	}
	bool facts = what && strcmp(what, "facts") == 0, rules = what && strcmp(what, "rules") == 0;
	if (!facts && !rules && !(what && strcmp(what, "clauses") == 0))
		return command_usage(context->program, "show facts, clauses or rules");
	if (rules && s.man)
		return command_usage(context->program, "--man goes with facts and clauses");
	if (facts) {
		show_facts(&s);
	} else if (!rules && s.man) { /* made while building: no rules are looked at */
		show_clauses(&s);
	} else {
		int r = ruleset_load(&s.set, context->config, clock_now_us());
		if (r)
			return r > 0 ? EX_CONFIG
				     : command_fail(context->program, EX_OSERR, "%s", strerror(-r));
		if (rules)
			ruleset_each(s.set, show_rule, &s);
		else
			show_clauses(&s);
		ruleset_unref(s.set);
	}
	int code = command_print(context->program, &s.out);
	buf_free(&s.out);
	return code;
}
