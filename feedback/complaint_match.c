/*
 * Whom to tell. Identities that passed alone count (RFC 6650 section 6): every DKIM d= that passed
 * and the IP range; with neither, the SPF domain. A brand that signs and the provider whose address
 * sends it are told each for himself. Beside them the address that the mail itself asks for
 * (RFC 9477), which was judged when the mail came in.
 */
#include <errno.h>

#include "feedback/arf.h"
#include "feedback/complaint_private.h"
#include "feedback/entity.h"

static bool result_is(const struct json_value *object, const char *result)
{
	return span_eq(json_in_text(json_in_get(object, "result")), span_of(result));
}

static bool add_target(struct intake *in, const struct sender_entry *sender, struct span domain)
{
	if (!sender)
		return false;
	for (size_t i = 0; i < in->n_targets; i++)
		if (span_eq(in->targets[i].key, sender->key))
			return true;
	if (in->n_targets == COMPLAINT_TARGETS)
		return true;
	struct target *t = &in->targets[in->n_targets++];
	*t = (struct target){.key = sender->key, .reported_domain = domain};
	t->filing = registry_filing(in->desk->registry, sender->key);
	if (t->filing && t->filing->feedback.complaint) {
		t->object = t->filing->feedback.url.p != NULL;
		t->to = t->object ? t->filing->feedback.url : t->filing->feedback.address;
		t->xarf = t->filing->feedback.xarf;
		t->chinese = t->filing->feedback.chinese;
		t->profile = t->filing->feedback.profile;
	}
	return true;
}

/* Signers that passed; with `passed` false: is a registered one named in a signature that did not? */
static bool by_signatures(struct intake *in, const struct sender_table *table, bool passed)
{
	const struct json_value *dkim = json_in_get(in->auth, "dkim");
	bool any = false;
	for (size_t i = 0; i < json_in_count(dkim); i++) {
		const struct json_value *one = json_in_at(dkim, i);
		struct span d = json_in_text(json_in_get(one, "d"));
		if (result_is(one, "pass") != passed)
			continue;
		const struct sender_entry *found = sender_by_dkim(table, d);
		if (!passed)
			any = any || found || sender_by_domain(table, d);
		else if (add_target(in, found, d))
			any = true;
	}
	return any;
}

/* What the event says of the CFBL-Address; there is none in it that did not pass. */
static void by_cfbl(struct intake *in)
{
	const struct json_value *cfbl = json_in_get(in->receipt.event, "cfbl");
	struct span address = json_in_text(json_in_get(cfbl, "address"));
	struct span domain = arf_domain_of(address);
	if (!address.n || in->n_targets == COMPLAINT_TARGETS)
		return;
	for (size_t i = 0; i < in->n_targets; i++)
		if (span_case_eq(in->targets[i].to, address))
			return;
	in->targets[in->n_targets++] = (struct target){
		.key = arena_printf(&in->arena, "cfbl:%.*s", SPAN_ARG(domain)),
		.reported_domain = json_in_text(json_in_get(cfbl, "domain")),
		.to = address,
		.xarf = span_eq(json_in_text(json_in_get(cfbl, "report")), SPAN("xarf")),
		/* a sender whom nobody has looked at learns no more than RFC 9477 asks for */
		.profile = REDACT_IDS_ONLY,
	};
}

/* That the registry cannot be read is no reason to lose a complaint for good. */
int intake_match(struct intake *in)
{
	const struct sender_table *table = registry_senders(in->desk->registry);
	const struct json_value *spf = json_in_get(in->auth, "spf");
	struct span spf_domain = json_in_text(json_in_get(spf, "domain"));
	if (!table)
		return -EIO;
	struct span author = in->message.from.n ? in->message.from.v[0].domain : SPAN_NONE;
	struct span domain = author.n ? author : arf_domain_of(in->mail_from);
	bool any = by_signatures(in, table, true);
	any |= add_target(in, sender_by_ip(table, &in->peer), domain);
	if (!any && result_is(spf, "pass"))
		any = add_target(in, sender_by_domain(table, spf_domain), spf_domain);
	by_cfbl(in);
	if (in->n_targets)
		return 0;
	bool claimed = by_signatures(in, table, false) || sender_by_domain(table, spf_domain) ||
		       sender_by_domain(table, author) || sender_by_dkim(table, author);
	in->result->outcome = claimed ? COMPLAINT_FAILED_AUTH : COMPLAINT_NO_SENDER;
	in->result->why = claimed ? "it claims a registered sender, but nothing that passed says so"
				  : "no registered sender is responsible for it";
	return 0;
}

/* --- mail of machines ------------------------------------------------------------------ */

/* "fbl+01jd.mac@mbox.example" for "fbl@mbox.example" too. */
static bool is_our_feedback_address(const struct config *config, struct span address)
{
	struct span from = span_of(config->report.from);
	size_t at = span_rfind_char(from, '@'), mine = span_rfind_char(address, '@');
	if (at == SIZE_MAX || mine == SIZE_MAX ||
	    !span_case_eq(arf_domain_of(from), arf_domain_of(address)))
		return false;
	struct span local = span_sub(address, 0, mine);
	size_t plus = span_find_char(local, '+');
	return span_case_eq(span_sub(local, 0, plus), span_sub(from, 0, at));
}

/* RFC 3834 section 5: the keyword in front of comments and parameters. */
static struct span auto_submitted(struct intake *in)
{
	struct header *h = message_header(&in->message, "Auto-Submitted", NULL);
	struct span text = h ? span_trim(message_header_text(&in->message, h)) : SPAN_NONE;
	size_t n = 0;
	while (n < text.n && !strchr(" \t(;", text.p[n]))
		n++;
	return span_sub(text, 0, n);
}

/* Two providers that are registered with each other would send reports about reports for ever. A
 * sender cannot hide marketing mail behind the mark of a machine. */
const char *intake_machine_mail(struct intake *in)
{
	struct entity top;
	entity_read(&top, in->message.octets);
	if (span_eq(entity_type(&top, &in->arena), SPAN("multipart/report")))
		return "it is a report itself";
	if (is_our_feedback_address(in->desk->config, in->rcpt))
		return "it was sent to our own feedback address";
	if (in->receipt.event && !in->mail_from.n &&
	    json_in_text(json_in_get(in->receipt.event, "mail_from")).p)
		return "it has the null sender: a machine's answer";
	struct span word = auto_submitted(in);
	const struct json_value *class = json_in_get(in->receipt.event, "class");
	if (span_case_eq(word, SPAN("auto-replied")))
		return "it is a machine's answer";
	if (span_case_eq(word, SPAN("auto-generated")) &&
	    !json_in_true(json_in_get(class, "marketing")))
		return "a machine made it, and it is no marketing mail";
	return NULL;
}
