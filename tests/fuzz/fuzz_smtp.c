/* The dialogue alone. The input is steps: an octet of which bit 7 is the side, bit 6 a gap, bits 4
 * and 5 say more, then a length, then so many octets. */
#include <stdint.h>
#include <stdlib.h>

#include "capture/smtp.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void on_transaction(void *arg, struct txn *t)
{
	/* what has a hash is whole, and what is whole has no hole */
	if (t->hashed && (!t->complete || t->n_holes))
		abort();
	++*(unsigned *)arg;
	txn_free(t);
}

static void on_session(void *arg, const struct smtp_session *s)
{
	(void)s;
	++*(unsigned *)arg;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const struct smtp_events events = {on_transaction, on_session};
	struct smtp_counters counters = {0};
	unsigned told = 0;
	if (size < 1)
		return 0;
	struct tcp_connection connection = {.client_port = 40000, .server_port = 25,
					    .midstream = data[0] & 4};
	struct smtp_options options = {.eod = (data[0] & 3) % 3, .keep = true, .hash = true};
	struct smtp *s = smtp_create(&connection, &options, &events, &told, "f", &counters,
				     !(data[0] & 8));
	int64_t now = 0;
	for (size_t at = 1; s && at + 2 <= size;) {
		uint8_t what = data[at];
		size_t n = data[at + 1];
		enum tcp_side side = what & 0x80 ? TCP_SERVER : TCP_CLIENT;
		at += 2;
		now += 1000;
		if (what & 0x40) {
			smtp_gap(s, side, n + 1, now);
			continue;
		}
		if (what & 0x20)
			smtp_conflict(s);
		n = n < size - at ? n : size - at;
		char *octets = malloc(n ? n : 1);
		if (!octets)
			break;
		memcpy(octets, data + at, n);
		at += n;
		bool go_on = n == 0 || smtp_feed(s, side, (struct span){octets, n}, now, what & 0x10);
		free(octets);
		if (!go_on)
			break;
	}
	if (s)
		smtp_end(s, now);
	return 0;
}
