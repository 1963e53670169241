/* assay sender file F | list | show KEY | approve KEY | suspend KEY | revoke KEY | review KEY */
#include <pwd.h>
#include <stdio.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/file.h"
#include "base/limits.h"
#include "feedback/commands.h"
#include "feedback/complaint_drop.h"
#include "feedback/exit_code.h"
#include "feedback/registry.h"
#include "feedback/state_folder.h"

struct request {
	struct command_context *context;
	struct registry *registry;
	const char *verb, *operand, *by, *reason, *waive;
	bool json;
};

static int fail(const struct request *q, int r)
{
	const char *program = q->context->program, *key = q->operand ? q->operand : "";
	switch (r) {
	case 0:
		return EX_OK;
	case REGISTRY_E_NONE:
		return command_fail(program, EX_NOUSER, "no sender '%s' is filed", key);
	case REGISTRY_E_SAME:
		return command_fail(program, EX_NOPERM,
				    "'%s' has decided on '%s' already; a second person must", q->by,
				    key);
	case REGISTRY_E_UNPROVEN:
		return command_fail(program, EX_NOPERM,
				    "'%s' has proofs or fields missing ('assay sender review %s'); "
				    "approve it with --waive REASON", key, key);
	case REGISTRY_E_STATE:
		return command_fail(program, EX_NOPERM, "'%s' is not in a state for '%s'", key,
				    q->verb);
	case REGISTRY_E_OVERLAP:
		return command_fail(program, EX_DATAERR, "'%s' is not filed", key);
	default:
		return command_fail(program, exit_code(r), "the registry in %s: %s",
				    q->context->config->state, trouble_text(r));
	}
}

/* --- showing ---------------------------------------------------------------------- */

static void write_texts(struct json *j, const char *key, const struct span *v, size_t n)
{
	json_open(j, key, '[');
	for (size_t i = 0; i < n; i++)
		json_text(j, NULL, v[i]);
	json_close(j, ']');
}

static void write_filing(struct json *j, const struct filing *f)
{
	char ip[IP_TEXT_BYTES];
	json_open(j, "org", '{');
	for (size_t i = 0; i < FILING_ORG_FIELDS; i++)
		json_text(j, filing_org_name((enum filing_org)i), f->org[i]);
	json_close(j, '}');
	json_open(j, "ip", '[');
	for (size_t i = 0; i < f->n_ranges; i++) {
		const struct filing_range *range = &f->ranges[i];
		struct buf text = BUF_INIT;
		buf_addf(&text, "%s/%u", ip_text(&range->prefix.ip, ip), range->prefix.bits);
		json_open(j, NULL, '{');
		json_text(j, "range", buf_span(&text));
		json_text(j, "owner", range->owner);
		json_text(j, "domain", range->domain);
		json_text(j, "class", range->class);
		json_close(j, '}');
		buf_free(&text);
	}
	json_close(j, ']');
	write_texts(j, "domain", f->domains, f->n_domains);
	write_texts(j, "dkim", f->dkim, f->n_dkim);
	json_open(j, "rate", '{');
	json_int(j, "messages", (int64_t)f->rate);
	json_text(j, "per", f->rate_per);
	json_close(j, '}');
	json_open(j, "feedback", '{');
	json_text(j, "to", f->feedback.address);
	json_bool(j, "complaint", f->feedback.complaint);
	json_bool(j, "error", f->feedback.error);
	json_close(j, '}');
}

static int print_json(const struct registry_sender *s, void *arg)
{
	struct buf line = BUF_INIT;
	struct json j = JSON_INIT(&line);
	char time[CLOCK_TEXT_BYTES];
	(void)arg;
	json_open(&j, NULL, '{');
	json_text(&j, "key", s->key);
	json_text(&j, "state", s->state);
	json_text(&j, "name", s->filing.org[ORG_NAME]);
	json_cstr(&j, "filed", clock_rfc3339(s->filed_us, time));
	json_text(&j, "missing", s->missing);
	json_text(&j, "waived", s->waived);
	json_text(&j, "approved_by", s->approved_by);
	json_bool(&j, "change", s->pending != NULL);
	write_filing(&j, &s->filing);
	json_close(&j, '}');
	int r = line.failed || puts(line.p) < 0 ? -EIO : 0;
	buf_free(&line);
	return r;
}

static int print_line(const struct registry_sender *s, void *arg)
{
	(void)arg;
	return printf("%-24.*s %-14.*s %.*s\n", SPAN_ARG(s->key), SPAN_ARG(s->state),
		      SPAN_ARG(s->filing.org[ORG_NAME])) < 0 ? -EIO : 0;
}

static void print_sender(const struct registry_sender *s)
{
	printf("sender    %.*s\nstate     %.*s\n", SPAN_ARG(s->key), SPAN_ARG(s->state));
	if (s->approved_by.p)
		printf("approved  by %.*s; one more is needed\n", SPAN_ARG(s->approved_by));
	if (s->missing.n)
		printf("missing   %.*s\n", SPAN_ARG(s->missing));
	if (s->waived.p)
		printf("waived    %.*s\n", SPAN_ARG(s->waived));
	printf("\n%.*s\n", SPAN_ARG(s->filing.source));
	if (s->pending)
		printf("\nwaiting for approval:\n%.*s\n", SPAN_ARG(s->pending->source));
}

static int print_audit(const struct registry_audit *e, void *arg)
{
	char time[CLOCK_TEXT_BYTES];
	size_t *n = arg;
	struct span rest = e->detail, first = SPAN("");
	(*n)++;
	span_next_line(&rest, &first);
	return printf("%s  %-15.*s %-12.*s %.*s\n", clock_rfc3339(e->time_us, time),
		      SPAN_ARG(e->action), SPAN_ARG(e->by), SPAN_ARG(first)) < 0 ? -EIO : 0;
}

static int review(struct request *q, const struct registry_sender *s)
{
	const struct filing *f = s->pending ? s->pending : &s->filing;
	size_t n = 0;
	print_sender(s);
	puts("\nproofs");
	for (size_t i = 0; i < f->n_domains + f->n_dkim; i++) {
		struct span d = i < f->n_domains ? f->domains[i] : f->dkim[i - f->n_domains];
		printf("  not made  _assay.%.*s TXT \"assay-token=%.*s\"\n", SPAN_ARG(d),
		       SPAN_ARG(s->token));
	}
	for (size_t i = 0; i < f->n_ranges; i++) {
		char ip[IP_TEXT_BYTES];
		printf("  not made  PTR and back of every address of %s/%u\n",
		       ip_text(&f->ranges[i].prefix.ip, ip), f->ranges[i].prefix.bits);
	}
	puts("\naudit");
	int r = registry_audit(q->registry, s->key, print_audit, &n);
	if (r == REGISTRY_E_STATE)
		return command_fail(q->context->program, EX_DATAERR,
				    "the audit's chain of hashes is broken");
	return r;
}

static int show(struct request *q)
{
	struct arena arena;
	struct registry_sender s;
	arena_init(&arena, LIMIT_ARENA_BYTES);
	int r = registry_get(q->registry, span_of(q->operand), &arena, &s);
	if (r == 0 && strcmp(q->verb, "review") == 0)
		r = review(q, &s);
	else if (r == 0 && q->json)
		r = print_json(&s, NULL);
	else if (r == 0)
		print_sender(&s);
	arena_free(&arena);
	return r > REGISTRY_E_OVERLAP ? r : fail(q, r);
}

/* --- deciding ------------------------------------------------------------------------ */

/* Whoever sits at the terminal, when he does not say. */
static const char *login_name(void)
{
	const struct passwd *user = getpwuid(getuid());
	return user ? user->pw_name : "unknown";
}

/* `text` was read before root was given up. */
static int file_filings(struct request *q, struct span text)
{
	struct arena arena;
	struct filings all;
	struct diag diag = {.out = NULL};
	struct buf said = BUF_INIT;
	int code = EX_OK;
	arena_init(&arena, LIMIT_ARENA_BYTES);
	filings_read(&all, text, q->operand, &arena, &diag);
	if (all.faults)
		code = EX_DATAERR;
	for (size_t i = 0; code == EX_OK && i < all.n; i++) {
		char key[80];
		snprintf(key, sizeof(key), "%.*s", SPAN_ARG(all.v[i].key));
		buf_reset(&said);
		int r = registry_file(q->registry, &all.v[i], q->by ? q->by : login_name(), &said);
		if (said.n)
			fprintf(stderr, "%s: %s", q->context->program, said.p);
		q->operand = key;
		code = fail(q, r);
		if (code == EX_OK)
			printf("%s filed\n", key);
	}
	buf_free(&said);
	arena_free(&arena);
	return code;
}

static int decide(struct request *q)
{
	struct span key = span_of(q->operand);
	const char *state = "suspended";
	int r;
	if (strcmp(q->verb, "approve") == 0)
		r = registry_approve(q->registry, key, q->by, q->waive, &state);
	else if (strcmp(q->verb, "suspend") == 0)
		r = registry_suspend(q->registry, key, q->by, q->reason);
	else
		r = registry_revoke(q->registry, key, q->by, q->reason, &state);
	if (r == 0)
		printf("%s %s\n", q->operand, state);
	return fail(q, r);
}

static int check_words(struct request *q)
{
	static const char *const verbs[] = {"file", "list", "show", "review", "approve", "suspend",
					    "revoke"};
	size_t at = 0;
	const char *program = q->context->program;
	while (at < 7 && (!q->verb || strcmp(q->verb, verbs[at]) != 0))
		at++;
	if (at == 7)
		return command_usage(program, "file F, list, show KEY, review KEY, approve KEY, "
					      "suspend KEY or revoke KEY is needed");
	if (at != 1 && !q->operand)
		return command_usage(program, "%s needs %s", q->verb, at == 0 ? "a file" : "a key");
	if (at >= 4 && (!q->by || !*q->by))
		return command_usage(program, "%s needs --by NAME", q->verb);
	if (at >= 5 && (!q->reason || !*q->reason))
		return command_usage(program, "%s needs --reason TEXT", q->verb);
	if (q->waive && !*q->waive)
		return command_usage(program, "--waive needs a reason");
	return EX_OK;
}

static int read_words(struct request *q, int argc, char **argv)
{
	struct options o = {.program = q->context->program, .argc = argc, .argv = argv};
	const char *operand, *option;
	while ((option = options_next(&o, &operand))) {
		const char **value = strcmp(option, "--by") == 0       ? &q->by
				     : strcmp(option, "--reason") == 0 ? &q->reason
				     : strcmp(option, "--waive") == 0  ? &q->waive
								       : NULL;
		if (strcmp(option, "--json") == 0)
			q->json = true;
		else if (value && !(*value = options_value(&o)))
			return EX_USAGE;
		else if (*option && !value)
			return command_usage(o.program, "unknown option '%s'", option);
		else if (!*option && !q->verb)
			q->verb = operand;
		else if (!*option && !q->operand)
			q->operand = operand;
		else if (!*option)
			return command_usage(o.program, "too many words: '%s'", operand);
	}
	return check_words(q);
}

int cmd_sender(struct command_context *context, int argc, char **argv)
{
	struct request q = {.context = context};
	struct file_view view = {SPAN_NONE, NULL};
	int code = read_words(&q, argc, argv);
	if (code != EX_OK)
		return code;
	bool filing = strcmp(q.verb, "file") == 0;
	if (filing) {
		int r = file_view_input(q.operand, LIMIT_RULE_FILE_BYTES, &view);
		if (r < 0)
			return command_fail(context->program, EX_NOINPUT, "%s: %s", q.operand,
					    strerror(-r));
	}
	int r = state_folder_enter(context->config);
	if (r == 0)
		r = registry_open(context->config->state, &q.registry);
	if (r == 0)
		complaint_drop_open(context->config->state);
	if (r < 0)
		code = fail(&q, r);
	else if (filing)
		code = file_filings(&q, view.bytes);
	else if (strcmp(q.verb, "list") == 0)
		code = fail(&q, registry_list(q.registry, q.json ? print_json : print_line, NULL));
	else if (strcmp(q.verb, "show") == 0 || strcmp(q.verb, "review") == 0)
		code = show(&q);
	else
		code = decide(&q);
	registry_close(q.registry);
	file_view_close(&view);
	return code;
}
