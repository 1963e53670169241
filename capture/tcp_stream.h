/*
 * tcp_stream - one direction of a connection: where it stands, what waits behind a hole, and the
 * last octets that were handed on.
 *
 * Ownership: a zeroed stream is empty; tcp_stream_free() gives back what it holds.
 * Units:     octets; sequence numbers wrap, so they are compared by tcp_seq_diff() alone.
 */
#pragma once

#include "capture/ipdecode.h"

/* Octets that wait. `ack` is that of the segment that brought them. */
struct tcp_piece {
	uint32_t seq, ack;
	uint32_t n;
	bool has_ack;
	char octets[];
};

/* One cache line. */
struct tcp_stream {
	uint32_t next;    /* sequence number of the octet to hand on next */
	uint32_t acked;   /* highest ACK of the other side */
	uint32_t fin_seq;
	bool seen : 1;    /* a segment of this side came */
	bool synced : 1;  /* `next` is right */
	bool has_acked : 1;
	bool fin : 1;
	int64_t hole_us;  /* since when the ACK has been past the hole; 0: it is not */
	/* What waits, in order: pieces[first] .. pieces[first + n_stored - 1]. An array, because an
	 * attacker chooses the order in which pieces come and a list is walked then. */
	struct tcp_piece **pieces;
	uint32_t first, n_stored, cap;
	uint32_t bytes;   /* what the pieces cost, their octets included */
	char *history;    /* a ring, NULL until the first octets */
	uint32_t history_n;
};

static inline int32_t tcp_seq_diff(uint32_t a, uint32_t b)
{
	return (int32_t)(a - b);
}

void tcp_stream_free(struct tcp_stream *s);

/* `octets` are being handed on: `next` is their place. */
void tcp_stream_remember(struct tcp_stream *s, struct span octets);
/* Octets from `seq` came again, before `next`: whether they differ from those handed on, as far as
 * these are remembered. */
bool tcp_stream_differs(const struct tcp_stream *s, uint32_t seq, struct span octets);

/* Keeps what is not there yet. False when something was there and differs: the first copy stays.
 * `moved` counts what keeping the order cost. */
bool tcp_stream_store(struct tcp_stream *s, uint32_t seq, struct span octets,
		      const struct tcp_segment *segment, uint64_t *moved);
static inline const struct tcp_piece *tcp_stream_head(const struct tcp_stream *s)
{
	return s->n_stored ? s->pieces[s->first] : NULL;
}
/* Frees the first piece; what it cost. */
uint32_t tcp_stream_pop(struct tcp_stream *s);
/* Where the hole at `next` ends: at the first piece, or at what the peer acknowledged. */
bool tcp_stream_hole_end(const struct tcp_stream *s, uint32_t *to_r);
