/*
 * redis_cluster - which Redis node holds which slot, and what nodes answer while slots move.
 *
 * One server is the special case of one node that holds all slots. The table knows addresses and
 * no connections: `connection` is its user's.
 *
 * While a slot moves, its old node answers ASK for a key that it does not have (any more), and the
 * new node takes the one command that follows ASKING. For a command about one key that is all.
 * Assay's functions touch all keys of a bucket, and some of them are on one node and some on the
 * other: whoever went on would count into half a bucket. At the old node the functions find out
 * before they write (books.lua, moving()) and say TRYAGAIN; to the new one a call goes when the old
 * node says that it holds no key of the slot (CLUSTER COUNTKEYSINSLOT). That stays so until the
 * move is over, since a node that gives a slot away makes no new keys in it. Until then: later.
 *
 * Standard: Redis Cluster specification, keys hash tags, MOVED and ASK redirection.
 */
#pragma once

#include "feedback/redis.h"

#define REDIS_SLOTS 16384
#define REDIS_ADDRESS_BYTES 256

struct redis_node {
	char address[REDIS_ADDRESS_BYTES]; /* host:port; "" for the unix socket */
	bool holds_slots;
	void *connection; /* NULL: none */
};

struct redis_nodes {
	struct redis_node *v; /* may move in memory when one is added */
	size_t n;
	uint16_t slots[REDIS_SLOTS]; /* index into v */
	uint16_t takers[REDIS_SLOTS]; /* 1 + index of the node that has all keys, behind ASKING */
};

/* The node of that address, added when it is not known; SIZE_MAX: too many, or no memory. */
size_t redis_nodes_find(struct redis_nodes *nodes, const char *address);
void redis_nodes_free(struct redis_nodes *nodes);

/* Takes over what node `from` answered to CLUSTER SLOTS; false when that is no table. */
bool redis_nodes_learn(struct redis_nodes *nodes, size_t from, const struct redis_answer *table);
/* Follows "MOVED 3999 127.0.0.1:6381" from node `from`: the slot has its new node. */
bool redis_nodes_moved(struct redis_nodes *nodes, size_t from, struct span error);
/* Where "ASK 3999 127.0.0.1:6381" from node `from` points; nothing is remembered. */
bool redis_nodes_asked(struct redis_nodes *nodes, size_t from, struct span error, unsigned *slot_r,
		       size_t *node_r);
bool redis_nodes_has_takers(const struct redis_nodes *nodes);
/* A node that is gone takes nothing over. */
void redis_nodes_forget_taker(struct redis_nodes *nodes, size_t node);

/* What an error of a node means for the one who asked. */
enum redis_refusal {
	REDIS_REFUSED,     /* by itself: OOM, NOAUTH, a fault in the call */
	REDIS_MOVED,       /* another node has the slot */
	REDIS_ASK,         /* another node is about to have it: this command alone goes there */
	REDIS_LATER,       /* not now: nothing was done */
	REDIS_NO_FUNCTION, /* our library is not there */
};
enum redis_refusal redis_refusal_of(struct span error);

/* "[::1]:6379", "redis.example:6379", "redis.example". */
bool redis_address_split(const char *address, char host[REDIS_ADDRESS_BYTES], int *port_r);

/* Where a name of the configuration ("redis.example:6379") was found last, for all clients of this
 * process: redis_async.c resolves without files, redis.c cannot. From any thread; false: nowhere. */
void redis_name_found(const char *name, const char *address);
bool redis_name_known(const char *name, char address_r[REDIS_ADDRESS_BYTES]);
