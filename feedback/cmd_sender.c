/* assay sender VERB ...: the registry, for people. assay-sender(1) */
#include <errno.h>
#include <pwd.h>
#include <stdio.h>
#include <unistd.h>

#include "analyze/topic.h"
#include "base/buf.h"
#include "base/clock.h"
#include "base/digest.h"
#include "base/file.h"
#include "base/json_in.h"
#include "base/limits.h"
#include "feedback/commands.h"
#include "feedback/complaint_drop.h"
#include "feedback/exit_code.h"
#include "feedback/prove.h"
#include "feedback/sender_show.h"
#include "feedback/state_folder.h"
#include "feedback/supervisor.h"
#include "feedback/webhook.h"

struct request;
/* New workers read the registry, one after the other. */
#define REGISTRY_MS 10000

struct verb {
	const char *name, *operand;   /* operand: what it is called; NULL: none is needed */
	bool by, reason;              /* needs --by, --reason */
	bool reads;                   /* the operand is a file */
	int (*run)(struct request *q); /* exit code */
};

struct request {
	struct command_context *context;
	struct registry *registry;
	const struct verb *verb;
	const char *operand, *second;
	const char *by, *reason, *waive, *token, *mail;
	bool json, send;
	struct file_view view; /* of the operand or of --mail, read before root is given up */
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
				    q->verb->name);
	case REGISTRY_E_OVERLAP:
		return command_fail(program, EX_DATAERR, "nothing of '%s' is filed", key);
	case REGISTRY_E_NAME:
		return command_usage(program, "--by needs a person's name");
	case REGISTRY_E_TOKEN:
		return command_fail(program, EX_DATAERR, "no proof of '%s' waits for this token", key);
	case REGISTRY_E_TAMPERED:
		return command_fail(program, EX_DATAERR, "the audit is not as it was written: an "
							 "entry was changed, taken out or put in");
	case PROVE_E_ZONE:
		return EX_CONFIG; /* said */
	case PROVE_E_FROM:
		return command_fail(program, EX_CONFIG, "'report from ADDRESS' is needed to send mail");
	default:
		return command_fail(program, exit_code(r), "the registry in %s: %s",
				    q->context->config->state, trouble_text(r));
	}
}

/* Whoever sits at the terminal, when he does not say. */
static const char *login_name(void)
{
	const struct passwd *user = getpwuid(getuid());
	return user ? user->pw_name : "unknown";
}

/* --- filing ------------------------------------------------------------------------------ */

static int file_text(struct request *q, struct span text, struct arena *arena)
{
	struct filings all;
	struct diag diag = {.out = NULL};
	struct buf said = BUF_INIT;
	filings_read(&all, text, q->operand, arena, &diag);
	if (arena->overflowed)
		return fail(q, -ENOMEM);
	if (all.faults)
		return EX_DATAERR;
	int r = registry_file_all(q->registry, all.v, all.n, q->by ? q->by : login_name(), &said);
	struct span rest = buf_span(&said), line;
	while (span_next_line(&rest, &line))
		fprintf(stderr, "%s: %.*s\n", q->context->program, SPAN_ARG(line));
	buf_free(&said);
	for (size_t i = 0; r == 0 && i < all.n; i++)
		printf("%.*s filed\n", SPAN_ARG(all.v[i].key));
	return fail(q, r);
}

static int run_file(struct request *q)
{
	struct arena arena;
	arena_init(&arena, LIMIT_REGISTRY_BYTES);
	int code = file_text(q, q->view.bytes, &arena);
	arena_free(&arena);
	return code;
}

/* Lines of `export --json`: what counts of each is the text of its filing. */
static int text_of_json(struct request *q, struct buf *text)
{
	struct span rest = q->view.bytes, line;
	for (unsigned number = 1; span_next_line(&rest, &line); number++) {
		const char *why = "no object with 'filing'";
		struct json_value *v = span_trim(line).n ? json_in_parse(line, &why) : NULL;
		struct span filing = json_in_text(json_in_get(v, "filing"));
		if (filing.p) {
			buf_add(text, filing);
			buf_addc(text, '\n');
		}
		json_in_free(v);
		if (!filing.p && span_trim(line).n)
			return command_fail(q->context->program, EX_DATAERR, "%s:%u: %s", q->operand,
					    number, why);
	}
	return text->failed ? fail(q, -ENOMEM) : EX_OK;
}

static int run_import(struct request *q)
{
	struct span start = span_trim(q->view.bytes);
	if (!start.n || start.p[0] != '{')
		return run_file(q);
	struct arena arena;
	struct buf text = BUF_INIT;
	arena_init(&arena, LIMIT_REGISTRY_BYTES);
	int code = text_of_json(q, &text);
	if (code == EX_OK)
		code = file_text(q, buf_span(&text), &arena);
	arena_free(&arena);
	buf_free(&text);
	return code;
}

/* The words of a campaign that stand for a letter: its hash and what it is about. */
static int run_sample(struct request *q)
{
	struct arena arena;
	struct message m;
	struct topic topic;
	char hash[SHA256_TEXT_BYTES];
	struct buf octets = BUF_INIT;
	struct span rest = q->view.bytes, line, name = span_of(q->operand);
	while (span_next_line(&rest, &line)) {
		buf_add(&octets, line);
		buf_adds(&octets, "\r\n");
	}
	arena_init(&arena, LIMIT_ARENA_BYTES);
	struct content *content = NULL;
	if (message_parse(&m, &arena, buf_span(&octets)) == 0)
		content = content_read(&m, &arena);
	bool told = content && topic_of(content, &topic);
	arena_free(&arena);
	buf_free(&octets);
	if (!told)
		return command_fail(q->context->program, EX_DATAERR,
				    "%s: too few words to tell what it is about", q->operand);
	size_t slash = span_rfind_char(name, '/');
	name = span_sub(name, slash == SIZE_MAX ? 0 : slash + 1, name.n);
	printf("sample \"%.*s\" %s\ntopic ", SPAN_ARG(name), sha256_text(q->view.bytes, hash));
	for (size_t i = 0; i < TOPIC_BYTES; i++)
		printf("%02x", topic.bits[i]);
	printf("\n");
	return EX_OK;
}

/* --- showing ------------------------------------------------------------------------------- */

static int run_list(struct request *q)
{
	return fail(q, registry_list(q->registry, q->json ? sender_show_json : sender_show_line,
				     NULL));
}

static int with_sender(struct request *q, int (*show)(struct request *q,
						      const struct registry_sender *s))
{
	struct arena arena;
	struct registry_sender s;
	arena_init(&arena, LIMIT_ARENA_BYTES);
	int r = registry_get(q->registry, span_of(q->operand), &arena, &s);
	if (r == 0)
		r = show(q, &s);
	arena_free(&arena);
	return fail(q, r);
}

static int show(struct request *q, const struct registry_sender *s)
{
	return q->json ? sender_show_json(s, NULL) : sender_show_text(s);
}

static int run_show(struct request *q)
{
	return with_sender(q, show);
}

static int export(struct request *q, const struct registry_sender *s)
{
	return q->json ? sender_export_json(s, NULL) : sender_export_text(s, NULL);
}

static int run_export(struct request *q)
{
	if (q->operand)
		return with_sender(q, export);
	return fail(q, registry_list(q->registry,
				     q->json ? sender_export_json : sender_export_text, NULL));
}

static int print_entry(const struct registry_audit *e, void *arg)
{
	char time[CLOCK_TEXT_BYTES];
	const bool *json = arg;
	struct span rest = e->detail, first = SPAN("");
	clock_rfc3339(e->time_us, time);
	if (*json) {
		struct buf line = BUF_INIT;
		struct json j = JSON_INIT(&line);
		json_open(&j, NULL, '{');
		json_int(&j, "seq", e->seq);
		json_cstr(&j, "time", time);
		json_text(&j, "key", e->key);
		json_text(&j, "action", e->action);
		json_text(&j, "by", e->by);
		json_text(&j, "detail", e->detail);
		json_text(&j, "hash", e->hash);
		json_close(&j, '}');
		int r = line.failed || puts(line.p) < 0 ? -EIO : 0;
		buf_free(&line);
		return r;
	}
	span_next_line(&rest, &first);
	return printf("%s  %-20.*s %-14.*s %-12.*s %.*s\n", time, SPAN_ARG(e->key),
		      SPAN_ARG(e->action), SPAN_ARG(e->by), SPAN_ARG(first)) < 0 ? -EIO : 0;
}

static int run_audit(struct request *q)
{
	return fail(q, registry_audit(q->registry, span_of(q->operand ? q->operand : ""),
				      print_entry, &q->json));
}

/* --- reviewing ------------------------------------------------------------------------------ */

static int send_tokens(struct request *q)
{
	struct queue *queue;
	unsigned sent = 0;
	const struct config *config = q->context->config;
	int r = queue_open(config->state, &queue);
	if (r < 0)
		return r;
	r = prove_send(q->registry, queue, config, span_of(q->operand), &sent);
	queue_close(queue);
	if (sent)
		fprintf(stderr, "%s: %u mails with tokens are in the queue\n", q->context->program,
			sent);
	return r;
}

static int review(struct request *q, const struct registry_sender *s)
{
	if (q->json)
		return sender_show_json(s, NULL);
	int r = sender_show_text(s);
	puts("\nproofs");
	if (r == 0)
		r = sender_show_proofs(s);
	puts("\naudit");
	return r ? r : registry_audit(q->registry, s->key, print_entry, &q->json);
}

static int run_review(struct request *q)
{
	int r = prove_names(q->registry, q->context->config, span_of(q->operand));
	if (r == 0 && q->send)
		r = send_tokens(q);
	return r ? fail(q, r) : with_sender(q, review);
}

static int run_confirm(struct request *q)
{
	struct buf what = BUF_INIT;
	struct span key = span_of(q->operand);
	int r = q->token ? registry_confirm(q->registry, key, span_of(q->token), &what)
			 : prove_mail(q->registry, q->context->config, key, q->view.bytes, &what);
	int code = r == PROVE_E_MAIL ? command_fail(q->context->program, EX_DATAERR, "%s", what.p)
				     : fail(q, r);
	if (r == 0)
		printf("%s proven: %s\n", q->operand, what.p);
	buf_free(&what);
	return code;
}

/* What the sender needs to check what we push, and to fetch what he wants to fetch. */
static int secret(struct request *q, const struct registry_sender *s)
{
	struct keys keys;
	struct arena arena;
	char token[KEYS_PULL_BYTES];
	int r = keys_open(&keys, q->context->config->state);
	if (r < 0)
		return r;
	arena_init(&arena, 4096);
	struct span webhook = webhook_secret(&keys, s->key, &arena);
	keys_pull(&keys, s->key, token);
	r = printf(q->json ? "{\"webhook\":\"%.*s\",\"token\":\"%.*s:%s\"}\n"
			   : "webhook  %.*s\ntoken    %.*s:%s\n",
		   SPAN_ARG(webhook), SPAN_ARG(s->key), token) < 0 ? -EIO : 0;
	arena_free(&arena);
	return r;
}

static int run_secret(struct request *q)
{
	return with_sender(q, secret);
}

/* --- deciding -------------------------------------------------------------------------------- */

static int decided(struct request *q, int r, const char *state)
{
	if (r == 0)
		printf("%s %s\n", q->operand, state);
	return fail(q, r);
}

static int run_approve(struct request *q)
{
	const char *state = "";
	int r = registry_approve(q->registry, span_of(q->operand), q->by, q->waive, &state);
	return decided(q, r, state);
}

static int run_needs_info(struct request *q)
{
	const char *state = "";
	int r = registry_needs_info(q->registry, span_of(q->operand), q->by, q->reason, &state);
	return decided(q, r, state);
}

static int run_suspend(struct request *q)
{
	int r = registry_suspend(q->registry, span_of(q->operand), q->by, q->reason);
	return decided(q, r, "suspended");
}

static int run_revoke(struct request *q)
{
	const char *state = "";
	int r = registry_revoke(q->registry, span_of(q->operand), q->by, q->reason, &state);
	return decided(q, r, state);
}

static int run_standing(struct request *q)
{
	for (int i = REGISTRY_USUAL; i <= REGISTRY_POOR; i++) {
		const char *name = registry_standing_name((enum registry_standing)i);
		if (q->second && strcmp(q->second, name) == 0)
			return decided(q, registry_stand(q->registry, span_of(q->operand),
							 (enum registry_standing)i, q->by,
							 q->reason), name);
	}
	return command_usage(q->context->program, "standing needs KEY and usual, good or poor");
}

/* --- words ----------------------------------------------------------------------------------- */

static const struct verb verbs[] = {
	{"file", "a file", false, false, true, run_file},
	{"import", "a file", false, false, true, run_import},
	{"sample", "a file", false, false, true, run_sample},
	{"export", NULL, false, false, false, run_export},
	{"list", NULL, false, false, false, run_list},
	{"show", "a key", false, false, false, run_show},
	{"review", "a key", false, false, false, run_review},
	{"confirm", "a key", false, false, false, run_confirm},
	{"audit", NULL, false, false, false, run_audit},
	{"secret", "a key", false, false, false, run_secret},
	{"approve", "a key", true, false, false, run_approve},
	{"needs-info", "a key", true, true, false, run_needs_info},
	{"suspend", "a key", true, true, false, run_suspend},
	{"revoke", "a key", true, true, false, run_revoke},
	{"standing", "a key", true, true, false, run_standing},
};
#define VERBS (sizeof(verbs) / sizeof(verbs[0]))

static int check_words(struct request *q)
{
	const struct verb *verb = q->verb;
	const char *program = q->context->program;
	if (!verb)
		return command_usage(program, "a verb is needed: file, import, sample, export, list, show, "
					      "review, confirm, audit, secret, approve, needs-info, suspend, "
					      "revoke or standing");
	if (verb->operand && !q->operand)
		return command_usage(program, "%s needs %s", verb->name, verb->operand);
	if (verb->by && (!q->by || !*q->by))
		return command_usage(program, "%s needs --by NAME", verb->name);
	if (verb->reason && (!q->reason || !*q->reason))
		return command_usage(program, "%s needs --reason TEXT", verb->name);
	if (q->waive && !*q->waive)
		return command_usage(program, "--waive needs a reason");
	if (verb->run == run_confirm && !q->token == !q->mail)
		return command_usage(program, "confirm needs --token TOKEN or --mail FILE");
	return EX_OK;
}

static int take_word(struct request *q, const char *word)
{
	if (!q->verb) {
		for (size_t i = 0; i < VERBS && !q->verb; i++)
			if (strcmp(word, verbs[i].name) == 0)
				q->verb = &verbs[i];
		return q->verb ? EX_OK : command_usage(q->context->program, "unknown verb '%s'", word);
	}
	if (!q->operand && q->verb->run != run_list)
		q->operand = word;
	else if (!q->second && q->verb->run == run_standing)
		q->second = word;
	else
		return command_usage(q->context->program, "too many words: '%s'", word);
	return EX_OK;
}

static int read_words(struct request *q, int argc, char **argv)
{
	struct options o = {.program = q->context->program, .argc = argc, .argv = argv};
	const char *operand, *option;
	int code = EX_OK;
	while (code == EX_OK && (option = options_next(&o, &operand))) {
		const char **value = strcmp(option, "--by") == 0       ? &q->by
				     : strcmp(option, "--reason") == 0 ? &q->reason
				     : strcmp(option, "--waive") == 0  ? &q->waive
				     : strcmp(option, "--token") == 0  ? &q->token
				     : strcmp(option, "--mail") == 0   ? &q->mail
								       : NULL;
		if (strcmp(option, "--json") == 0)
			q->json = true;
		else if (strcmp(option, "--send") == 0)
			q->send = true;
		else if (value && !(*value = options_value(&o)))
			return EX_USAGE;
		else if (*option && !value)
			return command_usage(o.program, "unknown option '%s'", option);
		else if (!*option)
			code = take_word(q, operand);
	}
	return code == EX_OK ? check_words(q) : code;
}

int cmd_sender(struct command_context *context, int argc, char **argv)
{
	struct request q = {.context = context};
	int code = read_words(&q, argc, argv);
	if (code != EX_OK)
		return code;
	/* decisions are made where the registry is */
	if (context->config->registry_copied && (q.verb->by || q.verb->reads || q.verb->run == run_review ||
						 q.verb->run == run_confirm))
		return command_fail(context->program, EX_NOPERM,
				    "this gateway has a copy of the registry (registry redis); '%s' it where "
				    "the registry is", q.verb->name);
	const char *file = q.verb->reads ? q.operand : q.mail;
	if (file) {
		int r = file_view_input(file, LIMIT_FILINGS_BYTES, &q.view);
		if (r < 0)
			return command_fail(context->program, EX_NOINPUT, "%s: %s", file, strerror(-r));
	}
	int r = state_folder_enter(context->config);
	if (r == 0)
		r = registry_open(context->config->state, &q.registry);
	if (r == 0)
		complaint_drop_open(context->config->state);
	code = r < 0 ? fail(&q, r) : q.verb->run(&q);
	registry_close(q.registry);
	file_view_close(&q.view);
	/* a decision holds when the command is over: the daemon, if there is one, has taken it up */
	if (code == EX_OK && q.verb->by) {
		struct buf answer = BUF_INIT;
		int asked = supervisor_ask(context->config, "registry", REGISTRY_MS, &answer);
		struct span said = asked < 0 ? span_of(strerror(-asked)) : span_trim(buf_span(&answer));
		/* no answer at all: it ended, and the next one reads the registry */
		if (asked != -ENOENT && asked != -ECONNREFUSED && said.n && !span_eq(said, SPAN("ok")))
			code = command_fail(context->program, EX_TEMPFAIL,
					    "recorded, but not in force yet: %.*s", SPAN_ARG(said));
		buf_free(&answer);
	}
	return code;
}
