/*
 * registry - who is registered, by which filing, in which state, and who decided it when.
 *
 * STATE/registry.sqlite holds the filings as they were written, the approvals of each, the proofs
 * that we made, and an audit that is only ever added to: each entry carries the hash of itself and
 * the one before, so that a change shows. A change of an active sender's filing does not touch the
 * one that holds until two people have approved it and its effective date has come (clause 2.1.2).
 *
 *                     file        approve (one)   approve (two)     its time   end of its time
 *     -               draft, submitted
 *     draft           draft, s.   under-review    approved, active
 *     submitted       draft, s.   under-review    approved, active
 *     under-review    draft, s.   -               approved, active
 *     needs-info      draft, s.   refused
 *     approved        draft, s.   refused                           active
 *     active          change-pending              refused                      expired
 *     change-pending  change-p.   change-pending  change-p., active active     expired
 *     suspended       suspended   suspended       suspended, active active     expired
 *     expired         expired     expired         expired, active   active
 *     revoked         draft, s.   refused
 *
 * draft: fields of 2.1.1 are missing. One person asks for more (needs-info; for a change the old
 * filing holds) and suspends what holds; two revoke, and the first of them suspends.
 *
 * What we keep is a provider's enrolment, and what we issue a provider enrolment receipt; filing
 * numbers and certificates are the Internet Society's (clause 2.1.4).
 *
 * Time: what falls due is done by registry_open(), registry_senders() and every decision.
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
	REGISTRY_E_SAME,     /* this person has decided so already */
	REGISTRY_E_UNPROVEN, /* proofs or fields are missing and nobody waived them */
	REGISTRY_E_STATE,    /* not possible in this state */
	REGISTRY_E_OVERLAP,  /* another sender has filed a part of it */
	REGISTRY_E_NAME,     /* this is nobody's name */
	REGISTRY_E_TOKEN,    /* no proof waits for this token */
	REGISTRY_E_TAMPERED, /* the audit is not as it was written */
};

struct registry;

__attribute__((warn_unused_result)) int registry_open(const char *state, struct registry **r_r);
void registry_close(struct registry *r); /* accepts NULL */

/* --- filing and deciding ---------------------------------------------------------- */

/* Files senders or changes, all or none. `note` gets what is worth a warning, or what it collides with. */
__attribute__((warn_unused_result)) int registry_file_all(struct registry *r,
							  const struct filing *v, size_t n,
							  const char *by, struct buf *note);
/* *state_r: the state it came to, static. `waive` NULL: nothing is waived. */
__attribute__((warn_unused_result)) int registry_approve(struct registry *r, struct span key,
							 const char *by, const char *waive,
							 const char **state_r);
/* Sends the filing that waits back to the sender: approvals of it are void. */
__attribute__((warn_unused_result)) int registry_needs_info(struct registry *r, struct span key,
							    const char *by, const char *reason,
							    const char **state_r);
__attribute__((warn_unused_result)) int registry_suspend(struct registry *r, struct span key,
							 const char *by, const char *reason);
/* Needs two people as approving does; *state_r as there. */
__attribute__((warn_unused_result)) int registry_revoke(struct registry *r, struct span key,
							const char *by, const char *reason,
							const char **state_r);
/* Clause 2.6.5: limits may be relaxed for senders with a good name. */
enum registry_standing { REGISTRY_USUAL, REGISTRY_GOOD, REGISTRY_POOR };
const char *registry_standing_name(enum registry_standing standing);
__attribute__((warn_unused_result)) int registry_stand(struct registry *r, struct span key,
						       enum registry_standing standing,
						       const char *by, const char *reason);
/* What is due at `now_us`: effective dates, ends of enrolments. */
__attribute__((warn_unused_result)) int registry_advance(struct registry *r, int64_t now_us);

/* --- proofs ------------------------------------------------------------------------ */

/*
 * What a filing claims and we can test. Control of a domain is proven by a TXT record or by a mail
 * that the domain signed (DKIM), either will do. A mail is proven by the token that it carried.
 */
enum proof_kind { PROOF_DNS, PROOF_DKIM, PROOF_PTR, PROOF_POSTMASTER, PROOF_ABUSE, PROOF_FEEDBACK };
const char *proof_kind_name(enum proof_kind kind);

struct registry_proof {
	enum proof_kind kind;
	struct span subject;          /* domain, range, address */
	int64_t made_us, asked_us;    /* 0: not made; no mail was sent */
	struct span detail;           /* how it was made or why not; .p NULL: not tried */
	bool needed;                  /* false: the other kind for this domain has been made */
};

/* What is known of one sender. */
struct registry_sender {
	struct span key, state;
	struct filing filing;      /* the one that holds, else the one that waits */
	struct filing *pending;    /* a change that waits; NULL: none */
	struct span approved_by;   /* of the filing that waits, names; .p NULL: none */
	bool decided;              /* two have approved it, its effective date has not come */
	struct span revoked_by;    /* who wants it revoked; .p NULL: nobody */
	struct span waived;        /* reason; .p NULL: nothing is waived */
	struct span missing;       /* fields of 2.1.1; "" complete */
	struct span reason;        /* why it is suspended, revoked, needs information; .p NULL: none */
	struct span token;         /* of the DNS proof */
	enum registry_standing standing;
	struct span receipt;       /* provider enrolment receipt; .p NULL: never active */
	int64_t filed_us, since_us, until_us; /* 0: not active yet */
	const struct registry_proof *proofs;  /* of the filing that waits, else holds */
	size_t n_proofs;
};
/* The filing that a review is about: what waits, else what holds. */
static inline const struct filing *registry_reviewed(const struct registry_sender *s)
{
	return s->pending ? s->pending : &s->filing;
}
__attribute__((warn_unused_result)) int registry_get(struct registry *r, struct span key,
						     struct arena *arena,
						     struct registry_sender *s_r);
/* `proofs` are not filled. */
typedef int registry_list_fn(const struct registry_sender *s, void *arg);
__attribute__((warn_unused_result)) int registry_list(struct registry *r, registry_list_fn *fn,
						      void *arg);
/* Those whose enrolment holds and ends before `us`; not those that have ended. */
__attribute__((warn_unused_result)) int registry_ending(struct registry *r, int64_t us,
							registry_list_fn *fn, void *arg);

/* Writes down that a proof was made, or (`made` false) that it cannot be: then an earlier one is
 * void. `detail` says how, or why not. */
__attribute__((warn_unused_result)) int registry_prove(struct registry *r, struct span key,
						       enum proof_kind kind, struct span subject,
						       bool made, struct span detail);
/* The token of a mail to an address; a new one when the last was sent longer than a day ago, else
 * REGISTRY_E_STATE. registry_asked() when the mail is in the queue. */
#define REGISTRY_TOKEN_BYTES 40
__attribute__((warn_unused_result)) int registry_token(struct registry *r, struct span key,
						       enum proof_kind kind, struct span subject,
						       char token[REGISTRY_TOKEN_BYTES]);
__attribute__((warn_unused_result)) int registry_asked(struct registry *r, struct span key,
						       enum proof_kind kind, struct span subject);
/* Somebody came back with a token: what it proves, in words. */
__attribute__((warn_unused_result)) int registry_confirm(struct registry *r, struct span key,
							 struct span token, struct buf *what);

/* --- audit ---------------------------------------------------------------------------- */

/* Entries of one sender (`key` empty: all) in order; all are checked. REGISTRY_E_TAMPERED: an
 * entry was changed, taken out or put in. */
struct registry_audit {
	int64_t seq, time_us;
	struct span key, action, by, detail, hash;
};
typedef int registry_audit_fn(const struct registry_audit *entry, void *arg);
__attribute__((warn_unused_result)) int registry_audit(struct registry *r, struct span key,
						       registry_audit_fn *fn, void *arg);

/* --- what the analysis and the limiter see -------------------------------------------- */

/* Active senders; NULL when the registry cannot be read. Costs one read of a counter when nothing
 * has changed. */
const struct sender_table *registry_senders(struct registry *r);
/* Keeps the senders of now for ever and closes the database: for a process that may have no
 * files. Only the two functions around this one may be called afterwards. */
void registry_freeze(struct registry *r);
/* The filing of an active sender of that snapshot; NULL: none. */
const struct filing *registry_filing(const struct registry *r, struct span key);
/* What the limiter asks: the rate that an active sender of the snapshot has filed (messages 0:
 * none), and how he stands. False: not active. From any thread while the snapshot is not renewed. */
struct registry_rate {
	uint64_t messages;
	int64_t window_s;
	enum registry_standing standing;
};
bool registry_rate_of(const struct registry *r, struct span key, struct registry_rate *rate_r);
/* Lets an analyzer ask for them; `r` must outlive the analyzer. `r` NULL: the registry cannot be
 * read, and who is registered is UNKNOWN. */
struct analyzer_hooks;
void registry_attach(struct registry *r, struct analyzer_hooks *hooks);
