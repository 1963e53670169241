/*
 * The process that talks to senders: it takes complaints, delivers reports, makes the digests of
 * errors, and keeps the queue small. Everything it waits for is on one loop:
 *
 *   tick     twice a second: has another process written into the queue (a counter of SQLite, no
 *            query), is a report due, is an event not in the log yet
 *   courier  deliveries under way (deliver.h)
 *   collect  once a second: STATE/intake and the folders of `spool complaints`
 *   portal   requests over HTTP (portal.h)
 *   digest   every few seconds a part of the event log is read; hours and days are closed
 *   failure  at each tick: reports of failed authentication, once their hour is over (failure.h)
 *   notice   once a minute: enrolments that end, addresses that were suspended (notice.h)
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
#include "feedback/complaint_spool.h"
#include "feedback/deliver.h"
#include "feedback/digest.h"
#include "feedback/exit_code.h"
#include "feedback/failure.h"
#include "feedback/notice.h"
#include "feedback/portal.h"
#include "feedback/role.h"

#define TICK_US (US_PER_S / 2)
#define COLLECT_US US_PER_S
#define DIGEST_US (5 * US_PER_S)
/* Reports made in one tick: 20 ms. */
#define FAILURES_AT_ONCE 10
#define NOTICE_US (60 * US_PER_S)
#define PURGE_US (3600 * US_PER_S)

/* Work under way goes on at the end for so long; the supervisor kills after ROLE_STOP_US. */
#define LANDING_US (ROLE_STOP_US - 2 * US_PER_S)

struct feedback {
	struct role *role;
	struct complaint_desk desk;
	struct courier *courier;
	struct portal *portal;
	struct failure_desk *failure;
	struct event *tick, *landing;
	int lock, http; /* descriptors */
	int http_trouble;
	int64_t version; /* of the queue when it was looked at */
	int64_t next_due_us, next_collect_us, next_digest_us, next_notice_us, next_purge_us;
	int trouble; /* the last one that was told */
	uint64_t collected, spooled, digests;
};

/* --- status -------------------------------------------------------------------------- */

static void write_status(void *arg, struct json *j)
{
	struct feedback *f = arg;
	struct queue_counts counts;
	struct courier_counts courier = courier_counts(f->courier);
	struct portal_counts portal = portal_counts(f->portal);
	if (queue_count(f->desk.queue, clock_now_us(), &counts) == 0) {
		json_int(j, "queued", (int64_t)counts.queued);
		json_int(j, "sent", (int64_t)counts.sent);
		json_int(j, "failed", (int64_t)counts.failed);
		json_int(j, "suppressed", (int64_t)counts.suppressed);
		json_int(j, "breakers", (int64_t)counts.breakers);
		json_int(j, "addresses_suspended", (int64_t)counts.addresses);
	}
	json_int(j, "flying", courier.flying);
	json_int(j, "deliveries", (int64_t)courier.sent);
	json_int(j, "retries", (int64_t)(courier.later + courier.away));
	json_bool(j, "next_hop_away", courier.resting);
	json_bool(j, "unsigned", courier.unsigned_);
	json_int(j, "collected", (int64_t)f->collected);
	json_int(j, "spooled", (int64_t)f->spooled);
	json_int(j, "digests", (int64_t)f->digests);
	json_int(j, "http_requests", (int64_t)portal.requests);
	json_int(j, "http_refused", (int64_t)portal.refused);
	json_int(j, "http_hung_up", (int64_t)portal.hung_up);
	json_int(j, "http_complaints", (int64_t)portal.complaints);
	json_cstr(j, "trouble", f->trouble < 0 ? trouble_text(f->trouble) : NULL);
}

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

/* --- the portal ------------------------------------------------------------------------ */

static void on_changed(void *arg)
{
	struct feedback *f = arg;
	f->next_due_us = 0;
}

/* An address that is taken is tried again; reports do not wait for it. */
static void bind_portal(struct feedback *f, const struct config *config)
{
	int r = portal_bind(config, &f->http);
	if (r < 0 && r != f->http_trouble)
		log_error("http.closed", "address=%s error=\"%s\"", config->http.address,
			  strerror(-r));
	f->http_trouble = r;
}

static int open_portal(struct feedback *f)
{
	if (f->http < 0)
		return 0;
	return portal_create(&f->portal, f->role->loop, f->http, &f->desk, write_status, on_changed,
			     f);
}

/* --- work -------------------------------------------------------------------------------- */

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
	unsigned left = 0, spooled = 0;
	if (now_us < f->next_collect_us)
		return 0;
	f->next_collect_us = now_us + COLLECT_US;
	int r = complaint_collect(&f->desk, now_us, &left);
	int r2 = complaint_spool_take(&f->desk, now_us, &spooled);
	f->collected += left;
	f->spooled += spooled;
	if (left || spooled) /* and there may be more */
		f->next_due_us = f->next_collect_us = 0;
	return r < 0 ? r : r2;
}

static int digest(struct feedback *f, int64_t now_us)
{
	unsigned made = 0;
	bool more = false;
	if (now_us < f->next_digest_us)
		return 0;
	int r = digest_work(&f->desk, now_us, &made, &more);
	f->digests += made;
	f->next_digest_us = more ? 0 : now_us + DIGEST_US;
	if (made)
		f->next_due_us = 0;
	return r;
}

static int failures(struct feedback *f, int64_t now_us)
{
	bool made = true;
	int r = 0;
	for (unsigned i = 0; i < FAILURES_AT_ONCE && made && r == 0; i++) {
		r = failure_work(f->failure, now_us, &made);
		if (made)
			f->next_due_us = 0;
	}
	return r;
}

static int notice(struct feedback *f, int64_t now_us)
{
	unsigned made = 0;
	if (now_us < f->next_notice_us)
		return 0;
	int r = notice_work(&f->desk, now_us, &made);
	f->next_notice_us = now_us + NOTICE_US;
	if (made)
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
	int results[] = {deliver(f, now_us), collect(f, now_us), digest(f, now_us),
			 failures(f, now_us), notice(f, now_us), purge(f, now_us)};
	int r = 0;
	for (size_t i = 0; i < sizeof(results) / sizeof(results[0]) && r == 0; i++)
		r = results[i];
	tell(f, r);
	if (!f->portal && f->http_trouble < 0) {
		bind_portal(f, f->role->config);
		if (open_portal(f) < 0)
			log_error("http.closed", "error=\"no token can be made\"");
	}
}

/* --- life ----------------------------------------------------------------------------- */

static int feedback_open(struct role *r)
{
	struct feedback *f = calloc(1, sizeof(*f));
	if (!f)
		return EX_OSERR;
	r->data = f;
	bind_portal(f, r->config);
	return EX_OK;
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
	if (r == 0)
		r = failure_create(&f->failure, &f->desk, role->loop);
	if (r == 0)
		r = open_portal(f);
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
	portal_free(f->portal);
	f->portal = NULL;
	courier_free(f->courier);
	f->courier = NULL;
	failure_free(f->failure);
	f->failure = NULL;
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
	if (f->courier)
		write_status(f, j);
}

const struct role_kind role_feedback = {
	.name = "feedback",
	.open = feedback_open,
	.start = feedback_start,
	.stop = feedback_stop,
	.reload = feedback_reload,
	.status = feedback_status,
};
