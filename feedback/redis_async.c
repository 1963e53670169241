#include "feedback/redis_async.h"

#include <errno.h>
#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <event2/dns.h>
#include <event2/event.h>
#include <hiredis/hiredis.h>
#include <hiredis/async.h>
#include <hiredis/adapters/libevent.h>

#include "base/clock.h"
#include "base/limits.h"
#include "base/log.h"
#include "feedback/books_lua.h"
#include "feedback/redis_cluster.h"
#include "feedback/redis_private.h"

#define LOOK_US 50000		/* between two looks at who does not answer */
#define RETRY_US (US_PER_S / 2) /* between two attempts to connect to a node */

/* One node's connection. It outlives its hiredis contexts: nodes stay known. */
struct connection {
	struct redis_async *owner;
	size_t node; /* index into owner->nodes */
	redisAsyncContext *context;
	const char *name; /* of the configuration, where that is no address; NULL */
	struct evdns_getaddrinfo_request *asked;
	bool connected, ready;
	bool failed;	  /* at least once since it was ready */
	unsigned waiting; /* answers that are to come */
	int64_t since_us; /* of the last answer or, without one, of the first call */
	int64_t retry_us;
};

/* A slot that moves: has its old node given all keys away? */
struct handover {
	struct connection *from;
	unsigned slot;
	size_t taker;
};

struct call {
	struct connection *connection;
	redis_async_fn *fn; /* NULL: an answer that nobody waits for */
	void *arg;
};

struct redis_async {
	const struct config *config;
	struct event_base *loop;
	struct event *look;
	struct evdns_base *dns; /* NULL: no node has a name */
	struct redis_nodes nodes;
	int folder; /* of the private Redis; -1: not opened yet */
	bool learn; /* the table of slots is to be asked for */
	int64_t handover_us; /* when the table was asked for, while calls follow an ASK; 0: none do */
	bool closing;
	char trouble[REDIS_ADDRESS_BYTES + 160];
};

static void trouble(struct redis_async *r, const char *what, const char *why)
{
	snprintf(r->trouble, sizeof(r->trouble), "%s: %.150s", what[0] ? what : "Redis", why);
}

static const char *name_of(const struct connection *c)
{
	return c->owner->nodes.v[c->node].address;
}

/* --- one connection ----------------------------------------------------------------- */

/* Every open call is answered with NULL before this returns. */
static void drop(struct connection *c)
{
	redisAsyncContext *context = c->context;
	c->context = NULL;
	c->connected = c->ready = false;
	c->failed = true;
	c->retry_us = clock_mono_us() + RETRY_US;
	c->owner->learn = c->owner->config->redis.kind == REDIS_CLUSTER;
	redis_nodes_forget_taker(&c->owner->nodes, c->node);
	if (context)
		redisAsyncFree(context);
	c->waiting = 0;
}

static void hand_over(struct connection *from, struct span error);

static void on_reply(redisAsyncContext *context, void *reply, void *data)
{
	struct call *call = data;
	struct connection *c = call->connection;
	struct span error = redis_answer_error(reply);
	(void)context;
	if (c->waiting)
		c->waiting--;
	c->since_us = clock_mono_us();
	if (error.p) {
		enum redis_refusal refusal = redis_refusal_of(error);
		if (refusal != REDIS_REFUSED)
			redis_nodes_forget_taker(&c->owner->nodes, c->node);
		if (refusal == REDIS_MOVED) {
			redis_nodes_moved(&c->owner->nodes, c->node, error);
			c->owner->learn = true;
		} else if (refusal == REDIS_ASK && !c->owner->closing) {
			hand_over(c, error);
		} else if (refusal == REDIS_NO_FUNCTION) {
			c->ready = false; /* it is greeted again */
		}
	}
	if (call->fn)
		call->fn(call->arg, reply);
	free(call);
}

static bool send_on(struct connection *c, size_t argc, const struct span *argv, redis_async_fn *fn,
		    void *arg)
{
	const char **texts = calloc(argc, sizeof(*texts));
	size_t *sizes = calloc(argc, sizeof(*sizes));
	struct call *call = calloc(1, sizeof(*call));
	bool sent = false;
	if (texts && sizes && call) {
		for (size_t i = 0; i < argc; i++) {
			texts[i] = argv[i].n ? argv[i].p : "";
			sizes[i] = argv[i].n;
		}
		*call = (struct call){c, fn, arg};
		sent = redisAsyncCommandArgv(c->context, on_reply, call, (int)argc, texts, sizes) ==
		       REDIS_OK;
	}
	if (sent && c->waiting++ == 0)
		c->since_us = clock_mono_us();
	if (!sent)
		free(call);
	free(texts);
	free(sizes);
	return sent;
}

/* --- a slot that moves (redis_cluster.h) ---------------------------------------------- */

static void on_counted(void *arg, const struct redis_answer *answer)
{
	struct handover *h = arg;
	struct redis_async *r = h->from->owner;
	if (answer && !redis_answer_error(answer).p && redis_answer_int(answer) == 0) {
		r->nodes.takers[h->slot] = (uint16_t)(h->taker + 1);
		r->handover_us = clock_mono_us();
	}
	free(h);
}

/* The caller tries later; by then it is known whether the node that ASK names has all keys. */
static void hand_over(struct connection *from, struct span error)
{
	char number[8];
	struct handover *h = calloc(1, sizeof(*h));
	if (!h)
		return;
	h->from = from;
	if (!redis_nodes_asked(&from->owner->nodes, from->node, error, &h->slot, &h->taker)) {
		free(h);
		return;
	}
	snprintf(number, sizeof(number), "%u", h->slot);
	const struct span words[] = {SPAN("CLUSTER"), SPAN("COUNTKEYSINSLOT"), span_of(number)};
	if (!send_on(from, 3, words, on_counted, h))
		free(h);
}

/* --- greeting: is our library there? --------------------------------------------------- */

static void greet(struct connection *c);

static void greeted(struct connection *c)
{
	c->ready = true;
	c->failed = false;
	c->owner->trouble[0] = '\0';
}

static void on_loaded(void *arg, const struct redis_answer *answer)
{
	struct connection *c = arg;
	struct span error = redis_answer_error(answer);
	if (!answer)
		return;
	if (error.p)
		trouble(c->owner, name_of(c), error.p);
	else
		greeted(c);
}

static void on_version(void *arg, const struct redis_answer *answer)
{
	struct connection *c = arg;
	struct span error = redis_answer_error(answer);
	if (!answer)
		return;
	if (span_eq(redis_answer_text(answer), span_of(books_lua_version()))) {
		greeted(c);
		return;
	}
	if (error.p && redis_refusal_of(error) != REDIS_NO_FUNCTION) {
		trouble(c->owner, name_of(c), error.p);
		c->failed = true;
		return; /* NOAUTH, LOADING: asked again by look() */
	}
	const struct span words[] = {SPAN("FUNCTION"), SPAN("LOAD"), SPAN("REPLACE"),
				     span_of(books_lua_text())};
	if (!send_on(c, 4, words, on_loaded, c))
		trouble(c->owner, name_of(c), "out of memory");
}

static void greet(struct connection *c)
{
	const struct span words[] = {SPAN("FCALL"), SPAN("assay_version"), SPAN("0")};
	c->retry_us = clock_mono_us() + RETRY_US;
	if (!send_on(c, 3, words, on_version, c))
		trouble(c->owner, name_of(c), "out of memory");
}

static void on_connect(const redisAsyncContext *context, int status)
{
	struct connection *c = context->data;
	if (c->context != context)
		return;
	if (status != REDIS_OK) { /* hiredis frees the context */
		trouble(c->owner, name_of(c), context->errstr);
		c->context = NULL;
		drop(c);
		return;
	}
	c->connected = true;
	greet(c);
}

static void on_disconnect(const redisAsyncContext *context, int status)
{
	struct connection *c = context->data;
	if (c->context != context)
		return; /* our own drop() */
	trouble(c->owner, name_of(c), status == REDIS_OK ? "closed" : context->errstr);
	c->context = NULL;
	drop(c);
}

static redisAsyncContext *begin_unix(struct redis_async *r)
{
	const struct config *config = r->config;
	if (config->redis.kind == REDIS_UNIX) {
		const char *path = config->redis.addresses.v[0];
		return redisAsyncConnectUnix(strncmp(path, "unix:", 5) ? path : path + 5);
	}
	char path[REDIS_SOCKET_PATH_BYTES];
	if (r->folder < 0 && redis_private_path(config, &r->folder, path) < 0) {
		r->folder = -1;
		trouble(r, "the private Redis", "has not been started");
		return NULL;
	}
	redis_private_path_at(r->folder, path);
	return redisAsyncConnectUnix(path);
}

/* --- names ---------------------------------------------------------------------------
 *
 * A name is resolved when its node is made, and again each time that its connection fails: a Redis
 * may come back at another address. By then a worker has no files any more for getaddrinfo(), and a
 * loop may not wait for it; libevent's resolver has read resolv.conf and hosts before. */

static void address_text(const struct addrinfo *found, int port, char out[REDIS_ADDRESS_BYTES])
{
	char text[NI_MAXHOST];
	if (getnameinfo(found->ai_addr, found->ai_addrlen, text, sizeof(text), NULL, 0,
			NI_NUMERICHOST) == 0)
		snprintf(out, REDIS_ADDRESS_BYTES, strchr(text, ':') ? "[%.200s]:%d" : "%.200s:%d",
			 text, port);
}

static void on_resolved(int error, struct evutil_addrinfo *found, void *arg)
{
	if (error == EVUTIL_EAI_CANCEL)
		return; /* the connection is gone */
	struct connection *c = arg;
	char host[REDIS_ADDRESS_BYTES], *address = c->owner->nodes.v[c->node].address;
	int port;
	c->asked = NULL;
	if (error == 0 && found && redis_address_split(c->name, host, &port)) {
		char before[REDIS_ADDRESS_BYTES];
		memcpy(before, address, sizeof(before));
		address_text(found, port, address);
		redis_name_found(c->name, address);
		if (strcmp(before, address) != 0)
			log_warn("redis.moved", "%s is at %s and was at %s", c->name, address, before);
	}
	if (found)
		evutil_freeaddrinfo(found);
}

static void resolve_again(struct connection *c)
{
	const struct evutil_addrinfo hints = {.ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM};
	char host[REDIS_ADDRESS_BYTES];
	int port;
	if (!c->name || c->asked || !c->owner->dns || !redis_address_split(c->name, host, &port))
		return;
	/* NULL: it was answered at once */
	c->asked = evdns_getaddrinfo(c->owner->dns, host, NULL, &hints, on_resolved, c);
}

static void begin(struct connection *c)
{
	char host[REDIS_ADDRESS_BYTES];
	int port;
	if (c->failed)
		resolve_again(c);
	c->retry_us = clock_mono_us() + RETRY_US;
	c->since_us = clock_mono_us();
	if (!name_of(c)[0])
		c->context = begin_unix(c->owner);
	else if (redis_address_split(name_of(c), host, &port))
		c->context = redisAsyncConnect(host, port);
	if (!c->context || c->context->err) {
		if (c->context)
			trouble(c->owner, name_of(c), c->context->errstr);
		drop(c);
		return;
	}
	c->context->data = c;
	redisAsyncSetConnectCallback(c->context, on_connect);
	redisAsyncSetDisconnectCallback(c->context, on_disconnect);
	if (redisLibeventAttach(c->context, c->owner->loop) != REDIS_OK)
		drop(c);
}

static struct connection *connection_of(struct redis_async *r, size_t node)
{
	struct connection *c = r->nodes.v[node].connection;
	if (!c && (c = calloc(1, sizeof(*c)))) {
		*c = (struct connection){.owner = r, .node = node};
		r->nodes.v[node].connection = c;
		begin(c);
	}
	return c;
}

/* --- slots --------------------------------------------------------------------------- */

static void on_slots(void *arg, const struct redis_answer *answer)
{
	struct connection *c = arg;
	if (answer && redis_nodes_learn(&c->owner->nodes, c->node, answer))
		c->owner->learn = false;
}

static void learn_slots(struct redis_async *r)
{
	const struct span words[] = {SPAN("CLUSTER"), SPAN("SLOTS")};
	for (size_t i = 0; i < r->nodes.n; i++) {
		struct connection *c = connection_of(r, i);
		if (c && c->ready && send_on(c, 2, words, on_slots, c))
			return;
	}
}

static void on_look(evutil_socket_t fd, short what, void *arg)
{
	struct redis_async *r = arg;
	int64_t now_us = clock_mono_us();
	(void)fd;
	(void)what;
	for (size_t i = 0; i < r->nodes.n; i++) {
		struct connection *c = r->nodes.v[i].connection;
		if (!c)
			continue;
		bool silent = (c->waiting || !c->connected) &&
			      now_us - c->since_us > LIMIT_RATE_TIMEOUT_US;
		if (c->context && silent) {
			trouble(r, name_of(c), "does not answer");
			drop(c);
		} else if (!c->context && now_us >= c->retry_us) {
			begin(c);
		} else if (c->connected && !c->ready && !c->waiting && now_us >= c->retry_us) {
			greet(c);
		}
	}
	if (r->handover_us && now_us - r->handover_us > RETRY_US) {
		r->learn = redis_nodes_has_takers(&r->nodes);
		r->handover_us = r->learn ? now_us : 0;
	}
	if (r->learn)
		learn_slots(r);
}

/* --- the whole --------------------------------------------------------------------------- */

/* A name's first address as "1.2.3.4:6379"; as it is written when it has none now. True for a name. */
static bool resolve(const char *address, char out[REDIS_ADDRESS_BYTES])
{
	char host[REDIS_ADDRESS_BYTES];
	struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_NUMERICHOST}, *found = NULL;
	int port;
	snprintf(out, REDIS_ADDRESS_BYTES, "%s", address);
	if (!redis_address_split(address, host, &port))
		return false;
	bool name = getaddrinfo(host, NULL, &hints, &found) != 0;
	hints.ai_flags = 0;
	if (name && getaddrinfo(host, NULL, &hints, &found) != 0)
		return true;
	address_text(found, port, out);
	freeaddrinfo(found);
	return name;
}

/* With the resolvers and hosts of this machine. */
static void dns_open(struct redis_async *r)
{
	if (!r->dns)
		r->dns = evdns_base_new(r->loop, EVDNS_BASE_INITIALIZE_NAMESERVERS);
	if (!r->dns)
		log_warn("redis.names", "stay at the addresses that they have now");
}

static int add_nodes(struct redis_async *r)
{
	const struct config_texts *addresses = &r->config->redis.addresses;
	bool tcp = r->config->redis.kind == REDIS_TCP || r->config->redis.kind == REDIS_CLUSTER;
	char path[REDIS_SOCKET_PATH_BYTES], address[REDIS_ADDRESS_BYTES] = "";
	for (size_t i = 0; tcp && i < addresses->n; i++) {
		bool name = resolve(addresses->v[i], address);
		size_t node = redis_nodes_find(&r->nodes, address);
		struct connection *c = node == SIZE_MAX ? NULL : connection_of(r, node);
		if (!c)
			return -ENOMEM;
		if (!name)
			continue;
		c->name = addresses->v[i];
		redis_name_found(c->name, address);
		dns_open(r);
	}
	if (!tcp && redis_nodes_find(&r->nodes, "") == SIZE_MAX)
		return -ENOMEM;
	if (r->config->redis.kind == REDIS_SPAWN &&
	    redis_private_path(r->config, &r->folder, path) < 0)
		r->folder = -1; /* it will be there soon */
	return tcp || connection_of(r, 0) ? 0 : -ENOMEM;
}

int redis_async_create(struct redis_async **r_r, const struct config *config,
		       struct event_base *loop)
{
	static const struct timeval interval = {0, LOOK_US};
	struct redis_async *r = calloc(1, sizeof(*r));
	*r_r = NULL;
	if (!r)
		return -ENOMEM;
	r->config = config;
	r->loop = loop;
	r->folder = -1;
	r->learn = config->redis.kind == REDIS_CLUSTER;
	r->look = event_new(loop, -1, EV_PERSIST, on_look, r);
	if (!r->look || event_add(r->look, &interval) < 0 || add_nodes(r) < 0) {
		redis_async_free(r);
		return -ENOMEM;
	}
	*r_r = r;
	return 0;
}

void redis_async_free(struct redis_async *r)
{
	if (!r)
		return;
	r->closing = true;
	for (size_t i = 0; i < r->nodes.n; i++) {
		struct connection *c = r->nodes.v[i].connection;
		if (c)
			drop(c);
		if (c && c->asked)
			evdns_getaddrinfo_cancel(c->asked);
		free(c);
	}
	if (r->dns)
		evdns_base_free(r->dns, 0);
	if (r->look)
		event_free(r->look);
	if (r->folder >= 0)
		close(r->folder);
	redis_nodes_free(&r->nodes);
	free(r);
}

static struct connection *find(struct redis_async *r, struct span key, bool *asking_r)
{
	unsigned slot = redis_slot(key), taker = r->nodes.takers[slot];
	*asking_r = taker > 0;
	return connection_of(r, taker ? taker - 1u : r->nodes.slots[slot]);
}

enum redis_async_state redis_async_state(struct redis_async *r, struct span key)
{
	bool asking;
	const struct connection *c = find(r, key, &asking);
	if (c && c->ready)
		return REDIS_ASYNC_READY;
	return c && !c->failed ? REDIS_ASYNC_CONNECTING : REDIS_ASYNC_AWAY;
}

bool redis_async_call(struct redis_async *r, struct span key, size_t argc, const struct span *argv,
		      redis_async_fn *fn, void *arg)
{
	bool asking;
	struct connection *c = find(r, key, &asking);
	return c && c->ready && !r->closing &&
	       (!asking || send_on(c, 1, (struct span[]){SPAN("ASKING")}, NULL, NULL)) &&
	       send_on(c, argc, argv, fn, arg);
}

const char *redis_async_trouble(const struct redis_async *r)
{
	return r->trouble;
}
