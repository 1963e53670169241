/*
 * New analysis workers in the place of old ones: each is ready before the one before it is told to go,
 * so that no message waits, and a fault in the rules, which the first of them finds, changes nothing.
 */
#include "feedback/supervisor_private.h"

#include <signal.h>
#include <stdlib.h>
#include <event2/event.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/unix_socket.h"

/* Between two changes of the workers: a registry that changes all the time costs no more. */
#define ROLL_PAUSE_US US_PER_S

void supervisor_drop_config(struct supervisor *s, struct config *config)
{
	if (!config || config == s->first)
		return;
	config_free(config);
	free(config);
}

/* The workers are new ones; the other roles read the same files. */
static void tell_reload(struct supervisor *s)
{
	char c = CONTROL_RELOAD;
	for (struct child *child = s->children; child; child = child->all) {
		if (child->post->kind == &role_analyze || !child->ready)
			continue;
		child->reloading = unix_send(child->control, (struct span){&c, 1}, -1) == 0;
		if (!child->reloading)
			log_warn("role.reload", "role=%s does not listen", child->post->kind->name);
	}
	log_warn("reload.done", "workers=%u", s->workers);
}

/* Who waits is answered when every role has taken it up: the next mail meets the new limits. */
void supervisor_reload_end(struct supervisor *s)
{
	for (struct child *c = s->children; c; c = c->all)
		if (c->reloading)
			return;
	supervisor_callers_answer(s, "ok\n");
}

static void roll_end(struct supervisor *s, bool ok)
{
	s->rolling = false;
	s->rolls++;
	s->rolled_us = clock_mono_us();
	if (s->roll_rules && ok) {
		tell_reload(s);
	} else if (!ok) {
		log_error("reload.failed", "everything stays as it was");
		if (s->before) { /* the faulty one goes instead */
			struct config *faulty = s->config;
			s->config = s->before;
			s->before = faulty;
		}
	}
	supervisor_drop_config(s, s->before);
	s->before = NULL;
	s->roll_rules = false;
	if (ok)
		supervisor_reload_end(s);
	else
		supervisor_callers_answer(s, "failed: the old rules stay, the log says why\n");
	if (s->roll_wanted) {
		struct timeval tv = supervisor_tv(ROLL_PAUSE_US);
		event_add(s->roll_again, &tv);
	}
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
	p->next = supervisor_spawn(p);
	if (!p->next)
		roll_end(s, false);
}

/* The successor of this post is ready, or has failed. */
void supervisor_roll_step(struct supervisor *s, struct post *p, bool ok)
{
	if (!s->rolling || p != &s->posts[s->roll_at])
		return;
	if (!ok) {
		roll_end(s, false);
		return;
	}
	if (p->now) {
		p->now->leaving = true;
		kill(p->now->pid, SIGTERM);
	}
	p->now = p->next;
	p->next = NULL;
	s->roll_at++;
	roll_next(s);
}

void supervisor_roll(struct supervisor *s)
{
	if (s->stopping || !s->started)
		return;
	if (s->rolling) {
		s->roll_wanted = true;
		return;
	}
	s->rolling = true;
	s->roll_wanted = false;
	s->roll_at = 0;
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
	if (s->rolling)
		s->roll_wanted = true;
	else if (wait <= 0)
		supervisor_roll(s);
	else if (!event_pending(s->roll_again, EV_TIMEOUT, NULL)) {
		struct timeval tv = supervisor_tv(wait);
		event_add(s->roll_again, &tv);
	}
}

/* What the words say is wrong; NULL: it is under way. */
const char *supervisor_reload(struct supervisor *s)
{
	struct config *config;
	if (s->rolling || s->stopping)
		return "busy: another reload is under way\n";
	config = calloc(1, sizeof(*config));
	if (!config || config_load(config, s->config->file) != 0) {
		free(config);
		log_error("reload.failed", "the configuration has faults; the old one stays");
		return "failed: the configuration has faults, the log says which\n";
	}
	s->before = s->config;
	s->config = config;
	s->roll_rules = true;
	supervisor_roll(s);
	return NULL;
}
