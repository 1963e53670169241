#include "base/json_in.h"

#include <jansson.h>
#include <stdlib.h>

#include "base/buf.h"
#include <stdio.h>

struct json_value *json_in_parse(struct span text, const char **why)
{
	static char message[JSON_ERROR_TEXT_LENGTH + 32];
	json_error_t error;
	json_t *v = json_loadb(text.p ? text.p : "", text.n, JSON_REJECT_DUPLICATES, &error);
	if (!v && why) {
		snprintf(message, sizeof(message), "%d:%d: %s", error.line, error.column,
			 error.text);
		*why = message;
	}
	return (struct json_value *)v;
}

void json_in_free(struct json_value *v)
{
	json_decref((json_t *)v);
}

const struct json_value *json_in_get(const struct json_value *object, const char *key)
{
	return (const struct json_value *)json_object_get((const json_t *)object, key);
}

const char *json_in_next_key(const struct json_value *object, const char *after)
{
	/* jansson's iterators are for changing, too, and so want no const. */
	json_t *v = (json_t *)(uintptr_t)object;
	if (!json_is_object(v))
		return NULL;
	void *at = after ? json_object_iter_next(v, json_object_key_to_iter(after))
			 : json_object_iter(v);
	return at ? json_object_iter_key(at) : NULL;
}

size_t json_in_count(const struct json_value *array)
{
	return json_array_size((const json_t *)array);
}

const struct json_value *json_in_at(const struct json_value *array, size_t i)
{
	return (const struct json_value *)json_array_get((const json_t *)array, i);
}

bool json_in_is_object(const struct json_value *v)
{
	return json_is_object((const json_t *)v);
}

bool json_in_is_null(const struct json_value *v)
{
	return !v || json_is_null((const json_t *)v);
}

struct span json_in_text(const struct json_value *v)
{
	const json_t *t = (const json_t *)v;
	if (!json_is_string(t))
		return SPAN_NONE;
	return (struct span){json_string_value(t), json_string_length(t)};
}

bool json_in_number(const struct json_value *v, double *value_r)
{
	if (!json_is_number((const json_t *)v))
		return false;
	*value_r = json_number_value((const json_t *)v);
	return true;
}

bool json_in_int(const struct json_value *v, int64_t *value_r)
{
	if (!json_is_integer((const json_t *)v))
		return false;
	*value_r = json_integer_value((const json_t *)v);
	return true;
}

bool json_in_true(const struct json_value *v)
{
	return json_is_true((const json_t *)v);
}

void json_in_write(const struct json_value *v, struct buf *out)
{
	char *text = json_dumps((const json_t *)v, JSON_COMPACT | JSON_PRESERVE_ORDER | JSON_ENCODE_ANY);
	if (text)
		buf_addf(out, "%s\n", text);
	else
		out->failed = true;
	free(text);
}
