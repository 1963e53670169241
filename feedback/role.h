/*
 * role - one process of `assay run`: what the supervisor gives it and what it asks of it.
 *
 * A role is forked from the supervisor and is never root while it handles input: `open` may still
 * be (interfaces, low ports, keys that only root reads), then the process becomes the account of
 * the state folder, `start` registers what it waits for on the loop, and the loop runs until
 * `stop` has ended it. The supervisor starts a role again that dies, with growing pauses.
 *
 * Ownership: `config` and `loop` live as long as the process, `rules` until a reload; `data` is the
 *            role's.
 * Errors:    `open` and `start` return EX_OK or another code of sysexits.h, after having said why.
 */
#pragma once

#include "base/config.h"
#include "base/json.h"

struct event_base;
struct ruleset;

struct role {
	const char *name;            /* "analyze" */
	unsigned index;              /* of several alike, from 0 */
	const struct config *config; /* a new one before `reload` is called */
	/* What the supervisor has accepted, whatever the files say by now; before `reload` is called a new
	 * set, of its limits alone. */
	struct ruleset *rules;
	struct event_base *loop;
	void *data;
};

struct role_kind {
	const char *name;
	int (*open)(struct role *r);  /* may be NULL */
	int (*start)(struct role *r);
	/* SIGTERM: finish what is under way, then event_base_loopbreak(). After ROLE_STOP_US the
	 * supervisor kills. */
	void (*stop)(struct role *r);
	void (*end)(struct role *r);    /* the loop has ended; may be NULL */
	void (*reload)(struct role *r); /* rules or configuration changed; may be NULL */
	/* Adds keys to this role's object in `assay status --json`; may be NULL. */
	void (*status)(struct role *r, struct json *j);
};

/* CONTRACT section 1: `run` ends within 10 s of SIGTERM. */
#define ROLE_STOP_US (7 * 1000000LL)

extern const struct role_kind role_analyze, role_feedback, role_milter, role_packets, role_recorder,
	role_spool;
