/*
 * What one SPF check costs in CPU time with every DNS answer at hand (tests/unit/memory_dns.h,
 * whose linear search is in the figure). Run: meson test -C build --benchmark spf
 */
#include <time.h>

#include "analyze/auth.h"
#include "tests/unit/memory_dns.h"

enum { ROUNDS = 20000, SAMPLES = 9 };

static double cpu_us(void)
{
	struct timespec t;
	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
	return (double)t.tv_sec * 1e6 + (double)t.tv_nsec / 1e3;
}

static int by_value(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;
	return (x > y) - (x < y);
}

static void measure(const char *name, const char *from, enum auth_result want)
{
	double samples[SAMPLES];
	struct auth_query q = {.helo = SPAN("mx"), .mail_from = span_of(from)};
	ip_parse(SPAN("192.0.2.1"), &q.ip);
	for (size_t s = 0; s < SAMPLES; s++) {
		double start = cpu_us();
		for (size_t i = 0; i < ROUNDS; i++) {
			struct arena arena;
			struct spf_result mail_from, helo;
			arena_init(&arena, (size_t)1 << 20);
			if (spf_check(&mail_from, &helo, &q, &memory_session, &arena) != STEP_DONE ||
			    mail_from.result != want)
				abort();
			arena_free(&arena);
		}
		samples[s] = (cpu_us() - start) / ROUNDS;
	}
	qsort(samples, SAMPLES, sizeof(samples[0]), by_value);
	printf("%-40s %6.2f us (median of %d x %d)\n", name, samples[SAMPLES / 2], SAMPLES, ROUNDS);
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
	measure("one include, hit", "u@one.example", AUTH_PASS);
	measure("three includes, hit", "u@three.example", AUTH_PASS);
	measure("miss: a, mx, a, exists, two includes", "u@miss.example", AUTH_SOFTFAIL);
	return 0;
}
