/*
 * The process that talks to senders: it takes the complaints that other accounts left, delivers
 * reports, and keeps the queue small. Everything it waits for is on one loop:
 *
 *   tick     twice a second: has another process written into the queue (a counter of SQLite, no
 *            query), is a report due, is an event not in the log yet
 *   courier  deliveries under way (deliver.h)
 *   collect  once a second: STATE/intake
 *   purge    once an hour: what nobody can ask for any more
 *
 * Queue and registry are SQLite and this process is one of several that use them (`assay
 * complain` of a mail store, `assay queue`): nothing is held in memory that they must know.
 */
#include <errno.h>
#include <event2/event.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>

#include "base/clock.h"
#include "base/log.h"
#include "feedback/complaint_drop.h"
#include "feedback/deliver.h"
#include "feedback/exit_code.h"
#include "feedback/role.h"

#define TICK_US (US_PER_S / 2)
#define COLLECT_US US_PER_S
#define PURGE_US (3600 * US_PER_S)

/* Work for others goes on at the end for so long; the supervisor kills after ROLE_STOP_US. */
#define LANDING_US (ROLE_STOP_US - 2 * US_PER_S)

struct feedback {
	struct role *role;
	struct complaint_desk desk;
	struct courier *courier;
	struct event *tick, *landing;
	int lock;
	int64_t version; /* of the queue when it was looked at */
	int64_t next_due_us, next_collect_us, next_purge_us;
	int trouble; /* the last one that was told */
	uint64_t collected;
};

/* One line for a trouble that lasts, one when it is over. */
static void tell(struct feedback *f, int r)
{
	if (r < 0 && r != f->trouble)
		log_error("queue.trouble", "state=%s error=\"%s\"", f->role->config->state,
			  trouble_text(r));
	if (r == 0 && f->trouble < 0)
		log_info("queue.back", "state=%s", f->role->config->state);
	f->trouble = r < 0 ? r : 0;
}

static int deliver(struct feedback *f, int64_t now_us)
{
	int64_t version = queue_version(f->desk.queue);
	bool changed = version != f->version;
	f->version = version;
	if (!changed && f->next_due_us > now_us && !courier_counts(f->courier).flying)
		return 0;
	int r = courier_run(f->courier);
	if (r == 0 || r == DELIVER_E_SIGNER)
		r = queue_write_events(f->desk.queue, f->role->config->state);
	f->next_due_us = queue_next_due(f->desk.queue);
	return r;
}

static int collect(struct feedback *f, int64_t now_us)
{
	unsigned taken = 0;
	if (now_us < f->next_collect_us)
		return 0;
	f->next_collect_us = now_us + COLLECT_US;
	int r = complaint_collect(&f->desk, now_us, &taken);
	f->collected += taken;
	if (taken)
		f->next_due_us = 0;
	return r;
}

static int purge(struct feedback *f, int64_t now_us)
{
	if (now_us < f->next_purge_us)
		return 0;
	f->next_purge_us = now_us + PURGE_US;
	return queue_purge(f->desk.queue, now_us);
}

static void on_tick(evutil_socket_t fd, short what, void *arg)
{
	struct feedback *f = arg;
	int64_t now_us = clock_now_us();
	(void)fd;
	(void)what;
	int r = collect(f, now_us);
	int delivered = deliver(f, now_us);
	int purged = purge(f, now_us);
	tell(f, delivered < 0 ? delivered : purged < 0 ? purged : r < 0 ? r : 0);
}

/* --- life ----------------------------------------------------------------------------- */

static int feedback_open(struct role *r)
{
	r->data = calloc(1, sizeof(struct feedback));
	return r->data ? EX_OK : EX_OSERR;
}

static int feedback_start(struct role *role)
{
	struct feedback *f = role->data;
	struct timeval every = {TICK_US / US_PER_S, TICK_US % US_PER_S};
	f->role = role;
	complaint_drop_open(role->config->state);
	int r = f->lock = courier_lock(role->config->state);
	if (r >= 0)
		r = complaint_desk_open(&f->desk, role->config);
	if (r == 0) {
		f->desk.find = receipts_find;
		f->desk.release = receipt_free;
		r = courier_create(&f->courier, f->desk.queue, role->config, role->loop);
	}
	f->tick = event_new(role->loop, -1, EV_PERSIST, on_tick, f);
	if (r == 0 && (!f->tick || event_add(f->tick, &every) < 0))
		r = -ENOMEM;
	if (r < 0) {
		log_error("role.failed", "role=%s state=%s error=\"%s\"", role->name,
			  role->config->state, trouble_text(r));
		return exit_code(r);
	}
	event_active(f->tick, EV_TIMEOUT, 0);
	return EX_OK;
}

static void end(struct feedback *f)
{
	struct role *role = f->role;
	courier_free(f->courier);
	f->courier = NULL;
	if (queue_write_events(f->desk.queue, role->config->state) < 0)
		log_warn("queue.trouble", "state=%s error=\"events wait for the next start\"",
			 role->config->state);
	complaint_desk_close(&f->desk);
	event_base_loopbreak(role->loop);
}

static void on_landed(void *arg)
{
	struct feedback *f = arg;
	if (f->courier)
		event_active(f->landing, EV_TIMEOUT, 0);
}

static void on_landing(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	end(arg);
}

static void feedback_stop(struct role *role)
{
	struct feedback *f = role->data;
	struct timeval most = {LANDING_US / US_PER_S, LANDING_US % US_PER_S};
	event_del(f->tick);
	f->landing = evtimer_new(role->loop, on_landing, f);
	if (!f->landing || event_add(f->landing, &most) < 0) {
		end(f);
		return;
	}
	courier_stop(f->courier, on_landed, f);
}

static void feedback_reload(struct role *role)
{
	struct feedback *f = role->data;
	f->desk.config = role->config;
	courier_config(f->courier, role->config);
	f->next_due_us = 0;
}

static void feedback_status(struct role *role, struct json *j)
{
	struct feedback *f = role->data;
	struct queue_counts counts;
	struct courier_counts courier = courier_counts(f->courier);
	if (queue_count(f->desk.queue, clock_now_us(), &counts) == 0) {
		json_int(j, "queued", (int64_t)counts.queued);
		json_int(j, "sent", (int64_t)counts.sent);
		json_int(j, "failed", (int64_t)counts.failed);
		json_int(j, "suppressed", (int64_t)counts.suppressed);
		json_int(j, "breakers", (int64_t)counts.breakers);
	}
	json_int(j, "flying", courier.flying);
	json_int(j, "deliveries", (int64_t)courier.sent);
	json_int(j, "retries", (int64_t)(courier.later + courier.away));
	json_bool(j, "next_hop_away", courier.resting);
	json_bool(j, "unsigned", courier.unsigned_);
	json_int(j, "collected", (int64_t)f->collected);
	json_cstr(j, "trouble", f->trouble < 0 ? trouble_text(f->trouble) : NULL);
}

const struct role_kind role_feedback = {
	.name = "feedback",
	.open = feedback_open,
	.start = feedback_start,
	.stop = feedback_stop,
	.reload = feedback_reload,
	.status = feedback_status,
};
