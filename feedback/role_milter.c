/*
 * The process at the MTA's side: libmilter's threads hand over transactions, the loop's thread has
 * everything else: verdicts, the event log, limits shared with other gateways, the policy service.
 *
 * A refusal at MAIL is answered when its event is written too. The event has its sender and what the
 * DNS says of him, by which books and digests count it, so it goes through a worker as all do.
 *
 * A thread that waits for its verdict holds a `call`, which belongs to the loop's thread again when
 * this one has lost its patience. The judge keeps the deadline; a thread waits a little longer than
 * that and then accepts by itself, so that not even a loop that hangs holds up mail.
 */
#include <errno.h>
#include <math.h>
#include <semaphore.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sysexits.h>
#include <time.h>
#include <event2/event.h>

#include "analyze/rules.h"
#include "base/clock.h"
#include "base/limits.h"
#include "base/log.h"
#include "base/utf8.h"
#include "capture/milter.h"
#include "feedback/judge.h"
#include "feedback/limiter.h"
#include "feedback/policy.h"
#include "feedback/registry.h"
#include "feedback/role.h"

/* Past the deadline: the judge's own answer is late by this at most. */
#define PATIENCE_US US_PER_S
/* At the end: for transactions that the MTA is still sending, then for verdicts that are missing. */
#define FINISH_US (3 * US_PER_S)
#define ABANDON_US (ROLE_STOP_US - US_PER_S)
#define LOOK_US 100000
/* Between two looks whether the registry has changed: asking costs more than a limit does. */
#define REGISTRY_US 200000

struct gate {
	struct role *role;
	struct judge *judge;
	struct limiter *limiter;
	struct policy *policy; /* NULL: no such listener */
	struct registry *registry; /* of the loop's thread */
	struct event *stopping, *look;
	int64_t stop_us; /* monotonic; 0: not stopping */
	bool milter;
};

/* A transaction at the end of its message, or one that ended without. */
struct call {
	struct gate *gate;
	struct ip ip;
	bool refused; /* at MAIL: it was not counted, and its answer stands */
	char *mail_from_domain, *limited_dkim, *limited_sender; /* keys that were counted */
	uint32_t places;
	int64_t counted_us;
	struct milter_answer *answer; /* the thread's, unless it is CALL_ALONE */
	sem_t done;                   /* the answer is filled */
	_Atomic enum call_state { CALL_AWAITED, CALL_ANSWERED, CALL_ALONE } state;
	char text[sizeof(((struct milter_answer *)0)->text)]; /* behind judgement.reply */
	enum milter_action action;
};

static struct span domain_of(struct span address)
{
	size_t at = span_rfind_char(address, '@');
	return at == SIZE_MAX ? SPAN("") : span_sub(address, at + 1, address.n);
}

static struct limiter_query first_query(struct call *c)
{
	return (struct limiter_query){.ip = c->ip,
				      .mail_from_domain = span_of(c->mail_from_domain),
				      .places = &c->places};
}

static void call_free(struct call *c)
{
	sem_destroy(&c->done);
	free(c->mail_from_domain);
	free(c->limited_dkim);
	free(c->limited_sender);
	free(c);
}

static struct call *call_make(struct gate *g, const struct txn *t)
{
	struct call *c = calloc(1, sizeof(*c));
	struct span domain = domain_of(t->mail_from.s);
	if (!c)
		return NULL;
	c->gate = g;
	c->ip = t->peer;
	c->places = t->places;
	c->counted_us = t->counted_us;
	c->mail_from_domain = strndup(domain.p ? domain.p : "", domain.n);
	sem_init(&c->done, 0, 0);
	return c;
}

/* --- limits --------------------------------------------------------------------------- */

static bool sender_known(void *arg, struct span key, struct limiter_sender *s_r)
{
	static const enum standing standings[] = {
		[REGISTRY_USUAL] = STANDING_USUAL,
		[REGISTRY_GOOD] = STANDING_GOOD,
		[REGISTRY_POOR] = STANDING_POOR,
	};
	struct gate *g = arg;
	struct registry_rate rate;
	*s_r = (struct limiter_sender){0};
	if (!g->registry || !registry_rate_of(g->registry, key, &rate))
		return false;
	s_r->standing = standings[rate.standing];
	if (rate.messages)
		s_r->filed = (struct limit){.count = rate.messages,
					    .window_us = rate.window_s * US_PER_S};
	return true;
}

/* Before the limiter is there nobody has connected. */
static bool limits(void *arg)
{
	struct gate *g = arg;
	return limiter_at_mail(g->limiter);
}

static bool on_mail(void *arg, struct txn *t, struct milter_answer *a)
{
	struct gate *g = arg;
	struct limiter_refusal refusal;
	const struct limiter_query q = {.ip = t->peer,
					.mail_from_domain = domain_of(t->mail_from.s),
					.places = &t->places};
	t->counted_us = clock_mono_us();
	if (!limiter_refuses_exactly(g->limiter, &q, t->counted_us, &refusal))
		return false;
	a->action = MILTER_DEFER;
	snprintf(a->code, sizeof(a->code), "451");
	snprintf(a->enhanced, sizeof(a->enhanced), "4.7.28");
	snprintf(a->text, sizeof(a->text), "%s", refusal.text);
	return true;
}

/* The limits whose keys the verdict brings. */
static bool late_limit(struct call *c, const struct judgement *v)
{
	struct gate *g = c->gate;
	struct limiter_refusal refusal;
	const struct limiter_query q = {.dkim = v->dkim, .sender = v->sender, .places = &c->places},
				   first = first_query(c);
	if (!limiter_refuses(g->limiter, &q, clock_mono_us(), &refusal)) {
		c->limited_dkim = strndup(v->dkim.p ? v->dkim.p : "", v->dkim.n);
		c->limited_sender = strndup(v->sender.p ? v->sender.p : "", v->sender.n);
		return false;
	}
	limiter_take_back(g->limiter, &first, c->counted_us);
	snprintf(c->text, sizeof(c->text), "%s (id=%s)", refusal.text, v->id);
	return true;
}

static void over(struct call *c)
{
	struct limiter_query q = first_query(c);
	q.dkim = span_of(c->limited_dkim);
	q.sender = span_of(c->limited_sender);
	limiter_ended(c->gate->limiter, &q);
}

/* --- the answer -------------------------------------------------------------------------- */

static void refuse(struct call *c, struct judgement *v, enum milter_action action, int code,
		   struct span enhanced)
{
	c->action = action;
	v->reply = (struct txn_reply){code, enhanced, span_of(c->text)};
}

/* Our answer, before the event is written. */
static void decide(void *arg, struct judgement *v)
{
	struct call *c = arg;
	static const enum milter_action actions[] = {
		[ACTION_ACCEPT] = MILTER_ACCEPT, [ACTION_TAG] = MILTER_TAG,
		[ACTION_DEFER] = MILTER_DEFER, [ACTION_REJECT] = MILTER_REJECT,
	};
	c->action = MILTER_ACCEPT;
	if (!v->judged || c->refused)
		return;
	if (late_limit(c, v)) {
		refuse(c, v, MILTER_DEFER, 451, SPAN("4.7.28"));
		return;
	}
	c->action = actions[v->action];
	if (c->action == MILTER_TAG && c->gate->role->config->milter_headers.quarantine)
		c->action = MILTER_QUARANTINE;
	/* the id always has room, and with the codes the line has not more than 512 octets */
	struct span tell = utf8_cut(v->tell, sizeof(c->text) - sizeof("\nid=") - strlen(v->id));
	snprintf(c->text, sizeof(c->text), "%.*s\nid=%s", SPAN_ARG(tell), v->id);
	if (c->action == MILTER_DEFER)
		refuse(c, v, MILTER_DEFER, 451, SPAN("4.7.1"));
	else if (c->action == MILTER_REJECT)
		refuse(c, v, MILTER_REJECT, 550, SPAN("5.7.1"));
}

static void fill(struct milter_answer *a, const struct call *c, const struct judgement *v)
{
	char compliance[32] = "none";
	a->action = c->action;
	if (!isnan(v->compliance))
		snprintf(compliance, sizeof(compliance), "%.4g", v->compliance);
	snprintf(a->verdict, sizeof(a->verdict), "%s; id=%s; score=%.4g; compliance=%s",
		 action_name(v->action), v->id, v->score, compliance);
	buf_add(&a->auth_results, v->auth_results);
	if (!v->reply.code)
		return;
	snprintf(a->code, sizeof(a->code), "%s", v->reply.code >= 500 ? "550" : "451");
	snprintf(a->enhanced, sizeof(a->enhanced), "%.*s", SPAN_ARG(v->reply.enhanced));
	snprintf(a->text, sizeof(a->text), "%s", c->text);
}

static void on_done(void *arg, const struct judgement *v)
{
	struct call *c = arg;
	if (!c->refused)
		over(c);
	if (atomic_exchange(&c->state, CALL_ANSWERED) == CALL_ALONE) {
		call_free(c);
		return;
	}
	if (!c->refused)
		fill(c->answer, c, v);
	sem_post(&c->done);
}

static void judge_it(void *arg, struct txn *t, struct milter_answer *a)
{
	struct gate *g = arg;
	struct call *c = call_make(g, t);
	int64_t deadline_us = clock_mono_us() + g->role->config->milter.deadline_us;
	if (!c) {
		judge_submit(g->judge, t, deadline_us, NULL, NULL, NULL);
		return;
	}
	c->answer = a;
	c->refused = t->reply.code;
	int64_t until_us = deadline_us + PATIENCE_US;
	struct timespec until = {.tv_sec = until_us / US_PER_S,
				 .tv_nsec = until_us % US_PER_S * 1000};
	judge_submit(g->judge, t, deadline_us, decide, on_done, c);
	while (sem_clockwait(&c->done, CLOCK_MONOTONIC, &until) < 0) {
		enum call_state awaited = CALL_AWAITED; /* what a failed exchange writes over */
		if (errno != ETIMEDOUT)
			continue;
		if (atomic_compare_exchange_strong(&c->state, &awaited, CALL_ALONE)) {
			log_error("milter.late", "a transaction is answered without its event");
			return;
		}
		until.tv_sec++; /* just now it is being filled */
	}
	call_free(c);
}

/* It came to no message: an event all the same, and nobody waits. */
static void ended(void *arg, struct txn *t)
{
	struct gate *g = arg;
	struct call *c = call_make(g, t);
	int64_t deadline_us = clock_mono_us() + LIMIT_JUDGE_US;
	if (c)
		c->state = CALL_ALONE;
	judge_submit(g->judge, t, deadline_us, NULL, c ? on_done : NULL, c);
}

/* --- the role ----------------------------------------------------------------------------- */

static int gate_open(struct role *r)
{
	struct gate *g = calloc(1, sizeof(*g));
	if (!g)
		return EX_OSERR;
	g->role = r;
	r->data = g;
	const struct milter_hooks hooks = {limits, on_mail, judge_it, ended, g};
	int result = policy_open(&g->policy, r->config);
	if (result == 0 && !r->config->milter.address)
		return EX_OK;
	if (result == 0)
		result = milter_open(r->config, &hooks);
	g->milter = result == 0;
	return result == 0 ? EX_OK : result == -EACCES || result == -EPERM ? EX_NOPERM
									  : EX_UNAVAILABLE;
}

static void on_look(evutil_socket_t fd, short what, void *arg)
{
	struct gate *g = arg;
	(void)fd;
	(void)what;
	if (!registry_senders(g->registry))
		log_debug("milter.registry", "filed rates are as they were");
}

static void on_stopping(evutil_socket_t fd, short what, void *arg)
{
	struct gate *g = arg;
	int64_t since = clock_mono_us() - g->stop_us;
	(void)fd;
	(void)what;
	if (g->milter && since > FINISH_US)
		milter_abandon();
	if (!g->milter || milter_open_transactions() == 0 || since > ABANDON_US) {
		if (g->milter)
			milter_abandon(); /* what begins in this moment has its event too */
		judge_drain(g->judge);
	}
}

static int gate_start(struct role *r)
{
	struct gate *g = r->data;
	const struct limiter_hooks hooks = {sender_known, g};
	g->stopping = event_new(r->loop, -1, EV_PERSIST, on_stopping, g);
	if (!g->stopping || judge_open(&g->judge, r->config, r->loop) < 0 ||
	    limiter_create(&g->limiter, r->config, r->rules, r->loop) < 0)
		return EX_OSERR;
	limiter_set_hooks(g->limiter, &hooks);
	int result = registry_open(r->config->state, &g->registry);
	if (result == 0) {
		g->look = event_new(r->loop, -1, EV_PERSIST, on_look, g);
		if (!g->look || event_add(g->look, &(struct timeval){.tv_usec = REGISTRY_US}) < 0)
			return EX_OSERR;
		on_look(-1, 0, g);
	} else {
		log_warn("milter.registry", "filed rates are not known: %s", strerror(-result));
	}
	if (g->policy && policy_start(g->policy, r->loop, g->limiter, g->milter) < 0)
		return EX_OSERR;
	return g->milter && milter_start() < 0 ? EX_OSERR : EX_OK;
}

static void gate_stop(struct role *r)
{
	struct gate *g = r->data;
	if (g->stop_us)
		return;
	g->stop_us = clock_mono_us();
	if (g->milter)
		milter_stop();
	event_add(g->stopping, &(struct timeval){.tv_usec = LOOK_US});
	on_stopping(-1, 0, g);
}

static void gate_end(struct role *r)
{
	struct gate *g = r->data;
	policy_close(g->policy);
	judge_close(g->judge);
}

static void gate_reload(struct role *r)
{
	struct gate *g = r->data;
	limiter_reload(g->limiter, r->rules);
	if (g->milter)
		milter_reload(r->config);
}

static void gate_status(struct role *r, struct json *j)
{
	const struct gate *g = r->data;
	struct milter_counters c = {0};
	if (g->milter)
		milter_counters(&c);
	json_open(j, "milter", '{');
	json_int(j, "connections", (int64_t)c.connections);
	json_int(j, "connected", (int64_t)c.connected);
	json_int(j, "transactions", (int64_t)c.transactions);
	json_int(j, "waiting", (int64_t)c.waiting);
	json_int(j, "limited", (int64_t)c.limited);
	json_int(j, "ended", (int64_t)c.ended);
	json_int(j, "failed", (int64_t)c.failed);
	json_int(j, "accept", (int64_t)c.answered[MILTER_ACCEPT]);
	json_int(j, "tag", (int64_t)c.answered[MILTER_TAG]);
	json_int(j, "quarantine", (int64_t)c.answered[MILTER_QUARANTINE]);
	json_int(j, "defer", (int64_t)c.answered[MILTER_DEFER]);
	json_int(j, "reject", (int64_t)c.answered[MILTER_REJECT]);
	json_close(j, '}');
	limiter_status(g->limiter, j);
	if (g->policy)
		policy_status(g->policy, j);
	judge_status(g->judge, j);
}

const struct role_kind role_milter = {
	.name = "milter", .open = gate_open, .start = gate_start, .stop = gate_stop,
	.end = gate_end, .reload = gate_reload, .status = gate_status,
};
