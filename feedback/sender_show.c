#include "feedback/sender_show.h"

#include <errno.h>
#include <stdio.h>

#include "base/clock.h"

/* --- JSON ----------------------------------------------------------------------------- */

static void write_texts(struct json *j, const char *key, const struct span *v, size_t n)
{
	json_open(j, key, '[');
	for (size_t i = 0; i < n; i++)
		json_text(j, NULL, v[i]);
	json_close(j, ']');
}

/* null for 0 */
static void write_time(struct json *j, const char *key, int64_t us)
{
	char time[CLOCK_TEXT_BYTES];
	json_cstr(j, key, us ? clock_rfc3339(us, time) : NULL);
}

static void write_range(struct json *j, const char *key, const struct ip_prefix *prefix)
{
	char ip[IP_TEXT_BYTES], text[IP_TEXT_BYTES + 5];
	snprintf(text, sizeof(text), "%s/%u", ip_text(&prefix->ip, ip), prefix->bits);
	json_cstr(j, key, text);
}

/* How many addresses: clause 2.1.1(2). null where they cannot be counted. */
static void write_count(struct json *j, const struct ip_prefix *prefix)
{
	unsigned host_bits = (prefix->ip.family == 4 ? 32 : 128) - prefix->bits;
	if (host_bits < 63)
		json_int(j, "addresses", (int64_t)1 << host_bits);
	else
		json_null(j, "addresses");
}

static void write_rate(struct json *j, const char *key, const struct filing_rate *rate)
{
	json_open(j, key, '{');
	json_int(j, "messages", (int64_t)rate->messages);
	json_text(j, "per", rate->per);
	json_close(j, '}');
}

static void write_campaign(struct json *j, const struct filing_campaign *c)
{
	json_open(j, NULL, '{');
	json_text(j, "name", c->name);
	json_open(j, "ip", '[');
	for (size_t i = 0; i < c->n_ranges; i++)
		write_range(j, NULL, &c->ranges[i]);
	json_close(j, ']');
	write_texts(j, "domain", c->domains, c->n_domains);
	write_texts(j, "from", c->from, c->n_from);
	write_texts(j, "helo", c->helo, c->n_helo);
	json_int(j, "recipients", (int64_t)c->recipients);
	json_text(j, "cycle", c->cycle);
	write_rate(j, "rate", &c->rate);
	write_rate(j, "max_rate", &c->max_rate);
	json_text(j, "class", c->class);
	json_text(j, "sample", c->sample);
	json_text(j, "sample_sha256", c->sample_sha256);
	json_text(j, "topic", c->topic);
	json_close(j, '}');
}

static void write_feedback(struct json *j, const struct filing *f)
{
	json_open(j, "feedback", '{');
	json_text(j, "to", f->feedback.address);
	json_bool(j, "complaint", f->feedback.complaint);
	json_bool(j, "error", f->feedback.error);
	json_bool(j, "auth_failure", f->feedback.auth_failure);
	json_text(j, "webhook", f->feedback.url);
	json_close(j, '}');
}

static void write_filing(struct json *j, const struct filing *f)
{
	json_open(j, "org", '{');
	for (size_t i = 0; i < FILING_ORG_FIELDS; i++)
		json_text(j, filing_org_name((enum filing_org)i), f->org[i]);
	json_close(j, '}');
	json_open(j, "ip", '[');
	for (size_t i = 0; i < f->n_ranges; i++) {
		const struct filing_range *range = &f->ranges[i];
		json_open(j, NULL, '{');
		write_range(j, "range", &range->prefix);
		write_count(j, &range->prefix);
		json_text(j, "owner", range->owner);
		write_texts(j, "domain", range->domains, range->n_domains);
		json_text(j, "class", range->class);
		json_close(j, '}');
	}
	json_close(j, ']');
	write_texts(j, "domain", f->domains, f->n_domains);
	write_texts(j, "dkim", f->dkim, f->n_dkim);
	write_rate(j, "rate", &f->rate);
	write_feedback(j, f);
	json_open(j, "campaign", '[');
	for (size_t i = 0; i < f->n_campaigns; i++)
		write_campaign(j, &f->campaigns[i]);
	json_close(j, ']');
	json_open(j, "certificate", '{');
	json_text(j, "filing", f->certificate.filing);
	json_text(j, "number", f->certificate.number);
	write_time(j, "issued", f->certificate.issued_us);
	write_time(j, "expires", f->certificate.expires_us);
	json_close(j, '}');
	write_texts(j, "other", f->other, f->n_other);
	write_time(j, "effective", f->effective_us);
	write_time(j, "expires", f->expires_us);
}

static void write_proofs(struct json *j, const struct registry_sender *s)
{
	json_open(j, "proofs", '[');
	for (size_t i = 0; i < s->n_proofs; i++) {
		const struct registry_proof *p = &s->proofs[i];
		json_open(j, NULL, '{');
		json_cstr(j, "kind", proof_kind_name(p->kind));
		json_text(j, "subject", p->subject);
		json_bool(j, "needed", p->needed);
		write_time(j, "made", p->made_us);
		write_time(j, "asked", p->asked_us);
		json_text(j, "detail", p->detail);
		json_close(j, '}');
	}
	json_close(j, ']');
}

static int print(struct buf *line)
{
	int r = line->failed || puts(line->p) < 0 ? -EIO : 0;
	buf_free(line);
	return r;
}

int sender_show_json(const struct registry_sender *s, void *arg)
{
	struct buf line = BUF_INIT;
	struct json j = JSON_INIT(&line);
	(void)arg;
	json_open(&j, NULL, '{');
	json_text(&j, "key", s->key);
	json_text(&j, "state", s->state);
	json_text(&j, "name", s->filing.org[ORG_NAME]);
	write_time(&j, "filed", s->filed_us);
	json_text(&j, "missing", s->missing);
	json_text(&j, "waived", s->waived);
	json_text(&j, "approved_by", s->approved_by);
	json_bool(&j, "decided", s->decided);
	json_text(&j, "revoked_by", s->revoked_by);
	json_text(&j, "reason", s->reason);
	json_cstr(&j, "standing", registry_standing_name(s->standing));
	json_open(&j, "receipt", '{'); /* ours; certificates are the Internet Society's */
	json_text(&j, "id", s->receipt);
	write_time(&j, "from", s->since_us);
	write_time(&j, "until", s->until_us);
	json_close(&j, '}');
	json_bool(&j, "change", s->pending != NULL);
	write_filing(&j, &s->filing);
	if (s->pending) {
		json_open(&j, "pending", '{');
		write_filing(&j, s->pending);
		json_close(&j, '}');
	}
	if (s->n_proofs)
		write_proofs(&j, s);
	json_close(&j, '}');
	return print(&line);
}

int sender_export_json(const struct registry_sender *s, void *arg)
{
	struct buf line = BUF_INIT;
	struct json j = JSON_INIT(&line);
	const struct filing *f = registry_reviewed(s);
	(void)arg;
	json_open(&j, NULL, '{');
	json_text(&j, "key", f->key);
	json_text(&j, "filing", f->source);
	write_filing(&j, f);
	json_close(&j, '}');
	return print(&line);
}

int sender_export_text(const struct registry_sender *s, void *arg)
{
	(void)arg;
	return printf("%.*s\n", SPAN_ARG(registry_reviewed(s)->source)) < 0 ? -EIO : 0;
}

/* --- for people -------------------------------------------------------------------------- */

int sender_show_line(const struct registry_sender *s, void *arg)
{
	char time[CLOCK_TEXT_BYTES] = "-";
	(void)arg;
	if (s->until_us)
		clock_rfc3339(s->until_us, time);
	return printf("%-24.*s %-14.*s %-10.10s %.*s\n", SPAN_ARG(s->key), SPAN_ARG(s->state), time,
		      SPAN_ARG(s->filing.org[ORG_NAME])) < 0 ? -EIO : 0;
}

static void print_decisions(const struct registry_sender *s)
{
	char time[CLOCK_TEXT_BYTES];
	const struct filing *f = registry_reviewed(s);
	if (s->decided)
		printf("approved  by %.*s; in force from %s\n", SPAN_ARG(s->approved_by),
		       clock_rfc3339(f->effective_us, time));
	else if (s->approved_by.p)
		printf("approved  by %.*s; one more is needed\n", SPAN_ARG(s->approved_by));
	if (s->revoked_by.p)
		printf("revoked   by %.*s%s\n", SPAN_ARG(s->revoked_by),
		       span_eq(s->state, SPAN("revoked")) ? "" : "; one more is needed");
	if (s->reason.p)
		printf("reason    %.*s\n", SPAN_ARG(s->reason));
	if (s->missing.n)
		printf("missing   %.*s\n", SPAN_ARG(s->missing));
	if (s->waived.p)
		printf("waived    %.*s\n", SPAN_ARG(s->waived));
}

int sender_show_text(const struct registry_sender *s)
{
	char from[CLOCK_TEXT_BYTES], until[CLOCK_TEXT_BYTES];
	printf("sender    %.*s\nstate     %.*s\n", SPAN_ARG(s->key), SPAN_ARG(s->state));
	if (s->receipt.p)
		printf("receipt   %.*s (provider enrolment receipt), %s to %s\n", SPAN_ARG(s->receipt),
		       clock_rfc3339(s->since_us, from), clock_rfc3339(s->until_us, until));
	if (s->standing != REGISTRY_USUAL)
		printf("standing  %s\n", registry_standing_name(s->standing));
	print_decisions(s);
	printf("\n%.*s\n", SPAN_ARG(s->filing.source));
	if (s->pending)
		printf("\nwaiting for approval:\n%.*s\n", SPAN_ARG(s->pending->source));
	return ferror(stdout) ? -EIO : 0;
}

static void print_todo(const struct registry_sender *s, const struct registry_proof *p)
{
	char time[CLOCK_TEXT_BYTES];
	switch (p->kind) {
	case PROOF_DNS:
		printf("            _assay.%.*s TXT \"assay-token=%.*s\"\n", SPAN_ARG(p->subject),
		       SPAN_ARG(s->token));
		break;
	case PROOF_DKIM:
		printf("            or a mail that %.*s signs, with %.*s in its Subject\n",
		       SPAN_ARG(p->subject), SPAN_ARG(s->token));
		break;
	case PROOF_PTR:
		break;
	default:
		if (p->asked_us)
			printf("            a token was sent at %s\n", clock_rfc3339(p->asked_us, time));
		else
			puts("            'review --send' sends a token");
		break;
	}
}

int sender_show_proofs(const struct registry_sender *s)
{
	for (size_t i = 0; i < s->n_proofs; i++) {
		const struct registry_proof *p = &s->proofs[i];
		printf("  %-9s %-10s %.*s", p->made_us ? "made" : p->needed ? "not made" : "other way",
		       proof_kind_name(p->kind), SPAN_ARG(p->subject));
		printf(p->detail.n ? ": %.*s\n" : "\n", SPAN_ARG(p->detail));
		if (!p->made_us)
			print_todo(s, p);
	}
	return ferror(stdout) ? -EIO : 0;
}
