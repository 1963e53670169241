/* Filings: any text gives filings or faults, and a filing without faults reads the same again. */
#include <stdlib.h>

#include "base/limits.h"
#include "feedback/filing.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	static FILE *null;
	struct arena a;
	struct filings all, again;
	struct diag diag = {.out = null ? null : (null = fopen("/dev/null", "w"))};
	arena_init(&a, LIMIT_ARENA_BYTES);
	filings_read(&all, (struct span){(const char *)data, n}, "f", &a, &diag);
	for (size_t i = 0; i < all.n && !all.faults; i++) {
		filings_read(&again, all.v[i].source, "f", &a, &diag);
		if (again.faults || again.n != 1 || again.v[0].n_ranges != all.v[i].n_ranges)
			abort();
		(void)filing_missing(&all.v[i], &a);
	}
	arena_free(&a);
	return 0;
}
