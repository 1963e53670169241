/*
 * sender_identity - who a mail says that it is from, against what its sender filed (2.5.3).
 *
 * A sender has several telephones and names (the shop, the company behind it), and a mail may show
 * one that was not filed; so both are told, what is as filed and what is not, and a rule decides.
 * Compared is what can be: a Chinese name with a name in letters is neither the same nor another.
 * Mail with the From of somebody else is a customer's, who is named in it.
 */
#include "analyze/fold.h"
#include "analyze/identity.h"
#include "analyze/sender.h"

#define PAIRS 80	   /* of characters of one text that are compared */
#define SAME_SHARE 0.5	   /* of the pairs: house numbers and districts are written in many ways */
#define PHONE_TAIL 7	   /* digits without the code of country and town */
#define NAME_BYTES 6	   /* of a name inside another: two ideographs */

enum likeness { NOT_COMPARED, SAME, DIFFERS };

static enum likeness likeness(bool same)
{
	return same ? SAME : DIFFERS;
}

/* Pairs of neighbours among letters, digits and ideographs. */
struct pairs {
	uint64_t v[PAIRS];
	size_t n;
	bool wide; /* holds ideographs */
};

static void read_pairs(struct pairs *p, struct span folded)
{
	uint32_t last = 0;
	for (size_t i = 0; i < folded.n && p->n < PAIRS;) {
		unsigned char c = (unsigned char)folded.p[i];
		size_t bytes = c < 0x80 ? 1 : c < 0xe0 ? 2 : c < 0xf0 ? 3 : 4;
		uint32_t one = 0;
		for (size_t k = 0; k < bytes && i + k < folded.n; k++)
			one = one << 8 | (unsigned char)folded.p[i + k];
		i += bytes;
		if (bytes == 1 && !ascii_is_alpha((char)c) && !ascii_is_digit((char)c))
			continue;
		p->wide |= bytes == 3;
		if (last)
			p->v[p->n++] = (uint64_t)last << 32 | one;
		last = one;
	}
}

/* Dice: twice what both have, of all. */
static enum likeness compare_pairs(struct span folded, struct span filed)
{
	struct pairs a = {.n = 0}, b = {.n = 0};
	size_t both = 0;
	read_pairs(&a, folded);
	read_pairs(&b, filed);
	if (!a.n || !b.n || a.wide != b.wide)
		return NOT_COMPARED;
	for (size_t i = 0; i < a.n; i++)
		for (size_t k = 0; k < b.n; k++)
			if (a.v[i] == b.v[k]) {
				b.v[k] = 0; /* counts once */
				both++;
				break;
			}
	return likeness(2 * (double)both >= SAME_SHARE * (double)(a.n + b.n));
}

/* Without the legal form, which says nothing of whose name it is. */
static struct span bare_name(struct span folded)
{
	static const char *const forms[] = {
		"股份有限公司", "有限责任公司", "有限公司", "公司",    "集团",	"株式会社",
		" co., ltd.",	" co.,ltd.",	" co ltd",  " limited", " ltd.",	" ltd",
		" inc.",	" inc",		" corp.",   " llc",	" gmbh",	NULL};
	folded = span_trim(folded);
	for (const char *const *form = forms; *form; form++)
		if (span_ends(folded, span_of(*form)) && folded.n > strlen(*form))
			return span_trim(span_sub(folded, 0, folded.n - strlen(*form)));
	return folded;
}

static enum likeness compare_names(struct span folded, struct span filed)
{
	struct span a = bare_name(folded), b = bare_name(filed);
	struct span less = a.n < b.n ? a : b, more = a.n < b.n ? b : a;
	if (less.n >= NAME_BYTES && span_find(more, less) != SIZE_MAX)
		return SAME;
	return compare_pairs(a, b);
}

static size_t digits_of(struct span s, char *out, size_t room)
{
	size_t n = 0;
	for (size_t i = 0; i < s.n && n < room; i++)
		if (ascii_is_digit(s.p[i]))
			out[n++] = s.p[i];
	return n;
}

/* Filed may be several: "010-12345678, 400-820-1234". */
static enum likeness compare_phones(struct span folded, struct span filed)
{
	char ours[24], theirs[120];
	size_t n = digits_of(folded, ours, sizeof(ours));
	struct span all = {theirs, digits_of(filed, theirs, sizeof(theirs))};
	if (n < PHONE_TAIL || all.n < PHONE_TAIL)
		return NOT_COMPARED;
	struct span tail = {ours + n - PHONE_TAIL, PHONE_TAIL};
	return likeness(span_find(all, tail) != SIZE_MAX);
}

/* Behind the last '@'. */
static struct span domain_of(struct span addr)
{
	size_t at = span_rfind_char(addr, '@');
	return at == SIZE_MAX ? SPAN_NONE : span_sub(addr, at + 1, addr.n);
}

static enum likeness compare_emails(const struct sender_entry *e, struct span found)
{
	struct span domain = domain_of(found), filed = domain_of(e->email);
	bool same = filed.n && span_case_eq(domain, filed);
	for (size_t i = 0; i < e->n_domains; i++)
		same |= domain_covers(e->domains[i], domain);
	return likeness(same);
}

static enum likeness compare_codes(struct span found, struct span filed)
{
	return credit_code_valid(filed) ? likeness(span_case_eq(found, filed)) : NOT_COMPARED;
}

static enum likeness compare(const struct sender_entry *e, enum fact_id id, struct span found,
			     struct span filed, struct arena *a)
{
	if (id == F_IDENTITY_EMAIL)
		return compare_emails(e, found);
	if (id == F_IDENTITY_CREDIT_CODE)
		return compare_codes(found, filed);
	found = fold_text(a, found).text;
	filed = fold_text(a, filed).text;
	if (id == F_IDENTITY_PHONE)
		return compare_phones(found, filed);
	return id == F_IDENTITY_NAME ? compare_names(found, filed) : compare_pairs(found, filed);
}

#define FIELDS 5

void sender_identity_facts(const struct sender_entry *e, struct facts *facts)
{
	const struct {
		enum fact_id id;
		struct span word, filed;
	} fields[FIELDS] = {
		{F_IDENTITY_NAME, SPAN("name"), e->name},
		{F_IDENTITY_ADDRESS, SPAN("address"), e->address},
		{F_IDENTITY_PHONE, SPAN("phone"), e->phone},
		{F_IDENTITY_EMAIL, SPAN("email"), e->n_domains ? e->domains[0] : e->email},
		{F_IDENTITY_CREDIT_CODE, SPAN("credit-code"), e->credit_code},
	};
	struct span *same = ARENA_ARRAY(facts->arena, struct span, FIELDS);
	struct span *differs = ARENA_ARRAY(facts->arena, struct span, FIELDS);
	size_t n_same = 0, n_differs = 0;
	if (!same || !differs)
		return;
	for (size_t i = 0; i < FIELDS; i++) {
		const struct fact *fact = &facts->v[fields[i].id];
		if (fact->state == FACT_UNKNOWN && fields[i].filed.n) {
			/* the body was not read, or not all of it */
			facts_set_unknown(facts, F_FILING_IDENTITY_SAME);
			facts_set_unknown(facts, F_FILING_IDENTITY_DIFFERS);
			return;
		}
		if (fact->state != FACT_KNOWN || !fact->text.n || !fields[i].filed.n)
			continue;
		enum likeness l =
			compare(e, fields[i].id, fact->text, fields[i].filed, facts->arena);
		if (l == SAME)
			same[n_same++] = fields[i].word;
		else if (l == DIFFERS)
			differs[n_differs++] = fields[i].word;
	}
	facts_set_list(facts, F_FILING_IDENTITY_SAME, same, n_same);
	facts_set_list(facts, F_FILING_IDENTITY_DIFFERS, differs, n_differs);
}
