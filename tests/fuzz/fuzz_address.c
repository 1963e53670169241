/* Address fields, and each address of one again as an envelope's. */
#include <assert.h>

#include "analyze/address.h"
#include "base/limits.h"
#include "base/utf8.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	struct arena arena;
	struct addresses list = {0};
	struct address one;
	unsigned faults = 0;
	struct span body = {(const char *)data, n};
	arena_init(&arena, LIMIT_ARENA_BYTES);
	addresses_read(&list, &arena, body, NULL, &faults);
	assert(list.n <= list.total && list.n <= LIMIT_ADDRESSES);
	for (size_t i = 0; i < list.n; i++) {
		const struct address *a = &list.v[i];
		assert(a->name.p == NULL || utf8_valid(a->name));
		assert(a->domain.p == NULL || a->domain.n > 0);
		assert(a->addr.p == NULL || utf8_valid(a->addr));
		if (address_split(&arena, a->addr, &one))
			assert(one.domain.n > 0);
	}
	address_split(&arena, body, &one);
	arena_free(&arena);
	return 0;
}
