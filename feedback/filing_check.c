/* filing_check - is a filing complete (clause 2.1.1), and can it be true (2.1.3)? */
#include "analyze/identity.h"
#include "base/buf.h"
#include "base/clock.h"
#include "base/limits.h"
#include "feedback/filing.h"

bool organization_code_valid(struct span code)
{
	static const int weights[] = {3, 7, 9, 10, 5, 8, 4, 2};
	int sum = 0;
	if (code.n == 10 && code.p[8] == '-')
		code.n = 8; /* the check character stands behind the dash */
	else if (code.n != 9)
		return false;
	char check = code.n == 8 ? code.p[9] : code.p[8];
	for (int i = 0; i < 8; i++) {
		char c = code.p[i];
		if (!ascii_is_digit(c) && !(c >= 'A' && c <= 'Z'))
			return false;
		sum += weights[i] * (ascii_is_digit(c) ? c - '0' : c - 'A' + 10);
	}
	int want = 11 - sum % 11;
	return check == (want == 10 ? 'X' : want == 11 ? '0' : (char)('0' + want));
}

bool licence_number_valid(struct span number)
{
	int p = 10;
	if (number.n != 15)
		return false;
	for (size_t i = 0; i < 14; i++) {
		if (!ascii_is_digit(number.p[i]))
			return false;
		p = (p + number.p[i] - '0') % 10;
		p = (p == 0 ? 10 : p) * 2 % 11;
	}
	return number.p[14] == '0' + (11 - p) % 10;
}

static bool natural_person(const struct filing *f)
{
	struct span nature = span_trim(f->org[ORG_NATURE]);
	return span_case_eq(nature, SPAN("natural person")) || span_eq(nature, SPAN("自然人")) ||
	       span_eq(nature, SPAN("个人"));
}

static bool field_needed(const struct filing *f, enum filing_org field)
{
	switch (field) {
	case ORG_CREDIT_CODE:
	case ORG_SCOPE:
	case ORG_CAPITAL:
	case ORG_REPRESENTATIVE:
		return !natural_person(f);
	case ORG_LICENCE: /* one number with the credit code since October 2015 */
		return !natural_person(f) && !credit_code_valid(f->org[ORG_CREDIT_CODE]);
	default:
		return true;
	}
}

static void miss(struct span *missing, struct arena *arena, const char *group, const char *name)
{
	*missing = arena_printf(arena, "%.*s%s%s%s", SPAN_ARG(*missing), missing->n ? " " : "", group,
				name);
}

struct span filing_missing(const struct filing *f, struct arena *arena)
{
	struct span missing = SPAN("");
	bool owner = false, domain = false, class = false;
	for (unsigned i = 0; i < FILING_ORG_FIELDS; i++)
		if (!f->org[i].p && field_needed(f, (enum filing_org)i))
			miss(&missing, arena, "org.", filing_org_name((enum filing_org)i));
	if (f->n_ranges == 0)
		miss(&missing, arena, "", "ip");
	for (size_t i = 0; i < f->n_ranges; i++) {
		owner |= !f->ranges[i].owner.p;
		domain |= f->ranges[i].n_domains == 0;
		class |= !f->ranges[i].class.p;
	}
	if (owner)
		miss(&missing, arena, "ip.", "owner");
	if (domain)
		miss(&missing, arena, "ip.", "domain");
	if (class)
		miss(&missing, arena, "ip.", "class");
	if (!f->feedback.address.p)
		miss(&missing, arena, "", "feedback");
	return missing;
}

/* Characters of RFC 3986 without user information, which a key of the queue could not hold. */
struct span filing_url_host(struct span url)
{
	uint64_t port;
	if (!span_starts(url, SPAN("https://")) || url.n > LIMIT_WEBHOOK_URL_BYTES)
		return SPAN_NONE;
	for (size_t i = 0; i < url.n; i++)
		if ((unsigned char)url.p[i] <= ' ' || (unsigned char)url.p[i] > 126 ||
		    memchr("@#\"<>\\^`{|}", url.p[i], 11))
			return SPAN_NONE;
	struct span rest = span_sub(url, 8, url.n);
	size_t slash = span_find_char(rest, '/');
	struct span host = span_sub(rest, 0, slash);
	size_t colon = span_find_char(host, ':');
	if (slash == SIZE_MAX ||
	    (colon != SIZE_MAX && !span_number(span_sub(host, colon + 1, host.n), 65535, &port)))
		return SPAN_NONE;
	host = span_sub(host, 0, colon);
	for (size_t i = 0; i < host.n; i++)
		if (host.p[i] >= 'A' && host.p[i] <= 'Z')
			return SPAN_NONE;
	return domain_name_valid(host) ? host : SPAN_NONE;
}

bool ip_is_public(const struct ip *ip)
{
	static const char *const special[] = {"0.0.0.0/8",      "10.0.0.0/8",    "100.64.0.0/10",
					      "127.0.0.0/8",    "169.254.0.0/16", "172.16.0.0/12",
					      "192.168.0.0/16", "224.0.0.0/3",   "fc00::/7",
					      "fe80::/10",      "ff00::/8",      "::/96",
					      "::ffff:0:0/96",  "64:ff9b::/96"};
	struct ip_prefix p;
	for (size_t i = 0; i < sizeof(special) / sizeof(special[0]); i++)
		if (ip_prefix_parse(span_of(special[i]), &p) && ip_prefix_holds(&p, ip))
			return false;
	return true;
}

void filing_doubts(const struct filing *f, int64_t now_us, struct buf *lines)
{
	char text[IP_TEXT_BYTES];
	for (size_t i = 0; i < f->n_ranges; i++)
		if (!ip_is_public(&f->ranges[i].prefix.ip))
			buf_addf(lines, "%s/%u is no public address range\n",
				 ip_text(&f->ranges[i].prefix.ip, text), f->ranges[i].prefix.bits);
	if (f->effective_us && f->effective_us <= now_us)
		buf_adds(lines, "its effective date has passed; changes are filed in advance "
				"(clause 2.1.2)\n");
	if (f->expires_us && f->expires_us <= now_us)
		buf_adds(lines, "it has expired already\n");
	if (f->certificate.expires_us && f->certificate.expires_us <= now_us)
		buf_adds(lines, "the certificate of the Internet Society has expired\n");
	if (f->certificate.issued_us > now_us)
		buf_adds(lines, "the certificate of the Internet Society is dated in the future\n");
}
