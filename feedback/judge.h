/*
 * judge - verdicts for a role that takes mail in: transactions go to the analysis workers, events
 * go into the log, and what they came to goes back to who asked.
 *
 * Every transaction given gets exactly one event, whatever happens. One whose worker died while it
 * was being judged is tried once more; when the second worker dies of it too, it is set aside in
 * STATE/aside with its reason, and its event says that it was not judged. The same event is
 * written when the deadline passes first; a verdict that comes later is dropped. Where the log cannot
 * be written (a full disk), who has a `decide` is answered at once all the same: with accept, and the
 * event, which waits in memory, says so.
 *
 *     judge_submit(j, t, deadline, decide, done, arg)
 *        decide(arg, v)   the verdict is there, the event is not written: sets v->reply
 *        done(arg, v)     the event is in the log, or cannot be, or the deadline has passed
 *
 * Ownership: a judge belongs to a loop; the callbacks run on its thread and what they are given
 *            lives until they return. judge_submit() takes the transaction and may be called from
 *            any thread.
 * Units:     microseconds of clock_mono_us() for deadlines.
 */
#pragma once

#include "analyze/verdict.h"
#include "base/config.h"
#include "capture/txn.h"

struct event_base;
struct judge;

struct judgement {
	bool judged;      /* false: the fields below are empty, action is accept */
	const char *why;  /* one word for what was not judged: "deadline", "worker", ... */
	char id[ID_BYTES];
	enum action action;
	double score, compliance; /* NaN: none was judged */
	struct span auth_results; /* Authentication-Results, field body; "": none */
	struct span tell;         /* of the finding that weighs most, in the mail's language if with
				   * SMTPUTF8; "" */
	struct span sender;       /* as sender.key of the event; "": nobody */
	struct span dkim;         /* domain of the first signature that passed; "": none */
	struct txn_reply reply;   /* our answer, from decide() */
};
typedef void judge_decide_fn(void *arg, struct judgement *v);
typedef void judge_done_fn(void *arg, const struct judgement *v);

__attribute__((warn_unused_result)) int judge_open(struct judge **j_r, const struct config *config,
						   struct event_base *loop);
void judge_close(struct judge *j); /* accepts NULL; what still waits is written unjudged */

/* `decide` and `done` may be NULL. */
void judge_submit(struct judge *j, struct txn *t, int64_t deadline_us, judge_decide_fn *decide,
		  judge_done_fn *done, void *arg);
/* Transactions that wait for their verdicts. */
size_t judge_waiting(const struct judge *j);
/* Ends the loop when nothing waits any more: for a role that has been told to stop. */
void judge_drain(struct judge *j);
/* An event of another kind ("session"), with the journal's care. Of the loop's thread. */
void judge_write(struct judge *j, struct span line);

/* "judge":{...},"log":{...} */
void judge_status(const struct judge *j, struct json *out);
