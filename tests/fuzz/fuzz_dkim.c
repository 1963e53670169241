/*
 * DKIM signatures: the first line is the key record, the rest a message; each of its signatures
 * is judged with that record, whatever it says of its name.
 */
#include <assert.h>

#include "analyze/dkim_signature.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Empty lines at the end of a body never count (RFC 6376 sections 3.4.3 and 3.4.4), and without
 * l= an octet hashed is an octet counted. */
static void check_body(struct span body, enum dkim_form form)
{
	struct dkim_body_hash as_is, longer, cut;
	struct sha256 *hash = sha256_create();
	bool ended = span_ends(body, SPAN("\r\n")) || !body.n;
	dkim_hash_body(hash, body, form, DKIM_NO_LENGTH, &as_is);
	if (ended) {
		struct buf more = BUF_INIT;
		buf_add(&more, body);
		buf_adds(&more, "\r\n\r\n");
		dkim_hash_body(hash, buf_span(&more), form, DKIM_NO_LENGTH, &longer);
		buf_free(&more);
		assert(as_is.length == longer.length);
		assert(memcmp(as_is.digest, longer.digest, SHA256_BYTES) == 0);
	}
	dkim_hash_body(hash, body, form, as_is.length, &cut);
	assert(memcmp(as_is.digest, cut.digest, SHA256_BYTES) == 0);
	assert(as_is.length <= body.n + 2);
	sha256_free(hash);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct span rest = {(const char *)data, size}, record = SPAN_NONE;
	struct arena arena;
	struct preflight_header head;
	arena_init(&arena, (size_t)16 << 20);
	span_next_field(&rest, '\n', &record);
	if (!rest.p)
		rest = SPAN("");
	struct dns_record txt = {.name = record};
	struct dns_answer key = {.status = DNS_FOUND, .records = &txt, .n = 1};
	preflight_header(&head, &arena, rest, 0);
	struct message m = {.arena = &arena, .octets = rest, .headers = head.v,
			    .n_headers = head.n, .body_offset = head.body_offset};
	struct dkim_work *w = dkim_work_create(&m, &arena);
	for (size_t i = 0; w && i < m.n_headers; i++) {
		struct dkim_signature sig;
		struct dkim_outcome out;
		if (!span_case_eq(m.headers[i].name, SPAN("dkim-signature")))
			continue;
		dkim_signature_parse(&sig, SIGNATURE_DKIM, &m.headers[i], &arena);
		if (sig.reason) {
			assert(sig.fault == AUTH_PERMERROR);
			continue;
		}
		assert(sig.d.n && sig.s.n && sig.h.n && sig.b.n && sig.bh.n == SHA256_BYTES);
		dkim_signature_check(w, &sig, &key, &out);
		assert(out.result != AUTH_NONE && out.result != AUTH_TEMPERROR);
		assert((out.result == AUTH_PASS) == !out.reason);
	}
	struct span body = span_sub(rest, m.body_offset, rest.n);
	check_body(body, DKIM_SIMPLE);
	check_body(body, DKIM_RELAXED);
	arena_free(&arena);
	return 0;
}
