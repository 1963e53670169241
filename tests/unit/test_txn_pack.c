/* Unit tests of capture/txn_pack.c: what goes in comes out; octets cut anywhere are refused. And of
 * capture/txn.c: an event fits into the log. */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>
#include <cmocka.h>

#include "base/file.h"
#include "base/limits.h"
#include "capture/txn_pack.h"

static struct txn *full_txn(void)
{
	struct txn *t = txn_create(TXN_MILTER, 1700000000000000);
	assert_non_null(t);
	t->session = SPAN("01SESSION");
	t->tx = 3;
	assert_true(ip_parse(SPAN("2001:db8::1"), &t->peer));
	t->peer_prov = PROV_SEEN;
	t->port = 52311;
	t->helo = (struct txn_text){SPAN("mx.example"), PROV_SEEN};
	t->mail_from = (struct txn_text){SPAN(""), PROV_SEEN};
	for (int i = 0; i < 3; i++) {
		struct txn_rcpt *rcpt = txn_add_rcpt(t);
		assert_non_null(rcpt);
		rcpt->to = i == 0 ? SPAN("a@mbox.example") : SPAN("b@mbox.example");
		rcpt->prov = PROV_SEEN;
		rcpt->reply.code = i == 2 ? 550 : 250;
		rcpt->reply.enhanced = i == 2 ? SPAN("5.1.1") : SPAN_NONE;
		rcpt->reply.text = i == 2 ? SPAN("no such user") : SPAN("");
	}
	txn_add_hole(t, 7, 9);
	t->message = SPAN("Subject: x\r\n\r\ny\r\n");
	t->size = t->message.n;
	t->hashed = true;
	memset(t->sha256, 0xab, sizeof(t->sha256));
	t->flags = TXN_SMTPUTF8 | TXN_BDAT;
	t->tls = (struct txn_tls){true, SPAN("TLSv1.3"), SPAN_NONE, SPAN("mx")};
	t->reply = (struct txn_reply){451, SPAN("4.7.1"), SPAN("later")};
	return t;
}

static void json_of(const struct txn *t, struct buf *out)
{
	struct json j = JSON_INIT(out);
	json_open(&j, NULL, '{');
	txn_write_json(t, &j);
	json_close(&j, '}');
	assert_false(out->failed);
}

static void same(const struct txn *t, const struct txn *u)
{
	struct buf a = BUF_INIT, b = BUF_INIT;
	json_of(t, &a);
	json_of(u, &b);
	assert_string_equal(a.p, b.p);
	assert_int_equal(t->message.p != NULL, u->message.p != NULL);
	assert_true(span_eq(t->message, u->message));
	assert_int_equal(t->rcpts[2].prov, u->rcpts[2].prov);
	assert_int_equal(t->helo.prov, u->helo.prov);
	assert_int_equal(t->flags, u->flags);
	buf_free(&a);
	buf_free(&b);
}

/* Without a message, with a short one, on both sides of the length that goes beside the record. */
static void test_round_trip(void **state)
{
	(void)state;
	static char octets[LIMIT_PACK_SENT_BYTES + 1];
	memset(octets, 'x', sizeof(octets));
	const struct span messages[] = {SPAN_NONE, SPAN(""), SPAN("Subject: x\r\n\r\ny\r\n"),
					{octets, LIMIT_PACK_SENT_BYTES / 2},
					{octets, sizeof(octets)}};
	for (size_t i = 0; i < sizeof(messages) / sizeof(messages[0]); i++) {
		struct txn *t = full_txn(), *u;
		struct txn_packed p;
		t->message = messages[i];
		t->size = t->message.n;
		assert_int_equal(txn_pack(t, &p), 0);
		assert_int_equal(p.fd >= 0, t->message.n > LIMIT_PACK_SENT_BYTES);
		assert_true(p.octets.n <= LIMIT_PACK_SENT_BYTES);
		if (p.fd >= 0)
			assert_int_equal(write(p.fd, "x", 1), -1); /* sealed */
		assert_int_equal(txn_unpack(buf_span(&p.octets), p.fd, &u), 0);
		txn_packed_free(&p);
		same(t, u);
		assert_non_null(txn_add_rcpt(u));
		txn_free(t);
		txn_free(u);
	}
}

static void test_cut_anywhere(void **state)
{
	(void)state;
	struct txn *t = full_txn(), *u;
	struct txn_packed p;
	assert_int_equal(txn_pack(t, &p), 0);
	struct span all = buf_span(&p.octets);
	for (size_t n = 0; n < all.n; n++) {
		int cut = memfd_create("cut", MFD_CLOEXEC);
		assert_int_equal(file_write_fd(cut, (struct span){all.p, n}), 0);
		assert_int_equal(txn_unpack(SPAN_NONE, cut, &u), -EBADMSG);
		assert_null(u);
		assert_int_equal(txn_unpack((struct span){all.p, n}, -1, &u), -EBADMSG);
		assert_null(u);
		close(cut);
	}
	txn_packed_free(&p);
	txn_free(t);
}

/* The log takes LIMIT_EVENT_BYTES, and a control character has six octets there. */
static void test_event_length(void **state)
{
	static char octets[65536];
	static const struct {
		const char *what;
		size_t rcpts, to, text;
		char octet;
		bool whole;
	} rows[] = {
		{"ordinary ones", LIMIT_RCPTS, 30, 60, 'a', true},
		{"the longest addresses of RFC 5321", LIMIT_RCPTS, 320, 60, 'a', true},
		{"control characters", 9000, 330, 0, '\1', false},
		{"control characters in replies", LIMIT_RCPTS, 20, LIMIT_REPLY_TEXT_BYTES, '\1', false},
		{"frames full of them", LIMIT_RCPTS, sizeof(octets), 0, '\1', false},
	};
	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct txn *t = txn_create(TXN_MILTER, 1);
		struct buf out = BUF_INIT;
		memset(octets, rows[i].octet, sizeof(octets));
		for (size_t n = 0; n < rows[i].rcpts; n++) {
			struct txn_rcpt *rcpt = txn_add_rcpt(t);
			assert_non_null(rcpt);
			rcpt->to = (struct span){octets, rows[i].to};
			rcpt->reply.text = (struct span){octets, rows[i].text};
		}
		json_of(t, &out);
		size_t n = 0, at, from = 0;
		const struct span to = SPAN("{\"to\":");
		for (; (at = span_find(span_sub(buf_span(&out), from, out.n), to)) != SIZE_MAX; n++)
			from += at + to.n;
		bool flagged = strstr(out.p, "\"too_many_rcpts\"");
		if (n == 0 || (n == rows[i].rcpts) != rows[i].whole || flagged == rows[i].whole ||
		    out.n > LIMIT_EVENT_RCPTS_BYTES + 6 * sizeof(octets) + 1024)
			fail_msg("%s: %zu recipients, %zu octets", rows[i].what, n, out.n);
		buf_free(&out);
		txn_free(t);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_round_trip),
		cmocka_unit_test(test_cut_anywhere),
		cmocka_unit_test(test_event_length),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
