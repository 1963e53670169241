#include "analyze/dns_wire.h"

#include "base/limits.h"

/* Records looked at in one packet: 64 kB hold some 4,000 of the smallest. */
#define WIRE_RECORDS 5000

struct wire {
	struct span packet;
	size_t at;
};

struct wire_rr {
	struct span owner;
	uint16_t type;
	uint32_t ttl;
	size_t data, n;
};

static uint16_t get16(const struct wire *w, size_t at)
{
	return (uint16_t)((unsigned char)w->packet.p[at] << 8 |
			  (unsigned char)w->packet.p[at + 1]);
}

/* The name at `*at`, which steps behind it; lower case, in `out` (254 octets). Pointers lead
 * backwards only, so they end. A dot inside a label makes it no name that mail could use. */
static bool read_name(const struct wire *w, size_t *at, char out[254], size_t *n_r)
{
	size_t i = *at, n = 0, limit = *at + 1;
	bool jumped = false;
	for (;;) {
		if (i >= w->packet.n)
			return false;
		unsigned char c = (unsigned char)w->packet.p[i];
		if (c >= 0xc0) {
			if (i + 1 >= w->packet.n)
				return false;
			size_t target = get16(w, i) & 0x3fff;
			if (!jumped)
				*at = i + 2;
			if (target >= limit - 1)
				return false;
			jumped = true;
			limit = target + 1;
			i = target;
			continue;
		}
		if (c > 63)
			return false;
		if (c == 0)
			break;
		if (i + 1 + c > w->packet.n || n + c + 1 > 254)
			return false;
		if (n)
			out[n++] = '.';
		for (size_t k = 1; k <= c; k++) {
			char letter = ascii_lower(w->packet.p[i + k]);
			if (letter == '.')
				letter = '\xff';
			out[n++] = letter;
		}
		i += 1 + (size_t)c;
	}
	if (!jumped)
		*at = i + 1;
	*n_r = n;
	return true;
}

static bool read_rr(struct wire *w, char owner[254], struct wire_rr *rr)
{
	size_t n;
	if (!read_name(w, &w->at, owner, &n) || w->at + 10 > w->packet.n)
		return false;
	rr->owner = (struct span){owner, n};
	rr->type = get16(w, w->at);
	rr->ttl = (uint32_t)get16(w, w->at + 4) << 16 | get16(w, w->at + 6);
	rr->n = get16(w, w->at + 8);
	rr->data = w->at + 10;
	w->at += 10 + rr->n;
	return w->at <= w->packet.n;
}

static bool read_data(const struct wire *w, const struct wire_rr *rr, struct arena *a,
		      struct dns_record *record)
{
	const char *p = w->packet.p + rr->data;
	char name[254];
	size_t n, at = rr->data;
	switch (rr->type) {
	case DNS_A:
		if (rr->n != 4)
			return false;
		record->ip = ip_from_v4(p);
		return true;
	case DNS_AAAA:
		if (rr->n != 16)
			return false;
		/* not ip_from_v6(): an AAAA record is no IPv4 address, whatever it holds */
		record->ip.family = 6;
		memcpy(record->ip.bytes, p, 16);
		return true;
	case DNS_MX:
		if (rr->n < 3)
			return false;
		record->preference = get16(w, at);
		at += 2;
		/* fall through */
	case DNS_CNAME:
	case DNS_PTR:
	case DNS_NS:
		if (!read_name(w, &at, name, &n) || at > rr->data + rr->n)
			return false;
		record->name = arena_copy(a, (struct span){name, n});
		return true;
	case DNS_TXT: {
		char *text = arena_alloc(a, rr->n + 1);
		size_t used = 0;
		for (size_t i = 0; i < rr->n;) {
			size_t length = (unsigned char)p[i];
			if (i + 1 + length > rr->n || !text)
				return false;
			memcpy(text + used, p + i + 1, length);
			used += length;
			i += 1 + length;
		}
		record->name = (struct span){text, used};
		return text != NULL;
	}
	default:
		return true;
	}
}

static struct dns_answer unknown(const char *why)
{
	return (struct dns_answer){.status = DNS_UNKNOWN, .why = why};
}

static void lower_ttl(uint32_t *ttl, uint32_t other)
{
	if (other < *ttl)
		*ttl = other;
}

/* The CNAME of `owner` in the answer section; an owner without one ends the chain. */
static bool find_cname(struct wire w, unsigned answers, struct span owner, char target[254],
		       size_t *target_n, uint32_t *ttl)
{
	char name[254];
	for (unsigned i = 0; i < answers; i++) {
		struct wire_rr rr;
		if (!read_rr(&w, name, &rr))
			return false;
		size_t at = rr.data;
		if (rr.type == DNS_CNAME && span_eq(rr.owner, owner)) {
			lower_ttl(ttl, rr.ttl);
			return read_name(&w, &at, target, target_n);
		}
	}
	return false;
}

/* RFC 2308 section 5: the smaller of the SOA's TTL and its last field. */
static void negative_ttl(struct wire w, unsigned skip, unsigned authority, uint32_t *ttl)
{
	char name[254];
	struct wire_rr rr;
	for (unsigned i = 0; i < skip + authority; i++) {
		if (!read_rr(&w, name, &rr))
			return;
		if (i < skip || rr.type != DNS_SOA || rr.n < 20)
			continue;
		size_t at = rr.data + rr.n - 4;
		lower_ttl(ttl, rr.ttl);
		lower_ttl(ttl, (uint32_t)get16(&w, at) << 16 | get16(&w, at + 2));
	}
}

static struct dns_answer collect(struct wire w, unsigned answers, struct span owner,
				 enum dns_type type, struct arena *a, uint32_t *ttl)
{
	struct dns_answer answer = {.status = DNS_ABSENT};
	struct dns_record *records = NULL;
	size_t cap = 0;
	char name[254];
	for (unsigned i = 0; i < answers; i++) {
		struct wire_rr rr;
		struct dns_record record = {.preference = 0};
		if (!read_rr(&w, name, &rr))
			return unknown("malformed answer");
		if (rr.type != type || !span_eq(rr.owner, owner))
			continue;
		if (answer.n == LIMIT_DNS_RECORDS)
			return unknown("too many records");
		if (!read_data(&w, &rr, a, &record))
			return unknown("malformed answer");
		if (!arena_grow(a, (void **)&records, answer.n, &cap, sizeof(*records)))
			return unknown("memory");
		records[answer.n++] = record;
		lower_ttl(ttl, rr.ttl);
	}
	answer.records = records;
	if (answer.n)
		answer.status = DNS_FOUND;
	return answer;
}

struct dns_answer dns_wire_read(struct span packet, struct span name, enum dns_type type,
				struct arena *a, uint32_t *ttl_r)
{
	struct wire w = {packet, 12};
	char question[254], owner[254], target[254];
	size_t n;
	*ttl_r = LIMIT_DNS_TTL_MIN_S;
	if (packet.n < 12 || !((unsigned char)packet.p[2] & 0x80))
		return unknown("malformed answer");
	unsigned rcode = (unsigned char)packet.p[3] & 15, truncated = packet.p[2] & 2;
	unsigned questions = get16(&w, 4), answers = get16(&w, 6), authority = get16(&w, 8);
	if (rcode != 0 && rcode != 3)
		return unknown(rcode == 2 ? "servfail" : rcode == 5 ? "refused" : "error answer");
	if (truncated)
		return unknown("truncated answer");
	if (questions > 1 || answers > WIRE_RECORDS || authority > WIRE_RECORDS)
		return unknown("malformed answer");
	if (questions && (!read_name(&w, &w.at, question, &n) || (w.at += 4) > packet.n))
		return unknown("malformed answer");
	uint32_t ttl = UINT32_MAX;
	memcpy(owner, name.p, name.n < 254 ? name.n : 0);
	struct span at = {owner, name.n};
	unsigned hops = 0;
	while (type != DNS_CNAME && find_cname(w, answers, at, target, &n, &ttl)) {
		if (++hops > LIMIT_DNS_CNAMES)
			return unknown("loop");
		memcpy(owner, target, n);
		at = (struct span){owner, n};
	}
	struct dns_answer answer = collect(w, answers, at, type, a, &ttl);
	if (answer.status == DNS_ABSENT) {
		answer.nxdomain = rcode == 3;
		negative_ttl(w, answers, authority, &ttl);
		lower_ttl(&ttl, LIMIT_DNS_NEGATIVE_S);
	} else if (answer.status == DNS_FOUND && rcode == 3) {
		return unknown("malformed answer");
	}
	lower_ttl(&ttl, LIMIT_DNS_TTL_S);
	*ttl_r = ttl < LIMIT_DNS_TTL_MIN_S ? LIMIT_DNS_TTL_MIN_S : ttl;
	return answer;
}
