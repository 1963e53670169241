#include "feedback/policy.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <event2/event.h>
#include <event2/listener.h>

#include "base/buf.h"
#include "base/clock.h"
#include "base/limits.h"
#include "base/listen.h"
#include "base/log.h"

/* One mail's requests: RCPT for each recipient, DATA, END-OF-MESSAGE. */
struct instance {
	struct instance *next, *older, *newer;
	int64_t seen_us;
	char name[LIMIT_POLICY_INSTANCE_BYTES + 1];
};

#define CHAINS 4096

struct client {
	struct policy *owner;
	struct client *previous, *next;
	struct bufferevent *io;
};

struct policy {
	int fd;
	struct event_base *loop;
	struct evconnlistener *listener;
	struct limiter *limiter;
	bool milter_counts;
	struct client *clients;
	size_t n_clients, n_instances;
	struct instance *chains[CHAINS], *oldest, *newest;
	uint64_t requests, refused, incomplete, hung_up;
};

/* --- instances that were let in ---------------------------------------------------------- */

static struct instance **chain_of(struct policy *p, const char *name)
{
	uint64_t hash = span_hash(span_of(name));
	return &p->chains[(hash ^ hash >> 29) % CHAINS];
}

static struct instance *find(struct policy *p, const char *name)
{
	struct instance *i = *chain_of(p, name);
	while (i && strcmp(i->name, name) != 0)
		i = i->next;
	return i;
}

static void forget_oldest(struct policy *p)
{
	struct instance *i = p->oldest, **at = chain_of(p, i->name);
	while (*at != i)
		at = &(*at)->next;
	*at = i->next;
	p->oldest = i->newer;
	*(i->newer ? &i->newer->older : &p->newest) = NULL;
	p->n_instances--;
	free(i);
}

static void remember(struct policy *p, const char *name, int64_t now_us)
{
	struct instance *i = calloc(1, sizeof(*i));
	while (p->oldest && (p->n_instances >= LIMIT_POLICY_INSTANCES ||
			     now_us - p->oldest->seen_us > LIMIT_POLICY_INSTANCE_US))
		forget_oldest(p);
	if (!i)
		return; /* it counts once more at its next stage */
	*i = (struct instance){.seen_us = now_us, .next = *chain_of(p, name), .older = p->newest};
	snprintf(i->name, sizeof(i->name), "%s", name);
	*chain_of(p, name) = i;
	*(p->newest ? &p->newest->newer : &p->oldest) = i;
	p->newest = i;
	p->n_instances++;
}

/* --- a request --------------------------------------------------------------------------- */

struct request {
	struct span request, protocol_state, client_address, sender, instance;
	bool has_sender;
};

static void take_attribute(struct request *q, struct span line)
{
	size_t equals = span_find_char(line, '=');
	struct span name = span_sub(line, 0, equals), value = span_sub(line, equals + 1, line.n);
	if (equals >= line.n)
		return;
	if (span_eq(name, SPAN("request")))
		q->request = value;
	else if (span_eq(name, SPAN("protocol_state")))
		q->protocol_state = value;
	else if (span_eq(name, SPAN("client_address")))
		q->client_address = value;
	else if (span_eq(name, SPAN("instance")))
		q->instance = value;
	else if (span_eq(name, SPAN("sender"))) {
		q->sender = value;
		q->has_sender = true;
	}
}

/* True: refused, with words. */
static bool decide(struct policy *p, const struct request *q, struct limiter_refusal *r)
{
	uint32_t places = 0;
	struct limiter_query query = {.ip = {.family = 0}, .places = &places};
	int64_t now_us = clock_mono_us();
	char name[LIMIT_POLICY_INSTANCE_BYTES + 1];
	bool stage = span_eq(q->protocol_state, SPAN("RCPT")) ||
		     span_eq(q->protocol_state, SPAN("DATA")) ||
		     span_eq(q->protocol_state, SPAN("END-OF-MESSAGE"));
	bool complete = span_eq(q->request, SPAN("smtpd_access_policy")) && q->instance.n &&
			q->instance.n < sizeof(name) && q->has_sender &&
			ip_parse(q->client_address, &query.ip);
	if (!stage || !complete) {
		p->incomplete += !complete;
		return false;
	}
	snprintf(name, sizeof(name), "%.*s", SPAN_ARG(q->instance));
	size_t at = span_rfind_char(q->sender, '@');
	if (at < q->sender.n)
		query.mail_from_domain = span_sub(q->sender, at + 1, q->sender.n);
	if (find(p, name)) /* this transaction has been let in */
		return false;
	/* Whom the milter has let in at MAIL is counted already, and would be in his own way here. */
	if (p->milter_counts)
		return !limiter_has_under_way(p->limiter, &query) &&
		       limiter_would_refuse(p->limiter, &query, now_us, r);
	if (limiter_refuses(p->limiter, &query, now_us, r))
		return true;
	/* Nobody tells here when it is over, so nothing can be under way. */
	limiter_ended(p->limiter, &query);
	remember(p, name, now_us);
	return false;
}

/* --- clients ------------------------------------------------------------------------------ */

static void hang_up(struct client *c)
{
	struct policy *p = c->owner;
	*(c->previous ? &c->previous->next : &p->clients) = c->next;
	if (c->next)
		c->next->previous = c->previous;
	p->n_clients--;
	bufferevent_free(c->io);
	free(c);
}

static void answer(struct client *c, struct span text)
{
	struct request q = {.has_sender = false};
	struct limiter_refusal r;
	struct span line;
	struct evbuffer *out = bufferevent_get_output(c->io);
	while (span_next_line(&text, &line))
		take_attribute(&q, line);
	c->owner->requests++;
	if (decide(c->owner, &q, &r)) {
		c->owner->refused++;
		evbuffer_add_printf(out, "action=451 4.7.28 %s\n\n", r.text);
	} else {
		evbuffer_add_printf(out, "action=DUNNO\n\n");
	}
}

static void on_read(struct bufferevent *io, void *arg)
{
	struct client *c = arg;
	struct evbuffer *in = bufferevent_get_input(io);
	for (;;) {
		struct evbuffer_ptr end = evbuffer_search(in, "\n\n", 2, NULL);
		size_t n = end.pos < 0 ? evbuffer_get_length(in) : (size_t)end.pos + 2;
		bool fits = n <= LIMIT_POLICY_REQUEST_BYTES;
		if (!fits ||
		    evbuffer_get_length(bufferevent_get_output(io)) > LIMIT_POLICY_REQUEST_BYTES) {
			c->owner->hung_up++;
			hang_up(c);
			return;
		}
		if (end.pos < 0)
			return;
		const char *p = (const char *)evbuffer_pullup(in, (ssize_t)n);
		if (!p)
			return;
		answer(c, (struct span){p, n});
		evbuffer_drain(in, n);
	}
}

static void on_event(struct bufferevent *io, short what, void *arg)
{
	(void)io;
	(void)what;
	hang_up(arg);
}

static void on_accept(struct evconnlistener *listener, evutil_socket_t fd, struct sockaddr *address,
		      int n, void *arg)
{
	static const struct timeval idle = {LIMIT_POLICY_IDLE_US / US_PER_S, 0};
	struct policy *p = arg;
	struct client *c = p->n_clients < LIMIT_POLICY_CLIENTS ? calloc(1, sizeof(*c)) : NULL;
	(void)listener;
	(void)address;
	(void)n;
	if (c)
		c->io = bufferevent_socket_new(p->loop, fd, BEV_OPT_CLOSE_ON_FREE);
	if (!c || !c->io) {
		p->hung_up++;
		free(c);
		close(fd);
		return;
	}
	c->owner = p;
	c->next = p->clients;
	if (c->next)
		c->next->previous = c;
	p->clients = c;
	p->n_clients++;
	bufferevent_setcb(c->io, on_read, NULL, on_event, c);
	bufferevent_set_timeouts(c->io, &idle, &idle);
	bufferevent_enable(c->io, EV_READ | EV_WRITE);
}

/* --- the whole ------------------------------------------------------------------------------ */

int policy_open(struct policy **p_r, const struct config *config)
{
	*p_r = NULL;
	if (!config->policy.address)
		return 0;
	int fd = listen_open(&config->policy);
	if (fd < 0) {
		log_error("policy.listen", "%s: %s", config->policy.address, strerror(-fd));
		return fd;
	}
	struct policy *p = calloc(1, sizeof(*p));
	if (!p) {
		close(fd);
		return -ENOMEM;
	}
	p->fd = fd;
	*p_r = p;
	return 0;
}

int policy_start(struct policy *p, struct event_base *loop, struct limiter *limiter,
		 bool milter_counts)
{
	p->loop = loop;
	p->limiter = limiter;
	p->milter_counts = milter_counts;
	p->listener = evconnlistener_new(loop, on_accept, p, LEV_OPT_CLOSE_ON_EXEC, 0, p->fd);
	return p->listener ? 0 : -ENOMEM;
}

void policy_close(struct policy *p)
{
	if (!p)
		return;
	while (p->clients)
		hang_up(p->clients);
	while (p->oldest)
		forget_oldest(p);
	if (p->listener)
		evconnlistener_free(p->listener);
	close(p->fd);
	free(p);
}

void policy_status(const struct policy *p, struct json *j)
{
	json_int(j, "policy_requests", (int64_t)p->requests);
	json_int(j, "policy_refused", (int64_t)p->refused);
	json_int(j, "policy_incomplete", (int64_t)p->incomplete);
	json_int(j, "policy_clients", (int64_t)p->n_clients);
	json_int(j, "policy_hung_up", (int64_t)p->hung_up);
}
