/*
 * tcp - from segments to two streams of octets for each connection.
 *
 * Sans-I/O: segments in, events out; time is that of the packets. In-order octets are handed on
 * without a copy. Three rules decide the rest:
 *
 * - What the peer has not acknowledged is not missing: a hole becomes a *gap* when the other
 *   side's ACK passes it and a short grace is over (a capture can reorder), when the connection
 *   ends, or when a cap is reached.
 * - Cause before effect: octets are handed on when everything that their sender had acknowledged
 *   was handed on, so a reply never overtakes its command.
 * - The first copy of an octet wins; a later copy that differs is reported as a conflict.
 *
 * Ownership: tcp_create() .. tcp_free(). Octets in events live during the call.
 * Limits:    LIMIT_FLOWS, LIMIT_FLOW_BYTES, LIMIT_REASSEMBLY_BYTES, LIMIT_FLOW_SEGMENTS,
 *            LIMIT_FLOW_IDLE_US in base/limits.h; counters tell how often each was reached.
 * Standard:  RFC 9293.
 */
#pragma once

#include "capture/ipdecode.h"

enum tcp_side { TCP_CLIENT, TCP_SERVER };

struct tcp_connection {
	struct ip client, server;
	uint16_t client_port, server_port;
	int64_t start_us;
	bool midstream; /* no SYN was seen */
};

/* Why a connection is over. */
enum tcp_end { TCP_END_FIN, TCP_END_RST, TCP_END_IDLE, TCP_END_REUSED, TCP_END_LIMIT, TCP_END_INPUT };

struct tcp_events {
	/* A connection that carried its first octets; the result is `user` of the other events.
	 * NULL: not wanted, nothing more is said of it. */
	void *(*opened)(void *arg, const struct tcp_connection *c, int64_t time_us);
	/* `one_sided`: nothing was ever seen of the other side. False: not wanted any more. */
	bool (*data)(void *user, enum tcp_side side, struct span octets, int64_t time_us,
		     bool one_sided);
	/* `length` octets of that side are lost. */
	void (*gap)(void *user, enum tcp_side side, uint64_t length, int64_t time_us);
	void (*conflict)(void *user, enum tcp_side side);
	void (*ended)(void *user, enum tcp_end why, int64_t time_us);
};

struct tcp_counters {
	uint64_t connections, segments, retransmitted, out_of_order, gaps, gap_octets, conflicts;
	uint64_t flows_evicted, flow_caps, memory_caps, idle;
	uint64_t moved; /* places of the arrays of what waits, to make room for one between them */
};

struct tcp;

/* `is_server_port` tells the sides apart when no SYN was seen. */
struct tcp *tcp_create(const struct tcp_events *events, void *arg,
		       bool (*is_server_port)(void *arg, uint16_t port));
void tcp_free(struct tcp *t); /* ends all connections; accepts NULL */
void tcp_segment(struct tcp *t, const struct tcp_segment *segment, int64_t time_us);
/* Ends what has been idle, declares gaps whose grace is over; call when no packet came for a
 * while. */
void tcp_time(struct tcp *t, int64_t time_us);
/* The input is over: everything that is left is handed on and ended. */
void tcp_finish(struct tcp *t, int64_t time_us);
const struct tcp_counters *tcp_counters(const struct tcp *t);
size_t tcp_flows(const struct tcp *t);
size_t tcp_waiting_bytes(const struct tcp *t); /* behind holes, with what keeping them costs */
