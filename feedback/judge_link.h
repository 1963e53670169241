/*
 * judge_link - the judge from inside: what waits for a verdict, and the connections to the workers.
 *
 * judge.c takes transactions in and brings them to their end; judge_link.c asks the workers and takes
 * their answers and their deaths.
 */
#pragma once

#include <pthread.h>

#include "base/buf.h"
#include "capture/txn_pack.h"
#include "feedback/judge_private.h"

struct event;
struct journal;

struct link;

/* A transaction that waits. While it is asked, `link` holds it; else it stands in the queue. */
struct ask {
	struct ask *next, *prev; /* in the queue or in its link's list */
	struct judge *judge;
	struct link *link;
	uint64_t serial;
	struct txn_packed packed;
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
	bool full;                     /* its socket takes no more now; others may have room */
	bool overdue;                  /* a deadline passed since its last answer: it may hang */
	struct list asked;
};

struct judge {
	struct event_base *loop;
	const struct config *config;
	int folder; /* STATE/run */
	struct journal *journal;
	unsigned n_slots;
	struct link *slots[LIMIT_WORKERS]; /* where to ask; NULL: connect */
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
		uint64_t submitted, judged, retried, aside, deadline, other, unlogged, late;
	} count;
};

static inline void ring_init(struct list *l)
{
	l->head.next = l->head.prev = &l->head;
	l->n = 0;
}

static inline void ring_add(struct list *l, struct ask *a, bool first)
{
	struct ask *at = first ? l->head.next : &l->head; /* in front of it */
	a->next = at;
	a->prev = at->prev;
	at->prev->next = a;
	at->prev = a;
	l->n++;
}

static inline struct ask *ring_first(struct list *l)
{
	return l->n ? l->head.next : NULL;
}

static inline void ring_remove(struct list *l, struct ask *a)
{
	a->prev->next = a->next;
	a->next->prev = a->prev;
	l->n--;
}

/* judge_link.c */
__attribute__((warn_unused_result)) int judge_connect(struct judge *j); /* and stays connected */
void judge_pump(struct judge *j); /* asks what waits, as far as the workers have room */
void judge_link_free(struct link *l);

/* judge.c: the last step of each, for who is in no list any more. `wait`: done() comes when the event
 * is in the log; else at once, where the time is over. */
void judge_conclude(struct ask *a, struct span event, bool wait);
void judge_give_up(struct ask *a, const char *why, bool wait);
void judge_set_aside(struct ask *a);
