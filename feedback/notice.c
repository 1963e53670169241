#include "feedback/notice.h"

#include <errno.h>

#include "base/clock.h"
#include "base/limits.h"
#include "feedback/letter.h"

struct telling {
	struct complaint_desk *desk;
	int64_t now_us;
	unsigned *made;
	struct arena arena; /* of one letter */
};

/* Where a person reads; .p NULL: nowhere but at the address that it is about. */
static struct span contact_of(const struct filing *f, struct span about)
{
	struct span choices[] = {f->org[ORG_EMAIL], f->feedback.address};
	for (size_t i = 0; i < 2; i++)
		if (choices[i].n && mail_address_valid(choices[i]) && !span_case_eq(choices[i], about))
			return choices[i];
	return SPAN_NONE;
}

/* Once for each `name`. */
static int tell(struct telling *t, const struct letter *l, struct span name, int64_t period_us)
{
	struct queue *q = t->desk->queue;
	struct span why;
	bool first;
	int r = queue_begin(q);
	if (r < 0)
		return r;
	r = queue_once(q, name, t->now_us, period_us, &first);
	if (r == 0 && first)
		r = queue_address_why(q, l->sender, l->to, &t->arena, &why);
	if (r == 0 && first && !why.p) {
		r = letter_put(q, t->desk->config, &t->desk->keys, l, t->now_us, &t->arena);
		*t->made += r == 0;
	}
	return queue_end(q, r);
}

/* --- an enrolment that ends ------------------------------------------------------------ */

static int tell_end(const struct registry_sender *s, void *arg)
{
	static const int days[] = {3, 14, 30};
	struct telling *t = arg;
	char date[CLOCK_TEXT_BYTES];
	int64_t left_us = s->until_us - t->now_us;
	struct span to = contact_of(&s->filing, SPAN_NONE);
	size_t i = 0;
	while (i < 2 && left_us > days[i] * 86400 * US_PER_S)
		i++;
	if (!to.p || s->decided) /* what holds next has been decided */
		return 0;
	clock_rfc3339(s->until_us, date);
	struct letter l = {
		.sender = s->key, .kind = SPAN("notice"), .to = to,
		.subject = arena_printf(&t->arena, "The enrolment of %.*s ends on %.10s / 备案即将到期",
					SPAN_ARG(s->key), date),
		.text = arena_printf(&t->arena,
			"The enrolment of the sender \"%.*s\" at %s ends at %s.\n"
			"File it anew before that day; without it your mail counts as that of an\n"
			"unregistered sender, and no more reports are sent.\n\n"
			"发送方“%.*s”在 %s 的登记将于 %s 到期。\n"
			"请在到期前重新备案；逾期后您的邮件将视为未登记，且不再发送报告。\n",
			SPAN_ARG(s->key), t->desk->config->host, date, SPAN_ARG(s->key),
			t->desk->config->host, date),
	};
	int r = tell(t, &l, arena_printf(&t->arena, "end %.*s %lld %d", SPAN_ARG(s->key),
					 (long long)s->until_us, days[i]), left_us + 86400 * US_PER_S);
	arena_reset(&t->arena);
	return r;
}

/* --- an address that gets no more ----------------------------------------------------------- */

struct suspended {
	struct queue_address *v;
	size_t n, cap;
	struct arena arena;
};

static int collect(const struct queue_address *a, void *arg)
{
	struct suspended *all = arg;
	if (!arena_grow(&all->arena, (void **)&all->v, all->n, &all->cap, sizeof(*all->v)))
		return -ENOMEM;
	all->v[all->n++] = (struct queue_address){
		arena_copy(&all->arena, a->sender), arena_copy(&all->arena, a->address),
		arena_copy(&all->arena, a->why), a->since_us};
	return all->arena.overflowed ? -ENOMEM : 0;
}

static int tell_suspended(struct telling *t, const struct queue_address *a)
{
	struct registry_sender s;
	int r = registry_get(t->desk->registry, a->sender, &t->arena, &s);
	if (r != 0) /* a CFBL-Address is nobody's */
		return r < 0 ? r : 0;
	struct span to = contact_of(&s.filing, a->address);
	if (!to.p)
		return 0;
	struct letter l = {
		.sender = a->sender, .kind = SPAN("notice"), .to = to,
		.subject = arena_printf(&t->arena, "No more reports for %.*s / 报告已停止发送",
					SPAN_ARG(a->sender)),
		.text = arena_printf(&t->arena,
			"Reports of %s for the sender \"%.*s\" no longer go to\n\n    %.*s\n\n"
			"Why: %.*s.\n"
			"Digests and reports wait for nobody: mend the address or file another one, then\n"
			"ask the provider to send again.\n\n"
			"%s 不再向上述地址发送有关发送方“%.*s”的报告，原因如上。\n"
			"请修复该地址或另行备案，然后请邮箱服务提供方恢复发送。\n",
			t->desk->config->host, SPAN_ARG(a->sender), SPAN_ARG(a->address),
			SPAN_ARG(a->why), t->desk->config->host, SPAN_ARG(a->sender)),
	};
	return tell(t, &l, arena_printf(&t->arena, "suspended %.*s %.*s %lld", SPAN_ARG(a->sender),
					SPAN_ARG(a->address), (long long)a->since_us),
		    LIMIT_NOTICE_US);
}

int notice_work(struct complaint_desk *desk, int64_t now_us, unsigned *made_r)
{
	struct telling t = {.desk = desk, .now_us = now_us, .made = made_r};
	struct suspended all = {.v = NULL};
	*made_r = 0;
	if (!desk->config->report.from)
		return 0;
	arena_init(&t.arena, LIMIT_ARENA_BYTES);
	arena_init(&all.arena, LIMIT_ARENA_BYTES);
	int r = registry_ending(desk->registry, now_us + 30 * 86400 * US_PER_S, tell_end, &t);
	if (r == 0)
		r = queue_address_list(desk->queue, collect, &all);
	for (size_t i = 0; r == 0 && i < all.n; i++) {
		r = tell_suspended(&t, &all.v[i]);
		arena_reset(&t.arena);
	}
	arena_free(&t.arena);
	arena_free(&all.arena);
	return r;
}
