/*
 * registry - who is registered, by which filing, in which state, and who decided it when.
 *
 * STATE/registry.sqlite holds the filings as they were written, the approvals of each, and an
 * audit that is only ever added to: each entry carries the hash of itself and the one before, so
 * that a change in the middle shows. A change of an active sender's filing does not touch the one
 * that holds until it is approved by two people like the first one (clause 2.1.2).
 *
 *     draft (incomplete) / submitted -> under-review (one approval) -> active
 *     active -> change-pending (a new filing waits) -> active;  suspended; revoked
 *
 * What we keep is a provider's enrolment; certificates are the Internet Society's (clause 2.1.4).
 *
 * Ownership: registry_open() .. registry_close(). A snapshot lives for a minute after the one
 *            that took its place, so that an analysis may wait with it.
 * Errors:    REGISTRY_E_* or negative errno.
 */
#pragma once

#include "analyze/sender.h"
#include "base/json.h"
#include "feedback/filing.h"

enum {
	REGISTRY_E_NONE = 1, /* no such sender */
	REGISTRY_E_SAME,     /* this person has approved it already */
	REGISTRY_E_UNPROVEN, /* proofs or fields are missing and nobody waived them */
	REGISTRY_E_STATE,    /* not possible in this state */
	REGISTRY_E_OVERLAP,  /* another sender has filed a part of it */
};

struct registry;

__attribute__((warn_unused_result)) int registry_open(const char *state, struct registry **r_r);
void registry_close(struct registry *r); /* accepts NULL */

/* Files a sender or a change. `note` gets what is worth a warning, or what it collides with. */
__attribute__((warn_unused_result)) int registry_file(struct registry *r, const struct filing *f,
						      const char *by, struct buf *note);
/* *state_r: the state it came to, static. `waive` NULL: nothing is waived. */
__attribute__((warn_unused_result)) int registry_approve(struct registry *r, struct span key,
							 const char *by, const char *waive,
							 const char **state_r);
__attribute__((warn_unused_result)) int registry_suspend(struct registry *r, struct span key,
							 const char *by, const char *reason);
/* Needs two people as approving does; *state_r as there. */
__attribute__((warn_unused_result)) int registry_revoke(struct registry *r, struct span key,
							const char *by, const char *reason,
							const char **state_r);

/* What is known of one sender. */
struct registry_sender {
	struct span key, state;
	struct filing filing;      /* the one that holds, else the one that waits */
	struct filing *pending;    /* a change that waits; NULL: none */
	struct span approved_by;   /* of the filing that waits, one name; .p NULL: none */
	struct span waived;        /* reason; .p NULL: nothing is waived */
	struct span missing;       /* fields of 2.1.1; "" complete */
	struct span token;         /* of the DNS proof */
	int64_t filed_us;
};
__attribute__((warn_unused_result)) int registry_get(struct registry *r, struct span key,
						     struct arena *arena,
						     struct registry_sender *s_r);
typedef int registry_list_fn(const struct registry_sender *s, void *arg);
__attribute__((warn_unused_result)) int registry_list(struct registry *r, registry_list_fn *fn,
						      void *arg);

/* Entries of the audit of one sender (`key` empty: all) in order. REGISTRY_E_STATE: the chain of
 * hashes is broken. */
struct registry_audit {
	int64_t seq, time_us;
	struct span key, action, by, detail, hash;
};
typedef int registry_audit_fn(const struct registry_audit *entry, void *arg);
__attribute__((warn_unused_result)) int registry_audit(struct registry *r, struct span key,
						       registry_audit_fn *fn, void *arg);

/* Active senders for the analysis; NULL when the registry cannot be read. Costs one read of a
 * counter when nothing has changed. */
const struct sender_table *registry_senders(struct registry *r);
/* Keeps the senders of now for ever and closes the database: for a process that may have no
 * files. Only the two functions around this one may be called afterwards. */
void registry_freeze(struct registry *r);
/* The filing of an active sender of that snapshot; NULL: none. */
const struct filing *registry_filing(const struct registry *r, struct span key);
/* Lets an analyzer ask for them; `r` must outlive the analyzer. `r` NULL: the registry cannot be
 * read, and who is registered is UNKNOWN. */
struct analyzer_hooks;
void registry_attach(struct registry *r, struct analyzer_hooks *hooks);
