/*
 * capture_cuts FOLDER [SEED [TIMES]] - every capture of FOLDER cut at each packet, cut at TIMES random
 * octets, and with octets of its packets changed TIMES; read by the target of fuzz_capture.c, which
 * aborts at what must not be. Only pcap files of our byte order, as that target reads them.
 */
#include <dirent.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static uint64_t state;

static size_t below(size_t n)
{
	state = state * 6364136223846793005ull + 1442695040888963407ull;
	return (size_t)((state >> 33) % n);
}

static uint8_t *read_all(const char *path, size_t *n_r)
{
	FILE *f = fopen(path, "rb");
	uint8_t *p = malloc(4 << 20);
	*n_r = f && p ? fread(p, 1, 4 << 20, f) : 0;
	if (f)
		fclose(f);
	return p;
}

static unsigned packets(const uint8_t *data, size_t size, unsigned most)
{
	unsigned runs = 0;
	for (size_t at = 24; at + 16 <= size && runs < most; runs++) {
		uint32_t n;
		memcpy(&n, data + at + 8, 4);
		LLVMFuzzerTestOneInput(data, at);
		at += 16 + n;
	}
	return runs;
}

int main(int argc, char **argv)
{
	unsigned long times = argc > 3 ? strtoul(argv[3], NULL, 10) : 60;
	unsigned long runs = 0, files = 0;
	state = argc > 2 ? strtoull(argv[2], NULL, 10) : 1;
	DIR *folder = argc > 1 ? opendir(argv[1]) : NULL;
	for (struct dirent *e; folder && (e = readdir(folder));) {
		char path[4096];
		size_t n;
		snprintf(path, sizeof(path), "%s/%s", argv[1], e->d_name);
		uint8_t *data = read_all(path, &n);
		if (!data || n < 24 || memcmp(data, "\xd4\xc3\xb2\xa1", 4) != 0) {
			free(data);
			continue;
		}
		files++;
		runs += packets(data, n, 100000);
		for (unsigned long i = 0; i < times; i++, runs += 2) {
			LLVMFuzzerTestOneInput(data, 24 + below(n - 23));
			size_t at[3];
			uint8_t was[3];
			for (int k = 0; k < 3; k++) {
				at[k] = 24 + below(n - 24);
				was[k] = data[at[k]];
				data[at[k]] ^= (uint8_t)(1u << below(8));
			}
			LLVMFuzzerTestOneInput(data, n);
			for (int k = 2; k >= 0; k--)
				data[at[k]] = was[k];
		}
		free(data);
	}
	if (folder)
		closedir(folder);
	printf("%lu captures, %lu variants\n", files, runs);
	return files == 0;
}
