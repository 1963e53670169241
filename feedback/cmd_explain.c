/*
 * assay explain FILE - one mail in depth: each clause, the rules that judge it, the evidence.
 * assay explain ID   - what was said of a mail that came: the id stands in the reply that its sender
 *                      got, in X-Assay-Verdict and in the event log. The log has the findings and
 *                      their evidence, not the mail.
 */
#include <errno.h>
#include <stdio.h>
#include <sysexits.h>
#include <unistd.h>

#include "analyze/print.h"
#include "base/clock.h"
#include "base/id.h"
#include "base/limits.h"
#include "capture/spool.h"
#include "feedback/commands.h"
#include "feedback/exit_code.h"
#include "feedback/receipts.h"
#include "feedback/registry.h"

static int explain(struct command_context *context, const char *path, bool json)
{
	struct analyzer z;
	struct registry *registry = NULL;
	struct txn *t = NULL;
	struct analysis *a;
	struct buf out = BUF_INIT;
	int code = EX_OK, r = analyzer_open(&z, context->config, clock_now_us());
	if (r)
		return r == ANALYZER_E_NO_ZONE ? EX_NOINPUT : r > 0 ? EX_CONFIG
			     : command_fail(context->program, EX_OSERR, "%s", strerror(-r));
	/* Without a state folder nobody is registered. Where the registry cannot be read, who is
	 * registered is unknown; that is no reason to say nothing. */
	if (access(context->config->state, F_OK) == 0) {
		r = registry_open(context->config->state, &registry);
		registry_attach(registry, &z.hooks);
		if (r < 0)
			fprintf(stderr, "%s: %s: the registry cannot be read: %s\n", context->program,
				context->config->state, strerror(-r));
	}
	r = spool_read_file(path, &t);
	if (r == -ENOMSG) {
		code = command_fail(context->program, EX_DATAERR, "%s: no mail", path);
	} else if (r < 0) {
		code = command_fail(context->program, exit_code(r), "%s: %s", path, strerror(-r));
	} else if ((r = analyzer_judge(&z, t, &a)) < 0) {
		txn_free(t);
		code = command_fail(context->program, EX_OSERR, "%s", strerror(-r));
	} else {
		if (json)
			analysis_write_event(a, &out, true);
		else
			print_explanation(a, context->lang, &out);
		analysis_free(a);
		code = command_print(context->program, &out);
	}
	buf_free(&out);
	analyzer_close(&z);
	registry_close(registry);
	return code;
}

/* --- an event of the log ----------------------------------------------------------------- */

struct wanted {
	struct span rule;
	const char *tell;
	enum lang lang;
};

static void look_for(void *arg, const struct rule_info *rule)
{
	struct wanted *w = arg;
	if (span_eq(span_of(rule->name), w->rule))
		w->tell = w->lang == LANG_ZH && rule->tell_zh ? rule->tell_zh : rule->tell;
}

/* The keys of an event, and what Chinese readers call them. */
static const char *const labels[][2] = {
	{"id", "编号"},		  {"time", "时间"},	   {"source", "来源"},
	{"session", "会话"},	  {"peer", "客户端"},	   {"helo", "HELO"},
	{"mail_from", "MAIL FROM"}, {"message_id", "Message-ID"}, {"from", "发件人"},
	{"subject", "主题"},	  {"rcpt", "收件人"},	   {"reply", "应答"},
	{"verdict", "结论"},	  {"unjudged", "未知事实"},
};

static void add_label(struct buf *out, const char *key, enum lang lang)
{
	size_t i = 0;
	while (lang == LANG_ZH && i < sizeof(labels) / sizeof(labels[0]) &&
	       strcmp(labels[i][0], key) != 0)
		i++;
	bool known = lang == LANG_ZH && i < sizeof(labels) / sizeof(labels[0]);
	print_cell(out, span_of(known ? labels[i][1] : key), 11);
}

static void add_text(struct buf *out, const char *name, const struct json_value *v, enum lang lang)
{
	struct span text = json_in_text(v);
	if (!text.p)
		return;
	add_label(out, name, lang);
	print_safe(out, text, 400);
	buf_addc(out, '\n');
}

static void add_finding(struct buf *out, const struct json_value *finding, struct ruleset *rules,
			enum lang lang)
{
	struct wanted w = {.rule = json_in_text(json_in_get(finding, "rule")), .lang = lang};
	const struct json_value *evidence = json_in_get(finding, "evidence");
	double score = 0;
	json_in_number(json_in_get(finding, "score"), &score);
	if (rules)
		ruleset_each(rules, look_for, &w);
	buf_addf(out, "\n%.*s  %.*s  %s  %.4g\n",
		 SPAN_ARG(json_in_text(json_in_get(finding, "clause"))), SPAN_ARG(w.rule),
		 print_word(json_in_text(json_in_get(finding, "level")), lang), score);
	if (w.tell)
		buf_addf(out, "    %s\n", w.tell);
	for (size_t i = 0; i < json_in_count(evidence); i++) {
		const struct json_value *item = json_in_at(evidence, i);
		buf_addf(out, "    %.*s: ", SPAN_ARG(json_in_text(json_in_get(item, "fact"))));
		print_safe(out, json_in_text(json_in_get(item, "text")), LIMIT_EVIDENCE_BYTES);
		buf_addc(out, '\n');
	}
}

static void add_event(struct buf *out, const struct json_value *e, struct ruleset *rules,
		      enum lang lang)
{
	static const char *const keys[] = {"id", "time", "source", "session", "peer", "helo",
					   "mail_from", "message_id", "from", "subject"};
	const struct json_value *rcpts = json_in_get(e, "rcpts"), *reply = json_in_get(e, "reply");
	const struct json_value *findings = json_in_get(e, "findings");
	const struct json_value *unjudged = json_in_get(e, "unjudged");
	double score = 0, compliance;
	int64_t code;
	for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++)
		add_text(out, keys[i], json_in_get(e, keys[i]), lang);
	for (size_t i = 0; i < json_in_count(rcpts); i++) {
		const struct json_value *rcpt = json_in_at(rcpts, i);
		code = 0;
		json_in_int(json_in_get(rcpt, "code"), &code);
		add_label(out, "rcpt", lang);
		buf_addf(out, "%lld ", (long long)code);
		print_safe(out, json_in_text(json_in_get(rcpt, "to")), 400);
		buf_addc(out, '\n');
	}
	if (json_in_int(json_in_get(reply, "code"), &code)) {
		add_label(out, "reply", lang);
		buf_addf(out, "%lld ", (long long)code);
		print_safe(out, json_in_text(json_in_get(reply, "text")), 1000);
		buf_addc(out, '\n');
	}
	json_in_number(json_in_get(e, "score"), &score);
	bool zh = lang == LANG_ZH;
	add_label(out, "verdict", lang);
	buf_addf(out, "%s, %s %.4g", print_word(json_in_text(json_in_get(e, "action")), lang),
		 zh ? "扣分" : "score", score);
	if (json_in_number(json_in_get(e, "compliance"), &compliance))
		buf_addf(out, ", %s %.4g %%", zh ? "合规率" : "compliance", compliance);
	buf_addc(out, '\n');
	if (json_in_count(unjudged))
		add_label(out, "unjudged", lang);
	for (size_t i = 0; i < json_in_count(unjudged); i++)
		buf_addf(out, "%s%.*s", i ? " " : "", SPAN_ARG(json_in_text(json_in_at(unjudged, i))));
	if (json_in_count(unjudged))
		buf_addc(out, '\n');
	for (size_t i = 0; i < json_in_count(findings); i++)
		add_finding(out, json_in_at(findings, i), rules, lang);
}

static int explain_id(struct command_context *context, struct span id, bool json)
{
	struct receipt receipt = {0};
	struct ruleset *rules = NULL;
	struct buf out = BUF_INIT;
	int r = receipts_find(context->config, SPAN_NONE, SPAN_NONE, id, &receipt);
	if (r == RECEIPT_NEVER || (r == 0 && !receipt.event))
		return command_fail(context->program, EX_NOINPUT, "%.*s: no mail of that id in %s/log",
				    SPAN_ARG(id), context->config->state);
	if (r < 0)
		return command_fail(context->program, exit_code(r), "%s/log: %s",
				    context->config->state, trouble_text(r));
	if (json) {
		json_in_write(receipt.event, &out);
	} else {
		/* the words for a rule; the log has its name */
		if (ruleset_load(&rules, context->config, clock_now_us()) != 0)
			rules = NULL;
		add_event(&out, receipt.event, rules, context->lang);
	}
	ruleset_unref(rules);
	receipt_free(&receipt);
	int code = command_print(context->program, &out);
	buf_free(&out);
	return code;
}

int cmd_explain(struct command_context *context, int argc, char **argv)
{
	struct options o = {.program = context->program, .argc = argc, .argv = argv};
	const char *path = NULL, *operand, *option, *value;
	bool json = false;
	while ((option = options_next(&o, &operand))) {
		if (strcmp(option, "--json") == 0) {
			json = true;
		} else if (strcmp(option, "--dns") == 0) {
			if (!(value = options_value(&o)))
				return EX_USAGE;
			context->config->dns.source = DNS_ZONE;
			context->config->dns.zone = value;
		} else if (*option) {
			return command_usage(context->program, "unknown option '%s'", option);
		} else if (path) {
			return command_usage(context->program, "one mail at a time");
		} else {
			path = operand;
		}
	}
	if (!path)
		return command_usage(context->program, "which mail? name its file, or the id of its event");
	if (id_valid(span_of(path)) && access(path, F_OK) < 0)
		return explain_id(context, span_of(path), json);
	if (strcmp(path, "-") != 0 && access(path, F_OK) < 0 && errno == ENOENT && !strchr(path, '/'))
		return command_fail(context->program, EX_NOINPUT,
				    "'%s' is neither a file here nor the id of an event", path);
	return explain(context, path, json);
}
