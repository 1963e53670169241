#include "base/paths.h"

#include <limits.h>
#include <stdbool.h>
#include <string.h>
#include <unistd.h>

/* This program lies in the folder that it was built in. */
static bool in_build_folder(void)
{
	char exe[PATH_MAX];
	ssize_t n = readlink("/proc/self/exe", exe, sizeof(exe) - 1);
	size_t root = strlen(ASSAY_BUILD_FOLDER);
	return n > 0 && (size_t)n > root && memcmp(exe, ASSAY_BUILD_FOLDER, root) == 0 &&
	       exe[root] == '/';
}

const char *path_rules(void)
{
	return in_build_folder() ? ASSAY_SOURCE_FOLDER "/rules" : ASSAY_DATA_FOLDER "/rules";
}

const char *path_samples(void)
{
	return in_build_folder() ? ASSAY_SOURCE_FOLDER "/samples" : ASSAY_DATA_FOLDER "/samples";
}
