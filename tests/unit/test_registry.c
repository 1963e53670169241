/* Unit tests of the registry: filings and each of their diagnostics, approvals, the audit. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <cmocka.h>

#include "analyze/identity.h"
#include "base/clock.h"
#include "base/limits.h"
#include "feedback/db.h"
#include "feedback/registry.h"

#define GOOD \
	"sender example-esp {\n" \
	" org { name \"Example\" address \"1 Road\" nature \"company\"" \
	" credit-code \"91350100M000100Y43\" contact \"Li\" phone \"+86 10 5555 0100\"" \
	" scope \"shop\" capital \"1\" website \"www.example.com\" representative \"Wu\" im \"li\"" \
	" email \"li@example.com\" }\n" \
	" ip 192.0.2.0/28 { owner \"Example\" domain mail.example.com class commercial }\n" \
	" domain example.com\n dkim example.com\n rate 3000 per hour\n" \
	" feedback fbl@example.com { complaint error profile full language zh }\n}\n"

/* What diag says, in memory. */
struct said {
	struct diag diag;
	char *p;
	size_t n;
};

static void read_filings(struct filings *all, const char *text, struct arena *a, struct said *said)
{
	*said = (struct said){.p = NULL};
	said->diag.out = open_memstream(&said->p, &said->n);
	assert_non_null(said->diag.out);
	filings_read(all, span_of(text), "f", a, &said->diag);
	fclose(said->diag.out);
}

static void test_filing_good(void **state)
{
	struct arena a;
	struct filings all;
	struct said said;
	(void)state;
	arena_init(&a, LIMIT_ARENA_BYTES);
	read_filings(&all, "# a comment\n" GOOD "\n", &a, &said);
	if (all.faults)
		fail_msg("%s", said.p);
	assert_int_equal(all.n, 1);
	const struct filing *f = &all.v[0];
	assert_true(span_eq(f->key, SPAN("example-esp")));
	assert_true(span_eq(f->org[ORG_PHONE], SPAN("+86 10 5555 0100")));
	assert_int_equal(f->n_ranges, 1);
	assert_int_equal(f->ranges[0].prefix.bits, 28);
	assert_int_equal(f->rate.messages, 3000);
	assert_int_equal(filing_rate_window_s(&f->rate), 3600);
	assert_true(f->feedback.complaint && f->feedback.error && f->feedback.chinese);
	assert_int_equal(f->feedback.profile, REDACT_FULL);
	assert_true(span_starts(f->source, SPAN("sender ")) && span_ends(f->source, SPAN("}")));
	assert_int_equal(filing_missing(f, &a).n, 0);
	arena_free(&a);
	free(said.p);
}

/* Each diagnostic once, at its place. */
static void test_filing_faults(void **state)
{
	static const struct {
		const char *text, *want;
	} rows[] = {
		{"", "f:1:1: error: there is no filing"},
		{"sendr a { ip 192.0.2.1 }", "f:1:1: error: a filing begins with 'sender KEY {'"},
		{"sender A { ip 192.0.2.1 }", "f:1:8: error: 'A' is no key"},
		{"sender a ip", "f:1:10: error: 'sender a' needs a block"},
		{"sender a { ip 192.0.2.1", "f:1:1: error: the block of 'sender a' has no closing"},
		{"sender a { domian example.com ip 192.0.2.1 }",
		 "f:1:12: error: unknown statement 'domian' (did you mean 'domain'?)"},
		{"sender a { ip 192.0.2.1/28 }", "f:1:15: error: '192.0.2.1/28' is no address range"},
		{"sender a { ip 10.0.0.0/8 }", "f:1:15: error: '10.0.0.0/8' is larger"},
		{"sender a { ip 192.0.2.0/28 ip 192.0.2.1 }", "overlaps a range of this filing"},
		{"sender a { ip 192.0.2.0/28 { ownr \"x\" } }", "did you mean 'owner'?"},
		{"sender a { ip 192.0.2.0/28 { class bulk } }", "unknown class of mail 'bulk'"},
		{"sender a { domain example }", "f:1:19: error: 'example' is no domain name"},
		{"sender a { domain -a.example }", "is no domain name"},
		{"sender a { domain example.com domain EXAMPLE.com }", "stands here twice"},
		{"sender a { domain }", "f:1:19: error: 'domain' needs a value"},
		{"sender a { domain a.example rate x per hour }", "'x' is no number"},
		{"sender a { domain a.example rate 5 each hour }", "a rate is written"},
		{"sender a { domain a.example rate 5 per year }", "unknown unit of time 'year'"},
		{"sender a { domain a.example feedback nobody }", "'nobody' is no mail address"},
		{"sender a { domain a.example feedback a@b.example { complaints } }",
		 "did you mean 'complaint'?"},
		{"sender a { domain a.example feedback a@b.example { profile all } }",
		 "unknown profile 'all'"},
		{"sender a { dkim a.example feedback f@a.example { webhook http://a.example/ } }",
		 "'http://a.example/' is no webhook"},
		{"sender a { dkim a.example feedback f@a.example { webhook https://u:p@a.example/ } }",
		 "is no webhook"},
		{"sender a { dkim a.example feedback f@a.example { webhook https://192.0.2.1/ } }",
		 "is no webhook"},
		{"sender a { dkim a.example feedback f@a.example { webhook https://a.example:99999/ } }",
		 "is no webhook"},
		{"sender a { dkim a.example feedback f@a.example { webhook https://b-a.example/ } }",
		 "the webhook's host 'b-a.example' lies within no 'domain' or 'dkim' of sender 'a'"},
		{"sender a { domain a.example feedback a@b.example feedback c@d.example }",
		 "'feedback' stands here twice"},
		{"sender a { domain a.example org { nmae \"x\" } }", "did you mean 'name'?"},
		{"sender a { domain a.example org { name \"\" } }", "'name' is empty"},
		{"sender a { domain a.example org { name \"x } }", "text is not closed on its line"},
		{"sender a { domain a.example org { name \"x\" name \"y\" } }",
		 "'name' stands here twice"},
		{"sender a { domain a.example org { credit-code \"91350100M000100Y44\" } }",
		 "is no unified social credit code"},
		{"sender a { domain a.example org { email \"x\" } }", "'x' is no mail address"},
		{"sender a { domain a.example org { name \"\xff\" } }", "text is no UTF-8"},
		{"sender a { domain a.example org { credit-code \"12345678-1\" } }",
		 "is no unified social credit code"},
		{"sender a { domain a.example org { licence \"110108000000017\" } }",
		 "is no registration number of a licence"},
		{"sender a { domain a.example org { website \"http://a.example\" } }",
		 "a website is filed by its domain"},
		{"sender a { domain a.example org { phone \"12\" } }", "is no telephone number"},
		{"sender a { domain a.example effective 2027-02-30x }", "is no day"},
		{"sender a { domain a.example effective 2027-02-01 effective 2027-02-01 }",
		 "'effective' stands here twice"},
		{"sender a { domain a.example certificate { numbr \"1\" } }", "did you mean 'number'?"},
		{"sender a { domain a.example certificate { issued 2027-01-02 expires 2026-01-01 } }",
		 "expires before it is issued"},
		{"sender a { domain a.example certificate \"x\" }", "'certificate' needs a block"},
		{"sender a { domain a.example campaign x }", "'campaign' needs a block"},
		{"sender a { domain a.example campaign x { frm a@b.example } }",
		 "did you mean 'from'?"},
		{"sender a { domain a.example campaign x { from nobody } }", "is no mail address"},
		{"sender a { domain a.example campaign x { ip 192.0.2.0/28 } }", "is in no 'ip' above"},
		{"sender a { domain a.example campaign x { recipients many } }",
		 "is no number of recipients"},
		{"sender a { domain a.example campaign x { sample \"s\" abc } }", "a sample is a name"},
		{"sender a { domain a.example campaign x { topic 12ab } }", "a topic is 256"},
		{"sender a { domain a.example campaign x { } campaign x { } }",
		 "campaign 'x' stands here twice"},
		{"sender a { rate 5 per hour }", "files no ip, domain or dkim"},
		{"sender a { ip 192.0.2.1 } sender a { ip 192.0.2.2 }", "is filed twice"},
	};
	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct arena a;
		struct filings all;
		struct said said;
		arena_init(&a, LIMIT_ARENA_BYTES);
		read_filings(&all, rows[i].text, &a, &said);
		if (!all.faults || span_find((struct span){said.p, said.n}, span_of(rows[i].want)) == SIZE_MAX)
			fail_msg("%s\nsaid: %s", rows[i].text, said.p ? said.p : "nothing");
		arena_free(&a);
		free(said.p);
	}
}

static void test_all_faults_at_once(void **state)
{
	struct arena a;
	struct filings all;
	struct said said;
	(void)state;
	arena_init(&a, LIMIT_ARENA_BYTES);
	read_filings(&all, "sender a {\n ip x\n domain y\n bogus { z { } }\n rate q per hour\n"
				" feedback w\n}\nsender b { domain 1 }\n", &a, &said);
	assert_int_equal(all.faults, 6);
	assert_true(span_find((struct span){said.p, said.n}, SPAN("f:8:19:")) != SIZE_MAX);
	arena_free(&a);
	free(said.p);
}

static void test_credit_code(void **state)
{
	(void)state;
	assert_true(credit_code_valid(SPAN("91350100M000100Y43")));
	assert_false(credit_code_valid(SPAN("91350100M000100Y34")));
	assert_false(credit_code_valid(SPAN("91350100I000100Y43")));
	assert_false(credit_code_valid(SPAN("9135")));
	/* the example of GB 11714-1997, and one with the check character 'X' */
	assert_true(organization_code_valid(SPAN("D2143569-X")));
	assert_true(organization_code_valid(SPAN("D2143569X")));
	assert_false(organization_code_valid(SPAN("D2143569-1")));
	assert_false(organization_code_valid(SPAN("d2143569-X")));
	assert_true(licence_number_valid(SPAN("110108000000016")));
	assert_false(licence_number_valid(SPAN("110108000000061")));
}

/* --- the registry ------------------------------------------------------------------- */

static char folder[64];
static struct registry *registry;

static int open_registry(void **state)
{
	(void)state;
	snprintf(folder, sizeof(folder), "/tmp/assay-registry.XXXXXX");
	return !mkdtemp(folder) || registry_open(folder, &registry) < 0;
}

static int close_registry(void **state)
{
	char command[128];
	(void)state;
	registry_close(registry);
	snprintf(command, sizeof(command), "rm -rf %s", folder);
	return system(command);
}

static int file_text(const char *text)
{
	struct arena a;
	struct filings all;
	struct buf said = BUF_INIT;
	arena_init(&a, LIMIT_ARENA_BYTES);
	struct diag diag = {.out = NULL};
	filings_read(&all, span_of(text), "f", &a, &diag);
	assert_int_equal(all.faults, 0);
	int r = registry_file_all(registry, all.v, 1, "clerk", &said);
	arena_free(&a);
	buf_free(&said);
	return r;
}

static void assert_state(const char *key, const char *want)
{
	struct arena a;
	struct registry_sender s;
	arena_init(&a, LIMIT_ARENA_BYTES);
	assert_int_equal(registry_get(registry, span_of(key), &a, &s), 0);
	if (!span_eq(s.state, span_of(want)))
		fail_msg("%s is %.*s, not %s", key, SPAN_ARG(s.state), want);
	arena_free(&a);
}

static void test_states(void **state)
{
	const struct span key = SPAN("example-esp");
	const char *now = NULL;
	(void)state;
	assert_int_equal(file_text("sender example-esp { domain example.com }"), 0);
	assert_state("example-esp", "draft");
	assert_int_equal(file_text(GOOD), 0);
	assert_state("example-esp", "submitted");
	assert_int_equal(registry_approve(registry, SPAN("nobody"), "ann", "x", &now),
			 REGISTRY_E_NONE);
	assert_int_equal(registry_approve(registry, key, "ann", NULL, &now), REGISTRY_E_UNPROVEN);
	assert_state("example-esp", "submitted");
	assert_int_equal(registry_approve(registry, key, "ann", "no DNS yet", &now), 0);
	assert_state("example-esp", "under-review");
	assert_int_equal(registry_approve(registry, key, "ann", NULL, &now), REGISTRY_E_SAME);
	assert_state("example-esp", "under-review");
	assert_int_equal(registry_senders(registry)->n, 0);
	assert_int_equal(registry_approve(registry, key, "bob", NULL, &now), 0);
	assert_state("example-esp", "active");
	assert_int_equal(registry_senders(registry)->n, 1);
	assert_int_equal(registry_approve(registry, key, "eve", "x", &now), REGISTRY_E_STATE);

	/* a change waits, the old filing holds */
	assert_int_equal(file_text("sender example-esp { domain new.example }"), 0);
	assert_state("example-esp", "change-pending");
	assert_non_null(sender_by_domain(registry_senders(registry), SPAN("a.example.com")));
	assert_null(sender_by_domain(registry_senders(registry), SPAN("new.example")));
	assert_int_equal(registry_approve(registry, key, "ann", "x", &now), 0);
	assert_int_equal(registry_approve(registry, key, "bob", NULL, &now), 0);
	assert_non_null(sender_by_domain(registry_senders(registry), SPAN("new.example")));

	assert_int_equal(registry_suspend(registry, key, "ann", "dead address"), 0);
	assert_int_equal(registry_senders(registry)->n, 0);
	assert_int_equal(registry_approve(registry, key, "ann", NULL, &now), 0);
	assert_state("example-esp", "suspended");
	assert_int_equal(registry_approve(registry, key, "bob", NULL, &now), 0);
	assert_state("example-esp", "active");
	assert_int_equal(registry_revoke(registry, key, "ann", "fraud", &now), 0);
	assert_int_equal(registry_revoke(registry, key, "ann", "fraud", &now), REGISTRY_E_SAME);
	assert_int_equal(registry_revoke(registry, key, "bob", "fraud", &now), 0);
	assert_state("example-esp", "revoked");
}

static void test_overlap(void **state)
{
	static const struct {
		const char *text;
		int want;
	} rows[] = {
		{"sender b { ip 192.0.2.8/30 }", REGISTRY_E_OVERLAP},
		{"sender b { ip 192.0.2.0/24 }", REGISTRY_E_OVERLAP},
		{"sender b { dkim example.com }", REGISTRY_E_OVERLAP},
		{"sender b { domain brand.example.com ip 192.0.2.16/28 }", 0},
	};
	(void)state;
	assert_int_equal(file_text(GOOD), 0);
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		if (file_text(rows[i].text) != rows[i].want)
			fail_msg("%s", rows[i].text);
}

struct seen {
	size_t n, waived;
};

static int count_entry(const struct registry_audit *e, void *arg)
{
	struct seen *seen = arg;
	seen->n++;
	seen->waived += span_eq(e->action, SPAN("waived")) && span_starts(e->detail, SPAN("because (dns example.com"));
	return 0;
}

static void test_audit(void **state)
{
	const char *now;
	char path[128];
	struct seen seen = {0, 0};
	struct db *db;
	(void)state;
	assert_int_equal(file_text(GOOD), 0);
	assert_int_equal(registry_approve(registry, SPAN("example-esp"), "ann", "because", &now), 0);
	assert_int_equal(registry_audit(registry, SPAN("example-esp"), count_entry, &seen), 0);
	assert_int_equal(seen.n, 3);
	assert_int_equal(seen.waived, 1);
	/* Nothing of it can be changed through the database, and what is shows. */
	snprintf(path, sizeof(path), "%s/registry.sqlite", folder);
	assert_int_equal(db_open(path, "", &db), 0);
	assert_true(db_exec(db, "UPDATE audit SET by = 'eve' WHERE seq = 2") < 0);
	assert_true(db_exec(db, "DELETE FROM audit WHERE seq = 2") < 0);
	assert_int_equal(db_exec(db, "DROP TRIGGER audit_kept"), 0);
	assert_int_equal(db_exec(db, "UPDATE audit SET by = 'eve' WHERE seq = 2"), 0);
	db_close(db);
	assert_int_equal(registry_audit(registry, SPAN(""), count_entry, &seen), REGISTRY_E_TAMPERED);
}

/* The snapshot is made again after another connection has committed, and only then. */
static void test_snapshot(void **state)
{
	const char *now;
	struct registry *other;
	(void)state;
	assert_int_equal(file_text(GOOD), 0);
	const struct sender_table *before = registry_senders(registry);
	assert_ptr_equal(before, registry_senders(registry));
	assert_int_equal(registry_open(folder, &other), 0);
	assert_int_equal(registry_approve(other, SPAN("example-esp"), "ann", "x", &now), 0);
	assert_int_equal(registry_approve(other, SPAN("example-esp"), "bob", NULL, &now), 0);
	registry_close(other);
	const struct sender_table *table = registry_senders(registry);
	struct ip ip;
	assert_true(ip_parse(SPAN("192.0.2.15"), &ip));
	assert_non_null(sender_by_ip(table, &ip));
	assert_true(ip_parse(SPAN("192.0.2.16"), &ip));
	assert_null(sender_by_ip(table, &ip));
	assert_non_null(sender_by_dkim(table, SPAN("News.Example.COM")));
	assert_null(sender_by_dkim(table, SPAN("badexample.com")));
	assert_non_null(registry_filing(registry, SPAN("example-esp")));
}

static size_t count_entries(void)
{
	struct seen seen = {0, 0};
	assert_int_equal(registry_audit(registry, SPAN(""), count_entry, &seen), 0);
	return seen.n;
}

/* --- every state and every decision --------------------------------------------------- */

#define DAYS_400_US (400 * 86400 * 1000000LL)

/* f a complete filing, d one that lacks fields, l one for a later day; a b c approve (ann, bob,
 * carl); n needs-info, s suspend, r R revoke (ann, bob); x 400 days later. */
static int act(char what)
{
	const struct span key = SPAN("example-esp");
	const char *now = NULL;
	switch (what) {
	case 'f':
		return file_text(GOOD);
	case 'd':
		return file_text("sender example-esp { domain example.com }");
	case 'l': {
		char text[2000];
		time_t later = time(NULL) + 30 * 86400;
		struct tm tm;
		gmtime_r(&later, &tm);
		snprintf(text, sizeof(text), "%.*s effective %04d-%02d-%02d }",
			 (int)strlen(GOOD) - 2, GOOD, tm.tm_year + 1900, tm.tm_mon + 1, tm.tm_mday);
		return file_text(text);
	}
	case 'a':
		return registry_approve(registry, key, "ann", "x", &now);
	case 'b':
		return registry_approve(registry, key, "bob", NULL, &now);
	case 'c':
		return registry_approve(registry, key, "carl", "x", &now);
	case 'n':
		return registry_needs_info(registry, key, "ann", "?", &now);
	case 's':
		return registry_suspend(registry, key, "ann", "test");
	case 'r':
		return registry_revoke(registry, key, "ann", "test", &now);
	case 'R':
		return registry_revoke(registry, key, "bob", "test", &now);
	default:
		return registry_advance(registry, clock_now_us() + DAYS_400_US);
	}
}

/* One line a state, one column a decision; "-": refused, and nothing has changed. */
static void test_transitions(void **state)
{
	static const char actions[] = "dfcnsrx";
	static const struct {
		const char *name, *from, *to[7];
	} rows[] = {
		{"draft", "d", {"draft", "submitted", "under-review", "needs-info", "-", "draft",
				"draft"}},
		{"submitted", "f", {"draft", "submitted", "under-review", "needs-info", "-",
				    "submitted", "submitted"}},
		{"under-review", "fa", {"draft", "submitted", "active", "needs-info", "-",
					"submitted", "under-review"}},
		{"needs-info", "fn", {"draft", "submitted", "-", "needs-info", "-", "needs-info",
				      "needs-info"}},
		{"approved", "lab", {"draft", "submitted", "-", "needs-info", "-", "submitted",
				     "active"}},
		{"active", "fab", {"change-pending", "change-pending", "-", "-", "suspended",
				   "suspended", "expired"}},
		{"change-pending", "fabf", {"change-pending", "change-pending", "change-pending",
					    "change-pending", "suspended", "suspended", "expired"}},
		{"change-pending", "fabla", {"change-pending", "change-pending", "change-pending",
					     "change-pending", "suspended", "suspended", "expired"}},
		{"change-pending", "fablab", {"change-pending", "change-pending", "-",
					      "change-pending", "suspended", "suspended", "active"}},
		{"suspended", "fabs", {"suspended", "suspended", "suspended", "-", "suspended",
				       "suspended", "expired"}},
		{"suspended", "fabsc", {"suspended", "suspended", "-", "-", "suspended",
					"suspended", "expired"}},
		{"revoked", "fabrR", {"draft", "submitted", "-", "-", "-", "-", "revoked"}},
		{"expired", "fabx", {"expired", "expired", "-", "-", "-", "expired", "expired"}},
		{"expired", "fabxfa", {"expired", "expired", "active", "expired", "-", "expired",
				       "expired"}},
	};
	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		for (size_t k = 0; k < 7; k++) {
			assert_int_equal(open_registry(NULL), 0);
			for (const char *c = rows[i].from; *c; c++)
				if (act(*c) != 0)
					fail_msg("%s: '%c'", rows[i].from, *c);
			assert_state("example-esp", rows[i].name);
			size_t before = count_entries();
			int r = act(actions[k]);
			const char *want = rows[i].to[k];
			bool refused = strcmp(want, "-") == 0;
			if (refused ? r != REGISTRY_E_STATE && r != REGISTRY_E_SAME : r != 0)
				fail_msg("%s %c: %d", rows[i].name, actions[k], r);
			assert_state("example-esp", refused ? rows[i].name : want);
			if (refused)
				assert_int_equal(count_entries(), before);
			assert_int_equal(close_registry(NULL), 0);
		}
}

/* The same person twice changes nothing, however he writes himself. */
static void test_two_people(void **state)
{
	static const char *const names[] = {"ann", "Ann", " ann", "ANN "};
	const struct span key = SPAN("example-esp");
	const char *now = NULL;
	(void)state;
	assert_int_equal(act('f'), 0);
	assert_int_equal(act('a'), 0);
	size_t before = count_entries();
	for (size_t i = 0; i < 4; i++)
		assert_int_equal(registry_approve(registry, key, names[i], "x", &now),
				 REGISTRY_E_SAME);
	assert_int_equal(registry_approve(registry, key, "  ", "x", &now), REGISTRY_E_NAME);
	assert_int_equal(registry_approve(registry, key, "a\nb", "x", &now), REGISTRY_E_NAME);
	assert_state("example-esp", "under-review");
	assert_int_equal(act('b'), 0);
	assert_int_equal(act('r'), 0);
	before = count_entries();
	for (size_t i = 0; i < 4; i++)
		assert_int_equal(registry_revoke(registry, key, names[i], "x", &now),
				 REGISTRY_E_SAME);
	assert_state("example-esp", "suspended");
	assert_int_equal(count_entries(), before);
}

/* Each column of each row, a row less, a row more, the last row gone: all are seen. */
static void test_tampering(void **state)
{
	static const char *const columns[] = {"time_us = time_us + 1", "key = 'other'",
					      "action = 'x'", "by = 'eve'",
					      "detail = detail || ' '", "hash = 'x'",
					      "seq = seq + 100"};
	char path[128], sql[300];
	struct seen seen = {0, 0};
	struct db *db;
	(void)state;
	for (const char *c = "fabsrx"; *c; c++)
		assert_int_equal(act(*c), 0);
	size_t n = count_entries();
	assert_true(n >= 7);
	snprintf(path, sizeof(path), "%s/registry.sqlite", folder);
	assert_int_equal(db_open(path, "", &db), 0);
	assert_int_equal(db_exec(db, "DROP TRIGGER audit_kept; DROP TRIGGER audit_whole;"
				     "CREATE TABLE kept AS SELECT * FROM audit"), 0);
	for (size_t row = 1; row <= n; row++)
		for (size_t k = 0; k <= 7; k++) {
			if (k < 7)
				snprintf(sql, sizeof(sql), "UPDATE audit SET %s WHERE seq = %zu",
					 columns[k], row);
			else
				snprintf(sql, sizeof(sql), "DELETE FROM audit WHERE seq = %zu", row);
			assert_int_equal(db_exec(db, sql), 0);
			if (registry_audit(registry, SPAN(""), count_entry, &seen) !=
			    REGISTRY_E_TAMPERED)
				fail_msg("not seen: %s", sql);
			assert_int_equal(db_exec(db, "DELETE FROM audit; INSERT INTO audit"
						     " SELECT * FROM kept"), 0);
			assert_int_equal(registry_audit(registry, SPAN(""), count_entry, &seen), 0);
		}
	db_close(db);
}

/* A change for a later day: the old filing holds, and the new one from its time on. */
static void test_effective(void **state)
{
	struct ip ip;
	(void)state;
	for (const char *c = "fab"; *c; c++)
		assert_int_equal(act(*c), 0);
	int64_t now_us = clock_now_us();
	char text[400];
	snprintf(text, sizeof(text),
		 "sender example-esp { ip 192.0.2.0/28 ip 198.51.100.0/28 domain example.com"
		 " dkim example.com effective %lld-01-31 }",
		 1970 + (long long)(now_us / 1000000 / 31556952) + 1);
	assert_int_equal(file_text(text), 0);
	assert_int_equal(act('a'), 0);
	assert_int_equal(act('b'), 0);
	assert_state("example-esp", "change-pending");
	assert_true(ip_parse(SPAN("198.51.100.5"), &ip));
	assert_null(sender_by_ip(registry_senders(registry), &ip));
	assert_int_equal(registry_advance(registry, now_us + DAYS_400_US), 0);
	assert_state("example-esp", "active");
	const struct sender_entry *e = sender_by_ip(registry_senders(registry), &ip);
	assert_non_null(e);
	assert_int_equal(e->n_ranges, 2);
	assert_int_equal(e->filed[0].since_us, 0);
	assert_true(e->filed[1].since_us >= now_us);
}

static int sum_proofs(unsigned *needed_r)
{
	struct arena a;
	struct registry_sender s;
	unsigned missing = 0;
	arena_init(&a, LIMIT_ARENA_BYTES);
	assert_int_equal(registry_get(registry, SPAN("example-esp"), &a, &s), 0);
	*needed_r = 0;
	for (size_t i = 0; i < s.n_proofs; i++) {
		*needed_r += s.proofs[i].needed;
		missing += s.proofs[i].needed && !s.proofs[i].made_us;
	}
	arena_free(&a);
	return (int)missing;
}

/* All proofs made: nobody waives anything. */
static void test_proofs(void **state)
{
	const struct span key = SPAN("example-esp");
	const char *now = NULL;
	char token[REGISTRY_TOKEN_BYTES], again[REGISTRY_TOKEN_BYTES];
	struct buf what = BUF_INIT;
	unsigned needed;
	(void)state;
	assert_int_equal(act('f'), 0);
	assert_int_equal(sum_proofs(&needed), 5);
	assert_int_equal(registry_prove(registry, key, PROOF_DNS, SPAN("example.com"), false,
					SPAN("no record")), 0);
	assert_int_equal(sum_proofs(&needed), 5);
	assert_int_equal(registry_prove(registry, key, PROOF_DKIM, SPAN("example.com"), true,
					SPAN("signed")), 0);
	assert_int_equal(sum_proofs(&needed), 4);
	assert_int_equal(needed, 5);
	assert_int_equal(registry_prove(registry, key, PROOF_PTR, SPAN("192.0.2.0/28"), true,
					SPAN("16")), 0);
	static const struct {
		enum proof_kind kind;
		struct span to;
	} mails[] = {{PROOF_POSTMASTER, {"postmaster@example.com", 22}},
		     {PROOF_ABUSE, {"abuse@example.com", 17}},
		     {PROOF_FEEDBACK, {"fbl@example.com", 15}}};
	for (size_t i = 0; i < 3; i++) {
		assert_int_equal(registry_token(registry, key, mails[i].kind, mails[i].to, token), 0);
		assert_int_equal(registry_token(registry, key, mails[i].kind, mails[i].to, again), 0);
		assert_string_equal(token, again);
		assert_int_equal(registry_asked(registry, key, mails[i].kind, mails[i].to), 0);
		assert_int_equal(registry_token(registry, key, mails[i].kind, mails[i].to, again),
				 REGISTRY_E_STATE);
		assert_int_equal(registry_confirm(registry, key, SPAN("wrong"), &what),
				 REGISTRY_E_TOKEN);
		assert_int_equal(registry_approve(registry, key, "ann", NULL, &now),
				 REGISTRY_E_UNPROVEN);
		assert_int_equal(registry_confirm(registry, key, span_of(token), &what), 0);
		assert_int_equal(registry_confirm(registry, key, span_of(token), &what),
				 REGISTRY_E_TOKEN);
	}
	assert_int_equal(sum_proofs(&needed), 0);
	assert_int_equal(registry_approve(registry, key, "ann", NULL, &now), 0);
	assert_int_equal(registry_approve(registry, key, "bob", NULL, &now), 0);
	assert_string_equal(now, "active");
	/* the DNS says now that there is no name any more */
	assert_int_equal(registry_prove(registry, key, PROOF_PTR, SPAN("192.0.2.0/28"), false,
					SPAN("gone")), 0);
	assert_int_equal(sum_proofs(&needed), 1);
	buf_free(&what);
}

static void test_rate_of(void **state)
{
	struct registry_rate rate;
	(void)state;
	for (const char *c = "fab"; *c; c++)
		assert_int_equal(act(*c), 0);
	assert_int_equal(registry_stand(registry, SPAN("example-esp"), REGISTRY_GOOD, "ann", "x"), 0);
	assert_non_null(registry_senders(registry));
	assert_true(registry_rate_of(registry, SPAN("example-esp"), &rate));
	assert_int_equal(rate.messages, 3000);
	assert_int_equal(rate.window_s, 3600);
	assert_int_equal(rate.standing, REGISTRY_GOOD);
	assert_false(registry_rate_of(registry, SPAN("example"), &rate));
	assert_int_equal(act('s'), 0);
	assert_non_null(registry_senders(registry));
	assert_false(registry_rate_of(registry, SPAN("example-esp"), &rate));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_filing_good),
		cmocka_unit_test(test_filing_faults),
		cmocka_unit_test(test_all_faults_at_once),
		cmocka_unit_test(test_credit_code),
		cmocka_unit_test_setup_teardown(test_states, open_registry, close_registry),
		cmocka_unit_test_setup_teardown(test_overlap, open_registry, close_registry),
		cmocka_unit_test_setup_teardown(test_audit, open_registry, close_registry),
		cmocka_unit_test_setup_teardown(test_snapshot, open_registry, close_registry),
		cmocka_unit_test(test_transitions),
		cmocka_unit_test_setup_teardown(test_two_people, open_registry, close_registry),
		cmocka_unit_test_setup_teardown(test_tampering, open_registry, close_registry),
		cmocka_unit_test_setup_teardown(test_effective, open_registry, close_registry),
		cmocka_unit_test_setup_teardown(test_proofs, open_registry, close_registry),
		cmocka_unit_test_setup_teardown(test_rate_of, open_registry, close_registry),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
