/*
 * file - whole files in and out, the way a crash cannot tear them.
 *
 * Errors: negative errno, forwarded as it is.
 */
#pragma once

#include "base/span.h"

/* A file's bytes, mapped (or read, when it cannot be mapped). */
struct file_view {
	struct span bytes;
	void *mapped; /* NULL: `bytes` is malloc'd */
};

/* -EFBIG past `limit` bytes, and past LIMIT_PIPED_BYTES of what is no regular file. */
__attribute__((warn_unused_result)) int file_view_open(const char *path, size_t limit,
							struct file_view *view_r);
/* The same in a folder that others write to: what is no regular file (a pipe, on which opening would
 * wait, a link, a device) is -ENOTSUP. */
__attribute__((warn_unused_result)) int file_view_regular(const char *path, size_t limit,
							   struct file_view *view_r);
/* The same; "-" is standard input. */
__attribute__((warn_unused_result)) int file_view_input(const char *path, size_t limit,
							 struct file_view *view_r);
void file_view_close(struct file_view *view);

/* Everything from `fd` up to its end; malloc'd into *bytes_r (free bytes_r->p). */
__attribute__((warn_unused_result)) int file_read_fd(int fd, size_t limit, struct span *bytes_r);

/* Writes all or fails. */
__attribute__((warn_unused_result)) int file_write_fd(int fd, struct span bytes);

/* Written under a dot-name, synced, renamed, folder synced: after 0 it is there whole,
 * after anything else the old file is as it was. */
__attribute__((warn_unused_result)) int file_replace(const char *path, struct span bytes,
						     unsigned mode);

/* Makes the file unless it is there, whole or not at all: of several processes the first wins, and
 * all read the same afterwards. What root makes belongs to the owner of the folder. */
__attribute__((warn_unused_result)) int file_make_once(const char *path, struct span bytes,
						       unsigned mode);

/* mkdir -p */
__attribute__((warn_unused_result)) int file_make_folder(const char *path, unsigned mode);
