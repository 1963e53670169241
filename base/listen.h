/*
 * listen - the socket that a `listen` statement names, bound and listening.
 *
 * A unix socket gets the mode and group of the statement; one that an earlier process left behind
 * is taken away, one that somebody serves is not. Its folder is made when it is not there.
 *
 * Errors: negative errno; -EADDRINUSE: somebody serves it; -ESRCH: there is no such group.
 */
#pragma once

#include "base/config.h"

/* A non-blocking, close-on-exec descriptor. `l->address`: "unix:/path", "host:port", ":port". */
__attribute__((warn_unused_result)) int listen_open(const struct config_listener *l);

/* For a library that makes its unix socket itself: before, the folder is made and the socket of a dead
 * process removed; after, the socket gets the statement's mode and group. */
__attribute__((warn_unused_result)) int listen_clear(const char *path);
__attribute__((warn_unused_result)) int listen_give_rights(const struct config_listener *l,
							   const char *path);
