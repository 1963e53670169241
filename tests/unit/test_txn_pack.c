/* Unit tests of capture/txn_pack.c: what goes in comes out; octets cut anywhere are refused. */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>
#include <cmocka.h>

#include "base/file.h"
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

static void test_round_trip(void **state)
{
	(void)state;
	for (int with_message = 0; with_message < 2; with_message++) {
		struct txn *t = full_txn(), *u;
		struct buf a = BUF_INIT, b = BUF_INIT;
		if (!with_message)
			t->message = SPAN_NONE;
		int fd = txn_pack(t);
		assert_true(fd >= 0);
		assert_int_equal(write(fd, "x", 1), -1); /* sealed */
		assert_int_equal(txn_unpack(fd, &u), 0);
		close(fd);
		json_of(t, &a);
		json_of(u, &b);
		assert_string_equal(a.p, b.p);
		assert_int_equal(u->message.p != NULL, with_message);
		assert_true(span_eq(t->message, u->message));
		assert_int_equal(t->rcpts[2].prov, u->rcpts[2].prov);
		assert_int_equal(t->helo.prov, u->helo.prov);
		assert_int_equal(t->flags, u->flags);
		assert_non_null(txn_add_rcpt(u));
		buf_free(&a);
		buf_free(&b);
		txn_free(t);
		txn_free(u);
	}
}

static void test_cut_anywhere(void **state)
{
	(void)state;
	struct txn *t = full_txn(), *u;
	struct span all;
	int fd = txn_pack(t);
	assert_true(fd >= 0);
	assert_int_equal(lseek(fd, 0, SEEK_SET), 0);
	assert_int_equal(file_read_fd(fd, 1 << 20, &all), 0);
	close(fd);
	for (size_t n = 0; n < all.n; n++) {
		int cut = memfd_create("cut", MFD_CLOEXEC);
		assert_int_equal(file_write_fd(cut, (struct span){all.p, n}), 0);
		assert_int_equal(txn_unpack(cut, &u), -EBADMSG);
		assert_null(u);
		close(cut);
	}
	free((void *)all.p);
	txn_free(t);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_round_trip),
		cmocka_unit_test(test_cut_anywhere),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
