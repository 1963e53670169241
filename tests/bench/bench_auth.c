/*
 * What authentication costs in CPU time with every DNS answer and the key at hand: all of it for a
 * mail of 5 kB, beside libopendkim and libopendmarc on the same mail, then DKIM alone at three sizes.
 * Run: meson test -C build --benchmark auth --verbose
 *
 * Ours splits the header and judges; libopendkim gets the header split already (dkim_header(),
 * dkim_body()), as its milter does, and libopendmarc gets From, the result of libopendkim and an SPF
 * result for nothing: theirs checks no SPF, no reverse name and no ARC, and speaks no milter.
 */
#include <stdlib.h>
#include <time.h>
#include <unistd.h>
#include <event2/event.h>

#include "analyze/auth.h"
#include "analyze/dkim_sign.h"
#include "analyze/dkim_signature.h"
#include "base/file.h"
#ifdef HAVE_OPENDKIM
#include <netdb.h>

#include "tests/bench/measure.h"
#include "tests/tools/opendkim.h"
#include "tests/tools/opendmarc.h"
#endif

enum { ROUNDS = 500 };

static struct dns *dns;
static struct auth_query query;

/* --- the mail ------------------------------------------------------------------------- */

/* Newsletters are HTML with indented lines. */
static void write_mail(struct buf *out, const struct dkim_signer *signer, size_t bytes)
{
	struct buf mail = BUF_INIT;
	buf_adds(&mail, "Received: from mail.m.example (mail.m.example [192.0.2.1])\r\n"
			"\tby mx.example with ESMTP id 4X; Tue, 24 Nov 2026 08:00:00 +0000\r\n"
			"From: News <news@m.example>\r\nTo: <you@mbox.example>\r\n"
			"Subject: =?utf-8?B?5LyY5oOg5rS75Yqo?= =?utf-8?B?5LyY5oOg5rS75Yqo?=\r\n"
			"Date: Tue, 24 Nov 2026 08:00:00 +0000\r\n"
			"Message-ID: <20261124080000.4711@m.example>\r\nMIME-Version: 1.0\r\n"
			"List-Unsubscribe: <https://m.example/u?1>\r\n"
			"List-Unsubscribe-Post: List-Unsubscribe=One-Click\r\n"
			"Feedback-ID: 1:2:3:m\r\nX-Mailer: x\r\nPrecedence: bulk\r\n"
			"Content-Type: text/html; charset=utf-8\r\n\r\n");
	for (size_t i = 0; mail.n < bytes; i++)
		buf_addf(&mail,
			 "    <td  class=\"c%zu\"><a href=\"https://m.example/c?id=%zu\">Offer "
			 "of the week</a></td>%s\r\n", i % 7, i, i % 5 ? "" : " ");
	if (dkim_signer_sign(signer, buf_span(&mail), time(NULL), out) != 0)
		abort();
	buf_add(out, buf_span(&mail));
	buf_free(&mail);
}

/* --- ours ----------------------------------------------------------------------------- */

struct parsed {
	struct span octets;
	struct message *m;
};

static void wake(void *arg)
{
	(void)arg;
	abort(); /* everything is at hand */
}

static void judge_all(void *arg)
{
	const struct parsed *mail = arg;
	struct arena arena;
	struct auth auth = {0};
	arena_init(&arena, (size_t)8 << 20);
	struct dns_session *session = dns_session_create(dns, wake, NULL);
	if (auth_check(&auth, mail->m, &query, session, &arena) != STEP_DONE ||
	    auth.dmarc.result != AUTH_PASS || !auth.dmarc.spf_aligned || !auth.dmarc.dkim_aligned ||
	    !auth.ptr.confirmed)
		abort();
	dns_session_release(session);
	arena_free(&arena);
}

static void judge_dkim(void *arg)
{
	const struct parsed *mail = arg;
	struct arena arena;
	struct auth auth = {0};
	struct preflight_header head;
	arena_init(&arena, (size_t)8 << 20);
	preflight_header(&head, &arena, mail->octets, 0);
	struct message m = {.arena = &arena, .octets = mail->octets, .headers = head.v,
			    .n_headers = head.n, .body_offset = head.body_offset};
	struct dns_session *session = dns_session_create(dns, wake, NULL);
	if (dkim_check(&auth, &m, &query, session, &arena) != STEP_DONE ||
	    auth.dkim[0].result != AUTH_PASS)
		abort();
	dns_session_release(session);
	arena_free(&arena);
}

static void hash_body(void *arg)
{
	const struct parsed *mail = arg;
	static struct sha256 *hash;
	struct dkim_body_hash body;
	if (!hash)
		hash = sha256_create();
	dkim_hash_body(hash, span_sub(mail->octets, mail->m->body_offset, mail->octets.n),
		       DKIM_RELAXED, DKIM_NO_LENGTH, &body);
}

static void hash_alone(void *arg)
{
	const struct parsed *mail = arg;
	uint8_t digest[SHA256_BYTES];
	sha256(span_sub(mail->octets, mail->m->body_offset, mail->octets.n), digest);
}

/* --- theirs --------------------------------------------------------------------------- */

#ifdef HAVE_OPENDKIM
static void judge_opendkim(void *arg)
{
	const struct parsed *mail = arg;
	DKIM_STAT r;
	DKIM *dkim = dkim_verify(opendkim_library, (const u_char *)"id", NULL, &r);
	for (size_t i = 0; i < mail->m->n_headers; i++) {
		struct span field = mail->m->headers[i].field;
		if (dkim_header(dkim, (u_char *)field.p, field.n - 2) != DKIM_STAT_OK)
			abort();
	}
	size_t at = mail->m->body_offset;
	if (dkim_eoh(dkim) != DKIM_STAT_OK ||
	    dkim_body(dkim, (u_char *)mail->octets.p + at, mail->octets.n - at) != DKIM_STAT_OK ||
	    dkim_eom(dkim, NULL) != DKIM_STAT_OK)
		abort();
	dkim_free(dkim);
}

#define DMARC_RECORD "v=DMARC1; p=reject; rua=mailto:d@m.example"

/* In place of libopendmarc's own, which would ask the DNS: the answer at hand. */
char *dmarc_dns_get_record(char *domain, int *reply, char *text, size_t n);
char *dmarc_dns_get_record(char *domain, int *reply, char *text, size_t n)
{
	(void)domain;
	*reply = NETDB_SUCCESS;
	snprintf(text, n, "%s", DMARC_RECORD);
	return text;
}

static void judge_their_chain(void *arg)
{
	judge_opendkim(arg);
	struct opendmarc_verdict v = opendmarc_judge(
		SPAN("News <news@m.example>"), SPAN("m.example"), DMARC_POLICY_SPF_OUTCOME_PASS,
		SPAN("m.example"), DMARC_POLICY_DKIM_OUTCOME_PASS);
	if (v.policy != DMARC_POLICY_PASS)
		abort();
}
#endif

static void write_zone(const char *path, const struct dkim_signer *signer, struct arena *arena)
{
	struct span p = base64_encode(arena, pkey_public_bytes(signer->key, arena));
	if (!p.p || p.n < 200)
		abort();
	struct span text = arena_printf(arena,
		"$TTL 3600\n"
		"m.example. TXT \"v=spf1 include:spf.m.example -all\"\n"
		"spf.m.example. TXT \"v=spf1 ip4:198.51.100.0/24 ip4:192.0.2.0/24 -all\"\n"
		"mail.m.example. A 192.0.2.1\n"
		"1.2.0.192.in-addr.arpa. PTR mail.m.example.\n"
		"_dmarc.m.example. TXT \"v=DMARC1; p=reject; rua=mailto:d@m.example\"\n"
		"s._domainkey.m.example. TXT \"v=DKIM1; k=rsa; p=%.*s\" \"%.*s\"\n",
		200, p.p, (int)p.n - 200, p.p + 200);
	if (file_replace(path, text, 0600) != 0)
		abort();
#ifdef HAVE_OPENDKIM
	snprintf(opendkim_record, sizeof(opendkim_record), "v=DKIM1; k=rsa; p=%.*s", SPAN_ARG(p));
	opendkim_open();
#else
	puts("libopendkim is not installed: ours alone");
#endif
}

static void measure_sizes(const struct dkim_signer *signer, struct arena *arena)
{
	static const size_t sizes[] = {5000, 20000, 118000};
	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		struct buf octets = BUF_INIT;
		char name[60];
		write_mail(&octets, signer, sizes[i]);
		struct parsed mail = {buf_span(&octets), ARENA_NEW(arena, struct message)};
		if (message_parse(mail.m, arena, mail.octets) != 0)
			abort();
		if (i == 0)
			measure("SPF, DKIM, DMARC, ARC, PTR, 5 kB", judge_all, &mail, ROUNDS);
#ifdef HAVE_OPENDKIM
		if (i == 0 && opendmarc_open())
			measure("libopendkim, libopendmarc, 5 kB", judge_their_chain, &mail, ROUNDS);
#endif
		snprintf(name, sizeof(name), "DKIM, %zu kB", sizes[i] / 1000);
		measure(name, judge_dkim, &mail, ROUNDS);
#ifdef HAVE_OPENDKIM
		snprintf(name, sizeof(name), "libopendkim, %zu kB", sizes[i] / 1000);
		measure(name, judge_opendkim, &mail, ROUNDS);
#endif
		measure("  of it: body, relaxed, hashed", hash_body, &mail, ROUNDS);
		measure("  SHA-256 of the body as it is", hash_alone, &mail, ROUNDS);
		buf_free(&octets);
	}
}

int main(int argc, char **argv)
{
	char path[] = "/tmp/bench_auth.XXXXXX";
	struct arena arena;
	struct dkim_signer signer;
	struct config config;
	int fd = mkstemp(path);
	arena_init(&arena, (size_t)64 << 20);
	if (fd < 0 || argc != 2 ||
	    dkim_signer_open(&signer, SPAN("m.example"), SPAN("s"), argv[1]) != 0)
		abort();
	close(fd);
	write_zone(path, &signer, &arena);
	config_init(&config);
	config.dns.source = DNS_ZONE;
	config.dns.zone = path;
	struct event_base *loop = event_base_new();
	if (dns_create(&dns, loop, &config) != 0)
		abort();
	unlink(path);
	query = (struct auth_query){.helo = SPAN("mail.m.example"), .time_us = 1795766500000000,
				    .mail_from = SPAN("b@m.example"), .host = "mx.example"};
	ip_parse(SPAN("192.0.2.1"), &query.ip);
	measure_sizes(&signer, &arena);
	dns_free(dns);
	event_base_free(loop);
	config.dns.zone = NULL;
	config_free(&config);
	dkim_signer_close(&signer);
	arena_free(&arena);
	return 0;
}
