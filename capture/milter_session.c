#include "capture/milter_session.h"

#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/limits.h"
#include "capture/txn.h"

void milter_names_set(struct milter_names *names, const struct config *c)
{
	*names = (struct milter_names){0};
	snprintf(names->verdict, sizeof(names->verdict), "%s", c->milter_headers.verdict);
	snprintf(names->results, sizeof(names->results), "%s", c->milter_headers.results);
	snprintf(names->host, sizeof(names->host), "%s", c->host);
}

struct milter_session *milter_session_create(const struct milter_names *names)
{
	struct milter_session *s = calloc(1, sizeof(*s));
	if (!s)
		return NULL;
	s->names = *names;
	id_make(clock_now_us(), s->id);
	return s;
}

void milter_session_free(struct milter_session *s)
{
	if (!s)
		return;
	txn_free(s->txn);
	octets_free(s->message);
	buf_free(&s->helo);
	buf_free(&s->field);
	buf_free(&s->forged);
	free(s);
}

/* --- the envelope ------------------------------------------------------------------ */

void milter_session_connect(struct milter_session *s, const struct sockaddr *address)
{
	s->peer = (struct ip){0};
	s->port = 0;
	if (address && address->sa_family == AF_INET) {
		struct sockaddr_in v4;
		memcpy(&v4, address, sizeof(v4));
		s->peer = ip_from_v4(&v4.sin_addr);
		s->port = ntohs(v4.sin_port);
	} else if (address && address->sa_family == AF_INET6) {
		struct sockaddr_in6 v6;
		memcpy(&v6, address, sizeof(v6));
		s->peer = ip_from_v6(&v6.sin6_addr);
		s->port = ntohs(v6.sin6_port);
	}
}

void milter_session_hello(struct milter_session *s, struct span name)
{
	buf_reset(&s->helo);
	buf_add(&s->helo, span_sub(name, 0, LIMIT_COMMAND_BYTES));
	s->greeted = true;
}

/* "<a@b>" and "a@b": MTAs hand the path over as the client wrote it. */
static struct span path_of(const char *path)
{
	struct span s = span_trim(span_of(path));
	if (s.n && s.p[0] == '<')
		s = span_sub(s, 1, s.n);
	if (s.n && s.p[s.n - 1] == '>')
		s.n--;
	return s;
}

static struct span keep(struct txn *t, struct span s)
{
	return s.n ? arena_copy(&t->arena, s) : SPAN_NONE;
}

int milter_session_mail(struct milter_session *s, char **argv, const struct milter_macros *macros,
			int64_t now_us)
{
	struct txn *t = txn_create(TXN_MILTER, now_us);
	if (!t)
		return -ENOMEM;
	t->time_prov = PROV_SEEN;
	t->session = arena_copy(&t->arena, span_of(s->id));
	t->tx = ++s->n_txn;
	t->peer = s->peer;
	t->peer_prov = s->peer.family ? PROV_SEEN : PROV_UNKNOWN;
	t->port = s->port;
	if (s->greeted)
		t->helo = (struct txn_text){arena_copy(&t->arena, buf_span(&s->helo)), PROV_SEEN};
	struct span from = arena_copy(&t->arena, path_of(argv[0]));
	t->mail_from = (struct txn_text){{from.p ? from.p : "", from.n}, PROV_SEEN};
	for (char **parameter = argv + 1; *parameter; parameter++) {
		if (span_case_eq(span_of(*parameter), SPAN("SMTPUTF8")))
			t->flags |= TXN_SMTPUTF8;
		if (span_case_eq(span_of(*parameter), SPAN("BODY=8BITMIME")))
			t->flags |= TXN_8BITMIME;
	}
	if (macros->authenticated)
		t->flags |= TXN_AUTH;
	t->tls.on = macros->tls_version.n > 0;
	t->tls.version = keep(t, macros->tls_version);
	t->tls.cipher = keep(t, macros->cipher);
	s->txn = t;
	return 0;
}

/* Postfix has the enhanced code in {rcpt_host}; so has Sendmail, or one of the words of its error
 * mailer ("nouser", "tempfail"). The three digits are not told. */
static void set_refusal(struct txn *t, struct txn_reply *r, const struct milter_refusal *refusal)
{
	char first = refusal->host.n ? refusal->host.p[0] : '5';
	bool temporary = first == '4' || span_case_eq(refusal->host, SPAN("tempfail"));
	r->code = temporary ? 450 : 550;
	if (ascii_is_digit(first))
		r->enhanced = keep(t, refusal->host);
	r->text = keep(t, span_sub(refusal->address, 0, LIMIT_REPLY_TEXT_BYTES));
}

struct txn_rcpt *milter_session_rcpt(struct milter_session *s, const char *path,
				     const struct milter_refusal *refusal)
{
	struct txn_rcpt *rcpt = s->txn ? txn_add_rcpt(s->txn) : NULL;
	if (!rcpt)
		return NULL;
	*rcpt = (struct txn_rcpt){.to = arena_copy(&s->txn->arena, path_of(path)),
				  .prov = PROV_SEEN,
				  .reply = {.code = 250}};
	if (span_case_eq(refusal->mailer, SPAN("error")))
		set_refusal(s->txn, &rcpt->reply, refusal);
	return rcpt;
}

/* --- the message -------------------------------------------------------------------- */

static void take_up(struct milter_session *s)
{
	if (!s->txn || s->message || (s->txn->flags & TXN_TRUNCATED))
		return;
	s->message = octets_create(true, true);
	if (!s->message)
		s->txn->flags |= TXN_TRUNCATED;
}

static bool skip_comment(struct span *rest)
{
	int depth = 0;
	size_t i = 0;
	do {
		if (rest->p[i] == '(')
			depth++;
		else if (rest->p[i] == ')')
			depth--;
		else if (rest->p[i] == '\\')
			i++;
		i++;
	} while (depth > 0 && i < rest->n);
	*rest = span_sub(*rest, i, rest->n);
	return depth == 0;
}

/* Of a quoted string, what stands in the quotes; \m is m (RFC 5322 section 3.2.1). */
static struct span unquoted(struct span value, struct buf *room)
{
	for (size_t i = 1; i < value.n && value.p[i] != '"'; i++) {
		if (value.p[i] == '\\' && i + 1 < value.n)
			i++;
		buf_addc(room, value.p[i]);
	}
	return buf_span(room);
}

struct span milter_authserv_id(struct span value, struct buf *room)
{
	for (;;) {
		value = span_trim(value);
		if (!value.n || value.p[0] != '(')
			break;
		if (!skip_comment(&value))
			return SPAN_NONE;
	}
	if (value.n && value.p[0] == '"')
		return unquoted(value, room);
	size_t n = 0;
	while (n < value.n && !ascii_is_space(value.p[n]) && value.p[n] != ';' && value.p[n] != '(')
		n++;
	return span_sub(value, 0, n);
}

static void note_forged(struct milter_session *s, struct span name, struct span value)
{
	if (span_case_eq(name, span_of(s->names.verdict)))
		s->n_verdicts++;
	if (!span_case_eq(name, span_of(s->names.results)))
		return;
	s->n_results++;
	buf_reset(&s->field);
	struct span id = milter_authserv_id(value, &s->field);
	if (span_ends(id, SPAN("."))) /* the same name to whoever looks it up */
		id.n--;
	if (span_case_eq(id, span_of(s->names.host)))
		buf_add(&s->forged, (struct span){(const char *)&s->n_results, sizeof(s->n_results)});
}

/* Lines of a folded value come with LF alone. */
void milter_session_field(struct milter_session *s, struct span name, struct span value)
{
	note_forged(s, span_trim(name), value);
	take_up(s);
	if (!s->message)
		return;
	struct buf *b = &s->field;
	struct span line;
	buf_reset(b);
	buf_add(b, name);
	buf_adds(b, s->leading_space ? ":" : ": ");
	for (bool first = true; span_next_field(&value, '\n', &line); first = false) {
		if (!first)
			buf_adds(b, "\r\n");
		if (line.n && line.p[line.n - 1] == '\r')
			line.n--;
		buf_add(b, line);
	}
	buf_adds(b, "\r\n");
	octets_add(s->message, buf_span(b));
}

void milter_session_end_of_fields(struct milter_session *s)
{
	take_up(s);
	if (s->message)
		octets_add(s->message, SPAN("\r\n"));
}

/* Most MTAs mend line ends; what one hands over as it came is told. */
static uint32_t odd_octets(struct milter_session *s, struct span octets)
{
	uint32_t flags = memchr(octets.p, '\0', octets.n) ? TXN_NUL : 0;
	bool cr = s->last_cr;
	for (size_t i = 0; i < octets.n;) {
		char c = octets.p[i];
		if (cr && c != '\n')
			flags |= TXN_BARE_CR;
		if (c == '\n' && !cr)
			flags |= TXN_BARE_LF;
		if (c == '\r' || c == '\n') {
			cr = c == '\r';
			i++;
			continue;
		}
		cr = false;
		struct span rest = span_sub(octets, i, octets.n);
		const char *next = memchr(rest.p, '\r', rest.n);
		size_t n = next ? (size_t)(next - rest.p) : rest.n;
		if (memchr(rest.p, '\n', n))
			flags |= TXN_BARE_LF;
		i += n;
	}
	s->last_cr = cr;
	return flags;
}

void milter_session_body(struct milter_session *s, struct span octets)
{
	if (!s->txn || !octets.n)
		return;
	take_up(s);
	if (s->message)
		octets_add(s->message, octets);
	s->txn->flags |= odd_octets(s, octets);
}

struct txn *milter_session_take(struct milter_session *s, bool ended)
{
	struct txn *t = s->txn;
	if (!t)
		return NULL;
	if (ended)
		take_up(s); /* an empty message */
	if (s->message)
		octets_give(s->message, t, ended);
	s->message = NULL;
	s->txn = NULL;
	return t;
}

void milter_session_clear(struct milter_session *s)
{
	s->n_verdicts = s->n_results = 0;
	buf_reset(&s->forged);
	s->last_cr = false;
}
