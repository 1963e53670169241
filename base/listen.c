#include "base/listen.h"

#include <errno.h>
#include <grp.h>
#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/file.h"
#include "base/limits.h"
#include "base/log.h"


static int make_socket(int family)
{
	int fd = socket(family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	return fd < 0 ? -errno : fd;
}

static int unix_address(const char *path, struct sockaddr_un *address)
{
	*address = (struct sockaddr_un){.sun_family = AF_UNIX};
	if (strlen(path) >= sizeof(address->sun_path))
		return -ENAMETOOLONG;
	strcpy(address->sun_path, path);
	return 0;
}

int listen_clear(const char *path)
{
	struct sockaddr_un address;
	struct stat st;
	int r = unix_address(path, &address);
	if (r < 0)
		return r;
	const char *slash = strrchr(path, '/');
	if (slash && slash != path) {
		char folder[sizeof(address.sun_path)];
		snprintf(folder, sizeof(folder), "%.*s", (int)(slash - path), path);
		if ((r = file_make_folder(folder, 0755)) < 0)
			return r;
	}
	if (lstat(path, &st) < 0)
		return errno == ENOENT ? 0 : -errno;
	if (!S_ISSOCK(st.st_mode))
		return -EEXIST;
	int fd = make_socket(AF_UNIX);
	if (fd < 0)
		return fd;
	bool lives = connect(fd, (const struct sockaddr *)&address, sizeof(address)) == 0 ||
		     errno == EAGAIN;
	close(fd);
	if (lives)
		return -EADDRINUSE;
	return unlink(path) < 0 && errno != ENOENT ? -errno : 0;
}

int listen_give_rights(const struct config_listener *l, const char *path)
{
	errno = 0;
	const struct group *group = l->group ? getgrnam(l->group) : NULL;
	if (l->group && !group) {
		int r = errno ? -errno : -ESRCH;
		log_error("listen.group", "group=%s error=unknown", l->group); /* errno says it badly */
		return r;
	}
	if (group && chown(path, (uid_t)-1, group->gr_gid) < 0)
		return -errno;
	return chmod(path, l->mode) < 0 ? -errno : 0;
}

static int open_unix(const struct config_listener *l, const char *path)
{
	struct sockaddr_un address;
	int r = unix_address(path, &address);
	if (r == 0)
		r = listen_clear(path);
	int fd = r < 0 ? r : make_socket(AF_UNIX);
	if (fd < 0)
		return fd;
	/* Nobody connects before the rights are: connecting needs listen(2). */
	if (bind(fd, (const struct sockaddr *)&address, sizeof(address)) < 0)
		r = -errno;
	else if ((r = listen_give_rights(l, path)) == 0)
		r = listen(fd, LIMIT_LISTEN_BACKLOG) < 0 ? -errno : 0;
	if (r < 0)
		close(fd);
	return r < 0 ? r : fd;
}

static int open_tcp(struct span address)
{
	struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_PASSIVE}, *found;
	size_t colon = span_rfind_char(address, ':');
	char host[256], port[16];
	struct span name = span_sub(address, 0, colon);
	if (colon >= address.n)
		return -EINVAL;
	if (name.n > 1 && name.p[0] == '[')
		name = span_sub(name, 1, name.n - 1);
	snprintf(host, sizeof(host), "%.*s", SPAN_ARG(name));
	snprintf(port, sizeof(port), "%.*s", SPAN_ARG(span_sub(address, colon + 1, address.n)));
	if (getaddrinfo(host[0] ? host : NULL, port, &hints, &found) != 0)
		return -EADDRNOTAVAIL;
	int r = -EADDRNOTAVAIL, on = 1, fd = make_socket(found->ai_family);
	if (fd < 0)
		r = fd;
	else if (setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) < 0 ||
		 bind(fd, found->ai_addr, found->ai_addrlen) < 0 || listen(fd, LIMIT_LISTEN_BACKLOG) < 0)
		r = -errno;
	else
		r = 0;
	freeaddrinfo(found);
	if (r < 0 && fd >= 0)
		close(fd);
	return r < 0 ? r : fd;
}

int listen_open(const struct config_listener *l)
{
	struct span address = span_of(l->address);
	if (span_starts(address, SPAN("unix:")))
		return open_unix(l, l->address + 5);
	return open_tcp(address);
}
