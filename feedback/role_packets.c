/* Mail as it goes by on an interface: each transaction is judged, each session without one told. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>
#include <event2/event.h>

#include "base/clock.h"
#include "base/limits.h"
#include "base/log.h"
#include "capture/live.h"
#include "feedback/judge.h"
#include "feedback/role.h"

struct packets {
	struct role *role;
	struct live *live;
	struct judge *judge;
	bool broken;
};

static void on_transaction(void *arg, struct txn *t)
{
	struct packets *p = arg;
	judge_submit(p->judge, t, clock_mono_us() + LIMIT_JUDGE_US, NULL, NULL, NULL);
}

static void on_session(void *arg, const struct smtp_session *session)
{
	struct packets *p = arg;
	struct buf line = BUF_INIT;
	smtp_session_write(session, true, &line);
	if (!line.failed)
		judge_write(p->judge, buf_span(&line));
	buf_free(&line);
}

/* Only root can open it again: the supervisor starts a new process. */
static void on_broken(void *arg, const char *why)
{
	struct packets *p = arg;
	log_error("capture.broken", "interface=%s why=%s", p->role->config->capture.interface, why);
	p->broken = true;
	judge_drain(p->judge);
}

static int packets_open(struct role *r)
{
	const struct config *c = r->config;
	const char *why = "";
	struct packets *p = calloc(1, sizeof(*p));
	if (!p)
		return EX_OSERR;
	p->role = r;
	r->data = p;
	const struct live_options options = {
		.interface = c->capture.interface, .ring_bytes = c->capture.ring_bytes,
		.capture = {.smtp = {.eod = EOD_AUTO, .keep = true, .hash = true},
			    .ports = c->capture.ports, .n_ports = c->capture.n_ports},
	};
	int result = live_open(&p->live, &options, &why);
	if (result == 0)
		return EX_OK;
	log_error("capture.open", "interface=%s why=%s", c->capture.interface, why);
	return result == -EPERM || result == -EACCES ? EX_NOPERM : EX_UNAVAILABLE;
}

static int packets_start(struct role *r)
{
	static const struct live_events events = {{on_transaction, on_session}, on_broken};
	struct packets *p = r->data;
	if (judge_open(&p->judge, r->config, r->loop) < 0 ||
	    live_start(p->live, r->loop, &events, p) < 0)
		return EX_OSERR;
	return EX_OK;
}

static void packets_stop(struct role *r)
{
	struct packets *p = r->data;
	if (!p->broken)
		live_finish(p->live);
	judge_drain(p->judge);
}

static void packets_end(struct role *r)
{
	struct packets *p = r->data;
	judge_close(p->judge);
	live_close(p->live);
}

static void packets_status(struct role *r, struct json *j)
{
	struct packets *p = r->data;
	json_open(j, "capture", '{');
	live_write_status(p->live, j);
	json_close(j, '}');
	judge_status(p->judge, j);
}

const struct role_kind role_packets = {
	.name = "packets", .open = packets_open, .start = packets_start, .stop = packets_stop,
	.end = packets_end, .status = packets_status,
};
