/* The control socket: `assay status` and `assay reload` at its one end, the supervisor at the other. */
#include "feedback/supervisor_private.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
#include <event2/event.h>

#include "base/clock.h"
#include "base/file.h"
#include "base/log.h"
#include "base/unix_socket.h"

/* How long a question for the status waits for the slowest role. */
#define STATUS_US US_PER_S
/* One for new workers: shorter than `assay reload` waits, so that it hears the answer. */
#define ROLL_US (30 * US_PER_S)

static void caller_free(struct caller *caller)
{
	struct caller **at = &caller->sup->callers;
	while (*at != caller)
		at = &(*at)->next;
	*at = caller->next;
	event_free(caller->readable);
	event_free(caller->timer);
	close(caller->fd);
	free(caller);
}

static void caller_end(struct caller *caller, struct span text)
{
	if (file_write_fd(caller->fd, text) < 0)
		log_debug("run.control", "a caller has gone");
	caller_free(caller);
}

void supervisor_callers_answer(struct supervisor *s, const char *text)
{
	struct caller *next;
	for (struct caller *c = s->callers; c; c = next) {
		next = c->next;
		if (c->waits == CALLER_ROLL && c->roll <= s->rolls)
			caller_end(c, span_of(text));
	}
}

static void write_status(struct supervisor *s, struct buf *out)
{
	struct json j = JSON_INIT(out);
	char when[CLOCK_TEXT_BYTES];
	json_open(&j, NULL, '{');
	json_int(&j, "pid", getpid());
	json_cstr(&j, "version", ASSAY_VERSION);
	json_cstr(&j, "since", clock_rfc3339(s->started_us, when));
	json_cstr(&j, "state", s->terms.config->state);
	json_bool(&j, "ready", s->started && !s->stopping);
	if (s->redis)
		json_int(&j, "redis_pid", s->redis);
	else
		json_null(&j, "redis_pid");
	json_open(&j, "roles", '[');
	for (size_t i = 0; i < s->n_posts; i++) {
		const struct post *p = &s->posts[i];
		const struct child *c = p->now;
		json_open(&j, NULL, '{');
		json_cstr(&j, "role", p->kind->name);
		json_int(&j, "index", p->index);
		if (c)
			json_int(&j, "pid", c->pid);
		else
			json_null(&j, "pid");
		json_cstr(&j, "state", !c ? "down" : !c->ready ? "starting"
					  : c->asked ? "silent" : "ready");
		json_int(&j, "starts", (int64_t)p->starts);
		/* "{...}" of the role, without its braces */
		if (c && c->status.n > 2) {
			buf_addc(out, ',');
			buf_add(out, span_sub(buf_span(&c->status), 1, c->status.n - 1));
		}
		json_close(&j, '}');
	}
	json_close(&j, ']');
	json_close(&j, '}');
	buf_addc(out, '\n');
}

/* When every role has told, or when the caller has waited long enough. */
void supervisor_answer_status(struct supervisor *s)
{
	for (struct child *c = s->children; c; c = c->all)
		if (c->asked)
			return;
	struct caller *next;
	for (struct caller *c = s->callers; c; c = next) {
		next = c->next;
		if (c->waits == CALLER_STATUS)
			event_active(c->timer, EV_TIMEOUT, 0);
	}
}

static void on_caller_timer(evutil_socket_t fd, short what, void *arg)
{
	struct caller *caller = arg;
	struct buf out = BUF_INIT;
	(void)fd;
	(void)what;
	if (caller->waits == CALLER_STATUS)
		write_status(caller->sup, &out);
	else if (caller->waits == CALLER_ROLL)
		buf_adds(&out, "busy: still under way\n");
	caller_end(caller, buf_span(&out));
	buf_free(&out);
}

static void take_word(struct caller *caller)
{
	struct supervisor *s = caller->sup;
	struct span word = span_trim((struct span){caller->word, caller->n});
	struct timeval tv = supervisor_tv(STATUS_US);
	if (span_eq(word, SPAN("status"))) {
		caller->waits = CALLER_STATUS;
		event_add(caller->timer, &tv);
		supervisor_ask_status(s);
		supervisor_answer_status(s);
		return;
	}
	/* one that is under way may have read the registry already */
	caller->roll = s->rolls + (s->rolling ? 2 : 1);
	if (span_eq(word, SPAN("registry"))) {
		caller->waits = CALLER_ROLL;
		tv = supervisor_tv(ROLL_US);
		event_add(caller->timer, &tv);
		supervisor_roll(s); /* may have ended: `caller` is gone */
		return;
	}
	if (!span_eq(word, SPAN("reload"))) {
		caller_end(caller, SPAN("unknown: status, reload, registry\n"));
		return;
	}
	caller->waits = CALLER_ROLL;
	tv = supervisor_tv(ROLL_US);
	event_add(caller->timer, &tv);
	const char *why = supervisor_reload(s); /* none: it may have ended, `caller` is gone */
	if (why)
		caller_end(caller, span_of(why));
}

static void on_caller(evutil_socket_t fd, short what, void *arg)
{
	struct caller *c = arg;
	(void)what;
	ssize_t n = read(fd, c->word + c->n, sizeof(c->word) - c->n);
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n > 0 && c->waits == CALLER_WORD) {
		c->n += (size_t)n;
		if (memchr(c->word, '\n', c->n) || c->n == sizeof(c->word)) {
			event_del(c->readable);
			take_word(c);
		}
		return;
	}
	caller_free(c);
}

void supervisor_on_accept(evutil_socket_t listener, short what, void *arg)
{
	struct supervisor *s = arg;
	(void)what;
	int fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
	struct caller *c = fd < 0 ? NULL : calloc(1, sizeof(*c));
	if (!c) {
		if (fd >= 0)
			close(fd);
		return;
	}
	*c = (struct caller){.sup = s, .fd = fd, .next = s->callers};
	s->callers = c;
	c->readable = event_new(s->loop, fd, EV_READ | EV_PERSIST, on_caller, c);
	c->timer = event_new(s->loop, -1, 0, on_caller_timer, c);
	struct timeval tv = supervisor_tv(10 * US_PER_S);
	if (!c->readable || !c->timer)
		abort(); /* a supervisor without memory for two events can do nothing */
	event_add(c->readable, NULL);
	event_add(c->timer, &tv);
}

int supervisor_ask(const struct config *config, const char *word, int timeout_ms,
		   struct buf *answer)
{
	char path[PATH_MAX], octets[4096];
	if (snprintf(path, sizeof(path), "%s/run", config->state) >= (int)sizeof(path))
		return -ENAMETOOLONG;
	int folder = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (folder < 0)
		return -errno;
	int fd = unix_connect(folder, "control.sock", SOCK_STREAM), r = fd;
	close(folder);
	if (fd < 0)
		return fd;
	snprintf(octets, sizeof(octets), "%s\n", word);
	r = file_write_fd(fd, span_of(octets));
	int64_t until = clock_mono_us() + timeout_ms * 1000LL;
	while (r == 0) {
		int64_t left = (until - clock_mono_us()) / 1000;
		struct pollfd p = {fd, POLLIN, 0};
		if (left <= 0 || poll(&p, 1, (int)left) == 0) {
			r = -ETIMEDOUT;
			break;
		}
		ssize_t n = read(fd, octets, sizeof(octets));
		if (n == 0)
			break;
		if (n > 0)
			buf_add(answer, (struct span){octets, (size_t)n});
		else if (errno != EAGAIN && errno != EINTR)
			r = -errno;
	}
	close(fd);
	return r == 0 && answer->failed ? -ENOMEM : r;
}
