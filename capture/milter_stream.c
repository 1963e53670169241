#include "capture/milter_stream.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/clock.h"
#include "base/limits.h"

#define LENGTH_BYTES 4
#define HEAD_BYTES (LENGTH_BYTES + 1) /* of a command: its length, its letter */
/* Streams by file: pages that are made when the first file in them comes. */
#define PAGE_FILES 1024
#define PAGES 1024

struct stream {
	struct buf ahead; /* read; libmilter has taken `used` of it */
	size_t used;
	int64_t came_us; /* the last of it */
	bool ended;	 /* nothing comes after it */
	struct buf out;
	int error; /* not told yet */
	/* where libmilter is in what it has read */
	unsigned char head[HEAD_BYTES];
	size_t n_head;
	uint32_t left; /* of the argument */
};

static struct stream **_Atomic pages[PAGES];
static _Thread_local char command;

/* NULL: out of memory, or a number that no limit of open files allows in earnest. */
static struct stream **slot_of(int fd)
{
	if (fd < 0 || fd >= PAGES * PAGE_FILES)
		return NULL;
	struct stream **_Atomic *page = &pages[fd / PAGE_FILES];
	struct stream **p = *page;
	if (!p) {
		struct stream **fresh = calloc(PAGE_FILES, sizeof(struct stream *));
		if (!fresh)
			return NULL;
		if (atomic_compare_exchange_strong(page, &p, fresh))
			p = fresh;
		else
			free(fresh);
	}
	return &p[fd % PAGE_FILES];
}

static struct stream *stream_of(int fd)
{
	struct stream **page = fd < 0 || fd >= PAGES * PAGE_FILES ? NULL : pages[fd / PAGE_FILES];
	return page ? page[fd % PAGE_FILES] : NULL;
}

char milter_stream_command(void)
{
	return command;
}

/* Without memory for a stream its file is passed through. */
int milter_stream_accept(int listener, struct sockaddr *address, socklen_t *n)
{
	int fd = accept4(listener, address, n, SOCK_CLOEXEC);
	struct stream **slot = fd < 0 ? NULL : slot_of(fd);
	if (slot)
		*slot = calloc(1, sizeof(**slot));
	return fd;
}

/* --- output ------------------------------------------------------------------------------ */

static void flush(int fd, struct stream *s)
{
	size_t done = 0;
	while (done < s->out.n && !s->error) {
		ssize_t n = send(fd, s->out.p + done, s->out.n - done, MSG_NOSIGNAL | MSG_DONTWAIT);
		if (n >= 0) {
			done += (size_t)n;
		} else if (errno == EAGAIN) {
			struct pollfd room = {.fd = fd, .events = POLLOUT};
			int r = poll(&room, 1, LIMIT_MILTER_FRAME_S * 1000);
			s->error = r < 0 && errno != EINTR ? errno : r == 0 ? ETIMEDOUT : 0;
		} else if (errno != EINTR) {
			s->error = errno;
		}
	}
	buf_free(&s->out);
}

static ssize_t tell_error(struct stream *s)
{
	errno = s->error;
	return -1;
}

ssize_t milter_stream_writev(int fd, const struct iovec *parts, int n)
{
	struct stream *s = stream_of(fd);
	if (!s)
		return writev(fd, parts, n);
	size_t before = s->out.n;
	for (int i = 0; i < n; i++)
		buf_add(&s->out, (struct span){parts[i].iov_base, parts[i].iov_len});
	if (s->out.failed)
		s->error = ENOMEM;
	if (s->error)
		return tell_error(s);
	size_t took = s->out.n - before;
	if (s->out.n >= LIMIT_MILTER_AHEAD_BYTES)
		flush(fd, s);
	return (ssize_t)took;
}

int milter_stream_close(int fd)
{
	struct stream *s = stream_of(fd);
	if (s) {
		flush(fd, s);
		*slot_of(fd) = NULL; /* before the number is another file's */
		buf_free(&s->out);
		buf_free(&s->ahead);
		free(s);
	}
	return close(fd);
}

time_t milter_stream_time(time_t *out)
{
	time_t now = (time_t)(clock_mono_us() / US_PER_S);
	if (out)
		*out = now;
	return now;
}

/* --- input ------------------------------------------------------------------------------- */

static void follow(struct stream *s, const char *p, size_t n)
{
	while (n) {
		if (s->left) {
			size_t step = n < s->left ? n : s->left;
			s->left -= (uint32_t)step;
			p += step;
			n -= step;
			continue;
		}
		s->head[s->n_head++] = (unsigned char)*p++;
		n--;
		if (s->n_head < HEAD_BYTES)
			continue;
		uint32_t length = (uint32_t)s->head[0] << 24 | (uint32_t)s->head[1] << 16 |
				  (uint32_t)s->head[2] << 8 | s->head[3];
		command = (char)s->head[4];
		s->left = length ? length - 1 : 0; /* without even a letter: libmilter ends it */
		s->n_head = 0;
	}
}

/* Is there what libmilter can go on with, without a wait? Before a frame that is the whole of it:
 * libmilter gives a connection that is ready a thread, and may have that thread's next connection
 * wait for it. A length that no frame may have is for libmilter to refuse. */
static bool goes_on(const struct stream *s)
{
	size_t here = s->ahead.n - s->used;
	if (s->error || s->ended)
		return true;
	if (s->n_head || s->left)
		return here;
	if (here < HEAD_BYTES)
		return false;
	const unsigned char *p = (const unsigned char *)s->ahead.p + s->used;
	size_t length = (size_t)p[0] << 24 | (size_t)p[1] << 16 | (size_t)p[2] << 8 | p[3];
	return length > LIMIT_MILTER_FRAME_BYTES || here >= LENGTH_BYTES + length;
}

/* Reads what has come. At most one frame that is not whole lies here already. */
static void fill(int fd, struct stream *s)
{
	if (s->used) {
		s->ahead.n -= s->used;
		memmove(s->ahead.p, s->ahead.p + s->used, s->ahead.n);
		s->used = 0;
	}
	if (!buf_reserve(&s->ahead, LIMIT_MILTER_AHEAD_BYTES)) {
		s->error = ENOMEM;
		return;
	}
	ssize_t n = recv(fd, s->ahead.p + s->ahead.n, LIMIT_MILTER_AHEAD_BYTES, MSG_DONTWAIT);
	if (n > 0) {
		s->ahead.n += (size_t)n;
		s->came_us = clock_mono_us();
	} else if (n == 0) {
		s->ended = true;
	} else if (errno != EAGAIN && errno != EINTR) {
		s->error = errno;
	}
}

static bool stopped_in_frame(const struct stream *s)
{
	return s->ahead.n > s->used &&
	       clock_mono_us() - s->came_us > LIMIT_MILTER_FRAME_S * US_PER_S;
}

ssize_t milter_stream_read(int fd, void *out, size_t n)
{
	struct stream *s = stream_of(fd);
	if (!s)
		return read(fd, out, n);
	if (s->error)
		return tell_error(s);
	if (n > s->ahead.n - s->used)
		n = s->ahead.n - s->used;
	if (n == 0 && !s->ended) { /* libmilter reads what poll() promised */
		errno = EAGAIN;
		return -1;
	}
	if (n)
		memcpy(out, s->ahead.p + s->used, n);
	s->used += n;
	if (s->used == s->ahead.n) {
		buf_free(&s->ahead);
		s->used = 0;
	}
	follow(s, out, n);
	return (ssize_t)n;
}

/* What one file has without the kernel. Collected output goes first, for who waits for input may
 * wait for the answer to it; a connection has none any more when libmilter's pool looks at it. */
static short here(const struct pollfd *file)
{
	struct stream *s = stream_of(file->fd);
	if (!s)
		return 0;
	if (file->events & POLLOUT)
		return POLLOUT; /* there is always room to collect it */
	flush(file->fd, s);
	return goes_on(s) ? POLLIN : 0;
}

/* What one file has after the kernel has been asked. */
static short answer(const struct pollfd *file)
{
	struct stream *s = stream_of(file->fd);
	if (!s)
		return file->revents;
	if (file->revents && !goes_on(s))
		fill(file->fd, s);
	if (!goes_on(s) && stopped_in_frame(s))
		s->error = ETIMEDOUT;
	return goes_on(s) ? POLLIN : 0;
}

int milter_stream_poll(struct pollfd *files, nfds_t n, int timeout_ms)
{
	int64_t end = clock_mono_us() + (int64_t)timeout_ms * 1000;
	int found = 0;
	for (nfds_t i = 0; i < n; i++)
		found += (files[i].revents = here(&files[i])) != 0;
	if (found == (int)n)
		return found;
	if (found)
		timeout_ms = 0;
	do {
		if (poll(files, n, timeout_ms) < 0)
			return -1;
		found = 0;
		for (nfds_t i = 0; i < n; i++)
			found += (files[i].revents = answer(&files[i])) != 0;
		if (timeout_ms > 0) {
			int64_t left = (end - clock_mono_us()) / 1000;
			timeout_ms = left > 0 ? (int)left : 0;
		}
	} while (found == 0 && timeout_ms != 0); /* a part of a frame came */
	return found;
}
