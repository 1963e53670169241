/*
 * capture - frames in, transactions out: link, IP, TCP and SMTP put together.
 *
 * Sans-I/O like its parts. One capture is one place in the network; several may run.
 *
 * Ownership: capture_create() .. capture_free(), which ends all connections first.
 */
#pragma once

#include "capture/pcap.h"
#include "capture/smtp.h"

struct capture;

struct capture_options {
	struct smtp_options smtp;
	const uint16_t *ports; /* of servers; detection by the banner works on any port */
	size_t n_ports;
	const char *file; /* named in the transactions; NULL: live */
};

struct capture_counters {
	struct tcp_counters tcp;
	struct ipdecode_counters ip;
	struct smtp_counters smtp;
	uint64_t frames, octets, not_ip;
};

/* `options` must outlive the capture. NULL when out of memory. */
struct capture *capture_create(const struct capture_options *options,
			       const struct smtp_events *events, void *arg);
void capture_frame(struct capture *c, const struct pcap_frame *frame);
/* Time went by without a packet. */
void capture_time(struct capture *c, int64_t time_us);
/* The kernel dropped packets: what is going on is marked. */
void capture_loss(struct capture *c);
/* The input is over. */
void capture_finish(struct capture *c);
void capture_free(struct capture *c); /* accepts NULL */
void capture_count(const struct capture *c, struct capture_counters *counters_r);
/* As keys of an object that is open. */
void capture_counters_write(const struct capture_counters *counters, struct json *j);
size_t capture_connections(const struct capture *c);
/* Octets that wait behind holes. */
size_t capture_waiting_bytes(const struct capture *c);
