/*
 * Unit tests of signing: what we sign, our verifier passes; a change of what is signed, a field
 * added, or a line in the body fails. Other verifiers read our signatures in tests/peers/dkim.py.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <unistd.h>
#include <cmocka.h>

#include "analyze/auth.h"
#include "analyze/dkim_sign.h"
#include "base/file.h"
#include "memory_dns.h"

/* The key of RFC 8463 appendix A.2 as PKCS#8. */
static const char ed25519_pem[] =
	"-----BEGIN PRIVATE KEY-----\n"
	"MC4CAQAwBQYDK2VwBCIEIJ1hsZ3v/VpguoRK9JLsLMREScVpezJpGXA7rAMcrn9g\n"
	"-----END PRIVATE KEY-----\n";
static char ed25519_file[] = "/tmp/test_dkim_sign.XXXXXX";
static char rsa_file[4096];

static const char report[] = "From: fbl@mbox.example\r\n"
			     "To: <fbl@esp.example>\r\n"
			     "Subject: FW: =?utf-8?B?5LyY5oOg?=\r\n"
			     "Date: Tue, 24 Nov 2026 08:00:00 +0000\r\n"
			     "Message-ID: <1.abuse@mbox.example>\r\n"
			     "Auto-Submitted: auto-generated\r\n"
			     "MIME-Version: 1.0\r\n"
			     "Content-Type: text/plain;\r\n\tcharset=us-ascii\r\n"
			     "\r\n"
			     "Please  stop. \r\n\r\n\r\n";

static void publish(const struct dkim_signer *signer, struct arena *arena)
{
	struct span p = base64_encode(arena, pkey_public_bytes(signer->key, arena));
	memory_reset();
	memory_add(arena_printf(arena, "%.*s._domainkey.%.*s", SPAN_ARG(signer->selector),
				SPAN_ARG(signer->domain)),
		   "TXT", 0,
		   arena_printf(arena, "v=DKIM1; k=%s; p=%.*s",
				pkey_kind(signer->key) == PKEY_RSA ? "rsa" : "ed25519",
				SPAN_ARG(p)));
}

static struct auth judge(struct arena *arena, struct span octets)
{
	struct message *m = ARENA_NEW(arena, struct message);
	struct auth auth = {0};
	struct auth_query q = {.host = "mx.example"};
	memory_forget();
	assert_int_equal(message_parse(m, arena, octets), 0);
	while (dkim_check(&auth, m, &q, &memory_session, arena) == STEP_WAIT)
		assert_true(memory_arrive());
	return auth;
}

static void open_signer(struct dkim_signer *signer, const char *key_file)
{
	assert_int_equal(dkim_signer_open(signer, SPAN("mbox.example"), SPAN("fbl"), key_file), 0);
}

static struct span signed_message(struct arena *arena, const struct dkim_signer *signer,
				  struct span message)
{
	struct buf out = BUF_INIT;
	assert_int_equal(dkim_signer_sign(signer, message, 1795766400, &out), 0);
	buf_add(&out, message);
	struct span copy = arena_copy(arena, buf_span(&out));
	buf_free(&out);
	return copy;
}

static void test_verified(void **state)
{
	static const struct {
		const char *name, *message;
	} rows[] = {
		{"report", report},
		{"empty body", "From: a@mbox.example\r\n\r\n"},
		{"no empty line", "From: a@mbox.example\r\nTo: b@mbox.example\r\n"},
		{"no final CRLF", "From: a@mbox.example\r\n\r\nhello"},
		{"two From", "From: a@mbox.example\r\nfrom : b@mbox.example\r\n\r\nx\r\n"},
		{"folded, empty fields",
		 "From: a\r\n  @mbox.example \r\nTo:\r\nSubject: \r\n\r\nx\r\n"},
	};
	const char *const files[] = {rsa_file, ed25519_file};
	(void)state;
	for (size_t k = 0; k < 2; k++) {
		struct dkim_signer signer;
		struct arena arena;
		arena_init(&arena, (size_t)8 << 20);
		open_signer(&signer, files[k]);
		publish(&signer, &arena);
		for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
			struct span m = signed_message(&arena, &signer, span_of(rows[i].message));
			struct auth auth = judge(&arena, m);
			if (auth.n_dkim != 1 || auth.dkim[0].result != AUTH_PASS)
				fail_msg("%s, key %zu: %s\n%.*s", rows[i].name, k,
					 auth.n_dkim ? auth.dkim[0].reason : "no signature",
					 SPAN_ARG(m));
		}
		dkim_signer_close(&signer);
		arena_free(&arena);
	}
}

/* Each change of a signed report breaks it. */
static void test_changed(void **state)
{
	static const struct {
		const char *name, *from, *to;
	} rows[] = {
		{"second From", "\r\nTo:", "\r\nFrom: x@y.example\r\nTo:"},
		{"second To", "\r\nTo:", "\r\nTo: x@y.example\r\nTo:"},
		{"second Subject", "\r\nTo:", "\r\nSubject: x\r\nTo:"},
		{"second Date", "\r\nTo:", "\r\nDate: x\r\nTo:"},
		{"another type", "text/plain", "text/html"},
		{"another id", "<1.abuse", "<2.abuse"},
		{"body", "Please", "please"},
		{"a line behind the body", "stop. \r\n", "stop. \r\n\r\nmore\r\n"},
		{"d=", "d=mbox", "d=mBox"},
	};
	struct dkim_signer signer;
	struct arena arena;
	(void)state;
	arena_init(&arena, (size_t)8 << 20);
	open_signer(&signer, rsa_file);
	publish(&signer, &arena);
	struct span m = signed_message(&arena, &signer, span_of(report));
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		size_t at = span_find(m, span_of(rows[i].from));
		assert_true(at != SIZE_MAX);
		struct span rest = span_sub(m, at + strlen(rows[i].from), m.n);
		struct auth auth = judge(&arena, arena_printf(&arena, "%.*s%s%.*s", (int)at, m.p,
							      rows[i].to, SPAN_ARG(rest)));
		if (auth.n_dkim != 1 || auth.dkim[0].result != AUTH_FAIL)
			fail_msg("%s: %s", rows[i].name, auth_result_name(auth.dkim[0].result));
	}
	dkim_signer_close(&signer);
	arena_free(&arena);
}

static void test_lines(void **state)
{
	struct dkim_signer signer;
	struct buf out = BUF_INIT;
	struct span rest, line;
	(void)state;
	open_signer(&signer, rsa_file);
	assert_int_equal(dkim_signer_sign(&signer, span_of(report), 1795766400, &out), 0);
	for (rest = buf_span(&out); span_next_field(&rest, '\n', &line);)
		if (line.n > 79)
			fail_msg("long line: %.*s", SPAN_ARG(line));
	assert_true(span_ends(buf_span(&out), SPAN("\r\n")));
	assert_true(span_find(buf_span(&out),
			      SPAN(" h=from:from:to:to:subject:subject:date:date:message-id:")) !=
		    SIZE_MAX);
	buf_free(&out);
	dkim_signer_close(&signer);
}

static void test_refused(void **state)
{
	static const struct {
		const char *name, *message;
	} rows[] = {
		{"no From", "To: a@mbox.example\r\n\r\nx\r\n"},
		{"bare LF", "From: a@mbox.example\r\n\r\nx\ny\r\n"},
		{"bare CR", "From: a@mbox.example\r\n\r\nx\ry\r\n"},
	};
	struct dkim_signer signer;
	struct buf out = BUF_INIT;
	(void)state;
	open_signer(&signer, rsa_file);
	buf_adds(&out, "before");
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		int r = dkim_signer_sign(&signer, span_of(rows[i].message), 0, &out);
		if (r != DKIM_SIGN_E_MESSAGE || out.n != strlen("before"))
			fail_msg("%s: %d, %zu octets", rows[i].name, r, out.n);
	}
	buf_free(&out);
	dkim_signer_close(&signer);
	struct span d = SPAN("mbox.example"), s = SPAN("s");
	assert_int_equal(dkim_signer_open(&signer, d, s, "/no/such/file"), -ENOENT);
	assert_int_equal(dkim_signer_open(&signer, d, s, "/dev/null"), DKIM_SIGN_E_KEY);
	assert_int_equal(dkim_signer_open(&signer, SPAN("a b"), s, rsa_file), DKIM_SIGN_E_NAME);
	assert_int_equal(dkim_signer_open(&signer, d, SPAN("a; d=b"), rsa_file), DKIM_SIGN_E_NAME);
}

static int make_files(void **state)
{
	const char *source = getenv("ASSAY_SOURCE");
	(void)state;
	snprintf(rsa_file, sizeof(rsa_file), "%s/samples/keys/s1.pem", source ? source : ".");
	int fd = mkstemp(ed25519_file);
	int r = fd < 0 ? -1 : file_write_fd(fd, span_of(ed25519_pem));
	close(fd);
	return r;
}

static int remove_files(void **state)
{
	(void)state;
	return unlink(ed25519_file);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_verified), cmocka_unit_test(test_changed),
		cmocka_unit_test(test_lines),    cmocka_unit_test(test_refused),
	};
	memory_reset();
	return cmocka_run_group_tests_name("dkim_sign", tests, make_files, remove_files);
}
