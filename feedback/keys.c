#include "feedback/keys.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <time.h>
#include <sys/random.h>

#include "base/clock.h"
#include "base/file.h"

#define MAC_CHARS 10

static int read_secret(struct keys *k, const char *path)
{
	struct file_view view;
	int r = file_view_open(path, SHA256_BYTES + 1, &view);
	if (r < 0)
		return r == -EFBIG ? -EBADMSG : r;
	if (view.bytes.n == SHA256_BYTES)
		memcpy(k->secret, view.bytes.p, SHA256_BYTES);
	else
		r = -EBADMSG;
	file_view_close(&view);
	return r;
}

static int make_secret(const char *path)
{
	uint8_t secret[SHA256_BYTES];
	if (getrandom(secret, sizeof(secret), 0) != (ssize_t)sizeof(secret))
		return -EIO;
	return file_make_once(path, (struct span){(char *)secret, sizeof(secret)}, 0600);
}

int keys_open(struct keys *k, const char *state)
{
	char path[PATH_MAX];
	if (snprintf(path, sizeof(path), "%s/feedback.key", state) >= (int)sizeof(path))
		return -ENAMETOOLONG;
	int r = read_secret(k, path);
	if (r == -ENOENT && (r = make_secret(path)) == 0)
		r = read_secret(k, path);
	return r;
}

static void derive(const struct keys *k, const char *purpose, uint8_t out[SHA256_BYTES])
{
	hmac_sha256((struct span){(const char *)k->secret, SHA256_BYTES}, span_of(purpose), out);
}

void keys_token(const struct keys *k, struct span sender, int64_t now_us,
		uint8_t key_r[SHA256_BYTES])
{
	char purpose[400];
	time_t s = (time_t)(now_us / US_PER_S);
	struct tm tm;
	gmtime_r(&s, &tm);
	snprintf(purpose, sizeof(purpose), "token %d %.*s", tm.tm_year + 1900, SPAN_ARG(sender));
	derive(k, purpose, key_r);
}

void keys_webhook(const struct keys *k, struct span sender, uint8_t key_r[SHA256_BYTES])
{
	char purpose[100];
	snprintf(purpose, sizeof(purpose), "webhook %.*s", SPAN_ARG(sender));
	derive(k, purpose, key_r);
}

const char *keys_pull(const struct keys *k, struct span sender, char token[KEYS_PULL_BYTES])
{
	char purpose[100];
	uint8_t mac[SHA256_BYTES];
	snprintf(purpose, sizeof(purpose), "pull %.*s", SPAN_ARG(sender));
	derive(k, purpose, mac);
	hex_encode((struct span){(char *)mac, sizeof(mac)}, token);
	return token;
}

static void mac_of(const struct keys *k, struct span id, char out[MAC_CHARS + 1])
{
	uint8_t key[SHA256_BYTES], mac[SHA256_BYTES];
	char text[SHA256_BYTES * 2];
	derive(k, "bounce", key);
	hmac_sha256((struct span){(char *)key, sizeof(key)}, id, mac);
	base32_lower(mac, sizeof(mac), text);
	memcpy(out, text, MAC_CHARS);
	out[MAC_CHARS] = '\0';
}

struct span keys_envelope(const struct keys *k, struct span from, struct span id,
			  struct arena *arena)
{
	char mac[MAC_CHARS + 1];
	size_t at = span_rfind_char(from, '@');
	if (at == SIZE_MAX)
		return from;
	struct span lower = arena_lower(arena, id);
	mac_of(k, lower, mac);
	return arena_printf(arena, "%.*s+%.*s.%s@%.*s", SPAN_ARG(span_sub(from, 0, at)),
			    SPAN_ARG(lower), mac, SPAN_ARG(span_sub(from, at + 1, from.n)));
}

struct span keys_envelope_id(const struct keys *k, struct span address, struct arena *arena)
{
	char mac[MAC_CHARS + 1];
	size_t at = span_rfind_char(address, '@');
	struct span local = arena_lower(arena, span_sub(address, 0, at));
	size_t plus = span_rfind_char(local, '+'), dot = span_rfind_char(local, '.');
	if (at == SIZE_MAX || plus == SIZE_MAX || dot == SIZE_MAX || dot < plus)
		return SPAN_NONE;
	struct span id = span_sub(local, plus + 1, dot);
	mac_of(k, id, mac);
	return span_eq(span_sub(local, dot + 1, local.n), span_of(mac)) ? id : SPAN_NONE;
}
