/*
 * assay scan - judges messages that lie in files, in the foreground.
 *
 * The same pipeline as the gateway's: many messages wait for the DNS at once, and the results
 * come out in the order of the input. With a configuration that names its state folder (or with
 * --record) each event is appended to the event log first and printed then, and the recorder
 * brings the books up to date at the end; a look at mail with the defaults changes no book.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sysexits.h>
#include <unistd.h>
#include <event2/event.h>

#include "analyze/print.h"
#include "base/clock.h"
#include "base/log.h"
#include "capture/spool.h"
#include "feedback/commands.h"
#include "feedback/eventlog.h"
#include "feedback/exit_code.h"
#include "feedback/listings.h"
#include "feedback/recorder.h"
#include "feedback/redis.h"
#include "feedback/registry.h"
#include "feedback/state_folder.h"

/* Messages being judged at once, nearly all of them waiting for the DNS: with a 3 s deadline and a
 * dead resolver this still gives 170 messages a second, and takes 250 MB then. */
#define SCAN_WINDOW 512
/* Octets of them together; a few large ones do not fill the memory. */
#define SCAN_WINDOW_BYTES ((size_t)64 << 20)
#define PROGRESS_EVERY_US (US_PER_S / 5)

struct slot {
	struct analysis *done;
	bool taken;
};

struct scan {
	struct command_context *context;
	struct analyzer analyzer;
	struct spool *spool;
	struct slot ring[SCAN_WINDOW];
	size_t first, taken; /* oldest slot, slots in use */
	size_t waiting_bytes;
	bool json, facts, summary_only, record, progress, at_end;
	int64_t step_ns[ANALYSIS_STEPS]; /* --measure */
	struct eventlog *log;
	struct registry *registry;
	struct listings *listings;
	struct summary *summary;
	struct buf out;
	uint64_t judged, notices, troubles;
	int exit_code;
	int64_t progress_us;
};

static void on_trouble(void *arg, enum spool_trouble kind, const char *path, const char *message)
{
	struct scan *s = arg;
	static const int codes[] = {[SPOOL_NOTICE] = EX_OK,	    [SPOOL_NO_MAIL] = EX_DATAERR,
				    [SPOOL_BROKEN] = EX_DATAERR, [SPOOL_NO_INPUT] = EX_NOINPUT,
				    [SPOOL_NO_PERM] = EX_NOPERM};
	if (s->progress)
		fputs("\r\033[K", stderr);
	fprintf(stderr, "%s: %s: %s\n", s->context->program, path, message);
	s->notices += kind == SPOOL_NOTICE;
	s->troubles += kind != SPOOL_NOTICE;
	if (s->exit_code == EX_OK)
		s->exit_code = codes[kind];
}

static void show_progress(struct scan *s)
{
	int64_t now = clock_mono_us();
	if (!s->progress || now - s->progress_us < PROGRESS_EVERY_US)
		return;
	s->progress_us = now;
	fprintf(stderr, "\r\033[K%llu judged, %zu waiting", (unsigned long long)s->judged, s->taken);
}

/* A connection of a capture that carried no transaction: nothing to judge, but to be seen. */
static void on_session(void *arg, const struct smtp_session *session)
{
	struct scan *s = arg;
	if (s->json || !s->summary_only)
		smtp_session_write(session, s->json, &s->out);
}

static int flush(struct scan *s)
{
	int code = command_print(s->context->program, &s->out);
	if (code != EX_OK)
		s->exit_code = code;
	return code == EX_OK ? 0 : -EIO;
}

/* The oldest verdict leaves the window: event log, then the reader. */
static int emit(struct scan *s, struct analysis *a)
{
	int r = 0;
	struct buf line = BUF_INIT; /* the event as the log has it */
	s->judged++;
	s->waiting_bytes -= a->txn->message.n;
	if (s->record) {
		analysis_write_event(a, &line, false);
		r = line.failed ? -ENOMEM : state_folder_step_in(s->context->config);
		if (r == 0)
			r = eventlog_append(s->log, buf_span(&line));
		state_folder_step_out();
		if (r < 0)
			s->exit_code = command_fail(s->context->program, EX_IOERR,
						    "cannot write the event log: %s", strerror(-r));
	}
	summary_add(s->summary, a);
	for (size_t i = 0; analyzer_measure && i < ANALYSIS_STEPS; i++)
		s->step_ns[i] += a->step_ns[i];
	if (r == 0 && s->json && line.n && !s->facts)
		buf_add(&s->out, buf_span(&line));
	else if (r == 0 && s->json)
		analysis_write_event(a, &s->out, s->facts);
	else if (r == 0 && !s->summary_only)
		print_verdict(a, s->context->lang, &s->out);
	buf_free(&line);
	analysis_free(a);
	return r < 0 ? r : flush(s);
}

static void on_done(struct analysis *a, void *arg)
{
	((struct slot *)arg)->done = a;
}

static int take_one(struct scan *s, struct txn *t)
{
	struct slot *slot = &s->ring[(s->first + s->taken) % SCAN_WINDOW];
	*slot = (struct slot){.taken = true};
	s->taken++;
	s->waiting_bytes += t->message.n;
	int r = analyze_txn(&s->analyzer, t, on_done, slot);
	if (r < 0)
		txn_free(t);
	return r;
}

/* Fills the window, waits, empties it from the front. */
static int run(struct scan *s)
{
	while (!s->at_end || s->taken) {
		while (!s->at_end && s->taken < SCAN_WINDOW &&
		       (s->taken == 0 || (s->waiting_bytes < SCAN_WINDOW_BYTES &&
					  !s->ring[s->first].done))) {
			struct txn *t;
			int r = spool_next(s->spool, &t);
			if (r == 1)
				r = take_one(s, t);
			else if (r == 0)
				s->at_end = true;
			if (r < 0)
				return r;
		}
		while (s->taken && s->ring[s->first].done) {
			struct analysis *a = s->ring[s->first].done;
			s->ring[s->first] = (struct slot){0};
			s->first = (s->first + 1) % SCAN_WINDOW;
			s->taken--;
			int r = emit(s, a);
			if (r < 0)
				return r;
		}
		show_progress(s);
		if (s->taken) {
			bool full = s->at_end || s->taken == SCAN_WINDOW;
			if (event_base_loop(s->analyzer.loop,
					    full ? EVLOOP_ONCE : EVLOOP_NONBLOCK) < 0)
				return -EIO;
		}
	}
	return 0;
}

/* The state folder's parts, as far as this scan needs them. */
static int open_state(struct scan *s)
{
	const struct config *config = s->context->config;
	const char *part = "";
	int r = s->record ? state_folder_step_in(config) : 0;
	/* without a state folder nobody is registered, and a look at mail does not make one */
	if (r == 0 && (s->record || access(config->state, R_OK | W_OK | X_OK) == 0)) {
		part = "/registry.sqlite";
		r = registry_open(config->state, &s->registry);
	}
	if (r == 0 && s->record) {
		part = "/log";
		r = eventlog_open(&s->log, config->state);
	}
	/* since when a listing stands is learned by looks that are recorded */
	if (r == 0 && s->record && (config->dnsbl_ip.n || config->dnsbl_domain.n)) {
		s->listings = listings_create(config, REDIS_MAY_START);
		if (s->listings)
			listings_attach(s->listings, &s->analyzer.hooks);
	}
	state_folder_step_out();
	if (r < 0)
		return command_fail(s->context->program, exit_code(r), "state folder %s%s: %s",
				    config->state, part, trouble_text(r));
	if (s->registry || access(config->state, F_OK) == 0)
		registry_attach(s->registry, &s->analyzer.hooks);
	return EX_OK;
}

static void close_scan(struct scan *s)
{
	while (s->taken) { /* only after an error */
		if (s->ring[s->first].done)
			analysis_free(s->ring[s->first].done);
		s->first = (s->first + 1) % SCAN_WINDOW;
		s->taken--;
	}
	spool_free(s->spool);
	summary_free(s->summary);
	eventlog_close(s->log);
	analyzer_close(&s->analyzer);
	registry_close(s->registry);
	listings_free(s->listings);
	buf_free(&s->out);
}

static int read_options(struct scan *s, struct options *o, const char **paths, size_t *n_paths)
{
	struct config *config = s->context->config;
	const char *operand, *option, *value;
	s->record = config->state_given;
	while ((option = options_next(o, &operand))) {
		if (*option == '\0') {
			paths[(*n_paths)++] = operand;
		} else if (strcmp(option, "--json") == 0) {
			s->json = true;
		} else if (strcmp(option, "--facts") == 0) {
			s->facts = true;
		} else if (strcmp(option, "--summary") == 0) {
			s->summary_only = true;
		} else if (strcmp(option, "--measure") == 0) {
			analyzer_measure = true;
		} else if (strcmp(option, "--record") == 0) {
			s->record = true;
		} else if (strcmp(option, "--no-record") == 0) {
			s->record = false;
		} else if (strcmp(option, "--dns") == 0) {
			if (!(value = options_value(o)))
				return EX_USAGE;
			config->dns.source = DNS_ZONE;
			config->dns.zone = value;
		} else {
			return command_usage(o->program, "unknown option '%s'", option);
		}
	}
	if (s->facts && !s->json)
		return command_usage(o->program, "--facts goes with --json");
	if (*n_paths == 0)
		return command_usage(o->program, "nothing to judge: name files, folders or -");
	return EX_OK;
}

/* What is said on stderr at the end. */
static void say_totals(const struct scan *s)
{
	if (s->progress)
		fputs("\r\033[K", stderr);
	if (s->notices || s->troubles)
		fprintf(stderr, "%s: %llu judged, %llu files passed over that are no mail, %llu troubles\n",
			s->context->program, (unsigned long long)s->judged,
			(unsigned long long)s->notices, (unsigned long long)s->troubles);
	for (enum analysis_step i = 0; analyzer_measure && i < AT_DONE; i++)
		fprintf(stderr, "measure: %-8s %.3f ms\n", analysis_step_name(i),
			(double)s->step_ns[i] / 1e6);
}

/* The books follow the log; without Redis they follow later, nothing is lost. */
static void update_books(struct scan *s)
{
	if (!s->record || s->judged == 0)
		return;
	int r = state_folder_enter(s->context->config);
	if (r == 0)
		r = recorder_catch_up(s->context->config);
	if (r < 0 && !recorder_redis_away(r)) /* else the recorder has said it */
		fprintf(stderr, "%s: %s: the books follow later: %s\n", s->context->program,
			s->context->config->state, strerror(-r));
}

int cmd_scan(struct command_context *context, int argc, char **argv)
{
	struct scan *s = calloc(1, sizeof(*s));
	const char **paths = calloc((size_t)argc + 1, sizeof(*paths));
	struct options o = {.program = context->program, .argc = argc, .argv = argv};
	size_t n_paths = 0;
	int code = EX_OSERR;
	if (!s || !paths)
		goto out;
	s->context = context;
	code = read_options(s, &o, paths, &n_paths);
	if (code != EX_OK)
		goto out;
	int r = analyzer_open(&s->analyzer, context->config, clock_now_us());
	if (r) {
		code = r == ANALYZER_E_NO_ZONE ? EX_NOINPUT : r > 0 ? EX_CONFIG
			     : command_fail(context->program, EX_OSERR, "%s", strerror(-r));
		goto out;
	}
	code = open_state(s);
	if (code != EX_OK)
		goto out;
	s->progress = isatty(STDERR_FILENO) && (s->summary_only || !isatty(STDOUT_FILENO));
	s->summary = summary_create();
	r = s->summary ? spool_open(&s->spool, paths, n_paths, on_trouble, s) : -ENOMEM;
	if (r == 0) {
		const struct config *config = context->config;
		spool_captures(s->spool, config->capture.ports, config->capture.n_ports, on_session,
			       s);
		r = run(s);
	}
	if (r == 0 && s->out.n)
		r = flush(s);
	if (r < 0 && s->exit_code == EX_OK)
		s->exit_code = command_fail(context->program, EX_OSERR, "%s", strerror(-r));
	if (s->summary_only) {
		summary_print(s->summary, context->lang, &s->out);
		if (flush(s) < 0)
			s->exit_code = EX_IOERR;
	}
	if (fflush(stdout) != 0 && s->exit_code != EX_IOERR)
		s->exit_code = command_output_lost(context->program);
	say_totals(s);
	update_books(s);
	code = s->exit_code;
out:
	if (s)
		close_scan(s);
	free(s);
	free(paths);
	return code;
}
