/*
 * pkey - RSA and Ed25519 keys: the public ones of DKIM records, and our own for signing.
 *
 * Public keys are read by ourselves (OpenSSL 3's decoder needs 100 us for one) and the ready
 * contexts are kept in a small cache of each thread, since a sender's key comes with each mail.
 *
 * Ownership: pkey_public() gives a key of the cache: it is good until the next pkey_public() of
 *            the same thread. pkey_load_private() .. pkey_free() bracket a private key.
 * Errors:    bytes that are no key give NULL: a condition of the key's publisher.
 * Standard:  RFC 8017 (RSASSA-PKCS1-v1_5, RSAPublicKey), RFC 5280 (SubjectPublicKeyInfo),
 *            RFC 8032, RFC 8463 (Ed25519 over the SHA-256 of what is signed).
 */
#pragma once

#include "base/digest.h"

enum pkey_kind { PKEY_RSA, PKEY_ED25519 };

#define PKEY_SIGNATURE_BYTES 1024 /* of an RSA key with LIMIT_RSA_BITS */

struct pkey;

/* RSA: DER of SubjectPublicKeyInfo or of RSAPublicKey. Ed25519: 32 raw octets. */
const struct pkey *pkey_public(enum pkey_kind kind, struct span bytes);
/* PEM (PKCS#8 or PKCS#1) without a pass phrase. NULL when it is none of our kinds. */
struct pkey *pkey_load_private(struct span pem);
void pkey_free(struct pkey *key); /* accepts NULL */

enum pkey_kind pkey_kind(const struct pkey *key);
unsigned pkey_bits(const struct pkey *key); /* of the modulus; 256 for Ed25519 */

bool pkey_verify(const struct pkey *key, const uint8_t digest[SHA256_BYTES],
		 struct span signature);
/* Octets written, 0 when libcrypto refused. */
size_t pkey_sign(const struct pkey *key, const uint8_t digest[SHA256_BYTES],
		 uint8_t out[PKEY_SIGNATURE_BYTES]);
/* The public half as a key record's p= has it (DER or raw), without base64. */
struct span pkey_public_bytes(const struct pkey *key, struct arena *arena);
