#include "capture/capture.h"

#include <stdlib.h>

#include "capture/link.h"

struct capture {
	const struct capture_options *options;
	struct smtp_events events;
	void *arg;
	struct ipdecode *ip;
	struct tcp *tcp;
	struct capture_counters counters;
	int64_t now_us;
	uint64_t losses; /* how often the kernel dropped packets */
};

/* One connection: its dialogue, and which losses it has been told. */
struct connection {
	struct capture *capture;
	struct smtp *smtp;
	uint64_t losses;
};

static bool is_server_port(void *arg, uint16_t port)
{
	const struct capture *c = arg;
	for (size_t i = 0; i < c->options->n_ports; i++)
		if (c->options->ports[i] == port)
			return true;
	return false;
}

static void *opened(void *arg, const struct tcp_connection *c, int64_t time_us)
{
	struct capture *capture = arg;
	struct connection *connection = malloc(sizeof(*connection));
	(void)time_us;
	if (!connection)
		return NULL;
	*connection = (struct connection){
		capture,
		smtp_create(c, &capture->options->smtp, &capture->events, capture->arg,
			    capture->options->file, &capture->counters.smtp,
			    is_server_port(capture, c->server_port)),
		capture->losses,
	};
	if (connection->smtp)
		return connection;
	free(connection);
	return NULL;
}

static bool data(void *user, enum tcp_side side, struct span octets, int64_t time_us,
		 bool one_sided)
{
	struct connection *c = user;
	if (c->losses != c->capture->losses) {
		c->losses = c->capture->losses;
		smtp_capture_loss(c->smtp);
	}
	return smtp_feed(c->smtp, side, octets, time_us, one_sided);
}

static void gap(void *user, enum tcp_side side, uint64_t length, int64_t time_us)
{
	smtp_gap(((struct connection *)user)->smtp, side, length, time_us);
}

static void conflict(void *user, enum tcp_side side)
{
	(void)side;
	smtp_conflict(((struct connection *)user)->smtp);
}

static void ended(void *user, enum tcp_end why, int64_t time_us)
{
	struct connection *c = user;
	(void)why;
	smtp_end(c->smtp, time_us);
	free(c);
}

struct capture *capture_create(const struct capture_options *options,
			       const struct smtp_events *events, void *arg)
{
	static const struct tcp_events tcp_events = {opened, data, gap, conflict, ended};
	struct capture *c = calloc(1, sizeof(*c));
	if (!c)
		return NULL;
	c->options = options;
	c->events = *events;
	c->arg = arg;
	c->ip = ipdecode_create();
	c->tcp = tcp_create(&tcp_events, c, is_server_port);
	if (c->ip && c->tcp)
		return c;
	capture_free(c);
	return NULL;
}

void capture_free(struct capture *c)
{
	if (!c)
		return;
	tcp_free(c->tcp);
	ipdecode_free(c->ip);
	free(c);
}

void capture_frame(struct capture *c, const struct pcap_frame *frame)
{
	struct span packet;
	struct tcp_segment segment;
	c->counters.frames++;
	c->counters.octets += frame->octets.n;
	c->now_us = frame->time_us;
	if (!link_packet(frame->link, frame->octets, &packet))
		c->counters.not_ip++;
	else if (ipdecode_packet(c->ip, packet, frame->time_us, &segment))
		tcp_segment(c->tcp, &segment, frame->time_us);
}

void capture_time(struct capture *c, int64_t time_us)
{
	tcp_time(c->tcp, time_us);
}

void capture_loss(struct capture *c)
{
	c->losses++;
}

void capture_finish(struct capture *c)
{
	tcp_finish(c->tcp, c->now_us);
}

void capture_count(const struct capture *c, struct capture_counters *counters_r)
{
	*counters_r = c->counters;
	counters_r->tcp = *tcp_counters(c->tcp);
	counters_r->ip = *ipdecode_counters(c->ip);
}
