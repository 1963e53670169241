/*
 * The pipeline on one page: each step is a line of the table, run in order; one that misses an
 * answer from the DNS says STEP_WAIT and is run again as a whole when the answers are there.
 */
#include "analyze/analyze.h"

#include <errno.h>
#include <stdlib.h>
#include <time.h>
#include <event2/event.h>

#include "analyze/charset.h"
#include "base/clock.h"

bool analyzer_measure;

static enum step step_parse(struct analysis *a)
{
	struct arena *arena = &a->txn->arena;
	facts_init(&a->facts, arena);
	a->facts.message = &a->message;
	txn_facts(a->txn, &a->facts);
	if (!a->txn->message.p)
		return STEP_DONE;
	if (message_parse(&a->message, arena, a->txn->message) < 0) {
		a->verdict.partial = true;
		a->message.partial = true;
	}
	a->has_message = true;
	message_facts(&a->message, a->txn, &a->facts);
	return STEP_DONE;
}

static enum step step_content(struct analysis *a)
{
	if (a->has_message)
		a->content = content_read(&a->message, &a->txn->arena);
	return STEP_DONE;
}

/* A message with holes cannot prove or disprove a signature: what failed is unknown, and so is what
 * could not be read, for the hole may be in the signature or make the body shorter than l=. */
static void forgive_holes(struct auth *auth)
{
	for (size_t i = 0; i < auth->n_dkim; i++) {
		if (auth->dkim[i].result != AUTH_FAIL && auth->dkim[i].result != AUTH_PERMERROR)
			continue;
		auth->dkim[i].result = AUTH_TEMPERROR;
		auth->dkim[i].reason = "message incomplete";
	}
	if (auth->arc.result == AUTH_FAIL)
		auth->arc.result = AUTH_TEMPERROR;
	if (auth->dmarc.result == AUTH_FAIL)
		auth->dmarc.result = AUTH_TEMPERROR;
}

static enum step step_auth(struct analysis *a)
{
	const struct message *m = a->has_message ? &a->message : NULL;
	if (auth_check(&a->auth, m, &a->query, a->dns, &a->txn->arena) == STEP_WAIT)
		return STEP_WAIT;
	if (m && (!a->txn->complete || a->txn->flags & TXN_TRUNCATED))
		forgive_holes(&a->auth);
	auth_facts(&a->auth, m, &a->facts);
	return STEP_DONE;
}

static enum step step_netid(struct analysis *a)
{
	const struct analyzer_hooks *hooks = &a->analyzer->hooks;
	const struct message *m = a->has_message ? &a->message : NULL;
	struct netid_listings *listings = &a->listings;
	if (netid_check(&a->auth, m, a->content, &a->query, a->analyzer->config, a->dns, &a->facts,
			listings) == STEP_WAIT)
		return STEP_WAIT;
	int64_t now_us = listings->n ? clock_now_us() : 0;
	if (listings->n && hooks->listings)
		hooks->listings(hooks->listings_arg, listings->v, listings->n, now_us);
	netid_listed_since(listings, now_us, &a->facts);
	return STEP_DONE;
}

static enum step step_sender(struct analysis *a)
{
	const struct analyzer_hooks *hooks = &a->analyzer->hooks;
	const struct message *m = a->has_message ? &a->message : NULL;
	if (a->content)
		content_facts(a->content, m, &a->auth, a->txn, &a->facts);
	/* no registry at all: nobody is registered. One that cannot be read is NULL, and unknown. */
	static const struct sender_table nobody;
	sender_identify(&a->sender, hooks->senders ? hooks->senders(hooks->arg) : &nobody, &a->auth,
			m, a->txn, &a->txn->arena);
	sender_facts(&a->sender, a->txn, &a->facts);
	sender_filing_facts(&a->sender, &a->auth, m, a->content, a->txn, &a->facts);
	return STEP_DONE;
}

static void resume(void *analysis);

static enum step step_history(struct analysis *a)
{
	const struct analyzer_hooks *hooks = &a->analyzer->hooks;
	if (!hooks->history)
		return STEP_DONE;
	return hooks->history(hooks->history_arg, &a->sender, a->txn, &a->facts, resume, a);
}

static enum step step_rules(struct analysis *a)
{
	const struct txn *t = a->txn;
	sender_rate_facts(&a->sender, &a->facts);
	bool partial = a->verdict.partial || a->message.partial || t->arena.overflowed ||
		       (t->message.p && !t->complete) || t->flags & TXN_TRUNCATED;
	ruleset_judge(a->rules, &a->facts, partial, &a->verdict);
	a->verdict.partial |= t->arena.overflowed;
	return STEP_DONE;
}

static enum step (*const steps[AT_DONE])(struct analysis *) = {
	[AT_PARSE] = step_parse,     [AT_CONTENT] = step_content, [AT_AUTH] = step_auth,
	[AT_NETID] = step_netid,     [AT_SENDER] = step_sender,   [AT_HISTORY] = step_history,
	[AT_RULES] = step_rules,
};

const char *analysis_step_name(enum analysis_step step)
{
	static const char *const names[ANALYSIS_STEPS] = {"parse",  "content", "auth",  "netid",
							  "sender", "history", "rules", "done"};
	return names[step];
}

static int64_t cpu_ns(void)
{
	struct timespec ts;
	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &ts);
	return ts.tv_sec * 1000000000LL + ts.tv_nsec;
}

static bool run_steps(struct analysis *a)
{
	while (a->at < AT_DONE) {
		int64_t start = analyzer_measure ? cpu_ns() : 0;
		enum analysis_step at = a->at;
		enum step step = steps[at](a);
		if (analyzer_measure)
			a->step_ns[at] += cpu_ns() - start;
		if (step == STEP_WAIT)
			return false;
		a->at = at + 1;
	}
	return true;
}

static void run(struct analysis *a)
{
	void (*running)(const struct analysis *) = a->analyzer->running;
	if (running)
		running(a);
	if (run_steps(a))
		a->done(a, a->arg);
	if (running)
		running(NULL);
}

static void resume(void *analysis)
{
	struct analysis *a = analysis;
	/* an answer that no step waits for any more may come after the verdict */
	if (a->at < AT_DONE)
		run(a);
}

static void set_query(struct analysis *a)
{
	const struct txn *t = a->txn;
	const struct config *config = a->analyzer->config;
	a->query = (struct auth_query){
		.ip = t->peer,
		.helo = t->helo.s,
		.mail_from = t->mail_from.s,
		.time_us = t->time_us,
		.dmarc = config->dmarc,
		.host = config->host,
	};
}

int analyze_txn(struct analyzer *z, struct txn *t, void (*done)(struct analysis *, void *),
		void *arg)
{
	struct analysis *a = arena_alloc(&t->arena, sizeof(*a));
	if (!a)
		return -ENOMEM;
	*a = (struct analysis){.analyzer = z, .txn = t, .done = done, .arg = arg};
	a->dns = dns_session_create(z->dns, resume, a);
	if (!a->dns)
		return -ENOMEM;
	a->rules = ruleset_ref(z->rules);
	set_query(a);
	run(a);
	return 0;
}

void analysis_free(struct analysis *a)
{
	dns_session_release(a->dns);
	ruleset_unref(a->rules);
	txn_free(a->txn); /* and `a` with its arena */
}

int analyzer_open(struct analyzer *z, const struct config *config, int64_t today_us)
{
	struct ruleset *rules = NULL;
	struct event_base *loop = event_base_new();
	if (!loop)
		return -ENOMEM;
	int r = ruleset_load(&rules, config, today_us);
	int d = analyzer_open_on(z, config, loop, rules); /* faults of the zone are told too */
	z->own_loop = d == 0;
	if (d == 0 && r != 0)
		analyzer_close(z);
	else if (d != 0)
		event_base_free(loop);
	ruleset_unref(rules);
	if (r < 0 || d < 0)
		return r < 0 ? r : d;
	return r > 0 ? ANALYZER_E_FAULTS : d;
}

int analyzer_open_on(struct analyzer *z, const struct config *config, struct event_base *loop,
		     struct ruleset *rules)
{
	*z = (struct analyzer){.config = config, .loop = loop};
	arena_keep_memory();
	z->rules = rules ? ruleset_ref(rules) : NULL;
	int r = dns_create(&z->dns, z->loop, config);
	if (r == 0)
		return 0;
	analyzer_close(z);
	return r < 0 ? r : r == DNS_E_NO_ZONE ? ANALYZER_E_NO_ZONE : ANALYZER_E_FAULTS;
}

void analyzer_close(struct analyzer *z)
{
	dns_free(z->dns);
	ruleset_unref(z->rules);
	if (z->own_loop)
		event_base_free(z->loop);
	*z = (struct analyzer){0};
}

static void keep_result(struct analysis *a, void *result)
{
	*(struct analysis **)result = a;
}

int analyzer_judge(struct analyzer *z, struct txn *t, struct analysis **a_r)
{
	*a_r = NULL;
	int r = analyze_txn(z, t, keep_result, a_r);
	while (r == 0 && !*a_r)
		if (event_base_loop(z->loop, EVLOOP_ONCE) != 0 && !*a_r)
			return -EDEADLK; /* nothing to wait for, yet no verdict: a bug of ours */
	return r;
}

int analyzer_preload(struct analyzer *z)
{
	/* no domain in it, so the DNS is not asked */
	static const char mail[] = "Subject: x\r\nContent-Type: text/html; charset=gb2312\r\n\r\n"
				   "<p style='color:red'>x</p>\r\n";
	struct txn *t = txn_create(TXN_EML, 0);
	struct analysis *a;
	if (!t)
		return -ENOMEM;
	charset_preload();
	org_domain_psl(SPAN("example.com"));
	t->message = (struct span){mail, sizeof(mail) - 1};
	t->size = t->message.n;
	t->complete = true;
	int r = analyzer_judge(z, t, &a);
	if (r < 0)
		txn_free(t);
	else
		analysis_free(a);
	return r;
}
