/*
 * New analysis workers in the place of old ones: each is ready before the one before it is told to go,
 * so that no message waits. A reload reads configuration and rules here, once for all roles: with a fault
 * nothing begins, and what is left to go wrong the first new worker finds, before anything has changed.
 */
#include "feedback/supervisor_private.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>
#include <event2/event.h>

#include "analyze/rules.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/log.h"
#include "base/unix_socket.h"

/* Between two changes of the workers: a registry that changes all the time costs no more. */
#define ROLL_PAUSE_US US_PER_S

void supervisor_drop(struct supervisor *s, struct terms *terms)
{
	ruleset_unref(terms->rules);
	if (terms->config && terms->config != s->first) {
		config_free(terms->config);
		free(terms->config);
	}
	*terms = (struct terms){0};
}

/* The memory file of CONTROL_RELOAD. */
static int write_terms(const struct terms *terms)
{
	struct buf limits = BUF_INIT, out = BUF_INIT;
	struct span file = span_of(terms->config->file), text = terms->config->text;
	ruleset_write_limits(terms->rules, &limits);
	const struct reload_head head = {limits.n, file.n, text.n};
	buf_add(&out, (struct span){(const char *)&head, sizeof(head)});
	buf_add(&out, buf_span(&limits));
	buf_add(&out, file);
	buf_add(&out, text);
	int fd = memfd_create("reload", MFD_CLOEXEC);
	int r = fd < 0 ? -errno : limits.failed || out.failed ? -ENOMEM
							      : file_write_fd(fd, buf_span(&out));
	buf_free(&limits);
	buf_free(&out);
	if (r < 0 && fd >= 0)
		close(fd);
	return r < 0 ? r : fd;
}

void supervisor_keeps_old(struct supervisor *s, const struct post *p)
{
	snprintf(s->roll_answer, sizeof(s->roll_answer),
		 "partly: %s keeps the old configuration, the log says why\n", p->kind->name);
}

/* The workers are new ones; the other roles live on. One that is starting hears it when it is ready. */
static void tell_reload(struct supervisor *s)
{
	char c = CONTROL_RELOAD;
	int fd = write_terms(&s->terms);
	for (struct child *child = s->children; child; child = child->all) {
		if (child->post->kind == &role_analyze)
			continue;
		int r = fd < 0 ? fd : unix_send(child->control, (struct span){&c, 1}, fd);
		child->reloading = r == 0;
		if (r < 0) {
			log_warn("role.reload", "role=%s the old configuration stays: %s",
				 child->post->kind->name, strerror(-r));
			supervisor_keeps_old(s, child->post);
		}
	}
	if (fd >= 0)
		close(fd);
}

/* Who waits is answered when every role has taken it up: the next mail meets the new limits. */
void supervisor_reload_end(struct supervisor *s)
{
	for (struct child *c = s->children; c; c = c->all)
		if (c->reloading)
			return;
	supervisor_callers_answer(s, s->roll_answer);
}

/* What was asked for while it could not be done. */
void supervisor_catch_up(struct supervisor *s)
{
	if (s->reload_wanted)
		supervisor_reload_soon(s);
	if (s->roll_wanted && !s->rolling) {
		struct timeval tv = supervisor_tv(ROLL_PAUSE_US);
		event_add(s->roll_again, &tv);
	}
}

static void roll_end(struct supervisor *s, bool ok)
{
	s->rolling = false;
	s->rolls++;
	s->rolled_us = clock_mono_us();
	if (!ok && s->roll_at == 0) {
		log_error("reload.failed", "everything stays as it was");
		snprintf(s->roll_answer, sizeof(s->roll_answer),
			 "failed: everything stays as it was, the log says why\n");
	} else if (!ok) {
		log_error("reload.failed", "workers=%zu the last %zu stay as they were, the others are new",
			  (size_t)s->workers, s->workers - s->roll_at);
		snprintf(s->roll_answer, sizeof(s->roll_answer),
			 "partly: the last %zu of %u workers stay as they were, the log says why\n",
			 s->workers - s->roll_at, s->workers);
	}
	if (s->roll_rules)
		tell_reload(s);
	if (s->roll_rules && ok)
		log_warn("reload.done", "workers=%u", s->workers);
	supervisor_drop(s, &s->coming);
	s->roll_rules = false;
	supervisor_reload_end(s);
	supervisor_catch_up(s);
}

static void roll_next(struct supervisor *s)
{
	while (s->roll_at < s->n_posts && s->posts[s->roll_at].kind != &role_analyze)
		s->roll_at++;
	if (s->roll_at == s->n_posts) {
		roll_end(s, true);
		return;
	}
	struct post *p = &s->posts[s->roll_at];
	p->next = supervisor_spawn(p, s->coming.config ? &s->coming : &s->terms);
	if (!p->next) {
		log_error("role.start", "role=%s why=%s", p->kind->name, strerror(errno));
		roll_end(s, false);
	}
}

/* The first worker lives with them: from here on they are in force, and there is no way back. */
static void accept_coming(struct supervisor *s)
{
	supervisor_drop(s, &s->terms);
	s->terms = s->coming;
	s->coming = (struct terms){0};
	s->roll_rules = true;
}

void supervisor_roll_step(struct supervisor *s, struct post *p)
{
	if (!s->rolling || p != &s->posts[s->roll_at])
		return;
	if (s->coming.config)
		accept_coming(s);
	if (p->now) {
		p->now->leaving = true;
		kill(p->now->pid, SIGTERM);
	}
	p->now = p->next;
	p->next = NULL;
	s->roll_at++;
	s->roll_tries = 0;
	roll_next(s);
}

/* A first worker that ends by itself says that what comes is faulty; behind it that is proved, and another
 * try mends what was a kill from outside. */
void supervisor_roll_died(struct supervisor *s, struct post *p, bool killed)
{
	if (!s->rolling || p != &s->posts[s->roll_at])
		return;
	if ((s->coming.config && !killed) || ++s->roll_tries == START_TRIES)
		roll_end(s, false);
	else
		roll_next(s);
}

void supervisor_roll(struct supervisor *s)
{
	if (s->stopping)
		return;
	if (s->rolling || !s->started) {
		s->roll_wanted = true;
		return;
	}
	s->rolling = true;
	s->roll_wanted = false;
	s->roll_at = s->roll_tries = 0;
	snprintf(s->roll_answer, sizeof(s->roll_answer), "ok\n");
	roll_next(s);
}

void supervisor_on_roll_again(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	supervisor_roll(arg);
}

/* The registry has changed: soon, but not all the time. */
void supervisor_roll_soon(struct supervisor *s)
{
	int64_t wait = s->rolled_us + ROLL_PAUSE_US - clock_mono_us();
	if (wait <= 0 || s->rolling)
		supervisor_roll(s);
	else if (!event_pending(s->roll_again, EV_TIMEOUT, NULL)) {
		struct timeval tv = supervisor_tv(wait);
		event_add(s->roll_again, &tv);
	}
}

/* What the words say is wrong; NULL: it is under way. */
const char *supervisor_reload(struct supervisor *s)
{
	if (s->stopping || !s->started)
		return s->stopping ? "busy: it is ending\n" : "busy: it is starting\n";
	if (s->rolling)
		return "busy: another reload or a change of the registry is under way\n";
	struct terms coming = {.config = calloc(1, sizeof(*coming.config))};
	if (!coming.config || config_load(coming.config, s->terms.config->file) != 0) {
		free(coming.config);
		log_error("reload.failed", "the configuration has faults; the old one stays");
		return "failed: the configuration has faults, the log says which\n";
	}
	if (ruleset_load(&coming.rules, coming.config, clock_now_us()) != 0) {
		supervisor_drop(s, &coming);
		log_error("reload.failed", "the rules have faults; the old ones stay");
		return "failed: the rules have faults, the log says which\n";
	}
	s->coming = coming;
	supervisor_roll(s);
	return NULL;
}

void supervisor_reload_soon(struct supervisor *s)
{
	s->reload_wanted = s->rolling || !s->started;
	if (!s->reload_wanted)
		supervisor_reload(s); /* what is wrong is in the log */
}
