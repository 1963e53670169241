#include "capture/txn.h"

#include <stdlib.h>

#include "base/clock.h"
#include "base/digest.h"
#include "base/limits.h"

struct txn *txn_create(enum txn_source source, int64_t now_us)
{
	struct txn *t = calloc(1, sizeof(*t));
	if (!t)
		return NULL;
	arena_init(&t->arena, LIMIT_ARENA_BYTES);
	t->source = source;
	t->tx = 1;
	t->time_us = now_us;
	id_make(now_us, t->id);
	return t;
}

void txn_free(struct txn *t)
{
	if (!t)
		return;
	if (t->release)
		t->release(t->owner);
	arena_free(&t->arena);
	free(t);
}

struct txn_rcpt *txn_add_rcpt(struct txn *t)
{
	t->rcpts_seen++;
	if (t->n_rcpts >= LIMIT_RCPTS) {
		t->flags |= TXN_TOO_MANY_RCPTS;
		return NULL;
	}
	if (!arena_grow(&t->arena, (void **)&t->rcpts, t->n_rcpts, &t->cap_rcpts,
			sizeof(*t->rcpts)))
		return NULL;
	return &t->rcpts[t->n_rcpts++];
}

void txn_add_hole(struct txn *t, uint64_t offset, uint64_t length)
{
	t->complete = false;
	if (arena_grow(&t->arena, (void **)&t->holes, t->n_holes, &t->cap_holes, sizeof(*t->holes)))
		t->holes[t->n_holes++] = (struct txn_hole){offset, length};
}

const char *txn_source_name(enum txn_source source)
{
	static const char *const names[] = {"pcap", "milter", "eml", "mbox", "maildir"};
	return names[source];
}

const char *txn_flag_name(enum txn_flag flag)
{
	static const char *const names[] = {
		"smuggling",     "bare_lf",       "bare_cr",  "nul",
		"bdat",          "pipelined",     "midstream", "overlap_conflict",
		"one_sided",     "capture_loss",  "truncated", "too_many_rcpts",
		"plain_after_starttls", "lmtp",   "proxied",  "auth",
		"smtputf8",      "8bitmime",      "retried",   "unjudged",
	};
	unsigned bit = (unsigned)__builtin_ctz(flag);
	return bit < sizeof(names) / sizeof(names[0]) ? names[bit] : NULL;
}

static void write_code(struct json *j, int code)
{
	if (code)
		json_int(j, "code", code);
	else
		json_null(j, "code");
}

void txn_write_json(const struct txn *t, struct json *j)
{
	char text[CLOCK_TEXT_BYTES], address[IP_TEXT_BYTES];
	uint32_t flags = t->flags;
	json_cstr(j, "id", t->id);
	json_cstr(j, "time", clock_rfc3339(t->time_us, text));
	json_cstr(j, "source", txn_source_name(t->source));
	json_text(j, "file", t->file);
	json_text(j, "session", t->session);
	json_int(j, "tx", t->tx);
	json_cstr(j, "peer", t->peer.family ? ip_text(&t->peer, address) : NULL);
	if (t->port)
		json_int(j, "port", t->port);
	else
		json_null(j, "port");
	json_text(j, "helo", t->helo.s);
	json_text(j, "mail_from", t->mail_from.s);
	json_open(j, "rcpts", '[');
	const size_t begin = j->out->n;
	for (size_t i = 0; i < t->n_rcpts; i++) {
		const struct txn_rcpt *rcpt = &t->rcpts[i];
		if (j->out->n - begin > LIMIT_EVENT_RCPTS_BYTES) {
			flags |= TXN_TOO_MANY_RCPTS;
			break;
		}
		json_open(j, NULL, '{');
		json_text(j, "to", rcpt->to);
		write_code(j, rcpt->reply.code);
		json_text(j, "enhanced", rcpt->reply.enhanced);
		json_text(j, "text", rcpt->reply.text);
		json_close(j, '}');
	}
	json_close(j, ']');
	if (t->reply.code) {
		json_open(j, "reply", '{');
		write_code(j, t->reply.code);
		json_text(j, "enhanced", t->reply.enhanced);
		json_text(j, "text", t->reply.text);
		json_close(j, '}');
	} else {
		json_null(j, "reply");
	}
	json_bool(j, "complete", t->complete);
	json_open(j, "holes", '[');
	for (size_t i = 0; i < t->n_holes; i++) {
		json_open(j, NULL, '{');
		json_int(j, "offset", (int64_t)t->holes[i].offset);
		json_int(j, "length", (int64_t)t->holes[i].length);
		json_close(j, '}');
	}
	json_close(j, ']');
	json_open(j, "flags", '[');
	for (uint32_t bits = flags; bits; bits &= bits - 1)
		json_cstr(j, NULL, txn_flag_name(bits & -bits));
	json_close(j, ']');
	if (t->message.p || t->complete || t->size)
		json_int(j, "size", (int64_t)t->size);
	else
		json_null(j, "size");
	char sha[SHA256_TEXT_BYTES];
	hex_encode((struct span){(const char *)t->sha256, sizeof(t->sha256)}, sha);
	json_cstr(j, "sha256", t->hashed ? sha : NULL);
	if (t->tls.on) {
		json_open(j, "tls", '{');
		json_text(j, "version", t->tls.version);
		json_text(j, "cipher", t->tls.cipher);
		json_text(j, "sni", t->tls.sni);
		json_close(j, '}');
	} else {
		json_null(j, "tls");
	}
}
