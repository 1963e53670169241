/*
 * txn_pack - a transaction as octets, for the way from the process that saw it to one that judges
 * it.
 *
 * The octets are for another process of the same program on the same machine: no format to keep.
 * Up to LIMIT_PACK_SENT_BYTES go as they are: a memory file costs five times as much as a record of
 * that length through a socket. More lie in a sealed memory file: nobody can change or cut them while
 * they are read, and they are mapped without a copy.
 *
 * Ownership: txn_packed_free() gives back what txn_pack() made. txn_unpack() closes nothing and copies
 *            `octets`; the transaction's texts and its message point into what was read, which
 *            txn_free() gives back.
 * Errors:    negative errno; -EBADMSG for octets that no txn_pack() wrote.
 */
#pragma once

#include "capture/txn.h"

/* Zeroed but for `fd` it holds nothing. */
struct txn_packed {
	int fd; /* of the memory file; -1: there is none */
	struct buf octets;
};

__attribute__((warn_unused_result)) int txn_pack(const struct txn *t, struct txn_packed *p_r);
void txn_packed_free(struct txn_packed *p);
/* Out of the file `fd`, or with `fd` -1 out of the octets. */
__attribute__((warn_unused_result)) int txn_unpack(struct span octets, int fd, struct txn **t_r);
