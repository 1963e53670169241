#include "capture/smtp.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/id.h"
#include "base/limits.h"

enum verb {
	VERB_BANNER, /* the server speaks first */
	VERB_HELO,
	VERB_EHLO,
	VERB_LHLO,
	VERB_MAIL,
	VERB_RCPT,
	VERB_DATA,
	VERB_CONTENT, /* the end of data behind DATA */
	VERB_BDAT,
	VERB_RSET,
	VERB_STARTTLS,
	VERB_AUTH,
	VERB_XCLIENT,
	VERB_XFORWARD,
	VERB_QUIT,
	VERB_OTHER,
};

/* A command that waits for its reply. */
struct command {
	struct command *next;
	enum verb verb;
	bool last, pipelined;
	struct octets *body; /* BDAT LAST: the message */
	bool body_holed;
	int64_t time_us;
	char args[]; /* NUL behind it */
};

enum client_state {
	CLIENT_COMMAND,
	CLIENT_WAIT,    /* DATA was said: what comes next depends on the reply */
	CLIENT_CONTENT, /* behind 354 */
	CLIENT_CHUNK,   /* octets of BDAT */
	CLIENT_SECRET,  /* one line of SASL */
	CLIENT_TLS_WAIT, /* STARTTLS was accepted: TLS, or plaintext of a decrypted mirror */
	CLIENT_TLS,
};

struct smtp {
	struct smtp_options options;
	struct smtp_events events;
	void *arg;
	const char *file;
	struct smtp_counters *counters;
	struct arena arena; /* of the session */
	char id[ID_BYTES];
	struct tcp_connection c;
	bool known_port, spoken, one_sided, client_gap, server_gap, lmtp, authenticated, proxied;
	bool loss, conflicted, skip_line, tls_seen, plain_after_tls, ended;
	struct ip peer;
	uint16_t port;
	struct span helo;
	struct txn_tls tls;
	int64_t now_us;
	uint64_t fed[2];

	/* client */
	enum client_state state;
	struct buf line, held;
	uint64_t chunk_left;
	struct command *chunk;
	struct octets *body; /* of the BDAT message that is arriving */
	bool body_holed;
	struct eod eod;
	struct octets *content;
	uint64_t hole_at;

	/* server */
	struct buf reply_line, reply_text;
	int reply_code;
	struct txn_reply last_reply;

	struct command *first, **last;
	unsigned n_commands;

	struct txn *txn;
	unsigned n_txn;
	unsigned lmtp_left;   /* final replies still to come */
	bool doubtful;        /* the answer came, but more replies may show another end of data */
	struct octets *doubtful_content;
	bool doubtful_whole;
};

static void client_octets(struct smtp *s, struct span octets);
static void handle_reply(struct smtp *s, int code, struct span text);

/* --- transactions ------------------------------------------------------------------- */

static struct span copy_or_none(struct arena *a, struct span v)
{
	return v.p ? arena_copy(a, v) : SPAN_NONE;
}

static struct txn *begin_txn(struct smtp *s, int64_t time_us)
{
	struct txn *t = txn_create(TXN_PCAP, time_us);
	if (!t)
		return NULL;
	t->time_prov = PROV_SEEN;
	t->file = copy_or_none(&t->arena, span_of(s->file));
	t->session = arena_copy(&t->arena, span_of(s->id));
	t->tx = ++s->n_txn;
	t->peer = s->peer;
	t->peer_prov = PROV_SEEN;
	t->port = s->port;
	t->helo = (struct txn_text){copy_or_none(&t->arena, s->helo),
				    s->helo.p ? PROV_SEEN : PROV_UNKNOWN};
	t->tls = s->tls;
	t->tls.version = copy_or_none(&t->arena, s->tls.version);
	t->tls.cipher = copy_or_none(&t->arena, s->tls.cipher);
	t->tls.sni = copy_or_none(&t->arena, s->tls.sni);
	t->flags |= (s->c.midstream ? TXN_MIDSTREAM : 0) | (s->lmtp ? TXN_LMTP : 0) |
		    (s->proxied ? TXN_PROXIED : 0) | (s->authenticated ? TXN_AUTH : 0) |
		    (s->one_sided ? TXN_ONE_SIDED : 0) |
		    (s->plain_after_tls ? TXN_PLAIN_AFTER_STARTTLS : 0);
	s->txn = t;
	return t;
}

static void emit(struct smtp *s)
{
	struct txn *t = s->txn;
	if (!t)
		return;
	if (s->doubtful_content) {
		t->flags |= s->eod.flags;
		if (s->eod.candidate && eod_tail_is_commands(&s->eod))
			t->flags |= TXN_SMUGGLING;
		octets_give(s->doubtful_content, t, s->doubtful_whole);
		s->doubtful_content = NULL;
	}
	s->doubtful = false;
	s->txn = NULL;
	s->lmtp_left = 0;
	if (s->loss)
		t->flags |= TXN_CAPTURE_LOSS;
	if (s->conflicted)
		t->flags |= TXN_OVERLAP_CONFLICT;
	s->loss = s->conflicted = false;
	s->counters->transactions++;
	s->events.transaction(s->arg, t);
}

/* The message is over: it goes to the transaction when that is emitted. */
static void finish_content(struct smtp *s, struct octets *content, bool whole)
{
	if (!s->txn && !begin_txn(s, s->now_us)) {
		octets_free(content);
		return;
	}
	octets_free(s->doubtful_content);
	s->doubtful_content = content;
	s->doubtful_whole = whole;
	s->txn->complete = whole;
}

/* --- the queue ------------------------------------------------------------------------ */

static struct command *push(struct smtp *s, enum verb verb, struct span args)
{
	if (s->n_commands >= LIMIT_PENDING_COMMANDS) {
		s->counters->commands_dropped++;
		return NULL;
	}
	struct command *c = malloc(sizeof(*c) + args.n + 1);
	if (!c)
		return NULL;
	*c = (struct command){.verb = verb, .pipelined = s->first != NULL, .time_us = s->now_us};
	if (args.n)
		memcpy(c->args, args.p, args.n);
	c->args[args.n] = '\0';
	*s->last = c;
	s->last = &c->next;
	s->n_commands++;
	return c;
}

static struct command *pop(struct smtp *s)
{
	struct command *c = s->first;
	if (!c)
		return NULL;
	s->first = c->next;
	if (!s->first)
		s->last = &s->first;
	s->n_commands--;
	return c;
}

static void free_command(struct command *c)
{
	if (c)
		octets_free(c->body);
	free(c);
}

/* --- reading commands -------------------------------------------------------------------- */

static const struct {
	const char *word;
	enum verb verb;
} verbs[] = {
	{"HELO", VERB_HELO},	 {"EHLO", VERB_EHLO}, {"LHLO", VERB_LHLO}, {"MAIL", VERB_MAIL},
	{"RCPT", VERB_RCPT},	 {"DATA", VERB_DATA}, {"BDAT", VERB_BDAT}, {"RSET", VERB_RSET},
	{"STARTTLS", VERB_STARTTLS}, {"AUTH", VERB_AUTH}, {"XCLIENT", VERB_XCLIENT},
	{"XFORWARD", VERB_XFORWARD}, {"QUIT", VERB_QUIT}, {"NOOP", VERB_OTHER},
	{"VRFY", VERB_OTHER},	 {"EXPN", VERB_OTHER}, {"HELP", VERB_OTHER}, {"ETRN", VERB_OTHER},
};

static bool find_verb(struct span line, enum verb *verb_r, struct span *args_r)
{
	size_t n = 0;
	while (n < line.n && (ascii_is_alpha(line.p[n])))
		n++;
	for (size_t i = 0; i < sizeof(verbs) / sizeof(verbs[0]); i++)
		if (span_case_eq(span_sub(line, 0, n), span_of(verbs[i].word))) {
			*verb_r = verbs[i].verb;
			*args_r = span_trim(span_sub(line, n, line.n));
			return true;
		}
	return false;
}

/* The address of "FROM:<a@b> SIZE=1", and the parameters behind it. Clients also write
 * "FROM: a@b" and "FROM:<a@b" (RFC 5321 section 4.1.1.2 as the field has it). */
static struct span path_of(struct span args, const char *keyword, struct span *parameters_r)
{
	struct span key = span_of(keyword);
	if (span_case_starts(args, key))
		args = span_sub(args, key.n, args.n);
	args = span_trim(args);
	if (args.n && args.p[0] == ':')
		args = span_trim(span_sub(args, 1, args.n));
	size_t end;
	if (args.n && args.p[0] == '<') {
		bool quoted = false;
		for (end = 1; end < args.n && (quoted || args.p[end] != '>'); end++) {
			if (args.p[end] == '"')
				quoted = !quoted;
			else if (args.p[end] == '\\')
				end++;
		}
		if (end > args.n)
			end = args.n;
		*parameters_r = span_sub(args, end + 1, args.n);
		return span_trim(span_sub(args, 1, end));
	}
	for (end = 0; end < args.n && !ascii_is_space(args.p[end]); end++)
		continue;
	*parameters_r = span_sub(args, end, args.n);
	return span_sub(args, 0, end);
}

static bool has_parameter(struct span parameters, const char *word)
{
	struct span w;
	while (span_next_word(&parameters, &w))
		if (span_case_eq(w, span_of(word)))
			return true;
	return false;
}

/* --- what a command does, once its reply is there ------------------------------------------- */

static void set_reply(struct arena *a, struct txn_reply *r, int code, struct span text)
{
	r->code = code;
	r->enhanced = SPAN_NONE;
	/* "5.1.1 text" (RFC 2034): class . subject . detail */
	size_t n = 0, dots = 0;
	while (n < text.n && (ascii_is_digit(text.p[n]) || text.p[n] == '.'))
		dots += text.p[n++] == '.';
	if (dots == 2 && n >= 5 && n <= 9 && (n == text.n || ascii_is_space(text.p[n])) &&
	    text.p[1] == '.' && text.p[0] == '0' + code / 100) {
		r->enhanced = arena_copy(a, span_sub(text, 0, n));
		text = span_trim(span_sub(text, n, text.n));
	}
	r->text = arena_copy(a, text);
}

static void do_mail(struct smtp *s, const struct command *c, int code, struct span text)
{
	emit(s);
	struct txn *t = begin_txn(s, c->time_us);
	if (!t)
		return;
	struct span parameters;
	struct span from = path_of(span_of(c->args), "FROM", &parameters);
	from = arena_copy(&t->arena, from);
	t->mail_from = (struct txn_text){{from.p ? from.p : "", from.n}, PROV_SEEN};
	if (has_parameter(parameters, "SMTPUTF8"))
		t->flags |= TXN_SMTPUTF8;
	if (has_parameter(parameters, "BODY=8BITMIME"))
		t->flags |= TXN_8BITMIME;
	if (code >= 400)
		set_reply(&t->arena, &t->reply, code, text);
}

static void do_rcpt(struct smtp *s, const struct command *c, int code, struct span text)
{
	if (!s->txn && !begin_txn(s, c->time_us))
		return;
	struct txn *t = s->txn;
	struct span parameters;
	struct span to = path_of(span_of(c->args), "TO", &parameters);
	struct txn_rcpt *r = txn_add_rcpt(t);
	if (r) {
		*r = (struct txn_rcpt){.to = arena_copy(&t->arena, to), .prov = PROV_SEEN};
		if (code)
			set_reply(&t->arena, &r->reply, code, text);
	}
	if (c->pipelined)
		t->flags |= TXN_PIPELINED;
}

static unsigned accepted_rcpts(const struct txn *t)
{
	unsigned n = 0;
	for (size_t i = 0; i < t->n_rcpts; i++)
		n += t->rcpts[i].reply.code / 100 == 2;
	return n;
}

/* The answer to the end of data. LMTP has one for each accepted recipient, in their order. */
static void final_reply(struct smtp *s, int code, struct span text)
{
	struct txn *t = s->txn;
	if (!t)
		return;
	if (s->lmtp_left) {
		unsigned index = accepted_rcpts(t) - s->lmtp_left, seen = 0;
		for (size_t i = 0; i < t->n_rcpts; i++)
			if (t->rcpts[i].reply.code / 100 == 2 && seen++ == index && code >= 400)
				set_reply(&t->arena, &t->rcpts[i].reply, code, text);
		s->lmtp_left--;
		if (code >= 400 || t->reply.code == 0)
			set_reply(&t->arena, &t->reply, code, text);
		if (s->lmtp_left == 0)
			emit(s);
		return;
	}
	if (code)
		set_reply(&t->arena, &t->reply, code, text);
	if (s->eod.candidate && s->doubtful_content)
		s->doubtful = true; /* another reading is possible: see extra_reply() */
	else
		emit(s);
}

static void begin_content(struct smtp *s)
{
	s->state = CLIENT_CONTENT;
	eod_start(&s->eod, s->options.eod);
	octets_free(s->content);
	s->content = octets_create(s->options.keep, s->options.hash);
	if (!s->txn)
		begin_txn(s, s->now_us);
}

static void release_held(struct smtp *s)
{
	if (s->held.n == 0)
		return;
	struct buf held = s->held;
	s->held = BUF_INIT;
	client_octets(s, buf_span(&held));
	buf_free(&held);
}

static void do_data(struct smtp *s, const struct command *c, int code, struct span text)
{
	if (!s->txn && !begin_txn(s, c->time_us))
		return;
	if (c->pipelined)
		s->txn->flags |= TXN_PIPELINED;
	if (code == 354 || code == 0) {
		begin_content(s);
	} else {
		set_reply(&s->txn->arena, &s->txn->reply, code, text);
		if (s->state == CLIENT_WAIT)
			s->state = CLIENT_COMMAND;
	}
	release_held(s);
}

static void do_bdat(struct smtp *s, struct command *c, int code, struct span text)
{
	if (!s->txn && !begin_txn(s, c->time_us))
		return;
	s->txn->flags |= TXN_BDAT;
	if (c->last && c->body) {
		s->eod.candidate = false;
		s->eod.flags = 0;
		finish_content(s, c->body, !c->body_holed);
		c->body = NULL;
		s->lmtp_left = s->lmtp ? accepted_rcpts(s->txn) : 0;
		final_reply(s, code, text);
	} else if (code >= 400) {
		set_reply(&s->txn->arena, &s->txn->reply, code, text);
	}
}

static void reset_session(struct smtp *s)
{
	emit(s);
	octets_free(s->body);
	s->body = NULL;
	s->body_holed = false;
}

/* "ADDR=192.0.2.1 PORT=51000 HELO=x" of XCLIENT and XFORWARD; values are xtext (RFC 3461). */
static void do_forward(struct smtp *s, struct span args)
{
	struct span word;
	while (span_next_word(&args, &word)) {
		size_t equals = span_find_char(word, '=');
		struct span value = span_sub(word, equals == SIZE_MAX ? word.n : equals + 1, word.n);
		uint64_t port;
		struct ip ip;
		if (span_case_starts(word, SPAN("ADDR="))) {
			if (span_case_starts(value, SPAN("IPV6:")))
				value = span_sub(value, 5, value.n);
			if (ip_parse(value, &ip)) {
				s->peer = ip;
				s->proxied = true;
			}
		} else if (span_case_starts(word, SPAN("PORT=")) && span_number(value, 65535, &port)) {
			s->port = (uint16_t)port;
		} else if (span_case_starts(word, SPAN("HELO=")) && value.n &&
			   !span_eq(value, SPAN("[UNAVAILABLE]"))) {
			s->helo = arena_copy(&s->arena, value);
		}
	}
}

static void do_hello(struct smtp *s, const struct command *c)
{
	reset_session(s); /* RFC 5321 section 4.1.4: an accepted EHLO is an RSET too */
	struct span args = span_of(c->args), word;
	s->helo = span_next_word(&args, &word) ? arena_copy(&s->arena, word) : SPAN("");
	s->lmtp = c->verb == VERB_LHLO;
}

static void apply(struct smtp *s, struct command *c, int code, struct span text)
{
	bool ok = code / 100 == 2 || code == 0;
	switch (c->verb) {
	case VERB_HELO:
	case VERB_EHLO:
	case VERB_LHLO:
		if (ok)
			do_hello(s, c);
		break;
	case VERB_MAIL:
		do_mail(s, c, code, text);
		break;
	case VERB_RCPT:
		do_rcpt(s, c, code, text);
		break;
	case VERB_DATA:
		do_data(s, c, code, text);
		break;
	case VERB_CONTENT:
		final_reply(s, code, text);
		break;
	case VERB_BDAT:
		do_bdat(s, c, code, text);
		break;
	case VERB_RSET:
		if (ok)
			reset_session(s);
		break;
	case VERB_STARTTLS:
		if (code == 220) {
			reset_session(s);
			s->state = CLIENT_TLS_WAIT;
		}
		break;
	case VERB_AUTH:
		s->authenticated |= code == 235;
		break;
	case VERB_XCLIENT:
		if (ok) {
			reset_session(s);
			s->helo = SPAN_NONE;
			do_forward(s, span_of(c->args));
		}
		break;
	case VERB_XFORWARD:
		if (ok)
			do_forward(s, span_of(c->args));
		break;
	case VERB_QUIT:
		if (ok)
			emit(s);
		break;
	case VERB_BANNER:
	case VERB_OTHER:
		break;
	}
}

/* Everything that waits is taken as done, with its answer unknown. */
static void settle_unanswered(struct smtp *s, const struct command *until)
{
	while (s->first && s->first != until) {
		struct command *c = pop(s);
		if (c->verb != VERB_BANNER)
			apply(s, c, 0, SPAN_NONE);
		free_command(c);
	}
}

/* --- the client's octets ------------------------------------------------------------------------ */

static void take_bdat(struct smtp *s, struct span args)
{
	struct span word;
	uint64_t n = 0;
	bool ok = span_next_word(&args, &word) && span_number(word, UINT64_MAX / 4, &n);
	bool last = span_next_word(&args, &word) && span_case_eq(word, SPAN("LAST"));
	struct command *c = push(s, ok ? VERB_BDAT : VERB_OTHER, args);
	if (!c || !ok)
		return; /* a size that is no number: the server refuses it and reads on */
	c->last = last;
	s->chunk = c;
	s->chunk_left = n;
	s->state = CLIENT_CHUNK;
	if (!s->body)
		s->body = octets_create(s->options.keep, s->options.hash);
}

static void end_chunk(struct smtp *s)
{
	if (s->chunk->last) {
		s->chunk->body = s->body;
		s->chunk->body_holed = s->body_holed;
		s->body = NULL;
		s->body_holed = false;
	}
	s->chunk = NULL;
	s->state = CLIENT_COMMAND;
}

static void take_command(struct smtp *s, struct span line)
{
	enum verb verb;
	struct span args;
	if (!find_verb(line, &verb, &args)) {
		if (line.n || s->first)
			push(s, VERB_OTHER, SPAN_NONE);
		return;
	}
	if (verb == VERB_BDAT) {
		take_bdat(s, args);
		return;
	}
	if (verb == VERB_RSET) {
		octets_free(s->body);
		s->body = NULL;
		s->body_holed = false;
	}
	/* the mechanism's name is no secret, the initial response is */
	push(s, verb, verb == VERB_AUTH || verb == VERB_OTHER ? SPAN_NONE : args);
	if (verb == VERB_DATA)
		s->state = CLIENT_WAIT;
	if (s->one_sided)
		settle_unanswered(s, NULL);
}

/* Takes one command line off `*rest`; what is no whole line is kept. */
static void command_line(struct smtp *s, struct span *rest)
{
	size_t lf = span_find_char(*rest, '\n');
	size_t n = lf == SIZE_MAX ? rest->n : lf + 1;
	struct span part = span_sub(*rest, 0, n);
	*rest = span_sub(*rest, n, rest->n);
	if (!s->skip_line && s->line.n + n > LIMIT_COMMAND_BYTES) {
		s->counters->long_lines++;
		s->skip_line = true;
		buf_reset(&s->line);
		push(s, VERB_OTHER, SPAN_NONE);
	}
	if (s->skip_line) {
		s->skip_line = lf == SIZE_MAX;
		return;
	}
	if (lf != SIZE_MAX && s->line.n == 0) {
		take_command(s, span_trim(part));
		return;
	}
	buf_add(&s->line, part);
	if (lf == SIZE_MAX)
		return;
	struct buf line = s->line;
	s->line = BUF_INIT;
	take_command(s, span_trim(buf_span(&line)));
	buf_free(&line);
}

static void content(struct smtp *s, struct span *rest)
{
	if (!s->content || !eod_feed(&s->eod, s->content, rest))
		return;
	struct octets *o = s->content;
	s->content = NULL;
	s->state = CLIENT_COMMAND;
	bool whole = !s->txn || s->txn->n_holes == 0;
	finish_content(s, o, whole);
	s->lmtp_left = s->lmtp && s->txn ? accepted_rcpts(s->txn) : 0;
	for (unsigned i = 0; i < (s->lmtp_left ? s->lmtp_left : 1); i++)
		push(s, VERB_CONTENT, SPAN_NONE);
	if (s->one_sided)
		settle_unanswered(s, NULL);
}

static void chunk(struct smtp *s, struct span *rest)
{
	size_t n = s->chunk_left < rest->n ? (size_t)s->chunk_left : rest->n;
	if (s->body && n)
		octets_add(s->body, span_sub(*rest, 0, n));
	*rest = span_sub(*rest, n, rest->n);
	s->chunk_left -= n;
	if (s->chunk_left == 0)
		end_chunk(s);
	if (s->one_sided && s->state == CLIENT_COMMAND)
		settle_unanswered(s, NULL);
}

static bool starts_like_command(struct span octets)
{
	struct span line, args;
	enum verb verb;
	return span_next_line(&octets, &line) && find_verb(span_trim(line), &verb, &args);
}

/* STARTTLS was accepted. A record of type handshake is TLS; anything else is what a mirror shows
 * that decrypted it. */
static void after_starttls(struct smtp *s, struct span octets)
{
	s->tls_seen = true;
	if (octets.p[0] == 0x16) {
		s->state = CLIENT_TLS;
		s->tls.on = true;
		smtp_read_client_hello(octets, &s->arena, &s->tls);
	} else {
		s->state = CLIENT_COMMAND;
		s->plain_after_tls = true;
		s->tls.on = true;
	}
	s->helo = SPAN_NONE;
}

/* New octets of the client, though the server's answers to all before them were due: replies were
 * lost. */
static void settle_lost_replies(struct smtp *s, struct span octets)
{
	if (!s->server_gap)
		return;
	s->server_gap = false;
	if (s->state == CLIENT_WAIT && starts_like_command(octets)) {
		/* DATA was refused */
		while (s->first) {
			struct command *c = pop(s);
			if (c->verb != VERB_DATA && c->verb != VERB_BANNER)
				apply(s, c, 0, SPAN_NONE);
			free_command(c);
		}
		s->state = CLIENT_COMMAND;
		return;
	}
	settle_unanswered(s, NULL);
}

static void client_octets(struct smtp *s, struct span rest)
{
	while (rest.n) {
		switch (s->state) {
		case CLIENT_COMMAND:
			if (s->doubtful)
				emit(s); /* the client goes on: the strict reading was right */
			command_line(s, &rest);
			break;
		case CLIENT_WAIT:
			if (s->one_sided) {
				begin_content(s);
				break;
			}
			if (s->held.n + rest.n <= LIMIT_HELD_BYTES) {
				buf_add(&s->held, rest);
				return;
			}
			settle_unanswered(s, NULL); /* no answer for 1 MiB: it was lost */
			if (s->state == CLIENT_WAIT)
				s->state = CLIENT_COMMAND;
			break;
		case CLIENT_CONTENT:
			content(s, &rest);
			if (s->state == CLIENT_CONTENT)
				return;
			break;
		case CLIENT_CHUNK:
			chunk(s, &rest);
			break;
		case CLIENT_SECRET: {
			size_t lf = span_find_char(rest, '\n');
			if (lf == SIZE_MAX)
				return;
			rest = span_sub(rest, lf + 1, rest.n);
			push(s, VERB_AUTH, SPAN_NONE);
			s->state = CLIENT_COMMAND;
			break;
		}
		case CLIENT_TLS_WAIT:
			after_starttls(s, rest);
			break;
		case CLIENT_TLS:
			return;
		}
		if (s->state == CLIENT_CHUNK && s->chunk_left == 0)
			chunk(s, &rest); /* BDAT 0 */
	}
}

/* --- the server's octets ------------------------------------------------------------------------- */

/* A reply that no command asked for. Behind a doubtful end of data it shows that the receiver saw
 * the end at the looser place: what stood behind it were commands. */
static bool extra_reply(struct smtp *s, int code, struct span text)
{
	if (!s->doubtful || !s->eod.candidate || !s->doubtful_content) {
		s->counters->unmatched_replies++;
		return false;
	}
	struct buf tail = s->eod.tail;
	s->eod.tail = BUF_INIT;
	octets_cut(s->doubtful_content);
	s->eod.candidate = false;
	s->txn->flags |= TXN_SMUGGLING;
	emit(s);
	client_octets(s, buf_span(&tail));
	buf_free(&tail);
	if (s->first)
		handle_reply(s, code, text);
	return true;
}

/* The server answered though the end of data was not seen: it lies in a gap, or the receiver took
 * a looser form for it, or it gave up on us. */
static void reply_inside_content(struct smtp *s, int code, struct span text)
{
	struct octets *o = s->content;
	s->content = NULL;
	s->state = CLIENT_COMMAND;
	buf_reset(&s->line);
	if (s->eod.candidate && (!s->txn || s->txn->n_holes == 0)) {
		struct buf tail = s->eod.tail;
		s->eod.tail = BUF_INIT;
		octets_cut(o);
		s->eod.candidate = false;
		finish_content(s, o, true);
		if (s->txn)
			s->txn->flags |= TXN_SMUGGLING;
		final_reply(s, code, text);
		client_octets(s, buf_span(&tail));
		buf_free(&tail);
		return;
	}
	s->skip_line = s->eod.state == 0 && s->client_gap; /* the rest of a content line */
	finish_content(s, o, false);
	final_reply(s, code, text);
}

static void handle_reply(struct smtp *s, int code, struct span text)
{
	set_reply(&s->arena, &s->last_reply, code, text);
	if (s->server_gap && s->first) {
		/* Replies were lost: a 354 belongs to DATA, a 220 or 221 to what asks for it. */
		enum verb want = code == 354 ? VERB_DATA : code == 221 ? VERB_QUIT : VERB_OTHER;
		struct command *c = s->first;
		while (c && c->verb != want)
			c = c->next;
		if (c && want != VERB_OTHER) {
			settle_unanswered(s, c);
			s->server_gap = false;
		} else if (!s->first->next) {
			s->server_gap = false;
		}
	}
	if (s->first && s->first->verb == VERB_AUTH && code == 334) {
		free_command(pop(s));
		s->state = CLIENT_SECRET;
		return;
	}
	struct command *c = pop(s);
	if (c) {
		apply(s, c, code, text);
		free_command(c);
		return;
	}
	if (s->state == CLIENT_CONTENT && code != 354)
		reply_inside_content(s, code, text);
	else if (code == 354 && s->state == CLIENT_COMMAND)
		begin_content(s); /* the DATA itself was lost */
	else if (!extra_reply(s, code, text) && code == 421)
		s->ended = true;
}

static void reply_line(struct smtp *s, struct span line)
{
	if (line.n && line.p[line.n - 1] == '\r')
		line.n--;
	bool code = line.n >= 3 && line.p[0] >= '2' && line.p[0] <= '5' && ascii_is_digit(line.p[1]) &&
		    ascii_is_digit(line.p[2]) &&
		    (line.n == 3 || line.p[3] == ' ' || line.p[3] == '-');
	if (!code) {
		s->counters->unmatched_replies++;
		return;
	}
	if (s->reply_text.n && s->reply_text.n < LIMIT_REPLY_TEXT_BYTES)
		buf_addc(&s->reply_text, '\n');
	if (s->reply_text.n < LIMIT_REPLY_TEXT_BYTES)
		buf_add(&s->reply_text, span_sub(line, 4, 4 + LIMIT_REPLY_TEXT_BYTES));
	if (line.n > 3 && line.p[3] == '-')
		return;
	int number = (line.p[0] - '0') * 100 + (line.p[1] - '0') * 10 + (line.p[2] - '0');
	struct buf text = s->reply_text;
	s->reply_text = BUF_INIT;
	handle_reply(s, number, buf_span(&text));
	buf_free(&text);
}

static void server_octets(struct smtp *s, struct span rest)
{
	while (rest.n) {
		if (s->state == CLIENT_TLS) {
			if (!s->tls.cipher.p)
				smtp_read_server_hello(rest, &s->arena, &s->tls);
			return;
		}
		size_t lf = span_find_char(rest, '\n');
		size_t n = lf == SIZE_MAX ? rest.n : lf + 1;
		if (s->reply_line.n + n <= LIMIT_COMMAND_BYTES)
			buf_add(&s->reply_line, span_sub(rest, 0, n));
		rest = span_sub(rest, n, rest.n);
		if (lf == SIZE_MAX)
			return;
		struct buf line = s->reply_line;
		s->reply_line = BUF_INIT;
		reply_line(s, span_sub(buf_span(&line), 0, line.n ? line.n - 1 : 0));
		buf_free(&line);
	}
}

/* --- the outside ----------------------------------------------------------------------------------- */

struct smtp *smtp_create(const struct tcp_connection *c, const struct smtp_options *options,
			 const struct smtp_events *events, void *arg, const char *file,
			 struct smtp_counters *counters, bool known_port)
{
	struct smtp *s = calloc(1, sizeof(*s));
	if (!s)
		return NULL;
	s->options = *options;
	s->events = *events;
	s->arg = arg;
	s->file = file;
	s->counters = counters;
	s->c = *c;
	s->known_port = known_port;
	s->peer = c->client;
	s->port = c->client_port;
	s->now_us = c->start_us;
	s->last = &s->first;
	arena_init(&s->arena, LIMIT_SESSION_BYTES);
	id_make(c->start_us, s->id);
	if (!c->midstream)
		push(s, VERB_BANNER, SPAN_NONE);
	return s;
}

/* The first octets decide whether this is SMTP at all. */
static bool is_smtp(struct smtp *s, enum tcp_side side, struct span octets)
{
	struct span line, args;
	enum verb verb;
	bool reply = octets.n >= 4 && ascii_is_digit(octets.p[0]) && ascii_is_digit(octets.p[1]) &&
		     ascii_is_digit(octets.p[2]) && (octets.p[3] == ' ' || octets.p[3] == '-');
	span_next_line(&octets, &line);
	if (side == TCP_SERVER)
		return s->known_port ? reply || octets.n < 4
				     : reply && line.p[0] == '2' && line.p[1] == '2' &&
					       (span_case_find(line, SPAN("SMTP")) != SIZE_MAX ||
						span_case_find(line, SPAN("LMTP")) != SIZE_MAX);
	return s->known_port || (find_verb(line, &verb, &args) &&
				 (verb == VERB_EHLO || verb == VERB_HELO || verb == VERB_LHLO));
}

/* A PROXY header, or TLS from the first octet (port 465). False: wait for more. */
static bool first_client_octets(struct smtp *s, struct span *octets)
{
	buf_add(&s->held, *octets);
	struct span all = buf_span(&s->held);
	int r = smtp_take_proxy(&all, &s->peer, &s->port);
	if (r < 0)
		return false;
	s->proxied |= r > 0;
	*octets = all;
	return true;
}

bool smtp_feed(struct smtp *s, enum tcp_side side, struct span octets, int64_t time_us,
	       bool one_sided)
{
	s->now_us = time_us;
	if (s->fed[side] == 0 && s->fed[!side] == 0 && !is_smtp(s, side, octets) &&
	    !(side == TCP_CLIENT && s->known_port)) {
		s->counters->not_smtp++;
		s->ended = true;
		return false;
	}
	bool first = side == TCP_CLIENT && !s->spoken;
	s->fed[side] += octets.n;
	if (side == TCP_SERVER) {
		server_octets(s, octets);
		return true;
	}
	struct buf held = BUF_INIT;
	if (first && !s->c.midstream) {
		if (!first_client_octets(s, &octets))
			return true;
		held = s->held;
		s->held = BUF_INIT;
		if (octets.n && octets.p[0] == 0x16)
			s->state = CLIENT_TLS_WAIT;
	}
	s->spoken = true;
	s->one_sided = one_sided;
	if (octets.n)
		settle_lost_replies(s, octets);
	client_octets(s, octets);
	buf_free(&held);
	return true;
}

void smtp_gap(struct smtp *s, enum tcp_side side, uint64_t length, int64_t time_us)
{
	s->now_us = time_us;
	if (side == TCP_SERVER) {
		s->server_gap = true;
		buf_reset(&s->reply_line);
		buf_reset(&s->reply_text);
		return;
	}
	s->client_gap = true;
	s->spoken = true;
	switch (s->state) {
	case CLIENT_CONTENT:
		if (s->txn)
			txn_add_hole(s->txn, s->content ? octets_size(s->content) : 0, length);
		eod_gap(&s->eod);
		break;
	case CLIENT_CHUNK: {
		uint64_t n = length < s->chunk_left ? length : s->chunk_left;
		if (s->txn)
			txn_add_hole(s->txn, s->body ? octets_size(s->body) : 0, n);
		s->body_holed = true;
		s->chunk_left -= n;
		if (s->chunk_left == 0)
			end_chunk(s);
		if (n == length)
			break;
		buf_reset(&s->line);
		s->skip_line = true;
		break;
	}
	case CLIENT_TLS:
		break;
	default:
		/* commands are lost; what comes next may begin inside a line */
		buf_reset(&s->line);
		buf_reset(&s->held);
		s->skip_line = true;
	}
}

void smtp_conflict(struct smtp *s)
{
	s->conflicted = true;
}

void smtp_capture_loss(struct smtp *s)
{
	s->loss = true;
}

static void tell_session(struct smtp *s)
{
	struct smtp_session session = {.id = s->id, .time_us = s->c.start_us, .peer = s->peer,
				       .port = s->port, .helo = s->helo, .tls = s->tls,
				       .reply = s->last_reply,
				       .octets = {s->fed[0], s->fed[1]}};
	s->counters->sessions++;
	s->events.session(s->arg, &session);
}

void smtp_end(struct smtp *s, int64_t time_us)
{
	s->now_us = time_us;
	if (s->content) {
		finish_content(s, s->content, false);
		s->content = NULL;
	}
	settle_unanswered(s, NULL);
	if (s->content) { /* the last DATA was never answered, and nothing followed */
		octets_free(s->content);
		s->content = NULL;
	}
	emit(s);
	if (s->n_txn == 0 && !(s->ended && s->fed[0] + s->fed[1] == 0))
		tell_session(s);
	octets_free(s->body);
	octets_free(s->doubtful_content);
	eod_free(&s->eod);
	buf_free(&s->line);
	buf_free(&s->held);
	buf_free(&s->reply_line);
	buf_free(&s->reply_text);
	while (s->first)
		free_command(pop(s));
	arena_free(&s->arena);
	free(s);
}
