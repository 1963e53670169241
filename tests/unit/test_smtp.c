/* Unit tests of capture/: the end of data, octets that wait for the reply to DATA. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <cmocka.h>

#include "base/buf.h"
#include "base/limits.h"
#include "capture/smtp.h"

/* What is odd in a message is told whatever stands in front of it, and however it is cut. */
static void test_odd_octets(void **state)
{
	static const struct {
		const char *input;
		uint32_t want;
	} rows[] = {
		{"a\r\n.\r\n", 0},
		{"a\r\n..\r\n.\r\n", 0},
		{"a\n.\r\r\n.\r\n", TXN_BARE_LF | TXN_BARE_CR},
		{"a\rb\r\n.\r\n", TXN_BARE_CR},
		{"a\r\n.\rb\r\n.\r\n", TXN_BARE_CR},
		{"a\n.\rb\r\n.\r\n", TXN_BARE_LF | TXN_BARE_CR},
	};
	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		for (size_t cut = 1; cut <= strlen(rows[i].input); cut++) {
			struct eod e = {0};
			struct octets *out = octets_create(false, false);
			struct span all = span_of(rows[i].input), rest = span_sub(all, 0, cut);
			assert_non_null(out);
			eod_start(&e, EOD_STRICT);
			bool end = eod_feed(&e, out, &rest);
			rest = span_sub(all, cut, all.n);
			end = end || eod_feed(&e, out, &rest);
			uint32_t flags = e.flags & (TXN_BARE_CR | TXN_BARE_LF);
			if (!end || flags != rows[i].want)
				fail_msg("row %zu cut at %zu: end %d, flags %x, not %x", i, cut, end,
					 flags, rows[i].want);
			octets_free(out);
			eod_free(&e);
		}
}

struct seen {
	unsigned transactions;
	uint64_t octets;
};

static void on_transaction(void *arg, struct txn *t)
{
	struct seen *seen = arg;
	seen->transactions++;
	seen->octets += t->size;
	txn_free(t);
}

static void on_session(void *arg, const struct smtp_session *session)
{
	(void)arg;
	(void)session;
}

static struct smtp *start(struct seen *seen, struct smtp_counters *counters)
{
	static const struct smtp_events events = {on_transaction, on_session};
	static const struct smtp_options options = {.keep = true};
	struct tcp_connection c = {.client_port = 51000, .server_port = 25};
	struct smtp *s = smtp_create(&c, &options, &events, seen, "test", counters, true);
	assert_non_null(s);
	return s;
}

static void say(struct smtp *s, enum tcp_side side, const char *text)
{
	assert_true(smtp_feed(s, side, span_of(text), 1, false));
}

/* A client that says DATA and nothing else, in one segment: each refusal reads one of them. */
static void test_held_is_linear(void **state)
{
	struct seen seen = {0};
	struct smtp_counters counters = {0};
	struct smtp *s = start(&seen, &counters);
	struct buf commands = BUF_INIT;
	(void)state;
	while (commands.n + 6 <= LIMIT_HELD_BYTES)
		buf_adds(&commands, "DATA\r\n");
	say(s, TCP_SERVER, "220 mx\r\n");
	say(s, TCP_CLIENT, commands.p);
	for (size_t i = 0; i < commands.n / 6; i++)
		say(s, TCP_SERVER, "503 no\r\n");
	/* each octet once into what is held; copied for each refusal it would be 10^11 */
	if (counters.held_octets > 2 * commands.n)
		fail_msg("%llu octets were copied to hold %zu of DATA",
			 (unsigned long long)counters.held_octets, commands.n);
	assert_int_equal(counters.unmatched_replies, 0);
	smtp_end(s, 2);
	buf_free(&commands);
}

/* What waits is read once and whole, in whichever pieces it came. */
static void test_held_is_whole(void **state)
{
	static const char dialogue[] = "MAIL FROM:<a@b>\r\nRCPT TO:<c@d>\r\nDATA\r\nx: y\r\n\r\n1\r\n.\r\n"
				       "MAIL FROM:<e@f>\r\nRCPT TO:<c@d>\r\nDATA\r\nx: y\r\n\r\n22\r\n.\r\n"
				       "QUIT\r\n";
	static const char *const replies[] = {"250 ok\r\n", "250 ok\r\n", "354 go\r\n", "250 got\r\n"};
	struct span all = span_of(dialogue);
	(void)state;
	for (size_t cut = 1; cut < all.n; cut++) {
		struct seen seen = {0};
		struct smtp_counters counters = {0};
		struct smtp *s = start(&seen, &counters);
		say(s, TCP_SERVER, "220 mx\r\n");
		smtp_feed(s, TCP_CLIENT, span_sub(all, 0, cut), 1, false);
		smtp_feed(s, TCP_CLIENT, span_sub(all, cut, all.n), 1, false);
		for (int i = 0; i < 8; i++)
			say(s, TCP_SERVER, replies[i % 4]);
		say(s, TCP_SERVER, "221 bye\r\n");
		smtp_end(s, 2);
		if (seen.transactions != 2 || seen.octets != 11 + 12)
			fail_msg("cut at %zu: %u transactions, %llu octets", cut, seen.transactions,
				 (unsigned long long)seen.octets);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_odd_octets),
		cmocka_unit_test(test_held_is_linear),
		cmocka_unit_test(test_held_is_whole),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
