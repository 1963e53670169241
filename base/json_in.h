/*
 * json_in - reading JSON: an event line, an envelope beside a sample. jansson is behind it.
 *
 * Getters accept NULL and the wrong type and answer "nothing", so that a reader takes what is
 * there without a ladder of checks.
 *
 * Ownership: json_in_parse() .. json_in_free(); everything a getter returns lives as long.
 */
#pragma once

#include "base/span.h"

struct json_value; /* is a json_t */

/* NULL when it is no JSON (RFC 8259, duplicate keys refused); `why` (may be NULL) gets
 * "line:column: message" in static memory. */
struct json_value *json_in_parse(struct span text, const char **why);
void json_in_free(struct json_value *v); /* accepts NULL */

const struct json_value *json_in_get(const struct json_value *object, const char *key);
/* The key behind `after` (NULL: the first), in the order of the text; NULL at the end. */
const char *json_in_next_key(const struct json_value *object, const char *after);
size_t json_in_count(const struct json_value *array);
const struct json_value *json_in_at(const struct json_value *array, size_t i);
bool json_in_is_object(const struct json_value *v);
bool json_in_is_null(const struct json_value *v); /* null, or no value at all */

/* .p NULL when it is no string. */
struct span json_in_text(const struct json_value *v);
bool json_in_number(const struct json_value *v, double *value_r);
bool json_in_int(const struct json_value *v, int64_t *value_r);
bool json_in_true(const struct json_value *v);

/* The value as a line of JSON with LF, keys in the order of the text. */
struct buf;
void json_in_write(const struct json_value *v, struct buf *out);
