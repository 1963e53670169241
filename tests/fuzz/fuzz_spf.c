/*
 * SPF records: the octets are the record of a.example (what stands behind an LF, if any, is that
 * of b.example and the explanation), the client and its names are fixed. Nothing but a result
 * may come out, and the check must end.
 */
#include <assert.h>

#include "analyze/auth.h"
#include "tests/unit/memory_dns.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct span rest = {(const char *)data, size}, first = SPAN_NONE;
	struct arena arena;
	struct spf_result mail_from, helo;
	struct auth_query q = {.helo = SPAN("h.example"), .mail_from = SPAN("u%-/@a.example")};
	unsigned runs = 0;
	memory_reset();
	arena_init(&arena, (size_t)16 << 20);
	span_next_field(&rest, '\n', &first);
	memory_add(SPAN("a.example"), "TXT", 0, first);
	memory_add(SPAN("b.example"), "TXT", 0, rest);
	memory_txt("e.example", "See %{s} %{p} %{i} %{C}");
	memory_add(SPAN("a.example"), "A", 0, SPAN("192.0.2.1"));
	memory_add(SPAN("a.example"), "MX", 10, SPAN("m.example"));
	memory_add(SPAN("m.example"), "AAAA", 0, SPAN("2001:db8::1"));
	memory_add(SPAN("1.2.0.192.in-addr.arpa"), "PTR", 0, SPAN("a.example"));
	ip_parse(size % 2 ? SPAN("192.0.2.1") : SPAN("2001:db8::1"), &q.ip);
	while (spf_check(&mail_from, &helo, &q, &memory_session, &arena) == STEP_WAIT) {
		assert(memory_arrive());
		assert(++runs < 100);
	}
	assert(mail_from.result != AUTH_PASS || mail_from.mechanism.p);
	arena_free(&arena);
	return 0;
}
