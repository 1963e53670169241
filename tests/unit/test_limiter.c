/* Limits of rules and filings against transactions, without Redis. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/file.h"
#include "feedback/limiter.h"

#define T0 (100000 * US_PER_S)

struct bench {
	char folder[64], path[96];
	const char *folders[1];
	struct config config;
	struct ruleset *rules;
	struct limiter *limiter;
};

static void use(struct bench *b, const char *text)
{
	FILE *f = fopen(b->path, "w");
	assert_non_null(f);
	fputs(text, f);
	fclose(f);
	ruleset_unref(b->rules);
	assert_int_equal(ruleset_load(&b->rules, &b->config, 0), 0);
	if (b->limiter)
		limiter_reload(b->limiter, b->rules);
	else
		assert_int_equal(limiter_create(&b->limiter, &b->config, b->rules, NULL), 0);
}

static int set_up(void **state)
{
	struct bench *b = calloc(1, sizeof(*b));
	*state = b;
	strcpy(b->folder, "/tmp/assay-limiter-XXXXXX");
	assert_non_null(mkdtemp(b->folder));
	snprintf(b->path, sizeof(b->path), "%s/local.rules", b->folder);
	config_init(&b->config);
	b->folders[0] = b->folder;
	b->config.rules.v = b->folders;
	b->config.rules.n = 1;
	b->config.packs.n = 0;
	return 0;
}

static int tear_down(void **state)
{
	struct bench *b = *state;
	limiter_free(b->limiter);
	ruleset_unref(b->rules);
	config_free(&b->config);
	unlink(b->path);
	rmdir(b->folder);
	free(b);
	return 0;
}

static struct limiter_query at_mail(const char *ip, const char *domain)
{
	struct limiter_query q = {.mail_from_domain = span_of(domain)};
	assert_true(ip_parse(span_of(ip), &q.ip));
	return q;
}

static struct limiter_query at_end(const char *dkim, const char *sender)
{
	return (struct limiter_query){.dkim = span_of(dkim), .sender = span_of(sender)};
}

static int passed(struct bench *b, const struct limiter_query *q, int n, int64_t at_us)
{
	struct limiter_refusal r;
	int passes = 0;
	for (int i = 0; i < n; i++)
		passes += !limiter_refuses(b->limiter, q, at_us, &r);
	return passes;
}

static void scopes(void **state)
{
	struct bench *b = *state;
	use(b, "limit ip { 3 per minute }\nlimit net { 5 per minute }\nlimit mailfrom { 4 per hour }\n"
	       "limit dkim { 2 per day }\nlimit sender { 1 per day }\n");
	struct limiter_query one = at_mail("192.0.2.1", "A.example"), two = at_mail("192.0.2.2", "b.example");
	struct limiter_refusal r;
	assert_int_equal(passed(b, &one, 5, T0), 3);
	assert_int_equal(passed(b, &two, 5, T0), 2); /* the /24 has 5 */
	assert_true(limiter_refuses(b->limiter, &two, T0, &r));
	assert_int_equal(r.scope, LIMIT_NET);
	assert_string_equal(r.key, "net:192.0.2.0/24");
	assert_in_range(r.seconds, 59, 62);
	assert_non_null(strstr(r.text, " seconds"));
	/* who waits as told is let in, from another address of the same domain too */
	assert_int_equal(passed(b, &one, 1, T0 + r.seconds * US_PER_S), 1);
	struct limiter_query three = at_mail("2001:db8::1", "a.EXAMPLE");
	assert_int_equal(passed(b, &three, 1, T0 + 70 * US_PER_S), 0);
	/* the null sender has no domain, other /64s are others */
	struct limiter_query none = at_mail("2001:db8::1", "");
	assert_int_equal(passed(b, &none, 9, T0), 3);
	none = at_mail("2001:db8::2", "");
	assert_int_equal(passed(b, &none, 9, T0), 2);
	none = at_mail("2001:db8:0:1::2", "");
	assert_int_equal(passed(b, &none, 9, T0), 3);
	struct limiter_query end = at_end("d.example", "key");
	assert_int_equal(passed(b, &end, 3, T0), 1);
	end.sender = SPAN_NONE;
	assert_int_equal(passed(b, &end, 3, T0), 1);
}

static void refused_ones_do_not_count(void **state)
{
	struct bench *b = *state;
	use(b, "limit ip { 10 per minute }\nlimit sender { 2 per hour }\n");
	struct limiter_query mail = at_mail("192.0.2.1", ""), end = at_end("", "s");
	struct limiter_refusal r;
	int let_in = 0, refused = 0;
	for (int i = 0; i < 50; i++) {
		if (limiter_refuses(b->limiter, &mail, T0, &r))
			continue;
		if (limiter_refuses(b->limiter, &end, T0 + 5 * US_PER_S, &r)) {
			limiter_take_back(b->limiter, &mail, T0);
			refused++;
		} else {
			let_in++;
		}
	}
	assert_int_equal(let_in, 2);
	assert_int_equal(refused, 48);
	assert_int_equal(passed(b, &mail, 50, T0 + 6 * US_PER_S), 8);
	/* asking does not count */
	for (int i = 0; i < 50; i++)
		assert_true(limiter_would_refuse(b->limiter, &mail, T0 + 6 * US_PER_S, &r));
	struct limiter_query other = at_mail("192.0.2.9", "");
	for (int i = 0; i < 50; i++)
		assert_false(limiter_would_refuse(b->limiter, &other, T0, &r));
	assert_int_equal(passed(b, &other, 50, T0), 10);
}

static void at_once_and_dry_run(void **state)
{
	struct bench *b = *state;
	use(b, "limit ip { 2 at once  1 per minute dry-run }\n");
	struct limiter_query q = at_mail("192.0.2.1", "");
	struct limiter_refusal r;
	assert_int_equal(passed(b, &q, 5, T0), 2);
	limiter_ended(b->limiter, &q);
	assert_int_equal(passed(b, &q, 5, T0), 1);
	assert_true(limiter_refuses(b->limiter, &q, T0, &r));
	assert_string_equal(r.text, "Too many messages from this address: 2 at once are accepted; "
				    "try again in 1 seconds");
	struct buf out = BUF_INIT;
	struct json j = JSON_INIT(&out);
	json_open(&j, NULL, '{');
	limiter_status(b->limiter, &j);
	json_close(&j, '}');
	buf_addc(&out, '\0');
	/* three were let in; the second and all after it would have been refused */
	assert_non_null(strstr(out.p, "\"ip\":{\"counted\":3,\"refused\":8,\"dry_run\":10}"));
	buf_free(&out);
}

static bool known(void *arg, struct span key, struct limiter_sender *s)
{
	(void)arg;
	s->filed = (struct limit){.count = 10, .window_us = 3600 * US_PER_S};
	if (!span_eq(key, SPAN("filed")))
		s->filed.count = 0;
	s->standing = span_eq(key, SPAN("poor"))   ? STANDING_POOR
		      : span_eq(key, SPAN("good")) ? STANDING_GOOD
						   : STANDING_USUAL;
	return !span_eq(key, SPAN("nobody"));
}

/* What the policy service asks about a transaction that the milter has let in. */
static void under_way(void **state)
{
	struct bench *b = *state;
	use(b, "limit ip { 1 at once }\n");
	uint32_t places[2] = {0};
	struct limiter_query q = at_mail("192.0.2.1", "A.example"), asked = at_mail("192.0.2.1", "a.EXAMPLE"),
			     other = at_mail("192.0.2.1", "b.example");
	q.places = &places[0];
	other.places = &places[1];
	for (int i = 0; i < 3; i++) {
		assert_false(limiter_has_under_way(b->limiter, &asked));
		assert_int_equal(passed(b, &q, 1, T0), 1);
		assert_true(limiter_has_under_way(b->limiter, &asked));
		assert_int_equal(passed(b, &other, 1, T0), 0);
		assert_false(limiter_has_under_way(b->limiter, &other));
		limiter_ended(b->limiter, &other);
		limiter_ended(b->limiter, &q);
	}
	struct limiter_query end = at_end("a.example", "s");
	assert_int_equal(passed(b, &end, 1, T0), 1);
	assert_false(limiter_has_under_way(b->limiter, &end));
	/* more than there is room for: the newest are known, and all of them end */
	use(b, "");
	char domain[32];
	for (int i = 0; i < 2 * LIMIT_UNDER_WAY; i++) {
		snprintf(domain, sizeof(domain), "d%d.example", i);
		q = at_mail("2001:db8::1", domain);
		assert_int_equal(passed(b, &q, 1, T0), 1);
	}
	assert_true(limiter_has_under_way(b->limiter, &q));
	limiter_ended(b->limiter, &q);
	assert_false(limiter_has_under_way(b->limiter, &q));
}

/* Rules change while transactions are under way. */
static void places_outlive_rules(void **state)
{
	struct bench *b = *state;
	uint32_t places[4] = {0};
	struct limiter_query q[4];
	struct limiter_refusal r;
	for (int i = 0; i < 4; i++) {
		q[i] = at_mail("192.0.2.1", "");
		q[i].places = &places[i];
	}
	/* lifted while two have theirs, and back when both are over */
	use(b, "limit ip { 2 at once }\n");
	assert_int_equal(passed(b, &q[0], 1, T0) + passed(b, &q[1], 1, T0), 2);
	use(b, "limit ip { 100 per minute }\n");
	limiter_ended(b->limiter, &q[0]);
	limiter_ended(b->limiter, &q[1]);
	use(b, "limit ip { 2 at once }\n");
	assert_int_equal(passed(b, &q[0], 1, T0) + passed(b, &q[1], 1, T0), 2);
	limiter_ended(b->limiter, &q[0]);
	limiter_ended(b->limiter, &q[1]);
	/* one that began before there was a limit gives no place of others back */
	use(b, "");
	assert_int_equal(passed(b, &q[2], 1, T0), 1);
	use(b, "limit ip { 2 at once }\n");
	assert_int_equal(passed(b, &q[0], 1, T0) + passed(b, &q[1], 1, T0), 2);
	limiter_ended(b->limiter, &q[2]);
	assert_true(limiter_refuses(b->limiter, &q[3], T0, &r));
	/* nor does one that was refused */
	limiter_ended(b->limiter, &q[3]);
	assert_true(limiter_refuses(b->limiter, &q[3], T0, &r));
	limiter_ended(b->limiter, &q[0]);
	assert_int_equal(passed(b, &q[3], 1, T0), 1);
	/* a filing takes the place of the rules */
	use(b, "limit sender { 1 at once }\n");
	struct limiter_query end = at_end("", "filed");
	end.places = &places[0];
	assert_int_equal(places[0], 0);
	assert_int_equal(passed(b, &end, 2, T0), 1);
	limiter_set_hooks(b->limiter, &(struct limiter_hooks){.sender = known});
	limiter_ended(b->limiter, &end);
	limiter_set_hooks(b->limiter, &(struct limiter_hooks){.sender = NULL});
	assert_int_equal(passed(b, &end, 2, T0), 1);
}

static void filings_and_standing(void **state)
{
	struct bench *b = *state;
	use(b, "limit sender { 4 per hour  relaxed 2  tightened 0.5 }\n");
	limiter_set_hooks(b->limiter, &(struct limiter_hooks){.sender = known});
	static const struct {
		const char *sender;
		int want;
	} rows[] = {{"nobody", 4}, {"usual", 4}, {"filed", 10}, {"good", 8}, {"poor", 2}};
	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		struct limiter_query q = at_end("", rows[i].sender);
		int got = passed(b, &q, 20, T0);
		if (got != rows[i].want)
			fail_msg("%s: %d passed, want %d", rows[i].sender, got, rows[i].want);
	}
	/* tightened to one at least, and in the words too */
	use(b, "limit sender { 3 per minute  1 at once  tightened 0.25 }\n");
	struct limiter_query poor = at_end("", "poor");
	struct limiter_refusal r;
	int64_t later = T0 + 7200 * US_PER_S;
	assert_int_equal(passed(b, &poor, 5, later), 1);
	limiter_ended(b->limiter, &poor);
	assert_true(limiter_refuses(b->limiter, &poor, later, &r));
	assert_non_null(strstr(r.text, "1 per minute are accepted"));
	assert_int_equal(passed(b, &poor, 5, later + r.seconds * US_PER_S), 1);
	/* a reload takes effect at once and keeps the windows */
	use(b, "limit sender { 6 per hour }\n");
	struct limiter_query q = at_end("", "nobody");
	assert_int_equal(passed(b, &q, 20, T0), 2);
}

static void standings(void **unused)
{
	(void)unused;
	static const struct {
		const char *what;
		struct standing_counts counts;
		enum standing want;
	} rows[] = {
		{"nothing", {0, 0, 0, 0, 0}, STANDING_USUAL},
		{"a clean 1,000", {1000, 1000, 0, 0, 0}, STANDING_GOOD},
		{"too few to say", {999, 999, 0, 0, 0}, STANDING_USUAL},
		{"returns", {10000, 9400, 300, 300, 0}, STANDING_USUAL},
		{"complaints", {10000, 10000, 0, 0, 11}, STANDING_USUAL},
		{"3 of 500 prove nothing", {500, 500, 0, 0, 3}, STANDING_USUAL},
		{"60 of 10,000 do", {10000, 10000, 0, 0, 60}, STANDING_POOR},
		{"hard returns", {1000, 850, 150, 0, 0}, STANDING_POOR},
	};
	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++)
		if (standing_judge(&rows[i].counts) != rows[i].want)
			fail_msg("%s: %d", rows[i].what, standing_judge(&rows[i].counts));
}

static void *one_thread(void *arg)
{
	struct bench *b = arg;
	struct limiter_query q = at_mail("192.0.2.1", "a.example");
	return (void *)(intptr_t)passed(b, &q, 2000, T0);
}

static void many_threads(void **state)
{
	struct bench *b = *state;
	pthread_t threads[8];
	intptr_t sum = 0;
	use(b, "limit ip { 5000 per hour }\nlimit mailfrom { 9000 per hour }\n");
	for (int i = 0; i < 8; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, one_thread, b), 0);
	for (int i = 0; i < 8; i++) {
		void *n;
		pthread_join(threads[i], &n);
		sum += (intptr_t)n;
	}
	assert_int_equal(sum, 5000);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(scopes), TEST(refused_ones_do_not_count), TEST(at_once_and_dry_run), TEST(under_way), TEST(places_outlive_rules),
		TEST(filings_and_standing), cmocka_unit_test(standings), TEST(many_threads),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
