#include "analyze/zone.h"

#include <errno.h>
#include <stdlib.h>

#include "base/buf.h"
#include "base/file.h"
#include "base/limits.h"

#define ZONE_BYTES ((size_t)256 << 20)
#define BUCKETS 4096

struct rr {
	struct rr *next; /* of the same name, in file order */
	uint16_t type;
	struct dns_record record;
};

/* Each name of the file, and each name above one (an empty non-terminal). */
struct node {
	struct node *next; /* of the bucket */
	struct span name;
	struct rr *first, **last;
	enum { SOUND, SILENT, SERVFAIL } whole;
	uint16_t silent_types[8], servfail_types[8];
	size_t n_silent, n_servfail;
};

struct zone {
	struct arena arena;
	struct node *buckets[BUCKETS];
};

/* --- the table ------------------------------------------------------------------- */

static size_t hash_name(struct span name)
{
	uint32_t h = 2166136261u;
	for (size_t i = 0; i < name.n; i++)
		h = (h ^ (unsigned char)name.p[i]) * 16777619u;
	return h % BUCKETS;
}

static struct node *find(const struct zone *z, struct span name)
{
	for (struct node *n = z->buckets[hash_name(name)]; n; n = n->next)
		if (span_eq(n->name, name))
			return n;
	return NULL;
}

static struct span parent_of(struct span name)
{
	/* an escaped dot does not part labels; such names are not used by mail */
	size_t dot = span_find_char(name, '.');
	return dot == SIZE_MAX ? SPAN("") : span_sub(name, dot + 1, name.n);
}

static struct node *find_or_add(struct zone *z, struct span name)
{
	struct node *first = NULL;
	for (;;) {
		struct node *n = find(z, name);
		if (n)
			return first ? first : n;
		n = ARENA_NEW(&z->arena, struct node);
		if (!n)
			return NULL;
		size_t bucket = hash_name(name);
		*n = (struct node){.next = z->buckets[bucket], .name = arena_copy(&z->arena, name)};
		n->last = &n->first;
		z->buckets[bucket] = n;
		first = first ? first : n;
		if (name.n == 0)
			return first;
		name = parent_of(name);
	}
}

/* --- reading ----------------------------------------------------------------------- */

struct token {
	struct span text; /* unescaped */
	struct place at;
	bool quoted;
};

#define LINE_TOKENS 600

struct reader {
	struct zone *zone;
	struct diag *diag;
	const char *file;
	struct span rest;
	unsigned line;
	const char *line_start;
	unsigned depth; /* of $INCLUDE */
	struct span origin, owner;
	struct token tokens[LINE_TOKENS];
	size_t n_tokens;
	bool blank_start; /* the entry began with white space: the owner is that of the last */
	bool overlong;
};

static struct place here(const struct reader *r)
{
	return (struct place){r->file, r->line, (unsigned)(r->rest.p - r->line_start) + 1};
}

static void advance(struct reader *r)
{
	if (r->rest.p[0] == '\n') {
		r->line++;
		r->line_start = r->rest.p + 1;
	}
	r->rest = span_sub(r->rest, 1, r->rest.n);
}

/* One character, escapes resolved: "\." and "\046". */
static char take_char(struct reader *r)
{
	char c = r->rest.p[0];
	advance(r);
	if (c != '\\' || r->rest.n == 0)
		return c;
	uint64_t code;
	if (r->rest.n >= 3 && span_number(span_sub(r->rest, 0, 3), 255, &code)) {
		r->rest = span_sub(r->rest, 3, r->rest.n);
		return (char)code;
	}
	c = r->rest.p[0];
	advance(r);
	return c;
}

static void take_token(struct reader *r)
{
	struct token t = {.at = here(r), .quoted = r->rest.p[0] == '"'};
	struct buf text = BUF_INIT;
	if (t.quoted) {
		advance(r);
		while (r->rest.n && r->rest.p[0] != '"' && r->rest.p[0] != '\n')
			buf_addc(&text, take_char(r));
		if (r->rest.n && r->rest.p[0] == '"')
			advance(r);
		else
			diag_error(r->diag, t.at, "a quote that does not end on its line");
	} else {
		while (r->rest.n && !ascii_is_space(r->rest.p[0]) && !memchr(";()\"", r->rest.p[0], 4))
			buf_addc(&text, take_char(r));
	}
	t.text = arena_copy(&r->zone->arena, (struct span){text.p ? text.p : "", text.n});
	buf_free(&text);
	if (r->n_tokens == LINE_TOKENS)
		r->overlong = true;
	else
		r->tokens[r->n_tokens++] = t;
}

/* Reads one entry (a line, or several in parentheses); false at the end of the file. */
static bool take_entry(struct reader *r)
{
	int parentheses = 0;
	struct place open = {0};
	r->n_tokens = 0;
	r->overlong = false;
	if (r->rest.n == 0)
		return false;
	r->blank_start = r->rest.p[0] == ' ' || r->rest.p[0] == '\t';
	while (r->rest.n) {
		char c = r->rest.p[0];
		if (c == '\n') {
			advance(r);
			if (parentheses == 0)
				return true;
		} else if (c == ';') {
			while (r->rest.n && r->rest.p[0] != '\n')
				advance(r);
		} else if (c == '(') {
			open = here(r);
			parentheses++;
			advance(r);
		} else if (c == ')') {
			if (parentheses == 0)
				diag_error(r->diag, here(r), "')' without '('");
			else
				parentheses--;
			advance(r);
		} else if (ascii_is_space(c)) {
			advance(r);
		} else {
			take_token(r);
		}
	}
	if (parentheses)
		diag_error(r->diag, open, "'(' without ')'");
	return true;
}

/* A name, made absolute: lower case, without the dot at the end. */
static bool read_name(struct reader *r, const struct token *t, struct span *name_r)
{
	struct arena *a = &r->zone->arena;
	struct span name = arena_lower(a, t->text);
	if (span_eq(name, SPAN("@")) && !t->quoted)
		name = r->origin;
	else if (name.n && name.p[name.n - 1] == '.')
		name.n--;
	else if (r->origin.n)
		name = arena_printf(a, "%.*s.%.*s", SPAN_ARG(name), SPAN_ARG(r->origin));
	struct span rest = name, label;
	bool bad = name.n > 253 || (name.n && (name.p[0] == '.' || name.p[name.n - 1] == '.'));
	while (!bad && span_next_field(&rest, '.', &label))
		bad = label.n == 0 || label.n > 63;
	if (bad)
		diag_error(r->diag, t->at, "'%.*s' is no domain name", SPAN_ARG(t->text));
	*name_r = name;
	return !bad;
}

static const struct {
	const char *name;
	uint16_t type;
} types[] = {
	{"A", DNS_A},	  {"AAAA", DNS_AAAA}, {"CNAME", DNS_CNAME}, {"MX", DNS_MX},
	{"NS", DNS_NS},	  {"PTR", DNS_PTR},   {"SOA", DNS_SOA},	    {"TXT", DNS_TXT},
	{"SPF", 99},	  {"SRV", 33},	      {"CAA", 257},	    {"TLSA", 52},
	{"DS", 43},	  {"DNSKEY", 48},     {"RRSIG", 46},	    {"NSEC", 47},
	{"NAPTR", 35},	  {"HINFO", 13},      {"SSHFP", 44},	    {"HTTPS", 65},
};

static bool find_type(struct span word, uint16_t *type_r)
{
	uint64_t number;
	for (size_t i = 0; i < sizeof(types) / sizeof(types[0]); i++)
		if (span_case_eq(word, span_of(types[i].name))) {
			*type_r = types[i].type;
			return true;
		}
	if (span_case_starts(word, SPAN("TYPE")) &&
	    span_number(span_sub(word, 4, word.n), 65535, &number)) {
		*type_r = (uint16_t)number;
		return true;
	}
	return false;
}

/* "300", "1h30m" */
static bool is_ttl(struct span word)
{
	bool digit = false;
	if (word.n == 0 || !ascii_is_digit(word.p[0]))
		return false;
	for (size_t i = 0; i < word.n; i++) {
		if (ascii_is_digit(word.p[i]))
			digit = true;
		else if (!digit || !memchr("smhdwSMHDW", word.p[i], 10))
			return false;
		else
			digit = false;
	}
	return true;
}

static bool is_class(struct span word)
{
	return span_case_eq(word, SPAN("IN")) || span_case_eq(word, SPAN("CH")) ||
	       span_case_eq(word, SPAN("HS"));
}

static void add_rr(struct reader *r, uint16_t type, struct dns_record record)
{
	struct node *n = find_or_add(r->zone, r->owner);
	struct rr *rr = ARENA_NEW(&r->zone->arena, struct rr);
	if (!n || !rr)
		return;
	*rr = (struct rr){.type = type, .record = record};
	*n->last = rr;
	n->last = &rr->next;
}

/* Whether `n` data tokens follow; says what is wrong otherwise. */
static bool has_data(struct reader *r, size_t at, size_t n, const char *what)
{
	if (r->n_tokens - at == n)
		return true;
	struct place place = at < r->n_tokens ? r->tokens[at].at : r->tokens[r->n_tokens - 1].at;
	diag_error(r->diag, place, "%s", what);
	return false;
}

static void read_data(struct reader *r, size_t at, uint16_t type)
{
	struct dns_record record = {.preference = 0};
	const struct token *t = &r->tokens[at];
	uint64_t number;
	switch (type) {
	case DNS_A:
	case DNS_AAAA:
		if (!has_data(r, at, 1, "an address record has one address"))
			return;
		if (!ip_parse(t->text, &record.ip) ||
		    (type == DNS_A ? record.ip.family != 4 : span_find_char(t->text, ':') == SIZE_MAX)) {
			diag_error(r->diag, t->at, "'%.*s' is no IPv%c address", SPAN_ARG(t->text),
				   type == DNS_A ? '4' : '6');
			return;
		}
		break;
	case DNS_MX:
		if (!has_data(r, at, 2, "MX has a preference and a name"))
			return;
		if (!span_number(t->text, 65535, &number)) {
			diag_error(r->diag, t->at, "'%.*s' is no preference (0 to 65535)",
				   SPAN_ARG(t->text));
			return;
		}
		record.preference = (uint16_t)number;
		if (!read_name(r, t + 1, &record.name))
			return;
		break;
	case DNS_CNAME:
	case DNS_NS:
	case DNS_PTR:
		if (!has_data(r, at, 1, "this record has one name") ||
		    !read_name(r, t, &record.name))
			return;
		break;
	case DNS_TXT: {
		if (at == r->n_tokens) {
			has_data(r, at, 1, "TXT has at least one string");
			return;
		}
		struct buf text = BUF_INIT;
		for (size_t i = at; i < r->n_tokens; i++) {
			if (r->tokens[i].text.n > 255)
				diag_error(r->diag, r->tokens[i].at,
					   "a string of %zu octets; 255 are the most, write several",
					   r->tokens[i].text.n);
			buf_add(&text, r->tokens[i].text);
		}
		record.name = arena_copy(&r->zone->arena, (struct span){text.p ? text.p : "", text.n});
		buf_free(&text);
		break;
	}
	default:
		break; /* the name exists; nobody asks for the data */
	}
	add_rr(r, type, record);
}

static void read_record(struct reader *r)
{
	size_t at = 0;
	uint16_t type;
	if (!r->blank_start && !read_name(r, &r->tokens[at++], &r->owner))
		return;
	if (r->blank_start && !r->owner.p) {
		diag_error(r->diag, r->tokens[0].at, "no owner: the first record needs a name");
		return;
	}
	while (at < r->n_tokens && (is_ttl(r->tokens[at].text) || is_class(r->tokens[at].text)))
		at++;
	if (at == r->n_tokens) {
		diag_error(r->diag, r->tokens[at - 1].at, "a type is missing here");
		return;
	}
	if (!find_type(r->tokens[at].text, &type)) {
		struct diag_guess g = diag_guess(r->tokens[at].text);
		for (size_t i = 0; i < sizeof(types) / sizeof(types[0]); i++)
			diag_guess_try(&g, span_of(types[i].name));
		diag_error(r->diag, r->tokens[at].at, "unknown type '%.*s'%s",
			   SPAN_ARG(r->tokens[at].text), diag_guess_text(&g));
		return;
	}
	read_data(r, at + 1, type);
}

static int read_file(struct zone *z, const char *path, struct span origin, unsigned depth,
		     struct diag *diag);

static void read_trouble(struct reader *r, bool servfail)
{
	struct span name;
	uint16_t type = 0;
	if (r->n_tokens < 2 || r->n_tokens > 3) {
		diag_error(r->diag, r->tokens[0].at, "%.*s takes a name and perhaps a type",
			   SPAN_ARG(r->tokens[0].text));
		return;
	}
	if (!read_name(r, &r->tokens[1], &name))
		return;
	if (r->n_tokens == 3 && !find_type(r->tokens[2].text, &type)) {
		diag_error(r->diag, r->tokens[2].at, "unknown type '%.*s'",
			   SPAN_ARG(r->tokens[2].text));
		return;
	}
	struct node *n = find_or_add(r->zone, name);
	if (!n)
		return;
	if (type == 0)
		n->whole = servfail ? SERVFAIL : SILENT;
	else if (servfail && n->n_servfail < 8)
		n->servfail_types[n->n_servfail++] = type;
	else if (!servfail && n->n_silent < 8)
		n->silent_types[n->n_silent++] = type;
}

static void read_directive(struct reader *r)
{
	struct span word = r->tokens[0].text;
	if (span_case_eq(word, SPAN("$ORIGIN"))) {
		if (r->n_tokens != 2)
			diag_error(r->diag, r->tokens[0].at, "$ORIGIN takes one name");
		else
			read_name(r, &r->tokens[1], &r->origin);
	} else if (span_case_eq(word, SPAN("$TTL"))) {
		if (r->n_tokens != 2 || !is_ttl(r->tokens[1].text))
			diag_error(r->diag, r->tokens[0].at, "$TTL takes a number of seconds");
	} else if (span_case_eq(word, SPAN("$TIMEOUT"))) {
		read_trouble(r, false);
	} else if (span_case_eq(word, SPAN("$SERVFAIL"))) {
		read_trouble(r, true);
	} else if (span_case_eq(word, SPAN("$INCLUDE"))) {
		if (r->n_tokens < 2 || r->n_tokens > 3) {
			diag_error(r->diag, r->tokens[0].at, "$INCLUDE takes a file and perhaps a name");
			return;
		}
		struct span origin = r->origin, file = r->tokens[1].text;
		if (r->n_tokens == 3 && !read_name(r, &r->tokens[2], &origin))
			return;
		/* beside the file that names it */
		size_t slash = span_rfind_char(span_of(r->file), '/');
		struct span folder = span_sub(span_of(r->file), 0, slash == SIZE_MAX ? 0 : slash + 1);
		struct span path = file.n && file.p[0] == '/'
					   ? file
					   : arena_printf(&r->zone->arena, "%.*s%.*s",
							  SPAN_ARG(folder), SPAN_ARG(file));
		char *name = arena_str(&r->zone->arena, path);
		int error = name ? read_file(r->zone, name, origin, r->depth + 1, r->diag) : -ENOMEM;
		if (error < 0)
			diag_error(r->diag, r->tokens[1].at, "%.*s: %s", SPAN_ARG(path),
				   strerror(-error));
	} else {
		struct diag_guess g = diag_guess(word);
		static const char *const known[] = {"$ORIGIN", "$TTL", "$INCLUDE", "$TIMEOUT",
						    "$SERVFAIL"};
		for (size_t i = 0; i < 5; i++)
			diag_guess_try(&g, span_of(known[i]));
		diag_error(r->diag, r->tokens[0].at, "unknown directive '%.*s'%s", SPAN_ARG(word),
			   diag_guess_text(&g));
	}
}

#define INCLUDE_DEPTH 8

static int read_file(struct zone *z, const char *path, struct span origin, unsigned depth,
		     struct diag *diag)
{
	struct file_view view;
	if (depth > INCLUDE_DEPTH)
		return -ELOOP;
	int error = file_view_open(path, ZONE_BYTES, &view);
	if (error < 0)
		return error;
	struct reader *r = calloc(1, sizeof(*r));
	if (r) {
		*r = (struct reader){.zone = z, .diag = diag, .file = path, .rest = view.bytes,
				     .line = 1, .line_start = view.bytes.p, .depth = depth,
				     .origin = {origin.p ? origin.p : "", origin.n}};
		while (take_entry(r)) {
			if (r->overlong)
				diag_error(diag, r->tokens[0].at, "an entry of more than %d words",
					   LINE_TOKENS);
			else if (r->n_tokens && r->tokens[0].text.n && !r->tokens[0].quoted &&
				 r->tokens[0].text.p[0] == '$')
				read_directive(r);
			else if (r->n_tokens)
				read_record(r);
		}
	}
	error = r ? 0 : -ENOMEM;
	free(r);
	file_view_close(&view);
	return error;
}

int zone_load(struct zone **zone_r, const char *path, struct diag *diag)
{
	struct zone *z = calloc(1, sizeof(*z));
	if (!z)
		return -ENOMEM;
	arena_init(&z->arena, SIZE_MAX / 2);
	unsigned before = diag->errors;
	int r = read_file(z, path, SPAN(""), 0, diag);
	if (r < 0) {
		diag_error(diag, (struct place){path, 0, 0}, "%s", strerror(-r));
		r = DNS_E_NO_ZONE;
	} else if (z->arena.overflowed) {
		r = -ENOMEM;
	} else if (diag->errors > before) {
		r = DNS_E_FAULTS;
	}
	if (r) {
		zone_free(z);
		return r;
	}
	*zone_r = z;
	return 0;
}

void zone_free(struct zone *z)
{
	if (!z)
		return;
	arena_free(&z->arena);
	free(z);
}

/* --- answering -------------------------------------------------------------------------- */

static bool has_type(const uint16_t *list, size_t n, uint16_t type)
{
	for (size_t i = 0; i < n; i++)
		if (list[i] == type)
			return true;
	return false;
}

/* The node itself, or the wildcard that stands for it: "*" under the closest name that exists
 * (RFC 4592 section 3.3.1). */
static const struct node *match(const struct zone *z, struct span name, struct arena *arena)
{
	const struct node *n = find(z, name);
	while (!n && name.n) {
		struct span up = parent_of(name);
		if (find(z, up)) {
			struct span star = up.n ? arena_printf(arena, "*.%.*s", SPAN_ARG(up)) : SPAN("*");
			return find(z, star);
		}
		name = up;
	}
	return n;
}

struct dns_answer zone_answer(const struct zone *z, struct span name, enum dns_type type,
			      struct arena *arena)
{
	struct dns_answer answer = {.status = DNS_ABSENT};
	for (unsigned hop = 0; hop <= LIMIT_DNS_CNAMES; hop++) {
		const struct node *n = match(z, name, arena);
		if (!n) {
			answer.nxdomain = true;
			return answer;
		}
		if (n->whole != SOUND || has_type(n->silent_types, n->n_silent, type) ||
		    has_type(n->servfail_types, n->n_servfail, type)) {
			bool servfail = n->whole == SERVFAIL ||
					has_type(n->servfail_types, n->n_servfail, type);
			return (struct dns_answer){.status = DNS_UNKNOWN,
						   .why = servfail ? "servfail" : "timeout"};
		}
		size_t count = 0;
		const struct rr *cname = NULL;
		for (const struct rr *rr = n->first; rr; rr = rr->next) {
			count += rr->type == type;
			cname = rr->type == DNS_CNAME ? rr : cname;
		}
		if (count) {
			struct dns_record *records = ARENA_ARRAY(arena, struct dns_record, count);
			if (!records)
				return (struct dns_answer){.status = DNS_UNKNOWN, .why = "memory"};
			for (const struct rr *rr = n->first; rr; rr = rr->next)
				if (rr->type == type)
					records[answer.n++] = rr->record;
			answer.status = DNS_FOUND;
			answer.records = records;
			return answer;
		}
		if (!cname)
			return answer;
		name = cname->record.name;
	}
	return (struct dns_answer){.status = DNS_UNKNOWN, .why = "loop"};
}
