#include "capture/tcp_stream.h"

#include <stdlib.h>

#include "base/limits.h"

/* What a piece costs beside its octets: itself, its place in an array that may be half empty, what
 * malloc() adds. */
#define PIECE_BYTES (sizeof(struct tcp_piece) + 4 * sizeof(void *))

void tcp_stream_free(struct tcp_stream *s)
{
	for (size_t i = 0; i < s->n_stored; i++)
		free(s->pieces[s->first + i]);
	free(s->pieces);
	free(s->history);
	s->pieces = NULL;
	s->history = NULL;
	s->first = s->n_stored = s->cap = s->bytes = s->history_n = 0;
}

/* --- what was handed on --------------------------------------------------------- */

void tcp_stream_remember(struct tcp_stream *s, struct span octets)
{
	if (!s->history && !(s->history = malloc(LIMIT_TCP_HISTORY_BYTES)))
		return;
	/* the ring is addressed by sequence number */
	uint32_t seq = s->next;
	if (octets.n > LIMIT_TCP_HISTORY_BYTES) {
		seq += (uint32_t)(octets.n - LIMIT_TCP_HISTORY_BYTES);
		octets = span_sub(octets, octets.n - LIMIT_TCP_HISTORY_BYTES, octets.n);
	}
	uint32_t at = seq % LIMIT_TCP_HISTORY_BYTES;
	size_t first = LIMIT_TCP_HISTORY_BYTES - at < octets.n ? LIMIT_TCP_HISTORY_BYTES - at : octets.n;
	memcpy(s->history + at, octets.p, first);
	memcpy(s->history, octets.p + first, octets.n - first);
	s->history_n = s->history_n + octets.n > LIMIT_TCP_HISTORY_BYTES ? LIMIT_TCP_HISTORY_BYTES
							       : s->history_n + (uint32_t)octets.n;
}

bool tcp_stream_differs(const struct tcp_stream *s, uint32_t seq, struct span octets)
{
	int32_t behind = tcp_seq_diff(s->next, seq);
	/* a keep-alive repeats one octet of any value (RFC 9293 section 3.8.4) */
	if (behind <= 0 || !s->history || (behind == 1 && octets.n == 1))
		return false;
	if ((uint32_t)behind > s->history_n) {
		uint32_t skip = (uint32_t)behind - s->history_n;
		octets = span_sub(octets, skip, octets.n);
		seq += skip;
	}
	size_t n = octets.n;
	if (n > (uint32_t)tcp_seq_diff(s->next, seq))
		n = (uint32_t)tcp_seq_diff(s->next, seq);
	for (size_t done = 0; done < n;) {
		uint32_t at = (seq + (uint32_t)done) % LIMIT_TCP_HISTORY_BYTES;
		size_t part = LIMIT_TCP_HISTORY_BYTES - at < n - done ? LIMIT_TCP_HISTORY_BYTES - at : n - done;
		if (memcmp(s->history + at, octets.p + done, part) != 0)
			return true;
		done += part;
	}
	return false;
}

/* --- what waits ------------------------------------------------------------------- */

/* Lays the pieces out anew in the middle of an array that is at most half full. */
static bool spread(struct tcp_stream *s)
{
	uint32_t cap = s->n_stored < 8 ? 16 : s->n_stored * 2, first = (cap - s->n_stored) / 2;
	struct tcp_piece **pieces = malloc(cap * sizeof(struct tcp_piece *));
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
static bool make_room(struct tcp_stream *s, size_t at, uint64_t *moved)
{
	size_t behind = s->n_stored - at;
	bool forward = at < behind;
	if ((forward ? s->first == 0 : s->first + s->n_stored == s->cap)) {
		if (!spread(s))
			return false;
		*moved += s->n_stored;
	}
	struct tcp_piece **pieces = s->pieces + s->first;
	if (forward) {
		memmove(pieces - 1, pieces, at * sizeof(*pieces));
		s->first--;
	} else {
		memmove(pieces + at + 1, pieces + at, behind * sizeof(*pieces));
	}
	*moved += forward ? at : behind;
	s->n_stored++;
	return true;
}

static bool store_piece(struct tcp_stream *s, size_t at, uint32_t seq, struct span octets,
			const struct tcp_segment *seg, uint64_t *moved)
{
	struct tcp_piece *piece = malloc(sizeof(*piece) + octets.n);
	if (!piece || !make_room(s, at, moved)) {
		free(piece);
		return false;
	}
	*piece = (struct tcp_piece){.seq = seq, .ack = seg->ack, .n = (uint32_t)octets.n,
				    .has_ack = seg->flags & TCP_ACK};
	memcpy(piece->octets, octets.p, octets.n);
	s->pieces[s->first + at] = piece;
	s->bytes += (uint32_t)(PIECE_BYTES + octets.n);
	return true;
}

/* How many pieces end at `seq` or before it; most segments come behind all of them. */
static size_t pieces_before(const struct tcp_stream *s, uint32_t seq)
{
	size_t low = 0, high = s->n_stored;
	if (high == 0)
		return 0;
	struct tcp_piece *const *pieces = s->pieces + s->first;
	if (tcp_seq_diff(pieces[high - 1]->seq + pieces[high - 1]->n, seq) <= 0)
		return high;
	while (low < high) {
		size_t middle = (low + high) / 2;
		if (tcp_seq_diff(pieces[middle]->seq + pieces[middle]->n, seq) <= 0)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

bool tcp_stream_store(struct tcp_stream *s, uint32_t seq, struct span octets,
		      const struct tcp_segment *seg, uint64_t *moved)
{
	bool same = true;
	for (size_t place = pieces_before(s, seq); octets.n; place++) {
		const struct tcp_piece *at = place < s->n_stored ? s->pieces[s->first + place] : NULL;
		if (!at || tcp_seq_diff(at->seq, seq) > 0) {
			size_t room = at ? (uint32_t)tcp_seq_diff(at->seq, seq) : octets.n;
			size_t n = room < octets.n ? room : octets.n;
			if (!store_piece(s, place, seq, span_sub(octets, 0, n), seg, moved))
				return same;
			octets = span_sub(octets, n, octets.n);
			seq += (uint32_t)n;
			continue;
		}
		uint32_t from = seq - at->seq;
		size_t n = at->n - from < octets.n ? at->n - from : octets.n;
		same &= memcmp(at->octets + from, octets.p, n) == 0;
		octets = span_sub(octets, n, octets.n);
		seq += (uint32_t)n;
	}
	return same;
}

uint32_t tcp_stream_pop(struct tcp_stream *s)
{
	struct tcp_piece *head = s->pieces[s->first++];
	uint32_t cost = (uint32_t)PIECE_BYTES + head->n;
	if (--s->n_stored == 0)
		s->first = 0;
	s->bytes -= cost;
	free(head);
	return cost;
}

bool tcp_stream_hole_end(const struct tcp_stream *s, uint32_t *to_r)
{
	bool found = false;
	const struct tcp_piece *head = tcp_stream_head(s);
	if (head && tcp_seq_diff(head->seq, s->next) > 0) {
		*to_r = head->seq;
		found = true;
	}
	if (s->has_acked && tcp_seq_diff(s->acked, s->next) > 0 && !head) {
		*to_r = s->acked;
		/* the FIN takes a sequence number of its own */
		if (s->fin && tcp_seq_diff(*to_r, s->fin_seq) > 0)
			*to_r = s->fin_seq;
		found = tcp_seq_diff(*to_r, s->next) > 0;
	}
	return found;
}
