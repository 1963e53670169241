#include "feedback/portal.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <event2/buffer.h>
#include <event2/http.h>
#include <event2/keyvalq_struct.h>
#include <sys/random.h>

#include "base/clock.h"
#include "base/digest.h"
#include "base/file.h"
#include "base/limits.h"
#include "base/listen.h"
#include "base/log.h"
#include "feedback/entity.h"
#include "feedback/portal_guard.h"

#define TOKEN_BYTES 32
#define KEY_BYTES 200 /* of an Idempotency-Key; a UUID has 36 */

struct portal {
	struct evhttp *http;
	struct complaint_desk *desk;
	portal_status_fn *status;
	void (*changed)(void *arg);
	void *arg;
	char token[TOKEN_BYTES * 2 + 1];
	int64_t trouble_until_us; /* Redis is away: no request waits for its time-out again */
	struct portal_counts counts;
};

int portal_bind(const struct config *config, int *fd_r)
{
	*fd_r = -1;
	if (!config->http.address)
		return 0;
	int fd = listen_open(&config->http);
	if (fd >= 0)
		*fd_r = fd;
	return fd < 0 ? fd : 0;
}

/* The first line of STATE/http.token. */
static int load_token(struct portal *p, const char *state)
{
	char path[PATH_MAX], fresh[TOKEN_BYTES * 2 + 2];
	uint8_t bytes[TOKEN_BYTES];
	struct file_view view;
	if (snprintf(path, sizeof(path), "%s/http.token", state) >= (int)sizeof(path))
		return -ENAMETOOLONG;
	if (getrandom(bytes, sizeof(bytes), 0) != (ssize_t)sizeof(bytes))
		return -EIO;
	hex_encode((struct span){(char *)bytes, sizeof(bytes)}, fresh);
	strcat(fresh, "\n");
	int r = file_make_once(path, span_of(fresh), 0600);
	if (r < 0 && r != -EEXIST)
		return r;
	if ((r = file_view_open(path, 4096, &view)) < 0)
		return r;
	struct span rest = view.bytes, line = SPAN("");
	span_next_line(&rest, &line);
	line = span_trim(line);
	/* One that the postmaster wrote may be shorter or longer; its hash is what is kept. */
	if (line.n < 16)
		r = -EBADMSG;
	sha256_text(line, p->token);
	file_view_close(&view);
	return r;
}

/* --- answers --------------------------------------------------------------------------- */

static void answer(struct evhttp_request *req, int code, const char *type, struct span body)
{
	struct evbuffer *out = evbuffer_new();
	struct evkeyvalq *head = evhttp_request_get_output_headers(req);
	evhttp_add_header(head, "Content-Type", type);
	evhttp_add_header(head, "Cache-Control", "no-store");
	if (code == 503)
		evhttp_add_header(head, "Retry-After", "30");
	if (code == 401)
		evhttp_add_header(head, "WWW-Authenticate", "Bearer");
	if (out)
		evbuffer_add(out, body.p, body.n);
	evhttp_send_reply(req, code, NULL, out);
	if (out)
		evbuffer_free(out);
}

static void refuse(struct portal *p, struct evhttp_request *req, int code, const char *why)
{
	struct buf text = BUF_INIT;
	struct json j = JSON_INIT(&text);
	p->counts.refused++;
	json_open(&j, NULL, '{');
	json_cstr(&j, "error", why);
	json_close(&j, '}');
	buf_addc(&text, '\n');
	answer(req, code, "application/json", buf_span(&text));
	buf_free(&text);
}

static struct span header_of(struct evhttp_request *req, const char *name)
{
	const char *v = evhttp_find_header(evhttp_request_get_input_headers(req), name);
	return v ? span_trim(span_of(v)) : SPAN_NONE;
}

/* Hashes are compared, over all their length: time tells nothing of the token. */
static bool allowed(const struct portal *p, struct evhttp_request *req)
{
	char hash[SHA256_TEXT_BYTES];
	struct span v = header_of(req, "Authorization");
	if (!span_case_starts(v, SPAN("Bearer ")))
		return false;
	sha256_text(span_trim(span_sub(v, 7, v.n)), hash);
	unsigned char differs = 0;
	for (size_t i = 0; i < SHA256_TEXT_BYTES - 1; i++)
		differs |= (unsigned char)(hash[i] ^ p->token[i]);
	return differs == 0;
}

/* --- complaints --------------------------------------------------------------------------- */

static void write_result(struct buf *out, const struct complaint_result *result)
{
	struct json j = JSON_INIT(out);
	json_open(&j, NULL, '{');
	json_cstr(&j, "id", result->id);
	json_cstr(&j, "outcome", complaint_outcome_name(result->outcome));
	json_cstr(&j, "sender", result->sender[0] ? result->sender : NULL);
	json_open(&j, "reports", '[');
	for (size_t i = 0; i < result->n_reports; i++)
		json_cstr(&j, NULL, result->reports[i]);
	json_close(&j, ']');
	json_cstr(&j, "why", result->why);
	json_close(&j, '}');
	buf_addc(out, '\n');
}

/* What an Idempotency-Key stands for: the same key with anything else is a client's mistake, and the
 * answer to another complaint would lose this one. */
static void fingerprint(const struct complaint *c, char out[SHA256_TEXT_BYTES])
{
	const struct span parts[] = {c->kind, c->rcpt, c->octets};
	struct buf text = BUF_INIT;
	char hash[SHA256_TEXT_BYTES];
	for (size_t i = 0; i < sizeof(parts) / sizeof(parts[0]); i++) {
		sha256_text(parts[i], hash);
		buf_adds(&text, hash);
	}
	sha256_text(buf_span(&text), out);
	buf_free(&text);
}

/* Kept as "FINGERPRINT ANSWER". */
static void keep_answer(struct portal *p, const struct complaint *c, struct span key,
			struct span text, int64_t now_us)
{
	char print[SHA256_TEXT_BYTES];
	struct buf kept = BUF_INIT;
	fingerprint(c, print);
	buf_addf(&kept, "%s ", print);
	buf_add(&kept, text);
	/* An answer that is not remembered is found again as a duplicate. */
	if (kept.failed || queue_answer_keep(p->desk->queue, key, buf_span(&kept), now_us) < 0)
		log_warn("http.trouble", "error=\"an answer is not remembered\"");
	buf_free(&kept);
}

static void answer_again(struct portal *p, struct evhttp_request *req, const struct complaint *c,
			 struct span kept)
{
	char print[SHA256_TEXT_BYTES];
	size_t blank = span_find_char(kept, ' ');
	fingerprint(c, print);
	if (span_eq(span_sub(kept, 0, blank), span_of(print)))
		answer(req, 200, "application/json", span_sub(kept, blank + 1, kept.n));
	else
		refuse(p, req, 422, "this Idempotency-Key was another complaint's");
}

static void take(struct portal *p, struct evhttp_request *req, const struct complaint *c,
		 struct span key)
{
	struct complaint_result result;
	struct buf text = BUF_INIT;
	int64_t now_us = clock_now_us();
	int r = now_us < p->trouble_until_us ? -EAGAIN : complaint_take(p->desk, c, now_us, &result);
	if (r < 0) {
		if (r != -EAGAIN)
			log_warn("http.trouble", "error=\"%s\"", strerror(-r));
		p->trouble_until_us = r == -EAGAIN ? p->trouble_until_us : now_us + 5 * US_PER_S;
		refuse(p, req, 503, "not taken; try again");
		return;
	}
	write_result(&text, &result);
	if (key.n)
		keep_answer(p, c, key, buf_span(&text), now_us);
	p->counts.complaints++;
	answer(req, 200, "application/json", buf_span(&text));
	buf_free(&text);
	p->changed(p->arg);
}

/* The body as a message: itself, or under the Content-Type of the request. */
static struct span message_of(struct evhttp_request *req, struct buf *whole)
{
	struct evbuffer *in = evhttp_request_get_input_buffer(req);
	size_t n = evbuffer_get_length(in);
	struct span body = {(const char *)evbuffer_pullup(in, -1), n}, type;
	if (!body.p)
		return SPAN_NONE;
	type = header_of(req, "Content-Type");
	if (!span_case_starts(type, SPAN("multipart/")))
		return body;
	buf_addf(whole, "Content-Type: %.*s\r\n\r\n", SPAN_ARG(type));
	buf_add(whole, body);
	return whole->failed ? SPAN_NONE : buf_span(whole);
}

static bool type_is_known(struct span type)
{
	return !type.n || span_case_starts(type, SPAN("message/rfc822")) ||
	       span_case_starts(type, SPAN("multipart/")) ||
	       span_case_starts(type, SPAN("application/octet-stream"));
}

static void post_complaint(struct portal *p, struct evhttp_request *req, struct evkeyvalq *query)
{
	struct span key = header_of(req, "Idempotency-Key");
	const char *kind = evhttp_find_header(query, "kind");
	const char *rcpt = evhttp_find_header(query, "rcpt");
	if (kind && strcmp(kind, "abuse") != 0 && strcmp(kind, "not-spam") != 0) {
		refuse(p, req, 400, "kind is abuse or not-spam");
		return;
	}
	if (!type_is_known(header_of(req, "Content-Type"))) {
		refuse(p, req, 415, "send message/rfc822 or a multipart report");
		return;
	}
	if (key.n > KEY_BYTES) {
		refuse(p, req, 400, "the Idempotency-Key is too long");
		return;
	}
	struct arena arena;
	arena_init(&arena, LIMIT_HTTP_BODY_BYTES * 3);
	struct buf whole = BUF_INIT;
	struct span old = SPAN_NONE;
	struct complaint c = {.octets = message_of(req, &whole), .kind = span_of(kind),
			      .rcpt = span_of(rcpt), .way = SPAN("http")};
	if (key.n && queue_answer_find(p->desk->queue, key, &arena, &old) < 0)
		refuse(p, req, 503, "not taken; try again");
	else if (old.p)
		answer_again(p, req, &c, old);
	else if (!c.octets.n)
		refuse(p, req, 400, "there is no message");
	else
		take(p, req, &c, key);
	buf_free(&whole);
	arena_free(&arena);
}

/* --- what is told --------------------------------------------------------------------------- */

static int write_report(const struct queue_item *item, void *arg)
{
	struct buf *out = arg;
	queue_item_json(item, out);
	return out->failed ? -ENOMEM : 0;
}

static void get_reports(struct portal *p, struct evhttp_request *req, struct evkeyvalq *query)
{
	const char *sender = evhttp_find_header(query, "sender");
	const char *after = evhttp_find_header(query, "after");
	const char *limit = evhttp_find_header(query, "limit");
	struct buf text = BUF_INIT;
	uint64_t n = 100;
	if (limit && (!span_number(span_of(limit), 1000, &n) || n == 0)) {
		refuse(p, req, 400, "limit is a number up to 1000");
		return;
	}
	int r = queue_page(p->desk->queue, span_of(sender ? sender : ""),
			   span_of(after ? after : ""), n, write_report, &text);
	if (r < 0)
		refuse(p, req, 503, "the queue cannot be read");
	else
		answer(req, 200, "application/x-ndjson", buf_span(&text));
	buf_free(&text);
}

/* The key in front of a sender's own token; .p NULL: it is none. */
static struct span sender_of_token(const struct portal *p, struct evhttp_request *req)
{
	char token[KEYS_PULL_BYTES];
	struct span v = header_of(req, "Authorization");
	if (!span_case_starts(v, SPAN("Bearer ")))
		return SPAN_NONE;
	v = span_trim(span_sub(v, 7, v.n));
	size_t colon = span_rfind_char(v, ':');
	if (colon == SIZE_MAX || v.n - colon - 1 != KEYS_PULL_BYTES - 1)
		return SPAN_NONE;
	struct span key = span_sub(v, 0, colon);
	keys_pull(&p->desk->keys, key, token);
	unsigned char differs = 0;
	for (size_t i = 0; i < KEYS_PULL_BYTES - 1; i++)
		differs |= (unsigned char)(v.p[colon + 1 + i] ^ token[i]);
	return differs == 0 ? key : SPAN_NONE;
}

/* The stored object with its number in front. */
static int write_shelved(const struct queue_shelved *s, void *arg)
{
	struct buf *out = arg;
	buf_addf(out, "{\"cursor\":%lld,", (long long)s->number);
	buf_add(out, span_sub(s->object, 1, s->object.n));
	buf_addc(out, '\n');
	return out->failed ? -ENOMEM : 0;
}

static void get_feedback(struct portal *p, struct evhttp_request *req, struct evkeyvalq *query)
{
	struct span sender = sender_of_token(p, req);
	const char *after = evhttp_find_header(query, "after");
	const char *limit = evhttp_find_header(query, "limit");
	struct buf text = BUF_INIT;
	uint64_t n = 100, from = 0;
	if (!sender.p)
		refuse(p, req, 401, "a sender's token is needed");
	else if ((limit && (!span_number(span_of(limit), 1000, &n) || n == 0)) ||
		 (after && !span_number(span_of(after), INT64_MAX, &from)))
		refuse(p, req, 400, "after is a cursor, limit a number up to 1000");
	else if (queue_shelf(p->desk->queue, sender, from, n, write_shelved, &text) < 0)
		refuse(p, req, 503, "the queue cannot be read");
	else
		answer(req, 200, "application/x-ndjson", buf_span(&text));
	buf_free(&text);
}

static void write_status(struct portal *p, struct buf *out)
{
	struct json j = JSON_INIT(out);
	json_open(&j, NULL, '{');
	p->status(p->arg, &j);
	json_close(&j, '}');
	buf_addc(out, '\n');
}

static void get_status(struct portal *p, struct evhttp_request *req)
{
	struct buf text = BUF_INIT;
	write_status(p, &text);
	answer(req, 200, "application/json", buf_span(&text));
	buf_free(&text);
}

/* The status object as "assay_feedback_NAME value"; 1 stands for what is true or said. */
static void get_metrics(struct portal *p, struct evhttp_request *req)
{
	struct buf status = BUF_INIT, text = BUF_INIT;
	write_status(p, &status);
	struct json_value *v = json_in_parse(buf_span(&status), NULL);
	for (const char *key = NULL; (key = json_in_next_key(v, key));) {
		int64_t n;
		const struct json_value *one = json_in_get(v, key);
		if (!json_in_int(one, &n))
			n = json_in_true(one) || json_in_text(one).p;
		buf_addf(&text, "assay_feedback_%s %lld\n", key, (long long)n);
	}
	json_in_free(v);
	answer(req, 200, "text/plain; version=0.0.4", buf_span(&text));
	buf_free(&status);
	buf_free(&text);
}

static void on_request(struct evhttp_request *req, void *arg)
{
	struct portal *p = arg;
	struct evkeyvalq query = {0};
	const struct evhttp_uri *uri = evhttp_request_get_evhttp_uri(req);
	const char *path = uri ? evhttp_uri_get_path(uri) : NULL;
	const char *words = uri ? evhttp_uri_get_query(uri) : NULL;
	bool post = evhttp_request_get_command(req) == EVHTTP_REQ_POST;
	p->counts.requests++;
	portal_guard_whole(req);
	if (!path || (words && evhttp_parse_query_str(words, &query) < 0))
		refuse(p, req, 400, "the address cannot be read");
	else if (strcmp(path, "/status") == 0 && !post)
		get_status(p, req);
	else if (strcmp(path, "/metrics") == 0 && !post)
		get_metrics(p, req);
	else if (strcmp(path, "/feedback") == 0 && !post)
		get_feedback(p, req, &query);
	else if (strcmp(path, "/complaints") != 0 && strcmp(path, "/reports") != 0)
		refuse(p, req, 404, "there is no such thing here");
	else if (!allowed(p, req))
		refuse(p, req, 401, "a token is needed");
	else if (post != (path[1] == 'c'))
		refuse(p, req, 405, post ? "GET it" : "POST to it");
	else if (post)
		post_complaint(p, req, &query);
	else
		get_reports(p, req, &query);
	evhttp_clear_headers(&query);
}

/* --- life ---------------------------------------------------------------------------------- */

int portal_create(struct portal **p_r, struct event_base *loop, int fd,
		  struct complaint_desk *desk, portal_status_fn *status,
		  void (*changed)(void *arg), void *arg)
{
	struct portal *p = calloc(1, sizeof(*p));
	*p_r = NULL;
	if (!p)
		return -ENOMEM;
	*p = (struct portal){.desk = desk, .status = status, .changed = changed, .arg = arg};
	int r = load_token(p, desk->config->state);
	p->http = r == 0 ? evhttp_new(loop) : NULL;
	if (r == 0 && !p->http)
		r = -ENOMEM;
	if (r == 0) {
		evhttp_set_allowed_methods(p->http, EVHTTP_REQ_GET | EVHTTP_REQ_POST);
		evhttp_set_max_body_size(p->http, (ssize_t)LIMIT_HTTP_BODY_BYTES);
		evhttp_set_max_headers_size(p->http, LIMIT_HTTP_HEADER_BYTES);
		evhttp_set_timeout(p->http, (int)(LIMIT_HTTP_IDLE_US / US_PER_S));
		evhttp_set_gencb(p->http, on_request, p);
		r = portal_guard_start(loop, p->http, fd);
	}
	if (r < 0)
		portal_free(p);
	else
		*p_r = p;
	return r;
}

void portal_free(struct portal *p)
{
	if (!p)
		return;
	portal_guard_stop();
	if (p->http)
		evhttp_free(p->http);
	free(p);
}

struct portal_counts portal_counts(const struct portal *p)
{
	struct portal_counts counts = {0};
	if (p) {
		counts = p->counts;
		counts.hung_up = portal_guard_hung_up();
	}
	return counts;
}
