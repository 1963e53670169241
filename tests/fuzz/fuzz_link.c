/* Link layers alone: the first octet is the type, the rest a frame. What comes out lies inside it. */
#include <stdint.h>
#include <stdlib.h>

#include "capture/link.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const int types[] = {LINK_NULL, LINK_ETHERNET, LINK_PPP, LINK_RAW, LINK_LOOP, LINK_SLL,
				    LINK_SLL2, LINK_PPPOE, LINK_IPV4, LINK_IPV6, LINK_PPP_HDLC, 9999};
	struct span packet = SPAN_NONE;
	if (size < 1)
		return 0;
	char *frame = malloc(size);
	if (!frame)
		return 0;
	memcpy(frame, data + 1, size - 1);
	if (link_packet(types[data[0] % (sizeof(types) / sizeof(types[0]))],
			(struct span){frame, size - 1}, &packet) &&
	    (packet.n == 0 || packet.p < frame || packet.p + packet.n > frame + size - 1))
		abort();
	free(frame);
	return 0;
}
