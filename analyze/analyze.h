/*
 * analyze - the way of a transaction to its verdict: analyze_txn().
 *
 * Steps: parse, content, authenticate, network identity, sender, history, rules. Each reads only
 * what earlier ones wrote. A step that misses an answer from the DNS returns STEP_WAIT and is
 * run again when the answers are there; thousands of analyses may wait at once.
 *
 * Ownership: an analyzer owns rules and DNS; an analysis owns its transaction from analyze_txn()
 *            on until analysis_free(), which the `done` callback's receiver calls.
 */
#pragma once

#include "analyze/content.h"
#include "analyze/netid.h"
#include "analyze/rules.h"
#include "analyze/sender.h"

struct event_base;

/* What analyze/ asks of the layers to its right: the registry's snapshot, the rates. Any may be
 * NULL. */
struct analyzer_hooks {
	const struct sender_table *(*senders)(void *arg);
	/* Sets sender.hour and its like; STEP_WAIT: call `wake(wake_arg)` later. */
	enum step (*history)(void *arg, const struct sender *s, const struct txn *t,
			     struct facts *f, void (*wake)(void *), void *wake_arg);
	void *arg, *history_arg; /* of senders and of history */
	/* Tells of each entry whether it is listed and asks since when it has been: sets since_us. */
	void (*listings)(void *arg, struct dnsbl_entry *v, size_t n, int64_t now_us);
	void *listings_arg;
};

struct analysis;
struct analyzer {
	const struct config *config;
	struct event_base *loop;
	bool own_loop;
	struct dns *dns;
	struct ruleset *rules;
	struct analyzer_hooks hooks;
	/* Told which analysis runs, and NULL when none does any more; may be NULL. */
	void (*running)(const struct analysis *a);
};

enum analysis_step { AT_PARSE, AT_CONTENT, AT_AUTH, AT_NETID, AT_SENDER, AT_HISTORY, AT_RULES,
		     AT_DONE, ANALYSIS_STEPS };

struct analysis {
	struct analyzer *analyzer;
	struct txn *txn; /* its arena holds everything below */
	struct ruleset *rules;
	struct dns_session *dns;
	enum analysis_step at;
	bool has_message; /* false: the transaction ended without one */
	struct message message;
	struct content *content;
	struct auth_query query;
	struct auth auth;
	struct netid_listings listings;
	struct sender sender;
	struct facts facts;
	struct verdict verdict;
	int64_t step_ns[ANALYSIS_STEPS]; /* CPU of each step, when analyzer_measure is set */
	void (*done)(struct analysis *a, void *arg);
	void *arg;
};

/* Makes the loop, the resolver and loads the rules. ANALYZER_E_FAULTS: faults in rules or zone
 * were printed; ANALYZER_E_NO_ZONE: the zone file cannot be read, printed too. `config` must
 * outlive the analyzer; hooks are set afterwards. */
enum { ANALYZER_E_FAULTS = 1, ANALYZER_E_NO_ZONE = 2 };
__attribute__((warn_unused_result)) int analyzer_open(struct analyzer *z,
						      const struct config *config, int64_t today_us);
/* The same on a loop of the caller's, with rules that are loaded already. */
__attribute__((warn_unused_result)) int analyzer_open_on(struct analyzer *z,
							 const struct config *config,
							 struct event_base *loop,
							 struct ruleset *rules);
void analyzer_close(struct analyzer *z);
/* Loads what libraries would load at their first use: for a process that may open no files later. */
__attribute__((warn_unused_result)) int analyzer_preload(struct analyzer *z);

/* Judges one transaction and waits for the verdict. On error `t` is still the caller's. */
__attribute__((warn_unused_result)) int analyzer_judge(struct analyzer *z, struct txn *t,
						       struct analysis **a_r);

/* Measure the CPU time of each step: costs two clock readings a step. */
extern bool analyzer_measure;
const char *analysis_step_name(enum analysis_step step);

/* Calls `done` when the verdict is there, perhaps before it returns. -ENOMEM: `t` is still the
 * caller's. */
__attribute__((warn_unused_result)) int analyze_txn(struct analyzer *z, struct txn *t,
						    void (*done)(struct analysis *a, void *arg),
						    void *arg);
void analysis_free(struct analysis *a); /* and its transaction */

/* The txn event of CONTRACT section 2, one line with LF. `facts`: add every fact. */
void analysis_write_event(const struct analysis *a, struct buf *out, bool facts);
/* The event of a transaction that could not be judged, `why` in one word: nothing about it is
 * known but what the source saw, and its Message-ID. */
void analysis_write_unjudged(const struct txn *t, const char *why, struct buf *out);
