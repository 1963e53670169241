/*
 * limit SCOPE { 3000 per hour  20 at once dry-run  relaxed 2 }: how fast senders may send.
 */
#include "analyze/rules_reader.h"

#include <errno.h>
#include <stdlib.h>

#include "base/buf.h"
#include "base/clock.h"

/* Windows of one scope: a minute, an hour, a day, each at several counts at most. */
#define WINDOWS 6

static const char *const scopes[] = {"ip", "net", "mailfrom", "dkim", "sender"};

const char *limit_scope_name(enum limit_scope scope)
{
	return scopes[scope];
}

/* "3000 per hour", "20 at once", each with "dry-run" behind it. */
static bool read_window(struct reader *r, const struct token *count, struct limit *limit)
{
	static const struct {
		const char *name;
		int64_t us;
	} units[] = {{"minute", 60 * US_PER_S}, {"hour", 3600 * US_PER_S}, {"day", 86400 * US_PER_S}};
	struct token unit;
	if (!span_number(count->text, 1000000000000, &limit->count) || limit->count == 0)
		return fault(r, count->at, "a count is a whole number from 1");
	if (take(&r->l, "at")) {
		if (!take(&r->l, "once"))
			return fault(r, r->l.token.at, "a limit is written: 20 at once");
		limit->window_us = LIMIT_AT_ONCE;
	} else {
		if (!take(&r->l, "per"))
			return fault(r, r->l.token.at, "a limit is written: 3000 per hour");
		if (!take_word(r, "minute, hour or day", &unit))
			return false;
		for (size_t u = 0; u < 3; u++)
			if (span_eq(unit.text, span_of(units[u].name)))
				limit->window_us = units[u].us;
		if (!limit->window_us)
			return fault(r, unit.at, "a window is minute, hour or day");
	}
	limit->dry_run = take(&r->l, "dry-run");
	return true;
}

/* "relaxed 2", "tightened 0.5": for the senders whose standing is known. */
static bool read_standing(struct reader *r, const struct token *word, enum limit_scope scope,
			  struct limit_standing *standing)
{
	bool relaxed = span_eq(word->text, SPAN("relaxed"));
	double *factor = relaxed ? &standing->relaxed : &standing->tightened;
	struct place at = r->l.token.at;
	if (scope != LIMIT_SENDER)
		return fault(r, word->at, "only a sender has a standing: limit sender { ... }");
	if (!take_score(r, factor))
		return false;
	if (relaxed ? *factor >= 1 : *factor <= 1)
		return true;
	return fault(r, at, relaxed ? "'relaxed' is a factor of 1 or more"
				    : "'tightened' is a factor of 1 or less");
}

bool rules_read_limit(struct reader *r)
{
	struct limit *limits = ARENA_ARRAY(&r->set->arena, struct limit, WINDOWS);
	struct limit_standing standing = {1, 1};
	struct token scope, t;
	size_t n = 0;
	if (!limits || !take_word(r, "ip, net, mailfrom, dkim or sender", &scope))
		return false;
	struct diag_guess g = diag_guess(scope.text);
	int s = 0;
	for (; s < LIMIT_SCOPES && !span_eq(scope.text, span_of(scopes[s])); s++)
		diag_guess_try(&g, span_of(scopes[s]));
	if (s == LIMIT_SCOPES) {
		diag_error(r->set->diag, scope.at, "unknown scope %s%s", token_name(&scope),
			   diag_guess_text(&g));
		return false;
	}
	if (!expect(r, "{"))
		return false;
	while (!take(&r->l, "}")) {
		struct limit limit = {0};
		struct place at = r->l.token.at;
		if (!member_follows(r) || !take_word(r, "a count", &t))
			return false;
		if (span_eq(t.text, SPAN("relaxed")) || span_eq(t.text, SPAN("tightened"))) {
			if (!read_standing(r, &t, (enum limit_scope)s, &standing))
				return false;
			continue;
		}
		if (n == WINDOWS)
			return fault(r, at, "more than 6 windows in one limit");
		if (!read_window(r, &t, &limit))
			return false;
		size_t i = n++; /* shortest first */
		for (; i > 0 && limits[i - 1].window_us > limit.window_us; i--)
			limits[i] = limits[i - 1];
		limits[i] = limit;
	}
	r->set->limits[s] = limits; /* the last one read wins */
	r->set->n_limits[s] = n;
	if (s == LIMIT_SENDER)
		r->set->standing = standing;
	return true;
}

/* --- to another process -------------------------------------------------------------- */

struct limits_head {
	struct limit_standing standing;
	uint64_t n[LIMIT_SCOPES]; /* of each scope, all behind this */
};

void ruleset_write_limits(const struct ruleset *set, struct buf *out)
{
	struct limits_head head = {.standing = set->standing};
	for (int s = 0; s < LIMIT_SCOPES; s++)
		head.n[s] = set->n_limits[s];
	buf_add(out, (struct span){(const char *)&head, sizeof(head)});
	for (int s = 0; s < LIMIT_SCOPES; s++)
		buf_add(out, (struct span){(const char *)set->limits[s],
					   set->n_limits[s] * sizeof(struct limit)});
}

int ruleset_read_limits(struct ruleset **set_r, struct span octets)
{
	struct limits_head head;
	if (octets.n < sizeof(head))
		return -EBADMSG;
	memcpy(&head, octets.p, sizeof(head));
	struct ruleset *set = calloc(1, sizeof(*set));
	if (!set)
		return -ENOMEM;
	set->refs = 1;
	arena_init(&set->arena, LIMIT_SCOPES * WINDOWS * sizeof(struct limit) + 65536);
	set->standing = head.standing;
	int r = 0;
	size_t at = sizeof(head);
	for (int s = 0; s < LIMIT_SCOPES && r == 0; s++) {
		size_t n = head.n[s] > WINDOWS ? WINDOWS + 1 : (size_t)head.n[s];
		if (n > WINDOWS || octets.n - at < n * sizeof(struct limit))
			r = -EBADMSG;
		else if (n && !(set->limits[s] = ARENA_ARRAY(&set->arena, struct limit, n)))
			r = -ENOMEM;
		else if (n)
			memcpy(set->limits[s], octets.p + at, n * sizeof(struct limit));
		set->n_limits[s] = r ? 0 : n;
		at += n * sizeof(struct limit);
	}
	if (r < 0)
		ruleset_unref(set);
	else
		*set_r = set;
	return r;
}
