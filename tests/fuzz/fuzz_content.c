/* Fuzz: a whole message through the content step and its facts. */
#include "analyze/content.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	static struct message m;
	static struct facts f;
	struct arena a;
	arena_init(&a, (size_t)64 << 20);
	facts_init(&f, &a);
	if (message_parse(&m, &a, (struct span){(const char *)data, n}) == 0) {
		struct content *c = content_read(&m, &a);
		if (c)
			content_facts(c, &m, NULL, NULL, &f);
	}
	arena_free(&a);
	return 0;
}
