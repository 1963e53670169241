#include "capture/tcp.h"

#include <stdlib.h>
#include <sys/random.h>

#include "base/clock.h"
#include "base/limits.h"
#include "capture/tcp_stream.h"

/* A capture port may hand over packets of the two directions in the wrong order; measured on
 * mirrors it is below a millisecond. A retransmission takes at least 200 ms. */
#define GRACE_US (US_PER_S / 5)

/* The order of age is kept this fine: a busy connection need not be moved for every packet. */
#define ORDER_US US_PER_S

/* After its end a connection's key is kept so long, to swallow late copies. */
#define LINGER_US (60 * US_PER_S)

#define FIRST_BUCKETS 1024

/* Four cache lines: what a packet of a busy capture costs most is waiting for these. */
struct flow {
	_Alignas(64) struct flow *next; /* of the bucket */
	struct tcp_connection c;
	struct flow *newer, *older;
	void *user;
	int64_t last_us;
	int64_t placed_us; /* when it last went to the front of the order */
	uint32_t syn_seq;
	bool opened, ignored, over, syn;
	struct tcp_stream side[2];
};

struct tcp {
	struct tcp_events events;
	void *arg;
	bool (*is_server_port)(void *arg, uint16_t port);
	struct flow **buckets; /* as many as there may be flows before they double */
	size_t n_buckets;
	struct flow *newest, *oldest;
	size_t n_flows, bytes;
	uint64_t seed;
	struct tcp_counters counters;
};

struct tcp *tcp_create(const struct tcp_events *events, void *arg,
		       bool (*is_server_port)(void *arg, uint16_t port))
{
	struct tcp *t = calloc(1, sizeof(*t));
	if (!t || !(t->buckets = calloc(FIRST_BUCKETS, sizeof(struct flow *)))) {
		free(t);
		return NULL;
	}
	t->n_buckets = FIRST_BUCKETS;
	t->events = *events;
	t->arg = arg;
	t->is_server_port = is_server_port;
	/* The bucket of a flow must not be the sender's choice. */
	if (getrandom(&t->seed, sizeof(t->seed), 0) != sizeof(t->seed))
		t->seed = (uintptr_t)t;
	return t;
}

const struct tcp_counters *tcp_counters(const struct tcp *t)
{
	return &t->counters;
}

size_t tcp_flows(const struct tcp *t)
{
	return t->n_flows;
}

size_t tcp_waiting_bytes(const struct tcp *t)
{
	return t->bytes;
}

/* --- the table of flows ------------------------------------------------------------ */

static uint64_t mix(uint64_t h, uint64_t v)
{
	h ^= v;
	h *= 0x9fb21c651e98df25ull;
	return h ^ h >> 29;
}

static uint64_t half_key(const struct tcp *t, const struct ip *ip, uint16_t port)
{
	uint64_t a, b;
	memcpy(&a, ip->bytes, 8);
	memcpy(&b, ip->bytes + 8, 8);
	return mix(mix(mix(t->seed, a), b), port);
}

/* The same for both directions. */
static size_t bucket_of(const struct tcp *t, const struct ip *a, uint16_t ap, const struct ip *b,
			uint16_t bp)
{
	uint64_t h = (half_key(t, a, ap) + half_key(t, b, bp)) * 0x9e3779b97f4a7c15ull;
	return h >> 40 & (t->n_buckets - 1);
}

static void lru_remove(struct tcp *t, struct flow *f)
{
	*(f->newer ? &f->newer->older : &t->newest) = f->older;
	*(f->older ? &f->older->newer : &t->oldest) = f->newer;
	f->newer = f->older = NULL;
}

static void lru_add(struct tcp *t, struct flow *f)
{
	f->older = t->newest;
	f->newer = NULL;
	*(t->newest ? &t->newest->newer : &t->oldest) = f;
	t->newest = f;
}

static void drop_streams(struct tcp *t, struct flow *f)
{
	for (int side = 0; side < 2; side++) {
		t->bytes -= f->side[side].bytes;
		tcp_stream_free(&f->side[side]);
	}
}

static struct flow **bucket_of_flow(const struct tcp *t, const struct flow *f)
{
	return &t->buckets[bucket_of(t, &f->c.client, f->c.client_port, &f->c.server,
				     f->c.server_port)];
}

static void bucket_add(struct tcp *t, struct flow *f)
{
	struct flow **bucket = bucket_of_flow(t, f);
	f->next = *bucket;
	*bucket = f;
}

/* A table as small as its flows stays in the cache. When there is no memory it stays small. */
static void grow_buckets(struct tcp *t)
{
	struct flow **buckets = calloc(t->n_buckets * 2, sizeof(struct flow *));
	if (!buckets)
		return;
	free(t->buckets);
	t->buckets = buckets;
	t->n_buckets *= 2;
	for (struct flow *f = t->newest; f; f = f->older)
		bucket_add(t, f);
}

static void flow_remove(struct tcp *t, struct flow *f)
{
	struct flow **at = bucket_of_flow(t, f);
	while (*at != f)
		at = &(*at)->next;
	*at = f->next;
	lru_remove(t, f);
	drop_streams(t, f);
	t->n_flows--;
	free(f);
}

static struct flow *flow_find(struct tcp *t, const struct tcp_segment *s, enum tcp_side *side_r)
{
	size_t bucket = bucket_of(t, &s->source, s->source_port, &s->target, s->target_port);
	for (struct flow *f = t->buckets[bucket]; f; f = f->next) {
		if (f->c.client_port == s->source_port && f->c.server_port == s->target_port &&
		    ip_eq(&f->c.client, &s->source) && ip_eq(&f->c.server, &s->target)) {
			*side_r = TCP_CLIENT;
			return f;
		}
		if (f->c.server_port == s->source_port && f->c.client_port == s->target_port &&
		    ip_eq(&f->c.server, &s->source) && ip_eq(&f->c.client, &s->target)) {
			*side_r = TCP_SERVER;
			return f;
		}
	}
	return NULL;
}

/* --- handing on ---------------------------------------------------------------------- */

static void conflict(struct tcp *t, struct flow *f, enum tcp_side side)
{
	t->counters.conflicts++;
	if (f->user && t->events.conflict)
		t->events.conflict(f->user, side);
}

static void open_flow(struct tcp *t, struct flow *f, int64_t now)
{
	f->opened = true;
	t->counters.connections++;
	f->user = t->events.opened(t->arg, &f->c, now);
	f->ignored = !f->user;
}

static void hand_on(struct tcp *t, struct flow *f, enum tcp_side side, struct span octets,
		    int64_t now)
{
	struct tcp_stream *s = &f->side[side];
	if (octets.n == 0)
		return;
	if (!f->opened)
		open_flow(t, f, now);
	if (!f->ignored) {
		tcp_stream_remember(s, octets);
		if (!t->events.data(f->user, side, octets, now, !f->side[!side].seen)) {
			if (f->user)
				t->events.ended(f->user, TCP_END_LIMIT, now);
			f->user = NULL;
			f->ignored = true;
		}
	}
	s->next += (uint32_t)octets.n;
	s->hole_us = 0;
}

static void declare_gap(struct tcp *t, struct flow *f, enum tcp_side side, uint32_t to, int64_t now)
{
	struct tcp_stream *s = &f->side[side];
	uint32_t length = to - s->next;
	t->counters.gaps++;
	t->counters.gap_octets += length;
	if (!f->opened)
		open_flow(t, f, now);
	if (f->user)
		t->events.gap(f->user, side, length, now);
	s->next = to;
	s->hole_us = 0;
	s->history_n = 0;
}

/* Whether everything that the sender of `ack` had received was handed on. */
static bool cause_is_there(const struct flow *f, enum tcp_side side, bool has_ack, uint32_t ack)
{
	const struct tcp_stream *other = &f->side[!side];
	return !has_ack || !other->synced || tcp_seq_diff(ack, other->next) <= 0 ||
	       (other->fin && tcp_seq_diff(ack, other->fin_seq + 1) <= 0 &&
		tcp_seq_diff(other->fin_seq, other->next) <= 0);
}

/* Hands on what is stored and may go; true when something went. */
static bool pump_side(struct tcp *t, struct flow *f, enum tcp_side side, bool ignore_cause,
		      int64_t now)
{
	struct tcp_stream *s = &f->side[side];
	bool went = false;
	const struct tcp_piece *head;
	while ((head = tcp_stream_head(s)) && tcp_seq_diff(head->seq, s->next) <= 0) {
		if (!ignore_cause && !cause_is_there(f, side, head->has_ack, head->ack))
			break;
		uint32_t old = s->next - head->seq;
		if (old < head->n)
			hand_on(t, f, side, (struct span){head->octets + old, head->n - old}, now);
		t->bytes -= tcp_stream_pop(s);
		went = true;
	}
	return went;
}

static void pump(struct tcp *t, struct flow *f, int64_t now)
{
	while (pump_side(t, f, TCP_CLIENT, false, now) || pump_side(t, f, TCP_SERVER, false, now))
		continue;
}

/* A hole that the other side has acknowledged, for longer than the grace, is lost. */
static void check_holes(struct tcp *t, struct flow *f, int64_t now)
{
	bool again = true;
	while (again) {
		again = false;
		for (int side = 0; side < 2; side++) {
			struct tcp_stream *s = &f->side[side];
			uint32_t to;
			bool acked = s->synced && s->has_acked && tcp_stream_hole_end(s, &to) &&
				     tcp_seq_diff(s->acked, s->next) > 0;
			if (!acked) {
				s->hole_us = 0;
				continue;
			}
			if (s->hole_us == 0)
				s->hole_us = now ? now : 1;
			if (now - s->hole_us < GRACE_US)
				continue;
			if (tcp_seq_diff(to, s->acked) > 0)
				to = s->acked;
			declare_gap(t, f, side, to, now);
			pump(t, f, now);
			again = true;
		}
	}
}

/* Everything stored goes, with gaps for what is missing. */
static void drain(struct tcp *t, struct flow *f, int64_t now)
{
	for (;;) {
		pump(t, f, now);
		/* what lies at its place but waits for its cause: the cause is lost */
		uint32_t to;
		int side = f->side[TCP_CLIENT].n_stored ? TCP_CLIENT : TCP_SERVER;
		for (int i = 0; i < 2; i++) {
			int try = i ? !side : side;
			if (f->side[try].synced && tcp_stream_hole_end(&f->side[try], &to)) {
				declare_gap(t, f, try, to, now);
				goto next;
			}
		}
		if (!pump_side(t, f, side, true, now))
			return;
next:;
	}
}

/* The connection is over; its key stays to swallow late copies. */
static void flow_end(struct tcp *t, struct flow *f, enum tcp_end why, int64_t now)
{
	if (f->over)
		return;
	drain(t, f, now);
	f->over = true;
	if (f->user)
		t->events.ended(f->user, why, now);
	f->user = NULL;
	f->ignored = true;
	drop_streams(t, f);
}

static void expire(struct tcp *t, int64_t now)
{
	while (t->oldest) {
		struct flow *f = t->oldest;
		int64_t age = now - f->last_us;
		if (f->over ? age < LINGER_US : age < LIMIT_FLOW_IDLE_US)
			return;
		t->counters.idle += !f->over;
		flow_end(t, f, TCP_END_IDLE, now);
		flow_remove(t, f);
	}
}

/* --- storing ------------------------------------------------------------------------------ */

static void enforce_caps(struct tcp *t, struct flow *f, int64_t now)
{
	struct tcp_stream *a = &f->side[0], *b = &f->side[1];
	bool flow_cap = a->bytes + b->bytes > LIMIT_FLOW_BYTES ||
			a->n_stored + b->n_stored > LIMIT_FLOW_SEGMENTS;
	if (flow_cap || t->bytes > LIMIT_REASSEMBLY_BYTES) {
		*(flow_cap ? &t->counters.flow_caps : &t->counters.memory_caps) += 1;
		drain(t, f, now);
	}
}

static void take_payload(struct tcp *t, struct flow *f, enum tcp_side side,
			 const struct tcp_segment *seg, uint32_t seq, int64_t now)
{
	struct tcp_stream *s = &f->side[side];
	struct span octets = seg->payload;
	if (!s->synced) {
		s->synced = true;
		s->next = seq;
	}
	int32_t behind = tcp_seq_diff(s->next, seq);
	if (behind > 0) {
		t->counters.retransmitted++;
		if (tcp_stream_differs(s, seq, octets))
			conflict(t, f, side);
		if ((uint32_t)behind >= octets.n)
			return;
		octets = span_sub(octets, (uint32_t)behind, octets.n);
		seq = s->next;
	}
	if (seq == s->next && !s->n_stored && cause_is_there(f, side, seg->flags & TCP_ACK, seg->ack)) {
		hand_on(t, f, side, octets, now);
		return;
	}
	/* beyond any window: not of this connection */
	if (tcp_seq_diff(seq, s->next) > (1 << 30))
		return;
	t->counters.out_of_order++;
	t->bytes -= s->bytes;
	bool same = tcp_stream_store(s, seq, octets, seg, &t->counters.moved);
	t->bytes += s->bytes;
	if (!same)
		conflict(t, f, side);
	enforce_caps(t, f, now);
}

/* --- segments ------------------------------------------------------------------------------ */

static struct flow *flow_add(struct tcp *t, const struct tcp_segment *seg, int64_t now,
			     enum tcp_side *side_r)
{
	bool syn = seg->flags & TCP_SYN, ack = seg->flags & TCP_ACK;
	if (seg->flags & TCP_RST || (!syn && seg->payload.n == 0))
		return NULL;
	if (syn)
		*side_r = ack ? TCP_SERVER : TCP_CLIENT;
	else if (t->is_server_port(t->arg, seg->source_port) !=
		 t->is_server_port(t->arg, seg->target_port))
		*side_r = t->is_server_port(t->arg, seg->source_port) ? TCP_SERVER : TCP_CLIENT;
	else
		*side_r = seg->source_port < seg->target_port ? TCP_SERVER : TCP_CLIENT;
	if (t->n_flows >= LIMIT_FLOWS) {
		t->counters.flows_evicted += !t->oldest->over;
		flow_end(t, t->oldest, TCP_END_LIMIT, now);
		flow_remove(t, t->oldest);
	}
	struct flow *f = aligned_alloc(_Alignof(struct flow), sizeof(*f));
	if (!f)
		return NULL;
	memset(f, 0, sizeof(*f));
	bool client = *side_r == TCP_CLIENT;
	f->c = (struct tcp_connection){
		.client = client ? seg->source : seg->target,
		.server = client ? seg->target : seg->source,
		.client_port = client ? seg->source_port : seg->target_port,
		.server_port = client ? seg->target_port : seg->source_port,
		.start_us = now,
		.midstream = !syn,
	};
	bucket_add(t, f);
	lru_add(t, f);
	if (++t->n_flows > t->n_buckets)
		grow_buckets(t);
	f->last_us = f->placed_us = now;
	return f;
}

/* A SYN on a key that is in use: a copy of the old one, or a new connection. */
static bool is_reuse(const struct flow *f, enum tcp_side side, const struct tcp_segment *seg)
{
	if (!(seg->flags & TCP_SYN) || seg->flags & TCP_ACK)
		return false;
	if (side == TCP_SERVER)
		return f->over;
	return f->over ? !(f->syn && f->syn_seq == seg->seq)
		       : f->side[TCP_CLIENT].synced && f->side[TCP_CLIENT].seen && f->syn &&
				 f->syn_seq != seg->seq;
}

static void take_syn(struct flow *f, enum tcp_side side, const struct tcp_segment *seg)
{
	struct tcp_stream *s = &f->side[side];
	if (s->synced)
		return;
	s->synced = true;
	s->next = seg->seq + 1;
	if (side == TCP_CLIENT) {
		f->syn = true;
		f->syn_seq = seg->seq;
	} else if (!f->side[TCP_CLIENT].synced) { /* the SYN itself was not captured */
		f->side[TCP_CLIENT].synced = true;
		f->side[TCP_CLIENT].next = seg->ack;
	}
}

static void take_ack(struct flow *f, enum tcp_side side, const struct tcp_segment *seg)
{
	struct tcp_stream *other = &f->side[!side];
	if (!(seg->flags & TCP_ACK))
		return;
	if (!other->has_acked || tcp_seq_diff(seg->ack, other->acked) > 0) {
		/* an ACK far from the stream is not of this connection */
		if (other->synced && (tcp_seq_diff(seg->ack, other->next) > (1 << 30) ||
				      tcp_seq_diff(seg->ack, other->next) < -(1 << 30)))
			return;
		other->acked = seg->ack;
		other->has_acked = true;
	}
}

static bool rst_in_window(const struct tcp_stream *s, uint32_t seq)
{
	/* RFC 9293 section 3.10.7.4: anything else is a blind attack, or a copy from the past */
	return !s->synced || (tcp_seq_diff(seq, s->next) >= -1 && tcp_seq_diff(seq, s->next) < (1 << 20));
}

void tcp_segment(struct tcp *t, const struct tcp_segment *seg, int64_t now)
{
	enum tcp_side side;
	t->counters.segments++;
	expire(t, now);
	struct flow *f = flow_find(t, seg, &side);
	if (f && is_reuse(f, side, seg)) {
		flow_end(t, f, TCP_END_REUSED, now);
		flow_remove(t, f);
		f = NULL;
	}
	if (!f && !(f = flow_add(t, seg, now, &side)))
		return;
	f->last_us = now;
	if (now - f->placed_us > ORDER_US || now < f->placed_us) {
		lru_remove(t, f);
		lru_add(t, f);
		f->placed_us = now;
	}
	if (f->over)
		return;
	struct tcp_stream *s = &f->side[side];
	s->seen = true;
	uint32_t seq = seg->seq;
	if (seg->flags & TCP_SYN) {
		take_syn(f, side, seg);
		seq++;
	}
	take_ack(f, side, seg);
	if (seg->payload.n && !(seg->flags & TCP_RST))
		take_payload(t, f, side, seg, seq, now);
	if (seg->flags & TCP_FIN && s->synced && !s->fin) {
		s->fin = true;
		s->fin_seq = seq + (uint32_t)seg->payload.n + seg->missing;
	}
	if (f->side[0].n_stored || f->side[1].n_stored)
		pump(t, f, now);
	if (!f->over)
		check_holes(t, f, now);
	if (seg->flags & TCP_RST && rst_in_window(s, seg->seq)) {
		flow_end(t, f, TCP_END_RST, now);
		return;
	}
	const struct tcp_stream *c = &f->side[TCP_CLIENT], *v = &f->side[TCP_SERVER];
	if (c->fin && v->fin && tcp_seq_diff(c->next, c->fin_seq) >= 0 &&
	    tcp_seq_diff(v->next, v->fin_seq) >= 0)
		flow_end(t, f, TCP_END_FIN, now);
}

void tcp_time(struct tcp *t, int64_t now)
{
	expire(t, now);
	for (struct flow *f = t->newest; f; f = f->older)
		if (!f->over && (f->side[0].hole_us || f->side[1].hole_us))
			check_holes(t, f, now);
}

void tcp_finish(struct tcp *t, int64_t now)
{
	while (t->oldest) {
		struct flow *f = t->oldest;
		flow_end(t, f, TCP_END_INPUT, now);
		flow_remove(t, f);
	}
}

void tcp_free(struct tcp *t)
{
	if (!t)
		return;
	tcp_finish(t, t->newest ? t->newest->last_us : 0);
	free(t->buckets);
	free(t);
}
