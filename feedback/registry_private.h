/*
 * registry_private - what the files of the registry share.
 *
 *     registry.c           the database; reading and filing
 *     registry_state.c     decisions: from one state to the next, by people or by time
 *     registry_claims.c    who has filed which range or domain, since when
 *     registry_proof.c     what was proven
 *     registry_copy.c      the copy in Redis for other gateways
 *     registry_audit.c     the chain of hashes
 *     registry_snapshot.c  the active senders in memory
 */
#pragma once

#include "feedback/db.h"
#include "feedback/registry.h"

struct snapshot;

struct registry {
	struct db *db;
	struct snapshot *now; /* NULL: none yet */
	int64_t version;      /* data_version of `now`; own changes set it to -1 */
	int64_t due_us;       /* when time changes something next; INT64_MAX: never */
};

/* A row of the table sender, before its filings are read. */
struct registry_row {
	struct span key, state, token, revoked_by, reason, receipt;
	int64_t holds, waits, filed_us, since_us, until_us; /* ids; 0: none */
	int64_t standing;
};
#define REGISTRY_COLUMNS \
	"key, state, token, holds, waits, filed_us, revoked_by, reason, receipt, since_us, until_us," \
	" standing"
struct registry_row registry_read_row(struct db_query *q, struct arena *arena);
__attribute__((warn_unused_result)) int registry_find(struct registry *r, struct span key,
						      struct arena *arena,
						      struct registry_row *row_r);
__attribute__((warn_unused_result)) int registry_load_filing(struct registry *r, int64_t id,
							     struct arena *arena,
							     struct filing *f_r,
							     struct span *waived_r);
/* The first column of one row: a number, 0 without a row; negative errno. */
int64_t registry_number(struct registry *r, const char *sql, int64_t number, struct span text);

/* All below inside a transaction. */
__attribute__((warn_unused_result)) int registry_note(struct registry *r, struct span key,
						      const char *action, const char *by,
						      struct span detail);
/* Sets when time will change this sender next. */
__attribute__((warn_unused_result)) int registry_set_due(struct registry *r, struct span key);

/* REGISTRY_E_OVERLAP: another sender has it; said in `note`. */
__attribute__((warn_unused_result)) int registry_claim(struct registry *r, const struct filing *f,
						       int64_t filing, struct buf *note);
/* The filing takes effect: what `before` (0: none) had it keeps, the rest is its own since then. */
__attribute__((warn_unused_result)) int registry_claims_hold(struct registry *r, int64_t filing,
							     int64_t before, int64_t since_us);
__attribute__((warn_unused_result)) int registry_claims_drop(struct registry *r, int64_t filing);
enum claim_kind { CLAIM_RANGE, CLAIM_DOMAIN, CLAIM_DKIM };
/* The key of a claim: address family, octets, bits; or the domain. */
#define CLAIM_BYTES 256
struct span registry_claim_range(const struct ip_prefix *prefix, char out[CLAIM_BYTES]);

/* What is needed for `f`, with what was made of it. */
__attribute__((warn_unused_result)) int registry_proofs(struct registry *r, const struct filing *f,
							int64_t now_us, struct arena *arena,
							const struct registry_proof **v_r,
							size_t *n_r);

/* Frees those that were retired before `us` (monotonic); INT64_MAX: all. */
void registry_free_snapshots(struct snapshot **at, int64_t us);
