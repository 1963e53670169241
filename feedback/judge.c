#include "feedback/judge.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>
#include <event2/event.h>

#include "analyze/analyze.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/limits.h"
#include "base/log.h"
#include "feedback/journal.h"
#include "feedback/judge_link.h"

const char *judge_slot_name(unsigned slot, char out[JUDGE_NAME_BYTES])
{
	snprintf(out, JUDGE_NAME_BYTES, "analyze-%u", slot);
	return out;
}

/* --- the end of a transaction ---------------------------------------------------------- */

static void ask_free(struct judge *j, struct ask *a)
{
	txn_packed_free(&a->packed);
	if (a->timer)
		event_free(a->timer);
	txn_free(a->t);
	buf_free(&a->texts);
	free(a);
	if (--j->waiting == 0 && j->draining)
		event_base_loopbreak(j->loop);
}

/* The event with our answer in it. In the line every quote inside a text is escaped, so what is
 * searched stands there once. */
static void add_reply(const struct txn_reply *reply, struct span event, struct buf *line)
{
	const struct span none = SPAN(",\"reply\":null");
	size_t at = span_find(event, SPAN(",\"reply\":null,\"complete\":"));
	if (!reply->code || at == SIZE_MAX) {
		buf_add(line, event);
		return;
	}
	buf_add(line, span_sub(event, 0, at));
	struct json out = {line, true};
	json_open(&out, "reply", '{');
	json_int(&out, "code", reply->code);
	json_text(&out, "enhanced", reply->enhanced);
	json_text(&out, "text", reply->text);
	json_close(&out, '}');
	buf_add(line, span_sub(event, at + none.n, event.n));
}

static void finish(struct ask *a)
{
	struct judge *j = a->judge;
	ring_remove(&j->writing, a);
	if (a->done)
		a->done(a->arg, &a->v);
	ask_free(j, a);
}

static void on_written(void *arg)
{
	finish(arg);
}

/* The log cannot be written, which is our failure: whoever waits for an answer goes on without one, and
 * the event that is written later has none. */
static void go_on_unlogged(struct ask *a, struct span event)
{
	struct judge *j = a->judge;
	a->v.judged = false;
	a->v.why = "log";
	a->v.action = ACTION_ACCEPT;
	a->v.reply = (struct txn_reply){0};
	a->decide(a->arg, &a->v);
	j->count.unlogged++;
	journal_write(j->journal, event, NULL, NULL);
	finish(a);
}

/* The last step of each: asks for our answer, writes the event, and done() when it is written, or
 * at once where the time is over or an answer is waited for. */
void judge_conclude(struct ask *a, struct span event, bool wait)
{
	struct judge *j = a->judge;
	struct buf line = BUF_INIT;
	memcpy(a->v.id, a->id, sizeof(a->v.id));
	if (a->decide)
		a->decide(a->arg, &a->v);
	add_reply(&a->v.reply, event, &line);
	struct span text = line.failed ? event : buf_span(&line);
	a->writing = true;
	ring_add(&j->writing, a, false);
	if (a->decide && journal_try(j->journal, text)) {
		finish(a);
	} else if (a->decide) {
		go_on_unlogged(a, event);
	} else {
		journal_write(j->journal, text, wait ? on_written : NULL, wait ? a : NULL);
		if (!wait)
			finish(a);
	}
	buf_free(&line);
}

void judge_give_up(struct ask *a, const char *why, bool wait)
{
	struct buf line = BUF_INIT;
	struct txn *t = a->t;
	a->t = NULL;
	if (!t && txn_unpack(buf_span(&a->packed.octets), a->packed.fd, &t) < 0)
		t = NULL;
	a->v.why = why;
	a->v.compliance = NAN;
	if (t) {
		t->flags |= TXN_UNJUDGED;
		analysis_write_unjudged(t, why, &line);
	}
	if (!t || line.failed) {
		log_error("judge.lost", "id=%s why=memory", a->id);
		buf_reset(&line);
		wait = false;
	}
	judge_conclude(a, line.failed ? SPAN_NONE : buf_span(&line), wait);
	buf_free(&line);
	txn_free(t);
}

static void on_deadline(evutil_socket_t fd, short what, void *arg)
{
	struct ask *a = arg;
	struct judge *j = a->judge;
	(void)fd;
	(void)what;
	if (a->writing) { /* the log will have it; who waits need not */
		journal_forget(j->journal, a);
		finish(a);
		return;
	}
	if (a->link)
		a->link->overdue = true;
	ring_remove(a->link ? &a->link->asked : &j->queue, a);
	a->link = NULL;
	j->count.deadline++;
	judge_give_up(a, "deadline", false);
}

/* --- aside ------------------------------------------------------------------------------- */

/* STATE/aside/ID.eml has the octets, ID.json the envelope and the reason. */
void judge_set_aside(struct ask *a)
{
	struct judge *j = a->judge;
	char path[PATH_MAX];
	struct txn *t = NULL;
	int r = snprintf(path, sizeof(path), "%s/aside", j->config->state) >= (int)sizeof(path)
			? -ENAMETOOLONG : file_make_folder(path, 0700);
	if (r == 0)
		r = txn_unpack(buf_span(&a->packed.octets), a->packed.fd, &t);
	if (r == 0 && t->message.p) {
		snprintf(path, sizeof(path), "%s/aside/%s.eml", j->config->state, a->id);
		r = file_replace(path, t->message, 0600);
	}
	if (r == 0) {
		struct buf text = BUF_INIT;
		struct json out = JSON_INIT(&text);
		json_open(&out, NULL, '{');
		json_cstr(&out, "reason", "two workers died while they judged it");
		txn_write_json(t, &out);
		json_close(&out, '}');
		buf_addc(&text, '\n');
		snprintf(path, sizeof(path), "%s/aside/%s.json", j->config->state, a->id);
		r = text.failed ? -ENOMEM : file_replace(path, buf_span(&text), 0600);
		buf_free(&text);
	}
	txn_free(t);
	j->count.aside++;
	log_error("judge.aside", "id=%s folder=%s/aside%s%s", a->id, j->config->state,
		  r < 0 ? " why=" : "", r < 0 ? strerror(-r) : "");
}

/* --- from any thread --------------------------------------------------------------------- */

static void queue_ask(struct judge *j, struct ask *a)
{
	int64_t left = a->deadline_us - clock_mono_us();
	if (left < 0)
		left = 0;
	a->serial = ++j->next_serial;
	a->timer = event_new(j->loop, -1, 0, on_deadline, a);
	j->count.submitted++;
	ring_add(&j->queue, a, false);
	if (!a->timer || a->t ||
	    event_add(a->timer, &(struct timeval){.tv_sec = left / US_PER_S,
						  .tv_usec = left % US_PER_S}) < 0) {
		ring_remove(&j->queue, a);
		j->count.other++;
		judge_give_up(a, a->t ? "overload" : "memory", true);
	}
}

static void on_wake(evutil_socket_t fd, short what, void *arg)
{
	struct judge *j = arg;
	uint64_t ticks;
	(void)what;
	if (read(fd, &ticks, sizeof(ticks)) < 0 && errno != EAGAIN)
		log_error("judge.wake", "why=%s", strerror(errno));
	for (;;) {
		pthread_mutex_lock(&j->mutex);
		struct ask *a = ring_first(&j->inbox);
		if (a)
			ring_remove(&j->inbox, a);
		pthread_mutex_unlock(&j->mutex);
		if (!a)
			break;
		queue_ask(j, a);
	}
	judge_pump(j);
}

void judge_submit(struct judge *j, struct txn *t, int64_t deadline_us, judge_decide_fn *decide,
		  judge_done_fn *done, void *arg)
{
	struct ask *a = calloc(1, sizeof(*a));
	if (!a) { /* nothing of ours works any more: whoever waits goes on */
		log_error("judge.lost", "id=%s why=memory", t->id);
		if (done)
			done(arg, &(struct judgement){.why = "memory", .compliance = NAN});
		txn_free(t);
		return;
	}
	*a = (struct ask){.judge = j, .packed.fd = -1, .t = t, .deadline_us = deadline_us,
			  .decide = decide, .done = done, .arg = arg};
	memcpy(a->id, t->id, sizeof(a->id));
	if (j->waiting++ < LIMIT_JUDGE_WAITING && txn_pack(t, &a->packed) == 0) {
		txn_free(t);
		a->t = NULL;
	}
	uint64_t one = 1;
	pthread_mutex_lock(&j->mutex);
	bool wake = j->inbox.n == 0; /* else somebody has */
	ring_add(&j->inbox, a, false);
	pthread_mutex_unlock(&j->mutex);
	if (wake && write(j->wake_fd, &one, sizeof(one)) < 0)
		log_error("judge.wake", "why=%s", strerror(errno));
}

size_t judge_waiting(const struct judge *j)
{
	return j->waiting;
}

void judge_drain(struct judge *j)
{
	j->draining = true;
	if (j->waiting == 0)
		event_base_loopbreak(j->loop);
}

/* --- opening ----------------------------------------------------------------------------- */

void judge_write(struct judge *j, struct span line)
{
	journal_write(j->journal, line, NULL, NULL);
}

int judge_open(struct judge **j_r, const struct config *config, struct event_base *loop)
{
	char path[PATH_MAX];
	struct judge *j = calloc(1, sizeof(*j));
	if (!j)
		return -ENOMEM;
	*j = (struct judge){.loop = loop, .config = config, .folder = -1, .wake_fd = -1,
			    .n_slots = config_workers(config)};
	pthread_mutex_init(&j->mutex, NULL);
	ring_init(&j->queue);
	ring_init(&j->writing);
	ring_init(&j->inbox);
	int r = journal_open(&j->journal, config, loop);
	if (r == 0 && snprintf(path, sizeof(path), "%s/run", config->state) >= (int)sizeof(path))
		r = -ENAMETOOLONG;
	if (r == 0 && (j->folder = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC)) < 0)
		r = -errno;
	if (r == 0 && (j->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) < 0)
		r = -errno;
	if (r == 0) {
		j->wake = event_new(loop, j->wake_fd, EV_READ | EV_PERSIST, on_wake, j);
		if (!j->wake || event_add(j->wake, NULL) < 0 ||
		    !buf_reserve(&j->record, JUDGE_RECORD_BYTES))
			r = -ENOMEM;
	}
	if (r == 0)
		r = judge_connect(j);
	if (r < 0) {
		judge_close(j);
		return r;
	}
	*j_r = j;
	return 0;
}

static void close_list(struct list *l)
{
	struct ask *a;
	while ((a = ring_first(l))) {
		ring_remove(l, a);
		a->link = NULL;
		judge_give_up(a, "stopped", false);
	}
}

void judge_close(struct judge *j)
{
	if (!j)
		return;
	if (j->wake)
		on_wake(j->wake_fd, 0, j);
	close_list(&j->queue);
	while (j->links) {
		close_list(&j->links->asked);
		judge_link_free(j->links);
	}
	struct ask *a;
	while ((a = ring_first(&j->writing))) {
		journal_forget(j->journal, a);
		finish(a);
	}
	journal_close(j->journal);
	if (j->connect)
		event_free(j->connect);
	if (j->wake)
		event_free(j->wake);
	if (j->wake_fd >= 0)
		close(j->wake_fd);
	if (j->folder >= 0)
		close(j->folder);
	pthread_mutex_destroy(&j->mutex);
	buf_free(&j->record);
	free(j);
}

void judge_status(const struct judge *j, struct json *out)
{
	size_t workers = 0;
	for (unsigned i = 0; i < j->n_slots; i++)
		workers += j->slots[i] && j->slots[i]->page;
	json_open(out, "judge", '{');
	json_int(out, "workers", (int64_t)workers);
	json_int(out, "waiting", (int64_t)j->waiting);
	json_int(out, "submitted", (int64_t)j->count.submitted);
	json_int(out, "judged", (int64_t)j->count.judged);
	json_int(out, "retried", (int64_t)j->count.retried);
	json_int(out, "aside", (int64_t)j->count.aside);
	json_int(out, "deadline", (int64_t)j->count.deadline);
	json_int(out, "other", (int64_t)j->count.other);
	json_int(out, "unlogged", (int64_t)j->count.unlogged);
	json_int(out, "late", (int64_t)j->count.late);
	json_close(out, '}');
	journal_status(j->journal, out);
}
