#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "feedback/eventlog.h"

static char state[] = "/tmp/assay-eventlog-XXXXXX";

static void remove_log(void)
{
	char command[128];
	snprintf(command, sizeof(command), "rm -rf %s/log", state);
	assert_int_equal(system(command), 0);
}

static int clean(void **unused)
{
	(void)unused;
	remove_log();
	return 0;
}

static struct eventlog *open_log(void)
{
	struct eventlog *log;
	assert_int_equal(eventlog_open(&log, state), 0);
	return log;
}

/* Path of the last segment. */
static void newest(char path[256])
{
	struct eventlog_position end;
	assert_int_equal(eventlog_end(state, &end), 0);
	snprintf(path, 256, "%s/log/%s", state, end.segment);
}

static void add_raw(const char *text)
{
	char path[256];
	newest(path);
	int fd = open(path, O_WRONLY | O_APPEND);
	assert_true(fd >= 0);
	assert_int_equal(write(fd, text, strlen(text)), (ssize_t)strlen(text));
	close(fd);
}

/* All lines from `from` on, joined by blanks. */
static const char *read_all(struct eventlog_position from)
{
	static char text[4096];
	struct eventlog_reader *reader;
	struct span line;
	size_t n = 0;
	int r;
	assert_int_equal(eventlog_reader_open(&reader, state, &from), 0);
	while ((r = eventlog_next(reader, &line)) > 0)
		n += (size_t)snprintf(text + n, sizeof(text) - n, "%s%.*s", n ? " " : "",
				      SPAN_ARG(line));
	assert_int_equal(r, 0);
	text[n] = '\0';
	eventlog_reader_close(reader);
	return text;
}

static const struct eventlog_position beginning;

static void positions(void **unused)
{
	(void)unused;
	static const struct {
		const char *text;
		bool ok;
	} rows[] = {
		{"", true},
		{"20261124-003000-123456.jsonl:0", true},
		{"20261124-003000-123456.jsonl:123456789012", true},
		{"20261124-003000-123456.jsonl", false},
		{"20261124-003000-123456.jsonl:", false},
		{"20261124-003000-123456.jsonl:-1", false},
		{"../../etc/passwd:1", false},
		{"20261124-003000-123456.jsonlx:1", false},
		{":1", false},
	};
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct eventlog_position p;
		char out[EVENTLOG_POSITION_BYTES];
		if (eventlog_position_parse(span_of(rows[i].text), &p) != rows[i].ok)
			fail_msg("'%s'", rows[i].text);
		if (rows[i].ok)
			assert_string_equal(eventlog_position_text(&p, out), rows[i].text);
	}
}

static void lines_and_places(void **unused)
{
	(void)unused;
	struct eventlog *log = open_log();
	struct eventlog_position at;
	struct span line;
	assert_int_equal(eventlog_append(log, SPAN("one\n")), 0);
	assert_int_equal(eventlog_append_at(log, SPAN("two"), &at), 0);
	assert_int_equal(eventlog_append(log, SPAN("three")), 0);
	assert_int_equal(eventlog_append(log, SPAN("a\nb")), -EINVAL);
	assert_int_equal(eventlog_append(log, SPAN("\n")), -EINVAL);
	assert_int_equal(at.offset, 4);
	assert_string_equal(read_all(beginning), "one two three");
	assert_string_equal(read_all(at), "two three");
	assert_int_equal(eventlog_line_at(state, &at, &line), 0);
	assert_string_equal(line.p, "two");
	free((char *)line.p);
	at.offset = 1000;
	assert_int_equal(eventlog_line_at(state, &at, &line), -ENOENT);
	eventlog_close(log);
}

static void torn_at_open(void **unused)
{
	(void)unused;
	eventlog_close(open_log());
	add_raw("whole\ntor");
	assert_string_equal(read_all(beginning), "whole");
	struct eventlog *log = open_log();
	assert_int_equal(eventlog_append(log, SPAN("next")), 0);
	assert_string_equal(read_all(beginning), "whole next");
	/* another process dies while this one is at work */
	char torn[10001];
	memset(torn, 'x', sizeof(torn) - 1);
	torn[sizeof(torn) - 1] = '\0';
	add_raw(torn);
	assert_int_equal(eventlog_append(log, SPAN("last")), 0);
	assert_string_equal(read_all(beginning), "whole next last");
	eventlog_close(log);
}

/* A reader that saw the torn line must not join its beginning with what replaced it. */
static void reader_beside_torn(void **unused)
{
	(void)unused;
	struct eventlog *log = open_log();
	struct eventlog_reader *reader;
	struct span line;
	assert_int_equal(eventlog_reader_open(&reader, state, &beginning), 0);
	assert_int_equal(eventlog_next(reader, &line), 0);
	add_raw("to");
	assert_int_equal(eventlog_next(reader, &line), 0);
	assert_int_equal(eventlog_append(log, SPAN("whole")), 0);
	assert_int_equal(eventlog_next(reader, &line), 1);
	assert_true(span_eq(line, SPAN("whole")));
	assert_int_equal(eventlog_next(reader, &line), 0);
	eventlog_reader_close(reader);
	eventlog_close(log);
}

static void segments(void **unused)
{
	(void)unused;
	struct eventlog *a = open_log(), *b = open_log();
	char path[256];
	assert_int_equal(eventlog_append(a, SPAN("1")), 0);
	assert_int_equal(eventlog_append(b, SPAN("2")), 0);
	newest(path);
	assert_int_equal(chmod(path, 0440), 0); /* finished by a third process */
	struct eventlog_reader *reader;
	struct span line;
	assert_int_equal(eventlog_reader_open(&reader, state, &beginning), 0);
	assert_int_equal(eventlog_next(reader, &line), 1);
	assert_int_equal(eventlog_append(b, SPAN("3")), 0);
	assert_int_equal(eventlog_append(a, SPAN("4")), 0);
	assert_string_equal(read_all(beginning), "1 2 3 4");
	assert_int_equal(eventlog_next(reader, &line), 1);
	assert_int_equal(eventlog_next(reader, &line), 1);
	assert_true(span_eq(line, SPAN("3")));
	struct eventlog_position p = eventlog_reader_line(reader);
	assert_int_equal(p.offset, 0);
	eventlog_reader_close(reader);
	/* the first segment is gone: reading goes on with the next */
	assert_int_equal(unlink(path), 0);
	assert_string_equal(read_all(beginning), "3 4");
	/* a segment of the future: the clock was set back */
	snprintf(path, sizeof(path), "%s/log/29990101-000000-999999.jsonl", state);
	close(open(path, O_CREAT | O_WRONLY, 0440));
	eventlog_close(b);
	b = open_log();
	assert_int_equal(eventlog_append(b, SPAN("5")), 0);
	assert_string_equal(read_all(beginning), "3 4 5");
	struct eventlog_position end;
	assert_int_equal(eventlog_end(state, &end), 0);
	assert_string_equal(end.segment, "29990101-000001-000000.jsonl");
	eventlog_close(a);
	eventlog_close(b);
}

/* A new segment behind the one that is finished here; its name. */
static void finish(struct eventlog *log, const char *next, time_t age,
		   char name_r[EVENTLOG_NAME_BYTES])
{
	struct eventlog_position end;
	char path[256];
	newest(path);
	assert_int_equal(eventlog_end(state, &end), 0);
	memcpy(name_r, end.segment, EVENTLOG_NAME_BYTES);
	struct timespec times[2] = {{time(NULL) - age, 0}, {time(NULL) - age, 0}};
	assert_int_equal(utimensat(AT_FDCWD, path, times, 0), 0);
	assert_int_equal(chmod(path, 0440), 0);
	assert_int_equal(eventlog_append(log, span_of(next)), 0);
}

static bool has(const char *name, const char *suffix)
{
	char path[256];
	snprintf(path, sizeof(path), "%s/log/%s%s", state, name, suffix);
	return access(path, F_OK) == 0;
}

static void old_segments(void **unused)
{
	(void)unused;
	const int64_t day = 86400 * 1000000LL;
	struct eventlog *log = open_log();
	struct eventlog_position in_first, end;
	struct span line;
	char first[EVENTLOG_NAME_BYTES], second[EVENTLOG_NAME_BYTES], large[20000];
	memset(large, 'l', sizeof(large));
	assert_int_equal(eventlog_append(log, SPAN("1")), 0);
	for (int i = 0; i < 50; i++) /* more than one piece of the compressor */
		assert_int_equal(eventlog_append(log, (struct span){large, sizeof(large)}), 0);
	assert_int_equal(eventlog_append_at(log, SPAN("2"), &in_first), 0);
	finish(log, "3", 100 * 86400, first);
	finish(log, "4", 2 * 86400, second);
	/* "2", "3" and "4", each with its LF; at the end nothing; from the beginning all */
	uint64_t behind;
	assert_int_equal(eventlog_behind(state, &in_first, &behind), 0);
	assert_int_equal(behind, 6);
	assert_int_equal(eventlog_behind(state, &beginning, &behind), 0);
	assert_int_equal(behind, 2 + 50 * (sizeof(large) + 1) + 6);
	/* nothing that the books have not got: the mark stands inside the first segment */
	assert_int_equal(eventlog_tidy(state, &in_first, day, 0), 0);
	assert_int_equal(eventlog_end(state, &end), 0);
	assert_int_equal(eventlog_behind(state, &end, &behind), 0);
	assert_int_equal(behind, 0);
	struct eventlog_reader *reader; /* one that is inside when it happens */
	assert_int_equal(eventlog_reader_open(&reader, state, &in_first), 0);
	assert_int_equal(eventlog_tidy(state, &end, day, 0), 1);
	assert_true(!has(first, "") && has(first, ".zst") && has(second, ""));
	assert_int_equal(eventlog_tidy(state, &end, 5 * day, 0), 0); /* too young */
	assert_int_equal(eventlog_tidy(state, &end, day, 0), 1);
	assert_true(!has(second, "") && has(second, ".zst"));
	assert_int_equal(eventlog_tidy(state, &end, day, 0), 0); /* the newest never */
	assert_int_equal(eventlog_next(reader, &line), 1);
	assert_true(span_eq(line, SPAN("2")));
	assert_int_equal(eventlog_next(reader, &line), 1);
	assert_true(span_eq(line, SPAN("3")));
	eventlog_reader_close(reader);
	/* places are what they were */
	assert_string_equal(read_all(in_first), "2 3 4");
	assert_int_equal(eventlog_line_at(state, &in_first, &line), 0);
	assert_string_equal(line.p, "2");
	free((char *)line.p);
	/* the age is that of the last line, compressed or not */
	assert_int_equal(eventlog_tidy(state, &in_first, day, 90 * day), 0);
	assert_int_equal(eventlog_tidy(state, &end, day, 90 * day), 1);
	assert_int_equal(eventlog_tidy(state, &end, day, 90 * day), 0);
	assert_true(!has(first, ".zst") && has(second, ".zst"));
	assert_string_equal(read_all(beginning), "3 4");
	assert_string_equal(read_all(in_first), "3 4");
	/* what the disk lost of it is passed over, and said */
	char path[256];
	snprintf(path, sizeof(path), "%s/log/%s.zst", state, second);
	assert_int_equal(truncate(path, 10), 0);
	assert_string_equal(read_all(beginning), "4");
	eventlog_close(log);
}

/* 2026-11-24 10:00:00 is 1795514400 */
static void at_a_time(void **unused)
{
	static const struct {
		int64_t us;
		const char *want;
	} rows[] = {
		{0, "20261124-080000-000000.jsonl"}, /* gone: the first */
		{1795514400000000, "20261124-100000-000000.jsonl"},
		{1795514399999999, "20261124-080000-000000.jsonl"},
		{1795514401000000, "20261124-100000-000000.jsonl"},
		{1795600000000000, "20261124-120000-000001.jsonl"},
	};
	struct eventlog_position at;
	(void)unused;
	assert_int_equal(eventlog_at_time(state, 0, &at), -ENOENT);
	eventlog_close(open_log());
	remove_log();
	char command[400];
	snprintf(command, sizeof(command), "mkdir %s/log && cd %s/log && touch "
		 "20261124-080000-000000.jsonl.zst 20261124-100000-000000.jsonl "
		 "20261124-120000-000001.jsonl", state, state);
	assert_int_equal(system(command), 0);
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		assert_int_equal(eventlog_at_time(state, rows[i].us, &at), 0);
		assert_string_equal(at.segment, rows[i].want);
		assert_int_equal(at.offset, 0);
	}
	assert_int_equal(eventlog_begun_us(&at), 1795521600000001);
}

static void rotates_at_size(void **unused)
{
	(void)unused;
	struct eventlog *log = open_log();
	char path[256];
	newest(path);
	/* 64 MiB of lines that take no room on the disk */
	int fd = open(path, O_WRONLY);
	for (off_t at = (off_t)8 << 20; at <= (off_t)64 << 20; at += (off_t)8 << 20)
		assert_int_equal(pwrite(fd, "\n", 1, at - 1), 1);
	close(fd);
	assert_int_equal(eventlog_append(log, SPAN("first")), 0);
	struct stat st;
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0440);
	struct eventlog_position end;
	assert_int_equal(eventlog_end(state, &end), 0);
	assert_int_equal(end.offset, 6);
	eventlog_close(log);
}

static void full_disk(void **unused)
{
	(void)unused;
	struct eventlog *log = open_log();
	assert_int_equal(eventlog_append(log, SPAN("before")), 0);
	/* A limit on the file's size stands for the full disk: the write is cut short. */
	struct rlimit old, tight = {12, 12};
	assert_int_equal(getrlimit(RLIMIT_FSIZE, &old), 0);
	tight.rlim_max = old.rlim_max;
	signal(SIGXFSZ, SIG_IGN);
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &tight), 0);
	assert_int_equal(eventlog_append(log, SPAN("too long for it")), -ENOSPC);
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &old), 0);
	assert_string_equal(read_all(beginning), "before");
	assert_int_equal(eventlog_append(log, SPAN("after")), 0);
	assert_string_equal(read_all(beginning), "before after");
	eventlog_close(log);
}

enum { WRITERS = 4, LINES = 500 };

static void several_writers(void **unused)
{
	(void)unused;
	eventlog_close(open_log());
	for (int w = 0; w < WRITERS; w++) {
		if (fork() == 0) {
			struct eventlog *log;
			char line[64];
			int r = eventlog_open(&log, state);
			for (int i = 0; r == 0 && i < LINES; i++) {
				snprintf(line, sizeof(line), "w%d i%d", w, i);
				r = eventlog_append(log, span_of(line));
			}
			_exit(r ? 1 : 0);
		}
	}
	int status;
	for (int w = 0; w < WRITERS; w++)
		assert_true(wait(&status) > 0 && status == 0);
	struct eventlog_reader *reader;
	struct span line;
	int next[WRITERS] = {0}, total = 0;
	assert_int_equal(eventlog_reader_open(&reader, state, &beginning), 0);
	while (eventlog_next(reader, &line) == 1) {
		int w, i;
		char copy[64];
		snprintf(copy, sizeof(copy), "%.*s", SPAN_ARG(line));
		assert_int_equal(sscanf(copy, "w%d i%d", &w, &i), 2);
		assert_int_equal(next[w]++, i);
		total++;
	}
	eventlog_reader_close(reader);
	assert_int_equal(total, WRITERS * LINES);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(positions),
		cmocka_unit_test_setup(lines_and_places, clean),
		cmocka_unit_test_setup(torn_at_open, clean),
		cmocka_unit_test_setup(reader_beside_torn, clean),
		cmocka_unit_test_setup(segments, clean),
		cmocka_unit_test_setup(old_segments, clean),
		cmocka_unit_test_setup(at_a_time, clean),
		cmocka_unit_test_setup(rotates_at_size, clean),
		cmocka_unit_test_setup(full_disk, clean),
		cmocka_unit_test_setup(several_writers, clean),
	};
	if (!mkdtemp(state))
		return 1;
	int r = cmocka_run_group_tests(tests, NULL, NULL);
	remove_log();
	rmdir(state);
	return r;
}
