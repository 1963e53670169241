/* Answer packets: the first octet chooses the type, the rest is the packet. */
#include <assert.h>

#include "analyze/dns_wire.h"
#include "base/limits.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const enum dns_type types[] = {DNS_A,   DNS_NS, DNS_CNAME, DNS_SOA,
					      DNS_PTR, DNS_MX, DNS_TXT,	  DNS_AAAA};
	struct arena arena;
	uint32_t ttl;
	if (size == 0 || size > 65536)
		return 0;
	arena_init(&arena, (size_t)1 << 20);
	struct dns_answer a = dns_wire_read((struct span){(const char *)data + 1, size - 1},
					    SPAN("a.test"), types[data[0] % 8], &arena, &ttl);
	assert(a.status != DNS_WAIT && (a.status == DNS_FOUND) == (a.n > 0));
	assert((a.status == DNS_UNKNOWN) == (a.why != NULL));
	assert(ttl >= LIMIT_DNS_TTL_MIN_S && ttl <= LIMIT_DNS_TTL_S);
	for (size_t i = 0; i < a.n; i++)
		assert(a.records[i].name.n <= 65535);
	arena_free(&arena);
	return 0;
}
