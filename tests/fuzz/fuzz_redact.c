/* Redaction: whatever the text, the address is not found in what comes out, and a message that is
 * shown whole has it in no text of ours. */
#include <stdlib.h>

#include "base/limits.h"
#include "feedback/redact.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	struct arena a;
	struct message m;
	struct buf out = BUF_INIT;
	bool whole, eight_bit;
	if (n > 4096)
		return 0;
	arena_init(&a, LIMIT_ARENA_BYTES);
	struct redactor *r = redactor_create(&a, SPAN("key"), SPAN("zz.test"), false);
	redactor_add(r, SPAN("a@b.example"));
	struct span text = arena_copy(&a, (struct span){(const char *)data, n});
	struct span shown = redact_text(r, text);
	if (!a.overflowed && span_case_find(shown, SPAN("<a@b.example>")) != SIZE_MAX)
		abort();
	if (message_parse(&m, &a, text) == 0) {
		redactor_add_message(r, &m);
		redact_message(r, &m, REDACT_FULL, SPAN("mx.zz.test"), &out, &whole, &eight_bit);
	}
	buf_free(&out);
	arena_free(&a);
	return 0;
}
