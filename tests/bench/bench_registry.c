/* A registry of many senders: CPU and memory of its snapshot, of a look that finds nothing new, and of
 * looking senders up. bench_registry [SENDERS] */
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <time.h>

#include "base/clock.h"
#include "base/limits.h"
#include "feedback/db.h"
#include "feedback/registry.h"

static void must(int r, const char *what)
{
	if (r == 0)
		return;
	fprintf(stderr, "%s: %d\n", what, r);
	exit(1);
}

static struct db *open_db(const char *folder)
{
	char path[200];
	struct db *db;
	snprintf(path, sizeof(path), "%s/registry.sqlite", folder);
	must(db_open(path, "", &db), "db_open");
	return db;
}

static void file_all(struct registry *reg, const char *folder, unsigned n)
{
	struct buf text = BUF_INIT, note = BUF_INIT;
	struct arena arena;
	struct filings all;
	struct diag diag = {.out = NULL};
	for (unsigned i = 0; i < n; i++)
		buf_addf(&text, "sender s%u { org { name \"Sender %u\" email \"a@s%u.example\" }"
				" ip 198.%u.%u.%u domain s%u.example dkim s%u.example"
				" rate 1000 per hour feedback fbl@s%u.example }\n",
			 i, i, i, 18 + i / 65536, i / 256 % 256, i % 256, i, i, i);
	arena_init(&arena, LIMIT_REGISTRY_BYTES);
	filings_read(&all, buf_span(&text), "bench", &arena, &diag);
	must((int)all.faults, "filings");
	must(registry_file_all(reg, all.v, all.n, "bench", &note), "file");
	struct db *db = open_db(folder);
	must(db_exec(db, "UPDATE sender SET state = 'active', holds = waits, waits = NULL,"
			 " since_us = 1, until_us = 4000000000000000"), "activate");
	db_close(db);
	arena_free(&arena);
	buf_free(&text);
	buf_free(&note);
}

int main(int argc, char **argv)
{
	char folder[] = "/tmp/assay-bench.XXXXXX", command[80], name[40];
	unsigned n = argc > 1 ? (unsigned)atoi(argv[1]) : 10000, found = 0;
	struct registry *reg;
	if (!mkdtemp(folder))
		return 1;
	must(registry_open(folder, &reg), "open");
	file_all(reg, folder, n);
	registry_close(reg);
	must(registry_open(folder, &reg), "open");
	int64_t begin = clock_cpu_us();
	int64_t wall_us = clock_mono_us();
	const struct sender_table *table = registry_senders(reg);
	double snapshot = (double)(clock_cpu_us() - begin) / 1e6;
	wall_us = clock_mono_us() - wall_us;
	struct rusage usage;
	getrusage(RUSAGE_SELF, &usage);
	begin = clock_cpu_us();
	for (unsigned i = 0; i < 100000; i++)
		table = registry_senders(reg);
	double look = (double)(clock_cpu_us() - begin) / 100000;
	begin = clock_cpu_us();
	for (unsigned i = 0; table && i < 1000000; i++) {
		snprintf(name, sizeof(name), "m.s%u.example", i % n);
		found += sender_by_dkim(table, span_of(name)) != NULL;
	}
	double find = (double)(clock_cpu_us() - begin) / 1000000;
	printf("%u senders: snapshot %.3f s CPU, %.3f s wall, RSS %ld MB\n"
	       "nothing new: %.2f us, by DKIM domain: %.2f us (%u of 1000000 found)\n",
	       n, snapshot, (double)wall_us / 1e6, usage.ru_maxrss / 1024, look, find, found);
	registry_close(reg);
	snprintf(command, sizeof(command), "rm -rf %s", folder);
	return system(command);
}
