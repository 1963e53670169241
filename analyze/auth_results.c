/*
 * auth_results - the Authentication-Results field (RFC 8601), one method a line.
 *
 * Everything in it that came from the mail or the DNS is a token or a quoted string: nobody can
 * write a second result, or a second field, by a clever domain.
 */
#include "analyze/auth.h"
#include "base/limits.h"
#include "base/utf8.h"

/* RFC 2045 token: printable ASCII without tspecials. '@' is allowed by pvalue itself. */
static bool is_token(struct span s)
{
	for (size_t i = 0; i < s.n; i++)
		if (s.p[i] <= ' ' || s.p[i] > '~' || strchr("()<>,;:\\\"/[]?=", s.p[i]))
			return false;
	return s.n > 0;
}

static void add_value(struct buf *b, struct span s)
{
	s = utf8_cut(s, LIMIT_AUTH_RESULTS_VALUE);
	if (is_token(s)) {
		buf_add(b, s);
		return;
	}
	bool utf8 = utf8_valid(s);
	buf_addc(b, '"');
	for (size_t i = 0; i < s.n; i++) {
		uint8_t c = (uint8_t)s.p[i];
		if (c == '"' || c == '\\')
			buf_addc(b, '\\');
		buf_addc(b, c < ' ' || c == 0x7f || (c >= 0x80 && !utf8) ? '?' : (char)c);
	}
	buf_addc(b, '"');
}

static void add_method(struct buf *b, const char *method, enum auth_result result)
{
	buf_addf(b, ";\r\n\t%s=%s", method, auth_result_name(result));
}

static void add_property(struct buf *b, const char *name, struct span value)
{
	if (!value.n)
		return;
	buf_addf(b, "\r\n\t %s=", name);
	add_value(b, value);
}

static void add_reason(struct buf *b, const char *reason)
{
	if (!reason)
		return;
	buf_adds(b, " reason=\"");
	for (; *reason; reason++)
		buf_addc(b, *reason == '"' || *reason == '\\' ? '\'' : *reason);
	buf_addc(b, '"');
}

static void add_dkim(struct buf *b, const struct auth *auth)
{
	if (!auth->n_dkim)
		add_method(b, "dkim", AUTH_NONE);
	for (size_t i = 0; i < auth->n_dkim; i++) {
		const struct dkim_result *r = &auth->dkim[i];
		add_method(b, "dkim", r->result);
		add_reason(b, r->reason);
		add_property(b, "header.d", r->d);
		add_property(b, "header.s", r->s);
		add_property(b, "header.a", r->algorithm);
		add_property(b, "header.b", r->b);
	}
}

/* RFC 8601 section 2.7.3: no name at all is permerror. */
static enum auth_result iprev(const struct ptr_result *ptr)
{
	if (!ptr->known || (ptr->n && !ptr->confirmed && !ptr->confirmed_known))
		return AUTH_TEMPERROR;
	return !ptr->n ? AUTH_PERMERROR : ptr->confirmed ? AUTH_PASS : AUTH_FAIL;
}

struct span auth_results_field(const struct auth *auth, const struct message *m,
			       const struct auth_query *q, struct arena *arena)
{
	struct buf b = BUF_INIT;
	char ip[IP_TEXT_BYTES];
	add_value(&b, span_of(q->host && *q->host ? q->host : "localhost"));
	if (q->ip.family) {
		add_method(&b, "iprev", iprev(&auth->ptr));
		add_property(&b, "policy.iprev", span_of(ip_text(&q->ip, ip)));
	}
	add_method(&b, "spf", auth->spf.result);
	add_property(&b, "smtp.mailfrom", q->mail_from.n ? q->mail_from : auth->spf.domain);
	if (q->helo.n) {
		add_method(&b, "spf", auth->spf_helo.result);
		add_property(&b, "smtp.helo", q->helo);
	}
	if (m) {
		add_dkim(&b, auth);
		add_method(&b, "arc", auth->arc.result);
		add_reason(&b, auth->arc.reason);
		add_method(&b, "dmarc", auth->dmarc.result);
		/* what is left of the policy after its options (IANA's registry of properties) */
		add_property(&b, "policy.dmarc", auth->dmarc.disposition);
		if (m->from.n)
			add_property(&b, "header.from", m->from.v[0].domain);
	}
	struct span field = b.failed ? SPAN_NONE : arena_copy(arena, buf_span(&b));
	buf_free(&b);
	return field;
}
