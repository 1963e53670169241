/*
 * unix_socket - sockets of the unix family in a folder, records with a descriptor beside them.
 *
 * A path has room for 107 octets and a state folder may lie deeper, so a socket is named by its
 * folder's descriptor and a short name.
 *
 * Errors: negative errno. All descriptors are close-on-exec and non-blocking.
 */
#pragma once

#include "base/span.h"

/* Listens, in place of a socket of the same name that nobody serves any more. `type` is
 * SOCK_STREAM or SOCK_SEQPACKET. */
__attribute__((warn_unused_result)) int unix_listen(int folder, const char *name, int type,
						    unsigned mode);
__attribute__((warn_unused_result)) int unix_connect(int folder, const char *name, int type);

/* One record, `pass` (-1: none) beside it. -EAGAIN: no room now. */
__attribute__((warn_unused_result)) int unix_send(int fd, struct span record, int pass);
/* The same with a record of two parts. */
__attribute__((warn_unused_result)) int unix_send_two(int fd, const struct span parts[2], int pass);
/* Octets of the record, 0 at the end, -EAGAIN when none is there, -EMSGSIZE for one that does not
 * fit. *passed_r is the caller's, -1 when none came. */
__attribute__((warn_unused_result)) int unix_receive(int fd, char *out, size_t n, int *passed_r);
