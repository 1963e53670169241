/* Unit tests of capture/octets.c: a message that meets a full disk. */
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <cmocka.h>

#include "base/limits.h"
#include "capture/octets.h"

#define PIECE 60000
#define PIECES 30
/* the pieces that memory holds; the next one goes to a file */
#define IN_MEMORY (LIMIT_SPILL_BYTES / PIECE * PIECE)

static char message[PIECES * PIECE];

/* A limit on the size of files stands for the full disk. */
static void limit_files(rlim_t n)
{
	struct rlimit limit;
	getrlimit(RLIMIT_FSIZE, &limit);
	limit.rlim_cur = n;
	setrlimit(RLIMIT_FSIZE, &limit);
}

static void full_disk(void **state)
{
	static const struct {
		const char *what;
		rlim_t room;
		size_t mark, cut; /* pieces; 0: never */
		size_t want;      /* octets that are given */
	} rows[] = {
		{"room for all", RLIM_INFINITY, 0, 0, sizeof(message)},
		{"none", 0, 0, 0, IN_MEMORY},
		{"not for what is in memory", IN_MEMORY - 1, 0, 0, IN_MEMORY},
		{"for that and no more", IN_MEMORY, 0, 0, IN_MEMORY},
		{"for a part of a piece", 25 * PIECE + 7, 0, 0, 25 * PIECE},
		{"none, and cut back", 0, 5, 20, 5 * PIECE},
		{"cut back in the file", 25 * PIECE + 7, 20, 28, 20 * PIECE},
		{"cut back out of the file", 25 * PIECE + 7, 5, 28, 5 * PIECE},
	};
	(void)state;
	for (size_t i = 0; i < sizeof(message); i++)
		message[i] = (char)(i * 7 >> 8);
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct octets *o = octets_create(true, true);
		struct txn *t = txn_create(TXN_MILTER, 1);
		assert_true(o && t);
		limit_files(rows[i].room);
		for (size_t n = 0; n < PIECES; n++) {
			if (rows[i].mark && n == rows[i].mark)
				octets_mark(o);
			octets_add(o, (struct span){message + n * PIECE, PIECE});
			if (rows[i].cut && n == rows[i].cut) {
				octets_cut(o);
				break;
			}
		}
		octets_give(o, t, true);
		limit_files(RLIM_INFINITY);
		if (t->message.n != rows[i].want ||
		    memcmp(t->message.p, message, rows[i].want) != 0 || !t->complete || !t->hashed ||
		    !!(t->flags & TXN_TRUNCATED) != (rows[i].want < sizeof(message)))
			fail_msg("%s: %zu octets, flags %x", rows[i].what, t->message.n, t->flags);
		assert_int_equal(t->size, rows[i].cut ? rows[i].mark * PIECE : sizeof(message));
		txn_free(t);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(full_disk),
	};
	signal(SIGXFSZ, SIG_IGN);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
