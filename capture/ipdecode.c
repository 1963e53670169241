#include "capture/ipdecode.h"

#include <stdlib.h>

#include "base/clock.h"
#include "base/limits.h"
#include "capture/link.h"

/* Seconds that the parts of a packet may take (RFC 8200 section 4.5 says 60; hosts use 30). */
#define FRAGMENT_US (30 * US_PER_S)
#define PACKET_BYTES 65535
#define EXTENSION_HEADERS 16

struct hole {
	uint32_t from, to;
};

/* A packet being put together: its octets and the holes left (RFC 815). */
struct pending {
	struct pending *next; /* of the same bucket */
	struct pending *newer, *older;
	struct ip source, target;
	uint32_t id;
	uint8_t protocol;
	int64_t first_us;
	char *octets;
	uint32_t have, total; /* total 0: the last fragment has not come */
	struct hole *holes;
	size_t n_holes, cap_holes;
	size_t cap;
	bool poisoned; /* overlapping IPv6 fragments: all of it goes */
};

#define BUCKETS 256

struct ipdecode {
	struct pending *buckets[BUCKETS];
	struct pending *newest, *oldest;
	size_t n_pending, bytes;
	char *whole; /* the packet handed out last */
	struct ipdecode_counters counters;
};

static uint16_t get16(const char *p)
{
	return (uint16_t)((unsigned char)p[0] << 8 | (unsigned char)p[1]);
}

static uint32_t get32(const char *p)
{
	return (uint32_t)get16(p) << 16 | get16(p + 2);
}

struct ipdecode *ipdecode_create(void)
{
	return calloc(1, sizeof(struct ipdecode));
}

const struct ipdecode_counters *ipdecode_counters(const struct ipdecode *d)
{
	return &d->counters;
}

/* --- fragments ----------------------------------------------------------------- */

static size_t bucket_of(const struct ip *source, const struct ip *target, uint32_t id)
{
	uint32_t h = id * 2654435761u;
	for (size_t i = 0; i < 16; i++)
		h = (h ^ source->bytes[i] ^ (uint32_t)target->bytes[i] << 8) * 16777619u;
	return h % BUCKETS;
}

static void drop_pending(struct ipdecode *d, struct pending *p)
{
	struct pending **at = &d->buckets[bucket_of(&p->source, &p->target, p->id)];
	while (*at != p)
		at = &(*at)->next;
	*at = p->next;
	*(p->newer ? &p->newer->older : &d->newest) = p->older;
	*(p->older ? &p->older->newer : &d->oldest) = p->newer;
	d->n_pending--;
	d->bytes -= p->cap;
	free(p->octets);
	free(p->holes);
	free(p);
}

void ipdecode_free(struct ipdecode *d)
{
	if (!d)
		return;
	while (d->oldest)
		drop_pending(d, d->oldest);
	free(d->whole);
	free(d);
}

struct fragment {
	struct ip source, target;
	uint32_t id, offset;
	uint8_t protocol;
	bool more;
	struct span data;
};

static struct pending *find_pending(struct ipdecode *d, const struct fragment *f, int64_t now)
{
	size_t bucket = bucket_of(&f->source, &f->target, f->id);
	while (d->oldest && (now - d->oldest->first_us > FRAGMENT_US ||
			     d->n_pending >= LIMIT_FRAGMENTED_PACKETS ||
			     d->bytes > LIMIT_FRAGMENT_BYTES)) {
		d->counters.fragments_lost++;
		drop_pending(d, d->oldest);
	}
	for (struct pending *p = d->buckets[bucket]; p; p = p->next)
		if (p->id == f->id && p->protocol == f->protocol && ip_eq(&p->source, &f->source) &&
		    ip_eq(&p->target, &f->target))
			return p;
	struct pending *p = calloc(1, sizeof(*p));
	struct hole *holes = calloc(4, sizeof(*holes));
	if (!p || !holes) {
		free(p);
		free(holes);
		return NULL;
	}
	*p = (struct pending){.source = f->source, .target = f->target, .id = f->id,
			      .protocol = f->protocol, .first_us = now, .holes = holes,
			      .n_holes = 1, .cap_holes = 4, .next = d->buckets[bucket],
			      .older = d->newest};
	p->holes[0] = (struct hole){0, UINT32_MAX};
	d->buckets[bucket] = p;
	*(d->newest ? &d->newest->newer : &d->oldest) = p;
	d->newest = p;
	d->n_pending++;
	return p;
}

static bool grow_octets(struct ipdecode *d, struct pending *p, size_t n)
{
	if (n <= p->cap)
		return true;
	size_t cap = n < 4096 ? 4096 : PACKET_BYTES;
	char *bigger = realloc(p->octets, cap);
	if (!bigger)
		return false;
	d->bytes += cap - p->cap;
	p->octets = bigger;
	p->cap = cap;
	return true;
}

/* Writes what falls into holes; false when octets that are there already came again (and differ
 * or the family forbids it). */
static bool fill(struct pending *p, uint32_t from, uint32_t to, const char *data)
{
	uint32_t filled = 0;
	for (size_t i = 0; i < p->n_holes;) {
		struct hole h = p->holes[i];
		uint32_t a = h.from > from ? h.from : from, b = h.to < to ? h.to : to;
		if (a >= b) {
			i++;
			continue;
		}
		memcpy(p->octets + a, data + (a - from), b - a);
		filled += b - a;
		p->holes[i] = p->holes[--p->n_holes];
		struct hole parts[2] = {{h.from, a}, {b, h.to}};
		for (int part = 0; part < 2; part++) {
			if (parts[part].from >= parts[part].to)
				continue;
			if (p->n_holes == p->cap_holes) {
				struct hole *bigger =
					realloc(p->holes, p->cap_holes * 2 * sizeof(*bigger));
				if (!bigger)
					return false;
				p->holes = bigger;
				p->cap_holes *= 2;
			}
			p->holes[p->n_holes++] = parts[part];
		}
		i = 0;
	}
	p->have += filled;
	return filled == to - from;
}

/* True when the fragment completes its packet; the payload is in d->whole then. */
static bool add_fragment(struct ipdecode *d, const struct fragment *f, int64_t now,
			 struct span *whole_r)
{
	uint32_t end = f->offset + (uint32_t)f->data.n;
	d->counters.fragments++;
	if (end > PACKET_BYTES || (f->more && f->data.n == 0)) {
		d->counters.malformed++;
		return false;
	}
	struct pending *p = find_pending(d, f, now);
	if (!p || !grow_octets(d, p, end ? end : 1))
		return false;
	if (!f->more && (p->total == 0 || p->total == end))
		p->total = end;
	bool fresh = fill(p, f->offset, end, f->data.p);
	if (!fresh && f->source.family == 6) {
		/* An exact copy is a duplicate and harmless; anything else poisons (RFC 5722). */
		if (memcmp(p->octets + f->offset, f->data.p, f->data.n) != 0)
			p->poisoned = true;
	}
	if (p->total == 0 || p->have < p->total)
		return false;
	bool ok = !p->poisoned;
	if (ok) {
		free(d->whole);
		d->whole = p->octets;
		*whole_r = (struct span){p->octets, p->total};
		p->octets = NULL;
		d->counters.reassembled++;
	} else {
		d->counters.overlaps_dropped++;
	}
	drop_pending(d, p);
	return ok;
}

/* --- headers -------------------------------------------------------------------- */

/* What an IP header leads to. */
struct inner {
	struct ip source, target;
	uint8_t protocol;
	struct span payload;
	uint32_t missing; /* octets that the capture cut off */
};

static bool ipv4(struct ipdecode *d, struct span s, int64_t now, struct inner *in)
{
	size_t header = s.n ? (size_t)(s.p[0] & 15) * 4 : 0;
	if (s.n < 20 || header < 20 || s.n < header)
		return false;
	size_t total = get16(s.p + 2);
	if (total == 0) /* segmentation offload: the kernel had not set it yet */
		total = s.n;
	if (total < header)
		return false;
	in->missing = total > s.n ? (uint32_t)(total - s.n) : 0;
	if (total < s.n)
		s.n = total; /* Ethernet padding */
	in->source = ip_from_v4(s.p + 12);
	in->target = ip_from_v4(s.p + 16);
	in->protocol = (uint8_t)s.p[9];
	in->payload = span_sub(s, header, s.n);
	uint16_t fragment = get16(s.p + 6);
	if ((fragment & 0x3fff) == 0)
		return true;
	struct fragment f = {.source = in->source, .target = in->target, .id = get16(s.p + 4),
			     .offset = (uint32_t)(fragment & 0x1fff) * 8,
			     .protocol = in->protocol, .more = fragment & 0x2000,
			     .data = in->payload};
	return in->missing == 0 && add_fragment(d, &f, now, &in->payload);
}

static bool ipv6(struct ipdecode *d, struct span s, int64_t now, struct inner *in)
{
	if (s.n < 40)
		return false;
	size_t length = get16(s.p + 4);
	in->source = ip_from_v6(s.p + 8);
	in->target = ip_from_v6(s.p + 24);
	uint8_t next = (uint8_t)s.p[6];
	s = span_sub(s, 40, s.n);
	in->missing = length > s.n ? (uint32_t)(length - s.n) : 0;
	if (length && length < s.n) /* 0: jumbo or offload */
		s.n = length;
	for (int i = 0; i < EXTENSION_HEADERS; i++) {
		size_t n;
		switch (next) {
		case 0:   /* hop by hop */
		case 43:  /* routing */
		case 60:  /* destination options */
		case 135: /* mobility */
			if (s.n < 8)
				return false;
			n = ((size_t)(unsigned char)s.p[1] + 1) * 8;
			break;
		case 51: /* authentication */
			if (s.n < 8)
				return false;
			n = ((size_t)(unsigned char)s.p[1] + 2) * 4;
			break;
		case 44: {
			if (s.n < 8)
				return false;
			uint16_t word = get16(s.p + 2);
			struct fragment f = {.source = in->source, .target = in->target,
					     .id = get32(s.p + 4), .offset = word & 0xfff8u,
					     .protocol = (uint8_t)s.p[0], .more = word & 1,
					     .data = span_sub(s, 8, s.n)};
			if ((word & 0xfff9) == 0) { /* atomic fragment (RFC 6946) */
				n = 8;
				break;
			}
			if (in->missing || !add_fragment(d, &f, now, &s))
				return false;
			next = f.protocol;
			continue;
		}
		default:
			in->protocol = next;
			in->payload = s;
			return true;
		}
		if (s.n < n)
			return false;
		next = (uint8_t)s.p[0];
		s = span_sub(s, n, s.n);
	}
	return false;
}

static bool gre(struct span s, struct span *packet_r)
{
	if (s.n < 4)
		return false;
	uint16_t flags = get16(s.p), type = get16(s.p + 2);
	size_t n = 4 + (flags & 0x8000 ? 4 : 0) + (flags & 0x2000 ? 4 : 0) + (flags & 0x1000 ? 4 : 0);
	if ((flags & 7) == 1 && flags & 0x0080) /* version 1 (RFC 2637) has an acknowledgment */
		n += 4;
	if (s.n < n)
		return false;
	s = span_sub(s, n, s.n);
	if (type == 0x6558) /* transparent Ethernet */
		return link_packet(LINK_ETHERNET, s, packet_r);
	if (type == 0x88be) { /* ERSPAN II: 8 octets of its own, none in type I */
		if (flags & 0x1000)
			s = span_sub(s, 8, s.n);
		return link_packet(LINK_ETHERNET, s, packet_r);
	}
	return link_ethertype(type, s, packet_r);
}

/* VXLAN by its port; UDP is looked at for nothing else. */
static bool vxlan(struct span s, struct span *packet_r)
{
	if (s.n < 16 || get16(s.p + 2) != 4789)
		return false;
	return link_packet(LINK_ETHERNET, span_sub(s, 16, s.n), packet_r);
}

static bool tcp(const struct inner *in, struct tcp_segment *t)
{
	struct span s = in->payload;
	size_t header = s.n >= 20 ? (size_t)((unsigned char)s.p[12] >> 4) * 4 : 0;
	if (header < 20 || s.n < header)
		return false;
	*t = (struct tcp_segment){
		.source = in->source, .target = in->target, .source_port = get16(s.p),
		.target_port = get16(s.p + 2), .seq = get32(s.p + 4), .ack = get32(s.p + 8),
		.flags = (uint8_t)s.p[13] & 0x3f, .payload = span_sub(s, header, s.n),
		.cut = in->missing > 0, .missing = in->missing,
	};
	return true;
}

bool ipdecode_packet(struct ipdecode *d, struct span packet, int64_t now, struct tcp_segment *t)
{
	for (int depth = 0; depth < LIMIT_TUNNEL_DEPTH; depth++) {
		struct inner in = {.protocol = 0};
		unsigned version = packet.n ? (unsigned char)packet.p[0] >> 4 : 0;
		if (version == 4 ? !ipv4(d, packet, now, &in)
				 : version != 6 || !ipv6(d, packet, now, &in))
			return false;
		switch (in.protocol) {
		case 6:
			if (tcp(&in, t))
				return true;
			d->counters.malformed++;
			return false;
		case 4:  /* IP in IP */
		case 41: /* IPv6 in IP */
			packet = in.payload;
			break;
		case 47:
			if (!gre(in.payload, &packet))
				return false;
			break;
		case 17:
			if (!vxlan(in.payload, &packet))
				return false;
			break;
		default:
			d->counters.not_tcp++;
			return false;
		}
	}
	return false;
}
