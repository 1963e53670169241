/*
 * ipdecode - from an IP packet to the TCP segment in it: extension headers, fragments, tunnels.
 *
 * Fragments are kept until their packet is whole (RFC 791 section 3.2, RFC 8200 section 4.5).
 * Overlapping fragments: IPv6 drops the packet (RFC 5722), IPv4 keeps the octets that came first.
 * What is inside IP-in-IP, GRE (RFC 2784, 2890) and VXLAN (RFC 7348) is looked at too.
 *
 * Ownership: ipdecode_create() .. ipdecode_free(). A segment's octets point into the packet given,
 *            or into a reassembled packet that lives until the next call.
 * Limits:    LIMIT_FRAGMENT_BYTES of fragments in all, oldest packets go first; IP_FRAGMENT_US.
 */
#pragma once

#include "base/ip.h"

struct ipdecode;

struct tcp_segment {
	struct ip source, target;
	uint16_t source_port, target_port;
	uint32_t seq, ack;
	uint8_t flags; /* enum tcp_flag */
	struct span payload;
	bool cut; /* the capture kept less than was on the wire: `missing` octets behind payload */
	uint32_t missing;
};

enum tcp_flag { TCP_FIN = 1, TCP_SYN = 2, TCP_RST = 4, TCP_PSH = 8, TCP_ACK = 16, TCP_URG = 32 };

struct ipdecode_counters {
	uint64_t fragments, reassembled, fragments_lost, overlaps_dropped, not_tcp, malformed;
};

struct ipdecode *ipdecode_create(void); /* NULL when out of memory */
void ipdecode_free(struct ipdecode *d); /* accepts NULL */

/* True and the segment when `packet` is (or completes) one. */
bool ipdecode_packet(struct ipdecode *d, struct span packet, int64_t time_us,
		     struct tcp_segment *segment_r);
const struct ipdecode_counters *ipdecode_counters(const struct ipdecode *d);
