/*
 * bench_gmime PATH... - the peer of tests/bench/scan: what GMime alone costs on the same files.
 *
 * Each file is read whole, parsed to a tree of parts, and (second pass) its leaves are decoded
 * as well. Prints the messages and the CPU ms of each pass on one line of stdout.
 */
#include <errno.h>
#include <fts.h>
#include <stdbool.h>
#include <stdio.h>
#include <time.h>
#include <gmime/gmime.h>

static double cpu_ms(void)
{
	struct timespec ts;
	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &ts);
	return (double)ts.tv_sec * 1e3 + (double)ts.tv_nsec / 1e6;
}

static void decode_leaf(GMimeObject *parent, GMimeObject *part, gpointer sink)
{
	(void)parent;
	if (!GMIME_IS_PART(part))
		return;
	GMimeDataWrapper *content = g_mime_part_get_content(GMIME_PART(part));
	if (content)
		g_mime_data_wrapper_write_to_stream(content, sink);
}

static bool parse_one(const char *path, bool decode, GMimeStream *sink)
{
	gchar *octets;
	gsize n;
	if (!g_file_get_contents(path, &octets, &n, NULL))
		return false;
	GMimeStream *stream = g_mime_stream_mem_new_with_buffer(octets, n);
	GMimeParser *parser = g_mime_parser_new_with_stream(stream);
	GMimeMessage *message = g_mime_parser_construct_message(parser, NULL);
	if (message) {
		g_mime_message_get_subject(message);
		if (decode)
			g_mime_message_foreach(message, decode_leaf, sink);
		g_object_unref(message);
	}
	g_object_unref(parser);
	g_object_unref(stream);
	g_free(octets);
	return message != NULL;
}

static size_t pass(char *const *paths, bool decode, double *ms_r)
{
	GMimeStream *sink = g_mime_stream_null_new();
	FTS *tree = fts_open(paths, FTS_PHYSICAL | FTS_NOCHDIR, NULL);
	double start = cpu_ms();
	size_t n = 0;
	for (FTSENT *entry; tree && (entry = fts_read(tree));)
		if (entry->fts_info == FTS_F)
			n += parse_one(entry->fts_path, decode, sink);
	*ms_r = cpu_ms() - start;
	if (tree)
		fts_close(tree);
	g_object_unref(sink);
	return n;
}

int main(int argc, char **argv)
{
	double parse_ms, decode_ms;
	if (argc < 2) {
		fprintf(stderr, "usage: bench_gmime PATH...\n");
		return 64;
	}
	g_mime_init();
	size_t n = pass(argv + 1, false, &parse_ms); /* the first one pays the page cache */
	n = pass(argv + 1, false, &parse_ms);
	pass(argv + 1, true, &decode_ms);
	printf("%zu %.3f %.3f\n", n, parse_ms, decode_ms);
	g_mime_shutdown();
	return n ? 0 : 1;
}
