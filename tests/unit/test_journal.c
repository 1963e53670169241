/* Unit tests of feedback/journal.c: a line that no log takes holds nothing up. */
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>
#include <cmocka.h>
#include <event2/event.h>

#include "base/limits.h"
#include "feedback/eventlog.h"
#include "feedback/journal.h"

/* A limit on the size of files stands for the full disk. */
static void limit_files(rlim_t n)
{
	struct rlimit limit;
	getrlimit(RLIMIT_FSIZE, &limit);
	limit.rlim_cur = n;
	setrlimit(RLIMIT_FSIZE, &limit);
}

static void on_written(void *arg)
{
	*(int *)arg += 1;
}

static void check_log(const char *what, const char *state, const char *const want[], size_t n)
{
	const struct eventlog_position beginning = {.offset = 0};
	struct eventlog_reader *reader;
	struct span line;
	assert_int_equal(eventlog_reader_open(&reader, state, &beginning), 0);
	for (size_t i = 0; i < n; i++)
		if (eventlog_next(reader, &line) != 1 || !span_eq(line, span_of(want[i])))
			fail_msg("%s: line %zu", what, i);
	if (eventlog_next(reader, &line) != 0)
		fail_msg("%s: too much", what);
	eventlog_reader_close(reader);
}

static void hopeless_lines(void **unused)
{
	static char long_line[LIMIT_EVENT_BYTES];
	memset(long_line, 'x', sizeof(long_line));
	const struct {
		const char *what;
		struct span line;
		bool full; /* the disk, while it comes */
		bool fits;
	} rows[] = {
		{"an event", SPAN("{}\n"), false, true},
		{"an event on a full disk", SPAN("{}\n"), true, true},
		{"none", SPAN_NONE, false, false},
		{"none on a full disk", SPAN_NONE, true, false},
		{"two lines", SPAN("{}\n{}\n"), false, false},
		{"two lines on a full disk", SPAN("{}\n{}\n"), true, false},
		{"too long", {long_line, sizeof(long_line)}, false, false},
		{"too long on a full disk", {long_line, sizeof(long_line)}, true, false},
	};
	static const char *const want[] = {"before", "{}", "behind"}, *const lost[] = {"before", "behind"};
	(void)unused;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		char state[] = "/tmp/assay-journal-XXXXXX", command[64];
		struct config config;
		struct journal *j;
		struct buf status = BUF_INIT;
		struct json out = JSON_INIT(&status);
		struct event_base *loop = event_base_new();
		int written = 0, others = 0;
		assert_non_null(mkdtemp(state));
		config_init(&config);
		config.state = state;
		assert_int_equal(journal_open(&j, &config, loop), 0);
		limit_files(rows[i].full ? 0 : RLIM_INFINITY);
		journal_write(j, SPAN("before"), on_written, &others);
		assert_int_equal(journal_try(j, rows[i].line), rows[i].fits && !rows[i].full);
		if (!rows[i].fits || rows[i].full)
			journal_write(j, rows[i].line, on_written, &written);
		journal_write(j, SPAN("behind"), on_written, &others);
		limit_files(RLIM_INFINITY);
		if (rows[i].full)
			event_base_loop(loop, EVLOOP_ONCE); /* it tries once more */
		check_log(rows[i].what, state, rows[i].fits ? want : lost, rows[i].fits ? 3 : 2);
		assert_int_equal(others, 2);
		assert_int_equal(written, rows[i].fits && rows[i].full);
		journal_status(j, &out);
		const char *counts = rows[i].fits ? "{\"written\":3,\"waiting\":0,\"lost\":0,\"trouble\":null}"
						  : "{\"written\":2,\"waiting\":0,\"lost\":1,\"trouble\":null}";
		if (!strstr(status.p, counts))
			fail_msg("%s: %s", rows[i].what, status.p);
		journal_close(j);
		event_base_free(loop);
		config_free(&config);
		buf_free(&status);
		snprintf(command, sizeof(command), "rm -rf %s", state);
		assert_int_equal(system(command), 0);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(hopeless_lines),
	};
	signal(SIGXFSZ, SIG_IGN);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
