/*
 * ARC chains and Authentication-Results: the first line is every key record of the world and what
 * the client said, the rest is a message. The field written must be one field with one result a
 * method, whatever is in them.
 */
#include <assert.h>

#include "analyze/auth.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct dns_session {
	struct dns_record record;
	struct dns_answer answer;
	bool arrived;
};

const struct dns_answer *dns_get(struct dns_session *session, struct span name,
				 enum dns_type type)
{
	static const struct dns_answer wait = {.status = DNS_WAIT};
	(void)name, (void)type;
	return session->arrived ? &session->answer : &wait;
}

/* ';' outside of quotes; folds are CRLF and a blank; no other control character. */
static size_t count_methods(struct span field)
{
	size_t n = 0;
	bool quoted = false;
	for (size_t i = 0; i < field.n; i++) {
		char c = field.p[i];
		if (c == '\r') {
			assert(i + 2 < field.n && field.p[i + 1] == '\n' && field.p[i + 2] == '\t');
			assert(!quoted);
			i += 2;
			continue;
		}
		assert((uint8_t)c >= ' ' && c != 0x7f);
		if (quoted && c == '\\')
			i++;
		else if (c == '"')
			quoted = !quoted;
		else if (c == ';' && !quoted)
			n++;
	}
	assert(!quoted);
	return n;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct span rest = {(const char *)data, size}, first = SPAN_NONE;
	struct dns_session dns = {.answer = {.status = DNS_FOUND, .n = 1}};
	struct arena arena;
	struct message m;
	struct auth auth = {.spf = {.result = AUTH_PASS}};
	span_next_field(&rest, '\n', &first);
	struct auth_query q = {.helo = first, .mail_from = first, .host = "mx.example"};
	dns.record.name = first;
	dns.answer.records = &dns.record;
	arena_init(&arena, (size_t)64 << 20);
	if (message_parse(&m, &arena, rest.p ? rest : SPAN("")) == 0) {
		bool waiting = dkim_check(&auth, &m, &q, &dns, &arena) == STEP_WAIT;
		waiting |= arc_check(&auth.arc, &m, &q, &dns, &arena) == STEP_WAIT;
		dns.arrived = true;
		if (waiting) {
			assert(dkim_check(&auth, &m, &q, &dns, &arena) == STEP_DONE);
			assert(arc_check(&auth.arc, &m, &q, &dns, &arena) == STEP_DONE);
		}
		struct span field = auth_results_field(&auth, &m, &q, &arena);
		size_t want = 3 + (first.n > 0) + (auth.n_dkim ? auth.n_dkim : 1);
		assert(!field.p || count_methods(field) == want);
	}
	arena_free(&arena);
	return 0;
}
