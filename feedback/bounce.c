#include "feedback/bounce.h"

#include <errno.h>

#include "base/limits.h"
#include "feedback/entity.h"

#define PARTS 8

const char *bounce_outcome_name(enum bounce_outcome outcome)
{
	static const char *const names[] = {"failed", "suspended", "delayed",
					    "stop",   "ignored",   "unknown"};
	return names[outcome];
}

/* --- which report ------------------------------------------------------------------- */

static struct span bare(struct span s)
{
	size_t from = span_find_char(s, '<'), to = span_rfind_char(s, '>');
	return span_trim(from < to && to != SIZE_MAX ? span_sub(s, from + 1, to) : s);
}

/* The id in the return address that this came to. */
static struct span report_of_address(const struct keys *keys, const struct entity *top,
				     struct span rcpt, struct arena *arena)
{
	static const char *const names[] = {"delivered-to", "x-original-to", "envelope-to", "to"};
	struct span id = keys_envelope_id(keys, bare(rcpt), arena);
	for (size_t i = 0; i < 4 && !id.p; i++)
		for (size_t at = 0; at < 4 && !id.p; at++) {
			struct span field = entity_field(top, names[i], at, arena);
			if (!field.p)
				break;
			id = keys_envelope_id(keys, bare(field), arena);
		}
	return id;
}

/* "<ID.KIND@our-domain>" in In-Reply-To or References. */
static struct span report_of_answer(const struct config *config, const struct entity *top,
				    struct arena *arena)
{
	static const char *const names[] = {"in-reply-to", "references"};
	struct span ours = span_of(config->report.from ? config->report.from : config->host);
	ours = span_sub(ours, span_find_char(ours, '@') + 1, ours.n);
	for (size_t i = 0; i < 2; i++) {
		struct span rest = entity_field(top, names[i], 0, arena), word;
		while (span_next_word(&rest, &word)) {
			word = bare(word);
			size_t at = span_rfind_char(word, '@');
			if (at == SIZE_MAX || !span_case_eq(span_sub(word, at + 1, word.n), ours))
				continue;
			return word;
		}
	}
	return SPAN_NONE;
}

/* --- what it says ------------------------------------------------------------------- */

/* The worst Status of the recipients in a message/delivery-status part (RFC 3464 section 2.3). */
static struct span status_of(const struct entity *part, struct arena *arena, bool *failed_r)
{
	struct span rest = entity_decoded(part, arena), status = SPAN_NONE;
	*failed_r = false;
	for (unsigned i = 0; rest.n && i < 20; i++) {
		struct entity block;
		entity_read(&block, rest);
		rest = block.body;
		struct span action = entity_field(&block, "action", 0, arena);
		struct span code = entity_field(&block, "status", 0, arena);
		if (span_case_starts(action, SPAN("failed")) &&
		    (!code.n || code.p[0] == '5')) {
			*failed_r = true;
			return code.n ? code : SPAN("5.0.0");
		}
		if (code.n)
			status = code;
	}
	return status;
}

/* The subject, or the first line that is not empty, is the word. */
static bool says_stop(const struct entity *top, struct arena *arena)
{
	struct span subject = span_trim(entity_field(top, "subject", 0, arena)), line;
	while (span_case_starts(subject, SPAN("re:")))
		subject = span_trim(span_sub(subject, 3, subject.n));
	if (span_case_eq(subject, SPAN("stop")))
		return true;
	struct entity parts[PARTS], body = *top;
	bool closed;
	for (unsigned depth = 0; depth < 3; depth++) {
		size_t n = entity_parts(&body, arena, parts, PARTS, &closed);
		if (n == 0)
			break;
		body = parts[0];
	}
	struct span rest = entity_decoded(&body, arena);
	while (span_next_line(&rest, &line))
		if (span_trim(line).n)
			return span_case_eq(span_trim(line), SPAN("stop"));
	return false;
}

static enum bounce_outcome read_answer(const struct entity *top, struct arena *arena,
				       struct span *status_r)
{
	struct entity parts[PARTS];
	bool closed, failed;
	size_t n = entity_parts(top, arena, parts, PARTS, &closed);
	for (size_t i = 0; i < n; i++) {
		struct span type = entity_type(&parts[i], arena);
		if (!span_eq(type, SPAN("message/delivery-status")) &&
		    !span_eq(type, SPAN("message/global-delivery-status")))
			continue;
		*status_r = status_of(&parts[i], arena, &failed);
		return failed ? BOUNCE_FAILED : BOUNCE_DELAYED;
	}
	struct span automatic = entity_field(top, "auto-submitted", 0, arena);
	/* not every MTA marks its reports */
	bool machine = (automatic.n && !span_case_starts(automatic, SPAN("no"))) ||
		       span_eq(entity_type(top, arena), SPAN("multipart/report"));
	return !machine && says_stop(top, arena) ? BOUNCE_STOP : BOUNCE_IGNORED;
}

/* --- what follows -------------------------------------------------------------------- */

static int act(struct queue *q, struct span id, struct span status, int64_t now_us,
	       enum bounce_outcome *outcome)
{
	bool suspended = false;
	int r = queue_begin(q);
	if (r < 0)
		return r;
	if (*outcome == BOUNCE_STOP) {
		r = queue_address_stop(q, id, now_us);
	} else {
		r = queue_address_bounced(q, id, status, now_us, &suspended);
		if (suspended)
			*outcome = BOUNCE_SUSPENDED;
	}
	bool none = r == QUEUE_E_NONE;
	if (none)
		*outcome = BOUNCE_UNKNOWN;
	r = queue_end(q, none ? 0 : r);
	return r;
}

int bounce_take(struct complaint_desk *desk, struct span octets, struct span rcpt, int64_t now_us,
		enum bounce_outcome *outcome_r)
{
	struct arena arena;
	struct entity top;
	struct span status = SPAN("5.0.0");
	arena_init(&arena, LIMIT_ARENA_BYTES);
	entity_read(&top, octets);
	struct span id = report_of_address(&desk->keys, &top, rcpt, &arena);
	*outcome_r = read_answer(&top, &arena, &status);
	bool bounced = *outcome_r == BOUNCE_FAILED;
	if (!id.p && *outcome_r == BOUNCE_STOP)
		id = report_of_answer(desk->config, &top, &arena);
	if (!id.p)
		*outcome_r = BOUNCE_UNKNOWN;
	int r = 0;
	if (id.p && (bounced || *outcome_r == BOUNCE_STOP))
		r = act(desk->queue, id, status, now_us, outcome_r);
	if (r == 0)
		r = queue_write_events(desk->queue, desk->config->state);
	arena_free(&arena);
	return r;
}
