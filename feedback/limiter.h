/*
 * limiter - may this transaction come now? Clause 2.6.5: the receiver limits how fast senders send.
 *
 * Limits are those of the rules (`limit SCOPE { ... }`, assay-rules(5)) for the client's address,
 * its network (/24, /64), the MAIL FROM domain, the DKIM domain and the sender; for a registered
 * sender the rate that he filed stands in the place of `limit sender`, and his standing relaxes or
 * tightens it. Windows are those of all gateways (rates.h); without Redis those of this one.
 *
 * The unit is one transaction, counted once a scope, when its key is known:
 *
 *     at MAIL            limiter_refuses_exactly() with ip and mail_from_domain
 *     end of message     limiter_refuses() with dkim and sender alone
 *                        refused: limiter_take_back() with ip and mail_from_domain
 *     when it is over    limiter_ended() with all keys that were let in
 *
 * Ownership: limiter_create() .. limiter_free(). Rules are referenced.
 * Threads:   every function but create, start and free may be called from any thread; none blocks
 *            longer than others hold the lock, microseconds, but limiter_refuses_exactly(), which
 *            waits for Redis where a limit `at once` holds. Exchanges run on `loop`.
 * Units:     microseconds of clock_mono_us().
 * Errors:    trouble of ours (memory, Redis) refuses nobody.
 */
#pragma once

#include "base/ip.h"
#include "base/json.h"
#include "base/limits.h"
#include "feedback/rates.h"
#include "feedback/standing.h"

struct event_base;
struct limiter;

/* Keys that are not known yet, and those counted already, are left empty. Domains are compared
 * without case. `sender`: as the event has it in sender.key. */
struct limiter_query {
	struct ip ip;
	struct span mail_from_domain, dkim, sender;
	/* The scopes in which this transaction has a place `at once`, a bit each, and one that it is under
	 * way; the caller's, 0 at its begin. Rules change while it is under way: what is given back is
	 * what was taken. NULL: a place of every key. */
	uint32_t *places;
};

struct limiter_refusal {
	enum limit_scope scope;
	struct limit limit; /* with the count that holds for this sender */
	char key[LIMIT_RATE_KEY_BYTES + 1];
	unsigned seconds; /* to wait, at least 1 */
	char text[256];   /* words for the sender, with the seconds: what follows "451 4.7.28 " */
};

/* What is known of a sender beside his rates; called from any thread, at once. */
struct limiter_sender {
	struct limit filed;     /* count 0: none */
	enum standing standing; /* STANDING_USUAL: the books say (standing.h) */
};
struct limiter_hooks {
	/* false: not registered */
	bool (*sender)(void *arg, struct span key, struct limiter_sender *s_r);
	void *arg;
};

/* Negative errno. `loop` NULL: no exchange with other gateways (tests). */
__attribute__((warn_unused_result)) int limiter_create(struct limiter **l_r, const struct config *c,
						       struct ruleset *rules,
						       struct event_base *loop);
void limiter_free(struct limiter *l); /* accepts NULL */
/* Before threads use it. */
void limiter_set_hooks(struct limiter *l, const struct limiter_hooks *hooks);
void limiter_reload(struct limiter *l, struct ruleset *rules);

/* Do the rules have a limit by what is known at MAIL? */
bool limiter_at_mail(struct limiter *l);
/* True: refused, nothing was counted. False: counted for every key that is there. */
bool limiter_refuses(struct limiter *l, const struct limiter_query *q, int64_t now_us,
		     struct limiter_refusal *r_r);
/* The same for a thread that is not the loop's: a place `at once` is one that Redis has given, so that
 * two gateways never give the same one away. Waits LIMIT_GAUGE_WAIT_US at most, then goes by what this
 * gateway has heard. */
bool limiter_refuses_exactly(struct limiter *l, const struct limiter_query *q, int64_t now_us,
			     struct limiter_refusal *r_r);
/* As limiter_refuses(), but counts nothing. */
bool limiter_would_refuse(struct limiter *l, const struct limiter_query *q, int64_t now_us,
			  struct limiter_refusal *r_r);
/* Is one of this address and MAIL FROM domain let in here, at MAIL, and not over? */
bool limiter_has_under_way(struct limiter *l, const struct limiter_query *q);
/* A transaction that was let in at `counted_us`, its now_us, was refused later by another limit. Redis
 * takes it back where it was counted only. */
void limiter_take_back(struct limiter *l, const struct limiter_query *q, int64_t counted_us);
/* It is over, however it ended: counts for `at once` no more. */
void limiter_ended(struct limiter *l, const struct limiter_query *q);

/* Keys of a role's object in `assay status`: counted, refused and dry-run by scope, Redis. */
void limiter_status(struct limiter *l, struct json *j);
