#include "feedback/portal_guard.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>
#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <event2/event.h>
#include <event2/listener.h>
#include <sys/stat.h>

#include "base/clock.h"
#include "base/limits.h"

/* Between two looks whether a descriptor is free again. */
#define LOOK_US 100000

static struct {
	struct evconnlistener *listener;
	struct event *look;
	size_t held; /* sum of at[].held */
	unsigned long hung_up;
	struct {
		ino_t socket;
		size_t held; /* octets of the request that is arriving */
		int64_t since_us;
	} at[LIMIT_HTTP_DESCRIPTORS]; /* by descriptor */
} guard;

static ino_t socket_of(int fd)
{
	struct stat st;
	return fstat(fd, &st) == 0 ? st.st_ino : 0;
}

static void let_go(int fd)
{
	guard.held -= guard.at[fd].held;
	guard.at[fd].held = 0;
}

/* What connections held that have ended. */
static void sweep(void)
{
	for (int fd = 0; fd < LIMIT_HTTP_DESCRIPTORS; fd++)
		if (guard.at[fd].held && socket_of(fd) != guard.at[fd].socket)
			let_go(fd);
}

static bool is_too_much(int fd, size_t added)
{
	int64_t now_us = clock_mono_us();
	ino_t socket = socket_of(fd);
	if (guard.at[fd].socket != socket)
		let_go(fd);
	guard.at[fd].socket = socket;
	if (!guard.at[fd].held)
		guard.at[fd].since_us = now_us;
	guard.at[fd].held += added;
	guard.held += added;
	if (guard.held > LIMIT_HTTP_HELD_BYTES)
		sweep();
	return guard.held > LIMIT_HTTP_HELD_BYTES ||
	       now_us - guard.at[fd].since_us > LIMIT_HTTP_REQUEST_US;
}

static void on_input(struct evbuffer *in, const struct evbuffer_cb_info *info, void *connection)
{
	int fd = bufferevent_getfd(connection);
	(void)in;
	if (!info->n_added || fd < 0)
		return;
	if (fd < LIMIT_HTTP_DESCRIPTORS && !is_too_much(fd, info->n_added))
		return;
	guard.hung_up++;
	/* A time-out is what the server ends a connection for without a word. */
	bufferevent_trigger_event(connection, BEV_EVENT_TIMEOUT | BEV_EVENT_READING,
				  BEV_OPT_DEFER_CALLBACKS);
}

/* Descriptors are given out lowest first, so a free low one says that few are in use. */
static bool is_full(void)
{
	int next = fcntl(evconnlistener_get_fd(guard.listener), F_DUPFD_CLOEXEC, 0);
	if (next >= 0)
		close(next);
	return next < 0 || next >= LIMIT_HTTP_DESCRIPTORS - 1;
}

static void wait_for_room(void)
{
	static const struct timeval soon = {0, LOOK_US};
	evconnlistener_disable(guard.listener);
	event_add(guard.look, &soon);
}

static void on_look(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	(void)arg;
	if (is_full())
		wait_for_room();
	else
		evconnlistener_enable(guard.listener);
}

/* The server gives it its socket next. NULL: it makes one itself, which nobody guards. */
static struct bufferevent *on_connection(struct event_base *loop, void *arg)
{
	struct bufferevent *b = bufferevent_socket_new(loop, -1, BEV_OPT_CLOSE_ON_FREE);
	(void)arg;
	if (b)
		evbuffer_add_cb(bufferevent_get_input(b), on_input, b);
	if (is_full())
		wait_for_room();
	return b;
}

void portal_guard_whole(struct evhttp_request *req)
{
	struct evhttp_connection *c = evhttp_request_get_connection(req);
	int fd = bufferevent_getfd(evhttp_connection_get_bufferevent(c));
	if (fd >= 0 && fd < LIMIT_HTTP_DESCRIPTORS)
		let_go(fd);
}

unsigned long portal_guard_hung_up(void)
{
	return guard.hung_up;
}

int portal_guard_start(struct event_base *loop, struct evhttp *http, int fd)
{
	guard.look = evtimer_new(loop, on_look, NULL);
	if (!guard.look)
		return -ENOMEM;
	struct evhttp_bound_socket *bound = evhttp_accept_socket_with_handle(http, fd);
	if (!bound)
		return -EIO;
	guard.listener = evhttp_bound_socket_get_listener(bound);
	evhttp_set_bevcb(http, on_connection, NULL);
	return 0;
}

void portal_guard_stop(void)
{
	if (guard.look)
		event_free(guard.look);
	guard.look = NULL;
}
