/*
 * role_private - what supervisor.c and the roles' frame (role.c) share.
 *
 * A role reads neither assay.conf nor rules: it is forked with what the supervisor has accepted, and one
 * that lives on over a reload is sent it. So all roles go by the same files, read once, and a file that is
 * half edited, or that only root may read, meets none of them.
 *
 * Between a role and the supervisor lies a pair of sockets; records of one octet and what belongs
 * to it:
 *
 *     role -> supervisor   CONTROL_READY
 *                          CONTROL_STATUS  the keys of the role, as JSON
 *                          CONTROL_REGISTRY  the registry has changed
 *                          CONTROL_RELOAD  the new configuration is in use
 *                          CONTROL_REFUSED  it is not: memory
 *     supervisor -> role   CONTROL_STATUS  tell it
 *                          CONTROL_RELOAD  a new configuration; beside it a memory file: struct
 *                                          reload_head, limits of the rules, name and text of assay.conf
 */
#pragma once

#include <sys/types.h>

#include "feedback/role.h"

enum control { CONTROL_READY = 'r', CONTROL_STATUS = 's', CONTROL_REGISTRY = 'g',
	       CONTROL_RELOAD = 'l', CONTROL_REFUSED = 'n' };

struct reload_head {
	uint64_t limits, file, text; /* octets of each */
};

/* A role's keys of the status, in octets: what is longer is left out. */
#define CONTROL_RECORD_BYTES 65536

/* The life of a role's process: never returns. `control` is its end of the pair, `listener` its
 * slot's socket or -1; uid 0: nothing is dropped. */
struct account {
	uid_t uid;
	gid_t gid;
};
/* What a role goes by. */
struct terms {
	struct config *config;
	struct ruleset *rules;
};
_Noreturn void role_live(const struct role_kind *kind, unsigned index, const struct terms *terms,
			 const struct account *account, int control, int listener, pid_t parent);

/* For the analysis worker. */
int role_slot_listener(const struct role *r);
/* Tells the supervisor. */
void role_tell(const struct role *r, enum control what);
