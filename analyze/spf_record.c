/*
 * RFC 7208 section 12:
 *
 *   record           = version terms *SP
 *   version          = "v=spf1"
 *   terms            = *( 1*SP ( directive / modifier ) )
 *   directive        = [ qualifier ] mechanism
 *   mechanism        = all / include / a / mx / ptr / ip4 / ip6 / exists
 *   include          = "include" ":" domain-spec
 *   a                = "a"   [ ":" domain-spec ] [ dual-cidr-length ]
 *   mx               = "mx"  [ ":" domain-spec ] [ dual-cidr-length ]
 *   ptr              = "ptr" [ ":" domain-spec ]
 *   ip4              = "ip4" ":" ip4-network [ ip4-cidr-length ]
 *   ip6              = "ip6" ":" ip6-network [ ip6-cidr-length ]
 *   exists           = "exists" ":" domain-spec
 *   dual-cidr-length = [ ip4-cidr-length ] [ "/" ip6-cidr-length ]
 *   ip4-cidr-length  = "/" ("0" / %x31-39 0*1DIGIT)
 *   ip6-cidr-length  = "/" ("0" / %x31-39 0*2DIGIT)
 *   modifier         = redirect / explanation / unknown-modifier
 *   unknown-modifier = name "=" macro-string
 *   name             = ALPHA *( ALPHA / DIGIT / "-" / "_" / "." )
 *   domain-spec      = macro-string domain-end
 *   domain-end       = ( "." toplabel [ "." ] ) / macro-expand
 *   toplabel         = ( *alphanum ALPHA *alphanum ) /
 *                      ( 1*alphanum "-" *( alphanum / "-" ) alphanum )
 */
#include "analyze/spf_record.h"

#include <errno.h>

#include "analyze/spf_macro.h"
#include "base/limits.h"

static const struct mechanism_info {
	const char *name;
	bool domain, domain_needed, cidr;
} mechanisms[] = {
	[SPF_MECH_ALL] = {"all", false, false, false},
	[SPF_MECH_INCLUDE] = {"include", true, true, false},
	[SPF_MECH_A] = {"a", true, false, true},
	[SPF_MECH_MX] = {"mx", true, false, true},
	[SPF_MECH_PTR] = {"ptr", true, false, false},
	[SPF_MECH_IP4] = {"ip4", false, false, false},
	[SPF_MECH_IP6] = {"ip6", false, false, false},
	[SPF_MECH_EXISTS] = {"exists", true, true, false},
};

bool spf_record_is(struct span text)
{
	struct span version = SPAN("v=spf1");
	return span_case_starts(text, version) &&
	       (text.n == version.n || text.p[version.n] == ' ');
}

static bool is_alphanum(char c)
{
	return ascii_is_alpha(c) || ascii_is_digit(c);
}

static bool is_toplabel(struct span s)
{
	bool alpha = false, hyphen = false;
	for (size_t i = 0; i < s.n; i++) {
		alpha |= ascii_is_alpha(s.p[i]);
		hyphen |= s.p[i] == '-';
		if (!is_alphanum(s.p[i]) && s.p[i] != '-')
			return false;
	}
	return s.n && (alpha || hyphen) && is_alphanum(s.p[0]) && is_alphanum(s.p[s.n - 1]);
}

static bool is_domain_spec(struct span s)
{
	struct span rest = s, last = SPAN_NONE;
	struct spf_macro m;
	int r;
	if (s.n == 0 || s.n > LIMIT_SPF_DOMAIN_SPEC_BYTES)
		return false;
	while (rest.n) {
		bool expands = rest.p[0] == '%';
		if ((r = spf_macro_next(&rest, false, &m)) < 0)
			return false;
		last = expands ? SPAN_NONE : m.literal;
	}
	if (!last.p)
		return true; /* ends in a macro-expand */
	if (last.p[last.n - 1] == '.')
		last.n--;
	size_t dot = span_rfind_char(last, '.');
	return dot != SIZE_MAX && is_toplabel(span_sub(last, dot + 1, last.n));
}

/* Takes "/n" off the end of `s` when there are digits behind a slash. -1: bad length. */
static int take_cidr(struct span *s, unsigned max, uint8_t *bits_r)
{
	size_t i = s->n;
	while (i > 0 && ascii_is_digit(s->p[i - 1]))
		i--;
	if (i == 0 || i == s->n || s->p[i - 1] != '/')
		return 0;
	struct span digits = span_sub(*s, i, s->n);
	uint64_t value;
	if ((digits.n > 1 && digits.p[0] == '0') || !span_number(digits, max, &value))
		return -1;
	*bits_r = (uint8_t)value;
	*s = span_sub(*s, 0, i - 1);
	return 1;
}

/* Takes "/n", "//n" or "/n//n" off the end. */
static bool take_dual_cidr(struct span *s, uint8_t *bits4_r, uint8_t *bits6_r)
{
	struct span six = *s;
	uint8_t bits;
	int r = take_cidr(&six, 128, &bits);
	if (r > 0 && six.n && six.p[six.n - 1] == '/') {
		*bits6_r = bits;
		*s = span_sub(six, 0, six.n - 1);
	}
	return take_cidr(s, 32, bits4_r) >= 0;
}

static const char *read_address(struct spf_term *t, struct span argument, uint8_t family)
{
	uint8_t bits = family == 4 ? 32 : 128;
	struct ip ip;
	if (argument.n == 0 || argument.p[0] != ':')
		return "ip4 or ip6 without an address";
	argument = span_sub(argument, 1, argument.n);
	if (take_cidr(&argument, bits, &bits) < 0)
		return "bad prefix length";
	/* An IPv4-mapped address is IPv4 for us, but ip6 must be written with colons. */
	if (!ip_parse(argument, &ip) ||
	    (span_find_char(argument, ':') == SIZE_MAX) != (family == 4))
		return "bad address";
	/* ip6 is compared with IPv6 clients (section 5.6), and a mapped client is IPv4 for us: a
	 * network of mapped addresses holds nobody. */
	if (ip.family == family)
		t->prefix = ip_prefix_of(&ip, bits);
	return NULL;
}

static const char *read_argument(struct spf_term *t, struct span argument)
{
	const struct mechanism_info *info = &mechanisms[t->mechanism];
	if (t->mechanism == SPF_MECH_IP4 || t->mechanism == SPF_MECH_IP6)
		return read_address(t, argument, t->mechanism == SPF_MECH_IP4 ? 4 : 6);
	t->bits4 = 32;
	t->bits6 = 128;
	if (info->cidr && !take_dual_cidr(&argument, &t->bits4, &t->bits6))
		return "bad prefix length";
	if (argument.n == 0)
		return info->domain_needed ? "mechanism without its domain" : NULL;
	if (argument.p[0] != ':' || !info->domain)
		return "mechanism with something behind it";
	t->domain = span_sub(argument, 1, argument.n);
	return is_domain_spec(t->domain) ? NULL : "bad domain";
}

static const char *read_mechanism(struct spf_term *t, struct span term)
{
	t->qualifier = '+';
	if (term.p[0] == '+' || term.p[0] == '-' || term.p[0] == '~' || term.p[0] == '?') {
		t->qualifier = term.p[0];
		term = span_sub(term, 1, term.n);
	}
	t->written = term;
	size_t end = 0;
	while (end < term.n && is_alphanum(term.p[end]))
		end++;
	struct span name = span_sub(term, 0, end);
	for (size_t i = 0; i < sizeof(mechanisms) / sizeof(mechanisms[0]); i++) {
		if (!span_case_eq(name, span_of(mechanisms[i].name)))
			continue;
		t->mechanism = (enum spf_mechanism)i;
		return read_argument(t, span_sub(term, end, term.n));
	}
	return "unknown mechanism";
}

/* The length of the name before "=" when `term` is a modifier, else 0. */
static size_t modifier_name(struct span term)
{
	size_t i = 0;
	if (term.n == 0 || !ascii_is_alpha(term.p[0]))
		return 0;
	while (i < term.n && (is_alphanum(term.p[i]) || memchr("-_.", term.p[i], 3)))
		i++;
	return i < term.n && term.p[i] == '=' ? i : 0;
}

static const char *read_modifier(struct spf_record *r, struct span term, size_t name_length)
{
	struct span name = span_sub(term, 0, name_length);
	struct span value = span_sub(term, name_length + 1, term.n);
	bool redirect = span_case_eq(name, SPAN("redirect"));
	if (!redirect && !span_case_eq(name, SPAN("exp")))
		return spf_macro_valid(value, false) ? NULL : "bad macro in a modifier";
	struct span *field = redirect ? &r->redirect : &r->exp;
	if (field->p)
		return redirect ? "two redirect modifiers" : "two exp modifiers";
	*field = value;
	return is_domain_spec(value) ? NULL : "bad domain in a modifier";
}

int spf_record_parse(struct spf_record *r, struct span text, struct arena *arena,
		     const char **why_r)
{
	size_t cap = 0;
	*r = (struct spf_record){NULL, 0, SPAN_NONE, SPAN_NONE};
	*why_r = NULL;
	if (!spf_record_is(text))
		*why_r = "no SPF record";
	else if (text.n > LIMIT_SPF_RECORD_BYTES)
		*why_r = "record too long";
	struct span rest = span_sub(text, sizeof("v=spf1") - 1, text.n), term;
	while (!*why_r && span_next_field(&rest, ' ', &term)) {
		size_t name_length;
		if (term.n == 0)
			continue;
		if ((name_length = modifier_name(term))) {
			*why_r = read_modifier(r, term, name_length);
			continue;
		}
		void *v = r->terms;
		if (!arena_grow(arena, &v, r->n_terms, &cap, sizeof(*r->terms)))
			return -ENOMEM;
		r->terms = v;
		r->terms[r->n_terms] = (struct spf_term){.mechanism = SPF_MECH_ALL};
		*why_r = read_mechanism(&r->terms[r->n_terms++], term);
	}
	return *why_r ? SPF_E_BAD_RECORD : 0;
}
