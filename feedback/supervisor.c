#include "feedback/supervisor_private.h"

#include <errno.h>
#include <dirent.h>
#include <fcntl.h>
#include <limits.h>
#include <pwd.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <sysexits.h>
#include <unistd.h>
#include <event2/event.h>

#include "analyze/rules.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/log.h"
#include "base/unix_socket.h"
#include "feedback/exit_code.h"
#include "feedback/redis_private.h"
#include "feedback/state_folder.h"

/* Pauses before a role that dies is started again: hardly any at first, then growing. While the
 * milter is away mail passes unjudged, so the longest is short: a start costs a few hundredths of
 * a second, and a role that always dies writes a line a second. */
#define RESTART_FIRST_US 50000
#define RESTART_MOST_US US_PER_S
/* A role that lived so long starts without a pause again. */
#define LIVED_US (30 * US_PER_S)
/* A worker that does not answer for so long hangs, whether it starts, works or leaves: no message takes
 * seconds. */
#define HANG_US (60 * US_PER_S)
#define PING_US (5 * US_PER_S)

/* --- roles --------------------------------------------------------------------------- */

static void on_told(evutil_socket_t fd, short what, void *arg);

struct timeval supervisor_tv(int64_t us)
{
	return (struct timeval){.tv_sec = us / US_PER_S, .tv_usec = us % US_PER_S};
}

struct child *supervisor_spawn(struct post *p, const struct terms *terms)
{
	struct supervisor *s = p->sup;
	int pair[2];
	struct child *c = calloc(1, sizeof(*c));
	if (!c || socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair) < 0) {
		free(c);
		return NULL;
	}
	pid_t parent = getpid();
	c->pid = fork();
	if (c->pid == 0)
		role_live(p->kind, p->index, terms, &s->account, pair[1],
			  p->kind == &role_analyze ? s->listeners[p->index] : -1, parent);
	close(pair[1]);
	c->post = p;
	c->control = pair[0];
	c->started_us = c->heard_us = clock_mono_us();
	c->readable = c->pid > 0 ? event_new(s->loop, c->control, EV_READ | EV_PERSIST, on_told, c)
				 : NULL;
	if (!c->readable || event_add(c->readable, NULL) < 0) {
		if (c->pid > 0)
			kill(c->pid, SIGKILL); /* reaped as a stranger */
		close(pair[0]);
		free(c);
		return NULL;
	}
	p->starts++;
	c->all = s->children;
	s->children = c;
	return c;
}

static void start(struct post *p)
{
	p->now = supervisor_spawn(p, &p->sup->terms);
	if (!p->now) {
		log_error("role.start", "role=%s why=%s", p->kind->name, strerror(errno));
		struct timeval tv = supervisor_tv(RESTART_MOST_US);
		event_add(p->restart, &tv);
	}
}

static void on_restart(evutil_socket_t fd, short what, void *arg)
{
	struct post *p = arg;
	(void)fd;
	(void)what;
	if (!p->now && !p->next && !p->sup->stopping)
		start(p);
}

static void child_free(struct child *c)
{
	struct child **at = &c->post->sup->children;
	while (*at != c)
		at = &(*at)->all;
	*at = c->all;
	event_free(c->readable);
	close(c->control);
	buf_free(&c->status);
	free(c);
}

/* Those that take mail in have gone: the workers have nothing left to do. */
static void stop_workers(struct supervisor *s)
{
	bool others = false;
	for (struct child *c = s->children; c; c = c->all)
		others |= c->post->kind != &role_analyze;
	for (struct child *c = s->children; !others && c; c = c->all)
		kill(c->pid, SIGTERM);
	if (!s->children)
		event_base_loopbreak(s->loop);
}

static void stop_all(struct supervisor *s, int code)
{
	if (s->stopping)
		return;
	s->stopping = true;
	s->code = code;
	for (struct child *c = s->children; c; c = c->all) {
		/* workers answer what those hold that end first */
		if (c->post->kind != &role_analyze)
			kill(c->pid, SIGTERM);
	}
	struct timeval tv = supervisor_tv(ROLE_STOP_US);
	event_add(s->kill, &tv);
	stop_workers(s); /* of a start that has come to them alone */
}

static void on_kill(evutil_socket_t fd, short what, void *arg)
{
	struct supervisor *s = arg;
	(void)fd;
	(void)what;
	for (struct child *c = s->children; c; c = c->all) {
		log_warn("role.kill", "role=%s pid=%d it did not end in time", c->post->kind->name,
			 (int)c->pid);
		kill(c->pid, SIGKILL);
	}
}

static void child_died(struct child *c, int status)
{
	struct post *p = c->post;
	struct supervisor *s = p->sup;
	bool now = p->now == c, next = p->next == c, ready = c->ready;
	int64_t lived = clock_mono_us() - c->started_us;
	int code = WIFEXITED(status) ? WEXITSTATUS(status) : EX_SOFTWARE;
	if (now)
		p->now = NULL;
	if (next)
		p->next = NULL;
	bool leaving = c->leaving;
	pid_t pid = c->pid;
	child_free(c);
	if (!s->rolling) /* it may have been the last to take up a reload */
		supervisor_reload_end(s);
	if (!leaving && !s->stopping)
		log_event(code == EX_OK && ready ? LOG_INFO : LOG_WARN, "role.died",
			  "role=%s pid=%d %s=%d lived=%.1fs", p->kind->name, (int)pid,
			  WIFSIGNALED(status) ? "signal" : "code",
			  WIFSIGNALED(status) ? WTERMSIG(status) : code, (double)lived / 1e6);
	if (s->stopping) {
		stop_workers(s);
		return;
	}
	if (!now && !next)
		return;
	if (next)
		supervisor_roll_died(s, p, WIFSIGNALED(status));
	if (p->now || p->next) /* which takes the place when it is ready */
		return;
	/* a start that fails as a whole ends the program: a fault of the configuration, which a kill
	 * from outside is not */
	if (!s->started && !ready && (WIFEXITED(status) || p->starts >= START_TRIES)) {
		stop_all(s, code ? code : EX_SOFTWARE);
		return;
	}
	p->pause_us = lived > LIVED_US || !p->pause_us ? RESTART_FIRST_US : p->pause_us * 2;
	if (p->pause_us > RESTART_MOST_US)
		p->pause_us = RESTART_MOST_US;
	struct timeval tv = supervisor_tv(p->pause_us);
	event_add(p->restart, &tv);
}

static void start_redis(struct supervisor *s)
{
	if (s->terms.config->redis.kind != REDIS_SPAWN || s->stopping || s->redis)
		return;
	pid_t pid;
	int r = redis_private_child(s->terms.config, &pid);
	if (r == 0) {
		s->redis = pid;
		s->redis_us = clock_mono_us();
		return;
	}
	if (r != -EAGAIN)
		log_error("redis.start", "why=%s", strerror(-r));
	struct timeval tv = supervisor_tv(r == -EAGAIN ? RESTART_FIRST_US : RESTART_MOST_US);
	event_add(s->redis_again, &tv);
}

static void on_redis_again(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	start_redis(arg);
}

static void reap(struct supervisor *s)
{
	int status;
	pid_t pid;
	while ((pid = waitpid(-1, &status, WNOHANG)) > 0) {
		if (pid == s->redis) {
			s->redis = 0;
			if (!s->stopping) {
				log_warn("redis.died", "status=%d", status);
				bool soon = clock_mono_us() - s->redis_us > US_PER_S;
				struct timeval tv = supervisor_tv(soon ? RESTART_FIRST_US : RESTART_MOST_US);
				event_add(s->redis_again, &tv);
			}
			continue;
		}
		for (struct child *c = s->children; c; c = c->all)
			if (c->pid == pid) {
				child_died(c, status);
				break;
			}
	}
}

/* --- what roles tell ----------------------------------------------------------------- */

static void tell_systemd(void)
{
	const char *path = getenv("NOTIFY_SOCKET"); /* sd_notify(3) */
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	if (!path || strlen(path) >= sizeof(address.sun_path))
		return;
	int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	size_t n = strlen(path);
	memcpy(address.sun_path, path, n);
	if (path[0] == '@')
		address.sun_path[0] = '\0';
	if (fd >= 0 && sendto(fd, "READY=1", 7, MSG_NOSIGNAL, (struct sockaddr *)&address,
			      (socklen_t)(offsetof(struct sockaddr_un, sun_path) + n)) < 0)
		log_warn("run.notify", "why=%s", strerror(errno));
	if (fd >= 0)
		close(fd);
}

static void all_ready(struct supervisor *s)
{
	for (size_t i = 0; i < s->n_posts; i++)
		if (!s->posts[i].now || !s->posts[i].now->ready)
			return;
	if (s->started)
		return;
	s->started = true;
	log_warn("run.ready", "pid=%d workers=%u state=%s", (int)getpid(), s->workers,
		 s->terms.config->state);
	tell_systemd();
	supervisor_catch_up(s);
}

/* The workers first: who takes mail in finds them there. */
static void start_others(struct supervisor *s)
{
	for (size_t i = 0; i < s->n_posts; i++)
		if (s->posts[i].kind == &role_analyze &&
		    (!s->posts[i].now || !s->posts[i].now->ready))
			return;
	for (size_t i = 0; i < s->n_posts; i++)
		if (s->posts[i].kind != &role_analyze && !s->posts[i].now && !s->posts[i].starts)
			start(&s->posts[i]);
}

static void on_told(evutil_socket_t fd, short what, void *arg)
{
	static char record[CONTROL_RECORD_BYTES + 1];
	struct child *c = arg;
	struct supervisor *s = c->post->sup;
	int passed, n;
	(void)what;
	while ((n = unix_receive(fd, record, sizeof(record), &passed)) > 0 || n == -EMSGSIZE) {
		if (passed >= 0)
			close(passed);
		if (n < 0)
			continue;
		c->heard_us = clock_mono_us();
		if (record[0] == CONTROL_READY && !c->ready) {
			c->ready = true;
			if (s->stopping)
				continue; /* nothing begins any more */
			if (c->post->next == c)
				supervisor_roll_step(s, c->post);
			else if (!s->started)
				start_others(s);
			all_ready(s);
		} else if (record[0] == CONTROL_STATUS) {
			buf_reset(&c->status);
			buf_add(&c->status, (struct span){record + 1, (size_t)n - 1});
			c->asked = false;
			supervisor_answer_status(s);
		} else if (record[0] == CONTROL_REGISTRY) {
			supervisor_roll_soon(s);
		} else if (record[0] == CONTROL_RELOAD || record[0] == CONTROL_REFUSED) {
			c->reloading = false;
			if (record[0] == CONTROL_REFUSED)
				supervisor_keeps_old(s, c->post);
			if (!s->rolling)
				supervisor_reload_end(s);
		}
	}
	if (n != -EAGAIN)
		event_del(c->readable); /* SIGCHLD tells the rest */
}

void supervisor_ask_status(struct supervisor *s)
{
	char c = CONTROL_STATUS;
	for (struct child *child = s->children; child; child = child->all)
		if (child->ready && unix_send(child->control, (struct span){&c, 1}, -1) == 0)
			child->asked = !child->leaving; /* those must be alive, no more */
}

static void on_ping(evutil_socket_t fd, short what, void *arg)
{
	struct supervisor *s = arg;
	int64_t now = clock_mono_us();
	(void)fd;
	(void)what;
	for (struct child *c = s->children; c; c = c->all)
		if (c->post->kind == &role_analyze && now - c->heard_us > HANG_US) {
			log_error("role.hangs", "role=%s pid=%d", c->post->kind->name, (int)c->pid);
			kill(c->pid, SIGKILL);
		}
	supervisor_ask_status(s);
}

/* --- signals ------------------------------------------------------------------------- */

/* By a descriptor: the roles' processes have a loop with handlers of their own. */
static void on_signal(evutil_socket_t fd, short what, void *arg)
{
	struct signalfd_siginfo info;
	(void)what;
	while (read(fd, &info, sizeof(info)) == sizeof(info)) {
		if (info.ssi_signo == SIGCHLD)
			reap(arg);
		else if (info.ssi_signo == SIGHUP)
			supervisor_reload_soon(arg);
		else
			stop_all(arg, EX_OK);
	}
}

static int open_signals(void)
{
	sigset_t set;
	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGHUP);
	sigaddset(&set, SIGCHLD);
	if (sigprocmask(SIG_BLOCK, &set, NULL) < 0)
		return -errno;
	return signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
}

/* --- the start -------------------------------------------------------------------------- */

static bool folder_empty(const char *path)
{
	DIR *d = opendir(path);
	if (!d)
		return false;
	const struct dirent *e;
	bool empty = true;
	while (empty && (e = readdir(d)))
		empty = strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0;
	closedir(d);
	return empty;
}

/* Who the roles are: `user`; where that account does not exist, or the folder is another's
 * already, the owner of the state folder. */
static int choose_account(struct supervisor *s)
{
	const char *state = s->terms.config->state;
	int r = state_folder_step_in(s->terms.config); /* makes it */
	state_folder_step_out();
	struct stat st;
	if (r == 0 && stat(state, &st) < 0)
		r = -errno;
	if (r < 0)
		return r;
	const struct passwd *user = geteuid() == 0 && s->terms.config->user ? getpwnam(s->terms.config->user)
								     : NULL;
	if (user && st.st_uid != user->pw_uid && folder_empty(state) &&
	    chown(state, user->pw_uid, user->pw_gid) == 0) {
		st.st_uid = user->pw_uid;
		st.st_gid = user->pw_gid;
	}
	s->account = (struct account){st.st_uid, st.st_gid};
	if (geteuid() == 0 && (!user || user->pw_uid != st.st_uid))
		log_warn("run.user", "%s '%s'; the roles run as uid %u, the owner of %s",
			 user ? "the state folder is not of the account" : "there is no account",
			 s->terms.config->user ? s->terms.config->user : "", (unsigned)st.st_uid, state);
	return 0;
}

static int open_listeners(struct supervisor *s)
{
	char path[PATH_MAX], name[JUDGE_NAME_BYTES];
	if (snprintf(path, sizeof(path), "%s/run", s->terms.config->state) >= (int)sizeof(path))
		return -ENAMETOOLONG;
	int r = file_make_folder(path, 0750);
	if (r < 0)
		return r;
	if ((s->run_folder = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC)) < 0)
		return -errno;
	s->lock = openat(s->run_folder, "lock", O_RDWR | O_CREAT | O_CLOEXEC, 0640);
	if (s->lock < 0 || flock(s->lock, LOCK_EX | LOCK_NB) < 0)
		return errno == EWOULDBLOCK ? -EALREADY : -errno;
	for (unsigned i = 0; i < s->workers; i++)
		if ((s->listeners[i] = unix_listen(s->run_folder, judge_slot_name(i, name),
						   SOCK_SEQPACKET, 0600)) < 0)
			return s->listeners[i];
	s->control = unix_listen(s->run_folder, "control.sock", SOCK_STREAM, 0660);
	return s->control < 0 ? s->control : 0;
}

static void add_post(struct supervisor *s, const struct role_kind *kind, unsigned index)
{
	struct post *p = &s->posts[s->n_posts++];
	*p = (struct post){.sup = s, .kind = kind, .index = index};
	p->restart = event_new(s->loop, -1, 0, on_restart, p);
	if (!p->restart)
		abort();
}

static int make_events(struct supervisor *s)
{
	const struct config *c = s->terms.config;
	struct event **const all[] = {&s->signals, &s->accept, &s->ping};
	s->signals = event_new(s->loop, open_signals(), EV_READ | EV_PERSIST, on_signal, s);
	s->accept = event_new(s->loop, s->control, EV_READ | EV_PERSIST, supervisor_on_accept, s);
	s->ping = event_new(s->loop, -1, EV_PERSIST, on_ping, s);
	s->kill = event_new(s->loop, -1, 0, on_kill, s);
	s->redis_again = event_new(s->loop, -1, 0, on_redis_again, s);
	s->roll_again = event_new(s->loop, -1, 0, supervisor_on_roll_again, s);
	if (!s->kill || !s->redis_again || !s->roll_again)
		return -ENOMEM;
	struct timeval tv = supervisor_tv(PING_US);
	for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++)
		if (!*all[i] || event_add(*all[i], all[i] == &s->ping ? &tv : NULL) < 0)
			return -ENOMEM;
	for (unsigned i = 0; i < s->workers; i++)
		add_post(s, &role_analyze, i);
	if (c->milter.address || c->policy.address)
		add_post(s, &role_milter, 0);
	if (c->capture.interface)
		add_post(s, &role_packets, 0);
	if (c->spool_maildirs.n)
		add_post(s, &role_spool, 0);
	add_post(s, &role_recorder, 0);
	add_post(s, &role_feedback, 0);
	return 0;
}

/* The private Redis goes last: the recorder may still have written. */
static void end_redis(struct supervisor *s)
{
	if (!s->redis)
		return;
	kill(s->redis, SIGTERM);
	while (waitpid(s->redis, NULL, 0) < 0 && errno == EINTR)
		;
}

int supervisor_run(struct command_context *context)
{
	static struct supervisor s = {.lock = -1, .run_folder = -1, .control = -1};
	s.terms.config = s.first = context->config;
	s.workers = config_workers(s.terms.config);
	s.started_us = clock_now_us();
	signal(SIGPIPE, SIG_IGN);
	int r = ruleset_load(&s.terms.rules, s.terms.config, clock_now_us());
	if (r > 0)
		return EX_CONFIG; /* said by the loader */
	if (r == 0)
		r = choose_account(&s);
	if (r == 0) {
		r = state_folder_step_in(s.terms.config);
		if (r == 0)
			r = open_listeners(&s);
		state_folder_step_out();
	}
	if (r == -EALREADY)
		return command_fail(context->program, EX_TEMPFAIL,
				    "%s: `assay run` works there already", s.terms.config->state);
	if (r < 0)
		return command_fail(context->program, exit_code(r), "%s: %s", s.terms.config->state,
				    strerror(-r));
	s.loop = event_base_new();
	if (!s.loop || make_events(&s) < 0)
		return command_fail(context->program, EX_OSERR, "no memory");
	start_redis(&s);
	for (unsigned i = 0; i < s.workers; i++)
		start(&s.posts[i]);
	event_base_dispatch(s.loop);
	end_redis(&s);
	unlinkat(s.run_folder, "control.sock", 0);
	supervisor_drop(&s, &s.coming);
	supervisor_drop(&s, &s.terms);
	log_warn("run.end", "code=%d", s.code);
	return s.code;
}
