/*
 * fuzz_main - runs a fuzz target over files: each argument is a file or a folder of seeds.
 *
 * With libFuzzer (tests/fuzz/run) this file is left out; here the same targets are ordinary tests.
 */
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

#include "base/file.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static unsigned runs;

static int run_path(const char *path)
{
	struct stat st;
	if (stat(path, &st) < 0) {
		perror(path);
		return 1;
	}
	if (!S_ISDIR(st.st_mode)) {
		struct file_view view;
		if (file_view_open(path, (size_t)64 << 20, &view) < 0) {
			perror(path);
			return 1;
		}
		/* A copy of the exact size, so that ASan sees a read past its end. */
		uint8_t *copy = malloc(view.bytes.n ? view.bytes.n : 1);
		if (!copy)
			abort();
		if (view.bytes.n)
			memcpy(copy, view.bytes.p, view.bytes.n);
		LLVMFuzzerTestOneInput(copy, view.bytes.n);
		free(copy);
		file_view_close(&view);
		runs++;
		return 0;
	}
	struct dirent **entries;
	int n = scandir(path, &entries, NULL, alphasort), r = 0;
	for (int i = 0; i < n; i++) {
		char child[4096];
		snprintf(child, sizeof(child), "%s/%s", path, entries[i]->d_name);
		if (entries[i]->d_name[0] != '.')
			r |= run_path(child);
		free(entries[i]);
	}
	if (n >= 0)
		free(entries);
	return r;
}

int main(int argc, char **argv)
{
	int r = 0;
	for (int i = 1; i < argc; i++)
		r |= run_path(argv[i]);
	printf("%u seeds\n", runs);
	return r || runs == 0;
}
