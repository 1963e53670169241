#include "capture/pcapng.h"

#include <errno.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/limits.h"

enum { SECTION = 0x0a0d0d0a, INTERFACE = 1, PACKET = 2, SIMPLE = 3, ENHANCED = 6 };
enum { OPTION_END = 0, OPTION_TSRESOL = 9, OPTION_TSOFFSET = 14 };

#define BYTE_ORDER_MAGIC 0x1a2b3c4du

struct interface {
	int link;
	uint64_t units; /* of time in a second */
	int64_t offset_s;
};

struct pcapng {
	FILE *file;
	bool swapped; /* the section's byte order is not ours */
	struct interface *interfaces; /* of the section */
	size_t n_interfaces;
	char *block;
	size_t room;
	int64_t last_us;
};

struct pcapng *pcapng_create(FILE *file)
{
	struct pcapng *p = calloc(1, sizeof(*p));
	if (p)
		p->file = file;
	return p;
}

void pcapng_free(struct pcapng *p)
{
	if (!p)
		return;
	free(p->interfaces);
	free(p->block);
	free(p);
}

static uint32_t get32(const struct pcapng *p, const char *at)
{
	uint32_t v;
	memcpy(&v, at, sizeof(v));
	return p->swapped ? __builtin_bswap32(v) : v;
}

static uint16_t get16(const struct pcapng *p, const char *at)
{
	uint16_t v;
	memcpy(&v, at, sizeof(v));
	return p->swapped ? __builtin_bswap16(v) : v;
}

/* Option 9: a power of ten, or of two with the highest bit set. Past a picosecond it is not needed. */
static uint64_t units_of(unsigned char resolution)
{
	unsigned exponent = resolution & 0x7f;
	uint64_t units = 1;
	if (resolution & 0x80)
		return exponent <= 40 ? 1ull << exponent : 0;
	if (exponent > 12)
		return 0;
	while (exponent--)
		units *= 10;
	return units;
}

static int add_interface(struct pcapng *p, struct span body, const char **error_r)
{
	struct interface new = {.units = US_PER_S};
	*error_r = "an interface description is too short, or there are too many";
	if (body.n < 8 || p->n_interfaces >= LIMIT_PCAPNG_INTERFACES)
		return -EINVAL;
	new.link = get16(p, body.p);
	for (struct span o = span_sub(body, 8, body.n); o.n >= 4;) {
		unsigned code = get16(p, o.p), n = get16(p, o.p + 2);
		if (code == OPTION_END || o.n < 4u + n)
			break;
		if (code == OPTION_TSRESOL && n >= 1)
			new.units = units_of((unsigned char)o.p[4]);
		if (code == OPTION_TSOFFSET && n >= 8) {
			uint64_t v;
			memcpy(&v, o.p + 4, sizeof(v));
			new.offset_s = (int64_t)(p->swapped ? __builtin_bswap64(v) : v);
		}
		o = span_sub(o, 4 + (n + 3) / 4 * 4, o.n);
	}
	*error_r = "a time resolution finer than a picosecond";
	if (!new.units)
		return -EINVAL;
	struct interface *more = realloc(p->interfaces, (p->n_interfaces + 1) * sizeof(*more));
	*error_r = "out of memory";
	if (!more)
		return -ENOMEM;
	p->interfaces = more;
	p->interfaces[p->n_interfaces++] = new;
	return 0;
}

static int64_t time_of(const struct interface *i, uint64_t units)
{
	uint64_t second = units / i->units, rest = units % i->units;
	return ((int64_t)(second & INT32_MAX) + i->offset_s % INT32_MAX) * US_PER_S +
	       (int64_t)(rest * US_PER_S / i->units);
}

/* 1 a frame, 0 it is none for us. */
static int take_packet(struct pcapng *p, uint32_t kind, struct span body, struct pcap_frame *frame)
{
	size_t header = kind == SIMPLE ? 4 : 20;
	if (body.n < header)
		return 0;
	uint32_t index = kind == ENHANCED ? get32(p, body.p) : kind == PACKET ? get16(p, body.p) : 0;
	uint32_t n = get32(p, body.p + (kind == SIMPLE ? 0 : 12));
	if (index >= p->n_interfaces)
		return 0;
	if (kind != SIMPLE) /* a simple packet has no time of its own */
		p->last_us = time_of(&p->interfaces[index],
				     (uint64_t)get32(p, body.p + 4) << 32 | get32(p, body.p + 8));
	*frame = (struct pcap_frame){span_sub(body, header, header + n), p->last_us,
				     p->interfaces[index].link};
	return 1;
}

/* The next block; its kind and what stands between its two lengths. */
static int next_block(struct pcapng *p, uint32_t *kind_r, struct span *body_r, const char **error_r)
{
	char head[12];
	size_t got = fread(head, 1, 8, p->file), have = 8;
	if (got == 0 && !ferror(p->file))
		return -ENODATA;
	*error_r = "the file breaks off inside a block";
	if (got < 8)
		return -EIO;
	*kind_r = get32(p, head);
	if (*kind_r == SECTION) { /* the same in both orders; the next four octets tell which */
		if (fread(head + 8, 1, 4, p->file) < 4)
			return -EIO;
		have = 12;
		p->swapped = false;
		p->swapped = get32(p, head + 8) != BYTE_ORDER_MAGIC;
		*error_r = "a section without its byte order";
		if (get32(p, head + 8) != BYTE_ORDER_MAGIC)
			return -EINVAL;
		p->n_interfaces = 0;
	}
	size_t n = get32(p, head + 4);
	*error_r = "a block that is too long, or shorter than its own head";
	if (n < have + 4 || n % 4 || n > LIMIT_PCAPNG_BLOCK_BYTES)
		return -EINVAL;
	n -= have;
	*error_r = "out of memory";
	if (n > p->room) {
		char *block = realloc(p->block, n);
		if (!block)
			return -ENOMEM;
		p->block = block;
		p->room = n;
	}
	*error_r = "the file breaks off inside a block";
	if (fread(p->block, 1, n, p->file) < n)
		return -EIO;
	*body_r = (struct span){p->block, n - 4};
	return 0;
}

int pcapng_next(struct pcapng *p, struct pcap_frame *frame_r, const char **error_r)
{
	for (;;) {
		uint32_t kind;
		struct span body;
		int r = next_block(p, &kind, &body, error_r);
		if (r == 0 && kind == INTERFACE)
			r = add_interface(p, body, error_r);
		else if (r == 0 && (kind == PACKET || kind == SIMPLE || kind == ENHANCED))
			r = take_packet(p, kind, body, frame_r);
		if (r)
			return r;
	}
}
