/*
 * Forms of an address in a name, all met in the reverse zones of access providers:
 *
 *     192-0-2-1  1.2.0.192  ip192x0x2x1  192-000-002-001     octets, either order, any separators
 *     0-2-1                                                  the last three
 *     192000002001  3221225985                               twelve digits, one number
 *     c0000201  010200c0  c0-00-02-01                        hexadecimal, either order
 *     2001-db8-0-1--5  20010db800000001...  5.0.0.0...       IPv6: groups, nibbles, reversed
 */
#include "analyze/dynamic.h"

#include <stdio.h>

#include "base/buf.h"

#define NUMBERS 64 /* runs of digits, or groups, of one name: it has 253 octets at most */

static bool is_hex(char c)
{
	return ascii_is_digit(c) || (ascii_lower(c) >= 'a' && ascii_lower(c) <= 'f');
}

/* `want` is a part of `have`, in either order. */
static bool holds_run(const unsigned *have, size_t n_have, const unsigned *want, size_t n_want)
{
	for (size_t i = 0; i + n_want <= n_have; i++) {
		size_t forward = 0, backward = 0;
		for (size_t k = 0; k < n_want; k++) {
			forward += have[i + k] == want[k];
			backward += have[i + k] == want[n_want - 1 - k];
		}
		if (forward == n_want || backward == n_want)
			return true;
	}
	return false;
}

/* The runs of digits with at most one letter or separator between them; a number of more than
 * three digits is no octet. */
static bool holds_octets(struct span host, const uint8_t *b)
{
	unsigned have[NUMBERS], want[4] = {b[0], b[1], b[2], b[3]};
	size_t n = 0, end = 0;
	for (size_t i = 0; i < host.n && n < NUMBERS;) {
		unsigned value = 0;
		size_t start = i;
		if (!ascii_is_digit(host.p[i])) {
			i++;
			continue;
		}
		for (; i < host.n && ascii_is_digit(host.p[i]); i++)
			value = value < 1000 ? value * 10 + (unsigned)(host.p[i] - '0') : 1000;
		if (n && start - end > 1)
			have[n++] = 1000; /* too far from the last one */
		if (n < NUMBERS)
			have[n++] = value;
		end = i;
	}
	if (holds_run(have, n, want, 4))
		return true;
	/* three alone say little when they are small or alike: 1-1-1 is a rack too */
	return (b[1] > 9 || b[2] > 9) && holds_run(have, n, want + 1, 3);
}

/* Only the hexadecimal digits of `host`; separators are dropped, other letters part runs. */
static bool holds_hex(struct span host, const char *digits)
{
	struct buf b = BUF_INIT;
	for (size_t i = 0; i < host.n; i++) {
		if (is_hex(host.p[i]))
			buf_addc(&b, ascii_lower(host.p[i]));
		else if (!strchr("-._:", host.p[i]))
			buf_addc(&b, '|');
	}
	bool found = !b.failed && span_find(buf_span(&b), span_of(digits)) != SIZE_MAX;
	buf_free(&b);
	return found;
}

static bool holds_ipv4(struct span host, const uint8_t *b)
{
	char text[24];
	if (holds_octets(host, b))
		return true;
	snprintf(text, sizeof(text), "%03u%03u%03u%03u", b[0], b[1], b[2], b[3]);
	if (span_find(host, span_of(text)) != SIZE_MAX)
		return true;
	snprintf(text, sizeof(text), "%u", (unsigned)b[0] << 24 | (unsigned)b[1] << 16 |
						   (unsigned)b[2] << 8 | b[3]);
	if (strlen(text) > 8 && span_find(host, span_of(text)) != SIZE_MAX)
		return true;
	snprintf(text, sizeof(text), "%02x%02x%02x%02x", b[0], b[1], b[2], b[3]);
	if (holds_hex(host, text))
		return true;
	snprintf(text, sizeof(text), "%02x%02x%02x%02x", b[3], b[2], b[1], b[0]);
	return holds_hex(host, text);
}

/* The groups of `host` as hexadecimal numbers; 0x10000 where there is none. */
static size_t read_groups(struct span host, unsigned groups[NUMBERS])
{
	size_t n = 0;
	for (size_t i = 0; i < host.n && n < NUMBERS; n++) {
		unsigned value = 0;
		size_t start = i;
		for (; i < host.n && is_hex(host.p[i]); i++) {
			char c = ascii_lower(host.p[i]);
			value = value << 4 | (unsigned)(ascii_is_digit(c) ? c - '0' : c - 'a' + 10);
		}
		groups[n] = i == start || i - start > 4 ? 0x10000 : value;
		i++;
	}
	return n;
}

/* Nibbles that are not zero: few of them stand in a name by chance. */
static size_t weight(const char *nibbles, size_t n)
{
	size_t some = 0;
	for (size_t i = 0; i < n; i++)
		some += nibbles[i] != '0';
	return some;
}

static bool holds_ipv6(struct span host, const uint8_t *b)
{
	char nibbles[33], reversed[33], half[17];
	unsigned groups[8], have[NUMBERS];
	for (size_t i = 0; i < 16; i++)
		snprintf(nibbles + 2 * i, 3, "%02x", b[i]);
	for (size_t i = 0; i < 32; i++)
		reversed[i] = nibbles[31 - i];
	reversed[32] = '\0';
	if (holds_hex(host, nibbles) || holds_hex(host, reversed))
		return true;
	/* the network alone (/64), the interface alone */
	for (size_t i = 0; i < 2; i++) {
		snprintf(half, sizeof(half), "%.16s", nibbles + 16 * i);
		if (weight(half, 16) >= 6 && holds_hex(host, half))
			return true;
	}
	for (size_t i = 0; i < 8; i++)
		groups[i] = (unsigned)b[2 * i] << 8 | b[2 * i + 1];
	size_t n = read_groups(host, have);
	return holds_run(have, n, groups, 8) ||
	       (weight(nibbles, 12) >= 5 && holds_run(have, n, groups, 3)) ||
	       (weight(nibbles + 16, 16) >= 6 && holds_run(have, n, groups + 4, 4));
}

bool dynamic_holds_address(struct span host, const struct ip *ip)
{
	return ip->family == 4   ? holds_ipv4(host, ip->bytes)
	       : ip->family == 6 ? holds_ipv6(host, ip->bytes)
				 : false;
}

/* A word of the labels, digits behind it left out ("pool12"). */
static bool has_word(struct span host, const char *const *words)
{
	struct span labels = host, label, part;
	while (span_next_field(&labels, '.', &label)) {
		while (span_next_field(&label, '-', &part)) {
			while (part.n && ascii_is_digit(part.p[part.n - 1]))
				part.n--;
			for (size_t i = 0; words[i]; i++)
				if (span_case_eq(part, span_of(words[i])))
					return true;
		}
	}
	return false;
}

bool dynamic_name(struct span name, size_t host_n, const struct ip *ip)
{
	static const char *const fixed[] = {"static", "stat",  "mail",    "mx",       "smtp",
					    "mta",    "out",   "relay",   "mailout",  "outbound",
					    "edm",    "email", "sendmail", "newsletter", NULL};
	static const char *const dynamic[] = {"dyn",    "dynamic", "dynamicip", "dynip", "dhcp",
					      "pool",   "pools",   "ppp",       "pppoe", "dial",
					      "dialup", "dialin",  "adsl",      "dsl",   "vdsl",
					      "xdsl",   "sdsl",    "broadband", "dip",   "ftth",
					      "fttx",   "gprs",    "cpe",       NULL};
	/* these are names of hosts too, so they count beside a number */
	static const char *const access[] = {"cable", "cust", "customer", "client", "home", "res",
					     "user", "users", "wlan", "wifi", "mobile", "lte",
					     "fiber", "modem", "subscriber", NULL};
	struct span host = span_sub(name, 0, host_n);
	if (host.n == 0) { /* a suffix of its own in the list, "ip-192-0-2-1.cloud.example" */
		size_t dot = span_find_char(name, '.'), last = span_rfind_char(name, '.');
		host = dot == last ? SPAN("") : span_sub(name, 0, dot);
	}
	if (has_word(host, fixed))
		return false;
	return has_word(host, dynamic) || (has_word(host, access) && span_find_digit(host, 0) < host.n) ||
	       dynamic_holds_address(host, ip);
}
