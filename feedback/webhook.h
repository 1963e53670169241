/*
 * webhook - a report or digest as one JSON object, for a program of the sender's: pushed to the URL
 * that he has filed, or kept until he fetches it (GET /feedback, portal.h).
 *
 * The object of a complaint holds what the fields of an ARF report hold, and its third part in
 * base64, so that the sender's identifiers stay as they are to the octet. `version` changes when
 * a field changes its meaning; fields may be added.
 *
 * A push is signed as Standard Webhooks 1.0.0 has it: HMAC-SHA256 over "ID.TIMESTAMP.BODY" under a
 * secret that only this sender has (assay sender secret). ID is that of the report: the same in
 * every try, so that what comes twice is known.
 *
 * Ownership: nothing is kept; the text goes into the buffer given.
 * Errors:    -ENOMEM, also when the redactor's arena is full.
 */
#pragma once

#include "feedback/arf.h"
#include "feedback/keys.h"

/* `id`: of the report in the queue; r->id is that of its Message-ID. */
__attribute__((warn_unused_result)) int webhook_write(const struct arf_report *r, struct span id,
						      struct span sender, struct span complaint,
						      struct arena *arena, struct buf *out);
/* `digest`: a JSON object. */
void webhook_write_digest(struct span id, struct span kind, struct span sender, int64_t now_us,
			  struct span digest, struct buf *out);
/* What takes the place of an object that may have been fetched: `id` and `sender` are its own. */
void webhook_write_withdrawn(struct span id, struct span sender, struct span complaint,
			     const char *why, int64_t now_us, struct buf *out);
/* False, and what is wrong is in the log: it must not go out. */
bool webhook_lint_log(struct span object, struct span rcpt, struct span id);

/* "whsec_..." */
struct span webhook_secret(const struct keys *k, struct span sender, struct arena *arena);
/* "v1,..." over the id, the time and the body. */
struct span webhook_signature(const struct keys *k, struct span sender, struct span id,
			      int64_t time_s, struct span body, struct arena *arena);
