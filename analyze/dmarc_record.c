/*
 * RFC 9989 section 4.8:
 *
 *   dmarc-record    = dmarc-version *(*WSP ";" *WSP dmarc-tag) [*WSP ";"] *WSP
 *   dmarc-version   = "v" *WSP "=" *WSP %s"DMARC1"
 *   dmarc-tag       = 1*ALPHA *WSP "=" *WSP 1*dmarc-value
 *
 * libopendmarc takes a record without v= in front, lets the last of two like tags win, and
 * refuses a record without p=; it knows no np, psd, t. So we read the record, and the library
 * gets it in a form that it cannot misread (dmarc_lib.c).
 *
 * Deviation: of two like tags the first counts, where RFC 6376 section 3.2 calls the whole list
 * invalid, because a slip of the pen must not take a domain's protection away.
 */
#include "analyze/dmarc_record.h"

#include "base/limits.h"

static struct span trim_blanks(struct span s)
{
	while (s.n && (s.p[0] == ' ' || s.p[0] == '\t'))
		s = span_sub(s, 1, s.n);
	while (s.n && (s.p[s.n - 1] == ' ' || s.p[s.n - 1] == '\t'))
		s.n--;
	return s;
}

/* Takes the next "name = value" off `rest`; false at the end. A piece without "=" has no name. */
static bool next_tag(struct span *rest, struct span *name_r, struct span *value_r)
{
	struct span piece;
	if (!span_next_field(rest, ';', &piece))
		return false;
	size_t equals = span_find_char(piece, '=');
	*name_r = equals == SIZE_MAX ? SPAN_NONE : trim_blanks(span_sub(piece, 0, equals));
	*value_r = equals == SIZE_MAX ? SPAN_NONE
				      : trim_blanks(span_sub(piece, equals + 1, piece.n));
	return true;
}

bool dmarc_record_is(struct span text)
{
	struct span name, value;
	return text.n <= LIMIT_DMARC_RECORD_BYTES && next_tag(&text, &name, &value) &&
	       span_case_eq(name, SPAN("v")) && span_eq(value, SPAN("DMARC1"));
}

static enum dmarc_policy policy_of(struct span value)
{
	if (span_case_eq(value, SPAN("none")))
		return DMARC_NONE;
	if (span_case_eq(value, SPAN("quarantine")))
		return DMARC_QUARANTINE;
	return span_case_eq(value, SPAN("reject")) ? DMARC_REJECT : DMARC_BAD;
}

struct span dmarc_policy_name(enum dmarc_policy policy)
{
	switch (policy) {
	case DMARC_NONE: return SPAN("none");
	case DMARC_QUARANTINE: return SPAN("quarantine");
	case DMARC_REJECT: return SPAN("reject");
	case DMARC_ABSENT:
	case DMARC_BAD: break;
	}
	return SPAN_NONE;
}

/* Some URI of the list has a scheme and something behind it. */
static bool has_uri(struct span list)
{
	struct span uri;
	while (span_next_field(&list, ',', &uri)) {
		uri = trim_blanks(uri);
		size_t colon = span_find_char(uri, ':');
		if (colon == SIZE_MAX || colon == 0 || colon + 1 == uri.n)
			continue;
		if (!span_case_starts(uri, SPAN("mailto:")) ||
		    span_find_char(uri, '@') != SIZE_MAX)
			return true;
	}
	return false;
}

enum tag { TAG_P, TAG_SP, TAG_NP, TAG_ADKIM, TAG_ASPF, TAG_T, TAG_PSD, TAG_RUA, TAG_PCT, TAGS };

static void take_tag(struct dmarc_record *r, enum tag tag, struct span value)
{
	uint64_t number;
	char first = value.n == 1 ? ascii_lower(value.p[0]) : '\0';
	switch (tag) {
	case TAG_P: r->p = policy_of(value); break;
	case TAG_SP: r->sp = policy_of(value); break;
	case TAG_NP: r->np = policy_of(value); break;
	case TAG_ADKIM: r->strict_dkim = first == 's'; break;
	case TAG_ASPF: r->strict_spf = first == 's'; break;
	case TAG_T: r->testing = first == 'y'; break;
	case TAG_PSD: r->psd = first == 'y' || first == 'n' ? first : 'u'; break;
	case TAG_RUA: r->rua = has_uri(value); break;
	case TAG_PCT:
		if (span_number(value, 100, &number))
			r->pct = (unsigned)number;
		break;
	case TAGS: break;
	}
}

bool dmarc_record_parse(struct dmarc_record *r, struct span text)
{
	static const char *const names[TAGS] = {"p", "sp", "np", "adkim", "aspf",
						"t", "psd", "rua", "pct"};
	bool seen[TAGS] = {false};
	struct span name, value;
	*r = (struct dmarc_record){.psd = 'u', .pct = 100};
	if (!dmarc_record_is(text))
		return false;
	while (next_tag(&text, &name, &value)) {
		for (enum tag tag = TAG_P; tag < TAGS; tag++) {
			if (seen[tag] || !span_case_eq(name, span_of(names[tag])))
				continue;
			seen[tag] = true;
			take_tag(r, tag, value);
		}
	}
	return true;
}

bool dmarc_record_settle(struct dmarc_record *r)
{
	bool good = r->p != DMARC_ABSENT && r->p != DMARC_BAD && r->sp != DMARC_BAD &&
		    r->np != DMARC_BAD;
	if (good)
		return true;
	r->p = DMARC_NONE;
	r->sp = r->np = DMARC_ABSENT;
	return r->rua;
}
