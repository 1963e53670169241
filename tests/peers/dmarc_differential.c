/*
 * Our SPF, DKIM and DMARC and the chain of libopendkim and libopendmarc on the same messages: 3,500
 * of them, signed with keys of our own, changed on the way, from authors under plain, second-level,
 * wildcard, private and internationalized suffixes, with records and From fields as people write
 * them. Ours reads the whole message and asks a table of DNS records; theirs gets the message
 * (libopendkim), From, the MAIL FROM domain with the SPF result that its record must give, and
 * answers to its questions from the same table.
 *
 * Each is judged twice, by RFC 7489, which libopendmarc implements, and by RFC 9989, which obsoletes
 * it. What is compared is the result and, when it is fail, the policy. A disagreement needs a row
 * of `explained` that says who follows which section; one without a row, and a row that never
 * occurs, fail the test.
 *
 * usage: dmarc_differential RSA-KEY ED25519-KEY [seed]; each row has to occur with the seed built in
 */
#include <stdio.h>
#include <time.h>
#include <netdb.h>

#include "analyze/dkim_sign.h"
#include "analyze/dkim_signature.h"
#include "base/file.h"
#include "tests/tools/opendkim.h"
#include "tests/tools/opendmarc.h"
#include "tests/unit/memory_dns.h"

enum { MESSAGES = 3500 };

static uint64_t seed = 9989;

static uint32_t pick(uint32_t n) /* xorshift64* */
{
	seed ^= seed >> 12;
	seed ^= seed << 25;
	seed ^= seed >> 27;
	return (uint32_t)((seed * 2685821657736338717ull) >> 33) % n;
}

/* --- what a message is made of ------------------------------------------------------------ */

/* The author is at or under "mN." and this; `other` is a suffix of another organization. */
static const struct suffix {
	const char *name, *suffix;
} suffixes[] = {
	{"plain", "com"},
	{"plain", "com"},
	{"second level", "co.uk"},
	{"second level", "com.cn"},
	{"wildcard", "x.kawasaki.jp"},    /* *.kawasaki.jp is a suffix */
	{"private", "github.io"},         /* a suffix of the list's second part */
	{"internationalized", "xn--55qx5d.cn"}, /* 公司.cn */
	{"unknown", "zzqq"},              /* no such suffix: the rule "*" holds */
};
enum { SUFFIXES = sizeof(suffixes) / sizeof(suffixes[0]) };

/* ~ is the author's organizational domain. */
static const struct relation {
	const char *name, *pattern;
} relations[] = {
	{"organization", "~"},      {"organization", "~"},    {"below", "a.~"},
	{"below", "b.a.~"},         {"sibling", "c.~"},       {"other organization", "other-~"},
	{"ends alike", "x~"},       {"capitals", "A.~"},
};
enum { RELATIONS = sizeof(relations) / sizeof(relations[0]) };

/* Records at the organizational domain; NULL: none. */
static const struct record {
	const char *name, *text;
} records[] = {
	{"none", NULL},
	{"p=none", "v=DMARC1; p=none"},
	{"p=quarantine", "v=DMARC1; p=quarantine; rua=mailto:d@example.com"},
	{"p=reject", "v=DMARC1; p=reject"},
	{"p=reject", "v=DMARC1;p=reject;"},
	{"sp=none", "v=DMARC1; p=reject; sp=none"},
	{"sp=reject", "v=DMARC1; p=none; sp=reject"},
	{"adkim=s", "v=DMARC1; p=reject; adkim=s"},
	{"aspf=s", "v=DMARC1; p=reject; aspf=s"},
	{"both strict", "v=DMARC1; p=quarantine; adkim=s; aspf=s"},
	{"relaxed", "v=DMARC1; p=reject; adkim=r; aspf=r"},
	{"capitals", "v=DMARC1; P=REJECT; ADKIM=S"},
	{"blanks", "v=DMARC1 ; p = reject ; sp = none "},
	{"tags of reports", "v=DMARC1; p=reject; rua=mailto:a@b.example!10m, mailto:c@d.example; "
			    "ruf=mailto:e@f.example; fo=1:d:s; rf=afrf; ri=3600; pct=100"},
	{"unknown tags", "v=DMARC1; p=reject; zz=1; psd=u"},
	{"np", "v=DMARC1; p=none; np=reject"},
	{"t=y", "v=DMARC1; p=reject; t=y"},
	{"p behind others", "v=DMARC1; adkim=r; p=reject"},
	{"p twice", "v=DMARC1; p=none; p=reject"},
	{"no p, rua", "v=DMARC1; rua=mailto:d@example.com"},
	{"no p, no rua", "v=DMARC1; adkim=r"},
	{"bad p, rua", "v=DMARC1; p=block; rua=mailto:d@example.com"},
	{"bad sp, no rua", "v=DMARC1; p=reject; sp=block"},
	{"bad adkim", "v=DMARC1; p=reject; adkim=x"},
	{"version in small letters", "v=dmarc1; p=reject"},
	{"no version", "p=reject"},
	{"another version", "v=DMARC2; p=reject"},
	{"a longer version", "v=DMARC1x; p=reject"},
};
enum { RECORDS = sizeof(records) / sizeof(records[0]) };

/* ~ is the author's domain. */
static const struct from {
	const char *name, *pattern;
} froms[] = {
	{"plain", "news@~"},
	{"plain", "news@~"},
	{"angle brackets", "News <news@~>"},
	{"quoted name", "\"News, of <the> @day\" <news@~>"},
	{"name that is an address", "\"boss@bank.example\" <news@~>"},
	{"comment", "news@~ (News)"},
	{"comment with an address", "news@~ (was: old@bank.example)"},
	{"folded", "News of the day\r\n <news@~>"},
	{"encoded name", "=?utf-8?q?boss=40bank=2Eexample?= <news@~>"},
	{"quoted local part", "\"a b\"@~"},
	{"two of one domain", "a@~, b@~"},
	{"two of two domains", "a@~, b@bank.example"},
	{"a second From", "news@~\r\nFrom: b@bank.example"},
};
enum { FROMS = sizeof(froms) / sizeof(froms[0]) };

/* As mail is changed on its way; none of them is one that the two verifiers of DKIM see in
 * different ways (dkim_differential.c has those). "$": the end of the body, "^": the top. */
static const struct change {
	const char *name, *from, *to;
} changes[] = {
	{"none", NULL, NULL},
	{"none", NULL, NULL},
	{"none", NULL, NULL},
	{"fold", "Tue, 24", "Tue,\r\n 24"},
	{"case of a field", "Date:", "DATE:"},
	{"blanks at the end of a line", "hello you", "hello you  "},
	{"empty lines at the end", "$", "\r\n\r\n"},
	{"text at the end", "$", "-- list\r\n"},
	{"a byte of the body", "hello", "hullo"},
	{"a byte of Subject", "Subject: o", "Subject: 0"},
	{"Subject below Date", "Subject: one\r\nDate: Tue, 24 Nov 2026 08:00:00 +0000\r\n",
	 "Date: Tue, 24 Nov 2026 08:00:00 +0000\r\nSubject: one\r\n"},
	{"Received on top", "^", "Received: from a by b; Tue, 24 Nov 2026 08:00:00 +0000\r\n"},
	{"another Subject on top", "^", "Subject: two\r\n"},
};
enum { CHANGES = sizeof(changes) / sizeof(changes[0]) };

struct test {
	const struct suffix *suffix;
	const struct record *record;
	const struct from *from;
	const struct change *change;
	const struct relation *author_at, *dkim_at, *spf_at; /* dkim_at NULL: unsigned */
	char org[80], author[100], dkim[100], spf[100];
	bool spf_passes, own_record; /* the record stands at the author, not at the organization */
	struct buf mail;
};

static void fill(char *out, size_t room, const char *pattern, const char *domain)
{
	size_t n = 0;
	for (; *pattern && n + 1 < room; pattern++) {
		if (*pattern == '~')
			n += (size_t)snprintf(out + n, room - n, "%s", domain);
		else
			out[n++] = *pattern;
	}
	out[n < room ? n : room - 1] = '\0';
}

static void make_domains(struct test *t, unsigned n)
{
	t->suffix = &suffixes[pick(3) ? pick(4) : pick(SUFFIXES)];
	snprintf(t->org, sizeof(t->org), "m%u.%s", n, t->suffix->suffix);
	t->author_at = &relations[pick(2) ? 0 : pick(4)];
	t->dkim_at = pick(4) ? &relations[pick(RELATIONS)] : NULL;
	t->spf_at = &relations[pick(RELATIONS)];
	fill(t->author, sizeof(t->author), t->author_at->pattern, t->org);
	fill(t->dkim, sizeof(t->dkim), t->dkim_at ? t->dkim_at->pattern : "~", t->org);
	fill(t->spf, sizeof(t->spf), t->spf_at->pattern, t->org);
}

static void make_test(struct test *t, unsigned n, struct dkim_signer *signer)
{
	char from[400];
	struct buf signature = BUF_INIT, mail = BUF_INIT;
	make_domains(t, n);
	/* mostly what is common, so that the odd ones do not hide it */
	t->record = &records[pick(3) ? pick(17) : pick(RECORDS)];
	t->from = &froms[pick(3) ? pick(11) : pick(FROMS)];
	t->change = &changes[pick(CHANGES)];
	t->spf_passes = pick(2);
	t->own_record = pick(4) == 0;
	fill(from, sizeof(from), t->from->pattern, t->author);
	buf_addf(&mail, "From: %s\r\nTo: you@mbox.example\r\nSubject: one\r\n"
			"Date: Tue, 24 Nov 2026 08:00:00 +0000\r\n\r\nhello you\r\n", from);
	if (t->dkim_at) {
		signer->domain = span_of(t->dkim);
		if (dkim_signer_sign(signer, buf_span(&mail), time(NULL), &signature) != 0)
			abort();
	}
	buf_reset(&t->mail);
	const char *what = t->change->from;
	if (what && *what == '^')
		buf_adds(&t->mail, t->change->to);
	buf_add(&t->mail, buf_span(&signature));
	size_t at = what && *what != '^' && *what != '$' ? span_find(buf_span(&mail), span_of(what))
							 : SIZE_MAX;
	if (at == SIZE_MAX) {
		buf_add(&t->mail, buf_span(&mail));
		if (what && *what == '$')
			buf_adds(&t->mail, t->change->to);
	} else {
		buf_add(&t->mail, span_sub(buf_span(&mail), 0, at));
		buf_adds(&t->mail, t->change->to);
		buf_add(&t->mail, span_sub(buf_span(&mail), at + strlen(what), mail.n));
	}
	buf_free(&mail);
	buf_free(&signature);
}

/* --- the DNS of both ----------------------------------------------------------------------- */

static const struct test *current;

/* In place of the library's own: only the way to the DNS is ours. */
char *dmarc_dns_get_record(char *domain, int *reply, char *text, size_t n);
char *dmarc_dns_get_record(char *domain, int *reply, char *text, size_t n)
{
	char name[200];
	snprintf(name, sizeof(name), "_dmarc.%s",
		 current->own_record ? current->author : current->org);
	*reply = HOST_NOT_FOUND;
	if (!current->record->text || strcasecmp(name, domain) != 0)
		return NULL;
	*reply = NETDB_SUCCESS;
	snprintf(text, n, "%s", current->record->text);
	return text;
}

static void publish(const struct test *t, const char *key)
{
	char name[200];
	memory_reset();
	memory.never_waits = true;
	snprintf(name, sizeof(name), "_dmarc.%s", t->own_record ? t->author : t->org);
	if (t->record->text)
		memory_txt(name, t->record->text);
	snprintf(name, sizeof(name), "s._domainkey.%s", t->dkim);
	memory_txt(name, key);
	memory_txt(t->spf, t->spf_passes ? "v=spf1 ip4:192.0.2.1 -all" : "v=spf1 -all");
	memory_add(span_of(t->author), "A", 0, SPAN("192.0.2.1"));
}

/* --- both judges --------------------------------------------------------------------------- */

/* "pass", "none", "none:..." is what no record says; a policy: it failed and that is to be done. */
static const char *ours(const struct test *t, enum dmarc_standard standard, bool *dkim_r)
{
	struct arena arena;
	struct message m;
	struct auth auth = {0};
	char sender[120];
	static char policy[20];
	snprintf(sender, sizeof(sender), "b@%s", t->spf);
	struct auth_query q = {.helo = SPAN("h.example"), .mail_from = span_of(sender),
			       .time_us = (int64_t)time(NULL) * 1000000, .dmarc = standard};
	ip_parse(SPAN("192.0.2.1"), &q.ip);
	arena_init(&arena, (size_t)8 << 20);
	if (message_parse(&m, &arena, buf_span(&t->mail)) != 0 ||
	    auth_check(&auth, &m, &q, &memory_session, &arena) != STEP_DONE)
		abort();
	if (auth.spf.result != (t->spf_passes ? AUTH_PASS : AUTH_FAIL))
		abort();
	*dkim_r = auth.n_dkim && auth.dkim[0].result == AUTH_PASS;
	snprintf(policy, sizeof(policy), "%.*s", SPAN_ARG(auth.dmarc.policy));
	const char *result = auth.dmarc.result == AUTH_FAIL ? policy
							     : auth_result_name(auth.dmarc.result);
	if (auth.dmarc.result == AUTH_NONE)
		result = "no record";
	arena_free(&arena);
	return result;
}

static struct span from_body(struct span mail)
{
	size_t at = span_find(mail, SPAN("From:")) + 5;
	size_t end = at;
	while (end < mail.n && !(mail.p[end] == '\r' && mail.p[end + 2] != ' '))
		end++;
	return span_sub(mail, at, end);
}

static const char *theirs(const struct test *t, bool *dkim_r)
{
	DKIM_SIGERROR error;
	*dkim_r = t->dkim_at && opendkim_verify(buf_span(&t->mail), &error) == DKIM_STAT_OK;
	struct opendmarc_verdict v = opendmarc_judge(
		from_body(buf_span(&t->mail)), span_of(t->spf),
		t->spf_passes ? DMARC_POLICY_SPF_OUTCOME_PASS : DMARC_POLICY_SPF_OUTCOME_FAIL,
		t->dkim_at ? span_of(t->dkim) : SPAN_NONE,
		*dkim_r ? DMARC_POLICY_DKIM_OUTCOME_PASS : DMARC_POLICY_DKIM_OUTCOME_FAIL);
	switch (v.policy) {
	case DMARC_POLICY_PASS: return "pass";
	case DMARC_POLICY_NONE: return "none";
	case DMARC_POLICY_QUARANTINE: return "quarantine";
	case DMARC_POLICY_REJECT: return "reject";
	default: return "no record";
	}
}

/* --- comparison ----------------------------------------------------------------------------- */

enum { BOTH = -1 };

/* As a record: any that stands at an author's domain below the organization's. */
#define AT_AUTHOR "at an author below"

/* A disagreement and who is right. NULL: any. */
static struct {
	int standard; /* BOTH, DMARC_RFC7489, DMARC_RFC9989 */
	const char *suffix, *record, *from, *ours, *theirs, *section, *why;
	unsigned seen;
} explained[] = {
	{BOTH, NULL, NULL, "two of two domains", "permerror", NULL, "7489 6.6.1",
	 "several domains have no one policy; libopendmarc takes the first or the last", 0},
	{BOTH, NULL, NULL, "a second From", "permerror", NULL, "5322 3.6",
	 "readers may be shown the other one; libopendmarc is told one field", 0},
	{BOTH, NULL, "bad adkim", NULL, NULL, "no record", "7489 6.3",
	 "a bad value falls back to its default; libopendmarc drops the record", 0},
	{BOTH, NULL, "no p, rua", NULL, NULL, "no record", "7489 6.6.3, 9989 4.10.1",
	 "with rua it is p=none; libopendmarc drops the record", 0},
	{BOTH, NULL, "bad p, rua", NULL, NULL, "no record", "7489 6.6.3, 9989 4.10.1",
	 "with rua it is p=none; libopendmarc drops the record", 0},
	{BOTH, NULL, "version in small letters", NULL, "no record", NULL, "7489 6.3, 9989 4.7",
	 "the version has its case", 0},
	{BOTH, NULL, "no version", NULL, "no record", NULL, "7489 6.3, 9989 4.7",
	 "v= must stand first; libopendmarc's parser does without", 0},
	{BOTH, NULL, "p twice", NULL, NULL, NULL, "7489 6.3, 6376 3.2",
	 "a tag stands once; we take the first, libopendmarc the last", 0},
	{BOTH, "wildcard", NULL, NULL, NULL, "no record", "7489 3.2",
	 "*.kawasaki.jp is a suffix; libopendmarc does not know rules with *", 0},
	{BOTH, "unknown", NULL, NULL, NULL, "no record", "7489 3.2",
	 "without a rule the rule is *; libopendmarc has no organization then", 0},
	{BOTH, "internationalized", NULL, NULL, NULL, "no record", "7489 3.2",
	 "names are A-labels; libopendmarc compares them with the list's U-labels", 0},
	{BOTH, "wildcard", NULL, NULL, NULL, "pass", "7489 3.2",
	 "the same: two that are registered under one * are two", 0},
	{BOTH, "internationalized", NULL, NULL, NULL, "pass", "7489 3.2",
	 "the same: two under one suffix are two", 0},
	{BOTH, NULL, "adkim=s", NULL, NULL, "pass", "7489 3.1.1, 9989 4.4",
	 "strict wants the same name; libopendmarc lets those below and above pass", 0},
	{BOTH, NULL, "aspf=s", NULL, NULL, "pass", "7489 3.1.2, 9989 4.4", "the same", 0},
	{BOTH, NULL, "both strict", NULL, NULL, "pass", "7489 3.1, 9989 4.4", "the same", 0},
	{BOTH, NULL, "capitals", NULL, NULL, "pass", "7489 3.1.1, 9989 4.4",
	 "the same: adkim=S", 0},
	{DMARC_RFC9989, NULL, AT_AUTHOR, NULL, NULL, "pass", "9989 4.10.2",
	 "the record below the registered domain is the highest one, so it is the organization's; "
	 "by the suffix list all under the registered domain belong together", 0},
};
enum { EXPLAINED = sizeof(explained) / sizeof(explained[0]) };

static unsigned agreed[2], differ, failures;

static bool matches(const char *want, const char *have)
{
	return !want || strcmp(want, have) == 0;
}

static bool explain(const struct test *t, enum dmarc_standard standard, const char *mine,
		    const char *other)
{
	bool below = t->own_record && strcmp(t->author, t->org) != 0;
	for (size_t i = 0; i < EXPLAINED; i++) {
		if ((explained[i].standard != BOTH && explained[i].standard != (int)standard) ||
		    !matches(explained[i].suffix, t->suffix->name) ||
		    !(matches(explained[i].record, t->record->name) ||
		      (below && matches(explained[i].record, AT_AUTHOR))) ||
		    !matches(explained[i].from, t->from->name) ||
		    !matches(explained[i].ours, mine) || !matches(explained[i].theirs, other))
			continue;
		explained[i].seen++;
		differ++;
		return true;
	}
	return false;
}

static void compare(const struct test *t)
{
	bool dkim, their_dkim;
	const char *other = theirs(t, &their_dkim);
	for (int s = 0; s < 2; s++) {
		enum dmarc_standard standard = s ? DMARC_RFC9989 : DMARC_RFC7489;
		const char *mine = ours(t, standard, &dkim);
		if (dkim == their_dkim && strcmp(mine, other) == 0) {
			agreed[s]++;
			continue;
		}
		if (dkim == their_dkim && explain(t, standard, mine, other))
			continue;
		if (failures++ < 10)
			printf("FAIL RFC %s: ours %s, libopendmarc %s; DKIM %d %d; suffix %s, author %s,"
			       " d= %s, MAIL FROM %s%s, record %s at %s, From %s, change %s\n",
			       s ? "9989" : "7489", mine, other, dkim, their_dkim, t->suffix->name,
			       t->author_at->name, t->dkim_at ? t->dkim_at->name : "(unsigned)",
			       t->spf_at->name, t->spf_passes ? "" : " (fails)", t->record->name,
			       t->own_record ? "author" : "organization", t->from->name,
			       t->change->name);
	}
}

struct key {
	struct dkim_signer signer;
	char record[1024];
};

static void open_key(struct key *key, const char *path)
{
	struct arena arena;
	arena_init(&arena, 1 << 16);
	if (dkim_signer_open(&key->signer, SPAN("m.example"), SPAN("s"), path) != 0)
		abort();
	struct span p = base64_encode(&arena, pkey_public_bytes(key->signer.key, &arena));
	snprintf(key->record, sizeof(key->record), "v=DKIM1; k=%s; p=%.*s",
		 pkey_kind(key->signer.key) == PKEY_RSA ? "rsa" : "ed25519", SPAN_ARG(p));
	arena_free(&arena);
}

int main(int argc, char **argv)
{
	struct key keys[2];
	struct test test = {.mail = BUF_INIT};
	if (argc < 3)
		return 2;
	if (argc > 3)
		seed = strtoull(argv[3], NULL, 10) * 2 + 1;
	opendkim_open();
	if (!opendmarc_open()) {
		printf("libopendmarc does not read %s\n", OPENDMARC_SUFFIXES);
		return 77;
	}
	for (int i = 0; i < 2; i++)
		open_key(&keys[i], argv[i + 1]);
	current = &test;
	for (unsigned i = 0; i < MESSAGES; i++) {
		struct key *key = &keys[pick(2)];
		make_test(&test, i, &key->signer);
		memcpy(opendkim_record, key->record, sizeof(key->record));
		publish(&test, key->record);
		compare(&test);
	}
	for (size_t i = 0; i < EXPLAINED; i++) {
		printf("%4u  %s%s%s: ours %s, theirs %s; %s: %s\n", explained[i].seen,
		       explained[i].suffix ? explained[i].suffix : "",
		       explained[i].record ? explained[i].record : "",
		       explained[i].from ? explained[i].from : "",
		       explained[i].ours ? explained[i].ours : "*",
		       explained[i].theirs ? explained[i].theirs : "*", explained[i].section,
		       explained[i].why);
		if (!explained[i].seen && argc == 3) {
			printf("FAIL this row explains nothing\n");
			failures++;
		}
	}
	printf("%d messages: RFC 7489 %u agree, RFC 9989 %u agree, differ and explained %u, failures %u\n",
	       MESSAGES, agreed[0], agreed[1], differ, failures);
	for (int i = 0; i < 2; i++)
		dkim_signer_close(&keys[i].signer);
	buf_free(&test.mail);
	dkim_close(opendkim_library);
	opendmarc_policy_library_shutdown(&opendmarc_library);
	return failures ? 1 : 0;
}
