/*
 * message_dump FILE - what message_parse() makes of a message, as JSON on one line.
 *
 * For tests/peers/mime_parse.py, which compares it with what other parsers make of it.
 */
#include <stdio.h>

#include "analyze/message.h"
#include "base/file.h"
#include "base/json.h"
#include "base/limits.h"

static void write_addresses(struct json *j, const char *key, const struct addresses *list)
{
	json_open(j, key, '[');
	for (size_t i = 0; i < list->n; i++) {
		json_open(j, NULL, '{');
		json_text(j, "name", list->v[i].name);
		json_text(j, "address", list->v[i].addr);
		json_close(j, '}');
	}
	json_close(j, ']');
}

static void write_message(struct json *j, const struct message *m)
{
	json_open(j, NULL, '{');
	json_text(j, "subject", m->subject);
	json_text(j, "message_id", m->message_id);
	write_addresses(j, "from", &m->from);
	write_addresses(j, "to", &m->to);
	json_open(j, "parts", '[');
	for (size_t i = 0; i < m->n_parts; i++) {
		json_open(j, NULL, '{');
		json_text(j, "type", m->parts[i].type);
		json_text(j, "text", m->parts[i].text);
		json_bool(j, "attachment", m->parts[i].flags & PART_ATTACHMENT);
		json_close(j, '}');
	}
	json_close(j, ']');
	json_close(j, '}');
}

int main(int argc, char **argv)
{
	struct arena arena;
	struct message m;
	struct file_view view;
	struct buf out = BUF_INIT;
	struct json j = JSON_INIT(&out);
	if (argc != 2 || file_view_open(argv[1], (size_t)64 << 20, &view) < 0) {
		fprintf(stderr, "usage: message_dump FILE\n");
		return 64;
	}
	arena_init(&arena, LIMIT_ARENA_BYTES);
	int r = message_parse(&m, &arena, view.bytes);
	if (r == 0)
		write_message(&j, &m);
	buf_adds(&out, "\n");
	bool written = !out.failed && fwrite(out.p, 1, out.n, stdout) == out.n;
	buf_free(&out);
	arena_free(&arena);
	file_view_close(&view);
	return r == 0 && written ? 0 : 70;
}
