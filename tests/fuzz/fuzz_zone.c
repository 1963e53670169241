/* Master files: any octets, then names of the file are asked for. */
#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "analyze/zone.h"
#include "base/file.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static char path[64];
	static FILE *nowhere;
	static const enum dns_type types[] = {DNS_A, DNS_MX, DNS_TXT, DNS_CNAME};
	struct span text = {(const char *)data, size}, word;
	struct zone *zone = NULL;
	if (!nowhere) {
		snprintf(path, sizeof(path), "/tmp/assay-fuzz-zone-%d", (int)getpid());
		nowhere = fopen("/dev/null", "w");
	}
	struct diag diag = {.out = nowhere};
	FILE *file = fopen(path, "w");
	if (!file || !nowhere)
		abort();
	fwrite(data, 1, size, file);
	fclose(file);
	int r = zone_load(&zone, path, &diag);
	unlink(path);
	assert((r == 0) == (zone != NULL) && (r == 0 || diag.errors));
	if (r)
		return 0;
	struct arena arena;
	arena_init(&arena, (size_t)16 << 20);
	for (int i = 0; i < 64 && span_next_word(&text, &word); i++) {
		if (word.n > 253)
			continue;
		struct dns_answer a = zone_answer(zone, word, types[i % 4], &arena);
		assert(a.status != DNS_WAIT && (a.status == DNS_FOUND) == (a.n > 0));
		assert((a.status == DNS_UNKNOWN) == (a.why != NULL));
	}
	arena_free(&arena);
	zone_free(zone);
	return 0;
}
