#include "capture/tcp.h"

#include <stdlib.h>
#include <sys/random.h>

#include "base/clock.h"
#include "base/limits.h"

/* A capture port may hand over packets of the two directions in the wrong order; measured on
 * mirrors it is below a millisecond. A retransmission takes at least 200 ms. */
#define GRACE_US (US_PER_S / 5)

/* Octets kept of each stream after they were handed on, to compare later copies with. */
#define HISTORY_BYTES 4096u

/* The order of age is kept this fine: a busy connection need not be moved for every packet. */
#define ORDER_US US_PER_S

/* After its end a connection's key is kept so long, to swallow late copies. */
#define LINGER_US (60 * US_PER_S)

#define BUCKETS 65536

/* What a stored piece costs beside its octets: itself, its place in an array that may be half
 * empty, what malloc() adds. */
#define PIECE_BYTES (sizeof(struct stored) + 4 * sizeof(void *))

struct stored {
	uint32_t seq, ack;
	uint32_t n;
	bool has_ack;
	char octets[];
};

struct stream {
	bool seen;         /* a segment of this side came */
	bool synced;       /* `next` is right */
	uint32_t next;     /* of the octet to hand on next */
	uint32_t acked;    /* highest ACK of the other side */
	bool has_acked;
	bool fin;
	uint32_t fin_seq;
	int64_t hole_us;   /* since when the ACK has been past the hole; 0: it is not */
	/* What waits, in order: pieces[first] .. pieces[first + n_stored - 1]. An array, because an
	 * attacker chooses the order in which pieces come and a list is walked then. */
	struct stored **pieces;
	size_t first, n_stored, cap, bytes;
	char *history;     /* ring, HISTORY_BYTES */
	uint32_t history_n;
};

struct flow {
	struct flow *next; /* of the bucket */
	struct flow *newer, *older;
	struct tcp_connection c;
	struct stream side[2];
	void *user;
	bool opened, ignored, over, syn;
	uint32_t syn_seq;
	int64_t last_us;
	int64_t placed_us; /* when it last went to the front of the order */
};

struct tcp {
	struct tcp_events events;
	void *arg;
	bool (*is_server_port)(void *arg, uint16_t port);
	struct flow *buckets[BUCKETS];
	struct flow *newest, *oldest;
	size_t n_flows, bytes;
	uint64_t seed;
	struct tcp_counters counters;
};

static int32_t seq_diff(uint32_t a, uint32_t b)
{
	return (int32_t)(a - b);
}

struct tcp *tcp_create(const struct tcp_events *events, void *arg,
		       bool (*is_server_port)(void *arg, uint16_t port))
{
	struct tcp *t = calloc(1, sizeof(*t));
	if (!t)
		return NULL;
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
	return (half_key(t, a, ap) + half_key(t, b, bp)) * 0x9e3779b97f4a7c15ull >> 48;
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

static struct stored *head_of(const struct stream *s)
{
	return s->n_stored ? s->pieces[s->first] : NULL;
}

static void free_stored(struct tcp *t, struct stream *s)
{
	for (size_t i = 0; i < s->n_stored; i++)
		free(s->pieces[s->first + i]);
	free(s->pieces);
	t->bytes -= s->bytes;
	s->pieces = NULL;
	s->first = s->n_stored = s->cap = s->bytes = 0;
	free(s->history);
	s->history = NULL;
	s->history_n = 0;
}

static void flow_remove(struct tcp *t, struct flow *f)
{
	struct flow **at = &t->buckets[bucket_of(t, &f->c.client, f->c.client_port, &f->c.server,
						 f->c.server_port)];
	while (*at != f)
		at = &(*at)->next;
	*at = f->next;
	lru_remove(t, f);
	free_stored(t, &f->side[0]);
	free_stored(t, &f->side[1]);
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

static void remember(struct stream *s, struct span octets)
{
	if (!s->history && !(s->history = malloc(HISTORY_BYTES)))
		return;
	/* the ring is addressed by sequence number */
	uint32_t seq = s->next;
	if (octets.n > HISTORY_BYTES) {
		seq += (uint32_t)(octets.n - HISTORY_BYTES);
		octets = span_sub(octets, octets.n - HISTORY_BYTES, octets.n);
	}
	uint32_t at = seq % HISTORY_BYTES;
	size_t first = HISTORY_BYTES - at < octets.n ? HISTORY_BYTES - at : octets.n;
	memcpy(s->history + at, octets.p, first);
	memcpy(s->history, octets.p + first, octets.n - first);
	s->history_n = s->history_n + octets.n > HISTORY_BYTES ? HISTORY_BYTES
							       : s->history_n + (uint32_t)octets.n;
}

static void conflict(struct tcp *t, struct flow *f, enum tcp_side side)
{
	t->counters.conflicts++;
	if (f->user && t->events.conflict)
		t->events.conflict(f->user, side);
}

/* Octets that were handed on already came again: do they say the same? */
static void compare_history(struct tcp *t, struct flow *f, enum tcp_side side, uint32_t seq,
			    struct span octets)
{
	struct stream *s = &f->side[side];
	int32_t behind = seq_diff(s->next, seq);
	/* a keep-alive repeats one octet of any value (RFC 9293 section 3.8.4) */
	if (behind <= 0 || !s->history || (behind == 1 && octets.n == 1))
		return;
	if ((uint32_t)behind > s->history_n) {
		uint32_t skip = (uint32_t)behind - s->history_n;
		octets = span_sub(octets, skip, octets.n);
		seq += skip;
	}
	size_t n = octets.n;
	if (n > (uint32_t)seq_diff(s->next, seq))
		n = (uint32_t)seq_diff(s->next, seq);
	for (size_t done = 0; done < n;) {
		uint32_t at = (seq + (uint32_t)done) % HISTORY_BYTES;
		size_t part = HISTORY_BYTES - at < n - done ? HISTORY_BYTES - at : n - done;
		if (memcmp(s->history + at, octets.p + done, part) != 0) {
			conflict(t, f, side);
			return;
		}
		done += part;
	}
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
	struct stream *s = &f->side[side];
	if (octets.n == 0)
		return;
	if (!f->opened)
		open_flow(t, f, now);
	if (!f->ignored) {
		remember(s, octets);
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
	struct stream *s = &f->side[side];
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
	const struct stream *other = &f->side[!side];
	return !has_ack || !other->synced || seq_diff(ack, other->next) <= 0 ||
	       (other->fin && seq_diff(ack, other->fin_seq + 1) <= 0 &&
		seq_diff(other->fin_seq, other->next) <= 0);
}

static void unlink_head(struct tcp *t, struct stream *s)
{
	struct stored *head = s->pieces[s->first++];
	if (--s->n_stored == 0)
		s->first = 0;
	s->bytes -= PIECE_BYTES + head->n;
	t->bytes -= PIECE_BYTES + head->n;
	free(head);
}

/* Hands on what is stored and may go; true when something went. */
static bool pump_side(struct tcp *t, struct flow *f, enum tcp_side side, bool ignore_cause,
		      int64_t now)
{
	struct stream *s = &f->side[side];
	bool went = false;
	struct stored *head;
	while ((head = head_of(s)) && seq_diff(head->seq, s->next) <= 0) {
		if (!ignore_cause && !cause_is_there(f, side, head->has_ack, head->ack))
			break;
		uint32_t old = s->next - head->seq;
		if (old < head->n)
			hand_on(t, f, side, (struct span){head->octets + old, head->n - old}, now);
		unlink_head(t, s);
		went = true;
	}
	return went;
}

static void pump(struct tcp *t, struct flow *f, int64_t now)
{
	while (pump_side(t, f, TCP_CLIENT, false, now) || pump_side(t, f, TCP_SERVER, false, now))
		continue;
}

/* Where the hole at `next` ends: at the first stored octet, or at what the peer acknowledged. */
static bool hole_end(const struct stream *s, uint32_t *to_r)
{
	bool found = false;
	const struct stored *head = head_of(s);
	if (head && seq_diff(head->seq, s->next) > 0) {
		*to_r = head->seq;
		found = true;
	}
	if (s->has_acked && seq_diff(s->acked, s->next) > 0 && !head) {
		*to_r = s->acked;
		/* the FIN takes a sequence number of its own */
		if (s->fin && seq_diff(*to_r, s->fin_seq) > 0)
			*to_r = s->fin_seq;
		found = seq_diff(*to_r, s->next) > 0;
	}
	return found;
}

/* A hole that the other side has acknowledged, for longer than the grace, is lost. */
static void check_holes(struct tcp *t, struct flow *f, int64_t now)
{
	bool again = true;
	while (again) {
		again = false;
		for (int side = 0; side < 2; side++) {
			struct stream *s = &f->side[side];
			uint32_t to;
			bool acked = s->synced && s->has_acked && hole_end(s, &to) &&
				     seq_diff(s->acked, s->next) > 0;
			if (!acked) {
				s->hole_us = 0;
				continue;
			}
			if (s->hole_us == 0)
				s->hole_us = now ? now : 1;
			if (now - s->hole_us < GRACE_US)
				continue;
			if (seq_diff(to, s->acked) > 0)
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
			if (f->side[try].synced && hole_end(&f->side[try], &to)) {
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
	free_stored(t, &f->side[0]);
	free_stored(t, &f->side[1]);
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

/* Lays the pieces out anew in the middle of an array that is at most half full. */
static bool spread(struct stream *s)
{
	size_t cap = s->n_stored < 8 ? 16 : s->n_stored * 2, first = (cap - s->n_stored) / 2;
	struct stored **pieces = malloc(cap * sizeof(struct stored *));
	if (!pieces)
		return false;
	if (s->n_stored)
		memcpy(pieces + first, s->pieces + s->first, s->n_stored * sizeof(*pieces));
	free(s->pieces);
	s->pieces = pieces;
	s->first = first;
	s->cap = cap;
	return true;
}

/* Makes room for one piece at place `at` of those that wait: the shorter part moves. */
static bool make_room(struct tcp *t, struct stream *s, size_t at)
{
	size_t behind = s->n_stored - at;
	bool forward = at < behind;
	if ((forward ? s->first == 0 : s->first + s->n_stored == s->cap)) {
		if (!spread(s))
			return false;
		t->counters.moved += s->n_stored;
	}
	struct stored **pieces = s->pieces + s->first;
	if (forward) {
		memmove(pieces - 1, pieces, at * sizeof(*pieces));
		s->first--;
	} else {
		memmove(pieces + at + 1, pieces + at, behind * sizeof(*pieces));
	}
	t->counters.moved += forward ? at : behind;
	s->n_stored++;
	return true;
}

static bool store_piece(struct tcp *t, struct stream *s, size_t at, uint32_t seq,
			struct span octets, const struct tcp_segment *seg)
{
	struct stored *n = malloc(sizeof(*n) + octets.n);
	if (!n || !make_room(t, s, at)) {
		free(n);
		return false;
	}
	*n = (struct stored){.seq = seq, .ack = seg->ack, .n = (uint32_t)octets.n,
			     .has_ack = seg->flags & TCP_ACK};
	memcpy(n->octets, octets.p, octets.n);
	s->pieces[s->first + at] = n;
	s->bytes += PIECE_BYTES + octets.n;
	t->bytes += PIECE_BYTES + octets.n;
	return true;
}

/* How many pieces end at `seq` or before it; most segments come behind all of them. */
static size_t pieces_before(const struct stream *s, uint32_t seq)
{
	size_t low = 0, high = s->n_stored;
	if (high == 0)
		return 0;
	struct stored *const *pieces = s->pieces + s->first;
	if (seq_diff(pieces[high - 1]->seq + pieces[high - 1]->n, seq) <= 0)
		return high;
	while (low < high) {
		size_t middle = (low + high) / 2;
		if (seq_diff(pieces[middle]->seq + pieces[middle]->n, seq) <= 0)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

/* Keeps the octets that are not there yet; what is there stays, and is compared. */
static void store(struct tcp *t, struct flow *f, enum tcp_side side, uint32_t seq,
		  struct span octets, const struct tcp_segment *seg)
{
	struct stream *s = &f->side[side];
	size_t place = pieces_before(s, seq);
	bool differs = false;
	t->counters.out_of_order++;
	for (; octets.n; place++) {
		const struct stored *at = place < s->n_stored ? s->pieces[s->first + place] : NULL;
		if (!at || seq_diff(at->seq, seq) > 0) {
			size_t room = at ? (uint32_t)seq_diff(at->seq, seq) : octets.n;
			size_t n = room < octets.n ? room : octets.n;
			if (!store_piece(t, s, place, seq, span_sub(octets, 0, n), seg))
				return;
			octets = span_sub(octets, n, octets.n);
			seq += (uint32_t)n;
			continue;
		}
		uint32_t from = seq - at->seq;
		size_t n = at->n - from < octets.n ? at->n - from : octets.n;
		differs |= memcmp(at->octets + from, octets.p, n) != 0;
		octets = span_sub(octets, n, octets.n);
		seq += (uint32_t)n;
	}
	if (differs)
		conflict(t, f, side);
}

static void enforce_caps(struct tcp *t, struct flow *f, int64_t now)
{
	struct stream *a = &f->side[0], *b = &f->side[1];
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
	struct stream *s = &f->side[side];
	struct span octets = seg->payload;
	if (!s->synced) {
		s->synced = true;
		s->next = seq;
	}
	int32_t behind = seq_diff(s->next, seq);
	if (behind > 0) {
		t->counters.retransmitted++;
		compare_history(t, f, side, seq, octets);
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
	if (seq_diff(seq, s->next) > (1 << 30))
		return;
	store(t, f, side, seq, octets, seg);
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
	struct flow *f = calloc(1, sizeof(*f));
	if (!f)
		return NULL;
	bool client = *side_r == TCP_CLIENT;
	f->c = (struct tcp_connection){
		.client = client ? seg->source : seg->target,
		.server = client ? seg->target : seg->source,
		.client_port = client ? seg->source_port : seg->target_port,
		.server_port = client ? seg->target_port : seg->source_port,
		.start_us = now,
		.midstream = !syn,
	};
	size_t bucket = bucket_of(t, &seg->source, seg->source_port, &seg->target, seg->target_port);
	f->next = t->buckets[bucket];
	t->buckets[bucket] = f;
	lru_add(t, f);
	t->n_flows++;
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
	struct stream *s = &f->side[side];
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
	struct stream *other = &f->side[!side];
	if (!(seg->flags & TCP_ACK))
		return;
	if (!other->has_acked || seq_diff(seg->ack, other->acked) > 0) {
		/* an ACK far from the stream is not of this connection */
		if (other->synced && (seq_diff(seg->ack, other->next) > (1 << 30) ||
				      seq_diff(seg->ack, other->next) < -(1 << 30)))
			return;
		other->acked = seg->ack;
		other->has_acked = true;
	}
}

static bool rst_in_window(const struct stream *s, uint32_t seq)
{
	/* RFC 9293 section 3.10.7.4: anything else is a blind attack, or a copy from the past */
	return !s->synced || (seq_diff(seq, s->next) >= -1 && seq_diff(seq, s->next) < (1 << 20));
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
	struct stream *s = &f->side[side];
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
	const struct stream *c = &f->side[TCP_CLIENT], *v = &f->side[TCP_SERVER];
	if (c->fin && v->fin && seq_diff(c->next, c->fin_seq) >= 0 &&
	    seq_diff(v->next, v->fin_seq) >= 0)
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
	free(t);
}
