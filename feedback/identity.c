#include "feedback/identity.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/clock.h"
#include "base/digest.h"
#include "base/file.h"

/* The first line of STATE/name; `fresh` becomes it when there is none. */
static int read_or_make(const struct config *config, const char *name, const char *fresh,
			char *out, size_t room)
{
	char path[PATH_MAX], line[128];
	struct file_view view;
	if (snprintf(path, sizeof(path), "%s/%s", config->state, name) >= (int)sizeof(path))
		return -ENAMETOOLONG;
	int r = file_view_open(path, sizeof(line), &view);
	if (r == -ENOENT) {
		snprintf(line, sizeof(line), "%s\n", fresh);
		if ((r = file_make_once(path, span_of(line), 0600)) == 0)
			r = file_view_open(path, sizeof(line), &view);
	}
	if (r < 0)
		return r;
	struct span text = span_trim(view.bytes);
	r = text.n == room - 1 ? 0 : -EBADMSG;
	if (r == 0) {
		memcpy(out, text.p, text.n);
		out[text.n] = '\0';
	}
	file_view_close(&view);
	return r;
}

static int hex_digit(char c)
{
	if (ascii_is_digit(c))
		return c - '0';
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

int identity_load(const struct config *config, struct identity *id_r)
{
	char fresh_id[ID_BYTES], fresh_hex[65], hex[65];
	uint8_t bytes[32];
	int r = file_make_folder(config->state, 0750);
	if (r < 0)
		return r;
	id_make(clock_now_us(), fresh_id);
	if (getrandom(bytes, sizeof(bytes), 0) != (ssize_t)sizeof(bytes))
		return -EIO;
	hex_encode((struct span){(const char *)bytes, sizeof(bytes)}, fresh_hex);
	if ((r = read_or_make(config, "gateway", fresh_id, id_r->gateway, ID_BYTES)) < 0 ||
	    (r = read_or_make(config, "secret", fresh_hex, hex, sizeof(hex))) < 0)
		return r;
	if (!id_valid(span_of(id_r->gateway)))
		return -EBADMSG;
	for (size_t i = 0; i < sizeof(id_r->secret); i++) {
		int high = hex_digit(hex[2 * i]), low = hex_digit(hex[2 * i + 1]);
		if (high < 0 || low < 0)
			return -EBADMSG;
		id_r->secret[i] = (uint8_t)(high << 4 | low);
	}
	return 0;
}

const char *identity_hash(const struct identity *id, const char *what, const struct span *parts,
			  size_t n, char out[IDENTITY_HASH_BYTES])
{
	struct buf message = BUF_INIT;
	uint8_t mac[SHA256_BYTES];
	buf_adds(&message, what);
	for (size_t i = 0; i < n; i++) {
		buf_addf(&message, "\n%zu ", parts[i].n);
		buf_add(&message, parts[i]);
	}
	hmac_sha256((struct span){(const char *)id->secret, sizeof(id->secret)},
		    buf_span(&message), mac);
	buf_free(&message);
	hex_encode((struct span){(const char *)mac, 12}, out);
	return out;
}
