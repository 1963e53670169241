/*
 * bench_feedback KEY.pem [COMPLAINTS] - how many reports a second one core builds, redacts, lints and
 * signs; and with COMPLAINTS, memory and time while so many go through complaint_take() into the
 * queue (a million: hours on a disk, as each commit waits for it; 20 minutes with TMPDIR in memory).
 */
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "analyze/dkim_sign.h"
#include "base/clock.h"
#include "base/json_in.h"
#include "base/limits.h"
#include "feedback/arf.h"
#include "feedback/arf_lint.h"
#include "feedback/complaint.h"

#define REPORTS 2000
#define RCPT "wang.xiaoming@mbox.example"

static void die(const char *what)
{
	fprintf(stderr, "bench_feedback: %s\n", what);
	exit(1);
}

/* 30 kB, as marketing mail is. */
static void make_mail(struct buf *mail, unsigned number)
{
	buf_reset(mail);
	buf_addf(mail,
		 "Return-Path: <b+%u@esp.example>\r\nDelivered-To: " RCPT "\r\n"
		 "Received: from out.esp.example by mx1.mbox.example for <" RCPT ">; "
		 "Mon, 23 Nov 2026 08:00:00 +0000\r\nFrom: News <news@esp.example>\r\nTo: <" RCPT ">\r\n"
		 "Subject: =?utf-8?q?Angebote_f=C3=BCr_" RCPT "?=\r\nMessage-ID: <%u@esp.example>\r\n"
		 "List-Unsubscribe: <https://esp.example/u?e=wang.xiaoming%%40mbox.example>\r\n"
		 "Date: Mon, 23 Nov 2026 08:00:00 +0000\r\nMIME-Version: 1.0\r\n"
		 "Content-Type: text/html; charset=utf-8\r\n\r\n<p>Hello " RCPT "</p>\r\n",
		 number, number);
	while (mail->n < 30000)
		buf_adds(mail, "<p>All boots and coats are half their price until Sunday night.</p>\r\n");
}

static void build(const char *key_file, enum redact_profile profile, const char *name)
{
	struct dkim_signer signer;
	struct buf mail = BUF_INIT, out = BUF_INIT, faults = BUF_INIT;
	struct arena arena;
	arena_init(&arena, LIMIT_ARENA_BYTES);
	if (dkim_signer_open(&signer, SPAN("mbox.example"), SPAN("s1"), key_file) != 0)
		die("no key");
	int64_t begin = clock_cpu_us();
	for (unsigned i = 0; i < REPORTS; i++) {
		struct message m;
		arena_reset(&arena);
		buf_reset(&out);
		make_mail(&mail, i);
		if (message_parse(&m, &arena, buf_span(&mail)) < 0)
			die("parse");
		struct arf_report report = {
			.id = SPAN("01JDAAAAAAAAAAAAAAAAAAAAAA"), .kind = SPAN("abuse"),
			.now_us = clock_now_us(), .host = SPAN("mx1.mbox.example"),
			.from = SPAN("fbl@mbox.example"), .to = SPAN("fbl@esp.example"),
			.mail_from = SPAN("b@esp.example"), .rcpt = SPAN(RCPT),
			.reported_domain = SPAN("esp.example"),
			.auth_results = SPAN("mx1.mbox.example; dkim=pass header.d=esp.example"),
			.arrival_us = clock_now_us(), .message = &m, .profile = profile,
			.redactor = redactor_create(&arena, SPAN("k"), SPAN("mbox.example"), false),
		};
		ip_parse(SPAN("192.0.2.9"), &report.source);
		redactor_add(report.redactor, report.rcpt);
		redactor_add_message(report.redactor, &m);
		struct buf signature = BUF_INIT;
		if (arf_write(&report, &arena, &out) != 0 ||
		    arf_lint(buf_span(&out), report.rcpt, &faults) != 0 ||
		    dkim_signer_sign(&signer, buf_span(&out), 1, &signature) != 0)
			die("report");
		buf_free(&signature);
	}
	double s = (double)(clock_cpu_us() - begin) / 1e6;
	printf("%-8s %7.0f reports a second of one core, %.2f ms each\n", name, REPORTS / s,
	       s * 1000 / REPORTS);
	dkim_signer_close(&signer);
	buf_free(&mail);
	buf_free(&out);
	buf_free(&faults);
	arena_free(&arena);
}

/* --- many complaints -------------------------------------------------------------------- */

static int find(const struct config *c, struct span message_id, struct span rcpt,
		struct span event_id, struct receipt *r)
{
	static const char event[] =
		"{\"mail_from\":\"b@esp.example\",\"peer\":\"192.0.2.9\",\"port\":4711,"
		"\"rcpts\":[{\"to\":\"" RCPT "\",\"code\":250}],\"auth\":{\"dkim\":[{\"d\":"
		"\"esp.example\",\"s\":\"x\",\"result\":\"pass\"}],\"spf\":{\"result\":\"none\"}}}";
	(void)c;
	(void)message_id;
	(void)rcpt;
	(void)event_id;
	*r = (struct receipt){.time_us = clock_now_us(), .id = "01JDAAAAAAAAAAAAAAAAAAAAAA"};
	r->event = json_in_parse(SPAN(event), NULL);
	return r->event ? 0 : -1;
}

static void release(struct receipt *r)
{
	json_in_free(r->event);
}

static long resident_kb(void)
{
	long pages = 0, resident = 0;
	FILE *f = fopen("/proc/self/statm", "r");
	if (!f || fscanf(f, "%ld %ld", &pages, &resident) != 2)
		die("/proc/self/statm");
	fclose(f);
	return resident * (sysconf(_SC_PAGESIZE) / 1024);
}

static void file_sender(struct complaint_desk *desk)
{
	struct arena arena;
	struct filings all;
	struct diag diag = {.out = NULL};
	struct buf note = BUF_INIT;
	const char *state;
	arena_init(&arena, LIMIT_ARENA_BYTES);
	filings_read(&all, SPAN("sender esp { dkim esp.example feedback fbl@esp.example { complaint } }"),
		     "bench", &arena, &diag);
	if (all.faults || registry_file_all(desk->registry, all.v, 1, "c", &note) ||
	    registry_approve(desk->registry, SPAN("esp"), "a", "bench", &state) ||
	    registry_approve(desk->registry, SPAN("esp"), "b", NULL, &state))
		die("registry");
	arena_free(&arena);
	buf_free(&note);
}

static void complaints(unsigned long n)
{
	char folder[200], command[220];
	struct complaint_desk desk;
	struct buf mail = BUF_INIT;
	snprintf(folder, sizeof(folder), "%s/assay-bench.XXXXXX",
		 getenv("TMPDIR") ? getenv("TMPDIR") : "/tmp");
	if (!mkdtemp(folder))
		die("mkdtemp");
	struct config config = {.state = folder, .host = "mx1.mbox.example"};
	config.report.from = "fbl@mbox.example";
	config.report.cap = UINT32_MAX;
	config.complain.hold_us = 3600 * US_PER_S;
	if (complaint_desk_open(&desk, &config) < 0)
		die("desk");
	desk.find = find;
	desk.release = release;
	file_sender(&desk);
	long first = 0;
	int64_t begin = clock_mono_us();
	for (unsigned long i = 1; i <= n; i++) {
		struct complaint_result result;
		make_mail(&mail, (unsigned)i);
		struct complaint c = {.octets = buf_span(&mail), .rcpt = SPAN(RCPT)};
		if (complaint_take(&desk, &c, clock_now_us(), &result) < 0 ||
		    result.outcome != COMPLAINT_REPORT)
			die("complaint_take");
		if (i == n / 10)
			first = resident_kb();
		if (i % (n / 10 ? n / 10 : 1) == 0)
			printf("%9lu complaints, %6ld kB resident, %6.0f a second\n", i, resident_kb(),
			       (double)i * 1e6 / (double)(clock_mono_us() - begin));
	}
	printf("memory from a tenth to the end: %+ld kB\n", resident_kb() - first);
	complaint_desk_close(&desk);
	buf_free(&mail);
	snprintf(command, sizeof(command), "rm -rf %s", folder);
	if (system(command) != 0)
		die("rm");
}

int main(int argc, char **argv)
{
	if (argc < 2)
		die("usage: bench_feedback KEY.pem [COMPLAINTS]");
	build(argv[1], REDACT_TOKEN, "token");
	build(argv[1], REDACT_FULL, "full");
	build(argv[1], REDACT_IDS_ONLY, "ids-only");
	complaints(argc > 2 ? strtoul(argv[2], NULL, 10) : 1000);
	return 0;
}
