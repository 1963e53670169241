/*
 * json - writes JSON into a buf: commas, escapes, valid UTF-8 whatever came in.
 *
 * Example:  json_open(&j, NULL, '{'); json_text(&j, "helo", helo); json_close(&j, '}');
 *
 * `key` is NULL inside an array. A byte sequence that is no UTF-8 becomes U+FFFD, so the
 * output is always valid (RFC 8259 section 8.1). Reading JSON is jansson's work.
 *
 * Ownership: the buf is the caller's; keys and values are copied into it.
 * Errors:    out of memory is the buf's `failed`, looked at once at the end.
 */
#pragma once

#include "base/buf.h"

struct json {
	struct buf *out;
	bool comma; /* a value stands before the next one */
};

#define JSON_INIT(buf) ((struct json){(buf), false})

/* '{' or '['; closed with the same one. */
void json_open(struct json *j, const char *key, char bracket);
void json_close(struct json *j, char bracket);
/* null when s.p, or s, is NULL */
void json_text(struct json *j, const char *key, struct span s);
void json_cstr(struct json *j, const char *key, const char *s);
void json_int(struct json *j, const char *key, int64_t value);
/* Shortest form that reads back the same; null for NaN and infinities. */
void json_number(struct json *j, const char *key, double value);
void json_bool(struct json *j, const char *key, bool value);
void json_null(struct json *j, const char *key);
/* A key that is not a C literal (a fact's or header's name). */
void json_key(struct json *j, struct span key);
