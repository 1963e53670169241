#include "capture/smtp_private.h"

#include "base/limits.h"

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

bool smtp_find_verb(struct span line, enum verb *verb_r, struct span *args_r)
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

static void take_bdat(struct smtp *s, struct span args)
{
	struct span word;
	uint64_t n = 0;
	bool ok = span_next_word(&args, &word) && span_number(word, UINT64_MAX / 4, &n);
	bool last = span_next_word(&args, &word);
	ok = ok && (!last || span_case_eq(word, SPAN("LAST"))) && !span_next_word(&args, &word);
	struct command *c = smtp_push(s, VERB_BDAT, SPAN_NONE);
	if (!c || !ok)
		return; /* the server refuses it and reads on behind the line */
	c->last = last;
	s->chunk = c;
	s->chunk_is_last = last;
	s->chunk_left = n;
	s->state = CLIENT_CHUNK;
	if (!s->body)
		s->body = octets_create(s->options.keep, s->options.hash);
}

void smtp_end_chunk(struct smtp *s)
{
	s->state = CLIENT_COMMAND;
	if (s->chunk_is_last && s->chunk) {
		s->chunk->body = s->body;
		s->body = NULL;
		s->body_waits = true;
	} else if (s->chunk_is_last && s->txn && s->body) {
		smtp_finish_content(s, s->body, true);
		s->body = NULL;
		smtp_emit(s);
	}
	s->chunk = NULL;
}

bool smtp_is_command(struct span line)
{
	enum verb verb;
	struct span args;
	if (!smtp_find_verb(line, &verb, &args))
		return false;
	switch (verb) {
	case VERB_MAIL:
		return span_case_starts(args, SPAN("FROM:"));
	case VERB_RCPT:
		return span_case_starts(args, SPAN("TO:"));
	case VERB_HELO:
	case VERB_EHLO:
	case VERB_LHLO:
		return args.n && span_find_char(args, ' ') == SIZE_MAX;
	case VERB_BDAT:
		return args.n && ascii_is_digit(args.p[0]);
	case VERB_AUTH:
	case VERB_XCLIENT:
	case VERB_XFORWARD:
		return args.n > 0;
	default:
		return args.n == 0;
	}
}

void smtp_lose_chunk(struct smtp *s)
{
	if (!s->body)
		s->body = octets_create(s->options.keep, s->options.hash);
	if (s->body)
		octets_hole(s->body, 0);
	s->passed_over = false;
}

/* The message that was sent in chunks is over, though its last BDAT was lost. */
static void end_lost_chunk(struct smtp *s)
{
	if (s->body && s->txn && !s->first && octets_has_hole(s->body)) {
		smtp_finish_content(s, s->body, false);
		s->body = NULL;
	}
}

static void take_command(struct smtp *s, struct span line)
{
	enum verb verb;
	struct span args;
	if (s->unsynced) {
		if (!smtp_is_command(line)) {
			s->passed_over = true;
			return;
		}
		s->unsynced = false;
	}
	if (!smtp_find_verb(line, &verb, &args)) {
		if (line.n || s->first)
			smtp_push(s, VERB_OTHER, SPAN_NONE);
		return;
	}
	if (verb == VERB_BDAT) {
		if (s->passed_over)
			smtp_lose_chunk(s);
		take_bdat(s, args);
		return;
	}
	if (verb == VERB_RSET || verb == VERB_MAIL || verb == VERB_QUIT) {
		end_lost_chunk(s);
		octets_free(s->body);
		s->body = NULL;
		s->passed_over = false;
	}
	/* the mechanism's name is no secret, the initial response is */
	smtp_push(s, verb, verb == VERB_AUTH || verb == VERB_OTHER ? SPAN_NONE : args);
	if (verb == VERB_DATA)
		s->state = CLIENT_WAIT;
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
		if (!s->unsynced)
			smtp_push(s, VERB_OTHER, SPAN_NONE);
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
	smtp_put_back(&s->line, &line);
}

static void content(struct smtp *s, struct span *rest)
{
	if (!s->content || !eod_feed(&s->eod, s->content, rest))
		return;
	struct octets *o = s->content;
	s->content = NULL;
	s->state = CLIENT_COMMAND;
	smtp_finish_content(s, o, true);
	s->lmtp_left = s->lmtp && s->txn ? smtp_accepted_rcpts(s->txn) : 0;
	for (unsigned i = 0; i < (s->lmtp_left ? s->lmtp_left : 1); i++)
		smtp_push(s, VERB_CONTENT, SPAN_NONE);
	s->body_waits = true;
}

static void chunk(struct smtp *s, struct span *rest)
{
	size_t n = s->chunk_left < rest->n ? (size_t)s->chunk_left : rest->n;
	if (s->body && n)
		octets_add(s->body, span_sub(*rest, 0, n));
	*rest = span_sub(*rest, n, rest->n);
	s->chunk_left -= n;
	if (s->chunk_left == 0)
		smtp_end_chunk(s);
}

static bool starts_like_command(struct span octets)
{
	struct span line;
	return span_next_line(&octets, &line) && smtp_is_command(span_trim(line));
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
		s->helo = SPAN_NONE; /* RFC 3207 section 4.2: the client says it again */
	}
}

/* New octets of the client, though the server's answers to all before them were due: replies were
 * lost. */
void smtp_settle_lost_replies(struct smtp *s, struct span octets)
{
	/* One direction alone: who sends a message's content behind DATA had its answer, and so had
	 * who goes on behind a message. */
	bool one_sided = s->one_sided && (s->state == CLIENT_WAIT || s->body_waits);
	if (!s->server_gap && !one_sided)
		return;
	s->server_gap = s->body_waits = false;
	if (s->state == CLIENT_WAIT && starts_like_command(octets)) {
		/* DATA was refused */
		while (s->first) {
			struct command *c = smtp_pop(s);
			if (c->verb != VERB_DATA && c->verb != VERB_BANNER)
				smtp_apply(s, c, 0, SPAN_NONE);
			smtp_free_command(c);
		}
		s->state = CLIENT_COMMAND;
		smtp_release_held(s);
		return;
	}
	smtp_settle_unanswered(s, NULL);
}

/* Keeps octets until the reply is there; false when there are too many. What was held before and
 * has to wait again stays where it is: a client that says DATA and nothing else in one segment
 * would have all the rest copied for each. */
static bool hold(struct smtp *s, struct span rest)
{
	struct buf *old = s->releasing;
	if (s->held.n - s->held_at + rest.n > LIMIT_HELD_BYTES)
		return false;
	if (s->held.n == 0 && old && old->p && rest.p + rest.n == old->p + old->n) {
		s->held_at = (size_t)(rest.p - old->p);
		s->held = *old;
		*old = BUF_INIT;
		return true;
	}
	if (s->held_at > s->held.n / 2) {
		s->held.n -= s->held_at;
		memmove(s->held.p, s->held.p + s->held_at, s->held.n);
		s->counters->held_octets += s->held.n;
		s->held_at = 0;
	}
	buf_add(&s->held, rest);
	s->counters->held_octets += rest.n;
	return true;
}

/* Behind a DATA that was answered by 2xx: a client that goes on with a command took it for a
 * refusal, one that does not sends its message. False: the first line is not whole yet; it waits in
 * `held`. */
static bool first_line_is_there(struct smtp *s, struct span *rest)
{
	if (s->held.n + rest->n < LIMIT_COMMAND_BYTES && span_find_char(*rest, '\n') == SIZE_MAX) {
		buf_add(&s->held, *rest);
		return false;
	}
	struct buf held = s->held;
	s->held = BUF_INIT;
	s->held_at = 0;
	buf_add(&held, *rest);
	*rest = SPAN_NONE;
	if (starts_like_command(buf_span(&held))) {
		s->state = CLIENT_COMMAND;
	} else {
		smtp_begin_content(s);
		s->txn->reply = (struct txn_reply){0};
	}
	smtp_client_octets(s, buf_span(&held));
	buf_free(&held);
	return true;
}

void smtp_client_octets(struct smtp *s, struct span rest)
{
	while (rest.n) {
		switch (s->state) {
		case CLIENT_COMMAND:
			if (s->reply_open || s->reply_line.n)
				smtp_end_open_reply(s);
			if (s->doubtful)
				smtp_emit(s); /* the client goes on: the strict reading was right */
			command_line(s, &rest);
			break;
		case CLIENT_WAIT:
			if (hold(s, rest))
				return;
			s->counters->held_dropped++;
			smtp_settle_unanswered(s, NULL); /* no answer for 1 MiB: it was lost */
			if (s->state == CLIENT_WAIT)
				s->state = CLIENT_COMMAND;
			break;
		case CLIENT_UNSURE:
			if (!first_line_is_there(s, &rest))
				return;
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
			smtp_push(s, VERB_AUTH, SPAN_NONE);
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
