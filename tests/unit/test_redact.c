/* Unit tests of redaction: the token's vector, fields, and the recipient in some forty disguises. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <cmocka.h>

#include "base/limits.h"
#include "feedback/redact.h"

#define KEY "k1-test-key-not-secret-0123456789"
#define TOKEN "mecayyuua2strpo2ezeo@fbl.example"

static struct arena arena;
static struct redactor *redactor;

static int set_up(void **state)
{
	(void)state;
	arena_init(&arena, 8 * LIMIT_ARENA_BYTES);
	redactor = redactor_create(&arena, SPAN(KEY), SPAN("fbl.example"), false);
	redactor_add(redactor, SPAN("wang@receiver.example"));
	redactor_add(redactor, SPAN("li+shop@xn--fsqu00a.example"));
	redactor_add(redactor, SPAN("Chen.Wei@Receiver.EXAMPLE")); /* as RCPT had it */
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	arena_free(&arena);
	return 0;
}

static void test_token(void **state)
{
	char token[REDACT_TOKEN_BYTES];
	(void)state;
	redact_token(SPAN(KEY), SPAN("wang@receiver.example"), token);
	assert_string_equal(token, "mecayyuua2strpo2ezeo");
	assert_true(span_eq(redactor_show(redactor, SPAN("wang@receiver.example")), SPAN(TOKEN)));
}

/* Every form in which the address may stand in a text. */
static const char *const disguises[] = {
	"wang@receiver.example", "WANG@RECEIVER.EXAMPLE", "Wang@Receiver.Example",
	"<wang@receiver.example>", "mailto:wang@receiver.example?subject=x",
	"wang%40receiver.example", "wang%2540receiver.example",
	"%77%61%6e%67%40%72eceiver%2eexample", "wang&#64;receiver.example",
	"wang&#x40;receiver.example", "wang&#0064;receiver.example", "wang&commat;receiver.example",
	"&#119;&#97;&#110;&#103;&#64;receiver&#46;example", "wang&commat;receiver&period;example",
	"wang=40receiver.example", "wa=\r\nng@receiver.example", "=77=61=6E=67=40receiver.example",
	"d2FuZ0ByZWNlaXZlci5leGFtcGxl", "xd2FuZ0ByZWNlaXZlci5leGFtcGxl",
	"?e=d2FuZ0ByZWNlaXZlci5leGFtcGxlCg", "LHdhbmdAcmVjZWl2ZXIuZXhhbXBsZQ==",
	"77616e674072656365697665722e6578616d706c65", "77616E674072656365697665722E6578616D706C65",
	"\"wang\"@receiver.example", "wang @ receiver.example", "wang(x)@receiver.example",
	"wang@receiver.example.", "wang\r\n @receiver.example", "wang@(c)receiver.example",
	"wang=receiver.example", "bounce+wang=receiver.example@esp.example",
	"wang\xef\xbc\xa0receiver.example", "wang\xe2\x80\x8b@receiver.example",
	"wa\xc2\xadng@receiver.example", "wang&#8203;@receiver.example", "wang&shy;@receiver.example",
	"wang<b></b>@receiver.example", "wang<!-- x -->@receiver.example",
	"wang\\u0040receiver.example", "wang\\x40receiver.example", "wang\\u{40}receiver.example",
	"wang\\000040receiver.example", "wang+AEA-receiver.example", "w a n g@receiver.example",
	"\xef\xbd\x97\xef\xbd\x81\xef\xbd\x8e\xef\xbd\x87@receiver\xe3\x80\x82" "example",
	"href='https://x.example/u?e=wang%40receiver.example&id=7'", "(wang@receiver.example)",
	"li+shop@xn--fsqu00a.example", "li@xn--fsqu00a.example", "li@\xe4\xbe\x8b\xe5\xad\x90.example",
	"li%2Bshop%40\xe4\xbe\x8b\xe5\xad\x90.example",
	"Chen.Wei@Receiver.EXAMPLE", "chen.wei@receiver.example", "CHEN.WEI%40receiver.example",
};

static void test_disguises(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(disguises) / sizeof(disguises[0]); i++) {
		struct span text = arena_printf(&arena, "before %s after", disguises[i]);
		struct span shown = redact_text(redactor, text);
		if (redact_finds(redactor, shown) || span_eq(shown, text) ||
		    span_find(shown, SPAN("@fbl.example")) == SIZE_MAX)
			fail_msg("'%s' became '%.*s'", disguises[i], SPAN_ARG(shown));
		if (!span_starts(shown, SPAN("before ")))
			fail_msg("'%s' lost what stands around: '%.*s'", disguises[i], SPAN_ARG(shown));
	}
}

/* UTF-16 has a NUL beside each octet of ASCII. */
static void test_utf16(void **state)
{
	static const char plain[] = "wang@receiver.example";
	char wide[2 * sizeof(plain)] = "";
	(void)state;
	for (size_t i = 0; i < sizeof(plain) - 1; i++)
		wide[2 * i] = plain[i];
	assert_true(redact_finds(redactor, (struct span){wide, 2 * sizeof(plain) - 2}));
}

static void test_others_stay(void **state)
{
	static const char *const rows[] = {
		"", "wan", "zhwang@receiver.example", "wang@receiver.com", "wang at work",
		"news@esp.example", "@receiver.example", "wang@", "a=b", "dGhpcyBpcyBub3RoaW5nIGF0IGFsbA==",
	};
	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		if (redact_finds(redactor, span_of(rows[i])))
			fail_msg("'%s'", rows[i]);
}

static const char message_text[] =
	"Return-Path: <bounce+wang=receiver.example@esp.example>\r\n"
	"Delivered-To: wang@receiver.example\r\n"
	"Received: from mx1.mbox.example by imap.mbox.example with LMTP; Mon, 23 Nov 2026 08:00:00 +0000\r\n"
	"Received: from out.esp.example by mx1.mbox.example for <wang@receiver.example>;\r\n"
	"\tMon, 23 Nov 2026 08:00:00 +0000\r\n"
	"X-Assay-Verdict: accept; id=01HZZZZZZZZZZZZZZZZZZZZZZZ; score=0\r\n"
	"Authentication-Results: mx1.mbox.example; spf=pass smtp.mailfrom=esp.example\r\n"
	"Received: from app.esp.example by out.esp.example for <alias@receiver.example>; x\r\n"
	"From: News <news@esp.example>\r\n"
	"To: \"Wang Xiaoming\" <wang@receiver.example>, Zhao <zhao@other.example>\r\n"
	"Subject: =?UTF-8?B?5L2g5aW9IHdhbmdAcmVjZWl2ZXIuZXhhbXBsZSDvvIE=?=\r\n"
	"X-Owner: wang@receiver.example\r\n"
	"X-Note: \xc4\xe3\xba\xc3\r\n"
	"Comments: for wang@receiver.example\r\n"
	"Message-ID: <7.wang=receiver.example@esp.example>\r\n"
	"List-Unsubscribe: <https://esp.example/u?e=wang%40receiver.example>\r\n"
	"MIME-Version: 1.0\r\n"
	"Content-Type: multipart/mixed; boundary=\"wang@receiver.example\"\r\n"
	"\r\n"
	"--wang@receiver.example\r\n"
	"Content-Type: text/html\r\nContent-Transfer-Encoding: base64\r\n\r\n"
	"PGI+d2FuZ0ByZWNlaXZlci5leGFt\r\ncGxlPC9iPg==\r\n"
	"--wang@receiver.example\r\n"
	"Content-Type: text/plain; name*=utf-8''wang%40receiver.example\r\n"
	"Content-Transfer-Encoding: quoted-printable\r\n\r\n"
	"Dear zhao=40other.exa=\r\nmple\r\n"
	"--wang@receiver.example\r\n"
	"Content-Type: application/pdf\r\nContent-Transfer-Encoding: base64\r\n\r\n"
	"d2FuZ0ByZWNlaXZlci5leGFtcGxl\r\n"
	"--wang@receiver.example--\r\n";

static void write_message(enum redact_profile profile, struct buf *out, bool *eight_r)
{
	struct message m;
	bool whole;
	assert_int_equal(message_parse(&m, &arena, SPAN(message_text)), 0);
	redactor_add_message(redactor, &m);
	redact_message(redactor, &m, profile, SPAN("mx1.mbox.example"), out, &whole, eight_r);
	assert_int_equal(whole, profile == REDACT_FULL);
	assert_false(arena.overflowed);
}

static void assert_has(const struct buf *out, const char *text, bool want)
{
	if ((span_find(buf_span(out), span_of(text)) != SIZE_MAX) != want)
		fail_msg("%s '%s' in:\n%s", want ? "no" : "there is", text, out->p);
}

static void test_message(void **state)
{
	static const char *const kept[] = {
		"Return-Path: <bounce+wang=receiver.example@esp.example>\r\n",
		"Message-ID: <7.wang=receiver.example@esp.example>\r\n",
		"List-Unsubscribe: <https://esp.example/u?e=wang%40receiver.example>\r\n",
		"From: News <news@esp.example>\r\n", "X-Note: \xc4\xe3\xba\xc3\r\n",
		"by out.esp.example", "To: <" TOKEN ">", "Comments: for " TOKEN, "X-Owner: <" TOKEN ">",
	};
	static const char *const gone[] = {
		"X-Assay", "mx1.mbox.example", "imap.mbox.example", "Xiaoming", "zhao@", "Zhao",
		"alias@", "wang@", "Delivered-To", "d2FuZ0ByZWNl", "zhao=40", "wang%40receiver.example\r",
	};
	(void)state;
	for (enum redact_profile profile = REDACT_TOKEN; profile <= REDACT_FULL;
	     profile = profile == REDACT_TOKEN ? REDACT_FULL : REDACT_FULL + 1) {
		struct buf out = BUF_INIT;
		bool eight = false;
		write_message(profile, &out, &eight);
		assert_true(eight);
		for (size_t i = 0; i < sizeof(kept) / sizeof(kept[0]); i++)
			assert_has(&out, kept[i], true);
		for (size_t i = 0; i < sizeof(gone) / sizeof(gone[0]); i++)
			assert_has(&out, gone[i], false);
		buf_free(&out);
	}
}

static void test_ids_only(void **state)
{
	struct buf out = BUF_INIT;
	bool eight;
	(void)state;
	write_message(REDACT_IDS_ONLY, &out, &eight);
	assert_string_equal(out.p, "Message-ID: <7.wang=receiver.example@esp.example>\r\n");
	buf_free(&out);
}

/* A megabyte of separators, of runs and of brackets takes linear time. */
static void test_hostile(void **state)
{
	static const char *const patterns[] = {"@", "=", "a=receiver.example", "<", "(", "%", "&#",
					       "A@", "wang@receiver.exampl"};
	size_t n = 1 << 20;
	char *text = malloc(n);
	(void)state;
	assert_non_null(text);
	for (size_t i = 0; i < sizeof(patterns) / sizeof(patterns[0]); i++) {
		size_t m = strlen(patterns[i]);
		for (size_t k = 0; k < n; k++)
			text[k] = patterns[i][k % m];
		/* only the whole address with one letter missing is none */
		assert_false(redact_finds(redactor, (struct span){text, n}));
	}
	free(text);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_token, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_disguises, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_utf16, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_others_stay, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_message, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_ids_only, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_hostile, set_up, tear_down),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
