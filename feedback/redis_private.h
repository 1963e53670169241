/*
 * redis_private - the redis-server that Assay starts for itself when none is configured.
 *
 * It listens on a unix socket in STATE/redis alone, keeps its data there in an append-only file,
 * and lives as long as somebody uses it: `assay run` has it as a child; for single commands a
 * watcher process starts it and ends it when the last of them is gone, however they went.
 *
 * Invariant: the server holds the lock STATE/redis/.server all its life, so two servers can never
 *            write the same files.
 * Errors:    negative errno.
 */
#pragma once

#include <sys/types.h>

#include "base/config.h"

/* Says that this process uses the server (until it ends), and has it started when it is not
 * there. Returns at once; connecting may have to be tried for a while. */
__attribute__((warn_unused_result)) int redis_private_use(const struct config *config);

/* For the supervisor: starts it as a child that dies with its parent. -EAGAIN: commands still
 * use one of their own, which was asked to end; try again in 100 ms. */
__attribute__((warn_unused_result)) int redis_private_child(const struct config *config,
							    pid_t *pid_r);

/* A path to the socket short enough for any state folder; it works while `*folder_fd_r`, the
 * caller's, is open. -ENOENT: there has never been a server. */
#define REDIS_SOCKET_PATH_BYTES 64
__attribute__((warn_unused_result)) int
redis_private_path(const struct config *config, int *folder_fd_r,
		   char path_r[REDIS_SOCKET_PATH_BYTES]);
/* The same in a folder that is open already: what a sandbox without files can do. */
void redis_private_path_at(int folder, char path_r[REDIS_SOCKET_PATH_BYTES]);
