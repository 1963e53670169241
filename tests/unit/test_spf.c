/* SPF beyond the suites: DNS trouble, the mechanism that matched, limits, identities. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "analyze/auth.h"
#include "analyze/spf_record.h"
#include "base/limits.h"
#include "tests/unit/memory_dns.h"

struct zone {
	const char *name, *type, *value;
};

struct row {
	const char *name;
	struct zone zone[8];
	const char *ip, *mail_from, *helo;
	const char *result, *domain, *mechanism, *helo_result;
};

#define V "v=spf1 "

static const struct row rows[] = {
	{"ip4", {{"a.example", "TXT", V "ip4:192.0.2.0/24 -all"}}, "192.0.2.9", "u@a.example",
	 "h.example", "pass", "a.example", "ip4:192.0.2.0/24", "none"},
	{"the qualifier is no part of it", {{"a.example", "TXT", V "~all"}}, "192.0.2.9",
	 "u@a.example", "h.example", "softfail", "a.example", "all", "none"},
	{"nothing matched", {{"a.example", "TXT", V "ip4:192.0.2.1"}}, "192.0.2.9", "u@a.example",
	 "h.example", "neutral", "a.example", "default", "none"},
	{"of an include, the include", {{"a.example", "TXT", V "include:b.example -all"},
	  {"b.example", "TXT", V "ip4:192.0.2.9 -all"}}, "192.0.2.9", "u@a.example", "h.example",
	 "pass", "a.example", "include:b.example", "none"},
	{"of a redirect, what matched there", {{"a.example", "TXT", V "redirect=b.example"},
	  {"b.example", "TXT", V "A:Mx.b.example/30 -all"}, {"mx.b.example", "A", "192.0.2.8"}},
	 "192.0.2.9", "u@a.example", "h.example", "pass", "a.example", "A:Mx.b.example/30", "none"},
	{"null sender is postmaster at HELO", {{"h.example", "TXT", V "exists:%{l}.h.example -all"},
	  {"postmaster.h.example", "A", "127.0.0.2"}}, "192.0.2.9", "", "h.example", "pass",
	 "h.example", "exists:%{l}.h.example", "pass"},
	{"dot at the end", {{"a.example", "TXT", V "+all"}}, "192.0.2.9", "u@a.example.",
	 "h.example.", "pass", "a.example", "all", "none"},
	{"a loopback client is no special", {{"a.example", "TXT", V "a -all"},
	  {"a.example", "A", "192.0.2.1"}}, "127.0.0.1", "u@a.example", "h", "fail", "a.example",
	 "all", "none"},
	{"/0 wants an address, any", {{"a.example", "TXT", V "a/0 -all"},
	  {"a.example", "A", "203.0.113.1"}}, "192.0.2.9", "u@a.example", "h", "pass",
	 "a.example", "a/0", "none"},
	{"other family", {{"a.example", "TXT", V "a/0 -all"}, {"a.example", "A", "203.0.113.1"}},
	 "2001:db8::1", "u@a.example", "h", "fail", "a.example", "all", "none"},
	{"mapped client is IPv4", {{"a.example", "TXT", V "ip4:192.0.2.9 -all"}},
	 "::ffff:192.0.2.9", "u@a.example", "h", "pass", "a.example", "ip4:192.0.2.9", "none"},
	{"ip6 of a mapped address holds no IPv4 client (5.6)", {{"a.example", "TXT",
	  V "ip6:::ffff:192.0.2.9 ip6:::ffff:0:0/96 ip6:::/0 -all"}}, "192.0.2.9", "u@a.example",
	 "h", "fail", "a.example", "all", "none"},
	{"ip6 of everything", {{"a.example", "TXT", V "ip6:::/0 -all"}}, "2001:db8::1",
	 "u@a.example", "h", "pass", "a.example", "ip6:::/0", "none"},
	{"null MX names no host", {{"a.example", "TXT", V "mx -all"}, {"a.example", "MX", ""}},
	 "192.0.2.9", "u@a.example", "h", "fail", "a.example", "all", "none"},
	{"U-labels (RFC 8616)", {{"xn--bcher-kva.example", "TXT", V "exists:%{d}.c.example -all"},
	  {"xn--bcher-kva.example.c.example", "A", "127.0.0.1"}}, "192.0.2.9",
	 "u@b\xc3\xbc" "cher.example", "h", "pass", "xn--bcher-kva.example",
	 "exists:%{d}.c.example", "none"},
	{"an 8-bit local part matches nothing", {{"a.example", "TXT", V "exists:%{l}.c.example -all"}},
	 "192.0.2.9", "\xc3\xbc@a.example", "h", "fail", "a.example", "all", "none"},
	/* trouble */
	{"record silent", {{"a.example", "TXT!", ""}}, "192.0.2.9", "u@a.example", "h",
	 "temperror", "a.example", NULL, "none"},
	{"include silent", {{"a.example", "TXT", V "include:b.example -all"},
	  {"b.example", "TXT!", ""}}, "192.0.2.9", "u@a.example", "h", "temperror", "a.example",
	 "include:b.example", "none"},
	{"a silent", {{"a.example", "TXT", V "a -all"}, {"a.example", "A!", ""}}, "192.0.2.9",
	 "u@a.example", "h", "temperror", "a.example", "a", "none"},
	{"mx host silent", {{"a.example", "TXT", V "mx -all"}, {"a.example", "MX", "m.example"},
	  {"m.example", "A!", ""}}, "192.0.2.9", "u@a.example", "h", "temperror", "a.example", "mx",
	 "none"},
	{"matched before the trouble", {{"a.example", "TXT", V "ip4:192.0.2.9 a:b.example -all"},
	  {"b.example", "A!", ""}}, "192.0.2.9", "u@a.example", "h", "pass", "a.example",
	 "ip4:192.0.2.9", "none"},
	{"ptr silent is no match (5.5)", {{"a.example", "TXT", V "ptr -all"},
	  {"9.2.0.192.in-addr.arpa", "PTR!", ""}}, "192.0.2.9", "u@a.example", "h", "fail",
	 "a.example", "all", "none"},
	{"HELO silent leaves MAIL FROM alone", {{"a.example", "TXT", V "+all"},
	  {"h.example", "TXT!", ""}}, "192.0.2.9", "u@a.example", "h.example", "pass",
	 "a.example", "all", "temperror"},
	{"client unknown", {{"a.example", "TXT", V "+all"}}, NULL, "u@a.example", "h.example",
	 "temperror", "a.example", NULL, "temperror"},
	{"sender unknown", {{"h.example", "TXT", V "+all"}}, "192.0.2.9", NULL, "h.example",
	 "none", NULL, NULL, "pass"},
	/* identities that are no domain are not asked for */
	{"HELO literal", {{"a.example", "TXT", V "-all"}, {"x", "TIMEOUT", ""}}, "192.0.2.9",
	 "u@a.example", "[192.0.2.9]", "fail", "a.example", "all", "none"},
	{"null sender, HELO literal", {{"[192.0.2.9]", "TXT!", ""}}, "192.0.2.9", "",
	 "[192.0.2.9]", "none", "[192.0.2.9]", NULL, "none"},
	{"MAIL FROM literal", {{"[192.0.2.9]", "TXT!", ""}}, "192.0.2.9", "u@[192.0.2.9]", "h",
	 "none", "[192.0.2.9]", NULL, "none"},
	{"source route", {{"a.example", "TXT", V "+all"}}, "192.0.2.9", "@x.example:u@a.example",
	 "h", "pass", "a.example", "all", "none"},
	{"quoted local part", {{"a.example", "TXT", V "+all"}}, "192.0.2.9", "\"x@b.example\"@a.example",
	 "h", "pass", "a.example", "all", "none"},
	/* hosts of the other family are found */
	{"three hosts of IPv4, client of IPv6", {{"a.example", "TXT",
	  V "a:h1.example a:h2.example a:h3.example ?all"}, {"h1.example", "A", "192.0.2.1"},
	  {"h2.example", "A", "192.0.2.2"}, {"h3.example", "A", "192.0.2.3"}}, "2001:db8::1",
	 "u@a.example", "h", "neutral", "a.example", "all", "none"},
	{"mx with three such hosts", {{"a.example", "TXT", V "mx ?all"},
	  {"a.example", "MX", "h1.example"}, {"a.example", "MX", "h2.example"},
	  {"a.example", "MX", "h3.example"}, {"h1.example", "AAAA", "2001:db8::1"},
	  {"h2.example", "AAAA", "2001:db8::2"}, {"h3.example", "AAAA", "2001:db8::3"}},
	 "192.0.2.9", "u@a.example", "h", "neutral", "a.example", "all", "none"},
	{"three hosts with neither", {{"a.example", "TXT",
	  V "a:h1.example a:h2.example a:h3.example ?all"}, {"h1.example", "TXT", "x"},
	  {"h2.example", "TXT", "x"}, {"h3.example", "TXT", "x"}}, "2001:db8::1",
	 "u@a.example", "h", "permerror", "a.example", "a:h3.example", "none"},
	{"the other family silent", {{"a.example", "TXT",
	  V "a:h1.example a:h2.example a:h3.example ?all"}, {"h1.example", "A!", ""},
	  {"h2.example", "A!", ""}, {"h3.example", "A!", ""}}, "2001:db8::1",
	 "u@a.example", "h", "neutral", "a.example", "all", "none"},
	{"exists asks for A alone", {{"a.example", "TXT",
	  V "exists:h1.example exists:h2.example exists:h3.example ?all"},
	  {"h1.example", "AAAA", "2001:db8::1"}, {"h2.example", "AAAA", "2001:db8::1"},
	  {"h3.example", "AAAA", "2001:db8::1"}}, "192.0.2.9", "u@a.example", "h", "permerror",
	 "a.example", "exists:h3.example", "none"},
	/* what macros may do */
	{"a local part with anything in it", {{"a.example", "TXT", V "exists:%{l}.a.example -all"}},
	 "192.0.2.9", "x/0 y:%z\x01@a.example", "h", "fail", "a.example", "all", "none"},
	{"a local part of %", {{"a.example", "TXT", V "exists:%{l}.a.example -all"},
	  {"%{i}.a.example", "A", "127.0.0.1"}}, "192.0.2.9", "%{i}@a.example", "h", "pass",
	 "a.example", "exists:%{l}.a.example", "none"},
};

static void same(const char *row, const char *what, const char *want, struct span got)
{
	if (want ? span_eq(span_of(want), got) : got.p == NULL)
		return;
	fail_msg("%s: %s: want %s, got %.*s", row, what, want ? want : "(none)",
		 got.p ? (int)got.n : 6, got.p ? got.p : "(none)");
}

static void check(const struct auth_query *q, struct spf_result *mail_from,
		  struct spf_result *helo, struct arena *arena)
{
	unsigned runs = 1;
	while (spf_check(mail_from, helo, q, &memory_session, arena) == STEP_WAIT) {
		assert_true(memory_arrive());
		assert_true(++runs < 60);
	}
}

static void run_row(const struct row *row)
{
	struct arena arena;
	struct spf_result mail_from, helo;
	struct auth_query q = {.helo = span_of(row->helo), .mail_from = span_of(row->mail_from)};
	arena_init(&arena, (size_t)1 << 20);
	if (row->ip)
		assert_true(ip_parse(span_of(row->ip), &q.ip));
	memory_reset();
	for (size_t i = 0; i < 8 && row->zone[i].name; i++)
		memory_add(span_of(row->zone[i].name), row->zone[i].type, 10,
			   span_of(row->zone[i].value));
	check(&q, &mail_from, &helo, &arena);
	same(row->name, "result", row->result, span_of(auth_result_name(mail_from.result)));
	same(row->name, "domain", row->domain, mail_from.domain);
	same(row->name, "mechanism", row->mechanism, mail_from.mechanism);
	assert_int_equal(mail_from.unknown, !row->mail_from || (!*row->mail_from && !row->helo));
	assert_int_equal(helo.unknown, !row->helo);
	same(row->name, "HELO", row->helo_result, span_of(auth_result_name(helo.result)));
	arena_free(&arena);
}

static void tables(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		run_row(&rows[i]);
}

/* All of a record's includes are asked for while the first one is waited for. */
static void includes_wait_together(void **state)
{
	struct arena arena;
	struct spf_result mail_from, helo;
	struct auth_query q = {.helo = SPAN("h"), .mail_from = SPAN("u@a.example")};
	unsigned runs = 1;
	(void)state;
	arena_init(&arena, (size_t)1 << 20);
	ip_parse(SPAN("192.0.2.1"), &q.ip);
	memory_reset();
	memory_txt("a.example", "v=spf1 include:b.example include:c.example include:d.example -all");
	memory_txt("b.example", "v=spf1 -all");
	memory_txt("c.example", "v=spf1 -all");
	memory_txt("d.example", "v=spf1 +all");
	for (; spf_check(&mail_from, &helo, &q, &memory_session, &arena) == STEP_WAIT; runs++)
		assert_true(memory_arrive());
	assert_int_equal(mail_from.result, AUTH_PASS);
	assert_int_equal(mail_from.lookups, 3);
	assert_int_equal(runs, 3);
	arena_free(&arena);
}

/* A record past its limit is refused as a whole, with words for it. */
static void long_record(void **state)
{
	static char text[LIMIT_SPF_RECORD_BYTES + 2];
	struct arena arena;
	struct spf_record record;
	const char *why;
	(void)state;
	arena_init(&arena, (size_t)1 << 20);
	memset(text, ' ', sizeof(text));
	memcpy(text, "v=spf1", 6);
	assert_int_equal(spf_record_parse(&record, (struct span){text, LIMIT_SPF_RECORD_BYTES},
					  &arena, &why), 0);
	assert_int_equal(spf_record_parse(&record, (struct span){text, LIMIT_SPF_RECORD_BYTES + 1},
					  &arena, &why), SPF_E_BAD_RECORD);
	assert_string_equal(why, "record too long");
	arena_free(&arena);
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(tables),
					   cmocka_unit_test(includes_wait_together),
					   cmocka_unit_test(long_record)};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
