/*
 * milter_probe - capture/milter.c with hooks that do what the envelope says, for tests.
 *
 *     milter_probe CONFIG LOG [FOLDER]
 *
 * Each transaction becomes a JSON line of LOG, its message FOLDER/ID.eml. The local part of the
 * sender is the answer: reject, reject2 (two lines), defer, close (421), tag, quarantine, slow (one
 * second), and mail-limit at MAIL, though with NO_LIMITS in the environment it says beforehand that
 * there are no limits. SIGTERM ends as `assay run` does.
 */
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/file.h"
#include "capture/milter.h"

static int log_fd;
static const char *folder;
static volatile sig_atomic_t stop;

static bool begins(struct span s, const char *word)
{
	struct span w = span_of(word);
	return span_starts(s, w) && s.n > w.n && s.p[w.n] == '@';
}

static void write_down(struct txn *t)
{
	struct buf b = BUF_INIT;
	struct json j = JSON_INIT(&b);

	json_open(&j, NULL, '{');
	json_cstr(&j, "event", "txn");
	txn_write_json(t, &j);
	json_close(&j, '}');
	buf_addc(&b, '\n');
	if (write(log_fd, b.p, b.n) != (ssize_t)b.n)
		abort();
	buf_reset(&b);
	buf_addf(&b, "%s/%s.eml", folder ? folder : "", t->id);
	int fd = folder && t->message.p ? open(b.p, O_WRONLY | O_CREAT | O_EXCL, 0644) : -1;
	if (fd >= 0 && (file_write_fd(fd, t->message) < 0 || close(fd) < 0))
		abort();
	buf_free(&b);
}

static bool limits(void *arg)
{
	(void)arg;
	return !getenv("NO_LIMITS");
}

static bool limit(void *arg, struct txn *t, struct milter_answer *a)
{
	(void)arg;
	if (!begins(t->mail_from.s, "mail-limit"))
		return false;
	*a = (struct milter_answer){.action = MILTER_DEFER, .code = "451", .enhanced = "4.7.28"};
	snprintf(a->text, sizeof(a->text), "100%% of the rate, wait 60 s\r");
	return true;
}

static void judge(void *arg, struct txn *t, struct milter_answer *a)
{
	static const struct {
		const char *word;
		enum milter_action action;
		const char *name, *code, *enhanced, *text;
	} answers[] = {
		{"reject", MILTER_REJECT, "reject", "554", "5.7.1", "no"},
		{"reject2", MILTER_REJECT, "reject", "550", "5.7.1", "no\nsee https://mbox.example/"},
		{"defer", MILTER_DEFER, "defer", "451", "4.7.0", "later"},
		{"close", MILTER_DEFER, "defer", "421", "4.7.0", "go away"},
		{"tag", MILTER_TAG, "tag", "", "", ""},
		{"quarantine", MILTER_QUARANTINE, "quarantine", "", "", ""},
	};
	const char *name = "accept";
	(void)arg;
	if (t->reply.code) { /* refused at MAIL; written before it is answered */
		write_down(t);
		txn_free(t);
		return;
	}
	if (begins(t->mail_from.s, "slow"))
		sleep(1);
	for (size_t i = 0; i < sizeof(answers) / sizeof(answers[0]); i++) {
		if (!begins(t->mail_from.s, answers[i].word))
			continue;
		a->action = answers[i].action;
		name = answers[i].name;
		strcpy(a->code, answers[i].code);
		strcpy(a->enhanced, answers[i].enhanced);
		if (answers[i].text[0])
			snprintf(a->text, sizeof(a->text), "%s; id=%s", answers[i].text, t->id);
	}
	snprintf(a->verdict, sizeof(a->verdict), "%s; id=%s; score=0; compliance=100", name, t->id);
	buf_adds(&a->auth_results, "mx1.mbox.example;\r\n\tspf=none smtp.mailfrom=a.example");
	if (a->code[0])
		t->reply = (struct txn_reply){.code = atoi(a->code),
					      .enhanced = span_of(a->enhanced),
					      .text = arena_copy(&t->arena, span_of(a->text))};
	write_down(t);
	txn_free(t);
}

static void ended(void *arg, struct txn *t)
{
	(void)arg;
	write_down(t);
	txn_free(t);
}

static void on_signal(int signal)
{
	(void)signal;
	stop = 1;
}

int main(int argc, char **argv)
{
	struct config config;
	const struct milter_hooks hooks = {limits, limit, judge, ended, NULL};
	if (argc < 3 || config_load(&config, argv[1]) != 0)
		return 64;
	folder = argv[3];
	log_fd = open(argv[2], O_WRONLY | O_CREAT | O_APPEND, 0644);
	signal(SIGTERM, on_signal);
	if (log_fd < 0 || milter_open(&config, &hooks) < 0 || milter_start() < 0) {
		config_free(&config);
		return 75;
	}
	while (!stop)
		usleep(20000);
	milter_stop();
	int64_t stopped_us = clock_mono_us();
	while (milter_open_transactions() && clock_mono_us() - stopped_us < 3 * US_PER_S)
		usleep(20000);
	milter_abandon();
	while (milter_open_transactions())
		usleep(1000);
	struct milter_counters c;
	milter_counters(&c);
	printf("connections %llu transactions %llu limited %llu ended %llu failed %llu\n",
	       (unsigned long long)c.connections, (unsigned long long)c.transactions,
	       (unsigned long long)c.limited, (unsigned long long)c.ended,
	       (unsigned long long)c.failed);
	fflush(stdout);
	_exit(0); /* libmilter's threads are still there */
}
