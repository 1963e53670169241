/*
 *     CFBL-Address: CFWS addr-spec CFWS [";" CFWS "report=" ("arf" / "xarf")]
 *
 * Which signatures are needed follows from the domains (RFC 9477 section 3.1): one that stands over
 * the author's domain and the address' domain alike; or, for a third party, one for the author and
 * one for the address. The signature that answers for the address must name the fields in h=
 * (section 3.1.4); the author's may have been made before they were put in (section 3.1.3).
 */
#include "analyze/cfbl.h"

#include "analyze/dkim_signature.h"

/* The value without comments (RFC 5322 section 3.2.2) and blanks. */
static struct span without_comments(struct span s, struct arena *arena)
{
	char *out = arena_alloc(arena, s.n + 1);
	size_t n = 0;
	unsigned depth = 0;
	for (size_t i = 0; out && i < s.n; i++) {
		if (s.p[i] == '(')
			depth++;
		else if (s.p[i] == ')' && depth)
			depth--;
		else if (!depth && !ascii_is_space(s.p[i]))
			out[n++] = s.p[i];
	}
	return (struct span){out, n};
}

static bool address_valid(struct span s)
{
	size_t at = span_rfind_char(s, '@');
	if (at == SIZE_MAX || at == 0 || at > 64 || s.n > 254)
		return false;
	for (size_t i = 0; i < at; i++)
		if (!ascii_is_alpha(s.p[i]) && !ascii_is_digit(s.p[i]) &&
		    !memchr("!#$%&'*+-/=?^_`{|}~.", s.p[i], 20))
			return false;
	return dkim_domain_valid(span_sub(s, at + 1, s.n), 2);
}

/* `name` is `over` or lies below it. */
static bool under(struct span name, struct span over)
{
	return span_case_eq(name, over) ||
	       (name.n > over.n + 1 && name.p[name.n - over.n - 1] == '.' &&
		span_case_ends(name, over));
}

static bool names_field(const struct dkim_result *d, struct span name)
{
	for (size_t i = 0; i < d->n_signed_fields; i++)
		if (span_eq(d->signed_fields[i], name))
			return true;
	return false;
}

static const struct dkim_result *signature(const struct auth *auth, struct span a, struct span b,
					   bool covers, bool has_id)
{
	for (size_t i = 0; i < auth->n_dkim; i++) {
		const struct dkim_result *d = &auth->dkim[i];
		if (d->result != AUTH_PASS || d->testing || !under(a, d->d) || !under(b, d->d))
			continue;
		if (!covers || (names_field(d, SPAN("cfbl-address")) &&
				(!has_id || names_field(d, SPAN("cfbl-feedback-id")))))
			return d;
	}
	return NULL;
}

static const struct dkim_result *answers_for(const struct auth *auth, struct span author,
					     struct span domain, bool has_id)
{
	const struct dkim_result *both = signature(auth, author, domain, true, has_id);
	if (both)
		return both;
	return signature(auth, author, author, false, has_id)
		       ? signature(auth, domain, domain, true, has_id)
		       : NULL;
}

struct cfbl cfbl_find(const struct message *m, const struct auth *auth, struct arena *arena)
{
	struct cfbl c = {.present = false};
	bool has_id = message_header(m, "CFBL-Feedback-ID", NULL) != NULL;
	for (struct header *h = NULL; (h = message_header(m, "CFBL-Address", h)) && !c.address.p;) {
		struct span rest = without_comments(message_header_text(m, h), arena), address, word;
		bool xarf = false, known = true;
		c.present = true;
		if (m->from.n != 1 || !span_next_field(&rest, ';', &address))
			continue;
		while (span_next_field(&rest, ';', &word)) {
			xarf = span_eq(word, SPAN("report=xarf"));
			known &= xarf || !word.n || span_eq(word, SPAN("report=arf"));
		}
		if (!known || !address_valid(address))
			continue;
		struct span domain = span_sub(address, span_rfind_char(address, '@') + 1, address.n);
		const struct dkim_result *d =
			answers_for(auth, m->from.v[0].domain, domain, has_id);
		if (d) {
			c.address = address;
			c.domain = d->d;
			c.xarf = xarf;
		}
	}
	return c;
}

void cfbl_write_json(const struct cfbl *c, struct json *j)
{
	if (!c->present)
		return;
	if (!c->address.p) {
		json_null(j, "cfbl");
		return;
	}
	json_open(j, "cfbl", '{');
	json_text(j, "address", c->address);
	json_cstr(j, "report", c->xarf ? "xarf" : "arf");
	json_text(j, "domain", c->domain);
	json_close(j, '}');
}
