/*
 * assay capture FILE... | -i INTERFACE - the transactions alone, not judged.
 *
 * --json prints the txn event without what judging adds (those keys are null); else a line a
 * transaction. Counters of what was lost go to stderr at the end.
 */
#include <errno.h>
#include <grp.h>
#include <pwd.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sysexits.h>
#include <unistd.h>
#include <event2/event.h>

#include "base/clock.h"
#include "capture/commands.h"
#include "capture/live.h"

struct printer {
	struct buf out;
	bool json;
	int error; /* errno of the write that failed; the results are not written any more */
};

static void flush(struct printer *p)
{
	if (p->out.failed || fwrite(p->out.p ? p->out.p : "", 1, p->out.n, stdout) != p->out.n)
		p->error = p->out.failed ? ENOMEM : errno;
	buf_reset(&p->out);
}

/* The keys of CONTRACT section 2 that only judging can fill. */
static const char *const judged_keys[] = {"message_id", "from",	    "subject",	  "sender",
					  "list",	"campaign", "class",    "auth",	  "findings",
					  "unjudged",	"score",    "compliance", "action",
					  "partial",	"ruleset"};

static void print_json(struct printer *p, const struct txn *t)
{
	struct json j = JSON_INIT(&p->out);
	json_open(&j, NULL, '{');
	json_cstr(&j, "event", "txn");
	txn_write_json(t, &j);
	for (size_t i = 0; i < sizeof(judged_keys) / sizeof(judged_keys[0]); i++)
		json_null(&j, judged_keys[i]);
	json_close(&j, '}');
	buf_addc(&p->out, '\n');
}

/* Words from the wire, without what could drive a terminal. */
static void add_safe(struct buf *out, struct span s)
{
	for (size_t i = 0; i < s.n && i < 200; i++)
		buf_addc(out, (unsigned char)s.p[i] < ' ' || s.p[i] == 0x7f ? '?' : s.p[i]);
}

static void print_text(struct printer *p, const struct txn *t)
{
	char time[CLOCK_TEXT_BYTES], peer[IP_TEXT_BYTES];
	buf_addf(&p->out, "%s %s:%u #%u ", clock_rfc3339(t->time_us, time), ip_text(&t->peer, peer),
		 t->port, t->tx);
	add_safe(&p->out, t->helo.s);
	buf_adds(&p->out, " <");
	add_safe(&p->out, t->mail_from.s);
	buf_adds(&p->out, ">");
	for (size_t i = 0; i < t->n_rcpts; i++) {
		buf_adds(&p->out, " <");
		add_safe(&p->out, t->rcpts[i].to);
		buf_addf(&p->out, ">=%d", t->rcpts[i].reply.code);
	}
	buf_addf(&p->out, " %llu octets%s -> %d ", (unsigned long long)t->size,
		 t->complete ? "" : " (incomplete)", t->reply.code);
	add_safe(&p->out, t->reply.text);
	for (uint32_t bits = t->flags; bits; bits &= bits - 1)
		buf_addf(&p->out, " %s", txn_flag_name(bits & -bits));
	buf_addc(&p->out, '\n');
}

static void on_transaction(void *arg, struct txn *t)
{
	struct printer *p = arg;
	if (p->json)
		print_json(p, t);
	else
		print_text(p, t);
	flush(p);
	txn_free(t);
}

static void on_session(void *arg, const struct smtp_session *s)
{
	struct printer *p = arg;
	smtp_session_write(s, p->json, &p->out);
	flush(p);
}

static void say_counters(const char *program, const struct printer *p,
			 const struct capture_counters *n, const struct pcap_counters *kernel)
{
	if (p->json) {
		struct buf out = BUF_INIT;
		struct json j = JSON_INIT(&out);
		json_open(&j, NULL, '{');
		json_cstr(&j, "event", "counters");
		json_int(&j, "kernel_received", (int64_t)kernel->received);
		json_int(&j, "kernel_dropped", (int64_t)kernel->dropped);
		json_int(&j, "interface_dropped", (int64_t)kernel->interface_dropped);
		capture_counters_write(n, &j);
		json_close(&j, '}');
		buf_addc(&out, '\n');
		fwrite(out.p ? out.p : "", 1, out.n, stderr);
		buf_free(&out);
		return;
	}
	fprintf(stderr,
		"%s: %llu frames, %llu connections, %llu transactions, %llu sessions without one; "
		"%llu gaps of %llu octets, %llu conflicts, %llu dropped by the kernel, "
		"%llu caps reached\n",
		program, (unsigned long long)n->frames, (unsigned long long)n->tcp.connections,
		(unsigned long long)n->smtp.transactions, (unsigned long long)n->smtp.sessions,
		(unsigned long long)n->tcp.gaps, (unsigned long long)n->tcp.gap_octets,
		(unsigned long long)n->tcp.conflicts,
		(unsigned long long)(kernel->dropped + kernel->interface_dropped),
		(unsigned long long)(n->tcp.flow_caps + n->tcp.memory_caps + n->tcp.flows_evicted));
}

static int open_failed(const char *program, const char *name, int r, const char *error)
{
	int code = r == -EPERM || r == -EACCES ? EX_NOPERM : r == -EINVAL ? EX_DATAERR : EX_NOINPUT;
	return command_fail(program, code, "%s: %s", name, error);
}

static const struct smtp_events events = {on_transaction, on_session};

/* --- files ------------------------------------------------------------------ */

static volatile sig_atomic_t stopped;

static void on_stop(int number)
{
	(void)number;
	stopped = 1;
}

static int read_file(const char *program, const char *path, struct capture_options *options,
		     struct printer *p)
{
	static const struct pcap_counters none;
	struct pcap_source *source;
	struct pcap_frame frame;
	struct capture_counters n;
	const char *error;
	int r = pcap_source_open_file(&source, path, &error);
	if (r < 0)
		return open_failed(program, path, r, error);
	options->file = path;
	struct capture *c = capture_create(options, &events, p);
	int code = c ? EX_OK : command_fail(program, EX_OSERR, "out of memory");
	while (c && !stopped && !p->error && (r = pcap_source_next(source, &frame, &error)) == 1)
		capture_frame(c, &frame);
	if (c && r < 0 && r != -ENODATA)
		code = command_fail(program, EX_DATAERR, "%s: %s", path, error);
	if (c) {
		capture_finish(c);
		capture_count(c, &n);
		say_counters(program, p, &n, &none);
	}
	capture_free(c);
	pcap_source_close(source);
	return code;
}

/* --- an interface ----------------------------------------------------------- */

struct listener {
	struct printer *printer;
	struct event_base *loop;
	const char *program, *interface;
	int code;
};

static void on_live_transaction(void *arg, struct txn *t)
{
	struct listener *l = arg;
	on_transaction(l->printer, t);
	if (l->printer->error)
		event_base_loopbreak(l->loop);
}

static void on_live_session(void *arg, const struct smtp_session *s)
{
	on_session(((struct listener *)arg)->printer, s);
}

static void on_broken(void *arg, const char *why)
{
	struct listener *l = arg;
	l->code = command_fail(l->program, EX_IOERR, "%s: %s", l->interface, why);
	event_base_loopbreak(l->loop);
}

static void on_live_stop(evutil_socket_t number, short what, void *arg)
{
	(void)number;
	(void)what;
	event_base_loopbreak(arg);
}

/* An interface needs a privilege to be opened and none to be read. */
static int drop_privileges(const struct command_context *context)
{
	if (geteuid() != 0)
		return EX_OK;
	const char *user = context->config->user;
	const struct passwd *pw = user ? getpwnam(user) : NULL;
	pw = pw ? pw : getpwnam("nobody");
	if (!pw || setgroups(0, NULL) < 0 || setgid(pw->pw_gid) < 0 || setuid(pw->pw_uid) < 0)
		return command_fail(context->program, EX_NOPERM, "cannot become user %s: %s",
				    user ? user : "nobody", strerror(errno));
	return EX_OK;
}

static int listen_on(struct command_context *context, const char *interface,
		     const struct capture_options *capture, struct printer *p)
{
	static const struct live_events live_events = {{on_live_transaction, on_live_session}, on_broken};
	const struct live_options options = {interface, context->config->capture.ring_bytes, *capture};
	struct listener listener = {.printer = p, .program = context->program, .interface = interface};
	struct event *stop[2] = {NULL, NULL};
	struct live_status status;
	struct live *l;
	const char *error;
	int r = live_open(&l, &options, &error);
	if (r < 0)
		return open_failed(context->program, interface, r, error);
	int code = drop_privileges(context);
	if (code != EX_OK)
		goto out;
	listener.loop = event_base_new();
	bool ready = listener.loop && live_start(l, listener.loop, &live_events, &listener) == 0;
	for (int i = 0; ready && i < 2; i++) {
		stop[i] = evsignal_new(listener.loop, i ? SIGTERM : SIGINT, on_live_stop, listener.loop);
		ready = stop[i] && event_add(stop[i], NULL) == 0;
	}
	if (!ready || event_base_dispatch(listener.loop) < 0)
		code = command_fail(context->program, EX_OSERR, "no event loop");
	code = code == EX_OK ? listener.code : code;
	live_finish(l);
	live_status(l, &status);
	say_counters(context->program, p, &status.capture, &status.kernel);
out:
	for (int i = 0; i < 2; i++)
		if (stop[i])
			event_free(stop[i]);
	live_close(l);
	if (listener.loop)
		event_base_free(listener.loop);
	return code;
}

int cmd_capture(struct command_context *context, int argc, char **argv)
{
	struct options o = {.program = context->program, .argc = argc, .argv = argv};
	const struct config *config = context->config;
	struct capture_options options = {.smtp = {.eod = EOD_AUTO, .hash = true},
					  .ports = config->capture.ports,
					  .n_ports = config->capture.n_ports};
	struct printer p = {.json = false};
	const char *interface = NULL, *operand, *option, *value;
	const char **paths = calloc((size_t)argc + 1, sizeof(*paths));
	size_t n = 0;
	int code = paths ? EX_OK : EX_OSERR;
	while (code == EX_OK && (option = options_next(&o, &operand))) {
		if (*option == '\0') {
			paths[n++] = operand;
		} else if (strcmp(option, "--json") == 0) {
			p.json = true;
		} else if (strcmp(option, "-i") == 0) {
			if (!(interface = options_value(&o)))
				code = EX_USAGE;
		} else if (strcmp(option, "--eod") == 0) {
			value = options_value(&o);
			if (value && strcmp(value, "strict") == 0)
				options.smtp.eod = EOD_STRICT;
			else if (value && strcmp(value, "lf") == 0)
				options.smtp.eod = EOD_LF;
			else if (!value || strcmp(value, "auto") != 0)
				code = command_usage(o.program, "--eod takes auto, strict or lf");
		} else if (strcmp(option, "--no-hash") == 0) {
			options.smtp.hash = false;
		} else {
			code = command_usage(o.program, "unknown option '%s'", option);
		}
	}
	if (code == EX_OK && (n == 0) == (interface == NULL))
		code = command_usage(o.program, "name capture files, or -i INTERFACE");
	if (code == EX_OK) {
		if (interface)
			code = listen_on(context, interface, &options, &p);
		signal(SIGINT, on_stop);
		signal(SIGTERM, on_stop);
		for (size_t i = 0; i < n && !p.error; i++) {
			int one = read_file(o.program, paths[i], &options, &p);
			code = code == EX_OK ? one : code;
		}
		if (p.error)
			errno = p.error;
		if (p.error || fflush(stdout) != 0)
			code = command_output_lost(o.program);
	}
	buf_free(&p.out);
	free(paths);
	return code;
}
