/*
 * The reader hands out whole lines only. What stands behind the last LF is never kept from one
 * read to the next: a torn line may be cut away and another one written in its place.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/limits.h"
#include "base/log.h"
#include "feedback/eventlog_private.h"
#include "feedback/eventlog_zstd.h"

#define READ_BYTES ((size_t)256 << 10) /* a few hundred events with one system call */

struct eventlog_reader {
	int folder, fd;
	struct eventlog_position line, at;
	char *buffer;
	size_t cap, n, used; /* buffer[used..n) is read and not handed out; it begins at `at` */
};

/* A compressed segment is read from a plain copy in memory: places stay what they were. */
static int open_segment(struct eventlog_reader *r)
{
	bool compressed;
	r->fd = eventlog_folder_open_file(r->folder, r->at.segment, &compressed);
	if (r->fd < 0 || !compressed)
		return r->fd < 0 ? r->fd : 0;
	int plain = memfd_create("segment", MFD_CLOEXEC);
	int result = plain < 0 ? -errno : eventlog_decompress(r->fd, plain);
	close(r->fd);
	r->fd = plain;
	if (result < 0 && plain >= 0) {
		close(plain);
		r->fd = -1;
	}
	if (result == -EBADMSG || result == -EFBIG) {
		/* what the disk lost must not stop the books of everything behind it */
		log_error("log.segment", "%s" EVENTLOG_ZST " is broken and passed over",
			  r->at.segment);
		return -ENOENT;
	}
	return result;
}

/* Opens the segment behind the current one: 1, or 0 when there is none. */
static int next_segment(struct eventlog_reader *r)
{
	char name[EVENTLOG_NAME_BYTES];
again:;
	int result = eventlog_folder_find(r->folder, r->at.segment, name);
	if (result < 0 || !name[0])
		return result;
	/* eventlog_reader_sync() sees the newest segment alone. */
	if (r->fd >= 0 && (fdatasync(r->fd) < 0 || close(r->fd) < 0))
		return -errno;
	r->fd = -1;
	memcpy(r->at.segment, name, sizeof(name));
	r->at.offset = 0;
	r->n = r->used = 0;
	result = open_segment(r);
	if (result == -ENOENT)
		goto again; /* its time came just now */
	return result < 0 ? result : 1;
}

int eventlog_reader_open(struct eventlog_reader **reader_r, const char *state,
			 const struct eventlog_position *from)
{
	struct eventlog_reader *r = calloc(1, sizeof(*r));
	*reader_r = NULL;
	if (!r)
		return -ENOMEM;
	r->fd = r->folder = -1;
	r->at = r->line = *from;
	r->cap = READ_BYTES;
	int result = -ENOMEM;
	if (!(r->buffer = malloc(r->cap)))
		goto out;
	if ((result = r->folder = eventlog_folder_open(state)) < 0)
		goto out;
	struct stat st;
	result = r->at.segment[0] ? open_segment(r) : -ENOENT;
	if (result == -ENOENT) {
		result = next_segment(r);
	} else if (result == 0 && fstat(r->fd, &st) == 0 && (uint64_t)st.st_size < r->at.offset) {
		/* The file system lost the end of the segment in a power cut. */
		r->at.offset = (uint64_t)st.st_size;
	}
out:
	if (result < 0) {
		eventlog_reader_close(r);
		return result;
	}
	*reader_r = r;
	return 0;
}

void eventlog_reader_close(struct eventlog_reader *r)
{
	if (!r)
		return;
	if (r->fd >= 0)
		close(r->fd);
	if (r->folder >= 0)
		close(r->folder);
	free(r->buffer);
	free(r);
}

/* Reads the buffer full from `at` on: octets read, 0 at the end. */
static ssize_t fill(struct eventlog_reader *r)
{
	r->n = r->used = 0;
	ssize_t n;
	do
		n = pread(r->fd, r->buffer, r->cap, (off_t)r->at.offset);
	while (n < 0 && errno == EINTR);
	if (n < 0)
		return -errno;
	r->n = (size_t)n;
	return n;
}

/* No LF in a full buffer: a longer line than any before. */
static int grow(struct eventlog_reader *r)
{
	if (r->cap > LIMIT_EVENT_BYTES)
		return -EMSGSIZE;
	char *larger = realloc(r->buffer, r->cap * 2);
	if (!larger)
		return -ENOMEM;
	r->buffer = larger;
	r->cap *= 2;
	return 0;
}

int eventlog_next(struct eventlog_reader *r, struct span *line_r)
{
	for (;;) {
		const char *start = r->buffer + r->used;
		const char *lf = r->n > r->used ? memchr(start, '\n', r->n - r->used) : NULL;
		if (lf) {
			*line_r = (struct span){start, (size_t)(lf - start)};
			r->line = r->at;
			r->used += line_r->n + 1;
			r->at.offset += line_r->n + 1;
			return 1;
		}
		bool whole_buffer = r->used == 0 && r->n == r->cap;
		ssize_t n = whole_buffer ? grow(r) : 0;
		if (n < 0)
			return (int)n;
		if (r->fd >= 0) {
			n = fill(r);
			if (n < 0)
				return (int)n;
			if (memchr(r->buffer, '\n', r->n) || r->n == r->cap)
				continue;
		}
		/* The end of this segment, but for a line that is torn or being written. Look
		 * for a next segment first and read once more after: its maker may have
		 * appended here before. */
		char name[EVENTLOG_NAME_BYTES];
		int result = eventlog_folder_find(r->folder, r->at.segment, name);
		if (result < 0 || !name[0]) {
			r->n = r->used = 0;
			return result;
		}
		if (r->fd >= 0) {
			if ((n = fill(r)) < 0)
				return (int)n;
			if (memchr(r->buffer, '\n', r->n) || r->n == r->cap)
				continue;
		}
		if ((result = next_segment(r)) < 0)
			return result;
	}
}

struct eventlog_position eventlog_reader_line(const struct eventlog_reader *r)
{
	return r->line;
}

struct eventlog_position eventlog_reader_position(const struct eventlog_reader *r)
{
	return r->at;
}

int eventlog_reader_sync(struct eventlog_reader *r)
{
	return r->fd >= 0 && fdatasync(r->fd) < 0 ? -errno : 0;
}

int eventlog_end(const char *state, struct eventlog_position *end_r)
{
	struct eventlog_position last = {.offset = 0};
	*end_r = last;
	int folder = eventlog_folder_open(state);
	if (folder < 0) /* nothing has been written ever */
		return folder == -ENOENT ? 0 : folder;
	int r = eventlog_folder_find(folder, NULL, last.segment);
	close(folder);
	struct eventlog_reader *reader = NULL;
	if (r < 0 || (r = eventlog_reader_open(&reader, state, &last)) < 0)
		return r;
	struct span line;
	while ((r = eventlog_next(reader, &line)) > 0)
		;
	*end_r = eventlog_reader_position(reader);
	eventlog_reader_close(reader);
	return r;
}

int eventlog_line_at(const char *state, const struct eventlog_position *at, struct span *line_r)
{
	struct eventlog_reader *reader;
	struct span line;
	*line_r = SPAN_NONE;
	int r = eventlog_reader_open(&reader, state, at);
	if (r < 0)
		return r;
	r = eventlog_next(reader, &line);
	if (r > 0) {
		struct eventlog_position found = eventlog_reader_line(reader);
		r = eventlog_position_cmp(&found, at) == 0 ? 0 : -ENOENT;
		char *copy = r == 0 ? malloc(line.n + 1) : NULL;
		if (copy) {
			memcpy(copy, line.p, line.n);
			copy[line.n] = '\0';
			*line_r = (struct span){copy, line.n};
		} else if (r == 0) {
			r = -ENOMEM;
		}
	} else if (r == 0) {
		r = -ENOENT;
	}
	eventlog_reader_close(reader);
	return r;
}
