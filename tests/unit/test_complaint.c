/* Unit tests of complaints: what comes in, who is told, the report, the queue, the folder. */
#include <errno.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>
#include <cmocka.h>

#include "base/clock.h"
#include "base/file.h"
#include "base/json_in.h"
#include "base/limits.h"
#include "feedback/arf_lint.h"
#include "feedback/arf_read.h"
#include "feedback/bounce.h"
#include "feedback/complaint.h"
#include "feedback/db.h"
#include "feedback/deliver.h"
#include "feedback/digest.h"
#include "feedback/eventlog.h"

#define RCPT "wang@mbox.example"
#define ID_OF_TXN "01JDAAAAAAAAAAAAAAAAAAAAAA"

#define MAIL \
	"X-Assay-Verdict: accept; id=" ID_OF_TXN "; score=0; compliance=100\r\n" \
	"Received: from out.esp.example by mx1.mbox.example for <" RCPT ">; Mon, 23 Nov 2026 08:00:00 +0000\r\n" \
	"From: News <news@esp.example>\r\nTo: <" RCPT ">\r\nSubject: Offer for " RCPT "\r\n" \
	"Date: Mon, 23 Nov 2026 08:00:00 +0000\r\nMessage-ID: <1@esp.example>\r\n" \
	"X-Campaign: caf\xc3\xa9\r\n\r\nHello " RCPT "\r\n"

static char folder[64], out_folder[128];
static struct config config;
static struct complaint_desk desk;
static const char *event_auth; /* of the transaction that find() knows */

static int find(const struct config *c, struct span message_id, struct span rcpt,
		struct span event_id, struct receipt *r)
{
	(void)c;
	*r = (struct receipt){.time_us = 1795420800 * US_PER_S, .id = ID_OF_TXN};
	if ((!span_eq(message_id, SPAN("<1@esp.example>")) &&
	     !span_eq(event_id, SPAN(ID_OF_TXN))) ||
	    (rcpt.p && !span_eq(rcpt, SPAN(RCPT))))
		return RECEIPT_NEVER;
	struct buf text = BUF_INIT;
	buf_addf(&text, "{\"mail_from\":\"b+1@esp.example\",\"peer\":\"192.0.2.9\",\"port\":4711,"
			"\"rcpts\":[{\"to\":\"" RCPT "\",\"code\":250}],\"auth\":%s}", event_auth);
	r->event = json_in_parse(buf_span(&text), NULL);
	assert_non_null(r->event);
	buf_free(&text);
	return 0;
}

static void release(struct receipt *r)
{
	json_in_free(r->event);
}

static void register_sender(void)
{
	static const char text[] = "sender esp { dkim esp.example domain esp.example"
				   " feedback fbl@esp.example { complaint } }";
	struct arena a;
	struct filings all;
	struct diag diag = {.out = NULL};
	struct buf said = BUF_INIT;
	const char *now;
	arena_init(&a, LIMIT_ARENA_BYTES);
	filings_read(&all, SPAN(text), "f", &a, &diag);
	assert_int_equal(all.faults, 0);
	assert_int_equal(registry_file_all(desk.registry, all.v, 1, "clerk", &said), 0);
	assert_int_equal(registry_approve(desk.registry, SPAN("esp"), "a", "test", &now), 0);
	assert_int_equal(registry_approve(desk.registry, SPAN("esp"), "b", NULL, &now), 0);
	arena_free(&a);
	buf_free(&said);
}

static int set_up(void **state)
{
	(void)state;
	snprintf(folder, sizeof(folder), "/tmp/assay-complaint.XXXXXX");
	if (!mkdtemp(folder))
		return 1;
	snprintf(out_folder, sizeof(out_folder), "%s/out", folder);
	mkdir(out_folder, 0755);
	config = (struct config){.state = folder, .host = "mx1.mbox.example"};
	config.report.from = "fbl@mbox.example";
	config.report.via = REPORT_VIA_FOLDER;
	config.report.to = out_folder;
	if (complaint_desk_open(&desk, &config) < 0)
		return 1;
	desk.find = find;
	desk.release = release;
	event_auth = "{\"dkim\":[{\"d\":\"esp.example\",\"s\":\"x\",\"result\":\"pass\"}],"
		     "\"spf\":{\"result\":\"fail\",\"domain\":\"esp.example\"}}";
	register_sender();
	return 0;
}

static int tear_down(void **state)
{
	char command[160];
	(void)state;
	complaint_desk_close(&desk);
	snprintf(command, sizeof(command), "rm -rf %s", folder);
	return system(command);
}

static struct complaint_result take(const char *text, const char *kind, const char *rcpt)
{
	struct complaint c = {.octets = span_of(text), .kind = span_of(kind),
			      .rcpt = span_of(rcpt)};
	struct complaint_result result;
	int r = complaint_take(&desk, &c, clock_now_us(), &result);
	if (r != 0)
		fail_msg("complaint_take: %s", strerror(-r));
	return result;
}

static void test_outcomes(void **state)
{
	static const struct {
		const char *name, *text, *kind, *rcpt, *auth;
		enum complaint_outcome want;
	} rows[] = {
		{"signed", MAIL, NULL, NULL, NULL, COMPLAINT_REPORT},
		{"named recipient", MAIL, NULL, RCPT, NULL, COMPLAINT_REPORT},
		{"not his", MAIL, NULL, "li@mbox.example", NULL, COMPLAINT_UNVERIFIED},
		{"never received", "Message-ID: <2@esp.example>\r\n\r\nx\r\n", NULL, NULL, NULL,
		 COMPLAINT_UNVERIFIED},
		{"no id at all", "Subject: x\r\n\r\nx\r\n", NULL, RCPT, NULL, COMPLAINT_UNVERIFIED},
		{"empty", "", NULL, NULL, NULL, COMPLAINT_UNVERIFIED},
		{"by our header", "X-Assay-Verdict: tag; id=" ID_OF_TXN "; score=9\r\n"
				  "From: a@esp.example\r\n\r\nx\r\n", NULL, NULL, NULL, COMPLAINT_REPORT},
		{"signature failed", MAIL, NULL, NULL,
		 "{\"dkim\":[{\"d\":\"esp.example\",\"result\":\"fail\"}]}", COMPLAINT_FAILED_AUTH},
		{"only the author says so", MAIL, NULL, NULL, "{}", COMPLAINT_FAILED_AUTH},
		{"spf passed", MAIL, NULL, NULL,
		 "{\"dkim\":[],\"spf\":{\"result\":\"pass\",\"domain\":\"m.esp.example\"}}",
		 COMPLAINT_REPORT},
		{"spf did not pass", MAIL, NULL, NULL,
		 "{\"dkim\":[],\"spf\":{\"result\":\"softfail\",\"domain\":\"m.esp.example\"}}",
		 COMPLAINT_FAILED_AUTH},
		{"somebody else", "Message-ID: <1@esp.example>\r\nFrom: x@y.example\r\n\r\n", NULL, NULL,
		 "{\"dkim\":[{\"d\":\"y.example\",\"result\":\"pass\"}]}", COMPLAINT_NO_SENDER},
		{"attached", "Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n\r\nlook\r\n"
			     "--b\r\nContent-Type: message/rfc822\r\n\r\n" MAIL "\r\n--b--\r\n",
		 NULL, NULL, NULL, COMPLAINT_REPORT},
		{"report", "Content-Type: multipart/report; report-type=feedback-report; boundary=b\r\n"
			   "\r\n--b\r\n\r\nx\r\n--b\r\nContent-Type: message/feedback-report\r\n\r\n"
			   "Feedback-Type: abuse\r\nOriginal-Rcpt-To: <" RCPT ">\r\n\r\n--b\r\n"
			   "Content-Type: message/rfc822\r\n\r\n" MAIL "\r\n--b--\r\n",
		 NULL, NULL, NULL, COMPLAINT_REPORT},
		{"a report itself", "Message-ID: <1@esp.example>\r\nContent-Type: multipart/report; "
				    "boundary=b\r\n\r\n--b--\r\n", NULL, NULL, NULL, COMPLAINT_NO_SENDER},
		{"not spam", MAIL, "not-spam", NULL, NULL, COMPLAINT_REPORT},
	};
	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		tear_down(NULL);
		set_up(NULL);
		if (rows[i].auth)
			event_auth = rows[i].auth;
		struct complaint_result result = take(rows[i].text, rows[i].kind, rows[i].rcpt);
		if (result.outcome != rows[i].want)
			fail_msg("%s: %s (%s)", rows[i].name, complaint_outcome_name(result.outcome),
				 result.why);
		assert_int_equal(result.n_reports, rows[i].want == COMPLAINT_REPORT);
	}
}

static void test_duplicate_and_undo(void **state)
{
	(void)state;
	config.complain.hold_us = 600 * US_PER_S;
	assert_int_equal(take(MAIL, NULL, NULL).outcome, COMPLAINT_REPORT);
	assert_int_equal(take(MAIL, NULL, RCPT).outcome, COMPLAINT_DUPLICATE);
	unsigned sent;
	assert_int_equal(deliver_due(desk.queue, &config, &sent), 0);
	assert_int_equal(sent, 0);
	assert_int_equal(take(MAIL, "not-spam", NULL).outcome, COMPLAINT_WITHDRAWN);
	assert_true(queue_next_due(desk.queue) == INT64_MAX);
	assert_int_equal(take(MAIL, NULL, NULL).outcome, COMPLAINT_REPORT);
	config.complain.hold_us = 0;
}

static struct span report_text(const char *id)
{
	char path[256];
	struct file_view view;
	snprintf(path, sizeof(path), "%s/%s.eml", out_folder, id);
	if (file_view_open(path, 1 << 20, &view) < 0)
		fail_msg("no %s", path);
	return view.bytes; /* small: malloc'd */
}

static void test_report(void **state)
{
	static const char *const wants[] = {
		"multipart/report; report-type=feedback-report;", "\r\nContent-Type: message/feedback-report\r\n",
		"\r\nFeedback-Type: abuse\r\n", "\r\nVersion: 1\r\n",
		"\r\nOriginal-Mail-From: <b+1@esp.example>\r\n", "\r\nSource-IP: 192.0.2.9\r\n",
		"\r\nSource-Port: 4711\r\n", "\r\nReporting-MTA: dns; mx1.mbox.example\r\n",
		"\r\nReported-Domain: esp.example\r\n", "\r\nAuto-Submitted: auto-generated\r\n",
		"\r\nTo: fbl@esp.example\r\n", "\r\nSubject: FW: Offer for ", "X-Campaign: caf\xc3\xa9\r\n",
		"\r\nContent-Transfer-Encoding: 8bit\r\n", "\r\nMessage-ID: <1@esp.example>\r\n",
		"\r\nArrival-Date: Mon, 23 Nov 2026 08:00:00 +0000\r\n",
	};
	struct buf faults = BUF_INIT;
	unsigned sent;
	(void)state;
	struct complaint_result result = take(MAIL, NULL, NULL);
	assert_int_equal(deliver_due(desk.queue, &config, &sent), 0);
	assert_int_equal(sent, 1);
	struct span text = report_text(result.reports[0]);
	for (size_t i = 0; i < sizeof(wants) / sizeof(wants[0]); i++)
		if (span_find(text, span_of(wants[i])) == SIZE_MAX)
			fail_msg("no '%s' in\n%.*s", wants[i], SPAN_ARG(text));
	assert_true(span_case_find(text, SPAN(RCPT)) == SIZE_MAX);
	assert_true(span_find(text, SPAN("X-Assay")) == SIZE_MAX);
	if (arf_lint(text, SPAN(RCPT), &faults))
		fail_msg("%s", faults.p);
	/* What we write we read. */
	struct arena a;
	struct arf_input in;
	arena_init(&a, LIMIT_ARENA_BYTES);
	arf_read(&in, text, &a);
	assert_int_equal(in.form, FORM_ARF);
	assert_true(span_eq(in.kind, SPAN("abuse")));
	assert_true(span_ends(in.rcpt, SPAN("@mbox.example")));
	arena_free(&a);
	buf_free(&faults);
	free((char *)text.p);
}

/* Each change to a good report makes the linter speak. */
static void test_lint(void **state)
{
	static const struct {
		const char *from, *to, *want;
	} rows[] = {
		{"feedback-report;\r\n", "Feedback-Report;\r\n", "report-type"},
		{"multipart/report;", "multipart/Report;", "lower case"},
		{"Content-Type: message/feedback-report", "Content-Type: text/plain", "to the letter"},
		{"Feedback-Type: abuse\r\n", "", "Feedback-Type stands 0 times"},
		{"Feedback-Type: abuse", "Feedback-Type: rude", "wrong value: 'rude'"},
		{"Version: 1\r\n", "Version: 1\r\nVersion: 1\r\n", "Version stands 2 times"},
		{"Version: 1\r\n", "Version: 0.1\r\n", "wrong value: '0.1'"},
		{"User-Agent: Assay/", "User-Agent: Assay ", "User-Agent has a wrong value"},
		{"Source-IP: 192.0.2.9", "Source-IP: 192.0.2", "Source-IP has a wrong value"},
		{"Source-IP: 192.0.2.9\r\n", "Source-IP: 192.0.2.9\r\nSource-IP: 192.0.2.9\r\n",
		 "Source-IP stands 2 times"},
		{"Arrival-Date: Mon, ", "Arrival-Date: Someday, ", "Arrival-Date has"},
		{"Original-Mail-From: <b+1@esp.example>", "Original-Mail-From: b+1@esp.example", "wrong value"},
		{"Reporting-MTA: dns; ", "Reporting-MTA: ", "Reporting-MTA has"},
		{"Auto-Submitted: auto-generated\r\n", "", "Auto-Submitted stands 0 times"},
		{"MIME-Version: 1.0\r\n", "MIME-Version: 1.0\n", "stands alone"},
		{"Content-Transfer-Encoding: 8bit\r\n", "", "8 bit"},
		{"text/rfc822-headers", "text/rfc822", "the third part is 'text/rfc822'"},
		{"Subject: FW: Offer", "Subject: FW: Other", "not that of the message"},
		{"Message-ID: <01", "Message-ID: 01", "Message-ID has not the form"},
	};
	unsigned sent;
	(void)state;
	struct complaint_result result = take(MAIL, NULL, NULL);
	assert_int_equal(deliver_due(desk.queue, &config, &sent), 0);
	struct span text = report_text(result.reports[0]);
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct buf bad = BUF_INIT, faults = BUF_INIT;
		size_t at = span_find(text, span_of(rows[i].from));
		if (at == SIZE_MAX)
			fail_msg("no '%s' to change", rows[i].from);
		buf_add(&bad, span_sub(text, 0, at));
		buf_adds(&bad, rows[i].to);
		buf_add(&bad, span_sub(text, at + strlen(rows[i].from), text.n));
		arf_lint(buf_span(&bad), SPAN(RCPT), &faults);
		if (span_find(buf_span(&faults), span_of(rows[i].want)) == SIZE_MAX)
			fail_msg("'%s' -> '%s': %s", rows[i].from, rows[i].to,
				 faults.p ? faults.p : "nothing");
		buf_free(&bad);
		buf_free(&faults);
	}
	free((char *)text.p);
}

#define FAILURE_FIELDS \
	"Feedback-Type: auth-failure\r\nUser-Agent: Assay/0\r\nVersion: 1\r\n" \
	"Original-Mail-From: <x@esp.example>\r\nArrival-Date: Mon, 23 Nov 2026 08:00:00 +0000\r\n" \
	"Source-IP: 192.0.2.9\r\nAuthentication-Results: mx; dmarc=fail header.from=esp.example\r\n" \
	"Reported-Domain: esp.example\r\nAuth-Failure: dmarc\r\nIdentity-Alignment: dkim, spf\r\n" \
	"Delivery-Result: delivered\r\nIncidents: 3\r\nDKIM-Domain: esp.example\r\n" \
	"DKIM-Identity: @esp.example\r\nDKIM-Selector: s\r\n" \
	"SPF-DNS: txt:esp.example:\"v=spf1 -all\"\r\n"
#define FAILURE_REPORT \
	"From: fbl@mbox.example\r\nTo: fbl@esp.example\r\nSubject: FW: x\r\n" \
	"Date: Mon, 23 Nov 2026 09:00:00 +0000\r\nMessage-ID: <1@mbox.example>\r\n" \
	"Auto-Submitted: auto-generated\r\nMIME-Version: 1.0\r\n" \
	"Content-Type: multipart/report; report-type=feedback-report; boundary=b\r\n\r\n" \
	"--b\r\nContent-Type: text/plain\r\n\r\nx\r\n" \
	"--b\r\nContent-Type: message/feedback-report\r\n\r\n" FAILURE_FIELDS \
	"\r\n--b\r\nContent-Type: text/rfc822-headers\r\n\r\nSubject: x\r\n\r\n--b--\r\n"

/* RFC 6591 section 3.1, RFC 9991 section 4 */
static void test_lint_failure(void **state)
{
	static const struct {
		const char *from, *to, *want; /* want "": it is right */
	} rows[] = {
		{"Incidents: 3", "Incidents: 3", ""},
		{"DKIM-Domain: esp.example\r\nDKIM-Identity: @esp.example\r\nDKIM-Selector: s\r\n", "", ""},
		{"SPF-DNS: txt:esp.example:\"v=spf1 -all\"\r\n", "", ""},
		{"Auth-Failure: dmarc\r\n", "", "Auth-Failure stands 0 times"},
		{"Auth-Failure: dmarc", "Auth-Failure: adsp", "Auth-Failure has a wrong value"},
		{"Auth-Failure: dmarc\r\n", "Auth-Failure: dmarc\r\nAuth-Failure: spf\r\n", "stands 2 times"},
		{"Identity-Alignment: dkim, spf\r\n", "", "Identity-Alignment belongs to"},
		{"Identity-Alignment: dkim, spf", "Identity-Alignment: dkim, dkim",
		 "Identity-Alignment has a wrong value"},
		{"Auth-Failure: dmarc", "Auth-Failure: signature", "Identity-Alignment belongs to"},
		{"dmarc=fail header", "dmarc=fail; spf=fail header", "has 2 methods, not one"},
		{"mx; dmarc=fail header.from=esp.example", "mx; none; x=y", "has 2 methods"},
		{"Reported-Domain: esp.example\r\n", "", "Reported-Domain stands 0 times"},
		{"Source-IP: 192.0.2.9\r\n", "", "Source-IP stands 0 times"},
		{"DKIM-Selector: s\r\n", "", "belong together"},
		{"DKIM-Domain: esp.example\r\n", "", "belong together"},
		{"txt:esp.example:\"v=spf1 -all\"", "v=spf1 -all", "SPF-DNS has a wrong value"},
		{"Delivery-Result: delivered", "Delivery-Result: lost", "Delivery-Result has a wrong value"},
		{"Incidents: 3", "Incidents: some", "Incidents has a wrong value"},
	};
	struct span text = SPAN(FAILURE_REPORT);
	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct buf bad = BUF_INIT, faults = BUF_INIT;
		size_t at = span_find(text, span_of(rows[i].from));
		if (at == SIZE_MAX)
			fail_msg("no '%s' to change", rows[i].from);
		buf_add(&bad, span_sub(text, 0, at));
		buf_adds(&bad, rows[i].to);
		buf_add(&bad, span_sub(text, at + strlen(rows[i].from), text.n));
		unsigned n = arf_lint(buf_span(&bad), SPAN_NONE, &faults);
		if (rows[i].want[0] ? span_find(buf_span(&faults), span_of(rows[i].want)) == SIZE_MAX
				    : n > 0)
			fail_msg("'%s' -> '%s': %s", rows[i].from, rows[i].to,
				 faults.p ? faults.p : "nothing");
		buf_free(&bad);
		buf_free(&faults);
	}
}

struct counts {
	unsigned n, sent;
};

static int count_item(const struct queue_item *item, void *arg)
{
	struct counts *c = arg;
	c->n++;
	c->sent += span_eq(item->state, SPAN("sent"));
	return 0;
}

/* A folder that is not there keeps the report; it goes when the folder is back. */
static void test_retry(void **state)
{
	struct counts c = {0, 0};
	unsigned sent;
	(void)state;
	rmdir(out_folder);
	struct complaint_result result = take(MAIL, NULL, NULL);
	assert_int_equal(deliver_due(desk.queue, &config, &sent), 0);
	assert_int_equal(sent, 0);
	assert_true(queue_next_due(desk.queue) > clock_now_us() + 200 * US_PER_S);
	mkdir(out_folder, 0755);
	assert_int_equal(deliver_due(desk.queue, &config, &sent), 0);
	assert_int_equal(sent, 0);
	assert_int_equal(queue_retry(desk.queue, SPAN("nothing"), clock_now_us()), QUEUE_E_NONE);
	assert_int_equal(queue_retry(desk.queue, span_of(result.reports[0]), clock_now_us()), 0);
	assert_int_equal(deliver_due(desk.queue, &config, &sent), 0);
	assert_int_equal(sent, 1);
	assert_int_equal(queue_list(desk.queue, count_item, &c), 0);
	assert_int_equal(c.n, 1);
	assert_int_equal(c.sent, 1);
}

/* What comes back, cut at each octet: nothing is a failure that does not say so, nothing is STOP that is
 * none, and one report came back once, however often it is said. */
static void test_bounce_cut(void **state)
{
	static const char dsn[] =
		"From: MAILER-DAEMON@esp.example\r\nTo: <fbl@mbox.example>\r\nMIME-Version: 1.0\r\n"
		"Content-Type: multipart/report; report-type=delivery-status; boundary=\"b\"\r\n\r\n"
		"--b\r\nContent-Type: text/plain\r\n\r\nstop sending\r\n--b\r\n"
		"Content-Type: message/delivery-status\r\n\r\nReporting-MTA: dns; mx.esp.example\r\n\r\n"
		"Final-Recipient: rfc822; fbl@esp.example\r\nAction: failed\r\nStatus: 5.1.1\r\n\r\n--b--\r\n";
	char id[ID_BYTES];
	struct arena a;
	(void)state;
	id_make(clock_now_us(), id);
	struct queue_item item = {.id = span_of(id), .sender = SPAN("esp"), .kind = SPAN("abuse"),
				  .to = SPAN("fbl@esp.example"), .envelope = SPAN("x@mbox.example"),
				  .message_id = SPAN("<a.abuse@mbox.example>"), .message = SPAN("text\r\n")};
	assert_int_equal(queue_begin(desk.queue), 0);
	assert_int_equal(queue_end(desk.queue, queue_put(desk.queue, &item)), 0);
	assert_int_equal(deliver_due(desk.queue, &config, NULL), 0);
	arena_init(&a, LIMIT_ARENA_BYTES);
	struct span rcpt = keys_envelope(&desk.keys, span_of(config.report.from), span_of(id), &a);
	for (size_t n = 0; n < sizeof(dsn); n++) {
		enum bounce_outcome outcome;
		struct span text = {dsn, n};
		bool says_failed = span_find(text, SPAN("Action: failed")) != SIZE_MAX;
		assert_int_equal(bounce_take(&desk, text, rcpt, clock_now_us(), &outcome), 0);
		if (outcome == BOUNCE_STOP || outcome == BOUNCE_SUSPENDED ||
		    (outcome == BOUNCE_FAILED && !says_failed))
			fail_msg("cut at %zu: %s", n, bounce_outcome_name(outcome));
	}
	/* a return address with one character of its id or MAC changed is nobody's */
	for (size_t i = span_find_char(rcpt, '+') + 1; i < span_find_char(rcpt, '@'); i++) {
		enum bounce_outcome outcome;
		struct span other = arena_copy(&a, rcpt);
		((char *)other.p)[i] = other.p[i] == 'x' ? 'y' : 'x';
		assert_int_equal(bounce_take(&desk, span_of(dsn), other, clock_now_us(), &outcome), 0);
		if (outcome != BOUNCE_UNKNOWN)
			fail_msg("%.*s: %s", SPAN_ARG(other), bounce_outcome_name(outcome));
	}
	arena_free(&a);
}

/* A child puts complaints in and delivers until it is killed; what it said is done is there once,
 * and everything in the queue goes out in the end. */
static void test_killed(void **state)
{
	(void)state;
	for (unsigned round = 0; round < 30; round++) {
		pid_t child = fork();
		if (child == 0) {
			struct complaint_desk mine;
			if (complaint_desk_open(&mine, &config) < 0)
				_exit(1);
			for (unsigned i = 0;; i++) {
				char id[ID_BYTES], mid[64];
				id_make(clock_now_us(), id);
				snprintf(mid, sizeof(mid), "<%s@mbox.example>", id);
				struct queue_item item = {
					.id = span_of(id), .sender = SPAN("esp"), .kind = SPAN("abuse"),
					.to = SPAN("fbl@esp.example"), .envelope = SPAN("x@mbox.example"),
					.message_id = span_of(mid), .message = SPAN("text\r\n"),
					.complaint = span_of(id),
				};
				int r = queue_begin(mine.queue);
				if (r == 0)
					r = queue_end(mine.queue, queue_put(mine.queue, &item));
				if (r == 0)
					r = deliver_due(mine.queue, &config, NULL);
				if (r == 0)
					r = queue_write_events(mine.queue, folder);
				if (r < 0)
					_exit(2);
			}
		}
		usleep(40000 + round * 3777);
		kill(child, SIGKILL);
		int status;
		waitpid(child, &status, 0);
		assert_true(WIFSIGNALED(status));
	}
	unsigned sent;
	struct counts c = {0, 0};
	assert_int_equal(deliver_due(desk.queue, &config, &sent), 0);
	assert_int_equal(queue_list(desk.queue, count_item, &c), 0);
	assert_int_equal(c.n, c.sent);
	char command[256], line[64] = "";
	snprintf(command, sizeof(command), "ls %s | wc -l", out_folder);
	FILE *f = popen(command, "r");
	assert_non_null(fgets(line, sizeof(line), f));
	pclose(f);
	assert_int_equal(atoi(line), c.n);
	assert_true(c.n >= 5);
	/* Each report has its "queued" and its "sent", each once. */
	assert_int_equal(queue_write_events(desk.queue, folder), 0);
	snprintf(command, sizeof(command), "cat %s/log/*.jsonl | grep -c '\"state\":\"sent\"'", folder);
	f = popen(command, "r");
	assert_non_null(fgets(line, sizeof(line), f));
	pclose(f);
	/* a kill may repeat the few that were being written, under their ids */
	assert_true(atoi(line) >= (int)c.n);
	snprintf(command, sizeof(command),
		 "cat %s/log/*.jsonl | grep '\"state\":\"sent\"' | sort -u | wc -l", folder);
	f = popen(command, "r");
	assert_non_null(fgets(line, sizeof(line), f));
	pclose(f);
	assert_int_equal(atoi(line), c.n);
}

static void test_keys(void **state)
{
	struct keys again;
	struct stat st;
	char path[128];
	struct arena a;
	(void)state;
	arena_init(&a, LIMIT_ARENA_BYTES);
	snprintf(path, sizeof(path), "%s/feedback.key", folder);
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0600);
	assert_int_equal(keys_open(&again, folder), 0);
	assert_memory_equal(&again, &desk.keys, sizeof(again));
	struct span address = keys_envelope(&again, SPAN("fbl@mbox.example"), SPAN("01JD"), &a);
	assert_true(span_eq(keys_envelope_id(&again, address, &a), SPAN("01jd")));
	assert_false(keys_envelope_id(&again, SPAN("fbl+01jd.aaaaaaaaaa@mbox.example"), &a).p);
	uint8_t k1[SHA256_BYTES], k2[SHA256_BYTES];
	keys_token(&again, SPAN("a"), 0, k1);
	keys_token(&again, SPAN("b"), 0, k2);
	assert_memory_not_equal(k1, k2, sizeof(k1));
	arena_free(&a);
}

/* A registry that cannot be read is our trouble: the complaint is not taken as nobody's. */
static void test_unreadable_registry(void **state)
{
	char path[128];
	struct db *db;
	struct complaint c = {.octets = SPAN(MAIL)};
	struct complaint_result result;
	(void)state;
	snprintf(path, sizeof(path), "%s/registry.sqlite", folder);
	assert_int_equal(db_open(path, "", &db), 0);
	assert_int_equal(db_exec(db, "ALTER TABLE filing RENAME TO away"), 0);
	assert_true(complaint_take(&desk, &c, clock_now_us(), &result) < 0);
	assert_int_equal(db_exec(db, "ALTER TABLE away RENAME TO filing"), 0);
	db_close(db);
	assert_int_equal(complaint_take(&desk, &c, clock_now_us(), &result), 0);
	assert_int_equal(result.outcome, COMPLAINT_REPORT);
}

static void add_refusal(struct eventlog *log, int64_t time_us, const char *to)
{
	char time[CLOCK_TEXT_BYTES];
	struct buf line = BUF_INIT;
	buf_addf(&line, "{\"event\":\"txn\",\"time\":\"%s\",\"sender\":{\"registered\":\"esp\"},"
			"\"list\":\"l1\",\"reply\":null,\"rcpts\":[{\"to\":\"%s\",\"code\":550,"
			"\"enhanced\":\"5.1.1\",\"text\":\"no <%s>\"},{\"to\":\"ok@mbox.example\","
			"\"code\":250,\"enhanced\":null,\"text\":null}]}",
		 clock_rfc3339(time_us, time), to, to);
	assert_int_equal(eventlog_append(log, buf_span(&line)), 0);
	buf_free(&line);
}

/* Works until the log is read; what it made must hold each of the words. */
static unsigned digest_at(int64_t now_us, const char *const *wants)
{
	unsigned made = 0, all = 0;
	bool more = true;
	while (more) {
		assert_int_equal(digest_work(&desk, now_us, &made, &more), 0);
		all += made;
	}
	for (unsigned i = 0; i < all; i++) {
		struct arena arena;
		struct queue_item item;
		arena_init(&arena, LIMIT_ARENA_BYTES);
		assert_int_equal(queue_take(desk.queue, now_us, false, &arena, &item), 0);
		for (size_t k = 0; wants[k]; k++)
			if (span_find(item.message, span_of(wants[k])) == SIZE_MAX)
				fail_msg("no '%s' in\n%.*s", wants[k], SPAN_ARG(item.message));
		assert_int_equal(queue_settle(desk.queue, &item, DELIVERY_SENT, SPAN("ok"), 0, now_us), 0);
		arena_free(&arena);
	}
	return all;
}

/* An address told to be removed and tried again; an event that comes late; a day of hours. */
static void test_digest_hours(void **state)
{
	static const char filing[] = "sender esp { dkim esp.example domain esp.example"
				     " feedback fbl@esp.example { error } }";
	/* 2026-11-23 10:00 in China */
	const int64_t hour = 3600 * US_PER_S, start = 1795399200 * US_PER_S;
	struct arena a;
	struct filings all;
	struct diag diag = {.out = NULL};
	struct buf said = BUF_INIT;
	struct eventlog *log;
	const char *now;
	(void)state;
	arena_init(&a, LIMIT_ARENA_BYTES);
	filings_read(&all, SPAN(filing), "f", &a, &diag);
	assert_int_equal(registry_file_all(desk.registry, all.v, 1, "clerk", &said), 0);
	assert_int_equal(registry_approve(desk.registry, SPAN("esp"), "a", "test", &now), 0);
	assert_int_equal(registry_approve(desk.registry, SPAN("esp"), "b", NULL, &now), 0);
	assert_int_equal(eventlog_open(&log, folder), 0);
	add_refusal(log, start + 60 * US_PER_S, "u@mbox.example");
	/* the hour is not over */
	assert_int_equal(digest_at(start + 3500 * US_PER_S, (const char *[]){NULL}), 0);
	assert_int_equal(digest_at(start + 2 * hour,
				   (const char *[]){"2 recipients were answered; 1 were refused",
						    "1 addresses are to be removed", NULL}), 1);
	/* once */
	assert_int_equal(digest_at(start + 3 * hour, (const char *[]){NULL}), 0);
	/* late: its hour is closed, it counts in the open one */
	add_refusal(log, start + 120 * US_PER_S, "v@mbox.example");
	add_refusal(log, start + 4 * hour, "u@mbox.example");
	assert_int_equal(digest_at(start + 5 * hour + 300 * US_PER_S,
				   (const char *[]){"refused", NULL}), 2);
	add_refusal(log, start + 6 * hour, "u@mbox.example");
	assert_int_equal(digest_at(start + 7 * hour + 300 * US_PER_S,
				   (const char *[]){"Warning: 1 of them were in an earlier", NULL}), 1);
	/* the day ends at 16:00 UTC */
	assert_int_equal(digest_at(start + 15 * hour, (const char *[]){
				   "8 recipients were answered; 4 were refused",
				   "2 addresses are to be removed", "Delivery errors of a day", NULL}), 1);
	assert_int_equal(digest_at(start + 40 * hour, (const char *[]){NULL}), 0);
	eventlog_close(log);
	buf_free(&said);
	arena_free(&a);
}

static void test_digest_classes(void **state)
{
	static const struct {
		int64_t code;
		const char *enhanced;
		bool at_rcpt;
		const char *want;
	} rows[] = {
		{550, "5.1.1", true, "remove"},   {550, "5.1.10", true, "remove"},
		{550, "5.2.1", true, "remove"},   {550, "5.1.8", true, "hard"},
		{550, "5.1.1", false, "hard"},    {550, "", true, "remove"},
		{550, NULL, true, "remove"},      {554, "", true, "hard"},
		{550, "", false, "hard"},         {452, "4.2.2", true, "quota"},
		{552, "5.2.2", true, "quota"},    {451, "4.7.28", true, "rate"},
		{450, "4.7.1", true, "rate"},     {550, "5.7.1", true, "policy"},
		{550, "5.7.26", false, "auth"},   {550, "5.7.25", false, "auth"},
		{554, "5.6.0", false, "content"}, {451, "4.3.0", false, "temporary"},
		{421, "4.4.2", false, "temporary"}, {450, "", true, "soft"},
		{451, "4.1.8", true, "soft"},     {554, "5.0.0", false, "hard"},
		{550, "5.x.1", false, "hard"},
	};
	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		const struct digest_class *class = digest_classify(
			rows[i].code, span_of(rows[i].enhanced), rows[i].at_rcpt);
		if (strcmp(class->name, rows[i].want) != 0)
			fail_msg("%d %s: %s, not %s", (int)rows[i].code, rows[i].enhanced,
				 class->name, rows[i].want);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_outcomes, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_duplicate_and_undo, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_report, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_lint, set_up, tear_down),
		cmocka_unit_test(test_lint_failure),
		cmocka_unit_test_setup_teardown(test_retry, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_bounce_cut, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_killed, set_up, tear_down),
		cmocka_unit_test(test_digest_classes),
		cmocka_unit_test_setup_teardown(test_digest_hours, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_keys, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_unreadable_registry, set_up, tear_down),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
