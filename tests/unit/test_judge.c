/* Unit tests of feedback/judge.c with a worker of the test's own: answers, deaths, deadlines. */
#include <errno.h>
#include <fcntl.h>
#include <glob.h>
#include <math.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>
#include <cmocka.h>
#include <event2/event.h>

#include "base/clock.h"
#include "base/file.h"
#include "base/unix_socket.h"
#include "capture/txn_pack.h"
#include "feedback/judge_private.h"

/* What the worker does with a message, by its first word. */
static void work(int fd, struct judge_page *page)
{
	static const char event[] = "{\"event\":\"txn\",\"rcpts\":[{\"text\":\"\\\",\\\"reply\\\":null\"}],"
				    "\"reply\":null,\"complete\":true}\n";
	for (;;) {
		static char record[JUDGE_RECORD_BYTES];
		struct judge_ask ask;
		struct txn *t;
		struct pollfd p = {fd, POLLIN, 0};
		int passed, n = unix_receive(fd, record, sizeof(record), &passed);
		if (n == -EAGAIN) {
			poll(&p, 1, -1);
			continue;
		}
		memcpy(&ask, record, sizeof(ask));
		struct span octets = {record + sizeof(ask), (size_t)n - sizeof(ask)};
		if (n < (int)sizeof(ask) || txn_unpack(octets, passed, &t) < 0)
			_exit(2);
		if (passed >= 0)
			close(passed);
		page->working_on = ask.serial;
		if (span_starts(t->message, SPAN("poison")) ||
		    (span_starts(t->message, SPAN("once")) && !ask.retried))
			_exit(1);
		page->working_on = 0;
		if (span_starts(t->message, SPAN("silent"))) {
			txn_free(t);
			continue;
		}
		struct {
			struct judge_answer head;
			char texts[sizeof(event) - 1 + 3];
		} answer = {.head = {.kind = JUDGE_ANSWER, .serial = ask.serial, .score = 2.5,
				     .action = ACTION_TAG, .compliance = 50,
				     .lengths = {sizeof(event) - 1, 0, 3, 0, 0}}};
		memcpy(answer.texts, event, sizeof(event) - 1);
		memcpy(answer.texts + sizeof(event) - 1, "why", 3);
		n = (int)(offsetof(__typeof__(answer), texts) + sizeof(answer.texts));
		if (unix_send(fd, (struct span){(const char *)&answer, (size_t)n}, -1) < 0)
			_exit(3);
		txn_free(t);
	}
}

/* One that takes nothing off its socket is `stuck`. */
static pid_t start(int listener, bool stuck)
{
	pid_t pid = fork();
	if (pid != 0)
		return pid;
	struct pollfd p = {listener, POLLIN, 0};
	poll(&p, 1, -1);
	int fd = accept(listener, NULL, NULL), page = memfd_create("page", 0);
	uint32_t hello = JUDGE_HELLO;
	if (fd < 0 || ftruncate(page, sizeof(struct judge_page)) < 0 ||
	    unix_send(fd, (struct span){(const char *)&hello, sizeof(hello)}, page) < 0)
		_exit(4);
	fcntl(fd, F_SETFL, O_NONBLOCK);
	while (stuck)
		pause();
	work(fd, mmap(NULL, sizeof(struct judge_page), PROT_READ | PROT_WRITE, MAP_SHARED, page, 0));
	_exit(0);
}

static pid_t start_worker(int listener)
{
	return start(listener, false);
}

struct fixture {
	char state[64];
	struct config config;
	struct event_base *loop;
	struct judge *judge;
	int listener;
	pid_t worker;
	unsigned deaths;
};

struct outcome {
	bool done, judged;
	char why[16];
	double score, compliance;
	enum action action;
	char tell[8];
	int reply;
};

static void on_done(void *arg, const struct judgement *v)
{
	struct outcome *o = arg;
	*o = (struct outcome){.done = true, .judged = v->judged, .score = v->score,
			      .compliance = v->compliance, .action = v->action,
			      .reply = v->reply.code};
	snprintf(o->why, sizeof(o->why), "%s", v->why ? v->why : "");
	snprintf(o->tell, sizeof(o->tell), "%.*s", SPAN_ARG(v->tell));
}

static void decide(void *arg, struct judgement *v)
{
	(void)arg;
	if (!v->judged)
		return;
	v->reply = (struct txn_reply){550, SPAN("5.7.1"), SPAN("say \"no\"\nid=1")};
}

/* Lives until the next call. */
static struct span log_of(const struct fixture *f)
{
	static struct file_view view;
	static bool open;
	if (open)
		file_view_close(&view);
	char pattern[96];
	glob_t found;
	snprintf(pattern, sizeof(pattern), "%s/log/*.jsonl", f->state);
	assert_int_equal(glob(pattern, 0, NULL, &found), 0);
	assert_int_equal(file_view_open(found.gl_pathv[0], 1 << 20, &view), 0);
	globfree(&found);
	open = true;
	return view.bytes;
}

static size_t lines(struct span text)
{
	size_t n = 0;
	struct span line;
	while (span_next_line(&text, &line))
		n++;
	return n;
}

static int set_up(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));
	char path[96], name[JUDGE_NAME_BYTES];
	snprintf(f->state, sizeof(f->state), "/tmp/assay-judge-XXXXXX");
	assert_non_null(mkdtemp(f->state));
	config_init(&f->config);
	f->config.state = f->state;
	f->config.workers = 1;
	snprintf(path, sizeof(path), "%s/run", f->state);
	assert_int_equal(file_make_folder(path, 0700), 0);
	int folder = open(path, O_PATH);
	f->listener = unix_listen(folder, judge_slot_name(0, name), SOCK_SEQPACKET, 0600);
	assert_true(f->listener >= 0);
	close(folder);
	f->worker = start_worker(f->listener);
	f->loop = event_base_new();
	assert_int_equal(judge_open(&f->judge, &f->config, f->loop), 0);
	*state = f;
	return 0;
}

static int tear_down(void **state)
{
	struct fixture *f = *state;
	char command[128];
	judge_close(f->judge);
	event_base_free(f->loop);
	kill(f->worker, SIGKILL);
	waitpid(f->worker, NULL, 0);
	close(f->listener);
	config_free(&f->config);
	snprintf(command, sizeof(command), "rm -rf %s", f->state);
	assert_int_equal(system(command), 0);
	free(f);
	return 0;
}

static void submit(struct fixture *f, const char *message, int64_t wait_us, judge_decide_fn *d,
		   struct outcome *o)
{
	struct txn *t = txn_create(TXN_MILTER, clock_now_us());
	assert_non_null(t);
	t->message = span_of(message);
	t->size = t->message.n;
	judge_submit(f->judge, t, clock_mono_us() + wait_us, d, on_done, o);
}

/* Turns the loop until all are done; a worker that has died is followed by another. */
static void turn(struct fixture *f, const struct outcome *o, size_t n)
{
	int64_t until = clock_mono_us() + 20 * US_PER_S;
	for (size_t i = 0; i < n;) {
		assert_true(clock_mono_us() < until);
		event_base_loop(f->loop, EVLOOP_NONBLOCK);
		usleep(1000);
		if (waitpid(f->worker, NULL, WNOHANG) == f->worker) {
			f->deaths++;
			f->worker = start_worker(f->listener);
		}
		i += o[i].done;
	}
}

static void test_answers(void **state)
{
	struct fixture *f = *state;
	struct outcome o[100] = {0};
	for (size_t i = 0; i < 100; i++)
		submit(f, "good", 10 * US_PER_S, i == 7 ? decide : NULL, &o[i]);
	turn(f, o, 100);
	for (size_t i = 0; i < 100; i++) {
		assert_true(o[i].judged);
		assert_int_equal(o[i].action, ACTION_TAG);
		assert_string_equal(o[i].tell, "why");
		assert_int_equal(o[i].reply, i == 7 ? 550 : 0);
	}
	struct span log = log_of(f);
	assert_int_equal(lines(log), 100);
	/* the reply stands in its own place, not in what a recipient's text looks like */
	assert_true(span_find(log, SPAN("null\"}],\"reply\":{\"code\":550,\"enhanced\":\"5.7.1\","
					"\"text\":\"say \\\"no\\\"\\nid=1\"},\"complete\"")) !=
		    SIZE_MAX);
	assert_int_equal(judge_waiting(f->judge), 0);
}

static void test_deaths(void **state)
{
	struct fixture *f = *state;
	struct outcome o[20] = {0};
	for (size_t i = 0; i < 20; i++)
		submit(f, i == 3 ? "poison" : i == 9 ? "once" : "good", 15 * US_PER_S, NULL, &o[i]);
	turn(f, o, 20);
	for (size_t i = 0; i < 20; i++) {
		assert_int_equal(o[i].judged, i != 3);
		assert_string_equal(o[i].why, i == 3 ? "worker" : "");
	}
	assert_int_equal(f->deaths, 3);
	assert_int_equal(lines(log_of(f)), 20);
	char pattern[96];
	glob_t found;
	struct file_view view;
	snprintf(pattern, sizeof(pattern), "%s/aside/*.eml", f->state);
	assert_int_equal(glob(pattern, 0, NULL, &found), 0);
	assert_int_equal(found.gl_pathc, 1);
	assert_int_equal(file_view_open(found.gl_pathv[0], 1 << 20, &view), 0);
	assert_true(span_eq(view.bytes, SPAN("poison")));
	file_view_close(&view);
	globfree(&found);
	assert_true(span_find(log_of(f), SPAN("\"flags\":[\"unjudged\"]")) != SIZE_MAX);
}

static void test_deadlines(void **state)
{
	struct fixture *f = *state;
	struct outcome o[3] = {0};
	submit(f, "silent: x\r\nMessage-ID:\r\n <1@silent.example>\r\n\r\nMessage-ID: <2@x>\r\n",
	       US_PER_S / 10, NULL, &o[0]);
	submit(f, "good", 10 * US_PER_S, NULL, &o[1]);
	submit(f, "good", 0, NULL, &o[2]); /* over before it is asked */
	turn(f, o, 3);
	assert_string_equal(o[0].why, "deadline");
	assert_true(isnan(o[0].compliance));
	assert_int_equal(o[0].action, ACTION_ACCEPT);
	assert_true(o[1].judged);
	assert_int_equal(lines(log_of(f)), 3);
	/* by which a complaint finds it */
	assert_true(span_find(log_of(f), SPAN("\"message_id\":\"<1@silent.example>\"")) != SIZE_MAX);
}

/* No worker at all: the deadline holds, and closing leaves nothing without an event. */
static void test_no_worker(void **state)
{
	struct fixture *f = *state;
	struct outcome o[2] = {0};
	kill(f->worker, SIGKILL);
	waitpid(f->worker, NULL, 0);
	close(f->listener);
	submit(f, "good", US_PER_S / 10, NULL, &o[0]);
	submit(f, "good", 60 * US_PER_S, NULL, &o[1]);
	turn(f, o, 1);
	assert_string_equal(o[0].why, "deadline");
	judge_close(f->judge);
	f->judge = NULL;
	assert_string_equal(o[1].why, "stopped");
	assert_int_equal(lines(log_of(f)), 2);
	f->listener = open("/dev/null", O_RDONLY);
	f->worker = fork();
	if (f->worker == 0)
		_exit(0);
}

/* A worker whose socket is full does not keep mail from one that has room. */
static void test_full_socket(void **state)
{
	enum { SLOW = 40, ALL = 50 };
	struct fixture *f = *state;
	struct outcome o[ALL] = {0};
	char name[JUDGE_NAME_BYTES], path[96], *slow = malloc(50001), *good = malloc(50001);
	assert_true(slow && good);
	snprintf(path, sizeof(path), "%s/run", f->state);
	judge_close(f->judge);
	int folder = open(path, O_PATH);
	int listener = unix_listen(folder, judge_slot_name(1, name), SOCK_SEQPACKET, 0600);
	pid_t stuck = start(listener, true);
	f->config.workers = 2;
	assert_int_equal(judge_open(&f->judge, &f->config, f->loop), 0);
	memset(slow, 'x', 50000);
	slow[50000] = '\0';
	memcpy(good, slow, 50001);
	memcpy(slow, "silent", 6); /* as those that wait for the DNS */
	for (int i = 0; i < SLOW; i++)
		submit(f, slow, 15 * US_PER_S, NULL, &o[i]);
	for (int i = SLOW; i < ALL; i++)
		submit(f, good, 15 * US_PER_S, NULL, &o[i]);
	turn(f, o + SLOW, ALL - SLOW);
	for (int i = 0; i < ALL; i++)
		assert_int_equal(o[i].judged, i >= SLOW);
	kill(stuck, SIGKILL);
	waitpid(stuck, NULL, 0);
	close(listener);
	close(folder);
	judge_close(f->judge);
	f->judge = NULL;
	free(slow);
	free(good);
}

static bool both_there(const struct fixture *f)
{
	struct buf b = BUF_INIT;
	struct json j = JSON_INIT(&b);
	event_base_loop(f->loop, EVLOOP_NONBLOCK);
	judge_status(f->judge, &j);
	bool there = span_find(buf_span(&b), SPAN("\"workers\":2")) != SIZE_MAX;
	buf_free(&b);
	return there;
}

/* A worker that hangs costs the mail that it holds, and draws no more to itself. */
static void test_hung_worker(void **state)
{
	struct fixture *f = *state;
	struct outcome first = {0}, o[3] = {0};
	char name[JUDGE_NAME_BYTES], path[96];
	submit(f, "good", 10 * US_PER_S, NULL, &first);
	turn(f, &first, 1); /* nobody stands before the listener any more */
	judge_close(f->judge);
	waitpid(f->worker, NULL, 0);
	pid_t stuck = start(f->listener, true); /* where it is asked first */
	snprintf(path, sizeof(path), "%s/run", f->state);
	int folder = open(path, O_PATH);
	int listener = unix_listen(folder, judge_slot_name(1, name), SOCK_SEQPACKET, 0600);
	f->worker = start_worker(listener);
	f->config.workers = 2;
	assert_int_equal(judge_open(&f->judge, &f->config, f->loop), 0);
	for (int i = 0; !both_there(f); i++) {
		assert_true(i < 20000);
		usleep(1000);
	}
	for (int i = 0; i < 3; i++) {
		submit(f, "good", i ? 10 * US_PER_S : US_PER_S / 10, NULL, &o[i]);
		turn(f, &o[i], 1);
		assert_int_equal(o[i].judged, i > 0);
	}
	kill(stuck, SIGKILL);
	waitpid(stuck, NULL, 0);
	close(listener);
	close(folder);
	judge_close(f->judge);
	f->judge = NULL;
}

/* On a full disk nobody waits for his deadline: accepted, and the log has it later. */
static void test_full_disk(void **state)
{
	struct fixture *f = *state;
	struct outcome o[3] = {0};
	struct rlimit before, full;
	submit(f, "good", 10 * US_PER_S, decide, &o[0]);
	turn(f, o, 1);
	assert_int_equal(o[0].reply, 550);
	signal(SIGXFSZ, SIG_IGN);
	assert_int_equal(getrlimit(RLIMIT_FSIZE, &before), 0);
	full = before;
	full.rlim_cur = log_of(f).n;
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &full), 0);
	submit(f, "good", 3600 * US_PER_S, decide, &o[1]);
	submit(f, "good", 3600 * US_PER_S, NULL, &o[2]);
	turn(f, o + 1, 1);
	assert_false(o[1].judged);
	assert_string_equal(o[1].why, "log");
	assert_int_equal(o[1].action, ACTION_ACCEPT);
	assert_int_equal(o[1].reply, 0);
	assert_false(o[2].done); /* nobody waits for it: a spool's file stays until it is in the log */
	assert_int_equal(lines(log_of(f)), 1);
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &before), 0);
	turn(f, o + 2, 1);
	assert_true(o[2].judged);
	struct span log = log_of(f), line;
	assert_int_equal(lines(log), 3);
	assert_true(span_next_line(&log, &line));
	assert_int_equal(span_find(log, SPAN("\"reply\":{")), SIZE_MAX);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_answers, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_deaths, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_deadlines, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_no_worker, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_full_socket, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_hung_worker, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_full_disk, set_up, tear_down),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
