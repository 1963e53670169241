/*
 * registry_copy - one registry for several gateways: the gateway that has it publishes a copy in
 * Redis, the others (`registry redis` in assay.conf) take it.
 *
 * The copy is the hash "{registry}copy" with the fields origin, seq, sha256 and text, written by one
 * command. origin is the hash of the first entry of the audit, seq the number of its last one: every
 * decision adds an entry. text holds who is known, by which filing, since when, a row a line; the
 * audit, proofs and approvals stay where they were made. A gateway puts the rows into its own
 * STATE/registry.sqlite in one transaction; who reads that file sees nothing else and goes on with it
 * while Redis is away.
 *
 * Refused, said once, and the old one stays: a copy whose hash is not that of its text, with a
 * filing that has faults, with a lower seq than ours, of another origin, or into a registry that
 * was filed here. One who publishes does not write over the copy of another origin either.
 *
 * Ownership: registry_copy_create() .. _free(); `config` is the caller's.
 * Errors:    negative errno; -ENOTCONN and -ETIMEDOUT: Redis is away.
 */
#pragma once

#include "base/config.h"

struct registry_copy;

enum { REGISTRY_COPY_E_REFUSED = 1 };

__attribute__((warn_unused_result)) int registry_copy_create(struct registry_copy **c_r,
							     const struct config *config);
void registry_copy_free(struct registry_copy *c); /* accepts NULL */
/* Publishes or takes what has changed; blocks as redis.h does. *done_r: something was. */
__attribute__((warn_unused_result)) int registry_copy_work(struct registry_copy *c, bool *done_r);
