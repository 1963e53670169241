/*
 * spool - messages that lie in files: .eml, mbox, Maildir, captures, folders of these, standard
 * input.
 *
 * spool_next() hands out one transaction after the other. A spool saw no dialogue, so the
 * envelope comes from what the file has (see envelope.h) and is marked inferred or unknown.
 *
 * What is a message: in a Maildir every file of cur/ and new/; a file that begins with "From " is
 * an mbox (mboxo, mboxrd, mboxcl and mboxcl2 are told apart message by message); a file named
 * .eml, or one whose first lines are header fields, is a message; what begins as a capture does
 * (capture_file.h) gives its transactions. Anything else in a folder is
 * passed over and said through `notice`; when it was named by the caller it is `trouble`.
 *
 * Ownership: spool_open() .. spool_free(); the transactions are the caller's (txn_free) and
 *            outlive the spool.
 * Errors:    a file that cannot be read does not end the walk: `trouble` gets it.
 */
#pragma once

#include "capture/capture_file.h"

struct spool;

enum spool_trouble {
	SPOOL_NOTICE,   /* not a message, inside a folder: passed over */
	SPOOL_NO_MAIL,  /* not a message, though the caller named it */
	SPOOL_BROKEN,   /* an mbox whose structure is damaged; what could be read was handed out */
	SPOOL_NO_INPUT, /* cannot be opened or read */
	SPOOL_NO_PERM,  /* permission denied */
};

typedef void spool_trouble_fn(void *arg, enum spool_trouble kind, const char *path,
			      const char *message);

/* `paths` must outlive the spool; "-" is standard input. */
__attribute__((warn_unused_result)) int spool_open(struct spool **spool_r,
						   const char *const *paths, size_t n,
						   spool_trouble_fn *trouble, void *arg);
/* Captures: which ports are servers', and who is told of sessions without a transaction (may be
 * NULL). Without it ports 25 and 587. `ports` must outlive the spool. */
void spool_captures(struct spool *spool, const uint16_t *ports, size_t n_ports,
		    capture_session_fn *session, void *arg);
/* 1 and a transaction, 0 at the end, negative errno for our own trouble. */
__attribute__((warn_unused_result)) int spool_next(struct spool *spool, struct txn **txn_r);
void spool_free(struct spool *spool); /* accepts NULL */

/* One message of a file that holds just one (a sample, a complaint): what spool_next() would
 * give. -ENOMSG when it is no message. */
__attribute__((warn_unused_result)) int spool_read_file(const char *path, struct txn **txn_r);

/* Makes a transaction of one message's octets (copied): bare LF becomes CRLF, hash and size are
 * of the octets as given, envelope inferred. NULL when out of memory. */
struct txn *spool_txn(enum txn_source source, const char *path, struct span octets);
