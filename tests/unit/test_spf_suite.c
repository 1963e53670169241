/* The openspf.org suites against spf_check(): every result, every explanation. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "analyze/auth.h"
#include "tests/unit/memory_dns.h"

static struct arena fields_arena;

static struct span unhex(struct span hex)
{
	char *out = arena_alloc(&fields_arena, hex.n / 2 + 1);
	if (span_eq(hex, SPAN(".")))
		return (struct span){out, 0};
	for (size_t i = 0; i + 1 < hex.n; i += 2) {
		unsigned value = 0;
		assert_int_equal(sscanf((char[]){hex.p[i], hex.p[i + 1], 0}, "%x", &value), 1);
		out[i / 2] = (char)value;
	}
	return (struct span){out, hex.n / 2};
}

static bool expected(struct span results, const char *got)
{
	struct span one;
	while (span_next_field(&results, ',', &one))
		if (span_eq(one, span_of(got)))
			return true;
	return false;
}

static bool run_case(struct span field[7])
{
	struct arena arena;
	struct spf_result mail_from, helo;
	struct auth_query q = {.helo = unhex(field[3]), .mail_from = unhex(field[4]),
			       .host = "receiver.example"};
	assert_true(ip_parse(field[2], &q.ip));
	arena_init(&arena, (size_t)16 << 20);
	memory_forget();
	unsigned runs = 1;
	while (spf_check(&mail_from, &helo, &q, &memory_session, &arena) == STEP_WAIT) {
		assert_true(memory_arrive());
		assert_true(++runs < 60);
	}
	const char *got = auth_result_name(mail_from.result);
	bool good = expected(field[5], got);
	if (!good)
		print_error("# %.*s: want %.*s, got %s (%s)\n", SPAN_ARG(field[1]),
			    SPAN_ARG(field[5]), got, mail_from.why ? mail_from.why : "-");
	if (good && !span_eq(field[6], SPAN("-"))) {
		struct span want = unhex(field[6]);
		struct span text = mail_from.explanation.p ? mail_from.explanation
							    : SPAN("DEFAULT");
		good = span_eq(want, text);
		if (!good)
			print_error("# %.*s: want explanation '%.*s', got '%.*s'\n",
				    SPAN_ARG(field[1]), SPAN_ARG(want), SPAN_ARG(text));
	}
	arena_free(&arena);
	return good;
}

static void run_suite(const char *file, size_t want_cases)
{
	const char *source = getenv("ASSAY_SOURCE"), *shared = getenv("ASSAY_SHARED");
	char command[1000], line[20000];
	size_t run = 0, passed = 0;
	snprintf(command, sizeof(command), "%s/spf/test/%s", shared ? shared : "", file);
	FILE *there = fopen(command, "r");
	if (!there) {
		print_message("# SKIPPED: no file %s\n", command);
		return;
	}
	fclose(there);
	snprintf(command, sizeof(command), "python3 '%s/tests/peers/spf_suite.py' '%s/spf/test/%s'",
		 source, shared, file);
	FILE *rows = popen(command, "r");
	assert_non_null(rows);
	memory_reset();
	while (fgets(line, sizeof(line), rows)) {
		struct span rest = span_trim(span_of(line)), field[7] = {SPAN_NONE};
		for (size_t i = 0; i < 7 && span_next_field(&rest, '\t', &field[i]); i++)
			continue;
		arena_init(&fields_arena, (size_t)1 << 20);
		if (field[0].p[0] == 'S') {
			memory_reset();
		} else if (field[0].p[0] == 'R') {
			char type[16];
			uint64_t preference = 0;
			snprintf(type, sizeof(type), "%.*s", SPAN_ARG(field[2]));
			span_number(field[3], 65535, &preference);
			memory_add(unhex(field[1]), type, (unsigned)preference, unhex(field[4]));
		} else {
			run++;
			passed += run_case(field);
		}
		arena_free(&fields_arena);
	}
	assert_int_equal(pclose(rows), 0);
	print_message("# %s: %zu passed of %zu run\n", file, passed, run);
	assert_int_equal(run, want_cases);
	assert_int_equal(passed, run);
}

static void suite_7208(void **state)
{
	(void)state;
	run_suite("rfc7208-tests.yml", 203);
}

static void suite_4408(void **state)
{
	(void)state;
	/* What RFC 7208 changed shows in which results a case allows; all 191 hold today. */
	run_suite("rfc4408-tests.yml", 191);
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(suite_7208),
					   cmocka_unit_test(suite_4408)};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
