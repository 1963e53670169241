#include "feedback/arf_lint.h"

#include <stdio.h>

#include "base/date.h"
#include "base/ip.h"
#include "base/limits.h"
#include "base/log.h"
#include "base/utf8.h"
#include "feedback/entity.h"
#include "feedback/redact.h"

struct lint {
	struct span report, rcpt;
	struct arena arena;
	struct buf *faults;
	unsigned n;
};

static void fault(struct lint *l, const char *format, ...) __attribute__((format(printf, 2, 3)));

static void fault(struct lint *l, const char *format, ...)
{
	va_list args;
	va_start(args, format);
	buf_vaddf(l->faults, format, args);
	buf_addc(l->faults, '\n');
	va_end(args);
	l->n++;
}

/* RFC 5322 section 2.1.1 and 2.3 */
static void lint_lines(struct lint *l)
{
	size_t start = 0;
	bool bare = false, nul = false, lengthy = false;
	for (size_t i = 0; i < l->report.n; i++) {
		char c = l->report.p[i];
		nul |= c == '\0';
		bare |= c == '\r' && (i + 1 == l->report.n || l->report.p[i + 1] != '\n');
		bare |= c == '\n' && (i == 0 || l->report.p[i - 1] != '\r');
		if (c == '\n') {
			lengthy |= i - start > 999;
			start = i + 1;
		}
	}
	if (bare)
		fault(l, "a CR or LF stands alone");
	if (nul)
		fault(l, "a NUL octet");
	if (lengthy)
		fault(l, "a line is longer than 998 octets");
	if (start != l->report.n)
		fault(l, "the last line has no end");
}

static size_t count_fields(struct span header, const char *name)
{
	struct span found, body;
	size_t n = 0;
	while (entity_next_field(&header, &found, &body))
		n += span_case_eq(found, span_of(name));
	return n;
}

static void lint_top(struct lint *l, const struct entity *top)
{
	static const char *const once[] = {"From", "To", "Subject", "Date", "Message-ID",
					   "MIME-Version", "Content-Type", "Auto-Submitted"};
	int64_t time_us;
	bool strict = false;
	for (size_t i = 0; i < sizeof(once) / sizeof(once[0]); i++)
		if (count_fields(top->header, once[i]) != 1)
			fault(l, "%s stands %zu times in the header", once[i],
			      count_fields(top->header, once[i]));
	if (!utf8_is_ascii(top->header))
		fault(l, "the header is not 7 bit");
	struct span date = entity_field(top, "date", 0, &l->arena);
	if (!date_parse_strict(date, &time_us, &strict) || !strict)
		fault(l, "Date is none: '%.*s'", SPAN_ARG(date));
	struct span id = entity_field(top, "message-id", 0, &l->arena);
	if (!span_starts(id, SPAN("<")) || !span_ends(id, SPAN(">")) ||
	    span_find_char(id, '@') == SIZE_MAX)
		fault(l, "Message-ID has not the form <left@right>: '%.*s'", SPAN_ARG(id));
	struct span by = entity_field(top, "auto-submitted", 0, &l->arena);
	if (!span_starts(by, SPAN("auto-generated")))
		fault(l, "Auto-Submitted is not auto-generated: '%.*s'", SPAN_ARG(by));
	struct span type = entity_field(top, "content-type", 0, &l->arena);
	if (!span_starts(type, SPAN("multipart/report;")))
		fault(l, "Content-Type is not multipart/report in lower case");
	if (!span_eq(entity_parameter(top, "report-type", &l->arena), SPAN("feedback-report")))
		fault(l, "report-type is not feedback-report in lower case");
	struct span signature = entity_field(top, "dkim-signature", 0, &l->arena);
	if (!signature.p)
		return;
	size_t at = span_find(signature, SPAN(" h="));
	struct span h = at == SIZE_MAX ? SPAN("") : span_sub(signature, at + 3, signature.n), list;
	if (!span_next_field(&h, ';', &list))
		list = SPAN("");
	for (size_t i = 0; i < sizeof(once) / sizeof(once[0]); i++) {
		struct span rest = list, name;
		bool covered = false;
		while (span_next_field(&rest, ':', &name))
			covered |= span_case_eq(span_trim(name), span_of(once[i]));
		if (!covered)
			fault(l, "the DKIM signature does not cover %s", once[i]);
	}
}

static bool is_path(struct span v)
{
	return v.n >= 2 && v.p[0] == '<' && v.p[v.n - 1] == '>' &&
	       span_find_char(v, ' ') == SIZE_MAX;
}

/* product "/" version of RFC 9110 section 10.1.5, as RFC 5965 section 3.1 wants */
static bool is_product(struct span v)
{
	size_t slash = span_find_char(v, '/');
	return slash != SIZE_MAX && slash > 0 && slash + 1 < v.n;
}

/* RFC 8601 section 2.2 as far as a report needs it: id, then results or "none". */
static bool is_auth_results(struct span v)
{
	struct span field;
	size_t n = 0;
	if (!span_next_field(&v, ';', &field) || !span_trim(field).n)
		return false;
	while (span_next_field(&v, ';', &field)) {
		size_t equals = span_find_char(field, '=');
		if (!span_eq(span_trim(field), SPAN("none")) && (equals == SIZE_MAX || equals < 2))
			return false;
		n++;
	}
	return n > 0;
}

static void lint_value(struct lint *l, struct span name, struct span v)
{
	int64_t time_us;
	bool strict, ok = true;
	struct ip ip;
	uint64_t number;
	if (span_case_eq(name, SPAN("feedback-type")))
		ok = span_eq(v, SPAN("abuse")) || span_eq(v, SPAN("fraud")) ||
		     span_eq(v, SPAN("virus")) || span_eq(v, SPAN("other")) ||
		     span_eq(v, SPAN("not-spam")) || span_eq(v, SPAN("auth-failure"));
	else if (span_case_eq(name, SPAN("version")))
		ok = span_eq(v, SPAN("1"));
	else if (span_case_eq(name, SPAN("user-agent")))
		ok = is_product(v);
	else if (span_case_eq(name, SPAN("original-mail-from")))
		ok = is_path(v);
	else if (span_case_eq(name, SPAN("original-rcpt-to")))
		ok = is_path(v) && span_find_char(v, '@') != SIZE_MAX;
	else if (span_case_eq(name, SPAN("arrival-date")))
		ok = date_parse_strict(v, &time_us, &strict) && strict;
	else if (span_case_eq(name, SPAN("source-ip")))
		ok = ip_parse(v, &ip);
	else if (span_case_eq(name, SPAN("source-port")))
		ok = span_number(v, 65535, &number);
	else if (span_case_eq(name, SPAN("incidents")))
		ok = span_number(v, UINT32_MAX, &number);
	else if (span_case_eq(name, SPAN("delivery-result")))
		ok = span_eq(v, SPAN("delivered")) || span_eq(v, SPAN("spam")) ||
		     span_eq(v, SPAN("policy")) || span_eq(v, SPAN("reject")) ||
		     span_eq(v, SPAN("other"));
	else if (span_case_eq(name, SPAN("identity-alignment")))
		ok = span_eq(v, SPAN("none")) || span_eq(v, SPAN("dkim")) || span_eq(v, SPAN("spf")) ||
		     span_eq(v, SPAN("dkim, spf")) || span_eq(v, SPAN("spf, dkim"));
	else if (span_case_eq(name, SPAN("reporting-mta")))
		ok = span_case_starts(v, SPAN("dns;")) && v.n > 5;
	else if (span_case_eq(name, SPAN("authentication-results")))
		ok = is_auth_results(v);
	if (!ok)
		fault(l, "%.*s has a wrong value: '%.*s'", SPAN_ARG(name), SPAN_ARG(v));
}

/* RFC 6591 section 3.1, RFC 9991 section 4 */
static void lint_failure(struct lint *l, const struct entity *part)
{
	static const char *const once[] = {"Auth-Failure", "Authentication-Results",
					   "Reported-Domain", "Source-IP"};
	static const char *const types[] = {"bodyhash", "revoked", "signature", "spf", "dmarc"};
	const struct entity all = {part->body, SPAN_NONE};
	for (size_t i = 0; i < sizeof(once) / sizeof(once[0]); i++)
		if (count_fields(part->body, once[i]) != 1)
			fault(l, "%s stands %zu times in an auth-failure report", once[i],
			      count_fields(part->body, once[i]));
	struct span type = entity_field(&all, "auth-failure", 0, &l->arena);
	bool known = false;
	for (size_t i = 0; i < sizeof(types) / sizeof(types[0]); i++)
		known |= span_eq(type, span_of(types[i]));
	if (!known)
		fault(l, "Auth-Failure has a wrong value: '%.*s'", SPAN_ARG(type));
	if (span_eq(type, SPAN("dmarc")) != (count_fields(part->body, "Identity-Alignment") == 1))
		fault(l, "Identity-Alignment belongs to the type dmarc, once");
	struct span results = entity_field(&all, "authentication-results", 0, &l->arena), method;
	size_t methods = 0;
	while (span_next_field(&results, ';', &method))
		methods++;
	if (methods != 2)
		fault(l, "Authentication-Results has %zu methods, not one", methods ? methods - 1 : 0);
	size_t domain = count_fields(part->body, "DKIM-Domain");
	bool dkim = span_eq(type, SPAN("bodyhash")) || span_eq(type, SPAN("revoked")) ||
		    span_eq(type, SPAN("signature"));
	if (domain > 1 || (dkim && !domain) || count_fields(part->body, "DKIM-Identity") != domain ||
	    count_fields(part->body, "DKIM-Selector") != domain)
		fault(l, "DKIM-Domain, DKIM-Identity and DKIM-Selector belong together");
	struct span record = entity_field(&all, "spf-dns", 0, &l->arena);
	if (span_eq(type, SPAN("spf")) && !record.n)
		fault(l, "SPF-DNS is missing");
	if (record.n && (!(span_starts(record, SPAN("txt:")) || span_starts(record, SPAN("spf:"))) ||
			 span_find(record, SPAN(":\"")) == SIZE_MAX || !span_ends(record, SPAN("\""))))
		fault(l, "SPF-DNS has a wrong value: '%.*s'", SPAN_ARG(record));
}

static void lint_fields(struct lint *l, const struct entity *part)
{
	static const char *const required[] = {"Feedback-Type", "User-Agent", "Version",
					       "Original-Mail-From", "Arrival-Date"};
	static const char *const single[] = {"Original-Envelope-Id", "Reporting-MTA", "Source-IP",
					     "Source-Port", "Incidents", "Auth-Failure",
					     "Identity-Alignment", "Delivery-Result", "SPF-DNS"};
	struct span fields = part->body, name, body;
	if (!utf8_is_ascii(part->body))
		fault(l, "the second part is not 7 bit");
	for (size_t i = 0; i < sizeof(required) / sizeof(required[0]); i++)
		if (count_fields(fields, required[i]) != 1)
			fault(l, "%s stands %zu times, not once", required[i],
			      count_fields(fields, required[i]));
	for (size_t i = 0; i < sizeof(single) / sizeof(single[0]); i++)
		if (count_fields(fields, single[i]) > 1)
			fault(l, "%s stands %zu times", single[i], count_fields(fields, single[i]));
	const struct entity all = {part->body, SPAN_NONE};
	for (size_t at = 0; entity_next_field(&fields, &name, &body); at++) {
		if (!name.n && span_trim(body).n)
			fault(l, "a line of the second part is no field: '%.*s'",
			      SPAN_ARG(span_trim(body)));
		if (!name.n)
			continue;
		char text[64];
		snprintf(text, sizeof(text), "%.*s", SPAN_ARG(name));
		lint_value(l, name, entity_field(&all, text, 0, &l->arena));
	}
	if (span_case_eq(entity_field(&all, "feedback-type", 0, &l->arena), SPAN("auth-failure")))
		lint_failure(l, part);
}

static void lint_original(struct lint *l, const struct entity *top, const struct entity *part)
{
	struct span type = entity_type(part, &l->arena);
	struct entity original;
	if (!span_eq(type, SPAN("message/rfc822")) && !span_eq(type, SPAN("text/rfc822-headers")))
		fault(l, "the third part is '%.*s'", SPAN_ARG(type));
	struct span encoding = entity_field(part, "content-transfer-encoding", 0, &l->arena);
	struct span outer = entity_field(top, "content-transfer-encoding", 0, &l->arena);
	if (!utf8_is_ascii(part->body) &&
	    (!span_eq(encoding, SPAN("8bit")) || !span_eq(outer, SPAN("8bit"))))
		fault(l, "the third part has 8 bit octets and the report does not say so");
	entity_read(&original, part->body);
	if (!original.header.n)
		fault(l, "the third part has no header");
	if (count_fields(original.header, "X-Assay-Verdict"))
		fault(l, "the third part has fields of ours");
	/* RFC 5965 section 2(e); encoded subjects may be folded anew, then they are not compared. */
	struct span ours = entity_field(top, "subject", 0, &l->arena);
	struct span theirs = entity_field(&original, "subject", 0, &l->arena);
	if (!theirs.n || span_find(ours, SPAN("=?")) != SIZE_MAX ||
	    span_find(theirs, SPAN("=?")) != SIZE_MAX || !utf8_is_ascii(theirs))
		return;
	struct span a, b, rest = span_case_starts(ours, SPAN("fw:")) ? span_sub(ours, 3, ours.n) : ours;
	for (;;) {
		bool more = span_next_word(&rest, &a);
		if (more != span_next_word(&theirs, &b) || (more && !span_eq(a, b))) {
			fault(l, "the subject is not that of the message");
			return;
		}
		if (!more)
			return;
	}
}

static void lint_parts(struct lint *l, const struct entity *top)
{
	struct entity parts[4];
	bool closed;
	size_t n = entity_parts(top, &l->arena, parts, 4, &closed);
	if (n != 3)
		fault(l, "it has %zu parts, not three", n);
	if (!closed)
		fault(l, "the last boundary is missing");
	if (n < 3)
		return;
	struct span first = entity_type(&parts[0], &l->arena);
	if (!span_eq(first, SPAN("text/plain")) && !span_eq(first, SPAN("multipart/alternative")))
		fault(l, "the first part is '%.*s'", SPAN_ARG(first));
	if (!span_eq(entity_field(&parts[1], "content-type", 0, &l->arena),
		     SPAN("message/feedback-report")))
		fault(l, "the second part is not message/feedback-report to the letter");
	lint_fields(l, &parts[1]);
	lint_original(l, top, &parts[2]);
}

unsigned arf_lint(struct span report, struct span rcpt, struct buf *faults)
{
	struct lint l = {.report = report, .rcpt = rcpt, .faults = faults};
	struct entity top;
	arena_init(&l.arena, 4 * LIMIT_ARENA_BYTES);
	entity_read(&top, report);
	lint_lines(&l);
	lint_top(&l, &top);
	lint_parts(&l, &top);
	/* In plain sight alone: in the sender's own ids it may stay (VERP). */
	if (rcpt.n) {
		size_t at = span_case_find(top.body, rcpt);
		size_t line = at;
		while (line != SIZE_MAX && line > 0 && top.body.p[line - 1] != '\n')
			line--;
		struct span rest = span_sub(top.body, line == SIZE_MAX ? top.body.n : line,
					    top.body.n);
		if (at != SIZE_MAX && (span_case_starts(rest, SPAN("to:")) ||
				       span_case_starts(rest, SPAN("cc:")) ||
				       span_case_starts(rest, SPAN("subject:")) ||
				       span_case_starts(rest, SPAN("original-rcpt-to:")) ||
				       span_case_starts(rest, SPAN("received:")) ||
				       span_case_starts(rest, SPAN("delivered-to:"))))
			fault(&l, "the recipient stands in it");
	}
	arena_free(&l.arena);
	return l.n;
}

bool arf_lint_log(struct span report, struct span rcpt, struct span id)
{
	struct buf faults = BUF_INIT;
	unsigned n = arf_lint(report, rcpt, &faults);
	struct span rest = buf_span(&faults), line;
	while (span_next_line(&rest, &line))
		log_error("report.fault", "report=%.*s fault=\"%.*s\"", SPAN_ARG(id), SPAN_ARG(line));
	buf_free(&faults);
	return n == 0;
}
