#include "analyze/mime.h"

#include <errno.h>
#include <gmime/gmime.h>

#include "base/limits.h"

void mime_prepare(void)
{
	static bool ready;
	if (!ready)
		g_mime_init();
	ready = true;
}

static GMimeObject *construct(const struct preflight_view *view)
{
	/* The array borrows the view's memory: nothing here outlives mime_read(). */
	GByteArray *bytes = g_byte_array_new_take((guint8 *)view->p, view->n);
	GMimeStream *stream = g_mime_stream_mem_new_with_byte_array(bytes);
	g_mime_stream_mem_set_owner(GMIME_STREAM_MEM(stream), FALSE);
	GMimeParser *parser = g_mime_parser_new_with_stream(stream);
	g_mime_parser_set_persist_stream(parser, TRUE);
	GMimeObject *top = g_mime_parser_construct_part(parser, NULL);
	g_object_unref(parser);
	/* Parts keep the stream, the stream only points at the array. */
	g_object_set_data_full(top ? G_OBJECT(top) : G_OBJECT(stream), "assay-bytes", bytes,
			       NULL);
	g_object_unref(stream);
	if (!top)
		g_byte_array_free(bytes, FALSE);
	return top;
}

struct frame {
	GMimeMultipart *multipart;
	int next, count;
};

struct walk {
	struct mime_tree *tree;
	struct arena *arena;
	const struct preflight_view *view;
	size_t cap, leaves;
};

static size_t to_octets(const struct preflight_view *view, gint64 at)
{
	size_t position = at < 0 ? 0 : (size_t)at;
	if (position > view->n)
		position = view->n;
	return position < view->body_at ? view->body_offset
					: position - view->body_at + view->body_offset;
}

static bool add_node(struct walk *w, GMimeObject *object, unsigned depth)
{
	struct mime_node node = {.depth = depth, .multipart = GMIME_IS_MULTIPART(object)};
	GMimeHeaderList *fields = g_mime_object_get_header_list(object);
	if (depth > 0 && fields && g_mime_header_list_get_count(fields) > 0) {
		GMimeHeader *first = g_mime_header_list_get_header_at(fields, 0);
		gint64 offset = g_mime_header_get_offset(first);
		node.has_header = offset >= (gint64)w->view->body_at;
		node.header = to_octets(w->view, offset);
	}
	if (!node.multipart) {
		GMimeDataWrapper *content =
			GMIME_IS_PART(object) ? g_mime_part_get_content(GMIME_PART(object)) : NULL;
		GMimeStream *stream = content ? g_mime_data_wrapper_get_stream(content) : NULL;
		if (!stream)
			return true; /* an empty part without content */
		node.begin = to_octets(w->view, stream->bound_start);
		node.end = stream->bound_end < 0 ? to_octets(w->view, (gint64)w->view->n)
						 : to_octets(w->view, stream->bound_end);
		if (node.end < node.begin)
			node.end = node.begin;
		if (++w->leaves > LIMIT_MIME_PARTS) {
			w->tree->cut = true;
			return false;
		}
	}
	if (!arena_grow(w->arena, (void **)&w->tree->v, w->tree->n, &w->cap, sizeof(node))) {
		w->tree->cut = true;
		return false;
	}
	w->tree->v[w->tree->n++] = node;
	return true;
}

static void walk(struct walk *w, GMimeObject *top)
{
	struct frame stack[LIMIT_MIME_DEPTH];
	unsigned depth = 0;
	if (!add_node(w, top, 0) || !GMIME_IS_MULTIPART(top))
		return;
	stack[0] = (struct frame){GMIME_MULTIPART(top), 0,
				  g_mime_multipart_get_count(GMIME_MULTIPART(top))};
	for (;;) {
		struct frame *f = &stack[depth];
		if (f->next >= f->count) {
			if (depth-- == 0)
				return;
			continue;
		}
		GMimeObject *child = g_mime_multipart_get_part(f->multipart, f->next++);
		if (!add_node(w, child, depth + 1))
			return;
		if (!GMIME_IS_MULTIPART(child))
			continue;
		if (depth + 1 == LIMIT_MIME_DEPTH) {
			w->tree->cut = true;
			continue;
		}
		stack[++depth] = (struct frame){GMIME_MULTIPART(child), 0,
						g_mime_multipart_get_count(GMIME_MULTIPART(child))};
	}
}

int mime_read(struct mime_tree *tree, struct arena *arena, const struct preflight_view *view)
{
	*tree = (struct mime_tree){.cut = view->cut};
	mime_prepare();
	GMimeObject *top = construct(view);
	if (!top)
		return 0;
	GByteArray *bytes = g_object_get_data(G_OBJECT(top), "assay-bytes");
	struct walk w = {.tree = tree, .arena = arena, .view = view};
	walk(&w, top);
	g_object_unref(top);
	g_byte_array_free(bytes, FALSE);
	return arena->overflowed ? -ENOMEM : 0;
}
