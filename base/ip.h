/*
 * ip - IPv4 and IPv6 addresses and prefixes, one form for both.
 *
 * An IPv4-mapped IPv6 address is an IPv4 address everywhere in Assay.
 *
 * Ownership: values, nothing is allocated; texts are written into the caller's array.
 * Errors:    false for what is no address or prefix
 */
#pragma once

#include "base/span.h"

struct ip {
	uint8_t family;    /* 0 none, 4, 6 */
	uint8_t bytes[16]; /* network order; IPv4 in the first four */
};

struct ip_prefix {
	struct ip ip; /* host bits zero */
	uint8_t bits;
};

#define IP_TEXT_BYTES 46

/* The text forms of RFC 1123 section 2.1 and RFC 4291 section 2.2, nothing around them. */
bool ip_parse(struct span s, struct ip *ip_r);
/* As inet_ntop(3) writes it, in `out`; "" for family 0. */
const char *ip_text(const struct ip *ip, char out[IP_TEXT_BYTES]);
bool ip_eq(const struct ip *a, const struct ip *b);
/* Four or sixteen octets in network order. */
struct ip ip_from_v4(const void *four_bytes);
struct ip ip_from_v6(const void *sixteen_bytes);

/* "192.0.2.0/28"; without "/n" the whole address. Host bits set are refused. */
bool ip_prefix_parse(struct span s, struct ip_prefix *prefix_r);
bool ip_prefix_holds(const struct ip_prefix *prefix, const struct ip *ip);
/* The prefix of `bits` that holds `ip`. */
struct ip_prefix ip_prefix_of(const struct ip *ip, uint8_t bits);

/* The name to ask for a PTR record (RFC 1035 section 3.5, RFC 3596 section 2.5). */
#define IP_REVERSE_BYTES 80
const char *ip_reverse(const struct ip *ip, char out[IP_REVERSE_BYTES]);
