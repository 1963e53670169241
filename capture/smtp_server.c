#include "capture/smtp_private.h"

#include "base/limits.h"

static void handle_reply(struct smtp *s, int code, struct span text);

/* A reply that no command asked for. Behind a doubtful end of data it shows that the receiver saw
 * the end at the looser place: what stood behind it were commands. */
static bool extra_reply(struct smtp *s, int code, struct span text)
{
	if (!s->doubtful || !s->eod.candidate || !s->message) {
		s->counters->unmatched_replies++;
		return false;
	}
	struct buf tail = s->eod.tail;
	s->eod.tail = BUF_INIT;
	octets_cut(s->message);
	s->eod.candidate = false;
	s->txn->flags |= TXN_SMUGGLING;
	smtp_emit(s);
	smtp_client_octets(s, buf_span(&tail));
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
	if (s->eod.candidate && !octets_has_hole(o)) {
		struct buf tail = s->eod.tail;
		s->eod.tail = BUF_INIT;
		octets_cut(o);
		s->eod.candidate = false;
		smtp_finish_content(s, o, true);
		if (s->txn)
			s->txn->flags |= TXN_SMUGGLING;
		smtp_final_reply(s, code, text);
		smtp_client_octets(s, buf_span(&tail));
		buf_free(&tail);
		return;
	}
	s->unsynced = octets_has_hole(o); /* the client may be inside a line of it */
	smtp_finish_content(s, o, false);
	smtp_final_reply(s, code, text);
}

/* The answer to a chunk whose BDAT was lost. Whether it was the last one shows when the client goes
 * on. */
static void lost_chunk_reply(struct smtp *s, int code, struct span text)
{
	smtp_lose_chunk(s);
	smtp_set_reply(&s->txn->arena, &s->txn->reply, code, text);
	s->txn->flags |= TXN_BDAT;
}

/* RFC 5321 section 3.8: 421 may come at any time and closes the connection; whatever it answered,
 * it ended the transaction. */
static void note_closing(struct smtp *s, int code, struct span text)
{
	if (code != 421)
		return;
	s->ended = true;
	if (s->txn && s->txn->reply.code < 400)
		smtp_set_reply(&s->txn->arena, &s->txn->reply, code, text);
}

static void handle_reply(struct smtp *s, int code, struct span text)
{
	/* what a session came to is not told by the answer to its QUIT */
	if (s->n_txn == 0 && !(s->last_code && s->first && s->first->verb == VERB_QUIT)) {
		s->last_code = code;
		buf_reset(&s->last_text);
		buf_add(&s->last_text, text);
	}
	if (s->server_gap && s->first) {
		/* Replies were lost: a 354 belongs to DATA, a 220 or 221 to what asks for it. */
		enum verb want = code == 354 ? VERB_DATA : code == 221 ? VERB_QUIT : VERB_OTHER;
		struct command *c = s->first;
		while (c && c->verb != want)
			c = c->next;
		if (c && want != VERB_OTHER) {
			smtp_settle_unanswered(s, c);
			s->server_gap = false;
		} else if (!s->first->next) {
			s->server_gap = false;
		}
	}
	if (s->first && s->first->verb == VERB_AUTH && code == 334) {
		smtp_free_command(smtp_pop(s));
		if (s->first) /* the client did not wait: what it said next is its response */
			s->first->verb = VERB_AUTH;
		else
			s->state = CLIENT_SECRET;
		return;
	}
	struct command *c = smtp_pop(s);
	if (c) {
		smtp_apply(s, c, code, text);
		smtp_free_command(c);
		note_closing(s, code, text);
		return;
	}
	if (s->state == CLIENT_CONTENT && code != 354)
		reply_inside_content(s, code, text);
	else if (code == 354 && s->state == CLIENT_COMMAND)
		smtp_begin_content(s); /* the DATA itself was lost */
	else if (s->passed_over && s->txn && code != 354)
		lost_chunk_reply(s, code, text);
	else if (!extra_reply(s, code, text))
		note_closing(s, code, text);
}

static void end_reply(struct smtp *s)
{
	struct buf text = s->reply_text;
	s->reply_text = BUF_INIT;
	s->reply_open = false;
	handle_reply(s, s->reply_code, buf_span(&text));
	smtp_put_back(&s->reply_text, &text);
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
	int number = (line.p[0] - '0') * 100 + (line.p[1] - '0') * 10 + (line.p[2] - '0');
	if (s->reply_open && number != s->reply_code)
		end_reply(s); /* RFC 5321 section 4.2.1: one code in all lines; so the last is missing */
	s->reply_code = number;
	if (s->reply_open && s->reply_text.n < LIMIT_REPLY_TEXT_BYTES)
		buf_addc(&s->reply_text, '\n');
	if (s->reply_text.n < LIMIT_REPLY_TEXT_BYTES)
		buf_add(&s->reply_text, span_sub(line, 4, 4 + LIMIT_REPLY_TEXT_BYTES));
	s->reply_open = line.n > 3 && line.p[3] == '-';
	if (!s->reply_open)
		end_reply(s);
}

void smtp_end_open_reply(struct smtp *s)
{
	if (!s->first || (s->first->verb != VERB_EHLO && s->first->verb != VERB_BANNER))
		return;
	if (s->reply_line.n) {
		struct buf line = s->reply_line;
		s->reply_line = BUF_INIT;
		reply_line(s, buf_span(&line));
		buf_free(&line);
	}
	if (s->reply_open)
		end_reply(s);
}

void smtp_server_octets(struct smtp *s, struct span rest)
{
	while (rest.n) {
		if (s->state == CLIENT_TLS) {
			if (!s->tls.cipher.p)
				smtp_read_server_hello(rest, &s->arena, &s->tls);
			return;
		}
		size_t lf = span_find_char(rest, '\n');
		size_t n = lf == SIZE_MAX ? rest.n : lf + 1;
		if (lf != SIZE_MAX && s->reply_line.n == 0 && n <= LIMIT_COMMAND_BYTES) {
			struct span whole = span_sub(rest, 0, lf);
			rest = span_sub(rest, n, rest.n);
			reply_line(s, whole);
			continue;
		}
		if (s->reply_line.n + n <= LIMIT_COMMAND_BYTES)
			buf_add(&s->reply_line, span_sub(rest, 0, n));
		rest = span_sub(rest, n, rest.n);
		if (lf == SIZE_MAX)
			return;
		struct buf line = s->reply_line;
		s->reply_line = BUF_INIT;
		reply_line(s, span_sub(buf_span(&line), 0, line.n ? line.n - 1 : 0));
		smtp_put_back(&s->reply_line, &line);
	}
}
