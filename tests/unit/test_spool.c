/* Unit tests of capture/: mbox families, what counts as a message, the inferred envelope. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>
#include <sys/stat.h>
#include <cmocka.h>

#include "base/clock.h"
#include "base/file.h"
#include "capture/envelope.h"
#include "capture/mbox.h"
#include "capture/spool.h"

#define SEPARATOR "From joe@a.test Sat Jan  3 01:05:34 1996\n"

static void test_mbox(void **state)
{
	static const struct {
		const char *name, *mbox;
		const char *want[4]; /* octets of each message */
		bool quoted[4];
	} rows[] = {
		{"mboxo", SEPARATOR "A: 1\n\n>From x\n\n" SEPARATOR "B: 2\n\nb\n",
		 {"A: 1\n\n>From x\n", "B: 2\n\nb\n"}, {true, true}},
		{"a sentence is no separator", SEPARATOR "A: 1\n\nx\n\nFrom here on\n",
		 {"A: 1\n\nx\n\nFrom here on\n"}, {true}},
		{"no empty line before", SEPARATOR "A: 1\n\nx\n" SEPARATOR "y\n",
		 {"A: 1\n\nx\n" SEPARATOR "y\n"}, {true}},
		{"wrong length", SEPARATOR "Content-Length: 9999\n\nx\n\n" SEPARATOR "B: 2\n\nb\n",
		 {"Content-Length: 9999\n\nx\n", "B: 2\n\nb\n"}, {true, true}},
		{"CRLF", "From j Sat Jan  3 01:05:34 1996\r\nA: 1\r\n\r\nx\r\n\r\nFrom j Sat Jan  3 "
		 "01:05:34 1996\r\nB: 2\r\n\r\n",
		 {"A: 1\r\n\r\nx\r\n", "B: 2\r\n\r\n"}, {true, true}},
		{"nothing between two", SEPARATOR SEPARATOR "A: 1\n\nx\n", {"", "A: 1\n\nx\n"},
		 {true, true}},
		{"only the line", "From j Sat Jan  3 01:05:34 1996", {""}, {true}},
	};
	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct span rest = span_of(rows[i].mbox);
		struct mbox_message m;
		size_t n = 0;
		for (; mbox_next(&rest, &m); n++)
			if (n >= 4 || !rows[i].want[n] ||
			    !span_eq(m.octets, span_of(rows[i].want[n])) ||
			    m.quoted != rows[i].quoted[n])
				fail_msg("%s: message %zu is '%.*s'", rows[i].name, n,
					 SPAN_ARG(m.octets));
		if (n < 4 && rows[i].want[n])
			fail_msg("%s: %zu messages", rows[i].name, n);
	}
}

static void test_mboxcl2(void **state)
{
	(void)state;
	static const char body[] = "\n" SEPARATOR "B: 2\n\nnot a message of its own\n";
	char mbox[512];
	snprintf(mbox, sizeof(mbox), SEPARATOR "Content-Length: %zu\n\n%s\n" SEPARATOR "C: 3\n\nc\n",
		 sizeof(body) - 1, body);
	struct span rest = span_of(mbox);
	struct mbox_message m;
	assert_true(mbox_next(&rest, &m));
	assert_false(m.quoted);
	assert_true(span_ends(m.octets, span_of(body)));
	assert_true(mbox_next(&rest, &m));
	assert_true(span_eq(m.octets, SPAN("C: 3\n\nc\n")));
	assert_false(mbox_next(&rest, &m));
}

static void test_txn(void **state)
{
	(void)state;
	struct txn *t = spool_txn(TXN_EML, "x", SPAN("A: 1\n\nx\n"));
	assert_non_null(t);
	assert_true(span_eq(t->message, SPAN("A: 1\r\n\r\nx\r\n")));
	assert_int_equal(t->size, 8);
	assert_int_equal(t->flags, 0);
	txn_free(t);
	t = spool_txn(TXN_EML, "x", SPAN("A: 1\r\n\nx\ry\r\n"));
	assert_true(span_eq(t->message, SPAN("A: 1\r\n\r\nx\ry\r\n")));
	assert_int_equal(t->flags, TXN_BARE_LF | TXN_BARE_CR);
	txn_free(t);
}

static void test_envelope(void **state)
{
	static const struct {
		const char *name, *header;
		const char *mail_from, *helo, *peer, *rcpt, *time; /* NULL: unknown */
	} rows[] = {
		{"postfix",
		 "Return-Path: <b@esp.test>\nDelivered-To: u@mbox.test\n"
		 "Received: from out.esp.test (out.esp.test [192.0.2.7])\n"
		 "\tby mx.mbox.test (Postfix) with ESMTPS id ABC\n"
		 "\tfor <u@mbox.test>; Mon, 23 Nov 2026 16:00:00 +0800 (CST)\n\n",
		 "b@esp.test", "out.esp.test", "192.0.2.7", "u@mbox.test", "2026-11-23T08:00:00Z"},
		{"an inner hop first",
		 "Received: from mx (localhost [127.0.0.1]) by store.test; Mon, 23 Nov 2026 08:00:09 "
		 "+0000\nReceived: from a.test (unknown [IPv6:2001:db8::5]) by mx; Mon, 23 Nov 2026 "
		 "08:00:00 +0000\n\n",
		 NULL, "a.test", "2001:db8::5", NULL, "2026-11-23T08:00:09Z"},
		{"exim", "Received: from [198.51.100.4] (helo=e.test) by x with esmtp id 1; Mon, 23 "
			 "Nov 2026 08:00:00 +0000\n\n",
		 NULL, "e.test", "198.51.100.4", NULL, "2026-11-23T08:00:00Z"},
		{"null sender", "Return-Path: <>\n\n", "", NULL, NULL, NULL, NULL},
		{"a comment lies", "Received: from a.test (by evil.test for <x@y.test> [192.0.2.1]) by "
				   "mx.test; Mon, 23 Nov 2026 08:00:00 +0000\n\n",
		 NULL, "a.test", "192.0.2.1", NULL, "2026-11-23T08:00:00Z"},
		{"nothing", "Subject: x\n\n", NULL, NULL, NULL, NULL, NULL},
	};
	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct txn *t = spool_txn(TXN_EML, "x", span_of(rows[i].header));
		char peer[IP_TEXT_BYTES], time[CLOCK_TEXT_BYTES];
		assert_non_null(t);
		const struct {
			const char *what, *want;
			struct span got;
		} fields[] = {
			{"mail_from", rows[i].mail_from, t->mail_from.s},
			{"helo", rows[i].helo, t->helo.s},
			{"peer", rows[i].peer,
			 t->peer.family ? span_of(ip_text(&t->peer, peer)) : SPAN_NONE},
			{"rcpt", rows[i].rcpt, t->n_rcpts ? t->rcpts[0].to : SPAN_NONE},
			{"time", rows[i].time,
			 t->time_prov ? span_of(clock_rfc3339(t->time_us, time)) : SPAN_NONE},
		};
		for (size_t f = 0; f < 5; f++)
			if ((fields[f].want == NULL) != (fields[f].got.p == NULL) ||
			    (fields[f].want && !span_eq(fields[f].got, span_of(fields[f].want))))
				fail_msg("%s: %s is '%.*s'", rows[i].name, fields[f].what,
					 SPAN_ARG(fields[f].got));
		txn_free(t);
	}
}

static void test_envelope_json(void **state)
{
	static const struct {
		const char *json;
		int want;
	} rows[] = {
		{"{\"peer\":\"192.0.2.1\",\"helo\":\"h\",\"mail_from\":\"\",\"rcpts\":[{\"to\":\"a@b\","
		 "\"code\":550,\"enhanced\":\"5.1.1\",\"text\":\"no\"}]}", 0},
		{"{\"peer\":\"192.0.2\"}", -EINVAL},
		{"{\"helo\":7}", -EINVAL},
		{"{\"rcpts\":[7]}", -EINVAL},
		{"[]", -EINVAL},
		{"{", -EINVAL},
		{"{\"time\":\"yesterday\"}", -EINVAL},
		{"{\"peer\":null}", 0},
	};
	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct txn *t = txn_create(TXN_EML, 0);
		const char *why = NULL;
		int r = envelope_from_json(t, span_of(rows[i].json), &why);
		if (r != rows[i].want || (r && !why))
			fail_msg("%s: %d", rows[i].json, r);
		if (i == 0) {
			assert_int_equal(t->rcpts[0].reply.code, 550);
			assert_true(t->mail_from.s.p && t->mail_from.s.n == 0);
		}
		txn_free(t);
	}
}

struct seen {
	unsigned notices, no_mail, no_input;
};

static void count_trouble(void *arg, enum spool_trouble kind, const char *path, const char *message)
{
	struct seen *seen = arg;
	(void)path;
	(void)message;
	seen->notices += kind == SPOOL_NOTICE;
	seen->no_mail += kind == SPOOL_NO_MAIL;
	seen->no_input += kind == SPOOL_NO_INPUT;
}

static void put(const char *folder, const char *name, const char *text)
{
	char path[512];
	snprintf(path, sizeof(path), "%s/%s", folder, name);
	assert_int_equal(file_replace(path, span_of(text), 0600), 0);
}

static void test_walk(void **state)
{
	(void)state;
	char folder[] = "/tmp/assay-spool-XXXXXX", maildir[64], sub[96], command[64];
	assert_non_null(mkdtemp(folder));
	snprintf(maildir, sizeof(maildir), "%s/md", folder);
	static const char *const subs[] = {"cur", "new", "tmp"};
	for (size_t i = 0; i < 3; i++) {
		snprintf(sub, sizeof(sub), "%s/%s", maildir, subs[i]);
		assert_int_equal(file_make_folder(sub, 0700), 0);
		put(sub, "1.eml", "whatever\n");
	}
	put(folder, "a.eml", "Subject: a\n\n");
	put(folder, "a.eml.envelope", "{\"helo\":\"h.test\"}");
	put(folder, "b.txt", "From: b\n\n");
	put(folder, "c.mbox", SEPARATOR "Subject: 1\n\n\n" SEPARATOR "Subject: 2\n\n");
	put(folder, "LICENSE", "Permission is granted\n");
	put(folder, "empty", "");
	char missing[64];
	snprintf(missing, sizeof(missing), "%s/missing", folder);
	char named[80]; /* as a shell's * names it */
	snprintf(named, sizeof(named), "%s/a.eml.envelope", folder);
	const char *paths[] = {folder, missing, named};
	struct seen seen = {0};
	struct spool *s;
	assert_int_equal(spool_open(&s, paths, 3, count_trouble, &seen), 0);
	struct txn *t;
	unsigned by_source[5] = {0};
	bool sidecar = false;
	while (spool_next(s, &t) == 1) {
		by_source[t->source]++;
		sidecar |= span_eq(t->helo.s, SPAN("h.test")) && t->helo.prov == PROV_SEEN;
		txn_free(t);
	}
	spool_free(s);
	assert_int_equal(by_source[TXN_EML], 2);
	assert_int_equal(by_source[TXN_MBOX], 2);
	assert_int_equal(by_source[TXN_MAILDIR], 2);
	assert_int_equal(seen.notices, 2);
	assert_int_equal(seen.no_input, 1);
	assert_int_equal(seen.no_mail, 0);
	assert_true(sidecar);
	snprintf(command, sizeof(command), "rm -rf %s", folder);
	assert_int_equal(system(command), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_mbox),     cmocka_unit_test(test_mboxcl2),
		cmocka_unit_test(test_txn),      cmocka_unit_test(test_envelope),
		cmocka_unit_test(test_envelope_json), cmocka_unit_test(test_walk),
	};
	return cmocka_run_group_tests_name("spool", tests, NULL, NULL);
}
