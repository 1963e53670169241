#include "capture/envelope.h"

#include <errno.h>
#include <stdio.h>

#include "base/clock.h"
#include "base/date.h"
#include "base/file.h"
#include "base/json_in.h"
#include "base/limits.h"

/* --- trace fields ---------------------------------------------------------- */

/* One header field, unfolded into the transaction's arena. */
struct field {
	struct span name, value;
};

/* Takes the next field off `*rest`; false at the empty line or the end. */
static bool next_field(struct span *rest, struct field *field_r)
{
	struct span line, whole = *rest;
	if (!span_next_line(rest, &line) || line.n == 0)
		return false;
	size_t n = whole.n - rest->n;
	while (rest->n && (rest->p[0] == ' ' || rest->p[0] == '\t')) {
		span_next_line(rest, &line);
		n = whole.n - rest->n;
	}
	whole.n = n;
	size_t colon = span_find_char(whole, ':');
	if (colon == SIZE_MAX)
		colon = whole.n;
	field_r->name = span_trim(span_sub(whole, 0, colon));
	field_r->value = span_trim(span_sub(whole, colon + 1, whole.n));
	return true;
}

static struct span unfold(struct arena *a, struct span s)
{
	char *p = arena_alloc(a, s.n + 1);
	size_t n = 0;
	if (!p)
		return SPAN_NONE;
	for (size_t i = 0; i < s.n; i++)
		if (s.p[i] != '\r' && s.p[i] != '\n')
			p[n++] = s.p[i] == '\t' ? ' ' : s.p[i];
	return (struct span){p, n};
}

/* "<a@b>" or "a@b", without what stands around it. */
static struct span path_address(struct span s)
{
	size_t open = span_find_char(s, '<');
	if (open != SIZE_MAX) {
		s = span_sub(s, open + 1, s.n);
		s = span_sub(s, 0, span_find_char(s, '>'));
	} else {
		struct span word;
		if (!span_next_word(&s, &word))
			return SPAN_NONE;
		s = word;
	}
	s = span_trim(s);
	return (struct span){s.p ? s.p : "", s.n};
}

static void add_rcpt(struct txn *t, struct span to)
{
	if (to.n == 0 || span_find_char(to, '@') == SIZE_MAX)
		return;
	for (size_t i = 0; i < t->n_rcpts; i++)
		if (span_case_eq(t->rcpts[i].to, to))
			return;
	struct txn_rcpt *rcpt = txn_add_rcpt(t);
	if (rcpt) {
		rcpt->to = arena_copy(&t->arena, to);
		rcpt->prov = PROV_INFERRED;
	}
}

/* Addresses that a client on the other side of a gateway cannot have: a Received field that names
 * one is a hop inside. */
static bool is_inside(const struct ip *ip)
{
	static const char *const inside[] = {"127.0.0.0/8",    "10.0.0.0/8",     "172.16.0.0/12",
					     "192.168.0.0/16", "169.254.0.0/16", "100.64.0.0/10",
					     "::1/128",        "fc00::/7",       "fe80::/10"};
	for (size_t i = 0; i < sizeof(inside) / sizeof(inside[0]); i++) {
		struct ip_prefix prefix;
		if (ip_prefix_parse(span_of(inside[i]), &prefix) && ip_prefix_holds(&prefix, ip))
			return true;
	}
	return false;
}

/* The first "[address]" or "(address)" of `s`. */
static bool bracketed_ip(struct span s, struct ip *ip_r)
{
	for (size_t i = 0; i < s.n; i++) {
		if (s.p[i] != '[' && s.p[i] != '(')
			continue;
		size_t end = i + 1;
		while (end < s.n && s.p[end] != ']' && s.p[end] != ')' && s.p[end] != ' ' &&
		       s.p[end] != '[')
			end++;
		struct span text = span_sub(s, i + 1, end);
		if (span_case_starts(text, SPAN("IPv6:")))
			text = span_sub(text, 5, text.n);
		if (ip_parse(text, ip_r))
			return true;
	}
	return false;
}

/* The part of a Received field behind `word`, up to the next clause; .p NULL: none. Clauses are
 * looked for outside comments, which clients can write ("from x (by y)"). */
static struct span clause(struct span s, const char *word)
{
	int depth = 0;
	struct span key = span_of(word), found = SPAN_NONE;
	static const char *const words[] = {"from", "by", "via", "with", "id", "for"};
	for (size_t i = 0; i < s.n; i++) {
		char c = s.p[i];
		if (c == '(')
			depth++;
		else if (c == ')' && depth)
			depth--;
		if (depth || (i && !ascii_is_space(s.p[i - 1])))
			continue;
		struct span here = span_sub(s, i, s.n);
		if (c == ';')
			return found.p ? span_sub(found, 0, (size_t)(here.p - found.p)) : found;
		for (size_t w = 0; w < 6; w++) {
			struct span other = span_of(words[w]);
			if (!span_case_starts(here, other) || here.n == other.n ||
			    !ascii_is_space(here.p[other.n]))
				continue;
			if (found.p)
				return span_trim(span_sub(found, 0, (size_t)(here.p - found.p)));
			if (span_eq(other, key))
				found = span_sub(here, other.n, here.n);
		}
	}
	size_t semicolon = span_rfind_char(found, ';');
	return span_trim(semicolon == SIZE_MAX ? found : span_sub(found, 0, semicolon));
}

/* How far down the trace fields the border to the outside may stand. */
#define RECEIVED_READ 20

struct trace {
	bool has_client, has_time;
	unsigned received;
};

static void read_received(struct txn *t, struct trace *trace, struct span raw)
{
	struct span value = unfold(&t->arena, raw);
	size_t semicolon = span_rfind_char(value, ';');
	int64_t us;
	if (!trace->has_time && semicolon != SIZE_MAX &&
	    date_parse(span_sub(value, semicolon + 1, value.n), &us)) {
		trace->has_time = true;
		if (t->time_prov == PROV_UNKNOWN) {
			t->time_us = us;
			t->time_prov = PROV_INFERRED;
		}
	}
	struct span to = clause(value, "for");
	if (t->n_rcpts == 0 && to.p)
		add_rcpt(t, path_address(to));
	struct span from = clause(value, "from");
	struct ip ip;
	if (trace->has_client || !from.p || !bracketed_ip(from, &ip) || is_inside(&ip))
		return;
	trace->has_client = true;
	if (t->peer_prov == PROV_UNKNOWN) {
		t->peer = ip;
		t->peer_prov = PROV_INFERRED;
	}
	struct span name = from, word;
	if (t->helo.prov == PROV_UNKNOWN && span_next_word(&name, &word)) {
		/* "from [192.0.2.1] (helo=x)" is how Exim says it */
		size_t helo = span_case_find(from, SPAN("helo="));
		if (helo != SIZE_MAX) {
			word = span_sub(from, helo + 5, from.n);
			size_t end = 0;
			while (end < word.n && !ascii_is_space(word.p[end]) && word.p[end] != ')')
				end++;
			word.n = end;
		}
		t->helo = (struct txn_text){word, PROV_INFERRED};
	}
}

void envelope_infer(struct txn *t)
{
	struct span rest = t->message;
	struct field field;
	struct trace trace = {0};
	bool rcpts_known = t->n_rcpts > 0;
	while (next_field(&rest, &field)) {
		if (span_case_eq(field.name, SPAN("return-path"))) {
			if (t->mail_from.prov == PROV_UNKNOWN)
				t->mail_from = (struct txn_text){
					arena_copy(&t->arena, path_address(field.value)),
					PROV_INFERRED};
		} else if (span_case_eq(field.name, SPAN("received"))) {
			if (trace.received++ < RECEIVED_READ)
				read_received(t, &trace, field.value);
		} else if (!rcpts_known &&
			   (span_case_eq(field.name, SPAN("delivered-to")) ||
			    span_case_eq(field.name, SPAN("x-original-to")) ||
			    span_case_eq(field.name, SPAN("envelope-to")))) {
			add_rcpt(t, path_address(field.value));
		}
	}
}

/* --- the file beside it ----------------------------------------------------- */

static bool take_text(struct txn *t, const struct json_value *v, const char *key,
		      struct txn_text *text, const char **why)
{
	const struct json_value *value = json_in_get(v, key);
	if (json_in_is_null(value))
		return true;
	struct span s = json_in_text(value);
	if (!s.p) {
		*why = "a key that should hold a text holds something else";
		return false;
	}
	*text = (struct txn_text){arena_copy(&t->arena, s), PROV_SEEN};
	return true;
}

static void take_reply(struct txn *t, const struct json_value *v, struct txn_reply *reply)
{
	int64_t code;
	if (json_in_int(json_in_get(v, "code"), &code) && code >= 200 && code <= 599)
		reply->code = (int)code;
	struct span enhanced = json_in_text(json_in_get(v, "enhanced"));
	struct span text = json_in_text(json_in_get(v, "text"));
	if (enhanced.p)
		reply->enhanced = arena_copy(&t->arena, enhanced);
	if (text.p)
		reply->text = arena_copy(&t->arena, text);
}

static bool take_rcpts(struct txn *t, const struct json_value *rcpts, const char **why)
{
	for (size_t i = 0; i < json_in_count(rcpts); i++) {
		const struct json_value *v = json_in_at(rcpts, i);
		struct span to = json_in_text(json_in_is_object(v) ? json_in_get(v, "to") : v);
		if (!to.p) {
			*why = "a recipient needs a text \"to\"";
			return false;
		}
		struct txn_rcpt *rcpt = txn_add_rcpt(t);
		if (!rcpt)
			return true;
		*rcpt = (struct txn_rcpt){.to = arena_copy(&t->arena, to), .prov = PROV_SEEN};
		take_reply(t, v, &rcpt->reply);
	}
	return true;
}

int envelope_from_json(struct txn *t, struct span text, const char **why)
{
	struct json_value *v = json_in_parse(text, why);
	if (!v)
		return -EINVAL;
	int r = -EINVAL;
	struct span peer = json_in_text(json_in_get(v, "peer"));
	struct span time = json_in_text(json_in_get(v, "time"));
	int64_t port;
	*why = "it is no JSON object";
	if (!json_in_is_object(v) || !take_text(t, v, "helo", &t->helo, why) ||
	    !take_text(t, v, "mail_from", &t->mail_from, why) ||
	    !take_rcpts(t, json_in_get(v, "rcpts"), why))
		goto out;
	*why = "\"peer\" is no IP address";
	if (peer.p && !ip_parse(peer, &t->peer))
		goto out;
	if (peer.p)
		t->peer_prov = PROV_SEEN;
	*why = "\"time\" is no time of RFC 3339";
	if (time.p && !clock_parse_rfc3339(time, &t->time_us))
		goto out;
	if (time.p)
		t->time_prov = PROV_SEEN;
	if (json_in_int(json_in_get(v, "port"), &port) && port > 0 && port < 65536)
		t->port = (uint16_t)port;
	take_reply(t, json_in_get(v, "reply"), &t->reply);
	r = 0;
out:
	json_in_free(v);
	return r;
}

int envelope_read(struct txn *t, const char *path, const char **why)
{
	char beside[4096];
	struct file_view view;
	if (snprintf(beside, sizeof(beside), "%s.envelope", path) >= (int)sizeof(beside))
		return 0;
	int r = file_view_open(beside, LIMIT_RULE_FILE_BYTES, &view);
	if (r < 0)
		return r == -ENOENT || r == -ENOTDIR ? 0 : r;
	r = envelope_from_json(t, view.bytes, why);
	file_view_close(&view);
	return r;
}
