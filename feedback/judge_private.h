/*
 * judge_private - what passes between a role that takes mail in (judge.c) and a worker
 * (role_analyze.c).
 *
 * Both are this program, forked from one supervisor. Records of a unix socket; who connects asks:
 *
 *     worker -> HELLO with the page beside it
 *     role   -> ASK, the packed transaction behind it or, a long one, in a memory file beside it
 *               (txn_pack.h)
 *     worker -> ANSWER, its texts behind it; longer than a record: in a memory file beside it
 *     worker -> BYE: ask nothing more here, a new worker listens already
 *
 * The page is memory of both: the worker writes into it which question it works on, so that after
 * its death nobody but that message is blamed.
 */
#pragma once

#include <assert.h>

#include "base/limits.h"
#include "feedback/judge.h"

#define JUDGE_RECORD_BYTES 65536
static_assert(LIMIT_PACK_SENT_BYTES + 1024 <= JUDGE_RECORD_BYTES, "a question fits into a record");

/* "analyze-3" in STATE/run */
#define JUDGE_NAME_BYTES 24
const char *judge_slot_name(unsigned slot, char out[JUDGE_NAME_BYTES]);

struct judge_page {
	_Atomic uint64_t working_on; /* serial, 0: nothing */
};

enum judge_record { JUDGE_HELLO = 1, JUDGE_ASK, JUDGE_ANSWER, JUDGE_BYE };

struct judge_ask {
	uint32_t kind;
	uint32_t retried; /* a worker died of it */
	uint64_t serial;
};

enum judge_text { TEXT_EVENT, TEXT_AUTH_RESULTS, TEXT_TELL, TEXT_SENDER, TEXT_DKIM, JUDGE_TEXTS };

struct judge_answer {
	uint32_t kind;
	uint32_t beside; /* the texts are in the file beside the record */
	uint64_t serial;
	uint32_t action;
	uint32_t failed; /* the worker could not take it: memory */
	double score, compliance;
	uint32_t lengths[JUDGE_TEXTS];
};
