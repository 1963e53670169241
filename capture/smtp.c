#include "capture/smtp_private.h"

#include <stdlib.h>

#include "base/limits.h"

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
	s->unsynced = c->midstream;
	arena_init(&s->arena, LIMIT_SESSION_BYTES);
	id_make(c->start_us, s->id);
	if (!c->midstream)
		smtp_push(s, VERB_BANNER, SPAN_NONE);
	return s;
}

void smtp_put_back(struct buf *place, struct buf *used)
{
	if (place->p || used->cap > 4096) {
		buf_free(used);
		return;
	}
	*place = *used;
	buf_reset(place);
}

static bool is_hello(struct span octets)
{
	struct span line, args;
	enum verb verb;
	return span_next_line(&octets, &line) && smtp_find_verb(line, &verb, &args) &&
	       (verb == VERB_EHLO || verb == VERB_HELO || verb == VERB_LHLO);
}

/* The first octets of either side decide whether this is SMTP at all. On a port that is not known
 * to be, a banner 220 is not enough (FTP has it too): the client has to say EHLO, HELO or LHLO, at
 * once or behind a PROXY header. */
static bool is_smtp(struct smtp *s, enum tcp_side side, struct span octets)
{
	bool reply = octets.n >= 4 && ascii_is_digit(octets.p[0]) && ascii_is_digit(octets.p[1]) &&
		     ascii_is_digit(octets.p[2]) && (octets.p[3] == ' ' || octets.p[3] == '-');
	if (s->known_port)
		return s->fed[side] || side == TCP_CLIENT || s->fed[!side] || reply || octets.n < 4;
	if (side == TCP_SERVER)
		return s->fed[side] || s->fed[!side] || (reply && span_starts(octets, SPAN("220")));
	if (s->greeted)
		return true;
	struct ip ip;
	uint16_t port;
	int proxy = s->fed[side] ? 0 : smtp_take_proxy(&octets, &ip, &port);
	s->greeted = is_hello(octets);
	return s->greeted || proxy < 0 || (proxy && octets.n == 0);
}

/* A PROXY header, or TLS from the first octet (port 465). False: wait for more. */
static bool first_client_octets(struct smtp *s, struct span *octets)
{
	buf_add(&s->held, *octets);
	struct span all = buf_span(&s->held);
	struct ip ip = {0};
	uint16_t port = 0;
	int r = smtp_take_proxy(&all, &ip, &port);
	if (r < 0)
		return false;
	if (ip.family) { /* LOCAL and UNKNOWN name nobody */
		s->proxied = true;
		s->peer = ip;
		s->port = port;
	}
	*octets = all;
	return true;
}

bool smtp_feed(struct smtp *s, enum tcp_side side, struct span octets, int64_t time_us,
	       bool one_sided)
{
	s->now_us = time_us;
	if (!is_smtp(s, side, octets)) {
		s->counters->not_smtp++;
		s->ended = true;
		return false;
	}
	bool first = side == TCP_CLIENT && !s->spoken;
	s->fed[side] += octets.n;
	if (side == TCP_SERVER) {
		s->one_sided = false;
		smtp_server_octets(s, octets);
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
		smtp_settle_lost_replies(s, octets);
	smtp_client_octets(s, octets);
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
		s->reply_open = false;
		return;
	}
	s->spoken = s->lost_octets = true;
	switch (s->state) {
	case CLIENT_CONTENT:
		if (s->content)
			octets_hole(s->content, length);
		eod_gap(&s->eod);
		break;
	case CLIENT_CHUNK: {
		uint64_t n = length < s->chunk_left ? length : s->chunk_left;
		if (s->body)
			octets_hole(s->body, n);
		s->chunk_left -= n;
		if (s->chunk_left == 0)
			smtp_end_chunk(s);
		if (n == length)
			break;
		buf_reset(&s->line);
		s->unsynced = true;
		break;
	}
	case CLIENT_TLS_WAIT: /* the hello is lost: nobody reads on in the middle of TLS */
		s->state = CLIENT_TLS;
		s->tls.on = true;
		break;
	case CLIENT_TLS:
		break;
	case CLIENT_WAIT:
		buf_reset(&s->held);
		s->held_at = 0;
		s->wait_lost += length;
		s->unsynced = true;
		break;
	default:
		/* commands are lost; what comes next may begin inside a line, or a chunk */
		buf_reset(&s->line);
		if (s->body)
			octets_hole(s->body, length);
		s->skip_line = false;
		s->unsynced = true;
		s->state = CLIENT_COMMAND;
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
				       .octets = {s->fed[0], s->fed[1]}};
	if (s->last_code)
		smtp_set_reply(&s->arena, &session.reply, s->last_code, buf_span(&s->last_text));
	s->counters->sessions++;
	s->events.session(s->arg, &session);
}

void smtp_end(struct smtp *s, int64_t time_us)
{
	s->now_us = time_us;
	if (s->content) {
		smtp_finish_content(s, s->content, false);
		s->content = NULL;
	}
	smtp_settle_unanswered(s, NULL);
	if (s->content) { /* the last DATA was never answered, and nothing followed */
		octets_free(s->content);
		s->content = NULL;
	}
	/* chunks without the last one */
	if (s->body && s->txn && s->txn->reply.code < 400 && !s->message &&
	    (octets_size(s->body) || octets_has_hole(s->body))) {
		smtp_finish_content(s, s->body, false);
		s->body = NULL;
	}
	smtp_emit(s);
	if (s->n_txn == 0 && !(s->ended && s->fed[0] + s->fed[1] == 0))
		tell_session(s);
	octets_free(s->body);
	octets_free(s->message);
	eod_free(&s->eod);
	buf_free(&s->line);
	buf_free(&s->held);
	buf_free(&s->reply_line);
	buf_free(&s->reply_text);
	buf_free(&s->last_text);
	while (s->first)
		smtp_free_command(smtp_pop(s));
	arena_free(&s->arena);
	free(s);
}
