/* rules: three truth values, evidence, compliance, local tuning, lists, limits, the hash. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "analyze/rules.h"
#include "base/buf.h"
#include "base/clock.h"

#define DAY_US ((int64_t)86400 * 1000000)

struct bench {
	char folder[64];
	const char *folders[1];
	struct config config;
	struct ruleset *set;
	struct arena arena;
	struct facts facts;
	struct verdict verdict;
};

static void write_file(struct bench *b, const char *name, const char *text)
{
	char path[128];
	snprintf(path, sizeof(path), "%s/%s", b->folder, name);
	FILE *f = fopen(path, "w");
	assert_non_null(f);
	fputs(text, f);
	assert_int_equal(fclose(f), 0);
}

static int setup(void **state)
{
	struct bench *b = calloc(1, sizeof(*b));
	if (!b)
		return -1;
	strcpy(b->folder, "/tmp/assay-rules-XXXXXX");
	if (!mkdtemp(b->folder))
		return -1;
	char lists[80];
	snprintf(lists, sizeof(lists), "%s/lists", b->folder);
	mkdir(lists, 0700);
	config_init(&b->config);
	b->folders[0] = b->folder;
	b->config.rules = (struct config_texts){.v = b->folders, .n = 1};
	b->config.packs = (struct config_texts){.n = 0};
	arena_init(&b->arena, 1 << 20);
	facts_init(&b->facts, &b->arena);
	*state = b;
	return 0;
}

static int teardown(void **state)
{
	struct bench *b = *state;
	char command[128];
	ruleset_unref(b->set);
	arena_free(&b->arena);
	config_free(&b->config);
	snprintf(command, sizeof(command), "rm -r '%s'", b->folder);
	int r = system(command);
	free(b);
	return r;
}

/* The set that `text` is; the one before is given back. */
static int load(struct bench *b, const char *text, int64_t today_us)
{
	ruleset_unref(b->set);
	b->set = NULL;
	write_file(b, "a.rules", text);
	return ruleset_load(&b->set, &b->config, today_us);
}

static void judge(struct bench *b)
{
	ruleset_judge(b->set, &b->facts, false, &b->verdict);
}

#define TAIL "\n clause 2.5.4 score 1 tell \"x\" test hit { subject.empty = true } " \
	     "test miss { subject.empty = false } }\n"

static enum rule_outcome outcome_of(struct bench *b, const char *applies, const char *when)
{
	char text[2000];
	snprintf(text, sizeof(text), "rule a.b {%s%s when %s" TAIL, applies ? "applies " : "",
		 applies ? applies : "", when);
	assert_int_equal(load(b, text, 0), 0);
	judge(b);
	return b->verdict.outcomes[0];
}

/* t: txn.tls is true; f: txn.complete is false; u: message.html is unknown. */
static void set_three(struct bench *b)
{
	facts_set_condition(&b->facts, F_TXN_TLS, true);
	facts_set_condition(&b->facts, F_TXN_COMPLETE, false);
	facts_set_unknown(&b->facts, F_MESSAGE_HTML);
}

static void test_truth(void **state)
{
	static const struct {
		const char *op;
		char table[10]; /* left t f u by right t f u, a row each */
	} rows[] = {{"and", "tfufffufu"}, {"or", "ttttfutuu"}};
	static const char *const names[] = {"txn.tls", "txn.complete", "message.html"};
	struct bench *b = *state;
	set_three(b);
	for (size_t i = 0; i < 2; i++)
		for (size_t k = 0; k < 9; k++) {
			char when[100];
			snprintf(when, sizeof(when), "%s %s %s", names[k / 3], rows[i].op,
				 names[k % 3]);
			char want = rows[i].table[k];
			enum rule_outcome got = outcome_of(b, NULL, when);
			if (got != (want == 't' ? RULE_HIT : want == 'f' ? RULE_PASSED : RULE_SKIPPED))
				fail_msg("%s: outcome %d, want %c", when, got, want);
		}
	assert_int_equal(outcome_of(b, NULL, "not txn.tls"), RULE_PASSED);
	assert_int_equal(outcome_of(b, NULL, "not txn.complete"), RULE_HIT);
	assert_int_equal(outcome_of(b, NULL, "not message.html"), RULE_SKIPPED);
	assert_int_equal(outcome_of(b, NULL, "not not txn.tls"), RULE_HIT);
}

static void test_outcomes(void **state)
{
	static const struct {
		const char *applies, *when;
		enum rule_outcome want;
	} rows[] = {
		{"txn.complete", "txn.tls", RULE_NOT_APPLICABLE},
		{"txn.complete", "message.html", RULE_NOT_APPLICABLE},
		{"message.html", "txn.tls", RULE_SKIPPED},
		{"message.html", "txn.complete", RULE_SKIPPED},
		{"txn.tls", "message.html", RULE_SKIPPED},
		{"txn.tls", "txn.complete", RULE_PASSED},
		{"txn.tls unless txn.tls", "txn.tls", RULE_NOT_APPLICABLE},
		{"txn.tls unless txn.complete", "txn.tls", RULE_HIT},
		{"txn.tls unless message.html", "txn.tls", RULE_SKIPPED},
		/* passed whatever the exception would be */
		{"txn.tls unless message.html", "txn.complete", RULE_PASSED},
	};
	struct bench *b = *state;
	set_three(b);
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		enum rule_outcome got = outcome_of(b, rows[i].applies, rows[i].when);
		if (got != rows[i].want)
			fail_msg("applies %s when %s: %d", rows[i].applies, rows[i].when, got);
	}
}

static void test_types(void **state)
{
	static const struct {
		const char *when;
		bool hit;
	} rows[] = {
		{"to.count == 3", true}, {"to.count != 3", false}, {"to.count < 3", false},
		{"to.count <= 3", true}, {"to.count > 2.5", true}, {"to.count >= 3.01", false},
		{"from.count == 0", true}, /* absent is 0 */
		{"from.count > 0", false}, {"subject.text == \"Hello\"", true},
		{"subject.text == \"hello\"", false}, {"subject.text != \"\"", true},
		{"from.name == \"\"", true}, /* absent is "" */
		{"from.name ~ \".\"", false}, {"subject.text ~ \"^hel+o$\"", true},
		{"auth.spf == pass", true}, {"auth.spf != pass", false}, {"auth.spf == \"pass\"", true},
		{"\"form\" in html.active", true}, {"\"iframe\" in html.active", false},
		{"html.active ~ \"^scr\"", true}, {"html.active ~ \"^ript\"", false},
		{"rbl.ip ~ \".\"", false}, /* absent is the empty list */
		{"txn.mail-from.domain in @names", true}, {"from.domain in @names", true},
		{"reply-to.domain in @names", false}, {"subject.text in @names", false},
		{"html.active in @names", true}, {"auth.dmarc.domain in @names", false},
	};
	static const struct span active[] = {{"script", 6}, {"form", 4}};
	struct bench *b = *state;
	write_file(b, "lists/names.txt",
		   "# comment\n.example.test\nMAIL.test # exact\n\nform\n");
	facts_set_number(&b->facts, F_TO_COUNT, 3);
	facts_set_absent(&b->facts, F_FROM_COUNT);
	facts_set_text(&b->facts, F_SUBJECT_TEXT, SPAN("Hello"));
	facts_set_absent(&b->facts, F_FROM_NAME);
	facts_set_text(&b->facts, F_AUTH_SPF, SPAN("pass"));
	facts_set_list(&b->facts, F_HTML_ACTIVE, active, 2);
	facts_set_absent(&b->facts, F_RBL_IP);
	facts_set_text(&b->facts, F_TXN_MAIL_FROM_DOMAIN, SPAN("A.b.EXAMPLE.test"));
	facts_set_text(&b->facts, F_FROM_DOMAIN, SPAN("mail.test"));
	facts_set_text(&b->facts, F_REPLY_TO_DOMAIN, SPAN("x.mail.test"));
	facts_set_text(&b->facts, F_AUTH_DMARC_DOMAIN, SPAN("badexample.test"));
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		enum rule_outcome got = outcome_of(b, NULL, rows[i].when);
		if (got != (rows[i].hit ? RULE_HIT : RULE_PASSED))
			fail_msg("%s: outcome %d", rows[i].when, got);
	}
}

/* The true sub-expressions and no others; under `not`, the false ones. */
static void test_evidence(void **state)
{
	static const struct {
		const char *when, *facts;
	} rows[] = {
		{"txn.tls or txn.complete", "txn.tls"},
		{"txn.complete or (txn.tls and to.count == 3)", "txn.tls to.count"},
		{"not (txn.complete and txn.tls)", "txn.complete"},
		{"not (txn.complete or to.count > 5)", "txn.complete to.count"},
		{"txn.tls and not txn.complete show subject.text", "subject.text txn.tls txn.complete"},
		{"txn.tls or message.html", "txn.tls"},
		{"txn.tls show message.html", "txn.tls"}, /* unknown is no evidence */
		{"txn.tls and txn.tls", "txn.tls"},
	};
	struct bench *b = *state;
	set_three(b);
	facts_set_number(&b->facts, F_TO_COUNT, 3);
	facts_evidence(facts_set_text(&b->facts, F_SUBJECT_TEXT, SPAN("Hi")), SPAN("Hi"), 40, 11);
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		char got[200] = "";
		assert_int_equal(outcome_of(b, NULL, rows[i].when), RULE_HIT);
		const struct finding *f = &b->verdict.findings[0];
		for (size_t k = 0; k < f->n_evidence; k++) {
			if (k)
				strcat(got, " ");
			strncat(got, f->evidence[k].fact.p, f->evidence[k].fact.n);
		}
		if (strcmp(got, rows[i].facts) != 0)
			fail_msg("%s: %s, want %s", rows[i].when, got, rows[i].facts);
	}
	outcome_of(b, NULL, "subject.text == \"Hi\" and to.count == 3");
	const struct finding *f = &b->verdict.findings[0];
	assert_int_equal(f->evidence[0].evidence.offset, 40);
	assert_int_equal(f->evidence[0].evidence.length, 11);
	assert_true(span_eq(f->evidence[1].evidence.text, SPAN("3")));
}

#define RULE(name, when, score)                                                                    \
	"rule " name " { clause 2.5.4 when " when " score " score                                  \
	" tell \"x\" test hit { subject.empty = true } test miss { subject.empty = false } }\n"

static void test_compliance(void **state)
{
	struct bench *b = *state;
	set_three(b);
	assert_int_equal(load(b,
			      RULE("hit.one", "txn.tls", "2.5") RULE("hit.two", "txn.tls", "0.1")
			      RULE("pass.one", "txn.complete", "1.4")
			      RULE("skip.one", "message.html or to.count > 1", "9")
			      RULE("skip.two", "message.html", "9"), 0), 0);
	judge(b);
	assert_int_equal(b->verdict.n_rules, 5);
	assert_int_equal(b->verdict.n_findings, 2);
	assert_true(b->verdict.score == 2.6);
	assert_true(b->verdict.compliance == 35.0); /* 1.4 of 4.0 */
	assert_int_equal(b->verdict.n_unjudged, 2); /* each once */
	assert_true(span_eq(b->verdict.unjudged[0], SPAN("message.html")));
	assert_true(span_eq(b->verdict.unjudged[1], SPAN("to.count")));
	assert_int_equal(load(b, RULE("skip.one", "message.html", "9"), 0), 0);
	judge(b);
	assert_true(isnan(b->verdict.compliance));
	assert_int_equal(b->verdict.action, ACTION_ACCEPT);
}

static void test_levels(void **state)
{
	static const struct {
		const char *levels, *score;
		enum action want;
	} rows[] = {
		{"", "4.99", ACTION_ACCEPT}, {"", "5", ACTION_TAG}, {"", "1000", ACTION_TAG},
		{"levels { tag 5.0 defer 9.0 reject 15.0 }", "8.99", ACTION_TAG},
		{"levels { tag 5.0 defer 9.0 reject 15.0 }", "9.00", ACTION_DEFER},
		{"levels { tag 5.0 defer 9.0 reject 15.0 }", "15.0", ACTION_REJECT},
		{"levels { tag 5.0 defer never reject 15.0 }", "14", ACTION_TAG},
		{"levels { tag never }", "100", ACTION_ACCEPT},
		{"levels { tag 1 } levels { tag 3 reject 4 }", "2", ACTION_ACCEPT},
		{"levels { tag 1 } levels { tag 3 reject 4 }", "4", ACTION_REJECT},
	};
	struct bench *b = *state;
	set_three(b);
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		char text[400];
		snprintf(text, sizeof(text),
			 "%s\nrule a.b { clause 2.5.4 when txn.tls score %s tell \"x\" "
			 "test hit { txn.tls = true } test miss { txn.tls = false } }\n",
			 rows[i].levels, rows[i].score);
		assert_int_equal(load(b, text, 0), 0);
		judge(b);
		if (b->verdict.action != rows[i].want)
			fail_msg("%s with %s: %s", rows[i].levels, rows[i].score,
				 action_name(b->verdict.action));
	}
}

static void test_limits(void **state)
{
	struct bench *b = *state;
	size_t n;
	assert_int_equal(load(b, "limit ip { 9 per day }\n"
				 "limit ip { 3000 per hour  100 per minute  20000 per day }\n", 0), 0);
	const struct limit *l = ruleset_limits(b->set, LIMIT_IP, &n);
	assert_int_equal(n, 3);
	static const struct limit want[] = {{100, 60000000, false}, {3000, 3600000000, false},
					    {20000, 86400000000, false}};
	for (size_t i = 0; i < n; i++) {
		assert_int_equal(l[i].count, want[i].count);
		assert_int_equal(l[i].window_us, want[i].window_us);
	}
	ruleset_limits(b->set, LIMIT_SENDER, &n);
	assert_int_equal(n, 0);
	assert_true(ruleset_standing(b->set).relaxed == 1);
	assert_int_equal(load(b, "limit ip { 3000 per hour dry-run  20 at once }\n"
				 "limit sender { 500 per hour  relaxed 2.5  tightened 0.25 }\n", 0), 0);
	l = ruleset_limits(b->set, LIMIT_IP, &n);
	assert_int_equal(n, 2);
	assert_int_equal(l[0].window_us, LIMIT_AT_ONCE);
	assert_false(l[0].dry_run);
	assert_true(l[1].dry_run);
	assert_true(ruleset_standing(b->set).relaxed == 2.5);
	assert_true(ruleset_standing(b->set).tightened == 0.25);
}

/* As another process gets them; octets that were cut are refused. */
static void test_limits_sent(void **state)
{
	struct bench *b = *state;
	struct buf octets = BUF_INIT;
	struct ruleset *other = NULL;
	assert_int_equal(load(b, "limit ip { 3000 per hour dry-run  20 at once }\n"
				 "limit sender { 500 per hour  relaxed 2.5  tightened 0.25 }\n", 0), 0);
	ruleset_write_limits(b->set, &octets);
	for (size_t cut = 0; cut < octets.n; cut++)
		assert_int_equal(ruleset_read_limits(&other, (struct span){octets.p, cut}), -EBADMSG);
	assert_int_equal(ruleset_read_limits(&other, buf_span(&octets)), 0);
	for (int s = 0; s < LIMIT_SCOPES; s++) {
		size_t n, m;
		const struct limit *want = ruleset_limits(b->set, (enum limit_scope)s, &n);
		const struct limit *l = ruleset_limits(other, (enum limit_scope)s, &m);
		assert_int_equal(n, m);
		for (size_t i = 0; i < n; i++)
			assert_true(l[i].count == want[i].count && l[i].window_us == want[i].window_us &&
				    l[i].dry_run == want[i].dry_run);
	}
	assert_true(ruleset_standing(other).relaxed == 2.5 && ruleset_standing(other).tightened == 0.25);
	ruleset_unref(other);
	buf_free(&octets);
}

static void test_adjust(void **state)
{
	struct bench *b = *state;
	int64_t last;
	assert_true(clock_parse_day(SPAN("2027-01-31"), &last));
	static const char text[] =
		RULE("a.b", "txn.tls", "2") RULE("c.d", "txn.tls", "3")
		"adjust a.b { score 0.5 level info reason \"our list server\" until 2027-01-31 }\n"
		"disable c.d { reason \"broken by the migration\" until 2027-01-31 }\n";
	set_three(b);
	/* the day named is the last one */
	assert_int_equal(load(b, text, last + DAY_US - 1), 0);
	judge(b);
	assert_int_equal(ruleset_count(b->set), 1);
	assert_true(b->verdict.score == 0.5);
	assert_int_equal(b->verdict.findings[0].level, LEVEL_INFO);
	/* the day after, both are as shipped */
	assert_int_equal(load(b, text, last + DAY_US), 0);
	judge(b);
	assert_int_equal(ruleset_count(b->set), 2);
	assert_true(b->verdict.score == 5);
	assert_int_equal(b->verdict.findings[0].level, LEVEL_MUST);
	/* without a day it stays; the last one wins */
	assert_int_equal(load(b, RULE("a.b", "txn.tls", "2") "adjust a.b { score 1 reason \"x\" }\n"
				 "adjust a.b { score 7 reason \"y\" }\n", INT64_MAX / 2), 0);
	judge(b);
	assert_true(b->verdict.score == 7);
	assert_int_equal(load(b, "adjust no.rule { reason \"x\" }\n", 0), RULES_E_FAULTS);
	assert_null(b->set);
}

static void test_hash(void **state)
{
	struct bench *b = *state;
	char first[17], text[600];
	assert_int_equal(load(b, RULE("a.b", "txn.tls", "2"), 0), 0);
	strcpy(first, ruleset_hash(b->set));
	assert_int_equal(strlen(first), 16);
	snprintf(text, sizeof(text), "# why\n\n%s\t # end\n", RULE("a.b", "txn.tls  # here\n ", "2"));
	assert_int_equal(load(b, text, 0), 0);
	assert_string_equal(ruleset_hash(b->set), first);
	assert_int_equal(load(b, RULE("a.b", "txn.tls", "2.1"), 0), 0);
	assert_string_not_equal(ruleset_hash(b->set), first);
	/* a list is part of the set, its comments are not */
	write_file(b, "lists/names.txt", "a.test\n");
	assert_int_equal(load(b, RULE("a.b", "from.domain in @names", "2"), 0), 0);
	strcpy(first, ruleset_hash(b->set));
	write_file(b, "lists/names.txt", "# ours\na.test  # theirs\n");
	assert_int_equal(load(b, RULE("a.b", "from.domain in @names", "2"), 0), 0);
	assert_string_equal(ruleset_hash(b->set), first);
	write_file(b, "lists/names.txt", "b.test\n");
	assert_int_equal(load(b, RULE("a.b", "from.domain in @names", "2"), 0), 0);
	assert_string_not_equal(ruleset_hash(b->set), first);
}

static struct fact one_header(const void *message, struct span name)
{
	(void)message;
	bool known = span_eq(name, SPAN("x-mailer"));
	return (struct fact){.state = known ? FACT_KNOWN : FACT_ABSENT, .text = SPAN("Bulk 2.0")};
}

static void test_header(void **state)
{
	struct bench *b = *state;
	assert_int_equal(outcome_of(b, NULL, "header.X-Mailer ~ \"bulk\""), RULE_SKIPPED);
	b->facts.header = one_header;
	assert_int_equal(outcome_of(b, NULL, "header.X-Mailer ~ \"bulk\""), RULE_HIT);
	assert_int_equal(outcome_of(b, NULL, "header.subject == \"\""), RULE_HIT);
}

/* The longest chain is judged; one more operand is a fault. */
static void test_chain(void **state)
{
	struct bench *b = *state;
	char text[20000];
	set_three(b);
	for (unsigned n = 1000; n <= 1001; n++) {
		char *p = text + sprintf(text, "rule a.b { when txn.complete");
		for (unsigned i = 1; i < n; i++)
			p = stpcpy(p, " or txn.tls");
		strcpy(p, TAIL);
		assert_int_equal(load(b, text, 0), n == 1000 ? 0 : RULES_E_FAULTS);
		if (n == 1000) {
			judge(b);
			assert_int_equal(b->verdict.n_findings, 1);
		}
	}
}

struct told {
	unsigned ok, failed;
};

static void told(void *arg, const char *rule, const char *file, unsigned line, bool ok,
		 const char *what)
{
	struct told *t = arg;
	(void)rule, (void)file, (void)line, (void)what;
	*(ok ? &t->ok : &t->failed) += 1;
}

static const struct facts *no_sample(void *arg, struct span name)
{
	(void)arg, (void)name;
	return NULL;
}

static void test_tests(void **state)
{
	struct bench *b = *state;
	struct told t = {0};
	unsigned run;
	assert_int_equal(load(b,
			      "rule a.b { clause 2.5.4 score 1 tell \"x\"\n"
			      " applies txn.tls when to.count > 3 and \"form\" in html.active\n"
			      " test hit  { txn.tls = true to.count = 4 html.active = \"form\" }\n"
			      " test hit  { txn.tls = true to.count = 4 html.active = (\"script\" \"form\") }\n"
			      " test miss { txn.tls = true to.count = 4 html.active = () }\n"
			      " test miss { txn.tls = false }\n"
			      " test skip { txn.tls = true to.count = 4 }\n"
			      " test skip { txn.tls = true to.count = unknown html.active = \"form\" }\n"
			      " test hit  { txn.tls = true to.count = 3 }\n"      /* misses */
			      " test miss { txn.tls = unknown }\n"                /* is skipped */
			      " test hit  \"not-there.eml\" { txn.tls = true }\n" /* not read */
			      "}\n", 0), 0);
	struct rule_tester tester = {no_sample, told, &t};
	assert_int_equal(ruleset_run_tests(b->set, &tester, &run), 3);
	assert_int_equal(run, 9);
	assert_int_equal(t.ok, 6);
	assert_int_equal(t.failed, 3);
}

/* The packs as shipped: whatever else is seen, mail that is not marketing mail, or of which we
 * cannot tell, has no finding; mail of which only the class is known is not judged at all. */
static void test_shipped(void **state)
{
	static const char *const packs[] = {"isc-1.2", "cn-order38", "bulk-senders"};
	static const struct span members[] = {{"script", 6}, {"gambling", 8}};
	struct bench *b = *state;
	const char *source = getenv("ASSAY_SOURCE"), *folders[1];
	char folder[4200];
	if (!source) {
		print_message("ASSAY_SOURCE is not set\n");
		skip();
	}
	snprintf(folder, sizeof(folder), "%s/rules", source);
	folders[0] = folder;
	b->config.rules = (struct config_texts){.v = folders, .n = 1};
	b->config.packs = (struct config_texts){.v = (const char **)packs, .n = 3};
	assert_int_equal(ruleset_load(&b->set, &b->config, 0), 0);
	assert_true(ruleset_count(b->set) > 50);
	for (int truth = 0; truth < 4; truth++) {
		for (unsigned i = 0; i < FACT_COUNT; i++) {
			enum fact_type type = fact_infos[i].type;
			enum fact_id id = (enum fact_id)i;
			if (type == FACT_NUMBER)
				facts_set_number(&b->facts, id, truth % 2 ? 9000 : -1);
			else if (type == FACT_CONDITION)
				facts_set_condition(&b->facts, id, truth % 2);
			else if (type == FACT_LIST)
				facts_set_list(&b->facts, id, members, truth % 2 ? 2 : 0);
			else
				facts_set_text(&b->facts, id, truth % 2 ? SPAN("fail") : SPAN(""));
		}
		facts_set_condition(&b->facts, F_CLASS_MARKETING, false);
		if (truth >= 2)
			facts_set_unknown(&b->facts, F_CLASS_MARKETING);
		judge(b);
		if (b->verdict.n_findings)
			fail_msg("%s is judged without the class", b->verdict.findings[0].rule);
		assert_true(b->verdict.score == 0);
	}
	facts_init(&b->facts, &b->arena);
	facts_set_condition(&b->facts, F_CLASS_MARKETING, true);
	judge(b);
	for (size_t i = 0; i < b->verdict.n_rules; i++)
		if (b->verdict.outcomes[i] != RULE_SKIPPED)
			fail_msg("%s is judged without facts", ruleset_rule(b->set, i).name);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_truth, setup, teardown),
		cmocka_unit_test_setup_teardown(test_outcomes, setup, teardown),
		cmocka_unit_test_setup_teardown(test_types, setup, teardown),
		cmocka_unit_test_setup_teardown(test_evidence, setup, teardown),
		cmocka_unit_test_setup_teardown(test_compliance, setup, teardown),
		cmocka_unit_test_setup_teardown(test_levels, setup, teardown),
		cmocka_unit_test_setup_teardown(test_limits, setup, teardown),
		cmocka_unit_test_setup_teardown(test_limits_sent, setup, teardown),
		cmocka_unit_test_setup_teardown(test_adjust, setup, teardown),
		cmocka_unit_test_setup_teardown(test_hash, setup, teardown),
		cmocka_unit_test_setup_teardown(test_header, setup, teardown),
		cmocka_unit_test_setup_teardown(test_chain, setup, teardown),
		cmocka_unit_test_setup_teardown(test_tests, setup, teardown),
		cmocka_unit_test_setup_teardown(test_shipped, setup, teardown),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
