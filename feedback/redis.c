/*
 * One connection a master. Commands wait as formatted text until redis_exchange() has sent them
 * all and read an answer for each; in a Cluster those answered MOVED, ASK or TRYAGAIN go round again
 * (redis_cluster.h has the slots). A broken connection ends the exchange: what was done is unknown
 * then, and the callers' functions are made so that asking again is harmless.
 */
#include "feedback/redis.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

#include <hiredis/hiredis.h>

#include "base/clock.h"
#include "base/limits.h"
#include "feedback/books_lua.h"
#include "feedback/redis_cluster.h"
#include "feedback/redis_private.h"

struct request {
	char *text; /* of redisFormatCommandArgv() */
	size_t n;
	unsigned slot;
	size_t node; /* of this round */
	bool function; /* it touches more keys than the one it names */
	bool asking;   /* the node is only about to have the slot */
	redisReply *reply;
};

struct redis {
	const struct config *config;
	bool hurry;
	int folder; /* of the private Redis, kept for a sandbox; -1: not opened yet */
	struct redis_nodes nodes; /* connection: a redisContext */
	struct request *requests;
	size_t n_requests, cap_requests;
	bool exchanged; /* the requests have their answers; the next one begins anew */
	char trouble[768];
};

static char open_trouble[768];

static int trouble(struct redis *r, int error, const char *what, const char *why)
{
	snprintf(r->trouble, sizeof(r->trouble), "%s: %s", what, why);
	return error;
}

static const char *node_name(const struct redis *r, const struct redis_node *node)
{
	if (node->address[0])
		return node->address;
	return r->config->redis.kind == REDIS_UNIX ? r->config->redis.addresses.v[0]
						   : "the private Redis";
}

/* --- connecting ----------------------------------------------------------------- */

static int64_t timeout_us(const struct redis *r)
{
	return r->hurry ? LIMIT_REDIS_HURRY_US : LIMIT_REDIS_TIMEOUT_US;
}

static struct timeval timeout(const struct redis *r)
{
	return (struct timeval){timeout_us(r) / US_PER_S, timeout_us(r) % US_PER_S};
}

static redisContext *connect_unix(struct redis *r)
{
	const struct config *c = r->config;
	if (c->redis.kind == REDIS_UNIX) {
		const char *path = c->redis.addresses.v[0];
		return redisConnectUnixWithTimeout(strncmp(path, "unix:", 5) ? path : path + 5,
						   timeout(r));
	}
	char path[REDIS_SOCKET_PATH_BYTES];
	if (r->folder < 0 && redis_private_path(c, &r->folder, path) < 0) {
		r->folder = -1;
		return NULL;
	}
	redis_private_path_at(r->folder, path);
	return redisConnectUnixWithTimeout(path, timeout(r));
}

static redisContext *connect_tcp(const struct redis *r, const char *address)
{
	char host[REDIS_ADDRESS_BYTES], known[REDIS_ADDRESS_BYTES];
	int port;
	/* in a sandbox; all others ask the system, which has the hosts of this moment */
	if (r->hurry && redis_name_known(address, known))
		address = known;
	return redis_address_split(address, host, &port)
		       ? redisConnectWithTimeout(host, port, timeout(r))
		       : NULL;
}

static redisContext *context_of(const struct redis_node *node)
{
	return node->connection;
}

/* A reply that is an error of that kind: "LOADING ...". */
static bool says(const redisReply *reply, const char *kind)
{
	return reply && reply->type == REDIS_REPLY_ERROR &&
	       span_starts((struct span){reply->str, reply->len}, span_of(kind));
}

/* hiredis writes with write(2): to a server that has just died that is a SIGPIPE, and the end of a
 * command which has nothing to do with a pipe. It stays away for the length of an exchange. */
static void hold_sigpipe(sigset_t *before)
{
	sigset_t set;
	sigemptyset(&set);
	sigaddset(&set, SIGPIPE);
	pthread_sigmask(SIG_BLOCK, &set, before);
}

static void release_sigpipe(const sigset_t *before)
{
	sigset_t set;
	if (sigismember(before, SIGPIPE))
		return; /* held by somebody else already */
	sigemptyset(&set);
	sigaddset(&set, SIGPIPE);
	while (sigtimedwait(&set, NULL, &(struct timespec){0}) < 0 && errno == EINTR)
		;
	pthread_sigmask(SIG_SETMASK, before, NULL);
}

/* One command at once on one connection; NULL: the connection broke. */
static redisReply *ask(struct redis *r, struct redis_node *node, size_t argc, const struct span *argv)
{
	const char *texts[8];
	size_t sizes[8];
	for (size_t i = 0; i < argc && i < 8; i++) {
		texts[i] = argv[i].p;
		sizes[i] = argv[i].n;
	}
	sigset_t before;
	hold_sigpipe(&before);
	redisReply *reply = redisCommandArgv(context_of(node), (int)argc, texts, sizes);
	release_sigpipe(&before);
	if (!reply)
		trouble(r, 0, node_name(r, node), context_of(node)->errstr);
	return reply;
}

static int load_functions(struct redis *r, struct redis_node *node)
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
static int greet(struct redis *r, struct redis_node *node)
{
	const struct span version[] = {SPAN("FCALL"), SPAN("assay_version"), SPAN("0")};
	int64_t give_up_us =
		clock_mono_us() + (r->hurry ? timeout_us(r) : LIMIT_REDIS_LOADING_US);
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

static int node_connect(struct redis *r, struct redis_node *node)
{
	node->connection = node->address[0] ? connect_tcp(r, node->address) : connect_unix(r);
	if (!context_of(node))
		return trouble(r, -ENOTCONN, node_name(r, node), "cannot connect");
	int result = 0;
	if (context_of(node)->err) {
		result = trouble(r, -ENOTCONN, node_name(r, node), context_of(node)->errstr);
	} else {
		redisSetTimeout(context_of(node), timeout(r));
		result = greet(r, node);
	}
	if (result < 0) {
		redisFree(context_of(node));
		node->connection = NULL;
	}
	return result;
}

static void node_drop(struct redis_node *node)
{
	if (context_of(node))
		redisFree(context_of(node));
	node->connection = NULL;
}

/* --- Cluster --------------------------------------------------------------------- */

/* Learns the slots from any node that answers. */
static int learn_slots(struct redis *r)
{
	const struct span words[] = {SPAN("CLUSTER"), SPAN("SLOTS")};
	int result = -ENOTCONN;
	for (size_t i = 0; i < r->nodes.n; i++) {
		struct redis_node *node = &r->nodes.v[i];
		if (!node->connection && (result = node_connect(r, node)) < 0)
			continue;
		redisReply *reply = ask(r, node, 2, words);
		if (!reply) {
			node_drop(node);
			continue;
		}
		bool learnt = redis_nodes_learn(&r->nodes, i, (const struct redis_answer *)reply);
		if (!learnt)
			result = trouble(r, -EPROTO, node_name(r, &r->nodes.v[i]),
					 reply->type == REDIS_REPLY_ERROR ? reply->str
									  : "knows no slots");
		freeReplyObject(reply);
		if (learnt)
			return 0;
	}
	return result;
}

/* --- opening ----------------------------------------------------------------------- */

static int open_nodes(struct redis *r)
{
	const struct config_texts *addresses = &r->config->redis.addresses;
	if (r->config->redis.kind != REDIS_CLUSTER) {
		const char *address =
			r->config->redis.kind == REDIS_TCP ? addresses->v[0] : "";
		if (redis_nodes_find(&r->nodes, address) == SIZE_MAX)
			return -ENOMEM;
		r->nodes.v[0].holds_slots = true;
		return node_connect(r, &r->nodes.v[0]);
	}
	for (size_t i = 0; i < addresses->n; i++)
		if (redis_nodes_find(&r->nodes, addresses->v[i]) == SIZE_MAX)
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
	r->hurry = flags & REDIS_HURRY;
	r->folder = -1;
	int result = config->redis.kind == REDIS_SPAWN ? open_private(r, flags) : open_nodes(r);
	if (result < 0 && (!r->hurry || result == -ENOMEM)) {
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
	for (size_t i = 0; i < r->nodes.n; i++)
		node_drop(&r->nodes.v[i]);
	redis_nodes_free(&r->nodes);
	if (r->folder >= 0)
		close(r->folder);
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
	*q = (struct request){.slot = redis_slot(key), .function = span_eq(argv[0], SPAN("FCALL"))};
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

static int broken(struct redis *r, struct redis_node *node)
{
	const redisContext *c = context_of(node);
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
		struct redis_node *node = &r->nodes.v[q->node];
		int result;
		if (!node->connection && (result = node_connect(r, node)) < 0)
			return result;
		if ((q->asking && redisAppendCommand(context_of(node), "ASKING") != REDIS_OK) ||
		    redisAppendFormattedCommand(context_of(node), q->text, q->n) != REDIS_OK)
			return -ENOMEM;
	}
	return 0;
}

static int receive_round(struct redis *r)
{
	for (size_t i = 0; i < r->n_requests; i++) {
		struct request *q = &r->requests[i];
		struct redis_node *node = &r->nodes.v[q->node];
		void *reply = NULL;
		if (q->reply)
			continue;
		if (q->asking) {
			if (redisGetReply(context_of(node), &reply) != REDIS_OK)
				return broken(r, node);
			freeReplyObject(reply);
		}
		if (redisGetReply(context_of(node), &reply) != REDIS_OK)
			return broken(r, node);
		q->reply = reply;
	}
	return 0;
}

/* Has the node no key of the slot any more that it gives away? */
static bool has_given_all(struct redis *r, struct redis_node *node, unsigned slot)
{
	char number[8];
	if (!context_of(node)) /* an answer before this one of the same round has found it broken */
		return false;
	snprintf(number, sizeof(number), "%u", slot);
	const struct span words[] = {SPAN("CLUSTER"), SPAN("COUNTKEYSINSLOT"), span_of(number)};
	redisReply *reply = ask(r, node, 3, words);
	bool all = reply && reply->type == REDIS_REPLY_INTEGER && reply->integer == 0;
	if (reply)
		freeReplyObject(reply);
	else
		node_drop(node);
	return all;
}

/* Follows ASK; false: not yet (redis_cluster.h). */
static bool follow(struct redis *r, struct request *q, struct span error)
{
	unsigned slot;
	size_t from = q->node, node;
	if (!redis_nodes_asked(&r->nodes, from, error, &slot, &node) ||
	    (q->function && !has_given_all(r, &r->nodes.v[from], slot)))
		return false;
	q->node = node;
	q->asking = true;
	return true;
}

/* Takes back the answers that only say "not here, not now": true when there were any. */
static bool again(struct redis *r, int *result)
{
	bool any = false, learn = false, wait = false;
	for (size_t i = 0; i < r->n_requests; i++) {
		struct request *q = &r->requests[i];
		struct span error = redis_answer_error((const struct redis_answer *)q->reply);
		enum redis_refusal refusal = error.p ? redis_refusal_of(error) : REDIS_REFUSED;
		if (refusal == REDIS_REFUSED)
			continue;
		/* who was sent on and is sent back goes round with a rest */
		wait = wait || refusal == REDIS_LATER || q->asking;
		q->asking = false;
		if (refusal == REDIS_ASK && !follow(r, q, error))
			wait = true;
		/* who is gone gets them with the next greeting */
		if (refusal == REDIS_NO_FUNCTION && r->nodes.v[q->node].connection &&
		    (*result = load_functions(r, &r->nodes.v[q->node])) < 0)
			return false;
		if (refusal == REDIS_MOVED) {
			if (!redis_nodes_moved(&r->nodes, q->node, error))
				continue;
			q->node = r->nodes.slots[q->slot];
			learn = true;
		}
		freeReplyObject(q->reply);
		q->reply = NULL;
		any = true;
	}
	if (wait)
		nanosleep(&(struct timespec){.tv_nsec = 50000000}, NULL);
	/* Every moved slot has said its new place; the table serves those not asked about. */
	if (learn || (wait && r->config->redis.kind == REDIS_CLUSTER))
		*result = learn_slots(r);
	for (size_t i = 0; any && i < r->n_requests; i++)
		if (!r->requests[i].reply && !r->requests[i].asking)
			r->requests[i].node = r->nodes.slots[r->requests[i].slot];
	return any && *result == 0;
}

int redis_exchange(struct redis *r)
{
	int result = 0;
	int64_t give_up_us = clock_mono_us() + timeout_us(r);
	r->exchanged = true;
	for (size_t i = 0; i < r->n_requests; i++)
		r->requests[i].node = r->nodes.slots[r->requests[i].slot];
	for (;;) {
		sigset_t before;
		hold_sigpipe(&before);
		result = send_round(r);
		if (result == 0)
			result = receive_round(r);
		release_sigpipe(&before);
		if (result < 0)
			break;
		if (!again(r, &result))
			return result;
		if (clock_mono_us() > give_up_us) {
			result = trouble(r, -ENOTCONN, "Redis Cluster", "slots are on the move");
			break;
		}
	}
	/* Answers that are still on their way must not be taken for those of the next exchange. */
	for (size_t i = 0; i < r->nodes.n; i++)
		node_drop(&r->nodes.v[i]);
	if (r->config->redis.kind == REDIS_CLUSTER && !r->hurry && learn_slots(r) < 0)
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
	for (size_t i = 0; i < r->nodes.n; i++)
		n += r->nodes.v[i].holds_slots;
	return n;
}

int redis_ask_master(struct redis *r, size_t master, size_t argc, const struct span *argv,
		     const struct redis_answer **answer_r)
{
	forget_requests(r);
	for (size_t i = 0; i < r->nodes.n; i++) {
		if (!r->nodes.v[i].holds_slots || master-- > 0)
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
