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

static void note_losses(struct connection *c)
{
	if (c->losses != c->capture->losses) {
		c->losses = c->capture->losses;
		smtp_capture_loss(c->smtp);
	}
}

static bool data(void *user, enum tcp_side side, struct span octets, int64_t time_us,
		 bool one_sided)
{
	struct connection *c = user;
	note_losses(c);
	return smtp_feed(c->smtp, side, octets, time_us, one_sided);
}

static void gap(void *user, enum tcp_side side, uint64_t length, int64_t time_us)
{
	struct connection *c = user;
	note_losses(c);
	smtp_gap(c->smtp, side, length, time_us);
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
	note_losses(c);
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

size_t capture_connections(const struct capture *c)
{
	return tcp_flows(c->tcp);
}

size_t capture_waiting_bytes(const struct capture *c)
{
	return tcp_waiting_bytes(c->tcp);
}

struct counter {
	const char *name;
	uint64_t value;
};

static void write_counters(struct json *j, const char *key, const struct counter *c, size_t n)
{
	if (key)
		json_open(j, key, '{');
	for (size_t i = 0; i < n; i++)
		json_int(j, c[i].name, (int64_t)c[i].value);
	if (key)
		json_close(j, '}');
}

#define COUNTERS(...) \
	((const struct counter[]){__VA_ARGS__}), \
		sizeof((const struct counter[]){__VA_ARGS__}) / sizeof(struct counter)

void capture_counters_write(const struct capture_counters *n, struct json *j)
{
	const struct ipdecode_counters *ip = &n->ip;
	const struct tcp_counters *tcp = &n->tcp;
	const struct smtp_counters *smtp = &n->smtp;
	write_counters(j, NULL,
		       COUNTERS({"frames", n->frames}, {"octets", n->octets}, {"not_ip", n->not_ip}));
	write_counters(j, "ip",
		       COUNTERS({"fragments", ip->fragments}, {"reassembled", ip->reassembled},
				{"fragments_lost", ip->fragments_lost},
				{"overlaps_dropped", ip->overlaps_dropped},
				{"not_tcp", ip->not_tcp}, {"malformed", ip->malformed}));
	write_counters(j, "tcp",
		       COUNTERS({"connections", tcp->connections}, {"segments", tcp->segments},
				{"retransmitted", tcp->retransmitted},
				{"out_of_order", tcp->out_of_order}, {"gaps", tcp->gaps},
				{"gap_octets", tcp->gap_octets}, {"conflicts", tcp->conflicts},
				{"flows_evicted", tcp->flows_evicted},
				{"flow_caps", tcp->flow_caps}, {"memory_caps", tcp->memory_caps},
				{"idle", tcp->idle}));
	write_counters(j, "smtp",
		       COUNTERS({"transactions", smtp->transactions}, {"sessions", smtp->sessions},
				{"not_smtp", smtp->not_smtp},
				{"unmatched_replies", smtp->unmatched_replies},
				{"incomplete", smtp->incomplete}, {"long_lines", smtp->long_lines},
				{"commands_dropped", smtp->commands_dropped},
				{"rcpts_dropped", smtp->rcpts_dropped},
				{"held_dropped", smtp->held_dropped},
				{"truncated", smtp->truncated}, {"spilled", smtp->spilled}));
}
