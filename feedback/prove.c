#include "feedback/prove.h"

#include <errno.h>
#include <event2/event.h>
#include <string.h>

#include "analyze/auth.h"
#include "base/clock.h"
#include "base/limits.h"
#include "feedback/letter.h"

/* --- asking ------------------------------------------------------------------------ */

/* Questions of one session: asked, waited for, asked again until all answers are there. */
struct asking {
	struct event_base *loop;
	struct dns *dns;
	struct dns_session *session;
	bool woken, waiting;
};

static int asking_open(struct asking *a, const struct config *config)
{
	*a = (struct asking){.loop = event_base_new()};
	if (!a->loop)
		return -ENOMEM;
	int r = dns_create(&a->dns, a->loop, config);
	return r == DNS_E_FAULTS || r == DNS_E_NO_ZONE ? PROVE_E_ZONE : r;
}

static void asking_close(struct asking *a)
{
	dns_free(a->dns);
	if (a->loop)
		event_base_free(a->loop);
}

static void on_wake(void *arg)
{
	((struct asking *)arg)->woken = true;
}

static const struct dns_answer *ask(struct asking *a, struct span name, enum dns_type type)
{
	const struct dns_answer *answer = dns_get(a->session, name, type);
	a->waiting |= answer->status == DNS_WAIT;
	return answer;
}

/* Runs `step` until it misses no answer. */
static int settle(struct asking *a, void (*step)(struct asking *a, void *arg), void *arg)
{
	a->session = dns_session_create(a->dns, on_wake, a);
	if (!a->session)
		return -ENOMEM;
	int r = 0;
	for (;;) {
		a->waiting = a->woken = false;
		step(a, arg);
		if (!a->waiting)
			break;
		while (!a->woken && r == 0)
			if (event_base_loop(a->loop, EVLOOP_ONCE) != 0 && !a->woken)
				r = -EDEADLK; /* nothing to wait for: a bug of ours */
		if (r < 0)
			break;
	}
	return r;
}

static void settled(struct asking *a)
{
	dns_session_release(a->session);
	a->session = NULL;
}

enum proven { PROVEN, NOT_PROVEN, NOT_KNOWN };

struct proof_run {
	const struct registry_sender *sender;
	struct span subject;
	const struct filing_range *range;
	struct ip first; /* of the addresses that this session asks for */
	unsigned n;
	struct arena *arena;
	enum proven result;
	struct span detail;
	uint64_t failed, unknown;
};

/* --- the TXT record ------------------------------------------------------------------ */

static void step_txt(struct asking *a, void *arg)
{
	struct proof_run *run = arg;
	struct span name = arena_printf(run->arena, "_assay.%.*s", SPAN_ARG(run->subject));
	struct span want =
		arena_printf(run->arena, "assay-token=%.*s", SPAN_ARG(run->sender->token));
	const struct dns_answer *txt = ask(a, name, DNS_TXT);
	run->result = txt->status == DNS_UNKNOWN ? NOT_KNOWN : NOT_PROVEN;
	if (txt->status == DNS_UNKNOWN)
		run->detail = arena_printf(run->arena, "the DNS did not tell: %s", txt->why);
	else if (txt->status == DNS_ABSENT)
		run->detail = arena_printf(run->arena, "no TXT record at %.*s", SPAN_ARG(name));
	else
		run->detail = SPAN("the TXT record has no such token");
	for (size_t i = 0; i < txt->n; i++)
		if (span_eq(span_trim(txt->records[i].name), want)) {
			run->result = PROVEN;
			run->detail = arena_printf(run->arena, "TXT record at %.*s", SPAN_ARG(name));
		}
}

/* --- names of addresses ----------------------------------------------------------------- */

/* Addresses that one session asks for: three questions each, within its deadline. */
#define ADDRESSES_AT_ONCE 64
/* Names of one address that are looked at (as for SPF, RFC 7208 section 4.6.4). */
#define NAMES_AT_MOST 10

static void ip_add(struct ip *ip, unsigned n)
{
	for (int i = ip->family == 4 ? 3 : 15; i >= 0 && n; i--) {
		n += ip->bytes[i];
		ip->bytes[i] = (uint8_t)n;
		n >>= 8;
	}
}

static bool within(const struct filing_range *range, struct span name)
{
	for (size_t i = 0; i < range->n_domains; i++)
		if (domain_covers(range->domains[i], name))
			return true;
	return range->n_domains == 0;
}

static enum proven points_back(struct asking *a, const struct ip *ip, struct span name)
{
	const struct dns_answer *back = ask(a, name, ip->family == 4 ? DNS_A : DNS_AAAA);
	for (size_t i = 0; i < back->n; i++)
		if (ip_eq(&back->records[i].ip, ip))
			return PROVEN;
	return back->status == DNS_UNKNOWN ? NOT_KNOWN : NOT_PROVEN;
}

static enum proven check_address(struct asking *a, struct proof_run *run, const struct ip *ip,
				 const char **why_r)
{
	char reverse[IP_REVERSE_BYTES];
	const struct dns_answer *ptr = ask(a, span_of(ip_reverse(ip, reverse)), DNS_PTR);
	enum proven result = ptr->status == DNS_UNKNOWN ? NOT_KNOWN : NOT_PROVEN;
	*why_r = "has no reverse name (PTR)";
	for (size_t i = 0; i < ptr->n && i < NAMES_AT_MOST && result != PROVEN; i++) {
		enum proven back = points_back(a, ip, ptr->records[i].name);
		*why_r = "has a reverse name that does not point back";
		if (back == PROVEN && !within(run->range, ptr->records[i].name)) {
			*why_r = "has a reverse name outside of the domains filed for it";
			back = NOT_PROVEN;
		}
		if (back == PROVEN || (back == NOT_KNOWN && result == NOT_PROVEN))
			result = back;
	}
	return result;
}

static void step_ptr(struct asking *a, void *arg)
{
	struct proof_run *run = arg;
	char text[IP_TEXT_BYTES];
	struct ip ip = run->first;
	uint64_t failed = 0, unknown = 0;
	struct span detail = SPAN_NONE;
	for (unsigned i = 0; i < run->n; i++, ip_add(&ip, 1)) {
		const char *why;
		enum proven result = check_address(a, run, &ip, &why);
		failed += result == NOT_PROVEN;
		unknown += result == NOT_KNOWN;
		if (result == NOT_PROVEN && !detail.p && !a->waiting)
			detail = arena_printf(run->arena, "%s %s", ip_text(&ip, text), why);
	}
	if (a->waiting)
		return;
	run->failed += failed;
	run->unknown += unknown;
	if (!run->detail.p)
		run->detail = detail;
}

static int run_ptr(struct asking *a, struct proof_run *run)
{
	const struct ip_prefix *prefix = &run->range->prefix;
	unsigned host_bits = (prefix->ip.family == 4 ? 32 : 128) - prefix->bits;
	if (host_bits >= 31 || (1u << host_bits) > LIMIT_PROOF_ADDRESSES) {
		run->result = NOT_PROVEN;
		run->detail = SPAN("the range is too large to ask for every address");
		return 0;
	}
	unsigned total = 1u << host_bits;
	run->first = prefix->ip;
	for (unsigned at = 0; at < total; at += run->n, ip_add(&run->first, run->n)) {
		run->n = total - at < ADDRESSES_AT_ONCE ? total - at : ADDRESSES_AT_ONCE;
		int r = settle(a, step_ptr, run);
		settled(a);
		if (r < 0)
			return r;
	}
	run->result = run->failed ? NOT_PROVEN : run->unknown ? NOT_KNOWN : PROVEN;
	if (run->failed > 1)
		run->detail = arena_printf(run->arena, "%.*s, and %llu more", SPAN_ARG(run->detail),
					   (unsigned long long)run->failed - 1);
	else if (run->result == NOT_KNOWN)
		run->detail = arena_printf(run->arena, "the DNS did not tell for %llu addresses",
					   (unsigned long long)run->unknown);
	else if (run->result == PROVEN)
		run->detail = arena_printf(run->arena, "%u addresses have names that point back",
					   total);
	return 0;
}

/* --- a filing ----------------------------------------------------------------------------- */

static int run_txt(struct asking *a, struct proof_run *run)
{
	int r = settle(a, step_txt, run);
	settled(a);
	return r;
}

static const struct filing_range *range_of(const struct filing *f, struct span subject)
{
	struct ip_prefix prefix;
	if (ip_prefix_parse(subject, &prefix))
		for (size_t i = 0; i < f->n_ranges; i++)
			if (f->ranges[i].prefix.bits == prefix.bits &&
			    ip_eq(&f->ranges[i].prefix.ip, &prefix.ip))
				return &f->ranges[i];
	return NULL;
}

static int prove_one(struct registry *reg, struct asking *a, const struct registry_sender *s,
		     const struct registry_proof *proof, struct arena *arena)
{
	struct proof_run run = {.sender = s, .subject = proof->subject, .arena = arena};
	int r;
	if (proof->kind == PROOF_DNS) {
		r = run_txt(a, &run);
	} else {
		run.range = range_of(registry_reviewed(s), proof->subject);
		r = run.range ? run_ptr(a, &run) : -EINVAL;
	}
	if (r < 0 || run.result == NOT_KNOWN)
		return r;
	return registry_prove(reg, s->key, proof->kind, proof->subject, run.result == PROVEN,
			      run.detail);
}

int prove_names(struct registry *reg, const struct config *config, struct span key)
{
	struct arena arena;
	struct registry_sender s;
	struct asking a = {.loop = NULL};
	arena_init(&arena, LIMIT_ARENA_BYTES);
	int r = registry_get(reg, key, &arena, &s);
	if (r == 0)
		r = asking_open(&a, config);
	for (size_t i = 0; r == 0 && i < s.n_proofs; i++)
		if (s.proofs[i].kind == PROOF_DNS || s.proofs[i].kind == PROOF_PTR)
			r = prove_one(reg, &a, &s, &s.proofs[i], &arena);
	asking_close(&a);
	arena_free(&arena);
	return r;
}

/* --- mails ------------------------------------------------------------------------------- */

static int send_one(struct registry *reg, struct queue *q, const struct config *config,
		    const struct keys *keys, struct span key, const struct registry_proof *proof,
		    struct arena *arena)
{
	char token[REGISTRY_TOKEN_BYTES];
	int r = registry_token(reg, key, proof->kind, proof->subject, token);
	if (r != 0)
		return r;
	struct letter l = {
		.sender = key, .kind = SPAN("proof"), .to = proof->subject,
		.subject = arena_printf(arena, "Confirm this address for the sender %.*s", SPAN_ARG(key)),
		.text = arena_printf(arena,
			"%s keeps a registry of the senders of marketing mail. Somebody has filed the sender\n"
			"\"%.*s\" there, with this address. If this is right, give the provider this token:\n\n"
			"    %s\n\n"
			"If it is not, do nothing: without the token the address is not confirmed.\n\n"
			"%s 设有营销邮件发送方登记。有人以此地址登记了发送方 \"%.*s\"。\n"
			"若属实，请将上面的令牌告知邮箱服务提供方；若非如此，无需理会。\n",
			config->host, SPAN_ARG(key), token, config->host, SPAN_ARG(key)),
	};
	r = queue_begin(q);
	if (r == 0)
		r = queue_end(q, letter_put(q, config, keys, &l, clock_now_us(), arena));
	return r < 0 ? r : registry_asked(reg, key, proof->kind, proof->subject);
}

static bool by_mail(const struct registry_proof *proof)
{
	return proof->kind == PROOF_POSTMASTER || proof->kind == PROOF_ABUSE ||
	       proof->kind == PROOF_FEEDBACK;
}

int prove_send(struct registry *reg, struct queue *q, const struct config *config, struct span key,
	       unsigned *sent_r)
{
	struct arena arena;
	struct registry_sender s;
	struct keys keys;
	*sent_r = 0;
	if (!config->report.from)
		return PROVE_E_FROM;
	int r = keys_open(&keys, config->state);
	if (r < 0)
		return r;
	arena_init(&arena, LIMIT_ARENA_BYTES);
	r = registry_get(reg, key, &arena, &s);
	for (size_t i = 0; r == 0 && i < s.n_proofs; i++) {
		if (!by_mail(&s.proofs[i]) || s.proofs[i].made_us)
			continue;
		r = send_one(reg, q, config, &keys, s.key, &s.proofs[i], &arena);
		*sent_r += r == 0;
		r = r == REGISTRY_E_STATE ? 0 : r; /* asked today */
	}
	if (r == 0)
		r = queue_write_events(q, config->state);
	arena_free(&arena);
	return r;
}

/* --- a signed mail ------------------------------------------------------------------------- */

struct mail_run {
	struct auth auth;
	struct message message;
	struct auth_query query;
	struct arena *arena;
};

static void step_dkim(struct asking *a, void *arg)
{
	struct mail_run *run = arg;
	a->waiting = dkim_check(&run->auth, &run->message, &run->query, a->session, run->arena) ==
		     STEP_WAIT;
}

/* A mail from a file may have lost its CRs; what was signed had them. */
static struct span with_crlf(struct span s, struct arena *arena)
{
	char *p = arena_alloc(arena, 2 * s.n + 1);
	size_t n = 0;
	for (size_t i = 0; p && i < s.n; i++) {
		if (s.p[i] == '\n' && (i == 0 || s.p[i - 1] != '\r'))
			p[n++] = '\r';
		p[n++] = s.p[i];
	}
	return p ? (struct span){p, n} : SPAN_NONE;
}

/* What of the mail a signature covers has the token. */
static bool holds_token(const struct message *m, const struct dkim_result *sig, struct span token)
{
	for (size_t i = 0; i < sig->n_signed_fields; i++)
		if (span_eq(sig->signed_fields[i], SPAN("subject")) &&
		    span_find(m->subject, token) != SIZE_MAX)
			return true;
	size_t body = span_find(m->octets, SPAN("\r\n\r\n"));
	return !sig->appended && body != SIZE_MAX &&
	       span_find(span_sub(m->octets, body, m->octets.n), token) != SIZE_MAX;
}

static int judge_mail(struct registry *reg, const struct registry_sender *s,
		      const struct mail_run *run, struct buf *what)
{
	const struct filing *f = registry_reviewed(s);
	const char *why = run->auth.n_dkim ? "no signature of a filed DKIM domain passes"
					   : "it is not signed";
	for (size_t i = 0; i < run->auth.n_dkim; i++) {
		const struct dkim_result *sig = &run->auth.dkim[i];
		for (size_t k = 0; k < f->n_dkim; k++) {
			if (!span_case_eq(sig->d, f->dkim[k]) || sig->result != AUTH_PASS)
				continue;
			if (!holds_token(&run->message, sig, s->token)) {
				why = "what is signed does not hold the token of the sender";
				continue;
			}
			buf_addf(what, "dkim %.*s", SPAN_ARG(f->dkim[k]));
			struct span detail = arena_printf(run->arena, "signed mail, selector %.*s",
							  SPAN_ARG(sig->s));
			return registry_prove(reg, s->key, PROOF_DKIM, f->dkim[k], true, detail);
		}
	}
	buf_adds(what, why);
	return PROVE_E_MAIL;
}

int prove_mail(struct registry *reg, const struct config *config, struct span key,
	       struct span octets, struct buf *what)
{
	struct arena arena;
	struct registry_sender s;
	struct asking a = {.loop = NULL};
	struct mail_run run = {.arena = &arena, .query = {.time_us = clock_now_us(),
							  .host = config->host}};
	arena_init(&arena, 4 * LIMIT_ARENA_BYTES);
	int r = registry_get(reg, key, &arena, &s);
	if (r == 0)
		r = message_parse(&run.message, &arena, with_crlf(octets, &arena));
	if (r == 0)
		r = asking_open(&a, config);
	if (r == 0) {
		r = settle(&a, step_dkim, &run);
		if (r == 0)
			r = judge_mail(reg, &s, &run, what);
		settled(&a);
	}
	asking_close(&a);
	arena_free(&arena);
	return r;
}
