#include "capture/milter_stream.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/clock.h"
#include "base/limits.h"

#define HEAD_BYTES 5 /* of a command: its length, its letter */
/* Streams by file: pages that are made when the first file in them comes. */
#define PAGE_FILES 1024
#define PAGES 1024

struct stream {
	char *ahead; /* NULL: nothing */
	size_t n, used;
	short seen; /* what poll() saw, until it is read: libmilter looks twice before it reads */
	struct buf out;
	int error;	/* of output, not told yet */
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
	struct stream **_Atomic *page = &pages[(unsigned)fd / PAGE_FILES % PAGES];
	struct stream **p = *page;
	if (fd < 0 || fd >= PAGES * PAGE_FILES)
		return NULL;
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
		free(s->ahead);
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

static ssize_t take_ahead(struct stream *s, void *out, size_t n)
{
	if (n > s->n - s->used)
		n = s->n - s->used;
	memcpy(out, s->ahead + s->used, n);
	s->used += n;
	if (s->used == s->n) {
		free(s->ahead);
		s->ahead = NULL;
		s->n = s->used = 0;
	}
	return (ssize_t)n;
}

ssize_t milter_stream_read(int fd, void *out, size_t n)
{
	struct stream *s = stream_of(fd);
	if (!s)
		return read(fd, out, n);
	ssize_t got;
	if (s->ahead) {
		got = take_ahead(s, out, n);
	} else {
		char room[LIMIT_MILTER_AHEAD_BYTES];
		const struct iovec parts[] = {{out, n}, {room, sizeof(room)}};
		flush(fd, s);
		s->seen = 0;
		if (s->error)
			return tell_error(s);
		got = readv(fd, parts, 2);
		if (got > (ssize_t)n) {
			s->n = (size_t)got - n;
			if (!(s->ahead = malloc(s->n))) {
				s->error = errno = ENOMEM; /* the stream has lost its place */
				return -1;
			}
			memcpy(s->ahead, room, s->n);
			got = (ssize_t)n;
		}
	}
	if (got > 0)
		follow(s, out, (size_t)got);
	return got;
}

/* What one file has without the kernel: what is asked for and lies here already. Collected output
 * goes first, for who waits for input may wait for the answer to it. */
static short ready(const struct pollfd *file)
{
	struct stream *s = stream_of(file->fd);
	if (!s)
		return 0;
	if (file->events & POLLOUT)
		return POLLOUT; /* there is always room to collect it */
	flush(file->fd, s);
	return s->ahead || s->error ? file->events & POLLIN : s->seen & file->events;
}

/* The kernel's answer. */
static int ask(struct pollfd *files, nfds_t n, int timeout_ms)
{
	int found = poll(files, n, timeout_ms);
	for (nfds_t i = 0; found > 0 && i < n; i++) {
		struct stream *s = files[i].revents & POLLIN ? stream_of(files[i].fd) : NULL;
		if (s)
			s->seen = POLLIN;
	}
	return found;
}

int milter_stream_poll(struct pollfd *files, nfds_t n, int timeout_ms)
{
	int found = 0;
	for (nfds_t i = 0; i < n; i++) {
		files[i].revents = ready(&files[i]);
		found += files[i].revents != 0;
	}
	if (found == (int)n)
		return found;
	/* a thread that waits for one connection is inside a frame */
	if (n == 1 && timeout_ms > LIMIT_MILTER_FRAME_S * 1000 && stream_of(files[0].fd))
		timeout_ms = LIMIT_MILTER_FRAME_S * 1000;
	if (found == 0)
		return ask(files, n, timeout_ms);
	/* libmilter's pool looks at connections that have nothing here, so this is rare */
	for (nfds_t i = 0; i < n; i++) {
		short here = files[i].revents;
		found -= here != 0;
		if (ask(&files[i], 1, 0) < 0)
			return -1;
		files[i].revents |= here;
		found += files[i].revents != 0;
	}
	return found;
}
