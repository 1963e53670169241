/*
 * The analysis worker: transactions in, verdicts out, nothing else. It has no files and no network
 * but the DNS and Redis; a mail that breaks a parser breaks this process alone.
 *
 * Its rules are those that the supervisor had accepted at its start, the registry is read then, and
 * neither ever changes: when they do, the supervisor starts a new worker beside it and ends this one, which
 * first answers what it holds.
 */
#include <errno.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sysexits.h>
#include <unistd.h>
#include <event2/event.h>

#include "analyze/analyze.h"
#include "base/clock.h"
#include "base/limits.h"
#include "base/log.h"
#include "base/sandbox.h"
#include "base/unix_socket.h"
#include "capture/txn_pack.h"
#include "feedback/history.h"
#include "feedback/judge_private.h"
#include "feedback/listings.h"
#include "feedback/redis.h"
#include "feedback/registry.h"
#include "feedback/role_private.h"

/* Questions read before the answers of the DNS have their turn. */
#define READ_BURST 8

struct worker;

/* Somebody who asks. */
struct client {
	struct worker *worker;
	struct client *next;
	int fd;
	struct event *readable, *writable;
	struct judge_page *page;
	size_t jobs;    /* questions that are not answered */
	bool asks_no_more;
	struct answer *first, **last; /* answers that had no room yet */
};

struct job {
	struct client *client;
	uint64_t serial;
};

struct answer {
	struct answer *next;
	int beside;
	size_t n;
	char record[];
};

struct worker {
	struct role *role;
	struct analyzer analyzer;
	struct registry *registry;
	struct listings *listings;
	struct history *history;
	int listener;
	struct event *accept;
	struct client *clients;
	bool stopping;
	uint64_t judged;
};

static struct worker *self; /* analyzer.running has no argument of its own */

/* --- the way out -------------------------------------------------------------------------- */

static void end_when_done(struct worker *w)
{
	if (w->stopping && !w->clients)
		event_base_loopbreak(w->analyzer.loop);
}

static void client_free(struct client *c)
{
	struct worker *w = c->worker;
	struct client **at = &w->clients;
	while (*at != c)
		at = &(*at)->next;
	*at = c->next;
	while (c->first) {
		struct answer *a = c->first;
		c->first = a->next;
		if (a->beside >= 0)
			close(a->beside);
		free(a);
	}
	event_free(c->readable);
	event_free(c->writable);
	munmap(c->page, sizeof(*c->page));
	close(c->fd);
	free(c);
	end_when_done(w);
}

static void client_done(struct client *c)
{
	if (c->asks_no_more && c->jobs == 0 && !c->first)
		client_free(c);
}

/* False: there is no room now. What a client that is gone does not take is nobody's. */
static bool send_answer(struct client *c, struct span record, int beside)
{
	int r = unix_send(c->fd, record, beside);
	return r != -EAGAIN && r != -ETOOMANYREFS && r != -ENOBUFS;
}

static void on_writable(evutil_socket_t fd, short what, void *arg)
{
	struct client *c = arg;
	struct answer *a;
	(void)fd;
	(void)what;
	while ((a = c->first) && send_answer(c, (struct span){a->record, a->n}, a->beside)) {
		c->first = a->next;
		if (!c->first)
			c->last = &c->first;
		if (a->beside >= 0)
			close(a->beside);
		free(a);
	}
	if (c->first)
		event_add(c->writable, NULL);
	client_done(c);
}

static void give(struct client *c, struct span record, int beside)
{
	if (!c->first && send_answer(c, record, beside)) {
		if (beside >= 0)
			close(beside);
		return;
	}
	struct answer *a = malloc(sizeof(*a) + record.n);
	if (!a) { /* the asker's deadline helps him */
		log_error("analyze.answer", "why=memory");
		if (beside >= 0)
			close(beside);
		return;
	}
	*a = (struct answer){.beside = beside, .n = record.n};
	memcpy(a->record, record.p, record.n);
	*c->last = a;
	c->last = &a->next;
	event_add(c->writable, NULL);
}

/* The texts go behind the record, or into a file beside it when they are long. */
static void answer(struct job *job, struct judge_answer *head, const struct span texts[JUDGE_TEXTS])
{
	struct buf record = BUF_INIT;
	size_t n = 0;
	int beside = -1;
	for (size_t i = 0; i < JUDGE_TEXTS; i++) {
		head->lengths[i] = (uint32_t)texts[i].n;
		n += texts[i].n;
	}
	head->kind = JUDGE_ANSWER;
	head->serial = job->serial;
	head->beside = n + sizeof(*head) > JUDGE_RECORD_BYTES;
	buf_add(&record, (struct span){(const char *)head, sizeof(*head)});
	for (size_t i = 0; i < JUDGE_TEXTS; i++)
		buf_add(&record, texts[i]);
	struct span out = buf_span(&record);
	if (head->beside && !record.failed) {
		beside = memfd_create("answer", MFD_CLOEXEC);
		record.failed = beside < 0 ||
				pwrite(beside, out.p + sizeof(*head), n, 0) != (ssize_t)n;
		out.n = sizeof(*head);
	}
	if (record.failed) {
		head->failed = 1;
		out = (struct span){(const char *)head, sizeof(*head)};
	}
	give(job->client, out, beside);
	buf_free(&record);
}

/* --- one transaction ---------------------------------------------------------------------- */

/* In English where the client takes no other octets than ASCII: of Chinese nothing would be left. */
static struct span heaviest(const struct analysis *a)
{
	const struct finding *best = NULL;
	const struct fact *language = &a->facts.v[F_BODY_LANGUAGE];
	for (size_t i = 0; i < a->verdict.n_findings; i++) {
		const struct finding *f = &a->verdict.findings[i];
		if (!best || f->score > best->score)
			best = f;
	}
	if (!best)
		return SPAN("");
	bool zh = a->txn->flags & TXN_SMTPUTF8 && language->state == FACT_KNOWN &&
		  span_eq(language->text, SPAN("zh"));
	return span_of(zh ? best->tell_zh : best->tell);
}

static struct span passing_domain(const struct auth *auth)
{
	for (size_t i = 0; i < auth->n_dkim; i++)
		if (auth->dkim[i].result == AUTH_PASS)
			return auth->dkim[i].d;
	return SPAN("");
}

static void on_judged(struct analysis *a, void *arg)
{
	struct job *job = arg;
	struct client *c = job->client;
	struct buf event = BUF_INIT;
	const struct message *m = a->has_message ? &a->message : NULL;
	analysis_write_event(a, &event, false);
	struct judge_answer head = {.action = a->verdict.action, .failed = event.failed,
				    .score = a->verdict.score,
				    .compliance = a->verdict.compliance};
	const struct span texts[JUDGE_TEXTS] = {
		[TEXT_EVENT] = buf_span(&event),
		[TEXT_AUTH_RESULTS] = auth_results_field(&a->auth, m, &a->query, &a->txn->arena),
		[TEXT_TELL] = heaviest(a),
		[TEXT_SENDER] = a->sender.key,
		[TEXT_DKIM] = passing_domain(&a->auth),
	};
	answer(job, &head, texts);
	buf_free(&event);
	analysis_free(a);
	free(job);
	c->worker->judged++;
	c->jobs--;
	client_done(c);
}

/* What is worked on now, for whoever finds us dead. */
static void on_running(const struct analysis *a)
{
	static struct judge_page *page;
	if (page)
		page->working_on = 0;
	page = NULL;
	if (!a)
		return;
	const struct job *job = a->arg;
	page = job->client->page;
	page->working_on = job->serial;
}

static void take_question(struct client *c, struct span record, int fd)
{
	struct judge_ask ask;
	struct txn *t = NULL;
	if (record.n < sizeof(ask))
		return;
	memcpy(&ask, record.p, sizeof(ask));
	struct job *job = malloc(sizeof(*job));
	if (!job)
		return; /* the asker's deadline helps him */
	*job = (struct job){c, ask.serial};
	c->page->working_on = ask.serial;
	int r = txn_unpack(span_sub(record, sizeof(ask), record.n), fd, &t);
	c->jobs++;
	if (r == 0) {
		t->flags |= ask.retried ? TXN_RETRIED : 0;
		r = analyze_txn(&c->worker->analyzer, t, on_judged, job);
	}
	c->page->working_on = 0;
	if (r == 0)
		return;
	const struct span nothing[JUDGE_TEXTS] = {0};
	struct judge_answer head = {.failed = 1};
	log_error("analyze.take", "why=%s", strerror(-r));
	txn_free(t);
	answer(job, &head, nothing);
	free(job);
	c->jobs--;
}

/* --- the way in --------------------------------------------------------------------------- */

static void on_readable(evutil_socket_t fd, short what, void *arg)
{
	struct client *c = arg;
	static char record[JUDGE_RECORD_BYTES];
	(void)what;
	for (int i = 0; i < READ_BURST; i++) {
		int passed, n = unix_receive(fd, record, sizeof(record), &passed);
		if (n == -EAGAIN)
			return;
		if (n <= 0 && n != -EMSGSIZE) {
			event_del(c->readable);
			c->asks_no_more = true;
			client_done(c);
			return;
		}
		if (n > 0)
			take_question(c, (struct span){record, (size_t)n}, passed);
		if (passed >= 0)
			close(passed);
	}
}

static int client_open(struct worker *w, int fd)
{
	struct client *c = calloc(1, sizeof(*c));
	int page_fd = memfd_create("page", MFD_CLOEXEC), r = -ENOMEM;
	if (!c || page_fd < 0 || ftruncate(page_fd, sizeof(*c->page)) < 0)
		goto fail;
	c->page = mmap(NULL, sizeof(*c->page), PROT_READ | PROT_WRITE, MAP_SHARED, page_fd, 0);
	if (c->page == MAP_FAILED)
		goto fail;
	c->worker = w;
	c->fd = fd;
	c->last = &c->first;
	c->readable = event_new(w->analyzer.loop, fd, EV_READ | EV_PERSIST, on_readable, c);
	c->writable = event_new(w->analyzer.loop, fd, EV_WRITE, on_writable, c);
	uint32_t hello = JUDGE_HELLO;
	if (c->readable && c->writable && event_add(c->readable, NULL) == 0)
		r = unix_send(fd, (struct span){(const char *)&hello, sizeof(hello)}, page_fd);
	close(page_fd);
	c->next = w->clients;
	w->clients = c;
	if (r < 0) {
		if (c->readable && c->writable)
			client_free(c); /* closes fd */
		return 0;
	}
	return 0;
fail:
	if (page_fd >= 0)
		close(page_fd);
	free(c);
	return r;
}

static void on_accept(evutil_socket_t listener, short what, void *arg)
{
	struct worker *w = arg;
	int fd;
	(void)what;
	while ((fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK)) >= 0)
		if (client_open(w, fd) < 0)
			close(fd);
}

/* --- the role ----------------------------------------------------------------------------- */

static int worker_open(struct role *r)
{
	struct worker *w = calloc(1, sizeof(*w));
	if (!w)
		return EX_OSERR;
	w->role = r;
	w->listener = role_slot_listener(r);
	r->data = self = w;
	return EX_OK;
}

static int worker_start(struct role *r)
{
	struct worker *w = r->data;
	int result = analyzer_open_on(&w->analyzer, r->config, r->loop, r->rules);
	if (result)
		return result == ANALYZER_E_NO_ZONE ? EX_NOINPUT : result > 0 ? EX_CONFIG : EX_OSERR;
	result = registry_open(r->config->state, &w->registry);
	if (result < 0)
		log_error("analyze.registry", "why=%s", strerror(-result));
	registry_attach(w->registry, &w->analyzer.hooks);
	/* it is read once: the sandbox has no files, and a change brings a new worker */
	if (w->registry)
		registry_freeze(w->registry);
	/* its connection is made now: a private Redis is found through its folder */
	if (r->config->dnsbl_ip.n || r->config->dnsbl_domain.n)
		w->listings = listings_create(r->config, REDIS_HURRY);
	if (w->listings)
		listings_attach(w->listings, &w->analyzer.hooks);
	if (analyzer_preload(&w->analyzer) < 0) /* it counts in no history */
		return EX_OSERR;
	if (history_create(&w->history, r->config, r->loop) == 0)
		history_attach(w->history, &w->analyzer.hooks);
	w->analyzer.running = on_running;
	w->accept = event_new(r->loop, w->listener, EV_READ | EV_PERSIST, on_accept, w);
	if (!w->accept || event_add(w->accept, NULL) < 0)
		return EX_OSERR;
	result = sandbox_enter();
	if (result < 0)
		log_warn("analyze.sandbox", "why=%s", strerror(-result));
	return EX_OK;
}

static void worker_stop(struct role *r)
{
	struct worker *w = r->data;
	uint32_t bye = JUDGE_BYE;
	if (w->stopping)
		return;
	w->stopping = true;
	event_del(w->accept);
	close(w->listener);
	for (struct client *c = w->clients; c; c = c->next)
		give(c, (struct span){(const char *)&bye, sizeof(bye)}, -1);
	end_when_done(w);
}

static void worker_status(struct role *r, struct json *j)
{
	const struct worker *w = r->data;
	size_t jobs = 0;
	for (const struct client *c = w->clients; c; c = c->next)
		jobs += c->jobs;
	json_int(j, "judged", (int64_t)w->judged);
	json_int(j, "waiting", (int64_t)jobs);
	if (w->history)
		history_status(w->history, j);
	json_cstr(j, "ruleset", ruleset_hash(w->analyzer.rules));
}

const struct role_kind role_analyze = {
	.name = "analyze", .open = worker_open, .start = worker_start, .stop = worker_stop,
	.status = worker_status,
};
