/*
 * The DER that is read here (X.690 section 8, lengths in definite form):
 *
 *	SubjectPublicKeyInfo ::= SEQUENCE { SEQUENCE { OID rsaEncryption, NULL }, BIT STRING }
 *	RSAPublicKey         ::= SEQUENCE { INTEGER modulus, INTEGER exponent }
 *
 * RFC 6376 section 3.6.1 names RSAPublicKey, its examples and all senders use the first form;
 * both are met (erratum 3017).
 */
#include "base/pkey.h"

#include <stdlib.h>
#include <openssl/bio.h>
#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/evp.h>
#include <openssl/param_build.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>
#include <openssl/x509.h>

#include "base/limits.h"

struct pkey {
	enum pkey_kind kind;
	EVP_PKEY *key;
	EVP_PKEY_CTX *verifier; /* RSA: made ready once */
	uint32_t hash;
	struct span bytes; /* as given, ours; .p NULL: an empty slot or a private key */
};

struct cache {
	struct pkey slots[LIMIT_PKEY_CACHE][2]; /* [0] is the one used last */
};

static _Thread_local struct cache *cache;

/* --- DER ---------------------------------------------------------------------- */

enum { DER_INTEGER = 0x02, DER_BIT_STRING = 0x03, DER_OID = 0x06, DER_SEQUENCE = 0x30 };

static bool der_next(struct span *rest, uint8_t tag, struct span *value_r)
{
	const uint8_t *p = (const uint8_t *)rest->p;
	if (rest->n < 2 || p[0] != tag)
		return false;
	size_t n = p[1], head = 2;
	if (n & 0x80) {
		size_t octets = n & 0x7f;
		if (octets < 1 || octets > 3 || rest->n < 2 + octets)
			return false;
		n = 0;
		for (size_t i = 0; i < octets; i++)
			n = n << 8 | p[2 + i];
		head += octets;
	}
	if (rest->n - head < n)
		return false;
	*value_r = (struct span){rest->p + head, n};
	*rest = (struct span){rest->p + head + n, rest->n - head - n};
	return true;
}

static bool der_rsa(struct span der, struct span *modulus_r, struct span *exponent_r)
{
	static const char rsa_oid[] = "\x2a\x86\x48\x86\xf7\x0d\x01\x01\x01";
	struct span sequence, algorithm, oid, bits;
	if (!der_next(&der, DER_SEQUENCE, &sequence))
		return false;
	struct span rest = sequence;
	if (der_next(&rest, DER_SEQUENCE, &algorithm)) {
		if (!der_next(&algorithm, DER_OID, &oid) ||
		    !span_eq(oid, (struct span){rsa_oid, 9}) ||
		    !der_next(&rest, DER_BIT_STRING, &bits) || !bits.n || bits.p[0] != 0)
			return false;
		struct span inner = span_sub(bits, 1, bits.n);
		if (!der_next(&inner, DER_SEQUENCE, &sequence))
			return false;
		rest = sequence;
	}
	return der_next(&rest, DER_INTEGER, modulus_r) && der_next(&rest, DER_INTEGER, exponent_r);
}

/* --- making keys ---------------------------------------------------------------- */

static EVP_PKEY *rsa_from_numbers(BIGNUM *n, BIGNUM *e)
{
	EVP_PKEY *key = NULL;
	OSSL_PARAM *params = NULL;
	EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_name(NULL, "RSA", NULL);
	OSSL_PARAM_BLD *build = OSSL_PARAM_BLD_new();
	if (ctx && build && OSSL_PARAM_BLD_push_BN(build, OSSL_PKEY_PARAM_RSA_N, n) &&
	    OSSL_PARAM_BLD_push_BN(build, OSSL_PKEY_PARAM_RSA_E, e))
		params = OSSL_PARAM_BLD_to_param(build);
	if (params && EVP_PKEY_fromdata_init(ctx) > 0 &&
	    EVP_PKEY_fromdata(ctx, &key, EVP_PKEY_PUBLIC_KEY, params) <= 0)
		key = NULL;
	OSSL_PARAM_free(params);
	OSSL_PARAM_BLD_free(build);
	EVP_PKEY_CTX_free(ctx);
	return key;
}

static EVP_PKEY *rsa_public(struct span der)
{
	struct span modulus, exponent;
	if (!der_rsa(der, &modulus, &exponent) || modulus.n > LIMIT_RSA_BITS / 8 + 1 ||
	    exponent.n > 8 || !exponent.n || !modulus.n)
		return NULL;
	BIGNUM *n = BN_bin2bn((const uint8_t *)modulus.p, (int)modulus.n, NULL);
	BIGNUM *e = BN_bin2bn((const uint8_t *)exponent.p, (int)exponent.n, NULL);
	EVP_PKEY *key = NULL;
	if (n && e && BN_num_bits(n) <= LIMIT_RSA_BITS && BN_is_odd(n) && BN_is_odd(e) &&
	    !BN_is_one(e))
		key = rsa_from_numbers(n, e);
	BN_free(n);
	BN_free(e);
	return key;
}

static EVP_PKEY_CTX *rsa_verifier(EVP_PKEY *key)
{
	EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new(key, NULL);
	if (ctx && EVP_PKEY_verify_init(ctx) > 0 &&
	    EVP_PKEY_CTX_set_rsa_padding(ctx, RSA_PKCS1_PADDING) > 0 &&
	    EVP_PKEY_CTX_set_signature_md(ctx, EVP_sha256()) > 0)
		return ctx;
	EVP_PKEY_CTX_free(ctx);
	return NULL;
}

static void pkey_release(struct pkey *key)
{
	EVP_PKEY_CTX_free(key->verifier);
	EVP_PKEY_free(key->key);
	free((char *)key->bytes.p);
	*key = (struct pkey){0};
}

static bool pkey_init_public(struct pkey *key, enum pkey_kind kind, struct span bytes)
{
	*key = (struct pkey){.kind = kind};
	if (kind == PKEY_RSA)
		key->key = rsa_public(bytes);
	else if (bytes.n == 32)
		key->key = EVP_PKEY_new_raw_public_key(EVP_PKEY_ED25519, NULL,
						       (const uint8_t *)bytes.p, bytes.n);
	if (!key->key)
		return false;
	if (kind == PKEY_RSA && !(key->verifier = rsa_verifier(key->key))) {
		pkey_release(key);
		return false;
	}
	return true;
}

/* FNV-1a: a collision costs one comparison. */
static uint32_t hash_of(enum pkey_kind kind, struct span bytes)
{
	uint32_t h = 2166136261u ^ (uint32_t)kind;
	for (size_t i = 0; i < bytes.n; i++)
		h = (h ^ (uint8_t)bytes.p[i]) * 16777619u;
	return h;
}

const struct pkey *pkey_public(enum pkey_kind kind, struct span bytes)
{
	if (!bytes.n || (!cache && !(cache = calloc(1, sizeof(*cache)))))
		return NULL;
	uint32_t hash = hash_of(kind, bytes);
	struct pkey *set = cache->slots[hash % LIMIT_PKEY_CACHE];
	for (int i = 0; i < 2; i++) {
		if (set[i].hash != hash || set[i].kind != kind || !set[i].bytes.p ||
		    !span_eq(set[i].bytes, bytes))
			continue;
		if (i == 1) {
			struct pkey used = set[1];
			set[1] = set[0];
			set[0] = used;
		}
		return &set[0];
	}
	struct pkey fresh;
	if (!pkey_init_public(&fresh, kind, bytes))
		return NULL;
	char *copy = malloc(bytes.n);
	if (!copy) {
		pkey_release(&fresh);
		return NULL;
	}
	memcpy(copy, bytes.p, bytes.n);
	fresh.bytes = (struct span){copy, bytes.n};
	fresh.hash = hash;
	pkey_release(&set[1]);
	set[1] = set[0];
	set[0] = fresh;
	return &set[0];
}

/* --- private keys ----------------------------------------------------------------- */

/* Without this OpenSSL would ask for a pass phrase on the terminal. */
static int no_pass_phrase(char *buffer, int size, int writing, void *arg)
{
	(void)buffer, (void)size, (void)writing, (void)arg;
	return -1;
}

struct pkey *pkey_load_private(struct span pem)
{
	BIO *bio = BIO_new_mem_buf(pem.p ? pem.p : "", (int)pem.n);
	EVP_PKEY *private = bio ? PEM_read_bio_PrivateKey(bio, NULL, no_pass_phrase, NULL) : NULL;
	BIO_free(bio);
	if (!private)
		return NULL;
	struct pkey *key = calloc(1, sizeof(*key));
	int id = EVP_PKEY_get_base_id(private);
	if (!key || (id != EVP_PKEY_RSA && id != EVP_PKEY_ED25519) ||
	    EVP_PKEY_get_size(private) > PKEY_SIGNATURE_BYTES) {
		EVP_PKEY_free(private);
		free(key);
		return NULL;
	}
	key->kind = id == EVP_PKEY_RSA ? PKEY_RSA : PKEY_ED25519;
	key->key = private;
	return key;
}

void pkey_free(struct pkey *key)
{
	if (!key)
		return;
	pkey_release(key);
	free(key);
}

enum pkey_kind pkey_kind(const struct pkey *key)
{
	return key->kind;
}

unsigned pkey_bits(const struct pkey *key)
{
	return key->kind == PKEY_RSA ? (unsigned)EVP_PKEY_get_bits(key->key) : 256;
}

/* --- signatures -------------------------------------------------------------------- */

bool pkey_verify(const struct pkey *key, const uint8_t digest[SHA256_BYTES],
		 struct span signature)
{
	const uint8_t *s = (const uint8_t *)signature.p;
	if (key->kind == PKEY_RSA)
		return key->verifier && signature.n &&
		       EVP_PKEY_verify(key->verifier, s, signature.n, digest, SHA256_BYTES) == 1;
	EVP_MD_CTX *ctx = EVP_MD_CTX_new();
	bool ok = ctx && signature.n == 64 &&
		  EVP_DigestVerifyInit(ctx, NULL, NULL, NULL, key->key) == 1 &&
		  EVP_DigestVerify(ctx, s, signature.n, digest, SHA256_BYTES) == 1;
	EVP_MD_CTX_free(ctx);
	return ok;
}

size_t pkey_sign(const struct pkey *key, const uint8_t digest[SHA256_BYTES],
		 uint8_t out[PKEY_SIGNATURE_BYTES])
{
	size_t n = PKEY_SIGNATURE_BYTES;
	bool ok;
	if (key->kind == PKEY_RSA) {
		EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new(key->key, NULL);
		ok = ctx && EVP_PKEY_sign_init(ctx) > 0 &&
		     EVP_PKEY_CTX_set_rsa_padding(ctx, RSA_PKCS1_PADDING) > 0 &&
		     EVP_PKEY_CTX_set_signature_md(ctx, EVP_sha256()) > 0 &&
		     EVP_PKEY_sign(ctx, out, &n, digest, SHA256_BYTES) > 0;
		EVP_PKEY_CTX_free(ctx);
	} else {
		EVP_MD_CTX *ctx = EVP_MD_CTX_new();
		ok = ctx && EVP_DigestSignInit(ctx, NULL, NULL, NULL, key->key) == 1 &&
		     EVP_DigestSign(ctx, out, &n, digest, SHA256_BYTES) == 1;
		EVP_MD_CTX_free(ctx);
	}
	return ok ? n : 0;
}

struct span pkey_public_bytes(const struct pkey *key, struct arena *arena)
{
	if (key->kind == PKEY_ED25519) {
		uint8_t raw[32];
		size_t n = sizeof(raw);
		if (EVP_PKEY_get_raw_public_key(key->key, raw, &n) != 1)
			return SPAN_NONE;
		return arena_copy(arena, (struct span){(char *)raw, n});
	}
	uint8_t *der = NULL;
	int n = i2d_PUBKEY(key->key, &der);
	if (n <= 0)
		return SPAN_NONE;
	struct span copy = arena_copy(arena, (struct span){(char *)der, (size_t)n});
	OPENSSL_free(der);
	return copy;
}
