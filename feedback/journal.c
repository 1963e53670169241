#include "feedback/journal.h"

#include <errno.h>
#include <stdlib.h>
#include <event2/event.h>

#include "base/buf.h"
#include "base/clock.h"
#include "base/limits.h"
#include "base/log.h"
#include "feedback/eventlog.h"

#define RETRY_US 200000

struct line {
	struct line *next;
	journal_written_fn *written;
	void *arg;
	struct buf text;
};

struct journal {
	struct eventlog *log;
	struct event *retry;
	struct line *first, **last;
	size_t waiting, bytes;
	uint64_t written, lost;
	int trouble; /* the errno of the last try, 0: none */
};

/* Said when it begins and when it ends, not for each event. */
static void say(struct journal *j, int r)
{
	if (r < 0 && j->trouble != -r)
		log_error("log.away", "why=%s events wait in memory, and mail is accepted meanwhile",
			  strerror(-r));
	else if (r == 0 && j->trouble)
		log_warn("log.back", "waiting=%zu lost=%llu", j->waiting,
			 (unsigned long long)j->lost);
	j->trouble = -r;
}

/* Too long, or no line at all: no log takes it, today or tomorrow. */
static bool hopeless(int r)
{
	return r == -EMSGSIZE || r == -EINVAL;
}

static int append(struct journal *j, struct span line)
{
	int r = eventlog_append(j->log, line);
	if (!hopeless(r))
		say(j, r);
	j->written += r == 0;
	return r;
}

/* One that waited would hold up all that comes behind it. */
static void lose(struct journal *j, struct span line, int r)
{
	j->lost++;
	log_error("log.lost", "octets=%zu why=%s this event; the others go on", line.n, strerror(-r));
}

static void flush(struct journal *j)
{
	struct line *l;
	int r;
	while ((l = j->first) && ((r = append(j, buf_span(&l->text))) == 0 || hopeless(r))) {
		j->first = l->next;
		if (!j->first)
			j->last = &j->first;
		j->waiting--;
		j->bytes -= l->text.n;
		if (r < 0)
			lose(j, buf_span(&l->text), r);
		else if (l->written)
			l->written(l->arg);
		buf_free(&l->text);
		free(l);
	}
}

static void on_retry(evutil_socket_t fd, short what, void *arg)
{
	struct journal *j = arg;
	(void)fd;
	(void)what;
	flush(j);
	if (j->first)
		event_add(j->retry, &(struct timeval){.tv_usec = RETRY_US});
}

static bool keep(struct journal *j, struct span line, journal_written_fn *written, void *arg)
{
	struct line *l = j->bytes + line.n > LIMIT_JOURNAL_BYTES ? NULL : calloc(1, sizeof(*l));
	if (!l)
		return false;
	buf_add(&l->text, line);
	if (l->text.failed) {
		buf_free(&l->text);
		free(l);
		return false;
	}
	l->written = written;
	l->arg = arg;
	*j->last = l;
	j->last = &l->next;
	j->waiting++;
	j->bytes += line.n;
	if (!event_pending(j->retry, EV_TIMEOUT, NULL))
		event_add(j->retry, &(struct timeval){.tv_usec = RETRY_US});
	return true;
}

bool journal_try(struct journal *j, struct span line)
{
	/* what waits comes first: the log is in the order of the events */
	return !j->first && append(j, line) == 0;
}

void journal_write(struct journal *j, struct span line, journal_written_fn *written, void *arg)
{
	int r = j->first ? -EAGAIN : append(j, line);
	if (r == 0) {
		if (written)
			written(arg);
	} else if (hopeless(r)) {
		lose(j, line, r);
	} else if (!keep(j, line, written, arg) && j->lost++ == 0) {
		log_error("log.lost", "the log cannot be written and %zu events wait already",
			  j->waiting);
	}
}

void journal_forget(struct journal *j, void *arg)
{
	for (struct line *l = j->first; l; l = l->next)
		if (l->arg == arg)
			l->written = NULL;
}

int journal_open(struct journal **j_r, const struct config *config, struct event_base *loop)
{
	struct journal *j = calloc(1, sizeof(*j));
	if (!j)
		return -ENOMEM;
	j->last = &j->first;
	j->retry = event_new(loop, -1, 0, on_retry, j);
	int r = j->retry ? eventlog_open(&j->log, config->state) : -ENOMEM;
	if (r < 0) {
		journal_close(j);
		return r;
	}
	*j_r = j;
	return 0;
}

void journal_close(struct journal *j)
{
	if (!j)
		return;
	if (j->log)
		flush(j);
	if (j->first)
		log_error("log.lost", "events=%zu why=%s", j->waiting, strerror(j->trouble));
	while (j->first) {
		struct line *l = j->first;
		j->first = l->next;
		buf_free(&l->text);
		free(l);
	}
	if (j->retry)
		event_free(j->retry);
	eventlog_close(j->log);
	free(j);
}

void journal_status(const struct journal *j, struct json *out)
{
	json_open(out, "log", '{');
	json_int(out, "written", (int64_t)j->written);
	json_int(out, "waiting", (int64_t)j->waiting);
	json_int(out, "lost", (int64_t)j->lost);
	json_cstr(out, "trouble", j->trouble ? strerror(j->trouble) : NULL);
	json_close(out, '}');
}
