/*
 * Unit tests of DKIM and ARC: canonical forms by RFC 6376 section 3.4.5, a key record a row, the
 * ARC suite and the example of RFC 8463 where the shared data are there.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <cmocka.h>

#include "analyze/auth.h"
#include "analyze/dkim_canon.h"
#include "analyze/dkim_record.h"
#include "base/file.h"
#include "base/json_in.h"
#include "memory_dns.h"

static void test_body(void **state)
{
	static const struct {
		const char *name, *body;
		enum dkim_form form;
		const char *want;
	} rows[] = {
		{"empty, simple", "", DKIM_SIMPLE, "\r\n"},
		{"empty, relaxed", "", DKIM_RELAXED, ""},
		{"CRLFs alone, simple", "\r\n\r\n", DKIM_SIMPLE, "\r\n"},
		{"CRLFs alone, relaxed", "\r\n\r\n", DKIM_RELAXED, ""},
		{"blank lines, relaxed", " \t\r\n  \r\n", DKIM_RELAXED, ""},
		{"blank lines, simple", " \r\n", DKIM_SIMPLE, " \r\n"},
		{"RFC 6376 3.4.5", " C \r\nD \t E\r\n\r\n\r\n", DKIM_RELAXED, " C\r\nD E\r\n"},
		{"RFC 6376 3.4.5 simple", " C \r\nD \t E\r\n\r\n\r\n", DKIM_SIMPLE,
		 " C \r\nD \t E\r\n"},
		{"no final newline, simple", "a", DKIM_SIMPLE, "a\r\n"},
		{"no final newline, relaxed", "a  b ", DKIM_RELAXED, "a b\r\n"},
		{"bare CR is text", "a\r\r\nb \rc\r\n", DKIM_RELAXED, "a\r\r\nb \rc\r\n"},
		{"bare LF is text", "a\n\nb\r\n", DKIM_RELAXED, "a\n\nb\r\n"},
		{"empty lines inside stay", "\r\na\r\n\r\nb", DKIM_RELAXED, "\r\na\r\n\r\nb\r\n"},
	};
	(void)state;
	struct sha256 *hash = sha256_create();
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct dkim_body_hash got;
		uint8_t want[SHA256_BYTES];
		dkim_hash_body(hash, span_of(rows[i].body), rows[i].form, DKIM_NO_LENGTH, &got);
		sha256(span_of(rows[i].want), want);
		if (got.length != strlen(rows[i].want) || memcmp(want, got.digest, 32) != 0)
			fail_msg("%s: %zu octets", rows[i].name, (size_t)got.length);
	}
	sha256_free(hash);
}

static void test_header(void **state)
{
	static const struct {
		const char *name, *field;
		enum dkim_form form;
		const char *want;
	} rows[] = {
		{"RFC 6376 3.4.5 A", "A: X\r\n", DKIM_RELAXED, "a:X\r\n"},
		{"RFC 6376 3.4.5 B", "B : Y\t\r\n\tZ  \r\n", DKIM_RELAXED, "b:Y Z\r\n"},
		{"simple", "B : Y\t\r\n\tZ  \r\n", DKIM_SIMPLE, "B : Y\t\r\n\tZ  \r\n"},
		{"empty", "A:\r\n", DKIM_RELAXED, "a:\r\n"},
		{"no CRLF", "A: x", DKIM_SIMPLE, "A: x\r\n"},
	};
	(void)state;
	struct sha256 *hash = sha256_create();
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		uint8_t got[SHA256_BYTES], want[SHA256_BYTES];
		sha256_restart(hash);
		dkim_add_field(hash, span_of(rows[i].field), rows[i].form);
		sha256_finish(hash, got);
		sha256(span_of(rows[i].want), want);
		if (memcmp(got, want, 32) != 0)
			fail_msg("%s", rows[i].name);
	}
	sha256_free(hash);
}

static void test_record(void **state)
{
	static const struct {
		const char *text, *want; /* NULL: can be used */
	} rows[] = {
		{"v=DKIM1; k=rsa; p=AAAA", NULL},
		{"p=AA AA", NULL},
		{"v=DKIM1; k=ed25519; t=y:s; p=AAAA; n=a note", NULL},
		{"v=DKIM1; p=", "key revoked"},
		{"v=DKIM2; p=AAAA", "version of the key record"},
		{"p=AAAA; v=DKIM1", "version of the key record"},
		{"v=DKIM1; k=dsa; p=AAAA", "unknown key type"},
		{"v=DKIM1; h=sha1; p=AAAA", "inappropriate hash algorithm"},
		{"v=DKIM1; s=tlsrpt; p=AAAA", "inappropriate service type"},
		{"v=DKIM1", "key record without p="},
		{"v=DKIM1; p=AAAA; p=AAAA", "syntax of the key record"},
		{"hello", "syntax of the key record"},
		{"v=DKIM1; p=A!", "key is no base64"},
	};
	(void)state;
	struct arena arena;
	arena_init(&arena, 1 << 20);
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct dkim_record r;
		const char *got = dkim_record_parse(&r, span_of(rows[i].text), &arena);
		if (!got != !rows[i].want || (got && strcmp(got, rows[i].want) != 0))
			fail_msg("'%s': %s", rows[i].text, got ? got : "can be used");
	}
	arena_free(&arena);
}

/* --- whole messages ---------------------------------------------------------- */

static struct auth judge(struct arena *arena, struct span octets)
{
	struct message *m = ARENA_NEW(arena, struct message);
	struct auth auth = {0};
	struct auth_query q = {.host = "mx.example", .time_us = 0};
	memory_forget();
	assert_int_equal(message_parse(m, arena, octets), 0);
	for (;;) {
		bool waiting = dkim_check(&auth, m, &q, &memory_session, arena) == STEP_WAIT;
		waiting |= arc_check(&auth.arc, m, &q, &memory_session, arena) == STEP_WAIT;
		if (!waiting)
			return auth;
		assert_true(memory_arrive());
	}
}

/* Suites have LF line ends. */
static struct span with_crlf(struct arena *arena, struct span s)
{
	char *out = arena_alloc(arena, 2 * s.n + 1);
	size_t n = 0;
	for (size_t i = 0; i < s.n; i++) {
		if (s.p[i] == '\n' && (!i || s.p[i - 1] != '\r'))
			out[n++] = '\r';
		out[n++] = s.p[i];
	}
	return (struct span){out, n};
}

static bool shared_file(const char *name, struct file_view *view_r)
{
	const char *shared = getenv("ASSAY_SHARED");
	char path[4096];
	snprintf(path, sizeof(path), "%s/auth/%s", shared ? shared : "", name);
	if (shared && file_view_open(path, (size_t)8 << 20, view_r) == 0)
		return true;
	print_message("skipped: no %s\n", path);
	return false;
}

static void test_rfc8463(void **state)
{
	struct file_view view;
	struct arena arena;
	(void)state;
	if (!shared_file("mailauth/test/dkim/ec/fixtures/signed.eml", &view))
		skip();
	arena_init(&arena, (size_t)8 << 20);
	memory_reset();
	memory_txt("brisbane._domainkey.football.example.com",
		   "v=DKIM1; k=ed25519; p=11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo=");
	memory_txt("test._domainkey.football.example.com",
		   "v=DKIM1; k=rsa; p=MIGfMA0GCSqGSIb3DQEBAQUAA4GNADCBiQKBgQDkHlOQoBTzWR"
		   "iGs5V6NpP3idY6Wk08a5qhdR6wy5bdOKb2jLQiY/J16JYi0Qvx/byYzCNb3W91y3FutAC"
		   "DfzwQ/BC/e/8uBsCR+yz1Lxj+PL6lHvqMKrM3rG4hstT5QjvHO9PzoxZyVYLzBfO2EeC3"
		   "Ip3G+2kryOTIKT+l/K4w3QIDAQAB");
	struct auth auth = judge(&arena, with_crlf(&arena, view.bytes));
	assert_int_equal(auth.n_dkim, 2);
	for (size_t i = 0; i < 2; i++)
		if (auth.dkim[i].result != AUTH_PASS)
			fail_msg("%.*s: %s", SPAN_ARG(auth.dkim[i].algorithm),
				 auth.dkim[i].reason);
	arena_free(&arena);
	file_view_close(&view);
}

/* One message of the suite; true when the result is the one it wants. cv "" means fail, as the
 * suite's own runner has it. */
static bool arc_case(const char *name, const struct json_value *test)
{
	struct arena arena;
	arena_init(&arena, (size_t)8 << 20);
	struct span text = json_in_text(json_in_get(test, "message"));
	struct span want = arena_lower(&arena, json_in_text(json_in_get(test, "cv")));
	struct auth auth = judge(&arena, with_crlf(&arena, text));
	const char *got = auth_result_name(auth.arc.result);
	bool ok = span_eq(want.n ? want : SPAN("fail"), span_of(got));
	if (!ok)
		print_message("%s: wants %.*s, is %s (%s)\n", name, SPAN_ARG(want), got,
			      auth.arc.reason ? auth.arc.reason : "-");
	arena_free(&arena);
	return ok;
}

static void test_arc_suite(void **state)
{
	struct file_view view;
	unsigned run = 0, passed = 0;
	(void)state;
	if (!shared_file("mailauth/test/fixtures/arc/arc-draft-validation-tests.json", &view))
		skip();
	struct json_value *suite = json_in_parse(view.bytes, NULL);
	assert_non_null(suite);
	for (size_t i = 0; i < json_in_count(suite); i++) {
		const struct json_value *scenario = json_in_at(suite, i);
		const struct json_value *keys = json_in_get(scenario, "txt-records");
		const struct json_value *tests = json_in_get(scenario, "tests");
		const char *name = NULL;
		memory_reset();
		while ((name = json_in_next_key(keys, name)))
			memory_add(span_of(name), "TXT", 0,
				   json_in_text(json_in_get(keys, name)));
		while ((name = json_in_next_key(tests, name))) {
			run++;
			passed += arc_case(name, json_in_get(tests, name));
		}
	}
	print_message("ARC suite: %u passed of %u run\n", passed, run);
	json_in_free(suite);
	file_view_close(&view);
	assert_true(run > 0);
	assert_int_equal(passed, run);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_body),    cmocka_unit_test(test_header),
		cmocka_unit_test(test_record),  cmocka_unit_test(test_rfc8463),
		cmocka_unit_test(test_arc_suite),
	};
	memory_reset();
	return cmocka_run_group_tests_name("dkim", tests, NULL, NULL);
}
