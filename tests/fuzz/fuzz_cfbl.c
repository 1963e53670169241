/* CFBL-Address (RFC 9477): whatever the header says, an address that is told lies within the domain
 * of a signature that passed. */
#include <stdlib.h>

#include "analyze/cfbl.h"
#include "analyze/sender.h"
#include "base/limits.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	struct span names[] = {SPAN("from"), SPAN("cfbl-address"), SPAN("cfbl-feedback-id")};
	struct dkim_result passed[] = {
		{.result = AUTH_PASS, .d = SPAN("a.example"), .signed_fields = names,
		 .n_signed_fields = 3},
		{.result = AUTH_PASS, .d = SPAN("b.example"), .signed_fields = names,
		 .n_signed_fields = 3},
	};
	struct auth auth = {.dkim = passed, .n_dkim = 2};
	struct message m;
	struct arena a;
	struct buf out = BUF_INIT;
	struct json j = JSON_INIT(&out);
	arena_init(&a, LIMIT_ARENA_BYTES);
	if (message_parse(&m, &a, (struct span){(const char *)data, n}) == 0) {
		struct cfbl c = cfbl_find(&m, &auth, &a);
		size_t at = span_rfind_char(c.address, '@');
		struct span domain = span_sub(c.address, at + 1, c.address.n);
		if (c.address.p && (at == SIZE_MAX || (!domain_covers(SPAN("a.example"), domain) &&
						       !domain_covers(SPAN("b.example"), domain))))
			abort();
		json_open(&j, NULL, '{');
		cfbl_write_json(&c, &j);
		json_close(&j, '}');
	}
	buf_free(&out);
	arena_free(&a);
	return 0;
}
