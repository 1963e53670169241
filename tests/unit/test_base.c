/* Unit tests of base/: spans, arena, JSON, UTF-8, clock, ids, IP addresses, digests. */
#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>
#include <cmocka.h>

#include "base/arena.h"
#include "base/clock.h"
#include "base/digest.h"
#include "base/id.h"
#include "base/ip.h"
#include "base/json.h"
#include "base/sandbox.h"
#include "base/utf8.h"

static void test_span_number(void **state)
{
	static const struct {
		const char *text;
		uint64_t max;
		bool ok;
		uint64_t value;
	} rows[] = {
		{"0", 10, true, 0},   {"10", 10, true, 10}, {"11", 10, false, 0}, {"", 10, false, 0},
		{"1x", 10, false, 0}, {"-1", 10, false, 0}, {"9", 5, false, 0},
		{"18446744073709551615", UINT64_MAX, true, UINT64_MAX},
		{"18446744073709551616", UINT64_MAX, false, 0},
	};
	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		uint64_t value = 0;
		bool ok = span_number(span_of(rows[i].text), rows[i].max, &value);
		if (ok != rows[i].ok || (ok && value != rows[i].value))
			fail_msg("span_number(%s, %llu)", rows[i].text,
				 (unsigned long long)rows[i].max);
	}
}

static void test_span_find(void **state)
{
	(void)state;
	assert_int_equal(span_case_find(SPAN("a Content-ID"), SPAN("content")), 2);
	assert_true(span_case_find(SPAN("abc"), SPAN("abcd")) == SIZE_MAX);
	struct span rest = SPAN("a\r\nb\n\nc"), line;
	static const char *const want[] = {"a", "b", "", "c"};
	for (size_t i = 0; i < 4; i++) {
		assert_true(span_next_line(&rest, &line));
		assert_true(span_eq(line, span_of(want[i])));
	}
	assert_false(span_next_line(&rest, &line));
	/* against what is plain to see, at every place and every length */
	static const char text[] = "aXbaab-->a\xe6\x9c\x80 abcabcabd <!-- Zzz aaaaaaaaaaaaaaaaab*/ \n|`@[{k";
	const struct span all = {text, sizeof(text) - 1};
	for (size_t from = 0; from < all.n; from++)
		for (size_t n = 1; n <= 9 && from + n <= all.n; n++) {
			const struct span needle = span_sub(all, from, from + n);
			size_t plain = 0, folded = 0;
			while (!span_eq(span_sub(all, plain, plain + n), needle))
				plain++;
			while (!span_case_eq(span_sub(all, folded, folded + n), needle))
				folded++;
			assert_int_equal(span_find(all, needle), plain);
			assert_int_equal(span_case_find(all, needle), folded);
			/* not behind the end */
			assert_true(span_find(span_sub(all, 0, plain + n - 1), needle) == SIZE_MAX);
			assert_true(span_case_find(span_sub(all, 0, folded + n - 1), needle) == SIZE_MAX);
		}
}

/* Of the FNV draft's vectors; buckets of the books lie where these say. */
static void test_span_hash(void **state)
{
	(void)state;
	assert_true(span_hash(SPAN_NONE) == 0xcbf29ce484222325u);
	assert_true(span_hash(SPAN("foobar")) == 0x85944171f73967e8u);
	assert_true(span_case_hash(SPAN("FooBar")) == 0x85944171f73967e8u);
}

static void test_arena_limit(void **state)
{
	(void)state;
	struct arena a;
	arena_init(&a, 100000);
	assert_non_null(arena_alloc(&a, 1000));
	assert_null(arena_alloc(&a, 200000));
	assert_true(a.overflowed);
	arena_reset(&a);
	assert_false(a.overflowed);
	assert_true(span_eq(arena_printf(&a, "%d-%s", 7, "x"), SPAN("7-x")));
	arena_free(&a);
}

static void test_json(void **state)
{
	(void)state;
	struct buf b = BUF_INIT;
	struct json j = JSON_INIT(&b);
	json_open(&j, NULL, '{');
	json_text(&j, "a", SPAN("q\"\\\n\x01\xe4\xbd\xa0\xff"));
	json_open(&j, "b", '[');
	json_number(&j, NULL, 0.1);
	json_number(&j, NULL, 3);
	json_null(&j, NULL);
	json_close(&j, ']');
	json_bool(&j, "c", true);
	json_close(&j, '}');
	assert_string_equal(b.p, "{\"a\":\"q\\\"\\\\\\n\\u0001\xe4\xbd\xa0\xef\xbf\xbd\","
				 "\"b\":[0.1,3,null],\"c\":true}");
	buf_free(&b);
}

/* The shortest of "%.6g" to "%.17g" that is read as the same number. */
static void shortest(double value, char text[32])
{
	for (int digits = 6; digits <= 17; digits++) {
		snprintf(text, 32, "%.*g", digits, value);
		if (strtod(text, NULL) == value)
			break;
	}
}

static void test_json_number(void **state)
{
	(void)state;
	static const double values[] = {0,     -0.0,    0.001,   0.05,       2.35,  999.999, 999.9999,
					1000,  1e6,     -3.5,    0.1 + 0.2,  1e-5,  1.0 / 3, 2.0 / 3,
					1e300, 5e-324,  0.9972645838571, 87.5, 123456.789, 0.97};
	struct buf b = BUF_INIT;
	uint64_t seed = 1;
	for (size_t i = 0; i < 20000; i++) {
		double value = i < sizeof(values) / sizeof(values[0]) ? values[i] : 0;
		if (i >= sizeof(values) / sizeof(values[0])) {
			seed = seed * 6364136223846793005u + 1442695040888963407u;
			unsigned places = (unsigned)(i % 5);
			value = (double)(seed >> 11) / 9007199254740992.0;
			value = places == 4 ? value : round(value * 1e5) / pow(10, places);
		}
		char plain[32];
		struct json j = JSON_INIT(&b);
		buf_reset(&b);
		json_number(&j, NULL, value);
		shortest(value, plain);
		assert_string_equal(b.p, plain);
	}
	buf_free(&b);
}

/* Each octet and pair of octets at each place of a word of eight. */
static void test_json_text(void **state)
{
	(void)state;
	struct buf b = BUF_INIT;
	for (unsigned c = 0; c < 256; c++)
		for (size_t at = 0; at < 20; at++) {
			char text[20], want[64];
			memset(text, 'a', sizeof(text));
			text[at] = (char)c;
			const char *as = c == '"' ? "\\\"" : c == '\\' ? "\\\\" : c == '\n' ? "\\n"
					 : c == '\r' ? "\\r" : c == '\t' ? "\\t" : NULL;
			char one[8] = {(char)c, 0};
			if (!as && c < 0x20)
				snprintf(one, sizeof(one), "\\u%04x", c);
			else if (c >= 0x80)
				snprintf(one, sizeof(one), "\xef\xbf\xbd");
			snprintf(want, sizeof(want), "\"%.*s%s%.*s\"", (int)at, text, as ? as : one,
				 (int)(sizeof(text) - at - 1), text + at + 1);
			struct json j = JSON_INIT(&b);
			buf_reset(&b);
			json_text(&j, NULL, (struct span){text, sizeof(text)});
			assert_string_equal(b.p, want);
		}
	buf_free(&b);
}

static void test_utf8(void **state)
{
	static const struct {
		const char *text;
		bool valid;
	} rows[] = {
		{"abc", true},           {"\xe4\xbd\xa0", true},     {"\xc0\xaf", false},
		{"\xed\xa0\x80", false}, {"\xf4\x90\x80\x80", false}, {"\xe4\xbd", false},
		{"\xf0\x9f\x98\x80", true},
	};
	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		if (utf8_valid(span_of(rows[i].text)) != rows[i].valid)
			fail_msg("row %zu", i);
	struct arena a;
	arena_init(&a, 1 << 20);
	/* full-width letters, ligature, capital */
	assert_true(span_eq(utf8_fold(&a, SPAN("\xef\xbc\xa1\xef\xbc\xa4 \xef\xac\x81 \xc3\x84")),
			    SPAN("ad fi \xc3\xa4")));
	assert_true(span_eq(utf8_repair(&a, SPAN("a\xff")), SPAN("a\xef\xbf\xbd")));
	assert_int_equal(utf8_cut(SPAN("a\xe4\xbd\xa0"), 3).n, 1);
	arena_free(&a);
}

static void test_clock(void **state)
{
	static const struct {
		const char *text;
		bool ok;
		int64_t us;
	} rows[] = {
		{"2026-11-23T08:00:00Z", true, 1795420800000000},
		{"2026-11-23T16:00:00.5+08:00", true, 1795420800500000},
		{"2026-02-30T00:00:00Z", false, 0},
		{"2026-11-23T08:00:00", false, 0},
		{"garbage", false, 0},
	};
	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		int64_t us = 0;
		bool ok = clock_parse_rfc3339(span_of(rows[i].text), &us);
		if (ok != rows[i].ok || (ok && us != rows[i].us))
			fail_msg("%s: %lld", rows[i].text, (long long)us);
	}
	char text[CLOCK_TEXT_BYTES];
	assert_string_equal(clock_rfc3339(1795420800000000, text), "2026-11-23T08:00:00Z");
	assert_string_equal(clock_rfc5322(1795420800000000, text),
			    "Mon, 23 Nov 2026 08:00:00 +0000");
}

static void test_id(void **state)
{
	(void)state;
	char a[ID_BYTES], b[ID_BYTES], later[ID_BYTES];
	id_make(1795420800000000, a);
	id_make(1795420800000000, b);
	id_make(1795420800001000, later);
	assert_true(id_valid(span_of(a)));
	assert_string_not_equal(a, b);
	assert_memory_equal(a, b, 10); /* the time */
	assert_true(strcmp(a, later) < 0);
	assert_int_equal(id_time_us(span_of(later)), 1795420800001000);
}

static void test_ip(void **state)
{
	static const struct {
		const char *prefix, *ip;
		bool parses, holds;
	} rows[] = {
		{"192.0.2.0/28", "192.0.2.15", true, true},
		{"192.0.2.0/28", "192.0.2.16", true, false},
		{"192.0.2.1/28", "192.0.2.1", false, false},
		{"0.0.0.0/0", "8.8.8.8", true, true},
		{"2001:db8::/32", "2001:db8:1::1", true, true},
		{"2001:db8::/32", "192.0.2.1", true, false},
		{"192.0.2.7", "::ffff:192.0.2.7", true, true},
		{"192.0.2.0/33", "192.0.2.0", false, false},
	};
	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct ip_prefix prefix;
		struct ip ip;
		bool ok = ip_prefix_parse(span_of(rows[i].prefix), &prefix);
		assert_true(ip_parse(span_of(rows[i].ip), &ip));
		if (ok != rows[i].parses || (ok && ip_prefix_holds(&prefix, &ip) != rows[i].holds))
			fail_msg("%s %s", rows[i].prefix, rows[i].ip);
	}
	struct ip ip;
	char text[IP_REVERSE_BYTES];
	assert_true(ip_parse(SPAN("192.0.2.1"), &ip));
	assert_string_equal(ip_reverse(&ip, text), "1.2.0.192.in-addr.arpa");
	assert_true(ip_parse(SPAN("2001:db8::1"), &ip));
	assert_string_equal(ip_reverse(&ip, text),
			    "1.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.8.b.d.0.1.0.0.2.ip6.arpa");
}

static void test_digest(void **state)
{
	(void)state;
	char text[SHA256_TEXT_BYTES];
	/* FIPS 180-2, "abc" */
	assert_string_equal(sha256_text(SPAN("abc"), text),
			    "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
	uint8_t mac[SHA256_BYTES];
	hmac_sha256(SPAN("k1-test-key-not-secret-0123456789"), SPAN("wang@receiver.example"), mac);
	char long_token[64];
	base32_lower(mac, sizeof(mac), long_token);
	long_token[20] = '\0';
	assert_string_equal(long_token, "mecayyuua2strpo2ezeo");
	char out[16];
	assert_int_equal(base64_decode(SPAN("aGVs\r\n bG8="), out), 5);
	assert_memory_equal(out, "hello", 5);
	assert_true(base64_decode_strict(SPAN("aGV sbG8="), out) == SIZE_MAX);
}

static void note_signal(int number)
{
	(void)number;
}

static void *lock_and_raise(void *mutex)
{
	pthread_mutex_lock(mutex);
	return (void *)(intptr_t)raise(SIGUSR1);
}

/* Own signals, limits and threads work; those of the parent, of the same account, are out of reach. */
static void test_sandbox(void **state)
{
	(void)state;
	pid_t parent = getpid(), child = fork();
	if (child == 0) {
		struct rlimit limit;
		pthread_t thread;
		pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
		void *result;
		int pair[2], entered;
		signal(SIGUSR1, note_signal);
		signal(SIGABRT, SIG_DFL);
		pthread_mutex_lock(&mutex);
		if (socketpair(AF_UNIX, SOCK_STREAM, 0, pair) < 0 ||
		    pthread_create(&thread, NULL, lock_and_raise, &mutex) != 0)
			_exit(1);
		if ((entered = sandbox_enter()) < 0)
			_exit(entered == -ENOSYS ? 77 : 2);
		if (syscall(SYS_tgkill, parent, parent, 0) == 0 || errno != EPERM)
			_exit(3);
		if (prlimit(parent, RLIMIT_NOFILE, NULL, &limit) == 0 || errno != EPERM)
			_exit(4);
		if (fcntl(pair[0], F_SETOWN, parent) == 0 || fcntl(pair[0], F_SETSIG, SIGKILL) == 0)
			_exit(5);
		if (raise(SIGUSR1) != 0 || getrlimit(RLIMIT_NOFILE, &limit) < 0 ||
		    fcntl(pair[0], F_SETFL, O_NONBLOCK) < 0)
			_exit(6);
		/* begun before: its filter is that of its making */
		pthread_mutex_unlock(&mutex);
		if (pthread_join(thread, &result) != 0 || result)
			_exit(7);
		abort();
	}
	int status;
	assert_int_equal(waitpid(child, &status, 0), child);
	if (WIFEXITED(status) && WEXITSTATUS(status) == 77)
		skip();
	if (!WIFSIGNALED(status) || WTERMSIG(status) != SIGABRT)
		fail_msg("the child ended with %x", (unsigned)status);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_span_number), cmocka_unit_test(test_span_find),
		cmocka_unit_test(test_span_hash),   cmocka_unit_test(test_arena_limit),
		cmocka_unit_test(test_json),
		cmocka_unit_test(test_json_number), cmocka_unit_test(test_json_text),
		cmocka_unit_test(test_utf8),        cmocka_unit_test(test_clock),
		cmocka_unit_test(test_id),          cmocka_unit_test(test_ip),
		cmocka_unit_test(test_digest),      cmocka_unit_test(test_sandbox),
	};
	return cmocka_run_group_tests_name("base", tests, NULL, NULL);
}
