/*
 * assay.conf: statements, each beginning with its word. A list (`rules`, `packs`, `dnsbl`) goes
 * on over lines that are indented deeper than its statement. After a fault the parser goes on at
 * the next line that begins a statement, so that all faults are said at once.
 */
#include "base/config.h"

#include <errno.h>
#include <stdio.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/file.h"
#include "base/ip.h"
#include "base/lexer.h"
#include "base/limits.h"
#include "base/paths.h"

#define DEFAULT_FILE "/etc/assay/assay.conf"
#define WORKERS_MAX 64 /* cores of the largest gateways */
#define LOCAL_RULES "/etc/assay/rules.d"

struct parser {
	struct lexer lexer;
	struct config *config;
	struct diag *diag;
	struct token word; /* of the statement being read */
	struct place seen[32];
	bool input; /* a listen, capture or spool statement stood in the file */
};

/* --- defaults ---------------------------------------------------------------- */

static void set_texts(struct config *c, struct config_texts *texts, const char *const *v, size_t n)
{
	*texts = (struct config_texts){ARENA_ARRAY(&c->arena, const char *, n), NULL, n};
	if (texts->v)
		memcpy(texts->v, v, n * sizeof(*v));
	else
		texts->n = 0;
}

static void listen_everywhere(struct config *c)
{
	c->milter.address = "unix:/run/assay/milter.sock";
	c->policy.address = "unix:/run/assay/policy.sock";
	c->http.address = "127.0.0.1:8025";
}

void config_init(struct config *c)
{
	*c = (struct config){.state = "/var/lib/assay", .user = "assay"};
	arena_init(&c->arena, LIMIT_RULE_FILE_BYTES * 2);
	c->dns.deadline_us = LIMIT_DNS_DEADLINE_US;
	c->milter = (struct config_listener){.deadline_us = 5000000, .mode = 0660};
	c->policy = c->http = c->milter;
	c->milter_headers.verdict = "X-Assay-Verdict";
	c->milter_headers.results = "Authentication-Results";
	listen_everywhere(c);
	c->capture.ports[0] = 25;
	c->capture.ports[1] = 587;
	c->capture.n_ports = 2;
	c->capture.ring_bytes = (size_t)64 << 20;
	c->complain.hold_us = c->complain.jitter_us = 600 * 1000000LL;
	c->log.compress_us = 86400 * 1000000LL;
	c->log.keep_us = 90 * 86400 * 1000000LL;
	const char *rules[2] = {path_rules(), LOCAL_RULES};
	set_texts(c, &c->rules, rules, access(LOCAL_RULES, F_OK) == 0 ? 2 : 1);
	set_texts(c, &c->packs, &(const char *){"isc-1.2"}, 1);
	char host[256] = "";
	if (gethostname(host, sizeof(host) - 1) < 0 || !host[0])
		strcpy(host, "localhost");
	c->host = arena_str(&c->arena, span_of(host));
	if (!c->host)
		c->host = "localhost";
}

void config_free(struct config *c)
{
	arena_free(&c->arena);
	*c = (struct config){0};
}

/* --- values ------------------------------------------------------------------ */

static struct span take(struct parser *p, const char *what)
{
	const struct token *t = &p->lexer.token;
	if (t->kind == TOKEN_END || (t->first && t->at.column <= p->word.at.column)) {
		diag_error(p->diag, p->word.at, "'%.*s' needs %s", SPAN_ARG(p->word.text), what);
		return SPAN_NONE;
	}
	return lexer_take_string(&p->lexer, what);
}

static const char *keep(struct parser *p, struct span s)
{
	return arena_str(&p->config->arena, s);
}

static const char *keep_path(struct parser *p, struct span s)
{
	const char *file = p->lexer.token.at.file, *slash = strrchr(file, '/');
	if (s.n == 0 || s.p[0] == '/' || !slash)
		return keep(p, s);
	return arena_printf(&p->config->arena, "%.*s/%.*s", (int)(slash - file), file, SPAN_ARG(s)).p;
}

static bool take_path(struct parser *p, const char *what, const char **path_r)
{
	struct span s = take(p, what);
	if (s.p)
		*path_r = keep_path(p, s);
	return s.p != NULL;
}

static bool take_duration(struct parser *p, int64_t *us_r)
{
	struct token t = p->lexer.token;
	struct span s = take(p, "a duration");
	if (!s.p)
		return false;
	if (parse_duration(s, us_r))
		return true;
	diag_error(p->diag, t.at, "'%.*s' is no duration; write it like 500ms, 3s, 10m, 2h or 7d",
		   SPAN_ARG(s));
	return false;
}

static bool unknown(struct parser *p, const struct token *t, const char *what,
		    const char *const *known, size_t n)
{
	struct diag_guess guess = diag_guess(t->text);
	for (size_t i = 0; i < n; i++)
		diag_guess_try(&guess, span_of(known[i]));
	if (t->kind == TOKEN_WORD || t->kind == TOKEN_TEXT)
		diag_error(p->diag, t->at, "unknown %s %s%s", what, token_name(t),
			   diag_guess_text(&guess));
	else if (t->kind != TOKEN_FAULT)
		diag_error(p->diag, t->at, "expected a %s, not %s", what, token_name(t));
	return false;
}

/* One of `words`; its index, or SIZE_MAX when it was none, and said. */
static size_t take_choice(struct parser *p, const char *what, const char *const *words, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		if (!token_is(&p->lexer.token, words[i]))
			continue;
		lexer_next(&p->lexer);
		return i;
	}
	unknown(p, &p->lexer.token, what, words, n);
	return SIZE_MAX;
}

/* The list goes on: a word or text that does not begin a statement. */
static bool goes_on(const struct parser *p)
{
	const struct token *t = &p->lexer.token;
	return (t->kind == TOKEN_WORD || t->kind == TOKEN_TEXT) &&
	       (!t->first || t->at.column > p->word.at.column);
}

static bool take_list(struct parser *p, const char *what, struct config_texts *texts, bool paths)
{
	struct arena *a = &p->config->arena;
	struct config_place *at = NULL;
	size_t cap = 0, at_cap = 0;
	*texts = (struct config_texts){0};
	if (!goes_on(p)) {
		diag_error(p->diag, p->word.at, "'%.*s' needs %s", SPAN_ARG(p->word.text), what);
		return false;
	}
	while (goes_on(p)) {
		struct place here = p->lexer.token.at;
		struct span s = take(p, what);
		if (!arena_grow(a, (void **)&texts->v, texts->n, &cap, sizeof(*texts->v)) ||
		    !arena_grow(a, (void **)&at, texts->n, &at_cap, sizeof(*at)))
			return false;
		at[texts->n] = (struct config_place){here.line, here.column};
		texts->v[texts->n++] = paths ? keep_path(p, s) : keep(p, s);
	}
	texts->at = at;
	return true;
}

/* `{ NAME value ... }`: calls `option` for each name, which stands before its value. */
static bool take_options(struct parser *p, bool (*option)(struct parser *, void *), void *arg)
{
	if (p->lexer.token.kind != TOKEN_OPEN)
		return true;
	lexer_next(&p->lexer);
	while (p->lexer.token.kind != TOKEN_CLOSE) {
		if (p->lexer.token.kind == TOKEN_END)
			return lexer_take(&p->lexer, TOKEN_CLOSE, "'}'");
		if (!option(p, arg))
			return false;
	}
	lexer_next(&p->lexer);
	return true;
}

static bool take_option_name(struct parser *p, const char *const *names, size_t n, size_t *i_r)
{
	*i_r = take_choice(p, "option", names, n);
	return *i_r != SIZE_MAX;
}

/* "unix:/path", "host:port", "[v6]:port" */
static bool take_address(struct parser *p, const char **address_r)
{
	struct token t = p->lexer.token;
	struct span s = take(p, "an address");
	uint64_t port;
	if (!s.p)
		return false;
	if (span_starts(s, SPAN("unix:")) && s.n > 5) {
		const char *path = keep_path(p, span_sub(s, 5, s.n));
		if (path && strlen(path) >= sizeof((struct sockaddr_un){0}.sun_path)) {
			diag_error(p->diag, t.at, "the path of a socket has %zu octets at most",
				   sizeof((struct sockaddr_un){0}.sun_path) - 1);
			return false;
		}
		*address_r = arena_printf(&p->config->arena, "unix:%s", path ? path : "").p;
		return true;
	}
	size_t colon = span_rfind_char(s, ':');
	if (colon != SIZE_MAX && colon > 0 &&
	    span_number(span_sub(s, colon + 1, s.n), 65535, &port)) {
		*address_r = keep(p, s);
		return true;
	}
	diag_error(p->diag, t.at, "'%.*s' is no address; write unix:/path or host:port",
		   SPAN_ARG(s));
	return false;
}

/* --- statements ---------------------------------------------------------------- */

static bool read_state(struct parser *p)
{
	p->config->state_given = true;
	return take_path(p, "a folder", &p->config->state);
}

static bool read_redis(struct parser *p)
{
	struct config *c = p->config;
	c->redis.addresses = (struct config_texts){0};
	if (token_is(&p->lexer.token, "spawn")) {
		c->redis.kind = REDIS_SPAWN;
		lexer_next(&p->lexer);
		return true;
	}
	bool cluster = token_is(&p->lexer.token, "cluster");
	if (cluster)
		lexer_next(&p->lexer);
	size_t cap = 0;
	do {
		struct config_texts *texts = &c->redis.addresses;
		const char *address = NULL;
		if (!take_address(p, &address) ||
		    !arena_grow(&c->arena, (void **)&texts->v, texts->n, &cap, sizeof(*texts->v)))
			return false;
		texts->v[texts->n++] = address;
	} while (cluster && goes_on(p));
	bool is_unix = c->redis.addresses.v[0] && strncmp(c->redis.addresses.v[0], "unix:", 5) == 0;
	c->redis.kind = cluster ? REDIS_CLUSTER : is_unix ? REDIS_UNIX : REDIS_TCP;
	if (is_unix)
		c->redis.addresses.v[0] += 5;
	return true;
}

static bool dns_option(struct parser *p, void *arg)
{
	static const char *const names[] = {"deadline"};
	size_t i;
	(void)arg;
	return take_option_name(p, names, 1, &i) && take_duration(p, &p->config->dns.deadline_us);
}

static bool read_forwarders(struct parser *p)
{
	struct config *c = p->config;
	struct config_texts list, *servers = &c->dns.servers;
	double port = 53;
	size_t n = 0;
	struct place at = p->lexer.token.at;
	if (!take_list(p, "an IP address", &list, false))
		return false;
	for (; n < list.n && strcmp(list.v[n], "port") != 0; n++) {
		struct ip ip;
		if (ip_parse(span_of(list.v[n]), &ip))
			continue;
		diag_error(p->diag, at, "'%s' is no IP address", list.v[n]);
		return false;
	}
	if (n < list.n && (n == 0 || list.n != n + 2 ||
			   !parse_decimal(span_of(list.v[n + 1]), &port) || port < 1 ||
			   port > 65535 || port != (int)port)) {
		diag_error(p->diag, at, "'port' needs one number from 1 to 65535 at the end");
		return false;
	}
	set_texts(c, servers, list.v, n);
	for (size_t i = 0; i < servers->n; i++)
		servers->v[i] = arena_printf(&c->arena, "%s@%d", list.v[i], (int)port).p;
	return true;
}

static bool read_dns(struct parser *p)
{
	static const char *const kinds[] = {"resolv.conf", "forward", "zone"};
	size_t kind = take_choice(p, "DNS source", kinds, 3);
	if (kind == SIZE_MAX)
		return false;
	p->config->dns.source = (enum dns_source)kind;
	if (kind == DNS_FORWARD && !read_forwarders(p))
		return false;
	if (kind == DNS_ZONE && !take_path(p, "a zone file", &p->config->dns.zone))
		return false;
	return take_options(p, dns_option, NULL);
}

static bool read_dmarc(struct parser *p)
{
	static const char *const standards[] = {"rfc9989", "rfc7489"};
	size_t i = take_choice(p, "DMARC standard", standards, 2);
	if (i != SIZE_MAX)
		p->config->dmarc = (enum dmarc_standard)i;
	return i != SIZE_MAX;
}

/* A field name (RFC 5322 section 2.2), short enough for a line with its value. */
static bool take_field_name(struct parser *p, const char **name_r)
{
	struct token t = p->lexer.token;
	struct span s = take(p, "the name of a field");
	if (!s.p)
		return false;
	for (size_t k = 0; k < s.n; k++)
		if (s.n > 70 || s.p[k] <= ' ' || s.p[k] >= 0x7f || s.p[k] == ':') {
			diag_error(p->diag, t.at, "'%.*s' is no name of a header field",
				   SPAN_ARG(s));
			return false;
		}
	*name_r = keep(p, s);
	return true;
}

static bool listen_option(struct parser *p, void *listener)
{
	static const char *const names[] = {"deadline", "mode", "group", "header-verdict",
					    "header-results", "quarantine"};
	struct config_listener *l = listener;
	size_t i;
	if (!take_option_name(p, names, l == &p->config->milter ? 6 : 3, &i))
		return false;
	if (i == 0)
		return take_duration(p, &l->deadline_us);
	if (i == 5)
		return p->config->milter_headers.quarantine = true;
	if (i >= 3)
		return take_field_name(p, i == 3 ? &p->config->milter_headers.verdict :
						   &p->config->milter_headers.results);
	struct token t = p->lexer.token;
	struct span s = take(p, i == 1 ? "an octal mode" : "a group");
	if (!s.p)
		return false;
	if (i == 2) {
		l->group = keep(p, s);
		return true;
	}
	l->mode = 0;
	for (size_t k = 0; k < s.n; k++) {
		if (s.n > 4 || s.p[k] < '0' || s.p[k] > '7') {
			diag_error(p->diag, t.at, "'%.*s' is no octal mode; write it like 0660",
				   SPAN_ARG(s));
			return false;
		}
		l->mode = l->mode * 8 + (unsigned)(s.p[k] - '0');
	}
	return true;
}

static bool read_listen(struct parser *p)
{
	static const char *const kinds[] = {"milter", "policy", "http"};
	struct config_listener *const listeners[] = {&p->config->milter, &p->config->policy,
						     &p->config->http};
	struct place at = p->lexer.token.at;
	size_t i = take_choice(p, "listener", kinds, 3);
	if (i == SIZE_MAX)
		return false;
	if (!p->input) /* what the file names replaces the defaults */
		for (size_t k = 0; k < 3; k++)
			listeners[k]->address = NULL;
	p->input = true;
	if (listeners[i]->address) {
		diag_error(p->diag, at, "second 'listen %s'", kinds[i]);
		return false;
	}
	return take_address(p, &listeners[i]->address) &&
	       take_options(p, listen_option, listeners[i]);
}

static void only_what_is_named(struct parser *p)
{
	if (!p->input)
		p->config->milter.address = p->config->policy.address = p->config->http.address =
			NULL;
	p->input = true;
}

static bool capture_option(struct parser *p, void *arg)
{
	static const char *const names[] = {"ports", "ring"};
	struct config *c = p->config;
	size_t i;
	(void)arg;
	if (!take_option_name(p, names, 2, &i))
		return false;
	struct token t = p->lexer.token;
	if (i == 1) {
		struct span s = take(p, "a size");
		if (!s.p || parse_size(s, &c->capture.ring_bytes))
			return s.p != NULL;
		diag_error(p->diag, t.at, "'%.*s' is no size; write it like 64M", SPAN_ARG(s));
		return false;
	}
	uint64_t port;
	c->capture.n_ports = 0;
	while (p->lexer.token.kind == TOKEN_WORD &&
	       span_number(p->lexer.token.text, UINT64_MAX, &port)) {
		size_t room = sizeof(c->capture.ports) / sizeof(c->capture.ports[0]);
		if (port < 1 || port > 65535 || c->capture.n_ports == room) {
			diag_error(p->diag, p->lexer.token.at,
				   "'ports' takes up to %zu numbers from 1 to 65535", room);
			return false;
		}
		c->capture.ports[c->capture.n_ports++] = (uint16_t)port;
		lexer_next(&p->lexer);
	}
	if (!c->capture.n_ports)
		diag_error(p->diag, t.at, "'ports' needs a number");
	return c->capture.n_ports > 0;
}

static bool read_capture(struct parser *p)
{
	static const char *const kinds[] = {"interface"};
	only_what_is_named(p);
	if (take_choice(p, "way of capture", kinds, 1) == SIZE_MAX)
		return false;
	struct span s = take(p, "an interface");
	if (!s.p)
		return false;
	p->config->capture.interface = keep(p, s);
	return take_options(p, capture_option, NULL);
}

static bool read_spool(struct parser *p)
{
	static const char *const kinds[] = {"maildir", "complaints"};
	struct config_texts *const lists[] = {&p->config->spool_maildirs,
					      &p->config->spool_complaints};
	struct place at = p->lexer.token.at;
	size_t i = take_choice(p, "kind of spool", kinds, 2);
	if (i == SIZE_MAX)
		return false;
	if (i == 0)
		only_what_is_named(p);
	if (lists[i]->n) {
		diag_error(p->diag, at, "second 'spool %s'; one takes several folders", kinds[i]);
		return false;
	}
	return take_list(p, "a folder", lists[i], true);
}

static bool read_rules(struct parser *p)
{
	return take_list(p, "a folder", &p->config->rules, true);
}

static bool read_packs(struct parser *p)
{
	return take_list(p, "the name of a pack", &p->config->packs, false);
}

static bool read_name(struct parser *p, const char *what, const char **name_r)
{
	struct span s = take(p, what);
	if (s.p)
		*name_r = keep(p, s);
	return s.p != NULL;
}

static bool read_host(struct parser *p)
{
	return read_name(p, "a host name", &p->config->host);
}

static bool read_user(struct parser *p)
{
	return read_name(p, "an account", &p->config->user);
}

static bool read_workers(struct parser *p)
{
	struct token t = p->lexer.token;
	struct span s = take(p, "a number");
	uint64_t n;
	if (!s.p)
		return false;
	if (!span_number(s, WORKERS_MAX, &n) || n == 0) {
		diag_error(p->diag, t.at, "'%.*s' is no number of workers; 1 to %d", SPAN_ARG(s),
			   WORKERS_MAX);
		return false;
	}
	p->config->workers = (unsigned)n;
	return true;
}

unsigned config_workers(const struct config *c)
{
	long cores = sysconf(_SC_NPROCESSORS_ONLN);
	unsigned n = c->workers ? c->workers : cores > 0 ? (unsigned)cores : 1;
	return n > WORKERS_MAX ? WORKERS_MAX : n;
}

static bool report_option(struct parser *p, void *arg)
{
	static const char *const names[] = {"dkim", "via", "cap"}, *const ways[] = {"smtp", "folder"};
	struct config *c = p->config;
	size_t i;
	(void)arg;
	if (!take_option_name(p, names, 3, &i))
		return false;
	if (i == 2) {
		struct token t = p->lexer.token;
		struct span s = take(p, "reports a day");
		if (!s.p || (span_number(s, UINT32_MAX, &c->report.cap) && c->report.cap > 0))
			return s.p != NULL;
		diag_error(p->diag, t.at, "'%.*s' is no number of reports", SPAN_ARG(s));
		return false;
	}
	if (i == 0)
		return read_name(p, "a selector", &c->report.dkim_selector) &&
		       take_path(p, "a key file", &c->report.dkim_key_file);
	i = take_choice(p, "way of reports", ways, 2);
	if (i == SIZE_MAX)
		return false;
	c->report.via = i == 0 ? REPORT_VIA_SMTP : REPORT_VIA_FOLDER;
	return i == 0 ? take_address(p, &c->report.to) : take_path(p, "a folder", &c->report.to);
}

static bool read_registry(struct parser *p)
{
	static const char *const places[] = {"local", "redis"};
	size_t i = take_choice(p, "place of the registry", places, 2);
	p->config->registry_copied = i == 1;
	return i != SIZE_MAX;
}

static bool read_report(struct parser *p)
{
	static const char *const words[] = {"from"};
	if (take_choice(p, "word of 'report'", words, 1) == SIZE_MAX)
		return false;
	struct token t = p->lexer.token;
	if (!read_name(p, "an address", &p->config->report.from))
		return false;
	size_t at = span_find_char(t.text, '@');
	if (at == SIZE_MAX || at == 0 || at + 1 == t.text.n) {
		diag_error(p->diag, t.at, "'%.*s' is no mail address", SPAN_ARG(t.text));
		return false;
	}
	return take_options(p, report_option, NULL);
}

static bool complain_option(struct parser *p, void *arg)
{
	static const char *const names[] = {"hold", "jitter"};
	size_t i;
	(void)arg;
	return take_option_name(p, names, 2, &i) &&
	       take_duration(p, i == 0 ? &p->config->complain.hold_us :
					 &p->config->complain.jitter_us);
}

static bool read_complain(struct parser *p)
{
	if (p->lexer.token.kind != TOKEN_OPEN)
		return lexer_take(&p->lexer, TOKEN_OPEN, "'{'");
	return take_options(p, complain_option, NULL);
}

static bool webhook_option(struct parser *p, void *arg)
{
	static const char *const names[] = {"via", "ca"};
	size_t i;
	(void)arg;
	if (!take_option_name(p, names, 2, &i))
		return false;
	return i == 0 ? take_address(p, &p->config->webhook.via)
		      : take_path(p, "a file of certificates", &p->config->webhook.ca);
}

static bool read_webhook(struct parser *p)
{
	if (p->lexer.token.kind != TOKEN_OPEN)
		return lexer_take(&p->lexer, TOKEN_OPEN, "'{'");
	return take_options(p, webhook_option, NULL);
}

static bool log_option(struct parser *p, void *arg)
{
	static const char *const names[] = {"compress", "keep"};
	size_t i;
	(void)arg;
	if (!take_option_name(p, names, 2, &i))
		return false;
	int64_t *us = i == 0 ? &p->config->log.compress_us : &p->config->log.keep_us;
	if (i == 1 && token_is(&p->lexer.token, "forever")) {
		lexer_next(&p->lexer);
		*us = 0;
		return true;
	}
	struct place at = p->lexer.token.at;
	if (!take_duration(p, us))
		return false;
	/* complaints are matched with the log for so long */
	if (i == 1 && *us < LIMIT_COMPLAINT_US) {
		diag_error(p->diag, at,
			   "'keep' needs 30d or more: complaints ask the log for so long");
		return false;
	}
	return true;
}

static bool read_log(struct parser *p)
{
	if (p->lexer.token.kind != TOKEN_OPEN)
		return lexer_take(&p->lexer, TOKEN_OPEN, "'{'");
	return take_options(p, log_option, NULL);
}

static bool read_dnsbl(struct parser *p)
{
	static const char *const kinds[] = {"ip", "domain", "url"};
	struct config_texts *const lists[] = {&p->config->dnsbl_ip, &p->config->dnsbl_domain,
					      &p->config->dnsbl_url};
	struct place at = p->lexer.token.at;
	size_t i = take_choice(p, "kind of block list", kinds, 3);
	if (i == SIZE_MAX)
		return false;
	if (lists[i]->n) {
		diag_error(p->diag, at, "second 'dnsbl %s'; one takes several lists", kinds[i]);
		return false;
	}
	return take_list(p, "the domain of a block list", lists[i], false);
}

static const struct statement {
	const char *word;
	bool (*read)(struct parser *p);
	bool several; /* may stand more than once */
} statements[] = {
	{"capture", read_capture, false}, {"complain", read_complain, false},
	{"dmarc", read_dmarc, false},	  {"dns", read_dns, false},
	{"dnsbl", read_dnsbl, true},	  {"host", read_host, false},
	{"listen", read_listen, true},	  {"log", read_log, false},
	{"packs", read_packs, false},
	{"redis", read_redis, false},	  {"registry", read_registry, false},
	{"report", read_report, false},
	{"rules", read_rules, false},	  {"spool", read_spool, true},
	{"state", read_state, false},	  {"user", read_user, false},
	{"webhook", read_webhook, false}, {"workers", read_workers, false},
};
#define STATEMENTS (sizeof(statements) / sizeof(statements[0]))

/* --- the file -------------------------------------------------------------------- */

static bool read_statement(struct parser *p)
{
	const struct token word = p->word = p->lexer.token;
	const char *words[STATEMENTS];
	for (size_t i = 0; i < STATEMENTS; i++) {
		words[i] = statements[i].word;
		if (!token_is(&word, words[i]))
			continue;
		if (p->seen[i].line && !statements[i].several) {
			diag_error(p->diag, word.at, "second '%s', the first stands in line %u",
				   words[i], p->seen[i].line);
			return false;
		}
		p->seen[i] = word.at;
		lexer_next(&p->lexer);
		return statements[i].read(p);
	}
	return unknown(p, &word, "statement", words, STATEMENTS);
}

/* Skips what is left of a statement with a fault: up to the next line that begins outside of
 * braces, or with the word of a statement. */
static void recover(struct parser *p)
{
	struct lexer *l = &p->lexer;
	for (;; lexer_next(l)) {
		const struct token *t = &l->token;
		if (t->kind == TOKEN_END)
			return;
		if (!t->first || t->at.line == p->word.at.line ||
		    t->at.column > p->word.at.column || t->kind == TOKEN_CLOSE)
			continue;
		if (l->depth == 0)
			return;
		for (size_t i = 0; i < STATEMENTS; i++)
			if (token_is(t, statements[i].word)) {
				l->depth = 0;
				return;
			}
	}
}

int config_parse(struct config *c, const char *file, struct span bytes, struct diag *diag)
{
	struct parser p = {.config = c, .diag = diag};
	unsigned before = diag->errors;
	lexer_init(&p.lexer, &c->arena, diag, file, bytes);
	while (p.lexer.token.kind != TOKEN_END) {
		unsigned errors = diag->errors;
		if (!read_statement(&p) || diag->errors != errors) {
			recover(&p);
			continue;
		}
		if (p.lexer.token.kind != TOKEN_END && !p.lexer.token.first) {
			if (p.lexer.token.kind != TOKEN_FAULT)
				diag_error(diag, p.lexer.token.at, "unexpected %s behind '%.*s'",
					   token_name(&p.lexer.token), SPAN_ARG(p.word.text));
			recover(&p);
		}
	}
	if (c->registry_copied && c->redis.kind == REDIS_SPAWN)
		diag_error(diag, p.lexer.token.at, "'registry redis' needs a Redis that gateways share: "
						   "'redis ADDRESS'");
	if (c->arena.overflowed)
		return -ENOMEM;
	return diag->errors == before ? 0 : CONFIG_E_FAULTS;
}

int config_load(struct config *c, const char *path)
{
	const char *file = path ? path : DEFAULT_FILE;
	struct file_view view;
	config_init(c);
	int r = file_view_open(file, LIMIT_RULE_FILE_BYTES, &view);
	if (r == -ENOENT && !path)
		return 0;
	if (r < 0) {
		fprintf(stderr, "%s: error: cannot read: %s\n", file, strerror(-r));
		config_free(c);
		return r;
	}
	struct diag diag = {0};
	c->file = arena_str(&c->arena, span_of(file));
	r = c->file ? config_parse(c, c->file, view.bytes, &diag) : -ENOMEM;
	file_view_close(&view);
	if (r != 0)
		config_free(c);
	return r;
}
