/*
 * What one SPF check costs in CPU time with every DNS answer at hand (tests/unit/memory_dns.h,
 * whose linear search is in the figure). Run: meson test -C build --benchmark spf
 */
#include "analyze/auth.h"
#include "tests/bench/measure.h"
#include "tests/unit/memory_dns.h"

enum { ROUNDS = 20000 };

struct row {
	const char *name, *from;
	enum auth_result want;
};

static void check(void *arg)
{
	const struct row *row = arg;
	struct auth_query q = {.helo = SPAN("mx"), .mail_from = span_of(row->from)};
	struct spf_result mail_from, helo;
	struct arena arena;
	ip_parse(SPAN("192.0.2.1"), &q.ip);
	arena_init(&arena, (size_t)1 << 20);
	if (spf_check(&mail_from, &helo, &q, &memory_session, &arena) != STEP_DONE ||
	    mail_from.result != row->want)
		abort();
	arena_free(&arena);
}

int main(void)
{
	memory_reset();
	memory.never_waits = true;
	memory_txt("one.example", "v=spf1 include:hit.example -all");
	memory_txt("hit.example", "v=spf1 ip4:198.51.100.0/24 ip4:192.0.2.0/24 -all");
	memory_txt("three.example", "v=spf1 include:i1.example include:i2.example "
				    "include:hit.example ~all");
	memory_txt("i1.example", "v=spf1 ip4:203.0.113.0/25 ip6:2001:db8::/32 ~all");
	memory_txt("i2.example", "v=spf1 ip4:203.0.113.128/25 ~all");
	memory_txt("miss.example", "v=spf1 a mx a:h1.example exists:%{ir}.h2.example "
				   "include:i1.example include:i2.example ~all");
	memory_add(SPAN("miss.example"), "A", 0, SPAN("203.0.113.1"));
	memory_add(SPAN("miss.example"), "MX", 10, SPAN("h1.example"));
	memory_add(SPAN("h1.example"), "A", 0, SPAN("203.0.113.2"));
	static struct row rows[] = {
		{"one include, hit", "u@one.example", AUTH_PASS},
		{"three includes, hit", "u@three.example", AUTH_PASS},
		{"miss: a, mx, a, exists, two includes", "u@miss.example", AUTH_SOFTFAIL},
	};
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		measure(rows[i].name, check, &rows[i], ROUNDS);
	return 0;
}
