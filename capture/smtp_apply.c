#include "capture/smtp_private.h"

#include <stdlib.h>

#include "base/limits.h"

/* --- transactions -------------------------------------------------------------------- */

static struct span copy_or_none(struct arena *a, struct span v)
{
	return v.p ? arena_copy(a, v) : SPAN_NONE;
}

struct txn *smtp_begin_txn(struct smtp *s, int64_t time_us)
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
		    (s->one_sided || !s->fed[TCP_CLIENT] ? TXN_ONE_SIDED : 0) |
		    (s->plain_after_tls ? TXN_PLAIN_AFTER_STARTTLS : 0);
	s->txn = t;
	return t;
}

void smtp_emit(struct smtp *s)
{
	struct txn *t = s->txn;
	if (!t)
		return;
	if (s->message) {
		t->flags |= s->eod.flags;
		if (s->eod.candidate && eod_tail_is_commands(&s->eod))
			t->flags |= TXN_SMUGGLING;
		s->counters->spilled += octets_spilled(s->message);
		octets_give(s->message, t, s->content_ended);
		s->message = NULL;
		s->counters->incomplete += !t->complete;
		s->counters->truncated += t->flags & TXN_TRUNCATED ? 1 : 0;
	}
	s->doubtful = false;
	s->txn = NULL;
	s->lmtp_left = 0;
	if (s->loss)
		t->flags |= TXN_CAPTURE_LOSS;
	s->counters->rcpts_dropped += t->rcpts_seen - t->n_rcpts;
	if (s->conflicted)
		t->flags |= TXN_OVERLAP_CONFLICT;
	s->loss = s->conflicted = false;
	s->counters->transactions++;
	s->events.transaction(s->arg, t);
}

/* The message is over: it goes to the transaction when that is emitted. */
void smtp_finish_content(struct smtp *s, struct octets *content, bool ended)
{
	if (!content || (!s->txn && !smtp_begin_txn(s, s->now_us))) {
		octets_free(content);
		return;
	}
	octets_free(s->message);
	s->message = content;
	s->content_ended = ended;
	s->txn->complete = ended && !octets_has_hole(content);
}

/* --- the queue ----------------------------------------------------------------------- */

struct command *smtp_push(struct smtp *s, enum verb verb, struct span args)
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

/* Replies of LMTP that are still to come stand in front of what was said meanwhile. */
static void push_front(struct smtp *s, enum verb verb)
{
	struct command *before = s->first, **last = s->last;
	s->first = NULL;
	s->last = &s->first;
	struct command *c = smtp_push(s, verb, SPAN_NONE);
	if (c && before) {
		c->next = before;
		s->last = last;
	} else if (!c) {
		s->first = before;
		s->last = before ? last : &s->first;
	}
}

struct command *smtp_pop(struct smtp *s)
{
	struct command *c = s->first;
	if (!c)
		return NULL;
	s->first = c->next;
	if (!s->first)
		s->last = &s->first;
	s->n_commands--;
	if (s->chunk == c)
		s->chunk = NULL; /* answered before all of its octets came */
	return c;
}

void smtp_free_command(struct command *c)
{
	if (c)
		octets_free(c->body);
	free(c);
}

/* --- what a command does, once its reply is there ------------------------------------ */

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
	bool quoted = false;
	for (end = 0; end < args.n && (quoted || !ascii_is_space(args.p[end])); end++)
		if (args.p[end] == '"')
			quoted = !quoted;
		else if (args.p[end] == '\\' && end + 1 < args.n)
			end++;
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

/* The lines of a reply without the enhanced code in front of each. */
static struct span without_prefix(struct arena *a, struct span text, struct span prefix)
{
	char *out = arena_alloc(a, text.n);
	size_t n = 0;
	struct span line;
	while (out && span_next_line(&text, &line)) {
		if (span_starts(line, prefix))
			line = span_trim(span_sub(line, prefix.n, line.n));
		if (n)
			out[n++] = '\n';
		memcpy(out + n, line.p, line.n);
		n += line.n;
	}
	return (struct span){out, out ? n : 0};
}

void smtp_set_reply(struct arena *a, struct txn_reply *r, int code, struct span text)
{
	r->code = code;
	r->enhanced = SPAN_NONE;
	/* "5.1.1 text" (RFC 2034 section 4): class . subject . detail, the same in each line */
	size_t n = 0, dots = 0;
	while (n < text.n && (ascii_is_digit(text.p[n]) || text.p[n] == '.'))
		dots += text.p[n++] == '.';
	if (dots == 2 && n >= 5 && n <= 9 && (n == text.n || ascii_is_space(text.p[n])) &&
	    text.p[1] == '.' && text.p[0] == '0' + code / 100) {
		r->enhanced = arena_copy(a, span_sub(text, 0, n));
		r->text = without_prefix(a, text, r->enhanced);
		return;
	}
	r->text = arena_copy(a, text);
}

static void do_mail(struct smtp *s, const struct command *c, int code, struct span text)
{
	if (code == 503 && s->txn)
		return; /* RFC 5321 section 4.1.4: out of sequence; the transaction goes on */
	smtp_emit(s);
	struct txn *t = smtp_begin_txn(s, c->time_us);
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
		smtp_set_reply(&t->arena, &t->reply, code, text);
}

/* The transaction that a command belongs to. A refused command without a MAIL before it makes
 * none; behind a hole the MAIL may have been there. */
static bool open_txn(struct smtp *s, const struct command *c, int code)
{
	if (!s->txn && (code < 400 || s->c.midstream || s->lost_octets))
		smtp_begin_txn(s, c->time_us);
	return s->txn;
}

static void do_rcpt(struct smtp *s, const struct command *c, int code, struct span text)
{
	if (!open_txn(s, c, code))
		return;
	struct txn *t = s->txn;
	struct span parameters;
	struct span to = path_of(span_of(c->args), "TO", &parameters);
	struct txn_rcpt *r = txn_add_rcpt(t);
	if (r) {
		*r = (struct txn_rcpt){.to = arena_copy(&t->arena, to), .prov = PROV_SEEN};
		if (code)
			smtp_set_reply(&t->arena, &r->reply, code, text);
	}
	if (c->pipelined && !s->one_sided)
		t->flags |= TXN_PIPELINED;
}

unsigned smtp_accepted_rcpts(const struct txn *t)
{
	unsigned n = 0;
	for (size_t i = 0; i < t->n_rcpts; i++)
		n += t->rcpts[i].reply.code / 100 == 2;
	return n;
}

/* The answer to the end of data. LMTP has one for each accepted recipient, in their order. */
void smtp_final_reply(struct smtp *s, int code, struct span text)
{
	struct txn *t = s->txn;
	if (!t)
		return;
	if (s->lmtp_left) {
		unsigned index = smtp_accepted_rcpts(t) - s->lmtp_left, seen = 0;
		for (size_t i = 0; i < t->n_rcpts; i++)
			if (t->rcpts[i].reply.code / 100 == 2 && seen++ == index && code >= 400)
				smtp_set_reply(&t->arena, &t->rcpts[i].reply, code, text);
		s->lmtp_left--;
		if (code >= 400 || t->reply.code == 0)
			smtp_set_reply(&t->arena, &t->reply, code, text);
		if (s->lmtp_left == 0)
			smtp_emit(s);
		return;
	}
	if (code)
		smtp_set_reply(&t->arena, &t->reply, code, text);
	if (s->eod.candidate && s->message)
		s->doubtful = true; /* another reading is possible: see extra_reply() */
	else
		smtp_emit(s);
}

void smtp_begin_content(struct smtp *s)
{
	s->state = CLIENT_CONTENT;
	s->unsynced = s->passed_over = false;
	eod_start(&s->eod, s->options.eod);
	octets_free(s->content);
	s->content = octets_create(s->options.keep, s->options.hash);
	if (!s->txn)
		smtp_begin_txn(s, s->now_us);
}

void smtp_release_held(struct smtp *s)
{
	if (s->held.n == 0)
		return;
	struct buf held = s->held, *outer = s->releasing;
	struct span rest = span_sub(buf_span(&held), s->held_at, held.n);
	s->held = BUF_INIT;
	s->held_at = 0;
	s->releasing = &held;
	smtp_client_octets(s, rest);
	s->releasing = outer;
	buf_free(&held);
}

static void do_data(struct smtp *s, const struct command *c, int code, struct span text)
{
	bool open = open_txn(s, c, code);
	if (open && c->pipelined && !s->one_sided)
		s->txn->flags |= TXN_PIPELINED;
	if (code / 100 == 2 && s->state == CLIENT_WAIT) {
		/* no answer that RFC 5321 knows: what the client made of it shows in what it sends */
		s->state = CLIENT_UNSURE;
		if (open)
			smtp_set_reply(&s->txn->arena, &s->txn->reply, code, text);
	} else if (code == 354 || code == 0) {
		smtp_begin_content(s);
		if (s->wait_lost && s->content)
			octets_hole(s->content, s->wait_lost);
	} else {
		if (open)
			smtp_set_reply(&s->txn->arena, &s->txn->reply, code, text);
		if (s->state == CLIENT_WAIT)
			s->state = CLIENT_COMMAND;
	}
	s->wait_lost = 0;
	smtp_release_held(s);
}

static void do_bdat(struct smtp *s, struct command *c, int code, struct span text)
{
	if (!open_txn(s, c, code))
		return;
	s->txn->flags |= TXN_BDAT;
	if (c->last && c->body) {
		s->eod.candidate = false;
		s->eod.flags = 0;
		smtp_finish_content(s, c->body, true);
		c->body = NULL;
		s->lmtp_left = s->lmtp ? smtp_accepted_rcpts(s->txn) : 0;
		for (unsigned i = 1; i < s->lmtp_left; i++)
			push_front(s, VERB_CONTENT);
		/* what refused an earlier chunk says why; "bad sequence" for the last does not */
		if (code == 503 && s->txn->reply.code >= 400 && !s->lmtp_left)
			code = 0;
		smtp_final_reply(s, code, text);
	} else if (code >= 400 || c->last) {
		smtp_set_reply(&s->txn->arena, &s->txn->reply, code, text);
	}
}

static void reset_session(struct smtp *s)
{
	smtp_emit(s);
	octets_free(s->body);
	s->body = NULL;
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

void smtp_apply(struct smtp *s, struct command *c, int code, struct span text)
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
		smtp_final_reply(s, code, text);
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
			smtp_emit(s);
		break;
	case VERB_BANNER:
	case VERB_OTHER:
		break;
	}
}

/* Everything that waits is taken as done, with its answer unknown. */
void smtp_settle_unanswered(struct smtp *s, const struct command *until)
{
	while (s->first && s->first != until) {
		struct command *c = smtp_pop(s);
		if (c->verb != VERB_BANNER)
			smtp_apply(s, c, 0, SPAN_NONE);
		smtp_free_command(c);
	}
}
