#include "feedback/judge.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <math.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>
#include <event2/event.h>

#include "analyze/analyze.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/limits.h"
#include "base/log.h"
#include "base/unix_socket.h"
#include "capture/txn_pack.h"
#include "feedback/journal.h"
#include "feedback/judge_private.h"

/* Between two looks whether a worker listens again. */
#define CONNECT_US 50000
/* Records read before other events of the loop have their turn. */
#define READ_BURST 64

struct link;

/* A transaction that waits. While it is asked, `link` holds it; else it stands in the queue. */
struct ask {
	struct ask *next, *prev; /* in the queue or in its link's list */
	struct judge *judge;
	struct link *link;
	uint64_t serial;
	int fd;        /* the packed transaction; -1: `t` could not be packed */
	struct txn *t; /* NULL: packed */
	unsigned deaths;
	struct event *timer;
	int64_t deadline_us;
	judge_decide_fn *decide;
	judge_done_fn *done;
	void *arg;
	char id[ID_BYTES];
	bool writing;       /* the event waits for the log */
	struct judgement v; /* what done() is given */
	struct buf texts;   /* behind v */
};

struct list {
	struct ask head; /* a ring */
	size_t n;
};

/* One connection to a worker. */
struct link {
	struct judge *judge;
	struct link *next;
	unsigned slot;
	int fd;
	struct event *readable;
	const struct judge_page *page; /* NULL until HELLO */
	bool leaving;                  /* BYE came: answers only */
	struct list asked;
};

struct judge {
	struct event_base *loop;
	const struct config *config;
	int folder; /* STATE/run */
	struct journal *journal;
	unsigned n_slots;
	struct link *slots[JUDGE_SLOTS_MAX]; /* where to ask; NULL: connect */
	struct link *links;                  /* those that leave too */
	struct event *connect, *wake;
	struct list queue, writing; /* not asked; answered, waiting for the log */
	uint64_t next_serial;
	struct buf record;
	/* from any thread */
	pthread_mutex_t mutex;
	struct list inbox;
	int wake_fd;
	_Atomic size_t waiting;
	bool draining;
	struct {
		uint64_t submitted, judged, retried, aside, deadline, other, late;
	} count;
};

static void ring_init(struct list *l)
{
	l->head.next = l->head.prev = &l->head;
	l->n = 0;
}

static void ring_add(struct list *l, struct ask *a, bool first)
{
	struct ask *at = first ? l->head.next : &l->head; /* in front of it */
	a->next = at;
	a->prev = at->prev;
	at->prev->next = a;
	at->prev = a;
	l->n++;
}

static struct ask *ring_first(struct list *l)
{
	return l->n ? l->head.next : NULL;
}

static void ring_remove(struct list *l, struct ask *a)
{
	a->prev->next = a->next;
	a->next->prev = a->prev;
	l->n--;
}

const char *judge_slot_name(unsigned slot, char out[JUDGE_NAME_BYTES])
{
	snprintf(out, JUDGE_NAME_BYTES, "analyze-%u", slot);
	return out;
}

/* --- the end of a transaction ---------------------------------------------------------- */

static void ask_free(struct judge *j, struct ask *a)
{
	if (a->fd >= 0)
		close(a->fd);
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

/* The last step of each: asks for our answer, writes the event, and done() when it is written, or
 * at once where the time is over. */
static void conclude(struct ask *a, struct span event, bool wait)
{
	struct judge *j = a->judge;
	struct buf line = BUF_INIT;
	memcpy(a->v.id, a->id, sizeof(a->v.id));
	if (a->decide)
		a->decide(a->arg, &a->v);
	add_reply(&a->v.reply, event, &line);
	a->writing = true;
	ring_add(&j->writing, a, false);
	journal_write(j->journal, line.failed ? event : buf_span(&line), wait ? on_written : NULL,
		      wait ? a : NULL);
	if (!wait)
		finish(a);
	buf_free(&line);
}

static void give_up(struct ask *a, const char *why, bool wait)
{
	struct buf line = BUF_INIT;
	struct txn *t = a->t;
	a->t = NULL;
	if (!t && txn_unpack(a->fd, &t) < 0)
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
	conclude(a, line.failed ? SPAN_NONE : buf_span(&line), wait);
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
	ring_remove(a->link ? &a->link->asked : &j->queue, a);
	a->link = NULL;
	j->count.deadline++;
	give_up(a, "deadline", false);
}

/* --- aside ------------------------------------------------------------------------------- */

/* STATE/aside/ID.eml has the octets, ID.json the envelope and the reason. */
static void set_aside(struct ask *a)
{
	struct judge *j = a->judge;
	char path[PATH_MAX];
	struct txn *t = NULL;
	int r = snprintf(path, sizeof(path), "%s/aside", j->config->state) >= (int)sizeof(path)
			? -ENAMETOOLONG : file_make_folder(path, 0700);
	if (r == 0)
		r = a->fd >= 0 ? txn_unpack(a->fd, &t) : -ENOENT;
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

/* --- asking ------------------------------------------------------------------------------ */

static void on_link(evutil_socket_t fd, short what, void *arg);

static void link_free(struct link *l)
{
	struct judge *j = l->judge;
	struct link **at = &j->links;
	while (*at != l)
		at = &(*at)->next;
	*at = l->next;
	if (j->slots[l->slot] == l)
		j->slots[l->slot] = NULL;
	event_free(l->readable);
	if (l->page)
		munmap((void *)l->page, sizeof(*l->page));
	close(l->fd);
	free(l);
}

static int link_open(struct judge *j, unsigned slot)
{
	char name[JUDGE_NAME_BYTES];
	int fd = unix_connect(j->folder, judge_slot_name(slot, name), SOCK_SEQPACKET);
	if (fd < 0)
		return fd;
	struct link *l = calloc(1, sizeof(*l));
	struct event *readable = l ? event_new(j->loop, fd, EV_READ | EV_PERSIST, on_link, l) : NULL;
	if (!readable || event_add(readable, NULL) < 0) {
		if (readable)
			event_free(readable);
		free(l);
		close(fd);
		return -ENOMEM;
	}
	*l = (struct link){.judge = j, .next = j->links, .slot = slot, .fd = fd,
			   .readable = readable};
	ring_init(&l->asked);
	j->links = j->slots[slot] = l;
	return 0;
}

/* A link whose worker has room; the one with the least to do. */
static struct link *link_choose(struct judge *j)
{
	struct link *best = NULL;
	for (unsigned i = 0; i < j->n_slots; i++) {
		struct link *l = j->slots[i];
		if (l && l->page && l->asked.n < LIMIT_WORKER_MESSAGES &&
		    (!best || l->asked.n < best->asked.n))
			best = l;
	}
	return best;
}

static void pump(struct judge *j)
{
	struct ask *a;
	struct link *l;
	while ((a = ring_first(&j->queue)) && (l = link_choose(j))) {
		struct judge_ask record = {JUDGE_ASK, a->deaths > 0, a->serial};
		int r = unix_send(l->fd, (struct span){(const char *)&record, sizeof(record)}, a->fd);
		if (r == -EAGAIN || r == -ETOOMANYREFS || r == -ENOBUFS) {
			/* an answer makes room; without one under way there is none to wait for */
			if (!event_pending(j->connect, EV_TIMEOUT, NULL))
				event_add(j->connect, &(struct timeval){.tv_usec = CONNECT_US});
			return;
		}
		if (r < 0) { /* the worker is gone; reading tells the rest */
			j->slots[l->slot] = NULL;
			event_active(l->readable, EV_READ, 0);
			continue;
		}
		ring_remove(&j->queue, a);
		a->link = l;
		ring_add(&l->asked, a, false);
	}
}

static void connect_slots(struct judge *j)
{
	bool missing = false;
	for (unsigned i = 0; i < j->n_slots; i++)
		if (!j->slots[i])
			missing |= link_open(j, i) < 0;
	if (missing)
		event_add(j->connect, &(struct timeval){.tv_usec = CONNECT_US});
}

static void on_connect(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	connect_slots(arg);
	pump(arg);
}

/* The worker has died. What it worked on is to blame, the rest is asked again elsewhere. */
static void link_died(struct link *l)
{
	struct judge *j = l->judge;
	uint64_t culprit = l->page ? l->page->working_on : 0;
	struct ask *a;
	while ((a = ring_first(&l->asked))) {
		ring_remove(&l->asked, a);
		a->link = NULL;
		j->count.retried++;
		if (a->serial == culprit && ++a->deaths == 2) {
			set_aside(a);
			give_up(a, "worker", true);
		} else {
			/* the suspect goes behind the others, so that it takes none with it again */
			ring_add(&j->queue, a, a->serial != culprit);
		}
	}
	link_free(l);
	connect_slots(j);
	pump(j);
}

/* --- answers ----------------------------------------------------------------------------- */

static struct ask *find(struct link *l, uint64_t serial)
{
	/* answers come nearly in the order of the questions */
	for (struct ask *a = l->asked.head.next; a != &l->asked.head; a = a->next)
		if (a->serial == serial)
			return a;
	return NULL;
}

/* The texts of an answer, out of the record or the file beside it. */
static bool take_texts(const struct judge_answer *head, struct span record, int beside,
		       struct buf *room, struct span texts[JUDGE_TEXTS])
{
	size_t n = 0;
	for (size_t i = 0; i < JUDGE_TEXTS; i++)
		n += head->lengths[i];
	if (n > LIMIT_EVENT_BYTES + JUDGE_RECORD_BYTES)
		return false;
	if (head->beside) {
		struct span whole;
		if (beside < 0 || lseek(beside, 0, SEEK_SET) < 0 ||
		    file_read_fd(beside, n, &whole) < 0)
			return false;
		buf_add(room, whole);
		free((void *)whole.p);
	} else {
		buf_add(room, span_sub(record, sizeof(*head), record.n));
	}
	if (room->failed || room->n != n)
		return false;
	struct span rest = buf_span(room);
	for (size_t i = 0; i < JUDGE_TEXTS; i++) {
		texts[i] = span_sub(rest, 0, head->lengths[i]);
		rest = span_sub(rest, head->lengths[i], rest.n);
	}
	return true;
}

static void on_answer(struct link *l, struct span record, int beside)
{
	struct judge *j = l->judge;
	struct judge_answer head;
	if (record.n < sizeof(head))
		return;
	memcpy(&head, record.p, sizeof(head));
	struct ask *a = find(l, head.serial);
	if (!a) {
		j->count.late++;
		return;
	}
	ring_remove(&l->asked, a);
	a->link = NULL;
	struct span texts[JUDGE_TEXTS];
	if (head.failed || !take_texts(&head, record, beside, &a->texts, texts)) {
		j->count.other++;
		give_up(a, "memory", true);
		return;
	}
	j->count.judged++;
	a->v = (struct judgement){
		.judged = true, .score = head.score, .compliance = head.compliance,
		.action = head.action <= ACTION_REJECT ? (enum action)head.action : ACTION_ACCEPT,
		.auth_results = texts[TEXT_AUTH_RESULTS], .tell = texts[TEXT_TELL],
		.sender = texts[TEXT_SENDER], .dkim = texts[TEXT_DKIM],
	};
	conclude(a, texts[TEXT_EVENT], true);
}

static void on_hello(struct link *l, int page)
{
	void *p = page < 0 ? MAP_FAILED
			   : mmap(NULL, sizeof(*l->page), PROT_READ, MAP_SHARED, page, 0);
	if (p != MAP_FAILED && !l->page)
		l->page = p;
}

static void on_link(evutil_socket_t fd, short what, void *arg)
{
	struct link *l = arg;
	struct judge *j = l->judge;
	(void)what;
	for (int i = 0; i < READ_BURST; i++) {
		int passed, n = unix_receive(fd, j->record.p, JUDGE_RECORD_BYTES, &passed);
		uint32_t kind = 0;
		if (n == -EAGAIN)
			break;
		if (n == -EMSGSIZE)
			continue;
		if (n <= 0) {
			link_died(l);
			return;
		}
		if (n >= (int)sizeof(kind))
			memcpy(&kind, j->record.p, sizeof(kind));
		if (kind == JUDGE_HELLO) {
			on_hello(l, passed);
		} else if (kind == JUDGE_ANSWER) {
			on_answer(l, (struct span){j->record.p, (size_t)n}, passed);
		} else if (kind == JUDGE_BYE && !l->leaving) {
			l->leaving = true;
			shutdown(fd, SHUT_WR);
			if (j->slots[l->slot] == l)
				j->slots[l->slot] = NULL;
			connect_slots(j);
		}
		if (passed >= 0)
			close(passed);
	}
	pump(j);
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
		give_up(a, a->t ? "overload" : "memory", true);
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
	pump(j);
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
	*a = (struct ask){.judge = j, .fd = -1, .t = t, .deadline_us = deadline_us,
			  .decide = decide, .done = done, .arg = arg};
	memcpy(a->id, t->id, sizeof(a->id));
	if (j->waiting++ < LIMIT_JUDGE_WAITING) {
		a->fd = txn_pack(t);
		if (a->fd >= 0) {
			txn_free(t);
			a->t = NULL;
		}
	}
	uint64_t one = 1;
	pthread_mutex_lock(&j->mutex);
	ring_add(&j->inbox, a, false);
	pthread_mutex_unlock(&j->mutex);
	if (write(j->wake_fd, &one, sizeof(one)) < 0)
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
		j->connect = event_new(loop, -1, 0, on_connect, j);
		j->wake = event_new(loop, j->wake_fd, EV_READ | EV_PERSIST, on_wake, j);
		if (!j->connect || !j->wake || event_add(j->wake, NULL) < 0 ||
		    !buf_reserve(&j->record, JUDGE_RECORD_BYTES))
			r = -ENOMEM;
	}
	if (r < 0) {
		judge_close(j);
		return r;
	}
	connect_slots(j);
	*j_r = j;
	return 0;
}

static void close_list(struct list *l)
{
	struct ask *a;
	while ((a = ring_first(l))) {
		ring_remove(l, a);
		a->link = NULL;
		give_up(a, "stopped", false);
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
		link_free(j->links);
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
	json_int(out, "late", (int64_t)j->count.late);
	json_close(out, '}');
	journal_status(j->journal, out);
}
