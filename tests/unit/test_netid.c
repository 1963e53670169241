/*
 * Unit tests of the network identity: names that look dynamic, HELO, reverse names, who belongs
 * together, returnable addresses, block lists. The DNS is a table.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "analyze/dynamic.h"
#include "analyze/netid.h"
#include "base/clock.h"
#include "base/limits.h"
#include "memory_dns.h"

static void test_dynamic(void **state)
{
	static const struct {
		const char *name, *ip;
		bool want;
	} rows[] = {
		/* the address in the name: octets in order, reversed, padded, with any separators */
		{"c-192-0-2-17.isp.example", "192.0.2.17", true},
		{"192.0.2.17.isp.example", "192.0.2.17", true},
		{"17.2.0.192.isp.example", "192.0.2.17", true},
		{"17-2-0-192.isp.example", "192.0.2.17", true},
		{"h192_0_2_17.isp.example", "192.0.2.17", true},
		{"ip192x0x2x17.isp.example", "192.0.2.17", true},
		{"host-192-000-002-017.isp.example", "192.0.2.17", true},
		{"17-2.0-192.isp.example", "192.0.2.17", true},
		{"192000002017.isp.example", "192.0.2.17", true},
		{"ip-3221225985.isp.example", "192.0.2.1", true},
		{"p-113-20-9.isp.example", "203.113.20.9", true},
		{"9-20-113.isp.example", "203.113.20.9", true},
		/* hexadecimal, either order */
		{"c0000211.isp.example", "192.0.2.17", true},
		{"p5b0a1f22.isp.example", "91.10.31.34", true},
		{"1102 00c0.isp.example", "192.0.2.17", false},
		{"110200c0.isp.example", "192.0.2.17", true},
		{"c0-00-02-11.isp.example", "192.0.2.17", true},
		{"c0.00.02.11.isp.example", "192.0.2.17", true},
		{"11-02-00-c0.isp.example", "192.0.2.17", true},
		/* IPv6 */
		{"2001-db8-1-2-3-4-5-6.isp.example", "2001:db8:1:2:3:4:5:6", true},
		{"2001-db8-1--5.isp.example", "2001:db8:1::5", true},
		{"20010db8000100020003000400050006.isp.example", "2001:db8:1:2:3:4:5:6", true},
		{"2001-0db8-0001-0002-0003-0004-0005-0006.isp.example", "2001:db8:1:2:3:4:5:6", true},
		{"6.0.0.0.5.0.0.0.4.0.0.0.3.0.0.0.2.0.0.0.1.0.0.0.8.b.d.0.1.0.0.2.isp.example",
		 "2001:db8:1:2:3:4:5:6", true},
		{"dead-beef-cafe-f00d.isp.example", "2001:db8::dead:beef:cafe:f00d", true},
		{"n20010db8a1b2c3d4.isp.example", "2001:db8:a1b2:c3d4::1", true},
		{"mx6.isp.example", "2001:db8::1", false},
		{"a-1.isp.example", "2001:db8::1", false},
		{"2001-db8-9-9-3-4-5-6.isp.example", "2001:db8:1:2:3:4:5:7", false},
		/* words */
		{"dyn-17.isp.example", "192.0.2.17", true},
		{"pool12.isp.example", "192.0.2.17", true},
		{"host.dynamic.isp.example", "192.0.2.17", true},
		{"a.adsl.isp.example", "192.0.2.17", true},
		{"cpe-4711.isp.example", "192.0.2.17", true},
		{"customer-4711.isp.example", "192.0.2.17", true},
		{"customer.shop.example", "192.0.2.17", false},
		{"home.shop.example", "192.0.2.17", false},
		{"spool.shop.example", "192.0.2.17", false},
		/* a name of its own, or one that says static or names a mail host */
		{"shop.example", "192.0.2.17", false},
		{"www1.shop.example", "192.0.2.17", false},
		{"srv-1-2-3.shop.example", "192.1.2.3", false},
		{"static-192-0-2-17.isp.example", "192.0.2.17", false},
		{"192-0-2-17.static.isp.example", "192.0.2.17", false},
		{"mail-192-0-2-17.esp.example", "192.0.2.17", false},
		{"o1.mail.esp.example", "192.0.2.17", false},
		{"mta17.pool.esp.example", "192.0.2.17", false},
		{"c-198-51-100-17.isp.example", "192.0.2.17", false},
		{"1192.0.2.17.isp.example", "192.0.2.17", false},
		/* what is registered is no part of it */
		{"x.dsl.example", "192.0.2.17", false},
		{"pool.example", "192.0.2.17", false},
	};
	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct span name = span_of(rows[i].name);
		struct ip ip;
		assert_true(ip_parse(span_of(rows[i].ip), &ip));
		if (dynamic_name(name, name.n - org_domain_psl(name).n, &ip) != rows[i].want)
			fail_msg("%s of %s: want %d", rows[i].name, rows[i].ip, rows[i].want);
	}
	/* a domain that the list knows as a suffix of its own */
	struct ip ip;
	ip_parse(SPAN("192.0.2.17"), &ip);
	assert_true(dynamic_name(SPAN("ec2-192-0-2-17.cloud.example"), 0, &ip));
	/* any octets at any length end */
	for (size_t n = 0; n < 300; n++) {
		char junk[300];
		for (size_t i = 0; i < n; i++)
			junk[i] = "1-a.f0"[(i * n) % 6];
		dynamic_holds_address((struct span){junk, n}, &ip);
	}
}

/* --- facts ------------------------------------------------------------------------------- */

struct zone {
	const char *name, *type, *value;
};

struct want {
	enum fact_id id;
	const char *value;
};

struct row {
	const char *name;
	const char *ip, *helo, *mail_from, *from, *reply_to, *dkim; /* dkim: "!d" did not pass */
	struct zone zone[12];
	struct want want[8];
};

#define IP "192.0.2.17"
#define PTR "17.2.0.192.in-addr.arpa"
#define PTR6 "5.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.8.b.d.0.1.0.0.2.ip6.arpa"
#define POINTS_BACK {PTR, "PTR", "mail.shop.com"}, {"mail.shop.com", "A", IP}

static const char *ip_lists[] = {"ip.bl", "dead.bl"}, *domain_lists[] = {"dom.bl"};

static const struct row rows[] = {
	/* HELO */
	{"helo good", IP, "mail.shop.com", "", NULL, NULL, NULL, {{"mail.shop.com", "A", IP}},
	 {{F_NET_HELO_SYNTAX, "fqdn"}, {F_NET_HELO_RESOLVES, "yes"}, {F_NET_HELO_MATCHES, "yes"}}},
	{"helo of another address", IP, "mail.shop.com", "", NULL, NULL, NULL,
	 {{"mail.shop.com", "A", "192.0.2.99"}},
	 {{F_NET_HELO_SYNTAX, "fqdn"}, {F_NET_HELO_RESOLVES, "yes"}, {F_NET_HELO_MATCHES, "no"}}},
	{"helo nowhere", IP, "mail.shop.com", "", NULL, NULL, NULL, {{NULL, NULL, NULL}},
	 {{F_NET_HELO_RESOLVES, "no"}, {F_NET_HELO_MATCHES, "no"}}},
	{"helo silent", IP, "mail.shop.com", "", NULL, NULL, NULL, {{"mail.shop.com", "A!", ""}},
	 {{F_NET_HELO_SYNTAX, "fqdn"}, {F_NET_HELO_RESOLVES, "?"}, {F_NET_HELO_MATCHES, "?"}}},
	{"helo, IPv6 silent but IPv4 matches", IP, "mail.shop.com", "", NULL, NULL, NULL,
	 {{"mail.shop.com", "A", IP}, {"mail.shop.com", "AAAA!", ""}},
	 {{F_NET_HELO_RESOLVES, "yes"}, {F_NET_HELO_MATCHES, "yes"}}},
	{"helo, IPv6 silent and IPv4 does not match", IP, "mail.shop.com", "", NULL, NULL, NULL,
	 {{"mail.shop.com", "A", "192.0.2.99"}, {"mail.shop.com", "AAAA!", ""}},
	 {{F_NET_HELO_RESOLVES, "yes"}, {F_NET_HELO_MATCHES, "?"}}},
	{"helo literal", IP, "[192.0.2.17]", "", NULL, NULL, NULL, {{NULL, NULL, NULL}},
	 {{F_NET_HELO_SYNTAX, "literal"}, {F_NET_HELO_RESOLVES, "-"}, {F_NET_HELO_MATCHES, "yes"}}},
	{"helo literal of another", IP, "[192.0.2.18]", "", NULL, NULL, NULL, {{NULL, NULL, NULL}},
	 {{F_NET_HELO_SYNTAX, "literal"}, {F_NET_HELO_MATCHES, "no"}}},
	{"helo literal, IPv6", "2001:db8::5", "[IPv6:2001:DB8::5]", "", NULL, NULL, NULL,
	 {{NULL, NULL, NULL}}, {{F_NET_HELO_SYNTAX, "literal"}, {F_NET_HELO_MATCHES, "yes"}}},
	{"helo address without brackets", IP, "192.0.2.17", "", NULL, NULL, NULL,
	 {{NULL, NULL, NULL}}, {{F_NET_HELO_SYNTAX, "bad"}, {F_NET_HELO_MATCHES, "-"}}},
	{"helo one label", IP, "localhost", "", NULL, NULL, NULL, {{NULL, NULL, NULL}},
	 {{F_NET_HELO_SYNTAX, "bad"}}},
	{"helo empty label", IP, "mail..shop.com", "", NULL, NULL, NULL, {{NULL, NULL, NULL}},
	 {{F_NET_HELO_SYNTAX, "bad"}}},
	{"helo hyphen", IP, "-mail.shop.com", "", NULL, NULL, NULL, {{NULL, NULL, NULL}},
	 {{F_NET_HELO_SYNTAX, "bad"}}},
	{"helo open bracket", IP, "[192.0.2.17", "", NULL, NULL, NULL, {{NULL, NULL, NULL}},
	 {{F_NET_HELO_SYNTAX, "bad"}}},
	{"helo of octets", IP, "m\xc3\xa4il.shop.com", "", NULL, NULL, NULL, {{NULL, NULL, NULL}},
	 {{F_NET_HELO_SYNTAX, "bad"}}},
	{"no helo", IP, NULL, "", NULL, NULL, NULL, {{NULL, NULL, NULL}},
	 {{F_NET_HELO_SYNTAX, "?"}, {F_NET_HELO_MATCHES, "?"}}},
	/* reverse names */
	{"points back", IP, NULL, "", "news@shop.com", NULL, NULL, {POINTS_BACK},
	 {{F_NET_PTR, "1: mail.shop.com"}, {F_NET_PTR_CONFIRMED, "yes"},
	  {F_NET_PTR_UNCONFIRMED, "-"}, {F_NET_PTR_DYNAMIC, "no"}, {F_NET_FROM_PTR_SAME, "yes"}}},
	{"does not point back", IP, NULL, "", "news@shop.com", NULL, NULL,
	 {{PTR, "PTR", "mail.shop.com"}, {"mail.shop.com", "A", "192.0.2.99"}},
	 {{F_NET_PTR_CONFIRMED, "no"}, {F_NET_PTR_UNCONFIRMED, "1: mail.shop.com"},
	  {F_NET_FROM_PTR_SAME, "no"}}},
	{"all names are tried", IP, NULL, "", "news@shop.com", NULL, NULL,
	 {{PTR, "PTR", "a.other.com"}, {PTR, "PTR", "b.shop.com"}, {"b.shop.com", "A", "192.0.2.1"},
	  {"b.shop.com", "A", IP}},
	 {{F_NET_PTR, "2: a.other.com"}, {F_NET_PTR_CONFIRMED, "yes"},
	  {F_NET_PTR_UNCONFIRMED, "1: a.other.com"}, {F_NET_FROM_PTR_SAME, "yes"}}},
	{"one confirmed, From's is not", IP, NULL, "", "news@shop.com", NULL, NULL,
	 {{PTR, "PTR", "a.other.com"}, {PTR, "PTR", "b.shop.com"}, {"a.other.com", "A", IP}},
	 {{F_NET_PTR_CONFIRMED, "yes"}, {F_NET_FROM_PTR_SAME, "no"}}},
	{"From's name silent", IP, NULL, "", "news@shop.com", NULL, NULL,
	 {{PTR, "PTR", "a.other.com"}, {PTR, "PTR", "b.shop.com"}, {"a.other.com", "A", IP},
	  {"b.shop.com", "A!", ""}},
	 {{F_NET_PTR_CONFIRMED, "yes"}, {F_NET_FROM_PTR_SAME, "?"}}},
	{"no name", IP, NULL, "", "news@shop.com", NULL, NULL, {{NULL, NULL, NULL}},
	 {{F_NET_PTR, "-"}, {F_NET_PTR_CONFIRMED, "no"}, {F_NET_PTR_DYNAMIC, "-"},
	  {F_NET_FROM_PTR_SAME, "no"}}},
	{"names silent", IP, NULL, "", "news@shop.com", NULL, NULL, {{PTR, "PTR!", ""}},
	 {{F_NET_PTR, "?"}, {F_NET_PTR_CONFIRMED, "?"}, {F_NET_PTR_DYNAMIC, "?"},
	  {F_NET_FROM_PTR_SAME, "?"}}},
	{"back silent", IP, NULL, "", "news@shop.com", NULL, NULL,
	 {{PTR, "PTR", "mail.shop.com"}, {"mail.shop.com", "A!", ""}},
	 {{F_NET_PTR, "1: mail.shop.com"}, {F_NET_PTR_CONFIRMED, "?"},
	  {F_NET_PTR_UNCONFIRMED, "?"}, {F_NET_FROM_PTR_SAME, "?"}}},
	{"IPv6", "2001:db8::5", NULL, "", "news@shop.com", NULL, NULL,
	 {{PTR6, "PTR", "mail.shop.com"}, {"mail.shop.com", "AAAA", "2001:db8::5"}},
	 {{F_NET_PTR_CONFIRMED, "yes"}, {F_NET_FROM_PTR_SAME, "yes"}}},
	{"IPv6, back to IPv4 alone", "2001:db8::5", NULL, "", "news@shop.com", NULL, NULL,
	 {{PTR6, "PTR", "mail.shop.com"}, {"mail.shop.com", "A", IP}},
	 {{F_NET_PTR_CONFIRMED, "no"}}},
	{"one of two is static", IP, NULL, "", NULL, NULL, NULL,
	 {{PTR, "PTR", "c-192-0-2-17.isp.com"}, {PTR, "PTR", "mail.shop.com"}},
	 {{F_NET_PTR_DYNAMIC, "no"}}},
	{"dynamic", IP, NULL, "", NULL, NULL, NULL, {{PTR, "PTR", "c-192-0-2-17.isp.com"}},
	 {{F_NET_PTR_DYNAMIC, "yes"}}},
	/* who belongs together */
	{"all one", IP, NULL, "b-1@bounce.shop.com", "news@shop.com", NULL, "mail.shop.com",
	 {POINTS_BACK},
	 {{F_NET_FROM_MAIL_FROM_SAME, "yes"}, {F_NET_FROM_DKIM_SAME, "yes"},
	  {F_NET_ORG_DOMAINS, "4: from=shop.com"}}},
	{"an agency's", IP, NULL, "b-1@esp.net", "news@shop.com", NULL, "!esp.net", {POINTS_BACK},
	 {{F_NET_FROM_MAIL_FROM_SAME, "no"}, {F_NET_FROM_DKIM_SAME, "no"}}},
	{"a signature that fails names its domain still", IP, NULL, "b-1@esp.net", "news@shop.com",
	 NULL, "!shop.com", {POINTS_BACK}, {{F_NET_FROM_DKIM_SAME, "yes"}}},
	{"null sender, unsigned", IP, NULL, "", "news@shop.com", NULL, NULL, {POINTS_BACK},
	 {{F_NET_FROM_MAIL_FROM_SAME, "-"}, {F_NET_FROM_DKIM_SAME, "-"},
	  {F_NET_ORG_DOMAINS, "2: from=shop.com"}}},
	{"sender unknown", IP, NULL, NULL, "news@shop.com", NULL, NULL, {POINTS_BACK},
	 {{F_NET_FROM_MAIL_FROM_SAME, "?"}}},
	{"a suffix is no organization", IP, NULL, "b@a.co.uk", "news@b.co.uk", NULL, "c.co.uk",
	 {{NULL, NULL, NULL}},
	 {{F_NET_FROM_MAIL_FROM_SAME, "no"}, {F_NET_FROM_DKIM_SAME, "no"}}},
	{"U-labels in MAIL FROM", IP, NULL, "b@b\xc3\xbc" "cher.com", "news@xn--bcher-kva.com", NULL,
	 NULL, {{NULL, NULL, NULL}}, {{F_NET_FROM_MAIL_FROM_SAME, "yes"}}},
	{"no From", IP, NULL, "b@shop.com", NULL, NULL, "shop.com", {POINTS_BACK},
	 {{F_NET_FROM_MAIL_FROM_SAME, "-"}, {F_NET_FROM_PTR_SAME, "-"}}},
	/* addresses that take answers */
	{"MX", IP, NULL, "", "news@shop.com", "care@help.com", NULL,
	 {{"shop.com", "MX", "mx.shop.com"}, {"help.com", "A", "192.0.2.1"}},
	 {{F_NET_FROM_RETURNABLE, "yes"}, {F_NET_REPLY_TO_RETURNABLE, "yes"}}},
	{"null MX", IP, NULL, "", "news@shop.com", "care@help.com", NULL,
	 {{"shop.com", "MX", ""}, {"shop.com", "A", "192.0.2.1"}},
	 {{F_NET_FROM_RETURNABLE, "no"}, {F_NET_REPLY_TO_RETURNABLE, "no"}}},
	{"an address of IPv6", IP, NULL, "", "news@shop.com", NULL, NULL,
	 {{"shop.com", "AAAA", "2001:db8::1"}},
	 {{F_NET_FROM_RETURNABLE, "yes"}, {F_NET_REPLY_TO_RETURNABLE, "-"}}},
	{"MX silent", IP, NULL, "", "news@shop.com", NULL, NULL,
	 {{"shop.com", "MX!", ""}, {"shop.com", "A", "192.0.2.1"}}, {{F_NET_FROM_RETURNABLE, "?"}}},
	{"no MX, address silent", IP, NULL, "", "news@shop.com", NULL, NULL,
	 {{"shop.com", "TXT", "x"}, {"shop.com", "A!", ""}}, {{F_NET_FROM_RETURNABLE, "?"}}},
	{"no MX, one address silent, one there", IP, NULL, "", "news@shop.com", NULL, NULL,
	 {{"shop.com", "A!", ""}, {"shop.com", "AAAA", "2001:db8::1"}},
	 {{F_NET_FROM_RETURNABLE, "yes"}}},
	{"a literal", IP, NULL, "", "news@[192.0.2.1]", NULL, NULL, {{NULL, NULL, NULL}},
	 {{F_NET_FROM_RETURNABLE, "-"}}},
	/* block lists; test_lists says how they are asked */
	{"client unknown", NULL, NULL, "", "news@shop.com", NULL, NULL, {{NULL, NULL, NULL}},
	 {{F_NET_PTR, "?"}, {F_RBL_IP, "?"}, {F_NET_FROM_PTR_SAME, "?"}}},
};

static const char *show(const struct facts *f, enum fact_id id, char out[200])
{
	const struct fact *fact = &f->v[id];
	if (fact->state != FACT_KNOWN)
		return fact->state == FACT_UNKNOWN ? "?" : "-";
	switch (fact_infos[id].type) {
	case FACT_NUMBER: snprintf(out, 200, "%g", fact->number); break;
	case FACT_CONDITION: return fact->condition ? "yes" : "no";
	case FACT_LIST:
		snprintf(out, 200, "%zu: %.*s", fact->list.n, SPAN_ARG(fact->list.v[0]));
		break;
	case FACT_WORD:
	case FACT_TEXT: snprintf(out, 200, "%.*s", SPAN_ARG(fact->text)); break;
	}
	return out;
}

struct run {
	struct arena arena;
	struct facts facts;
	struct message message;
	struct address from, reply_to;
	struct dkim_result dkim;
	struct auth auth;
	struct auth_query q;
	struct netid_listings listings;
};

static void judge(struct run *r, const struct row *row, const struct config *config)
{
	*r = (struct run){.listings = {NULL, 0}};
	arena_init(&r->arena, (size_t)1 << 20);
	facts_init(&r->facts, &r->arena);
	r->q = (struct auth_query){.helo = span_of(row->helo), .mail_from = span_of(row->mail_from)};
	if (row->ip)
		assert_true(ip_parse(span_of(row->ip), &r->q.ip));
	if (row->from && address_split(&r->arena, span_of(row->from), &r->from))
		r->message.from = (struct addresses){&r->from, 1, 1};
	if (row->reply_to && address_split(&r->arena, span_of(row->reply_to), &r->reply_to))
		r->message.reply_to = (struct addresses){&r->reply_to, 1, 1};
	if (row->dkim) {
		bool failed = *row->dkim == '!';
		r->dkim = (struct dkim_result){.result = failed ? AUTH_FAIL : AUTH_PASS,
					       .d = span_of(row->dkim + failed)};
		r->auth.dkim = &r->dkim;
		r->auth.n_dkim = 1;
	}
	for (unsigned runs = 0;; runs++) {
		bool waiting = ptr_check(&r->auth.ptr, &r->q, &memory_session, &r->arena) == STEP_WAIT;
		waiting |= netid_check(&r->auth, &r->message, NULL, &r->q, config, &memory_session,
				       &r->facts, &r->listings) == STEP_WAIT;
		if (!waiting)
			return;
		assert_true(memory_arrive() && runs < 10);
	}
}

static void fill(const struct zone *zone, size_t n)
{
	memory_reset();
	for (size_t i = 0; i < n && zone[i].name; i++)
		memory_add(span_of(zone[i].name), zone[i].type, 0, span_of(zone[i].value));
}

static void expect(const struct row *row, const struct run *r)
{
	char text[200];
	for (size_t i = 0; i < 8 && row->want[i].value; i++) {
		const char *got = show(&r->facts, row->want[i].id, text);
		if (strcmp(got, row->want[i].value) != 0)
			fail_msg("%s: %s: want %s, got %s", row->name,
				 fact_infos[row->want[i].id].name, row->want[i].value, got);
	}
}

static void test_facts(void **state)
{
	struct config config = {.host = ""};
	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct run r;
		fill(rows[i].zone, 12);
		judge(&r, &rows[i], &config);
		expect(&rows[i], &r);
		arena_free(&r.arena);
	}
}

/* Eleven names: ten are followed, of the last nothing is said. */
static void test_many_names(void **state)
{
	struct config config = {.host = ""};
	struct row row = {.name = "many", .ip = IP, .mail_from = "", .from = "a@n10.com"};
	struct run r;
	(void)state;
	memory_reset();
	for (int i = 0; i < 11; i++) {
		char name[20];
		snprintf(name, sizeof(name), "n%d.com", i);
		memory_add(SPAN(PTR), "PTR", 0, span_of(name));
		if (i == 10)
			memory_add(span_of(name), "A", 0, SPAN(IP));
	}
	judge(&r, &row, &config);
	assert_int_equal(r.auth.ptr.n, 11);
	assert_false(r.auth.ptr.confirmed);
	assert_int_equal(r.facts.v[F_NET_PTR_UNCONFIRMED].list.n, 10);
	assert_int_equal(r.facts.v[F_NET_FROM_PTR_SAME].state, FACT_UNKNOWN);
	arena_free(&r.arena);
}

/* --- block lists ------------------------------------------------------------------------- */

#define ALIVE {"2.0.0.127.ip.bl", "A", "127.0.0.2"}, {"test.dom.bl", "A", "127.0.1.2"}
#define TEST6 "2.0.0.0.0.0.f.7.f.f.f.f.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.ip.bl"
#define CLIENT6 "5.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.8.b.d.0.1.0.0.2.ip.bl"

static const struct row lists[] = {
	{"not listed", IP, "mail.shop.com", "", "a@shop.com", NULL, NULL, {ALIVE},
	 {{F_RBL_IP, "-"}, {F_RBL_DOMAIN, "-"}, {F_RBL_URL, "?"}}},
	{"listed", IP, "mail.shop.com", "", "a@shop.com", NULL, NULL,
	 {ALIVE, {"17.2.0.192.ip.bl", "A", "127.0.0.4"}, {"shop.com.dom.bl", "A", "127.0.1.2"}},
	 {{F_RBL_IP, "1: ip.bl"}, {F_RBL_DOMAIN, "1: dom.bl"}}},
	{"refused (127.255.255.x)", IP, NULL, "", NULL, NULL, NULL,
	 {ALIVE, {"17.2.0.192.ip.bl", "A", "127.255.255.254"}}, {{F_RBL_IP, "?"}}},
	{"asked in a wrong way (127.0.1.255)", IP, NULL, "", "a@shop.com", NULL, NULL,
	 {ALIVE, {"shop.com.dom.bl", "A", "127.0.1.255"}}, {{F_RBL_DOMAIN, "?"}}},
	{"blocked (127.0.0.1)", IP, NULL, "", "a@shop.com", NULL, NULL,
	 {ALIVE, {"shop.com.dom.bl", "A", "127.0.0.1"}}, {{F_RBL_DOMAIN, "?"}}},
	{"a parked domain", IP, NULL, "", NULL, NULL, NULL,
	 {ALIVE, {"17.2.0.192.ip.bl", "A", "203.0.113.1"}}, {{F_RBL_IP, "?"}}},
	{"two codes", IP, NULL, "", NULL, NULL, NULL,
	 {ALIVE, {"17.2.0.192.ip.bl", "A", "127.0.0.4"}, {"17.2.0.192.ip.bl", "A", "127.0.0.11"}},
	 {{F_RBL_IP, "1: ip.bl"}}},
	{"list silent", IP, NULL, "", NULL, NULL, NULL, {ALIVE, {"17.2.0.192.ip.bl", "A!", ""}},
	 {{F_RBL_IP, "?"}}},
	{"dead: nothing is listed", IP, NULL, "", NULL, NULL, NULL, {{NULL, NULL, NULL}},
	 {{F_RBL_IP, "?"}}},
	{"dead: everything is listed", IP, NULL, "", NULL, NULL, NULL,
	 {ALIVE, {"1.0.0.127.ip.bl", "A", "127.0.0.2"}, {"17.2.0.192.ip.bl", "A", "127.0.0.2"}},
	 {{F_RBL_IP, "?"}}},
	{"its test is silent", IP, NULL, "", NULL, NULL, NULL,
	 {{"2.0.0.127.ip.bl", "A!", ""}, {"17.2.0.192.ip.bl", "A", "127.0.0.2"}}, {{F_RBL_IP, "?"}}},
	{"IPv6 has a test of its own", "2001:db8::5", NULL, "", NULL, NULL, NULL,
	 {{TEST6, "A", "127.0.0.2"}, {CLIENT6, "A", "127.0.0.3"}}, {{F_RBL_IP, "1: ip.bl"}}},
	{"a list of IPv4 alone says nothing of IPv6", "2001:db8::5", NULL, "", NULL, NULL, NULL,
	 {ALIVE}, {{F_RBL_IP, "?"}}},
	{"the organization's domain is asked for", IP, NULL, "", "a@news.shop.co.uk", NULL, NULL,
	 {ALIVE, {"shop.co.uk.dom.bl", "A", "127.0.1.2"}}, {{F_RBL_DOMAIN, "1: dom.bl"}}},
	{"a signature that passed", IP, NULL, "", "a@shop.com", NULL, "esp.net",
	 {ALIVE, {"esp.net.dom.bl", "A", "127.0.1.2"}}, {{F_RBL_DOMAIN, "1: dom.bl"}}},
	{"one that did not", IP, NULL, "", "a@shop.com", NULL, "!esp.net",
	 {ALIVE, {"esp.net.dom.bl", "A", "127.0.1.2"}}, {{F_RBL_DOMAIN, "-"}}},
	{"an address is no domain", IP, "192.0.2.17", "", "a@[192.0.2.17]", NULL, NULL,
	 {ALIVE, {"192.0.2.17.dom.bl", "A", "127.0.1.2"}}, {{F_RBL_DOMAIN, "-"}}},
};

static void test_lists(void **state)
{
	struct config config = {.host = "", .dnsbl_ip = {ip_lists, NULL, 1},
				.dnsbl_domain = {domain_lists, NULL, 1}};
	(void)state;
	for (size_t i = 0; i < sizeof(lists) / sizeof(lists[0]); i++) {
		struct run r;
		fill(lists[i].zone, 12);
		judge(&r, &lists[i], &config);
		expect(&lists[i], &r);
		arena_free(&r.arena);
	}
	/* one of two lists is dead: what the other says holds, what it does not say is open */
	struct run r;
	config.dnsbl_ip.n = 2;
	fill(lists[1].zone, 12);
	judge(&r, &lists[1], &config);
	assert_int_equal(r.facts.v[F_RBL_IP].list.n, 1);
	arena_free(&r.arena);
	fill(lists[0].zone, 12);
	judge(&r, &lists[0], &config);
	assert_int_equal(r.facts.v[F_RBL_IP].state, FACT_UNKNOWN);
	arena_free(&r.arena);
}

/* Equal domains are asked once, and never more than the limit. */
static void test_list_bounds(void **state)
{
	const struct config_texts list = {domain_lists, NULL, 1};
	struct span domains[100];
	char names[100][20];
	struct dnsbl_result result;
	struct arena arena;
	(void)state;
	arena_init(&arena, (size_t)1 << 20);
	for (size_t i = 0; i < 100; i++) {
		snprintf(names[i], 20, "d%zu.com", i / 2);
		domains[i] = span_of(names[i]);
	}
	memory_reset();
	memory_txt("x", "x");
	while (dnsbl_domains(&result, &list, domains, 100, &memory_session, &arena) == STEP_WAIT)
		assert_true(memory_arrive());
	assert_int_equal(memory.n_asked, LIMIT_DNSBL_DOMAINS + 2);
	arena_free(&arena);
}

static void test_days(void **state)
{
	struct config config = {.host = "", .dnsbl_ip = {ip_lists, NULL, 1},
				.dnsbl_domain = {domain_lists, NULL, 1}};
	const int64_t now = 1795766400 * US_PER_S, day = 86400 * US_PER_S;
	struct run r;
	char text[200];
	(void)state;
	fill(lists[1].zone, 12);
	judge(&r, &lists[1], &config);
	assert_int_equal(r.listings.n, 2);
	netid_listed_since(&r.listings, now, &r.facts);
	assert_string_equal(show(&r.facts, F_RBL_DAYS, text), "?"); /* nobody kept the time */
	r.listings.v[0].since_us = now - day * 5 / 2;
	netid_listed_since(&r.listings, now, &r.facts);
	assert_string_equal(show(&r.facts, F_RBL_DAYS, text), "2");
	r.listings.v[1].since_us = now - 30 * day;
	netid_listed_since(&r.listings, now, &r.facts);
	assert_string_equal(show(&r.facts, F_RBL_DAYS, text), "30");
	assert_true(span_eq(r.facts.v[F_RBL_DAYS].evidence.text, SPAN("shop.com in dom.bl")));
	arena_free(&r.arena);
	fill(lists[0].zone, 12);
	judge(&r, &lists[0], &config);
	netid_listed_since(&r.listings, now, &r.facts);
	assert_string_equal(show(&r.facts, F_RBL_DAYS, text), "-");
	arena_free(&r.arena);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_dynamic), cmocka_unit_test(test_facts),
		cmocka_unit_test(test_many_names), cmocka_unit_test(test_lists),
		cmocka_unit_test(test_list_bounds), cmocka_unit_test(test_days),
	};
	memory_reset();
	return cmocka_run_group_tests_name("netid", tests, NULL, NULL);
}
