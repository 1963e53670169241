/* measure: the CPU time of one call, as the median of several runs of many calls; the machine may be
 * busy with something else. */
#ifndef ASSAY_BENCH_MEASURE_H
#define ASSAY_BENCH_MEASURE_H

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/clock.h"

enum { MEASURE_RUNS = 9 };

static int measure_by_value(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;
	return (x > y) - (x < y);
}

/* Calls fn(arg) `calls` times a run, and prints a line: microseconds a call. */
static void measure(const char *name, void (*fn)(void *arg), void *arg, size_t calls)
{
	double us[MEASURE_RUNS];
	for (size_t run = 0; run < MEASURE_RUNS; run++) {
		int64_t start = clock_cpu_us();
		for (size_t i = 0; i < calls; i++)
			fn(arg);
		us[run] = (double)(clock_cpu_us() - start) / (double)calls;
	}
	qsort(us, MEASURE_RUNS, sizeof(us[0]), measure_by_value);
	printf("%-40s %7.2f us (%.2f .. %.2f, median of %d x %zu)\n", name, us[MEASURE_RUNS / 2], us[0],
	       us[MEASURE_RUNS - 1], MEASURE_RUNS, calls);
}

#endif
