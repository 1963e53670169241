/* Complaints as they come in, and the linter over the same octets. */
#include "base/limits.h"
#include "feedback/arf_lint.h"
#include "feedback/arf_read.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	struct span text = {(const char *)data, n};
	struct arena a;
	struct arf_input in;
	struct buf faults = BUF_INIT;
	arena_init(&a, LIMIT_ARENA_BYTES);
	arf_read(&in, text, &a);
	arf_lint(text, SPAN("wang@receiver.example"), &faults);
	buf_free(&faults);
	arena_free(&a);
	return 0;
}
