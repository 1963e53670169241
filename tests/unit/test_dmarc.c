/* DMARC against tables: discovery, organizational domains, alignment, policies, DNS trouble. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "analyze/auth.h"
#include "tests/unit/memory_dns.h"

/* The list that these rows need; netid.c's reads the whole one. */
struct span org_domain_psl(struct span domain)
{
	static const char *const suffixes[] = {"com", "cn", "com.cn", "co.uk", "uk", "example"};
	struct span best = domain;
	for (struct span at = domain; at.n;) {
		size_t dot = span_find_char(at, '.');
		struct span parent = dot == SIZE_MAX ? SPAN_NONE : span_sub(at, dot + 1, at.n);
		for (size_t i = 0; i < sizeof(suffixes) / sizeof(suffixes[0]); i++)
			if (span_case_eq(parent, span_of(suffixes[i])))
				return at;
		at = parent;
	}
	return best;
}

struct zone {
	const char *name, *type, *value;
};

struct row {
	const char *name;
	struct zone zone[6];
	const char *from;
	const char *spf, *dkim; /* domains that passed; "!d": temperror; NULL: none */
	const char *result, *policy, *disposition, *domain, *org;
	enum dmarc_standard standard;
};

#define D1 "v=DMARC1; "
#define DM(name, text) {"_dmarc." name, "TXT", D1 text}

static const struct row rows[] = {
	/* RFC 9989, appendix B.4 and sections 4.7, 4.10 */
	{"identical, strict", {DM("example.com", "p=reject; adkim=s")}, "example.com", NULL,
	 "example.com", "pass", "reject", "reject", "example.com", "example.com", 0},
	{"record of the organization", {DM("example.com", "p=reject")}, "mail.example.com", NULL,
	 "example.com", "pass", "reject", "reject", "example.com", "example.com", 0},
	{"no record", {{NULL, NULL, NULL}}, "example.com", NULL, NULL, "none", NULL, NULL, NULL,
	 "example.com", 0},
	{"two records are none", {DM("example.com", "p=reject"), DM("example.com", "p=none")},
	 "example.com", NULL, NULL, "none", NULL, NULL, NULL, "example.com", 0},
	{"two records below, the walk goes on (4.10 step 6)",
	 {DM("mail.example.com", "p=reject"), DM("mail.example.com", "p=quarantine"),
	  DM("example.com", "p=none")}, "mail.example.com", NULL, NULL, "fail", "none", "none",
	 "example.com", "example.com", 0},
	{"other TXT below", {{"_dmarc.mail.example.com", "TXT", "some other text"},
	  DM("example.com", "p=quarantine")}, "mail.example.com", NULL, "example.com", "pass",
	 "quarantine", "quarantine", "example.com", "example.com", 0},
	{"pct is nothing", {DM("example.com", "p=reject; pct=0")}, "example.com", "other.example",
	 "other.example", "fail", "reject", "reject", "example.com", "example.com", 0},
	{"B.4.1", {DM("example.com", "p=reject"), DM("signing.example.com", "p=reject")},
	 "example.com", NULL, "signing.example.com", "pass", "reject", "reject", "example.com",
	 "example.com", 0},
	{"B.4.2: deep name", {DM("example.com", "p=reject"), DM("signing.example.com", "p=reject")},
	 "a.b.c.d.e.f.g.h.i.j.k.example.com", "example.com", NULL, "pass", "reject", "reject",
	 "example.com", "example.com", 0},
	{"psd=n between", {DM("b.example.com", "p=reject; psd=n"), DM("example.com", "p=none")},
	 "a.b.example.com", NULL, NULL, "fail", "reject", "reject", "b.example.com",
	 "b.example.com", 0},
	{"psd=n parts siblings", {DM("b.example.com", "p=reject; psd=n"),
	  DM("example.com", "p=none")}, "b.example.com", "example.com", "x.example.com", "fail",
	 "reject", "reject", "b.example.com", "b.example.com", 0},
	{"B.4.3: psd=y", {DM("bank.example", "p=reject; psd=y; rua=mailto:p@bank.example"),
	  DM("giant.bank.example", "p=quarantine")}, "giant.bank.example",
	 "mail.giant.bank.example", "mail.mega.bank.example", "pass", "quarantine", "quarantine",
	 "giant.bank.example", "giant.bank.example", 0},
	{"psd=y, the other branch", {DM("bank.example", "p=reject; psd=y"),
	  DM("giant.bank.example", "p=quarantine")}, "giant.bank.example", NULL,
	 "mail.mega.bank.example", "fail", "quarantine", "quarantine", "giant.bank.example",
	 "giant.bank.example", 0},
	{"policy of the public suffix", {DM("bank.example", "p=reject; psd=y")},
	 "mail.mega.bank.example", NULL, NULL, "fail", "reject", "reject", "bank.example",
	 "mega.bank.example", 0},
	{"own record beats the suffix's", {DM("example", "p=reject; psd=y"),
	  DM("foo.example", "p=none")}, "foo.example", NULL, NULL, "fail", "none", "none",
	 "foo.example", "foo.example", 0},
	{"np", {DM("example.com", "p=reject; sp=none; np=quarantine")}, "sub.example.com", NULL,
	 NULL, "fail", "quarantine", "quarantine", "example.com", "example.com", 0},
	{"np, but it exists", {DM("example.com", "p=reject; sp=none; np=quarantine"),
	  {"sub.example.com", "A", "192.0.2.10"}}, "sub.example.com", NULL, NULL, "fail", "none",
	 "none", "example.com", "example.com", 0},
	{"np, exists by MX", {DM("example.com", "p=reject; sp=none; np=quarantine"),
	  {"sub.example.com", "MX", "mx.example.com"}}, "sub.example.com", NULL, NULL, "fail",
	 "none", "none", "example.com", "example.com", 0},
	{"np, the DNS does not tell", {DM("example.com", "p=reject; sp=none; np=quarantine"),
	  {"sub.example.com", "A!", ""}}, "sub.example.com", NULL, NULL, "temperror", NULL, NULL,
	 "example.com", "example.com", 0},
	{"sp", {DM("example.com", "p=reject; sp=quarantine")}, "sub.example.com", NULL, NULL,
	 "fail", "quarantine", "quarantine", "example.com", "example.com", 0},
	{"t=y lowers reject", {DM("example.com", "p=reject; t=y")}, "example.com", NULL, NULL,
	 "fail", "reject", "quarantine", "example.com", "example.com", 0},
	{"t=y lowers quarantine", {DM("example.com", "p=quarantine; t=y")}, "example.com", NULL,
	 NULL, "fail", "quarantine", "none", "example.com", "example.com", 0},
	{"no p but rua", {DM("example.com", "rua=mailto:d@example.com")}, "example.com", NULL,
	 "example.com", "pass", "none", "none", "example.com", "example.com", 0},
	{"no p, no rua", {DM("example.com", "adkim=s")}, "example.com", NULL, NULL, "none", NULL,
	 NULL, NULL, "example.com", 0},
	{"bad sp, rua", {DM("example.com", "p=reject; sp=bob; rua=mailto:d@example.com")},
	 "example.com", NULL, NULL, "fail", "none", "none", "example.com", "example.com", 0},
	{"version in lower case", {{"_dmarc.example.com", "TXT", "v=dmarc1; p=reject"}},
	 "example.com", NULL, NULL, "none", NULL, NULL, NULL, "example.com", 0},
	{"version with a tail", {{"_dmarc.example.com", "TXT", "v=DMARC1x; p=reject"}},
	 "example.com", NULL, NULL, "none", NULL, NULL, NULL, "example.com", 0},
	{"blanks around =", {{"_dmarc.example.com", "TXT", "v = DMARC1; p = reject; adkim = s"}},
	 "mail.example.com", NULL, "example.com", "fail", "reject", "reject", "example.com",
	 "example.com", 0},
	{"capitals", {DM("example.com", "p=Reject; adkim=S")}, "mail.example.com", NULL,
	 "example.com", "fail", "reject", "reject", "example.com", "example.com", 0},
	{"p first counts", {DM("example.com", "p=reject; p=none")}, "example.com", NULL, NULL,
	 "fail", "reject", "reject", "example.com", "example.com", 0},
	{"strict SPF", {DM("example.com", "p=none; aspf=s")}, "example.com", "b.example.com", NULL,
	 "fail", "none", "none", "example.com", "example.com", 0},
	{"case of names", {DM("example.com", "p=none; aspf=s")}, "example.com", "EXAMPLE.com",
	 NULL, "pass", "none", "none", "example.com", "example.com", 0},
	{"a suffix of letters is no parent", {DM("example.com", "p=none")}, "example.com",
	 "badexample.com", "badexample.com", "fail", "none", "none", "example.com",
	 "example.com", 0},
	/* trouble */
	{"record unknown", {{"_dmarc.example.com", "TXT!", ""}}, "example.com", NULL, NULL,
	 "temperror", NULL, NULL, NULL, NULL, 0},
	{"record above unknown", {{"_dmarc.example.com", "TXT!", ""}}, "mail.example.com", NULL,
	 "example.com", "temperror", NULL, NULL, NULL, NULL, 0},
	{"top unknown, identical domain passes", {DM("example.com", "p=reject"),
	  {"_dmarc.com", "TXT!", ""}}, "example.com", NULL, "example.com", "pass", "reject",
	 "reject", "example.com", NULL, 0},
	{"top unknown, relaxed is open", {DM("example.com", "p=reject"),
	  {"_dmarc.com", "TXT!", ""}}, "example.com", NULL, "mail.example.com", "temperror",
	 "reject", "reject", "example.com", NULL, 0},
	{"SPF unknown and aligned", {DM("example.com", "p=reject")}, "example.com", "!example.com",
	 NULL, "temperror", "reject", "reject", "example.com", "example.com", 0},
	{"SPF unknown, not aligned", {DM("example.com", "p=reject")}, "example.com", "!other.com",
	 NULL, "fail", "reject", "reject", "example.com", "example.com", 0},
	{"SPF unknown, DKIM passes", {DM("example.com", "p=reject")}, "example.com",
	 "!example.com", "example.com", "pass", "reject", "reject", "example.com", "example.com", 0},
	/* RFC 7489 */
	{"7489: list", {DM("example.co.uk", "p=reject; sp=quarantine")}, "a.b.example.co.uk",
	 NULL, "c.example.co.uk", "pass", "quarantine", "quarantine", "example.co.uk",
	 "example.co.uk", DMARC_RFC7489},
	{"7489: records between do not count", {DM("b.example.com", "p=reject"),
	  DM("example.com", "p=none")}, "a.b.example.com", NULL, NULL, "fail", "none", "none",
	 "example.com", "example.com", DMARC_RFC7489},
	{"7489: two records end it", {DM("mail.example.com", "p=reject"),
	  DM("mail.example.com", "p=none"), DM("example.com", "p=none")}, "mail.example.com",
	 NULL, NULL, "none", NULL, NULL, NULL, "example.com", DMARC_RFC7489},
	{"7489: pct=0", {DM("example.com", "p=reject; pct=0")}, "example.com", NULL, NULL, "fail",
	 "reject", "quarantine", "example.com", "example.com", DMARC_RFC7489},
	{"7489: no np, no t", {DM("example.com", "p=reject; np=none; t=y")}, "x.example.com", NULL,
	 NULL, "fail", "reject", "reject", "example.com", "example.com", DMARC_RFC7489},
};

static void same(const char *row, const char *what, const char *want, struct span got)
{
	if (want ? span_eq(span_of(want), got) : got.p == NULL)
		return;
	fail_msg("%s: %s: want %s, got %.*s", row, what, want ? want : "(none)",
		 got.p ? (int)got.n : 6, got.p ? got.p : "(none)");
}

static enum auth_result result_of(const char **domain)
{
	if (**domain != '!')
		return AUTH_PASS;
	(*domain)++;
	return AUTH_TEMPERROR;
}

static void fill_zone(const struct zone zone[6])
{
	memory_reset();
	for (size_t i = 0; i < 6 && zone[i].name; i++)
		memory_add(span_of(zone[i].name), zone[i].type, 0, span_of(zone[i].value));
}

static void run_row(const struct row *row, struct arena *arena)
{
	struct auth auth = {.n_dkim = 0};
	struct dkim_result dkim = {.result = AUTH_NONE};
	struct address from = {.domain = span_of(row->from)};
	struct message m = {.arena = arena, .octets = SPAN("From: x\r\n\r\n")};
	struct auth_query q = {.dmarc = row->standard};
	m.from.v = &from;
	m.from.n = m.from.total = 1;
	const char *spf = row->spf, *signer = row->dkim;
	if (spf) {
		auth.spf.result = result_of(&spf);
		auth.spf.domain = span_of(spf);
	}
	if (signer) {
		dkim.result = result_of(&signer);
		dkim.d = span_of(signer);
		auth.dkim = &dkim;
		auth.n_dkim = 1;
	}
	fill_zone(row->zone);
	unsigned runs = 1;
	while (dmarc_check(&auth, &m, &q, &memory_session, arena) == STEP_WAIT) {
		assert_true(memory_arrive());
		assert_true(++runs < 10);
	}
	const struct dmarc_result *r = &auth.dmarc;
	same(row->name, "result", row->result, span_of(auth_result_name(r->result)));
	same(row->name, "policy", row->policy, r->policy);
	same(row->name, "disposition", row->disposition, r->disposition);
	same(row->name, "domain", row->domain, r->domain);
	same(row->name, "org_domain", row->org, r->org_domain);
}

static void tables(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct arena arena;
		arena_init(&arena, (size_t)1 << 20);
		run_row(&rows[i], &arena);
		arena_free(&arena);
	}
}

/* RFC 9989 section 4.10: exactly these eight names, whatever the author's domain is. */
static void walk_of_a_deep_name(void **state)
{
	static const char *const want[] = {
		"_dmarc.a.b.c.d.e.f.g.h.i.j.k.example.com", "_dmarc.g.h.i.j.k.example.com",
		"_dmarc.h.i.j.k.example.com", "_dmarc.i.j.k.example.com",
		"_dmarc.j.k.example.com", "_dmarc.k.example.com", "_dmarc.example.com",
		"_dmarc.com"};
	struct row row = {.name = "queries", .from = "a.b.c.d.e.f.g.h.i.j.k.example.com",
			  .result = "none", .org = "example.com"};
	struct arena arena;
	(void)state;
	arena_init(&arena, (size_t)1 << 20);
	run_row(&row, &arena);
	assert_int_equal(memory.n_asked, 8);
	for (size_t i = 0; i < 8; i++)
		assert_string_equal(memory.asked[i]->name, want[i]);
	arena_free(&arena);
}

static void authors(void **state)
{
	static const struct {
		const char *domains[3], *want;
	} cases[] = {
		{{NULL}, "none"},
		{{"example.com", "example.com"}, "fail"},
		{{"example.com", "other.com"}, "permerror"},
	};
	(void)state;
	for (size_t i = 0; i < 3; i++) {
		struct arena arena;
		struct auth auth = {.n_dkim = 0};
		struct address from[3] = {{.name = SPAN_NONE}};
		struct message m = {.octets = SPAN("\r\n")};
		struct auth_query q = {.dmarc = DMARC_RFC9989};
		arena_init(&arena, (size_t)1 << 20);
		m.from.v = from;
		for (; cases[i].domains[m.from.n]; m.from.n++)
			from[m.from.n].domain = span_of(cases[i].domains[m.from.n]);
		memory_reset();
		memory_txt("_dmarc.example.com", "v=DMARC1; p=none");
		while (dmarc_check(&auth, &m, &q, &memory_session, &arena) == STEP_WAIT)
			assert_true(memory_arrive());
		assert_string_equal(auth_result_name(auth.dmarc.result), cases[i].want);
		arena_free(&arena);
	}
}

/* Whole header fields: who the author is, and which domain is asked for. */
static void from_fields(void **state)
{
	static const struct {
		const char *header, *want, *domain; /* domain: _dmarc.domain has the record */
	} cases[] = {
		{"From: a@example.com\r\n", "fail", "example.com"},
		{"From: a@example.com\r\nFrom: b@example.com\r\n", "fail", "example.com"},
		{"From: a@example.com\r\nSubject: x\r\nFROM: b@other.com\r\n", "permerror", NULL},
		{"From: a@other.com\r\nFrom: b@example.com\r\n", "permerror", NULL},
		{"From: a@example.com\r\nFrom: nobody\r\n", "fail", "example.com"},
		{"From: nobody\r\nFrom: a@example.com\r\n", "fail", "example.com"},
		{"From: A <a@example.com>, B <b@EXAMPLE.COM>\r\n", "fail", "example.com"},
		{"From: \"c@other.com\" <a@example.com>\r\n", "fail", "example.com"},
		{"From: a@example.com (c@other.com)\r\n", "fail", "example.com"},
		{"From: g: a@example.com, b@example.com;\r\n", "fail", "example.com"},
		{"From: undisclosed:;\r\n", "none", NULL},
		{"From:\r\n", "none", NULL},
		{"From: a@[192.0.2.1]\r\n", "none", NULL},
		{"Sender: a@example.com\r\n", "none", NULL},
		{"From: a@b\303\274cher.example\r\n", "fail", "xn--bcher-kva.example"},
		{"From: a@XN--bcher-kva.example\r\n", "fail", "xn--bcher-kva.example"},
		{"From: a@b\303\274cher.example\r\nFrom: b@xn--bcher-kva.example\r\n", "fail",
		 "xn--bcher-kva.example"},
		{"From: a@\345\205\254\345\217\270.cn\r\n", "fail", "xn--55qx5d.cn"},
		{"From: =?utf-8?q?b=40other.com?= <a@example.com>\r\n", "fail", "example.com"},
	};
	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct arena arena;
		struct auth auth = {.n_dkim = 0};
		struct message m;
		struct auth_query q = {.dmarc = DMARC_RFC9989};
		arena_init(&arena, (size_t)4 << 20);
		struct span octets = arena_printf(&arena, "%s\r\nx\r\n", cases[i].header);
		assert_int_equal(message_parse(&m, &arena, octets), 0);
		memory_reset();
		if (cases[i].domain)
			memory_add(arena_printf(&arena, "_dmarc.%s", cases[i].domain), "TXT", 0,
				   SPAN("v=DMARC1; p=none"));
		while (dmarc_check(&auth, &m, &q, &memory_session, &arena) == STEP_WAIT)
			assert_true(memory_arrive());
		if (strcmp(auth_result_name(auth.dmarc.result), cases[i].want) != 0)
			fail_msg("%s: want %s, got %s (%s)", cases[i].header, cases[i].want,
				 auth_result_name(auth.dmarc.result), auth.dmarc.why);
		arena_free(&arena);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(tables), cmocka_unit_test(from_fields),
					   cmocka_unit_test(walk_of_a_deep_name),
					   cmocka_unit_test(authors)};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
