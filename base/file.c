#include "base/file.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/limits.h"

/* Files from here on are mapped, not read: an mbox of gigabytes. A mapping costs its reader the
 * process when somebody cuts the file meanwhile (SIGBUS), so what fits into memory is read. */
#define MAP_FROM_BYTES ((size_t)64 << 20)

int file_read_fd(int fd, size_t limit, struct span *bytes_r)
{
	size_t n = 0, cap = 16384;
	char *p = malloc(cap);
	*bytes_r = SPAN_NONE;
	if (!p)
		return -ENOMEM;
	for (;;) {
		if (n == cap) {
			char *bigger = realloc(p, cap * 2);
			if (!bigger) {
				free(p);
				return -ENOMEM;
			}
			p = bigger;
			cap *= 2;
		}
		ssize_t got = read(fd, p + n, cap - n);
		if (got < 0 && errno == EINTR)
			continue;
		if (got < 0 || (size_t)got > limit - n) {
			int r = got < 0 ? -errno : -EFBIG;
			free(p);
			return r;
		}
		if (got == 0)
			break;
		n += (size_t)got;
	}
	*bytes_r = (struct span){p, n};
	return 0;
}

/* What cannot be mapped is without an end, perhaps, and memory holds it. */
static int view_piped(int fd, size_t limit, struct file_view *view_r)
{
	return file_read_fd(fd, limit < LIMIT_PIPED_BYTES ? limit : LIMIT_PIPED_BYTES,
			    &view_r->bytes);
}

static int view(int fd, size_t limit, struct file_view *view_r)
{
	struct stat st;
	if (fstat(fd, &st) < 0)
		return -errno;
	if (S_ISDIR(st.st_mode))
		return -EISDIR;
	if (!S_ISREG(st.st_mode))
		return view_piped(fd, limit, view_r);
	if ((uint64_t)st.st_size > limit)
		return -EFBIG;
	if ((size_t)st.st_size >= MAP_FROM_BYTES) {
		void *p = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
		if (p != MAP_FAILED) {
			*view_r = (struct file_view){{p, (size_t)st.st_size}, p};
			return 0;
		}
	}
	return file_read_fd(fd, limit, &view_r->bytes);
}

int file_view_open(const char *path, size_t limit, struct file_view *view_r)
{
	*view_r = (struct file_view){SPAN_NONE, NULL};
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	int r = view(fd, limit, view_r);
	close(fd);
	return r;
}

int file_view_regular(const char *path, size_t limit, struct file_view *view_r)
{
	struct stat st;
	*view_r = (struct file_view){SPAN_NONE, NULL};
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
	if (fd < 0)
		return errno == ELOOP || errno == ENXIO ? -ENOTSUP : -errno;
	int r = fstat(fd, &st) < 0	? -errno
		: !S_ISREG(st.st_mode) ? -ENOTSUP
				       : view(fd, limit, view_r);
	close(fd);
	return r;
}

int file_view_input(const char *path, size_t limit, struct file_view *view_r)
{
	if (strcmp(path, "-") != 0)
		return file_view_open(path, limit, view_r);
	/* Not /dev/stdin: opening that again asks for permissions that a pipe does not give. */
	*view_r = (struct file_view){SPAN_NONE, NULL};
	return view_piped(STDIN_FILENO, limit, view_r);
}

void file_view_close(struct file_view *view)
{
	if (view->mapped)
		munmap(view->mapped, view->bytes.n);
	else
		free((char *)view->bytes.p);
	*view = (struct file_view){SPAN_NONE, NULL};
}

int file_write_fd(int fd, struct span bytes)
{
	while (bytes.n) {
		ssize_t n = write(fd, bytes.p, bytes.n);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		bytes = span_sub(bytes, (size_t)n, bytes.n);
	}
	return 0;
}

int file_replace(const char *path, struct span bytes, unsigned mode)
{
	char folder[PATH_MAX], temporary[PATH_MAX];
	const char *slash = strrchr(path, '/');
	const char *name = slash ? slash + 1 : path;
	int folder_n = slash ? (int)(slash - path) : 1;
	if (snprintf(folder, sizeof(folder), "%.*s", folder_n, slash ? path : ".") >=
		    (int)sizeof(folder) ||
	    snprintf(temporary, sizeof(temporary), "%s/.%s.%ld", folder_n ? folder : "", name,
		     (long)getpid()) >= (int)sizeof(temporary))
		return -ENAMETOOLONG;
	int fd = open(temporary, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, mode);
	if (fd < 0)
		return -errno;
	int r = file_write_fd(fd, bytes);
	if (r == 0 && fsync(fd) < 0)
		r = -errno;
	if (close(fd) < 0 && r == 0)
		r = -errno;
	if (r == 0 && rename(temporary, path) < 0)
		r = -errno;
	if (r < 0) {
		unlink(temporary);
		return r;
	}
	int dir = open(folder_n ? folder : "/", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (dir < 0)
		return -errno;
	r = fsync(dir) < 0 ? -errno : 0;
	close(dir);
	return r;
}

int file_make_once(const char *path, struct span bytes, unsigned mode)
{
	char temporary[PATH_MAX];
	struct stat folder;
	const char *slash = strrchr(path, '/');
	if (strlen(path) >= sizeof(temporary))
		return -ENAMETOOLONG;
	snprintf(temporary, sizeof(temporary), "%.*s", slash ? (int)(slash - path) + 1 : 1,
		 slash ? path : ".");
	if (stat(temporary, &folder) < 0)
		return -errno;
	if (snprintf(temporary, sizeof(temporary), "%s.%ld", path, (long)getpid()) >=
	    (int)sizeof(temporary))
		return -ENAMETOOLONG;
	int fd = open(temporary, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, mode);
	if (fd < 0)
		return -errno;
	int r = file_write_fd(fd, bytes);
	if (r == 0 && geteuid() == 0 && fchown(fd, folder.st_uid, folder.st_gid) < 0)
		r = -errno;
	if (r == 0 && fsync(fd) < 0)
		r = -errno;
	if (close(fd) < 0 && r == 0)
		r = -errno;
	if (r == 0 && link(temporary, path) < 0 && errno != EEXIST)
		r = -errno;
	unlink(temporary);
	return r;
}

int file_make_folder(const char *path, unsigned mode)
{
	char part[PATH_MAX];
	size_t n = strlen(path);
	if (n == 0 || n >= sizeof(part))
		return n ? -ENAMETOOLONG : -ENOENT;
	memcpy(part, path, n + 1);
	for (size_t i = 1; i <= n; i++) {
		if (part[i] != '/' && part[i] != '\0')
			continue;
		char c = part[i];
		part[i] = '\0';
		if (mkdir(part, mode) < 0 && errno != EEXIST)
			return -errno;
		part[i] = c;
	}
	struct stat st;
	if (stat(path, &st) < 0)
		return -errno;
	return S_ISDIR(st.st_mode) ? 0 : -ENOTDIR;
}
