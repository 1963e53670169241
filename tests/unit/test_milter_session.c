/* One connection of an MTA, told step by step. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <arpa/inet.h>
#include <cmocka.h>
#include <netinet/in.h>

#include "capture/milter_session.h"
#include "capture/txn.h"

static const struct milter_names names = {"X-Assay-Verdict", "Authentication-Results",
					  "mx.mbox.example"};

static void test_authserv_id(void **state)
{
	static const struct {
		const char *value, *want;
	} rows[] = {
		{"mx.mbox.example; spf=pass", "mx.mbox.example"},
		{" mx.mbox.example 1; none", "mx.mbox.example"},
		{"\n\tmx.mbox.example\n ; none", "mx.mbox.example"},
		{"(one (two) \\) three) mx;", "mx"},
		{"mx(comment); none", "mx"},
		{"\"mx.mbox.example\" 1; none", "mx.mbox.example"},
		{"\"mx", "mx"},
		{"\"mx\\.mb\\ox.example\"; none", "mx.mbox.example"},
		{"\"mx\\\"x\\", "mx\"x\\"},
		{"(not closed mx; none", ""},
		{"(\\", ""},
		{"", ""},
		{";", ""},
	};
	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct buf room = BUF_INIT;
		struct span id = milter_authserv_id(span_of(rows[i].value), &room);
		if (!span_eq(id, span_of(rows[i].want)))
			fail_msg("'%s' gives '%.*s'", rows[i].value, SPAN_ARG(id));
		buf_free(&room);
	}
}

static void mail(struct milter_session *s, const char *path, const char *parameter)
{
	char *argv[] = {(char *)path, (char *)parameter, NULL};
	const struct milter_macros none = {0};
	assert_int_equal(milter_session_mail(s, argv, &none, 0), 0);
}

static void test_paths(void **state)
{
	static const struct {
		const char *path, *want;
	} rows[] = {
		{"<a@b.example>", "a@b.example"},
		{"a@b.example", "a@b.example"},
		{"<>", ""},
		{"", ""},
		{"<\"a>b\"@c.example>", "\"a>b\"@c.example"},
		{"<a@b.example", "a@b.example"},
	};
	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct milter_session *s = milter_session_create(&names);
		mail(s, rows[i].path, NULL);
		if (!s->txn->mail_from.s.p || !span_eq(s->txn->mail_from.s, span_of(rows[i].want)))
			fail_msg("'%s' gives '%.*s'", rows[i].path, SPAN_ARG(s->txn->mail_from.s));
		milter_session_free(s);
	}
}

static void test_refusals(void **state)
{
	static const struct {
		const char *mailer, *host;
		int code;
		const char *enhanced;
	} rows[] = {
		{"error", "5.1.1", 550, "5.1.1"},   {"error", "4.2.0", 450, "4.2.0"},
		{"error", "nouser", 550, NULL},	    {"error", "TEMPFAIL", 450, NULL},
		{"error", NULL, 550, NULL},	    {"local", "5.1.1", 250, NULL},
		{"", "", 250, NULL},		    {NULL, NULL, 250, NULL},
	};
	(void)state;
	struct milter_session *s = milter_session_create(&names);
	mail(s, "<a@b.example>", NULL);
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		const struct milter_refusal refusal = {span_of(rows[i].mailer),
						       span_of(rows[i].host), SPAN("words")};
		const struct txn_rcpt *r = milter_session_rcpt(s, "<r@mbox.example>", &refusal);
		assert_int_equal(r->reply.code, rows[i].code);
		assert_true(span_eq(r->reply.enhanced, span_of(rows[i].enhanced)));
		assert_true(span_eq(r->reply.text, rows[i].code == 250 ? SPAN_NONE : SPAN("words")));
	}
	milter_session_free(s);
}

static void test_peer(void **state)
{
	(void)state;
	struct milter_session *s = milter_session_create(&names);
	struct sockaddr_in6 mapped = {.sin6_family = AF_INET6, .sin6_port = htons(25)};
	char text[IP_TEXT_BYTES];
	inet_pton(AF_INET6, "::ffff:192.0.2.1", &mapped.sin6_addr);
	milter_session_connect(s, (struct sockaddr *)&mapped);
	assert_string_equal(ip_text(&s->peer, text), "192.0.2.1");
	assert_int_equal(s->port, 25);
	milter_session_connect(s, NULL); /* the MTA does not know, or a local pipe */
	mail(s, "<a@b.example>", "BODY=8BITMIME");
	assert_int_equal(s->txn->peer.family, 0);
	assert_int_equal(s->txn->peer_prov, PROV_UNKNOWN);
	assert_null(s->txn->helo.s.p);
	assert_int_equal(s->txn->flags, TXN_8BITMIME);
	milter_session_free(s);
}

static void test_message(void **state)
{
	(void)state;
	struct milter_session *s = milter_session_create(&names);
	mail(s, "<a@b.example>", "SMTPUTF8");
	s->leading_space = true;
	milter_session_field(s, SPAN("Subject"), SPAN("  x\n y"));
	milter_session_field(s, SPAN("Empty"), SPAN(""));
	s->leading_space = false;
	milter_session_field(s, SPAN("X-Assay-Verdict "), SPAN("forged"));
	milter_session_field(s, SPAN("Authentication-Results"), SPAN("mx.mbox.example.; none"));
	milter_session_end_of_fields(s);
	milter_session_body(s, SPAN("a\r"));
	milter_session_body(s, SPAN("\nb\r\n"));
	struct txn *t = milter_session_take(s, true);
	assert_true(span_eq(t->message,
			    SPAN("Subject:  x\r\n y\r\nEmpty:\r\nX-Assay-Verdict : forged\r\n"
				 "Authentication-Results: mx.mbox.example.; none\r\n\r\na\r\nb\r\n")));
	assert_int_equal(t->flags, TXN_SMTPUTF8); /* the CRLF between two pieces is whole */
	assert_true(t->complete && t->hashed);
	assert_int_equal(s->n_verdicts, 1);
	assert_int_equal(s->forged.n, sizeof(uint32_t));
	txn_free(t);
	milter_session_clear(s);
	assert_null(milter_session_take(s, true));
	/* a message without anything, and one that did not end */
	mail(s, "<a@b.example>", NULL);
	t = milter_session_take(s, true);
	assert_true(t->complete && t->message.p && t->message.n == 0);
	assert_int_equal(t->tx, 2);
	txn_free(t);
	mail(s, "<a@b.example>", NULL);
	milter_session_body(s, SPAN("half"));
	t = milter_session_take(s, false);
	assert_false(t->complete || t->hashed);
	txn_free(t);
	milter_session_free(s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_authserv_id), cmocka_unit_test(test_paths),
		cmocka_unit_test(test_refusals),    cmocka_unit_test(test_peer),
		cmocka_unit_test(test_message),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
