/*
 * keys - the secret of this installation in STATE/feedback.key (32 octets, mode 0600), and the
 * keys made from it, one for each purpose: never the same key for two senders.
 */
#pragma once

#include "base/digest.h"

struct keys {
	uint8_t secret[SHA256_BYTES];
};

/* Reads the file, or makes it. Negative errno; -EBADMSG for a file of another length. */
__attribute__((warn_unused_result)) int keys_open(struct keys *k, const char *state);
/* The key of recipient tokens: one a sender and year ("epoch"), so that reports of two senders
 * cannot be joined and old tokens cannot be made for ever. */
void keys_token(const struct keys *k, struct span sender, int64_t now_us,
		uint8_t key_r[SHA256_BYTES]);
/* What signs a sender's webhooks, and what he shows to fetch his reports. */
void keys_webhook(const struct keys *k, struct span sender, uint8_t key_r[SHA256_BYTES]);
#define KEYS_PULL_BYTES (SHA256_BYTES * 2 + 1)
const char *keys_pull(const struct keys *k, struct span sender, char token[KEYS_PULL_BYTES]);
/* The return address of a report: "fbl+ID.MAC@domain" for the address "fbl@domain". */
struct span keys_envelope(const struct keys *k, struct span from, struct span id,
			  struct arena *arena);
/* The id in such an address when its MAC is right; .p NULL otherwise. */
struct span keys_envelope_id(const struct keys *k, struct span address, struct arena *arena);
