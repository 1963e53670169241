/*
 * bench_books ASSAY [COMPLAINTS] [SENDERS] - complaints and what became of them on their way into the
 * books: through the event log's writer, the recorder and a redis-server of its own. At each tenth
 * the memory of recorder and Redis, the lines a second, and at the end whether `assay report` has
 * the same sums for every sender.
 */
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/json.h"
#include "base/json_in.h"
#include "feedback/books.h"
#include "feedback/eventlog.h"
#include "feedback/recorder.h"

#define TENTHS 10

struct sums {
	int64_t complaints, reports;
};

static struct config config;
static char folder[] = "/tmp/assay-bench.XXXXXX", file[64], state[64], server_name[64];
static pid_t server, recorder;

static void end(int code)
{
	char command[80];
	for (size_t i = 0; i < 2; i++) {
		pid_t pid = i ? server : recorder;
		if (pid > 0 && kill(pid, SIGTERM) == 0)
			waitpid(pid, NULL, 0);
	}
	snprintf(command, sizeof(command), "rm -rf %s", folder);
	exit(system(command) ? 1 : code);
}

static void must(int r, const char *what)
{
	if (r == 0)
		return;
	fprintf(stderr, "bench_books: %s: %d\n", what, r);
	end(1);
}

/* --- the two at work ------------------------------------------------------------------- */

static void start_server(void)
{
	char socket[80], log[80];
	snprintf(socket, sizeof(socket), "%s/redis.sock", folder);
	snprintf(log, sizeof(log), "%s/redis.log", folder);
	server = fork();
	if (server == 0) {
		execlp("redis-server", "redis-server", "--port", "0", "--unixsocket", socket, "--dir",
		       folder, "--appendonly", "yes", "--appendfsync", "everysec", "--save", "",
		       "--logfile", log, (char *)NULL);
		_exit(127);
	}
	for (int i = 0; i < 1000 && access(socket, F_OK) < 0; i++)
		usleep(10000);
}

static void configure(void)
{
	FILE *f = fopen(file, "w");
	if (!f || fprintf(f, "state %s\nredis %s\n", state, server_name) < 0 || fclose(f) != 0)
		must(-1, file);
	must(config_load(&config, file), "config");
}

static void start_recorder(void)
{
	int fds[2];
	must(pipe(fds), "pipe");
	recorder = fork();
	if (recorder == 0) {
		signal(SIGTERM, SIG_DFL);
		_exit(recorder_run(&config, fds[0], NULL) < 0);
	}
}

static void wait_for_recorder(struct redis *redis, const struct identity *id)
{
	struct eventlog_position end_now, marks[BOOKS_BUCKETS];
	must(eventlog_end(state, &end_now), "end of the log");
	for (bool there = false; !there; usleep(20000)) {
		must(books_marks(redis, id->gateway, marks), "marks");
		there = true;
		for (size_t i = 0; i < BOOKS_BUCKETS; i++)
			there = there && eventlog_position_cmp(&marks[i], &end_now) >= 0;
	}
}

static double resident_mb(pid_t pid)
{
	char name[64];
	long pages = 0;
	snprintf(name, sizeof(name), "/proc/%d/statm", (int)pid);
	FILE *f = fopen(name, "r");
	if (!f || fscanf(f, "%*s %ld", &pages) != 1)
		must(-1, name);
	fclose(f);
	return (double)pages * (double)sysconf(_SC_PAGESIZE) / (1 << 20);
}

/* --- what happens ---------------------------------------------------------------------- */

static uint64_t n_lines;

/* One line in a thousand comes twice, as after a crash between the log and the queue's commit. */
static void append(struct eventlog *log, struct buf *line)
{
	must(line->failed ? -1 : 0, "memory");
	for (int i = rand() % 1000 ? 1 : 2; i > 0; i--, n_lines++)
		must(eventlog_append(log, buf_span(line)), "append");
}

static void begin(struct json *j, struct buf *line, const char *event, const char *kind,
		  const char *sender)
{
	char id[ID_BYTES], time[CLOCK_TEXT_BYTES];
	int64_t now_us = clock_now_us();
	buf_reset(line);
	struct json fresh = JSON_INIT(line);
	*j = fresh;
	id_make(now_us, id);
	json_open(j, NULL, '{');
	json_cstr(j, "event", event);
	json_cstr(j, "id", id);
	json_cstr(j, "time", clock_rfc3339(now_us, time));
	json_cstr(j, "kind", kind);
	json_cstr(j, "sender", sender);
}

static void report(struct eventlog *log, const char *kind, const char *sender, const char *state_now,
		   uint64_t number)
{
	struct buf line = BUF_INIT;
	struct json j;
	char message_id[80];
	snprintf(message_id, sizeof(message_id), "<01M87VH7TA%016llu.%s@mbox.example>",
		 (unsigned long long)number, kind);
	begin(&j, &line, "report", kind, sender);
	json_cstr(&j, "complaint", NULL);
	json_cstr(&j, "message_id", message_id);
	json_cstr(&j, "state", state_now);
	json_close(&j, '}');
	append(log, &line);
	buf_free(&line);
}

static void complaint(struct eventlog *log, uint64_t number, unsigned sender, struct sums *sums)
{
	/* Of a hundred. */
	static const char *const outcomes[100] = {
		[0] = "duplicate", "duplicate", "duplicate", "duplicate", "duplicate", "unverified",
		"unverified", "unverified", "unverified", "no-sender", "no-sender", "failed-auth",
		"withdrawn",
	};
	struct buf line = BUF_INIT;
	struct json j;
	char name[32];
	const char *outcome = outcomes[rand() % 100], *kind = rand() % 50 ? "abuse" : "not-spam";
	outcome = outcome ? outcome : "report";
	snprintf(name, sizeof(name), "s%u.example", sender);
	begin(&j, &line, "complaint", kind, name);
	json_cstr(&j, "way", "imap");
	json_cstr(&j, "txn", "01M87VH7TAAAAAAAAAAAAAAAAA");
	json_cstr(&j, "outcome", outcome);
	json_close(&j, '}');
	append(log, &line);
	buf_free(&line);
	if (strcmp(outcome, "report") != 0)
		return;
	sums->complaints += strcmp(kind, "abuse") == 0;
	sums->reports++;
	report(log, kind, name, "queued", number);
	int luck = rand() % 100;
	report(log, kind, name, luck < 95 ? "sent" : luck < 98 ? "failed" : "suppressed", number);
}

/* --- the sums -------------------------------------------------------------------------- */

static int64_t number_of(const struct json_value *v, const char *key)
{
	int64_t n = -1;
	(void)json_in_int(json_in_get(v, key), &n);
	return n;
}

static unsigned check_sums(const char *assay, const struct sums *want, unsigned senders)
{
	char command[PATH_MAX + 100], line[4096];
	struct sums all = {0}, told = {0};
	unsigned n = 0, wrong = 0, at;
	snprintf(command, sizeof(command), "'%s' -c %s report --json", assay, file);
	FILE *f = popen(command, "r");
	while (f && fgets(line, sizeof(line), f)) {
		struct json_value *v = json_in_parse(span_trim(span_of(line)), NULL);
		struct sums s = {number_of(v, "complaints"), number_of(v, "reports")};
		struct span name = json_in_text(json_in_get(v, "sender"));
		bool known = name.p && sscanf(name.p, "s%u.example", &at) == 1 && at < senders;
		wrong += !known || s.complaints != want[at].complaints || s.reports != want[at].reports;
		told.complaints += s.complaints;
		told.reports += s.reports;
		n++;
		json_in_free(v);
	}
	must(f ? pclose(f) : -1, command);
	for (unsigned i = 0; i < senders; i++) {
		all.complaints += want[i].complaints;
		all.reports += want[i].reports;
	}
	printf("assay report: %u senders, %lld complaints of %lld, %lld reports of %lld, %u senders wrong\n",
	       n, (long long)told.complaints, (long long)all.complaints, (long long)told.reports,
	       (long long)all.reports, wrong);
	return wrong + (told.complaints != all.complaints) + (told.reports != all.reports);
}

int main(int argc, char **argv)
{
	uint64_t n = argc > 2 ? strtoull(argv[2], NULL, 10) : 1000000;
	unsigned senders = argc > 3 ? (unsigned)atoi(argv[3]) : 10000;
	struct sums *sums = calloc(senders, sizeof(*sums));
	struct eventlog *log;
	struct redis *redis;
	struct identity identity;
	if (argc < 2 || !sums || !senders || !mkdtemp(folder)) {
		fprintf(stderr, "usage: bench_books ASSAY [COMPLAINTS] [SENDERS]\n");
		return 64;
	}
	snprintf(state, sizeof(state), "%s/state", folder);
	snprintf(file, sizeof(file), "%s/assay.conf", folder);
	snprintf(server_name, sizeof(server_name), "unix:%s/redis.sock", folder);
	must(mkdir(state, 0700), state);
	start_server();
	configure();
	must(identity_load(&config, &identity), "identity");
	must(eventlog_open(&log, state), "log");
	start_recorder();
	must(redis_open(&redis, &config, 0), "redis");
	int64_t all_us = clock_mono_us();
	printf("%10s %10s %12s %10s %8s\n", "complaints", "lines", "recorder MB", "Redis MB",
	       "lines/s");
	for (unsigned tenth = 0; tenth < TENTHS; tenth++) {
		int64_t begin_us = clock_mono_us();
		uint64_t lines = n_lines;
		for (uint64_t i = n * tenth / TENTHS; i < n * (tenth + 1) / TENTHS; i++) {
			unsigned sender = (unsigned)rand() % senders;
			complaint(log, i, sender, &sums[sender]);
		}
		wait_for_recorder(redis, &identity);
		printf("%10llu %10llu %12.1f %10.1f %8.0f\n",
		       (unsigned long long)(n * (tenth + 1) / TENTHS), (unsigned long long)n_lines,
		       resident_mb(recorder), resident_mb(server),
		       (double)(n_lines - lines) * 1e6 / (double)(clock_mono_us() - begin_us));
		fflush(stdout);
	}
	printf("%.0f lines a second in all\n",
	       (double)n_lines * 1e6 / (double)(clock_mono_us() - all_us));
	redis_close(redis);
	eventlog_close(log);
	end(check_sums(argv[1], sums, senders) ? 1 : 0);
}
