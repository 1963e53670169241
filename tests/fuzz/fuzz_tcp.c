/*
 * Reassembly alone, with an oracle: each octet is the low octet of its sequence number, so in what
 * is handed on each is one more than the one before, and a gap of n is a step of n.
 *
 * The input is steps of seven octets: connection and side, flags, place and acknowledgment relative
 * to 30000 before the wrap of sequence numbers, length.
 */
#include <stdint.h>
#include <stdlib.h>

#include "capture/tcp.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct seen {
	bool any[2];
	unsigned char next[2];
};

static unsigned n_open;

static void *opened(void *arg, const struct tcp_connection *c, int64_t time_us)
{
	(void)arg;
	(void)c;
	(void)time_us;
	n_open++;
	return calloc(1, sizeof(struct seen));
}

static bool on_data(void *user, enum tcp_side side, struct span octets, int64_t time_us, bool one_sided)
{
	struct seen *s = user;
	(void)time_us;
	(void)one_sided;
	for (size_t i = 0; i < octets.n; i++) {
		unsigned char c = (unsigned char)octets.p[i];
		if (s->any[side] && c != s->next[side])
			abort();
		s->any[side] = true;
		s->next[side] = (unsigned char)(c + 1);
	}
	return true;
}

static void gap(void *user, enum tcp_side side, uint64_t length, int64_t time_us)
{
	struct seen *s = user;
	(void)time_us;
	if (length == 0 || length > INT32_MAX)
		abort();
	s->next[side] = (unsigned char)(s->next[side] + length);
}

/* All copies of an octet are the same here. */
static void conflict(void *user, enum tcp_side side)
{
	(void)user;
	(void)side;
	abort();
}

static void ended(void *user, enum tcp_end why, int64_t time_us)
{
	(void)why;
	(void)time_us;
	n_open--;
	free(user);
}

static bool is_server_port(void *arg, uint16_t port)
{
	(void)arg;
	return port == 25;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const struct tcp_events events = {opened, on_data, gap, conflict, ended};
	struct tcp *t = tcp_create(&events, NULL, is_server_port);
	int64_t now = 1;
	for (size_t at = 0; t && at + 7 <= size; at += 7) {
		const uint8_t *step = data + at;
		uint32_t base = 0u - 30000, seq = base + ((uint32_t)step[2] << 8 | step[3]);
		size_t n = step[6] & 0x80 ? (size_t)(step[6] & 0x7f) * 100 : step[6];
		bool server = step[0] & 1, syn = step[1] & TCP_SYN;
		char *octets = malloc(n ? n : 1);
		if (!octets)
			break;
		for (size_t i = 0; i < n; i++)
			octets[i] = (char)(seq + syn + i);
		struct ip client = ip_from_v4("\x0a\0\0\1"), mx = ip_from_v4("\x0a\0\0\2");
		uint16_t port = (uint16_t)(40000 + (step[0] >> 1 & 3));
		struct tcp_segment s = {.source = server ? mx : client, .target = server ? client : mx,
					.source_port = server ? 25 : port,
					.target_port = server ? port : 25, .seq = seq,
					.ack = base + ((uint32_t)step[4] << 8 | step[5]),
					.flags = step[1] & 0x3f, .payload = {octets, n}};
		now += step[0] & 0x80 ? 1000000 : 1000;
		tcp_segment(t, &s, now);
		free(octets);
		if (step[0] & 0x40)
			tcp_time(t, now + (int64_t)step[0] * 10000000);
	}
	if (t) {
		tcp_finish(t, now);
		if (n_open || tcp_waiting_bytes(t) || tcp_flows(t))
			abort();
	}
	tcp_free(t);
	return 0;
}
