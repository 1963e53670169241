#include "capture/live.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <event2/event.h>

#include "base/clock.h"

/* Frames read before the loop gets its turn: some milliseconds. */
#define FRAMES_A_TURN 4096

/* Frames between two looks at what the kernel dropped. A ring of 64 MiB holds at least four times as
 * many, so the look comes before the place of the loss. */
#define LOOK_EVERY 256

/* The kernel hands over a block of frames when it is full or 200 ms old: what is older than twice
 * that has been seen, when the ring is empty. */
#define HANDED_OVER_US (2 * US_PER_S / 5)

struct live {
	char *interface;
	struct capture_options options;
	struct pcap_source *source;
	struct capture *capture;
	struct event *readable, *second;
	struct live_events events;
	void *arg;
	uint64_t dropped;
	bool losing; /* frames were dropped behind those that are still in the ring */
	bool broken, finished;
	int64_t told_us; /* when the capture was told the time */
};

int live_open(struct live **l_r, const struct live_options *options, const char **error_r)
{
	struct live *l = calloc(1, sizeof(*l));
	*error_r = "out of memory";
	if (!l)
		return -ENOMEM;
	l->options = options->capture;
	l->interface = strdup(options->interface);
	int r = l->interface ? pcap_source_open_live(&l->source, l->interface, options->ring_bytes,
						     error_r)
			     : -ENOMEM;
	if (r < 0) {
		live_close(l);
		return r;
	}
	*l_r = l;
	return 0;
}

/* Whatever goes on while frames are missing is marked: also connections that open before the place
 * of the loss in the ring is reached. */
static void look_at_drops(struct live *l)
{
	struct pcap_counters n;
	pcap_source_count(l->source, &n);
	if (n.dropped + n.interface_dropped != l->dropped)
		l->losing = true;
	l->dropped = n.dropped + n.interface_dropped;
	if (l->losing)
		capture_loss(l->capture);
}

static void ring_is_empty(struct live *l)
{
	int64_t now = clock_now_us();
	look_at_drops(l);
	l->losing = false;
	if (now - l->told_us < US_PER_S && now >= l->told_us)
		return;
	l->told_us = now;
	capture_time(l->capture, now - HANDED_OVER_US);
}

static void stop_events(struct live *l)
{
	if (l->readable)
		event_free(l->readable);
	if (l->second)
		event_free(l->second);
	l->readable = l->second = NULL;
}

static void on_readable(evutil_socket_t fd, short what, void *arg)
{
	struct live *l = arg;
	struct pcap_frame frame;
	const char *error;
	int r = 1;
	(void)fd;
	(void)what;
	for (unsigned n = 0; n < FRAMES_A_TURN && r == 1; n++) {
		if (n % LOOK_EVERY == 0)
			look_at_drops(l);
		r = pcap_source_next(l->source, &frame, &error);
		if (r == 1)
			capture_frame(l->capture, &frame);
	}
	if (r == 0)
		ring_is_empty(l);
	if (r >= 0)
		return;
	stop_events(l);
	l->broken = l->finished = true;
	capture_finish(l->capture);
	if (l->events.broken)
		l->events.broken(l->arg, r == -ENODATA ? "the interface is closed" : error);
}

int live_start(struct live *l, struct event_base *loop, const struct live_events *events, void *arg)
{
	const struct timeval second = {.tv_sec = 1};
	l->events = *events;
	l->arg = arg;
	if (!(l->capture = capture_create(&l->options, &l->events.smtp, arg)))
		return -ENOMEM;
	l->readable = event_new(loop, pcap_source_fd(l->source), EV_READ | EV_PERSIST, on_readable, l);
	/* the second is for what ends because nothing comes */
	l->second = event_new(loop, -1, EV_PERSIST, on_readable, l);
	if (!l->readable || !l->second || event_add(l->readable, NULL) < 0 ||
	    event_add(l->second, &second) < 0)
		return -ENOMEM;
	return 0;
}

void live_status(struct live *l, struct live_status *status_r)
{
	*status_r = (struct live_status){.connections = 0};
	pcap_source_count(l->source, &status_r->kernel);
	if (!l->capture)
		return;
	capture_count(l->capture, &status_r->capture);
	status_r->connections = capture_connections(l->capture);
	status_r->waiting_bytes = capture_waiting_bytes(l->capture);
}

void live_write_status(struct live *l, struct json *j)
{
	struct live_status s;
	live_status(l, &s);
	json_cstr(j, "interface", l->interface);
	json_bool(j, "broken", l->broken);
	json_int(j, "connections_now", (int64_t)s.connections);
	json_int(j, "waiting_octets", (int64_t)s.waiting_bytes);
	json_int(j, "kernel_received", (int64_t)s.kernel.received);
	json_int(j, "kernel_dropped", (int64_t)s.kernel.dropped);
	json_int(j, "interface_dropped", (int64_t)s.kernel.interface_dropped);
	capture_counters_write(&s.capture, j);
}

/* What was on the wire before we were asked to end; the kernel may have kept it back till now. */
static void read_until(struct live *l, int64_t end_us)
{
	struct pollfd fd = {.fd = pcap_source_fd(l->source), .events = POLLIN};
	struct pcap_frame frame;
	const char *error;
	int r = 0;
	while (r >= 0 && clock_now_us() < end_us + HANDED_OVER_US) {
		r = pcap_source_next(l->source, &frame, &error);
		if (r == 1 && frame.time_us > end_us)
			return;
		if (r == 1)
			capture_frame(l->capture, &frame);
		else if (r == 0)
			poll(&fd, 1, 50);
	}
}

void live_finish(struct live *l)
{
	stop_events(l);
	if (!l->capture || l->finished)
		return;
	l->finished = true;
	look_at_drops(l);
	read_until(l, clock_now_us());
	capture_finish(l->capture);
}

void live_close(struct live *l)
{
	if (!l)
		return;
	live_finish(l);
	capture_free(l->capture);
	pcap_source_close(l->source);
	free(l->interface);
	free(l);
}
