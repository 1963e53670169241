/* Any octets as a message: parsed, every field decoded. */
#include "analyze/message.h"
#include "base/limits.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	struct arena arena;
	struct message m;
	arena_init(&arena, LIMIT_ARENA_BYTES);
	if (message_parse(&m, &arena, (struct span){(const char *)data, n}) == 0)
		for (size_t i = 0; i < m.n_headers; i++)
			message_header_text(&m, &m.headers[i]);
	arena_free(&arena);
	return 0;
}
