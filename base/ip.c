#include "base/ip.h"

#include <arpa/inet.h>
#include <stdio.h>

struct ip ip_from_v4(const void *four_bytes)
{
	struct ip ip = {.family = 4};
	memcpy(ip.bytes, four_bytes, 4);
	return ip;
}

struct ip ip_from_v6(const void *sixteen_bytes)
{
	static const uint8_t mapped[12] = {[10] = 0xff, [11] = 0xff};
	if (memcmp(sixteen_bytes, mapped, 12) == 0)
		return ip_from_v4((const uint8_t *)sixteen_bytes + 12);
	struct ip ip = {.family = 6};
	memcpy(ip.bytes, sixteen_bytes, 16);
	return ip;
}

bool ip_parse(struct span s, struct ip *ip_r)
{
	char text[IP_TEXT_BYTES];
	uint8_t bytes[16];
	if (s.n == 0 || s.n >= sizeof(text) || memchr(s.p, '\0', s.n))
		return false;
	memcpy(text, s.p, s.n);
	text[s.n] = '\0';
	if (inet_pton(AF_INET, text, bytes) == 1)
		*ip_r = ip_from_v4(bytes);
	else if (inet_pton(AF_INET6, text, bytes) == 1)
		*ip_r = ip_from_v6(bytes);
	else
		return false;
	return true;
}

const char *ip_text(const struct ip *ip, char out[IP_TEXT_BYTES])
{
	out[0] = '\0';
	if (ip->family)
		inet_ntop(ip->family == 4 ? AF_INET : AF_INET6, ip->bytes, out, IP_TEXT_BYTES);
	return out;
}

bool ip_eq(const struct ip *a, const struct ip *b)
{
	return a->family == b->family && memcmp(a->bytes, b->bytes, a->family == 4 ? 4 : 16) == 0;
}

struct ip_prefix ip_prefix_of(const struct ip *ip, uint8_t bits)
{
	uint8_t width = ip->family == 4 ? 32 : 128;
	struct ip_prefix prefix = {*ip, bits > width ? width : bits};
	for (unsigned i = prefix.bits; i < width; i++)
		prefix.ip.bytes[i / 8] &= (uint8_t)~(0x80 >> i % 8);
	return prefix;
}

bool ip_prefix_parse(struct span s, struct ip_prefix *prefix_r)
{
	size_t slash = span_find_char(s, '/');
	struct ip ip;
	if (!ip_parse(span_sub(s, 0, slash), &ip))
		return false;
	uint64_t bits = ip.family == 4 ? 32 : 128;
	if (slash != SIZE_MAX && !span_number(span_sub(s, slash + 1, s.n), bits, &bits))
		return false;
	*prefix_r = ip_prefix_of(&ip, (uint8_t)bits);
	return ip_eq(&prefix_r->ip, &ip);
}

bool ip_prefix_holds(const struct ip_prefix *prefix, const struct ip *ip)
{
	if (ip->family != prefix->ip.family)
		return false;
	struct ip_prefix same = ip_prefix_of(ip, prefix->bits);
	return ip_eq(&same.ip, &prefix->ip);
}

const char *ip_reverse(const struct ip *ip, char out[IP_REVERSE_BYTES])
{
	const uint8_t *b = ip->bytes;
	if (ip->family == 4) {
		snprintf(out, IP_REVERSE_BYTES, "%u.%u.%u.%u.in-addr.arpa", b[3], b[2], b[1], b[0]);
		return out;
	}
	char *at = out;
	for (int i = 15; i >= 0; i--)
		at += sprintf(at, "%x.%x.", b[i] & 15, b[i] >> 4);
	strcpy(at, "ip6.arpa");
	return out;
}
