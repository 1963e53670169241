/*
 * octets - the message of a transaction while it arrives: kept, hashed, or both.
 *
 * Small ones lie in memory; past LIMIT_SPILL_BYTES they go on in a file without a name, so that
 * memory does not follow the size of the mail. Past LIMIT_MESSAGE_BYTES they are hashed only.
 *
 * Ownership: octets_create() .. octets_free(), or octets_give(), after which the transaction has
 *            them (txn.release).
 */
#pragma once

#include "capture/txn.h"

struct octets;

/* `keep` false: only size and hash. `hash` false: no SHA-256. NULL when out of memory. */
struct octets *octets_create(bool keep, bool hash);
void octets_free(struct octets *o); /* accepts NULL */
void octets_add(struct octets *o, struct span s);
uint64_t octets_size(const struct octets *o);

/* `length` octets are missing here (0: it is not known how many). */
void octets_hole(struct octets *o, uint64_t length);
bool octets_spilled(const struct octets *o); /* it lies in a file */
bool octets_has_hole(const struct octets *o); /* accepts NULL */

/* Remembers this place, so that octets_cut() can come back to it. One place at a time. */
void octets_mark(struct octets *o);
void octets_cut(struct octets *o);

/* Hands message, size, holes and hash to `t` and frees `o`. `ended`: the end of the message was
 * seen; without a hole it is complete then, and the hash is that of the message. */
void octets_give(struct octets *o, struct txn *t, bool ended);
