/* A reader for each statement of assay.conf(5). */
#include "base/config_private.h"

#include "base/ip.h"
#include "base/limits.h"

static bool read_state(struct parser *p)
{
	p->config->state_given = true;
	return config_take_path(p, "a folder", &p->config->state);
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
		if (!config_take_address(p, &address) ||
		    !arena_grow(&c->arena, (void **)&texts->v, texts->n, &cap, sizeof(*texts->v)))
			return false;
		texts->v[texts->n++] = address;
	} while (cluster && config_goes_on(p));
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
	return config_take_option_name(p, names, 1, &i) &&
	       config_take_duration(p, &p->config->dns.deadline_us);
}

static bool read_forwarders(struct parser *p)
{
	struct config *c = p->config;
	struct config_texts list, *servers = &c->dns.servers;
	double port = 53;
	size_t n = 0;
	struct place at = p->lexer.token.at;
	if (!config_take_list(p, "an IP address", &list, false))
		return false;
	for (; n < list.n && strcmp(list.v[n], "port") != 0; n++) {
		struct ip ip;
		if (ip_parse(span_of(list.v[n]), &ip))
			continue;
		at.line = list.at[n].line;
		at.column = list.at[n].column;
		diag_error(p->diag, at, "'%s' is no IP address", list.v[n]);
		return false;
	}
	if (n < list.n &&
	    (n == 0 || list.n != n + 2 || !parse_decimal(span_of(list.v[n + 1]), &port) ||
	     port < 1 || port > 65535 || port != (int)port)) {
		diag_error(p->diag, at, "'port' needs one number from 1 to 65535 at the end");
		return false;
	}
	config_set_texts(c, servers, list.v, n);
	for (size_t i = 0; i < servers->n; i++)
		servers->v[i] = arena_printf(&c->arena, "%s@%d", list.v[i], (int)port).p;
	return true;
}

static bool read_dns(struct parser *p)
{
	static const char *const kinds[] = {"resolv.conf", "forward", "zone"};
	size_t kind = config_take_choice(p, "DNS source", kinds, 3);
	if (kind == SIZE_MAX)
		return false;
	p->config->dns.source = (enum dns_source)kind;
	if (kind == DNS_FORWARD && !read_forwarders(p))
		return false;
	if (kind == DNS_ZONE && !config_take_path(p, "a zone file", &p->config->dns.zone))
		return false;
	return config_take_options(p, dns_option, NULL);
}

static bool read_dmarc(struct parser *p)
{
	static const char *const standards[] = {"rfc9989", "rfc7489"};
	size_t i = config_take_choice(p, "DMARC standard", standards, 2);
	if (i != SIZE_MAX)
		p->config->dmarc = (enum dmarc_standard)i;
	return i != SIZE_MAX;
}

/* A field name (RFC 5322 section 2.2), short enough for a line with its value. */
static bool take_field_name(struct parser *p, const char **name_r)
{
	struct token t = p->lexer.token;
	struct span s = config_take(p, "the name of a field");
	if (!s.p)
		return false;
	for (size_t k = 0; k < s.n; k++)
		if (s.n > 70 || s.p[k] <= ' ' || s.p[k] >= 0x7f || s.p[k] == ':') {
			diag_error(p->diag, t.at, "'%.*s' is no name of a header field",
				   SPAN_ARG(s));
			return false;
		}
	*name_r = config_keep(p, s);
	return true;
}

static bool listen_option(struct parser *p, void *listener)
{
	static const char *const names[] = {"deadline",	      "mode",		"group",
					    "header-verdict", "header-results", "quarantine"};
	struct config_listener *l = listener;
	size_t i;
	if (!config_take_option_name(p, names, l == &p->config->milter ? 6 : 3, &i))
		return false;
	if (i == 0)
		return config_take_duration(p, &l->deadline_us);
	if (i == 5)
		return p->config->milter_headers.quarantine = true;
	if (i >= 3)
		return take_field_name(p, i == 3 ? &p->config->milter_headers.verdict
						 : &p->config->milter_headers.results);
	struct token t = p->lexer.token;
	struct span s = config_take(p, i == 1 ? "an octal mode" : "a group");
	if (!s.p)
		return false;
	if (i == 2) {
		l->group = config_keep(p, s);
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
	size_t i = config_take_choice(p, "listener", kinds, 3);
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
	return config_take_address(p, &listeners[i]->address) &&
	       config_take_options(p, listen_option, listeners[i]);
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
	if (!config_take_option_name(p, names, 2, &i))
		return false;
	struct token t = p->lexer.token;
	if (i == 1) {
		struct span s = config_take(p, "a size");
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
	if (config_take_choice(p, "way of capture", kinds, 1) == SIZE_MAX)
		return false;
	struct span s = config_take(p, "an interface");
	if (!s.p)
		return false;
	p->config->capture.interface = config_keep(p, s);
	return config_take_options(p, capture_option, NULL);
}

static bool read_spool(struct parser *p)
{
	static const char *const kinds[] = {"maildir", "complaints"};
	struct config_texts *const lists[] = {&p->config->spool_maildirs,
					      &p->config->spool_complaints};
	struct place at = p->lexer.token.at;
	size_t i = config_take_choice(p, "kind of spool", kinds, 2);
	if (i == SIZE_MAX)
		return false;
	if (i == 0)
		only_what_is_named(p);
	if (lists[i]->n) {
		diag_error(p->diag, at, "second 'spool %s'; one takes several folders", kinds[i]);
		return false;
	}
	return config_take_list(p, "a folder", lists[i], true);
}

static bool read_rules(struct parser *p)
{
	return config_take_list(p, "a folder", &p->config->rules, true);
}

static bool read_packs(struct parser *p)
{
	return config_take_list(p, "the name of a pack", &p->config->packs, false);
}

static bool read_name(struct parser *p, const char *what, const char **name_r)
{
	struct span s = config_take(p, what);
	if (s.p)
		*name_r = config_keep(p, s);
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
	struct span s = config_take(p, "a number");
	uint64_t n;
	if (!s.p)
		return false;
	if (!span_number(s, LIMIT_WORKERS, &n) || n == 0) {
		diag_error(p->diag, t.at, "'%.*s' is no number of workers; 1 to %d", SPAN_ARG(s),
			   LIMIT_WORKERS);
		return false;
	}
	p->config->workers = (unsigned)n;
	return true;
}

static bool report_option(struct parser *p, void *arg)
{
	static const char *const names[] = {"dkim", "via", "cap"}, *const ways[] = {"smtp",
										    "folder"};
	struct config *c = p->config;
	size_t i;
	(void)arg;
	if (!config_take_option_name(p, names, 3, &i))
		return false;
	if (i == 2) {
		struct token t = p->lexer.token;
		struct span s = config_take(p, "reports a day");
		if (!s.p || (span_number(s, UINT32_MAX, &c->report.cap) && c->report.cap > 0))
			return s.p != NULL;
		diag_error(p->diag, t.at, "'%.*s' is no number of reports", SPAN_ARG(s));
		return false;
	}
	if (i == 0)
		return read_name(p, "a selector", &c->report.dkim_selector) &&
		       config_take_path(p, "a key file", &c->report.dkim_key_file);
	i = config_take_choice(p, "way of reports", ways, 2);
	if (i == SIZE_MAX)
		return false;
	c->report.via = i == 0 ? REPORT_VIA_SMTP : REPORT_VIA_FOLDER;
	return i == 0 ? config_take_address(p, &c->report.to)
		      : config_take_path(p, "a folder", &c->report.to);
}

static bool read_registry(struct parser *p)
{
	static const char *const places[] = {"local", "redis"};
	size_t i = config_take_choice(p, "place of the registry", places, 2);
	p->config->registry_copied = i == 1;
	return i != SIZE_MAX;
}

static bool read_report(struct parser *p)
{
	static const char *const words[] = {"from"};
	if (config_take_choice(p, "word of 'report'", words, 1) == SIZE_MAX)
		return false;
	struct token t = p->lexer.token;
	if (!read_name(p, "an address", &p->config->report.from))
		return false;
	size_t at = span_find_char(t.text, '@');
	if (at == SIZE_MAX || at == 0 || at + 1 == t.text.n) {
		diag_error(p->diag, t.at, "'%.*s' is no mail address", SPAN_ARG(t.text));
		return false;
	}
	return config_take_options(p, report_option, NULL);
}

static bool complain_option(struct parser *p, void *arg)
{
	static const char *const names[] = {"hold", "jitter"};
	size_t i;
	(void)arg;
	return config_take_option_name(p, names, 2, &i) &&
	       config_take_duration(p, i == 0 ? &p->config->complain.hold_us
					      : &p->config->complain.jitter_us);
}

static bool read_complain(struct parser *p)
{
	if (p->lexer.token.kind != TOKEN_OPEN)
		return lexer_take(&p->lexer, TOKEN_OPEN, "'{'");
	return config_take_options(p, complain_option, NULL);
}

static bool webhook_option(struct parser *p, void *arg)
{
	static const char *const names[] = {"via", "ca"};
	size_t i;
	(void)arg;
	if (!config_take_option_name(p, names, 2, &i))
		return false;
	return i == 0 ? config_take_address(p, &p->config->webhook.via)
		      : config_take_path(p, "a file of certificates", &p->config->webhook.ca);
}

static bool read_webhook(struct parser *p)
{
	if (p->lexer.token.kind != TOKEN_OPEN)
		return lexer_take(&p->lexer, TOKEN_OPEN, "'{'");
	return config_take_options(p, webhook_option, NULL);
}

static bool log_option(struct parser *p, void *arg)
{
	static const char *const names[] = {"compress", "keep"};
	size_t i;
	(void)arg;
	if (!config_take_option_name(p, names, 2, &i))
		return false;
	int64_t *us = i == 0 ? &p->config->log.compress_us : &p->config->log.keep_us;
	if (i == 1 && token_is(&p->lexer.token, "forever")) {
		lexer_next(&p->lexer);
		*us = 0;
		return true;
	}
	struct place at = p->lexer.token.at;
	if (!config_take_duration(p, us))
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
	return config_take_options(p, log_option, NULL);
}

static bool read_dnsbl(struct parser *p)
{
	static const char *const kinds[] = {"ip", "domain", "url"};
	struct config_texts *const lists[] = {&p->config->dnsbl_ip, &p->config->dnsbl_domain,
					      &p->config->dnsbl_url};
	struct place at = p->lexer.token.at;
	size_t i = config_take_choice(p, "kind of block list", kinds, 3);
	if (i == SIZE_MAX)
		return false;
	if (lists[i]->n) {
		diag_error(p->diag, at, "second 'dnsbl %s'; one takes several lists", kinds[i]);
		return false;
	}
	return config_take_list(p, "the domain of a block list", lists[i], false);
}

const struct config_statement config_statements[CONFIG_STATEMENTS] = {
	{"capture", read_capture, false},   {"complain", read_complain, false},
	{"dmarc", read_dmarc, false},	    {"dns", read_dns, false},
	{"dnsbl", read_dnsbl, true},	    {"host", read_host, false},
	{"listen", read_listen, true},	    {"log", read_log, false},
	{"packs", read_packs, false},	    {"redis", read_redis, false},
	{"registry", read_registry, false}, {"report", read_report, false},
	{"rules", read_rules, false},	    {"spool", read_spool, true},
	{"state", read_state, false},	    {"user", read_user, false},
	{"webhook", read_webhook, false},   {"workers", read_workers, false},
};
