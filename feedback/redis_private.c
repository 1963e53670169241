/*
 * The lock .server is taken before the fork and inherited over exec: it is free exactly when no
 * redis-server of ours is alive, whoever died and however. The lock .users is held shared by every
 * process that uses the server; the watcher waits for it alone, and when it gets it nobody is left.
 *
 * The path of a unix socket has 107 octets at most and a state folder may be deeper, so the server
 * makes its socket relative to its folder and clients reach it through /proc/self/fd.
 */
#include "feedback/redis_private.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/file.h"
#include "base/limits.h"
#include "base/log.h"

static int folder_path(const struct config *config, char out[PATH_MAX])
{
	return snprintf(out, PATH_MAX, "%s/redis", config->state) >= PATH_MAX ? -ENAMETOOLONG : 0;
}

/* What root makes belongs to the owner of the state folder. */
static int give_to_owner(int fd, const struct stat *owner)
{
	return geteuid() == 0 && fchown(fd, owner->st_uid, owner->st_gid) < 0 ? -errno : 0;
}

static int folder_open(const struct config *config, struct stat *owner_r)
{
	char path[PATH_MAX];
	int r = folder_path(config, path);
	if (r < 0 || (r = file_make_folder(path, 0750)) < 0)
		return r;
	if (stat(config->state, owner_r) < 0)
		return -errno;
	int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	if ((r = give_to_owner(fd, owner_r)) < 0) {
		close(fd);
		return r;
	}
	return fd;
}

static int lock_open(int folder, const char *name, const struct stat *owner)
{
	int fd = openat(folder, name, O_RDWR | O_CREAT | O_CLOEXEC, 0640);
	if (fd < 0)
		return -errno;
	int r = give_to_owner(fd, owner);
	if (r < 0)
		close(fd);
	return r < 0 ? r : fd;
}

static void drop_root(const struct stat *owner)
{
	if (geteuid() != 0 || owner->st_uid == 0)
		return;
	if (setgroups(0, NULL) < 0 || setgid(owner->st_gid) < 0 || setuid(owner->st_uid) < 0)
		_exit(126);
}

/*
 * Redis 7.0 cuts a torn append-only file behind the last whole command, also inside MULTI .. EXEC;
 * what it appends then is taken into that transaction at the next start, and half a batch counts
 * twice. redis-check-aof cuts in front of the MULTI. It asks, so it gets a "y".
 */
static void mend_file(void)
{
	static const char manifest[] = "appendonlydir/appendonly.aof.manifest";
	int answer[2];
	if (access(manifest, F_OK) < 0 || pipe(answer) < 0)
		return;
	pid_t pid = fork();
	if (pid == 0) {
		dup2(answer[0], 0);
		execlp("redis-check-aof", "redis-check-aof", "--fix", manifest, (char *)NULL);
		_exit(127);
	}
	if (write(answer[1], "y\n", 2) < 0)
		log_warn("redis.start", "redis-check-aof: %s", strerror(errno));
	close(answer[0]);
	close(answer[1]);
	while (pid > 0 && waitpid(pid, NULL, 0) < 0 && errno == EINTR)
		;
}

/* In the child that becomes the server: `folder` is its working folder. */
static void become_server(int folder, int lock, const struct stat *owner, pid_t parent)
{
	char memory[32];
	long pages = sysconf(_SC_PHYS_PAGES), page = sysconf(_SC_PAGESIZE);
	long long bytes = pages > 0 && page > 0 ? (long long)pages * page / 4 : LIMIT_REDIS_BYTES;
	snprintf(memory, sizeof(memory), "%lld", bytes);
	char *const argv[] = {"redis-server", "--port", "0", "--unixsocket", "redis.sock",
			      "--unixsocketperm", "770", "--dir", ".", "--appendonly", "yes",
			      "--appendfsync", "everysec", "--save", "", "--maxmemory", memory,
			      "--maxmemory-policy", "noeviction", "--daemonize", "no",
			      "--logfile", "redis.log", "--loglevel", "warning", NULL};
	/* Its own session: ^C is for the command, not for the server under it. */
	setsid();
	drop_root(owner);
	prctl(PR_SET_PDEATHSIG, SIGTERM); /* after setuid(), which clears it */
	if (getppid() != parent)
		_exit(0);
	sigset_t none;
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	signal(SIGPIPE, SIG_DFL);
	/* Whoever reads the command's output waits for its end, not for the server's. */
	int null = open("/dev/null", O_RDWR | O_CLOEXEC), errors = fcntl(2, F_DUPFD_CLOEXEC, 3);
	if (null < 0 || dup2(null, 0) < 0 || dup2(null, 1) < 0 || dup2(null, 2) < 0 ||
	    fchdir(folder) < 0 || fcntl(lock, F_SETFD, 0) < 0)
		_exit(126);
	mend_file();
	execvp(argv[0], argv);
	dup2(errors, 2);
	log_error("redis.start", "cannot run redis-server: %s", strerror(errno));
	_exit(127);
}

/* Forks the server while `lock` is held; its pid or negative errno. */
static pid_t fork_server(int folder, int lock, const struct stat *owner)
{
	pid_t parent = getpid();
	pid_t pid = fork();
	if (pid < 0)
		return -errno;
	if (pid == 0)
		become_server(folder, lock, owner, parent);
	return pid;
}

static void end_server(pid_t pid)
{
	kill(pid, SIGTERM);
	while (waitpid(pid, NULL, 0) < 0 && errno == EINTR)
		;
}

static void on_child(int unused)
{
	(void)unused;
}

/* Outlives the command that began it: ends the server after its last user, ends after it. */
static void watch(int folder, int server_lock, const struct stat *owner)
{
	setsid();
	int null = open("/dev/null", O_RDWR | O_CLOEXEC);
	if (null < 0 || dup2(null, 0) < 0 || dup2(null, 1) < 0 || chdir("/") < 0)
		_exit(126);
	/* No SA_RESTART: the death of the server interrupts the wait for the users. */
	struct sigaction act = {.sa_handler = on_child};
	sigaction(SIGCHLD, &act, NULL);
	pid_t server = fork_server(folder, server_lock, owner);
	/* The file was opened here, after the fork: a lock is shared with nobody's handle. */
	int users = lock_open(folder, ".users", owner);
	close(server_lock);
	/* A pipe that the command reads would never end while its copy is open here. */
	dup2(null, 2);
	if (users > 3)
		close_range(3, (unsigned)users - 1, 0);
	close_range((unsigned)users + 1, ~0U, 0);
	while (server > 0 && users >= 0) {
		int status;
		if (waitpid(server, &status, WNOHANG) == server)
			_exit(0);
		if (flock(users, LOCK_EX) == 0)
			break;
	}
	if (server > 0)
		end_server(server);
	_exit(0);
}

int redis_private_use(const struct config *config)
{
	static int users = -1; /* held until the process ends */
	struct stat owner;
	int folder = folder_open(config, &owner);
	if (folder < 0)
		return folder;
	int r = 0, server = -1;
	if (users < 0) {
		if ((r = users = lock_open(folder, ".users", &owner)) < 0)
			goto out;
		r = flock(users, LOCK_SH) < 0 ? -errno : 0;
		if (r < 0)
			goto out;
	}
	if ((r = server = lock_open(folder, ".server", &owner)) < 0)
		goto out;
	r = flock(server, LOCK_EX | LOCK_NB) < 0 ? -errno : 0;
	if (r == -EWOULDBLOCK) {
		r = 0; /* one is there already */
		goto out;
	}
	if (r < 0)
		goto out;
	pid_t first = fork();
	if (first == 0) {
		/* The middle process goes at once, so the watcher is nobody's child. */
		if (fork() == 0)
			watch(folder, server, &owner);
		_exit(0);
	}
	if (first < 0)
		r = -errno;
	else
		while (waitpid(first, NULL, 0) < 0 && errno == EINTR)
			;
out:
	if (server >= 0)
		close(server);
	close(folder);
	return r;
}

/* A server of single commands makes room for the supervisor's. */
static void ask_to_end(const struct config *config)
{
	static const char shutdown_words[] = "SHUTDOWN NOSAVE\r\n"; /* the AOF has everything */
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	char path[REDIS_SOCKET_PATH_BYTES];
	int folder;
	if (redis_private_path(config, &folder, path) < 0)
		return;
	memcpy(address.sun_path, path, strlen(path) + 1);
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd >= 0) {
		if (connect(fd, (struct sockaddr *)&address, sizeof(address)) == 0 &&
		    send(fd, shutdown_words, sizeof(shutdown_words) - 1, MSG_NOSIGNAL) < 0)
			log_debug("redis.start", "the old server went first");
		char answer;
		if (recv(fd, &answer, 1, 0) < 0)
			log_debug("redis.start", "the old server is gone");
		close(fd);
	}
	close(folder);
}

int redis_private_child(const struct config *config, pid_t *pid_r)
{
	struct stat owner;
	int folder = folder_open(config, &owner);
	if (folder < 0)
		return folder;
	int server = lock_open(folder, ".server", &owner);
	int r = server;
	if (server >= 0) {
		r = flock(server, LOCK_EX | LOCK_NB) < 0 ? -errno : 0;
		if (r == -EWOULDBLOCK) {
			ask_to_end(config);
			r = -EAGAIN;
		}
	}
	if (r == 0) {
		pid_t pid = fork_server(folder, server, &owner);
		if (pid < 0)
			r = (int)pid;
		else
			*pid_r = pid;
	}
	if (server >= 0)
		close(server);
	close(folder);
	return r;
}

void redis_private_path_at(int folder, char path_r[REDIS_SOCKET_PATH_BYTES])
{
	snprintf(path_r, REDIS_SOCKET_PATH_BYTES, "/proc/self/fd/%d/redis.sock", folder);
}

int redis_private_path(const struct config *config, int *folder_fd_r,
		       char path_r[REDIS_SOCKET_PATH_BYTES])
{
	char path[PATH_MAX];
	int r = folder_path(config, path);
	if (r < 0)
		return r;
	*folder_fd_r = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (*folder_fd_r < 0)
		return -errno;
	redis_private_path_at(*folder_fd_r, path_r);
	return 0;
}
