#include "feedback/role_private.h"

#include <errno.h>
#include <grp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sysexits.h>
#include <unistd.h>
#include <event2/event.h>

#include "analyze/rules.h"
#include "base/log.h"
#include "base/unix_socket.h"

/* One role lives in a process. */
static struct {
	const struct role_kind *kind;
	struct role role;
	int control, listener;
} me;

int role_slot_listener(const struct role *r)
{
	(void)r;
	return me.listener;
}

static void tell(struct span record)
{
	if (unix_send(me.control, record, -1) < 0)
		log_debug("role.control", "the supervisor does not listen");
}

void role_tell(const struct role *r, enum control what)
{
	char c = (char)what;
	(void)r;
	tell((struct span){&c, 1});
}

static void tell_status(void)
{
	struct buf text = BUF_INIT;
	struct json j = JSON_INIT(&text);
	buf_addc(&text, CONTROL_STATUS);
	json_open(&j, NULL, '{');
	if (me.kind->status)
		me.kind->status(&me.role, &j);
	json_close(&j, '}');
	tell(text.failed || text.n > CONTROL_RECORD_BYTES ? SPAN("s{}") : buf_span(&text));
	buf_free(&text);
}

static int take_terms(struct span octets, struct config *config, struct ruleset **rules_r)
{
	struct reload_head head;
	if (octets.n < sizeof(head))
		return -EBADMSG;
	memcpy(&head, octets.p, sizeof(head));
	octets = span_sub(octets, sizeof(head), octets.n);
	struct span limits = span_sub(octets, 0, head.limits);
	octets = span_sub(octets, head.limits, octets.n);
	char *file = head.file ? strndup(octets.p, head.file) : NULL;
	int r = head.file && !file ? -ENOMEM
				   : config_load_text(config, file, span_sub(octets, head.file, octets.n));
	free(file);
	if (r != 0)
		return r;
	r = ruleset_read_limits(rules_r, limits);
	if (r < 0)
		config_free(config);
	return r;
}

static bool reload(int fd)
{
	struct stat st;
	struct ruleset *rules = NULL;
	struct config *config = calloc(1, sizeof(*config));
	size_t n = fd >= 0 && fstat(fd, &st) == 0 ? (size_t)st.st_size : 0;
	void *octets = n ? mmap(NULL, n, PROT_READ, MAP_PRIVATE, fd, 0) : MAP_FAILED;
	bool ok = config && octets != MAP_FAILED &&
		  take_terms((struct span){octets, n}, config, &rules) == 0;
	if (octets != MAP_FAILED)
		munmap(octets, n);
	if (!ok) {
		free(config);
		log_error("role.reload", "role=%s the old configuration stays", me.kind->name);
		return false;
	}
	/* what the role made of the old one may point into it: it lives on */
	me.role.config = config;
	ruleset_unref(me.role.rules);
	me.role.rules = rules;
	if (me.kind->reload)
		me.kind->reload(&me.role);
	return true;
}

static void on_control(evutil_socket_t fd, short what, void *arg)
{
	char record[8];
	int passed, n;
	(void)what;
	(void)arg;
	while ((n = unix_receive(fd, record, sizeof(record), &passed)) > 0) {
		if (record[0] == CONTROL_STATUS) {
			tell_status();
		} else if (record[0] == CONTROL_RELOAD) {
			role_tell(&me.role, reload(passed) ? CONTROL_RELOAD : CONTROL_REFUSED);
		}
		if (passed >= 0)
			close(passed);
	}
	if (n != -EAGAIN)
		_exit(EX_OK); /* the supervisor is gone */
}

static void on_term(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	(void)arg;
	me.kind->stop(&me.role);
}

static void die_with(pid_t parent)
{
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (getppid() != parent)
		_exit(EX_OK);
}

static int drop(const struct account *account)
{
	if (geteuid() != 0 || account->uid == 0)
		return 0;
	if (setgroups(1, &account->gid) < 0 ||
	    setresgid(account->gid, account->gid, account->gid) < 0 ||
	    setresuid(account->uid, account->uid, account->uid) < 0)
		return -errno;
	return 0;
}

/* What the supervisor holds is not a role's. */
static void close_others(int control, int listener)
{
	int low = control < listener || listener < 0 ? control : listener;
	int high = low == control ? listener : control;
	if (low > 3)
		close_range(3, (unsigned)low - 1, 0);
	if (high >= 0) {
		if (high > low + 1)
			close_range((unsigned)low + 1, (unsigned)high - 1, 0);
		low = high;
	}
	close_range((unsigned)low + 1, ~0U, 0);
}

static void quiet_signals(void)
{
	static const int signals[] = {SIGTERM, SIGINT, SIGHUP, SIGCHLD, SIGUSR1, SIGUSR2};
	sigset_t none;
	for (size_t i = 0; i < sizeof(signals) / sizeof(signals[0]); i++)
		signal(signals[i], SIG_DFL);
	signal(SIGPIPE, SIG_IGN);
	/* both reach the whole group of a terminal; the supervisor says what is to happen */
	signal(SIGHUP, SIG_IGN);
	signal(SIGINT, SIG_IGN);
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
}

/* Every waiting message is a descriptor. */
static void raise_files(void)
{
	struct rlimit limit;
	if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
		limit.rlim_cur = limit.rlim_max;
		setrlimit(RLIMIT_NOFILE, &limit);
	}
}

static int begin(const struct account *account)
{
	int code = me.kind->open ? me.kind->open(&me.role) : EX_OK;
	if (code != EX_OK)
		return code;
	pid_t parent = getppid();
	int r = drop(account);
	if (r < 0) {
		log_error("role.drop", "role=%s why=%s", me.kind->name, strerror(-r));
		return EX_NOPERM;
	}
	die_with(parent); /* setresuid() clears it */
	return me.kind->start(&me.role);
}

void role_live(const struct role_kind *kind, unsigned index, const struct terms *terms,
	       const struct account *account, int control, int listener, pid_t parent)
{
	char name[16];
	die_with(parent);
	quiet_signals();
	snprintf(name, sizeof(name), "assay %s", kind->name);
	prctl(PR_SET_NAME, name);
	close_others(control, listener);
	raise_files();
	me.kind = kind;
	me.control = control;
	me.listener = listener;
	me.role = (struct role){.name = kind->name, .index = index, .config = terms->config,
				.rules = terms->rules, .loop = event_base_new()};
	struct event_base *loop = me.role.loop;
	struct event *term = loop ? evsignal_new(loop, SIGTERM, on_term, NULL) : NULL;
	struct event *told = loop ? event_new(loop, control, EV_READ | EV_PERSIST, on_control, NULL)
				  : NULL;
	if (!term || !told || event_add(term, NULL) < 0 || event_add(told, NULL) < 0)
		_exit(EX_OSERR);
	int code = begin(account);
	if (code != EX_OK)
		_exit(code);
	role_tell(&me.role, CONTROL_READY);
	event_base_dispatch(loop);
	if (kind->end)
		kind->end(&me.role);
	_exit(EX_OK);
}
