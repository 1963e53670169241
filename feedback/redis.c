/*
 * One connection a master. Commands wait as formatted text until redis_exchange() has sent them
 * all and read an answer for each; in a Cluster those answered MOVED, ASK or TRYAGAIN go round
 * again. A broken connection ends the exchange: what was done is unknown then, and the callers'
 * functions are made so that asking again is harmless.
 */
#include "feedback/redis.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

#include <hiredis/hiredis.h>

#include "base/clock.h"
#include "base/limits.h"
#include "feedback/books_lua.h"
#include "feedback/redis_private.h"

#define SLOTS 16384
#define MAX_MASTERS 1000 /* what Redis Cluster is made for */

struct node {
	char address[256]; /* host:port; "" for a unix socket */
	redisContext *context;
	bool holds_slots;
};

struct request {
	char *text; /* of redisFormatCommandArgv() */
	size_t n;
	unsigned slot;
	unsigned node; /* of this round */
	bool asking;
	redisReply *reply;
};

struct redis {
	const struct config *config;
	struct node *nodes;
	size_t n_nodes;
	uint16_t slots[SLOTS]; /* node */
	struct request *requests;
	size_t n_requests, cap_requests;
	bool exchanged; /* the requests have their answers; the next one begins anew */
	char trouble[768];
};

static char open_trouble[768];

/* CRC16 of XMODEM, as the Cluster specification asks for. */
unsigned redis_slot(struct span key)
{
	size_t open = span_find_char(key, '{');
	if (open < key.n) {
		struct span tag = span_sub(key, open + 1, key.n);
		size_t close = span_find_char(tag, '}');
		if (close < tag.n && close > 0)
			key = span_sub(tag, 0, close);
	}
	unsigned crc = 0;
	for (size_t i = 0; i < key.n; i++) {
		crc ^= (unsigned)(unsigned char)key.p[i] << 8;
		for (int bit = 0; bit < 8; bit++)
			crc = crc & 0x8000 ? crc << 1 ^ 0x1021 : crc << 1;
		crc &= 0xffff;
	}
	return crc % SLOTS;
}

static int trouble(struct redis *r, int error, const char *what, const char *why)
{
	snprintf(r->trouble, sizeof(r->trouble), "%s: %s", what, why);
	return error;
}

static const char *node_name(const struct redis *r, const struct node *node)
{
	if (node->address[0])
		return node->address;
	return r->config->redis.kind == REDIS_UNIX ? r->config->redis.addresses.v[0]
						   : "the private Redis";
}

/* --- connecting ----------------------------------------------------------------- */

static struct timeval timeout(void)
{
	return (struct timeval){LIMIT_REDIS_TIMEOUT_US / US_PER_S, LIMIT_REDIS_TIMEOUT_US % US_PER_S};
}

static redisContext *connect_unix(const struct redis *r)
{
	const struct config *c = r->config;
	if (c->redis.kind == REDIS_UNIX) {
		const char *path = c->redis.addresses.v[0];
		return redisConnectUnixWithTimeout(strncmp(path, "unix:", 5) ? path : path + 5,
						   timeout());
	}
	char path[REDIS_SOCKET_PATH_BYTES];
	int folder;
	if (redis_private_path(c, &folder, path) < 0)
		return NULL;
	redisContext *context = redisConnectUnixWithTimeout(path, timeout());
	close(folder);
	return context;
}

static redisContext *connect_tcp(const char *address)
{
	struct span all = span_of(address), host = all;
	size_t colon = span_rfind_char(all, ':');
	uint64_t port = 6379;
	if (colon < all.n) {
		host = span_sub(all, 0, colon);
		if (!span_number(span_sub(all, colon + 1, all.n), UINT16_MAX, &port))
			return NULL;
	}
	if (host.n > 1 && host.p[0] == '[')
		host = span_sub(host, 1, host.n - 1);
	char name[256];
	snprintf(name, sizeof(name), "%.*s", SPAN_ARG(host));
	return redisConnectWithTimeout(name, (int)port, timeout());
}

/* A reply that is an error of that kind: "LOADING ...". */
static bool says(const redisReply *reply, const char *kind)
{
	return reply && reply->type == REDIS_REPLY_ERROR &&
	       span_starts((struct span){reply->str, reply->len}, span_of(kind));
}

/* One command at once on one connection; NULL: the connection broke. */
static redisReply *ask(struct redis *r, struct node *node, size_t argc, const struct span *argv)
{
	const char *texts[8];
	size_t sizes[8];
	for (size_t i = 0; i < argc && i < 8; i++) {
		texts[i] = argv[i].p;
		sizes[i] = argv[i].n;
	}
	redisReply *reply = redisCommandArgv(node->context, (int)argc, texts, sizes);
	if (!reply)
		trouble(r, 0, node_name(r, node), node->context->errstr);
	return reply;
}

static int load_functions(struct redis *r, struct node *node)
{
	const struct span words[] = {SPAN("FUNCTION"), SPAN("LOAD"), SPAN("REPLACE"),
				     span_of(books_lua_text())};
	redisReply *reply = ask(r, node, 4, words);
	if (!reply)
		return -ENOTCONN;
	int result = 0;
	if (reply->type == REDIS_REPLY_ERROR)
		result = trouble(r, -EPROTO, node_name(r, node), reply->str);
	freeReplyObject(reply);
	return result;
}

/* Waits until the server has read its files; loads the functions where they are missing. */
static int greet(struct redis *r, struct node *node)
{
	const struct span version[] = {SPAN("FCALL"), SPAN("assay_version"), SPAN("0")};
	int64_t give_up_us = clock_mono_us() + LIMIT_REDIS_LOADING_US;
	for (;;) {
		redisReply *reply = ask(r, node, 3, version);
		if (!reply)
			return -ENOTCONN;
		bool loading = says(reply, "LOADING");
		bool missing = says(reply, "ERR Function not found");
		bool other = reply->type == REDIS_REPLY_STRING &&
			     strcmp(reply->str, books_lua_version()) != 0;
		int result = 0;
		if (reply->type == REDIS_REPLY_ERROR && !missing)
			result = trouble(r, -EPROTO, node_name(r, node), reply->str);
		freeReplyObject(reply);
		if (missing || other)
			return load_functions(r, node);
		if (!loading || clock_mono_us() > give_up_us)
			return result;
		nanosleep(&(struct timespec){.tv_nsec = 50000000}, NULL);
	}
}

static int node_connect(struct redis *r, struct node *node)
{
	node->context = node->address[0] ? connect_tcp(node->address) : connect_unix(r);
	if (!node->context)
		return trouble(r, -ENOTCONN, node_name(r, node), "cannot connect");
	int result = 0;
	if (node->context->err) {
		result = trouble(r, -ENOTCONN, node_name(r, node), node->context->errstr);
	} else {
		redisSetTimeout(node->context, timeout());
		result = greet(r, node);
	}
	if (result < 0) {
		redisFree(node->context);
		node->context = NULL;
	}
	return result;
}

static void node_drop(struct node *node)
{
	if (node->context)
		redisFree(node->context);
	node->context = NULL;
}

/* The node of that address, new when it is not known; SIZE_MAX when there are too many. */
static size_t node_of(struct redis *r, const char *address)
{
	for (size_t i = 0; i < r->n_nodes; i++)
		if (strcmp(r->nodes[i].address, address) == 0)
			return i;
	struct node *more = r->n_nodes < MAX_MASTERS
				    ? realloc(r->nodes, (r->n_nodes + 1) * sizeof(*more))
				    : NULL;
	if (!more)
		return SIZE_MAX;
	r->nodes = more;
	struct node *node = &r->nodes[r->n_nodes];
	*node = (struct node){.context = NULL};
	snprintf(node->address, sizeof(node->address), "%s", address);
	return r->n_nodes++;
}

/* --- Cluster --------------------------------------------------------------------- */

/* CLUSTER SLOTS: {first, last, {host, port, ...}, replicas ...} each. */
static void read_slots(struct redis *r, const struct node *from, const redisReply *reply)
{
	char asked[256];
	snprintf(asked, sizeof(asked), "%s", from->address); /* nodes may move in memory */
	for (size_t i = 0; i < r->n_nodes; i++)
		r->nodes[i].holds_slots = false;
	for (size_t i = 0; i < reply->elements; i++) {
		const redisReply *range = reply->element[i];
		if (range->type != REDIS_REPLY_ARRAY || range->elements < 3 ||
		    range->element[2]->type != REDIS_REPLY_ARRAY || range->element[2]->elements < 2)
			continue;
		const redisReply *host = range->element[2]->element[0];
		char address[256];
		if (host->type == REDIS_REPLY_STRING && host->len)
			snprintf(address, sizeof(address), "%s:%lld", host->str,
				 range->element[2]->element[1]->integer);
		else /* a node that does not know its own name: the one that we asked */
			memcpy(address, asked, sizeof(address));
		size_t node = node_of(r, address);
		if (node == SIZE_MAX)
			continue;
		r->nodes[node].holds_slots = true;
		long long last = range->element[1]->integer;
		for (long long slot = range->element[0]->integer; slot >= 0 && slot <= last &&
								  slot < SLOTS; slot++)
			r->slots[slot] = (uint16_t)node;
	}
}

/* Learns the slots from any node that answers. */
static int learn_slots(struct redis *r)
{
	const struct span words[] = {SPAN("CLUSTER"), SPAN("SLOTS")};
	int result = -ENOTCONN;
	for (size_t i = 0; i < r->n_nodes; i++) {
		if (!r->nodes[i].context && (result = node_connect(r, &r->nodes[i])) < 0)
			continue;
		redisReply *reply = ask(r, &r->nodes[i], 2, words);
		bool learnt = reply && reply->type == REDIS_REPLY_ARRAY && reply->elements > 0;
		if (learnt)
			read_slots(r, &r->nodes[i], reply);
		else if (reply)
			result = trouble(r, -EPROTO, node_name(r, &r->nodes[i]),
					 reply->type == REDIS_REPLY_ERROR ? reply->str
									  : "knows no slots");
		if (!reply)
			node_drop(&r->nodes[i]);
		else
			freeReplyObject(reply);
		if (learnt)
			return 0;
	}
	return result;
}

/* "MOVED 3999 127.0.0.1:6381", "ASK 3999 127.0.0.1:6381": the node to ask instead. */
static size_t redirected(struct redis *r, const struct request *q)
{
	struct span rest = {q->reply->str, q->reply->len}, kind, slot, address;
	if (!span_next_word(&rest, &kind) || !span_next_word(&rest, &slot) ||
	    !span_next_word(&rest, &address))
		return SIZE_MAX;
	char text[256];
	const char *own = r->nodes[q->node].address;
	if (address.n && address.p[0] == ':') /* the same host */
		snprintf(text, sizeof(text), "%.*s%.*s",
			 (int)span_rfind_char(span_of(own), ':'), own, SPAN_ARG(address));
	else
		snprintf(text, sizeof(text), "%.*s", SPAN_ARG(address));
	return node_of(r, text);
}

/* --- opening ----------------------------------------------------------------------- */

static int open_nodes(struct redis *r)
{
	const struct config_texts *addresses = &r->config->redis.addresses;
	if (r->config->redis.kind != REDIS_CLUSTER) {
		const char *address =
			r->config->redis.kind == REDIS_TCP ? addresses->v[0] : "";
		if (node_of(r, address) == SIZE_MAX)
			return -ENOMEM;
		r->nodes[0].holds_slots = true;
		return node_connect(r, &r->nodes[0]);
	}
	for (size_t i = 0; i < addresses->n; i++)
		if (node_of(r, addresses->v[i]) == SIZE_MAX)
			return -ENOMEM;
	return learn_slots(r);
}

/* The private server needs some milliseconds from its start until it listens. */
static int open_private(struct redis *r, unsigned flags)
{
	int64_t give_up_us = clock_mono_us() + LIMIT_REDIS_TIMEOUT_US;
	for (;;) {
		int result = flags & REDIS_MAY_START ? redis_private_use(r->config) : 0;
		if (result < 0)
			return trouble(r, result, "the private Redis cannot be started",
				       strerror(-result));
		result = open_nodes(r);
		if (result != -ENOTCONN || !(flags & REDIS_MAY_START) ||
		    clock_mono_us() > give_up_us)
			return result;
		nanosleep(&(struct timespec){.tv_nsec = 10000000}, NULL);
	}
}

int redis_open(struct redis **r_r, const struct config *config, unsigned flags)
{
	struct redis *r = calloc(1, sizeof(*r));
	*r_r = NULL;
	if (!r)
		return -ENOMEM;
	r->config = config;
	int result = config->redis.kind == REDIS_SPAWN ? open_private(r, flags) : open_nodes(r);
	if (result < 0) {
		memcpy(open_trouble, r->trouble, sizeof(open_trouble));
		redis_close(r);
		return result;
	}
	*r_r = r;
	return 0;
}

static void forget_requests(struct redis *r)
{
	for (size_t i = 0; i < r->n_requests; i++) {
		free(r->requests[i].text);
		if (r->requests[i].reply)
			freeReplyObject(r->requests[i].reply);
	}
	r->n_requests = 0;
	r->exchanged = false;
}

void redis_close(struct redis *r)
{
	if (!r)
		return;
	forget_requests(r);
	for (size_t i = 0; i < r->n_nodes; i++)
		node_drop(&r->nodes[i]);
	free(r->nodes);
	free(r->requests);
	free(r);
}

/* --- commands ---------------------------------------------------------------------- */

void redis_queue(struct redis *r, struct span key, size_t argc, const struct span *argv)
{
	if (r->exchanged)
		forget_requests(r);
	if (r->n_requests == r->cap_requests) {
		size_t cap = r->cap_requests ? r->cap_requests * 2 : 64;
		struct request *more = realloc(r->requests, cap * sizeof(*more));
		if (!more)
			abort(); /* a few hundred octets: the machine is at its end */
		r->requests = more;
		r->cap_requests = cap;
	}
	struct request *q = &r->requests[r->n_requests++];
	*q = (struct request){.slot = redis_slot(key)};
	const char **texts = calloc(argc, sizeof(*texts));
	size_t *sizes = calloc(argc, sizeof(*sizes));
	for (size_t i = 0; texts && sizes && i < argc; i++) {
		texts[i] = argv[i].n ? argv[i].p : "";
		sizes[i] = argv[i].n;
	}
	int n = texts && sizes ? redisFormatCommandArgv(&q->text, (int)argc, texts, sizes) : -1;
	q->n = n > 0 ? (size_t)n : 0; /* 0: redis_exchange() says -ENOMEM */
	free(texts);
	free(sizes);
}

static int broken(struct redis *r, struct node *node)
{
	const redisContext *c = node->context;
	bool late = c && c->err == REDIS_ERR_IO && (errno == EAGAIN || errno == ETIMEDOUT);
	trouble(r, 0, node_name(r, node), c ? c->errstr : "not connected");
	node_drop(node);
	return late ? -ETIMEDOUT : -ENOTCONN;
}

/* Sends every request that has no answer. */
static int send_round(struct redis *r)
{
	for (size_t i = 0; i < r->n_requests; i++) {
		struct request *q = &r->requests[i];
		if (q->reply)
			continue;
		if (!q->n)
			return -ENOMEM;
		struct node *node = &r->nodes[q->node];
		int result;
		if (!node->context && (result = node_connect(r, node)) < 0)
			return result;
		if ((q->asking && redisAppendCommand(node->context, "ASKING") != REDIS_OK) ||
		    redisAppendFormattedCommand(node->context, q->text, q->n) != REDIS_OK)
			return -ENOMEM;
	}
	return 0;
}

static int receive_round(struct redis *r)
{
	for (size_t i = 0; i < r->n_requests; i++) {
		struct request *q = &r->requests[i];
		struct node *node = &r->nodes[q->node];
		void *reply = NULL;
		if (q->reply)
			continue;
		if (q->asking) {
			if (redisGetReply(node->context, &reply) != REDIS_OK)
				return broken(r, node);
			freeReplyObject(reply);
			q->asking = false;
		}
		if (redisGetReply(node->context, &reply) != REDIS_OK)
			return broken(r, node);
		q->reply = reply;
	}
	return 0;
}

/* Takes back the answers that only say "not here, not now": true when there were any. */
static bool again(struct redis *r, int *result)
{
	bool any = false, learn = false, wait = false;
	for (size_t i = 0; i < r->n_requests; i++) {
		struct request *q = &r->requests[i];
		bool moved = says(q->reply, "MOVED "), asked = says(q->reply, "ASK ");
		bool later = says(q->reply, "TRYAGAIN") || says(q->reply, "CLUSTERDOWN") ||
			     says(q->reply, "LOADING");
		bool missing = says(q->reply, "ERR Function not found");
		if (!moved && !asked && !later && !missing)
			continue;
		if (missing && (*result = load_functions(r, &r->nodes[q->node])) < 0)
			return false;
		if (moved || asked) {
			size_t node = redirected(r, q);
			if (node == SIZE_MAX)
				continue;
			q->node = (unsigned)node;
			q->asking = asked;
			if (moved)
				r->slots[q->slot] = (uint16_t)node;
		}
		freeReplyObject(q->reply);
		q->reply = NULL;
		any = true;
		learn = learn || moved;
		wait = wait || later;
	}
	if (wait)
		nanosleep(&(struct timespec){.tv_nsec = 100000000}, NULL);
	/* Every moved slot has said its new place; the table serves those not asked about. */
	if (learn)
		*result = learn_slots(r);
	return any && *result == 0;
}

int redis_exchange(struct redis *r)
{
	int result = 0;
	r->exchanged = true;
	for (size_t i = 0; i < r->n_requests; i++)
		r->requests[i].node = r->slots[r->requests[i].slot];
	for (int hop = 0; hop < LIMIT_REDIS_HOPS; hop++) {
		if ((result = send_round(r)) < 0 || (result = receive_round(r)) < 0)
			break;
		if (!again(r, &result))
			return result;
	}
	if (result == 0)
		return trouble(r, -ENOTCONN, "Redis Cluster", "slots move faster than we follow");
	/* Answers that are still on their way must not be taken for those of the next exchange. */
	for (size_t i = 0; i < r->n_nodes; i++)
		node_drop(&r->nodes[i]);
	if (r->config->redis.kind == REDIS_CLUSTER && learn_slots(r) < 0)
		return -ENOTCONN;
	return result;
}

const struct redis_answer *redis_answer(const struct redis *r, size_t i)
{
	return i < r->n_requests ? (const struct redis_answer *)r->requests[i].reply : NULL;
}

size_t redis_masters(const struct redis *r)
{
	size_t n = 0;
	for (size_t i = 0; i < r->n_nodes; i++)
		n += r->nodes[i].holds_slots;
	return n;
}

int redis_ask_master(struct redis *r, size_t master, size_t argc, const struct span *argv,
		     const struct redis_answer **answer_r)
{
	forget_requests(r);
	for (unsigned i = 0; i < r->n_nodes; i++) {
		if (!r->nodes[i].holds_slots || master-- > 0)
			continue;
		redis_queue(r, SPAN(""), argc, argv);
		r->requests[0].node = i;
		r->exchanged = true;
		int result = send_round(r);
		if (result == 0)
			result = receive_round(r);
		*answer_r = redis_answer(r, 0);
		return result;
	}
	return -EINVAL;
}

const char *redis_trouble(const struct redis *r)
{
	return r->trouble;
}

const char *redis_open_trouble(void)
{
	return open_trouble;
}

/* --- answers -------------------------------------------------------------------- */

static const redisReply *as_reply(const struct redis_answer *a)
{
	return (const redisReply *)a;
}

struct span redis_answer_text(const struct redis_answer *a)
{
	const redisReply *reply = as_reply(a);
	if (!reply || (reply->type != REDIS_REPLY_STRING && reply->type != REDIS_REPLY_STATUS))
		return SPAN_NONE;
	return (struct span){reply->str, reply->len};
}

struct span redis_answer_error(const struct redis_answer *a)
{
	const redisReply *reply = as_reply(a);
	if (!reply || reply->type != REDIS_REPLY_ERROR)
		return SPAN_NONE;
	return (struct span){reply->str, reply->len};
}

int64_t redis_answer_int(const struct redis_answer *a)
{
	const redisReply *reply = as_reply(a);
	if (!reply)
		return 0;
	if (reply->type == REDIS_REPLY_INTEGER)
		return reply->integer;
	return reply->type == REDIS_REPLY_STRING ? strtoll(reply->str, NULL, 10) : 0;
}

size_t redis_answer_count(const struct redis_answer *a)
{
	const redisReply *reply = as_reply(a);
	return reply && reply->type == REDIS_REPLY_ARRAY ? reply->elements : 0;
}

const struct redis_answer *redis_answer_at(const struct redis_answer *a, size_t i)
{
	return i < redis_answer_count(a) ? (const struct redis_answer *)as_reply(a)->element[i]
					 : NULL;
}
