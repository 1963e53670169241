/*
 * The recorder's process: the event log goes into the books. It also keeps an eye on the registry
 * and tells the supervisor when it has changed; where gateways share a Redis, the registry's copy
 * goes there or comes from there (registry_copy.h).
 */
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sysexits.h>
#include <unistd.h>
#include <event2/event.h>

#include "base/clock.h"
#include "base/log.h"
#include "feedback/recorder.h"
#include "feedback/registry.h"
#include "feedback/registry_copy.h"
#include "feedback/role_private.h"

/* Between two looks at the registry's counter: how long an approval takes to be seen. */
#define LOOK_US 200000
/* Between two tries when another command is the recorder just now. */
#define BUSY_US 200000
/* Between two looks at the copy of the registry in Redis: two commands. */
#define COPY_US 1000000

struct recording {
	struct role *role;
	pthread_t thread, copier; /* both wait for Redis and the disk by themselves */
	int stop_fd;
	_Atomic bool stopping;
	struct recorder_progress progress;
	struct registry *registry;
	const struct sender_table *seen;
	struct event *look, *ended;
	int ended_fd;
};

static void *record(void *arg)
{
	struct recording *rec = arg;
	uint64_t one = 1;
	int r;
	while (!rec->stopping &&
	       (r = recorder_run(rec->role->config, rec->stop_fd,
				 &rec->progress)) != 0) {
		if (r != RECORDER_E_BUSY)
			log_error("recorder.run", "why=%s", strerror(-r));
		usleep(r == RECORDER_E_BUSY ? BUSY_US : US_PER_S);
	}
	if (write(rec->ended_fd, &one, sizeof(one)) < 0)
		_exit(EX_OK);
	return NULL;
}

/* Its troubles are said once each; a process that ends does not wait for it. */
static void *copy(void *arg)
{
	struct recording *rec = arg;
	struct registry_copy *c;
	bool done, away = false;
	int r = registry_copy_create(&c, rec->role->config);
	if (r < 0)
		log_error("registry.copy", "why=\"%s\"", strerror(-r));
	while (r >= 0 && !rec->stopping) {
		int was = registry_copy_work(c, &done);
		if (was < 0 && !away)
			log_warn("registry.copy", "the registry stays as it is: %s", strerror(-was));
		away = was < 0;
		for (unsigned i = 0; i < 10 && !rec->stopping; i++)
			usleep(COPY_US / 10);
	}
	registry_copy_free(c);
	return NULL;
}

static void on_ended(evutil_socket_t fd, short what, void *arg)
{
	struct recording *rec = arg;
	(void)fd;
	(void)what;
	event_base_loopbreak(rec->role->loop);
}

static void on_look(evutil_socket_t fd, short what, void *arg)
{
	struct recording *rec = arg;
	(void)fd;
	(void)what;
	const struct sender_table *now = registry_senders(rec->registry);
	if (now && rec->seen && now != rec->seen)
		role_tell(rec->role, CONTROL_REGISTRY);
	if (now)
		rec->seen = now;
}

static int recording_start(struct role *r)
{
	struct recording *rec = calloc(1, sizeof(*rec));
	if (!rec)
		return EX_OSERR;
	*rec = (struct recording){.role = r,
				  .progress.lock = PTHREAD_MUTEX_INITIALIZER,
				  .stop_fd = eventfd(0, EFD_CLOEXEC),
				  .ended_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)};
	r->data = rec;
	int result = registry_open(r->config->state, &rec->registry);
	if (result < 0) {
		log_error("recorder.registry", "why=%s", strerror(-result));
		return EX_OSERR;
	}
	rec->look = event_new(r->loop, -1, EV_PERSIST, on_look, rec);
	rec->ended = event_new(r->loop, rec->ended_fd, EV_READ, on_ended, rec);
	if (rec->stop_fd < 0 || rec->ended_fd < 0 || !rec->look || !rec->ended ||
	    event_add(rec->look, &(struct timeval){.tv_usec = LOOK_US}) < 0 ||
	    event_add(rec->ended, NULL) < 0 ||
	    pthread_create(&rec->thread, NULL, record, rec) != 0)
		return EX_OSERR;
	if (r->config->redis.kind != REDIS_SPAWN &&
	    pthread_create(&rec->copier, NULL, copy, rec) != 0)
		return EX_OSERR;
	on_look(-1, 0, rec);
	return EX_OK;
}

static void recording_stop(struct role *r)
{
	struct recording *rec = r->data;
	uint64_t one = 1;
	rec->stopping = true;
	if (write(rec->stop_fd, &one, sizeof(one)) < 0)
		_exit(EX_OK);
}

static void recording_status(struct role *r, struct json *j)
{
	struct recording *rec = r->data;
	struct recorder_progress *p = &rec->progress;
	uint64_t octets = 0;
	pthread_mutex_lock(&p->lock);
	int result = eventlog_behind(r->config->state, &p->applied, &octets);
	json_cstr(j, "redis", p->trouble[0] ? "away" : "there");
	json_cstr(j, "redis_trouble", p->trouble[0] ? p->trouble : NULL);
	json_int(j, "applied", (int64_t)p->events);
	if (result == 0)
		json_int(j, "behind_octets", (int64_t)octets);
	if (p->level_us)
		json_number(j, "behind_s", (double)(clock_mono_us() - p->level_us) / US_PER_S);
	else
		json_null(j, "behind_s");
	pthread_mutex_unlock(&p->lock);
}

const struct role_kind role_recorder = {
	.name = "recorder", .start = recording_start, .stop = recording_stop,
	.status = recording_status,
};
