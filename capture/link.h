/*
 * link - from a captured frame to the IP packet in it.
 *
 * Ethernet, raw IP, BSD loopback, Linux cooked v1 and v2, PPP and PPPoE; VLAN and QinQ stacks,
 * MPLS, and IP packets inside IP, GRE and VXLAN (ip.h unwraps those).
 *
 * Standard: the LINKTYPE_ registry of tcpdump.org; IEEE 802.1Q, RFC 1661, 2516, 3032.
 */
#pragma once

#include "base/span.h"

/* LINKTYPE_ values that are read; others are counted as not understood. */
enum link_type {
	LINK_NULL = 0,
	LINK_ETHERNET = 1,
	LINK_PPP = 9,
	LINK_RAW_BSD = 12, /* DLT_RAW on most systems */
	LINK_RAW_OPENBSD = 14,
	LINK_PPP_HDLC = 50,
	LINK_PPPOE = 51,
	LINK_RAW = 101,
	LINK_LOOP = 108,
	LINK_SLL = 113,
	LINK_IPV4 = 228,
	LINK_IPV6 = 229,
	LINK_SLL2 = 276,
};

bool link_known(int type);

/* The IP packet inside `frame`; false when there is none. */
bool link_packet(int type, struct span frame, struct span *packet_r);

/* What stands behind an EtherType: VLAN tags, MPLS labels and PPPoE taken off. */
bool link_ethertype(uint16_t ethertype, struct span payload, struct span *packet_r);
