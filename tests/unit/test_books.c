/* The books against an own count, with recorder and Redis killed at any moment. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/id.h"
#include "base/limits.h"
#include "feedback/books.h"
#include "feedback/eventlog.h"
#include "feedback/postings.h"
#include "feedback/receipts.h"
#include "feedback/recorder.h"
#include "feedback/redis_private.h"

static char state[] = "/tmp/assay-books-XXXXXX";
static struct config config = {.redis = {.kind = REDIS_SPAWN}};
static struct eventlog *events;
static const char *redis_server_is_missing;

#define NEED_REDIS()                                                                          \
	do {                                                                                  \
		if (redis_server_is_missing) {                                                \
			print_message("%s\n", redis_server_is_missing);                       \
			skip();                                                               \
		}                                                                             \
	} while (0)

/* --- our own count ------------------------------------------------------------------- */

enum { SENDERS = 5 };
struct count {
	uint64_t transactions, sent, accepted, hard, open, complaints, reports;
};
static struct count counts[SENDERS + 1]; /* the last one: all */

static void name_sender(unsigned i, char out[32])
{
	snprintf(out, 32, "s%u.example", i);
}

static void append(const char *line)
{
	assert_int_equal(eventlog_append(events, span_of(line)), 0);
}

/* What stands between the class and the end of a line: nothing of it counts. The last two have the
 * octets at which a reader may stop, in a string and in an inner object. */
static const char *const ends[] = {
	"",
	",\"findings\":[{\"rule\":\"x\",\"evidence\":\"{]\"}],\"action\":\"accept\"",
	",\"findings\":[],\"partial\":true",
	",\"subject\":\"a,\\\"findings\\\":[b\",\"action\":\"accept\"",
	",\"auth\":{\"dns\":1,\"findings\":[1]},\"findings\":[],\"score\":1",
};

/* One transaction with one recipient; `rcpt_code` and `reply` 0: null. */
static void add_txn(unsigned sender, int rcpt_code, int reply, bool complete, int64_t time_us,
		    const char *to, const char *message_id, const char *source)
{
	static unsigned made;
	char line[1024], id[ID_BYTES], when[CLOCK_TEXT_BYTES], name[32], code[8], answer[32];
	id_make(clock_now_us(), id);
	name_sender(sender, name);
	snprintf(code, sizeof(code), rcpt_code ? "%d" : "null", rcpt_code);
	snprintf(answer, sizeof(answer), reply ? "{\"code\":%d}" : "null", reply);
	snprintf(line, sizeof(line),
		 "{\"event\":\"txn\",\"id\":\"%s\",\"time\":\"%s\",\"source\":\"%s\","
		 "\"peer\":\"192.0.2.%u\",\"mail_from\":\"b@bounce%u.example\","
		 "\"rcpts\":[{\"to\":\"%s\",\"code\":%s}],\"reply\":%s,\"complete\":%s,"
		 "\"message_id\":%s%s%s,\"sender\":{\"by\":\"dkim\",\"key\":\"%s\","
		 "\"registered\":null},\"list\":\"l%u\",\"campaign\":\"c%u\","
		 "\"class\":{\"kind\":\"commercial\"}%s}",
		 id, clock_rfc3339(time_us, when), source, sender + 1, sender, to, code, answer,
		 complete ? "true" : "false", message_id ? "\"" : "",
		 message_id ? message_id : "null", message_id ? "\"" : "", name, sender, sender,
		 ends[made++ % (sizeof(ends) / sizeof(ends[0]))]);
	append(line);
}

static void add_outcome(unsigned sender, const char *event, const char *id, const char *kind,
			const char *key, const char *word)
{
	char line[512], when[CLOCK_TEXT_BYTES], name[32];
	name_sender(sender, name);
	snprintf(line, sizeof(line),
		 "{\"event\":\"%s\",\"id\":\"%s\",\"time\":\"%s\",\"kind\":\"%s\",\"sender\":\"%s\","
		 "\"%s\":\"%s\"}",
		 event, id, clock_rfc3339(clock_now_us(), when), kind, name, key, word);
	append(line);
}

static void expect(unsigned sender, struct count c)
{
	struct count *both[] = {&counts[sender], &counts[SENDERS]};
	for (size_t i = 0; i < 2; i++) {
		both[i]->transactions += c.transactions;
		both[i]->sent += c.sent;
		both[i]->accepted += c.accepted;
		both[i]->hard += c.hard;
		both[i]->open += c.open;
		both[i]->complaints += c.complaints;
		both[i]->reports += c.reports;
	}
}

static void read_row(struct redis *redis, const char *name, int64_t now_us, struct books_row *row_r)
{
	struct span one = span_of(name);
	assert_int_equal(books_read(redis, &one, 1, now_us, 0, row_r), 0);
}

#define DAY_US (86400 * US_PER_S)

/* A transaction of two hours ago is in the day, not in the hour; one of half a window of a minute
 * ago is partly in it. */
static void windows_slide(void **unused)
{
	static const struct {
		int64_t age_s;
		double minute, hour, day;
	} rows[] = {
		{0, 1, 1, 1},	   {30, 1, 1, 1},	 {120, 0, 1, 1},
		{7200, 0, 0, 1},   {86400 + 120, 0, 0, 0}, {3 * 86400, 0, 0, 0},
	};
	(void)unused;
	/* the middle of a minute: half of the oldest one is in a window */
	const int64_t now = clock_now_us() / (60 * US_PER_S) * 60 * US_PER_S + 30 * US_PER_S;
	struct redis *redis;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		char line[512], when[CLOCK_TEXT_BYTES], id[ID_BYTES], name[32];
		struct books_row row;
		id_make(now, id);
		snprintf(line, sizeof(line),
			 "{\"event\":\"txn\",\"id\":\"%s\",\"time\":\"%s\",\"source\":\"eml\",\"peer\":null,"
			 "\"mail_from\":\"w@w.example\",\"rcpts\":[],\"reply\":null,\"complete\":true,"
			 "\"message_id\":null,\"class\":{\"kind\":\"kind%zu\"},"
			 "\"sender\":{\"by\":\"dkim\",\"key\":\"w%zu.example\"}}",
			 id, clock_rfc3339(now - rows[i].age_s * US_PER_S, when), i, i);
		append(line);
		counts[SENDERS].transactions++;
		assert_int_equal(recorder_catch_up(&config), 0);
		assert_true(redis_open(&redis, &config, REDIS_MAY_START) >= 0);
		/* the day that it was in, counted from today */
		int64_t ago = now / DAY_US - (now - rows[i].age_s * US_PER_S) / DAY_US;
		struct books_row series[BOOKS_DAYS];
		snprintf(name, sizeof(name), "k:kind%zu", i);
		struct span one = span_of(name);
		assert_int_equal(books_read(redis, &one, 1, now, (int)ago + 1, &row), 0);
		assert_int_equal(row.transactions, 1);
		assert_int_equal(books_series(redis, name, BOOKS_DAY, now, series), 0);
		for (int64_t d = 0; d < BOOKS_DAYS; d++)
			assert_int_equal(series[BOOKS_DAYS - 1 - d].transactions, d == ago);
		if (ago) {
			assert_int_equal(books_read(redis, &one, 1, now, (int)ago, &row), 0);
			assert_int_equal(row.transactions, 0);
		}
		snprintf(name, sizeof(name), "s:w%zu.example", i);
		read_row(redis, name, now, &row);
		redis_close(redis);
		const struct books_window *w = &row.window;
		if (w->minute != rows[i].minute || w->hour != rows[i].hour || w->day != rows[i].day)
			fail_msg("%lld s: %g %g %g", (long long)rows[i].age_s, w->minute, w->hour,
				 w->day);
	}
}

/* What one transaction of 1970 with these names adds to the log; it is in no window. */
static void name_line(char *line, size_t size, const char *sender, const char *list,
		      const char *campaign)
{
	char id[ID_BYTES];
	id_make(clock_now_us(), id);
	snprintf(line, size,
		 "{\"event\":\"txn\",\"id\":\"%s\",\"time\":\"1970-01-01T00:00:00Z\",\"source\":"
		 "\"milter\",\"peer\":\"198.51.100.1\",\"mail_from\":\"n@n.example\",\"rcpts\":"
		 "[{\"to\":\"u@m.example\",\"code\":450}],\"reply\":null,\"complete\":false,"
		 "\"message_id\":null,\"sender\":{\"by\":\"dkim\",\"key\":\"%s\"},\"list\":\"%s\","
		 "\"campaign\":\"%s\"}",
		 id, sender, list, campaign);
}

/* Names that are alike in their first 255 octets are one; none is cut inside a character. */
static void long_names(void **unused)
{
	(void)unused;
	static const struct {
		const char *character;
		size_t n, kept; /* characters, and octets that the books have */
	} rows[] = {{"x", 255, 255}, {"x", 256, 255}, {"x", 60000, 255}, {"\xe4\xbd\xa0", 85, 255},
		    {"\xc3\xa9", 128, 254}, {"\xc3\xa9", 30000, 254}};
	static char name[70000], line[300000], row[70000];
	struct redis *redis;
	NEED_REDIS();
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		char sender[32];
		struct books_row got;
		size_t size = strlen(rows[i].character);
		snprintf(sender, sizeof(sender), "n%zu.example", i);
		for (size_t k = 0; k < rows[i].n; k++)
			memcpy(name + k * size, rows[i].character, size + 1);
		name_line(line, sizeof(line), sender, name, name);
		append(line);
		counts[SENDERS].transactions++;
		counts[SENDERS].sent += i == 0; /* one recipient, tried again */
		counts[SENDERS].open += i == 0;
		assert_int_equal(recorder_catch_up(&config), 0);
		assert_int_equal(redis_open(&redis, &config, REDIS_MAY_START), 0);
		for (size_t k = 0; k < 2; k++) {
			snprintf(row, sizeof(row), "%c:%s/%.*s", "lc"[k], sender, (int)rows[i].kept,
				 name);
			read_row(redis, row, clock_now_us(), &got);
			if (got.transactions != 1)
				fail_msg("row %zu, %c: %lu transactions", i, "lc"[k],
					 got.transactions);
		}
		redis_close(redis);
	}
}

/* The longest that a key of that pattern lives on; -1: one lives for ever, or there is none. */
static int64_t longest_life(struct redis *redis, const char *pattern)
{
	const struct redis_answer *answer;
	const struct span keys[] = {SPAN("KEYS"), span_of(pattern)};
	char name[128];
	int64_t longest = -1;
	assert_int_equal(redis_ask_master(redis, 0, 2, keys, &answer), 0);
	size_t n = redis_answer_count(answer);
	for (size_t i = 0; i < n; i++) {
		assert_int_equal(redis_ask_master(redis, 0, 2, keys, &answer), 0);
		snprintf(name, sizeof(name), "%.*s",
			 SPAN_ARG(redis_answer_text(redis_answer_at(answer, i))));
		const struct span ttl[] = {SPAN("TTL"), span_of(name)};
		assert_int_equal(redis_ask_master(redis, 0, 2, ttl, &answer), 0);
		int64_t seconds = redis_answer_int(answer);
		if (seconds < 0)
			return -1;
		longest = seconds > longest ? seconds : longest;
	}
	return longest;
}

/* A total that nobody can find any more is not kept, and none ends before its names. */
static void totals_end_with_their_names(void **unused)
{
	(void)unused;
	static const struct {
		const char *totals, *names;
	} rows[] = {{"*:T:l:w.example/life", "*:names:l:"},
		    {"*:T:c:w.example/life", "*:names:c:"},
		    {"*:T:i:198.51.100.1", "*:names:i:"}};
	static char line[1024];
	struct redis *redis;
	NEED_REDIS();
	name_line(line, sizeof(line), "w.example", "life", "life");
	append(line);
	counts[SENDERS].transactions++; /* the recipient of long_names() */
	assert_int_equal(recorder_catch_up(&config), 0);
	assert_int_equal(redis_open(&redis, &config, REDIS_MAY_START), 0);
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		int64_t total = longest_life(redis, rows[i].totals);
		int64_t names = longest_life(redis, rows[i].names);
		if (names < 0 || total < names || total > 40 * 86400)
			fail_msg("%s lives for %ld s, its names for %ld s", rows[i].totals, total,
				 names);
	}
	redis_close(redis);
}

/* However mail looks, what goes to Redis in one call has an end. */
static void a_call_has_a_bound(void **unused)
{
	(void)unused;
	static const struct {
		size_t name, rcpts; /* octets of list and campaign; recipients */
		unsigned at_most;   /* events */
	} rows[] = {{5, 1, 150}, {255, 1, 150}, {60000, 1, 150}, {5, 100, 4}, {5, 50000, 1}};
	static char name[60001], line[4000000];
	const struct eventlog_position at = {.segment = "20261125-080000-000000.jsonl"};
	static const struct eventlog_position marks[BOOKS_BUCKETS];
	struct identity identity;
	assert_int_equal(identity_load(&config, &identity), 0);
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct postings p;
		unsigned n_events = 0;
		size_t arguments = 0, octets = 0;
		memset(name, 'x', rows[i].name);
		name[rows[i].name] = '\0';
		size_t n = (size_t)snprintf(
			line, sizeof(line),
			"{\"event\":\"txn\",\"id\":\"1\",\"time\":\"2026-11-25T08:00:00Z\",\"mail_from\":"
			"\"n@n.example\",\"message_id\":\"<1@x>\",\"sender\":{\"key\":\"n.example\"},"
			"\"list\":\"%s\",\"campaign\":\"%s\",\"rcpts\":[",
			name, name);
		for (size_t k = 0; k < rows[i].rcpts; k++)
			n += (size_t)snprintf(line + n, sizeof(line) - n,
					      "%s{\"to\":\"u%zu@m.example\",\"code\":450}",
					      k ? "," : "", k);
		n += (size_t)snprintf(line + n, sizeof(line) - n, "]}");
		postings_init(&p, &identity);
		while (!p.full && n_events++ < LIMIT_BATCH_EVENTS)
			assert_true(postings_add(&p, (struct span){line, n}, &at, marks));
		for (size_t b = 0; b < BOOKS_BUCKETS; b++) {
			arguments = p.buckets[b].n > arguments ? p.buckets[b].n : arguments;
			octets = p.buckets[b].bytes.n > octets ? p.buckets[b].bytes.n : octets;
		}
		if (p.failed || n_events > rows[i].at_most || octets > 2 * LIMIT_CALL_OCTETS ||
		    arguments > LIMIT_CALL_ARGUMENTS + 7 * (LIMIT_EVENT_UNITS + 4))
			fail_msg("row %zu: %u events, %zu arguments, %zu octets", i, n_events,
				 arguments, octets);
		postings_free(&p);
	}
}

static unsigned serial;

/* Something that happens at a gateway, into the log and into our count. */
static void happen(void)
{
	unsigned sender = (unsigned)rand() % SENDERS;
	char to[64], mid[64], id[ID_BYTES];
	int64_t now = clock_now_us();
	serial++;
	snprintf(to, sizeof(to), "u%u@mbox.example", serial);
	snprintf(mid, sizeof(mid), "<%u@list.example>", serial);
	switch (rand() % 10) {
	case 0: /* greylisted before any message, then accepted */
		add_txn(sender, 450, 0, false, now - 600 * US_PER_S, to, NULL, "pcap");
		add_txn(sender, 250, 250, true, now, to, mid, "pcap");
		expect(sender, (struct count){.transactions = 2, .sent = 1, .accepted = 1});
		break;
	case 1: /* deferred twice at the end of data, then refused */
		add_txn(sender, 250, 451, true, now - 900 * US_PER_S, to, mid, "pcap");
		add_txn(sender, 250, 451, true, now - 600 * US_PER_S, to, mid, "pcap");
		add_txn(sender, 550, 0, false, now, to, NULL, "pcap");
		expect(sender, (struct count){.transactions = 3, .sent = 1, .hard = 1});
		break;
	case 2:
		add_txn(sender, 550, 0, false, now, to, NULL, "milter");
		expect(sender, (struct count){.transactions = 1, .sent = 1, .hard = 1});
		break;
	case 3: /* deferred and never seen again */
		add_txn(sender, 452, 0, false, now, to, NULL, "milter");
		expect(sender, (struct count){.transactions = 1, .sent = 1, .open = 1});
		break;
	case 4: /* cut short */
		add_txn(sender, 250, 0, false, now, to, NULL, "pcap");
		expect(sender, (struct count){.transactions = 1});
		break;
	case 5: { /* the same complaint and report told twice */
		id_make(now, id);
		add_outcome(sender, "complaint", id, "abuse", "outcome", "report");
		add_outcome(sender, "complaint", id, "abuse", "outcome", "report");
		id_make(now, id);
		add_outcome(sender, "complaint", id, "not-spam", "outcome", "report");
		add_outcome(sender, "report", id, "abuse", "state", "queued");
		add_outcome(sender, "report", id, "abuse", "state", "sent");
		expect(sender, (struct count){.complaints = 1, .reports = 1});
		break;
	}
	case 6:
		add_txn(sender, 0, 0, true, now, to, mid, "maildir");
		expect(sender, (struct count){.transactions = 1, .sent = 1, .accepted = 1});
		break;
	default:
		add_txn(sender, 250, 250, true, now, to, mid, "milter");
		expect(sender, (struct count){.transactions = 1, .sent = 1, .accepted = 1});
	}
}

static uint64_t transactions_now(struct redis *redis)
{
	struct books_row row;
	read_row(redis, "t", clock_now_us(), &row);
	return row.transactions;
}

/* List, campaign and address have the same mail here; complaints know their sender alone. */
static void compare_parts(struct redis *redis, const char *when, unsigned i, const struct count *c)
{
	char name[64], sender[32];
	name_sender(i, sender);
	for (size_t k = 0; k < 3; k++) {
		struct books_row row;
		if (k < 2)
			snprintf(name, sizeof(name), k ? "c:%s/c%u" : "l:%s/l%u", sender, i);
		else
			snprintf(name, sizeof(name), "i:192.0.2.%u", i + 1);
		read_row(redis, name, clock_now_us(), &row);
		if (row.transactions != c->transactions || row.sent != c->sent ||
		    row.accepted != c->accepted || row.hard != c->hard ||
		    row.soft + row.pending != c->open)
			fail_msg("%s, row %s: sent %lu, want %lu; hard %lu, want %lu; open %lu, want %lu",
				 when, name, row.sent, c->sent, row.hard, c->hard,
				 row.soft + row.pending, c->open);
	}
}

static void compare(const char *when)
{
	static unsigned compared;
	struct redis *redis;
	if (redis_open(&redis, &config, REDIS_MAY_START) < 0)
		fail_msg("%s: %s", when, redis_open_trouble());
	compared++;
	for (unsigned i = 0; i <= SENDERS; i++) {
		char name[40], sender[32];
		struct books_row row;
		const struct count *c = &counts[i];
		name_sender(i, sender);
		snprintf(name, sizeof(name), i < SENDERS ? "s:%s" : "t", sender);
		read_row(redis, name, clock_now_us(), &row);
		if (row.transactions != c->transactions || row.sent != c->sent ||
		    row.accepted != c->accepted || row.hard != c->hard ||
		    row.soft + row.pending != c->open || row.complaints != c->complaints ||
		    row.reports != c->reports || row.sent != c->accepted + c->hard + c->open)
			fail_msg("%s, row %s: sent %lu, want %lu; accepted %lu, want %lu; hard %lu, "
				 "want %lu; open %lu, want %lu; complaints %lu, want %lu; reports "
				 "%lu, want %lu",
				 when, name, row.sent, c->sent, row.accepted, c->accepted,
				 row.hard, c->hard, row.soft + row.pending, c->open,
				 row.complaints, c->complaints, row.reports, c->reports);
		if (i == SENDERS)
			continue;
		if (i == compared % SENDERS) /* another one each time: calls are many */
			compare_parts(redis, when, i, c);
		/* all of it happened in the last quarter of an hour, but for what this test waited */
		struct books_row ip;
		snprintf(name, sizeof(name), "i:192.0.2.%u", i + 1);
		read_row(redis, name, clock_now_us(), &ip);
		if (row.window.hour != (double)c->transactions || row.window.day != row.window.hour ||
		    ip.window.hour != row.window.hour || row.window.minute > row.window.hour)
			fail_msg("%s, windows of %s: %g a minute, %g an hour, %g a day, the address %g; "
				 "want %lu",
				 when, sender, row.window.minute, row.window.hour, row.window.day,
				 ip.window.hour, c->transactions);
	}
	redis_close(redis);
}

/* --- killing ------------------------------------------------------------------------- */

/* The process behind the private socket; 0 when there is none. */
static pid_t redis_pid(void)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	struct ucred peer = {.pid = 0};
	socklen_t size = sizeof(peer);
	char path[REDIS_SOCKET_PATH_BYTES];
	int folder;
	if (redis_private_path(&config, &folder, path) < 0)
		return 0;
	memcpy(address.sun_path, path, strlen(path) + 1);
	int fd = socket(AF_UNIX, SOCK_STREAM, 0);
	if (connect(fd, (struct sockaddr *)&address, sizeof(address)) == 0)
		getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &size);
	close(fd);
	close(folder);
	return peer.pid;
}

static void kill_redis(void)
{
	pid_t pid = redis_pid();
	if (pid > 1)
		kill(pid, SIGKILL);
}

static void sleep_us(long us)
{
	nanosleep(&(struct timespec){.tv_nsec = us * 1000}, NULL);
}

static void killed_at_any_moment(void **unused)
{
	(void)unused;
	NEED_REDIS();
	srand(7);
	for (int round = 0; round < 100; round++) {
		char when[32];
		int n = 20 + rand() % 200;
		for (int i = 0; i < n; i++)
			happen();
		pid_t recorder = fork();
		if (recorder == 0) {
			for (;;)
				if (recorder_catch_up(&config) < 0)
					sleep_us(1000);
		}
		if (rand() % 2)
			for (int i = 0; i < 50; i++)
				happen();
		sleep_us(rand() % 30000);
		if (round % 3 != 1)
			kill_redis();
		if (round % 3 != 0)
			sleep_us(rand() % 5000);
		kill(recorder, SIGKILL);
		waitpid(recorder, NULL, 0);
		int r = -1;
		for (int i = 0; i < 100 && r != 0; i++)
			if ((r = recorder_catch_up(&config)) != 0)
				sleep_us(20000);
		assert_int_equal(r, 0);
		snprintf(when, sizeof(when), "round %d", round);
		compare(when);
	}
}

static void rebuilt(void **unused)
{
	(void)unused;
	NEED_REDIS();
	const char *why;
	for (int i = 0; i < 300; i++)
		happen();
	assert_int_equal(recorder_catch_up(&config), 0);
	assert_int_equal(recorder_rebuild(&config, &why), 0);
	compare("rebuilt");
	/* while a recorder is at work */
	int stop[2];
	assert_int_equal(pipe(stop), 0);
	pid_t recorder = fork();
	if (recorder == 0)
		_exit(recorder_run(&config, stop[0], NULL) == 0 ? 0 : 1);
	for (int i = 0; i < 300; i++)
		happen();
	assert_int_equal(recorder_rebuild(&config, &why), 0);
	compare("rebuilt beside run");
	/* somebody empties Redis: the recorder notices and begins anew */
	struct redis *redis;
	const struct redis_answer *answer;
	const struct span flush[] = {SPAN("FLUSHALL")};
	assert_int_equal(redis_open(&redis, &config, REDIS_MAY_START), 0);
	assert_int_equal(redis_ask_master(redis, 0, 1, flush, &answer), 0);
	for (int i = 0; i < 200 && transactions_now(redis) != counts[SENDERS].transactions; i++)
		sleep_us(50000);
	redis_close(redis);
	compare("emptied");
	assert_int_equal(write(stop[1], "", 1), 1);
	int status;
	waitpid(recorder, &status, 0);
	assert_int_equal(status, 0);
	close(stop[0]);
	close(stop[1]);
}

static void nothing_of_old_generations(void **unused)
{
	(void)unused;
	NEED_REDIS();
	const char *why;
	struct redis *redis;
	const struct redis_answer *answer;
	const struct span size[] = {SPAN("DBSIZE")};
	assert_int_equal(redis_open(&redis, &config, REDIS_MAY_START), 0);
	assert_int_equal(recorder_rebuild(&config, &why), 0);
	assert_int_equal(redis_ask_master(redis, 0, 1, size, &answer), 0);
	int64_t before = redis_answer_int(answer);
	assert_int_equal(recorder_rebuild(&config, &why), 0);
	assert_int_equal(redis_ask_master(redis, 0, 1, size, &answer), 0);
	assert_int_equal(redis_answer_int(answer), before);
	redis_close(redis);
}

static void receipts(void **unused)
{
	(void)unused;
	NEED_REDIS();
	struct receipt r;
	add_txn(0, 250, 250, true, clock_now_us(), "Known@mbox.example", "<here@x>", "milter");
	expect(0, (struct count){.transactions = 1, .sent = 1, .accepted = 1});
	static const struct {
		const char *message_id, *rcpt;
		int want;
	} rows[] = {
		{"<here@x>", NULL, 0},
		{"<here@x>", "known@mbox.example", 0},
		{"<here@x>", "other@mbox.example", RECEIPT_NEVER},
		{"<gone@x>", NULL, RECEIPT_NEVER},
		{NULL, NULL, RECEIPT_NEVER},
	};
	char id[ID_BYTES] = "";
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		int got = receipts_find(&config, span_of(rows[i].message_id), span_of(rows[i].rcpt),
					SPAN_NONE, &r);
		if (got != rows[i].want)
			fail_msg("%s %s: %d", rows[i].message_id, rows[i].rcpt, got);
		if (got == 0) {
			assert_true(r.event != NULL);
			assert_true(span_eq(r.sender_key, SPAN("s0.example")));
			assert_true(span_eq(r.sender_by, SPAN("dkim")));
			memcpy(id, r.id, sizeof(id));
		}
		receipt_free(&r);
	}
	assert_int_equal(receipts_find(&config, SPAN_NONE, SPAN_NONE, span_of(id), &r), 0);
	assert_string_equal(r.id, id);
	receipt_free(&r);
	/* somebody else's line: no receipt, and no trouble for the one beside it */
	append("{\"event\":\"txn\",\"id\":\"no-ulid\",\"time\":\"2026-11-24T00:00:00Z\",\"source\":"
	       "\"milter\",\"rcpts\":[],\"message_id\":\"<odd@x>\",\"sender\":{\"key\":null}}");
	counts[SENDERS].transactions++;
	assert_int_equal(receipts_find(&config, SPAN("<odd@x>"), SPAN_NONE, SPAN_NONE, &r),
			 RECEIPT_NEVER);
	add_txn(0, 250, 250, true, clock_now_us(), "odd@mbox.example", "<odd@x>", "milter");
	expect(0, (struct count){.transactions = 1, .sent = 1, .accepted = 1});
	assert_int_equal(receipts_find(&config, SPAN("<odd@x>"), SPAN_NONE, SPAN_NONE, &r), 0);
	receipt_free(&r);
	compare("receipts");
}

static void away(void **unused)
{
	(void)unused;
	struct config nowhere = config;
	const char *path = "/nonexistent/redis.sock";
	nowhere.redis.kind = REDIS_UNIX;
	nowhere.redis.addresses = (struct config_texts){.v = &path, .n = 1};
	assert_int_equal(recorder_catch_up(&nowhere), -ENOTCONN);
	if (redis_server_is_missing)
		return;
	assert_int_equal(recorder_catch_up(&config), 0);
	compare("after being away");
}

static void slots(void **unused)
{
	(void)unused;
	/* redis-cli CLUSTER KEYSLOT says so */
	static const struct {
		const char *key;
		unsigned slot;
	} rows[] = {{"123456789", 12739}, {"foo", 12182}, {"{foo}bar", 12182}, {"a{foo}{bar}", 12182},
		    {"{}foo", 9500}};
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		if (redis_slot(span_of(rows[i].key)) != rows[i].slot)
			fail_msg("%s: %u", rows[i].key, redis_slot(span_of(rows[i].key)));
}

/* What was returned to one recipient, under its hash; a retry that came through is no return. */
static void returns_of_a_recipient(void **unused)
{
	(void)unused;
	static const struct {
		const char *to;
		uint64_t hard, open;
	} rows[] = {{"returned@m.example", 2, 1}, {"late@m.example", 0, 0}, {"fine@m.example", 0, 0}};
	const int64_t now = clock_now_us();
	struct identity identity;
	struct redis *redis;
	NEED_REDIS();
	add_txn(0, 550, 0, false, now, "Returned@m.example", "<r1@x>", "milter");
	add_txn(1, 550, 0, false, now, "returned@M.example", "<r2@x>", "milter");
	add_txn(1, 450, 0, false, now, "returned@m.example", "<r3@x>", "milter");
	add_txn(0, 450, 0, false, now - 60 * US_PER_S, "late@m.example", "<r4@x>", "milter");
	add_txn(0, 250, 250, true, now, "late@m.example", "<r4@x>", "milter");
	add_txn(0, 250, 250, true, now, "fine@m.example", "<r5@x>", "milter");
	expect(0, (struct count){.transactions = 4, .sent = 3, .accepted = 2, .hard = 1});
	expect(1, (struct count){.transactions = 2, .sent = 2, .hard = 1, .open = 1});
	assert_int_equal(recorder_catch_up(&config), 0);
	compare("with returns");
	assert_int_equal(identity_load(&config, &identity), 0);
	assert_int_equal(redis_open(&redis, &config, REDIS_MAY_START), 0);
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		char hash[IDENTITY_HASH_BYTES], name[IDENTITY_HASH_BYTES + 2];
		struct books_row row, hours[BOOKS_HOURS];
		uint64_t hard = 0, pending = 0;
		snprintf(name, sizeof(name), "r:%s",
			 books_rcpt_hash(&identity, span_of(rows[i].to), hash));
		read_row(redis, name, now, &row);
		assert_int_equal(books_series(redis, name, BOOKS_HOUR, clock_now_us(), hours), 0);
		for (int k = 0; k < BOOKS_HOURS; k++) {
			hard += hours[k].hard;
			pending += hours[k].pending;
		}
		if (row.hard != rows[i].hard || row.pending != rows[i].open || row.soft != 0 ||
		    hard != row.hard || pending != row.pending)
			fail_msg("%s: hard %lu, pending %lu; by the hour %lu and %lu", rows[i].to,
				 row.hard, row.pending, hard, pending);
	}
	redis_close(redis);
}

/* One call of assay_rates about one key; the kind of its answer, and the revision. */
static char ask_rate(struct redis *redis, const char *number, uint32_t from, uint32_t *revision)
{
	struct {
		uint32_t from, revision;
		uint16_t n;
		uint32_t at;
		int32_t count;
	} __attribute__((packed)) request = {
		from, *revision, 1, (uint32_t)(clock_now_us() / 937500), 1};
	const struct span words[] = {SPAN("FCALL"), SPAN("assay_rates"), SPAN("1"), SPAN("{b000}r"),
				     SPAN("test"), span_of(number), SPAN("0"), SPAN("k"),
				     {(const char *)&request, sizeof(request)}};
	redis_queue(redis, words[3], 9, words);
	assert_int_equal(redis_exchange(redis), 0);
	struct span list = redis_answer_text(redis_answer_at(redis_answer(redis, 0), 2));
	assert_true(list.n >= 5);
	memcpy(revision, list.p + 1, sizeof(*revision));
	return list.p[0];
}

/* Who asks after more than a minute has slots that were put together meanwhile: he gets the whole
 * list and is told so, else they would count twice. */
static void whole_list_or_its_end(void **unused)
{
	(void)unused;
	struct redis *redis;
	uint32_t revision = 0, now = (uint32_t)(clock_now_us() / 937500);
	NEED_REDIS();
	assert_int_equal(redis_open(&redis, &config, REDIS_MAY_START), 0);
	assert_int_equal(ask_rate(redis, "1", 0, &revision), 'w');
	assert_int_equal(ask_rate(redis, "2", now - 4, &revision), 'e');
	assert_int_equal(ask_rate(redis, "3", now - 100, &revision), 'w');
	uint32_t other = revision + 1;
	assert_int_equal(ask_rate(redis, "4", now - 4, &other), 'w');
	assert_int_equal(other, revision);
	redis_close(redis);
}

/* The time of slots that a bucket answers, to a process that goes by `theirs` (0: by none yet). */
static int64_t ask_time(struct redis *redis, int64_t theirs)
{
	char text[24];
	snprintf(text, sizeof(text), "%lld", (long long)theirs);
	const struct span words[] = {SPAN("FCALL"), SPAN("assay_rates"), SPAN("1"), SPAN("{b009}r"),
				     SPAN("test"), SPAN("0"), span_of(text)};
	redis_queue(redis, words[3], 7, words);
	assert_int_equal(redis_exchange(redis), 0);
	return redis_answer_int(redis_answer_at(redis_answer(redis, 0), 1));
}

/* From here the clock of the server differs by an hour from that of the slots, as it does when it
 * jumped: all go by the slots' one, and who is behind is not followed. */
static void time_of_slots(void **unused)
{
	(void)unused;
	struct redis *redis;
	NEED_REDIS();
	assert_int_equal(redis_open(&redis, &config, REDIS_MAY_START), 0);
	int64_t now_us = clock_now_us(), second = US_PER_S;
	assert_in_range(ask_time(redis, 0), now_us - second, now_us + 9 * second);
	assert_in_range(ask_time(redis, now_us + second), now_us - second, now_us + 9 * second);
	int64_t on_us = now_us + HOUR_US;
	assert_int_equal(ask_time(redis, on_us), on_us);
	assert_in_range(ask_time(redis, 0), on_us, on_us + 9 * second);
	assert_in_range(ask_time(redis, now_us), on_us, on_us + 9 * second);
	redis_close(redis);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(slots),
		cmocka_unit_test(windows_slide),
		cmocka_unit_test(long_names),
		cmocka_unit_test(totals_end_with_their_names),
		cmocka_unit_test(a_call_has_a_bound),
		cmocka_unit_test(killed_at_any_moment),
		cmocka_unit_test(returns_of_a_recipient),
		cmocka_unit_test(whole_list_or_its_end),
		cmocka_unit_test(time_of_slots),
		cmocka_unit_test(rebuilt),
		cmocka_unit_test(nothing_of_old_generations),
		cmocka_unit_test(receipts),
		cmocka_unit_test(away),
	};
	if (!mkdtemp(state))
		return 1;
	config.state = state;
	if (system("command -v redis-server >/dev/null") != 0)
		redis_server_is_missing = "redis-server is not installed";
	if (eventlog_open(&events, state) < 0)
		return 1;
	int r = cmocka_run_group_tests(tests, NULL, NULL);
	eventlog_close(events);
	kill_redis();
	char command[64];
	snprintf(command, sizeof(command), "rm -rf %s", state);
	return system(command) == 0 ? r : 1;
}
