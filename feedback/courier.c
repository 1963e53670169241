#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <unistd.h>
#include <event2/event.h>

#include "analyze/dkim_sign.h"
#include "base/clock.h"
#include "base/limits.h"
#include "base/log.h"
#include "feedback/arf.h"
#include "feedback/deliver.h"
#include "feedback/webhook.h"

/* A report under way. When the outcome cannot be written down (a full disk) it stays here with it
 * and is settled as soon as that is possible: sent is sent. */
struct flight {
	struct courier *courier;
	struct flight *next, **link;
	struct arena arena;
	struct queue_item item;
	struct buf text; /* with the signature */
	bool landed;
	enum delivery result;
	int64_t asked_us; /* queue_settle() */
	struct buf reply;
};

struct courier {
	struct queue *queue;
	const struct config *config;
	struct event_base *loop;
	struct carrier *carrier;
	struct keys keys;
	bool has_keys;
	struct event *next; /* starts what may go, after a delivery has ended */
	struct flight *flights;
	int64_t until_us; /* what is due later is not started; 0: no bound */
	int64_t rest_until_us, rest_us; /* of the next hop */
	int64_t unsigned_until_us;
	bool stopping, once;
	int trouble;
	void (*landed)(void *arg);
	void *landed_arg;
	struct courier_counts counts;
};

/* --- signing ------------------------------------------------------------------------- */

/* The key is read for each run over the queue: a changed one holds at once, and what waited is
 * signed with the selector of today. d= is the domain that reports come from. */
static int open_signer(const struct config *config, struct dkim_signer *signer_r)
{
	struct span from = span_of(config->report.from);
	*signer_r = (struct dkim_signer){.key = NULL};
	if (!config->report.dkim_selector)
		return 0;
	int r = dkim_signer_open(signer_r, arf_domain_of(from),
				 span_of(config->report.dkim_selector),
				 config->report.dkim_key_file);
	if (r == 0)
		return 0;
	log_error("report.unsigned", "file=%s selector=%s from=%s trouble=\"%s; reports wait\"",
		  config->report.dkim_key_file, config->report.dkim_selector, config->report.from,
		  dkim_sign_trouble(r));
	return DELIVER_E_SIGNER;
}

/* The signature in front of the message. */
static bool sign(struct flight *f, const struct dkim_signer *signer)
{
	int r = 0;
	if (signer->key)
		r = dkim_signer_sign(signer, f->item.message, clock_now_us() / US_PER_S, &f->text);
	buf_add(&f->text, f->item.message);
	if (r == 0 && !f->text.failed)
		return true;
	buf_adds(&f->reply, r ? dkim_sign_trouble(r) : "out of memory");
	return false;
}

/* --- one delivery -------------------------------------------------------------------- */

static struct flight *flight_create(struct courier *c)
{
	struct flight *f = calloc(1, sizeof(*f));
	if (!f)
		return NULL;
	*f = (struct flight){.courier = c, .text = BUF_INIT, .reply = BUF_INIT};
	arena_init(&f->arena, LIMIT_ARENA_BYTES);
	f->next = c->flights;
	f->link = &c->flights;
	if (f->next)
		f->next->link = &f->next;
	c->flights = f;
	c->counts.flying++;
	return f;
}

static void flight_free(struct flight *f)
{
	*f->link = f->next;
	if (f->next)
		f->next->link = f->link;
	f->courier->counts.flying--;
	arena_free(&f->arena);
	buf_free(&f->text);
	buf_free(&f->reply);
	free(f);
}

static int settle(struct flight *f)
{
	struct courier *c = f->courier;
	int r = queue_settle(c->queue, &f->item, f->result, buf_span(&f->reply), f->asked_us,
			     clock_now_us());
	if (r < 0) {
		log_error("report.unsettled", "report=%.*s error=%s", SPAN_ARG(f->item.id),
			  strerror(-r));
		return r;
	}
	uint64_t *const counts[] = {&c->counts.sent, &c->counts.later, &c->counts.failed,
				    &c->counts.away};
	++*counts[f->result];
	flight_free(f);
	return 0;
}

/* Once more for each whose outcome could not be written. */
static int settle_landed(struct courier *c)
{
	struct flight *next;
	int r = 0;
	for (struct flight *f = c->flights; f && r == 0; f = next) {
		next = f->next;
		if (f->landed)
			r = settle(f);
	}
	return r;
}

static void next_hop(struct courier *c, enum delivery result)
{
	if (result != DELIVERY_AWAY) {
		c->rest_us = c->rest_until_us = 0;
		c->counts.resting = false;
		return;
	}
	if (clock_now_us() < c->rest_until_us) /* one of several that were under way */
		return;
	c->rest_us = c->rest_us ? c->rest_us * 2 : LIMIT_NEXT_HOP_REST_US;
	if (c->rest_us > LIMIT_NEXT_HOP_REST_MAX_US)
		c->rest_us = LIMIT_NEXT_HOP_REST_MAX_US;
	c->rest_until_us = clock_now_us() + c->rest_us;
	c->counts.resting = true;
}

static int land(struct flight *f, enum delivery result)
{
	f->landed = true;
	f->result = result;
	if (result != DELIVERY_SENT)
		log_warn("report.undelivered", "report=%.*s reply=%s", SPAN_ARG(f->item.id),
			 log_safe(buf_span(&f->reply)));
	if (!queue_is_object(&f->item)) /* a webhook says nothing of our MTA */
		next_hop(f->courier, result);
	return settle(f);
}

static void on_done(void *arg, enum delivery result, struct span reply, int64_t asked_us)
{
	struct flight *f = arg;
	struct courier *c = f->courier;
	struct timeval now = {0, 0};
	buf_add(&f->reply, reply);
	f->asked_us = asked_us;
	int r = land(f, result);
	c->trouble = c->trouble ? c->trouble : r;
	event_add(c->next, &now);
}

/* The time of the signature is that of this try (Standard Webhooks: consumers refuse old ones). */
static int post(struct courier *c, struct flight *f)
{
	int r = c->has_keys ? 0 : keys_open(&c->keys, c->config->state);
	if (r < 0)
		return r;
	c->has_keys = true;
	const struct queue_item *item = &f->item;
	int64_t time_s = clock_now_us() / US_PER_S;
	struct arena *arena = &f->arena;
	const char *headers[] = {
		"Content-Type: application/json",
		"Expect:", /* 100-continue costs a second where nobody answers it */
		arena_printf(arena, "webhook-id: %.*s", SPAN_ARG(item->id)).p,
		arena_printf(arena, "webhook-timestamp: %lld", (long long)time_s).p,
		arena_printf(arena, "webhook-signature: %.*s",
			     SPAN_ARG(webhook_signature(&c->keys, item->sender, item->id, time_s,
							item->message, arena))).p,
		NULL,
	};
	return arena->overflowed ? -ENOMEM
				 : carrier_post(c->carrier, c->config, item, headers, on_done, f);
}

static int start(struct courier *c, struct flight *f, const struct dkim_signer *signer)
{
	bool object = queue_is_object(&f->item);
	if (span_starts(f->item.to, SPAN(QUEUE_PULL))) {
		buf_adds(&f->reply, "kept to be fetched");
		return land(f, DELIVERY_SENT);
	}
	if (!object && !sign(f, signer))
		return land(f, DELIVERY_LATER);
	if (!object && c->config->report.via == REPORT_VIA_FOLDER) {
		enum delivery result =
			deliver_folder(c->config, &f->item, buf_span(&f->text), &f->reply);
		return land(f, result);
	}
	/* libcurl costs 30 ms at its first use; a folder needs none. */
	int r = c->carrier ? 0 : carrier_create(&c->carrier, c->loop);
	if (r == 0)
		r = object ? post(c, f)
			   : carrier_mail(c->carrier, c->config, &f->item, buf_span(&f->text), on_done, f);
	if (r == 0)
		return 0;
	buf_adds(&f->reply, strerror(-r));
	return land(f, DELIVERY_LATER);
}

/* --- the run --------------------------------------------------------------------------- */

static bool may_start(const struct courier *c, int64_t now_us)
{
	/* While the next hop rests nothing goes; behind the rest one report asks for all. */
	unsigned most = c->counts.resting ? 1 : LIMIT_FLIGHTS;
	return !c->stopping && c->config->report.via != REPORT_VIA_NONE &&
	       c->counts.flying < most && now_us >= c->rest_until_us &&
	       !(c->once && c->counts.resting);
}

static int start_one(struct courier *c, const struct dkim_signer *signer, int64_t now_us)
{
	struct flight *f = flight_create(c);
	if (!f)
		return -ENOMEM;
	/* A folder takes what comes, and who runs the queue by hand wants it to be empty. */
	bool capped = !c->once && c->config->report.via == REPORT_VIA_SMTP;
	int r = queue_take(c->queue, c->until_us ? c->until_us : now_us, capped, &f->arena,
			   &f->item);
	if (r == 0)
		return start(c, f, signer);
	flight_free(f);
	return r;
}

int courier_run(struct courier *c)
{
	struct dkim_signer signer;
	int64_t now_us = clock_now_us();
	int r = settle_landed(c);
	if (r < 0 || !may_start(c, now_us) || queue_next_due(c->queue) > now_us)
		return r;
	if (c->counts.unsigned_ && now_us < c->unsigned_until_us)
		return DELIVER_E_SIGNER;
	r = open_signer(c->config, &signer);
	c->counts.unsigned_ = r == DELIVER_E_SIGNER;
	c->unsigned_until_us = now_us + 60 * US_PER_S;
	while (r == 0 && may_start(c, now_us))
		r = start_one(c, &signer, now_us);
	dkim_signer_close(&signer);
	return r == QUEUE_E_NONE ? 0 : r;
}

static void on_next(evutil_socket_t fd, short what, void *arg)
{
	struct courier *c = arg;
	(void)fd;
	(void)what;
	if (!c->stopping && !(c->once && c->trouble)) {
		int r = courier_run(c);
		c->trouble = c->trouble ? c->trouble : r;
	}
	if (c->counts.flying == 0 && c->landed)
		c->landed(c->landed_arg);
}

int courier_create(struct courier **c_r, struct queue *q, const struct config *config,
		   struct event_base *loop)
{
	struct courier *c = calloc(1, sizeof(*c));
	*c_r = c;
	if (!c)
		return -ENOMEM;
	*c = (struct courier){.queue = q, .config = config, .loop = loop};
	c->next = evtimer_new(loop, on_next, c);
	if (c->next)
		return 0;
	free(c);
	*c_r = NULL;
	return -ENOMEM;
}

void courier_free(struct courier *c)
{
	if (!c)
		return;
	carrier_free(c->carrier);
	while (c->flights) {
		struct flight *f = c->flights;
		/* Cut off: it goes again, under the same Message-ID. A queue that cannot be
		 * written has void claims when this process is gone. */
		if (!f->landed) {
			f->result = DELIVERY_AWAY;
			buf_adds(&f->reply, "cut off at the end of the process");
		}
		if (settle(f) < 0)
			flight_free(f);
	}
	if (c->next)
		event_free(c->next);
	free(c);
}

void courier_config(struct courier *c, const struct config *config)
{
	c->config = config;
	c->unsigned_until_us = c->rest_until_us = 0;
}

void courier_stop(struct courier *c, void (*landed)(void *arg), void *arg)
{
	struct timeval now = {0, 0};
	c->stopping = true;
	c->landed = landed;
	c->landed_arg = arg;
	if (c->carrier)
		carrier_recall(c->carrier);
	event_add(c->next, &now);
}

struct courier_counts courier_counts(const struct courier *c)
{
	return c->counts;
}

static int try_lock(const char *state, int how)
{
	char path[PATH_MAX];
	if (snprintf(path, sizeof(path), "%s/feedback.lock", state) >= (int)sizeof(path))
		return -ENAMETOOLONG;
	int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	if (fd < 0)
		return -errno;
	if (flock(fd, how | LOCK_NB) == 0)
		return fd;
	int r = errno == EWOULDBLOCK ? -EBUSY : -errno;
	close(fd);
	return r;
}

int courier_lock(const char *state)
{
	int fd = -EBUSY;
	/* Somebody may be looking at it right now. */
	for (unsigned i = 0; i < 100 && fd == -EBUSY; i++) {
		if (i)
			usleep(10000);
		fd = try_lock(state, LOCK_EX);
	}
	return fd;
}

bool courier_present(const char *state)
{
	int fd = try_lock(state, LOCK_SH);
	if (fd >= 0)
		close(fd);
	return fd == -EBUSY;
}

int deliver_due(struct queue *q, const struct config *config, unsigned *sent_r)
{
	struct courier *c = NULL;
	struct event_base *loop = event_base_new();
	int r = loop ? courier_create(&c, q, config, loop) : -ENOMEM;
	if (r == 0) {
		/* What falls due while we work waits for the next call, so this one ends. */
		c->until_us = clock_now_us();
		c->once = true;
		r = courier_run(c);
		while (r == 0 && c->trouble == 0 &&
		       (c->counts.flying || event_pending(c->next, EV_TIMEOUT, NULL)))
			if (event_base_loop(loop, EVLOOP_ONCE) < 0)
				r = -EIO;
		r = r ? r : c->trouble;
	}
	if (sent_r)
		*sent_r = c ? (unsigned)c->counts.sent : 0;
	courier_free(c);
	if (loop)
		event_base_free(loop);
	return r;
}
