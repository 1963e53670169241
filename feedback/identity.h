/*
 * identity - what makes this gateway itself: its name in the books, and its secret.
 *
 * The name (STATE/gateway) is made at random once, so two gateways with one host name, or one
 * whose state was begun anew, never share a watermark. The secret (STATE/secret) keys the hashes
 * under which recipients and Message-IDs stand in Redis; gateways that share a Redis share this
 * file too (copy it before the second one starts), or a retry at the other gateway counts twice.
 *
 * Errors: negative errno; -EBADMSG: a file is there and holds something else.
 */
#pragma once

#include "base/config.h"
#include "base/id.h"

struct identity {
	char gateway[ID_BYTES];
	uint8_t secret[32];
};

/* Makes what is not there yet, also when several processes do so at once. */
__attribute__((warn_unused_result)) int identity_load(const struct config *config,
						      struct identity *id_r);

/* 96 bits of HMAC over the parts, each with its length, as hexadecimal text. `what` keeps the
 * hashes for different uses apart. */
#define IDENTITY_HASH_BYTES 25
const char *identity_hash(const struct identity *id, const char *what, const struct span *parts,
			  size_t n, char out[IDENTITY_HASH_BYTES]);
