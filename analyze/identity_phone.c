/*
 * identity_phone - telephone numbers: China, North America, E.164, others by the word before.
 *
 * A candidate is a run of digits and separators; what it is follows from its digits and groups.
 * Numbers inside URLs, dates, prices and order numbers are kept out by what stands around: a
 * candidate touches no letter, and groups alone are a number only in a form that nothing else has.
 */
#include "analyze/identity.h"

#define GROUPS 8

struct candidate {
	size_t from, to;
	size_t digits;
	size_t group[GROUPS], groups; /* digits in each group */
	char first[6];		      /* first digits */
	bool plus, parenthesis;
	size_t dots;
};

static bool is_separator(char c)
{
	return c == ' ' || c == '-' || c == '.' || c == '(' || c == ')' || c == '/';
}

/* The blank that ends " - ". */
static bool ends_spaced_dash(struct span s, size_t i)
{
	return s.p[i] == ' ' && s.p[i - 1] == '-' && s.p[i - 2] == ' ';
}

static size_t digits_at(struct span s, size_t i)
{
	size_t n = 0;
	while (i + n < s.n && n < 20 && ascii_is_digit(s.p[i + n]))
		n++;
	return n;
}

/* The candidate that begins at `i`: digits with at most two separators, or " - ", between groups. */
static struct candidate read_candidate(struct span s, size_t i)
{
	struct candidate c = {.from = i, .plus = s.p[i] == '+', .parenthesis = s.p[i] == '('};
	size_t separators = 0;
	for (i += c.plus || c.parenthesis; i < s.n; i++) {
		if (ascii_is_digit(s.p[i])) {
			if (separators || c.digits == 0) {
				size_t next = digits_at(s, i);
				if (c.groups == GROUPS || (c.digits >= 10 && next >= 7) ||
				    (c.digits == 11 && c.groups == 1) ||
				    (c.groups == 1 && c.digits >= 7 && next == c.digits))
					break; /* another number: "010-85891055 85891286" */
				c.groups++;
			}
			separators = 0;
			c.group[c.groups - 1]++;
			if (c.digits < sizeof(c.first))
				c.first[c.digits] = s.p[i];
			c.digits++;
			c.to = i + 1;
		} else if (s.p[i] == '(' && c.digits >= 7) {
			break; /* "020-88154460 (8-24)": what follows is a remark */
		} else if (is_separator(s.p[i]) && c.digits < 20 &&
			   (separators < 2 || (separators == 2 && ends_spaced_dash(s, i)))) {
			c.parenthesis |= s.p[i] == '(';
			c.dots += s.p[i] == '.';
			separators++;
		} else {
			break;
		}
	}
	return c;
}

static bool china(const struct candidate *c)
{
	size_t n = c->digits;
	const char *d = c->first;
	if (d[0] == '8' && d[1] == '6' && (n == 13 || n == 12) && (c->plus || c->groups > 1))
		return true;
	if (n == 11 && d[0] == '1' && d[1] >= '3' && (c->groups == 1 || c->group[0] == 3))
		return true;
	if (n == 12 && c->groups == 1 && d[0] == '0' && d[1] == '1' && d[2] >= '3')
		return true; /* a mobile with the trunk prefix */
	if (d[0] == '0' && d[1] != '0' && c->groups >= 2 && n >= 10 && n <= 16 &&
	    (c->group[0] == 3 || c->group[0] == 4) &&
	    (c->group[1] == 7 || c->group[1] == 8 ||
	     (c->groups >= 3 && c->group[1] == 4 && c->group[2] == 4)))
		return true;
	return n == 10 && (d[0] == '4' || d[0] == '8') && d[1] == '0' && d[2] == '0' &&
	       (c->groups == 1 ? d[0] == '4' : c->group[0] == 3);
}

static bool north_america(const struct candidate *c)
{
	size_t first = c->digits == 11 && c->first[0] == '1' && c->group[0] == 1;
	if (c->digits != 10 + first || c->groups != 3 + first)
		return false;
	if (c->group[first] != 3 || c->group[first + 1] != 3)
		return false;
	/* "(123) 456-7890" is written as nothing else is, though no exchange has it */
	return c->parenthesis || (c->first[first] >= '2' && c->first[first + 3] >= '2');
}

/* National forms with groups: free and shared-cost numbers by their codes, ten and eleven digits
 * from 0 in three groups or more (Japan, Britain, Germany), five pairs (France). */
static bool national(const struct candidate *c)
{
	static const char *const codes[] = {"0800", "0808", "0845", "0870", "0844", "0300", "0333",
					    "0900", "1800", "1850", "1890", "1300", "0810", "0820",
					    "0120", "0570", "0180", NULL};
	if ((c->dots && c->dots != c->groups - 1) || c->groups < 2)
		return false;
	for (const char *const *code = codes; *code; code++)
		if (!memcmp(c->first, *code, 4) && c->group[0] == 4 && c->digits >= 9 &&
		    c->digits <= 12)
			return true;
	if (c->groups == 5 && c->digits == 10 && c->first[0] == '0' && c->group[0] == 2 &&
	    c->group[4] == 2)
		return true;
	return c->groups >= 3 && c->groups <= 4 && !c->dots && c->first[0] == '0' &&
	       c->first[1] != '0' && (c->digits == 10 || c->digits == 11) && c->group[0] >= 2 &&
	       c->group[0] <= 5;
}

/* `before` ends with one of the words; letters do not run on into it: "from" is no "m". */
static bool ends_with_word(struct span before, const char *const *words)
{
	for (; *words; words++) {
		struct span word = span_of(*words);
		if (span_ends(before, word) &&
		    (!ascii_is_alpha(word.p[0]) || before.n == word.n ||
		     !ascii_is_alpha(before.p[before.n - word.n - 1])))
			return true;
	}
	return false;
}

/* What stands before a number, without the `marks` between. */
static struct span without_marks(struct span before, const char *marks)
{
	while (before.n && memchr(marks, before.p[before.n - 1], strlen(marks)))
		before.n--;
	return before;
}

/* "Tel:", 电话 and their like stand right before. */
static bool called_phone(struct span s, size_t at)
{
	static const char *const words[] = {
		"tel",	      "tel.",	   "phone",	 "telephone", "call",
		"call us at", "call us",   "call us on", "call at",   "phone number",
		"phone no.",  "phone no",  "tel no",     "tel no.",   "mobile no",
		"whatsapp",   "contact us on", "reach us at", "text us at", "office",
		"telefoon",   "telefonu",  "tlf",        "tlf.",      "puh",
		"telefonnummer", "rufnummer", "service", "kundenservice", "numero",
		"致电",       "电话号码",  "手机号",     "咨询",      "客服",
		"專線",       "专线",      "洽詢",       "お電話",    "電話番号",
		"전화번호",   "문의",      "고객센터",   "телефоны",  "звоните",
		"mobile",     "cell",	   "ph",	 "t",	      "m",
		"p",	      "toll free", "toll-free",	 "hotline",   "telefon",
		"fon",	      "handy",	   "telefono",	 "telefone",  "tfno",
		"telephone",  "dial",	   "电话",	 "電話",      "手机",
		"热线",	      "熱線",	   "联系方式",	 "전화",      "тел",
		"тел.",	      "телефон",   NULL};
	struct span before = without_marks(span_sub(s, at > 32 ? at - 32 : 0, at), " :(+");
	/* "Tel UK: 01234 567890" */
	static const char *const countries[] = {" uk", " usa", " us"};
	for (size_t i = 0; i < sizeof(countries) / sizeof(countries[0]); i++)
		if (span_ends(before, span_of(countries[i])) && before.n > 4)
			before.n -= strlen(countries[i]);
	return before.n && ends_with_word(before, words);
}

static bool called_fax(struct span s, size_t at)
{
	static const char *const words[] = {
		"fax", "fax:", "facsimile", "传真",    "傳真", "qq",  "qq:", "факс", "order", "id",
		"fax us at", "fax us", "fax to", "fax it to", "fax it to us at", "by fax at", "by fax", "fax at",
		"no",  "no.",  "number",    "account", "#",    "zip", "icq", "isbn", "issn",  NULL};
	struct span before = span_sub(s, at > 24 ? at - 24 : 0, at);
	if (span_ends(before, SPAN(":\n")))
		before.n--;
	before = without_marks(before, " :(");
	return ends_with_word(before, words) && !span_ends(before, SPAN("phone number")) &&
	       !span_ends(before, SPAN("phone no"));
}

static bool is_date(const struct candidate *c)
{
	/* 2002-10-04, 04.10.2002, 1999-2002 */
	return c->groups >= 2 && c->digits <= 8 &&
	       ((c->group[0] == 4 && c->group[1] <= 2) || c->group[c->groups - 1] == 4) &&
	       !(c->groups == 2 && c->group[0] == 3);
}

static bool is_phone(struct span s, const struct candidate *c)
{
	if (c->digits < 7 || c->digits > 18 || called_fax(s, c->from))
		return false;
	if (c->dots >= 3 && c->groups == 4 && c->digits <= 12 && c->first[0] != '1')
		return false; /* an IPv4 address */
	if (china(c) || north_america(c) || national(c))
		return true;
	if (c->plus && c->group[0] == 4 && c->groups > 2 && c->digits < 10)
		return false; /* a time zone and a date: "+1000 8/11/02" */
	if (c->plus)
		return c->digits >= 8 && c->digits <= 15 && c->first[0] != '0';
	return called_phone(s, c->from) && c->digits <= 15 && !is_date(c);
}

/* 1-800-FLOWERS: seven letters behind a toll-free code. */
static size_t vanity_bytes(struct span s)
{
	static const char *const codes[] = {"1-800-", "1-888-", "1-877-",
					    "1-866-", "1 800 ", "1 888 "};
	for (size_t k = 0; k < sizeof(codes) / sizeof(codes[0]); k++) {
		size_t at = 6, letters = 0, rest = 0;
		if (!span_starts(s, span_of(codes[k])))
			continue;
		for (; at < s.n &&
		       (ascii_is_alpha(s.p[at]) || ascii_is_digit(s.p[at]) || s.p[at] == '-');
		     at++) {
			letters += ascii_is_alpha(s.p[at]) != 0;
			rest += s.p[at] != '-';
		}
		return letters >= 3 && rest >= 7 && rest <= 9 ? at : 0;
	}
	return 0;
}

struct text_range phone_find(struct span s)
{
	for (size_t i = 0, digit; (digit = span_find_digit(s, i)) < s.n;) {
		bool marked = digit > i && (s.p[digit - 1] == '+' || s.p[digit - 1] == '(');
		i = digit - marked;
		char before = i ? s.p[i - 1] : ' ';
		bool touches = ascii_is_alpha(before) || memchr("/=_@#&%$.-?", before, 11) != NULL;
		size_t vanity = !touches ? vanity_bytes(span_sub(s, i, s.n)) : 0;
		if (vanity)
			return (struct text_range){i, i + vanity};
		struct candidate k = read_candidate(s, i);
		char behind = k.to < s.n ? s.p[k.to] : ' ';
		touches |= ascii_is_alpha(behind) || memchr("=_@%&$", behind, 6) != NULL;
		if (k.digits && !touches && is_phone(s, &k) && !is_quoted(s, k.from))
			return (struct text_range){
				k.from + (s.p[k.from] == '(' &&
					  !memchr(s.p + k.from, ')', k.to - k.from)),
				k.to};
		/* A long run may hide a number behind another: go on behind its first group. */
		i++;
		while (i < s.n && ascii_is_digit(s.p[i]))
			i++;
	}
	return (struct text_range){0, 0};
}
