/* Unit tests of base/date: dates as mail has them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <cmocka.h>

#include "base/clock.h"
#include "base/date.h"

static void test_rfc5322(void **state)
{
	static const struct {
		const char *text;
		bool ok, strict;
		const char *want;
	} rows[] = {
		{"Mon, 23 Nov 2026 16:00:00 +0800", true, true, "2026-11-23T08:00:00Z"},
		{" Mon, 23 Nov 2026 08:00 +0000 (UTC)", true, true, "2026-11-23T08:00:00Z"},
		{"23 Nov 2026 08:00:00 -0130", true, true, "2026-11-23T09:30:00Z"},
		{"Mon, 23 Nov 26 08:00:00 EST", true, false, "2026-11-23T13:00:00Z"},
		{"Monday, 23-Nov-2026 08:00:00 GMT", true, false, "2026-11-23T08:00:00Z"},
		{"Mon (day) , 23 (x) Nov 2026 08:00:00 +0000", true, true, "2026-11-23T08:00:00Z"},
		{"Nov 23, 2026 08:00:00", true, false, "2026-11-23T08:00:00Z"},
		{"Mon, 23 Nov 2026 24:00:00 +0000", false, false, ""},
		{"Tue, 30 Feb 2026 08:00:00 +0000", false, false, ""},
		{"", false, false, ""},
		{"2026-11-23", false, false, ""},
		{"Mon, 23 Nov 2026", false, false, ""},
		{"Tue, 23 Nov 2026 08:00:00 +0000", true, false, "2026-11-23T08:00:00Z"},
		{"Tue, 24 Nov 2026 00:30:00 +0800", true, true, "2026-11-23T16:30:00Z"},
		{"Wed, 31 Dec 1969 23:59:59 +0000", true, true, "1969-12-31T23:59:59Z"},
		{"(((((", false, false, ""},
		{"Mon, 23 Nov 99999 08:00:00 +0000", false, false, ""},
	};
	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		int64_t us = 0;
		bool strict = false;
		char text[CLOCK_TEXT_BYTES];
		bool ok = date_parse_strict(span_of(rows[i].text), &us, &strict);
		if (ok != rows[i].ok ||
		    (ok && (strict != rows[i].strict ||
			    strcmp(clock_rfc3339(us, text), rows[i].want) != 0)))
			fail_msg("'%s': ok %d, strict %d, %s", rows[i].text, ok, strict,
				 ok ? text : "-");
	}
}

static void test_ctime(void **state)
{
	static const struct {
		const char *text;
		const char *want; /* NULL: none */
	} rows[] = {
		{"joe@a.test Sat Jan  3 01:05:34 1996", "1996-01-03T01:05:34Z"},
		{"joe Sat Jan  3 01:05 1996", "1996-01-03T01:05:00Z"},
		{"joe Sat Jan  3 01:05:34 MET 1996", "1996-01-03T01:05:34Z"},
		{"joe Sat Jan  3 01:05:34", NULL},
		{"", NULL},
	};
	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		int64_t us = 0;
		char text[CLOCK_TEXT_BYTES];
		bool ok = date_parse_ctime(span_of(rows[i].text), &us);
		if (ok != (rows[i].want != NULL) ||
		    (ok && strcmp(clock_rfc3339(us, text), rows[i].want) != 0))
			fail_msg("'%s'", rows[i].text);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_rfc5322),
		cmocka_unit_test(test_ctime),
	};
	return cmocka_run_group_tests_name("date", tests, NULL, NULL);
}
