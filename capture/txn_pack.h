/*
 * txn_pack - a transaction as octets, for the way from the process that saw it to one that judges
 * it.
 *
 * The octets are for another process of the same program on the same machine: no format to keep.
 * They lie in a sealed memory file: nobody can change or cut them while they are read, and what is
 * large is mapped without a copy.
 *
 * Ownership: txn_unpack() closes nothing; the transaction's texts and its message point into what
 *            was read, which txn_free() gives back.
 * Errors:    negative errno; -EBADMSG for octets that no txn_pack() wrote.
 */
#pragma once

#include "capture/txn.h"

/* A new descriptor, read from its start. */
__attribute__((warn_unused_result)) int txn_pack(const struct txn *t);
__attribute__((warn_unused_result)) int txn_unpack(int fd, struct txn **t_r);
