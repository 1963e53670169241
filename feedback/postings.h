/*
 * postings - what events of the log add to the books: operations of books.lua, by bucket.
 *
 * The unit of mail counts is one recipient of one message. For each recipient of a txn event:
 *   refused at RCPT          5xx hard, 4xx open
 *   accepted at RCPT         as the reply that ended the transaction says: 2xx accepted, 5xx hard,
 *                            4xx open; without such a reply accepted if the message came whole
 *                            (a spool, a milter), and not counted if it was cut short
 *   no code (a spool)        the same, as if accepted at RCPT
 * `sent` is the sum of these. An open recipient answered otherwise later, in a transaction with
 * the same envelope and Message-ID (without one: from the same /24 or /64), moves there; those behind
 * the first LIMIT_EVENT_UNITS of a transaction stay as they were and count again.
 *
 * A transaction goes to the bucket of its envelope sender's domain, so all attempts of one message
 * meet in one atomic function even when they are held to different senders (without a message
 * there is no DKIM). A sender's rows may therefore lie in several buckets; readers add them up.
 *
 * Ownership: postings_init() .. postings_free(); postings_reset() between batches.
 */
#pragma once

#include "base/buf.h"
#include "feedback/books.h"
#include "feedback/eventlog.h"
#include "feedback/identity.h"

struct posting_list {
	struct buf bytes;
	size_t *lengths; /* of the arguments that lie in `bytes` one behind the other */
	size_t n, cap;
};

struct postings {
	const struct identity *identity;
	struct posting_list buckets[BOOKS_BUCKETS];
	size_t arguments; /* in all buckets */
	struct buf line;  /* the part of a line that is read */
	bool full;        /* a bucket has enough for one call: send what is here */
	bool failed;      /* out of memory */
};

void postings_init(struct postings *p, const struct identity *identity);
void postings_reset(struct postings *p);
void postings_free(struct postings *p);

/* Adds one line of the log that stands at `at`, to those buckets whose mark is not behind it
 * already. A line that is no event of ours counts nothing; false: it is no JSON at all. */
bool postings_add(struct postings *p, struct span line, const struct eventlog_position *at,
		  const struct eventlog_position marks[BOOKS_BUCKETS]);
