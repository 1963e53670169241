#include "base/unix_socket.h"

#include <errno.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/limits.h"


static int make_socket(int folder, const char *name, int type, struct sockaddr_un *address)
{
	*address = (struct sockaddr_un){.sun_family = AF_UNIX};
	int n = snprintf(address->sun_path, sizeof(address->sun_path), "/proc/self/fd/%d/%s", folder,
			 name);
	if (n >= (int)sizeof(address->sun_path))
		return -ENAMETOOLONG;
	int fd = socket(AF_UNIX, type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	return fd < 0 ? -errno : fd;
}

int unix_listen(int folder, const char *name, int type, unsigned mode)
{
	struct sockaddr_un address;
	int fd = make_socket(folder, name, type, &address);
	if (fd < 0)
		return fd;
	if ((unlinkat(folder, name, 0) < 0 && errno != ENOENT) ||
	    bind(fd, (struct sockaddr *)&address, sizeof(address)) < 0 ||
	    fchmodat(folder, name, mode, 0) < 0 || listen(fd, LIMIT_ROLE_BACKLOG) < 0) {
		int r = -errno;
		close(fd);
		return r;
	}
	return fd;
}

int unix_connect(int folder, const char *name, int type)
{
	struct sockaddr_un address;
	int fd = make_socket(folder, name, type, &address);
	if (fd < 0)
		return fd;
	if (connect(fd, (struct sockaddr *)&address, sizeof(address)) < 0) {
		int r = -errno;
		close(fd);
		return r;
	}
	return fd;
}

union ancillary {
	struct cmsghdr head;
	char room[CMSG_SPACE(sizeof(int))];
};

int unix_send(int fd, struct span record, int pass)
{
	return unix_send_two(fd, (const struct span[]){record, SPAN_NONE}, pass);
}

int unix_send_two(int fd, const struct span parts[2], int pass)
{
	struct iovec iov[] = {{(void *)parts[0].p, parts[0].n},
			      {(void *)parts[1].p, parts[1].n}};
	union ancillary beside = {0};
	struct msghdr msg = {.msg_iov = iov, .msg_iovlen = 2};
	if (pass >= 0) {
		msg.msg_control = &beside;
		msg.msg_controllen = sizeof(beside.room);
		struct cmsghdr *c = CMSG_FIRSTHDR(&msg);
		c->cmsg_level = SOL_SOCKET;
		c->cmsg_type = SCM_RIGHTS;
		c->cmsg_len = CMSG_LEN(sizeof(int));
		memcpy(CMSG_DATA(c), &pass, sizeof(pass));
	}
	ssize_t n;
	do
		n = sendmsg(fd, &msg, MSG_NOSIGNAL | MSG_DONTWAIT);
	while (n < 0 && errno == EINTR);
	return n < 0 ? -errno : 0;
}

int unix_receive(int fd, char *out, size_t room, int *passed_r)
{
	struct iovec iov = {out, room};
	union ancillary beside = {0};
	struct msghdr msg = {.msg_iov = &iov, .msg_iovlen = 1, .msg_control = &beside,
			     .msg_controllen = sizeof(beside.room)};
	ssize_t n;
	*passed_r = -1;
	do
		n = recvmsg(fd, &msg, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
	while (n < 0 && errno == EINTR);
	if (n < 0)
		return -errno;
	for (struct cmsghdr *c = CMSG_FIRSTHDR(&msg); c; c = CMSG_NXTHDR(&msg, c))
		if (c->cmsg_level == SOL_SOCKET && c->cmsg_type == SCM_RIGHTS)
			memcpy(passed_r, CMSG_DATA(c), sizeof(*passed_r));
	if (!(msg.msg_flags & MSG_TRUNC))
		return (int)n;
	if (*passed_r >= 0)
		close(*passed_r);
	*passed_r = -1;
	return -EMSGSIZE;
}
