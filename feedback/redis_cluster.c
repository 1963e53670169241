#include "feedback/redis_cluster.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

#define MAX_NODES 2000 /* Redis Cluster is made for 1,000 masters; those that went stay known */

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
	return crc % REDIS_SLOTS;
}

size_t redis_nodes_find(struct redis_nodes *nodes, const char *address)
{
	for (size_t i = 0; i < nodes->n; i++)
		if (strcmp(nodes->v[i].address, address) == 0)
			return i;
	struct redis_node *more =
		nodes->n < MAX_NODES ? realloc(nodes->v, (nodes->n + 1) * sizeof(*more)) : NULL;
	if (!more)
		return SIZE_MAX;
	nodes->v = more;
	nodes->v[nodes->n] = (struct redis_node){.connection = NULL};
	snprintf(nodes->v[nodes->n].address, REDIS_ADDRESS_BYTES, "%s", address);
	return nodes->n++;
}

void redis_nodes_free(struct redis_nodes *nodes)
{
	free(nodes->v);
	nodes->v = NULL;
	nodes->n = 0;
}

/* {first, last, {host, port, ...}, replicas ...} each. */
bool redis_nodes_learn(struct redis_nodes *nodes, size_t from, const struct redis_answer *table)
{
	char asked[REDIS_ADDRESS_BYTES];
	size_t n = redis_answer_count(table);
	if (n == 0)
		return false;
	memcpy(asked, nodes->v[from].address, sizeof(asked)); /* nodes may move in memory */
	for (size_t i = 0; i < nodes->n; i++)
		nodes->v[i].holds_slots = false;
	for (size_t i = 0; i < n; i++) {
		const struct redis_answer *range = redis_answer_at(table, i);
		const struct redis_answer *master = redis_answer_at(range, 2);
		if (redis_answer_count(master) < 2)
			continue;
		struct span host = redis_answer_text(redis_answer_at(master, 0));
		char address[REDIS_ADDRESS_BYTES];
		if (host.n)
			snprintf(address, sizeof(address), "%.*s:%lld", SPAN_ARG(host),
				 (long long)redis_answer_int(redis_answer_at(master, 1)));
		else /* a node that does not know its own name: the one that we asked */
			memcpy(address, asked, sizeof(address));
		size_t node = redis_nodes_find(nodes, address);
		if (node == SIZE_MAX)
			continue;
		nodes->v[node].holds_slots = true;
		int64_t first = redis_answer_int(redis_answer_at(range, 0));
		int64_t last = redis_answer_int(redis_answer_at(range, 1));
		for (int64_t slot = first; slot >= 0 && slot <= last && slot < REDIS_SLOTS;
		     slot++) {
			if (nodes->slots[slot] != node)
				nodes->takers[slot] = 0;
			nodes->slots[slot] = (uint16_t)node;
		}
	}
	return true;
}

bool redis_nodes_asked(struct redis_nodes *nodes, size_t from, struct span error, unsigned *slot_r,
		       size_t *node_r)
{
	struct span kind, slot, address;
	uint64_t number;
	char text[REDIS_ADDRESS_BYTES];
	const char *own = nodes->v[from].address;
	if (!span_next_word(&error, &kind) || !span_next_word(&error, &slot) ||
	    !span_next_word(&error, &address) || !span_number(slot, REDIS_SLOTS - 1, &number))
		return false;
	if (address.n && address.p[0] == ':') /* the same host */
		snprintf(text, sizeof(text), "%.*s%.*s", (int)span_rfind_char(span_of(own), ':'),
			 own, SPAN_ARG(address));
	else
		snprintf(text, sizeof(text), "%.*s", SPAN_ARG(address));
	*slot_r = (unsigned)number;
	*node_r = redis_nodes_find(nodes, text);
	return *node_r != SIZE_MAX;
}

bool redis_nodes_moved(struct redis_nodes *nodes, size_t from, struct span error)
{
	unsigned slot;
	size_t node;
	if (!redis_nodes_asked(nodes, from, error, &slot, &node))
		return false;
	nodes->slots[slot] = (uint16_t)node;
	nodes->takers[slot] = 0;
	nodes->v[node].holds_slots = true;
	return true;
}

bool redis_nodes_has_takers(const struct redis_nodes *nodes)
{
	for (size_t slot = 0; slot < REDIS_SLOTS; slot++)
		if (nodes->takers[slot])
			return true;
	return false;
}

void redis_nodes_forget_taker(struct redis_nodes *nodes, size_t node)
{
	for (size_t slot = 0; slot < REDIS_SLOTS; slot++)
		if (nodes->takers[slot] == node + 1)
			nodes->takers[slot] = 0;
}

enum redis_refusal redis_refusal_of(struct span error)
{
	static const struct {
		const char *begins;
		enum redis_refusal means;
	} rows[] = {
		{"MOVED ", REDIS_MOVED},
		{"ASK ", REDIS_ASK},
		{"TRYAGAIN", REDIS_LATER},
		{"CLUSTERDOWN", REDIS_LATER},
		{"LOADING", REDIS_LATER},
		{"MASTERDOWN", REDIS_LATER},
		{"ERR Function not found", REDIS_NO_FUNCTION},
	};
	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++)
		if (span_starts(error, span_of(rows[i].begins)))
			return rows[i].means;
	/* A function met a key that has moved already; it says so before it writes. */
	if (span_find(error, SPAN("access a non local key")) != SIZE_MAX)
		return REDIS_LATER;
	return REDIS_REFUSED;
}

static struct found {
	struct found *next;
	char name[REDIS_ADDRESS_BYTES], address[REDIS_ADDRESS_BYTES];
} *found_names; /* as many as the configurations of a process have had */
static pthread_mutex_t found_lock = PTHREAD_MUTEX_INITIALIZER;

static struct found *find_name(const char *name)
{
	struct found *f = found_names;
	while (f && strcmp(f->name, name) != 0)
		f = f->next;
	return f;
}

void redis_name_found(const char *name, const char *address)
{
	pthread_mutex_lock(&found_lock);
	struct found *f = find_name(name);
	if (!f && (f = calloc(1, sizeof(*f)))) {
		snprintf(f->name, sizeof(f->name), "%s", name);
		f->next = found_names;
		found_names = f;
	}
	if (f)
		snprintf(f->address, sizeof(f->address), "%s", address);
	pthread_mutex_unlock(&found_lock);
}

bool redis_name_known(const char *name, char address_r[REDIS_ADDRESS_BYTES])
{
	pthread_mutex_lock(&found_lock);
	const struct found *f = find_name(name);
	if (f)
		memcpy(address_r, f->address, REDIS_ADDRESS_BYTES);
	pthread_mutex_unlock(&found_lock);
	return f != NULL;
}

bool redis_address_split(const char *address, char host[REDIS_ADDRESS_BYTES], int *port_r)
{
	struct span all = span_of(address), name = all;
	size_t colon = span_rfind_char(all, ':');
	uint64_t port = 6379;
	if (colon < all.n) {
		name = span_sub(all, 0, colon);
		if (!span_number(span_sub(all, colon + 1, all.n), UINT16_MAX, &port))
			return false;
	}
	if (name.n > 1 && name.p[0] == '[')
		name = span_sub(name, 1, name.n - 1);
	snprintf(host, REDIS_ADDRESS_BYTES, "%.*s", SPAN_ARG(name));
	*port_r = (int)port;
	return name.n > 0;
}
