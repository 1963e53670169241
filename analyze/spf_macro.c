/*
 * RFC 7208 section 7.1:
 *
 *   macro-string     = *( macro-expand / macro-literal )
 *   macro-expand     = ( "%{" macro-letter transformers *delimiter "}" ) / "%%" / "%_" / "%-"
 *   macro-literal    = %x21-24 / %x26-7E
 *   macro-letter     = "s" / "l" / "o" / "d" / "i" / "p" / "h" / "c" / "r" / "t" / "v"
 *   transformers     = *DIGIT [ "r" ]
 *   delimiter        = "." / "-" / "+" / "," / "/" / "_" / "="
 *   explain-string   = *( macro-string / SP )
 *
 * We expand ourselves, not in libspf2: its expander is where its overflows were found, it
 * escapes in lower case where the suite wants upper case, and it puts '%' for a blank.
 */
#include "analyze/spf_macro.h"

#include <stdio.h>

#include "base/buf.h"
#include "base/clock.h"
#include "base/limits.h"

static bool is_delimiter(char c)
{
	return c != '\0' && strchr(".-+,/_=", c) != NULL;
}

static int next_braced(struct span *rest, bool explanation, struct spf_macro *m)
{
	struct span s = span_sub(*rest, 2, rest->n);
	if (s.n == 0)
		return -1;
	m->letter = ascii_lower(s.p[0]);
	m->escape = m->letter != s.p[0];
	if (m->letter == '\0' || !strchr(explanation ? "slodipvhcrt" : "slodipvh", m->letter))
		return -1;
	size_t i = 1, digits = 1;
	for (; i < s.n && ascii_is_digit(s.p[i]); i++)
		if (m->keep < 1000) /* more parts than a name can have: all of them */
			m->keep = m->keep * 10 + (unsigned)(s.p[i] - '0');
	if (i > digits && m->keep == 0)
		return -1; /* section 7.3: the number must not be zero */
	if (i < s.n && ascii_lower(s.p[i]) == 'r') {
		m->reverse = true;
		i++;
	}
	size_t delims = i;
	while (i < s.n && is_delimiter(s.p[i]))
		i++;
	if (i == s.n || s.p[i] != '}')
		return -1;
	m->delims = span_sub(s, delims, i);
	*rest = span_sub(s, i + 1, s.n);
	return 1;
}

int spf_macro_next(struct span *rest, bool explanation, struct spf_macro *m)
{
	*m = (struct spf_macro){.letter = '\0'};
	if (rest->n == 0)
		return 0;
	if (rest->p[0] == '%') {
		char kind = rest->n > 1 ? rest->p[1] : '\0';
		if (kind == '{')
			return next_braced(rest, explanation, m);
		if (kind != '%' && kind != '_' && kind != '-')
			return -1;
		m->literal = kind == '%' ? SPAN("%") : kind == '_' ? SPAN(" ") : SPAN("%20");
		*rest = span_sub(*rest, 2, rest->n);
		return 1;
	}
	size_t i = 0;
	for (; i < rest->n && rest->p[i] != '%'; i++) {
		char c = rest->p[i];
		if (!(c > 0x20 && c < 0x7f) && !(explanation && c == ' '))
			return -1;
	}
	m->literal = span_sub(*rest, 0, i);
	*rest = span_sub(*rest, i, rest->n);
	return 1;
}

bool spf_macro_valid(struct span text, bool explanation)
{
	struct spf_macro m;
	int r;
	while ((r = spf_macro_next(&text, explanation, &m)) > 0)
		continue;
	return r == 0;
}

bool spf_macro_uses(struct span text, char letter)
{
	struct spf_macro m;
	while (spf_macro_next(&text, true, &m) > 0)
		if (m.letter == letter)
			return true;
	return false;
}

/* %{i}: dotted quad, or the 32 nibbles with dots between them. */
static void add_ip_dotted(struct buf *b, const struct ip *ip)
{
	char text[IP_TEXT_BYTES];
	if (ip->family != 6) {
		buf_adds(b, ip_text(ip, text));
		return;
	}
	for (size_t i = 0; i < 32; i++) {
		unsigned nibble = i % 2 ? ip->bytes[i / 2] & 15u : ip->bytes[i / 2] >> 4;
		buf_addf(b, i ? ".%X" : "%X", nibble);
	}
}

static void add_value(struct buf *b, char letter, const struct spf_env *env)
{
	char text[IP_TEXT_BYTES];
	switch (letter) {
	case 's':
		buf_add(b, env->local);
		buf_addc(b, '@');
		buf_add(b, env->sender_domain);
		break;
	case 'l': buf_add(b, env->local); break;
	case 'o': buf_add(b, env->sender_domain); break;
	case 'd': buf_add(b, env->domain); break;
	case 'i': add_ip_dotted(b, &env->ip); break;
	case 'p': buf_add(b, env->validated); break;
	case 'v': buf_adds(b, env->ip.family == 6 ? "ip6" : "in-addr"); break;
	case 'h': buf_add(b, env->helo); break;
	case 'c': buf_adds(b, ip_text(&env->ip, text)); break;
	case 'r': buf_add(b, env->receiver); break;
	case 't': buf_addf(b, "%lld", (long long)(env->time_us / US_PER_S)); break;
	default: break;
	}
}

/* Section 7.3: everything but RFC 3986's unreserved characters. */
static void add_escaped(struct buf *b, struct span s)
{
	for (size_t i = 0; i < s.n; i++) {
		char c = s.p[i];
		if (ascii_is_alpha(c) || ascii_is_digit(c) || (c && strchr("-._~", c)))
			buf_addc(b, c);
		else
			buf_addf(b, "%%%02X", (unsigned)(unsigned char)c);
	}
}

/* Splits at the delimiters, reverses, keeps the right-hand parts, joins with dots. */
static void add_transformed(struct buf *b, struct span value, const struct spf_macro *m)
{
	struct span parts[LIMIT_SPF_MACRO_PARTS];
	struct span delims = m->delims.n ? m->delims : SPAN(".");
	size_t n = 0, start = 0;
	for (size_t i = 0; i <= value.n; i++) {
		if (i < value.n && span_find_char(delims, value.p[i]) == SIZE_MAX)
			continue;
		if (n == LIMIT_SPF_MACRO_PARTS)
			break;
		parts[n++] = span_sub(value, start, i);
		start = i + 1;
	}
	size_t first = m->keep && m->keep < n ? n - m->keep : 0;
	for (size_t i = first; i < n; i++) {
		struct span part = parts[m->reverse ? n - 1 - i : i];
		if (i > first)
			buf_addc(b, '.');
		if (m->escape)
			add_escaped(b, part);
		else
			buf_add(b, part);
	}
}

struct span spf_macro_expand(struct span text, bool explanation, const struct spf_env *env,
			     struct arena *arena)
{
	struct buf out = BUF_INIT, value = BUF_INIT;
	struct spf_macro m;
	while (spf_macro_next(&text, explanation, &m) > 0) {
		if (!m.letter) {
			buf_add(&out, m.literal);
			continue;
		}
		buf_reset(&value);
		add_value(&value, m.letter, env);
		add_transformed(&out, buf_span(&value), &m);
		if (out.n > LIMIT_SPF_EXPANSION_BYTES)
			break;
	}
	if (out.n > LIMIT_SPF_EXPANSION_BYTES)
		out.n = LIMIT_SPF_EXPANSION_BYTES;
	struct span s = out.failed || value.failed ? SPAN_NONE : arena_copy(arena, buf_span(&out));
	buf_free(&out);
	buf_free(&value);
	return s;
}
