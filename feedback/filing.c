#include "feedback/filing_private.h"

#include "analyze/identity.h"
#include "analyze/sender.h"
#include "feedback/queue.h"

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

void filing_next(struct reader *r)
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

void filing_unknown(struct reader *r, const char *what, const char *const *words, size_t n)
{
	struct diag_guess guess = diag_guess(r->value);
	for (size_t i = 0; i < n; i++)
		diag_guess_try(&guess, span_of(words[i]));
	fault(r, "unknown %s '%.*s'%s", what, SPAN_ARG(r->value), diag_guess_text(&guess));
}

/* --- statements ---------------------------------------------------------------- */

bool filing_value(struct reader *r, const char *of, struct span *value_r)
{
	filing_next(r);
	if (r->token != T_WORD && r->token != T_TEXT) {
		fault(r, "'%s' needs a value, not %s", of, token_name(&r->lexer.token));
		return false;
	}
	*value_r = r->value;
	return true;
}

/* Past the '}' of the block that is open. */
void filing_skip_block(struct reader *r)
{
	for (unsigned depth = 1; depth && r->token != T_END;) {
		filing_next(r);
		depth += r->token == T_OPEN;
		depth -= r->token == T_CLOSE;
	}
}

static size_t count_digits(struct span s)
{
	size_t n = 0;
	for (size_t i = 0; i < s.n; i++)
		n += ascii_is_digit(s.p[i]);
	return n;
}

static void check_org(struct reader *r, enum filing_org field, struct span v)
{
	if (!span_trim(v).n)
		fault(r, "'%s' is empty", filing_org_name(field));
	else if (field == ORG_CREDIT_CODE && !credit_code_valid(v) && !organization_code_valid(v))
		fault(r, "'%.*s' is no unified social credit code: its check digit or form is wrong "
			 "(GB 32100)", SPAN_ARG(v));
	else if (field == ORG_LICENCE && v.n == 15 && count_digits(v) == 15 &&
		 !licence_number_valid(v))
		fault(r, "'%.*s' is no registration number of a licence: its check digit is wrong",
		      SPAN_ARG(v));
	else if (field == ORG_EMAIL && !mail_address_valid(v))
		fault(r, "'%.*s' is no mail address", SPAN_ARG(v));
	else if (field == ORG_PHONE && (count_digits(v) < 5 || count_digits(v) > 20))
		fault(r, "'%.*s' is no telephone number", SPAN_ARG(v));
	else if (field == ORG_WEBSITE && !domain_name_valid(arena_lower(r->arena, v)))
		fault(r, "'%.*s' is no domain name; a website is filed by its domain", SPAN_ARG(v));
}

static void read_org(struct reader *r, struct filing *f)
{
	static const char *const names[] = {
#define X(id, name) name,
		FILING_ORG(X)
#undef X
	};
	filing_next(r);
	if (r->token != T_OPEN) {
		fault(r, "'org' needs a block { ... }");
		return;
	}
	for (filing_next(r); r->token != T_CLOSE && r->token != T_END; filing_next(r)) {
		size_t field = 0;
		while (field < FILING_ORG_FIELDS && !span_eq(r->value, span_of(names[field])))
			field++;
		if (r->token != T_WORD || field == FILING_ORG_FIELDS) {
			filing_unknown(r, "field of 'org'", names, FILING_ORG_FIELDS);
			if (r->token == T_WORD)
				filing_next(r); /* its value */
			continue;
		}
		if (f->org[field].p)
			fault(r, "'%s' stands here twice", names[field]);
		if (filing_value(r, names[field], &f->org[field]))
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

bool filing_read_class(struct reader *r, struct span *class_r)
{
	static const char *const classes[] = {"commercial", "transactional", "mixed"};
	if (!filing_value(r, "class", class_r))
		return true;
	for (size_t i = 0; i < 3; i++)
		if (span_eq(*class_r, span_of(classes[i])))
			return false;
	filing_unknown(r, "class of mail", classes, 3);
	return false;
}

bool filing_read_domain(struct reader *r, const char *word, struct span **v, size_t *n, size_t *cap)
{
	struct span name;
	if (!filing_value(r, word, &name))
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

static void read_range_block(struct reader *r, struct filing_range *range)
{
	static const char *const words[] = {"owner", "domain", "class"};
	filing_next(r);
	while (r->token != T_CLOSE && r->token != T_END) {
		bool read = false;
		if (span_eq(r->value, SPAN("owner"))) {
			read = !filing_value(r, "owner", &range->owner);
		} else if (span_eq(r->value, SPAN("domain"))) {
			read = filing_read_domain(r, "domain", &range->domains, &range->n_domains,
						  &range->cap_domains);
		} else if (span_eq(r->value, SPAN("class"))) {
			read = filing_read_class(r, &range->class);
		} else {
			filing_unknown(r, "word of 'ip'", words, 3);
			if (r->token == T_WORD)
				filing_next(r); /* its value */
		}
		if (!read)
			filing_next(r);
	}
	if (r->token == T_END)
		fault(r, "a '}' is missing");
}

bool filing_read_prefix(struct reader *r, struct ip_prefix *prefix_r)
{
	struct span v;
	prefix_r->ip.family = 0;
	if (!filing_value(r, "ip", &v))
		return true;
	struct ip_prefix prefix;
	if (!ip_prefix_parse(v, &prefix))
		fault(r, "'%.*s' is no address range, or has host bits set", SPAN_ARG(v));
	else if (prefix.bits < (prefix.ip.family == 4 ? SHORTEST_V4 : SHORTEST_V6))
		fault(r, "'%.*s' is larger than a sender's range may be (/%d)", SPAN_ARG(v),
		      prefix.ip.family == 4 ? SHORTEST_V4 : SHORTEST_V6);
	else
		*prefix_r = prefix;
	return false;
}

static bool read_range(struct reader *r, struct filing *f)
{
	struct filing_range range = {.owner = SPAN_NONE};
	if (filing_read_prefix(r, &range.prefix))
		return true;
	for (size_t i = 0; i < f->n_ranges && range.prefix.ip.family; i++)
		if (ip_prefix_holds(&f->ranges[i].prefix, &range.prefix.ip) ||
		    ip_prefix_holds(&range.prefix, &f->ranges[i].prefix.ip))
			fault(r, "'%.*s' overlaps a range of this filing", SPAN_ARG(r->value));
	filing_next(r);
	if (r->token == T_OPEN) {
		read_range_block(r, &range);
		filing_next(r);
	}
	if (arena_grow(r->arena, (void **)&f->ranges, f->n_ranges, &f->cap_ranges,
		       sizeof(*f->ranges)))
		f->ranges[f->n_ranges++] = range;
	return true;
}

int64_t filing_rate_window_s(const struct filing_rate *rate)
{
	return span_eq(rate->per, SPAN("minute")) ? 60 : span_eq(rate->per, SPAN("hour")) ? 3600 : 86400;
}

bool filing_read_rate(struct reader *r, const char *word, struct filing_rate *rate)
{
	static const char *const units[] = {"minute", "hour", "day"};
	struct span number, per;
	if (!filing_value(r, word, &number))
		return true;
	if (!span_number(number, 1000000000, &rate->messages) || rate->messages == 0)
		fault(r, "'%.*s' is no number of messages", SPAN_ARG(number));
	if (!filing_value(r, word, &per))
		return true;
	if (!span_eq(per, SPAN("per"))) {
		fault(r, "a rate is written 'NUMBER per hour' or 'per day'");
		return true;
	}
	if (!filing_value(r, word, &rate->per))
		return true;
	for (size_t i = 0; i < 3; i++)
		if (span_eq(rate->per, span_of(units[i])))
			return false;
	filing_unknown(r, "unit of time", units, 3);
	return false;
}

bool mail_address_valid(struct span s)
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
	static const char *const words[] = {"complaint", "error", "xarf", "profile", "language",
					    "webhook", "pull", "auth-failure"};
	static const char *const profiles[] = {"token", "headers", "full", "ids-only"};
	static const char *const languages[] = {"en", "zh"};
	struct span v;
	for (filing_next(r); r->token != T_CLOSE && r->token != T_END; filing_next(r)) {
		if (span_eq(r->value, SPAN("complaint"))) {
			f->feedback.complaint = true;
		} else if (span_eq(r->value, SPAN("error"))) {
			f->feedback.error = true;
		} else if (span_eq(r->value, SPAN("xarf"))) {
			f->feedback.complaint = f->feedback.xarf = true;
		} else if (span_eq(r->value, SPAN("profile"))) {
			if (!filing_value(r, "profile", &v))
				break;
			if (!redact_profile_parse(v, &f->feedback.profile))
				filing_unknown(r, "profile", profiles, 4);
		} else if (span_eq(r->value, SPAN("language"))) {
			if (!filing_value(r, "language", &v))
				break;
			f->feedback.chinese = span_eq(v, SPAN("zh"));
			if (!f->feedback.chinese && !span_eq(v, SPAN("en")))
				filing_unknown(r, "language", languages, 2);
		} else if (span_eq(r->value, SPAN("auth-failure"))) {
			f->feedback.auth_failure = true;
		} else if (span_eq(r->value, SPAN("webhook"))) {
			if (!filing_value(r, "webhook", &f->feedback.url))
				break;
			if (!filing_url_host(f->feedback.url).p)
				fault(r, "'%.*s' is no webhook: https://host/path, the host in lower "
					 "case", SPAN_ARG(f->feedback.url));
		} else if (span_eq(r->value, SPAN("pull"))) {
			f->feedback.url = SPAN(QUEUE_PULL);
		} else {
			filing_unknown(r, "word of 'feedback'", words, 8);
		}
	}
	if (r->token == T_END)
		fault(r, "a '}' is missing");
}

static bool read_feedback(struct reader *r, struct filing *f)
{
	bool twice = f->feedback.address.p != NULL;
	if (!filing_value(r, "feedback", &f->feedback.address))
		return true;
	if (twice)
		fault(r, "'feedback' stands here twice");
	if (!mail_address_valid(f->feedback.address))
		fault(r, "'%.*s' is no mail address", SPAN_ARG(f->feedback.address));
	filing_next(r);
	f->feedback.complaint = f->feedback.error = r->token != T_OPEN;
	if (r->token != T_OPEN)
		return true;
	read_feedback_block(r, f);
	return false;
}

/* Returns whether the token that follows is read already. */
static bool read_statement(struct reader *r, struct filing *f)
{
	static const char *const words[] = {"org", "ip", "domain", "dkim", "rate", "feedback",
					    "campaign", "certificate", "other", "effective",
					    "expires"};
	static const size_t n_words = sizeof(words) / sizeof(words[0]);
	if (span_eq(r->value, SPAN("org"))) {
		read_org(r, f);
		return false;
	}
	if (span_eq(r->value, SPAN("ip")))
		return read_range(r, f);
	if (span_eq(r->value, SPAN("domain")))
		return filing_read_domain(r, "domain", &f->domains, &f->n_domains, &f->cap_domains);
	if (span_eq(r->value, SPAN("dkim")))
		return filing_read_domain(r, "dkim", &f->dkim, &f->n_dkim, &f->cap_dkim);
	if (span_eq(r->value, SPAN("rate")))
		return filing_read_rate(r, "rate", &f->rate);
	if (span_eq(r->value, SPAN("feedback")))
		return read_feedback(r, f);
	if (span_eq(r->value, SPAN("campaign")))
		return filing_read_campaign(r, f);
	if (span_eq(r->value, SPAN("certificate")))
		return filing_read_certificate(r, f);
	if (span_eq(r->value, SPAN("other")))
		return filing_read_other(r, f);
	if (span_eq(r->value, SPAN("effective")))
		return filing_read_time(r, "effective", false, &f->effective_us);
	if (span_eq(r->value, SPAN("expires")))
		return filing_read_time(r, "expires", true, &f->expires_us);
	if (r->token == T_WORD)
		filing_unknown(r, "statement", words, n_words);
	else
		fault(r, "a statement begins with a word: org ip domain dkim rate feedback ...");
	/* What belongs to it is passed over up to the next statement or the end of its block. */
	for (;;) {
		filing_next(r);
		if (r->token == T_OPEN) {
			filing_skip_block(r);
			continue;
		}
		if (r->token == T_END || r->token == T_CLOSE)
			return true;
		for (size_t i = 0; r->token == T_WORD && i < n_words; i++)
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

/* Who controls the domain has been proven; an address of somebody else is no place for reports. */
static void check_webhook(struct diag *diag, struct place at, const struct filing *f)
{
	struct span host = filing_url_host(f->feedback.url);
	bool within = !host.p;
	for (size_t i = 0; i < f->n_domains; i++)
		within |= domain_covers(f->domains[i], host);
	for (size_t i = 0; i < f->n_dkim; i++)
		within |= domain_covers(f->dkim[i], host);
	if (!within)
		diag_error(diag, at, "the webhook's host '%.*s' lies within no 'domain' or 'dkim' of "
				     "sender '%.*s'", SPAN_ARG(host), SPAN_ARG(f->key));
}

static void read_sender(struct reader *r, struct filings *all)
{
	struct filing f = {.key = SPAN_NONE};
	const char *start = r->lexer.token.raw.p;
	struct place at = r->lexer.token.at;
	filing_next(r);
	f.key = r->value;
	if (r->token != T_WORD || !key_valid(f.key))
		fault(r, "'%.*s' is no key of a sender: lower-case letters, digits, '-', '.', '_', at "
			 "most %d", SPAN_ARG(r->value), KEY_BYTES);
	for (size_t i = 0; i < all->n; i++)
		if (span_eq(all->v[i].key, f.key))
			fault(r, "sender '%.*s' is filed twice in this file", SPAN_ARG(f.key));
	filing_next(r);
	if (r->token != T_OPEN) {
		fault(r, "'sender %.*s' needs a block { ... }", SPAN_ARG(f.key));
		return;
	}
	filing_next(r);
	while (r->token != T_CLOSE && r->token != T_END)
		if (!read_statement(r, &f))
			filing_next(r);
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
	check_webhook(r->diag, at, &f);
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
	for (filing_next(&r); r.token != T_END; filing_next(&r)) {
		if (r.token == T_WORD && span_eq(r.value, SPAN("sender"))) {
			read_sender(&r, all);
			continue;
		}
		fault(&r, "a filing begins with 'sender KEY {', not with %s",
		      token_name(&r.lexer.token));
		while (r.token != T_END && !(r.token == T_WORD && span_eq(r.value, SPAN("sender"))))
			filing_next(&r);
		if (r.token != T_END)
			read_sender(&r, all);
	}
	if (all->n == 0 && diag->errors == before)
		fault(&r, "there is no filing in it");
	all->faults = diag->errors - before;
}
