/*
 * assay auth - the authentication of one message, or of an envelope alone.
 *
 * Prints the "auth" object of an event, or with --header an Authentication-Results field.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sysexits.h>

#include <event2/event.h>

#include "analyze/auth.h"
#include "analyze/commands.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/limits.h"
#include "capture/spool.h"

struct auth_command {
	struct command_context *context;
	const char *ip, *helo, *mail_from, *file;
	bool header;
	struct event_base *loop;
	struct dns *dns;
	struct dns_session *session;
	struct txn *txn;
	struct message message;
	bool has_message;
	struct auth_query query;
	struct auth auth;
	bool woken;
};

static int read_options(struct auth_command *c, int argc, char **argv)
{
	struct options o = {.program = c->context->program, .argc = argc, .argv = argv};
	struct config *config = c->context->config;
	const char *option, *operand, *standard = NULL;
	while ((option = options_next(&o, &operand))) {
		const char **value = strcmp(option, "--ip") == 0          ? &c->ip
				     : strcmp(option, "--helo") == 0      ? &c->helo
				     : strcmp(option, "--mail-from") == 0 ? &c->mail_from
				     : strcmp(option, "--dmarc") == 0     ? &standard
				     : strcmp(option, "--dns") == 0       ? &config->dns.zone
									  : NULL;
		if (value && !(*value = options_value(&o)))
			return EX_USAGE;
		if (value == &config->dns.zone)
			config->dns.source = DNS_ZONE;
		else if (strcmp(option, "--header") == 0)
			c->header = true;
		else if (*option == '\0' && !c->file)
			c->file = operand;
		else if (!value)
			return command_usage(o.program, *option ? "unknown option '%s'"
								: "one file at a time, not '%s', too",
					     *option ? option : operand);
	}
	if (standard && strcmp(standard, "rfc7489") != 0 && strcmp(standard, "rfc9989") != 0)
		return command_usage(o.program, "--dmarc takes rfc9989 or rfc7489, not '%s'",
				     standard);
	if (standard)
		config->dmarc = strcmp(standard, "rfc7489") == 0 ? DMARC_RFC7489 : DMARC_RFC9989;
	return EX_OK;
}

/* "<a@b>" is "a@b"; without --mail-from the sender is unknown, "" or "<>" is the null sender. */
static struct span sender_of(const char *text)
{
	struct span s = span_of(text);
	if (s.n >= 2 && s.p[0] == '<' && s.p[s.n - 1] == '>')
		s = span_sub(s, 1, s.n - 1);
	return s;
}

static int make_query(struct auth_command *c)
{
	if (!c->ip || !c->helo || !c->mail_from)
		return command_usage(c->context->program,
				     "--ip, --helo and --mail-from are needed");
	if (!ip_parse(span_of(c->ip), &c->query.ip))
		return command_usage(c->context->program, "'%s' is no IP address", c->ip);
	c->query.helo = span_of(c->helo);
	c->query.mail_from = sender_of(c->mail_from);
	c->query.time_us = clock_now_us();
	c->query.dmarc = c->context->config->dmarc;
	c->query.host = c->context->config->host;
	return EX_OK;
}

static int read_file(struct auth_command *c)
{
	struct file_view view;
	int r = file_view_input(c->file, LIMIT_MESSAGE_BYTES, &view);
	if (r < 0)
		return command_fail(c->context->program, EX_NOINPUT, "%s: %s", c->file,
				    strerror(-r));
	c->txn = spool_txn(TXN_EML, c->file, view.bytes);
	file_view_close(&view);
	r = c->txn ? message_parse(&c->message, &c->txn->arena, c->txn->message) : -ENOMEM;
	if (r < 0)
		return command_fail(c->context->program, EX_OSERR, "%s: %s", c->file,
				    strerror(-r));
	c->has_message = true;
	return EX_OK;
}

/* Without a file there is a transaction still, for its memory. */
static int open_transaction(struct auth_command *c)
{
	if (c->file)
		return read_file(c);
	c->txn = txn_create(TXN_EML, c->query.time_us);
	return c->txn ? EX_OK
		      : command_fail(c->context->program, EX_OSERR, "%s", strerror(ENOMEM));
}

static void wake(void *arg)
{
	struct auth_command *c = arg;
	c->woken = true;
	event_base_loopbreak(c->loop);
}

/* DNS answers come through the loop; each round of answers is one more run of the checks. */
static int run_checks(struct auth_command *c)
{
	const struct message *m = c->has_message ? &c->message : NULL;
	struct config *config = c->context->config;
	c->loop = event_base_new();
	if (!c->loop)
		return command_fail(c->context->program, EX_OSERR, "no event loop");
	int r = dns_create(&c->dns, c->loop, config);
	if (r > 0)
		return r == DNS_E_NO_ZONE ? EX_NOINPUT : EX_CONFIG;
	if (r < 0)
		return command_fail(c->context->program, EX_NOINPUT, "%s: %s",
				    config->dns.zone ? config->dns.zone : "DNS", strerror(-r));
	c->session = dns_session_create(c->dns, wake, c);
	if (!c->session)
		return command_fail(c->context->program, EX_OSERR, "%s", strerror(ENOMEM));
	while (auth_check(&c->auth, m, &c->query, c->session, &c->txn->arena) == STEP_WAIT) {
		for (c->woken = false; !c->woken;)
			if (event_base_loop(c->loop, EVLOOP_ONCE) < 0)
				return command_fail(c->context->program, EX_OSERR,
						    "the event loop failed");
	}
	return EX_OK;
}

static int print_result(struct auth_command *c)
{
	struct buf out = BUF_INIT;
	struct json j = JSON_INIT(&out);
	if (c->header) {
		const struct message *m = c->has_message ? &c->message : NULL;
		buf_adds(&out, "Authentication-Results: ");
		buf_add(&out, auth_results_field(&c->auth, m, &c->query, &c->txn->arena));
	} else {
		auth_write_json(&c->auth, &j, NULL);
	}
	buf_addc(&out, '\n');
	int code = EX_OK;
	if (out.failed || c->txn->arena.overflowed)
		code = command_fail(c->context->program, EX_OSERR, "%s", strerror(ENOMEM));
	else
		code = command_print(c->context->program, &out);
	buf_free(&out);
	return code;
}

int cmd_auth(struct command_context *context, int argc, char **argv)
{
	struct auth_command c = {.context = context};
	int code = read_options(&c, argc, argv);
	if (code == EX_OK)
		code = make_query(&c);
	if (code != EX_OK)
		return code;
	code = open_transaction(&c);
	if (code == EX_OK)
		code = run_checks(&c);
	if (code == EX_OK)
		code = print_result(&c);
	dns_session_release(c.session);
	dns_free(c.dns);
	if (c.loop)
		event_base_free(c.loop);
	txn_free(c.txn);
	return code;
}
