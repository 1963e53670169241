/*
 * Unit tests of dkim_check() by whole messages: each row signs a message with tags of its own,
 * changes it, and is judged with key records of its own. Then the text of Authentication-Results.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <cmocka.h>

#include "analyze/dkim_signature.h"
#include "memory_dns.h"

/* The key of RFC 8463 appendix A.2 as PKCS#8, and its public half. */
#define PUBLIC "11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo="
#define GOOD "v=DKIM1; k=ed25519; p=" PUBLIC
#define OTHER "v=DKIM1; k=ed25519; p=AAAYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo="
static const char pem[] = "-----BEGIN PRIVATE KEY-----\n"
			  "MC4CAQAwBQYDK2VwBCIEIJ1hsZ3v/VpguoRK9JLsLMREScVpezJpGXA7rAMcrn9g\n"
			  "-----END PRIVATE KEY-----\n";

#define MAIL "From: a@m.example\r\nSubject: one\r\nX-A: top\r\nX-A: low\r\n\r\nhello you\r\n"
#define RECORDS 4

struct row {
	const char *name;
	const char *records[RECORDS]; /* none: GOOD; "": nothing there; "!": no answer */
	const char *tags;
	const char *from, *to; /* a change; NULL: none */
	int64_t time_s;
	enum auth_result want;
	const char *reason;
	const char *mail;   /* NULL: MAIL */
	const char *domain; /* of the key; NULL: m.example */
};

static const struct row rows[] = {
	{.name = "plain", .tags = "d=m.example; h=from", .want = AUTH_PASS},
	/* --- t=, x= */
	{.name = "x= is over", .tags = "d=m.example; h=from; t=50; x=100", .time_s = 101,
	 .want = AUTH_POLICY, .reason = "signature expired"},
	{.name = "x= is now", .tags = "d=m.example; h=from; t=50; x=100", .time_s = 100,
	 .want = AUTH_PASS},
	{.name = "x= without a clock", .tags = "d=m.example; h=from; x=1", .want = AUTH_PASS},
	{.name = "expired and broken is broken", .tags = "d=m.example; h=from; x=100",
	 .time_s = 101, .from = "hello", .to = "hullo",
	 .want = AUTH_FAIL, .reason = "body hash did not verify"},
	{.name = "x= before t=", .tags = "d=m.example; h=from; t=100; x=50", .time_s = 10,
	 .want = AUTH_PERMERROR, .reason = "x= is not after t="},
	{.name = "t= to come", .tags = "d=m.example; h=from; t=999999999999", .time_s = 10,
	 .want = AUTH_PASS},
	{.name = "x= of 2^64", .tags = "d=m.example; h=from; x=18446744073709551616", .time_s = 10,
	 .want = AUTH_PERMERROR, .reason = "x= is no number"},
	{.name = "t= is no number", .tags = "d=m.example; h=from; t=-1",
	 .want = AUTH_PERMERROR, .reason = "t= is no number"},
	/* --- l= */
	{.name = "l=, text behind", .tags = "d=m.example; h=from; l=11", .from = "you\r\n",
	 .to = "you\r\nmore\r\n", .want = AUTH_PASS},
	{.name = "l=, text changed", .tags = "d=m.example; h=from; l=11", .from = "hello",
	 .to = "hullo", .want = AUTH_FAIL, .reason = "body hash did not verify"},
	{.name = "l=0, another body", .tags = "d=m.example; h=from; l=0", .from = "hello",
	 .to = "spam", .want = AUTH_PASS},
	{.name = "l= past the end", .tags = "d=m.example; h=from; l=11", .from = "hello ",
	 .to = "", .want = AUTH_PERMERROR, .reason = "l= is larger than the body"},
	{.name = "l= is no number", .tags = "d=m.example; h=from; l=1x",
	 .want = AUTH_PERMERROR, .reason = "l= is no number"},
	/* --- i=, t=s */
	{.name = "i= below d=", .tags = "d=m.example; h=from; i=u@sub.m.example",
	 .want = AUTH_PASS},
	{.name = "i= below d=, t=s", .records = {"t=y:s; k=ed25519; p=" PUBLIC},
	 .tags = "d=m.example; h=from; i=u@sub.m.example", .want = AUTH_PERMERROR,
	 .reason = "domain of i= is not d=, as t=s asks"},
	{.name = "i= is d=, t=s", .records = {"t=s; k=ed25519; p=" PUBLIC},
	 .tags = "d=m.example; h=from; i=@M.Example", .want = AUTH_PASS},
	{.name = "no i=, t=s", .records = {"t=s; k=ed25519; p=" PUBLIC},
	 .tags = "d=m.example; h=from", .want = AUTH_PASS},
	{.name = "i= ends like d=", .tags = "d=m.example; h=from; i=@xm.example",
	 .want = AUTH_PERMERROR, .reason = "domain of i= is not within d="},
	/* --- key records */
	{.name = "other TXT before", .records = {"v=spf1 -all", GOOD},
	 .tags = "d=m.example; h=from", .want = AUTH_PASS},
	{.name = "a revoked one before", .records = {"v=DKIM1; p=", GOOD},
	 .tags = "d=m.example; h=from", .want = AUTH_PASS},
	{.name = "another key behind", .records = {GOOD, OTHER}, .tags = "d=m.example; h=from",
	 .want = AUTH_PASS},
	{.name = "wrong key, then no record", .records = {OTHER, "hello"},
	 .tags = "d=m.example; h=from", .want = AUTH_FAIL, .reason = "signature did not verify"},
	{.name = "no record, then wrong key", .records = {"hello", OTHER},
	 .tags = "d=m.example; h=from", .want = AUTH_FAIL, .reason = "signature did not verify"},
	{.name = "the fourth is not tried", .records = {"1", "2", "3", GOOD},
	 .tags = "d=m.example; h=from", .want = AUTH_PERMERROR,
	 .reason = "syntax of the key record"},
	{.name = "key unknown", .records = {"!"}, .tags = "d=m.example; h=from",
	 .want = AUTH_TEMPERROR, .reason = "key unavailable"},
	{.name = "no key", .records = {""}, .tags = "d=m.example; h=from",
	 .want = AUTH_PERMERROR, .reason = "no key for signature"},
	{.name = "key of another kind", .records = {"v=DKIM1; p=" PUBLIC},
	 .tags = "d=m.example; h=from", .want = AUTH_PERMERROR,
	 .reason = "inappropriate key algorithm"},
	{.name = "key too short", .records = {"k=ed25519; p=AAAA"}, .tags = "d=m.example; h=from",
	 .want = AUTH_PERMERROR, .reason = "key cannot be read"},
	{.name = "key revoked", .records = {"k=ed25519; p="}, .tags = "d=m.example; h=from",
	 .want = AUTH_PERMERROR, .reason = "key revoked"},
	/* --- d= */
	{.name = "d= of U-labels", .tags = "d=b\303\274cher.example; h=from",
	 .domain = "xn--bcher-kva.example", .want = AUTH_PASS},
	{.name = "d= in upper case", .tags = "d=M.EXAMPLE; h=from", .want = AUTH_PASS},
	{.name = "d= of one label", .tags = "d=example; h=from", .want = AUTH_PERMERROR,
	 .reason = "d= is no domain name"},
	{.name = "d= with an empty label", .tags = "d=m..example; h=from",
	 .want = AUTH_PERMERROR, .reason = "d= is no domain name"},
	/* --- h= */
	{.name = "no From in h=", .tags = "d=m.example; h=subject", .want = AUTH_PERMERROR,
	 .reason = "From field not signed"},
	{.name = "From twice in h=, a second one", .tags = "d=m.example; h=from:from",
	 .from = "Subject:", .to = "From: x@y.example\r\nSubject:", .want = AUTH_FAIL,
	 .reason = "signature did not verify"},
	{.name = "From once in h=, one above", .tags = "d=m.example; h=from", .from = "From:",
	 .to = "From: x@y.example\r\nFrom:", .want = AUTH_PASS},
	{.name = "a field that was not there", .tags = "d=m.example; h=from:date",
	 .from = "Subject:", .to = "Date: x\r\nSubject:", .want = AUTH_FAIL,
	 .reason = "signature did not verify"},
	{.name = "X-A once: the top one changes", .tags = "d=m.example; h=from:x-a",
	 .from = "top", .to = "tip", .want = AUTH_PASS},
	{.name = "X-A once: the low one changes", .tags = "d=m.example; h=from:x-a",
	 .from = "low", .to = "law", .want = AUTH_FAIL, .reason = "signature did not verify"},
	{.name = "X-A twice: the top one changes", .tags = "d=m.example; h=from:x-a:x-a",
	 .from = "top", .to = "tip", .want = AUTH_FAIL, .reason = "signature did not verify"},
	{.name = "X-A twice: swapped", .tags = "d=m.example; h=from:x-a:X-A",
	 .from = "X-A: top\r\nX-A: low", .to = "X-A: low\r\nX-A: top", .want = AUTH_FAIL,
	 .reason = "signature did not verify"},
	{.name = "order of other names", .tags = "d=m.example; h=from:subject",
	 .from = "From: a@m.example\r\nSubject: one", .to = "Subject: one\r\nFrom: a@m.example",
	 .want = AUTH_PASS},
	{.name = "its own name", .tags = "d=m.example; h=from:dkim-signature", .want = AUTH_PASS},
	{.name = "an empty name", .tags = "d=m.example; h=from::to", .want = AUTH_PERMERROR,
	 .reason = "h= is no list of fields"},
	/* --- bodies */
	{.name = "no final CRLF", .tags = "d=m.example; h=from", .want = AUTH_PASS,
	 .mail = "From: a@m.example\r\n\r\nhello"},
	{.name = "CRLF came at the end", .tags = "d=m.example; h=from", .from = "hello",
	 .to = "hello\r\n\r\n", .want = AUTH_PASS, .mail = "From: a@m.example\r\n\r\nhello"},
	{.name = "empty lines went, simple", .tags = "d=m.example; h=from; c=simple/simple",
	 .from = "you\r\n\r\n\r\n", .to = "you\r\n", .want = AUTH_PASS,
	 .mail = "From: a@m.example\r\n\r\nhello you\r\n\r\n\r\n"},
	{.name = "no body, simple", .tags = "d=m.example; h=from; c=simple", .want = AUTH_PASS,
	 .mail = "From: a@m.example\r\n"},
	{.name = "a blank came, simple", .tags = "d=m.example; h=from; c=simple/simple",
	 .from = "you\r\n", .to = "you \r\n", .want = AUTH_FAIL,
	 .reason = "body hash did not verify"},
	{.name = "a blank came, relaxed", .tags = "d=m.example; h=from", .from = "you\r\n",
	 .to = "you \r\n", .want = AUTH_PASS},
	{.name = "form unknown", .tags = "d=m.example; h=from; c=relaxed/nofws",
	 .want = AUTH_PERMERROR, .reason = "unknown canonicalization"},
	/* --- the rest */
	{.name = "version", .tags = "d=m.example; h=from; v=2", .want = AUTH_PERMERROR,
	 .reason = "incompatible version"},
	{.name = "rsa-sha1", .tags = "d=m.example; h=from; a=rsa-sha1", .want = AUTH_PERMERROR,
	 .reason = "historic algorithm rsa-sha1"},
	{.name = "query method", .tags = "d=m.example; h=from; q=http", .want = AUTH_PERMERROR,
	 .reason = "unknown query method"},
	{.name = "a tag twice", .tags = "d=m.example; h=from; h=from", .want = AUTH_PERMERROR,
	 .reason = "syntax of the signature"},
	{.name = "an unknown tag", .tags = "d=m.example; h=from; zz=what ever", .want = AUTH_PASS},
};

static struct message *parse(struct arena *arena, struct span octets)
{
	struct message *m = ARENA_NEW(arena, struct message);
	assert_int_equal(message_parse(m, arena, octets), 0);
	return m;
}

/* `tags` and what they leave out, with bh= and b=. */
static struct span sign(struct arena *arena, const struct row *row)
{
	static const char *const rest[] = {"v=1", "a=ed25519-sha256", "c=relaxed/relaxed"};
	struct buf tags = BUF_INIT;
	struct dkim_signature sig;
	uint8_t digest[SHA256_BYTES], b[PKEY_SIGNATURE_BYTES];
	struct span mail = span_of(row->mail ? row->mail : MAIL);
	struct pkey *key = pkey_load_private(span_of(pem));
	buf_adds(&tags, row->tags);
	for (size_t i = 0; i < 3; i++)
		if (!strstr(row->tags, (char[]){' ', rest[i][0], '=', '\0'}))
			buf_addf(&tags, "; %s", rest[i]);
	struct span head = arena_printf(arena, "DKIM-Signature: s=s; %.*s;\r\n\t",
					SPAN_ARG(buf_span(&tags)));
	/* Read once for the body hash, once more for the header with it in. */
	struct message *m = parse(arena, arena_printf(arena, "%.*sb=\r\n%.*s", SPAN_ARG(head),
						      SPAN_ARG(mail)));
	dkim_signature_parse(&sig, SIGNATURE_DKIM, &m->headers[0], arena);
	const struct dkim_body_hash *body = dkim_work_body(dkim_work_create(m, arena), &sig);
	struct span bh = base64_encode(arena, (struct span){(const char *)body->digest, 32});
	head = arena_printf(arena, "%.*sbh=%.*s; b=", SPAN_ARG(head), SPAN_ARG(bh));
	m = parse(arena, arena_printf(arena, "%.*s\r\n%.*s", SPAN_ARG(head), SPAN_ARG(mail)));
	dkim_signature_parse(&sig, SIGNATURE_DKIM, &m->headers[0], arena);
	dkim_work_header(dkim_work_create(m, arena), &sig, digest);
	size_t n = pkey_sign(key, digest, b);
	pkey_free(key);
	buf_free(&tags);
	struct span text = base64_encode(arena, (struct span){(char *)b, n});
	return arena_printf(arena, "%.*s%.*s\r\n%.*s", SPAN_ARG(head), SPAN_ARG(text),
			    SPAN_ARG(mail));
}

static void publish(struct arena *arena, const struct row *row)
{
	struct span name = arena_printf(arena, "s._domainkey.%s",
					row->domain ? row->domain : "m.example");
	memory_reset();
	if (!row->records[0])
		memory_add(name, "TXT", 0, SPAN(GOOD));
	for (size_t i = 0; i < RECORDS && row->records[i] && *row->records[i]; i++)
		memory_add(name, *row->records[i] == '!' ? "TXT!" : "TXT", 0,
			   span_of(row->records[i]));
}

static struct auth judge(struct arena *arena, struct span octets, int64_t time_s)
{
	struct message *m = parse(arena, octets);
	struct auth auth = {0};
	struct auth_query q = {.host = "mx.example", .time_us = time_s * 1000000};
	memory_forget();
	while (dkim_check(&auth, m, &q, &memory_session, arena) == STEP_WAIT)
		assert_true(memory_arrive());
	return auth;
}

static struct auth judge_row(struct arena *arena, const struct row *row)
{
	struct span mail = sign(arena, row);
	publish(arena, row);
	if (row->from) {
		size_t end = span_find(mail, SPAN("\r\nFrom:")) + 2;
		size_t at = span_find(span_sub(mail, end, mail.n), span_of(row->from));
		assert_true(at != SIZE_MAX);
		at += end;
		mail = arena_printf(arena, "%.*s%s%.*s", (int)at, mail.p, row->to,
				    SPAN_ARG(span_sub(mail, at + strlen(row->from), mail.n)));
	}
	return judge(arena, mail, row->time_s);
}

static void test_rows(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct arena arena;
		arena_init(&arena, (size_t)16 << 20);
		struct auth auth = judge_row(&arena, &rows[i]);
		const struct dkim_result *r = auth.dkim;
		const char *why = rows[i].reason ? rows[i].reason : "-";
		if (auth.n_dkim != 1 || r->result != rows[i].want ||
		    strcmp(r->reason ? r->reason : "-", why) != 0)
			fail_msg("%s: want %s (%s), got %s (%s)", rows[i].name,
				 auth_result_name(rows[i].want), why, auth_result_name(r->result),
				 r->reason ? r->reason : "-");
		arena_free(&arena);
	}
}

/* What a passing signature tells beside its result. */
static void test_told(void **state)
{
	static const struct {
		const char *row;
		bool has_length, appended, testing, strict;
		const char *d, *i;
	} wants[] = {
		{"plain", false, false, false, false, "m.example", "@m.example"},
		{"l=, text behind", true, true, false, false, "m.example", "@m.example"},
		{"l=0, another body", true, true, false, false, "m.example", "@m.example"},
		{"i= below d=, t=s", false, false, true, true, "m.example", "u@sub.m.example"},
		{"d= of U-labels", false, false, false, false, "xn--bcher-kva.example",
		 "@b\303\274cher.example"},
		{"d= in upper case", false, false, false, false, "m.example", "@M.EXAMPLE"},
	};
	(void)state;
	for (size_t k = 0; k < sizeof(wants) / sizeof(wants[0]); k++) {
		struct arena arena;
		size_t i = 0;
		while (strcmp(rows[i].name, wants[k].row) != 0)
			assert_true(++i < sizeof(rows) / sizeof(rows[0]));
		arena_init(&arena, (size_t)16 << 20);
		struct auth auth = judge_row(&arena, &rows[i]);
		const struct dkim_result *r = auth.dkim;
		if (r->has_length != wants[k].has_length || r->appended != wants[k].appended ||
		    r->testing != wants[k].testing || r->strict != wants[k].strict ||
		    !span_eq(r->d, span_of(wants[k].d)) || !span_eq(r->i, span_of(wants[k].i)))
			fail_msg("%s: l=%d appended=%d y=%d s=%d d=%.*s i=%.*s", wants[k].row,
				 r->has_length, r->appended, r->testing, r->strict, SPAN_ARG(r->d),
				 SPAN_ARG(r->i));
		arena_free(&arena);
	}
}

static void test_many(void **state)
{
	struct arena arena;
	struct buf all = BUF_INIT;
	(void)state;
	arena_init(&arena, (size_t)16 << 20);
	struct span mail = sign(&arena, &rows[0]);
	publish(&arena, &rows[0]);
	size_t end = span_find(mail, SPAN("\r\nFrom:")) + 2;
	for (size_t i = 0; i < DKIM_SIGNATURES_JUDGED + 5; i++)
		buf_add(&all, span_sub(mail, 0, end));
	buf_add(&all, span_sub(mail, end, mail.n));
	struct auth auth = judge(&arena, buf_span(&all), 0);
	assert_int_equal(auth.dkim_fields, DKIM_SIGNATURES_JUDGED + 5);
	assert_int_equal(auth.n_dkim, DKIM_SIGNATURES_JUDGED);
	for (size_t i = 0; i < auth.n_dkim; i++)
		assert_int_equal(auth.dkim[i].result, AUTH_PASS);
	buf_free(&all);
	arena_free(&arena);
}

/* --- attacks ----------------------------------------------------------------------- */

/* The octet at `i` is of a field's name: its case does not count (relaxed form). */
static bool in_a_name(struct span mail, size_t i)
{
	size_t end = span_find(mail, SPAN("\r\n\r\n")), start = i;
	if (i >= end || !ascii_is_alpha(mail.p[i]))
		return false;
	while (start > 0 && mail.p[start - 1] != '\n')
		start--;
	struct span before = span_sub(mail, start, i);
	return mail.p[start] != '\t' && mail.p[start] != ' ' &&
	       span_find_char(before, ':') == SIZE_MAX;
}

static bool passes(struct span octets)
{
	struct arena arena;
	arena_init(&arena, (size_t)16 << 20);
	struct auth auth = judge(&arena, octets, 0);
	bool passed = auth.n_dkim == 1 && auth.dkim[0].result == AUTH_PASS;
	arena_free(&arena);
	return passed;
}

/* Every octet of header and body is covered: whichever is changed, and wherever the message is cut,
 * the signature is not worth anything any more. */
static void test_every_octet(void **state)
{
	static const struct row row = {.tags = "d=m.example; h=from:subject:x-a:x-a",
				       .name = "all"};
	static const char masks[] = {0x01, 0x20, 0x40, (char)0x80};
	struct arena arena;
	(void)state;
	arena_init(&arena, (size_t)16 << 20);
	struct span mail = sign(&arena, &row);
	publish(&arena, &row);
	assert_true(passes(mail));
	/* the last character of b= has four bits that say nothing (RFC 4648 section 3.5) */
	size_t loose = span_find(mail, SPAN("==\r\n")) - 1;
	char *copy = malloc(mail.n);
	memcpy(copy, mail.p, mail.n);
	for (size_t i = 0; i < mail.n; i++)
		for (size_t k = 0; k < sizeof(masks); k++) {
			copy[i] ^= masks[k];
			bool same = masks[k] == 0x20 && in_a_name(mail, i);
			if (i != loose && passes((struct span){copy, mail.n}) != same)
				fail_msg("octet %zu (%c) with %#x: %s", i, mail.p[i],
					 (unsigned)masks[k], same ? "does not pass" : "passes");
			copy[i] ^= masks[k];
		}
	free(copy);
	for (size_t n = 0; n < mail.n; n++) {
		char *cut = malloc(n + 1); /* of its own size, so that ASan sees its end */
		memcpy(cut, mail.p, n);
		/* the CRLF at the end of the body is there for both forms */
		bool same = n + 2 == mail.n;
		if (passes((struct span){cut, n}) != same)
			fail_msg("cut at %zu of %zu: %s", n, mail.n, same ? "fails" : "passes");
		free(cut);
	}
	arena_free(&arena);
}

/* A key record that lost or changed an octet of its key verifies nothing. */
static void test_every_octet_of_the_key(void **state)
{
	static const struct row row = {.tags = "d=m.example; h=from", .name = "key"};
	struct arena arena;
	(void)state;
	arena_init(&arena, (size_t)16 << 20);
	struct span mail = sign(&arena, &row);
	size_t key = strlen(GOOD) - strlen(PUBLIC);
	for (size_t i = 0; i < strlen(GOOD); i++) {
		char record[sizeof(GOOD)] = GOOD;
		record[i] = '\0';
		memory_reset();
		memory_txt("s._domainkey.m.example", record);
		/* without its padding it is read still */
		assert_int_equal(passes(mail), i == strlen(GOOD) - 1);
		memcpy(record, GOOD, sizeof(GOOD));
		record[i] ^= 0x02;
		memory_reset();
		memory_txt("s._domainkey.m.example", record);
		bool passed = passes(mail);
		/* "v" and "=" of other tags may become other tags, which are ignored; the last character
		 * of the base64 has two bits that say nothing */
		if (passed && i >= key && i < strlen(GOOD) - 2)
			fail_msg("key octet %zu", i);
	}
	arena_free(&arena);
}

/* --- Authentication-Results -------------------------------------------------------- */

static void test_results(void **state)
{
	struct dkim_result dkim[] = {
		{.result = AUTH_PASS, .d = SPAN("m.example"), .s = SPAN("s"),
		 .algorithm = SPAN("rsa-sha256"), .b = SPAN("AbC+/=12")},
		{.result = AUTH_FAIL, .reason = "a \"quoted\\ reason", .d = SPAN("x\"; dkim=pass"),
		 .s = SPAN("a\r\n\tb"), .algorithm = SPAN("\\"), .b = SPAN("(x)")},
	};
	struct address from = {.domain = SPAN("m.example; spf=pass")};
	struct message m = {.from = {.v = &from, .n = 1}};
	struct auth auth = {
		.spf = {.result = AUTH_SOFTFAIL}, .spf_helo = {.result = AUTH_NONE},
		.dkim = dkim, .n_dkim = 2,
		.arc = {.result = AUTH_FAIL, .reason = "ARC set is not whole"},
		.dmarc = {.result = AUTH_FAIL, .policy = SPAN("reject"),
			  .disposition = SPAN("quarantine")},
		.ptr = {.known = true, .n = 1, .confirmed = true},
	};
	struct auth_query q = {.helo = SPAN("h\xff\x7f\0x"), .mail_from = SPAN("\"a b\"@m.example"),
			       .host = "mx.example"};
	struct arena arena;
	(void)state;
	arena_init(&arena, (size_t)1 << 20);
	ip_parse(SPAN("2001:db8::1"), &q.ip);
	struct span got = auth_results_field(&auth, &m, &q, &arena);
	const char *want = "mx.example;\r\n\tiprev=pass\r\n\t policy.iprev=\"2001:db8::1\";"
			   "\r\n\tspf=softfail\r\n\t smtp.mailfrom=\"\\\"a b\\\"@m.example\";"
			   "\r\n\tspf=none\r\n\t smtp.helo=\"h???x\";"
			   "\r\n\tdkim=pass\r\n\t header.d=m.example\r\n\t header.s=s"
			   "\r\n\t header.a=rsa-sha256\r\n\t header.b=\"AbC+/=12\";"
			   "\r\n\tdkim=fail reason=\"a 'quoted' reason\""
			   "\r\n\t header.d=\"x\\\"; dkim=pass\"\r\n\t header.s=\"a???b\""
			   "\r\n\t header.a=\"\\\\\"\r\n\t header.b=\"(x)\";"
			   "\r\n\tarc=fail reason=\"ARC set is not whole\";"
			   "\r\n\tdmarc=fail\r\n\t policy.dmarc=quarantine"
			   "\r\n\t header.from=\"m.example; spf=pass\"";
	if (!span_eq(got, span_of(want)))
		fail_msg("got:\n%.*s\nwant:\n%s", SPAN_ARG(got), want);
	/* Nothing known, no message; a value longer than any field may be. */
	struct auth none = {.spf = {.result = AUTH_TEMPERROR}};
	struct auth_query silent = {.host = NULL};
	got = auth_results_field(&none, NULL, &silent, &arena);
	assert_true(span_eq(got, SPAN("localhost;\r\n\tspf=temperror")));
	char *huge = arena_alloc(&arena, 5000);
	memset(huge, 'h', 5000);
	silent.helo = (struct span){huge, 5000};
	got = auth_results_field(&none, NULL, &silent, &arena);
	assert_true(got.n < 400);
	arena_free(&arena);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_rows),
		cmocka_unit_test(test_told),
		cmocka_unit_test(test_many),
		cmocka_unit_test(test_every_octet),
		cmocka_unit_test(test_every_octet_of_the_key),
		cmocka_unit_test(test_results),
	};
	memory_reset();
	return cmocka_run_group_tests_name("dkim_check", tests, NULL, NULL);
}
