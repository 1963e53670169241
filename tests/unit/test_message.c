/* Unit tests of the message step: header text, addresses, parameters, charsets, parts, faults; and
 * real mail of others, when it is there. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <cmocka.h>

#include <ftw.h>
#include <stdio.h>

#include "analyze/message.h"
#include "analyze/param.h"
#include "analyze/rfc2047.h"
#include "base/file.h"
#include "base/limits.h"
#include "base/utf8.h"
#include "tests/unit/arena.h"

static void expect(const char *row, struct span got, const char *want)
{
	if (!span_eq(got, span_of(want)))
		fail_msg("'%s': got '%.*s', want '%s'", row, SPAN_ARG(got), want);
}

static void test_rfc2047(void **state)
{
	static const struct {
		const char *raw, *want;
		unsigned faults;
	} rows[] = {
		{"plain", "plain", 0},
		{" folded\r\n text \r\n", "folded text", 0},
		{"=?utf-8?Q?a_b=3F?=", "a b?", 0},
		{"=?utf-8?B?5Lg=?= =?utf-8?B?reWbvQ==?=", "中国", 0},
		{"=?UTF-8?B?5Lit?=\r\n =?utf-8?Q?=E5=9B=BD?= x", "中国 x", 0},
		{"=?utf-8?B?5LiH5Zu9?= =?gb2312?B?1tC5+g==?=", "万国中国", 0},
		{"=?gb2312?B?6Us=?=", "镵", 0}, /* GBK, not in GB 2312 */
		{"=?iso-8859-1?Q?=93x=94?=", "“x”", 0},
		{"=?iso-2022-jp?B?GyRCRnxLXBsoQg==?=", "日本", 0},
		{"=?ks_c_5601-1987?B?x9GxuQ==?=", "한국", 0},
		{"=?utf-8*en?Q?x?=", "x", 0},
		{"a =?utf-8?Q?b", "a =?utf-8?Q?b", RFC2047_BAD_WORD},
		{"=?utf-8?X?b?=", "=?utf-8?X?b?=", RFC2047_BAD_WORD},
		{"=?nonsense?Q?b?=", "b", RFC2047_UNKNOWN},
		{"=?utf-8?Q?a=0D=0AX:_b?=", "a  X: b", 0},
		{"caf\xe9 ol\xe9", "café olé", RFC2047_8BIT | RFC2047_8BIT_NO_UTF8},
		{"\xc4\xfa\xba\xc3\xa3\xac\xbb\xb6\xd3\xad", "您好，欢迎",
		 RFC2047_8BIT | RFC2047_8BIT_NO_UTF8},
		{"中国", "中国", RFC2047_8BIT},
	};
	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		unsigned faults = 0;
		expect(rows[i].raw,
		       rfc2047_decode(&arena, span_of(rows[i].raw), NULL, &faults), rows[i].want);
		if (faults != rows[i].faults)
			fail_msg("'%s': faults %u, want %u", rows[i].raw, faults, rows[i].faults);
	}
}

/* Our own libraries end a name at a NUL; nobody may be somebody else by one. */
static void test_nul_in_domain(void **state)
{
	static const char addr[] = "x@good.example\0.\xe4\xbe\x8b.test";
	struct address a;
	(void)state;
	address_split(&arena, (struct span){addr, sizeof(addr) - 1}, &a);
	assert_false(span_eq(a.domain, SPAN("good.example")));
	address_split(&arena, SPAN("x@\xc2\xad"), &a);
	assert_null(a.domain.p);
}

static void test_address(void **state)
{
	static const struct {
		const char *body;
		size_t n;
		const char *name, *local, *domain; /* of the first */
		unsigned faults;
	} rows[] = {
		{"joe@Example.COM", 1, "", "joe", "example.com", 0},
		{"Joe <joe@example.com>, b@x.test", 2, "Joe", "joe", "example.com", 0},
		{"\"A, \\\"B\\\"\" <\"j q\"@x.test>", 1, "A, \"B\"", "j q", "x.test", 0},
		{"joe@x.test (Joe (x) Doe)", 1, "Joe (x) Doe", "joe", "x.test", 0},
		{"=?utf-8?B?5Lit5Zu9?= <a@x.test>", 1, "中国", "a", "x.test", 0},
		{"g: a@x.test, b@x.test;", 2, "", "a", "x.test", ADDRESS_GROUP},
		{"undisclosed-recipients:;", 0, "", "", "", ADDRESS_GROUP},
		{"a:b:c@x.test;;", 1, "", "c", "x.test", ADDRESS_GROUP},
		{"<@r.test,@s.test:joe@x.test>", 1, "", "joe", "x.test", 0},
		{"a@例子.测试", 1, "", "a", "xn--fsqu00a.xn--0zwm56d", 0},
		{"joe", 1, "", "", "", ADDRESS_BAD},
		{"a@b@c.test <real@x.test>", 1, "a@b@c.test", "real", "x.test", 0},
		{"<joe@x.test", 1, "", "joe", "x.test", ADDRESS_BAD},
		{"", 0, "", "", "", 0},
		{"(", 0, "", "", "", ADDRESS_BAD},
		{"a@[192.0.2.1]", 1, "", "a", "[192.0.2.1]", 0},
	};
	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct addresses list = {0};
		unsigned faults = 0;
		addresses_read(&list, &arena, span_of(rows[i].body), NULL, &faults);
		if (list.n != rows[i].n || faults != rows[i].faults)
			fail_msg("'%s': %zu addresses, faults %u", rows[i].body, list.n, faults);
		if (list.n == 0)
			continue;
		expect(rows[i].body, list.v[0].name, rows[i].name);
		if (list.v[0].domain.p)
			expect(rows[i].body, list.v[0].local, rows[i].local);
		expect(rows[i].body, list.v[0].domain, rows[i].domain);
	}
}

static void test_param(void **state)
{
	static const struct {
		const char *body, *name, *want;
	} rows[] = {
		{"text/plain; charset=utf-8", "charset", "utf-8"},
		{"a/b; name=\"x \\\"y\\\" C:\\tmp\"", "name", "x \"y\" C:\\tmp"},
		{"a/b; name*1=c; name*0=\"ab\"", "name", "abc"},
		{"a/b; name*=utf-8'zh'%E4%B8%AD%E5%9B%BD", "name", "中国"},
		{"a/b; name*0*=utf-8''%E4%B8; name*1*=%AD.txt", "name", "中.txt"},
		{"a/b; name=plain; name*=utf-8''%E4%B8%AD", "name", "中"},
		{"a/b; name=\"=?gb2312?B?1tC5+g==?=\"", "name", "中国"},
		{"a/b; x=1 (comment); name=file.txt (x)", "name", "file.txt"},
	};
	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct params p;
		params_read(&p, &arena, span_of(rows[i].body), NULL);
		const struct param *param = params_find(&p, rows[i].name);
		expect(rows[i].body, param ? param->value : SPAN_NONE, rows[i].want);
	}
}

static void test_charset(void **state)
{
	static const struct {
		const char *octets, *label, *want;
		bool guessed;
	} rows[] = {
		{"abc", NULL, "abc", false},
		{"\xd6\xd0\xb9\xfa", "gb2312", "中国", false},
		{"中国", "iso-8859-1", "中国", true},
		{"\x93naïve\x94", "us-ascii", "“naÃ¯ve”", true},
		{"caf\xe9 na\xefve", NULL, "café naïve", true},
		{"\xd6\xd0\xb9\xfa\xc8\xcb\xc3\xf1", "utf-8", "中国人民", true},
		{"\xef\xbb\xbf" "x", "gb2312", "x", false},
		{"\xa4\xa4\xa4\xe5\xb6\x6c\xa5\xf3\xb0\x54\xae\xa7", NULL, "中文郵件訊息", true},
		{"+ADw-", "utf-7", "<", false},
		{"Fr+APY-sche", "unicode-1-1-utf-7", "Frösche", false},
		{"~{VP9z~}", "hz-gb-2312", "中国", false},
	};
	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct charset_text t = charset_decode(&arena, span_of(rows[i].octets),
						       span_of(rows[i].label), NULL);
		expect(rows[i].octets, t.text, rows[i].want);
		if (t.guessed != rows[i].guessed)
			fail_msg("'%s': guessed %d", rows[i].octets, t.guessed);
	}
}

/* What is said of octets elsewhere: the charset of an encoded word, or a label that is a lie. */
static void test_charset_hint(void **state)
{
	static const struct {
		const char *octets, *label, *hint, *want;
	} rows[] = {
		/* frames and GBK characters around a few common ones, one octet cut off */
		{"\xa9\xa4\xa9\xa4\xa8\x54 \xc4\xfa\xba\xc3\xa3\xac\xbb\xb6\xd3\xad", NULL, NULL,
		 "──═ 您好，欢迎"},
		{"\x96\x7c\x8c\x57 \xce\xd2\xc3\xc7", NULL, "gb2312", "東學 我们"},
		{"caf\xe9ol\xe9s na\xefve", NULL, "gb2312", "caféolés naïve"},
		{"\xc4\xfa\xba\xc3\xa3\xac\xbb\xb6\xd3\xad\xc4\xfa\xba\xc3\xa3\xac\xbb\xb6\xd3\xad"
		 "\xc4\xfa\xba\xc3\xa3\xac\xbb\xb6\xd3\xad\xc4\xfa\xba\xc3\xa3\xac\xbb\xb6\xd3\xad"
		 "\xc4\xfa\xba\xc3\xa3\xac\xbb\xb6\xd3\xad\xc4\xfa\xba\xc3\xa3\xac\xbb\xb6\xd3\xad\xc4",
		 NULL, NULL,
		 "您好，欢迎您好，欢迎您好，欢迎您好，欢迎您好，欢迎您好，欢迎�"},
		/* EUC-KR under a Chinese label; Chinese that is all in the rows of Hangul */
		{"\xc0\xcc \xbb\xf3\xc7\xb0\xc0\xba \xbf\xc0\xb4\xc3\xb8\xb8 "
		 "\xc7\xd2\xc0\xce\xc7\xd5\xb4\xcf\xb4\xd9", "gb2312", NULL,
		 "이 상품은 오늘만 할인합니다"},
		{"\xb4\xfa\xbf\xaa\xb5\xe7\xc4\xd4\xb0\xe6\xb7\xa2\xc6\xb1\xb4\xfa\xbf\xaa", "gb2312", NULL,
		 "代开电脑版发票代开"},
	};
	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		const struct charset *hint =
			rows[i].hint ? charset_find(span_of(rows[i].hint)) : NULL;
		struct charset_text t = charset_decode(&arena, span_of(rows[i].octets),
						       span_of(rows[i].label), hint);
		expect(rows[i].octets, t.text, rows[i].want);
	}
}

/* A multipart without its boundary, whose text has no label but the Subject's. */
static void test_words_charset(void **state)
{
	struct message m;
	(void)state;
	assert_int_equal(message_parse(&m, &arena,
				       SPAN("Subject: =?gb2312?B?1tA\r\nK5+g==?=\r\n"
					    "Content-Type: multipart/mixed; boundary=b\r\n\r\n"
					    "\x96\x7c\x8c\x57 \xce\xd2\xc3\xc7\r\n")), 0);
	assert_int_equal(m.n_parts, 1);
	expect("body", m.parts[0].text, "東學 我们\n");
}

#define GOOD_HEADER \
	"Date: Mon, 23 Nov 2026 16:00:00 +0800\r\nFrom: a@x.test\r\nMessage-ID: <1@x.test>\r\n"
#define MIXED \
	GOOD_HEADER "MIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n"

#define TEXT(type, encoding) \
	GOOD_HEADER "MIME-Version: 1.0\r\nContent-Type: " type \
		    "\r\nContent-Transfer-Encoding: " encoding "\r\n\r\n"
#define NAMED(field) GOOD_HEADER field "\r\n\r\nx\r\n"
#define X250 X50 X50 X50 X50 X50
#define X50 "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"

/* At least one row for each word of format_faults.def. */
static void test_faults(void **state)
{
	static const struct {
		const char *octets, *want; /* words in order */
		size_t n;		   /* of octets with a NUL; 0: up to the NUL */
	} rows[] = {
		{GOOD_HEADER "\r\nx\r\n", "", 0},
		{"From: a@x.test\r\n\r\nx\r\n", "no-date no-message-id ", 0},
		{NAMED("Date: x"), "dup-date ", 0},
		{"Date: x\r\nFrom: a@x.test\r\nMessage-ID: <1@x>\r\n\r\nx\r\n", "bad-date ", 0},
		{"Date: Tue, 23 Nov 2026 16:00:00 +0800\r\nFrom: a@x.test\r\n"
		 "Message-ID: <1@x> (y (z))\r\n\r\nx\r\n", "bad-weekday ", 0},
		{"Date: Mon, 23 Nov 26 16:00:00 EST\r\nFrom: a@x.test\r\n"
		 "Message-ID: <1@x> y\r\n\r\nx\r\n", "obsolete-date bad-message-id ", 0},
		{"Date: Mon, 23 Nov 2026 16:00:00 +0800\r\nMessage-ID: <1@>\r\n\r\nx\r\n",
		 "bad-message-id no-from ", 0},
		{"Date: Mon, 23 Nov 2026 16:00:00 +0800\r\nMessage-ID: <1@x>\r\nFrom: a b\r\n"
		 "\r\nx\r\n", "bad-from ", 0},
		{"Date: Mon, 23 Nov 2026 16:00:00 +0800\r\nMessage-ID: <1@x>\r\n"
		 "From: a@x.test, b@x.test\r\n\r\nx\r\n", "several-from-no-sender ", 0},
		{NAMED("From: a@x.test"), "dup-from ", 0},
		{NAMED("Sender: a@x.test, b@x.test"), "bad-sender ", 0},
		{NAMED("Sender: a@x.test\r\nSender: a@x.test"), "dup-sender ", 0},
		{NAMED("Reply-To: a"), "bad-reply-to ", 0},
		{NAMED("Reply-To: a@x.test\r\nReply-To: a@x.test"), "dup-reply-to ", 0},
		{NAMED("To: a..b@x.test"), "bad-to ", 0},
		{NAMED("To: undisclosed-recipients:;\r\nTo: a@x.test"), "dup-to ", 0},
		{NAMED("Cc: "), "bad-cc ", 0},
		{NAMED("Cc: a@x.test\r\nCc: a@x.test"), "dup-cc ", 0},
		{NAMED("Bcc: \r\nBcc: "), "dup-bcc ", 0},
		{NAMED("Subject: a\r\nSubject: b"), "dup-subject ", 0},
		{NAMED("Message-ID: <2@x.test>"), "dup-message-id ", 0},
		{NAMED("In-Reply-To: <2@x>\r\nIn-Reply-To: <2@x>"), "dup-in-reply-to ", 0},
		{NAMED("References: <2@x>\r\nReferences: <2@x>"), "dup-references ", 0},
		{GOOD_HEADER "\r\n" X250 X250 X250 X250 "\r\n", "line-too-long ", 0},
		{GOOD_HEADER "\r\nx\ry\nz\r\n", "bare-cr bare-lf ", 0},
		{GOOD_HEADER "\r\nx\0y\r\n", "nul ", sizeof(GOOD_HEADER "\r\nx\0y\r\n") - 1},
		{NAMED("no field\r\nSubject: x"), "bad-header-line ", 0},
		{NAMED("Subject: =?utf-8?B?5Lit\r\n5Zu9?=\r\nTo: a@x.test"), "bad-header-line ", 0},
		{NAMED("Subject : x"), "blank-before-colon ", 0},
		{NAMED("Subject: \xe9"), "8bit-header ", 0},
		{NAMED("Subject: =?utf-8?B?!?="), "bad-encoded-word ", 0},
		{NAMED("To: =?utf-8?B?!?= <a@x.test>"), "bad-encoded-word ", 0},
		{NAMED("Subject: =?utf-8?Q?" X50 X50 "?="), "long-encoded-word ", 0},
		{NAMED("To: =?utf-8?Q?" X50 X50 "?= <a@x.test>"), "long-encoded-word ", 0},
		{NAMED("Subject: =?x-none?Q?a?="), "charset-unknown ", 0},
		{NAMED("To: =?x-none?Q?a?= <a@x.test>"), "charset-unknown ", 0},
		{NAMED("Subject: =?utf-8?Q?=FF?="), "charset-mismatch ", 0},
		{NAMED("To: =?utf-8?Q?=FF?= <a@x.test>"), "charset-mismatch ", 0},
		{GOOD_HEADER "\r\n", "empty-body ", 0},
		{GOOD_HEADER "x\r\n", "bad-header-line no-empty-line ", 0},
		{NAMED("Content-Type: text/plain"), "no-mime-version ", 0},
		{NAMED("MIME-Version: 1.0\r\nMIME-Version: 1.0"), "dup-mime ", 0},
		{TEXT("text", "7bit") "x\r\n", "bad-content-type ", 0},
		{TEXT("text/plain; charset=utf-8", "8bit") "\xff\r\n", "charset-mismatch ", 0},
		{TEXT("text/plain; charset=x-none", "8bit") "\xff\r\n", "charset-unknown ", 0},
		{TEXT("text/plain; charset=utf-8", "7bit") "\xc3\xa9\r\n", "undeclared-8bit ", 0},
		{TEXT("text/plain", "uuencode") "x\r\n", "unknown-encoding ", 0},
		{TEXT("text/plain", "quoted-printable") "=x\r\n", "bad-qp ", 0},
		{TEXT("multipart/mixed; boundary=b", "base64") "--b\r\n\r\nx\r\n--b--\r\n",
		 "encoded-multipart ", 0},
		{MIXED "--b\r\n\r\nx\r\n--b--\r\n", "", 0},
		{MIXED "--b\r\n\r\nx\r\n", "unterminated-multipart ", 0},
		{MIXED "--c\r\n\r\nx\r\n", "missing-boundary ", 0},
		{MIXED "--b\r\nContent-Transfer-Encoding: base64\r\n\r\n!eA==\r\n--b--\r\n",
		 "bad-base64 ", 0},
	};
	bool raised[FAULT_KINDS] = {false};
	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct message m;
		char words[512] = "";
		struct span octets = span_of(rows[i].octets);
		octets.n = rows[i].n ? rows[i].n : octets.n;
		assert_int_equal(message_parse(&m, &arena, octets), 0);
		for (size_t k = 0; k < m.n_faults; k++) {
			raised[m.faults[k].kind] = true;
			strcat(words, m.faults[k].word);
			strcat(words, " ");
		}
		if (strcmp(words, rows[i].want) != 0)
			fail_msg("row %zu: got '%s', want '%s'", i, words, rows[i].want);
	}
	for (size_t i = 0; i < FAULT_KINDS; i++)
		if (!raised[i])
			fail_msg("no row raises %s", fault_infos[i].word);
}

/* Each word of format.faults has its own place, and says which word it is. */
static void test_fault_evidence(void **state)
{
	static const char octets[] = "From: a@x.test\r\nCc: \r\nDate: x\r\n\r\n\r\n";
	struct message m;
	struct facts f;
	struct txn txn = {.complete = true};
	const struct fact *fact = &f.v[F_FORMAT_FAULTS];
	size_t n = 0;
	(void)state;
	assert_int_equal(message_parse(&m, &arena, SPAN(octets)), 0);
	facts_init(&f, &arena);
	message_facts(&m, &txn, &f);
	for (const struct evidence *e = &fact->evidence; e; e = e->next, n++) {
		assert_true(n < fact->list.n);
		assert_true(span_starts(e->text, fact->list.v[n]));
		assert_int_equal(e->offset < 0, span_starts(e->text, SPAN("no-")));
	}
	assert_int_equal(n, fact->list.n);
	assert_int_equal(n, 4);
	expect("cc", fact->evidence.next->next->next->text, "bad-cc: Cc:");
}

/* What was decoded on the way and still says base64 is read as it stands; what the way damaged is
 * decoded around the damage. */
static void test_not_base64(void **state)
{
	static const struct {
		const char *body, *want;
	} rows[] = {
		{"\xe7\x89\xb9\xe4\xbb\xb7 50%, www.example.com", "特价 50%, www.example.com"},
		{"<p>Sale: 50% off!</p> <a href=\"#\">Go</a>", "<p>Sale: 50% off!</p> <a href=\"#\">Go</a>"},
		{"54m55Lu3!IDUwJSBvZmY=", "特价 50% off"},
		{"54m55Lu3IDUwJSBvZmY=", "特价 50% off"},
	};
	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct message m;
		char octets[512];
		snprintf(octets, sizeof(octets), "%s%s",
			 TEXT("text/plain; charset=utf-8", "base64"), rows[i].body);
		assert_int_equal(message_parse(&m, &arena, span_of(octets)), 0);
		assert_int_equal(m.n_parts, 1);
		expect(rows[i].body, m.parts[0].text, rows[i].want);
	}
}

static void test_parts(void **state)
{
	static const char octets[] = GOOD_HEADER
		"MIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=\"message/o\"\r\n\r\n"
		"--message/o\r\nContent-Type: multipart/alternative; boundary=i\r\n\r\n"
		"--i\r\nContent-Type: text/plain; charset=gb2312\r\n"
		"Content-Transfer-Encoding: base64\r\n\r\n1tC5+g0KeA==\r\n"
		"--i\r\nContent-Type: text/html\r\nContent-Transfer-Encoding: quoted-printable\r\n"
		"\r\n<b>=\r\nx=3D</b>\r\n--i--\r\n"
		"--message/o\r\nContent-Type: message/rfc822\r\n\r\nTo: a:a:a:a\r\n\r\ninner\r\n"
		"--message/o\r\nContent-Disposition: attachment; filename=f.txt\r\n\r\nfile\r\n"
		"--message/o--\r\n";
	struct message m;
	(void)state;
	assert_int_equal(message_parse(&m, &arena, SPAN(octets)), 0);
	assert_int_equal(m.n_parts, 4);
	expect("plain", m.parts[0].text, "中国\nx");
	expect("html", m.parts[1].text, "<b>x=</b>");
	expect("nested", m.parts[2].type, "message/rfc822");
	expect("nested body", span_sub(m.octets, m.parts[2].offset,
				       m.parts[2].offset + m.parts[2].length),
	       "To: a:a:a:a\r\n\r\ninner");
	expect("name", m.parts[3].filename, "f.txt");
	assert_true(m.parts[3].flags & PART_ATTACHMENT);
	assert_int_equal(m.parts[1].depth, 2);
	assert_false(m.partial);
}

/* --- what is too much ------------------------------------------------------- */

#define HOSTILE_BYTES ((size_t)10 << 20)

static char *repeat(const char *head, const char *unit)
{
	size_t n = strlen(head), u = strlen(unit);
	char *p = malloc(HOSTILE_BYTES + 1);
	assert_non_null(p);
	memcpy(p, head, n);
	while (n + u <= HOSTILE_BYTES) {
		memcpy(p + n, unit, u);
		n += u;
	}
	p[n] = '\0';
	return p;
}

static void test_hostile(void **state)
{
	static const struct {
		const char *name, *head, *unit;
		bool partial;
	} rows[] = {
		{"groups", "To: ", "a:", true},
		{"parts", MIXED, "--b\r\n\r\n", true},
		{"fields", "", "a: b\r\n", true},
		{"one field", "Subject: ", "x", true},
		{"folds", "Subject: x\r\n", " \r\n", true},
		{"addresses", "Cc: ", "a@b.test,", true},
		{"nesting", MIXED, "--b\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n", true},
		{"nested messages", MIXED "--b\r\n", "Content-Type: message/rfc822\r\n\r\n", false},
		{"dashes", MIXED, "--c\r\n", true},
		{"encoded words", "Subject: ", "=?utf-8?Q?x?= ", true},
		{"begun words", "Subject: ", "=?a?Q?", true},
		{"comments", "From: ", "(", true},
		{"text", MIXED "--b\r\n\r\n", "x\r\n", true},
		{"part fields", MIXED "--b\r\n", "a: b\r\n", true},
	};
	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		char *p = repeat(rows[i].head, rows[i].unit);
		struct message m;
		int r = message_parse(&m, &arena, span_of(p));
		if (r != 0 || m.partial != rows[i].partial)
			fail_msg("%s: %d, partial %d", rows[i].name, r, m.partial);
		arena_reset(&arena);
		free(p);
	}
}

/* 3 MiB of Latin-1 are 6 MiB of UTF-8. */
static void test_text_limit(void **state)
{
	static const char head[] = GOOD_HEADER "MIME-Version: 1.0\r\n"
		"Content-Type: text/plain; charset=iso-8859-1\r\n"
		"Content-Transfer-Encoding: 8bit\r\n\r\n";
	size_t n = sizeof(head) - 1, bytes = n + ((size_t)3 << 20);
	char *p = malloc(bytes);
	struct message m;
	(void)state;
	assert_non_null(p);
	memset(p, '\xe9', bytes);
	memcpy(p, head, n);
	for (size_t i = n + 70; i + 1 < bytes; i += 72)
		memcpy(p + i, "\r\n", 2);
	assert_int_equal(message_parse(&m, &arena, (struct span){p, bytes}), 0);
	assert_int_equal(m.n_parts, 1);
	assert_true(m.partial && m.parts[0].flags & PART_CUT);
	assert_true(m.parts[0].text.n <= LIMIT_TEXT_BYTES);
	assert_true(utf8_valid(m.parts[0].text));
	arena_reset(&arena);
	free(p);
}

/* --- real mail --------------------------------------------------------------- */

static size_t files, with_text;

static bool inside(const struct message *m, size_t offset, size_t length)
{
	return offset <= m->octets.n && length <= m->octets.n - offset;
}

static int parse_file(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	struct file_view view;
	struct message m;
	(void)ftw;
	if (type != FTW_F || st->st_size == 0 || file_view_open(path, 64 << 20, &view) < 0)
		return 0;
	arena_reset(&arena);
	if (message_parse(&m, &arena, view.bytes) != 0 || m.body_offset > m.octets.n)
		fail_msg("%s", path);
	for (size_t i = 0; i < m.n_headers; i++)
		if (!inside(&m, m.headers[i].offset, m.headers[i].field.n) ||
		    !utf8_valid(message_header_text(&m, &m.headers[i])))
			fail_msg("%s: field %zu", path, i);
	for (size_t i = 0; i < m.n_parts; i++) {
		if (!inside(&m, m.parts[i].offset, m.parts[i].length) ||
		    !utf8_valid(m.parts[i].text) || !utf8_valid(m.parts[i].filename))
			fail_msg("%s: part %zu", path, i);
		with_text += m.parts[i].text.n > 0;
	}
	for (size_t i = 0; i < m.from.n; i++)
		if (!utf8_valid(m.from.v[i].name) || !utf8_valid(m.from.v[i].addr))
			fail_msg("%s: From", path);
	files++;
	file_view_close(&view);
	return 0;
}

static void test_real(void **state)
{
	static const char *const sets[] = {"mail", "mime"};
	const char *shared = getenv("ASSAY_SHARED");
	char path[4096];
	(void)state;
	files = with_text = 0;
	for (size_t i = 0; shared && i < 2; i++) {
		snprintf(path, sizeof(path), "%s/%s", shared, sets[i]);
		nftw(path, parse_file, 32, FTW_PHYS);
	}
	print_message("# %zu files, %zu text parts\n", files, with_text);
	if (files == 0)
		skip(); /* the messages of others are not in ASSAY_SHARED */
	assert_true(with_text > files / 2);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_rfc2047), cmocka_unit_test(test_charset_hint),
		cmocka_unit_test(test_words_charset), cmocka_unit_test(test_address),
		cmocka_unit_test(test_nul_in_domain),
		cmocka_unit_test(test_param),   cmocka_unit_test(test_charset),
		cmocka_unit_test(test_faults),  cmocka_unit_test(test_parts),
		cmocka_unit_test(test_not_base64),
		cmocka_unit_test(test_fault_evidence),
		cmocka_unit_test(test_text_limit),
		cmocka_unit_test(test_hostile), cmocka_unit_test(test_real),
	};
	return cmocka_run_group_tests_name("message", tests, setup, teardown);
}
