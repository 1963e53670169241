/* assay queue list [--json] | retry [ID] | drop ID | addresses [--json] | resume ADDRESS | run */
#include <stdio.h>
#include <sysexits.h>

#include "base/clock.h"
#include "base/json.h"
#include "base/log.h"
#include "feedback/commands.h"
#include "feedback/complaint_drop.h"
#include "feedback/complaint_spool.h"
#include "feedback/deliver.h"
#include "feedback/digest.h"
#include "feedback/exit_code.h"
#include "feedback/notice.h"
#include "feedback/state_folder.h"

static int print_json(const struct queue_item *item, void *arg)
{
	struct buf line = BUF_INIT;
	(void)arg;
	queue_item_json(item, &line);
	int r = line.failed || fputs(line.p, stdout) < 0 ? -1 : 0;
	buf_free(&line);
	return r;
}

static int print_text(const struct queue_item *item, void *arg)
{
	char time[CLOCK_TEXT_BYTES];
	(void)arg;
	int n = printf("%.*s  %-10.*s %-8.*s %-24.*s %.*s  due %s", SPAN_ARG(item->id),
		       SPAN_ARG(item->state), SPAN_ARG(item->kind), SPAN_ARG(item->sender),
		       SPAN_ARG(item->to), clock_rfc3339(item->due_us, time));
	if (item->reply.n)
		n |= printf("  (%s)", log_safe(item->reply));
	return n < 0 || puts("") < 0 ? -1 : 0;
}

static int print_address_json(const struct queue_address *a, void *arg)
{
	struct buf line = BUF_INIT;
	struct json j = JSON_INIT(&line);
	char time[CLOCK_TEXT_BYTES];
	(void)arg;
	json_open(&j, NULL, '{');
	json_text(&j, "sender", a->sender);
	json_text(&j, "address", a->address);
	json_cstr(&j, "since", clock_rfc3339(a->since_us, time));
	json_text(&j, "why", a->why);
	json_close(&j, '}');
	int r = line.failed || puts(line.p) < 0 ? -1 : 0;
	buf_free(&line);
	return r;
}

static int print_address(const struct queue_address *a, void *arg)
{
	char time[CLOCK_TEXT_BYTES];
	(void)arg;
	return printf("%-24.*s %-32.*s since %s  (%.*s)\n", SPAN_ARG(a->sender),
		      SPAN_ARG(a->address), clock_rfc3339(a->since_us, time), SPAN_ARG(a->why)) < 0
		       ? -1
		       : 0;
}

static int drop(struct queue *q, const char *id)
{
	int r = queue_begin(q);
	if (r == 0) {
		r = queue_withdraw(q, span_of(id), "dropped by the operator");
		int ended = queue_end(q, r);
		r = r ? r : ended;
	}
	return r;
}

/* What other accounts have left; a trouble with one does not hold the reports up. */
static int collect(const struct config *config)
{
	struct complaint_desk desk;
	unsigned taken;
	int r = complaint_desk_open(&desk, config);
	if (r < 0)
		return r;
	desk.find = receipts_find;
	desk.release = receipt_free;
	do
		r = complaint_collect(&desk, clock_now_us(), &taken);
	while (r == 0 && taken);
	if (r == 0)
		r = complaint_spool_take(&desk, clock_now_us(), &taken);
	if (r < 0)
		log_warn("complaint.left", "error=%s", strerror(-r));
	if (!courier_present(config->state) && (r = notice_work(&desk, clock_now_us(), &taken)) < 0)
		log_warn("notice.left", "error=%s", strerror(-r));
	/* `run` does this all the time; without it digests are made here. */
	bool more = !courier_present(config->state);
	for (r = 0; more && r == 0;)
		r = digest_work(&desk, clock_now_us(), &taken, &more);
	if (r < 0)
		log_warn("digest.left", "error=%s", strerror(-r));
	complaint_desk_close(&desk);
	return 0;
}

static int work(struct command_context *context, struct queue *q, const char *verb, const char *id,
		bool json)
{
	unsigned sent = 0;
	int r;
	if (strcmp(verb, "list") == 0)
		return queue_list(q, json ? print_json : print_text, NULL);
	if (strcmp(verb, "addresses") == 0)
		return queue_address_list(q, json ? print_address_json : print_address, NULL);
	if (strcmp(verb, "resume") == 0)
		return queue_address_resume(q, span_of(id));
	if (strcmp(verb, "retry") == 0)
		r = queue_retry(q, span_of(id ? id : ""), clock_now_us());
	else if (strcmp(verb, "drop") == 0)
		r = drop(q, id);
	else if ((r = collect(context->config)) == 0 &&
		 (r = queue_purge(q, clock_now_us())) == 0 &&
		 (r = deliver_due(q, context->config, &sent)) == 0)
		printf("%u sent\n", sent);
	/* Events of what was done, and of what an earlier process could not write any more. */
	int written = queue_write_events(q, context->config->state);
	return r ? r : written;
}

int cmd_queue(struct command_context *context, int argc, char **argv)
{
	static const char *const verbs[] = {"list", "retry", "drop", "addresses", "resume", "run"};
	struct options o = {.program = context->program, .argc = argc, .argv = argv};
	const char *verb = NULL, *id = NULL, *operand, *option;
	bool json = false, known = false;
	while ((option = options_next(&o, &operand))) {
		if (strcmp(option, "--json") == 0)
			json = true;
		else if (*option)
			return command_usage(context->program, "unknown option '%s'", option);
		else if (!verb)
			verb = operand;
		else if (!id)
			id = operand;
		else
			return command_usage(context->program, "too many words: '%s'", operand);
	}
	for (size_t i = 0; verb && i < sizeof(verbs) / sizeof(verbs[0]); i++)
		known |= strcmp(verb, verbs[i]) == 0;
	if (!known)
		return command_usage(context->program, "list, retry [ID], drop ID, addresses, resume ADDRESS or run is needed");
	if (id && strcmp(verb, "retry") != 0 && strcmp(verb, "drop") != 0 &&
	    strcmp(verb, "resume") != 0)
		return command_usage(context->program, "%s takes no word, not '%s'", verb, id);
	if (strcmp(verb, "drop") == 0 && !id)
		return command_usage(context->program, "drop needs the id of a report");
	if (strcmp(verb, "resume") == 0 && !id)
		return command_usage(context->program, "resume needs an address");
	struct queue *q = NULL;
	int r = state_folder_enter(context->config);
	if (r == 0)
		r = queue_open(context->config->state, &q);
	if (r == 0)
		complaint_drop_open(context->config->state);
	if (r == 0)
		r = work(context, q, verb, id, json);
	queue_close(q);
	if (r == QUEUE_E_NONE)
		return command_fail(context->program, EX_NOINPUT,
				    strcmp(verb, "resume") == 0
					    ? "'%s' is no address that gets no reports"
					    : "no report '%s' waits or has failed",
				    id ? id : "");
	if (r == DELIVER_E_SIGNER)
		return command_fail(context->program, EX_CONFIG,
				    "reports cannot be signed and wait");
	if (r < 0)
		return command_fail(context->program, exit_code(r), "the queue in %s: %s",
				    context->config->state, strerror(-r));
	return EX_OK;
}
