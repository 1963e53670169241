/*
 * capture_file - the transactions of a capture file, one after the other, as a spool hands out
 * its messages: with their octets, in the order in which they ended.
 *
 * Ownership: capture_file_open() .. capture_file_free(); the transactions are the caller's.
 */
#pragma once

#include "capture/capture.h"

struct capture_file;

typedef void capture_session_fn(void *arg, const struct smtp_session *s);

/* `ports` of servers and `path` must outlive the file; `session` may be NULL. */
__attribute__((warn_unused_result)) int
capture_file_open(struct capture_file **f_r, const char *path, const uint16_t *ports,
		  size_t n_ports, capture_session_fn *session, void *arg, const char **error_r);
/* 1 and a transaction, 0 at the end; negative errno with `error_r` when the file is broken, once:
 * what was read until then is handed out after it. */
__attribute__((warn_unused_result)) int capture_file_next(struct capture_file *f, struct txn **txn_r,
							  const char **error_r);
void capture_file_free(struct capture_file *f); /* accepts NULL */
