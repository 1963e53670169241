/*
 * digest - SHA-256, HMAC and the text forms of bytes.
 *
 * libcrypto is called from digest.c (hashes) and from base/pkey.c (signatures) alone.
 *
 * Ownership: sha256_create() and sha256_copy() .. sha256_free(); all else goes into the caller's room.
 * Errors:    only memory (NULL) and text that is not in the form (SIZE_MAX, base64_decode_strict()).
 */
#pragma once

#include "base/arena.h"

#define SHA256_BYTES 32
#define SHA256_TEXT_BYTES 65

struct sha256; /* a running hash */

void sha256(struct span s, uint8_t out[SHA256_BYTES]);
/* Lower-case hexadecimal with NUL. */
const char *sha256_text(struct span s, char out[SHA256_TEXT_BYTES]);

/* A running hash; NULL when out of memory. sha256_finish() may be followed by sha256_restart(). */
struct sha256 *sha256_create(void);
void sha256_restart(struct sha256 *h);
void sha256_add(struct sha256 *h, struct span s);
void sha256_finish(struct sha256 *h, uint8_t out[SHA256_BYTES]);
/* A second running hash in the same state; NULL when out of memory. */
struct sha256 *sha256_copy(const struct sha256 *h);
void sha256_free(struct sha256 *h); /* accepts NULL */

void hmac_sha256(struct span key, struct span message, uint8_t out[SHA256_BYTES]);

void hex_encode(struct span bytes, char *out); /* lower case; 2n + 1 bytes with NUL */

/* RFC 4648 section 4 decoding as mail needs it: white space and other foreign characters are
 * skipped, '=' ends. Returns bytes written; `out` needs 3/4 of `s` plus 3. */
size_t base64_decode(struct span s, char *out);
/* Strict: no foreign characters, right padding. SIZE_MAX when it is not base64. */
size_t base64_decode_strict(struct span s, char *out);
/* RFC 4648 section 4 with padding, in the arena; empty when that is full. */
struct span base64_encode(struct arena *a, struct span s);
/* RFC 4648 section 6 in lower case without padding; `out` needs 8/5 of `n` plus 2. */
void base32_lower(const uint8_t *bytes, size_t n, char *out);
