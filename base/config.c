/*
 * assay.conf: statements, each beginning with its word. A list (`rules`, `packs`, `dnsbl`) goes
 * on over lines that are indented deeper than its statement. After a fault the parser goes on at
 * the next line that begins a statement, so that all faults are said at once.
 */
#include "base/config.h"

#include <errno.h>
#include <stdio.h>
#include <unistd.h>

#include "base/config_private.h"
#include "base/file.h"
#include "base/limits.h"
#include "base/paths.h"

#define DEFAULT_FILE "/etc/assay/assay.conf"
#define LOCAL_RULES "/etc/assay/rules.d"

/* --- defaults ---------------------------------------------------------------- */

void config_init(struct config *c)
{
	*c = (struct config){.state = "/var/lib/assay", .user = "assay"};
	arena_init(&c->arena, LIMIT_RULE_FILE_BYTES * 3); /* the text is kept */
	c->dns.deadline_us = LIMIT_DNS_DEADLINE_US;
	c->milter = (struct config_listener){.deadline_us = 5000000, .mode = 0660};
	c->policy = c->http = c->milter;
	c->milter_headers.verdict = "X-Assay-Verdict";
	c->milter_headers.results = "Authentication-Results";
	c->milter.address = "unix:/run/assay/milter.sock";
	c->policy.address = "unix:/run/assay/policy.sock";
	c->http.address = "127.0.0.1:8025";
	c->capture.ports[0] = 25;
	c->capture.ports[1] = 587;
	c->capture.n_ports = 2;
	c->capture.ring_bytes = (size_t)64 << 20;
	c->complain.hold_us = c->complain.jitter_us = 600 * 1000000LL;
	c->log.compress_us = 86400 * 1000000LL;
	c->log.keep_us = 90 * 86400 * 1000000LL;
	const char *rules[2] = {path_rules(), LOCAL_RULES};
	config_set_texts(c, &c->rules, rules, access(LOCAL_RULES, F_OK) == 0 ? 2 : 1);
	config_set_texts(c, &c->packs, &(const char *){"isc-1.2"}, 1);
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

unsigned config_workers(const struct config *c)
{
	long cores = sysconf(_SC_NPROCESSORS_ONLN);
	unsigned n = c->workers ? c->workers : cores > 0 ? (unsigned)cores : 1;
	return n > LIMIT_WORKERS ? LIMIT_WORKERS : n;
}

/* --- the file -------------------------------------------------------------------- */

static bool read_statement(struct parser *p)
{
	const struct token word = p->word = p->lexer.token;
	const char *words[CONFIG_STATEMENTS];
	for (size_t i = 0; i < CONFIG_STATEMENTS; i++) {
		words[i] = config_statements[i].word;
		if (!token_is(&word, words[i]))
			continue;
		if (p->seen[i].line && !config_statements[i].several) {
			diag_error(p->diag, word.at, "second '%s', the first stands in line %u",
				   words[i], p->seen[i].line);
			return false;
		}
		p->seen[i] = word.at;
		lexer_next(&p->lexer);
		return config_statements[i].read(p);
	}
	return config_unknown(p, &word, "statement", words, CONFIG_STATEMENTS);
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
		for (size_t i = 0; i < CONFIG_STATEMENTS; i++)
			if (token_is(t, config_statements[i].word)) {
				l->depth = 0;
				return;
			}
	}
}

static struct place place_of(const struct parser *p, const char *word)
{
	size_t i = 0;
	while (strcmp(config_statements[i].word, word) != 0)
		i++;
	return p->seen[i];
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
		diag_error(diag, place_of(&p, "registry"),
			   "'registry redis' needs a Redis that gateways share: "
			   "'redis ADDRESS'");
	if (c->arena.overflowed)
		return -ENOMEM;
	return diag->errors == before ? 0 : CONFIG_E_FAULTS;
}

int config_load_text(struct config *c, const char *file, struct span text)
{
	struct diag diag = {0};
	config_init(c);
	if (!file)
		return 0;
	c->file = arena_str(&c->arena, span_of(file));
	c->text = arena_copy(&c->arena, text);
	int r = c->file && !c->arena.overflowed ? config_parse(c, c->file, c->text, &diag) : -ENOMEM;
	if (r != 0)
		config_free(c);
	return r;
}

int config_load(struct config *c, const char *path)
{
	const char *file = path ? path : DEFAULT_FILE;
	struct file_view view;
	int r = file_view_open(file, LIMIT_RULE_FILE_BYTES, &view);
	if (r == -ENOENT && !path)
		return config_load_text(c, NULL, SPAN_NONE);
	if (r < 0) {
		fprintf(stderr, "%s: error: cannot read: %s\n", file, strerror(-r));
		*c = (struct config){0};
		return r;
	}
	r = config_load_text(c, file, view.bytes);
	file_view_close(&view);
	return r;
}
