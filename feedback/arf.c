#include "feedback/arf.h"

#include <errno.h>

#include "base/clock.h"
#include "base/digest.h"
#include "base/utf8.h"

struct span arf_domain_of(struct span address)
{
	size_t at = span_rfind_char(address, '@');
	return at == SIZE_MAX ? address : span_sub(address, at + 1, address.n);
}

struct span arf_message_id(const struct arf_report *r, struct arena *arena)
{
	return arena_printf(arena, "<%.*s.%.*s@%.*s>", SPAN_ARG(r->id), SPAN_ARG(r->kind),
			    SPAN_ARG(arf_domain_of(r->from)));
}

/* A field of ASCII; what came from a wire cannot end the field or leave 7 bit. */
static void add_field(struct buf *out, const char *name, struct span value)
{
	buf_addf(out, "%s: ", name);
	for (size_t i = 0; i < value.n; i++) {
		unsigned char c = (unsigned char)value.p[i];
		buf_addc(out, c < 32 || c == 127 ? ' ' : c > 127 ? '?' : (char)c);
	}
	buf_adds(out, "\r\n");
}

static void add_folded(struct buf *out, const char *name, struct span value)
{
	struct span word;
	size_t column = strlen(name) + 1;
	buf_addf(out, "%s:", name);
	while (span_next_word(&value, &word)) {
		bool fold = column + word.n > 76;
		buf_adds(out, fold ? "\r\n " : " ");
		column = (fold ? 1 : column + 1) + word.n;
		buf_add(out, word);
	}
	buf_adds(out, "\r\n");
}

/* RFC 5965 section 2(e): the subject of the message, behind a mark of forwarding at most. */
static void add_subject(const struct arf_report *r, struct arena *arena, struct buf *out)
{
	struct span text = redact_text(r->redactor, r->message->subject);
	text = arena_printf(arena, "FW: %.*s", SPAN_ARG(span_trim(text)));
	for (size_t i = 0; i < text.n; i++)
		if ((unsigned char)text.p[i] < 32)
			((char *)text.p)[i] = ' ';
	if (utf8_is_ascii(text)) {
		add_folded(out, "Subject", text);
		return;
	}
	buf_adds(out, "Subject: ");
	redact_encode_words(text, arena, out);
	buf_adds(out, "\r\n");
}

/* RFC 6591 section 3.1 wants every field that the failed method has; RFC 9991 section 4 the type. */
static void add_failure(const struct arf_failure *f, struct arena *arena, struct buf *out)
{
	add_field(out, "Auth-Failure", SPAN("dmarc"));
	add_field(out, "Identity-Alignment", SPAN("dkim, spf")); /* neither passed for the From */
	add_field(out, "Delivery-Result", f->delivery);
	add_field(out, "Incidents", arena_printf(arena, "%llu", (unsigned long long)f->incidents));
	if (f->dkim_domain.n) {
		add_field(out, "DKIM-Domain", f->dkim_domain);
		/* the default of i= (RFC 6376 section 3.5), which an event does not hold */
		add_field(out, "DKIM-Identity", arena_printf(arena, "@%.*s", SPAN_ARG(f->dkim_domain)));
		add_field(out, "DKIM-Selector", f->dkim_selector);
	}
	if (f->spf_dns.n)
		add_folded(out, "SPF-DNS", f->spf_dns);
}

static void add_failure_words(const struct arf_report *r, struct buf *text)
{
	buf_adds(text, r->lang == LANG_ZH
		? "下述邮件以您登记的域名为发件人，但未通过 DMARC 验证：可能被他人伪造，或您的系统\r\n"
		  "配置有误。Incidents 为该小时内来自同一地址的此类邮件数量。\r\n"
		  "如不希望再收到此类报告，请回复本邮件，主题写 STOP，或修改您的备案。\r\n"
		: "Mail with your domain in its From failed DMARC: somebody forges it, or one of\r\n"
		  "your systems is not set up right. Incidents is the number of such mails from\r\n"
		  "this address in that hour; the first of them is shown, as far as our log\r\n"
		  "holds it.\r\n\r\n"
		  "To stop these reports, answer with the subject STOP or change your filing.\r\n");
}

static void add_words(const struct arf_report *r, struct arena *arena, struct buf *out)
{
	bool spam = span_eq(r->kind, SPAN("abuse"));
	char ip[IP_TEXT_BYTES] = "unknown", date[CLOCK_TEXT_BYTES];
	struct buf text = BUF_INIT;
	if (r->source.family)
		ip_text(&r->source, ip);
	clock_rfc5322(r->arrival_us, date);
	/* The first words are what Sisimai looks for, in any language. */
	buf_addf(&text, "This is an %s report for an email message received from\r\n"
			"IP %s on %s.\r\n\r\n", r->failure ? "authentication failure"
					      : spam	   ? "email abuse"
							   : "email not-spam", ip, date);
	if (r->failure) {
		add_failure_words(r, &text);
	} else if (r->lang == LANG_ZH) {
		buf_adds(&text, spam ? "收件人将下述邮件标记为垃圾邮件。请停止向该收件人发送邮件：\r\n"
				     : "收件人将下述邮件标记为非垃圾邮件，并撤回此前的投诉：\r\n");
		buf_adds(&text, "请凭邮件头中您自己的标识（Message-ID、List-*、Feedback-ID 等）查找订户。\r\n"
				"收件人地址以代号表示，同一收件人的代号始终相同。\r\n"
				"如不希望再收到此类报告，请回复本邮件，主题写 STOP，或修改您的备案。\r\n");
	} else {
		buf_adds(&text, spam ? "The recipient marked the message below as spam. Please stop "
				       "mailing to\r\nthis recipient.\r\n"
				     : "The recipient marked the message below as not spam, which "
				       "takes an earlier\r\ncomplaint back.\r\n");
		buf_adds(&text, "\r\nYour own identifiers (Message-ID, List-*, Feedback-ID and the "
				"like) are as you\r\nwrote them and lead to your subscriber. The "
				"recipient's address is shown as\r\na token, which is the same in "
				"every report about the same recipient.\r\n\r\nTo stop these reports, "
				"answer with the subject STOP or change your filing.\r\n");
	}
	bool ascii = utf8_is_ascii(buf_span(&text));
	buf_addf(out, "Content-Type: text/plain; charset=%s\r\n"
		      "Content-Transfer-Encoding: %s\r\n\r\n",
		 ascii ? "us-ascii" : "utf-8", ascii ? "7bit" : "base64");
	for (size_t at = 0; !ascii && at < text.n; at += 57) {
		struct span code = base64_encode(arena, span_sub(buf_span(&text), at, at + 57));
		buf_addf(out, "%.*s\r\n", SPAN_ARG(code));
	}
	if (ascii)
		buf_add(out, buf_span(&text));
	out->failed |= text.failed;
	buf_free(&text);
}

static void add_fields(const struct arf_report *r, struct arena *arena, struct buf *out)
{
	char date[CLOCK_TEXT_BYTES], ip[IP_TEXT_BYTES];
	buf_adds(out, "Content-Type: message/feedback-report\r\n"
		      "Content-Transfer-Encoding: 7bit\r\n\r\n");
	add_field(out, "Feedback-Type", r->kind);
	add_field(out, "User-Agent", SPAN("Assay/" ASSAY_VERSION));
	add_field(out, "Version", SPAN("1"));
	add_field(out, "Original-Mail-From",
		  arena_printf(arena, "<%.*s>",
			       SPAN_ARG(redactor_hides(r->redactor, r->mail_from)
						? redactor_show(r->redactor, r->mail_from)
						: r->mail_from)));
	if (r->rcpt.n)
		add_field(out, "Original-Rcpt-To",
			  arena_printf(arena, "<%.*s>", SPAN_ARG(redactor_show(r->redactor, r->rcpt))));
	add_field(out, "Arrival-Date", span_of(clock_rfc5322(r->arrival_us, date)));
	add_field(out, "Reporting-MTA", arena_printf(arena, "dns; %.*s", SPAN_ARG(r->host)));
	if (r->source.family)
		add_field(out, "Source-IP", span_of(ip_text(&r->source, ip)));
	if (r->source.family && r->port)
		add_field(out, "Source-Port", arena_printf(arena, "%u", r->port));
	if (r->auth_results.n)
		add_folded(out, "Authentication-Results", r->auth_results);
	if (r->reported_domain.n)
		add_field(out, "Reported-Domain", r->reported_domain);
	if (r->failure)
		add_failure(r->failure, arena, out);
}

/* RFC 2046 section 5.1.1: a boundary must not stand in the parts. */
static struct span make_boundary(const struct arf_report *r, struct span content,
				 struct arena *arena)
{
	struct span boundary = SPAN_NONE;
	for (unsigned i = 0; i < 1000; i++) {
		boundary = arena_printf(arena, "=_assay_%.*s_%u", SPAN_ARG(r->id), i);
		if (span_find(content, boundary) == SIZE_MAX)
			break;
	}
	return boundary;
}

static void add_report(const struct arf_report *r, struct arena *arena, struct span part3,
		       bool whole, bool eight_bit, struct buf *out)
{
	char date[CLOCK_TEXT_BYTES];
	struct span boundary = make_boundary(r, part3, arena);
	add_field(out, "From", r->from);
	add_field(out, "To", r->to);
	add_subject(r, arena, out);
	add_field(out, "Date", span_of(clock_rfc5322(r->now_us, date)));
	add_field(out, "Message-ID", arf_message_id(r, arena));
	add_field(out, "Auto-Submitted", SPAN("auto-generated"));
	buf_adds(out, "MIME-Version: 1.0\r\n");
	buf_addf(out, "Content-Type: multipart/report; report-type=feedback-report;\r\n"
		      "\tboundary=\"%.*s\"\r\n", SPAN_ARG(boundary));
	if (eight_bit)
		buf_adds(out, "Content-Transfer-Encoding: 8bit\r\n");
	buf_addf(out, "\r\n--%.*s\r\n", SPAN_ARG(boundary));
	add_words(r, arena, out);
	buf_addf(out, "\r\n--%.*s\r\n", SPAN_ARG(boundary));
	add_fields(r, arena, out);
	buf_addf(out, "\r\n--%.*s\r\nContent-Type: %s\r\nContent-Transfer-Encoding: %s\r\n\r\n",
		 SPAN_ARG(boundary), whole ? "message/rfc822" : "text/rfc822-headers",
		 eight_bit ? "8bit" : "7bit");
	buf_add(out, part3);
	buf_addf(out, "\r\n--%.*s--\r\n", SPAN_ARG(boundary));
}

int arf_write(const struct arf_report *r, struct arena *arena, struct buf *out)
{
	struct buf part3 = BUF_INIT;
	bool whole, eight_bit;
	redact_message(r->redactor, r->message, r->profile, r->host, &part3, &whole, &eight_bit);
	add_report(r, arena, buf_span(&part3), whole, eight_bit, out);
	int trouble = part3.failed || out->failed || arena->overflowed ? -ENOMEM : 0;
	buf_free(&part3);
	return trouble;
}
