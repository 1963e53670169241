#include "feedback/filing.h"

#include "analyze/identity.h"
#include "base/lexer.h"

/* Characters of a key: it is a name in file names, Redis keys and commands. */
#define KEY_BYTES 64

const char *filing_org_name(enum filing_org field)
{
	static const char *const names[] = {
#define X(id, name) [ORG_##id] = name,
		FILING_ORG(X)
#undef X
	};
	return names[field];
}

bool domain_name_valid(struct span name)
{
	struct span label = SPAN_NONE, rest = name;
	size_t labels = 0;
	if (name.n == 0 || name.n > 253 || name.p[name.n - 1] == '.')
		return false;
	while (span_next_field(&rest, '.', &label)) {
		labels++;
		if (label.n == 0 || label.n > 63 || label.p[0] == '-' || label.p[label.n - 1] == '-')
			return false;
		for (size_t i = 0; i < label.n; i++)
			if (!ascii_is_alpha(label.p[i]) && !ascii_is_digit(label.p[i]) &&
			    label.p[i] != '-')
				return false;
	}
	uint64_t number;
	return labels >= 2 && !span_number(label, UINT64_MAX, &number);
}

/* --- words ------------------------------------------------------------------ */

/* The shared lexer, its token kinds reduced to those of a filing. */
enum kind { T_END, T_WORD, T_TEXT, T_OPEN, T_CLOSE, T_OTHER };

struct reader {
	struct lexer lexer;
	bool started; /* the lexer stands on its first token from the beginning */
	enum kind token;
	struct span value;
	struct arena *arena;
	struct diag *diag;
};

/* At the token just read. */
#define fault(r, ...) diag_error((r)->diag, (r)->lexer.token.at, __VA_ARGS__)

static void next(struct reader *r)
{
	if (r->started)
		lexer_next(&r->lexer);
	r->started = true;
	while (r->lexer.token.kind == TOKEN_FAULT)
		lexer_next(&r->lexer);
	const struct token *t = &r->lexer.token;
	r->value = t->text;
	switch (t->kind) {
	case TOKEN_END:
		r->token = T_END;
		break;
	case TOKEN_WORD:
		r->token = T_WORD;
		break;
	case TOKEN_TEXT:
		r->token = T_TEXT;
		break;
	case TOKEN_OPEN:
		r->token = T_OPEN;
		break;
	case TOKEN_CLOSE:
		r->token = T_CLOSE;
		break;
	default:
		r->token = T_OTHER;
		r->value = t->raw;
		break;
	}
}

static void unknown_word(struct reader *r, const char *what, const char *const *words, size_t n)
{
	struct diag_guess guess = diag_guess(r->value);
	for (size_t i = 0; i < n; i++)
		diag_guess_try(&guess, span_of(words[i]));
	fault(r, "unknown %s '%.*s'%s", what, SPAN_ARG(r->value), diag_guess_text(&guess));
}

/* --- statements ---------------------------------------------------------------- */

/* The value behind a word: a text or a word. */
static bool value(struct reader *r, const char *of, struct span *value_r)
{
	next(r);
	if (r->token != T_WORD && r->token != T_TEXT) {
		fault(r, "'%s' needs a value, not %s", of, token_name(&r->lexer.token));
		return false;
	}
	*value_r = r->value;
	return true;
}

/* Past the '}' of the block that is open. */
static void skip_block(struct reader *r)
{
	for (unsigned depth = 1; depth && r->token != T_END;) {
		next(r);
		depth += r->token == T_OPEN;
		depth -= r->token == T_CLOSE;
	}
}

static void check_org(struct reader *r, enum filing_org field, struct span v)
{
	if (!span_trim(v).n)
		fault(r, "'%s' is empty", filing_org_name(field));
	else if (field == ORG_CREDIT_CODE && !credit_code_valid(v))
		fault(r, "'%.*s' is no unified social credit code: its check digit or form is wrong "
			 "(GB 32100)", SPAN_ARG(v));
	else if (field == ORG_EMAIL && span_find_char(v, '@') == SIZE_MAX)
		fault(r, "'%.*s' is no mail address", SPAN_ARG(v));
}

static void read_org(struct reader *r, struct filing *f)
{
	static const char *const names[] = {
#define X(id, name) name,
		FILING_ORG(X)
#undef X
	};
	next(r);
	if (r->token != T_OPEN) {
		fault(r, "'org' needs a block { ... }");
		return;
	}
	for (next(r); r->token != T_CLOSE && r->token != T_END; next(r)) {
		size_t field = 0;
		while (field < FILING_ORG_FIELDS && !span_eq(r->value, span_of(names[field])))
			field++;
		if (r->token != T_WORD || field == FILING_ORG_FIELDS) {
			unknown_word(r, "field of 'org'", names, FILING_ORG_FIELDS);
			if (r->token == T_WORD)
				next(r); /* its value */
			continue;
		}
		if (f->org[field].p)
			fault(r, "'%s' stands here twice", names[field]);
		if (value(r, names[field], &f->org[field]))
			check_org(r, (enum filing_org)field, f->org[field]);
		else if (r->token == T_CLOSE)
			break;
	}
	if (r->token == T_END)
		fault(r, "a '}' is missing");
}

/* Prefixes shorter than these are no sender's: whole registries hold them. */
#define SHORTEST_V4 12
#define SHORTEST_V6 24

static void read_range_block(struct reader *r, struct filing_range *range)
{
	static const char *const words[] = {"owner", "domain", "class"};
	static const char *const classes[] = {"commercial", "transactional", "mixed"};
	for (next(r); r->token != T_CLOSE && r->token != T_END; next(r)) {
		struct span word = r->value, v;
		size_t at = 0;
		while (at < 3 && !span_eq(word, span_of(words[at])))
			at++;
		if (r->token != T_WORD || at == 3) {
			unknown_word(r, "word of 'ip'", words, 3);
			if (r->token == T_WORD)
				next(r);
			continue;
		}
		if (!value(r, words[at], &v))
			break;
		if (at == 0)
			range->owner = v;
		else if (at == 1)
			range->domain = arena_lower(r->arena, v);
		else
			range->class = v;
		if (at == 1 && !domain_name_valid(v))
			fault(r, "'%.*s' is no domain name", SPAN_ARG(v));
		if (at == 2 && !span_eq(v, SPAN("commercial")) &&
		    !span_eq(v, SPAN("transactional")) && !span_eq(v, SPAN("mixed")))
			unknown_word(r, "class of mail", classes, 3);
	}
	if (r->token == T_END)
		fault(r, "a '}' is missing");
}

/* Returns whether the next token is read already. */
static bool read_range(struct reader *r, struct filing *f)
{
	struct filing_range range = {.owner = SPAN_NONE};
	struct span v;
	if (!value(r, "ip", &v))
		return true;
	if (!ip_prefix_parse(v, &range.prefix)) {
		fault(r, "'%.*s' is no address range, or has host bits set", SPAN_ARG(v));
	} else if (range.prefix.bits < (range.prefix.ip.family == 4 ? SHORTEST_V4 : SHORTEST_V6)) {
		fault(r, "'%.*s' is larger than a sender's range may be (/%d)", SPAN_ARG(v),
		      range.prefix.ip.family == 4 ? SHORTEST_V4 : SHORTEST_V6);
	} else {
		for (size_t i = 0; i < f->n_ranges; i++)
			if (ip_prefix_holds(&f->ranges[i].prefix, &range.prefix.ip) ||
			    ip_prefix_holds(&range.prefix, &f->ranges[i].prefix.ip))
				fault(r, "'%.*s' overlaps a range of this filing", SPAN_ARG(v));
	}
	next(r);
	if (r->token == T_OPEN) {
		read_range_block(r, &range);
		next(r);
	}
	if (arena_grow(r->arena, (void **)&f->ranges, f->n_ranges, &f->cap_ranges,
		       sizeof(*f->ranges)))
		f->ranges[f->n_ranges++] = range;
	return true;
}

static bool read_domain(struct reader *r, const char *word, struct span **v, size_t *n, size_t *cap)
{
	struct span name;
	if (!value(r, word, &name))
		return true;
	name = arena_lower(r->arena, name);
	if (!domain_name_valid(name))
		fault(r, "'%.*s' is no domain name (internationalised ones are filed as A-labels, "
			 "xn--...)", SPAN_ARG(name));
	for (size_t i = 0; i < *n; i++)
		if (span_eq((*v)[i], name))
			fault(r, "'%.*s' stands here twice", SPAN_ARG(name));
	if (arena_grow(r->arena, (void **)v, *n, cap, sizeof(**v)))
		(*v)[(*n)++] = name;
	return false;
}

static bool read_rate(struct reader *r, struct filing *f)
{
	struct span number, per;
	if (!value(r, "rate", &number))
		return true;
	if (!span_number(number, 1000000000, &f->rate) || f->rate == 0)
		fault(r, "'%.*s' is no number of messages", SPAN_ARG(number));
	if (!value(r, "rate", &per))
		return true;
	if (!span_eq(per, SPAN("per"))) {
		fault(r, "a rate is written 'NUMBER per hour' or 'per day'");
		return true;
	}
	if (!value(r, "rate", &f->rate_per))
		return true;
	if (!span_eq(f->rate_per, SPAN("minute")) && !span_eq(f->rate_per, SPAN("hour")) &&
	    !span_eq(f->rate_per, SPAN("day"))) {
		static const char *const units[] = {"minute", "hour", "day"};
		unknown_word(r, "unit of time", units, 3);
	}
	return false;
}

static bool address_valid(struct span s)
{
	size_t at = span_rfind_char(s, '@');
	if (at == SIZE_MAX || at == 0 || at > 64 || !domain_name_valid(span_sub(s, at + 1, s.n)))
		return false;
	for (size_t i = 0; i < at; i++)
		if (!ascii_is_alpha(s.p[i]) && !ascii_is_digit(s.p[i]) &&
		    !memchr("!#$%&'*+-/=?^_`{|}~.", s.p[i], 20))
			return false;
	return s.p[0] != '.' && s.p[at - 1] != '.' && span_find(s, SPAN("..")) == SIZE_MAX;
}

static void read_feedback_block(struct reader *r, struct filing *f)
{
	static const char *const words[] = {"complaint", "error", "xarf", "profile", "language"};
	static const char *const profiles[] = {"token", "headers", "full", "ids-only"};
	static const char *const languages[] = {"en", "zh"};
	struct span v;
	for (next(r); r->token != T_CLOSE && r->token != T_END; next(r)) {
		if (span_eq(r->value, SPAN("complaint"))) {
			f->feedback.complaint = true;
		} else if (span_eq(r->value, SPAN("error"))) {
			f->feedback.error = true;
		} else if (span_eq(r->value, SPAN("xarf"))) {
			f->feedback.complaint = f->feedback.xarf = true;
		} else if (span_eq(r->value, SPAN("profile"))) {
			if (!value(r, "profile", &v))
				break;
			if (!redact_profile_parse(v, &f->feedback.profile))
				unknown_word(r, "profile", profiles, 4);
		} else if (span_eq(r->value, SPAN("language"))) {
			if (!value(r, "language", &v))
				break;
			f->feedback.chinese = span_eq(v, SPAN("zh"));
			if (!f->feedback.chinese && !span_eq(v, SPAN("en")))
				unknown_word(r, "language", languages, 2);
		} else {
			unknown_word(r, "word of 'feedback'", words, 5);
		}
	}
	if (r->token == T_END)
		fault(r, "a '}' is missing");
}

static bool read_feedback(struct reader *r, struct filing *f)
{
	bool twice = f->feedback.address.p != NULL;
	if (!value(r, "feedback", &f->feedback.address))
		return true;
	if (twice)
		fault(r, "'feedback' stands here twice");
	if (!address_valid(f->feedback.address))
		fault(r, "'%.*s' is no mail address", SPAN_ARG(f->feedback.address));
	next(r);
	f->feedback.complaint = f->feedback.error = r->token != T_OPEN;
	if (r->token != T_OPEN)
		return true;
	read_feedback_block(r, f);
	return false;
}

/* Returns whether the token that follows is read already. */
static bool read_statement(struct reader *r, struct filing *f)
{
	static const char *const words[] = {"org", "ip", "domain", "dkim", "rate", "feedback"};
	if (span_eq(r->value, SPAN("org"))) {
		read_org(r, f);
		return false;
	}
	if (span_eq(r->value, SPAN("ip")))
		return read_range(r, f);
	if (span_eq(r->value, SPAN("domain")))
		return read_domain(r, "domain", &f->domains, &f->n_domains, &f->cap_domains);
	if (span_eq(r->value, SPAN("dkim")))
		return read_domain(r, "dkim", &f->dkim, &f->n_dkim, &f->cap_dkim);
	if (span_eq(r->value, SPAN("rate")))
		return read_rate(r, f);
	if (span_eq(r->value, SPAN("feedback")))
		return read_feedback(r, f);
	if (r->token == T_WORD)
		unknown_word(r, "statement", words, 6);
	else
		fault(r, "a statement begins with a word: org ip domain dkim rate feedback");
	/* What belongs to it is passed over up to the next statement or the end of its block. */
	for (;;) {
		next(r);
		if (r->token == T_OPEN) {
			skip_block(r);
			continue;
		}
		if (r->token == T_END || r->token == T_CLOSE)
			return r->token == T_CLOSE || r->token == T_END;
		for (size_t i = 0; r->token == T_WORD && i < 6; i++)
			if (span_eq(r->value, span_of(words[i])))
				return true;
	}
}

static bool key_valid(struct span key)
{
	if (key.n == 0 || key.n > KEY_BYTES || (!ascii_is_alpha(key.p[0]) && !ascii_is_digit(key.p[0])))
		return false;
	for (size_t i = 0; i < key.n; i++)
		if (!(key.p[i] >= 'a' && key.p[i] <= 'z') && !ascii_is_digit(key.p[i]) &&
		    !memchr("-._", key.p[i], 3))
			return false;
	return true;
}

static void read_sender(struct reader *r, struct filings *all)
{
	struct filing f = {.key = SPAN_NONE};
	const char *start = r->lexer.token.raw.p;
	struct place at = r->lexer.token.at;
	next(r);
	f.key = r->value;
	if (r->token != T_WORD || !key_valid(f.key))
		fault(r, "'%.*s' is no key of a sender: lower-case letters, digits, '-', '.', '_', at "
			 "most %d", SPAN_ARG(r->value), KEY_BYTES);
	for (size_t i = 0; i < all->n; i++)
		if (span_eq(all->v[i].key, f.key))
			fault(r, "sender '%.*s' is filed twice in this file", SPAN_ARG(f.key));
	next(r);
	if (r->token != T_OPEN) {
		fault(r, "'sender %.*s' needs a block { ... }", SPAN_ARG(f.key));
		return;
	}
	next(r);
	while (r->token != T_CLOSE && r->token != T_END)
		if (!read_statement(r, &f))
			next(r);
	if (r->token == T_END)
		diag_error(r->diag, at, "the block of 'sender %.*s' has no closing '}'",
			   SPAN_ARG(f.key));
	else
		f.source = (struct span){start, (size_t)(r->lexer.token.raw.p + 1 - start)};
	if (f.n_ranges + f.n_domains + f.n_dkim == 0)
		diag_error(r->diag, at, "sender '%.*s' files no ip, domain or dkim: nothing to know "
					"his mail by", SPAN_ARG(f.key));
	if (!f.feedback.address.p)
		f.feedback.complaint = false;
	if (arena_grow(r->arena, (void **)&all->v, all->n, &all->cap, sizeof(*all->v)))
		all->v[all->n++] = f;
}

void filings_read(struct filings *all, struct span text, const char *file, struct arena *arena,
		  struct diag *diag)
{
	struct reader r = {.arena = arena, .diag = diag};
	unsigned before = diag->errors;
	*all = (struct filings){.v = NULL};
	lexer_init(&r.lexer, arena, diag, file, text);
	for (next(&r); r.token != T_END; next(&r)) {
		if (r.token == T_WORD && span_eq(r.value, SPAN("sender"))) {
			read_sender(&r, all);
			continue;
		}
		fault(&r, "a filing begins with 'sender KEY {', not with %s",
		      token_name(&r.lexer.token));
		while (r.token != T_END && !(r.token == T_WORD && span_eq(r.value, SPAN("sender"))))
			next(&r);
		if (r.token != T_END)
			read_sender(&r, all);
	}
	if (all->n == 0 && diag->errors == before)
		fault(&r, "there is no filing in it");
	all->faults = diag->errors - before;
}

struct span filing_missing(const struct filing *f, struct arena *arena)
{
	static const enum filing_org needed[] = {ORG_NAME, ORG_ADDRESS, ORG_NATURE, ORG_CREDIT_CODE,
						 ORG_CONTACT, ORG_PHONE, ORG_EMAIL};
	struct span missing = SPAN("");
	for (size_t i = 0; i < sizeof(needed) / sizeof(needed[0]); i++)
		if (!f->org[needed[i]].p)
			missing = arena_printf(arena, "%.*s%sorg.%s", SPAN_ARG(missing),
					       missing.n ? " " : "", filing_org_name(needed[i]));
	if (f->n_ranges == 0)
		missing = arena_printf(arena, "%.*s%sip", SPAN_ARG(missing), missing.n ? " " : "");
	if (!f->feedback.address.p)
		missing = arena_printf(arena, "%.*s%sfeedback", SPAN_ARG(missing),
				       missing.n ? " " : "");
	return missing;
}

static struct span domain_overlap(const struct span *a, size_t n, const struct span *b, size_t m)
{
	for (size_t i = 0; i < n; i++)
		for (size_t k = 0; k < m; k++)
			if (span_eq(a[i], b[k]))
				return a[i];
	return SPAN_NONE;
}

struct span filing_overlap(const struct filing *a, const struct filing *b, struct arena *arena)
{
	char text[IP_TEXT_BYTES];
	for (size_t i = 0; i < a->n_ranges; i++)
		for (size_t k = 0; k < b->n_ranges; k++)
			if (ip_prefix_holds(&a->ranges[i].prefix, &b->ranges[k].prefix.ip) ||
			    ip_prefix_holds(&b->ranges[k].prefix, &a->ranges[i].prefix.ip))
				return arena_printf(arena, "%s/%u",
						    ip_text(&a->ranges[i].prefix.ip, text),
						    a->ranges[i].prefix.bits);
	struct span found = domain_overlap(a->dkim, a->n_dkim, b->dkim, b->n_dkim);
	return found.p ? found : domain_overlap(a->domains, a->n_domains, b->domains, b->n_domains);
}
