#include "base/digest.h"

#include <stdlib.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>

struct sha256 {
	EVP_MD_CTX *ctx;
};

void sha256_restart(struct sha256 *h)
{
	/* looked up by its name once: that costs four times what a start does */
	static _Thread_local const EVP_MD *md;
	if (!md && !(md = EVP_MD_fetch(NULL, "SHA256", NULL)))
		abort();
	if (!EVP_DigestInit_ex(h->ctx, md, NULL))
		abort();
}

struct sha256 *sha256_create(void)
{
	struct sha256 *h = malloc(sizeof(*h));
	if (!h)
		return NULL;
	h->ctx = EVP_MD_CTX_new();
	if (!h->ctx) {
		free(h);
		return NULL;
	}
	sha256_restart(h);
	return h;
}

void sha256_add(struct sha256 *h, struct span s)
{
	if (s.n && !EVP_DigestUpdate(h->ctx, s.p, s.n))
		abort();
}

void sha256_finish(struct sha256 *h, uint8_t out[SHA256_BYTES])
{
	if (!EVP_DigestFinal_ex(h->ctx, out, NULL))
		abort();
}

struct sha256 *sha256_copy(const struct sha256 *h)
{
	struct sha256 *copy = sha256_create();
	if (copy && !EVP_MD_CTX_copy_ex(copy->ctx, h->ctx))
		abort();
	return copy;
}

void sha256_free(struct sha256 *h)
{
	if (!h)
		return;
	EVP_MD_CTX_free(h->ctx);
	free(h);
}

void sha256(struct span s, uint8_t out[SHA256_BYTES])
{
	static _Thread_local struct sha256 *h;
	if (!h && !(h = sha256_create()))
		abort();
	sha256_restart(h);
	sha256_add(h, s);
	sha256_finish(h, out);
}

void hex_encode(struct span bytes, char *out)
{
	static const char hex[] = "0123456789abcdef";
	for (size_t i = 0; i < bytes.n; i++) {
		out[2 * i] = hex[(unsigned char)bytes.p[i] >> 4];
		out[2 * i + 1] = hex[(unsigned char)bytes.p[i] & 15];
	}
	out[2 * bytes.n] = '\0';
}

const char *sha256_text(struct span s, char out[SHA256_TEXT_BYTES])
{
	uint8_t raw[SHA256_BYTES];
	sha256(s, raw);
	hex_encode((struct span){(char *)raw, sizeof(raw)}, out);
	return out;
}

void hmac_sha256(struct span key, struct span message, uint8_t out[SHA256_BYTES])
{
	unsigned n = SHA256_BYTES;
	if (!HMAC(EVP_sha256(), key.p ? key.p : "", (int)key.n,
		  (const unsigned char *)(message.p ? message.p : ""), message.n, out, &n))
		abort();
}

static int base64_value(char c)
{
	if (c >= 'A' && c <= 'Z')
		return c - 'A';
	if (c >= 'a' && c <= 'z')
		return c - 'a' + 26;
	if (c >= '0' && c <= '9')
		return c - '0' + 52;
	return c == '+' ? 62 : c == '/' ? 63 : -1;
}

size_t base64_decode(struct span s, char *out)
{
	size_t at = 0;
	unsigned buffer = 0, bits = 0;
	for (size_t i = 0; i < s.n && s.p[i] != '='; i++) {
		int v = base64_value(s.p[i]);
		if (v < 0)
			continue;
		buffer = (buffer << 6 | (unsigned)v) & 0xfffff;
		bits += 6;
		if (bits >= 8) {
			bits -= 8;
			out[at++] = (char)(buffer >> bits & 0xff);
		}
	}
	return at;
}

size_t base64_decode_strict(struct span s, char *out)
{
	size_t pad = 0;
	if (s.n % 4)
		return SIZE_MAX;
	while (pad < 2 && pad < s.n && s.p[s.n - 1 - pad] == '=')
		pad++;
	for (size_t i = 0; i + pad < s.n; i++)
		if (base64_value(s.p[i]) < 0)
			return SIZE_MAX;
	return base64_decode(s, out);
}

struct span base64_encode(struct arena *a, struct span s)
{
	if (s.n > SIZE_MAX / 2)
		return SPAN_NONE;
	size_t n = (s.n + 2) / 3 * 4;
	char *out = arena_alloc(a, n + 1);
	if (!out)
		return SPAN_NONE;
	if (s.n)
		EVP_EncodeBlock((unsigned char *)out, (const unsigned char *)s.p, (int)s.n);
	return (struct span){out, n};
}

void base32_lower(const uint8_t *bytes, size_t n, char *out)
{
	static const char alphabet[] = "abcdefghijklmnopqrstuvwxyz234567";
	unsigned buffer = 0, bits = 0;
	for (size_t i = 0; i < n; i++) {
		buffer = (buffer << 8 | bytes[i]) & 0xfff;
		for (bits += 8; bits >= 5;) {
			bits -= 5;
			*out++ = alphabet[buffer >> bits & 31];
		}
	}
	if (bits)
		*out++ = alphabet[buffer << (5 - bits) & 31];
	*out = '\0';
}
