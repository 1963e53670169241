/*
 * The set of addresses and the search in texts; header fields and messages are in
 * redact_message.c.
 *
 * Every '@' or '=' of a view may stand in an address (VERP writes "wang=receiver.example"). Behind
 * it the prefixes of the run of domain characters are looked up, and where one is a recipient's
 * domain, the suffixes of what stands before are looked up as its local part. Runs do not hold
 * separators, so a pass is linear whatever the number of recipients.
 */
#include "feedback/redact.h"

#include <stdlib.h>

#include "analyze/idna.h"
#include "base/digest.h"
#include "base/limits.h"
#include "feedback/redact_private.h"
#include "feedback/redact_view.h"

/* RFC 5321 section 4.5.3.1 */
#define LOCAL_BYTES 64
#define DOMAIN_BYTES 255

/* Shortest run of base64 or hexadecimal that can hold an address ("a@b.cn"). */
#define BASE64_RUN 8
#define HEX_RUN 12

struct hidden {
	struct span local, domain; /* lower case */
	struct span shown;         /* TOKEN@our-domain */
};

struct slot {
	uint64_t hash;
	const struct hidden *hidden; /* NULL: a domain alone, or free */
	struct span domain;          /* .p NULL: free */
};

struct redactor {
	struct arena *arena;
	struct span key, our_domain;
	bool constant;
	struct hidden *v;
	size_t n, cap;
	struct slot *slots; /* made at the first search behind an addition */
	size_t n_slots;
};

struct cut {
	uint32_t from, to;
	const struct hidden *hidden;
};

struct cuts {
	struct cut *v;
	size_t n, cap;
};

void redact_token(struct span key, struct span address, char out[REDACT_TOKEN_BYTES])
{
	uint8_t mac[SHA256_BYTES];
	char text[SHA256_BYTES * 2];
	hmac_sha256(key, address, mac);
	base32_lower(mac, sizeof(mac), text);
	memcpy(out, text, REDACT_TOKEN_BYTES - 1);
	out[REDACT_TOKEN_BYTES - 1] = '\0';
}

bool redact_profile_parse(struct span word, enum redact_profile *profile_r)
{
	static const char *const names[] = {"token", "headers", "full", "ids-only"};
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		if (!span_eq(word, span_of(names[i])))
			continue;
		*profile_r = (enum redact_profile)i;
		return true;
	}
	return false;
}

struct redactor *redactor_create(struct arena *arena, struct span key, struct span domain,
				 bool constant)
{
	struct redactor *r = ARENA_NEW(arena, struct redactor);
	if (r)
		*r = (struct redactor){.arena = arena, .key = key, .our_domain = domain,
				       .constant = constant};
	return r;
}

struct arena *redactor_arena(const struct redactor *r)
{
	return r->arena;
}

bool redact_split(struct span address, struct span *local_r, struct span *domain_r)
{
	size_t at = span_rfind_char(address, '@');
	if (at == SIZE_MAX || at == 0 || at + 1 >= address.n || at > LOCAL_BYTES * 2 ||
	    address.n - at - 1 > DOMAIN_BYTES)
		return false;
	*local_r = span_sub(address, 0, at);
	*domain_r = span_sub(address, at + 1, address.n);
	if (local_r->n > 2 && local_r->p[0] == '"' && local_r->p[local_r->n - 1] == '"')
		*local_r = span_sub(*local_r, 1, local_r->n - 1);
	while (domain_r->n && domain_r->p[domain_r->n - 1] == '.')
		domain_r->n--;
	return domain_r->n > 0;
}

/* A-labels for U-labels and back: a recipient may be written either way. .p NULL: one form. */
static struct span other_form(struct span domain, struct arena *arena)
{
	struct span form = utf8_is_ascii(domain) ? idna_to_unicode(arena, domain)
						 : idna_to_ascii(arena, domain);
	return span_case_eq(form, domain) ? SPAN_NONE : form;
}

static const struct hidden *find_exact(const struct redactor *r, struct span local,
				       struct span domain)
{
	for (size_t i = 0; i < r->n; i++)
		if (span_case_eq(r->v[i].local, local) && span_case_eq(r->v[i].domain, domain))
			return &r->v[i];
	return NULL;
}

bool redactor_hides(const struct redactor *r, struct span address)
{
	struct span local, domain;
	return redact_split(address, &local, &domain) && find_exact(r, local, domain);
}

static struct span token_of(struct redactor *r, struct span local, struct span domain)
{
	char token[REDACT_TOKEN_BYTES];
	if (r->constant)
		return arena_printf(r->arena, "redacted@%.*s", SPAN_ARG(r->our_domain));
	struct span canon = arena_printf(r->arena, "%.*s@%.*s", SPAN_ARG(local), SPAN_ARG(domain));
	redact_token(r->key, canon, token);
	return arena_printf(r->arena, "%s@%.*s", token, SPAN_ARG(r->our_domain));
}

static void add_form(struct redactor *r, struct span local, struct span domain, struct span shown)
{
	if (r->n >= LIMIT_REDACT_ADDRESSES || find_exact(r, local, domain) ||
	    !arena_grow(r->arena, (void **)&r->v, r->n, &r->cap, sizeof(*r->v)))
		return;
	r->v[r->n++] = (struct hidden){arena_lower(r->arena, local), domain, shown};
	r->slots = NULL;
}

void redactor_add(struct redactor *r, struct span address)
{
	struct span local, domain;
	if (!redact_split(address, &local, &domain))
		return;
	domain = arena_lower(r->arena, domain);
	struct span shown = token_of(r, local, domain);
	struct span other = other_form(domain, r->arena);
	if (!utf8_is_ascii(domain) && other.n) /* tokens are of the A-label form */
		shown = token_of(r, local, other);
	struct span locals[2] = {local, SPAN_NONE};
	size_t plus = span_find_char(local, '+');
	if (plus != SIZE_MAX && plus > 0)
		locals[1] = span_sub(local, 0, plus);
	for (size_t i = 0; i < 2 && locals[i].n; i++) {
		add_form(r, locals[i], domain, shown);
		if (other.n)
			add_form(r, locals[i], other, shown);
	}
}

struct span redactor_show(struct redactor *r, struct span address)
{
	struct span local, domain;
	if (!redact_split(address, &local, &domain))
		return SPAN_NONE;
	const struct hidden *hidden = find_exact(r, local, domain);
	if (!hidden) {
		redactor_add(r, address);
		hidden = find_exact(r, local, domain);
	}
	/* Past LIMIT_REDACT_ADDRESSES an address is shown as its token but not searched for. */
	return hidden ? hidden->shown : token_of(r, local, arena_lower(r->arena, domain));
}

/* --- looking addresses up --------------------------------------------------- */

#define HASH_START 14695981039346656037u
#define HASH_STEP(h, c) (((h) ^ (uint8_t)(c)) * 1099511628211u)

static uint64_t hash_forward(uint64_t h, struct span s)
{
	for (size_t i = 0; i < s.n; i++)
		h = HASH_STEP(h, s.p[i]);
	return h;
}

static uint64_t hash_backward(uint64_t h, struct span s)
{
	for (size_t i = s.n; i-- > 0;)
		h = HASH_STEP(h, s.p[i]);
	return h;
}

static void put(struct redactor *r, struct slot slot)
{
	for (size_t i = (size_t)(slot.hash ^ slot.hash >> 32);; i++) {
		struct slot *at = &r->slots[i & (r->n_slots - 1)];
		if (at->domain.p && at->hash == slot.hash && at->hidden == slot.hidden &&
		    span_eq(at->domain, slot.domain))
			return;
		if (!at->domain.p) {
			*at = slot;
			return;
		}
	}
}

static bool index_addresses(struct redactor *r)
{
	if (r->slots)
		return true;
	r->n_slots = 16;
	while (r->n_slots < 4 * r->n)
		r->n_slots *= 2;
	r->slots = ARENA_ARRAY(r->arena, struct slot, r->n_slots);
	if (!r->slots)
		return false;
	for (size_t i = 0; i < r->n; i++) {
		uint64_t h = hash_forward(HASH_START, r->v[i].domain);
		put(r, (struct slot){h, NULL, r->v[i].domain});
		put(r, (struct slot){hash_backward(HASH_STEP(h, '@'), r->v[i].local), &r->v[i],
				     r->v[i].domain});
	}
	return true;
}

/* The slot of a domain (`view` from `at`, `n` octets), or of an address: then the local part is
 * the `n_local` octets before `at` - 1. */
static const struct slot *look_up(const struct redactor *r, uint64_t hash, const struct view *view,
				  size_t at, size_t n, size_t n_local)
{
	for (size_t i = (size_t)(hash ^ hash >> 32);; i++) {
		const struct slot *slot = &r->slots[i & (r->n_slots - 1)];
		if (!slot->domain.p)
			return NULL;
		if (slot->hash != hash || !slot->hidden != !n_local || slot->domain.n != n ||
		    memcmp(slot->domain.p, view->c + at, n) != 0)
			continue;
		if (!n_local || (slot->hidden->local.n == n_local &&
				 !memcmp(slot->hidden->local.p, view->c + at - 1 - n_local, n_local)))
			return slot;
	}
}

static bool domain_char(uint8_t c)
{
	return ascii_is_alpha((char)c) || ascii_is_digit((char)c) || c == '-' || c == '.' ||
	       c >= 0x80;
}

static bool local_starts_at(const struct view *v, size_t at)
{
	if (at == 0 || v->to[at - 1] != v->from[at])
		return true;
	uint8_t c = v->c[at - 1];
	return !ascii_is_alpha((char)c) && !ascii_is_digit((char)c) && c < 0x80;
}

static void add_cut(struct redactor *r, struct cuts *cuts, struct cut cut)
{
	if (arena_grow(r->arena, (void **)&cuts->v, cuts->n, &cuts->cap, sizeof(*cuts->v)))
		cuts->v[cuts->n++] = cut;
}

/* The longest local part before the separator at `sep`, behind which a domain of `n` octets with
 * hash `h` matched. */
static bool match_local(struct redactor *r, const struct view *v, size_t sep, size_t n, uint64_t h,
			struct cuts *cuts)
{
	const struct hidden *best = NULL;
	size_t best_start = 0;
	h = HASH_STEP(h, '@');
	for (size_t k = 1; k <= LOCAL_BYTES && k <= sep; k++) {
		h = HASH_STEP(h, v->c[sep - k]);
		const struct slot *slot = look_up(r, h, v, sep + 1, n, k);
		if (slot && local_starts_at(v, sep - k)) {
			best = slot->hidden;
			best_start = sep - k;
		}
	}
	if (!best)
		return false;
	add_cut(r, cuts, (struct cut){v->from[best_start], v->to[sep + n], best});
	return true;
}

static void search_view(struct redactor *r, const struct view *v, struct cuts *cuts)
{
	for (size_t i = 1; i + 1 < v->n; i++) {
		if (v->c[i] != '@' && v->c[i] != '=')
			continue;
		uint64_t h = HASH_START;
		for (size_t n = 1; n <= DOMAIN_BYTES && i + n < v->n; n++) {
			if (!domain_char(v->c[i + n]))
				break;
			h = HASH_STEP(h, v->c[i + n]);
			if (look_up(r, h, v, i + 1, n, 0) && match_local(r, v, i, n, h, cuts))
				break;
		}
	}
}

static const enum view_layer sequences[2][12] = {
	{VIEW_QP, VIEW_WORDS, VIEW_WIDE, VIEW_PERCENT, VIEW_ENTITY, VIEW_PERCENT, VIEW_ENTITY,
	 VIEW_ESCAPE, VIEW_UTF7, VIEW_WIDE, VIEW_SQUEEZE, VIEW_LAYERS},
	{VIEW_QP, VIEW_TAGS, VIEW_PERCENT, VIEW_ENTITY, VIEW_WIDE, VIEW_TAGS, VIEW_SQUEEZE,
	 VIEW_LAYERS},
};

static void search_layers(struct redactor *r, struct span text, size_t sequence, struct cuts *cuts)
{
	struct view v;
	if (!redact_view_init(&v, text, r->arena))
		return;
	search_view(r, &v, cuts);
	for (size_t i = 0; sequences[sequence][i] != VIEW_LAYERS; i++) {
		view_layer(&v, sequences[sequence][i]);
		search_view(r, &v, cuts);
	}
}

/* --- base64 and hexadecimal inside texts --------------------------------------- */

static int base64_value(char c)
{
	static const char alphabet[] =
		"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
	if (c == '-' || c == '_')
		return c == '-' ? 62 : 63;
	const char *at = c ? strchr(alphabet, c) : NULL;
	return at ? (int)(at - alphabet) : -1;
}

static int hex_digit(char c)
{
	c = ascii_lower(c);
	return ascii_is_digit(c) ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* `bits` of each character from `s`, as octets. */
static size_t unpack(struct span s, unsigned bits, int (*value)(char c), char *out)
{
	size_t n = 0;
	unsigned buffer = 0, have = 0;
	for (size_t i = 0; i < s.n; i++) {
		buffer = (buffer << bits | (unsigned)value(s.p[i])) & 0xffff;
		have += bits;
		if (have < 8)
			continue;
		have -= 8;
		out[n++] = (char)(buffer >> have);
	}
	return n;
}

/* A run is cut whole: what is left of an encoded address would be half of it. */
static void search_run(struct redactor *r, struct span text, struct span run, unsigned bits,
		       int (*value)(char c), char *scratch, struct cuts *cuts)
{
	size_t phases = bits == 6 ? 4 : 2;
	for (size_t phase = 0; phase < phases; phase++) {
		struct span bytes = {scratch,
				     unpack(span_sub(run, phase, run.n), bits, value, scratch)};
		struct cuts inner = {NULL, 0, 0};
		if (span_find_char(bytes, '@') == SIZE_MAX && span_find_char(bytes, '=') == SIZE_MAX &&
		    span_find_char(bytes, '%') == SIZE_MAX)
			continue;
		search_layers(r, bytes, 0, &inner);
		if (!inner.n)
			continue;
		uint32_t from = (uint32_t)(run.p - text.p);
		add_cut(r, cuts, (struct cut){from, from + (uint32_t)run.n, inner.v[0].hidden});
		return;
	}
}

static void search_runs(struct redactor *r, struct span text, unsigned bits, size_t least,
			int (*value)(char c), struct cuts *cuts)
{
	char *scratch = NULL;
	for (size_t i = 0; i < text.n;) {
		size_t from = i;
		while (i < text.n && value(text.p[i]) >= 0)
			i++;
		if (i - from >= least) {
			if (!scratch && !(scratch = arena_alloc(r->arena, text.n + 1)))
				return;
			search_run(r, text, span_sub(text, from, i), bits, value, scratch, cuts);
		}
		i += i == from;
	}
}

/* --- texts ------------------------------------------------------------------------ */

static int cut_cmp(const void *a, const void *b)
{
	const struct cut *x = a, *y = b;
	if (x->from != y->from)
		return x->from < y->from ? -1 : 1;
	return x->to > y->to ? -1 : x->to < y->to;
}

static struct cuts search(struct redactor *r, struct span text)
{
	struct cuts cuts = {NULL, 0, 0};
	if (r->n == 0 || text.n < 3 || text.n >= UINT32_MAX || !index_addresses(r))
		return cuts;
	search_layers(r, text, 0, &cuts);
	if (span_find_char(text, '<') != SIZE_MAX)
		search_layers(r, text, 1, &cuts);
	search_runs(r, text, 6, BASE64_RUN, base64_value, &cuts);
	search_runs(r, text, 4, HEX_RUN, hex_digit, &cuts);
	return cuts;
}

bool redact_finds(struct redactor *r, struct span text)
{
	return search(r, text).n > 0;
}

struct span redact_text(struct redactor *r, struct span text)
{
	struct cuts cuts = search(r, text);
	if (cuts.n == 0)
		return text;
	qsort(cuts.v, cuts.n, sizeof(*cuts.v), cut_cmp);
	size_t room = text.n, at = 0, n = 0;
	for (size_t i = 0; i < cuts.n; i++)
		room += cuts.v[i].hidden->shown.n;
	char *out = arena_alloc(r->arena, room + 1);
	if (!out)
		return SPAN_NONE;
	for (size_t i = 0; i < cuts.n; i++) {
		const struct cut *cut = &cuts.v[i];
		if (cut->from < at) { /* the same address in a deeper layer */
			if (cut->to > at)
				at = cut->to;
			continue;
		}
		memcpy(out + n, text.p + at, cut->from - at);
		n += cut->from - at;
		memcpy(out + n, cut->hidden->shown.p, cut->hidden->shown.n);
		n += cut->hidden->shown.n;
		at = cut->to;
	}
	memcpy(out + n, text.p + at, text.n - at);
	return (struct span){out, n + text.n - at};
}
