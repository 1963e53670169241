/*
 * role_private - what supervisor.c and the roles' frame (role.c) share.
 *
 * Between a role and the supervisor lies a pair of sockets; records of one octet and what belongs
 * to it:
 *
 *     role -> supervisor   CONTROL_READY
 *                          CONTROL_STATUS  the keys of the role, as JSON
 *                          CONTROL_REGISTRY  the registry has changed
 *                          CONTROL_RELOAD  the new configuration is in use, or was refused
 *     supervisor -> role   CONTROL_STATUS  tell it
 *                          CONTROL_RELOAD  read the configuration again
 */
#pragma once

#include <sys/types.h>

#include "feedback/role.h"

enum control { CONTROL_READY = 'r', CONTROL_STATUS = 's', CONTROL_REGISTRY = 'g',
	       CONTROL_RELOAD = 'l' };

/* A role's keys of the status, in octets: what is longer is left out. */
#define CONTROL_RECORD_BYTES 65536

/* The life of a role's process: never returns. `control` is its end of the pair, `listener` its
 * slot's socket or -1; uid 0: nothing is dropped. */
struct account {
	uid_t uid;
	gid_t gid;
};
_Noreturn void role_live(const struct role_kind *kind, unsigned index, struct config *config,
			 const struct account *account, int control, int listener, pid_t parent);

/* For the analysis worker. */
int role_slot_listener(const struct role *r);
/* Tells the supervisor. */
void role_tell(const struct role *r, enum control what);
