#include "capture/link.h"

/* Tags and labels in one frame; real stacks have at most four. */
#define LINK_TAGS 16
/* Ethernet inside MPLS inside Ethernet ...: a frame can nest itself thousands of times. */
#define LINK_NESTED 4

static uint16_t get16(const char *p)
{
	return (uint16_t)((unsigned char)p[0] << 8 | (unsigned char)p[1]);
}

static bool take(struct span *s, size_t n)
{
	if (s->n < n)
		return false;
	*s = span_sub(*s, n, s->n);
	return true;
}

static bool ip_version(struct span s)
{
	unsigned version = s.n ? (unsigned char)s.p[0] >> 4 : 0;
	return version == 4 || version == 6;
}

/* PPP protocol numbers (RFC 1661 section 2), one or two octets. */
static bool ethertype_at(uint16_t type, struct span s, int depth, struct span *packet_r);

static bool ppp(struct span s, int depth, struct span *packet_r)
{
	if (s.n >= 2 && (unsigned char)s.p[0] == 0xff && s.p[1] == 0x03)
		take(&s, 2);
	if (s.n < 2)
		return false;
	uint16_t protocol = s.p[0] & 1 ? (unsigned char)s.p[0] : get16(s.p);
	take(&s, s.p[0] & 1 ? 1 : 2);
	if (protocol == 0x0281) /* MPLS */
		return ethertype_at(0x8847, s, depth, packet_r);
	*packet_r = s;
	return (protocol == 0x0021 || protocol == 0x0057) && ip_version(s);
}

static bool packet_at(int type, struct span frame, int depth, struct span *packet_r);

static bool mpls(struct span s, int depth, struct span *packet_r)
{
	for (int i = 0; i < LINK_TAGS && s.n >= 4; i++) {
		bool bottom = s.p[2] & 1;
		take(&s, 4);
		if (!bottom)
			continue;
		if (ip_version(s)) {
			*packet_r = s;
			return true;
		}
		/* a pseudo-wire carries Ethernet, with or without its control word */
		if (s.n >= 18 && get16(s.p) == 0)
			take(&s, 4);
		return packet_at(LINK_ETHERNET, s, depth + 1, packet_r);
	}
	return false;
}

static bool ethertype_at(uint16_t type, struct span s, int depth, struct span *packet_r)
{
	for (int i = 0; i < LINK_TAGS && depth < LINK_NESTED; i++) {
		switch (type) {
		case 0x0800:
		case 0x86dd:
			*packet_r = s;
			return ip_version(s);
		case 0x8100: /* 802.1Q, 802.1ad, and the numbers used before it */
		case 0x88a8:
		case 0x9100:
		case 0x9200:
			if (s.n < 4)
				return false;
			type = get16(s.p + 2);
			take(&s, 4);
			break;
		case 0x8847:
		case 0x8848:
			return mpls(s, depth, packet_r);
		case 0x8864: /* PPPoE session (RFC 2516 section 4) */
			return take(&s, 6) && ppp(s, depth, packet_r);
		default:
			/* 802.3 length with LLC/SNAP */
			if (type > 1500 || s.n < 8 || (unsigned char)s.p[0] != 0xaa)
				return false;
			type = get16(s.p + 6);
			take(&s, 8);
		}
	}
	return false;
}

bool link_known(int type)
{
	switch (type) {
	case LINK_NULL:
	case LINK_ETHERNET:
	case LINK_PPP:
	case LINK_RAW_BSD:
	case LINK_RAW_OPENBSD:
	case LINK_PPP_HDLC:
	case LINK_PPPOE:
	case LINK_RAW:
	case LINK_LOOP:
	case LINK_SLL:
	case LINK_IPV4:
	case LINK_IPV6:
	case LINK_SLL2:
		return true;
	default:
		return false;
	}
}

static bool packet_at(int type, struct span frame, int depth, struct span *packet_r)
{
	struct span s = frame;
	uint16_t ethertype;
	switch (type) {
	case LINK_ETHERNET:
		if (s.n < 14)
			return false;
		ethertype = get16(s.p + 12);
		take(&s, 14);
		return ethertype_at(ethertype, s, depth, packet_r);
	case LINK_NULL: /* an address family in the byte order of the capturing machine */
	case LINK_LOOP:
		take(&s, 4);
		*packet_r = s;
		return ip_version(s);
	case LINK_PPP:
	case LINK_PPP_HDLC:
		return ppp(s, depth, packet_r);
	case LINK_PPPOE:
		return take(&s, 6) && ppp(s, depth, packet_r);
	case LINK_SLL:
		if (s.n < 16)
			return false;
		ethertype = get16(s.p + 14);
		take(&s, 16);
		return ethertype_at(ethertype, s, depth, packet_r);
	case LINK_SLL2:
		if (s.n < 20)
			return false;
		ethertype = get16(s.p);
		take(&s, 20);
		return ethertype_at(ethertype, s, depth, packet_r);
	default:
		*packet_r = s;
		return link_known(type) && ip_version(s);
	}
}

bool link_packet(int type, struct span frame, struct span *packet_r)
{
	return packet_at(type, frame, 0, packet_r);
}

bool link_ethertype(uint16_t ethertype, struct span payload, struct span *packet_r)
{
	return ethertype_at(ethertype, payload, 0, packet_r);
}
