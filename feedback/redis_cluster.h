/*
 * redis_cluster - which Redis node holds which slot, and what nodes answer while slots move.
 *
 * One server is the special case of one node that holds all slots. The table knows addresses and
 * no connections: `connection` is its user's.
 *
 * ASK is not followed. Assay's functions touch all keys of a bucket, and while a slot moves some
 * of them are on one node and some on the other: whoever went on would count into half a bucket.
 * The functions that write find out before they write (rates.lua, moving()) and say TRYAGAIN; so
 * ASK means what TRYAGAIN means: later. Where the slot ends up, MOVED says.
 *
 * Standard: Redis Cluster specification, keys hash tags, MOVED redirection.
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
};

/* The node of that address, added when it is not known; SIZE_MAX: too many, or no memory. */
size_t redis_nodes_find(struct redis_nodes *nodes, const char *address);
void redis_nodes_free(struct redis_nodes *nodes);

/* Takes over what node `from` answered to CLUSTER SLOTS; false when that is no table. */
bool redis_nodes_learn(struct redis_nodes *nodes, size_t from, const struct redis_answer *table);
/* Follows "MOVED 3999 127.0.0.1:6381" from node `from`: the slot has its new node. */
bool redis_nodes_moved(struct redis_nodes *nodes, size_t from, struct span error);

/* What an error of a node means for the one who asked. */
enum redis_refusal {
	REDIS_REFUSED,     /* by itself: OOM, NOAUTH, a fault in the call */
	REDIS_MOVED,       /* another node has the slot */
	REDIS_LATER,       /* not now: nothing was done */
	REDIS_NO_FUNCTION, /* our library is not there */
};
enum redis_refusal redis_refusal_of(struct span error);

/* "[::1]:6379", "redis.example:6379", "redis.example". */
bool redis_address_split(const char *address, char host[REDIS_ADDRESS_BYTES], int *port_r);
