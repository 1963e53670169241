/* An arena for each test of a file: setup and teardown of cmocka_unit_test_setup_teardown. */
#ifndef ASSAY_UNIT_ARENA_H
#define ASSAY_UNIT_ARENA_H

#include "base/arena.h"
#include "base/limits.h"

static struct arena arena;

static int setup(void **state)
{
	(void)state;
	arena_init(&arena, LIMIT_ARENA_BYTES);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	arena_free(&arena);
	return 0;
}

#endif
