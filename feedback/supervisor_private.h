/*
 * supervisor_private - what the three files of the supervisor share: supervisor.c starts and ends the
 * roles, supervisor_roll.c puts new workers in the place of old ones, supervisor_control.c answers at
 * the control socket.
 */
#pragma once

#include <sys/time.h>
#include <sys/types.h>

#include "base/buf.h"
#include "feedback/judge_private.h"
#include "feedback/role_private.h"
#include "feedback/supervisor.h"

struct supervisor;

/* A signal that came so often before a role was ready comes of itself. */
#define START_TRIES 5

/* A place that is to be filled. */
struct post {
	struct supervisor *sup;
	const struct role_kind *kind;
	unsigned index;
	struct child *now;  /* NULL: to be started */
	struct child *next; /* the one that takes over when it is ready */
	struct event *restart;
	int64_t pause_us;
	uint64_t starts;
};

struct child {
	struct post *post;
	struct child *all; /* every process that lives */
	pid_t pid;
	int control;
	struct event *readable;
	bool ready, leaving;
	bool reloading; /* was told to, and has not said that it has */
	int64_t started_us, heard_us; /* monotonic */
	struct buf status;            /* what it told last */
	bool asked;
};

/* Somebody at the control socket. */
struct caller {
	struct caller *next;
	struct supervisor *sup;
	int fd;
	struct event *readable, *timer;
	char word[32];
	size_t n;
	enum { CALLER_WORD, CALLER_STATUS, CALLER_ROLL } waits;
	uint64_t roll; /* the one that is waited for */
};

struct supervisor {
	/* in force; and of a reload, until its first worker has proved it. What is started meanwhile is
	 * started with those in force. */
	struct terms terms, coming;
	struct config *first; /* the program's own */
	struct event_base *loop;
	struct account account;
	int run_folder, lock, control;
	int listeners[LIMIT_WORKERS];
	unsigned workers;
	struct post posts[LIMIT_WORKERS + 8];
	size_t n_posts;
	struct child *children;
	struct caller *callers;
	struct event *signals, *accept, *ping, *kill, *redis_again, *roll_again;
	pid_t redis;
	int64_t started_us, redis_us;
	bool stopping, started, rolling, roll_wanted, roll_rules, reload_wanted;
	size_t roll_at;
	unsigned roll_tries; /* of the worker that is to take over */
	uint64_t rolls; /* that have ended */
	char roll_answer[160]; /* "ok\n", or who stays behind */
	int64_t rolled_us;
	int code;
};

struct timeval supervisor_tv(int64_t us);
/* NULL: no process could be made. */
struct child *supervisor_spawn(struct post *p, const struct terms *terms);
/* Asks every role for its status; on_told() hears the answers. */
void supervisor_ask_status(struct supervisor *s);

/* --- supervisor_roll.c --- */
/* New workers for old, one by one; soon: not more often than once a second. */
void supervisor_roll(struct supervisor *s);
void supervisor_roll_soon(struct supervisor *s);
void supervisor_on_roll_again(int fd, short what, void *arg);
/* The successor of this post is ready; has died before it was. */
void supervisor_roll_step(struct supervisor *s, struct post *p);
void supervisor_roll_died(struct supervisor *s, struct post *p, bool killed);
/* Configuration and rules again. What the words say is wrong; NULL: it is under way. */
const char *supervisor_reload(struct supervisor *s);
/* Now, or when what is under way has ended. */
void supervisor_reload_soon(struct supervisor *s);
void supervisor_catch_up(struct supervisor *s);
/* Who waits is answered when every role has taken it up. */
void supervisor_reload_end(struct supervisor *s);
/* This role goes on with what a reload has replaced; who waits is told. */
void supervisor_keeps_old(struct supervisor *s, const struct post *p);
/* Frees what a reload has replaced; the roles have copies of their own. */
void supervisor_drop(struct supervisor *s, struct terms *terms);

/* --- supervisor_control.c --- */
void supervisor_on_accept(int listener, short what, void *arg);
/* Ends the wait of those whose roll it was. */
void supervisor_callers_answer(struct supervisor *s, const char *text);
/* When every role has told its status. */
void supervisor_answer_status(struct supervisor *s);
