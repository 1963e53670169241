#include "feedback/judge_link.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>
#include <event2/event.h>

#include "base/file.h"
#include "base/limits.h"
#include "base/unix_socket.h"

/* Between two looks whether a worker listens again. */
#define CONNECT_US 50000
/* Records read before other events of the loop have their turn. */
#define READ_BURST 64

/* --- asking ------------------------------------------------------------------------------ */

static void on_link(evutil_socket_t fd, short what, void *arg);

void judge_link_free(struct link *l)
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

/* A question is no longer asked behind its deadline, so a worker that hangs has the least to do. */
static bool better(const struct link *l, const struct link *best)
{
	if (!best || l->overdue != best->overdue)
		return !best || best->overdue;
	return l->asked.n < best->asked.n;
}

/* A link whose worker has room; the one with the least to do, of those that answer. */
static struct link *link_choose(struct judge *j)
{
	struct link *best = NULL;
	for (unsigned i = 0; i < j->n_slots; i++) {
		struct link *l = j->slots[i];
		if (l && l->page && !l->full && l->asked.n < LIMIT_WORKER_MESSAGES && better(l, best))
			best = l;
	}
	return best;
}

void judge_pump(struct judge *j)
{
	struct ask *a;
	struct link *l;
	while ((a = ring_first(&j->queue)) && (l = link_choose(j))) {
		struct judge_ask head = {JUDGE_ASK, a->deaths > 0, a->serial};
		const struct span record[] = {{(const char *)&head, sizeof(head)},
					      buf_span(&a->packed.octets)};
		int r = unix_send_two(l->fd, record, a->packed.fd);
		if (r == -EAGAIN || r == -ETOOMANYREFS || r == -ENOBUFS) {
			/* an answer makes room; without one under way there is none to wait for */
			if (!event_pending(j->connect, EV_TIMEOUT, NULL))
				event_add(j->connect, &(struct timeval){.tv_usec = CONNECT_US});
			if (r != -EAGAIN) /* this process has too many files on their way */
				return;
			l->full = true;
			continue;
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
	struct judge *j = arg;
	(void)fd;
	(void)what;
	for (struct link *l = j->links; l; l = l->next)
		l->full = false;
	connect_slots(j);
	judge_pump(j);
}

int judge_connect(struct judge *j)
{
	j->connect = event_new(j->loop, -1, 0, on_connect, j);
	if (!j->connect)
		return -ENOMEM;
	connect_slots(j);
	return 0;
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
			judge_set_aside(a);
			judge_give_up(a, "worker", true);
		} else {
			/* the suspect goes behind the others, so that it takes none with it again */
			ring_add(&j->queue, a, a->serial != culprit);
		}
	}
	judge_link_free(l);
	connect_slots(j);
	judge_pump(j);
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
	l->overdue = false;
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
		judge_give_up(a, "memory", true);
		return;
	}
	j->count.judged++;
	a->v = (struct judgement){
		.judged = true, .score = head.score, .compliance = head.compliance,
		.action = head.action <= ACTION_REJECT ? (enum action)head.action : ACTION_ACCEPT,
		.auth_results = texts[TEXT_AUTH_RESULTS], .tell = texts[TEXT_TELL],
		.sender = texts[TEXT_SENDER], .dkim = texts[TEXT_DKIM],
	};
	judge_conclude(a, texts[TEXT_EVENT], true);
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
		l->full = false;
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
	judge_pump(j);
}
