/* IP alone: the input is packets, each behind its length in two octets. A segment's octets can be
 * read. */
#include <stdint.h>
#include <stdlib.h>

#include "capture/ipdecode.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct ipdecode *d = ipdecode_create();
	struct tcp_segment s;
	volatile char sum = 0;
	int64_t now = 0;
	for (size_t at = 0; d && at + 2 <= size;) {
		size_t n = (size_t)data[at] << 8 | data[at + 1];
		at += 2;
		n = n < size - at ? n : size - at;
		char *packet = malloc(n ? n : 1);
		if (!packet)
			break;
		memcpy(packet, data + at, n);
		at += n;
		now += 1000000;
		if (ipdecode_packet(d, (struct span){packet, n}, now, &s))
			for (size_t i = 0; i < s.payload.n; i++)
				sum ^= s.payload.p[i];
		free(packet);
	}
	ipdecode_free(d);
	return 0;
}
