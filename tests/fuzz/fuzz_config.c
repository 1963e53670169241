/* assay.conf from anywhere: faults are said, nothing else happens. */
#include <stdlib.h>

#include "base/config.h"
#include "base/diag.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct config c;
	char *out;
	size_t n;
	struct diag diag = {.out = open_memstream(&out, &n)};
	config_init(&c);
	int r = config_parse(&c, "c", (struct span){(const char *)data, size}, &diag);
	fclose(diag.out);
	if (r == CONFIG_E_FAULTS && (!n || !diag.errors))
		__builtin_trap(); /* a fault that nobody was told */
	config_free(&c);
	free(out);
	return 0;
}
