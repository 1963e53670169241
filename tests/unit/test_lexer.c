/* lexer and diag: tokens, places, faults, "did you mean". */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdlib.h>

#include "base/buf.h"
#include "base/lexer.h"

/* Every token as "line:column KIND text", one a line. */
static void lex(const char *input, struct buf *out, char **faults)
{
	static const char *const kinds[] = {"end", "word", "text", "list", "{",	 "}",  "(", ")",
					    "==",  "!=",   "<",	   ">",	   "<=", ">=", "~", "=",
					    "fault"};
	struct arena arena;
	size_t n;
	struct diag diag = {.out = open_memstream(faults, &n)};
	struct lexer l;
	arena_init(&arena, 1 << 20);
	for (lexer_init(&l, &arena, &diag, "f", span_of(input)); l.token.kind != TOKEN_END;
	     lexer_next(&l))
		buf_addf(out, "%u:%u%s %s %.*s\n", l.token.at.line, l.token.at.column,
			 l.token.first ? "!" : "", kinds[l.token.kind], SPAN_ARG(l.token.text));
	arena_free(&arena);
	fclose(diag.out);
}

static void test_tokens(void **state)
{
	static const struct {
		const char *input, *want, *faults;
	} rows[] = {
		{"", "", ""},
		{"# a comment", "", ""},
		{"rule a.b-c {\n\tscore -1.5 # why\n}",
		 "1:1! word rule\n1:6 word a.b-c\n1:12 { \n2:2! word score\n2:8 word -1.5\n3:1! } \n",
		 ""},
		{"a<=b<c>=d>e==f!=g~h=i", "1:1! word a\n1:2 <= \n1:4 word b\n1:5 < \n1:6 word c\n"
		 "1:7 >= \n1:9 word d\n1:10 > \n1:11 word e\n1:12 == \n1:14 word f\n1:15 != \n"
		 "1:17 word g\n1:18 ~ \n1:19 word h\n1:20 = \n1:21 word i\n", ""},
		{"\"a\\\"b\\\\c\\s\" x", "1:1! text a\"b\\c\\s\n1:13 word x\n", ""},
		{"\"退订\" x", "1:1! text 退订\n1:6 word x\n", ""},
		{"@partners(http://a/b#c)", "1:1! list partners\n1:10 ( \n1:11 word http://a/b#c\n"
		 "1:23 ) \n", ""},
		{"\xef\xbb\xbf" "a", "1:1! word a\n", ""},
		{"\"open\nx", "1:1! fault \n2:1! word x\n",
		 "f:1:1: error: text is not closed on its line\n"},
		{"a, b", "1:1! word a\n1:2 fault \n1:4 word b\n",
		 "f:1:2: error: unexpected ','; members stand side by side\n"},
		{"!a", "1:1! fault \n1:2 word a\n",
		 "f:1:1: error: unexpected '!'; write 'not' or '!='\n"},
		{"\x01", "1:1! fault \n", "f:1:1: error: unexpected octet 0x01\n"},
		{"@ a", "1:1! fault \n1:3 word a\n",
		 "f:1:1: error: '@' without the name of a list\n"},
		{"\xff", "1:1! fault \xff\n", "f:1:1: error: word is no UTF-8\n"},
		{"\"\xff\"", "1:1! fault \xff\n", "f:1:1: error: text is no UTF-8\n"},
	};
	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct buf out = BUF_INIT;
		char *faults;
		lex(rows[i].input, &out, &faults);
		if (strcmp(out.p ? out.p : "", rows[i].want) != 0 ||
		    strcmp(faults, rows[i].faults) != 0)
			fail_msg("%s\ngot:\n%s%s", rows[i].input, out.p, faults);
		buf_free(&out);
		free(faults);
	}
}

static void test_values(void **state)
{
	static const struct {
		const char *text;
		int64_t us;
	} durations[] = {{"0", 0},	     {"500ms", 500000},	   {"3s", 3000000},
			 {"10m", 600000000}, {"2h", 7200000000},   {"7d", 604800000000},
			 {"3", -1},	     {"s", -1},		   {"-3s", -1},
			 {"3 s", -1},	     {"99999999999d", -1}, {"", -1}};
	static const struct {
		const char *text;
		double value;
	} numbers[] = {{"3000", 3000}, {"-1.5", -1.5}, {"0.25", 0.25}, {"1.", -99}, {".5", -99},
		       {"1e3", -99},   {"0x10", -99},  {"-", -99},     {"", -99},   {"1.2.3", -99}};
	size_t bytes;
	(void)state;
	for (size_t i = 0; i < sizeof(durations) / sizeof(durations[0]); i++) {
		int64_t us = -1;
		bool good = parse_duration(span_of(durations[i].text), &us);
		if (good != (durations[i].us >= 0) || (good && us != durations[i].us))
			fail_msg("duration %s: %lld", durations[i].text, (long long)us);
	}
	for (size_t i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++) {
		double value = -99;
		parse_decimal(span_of(numbers[i].text), &value);
		if (value != numbers[i].value)
			fail_msg("number %s: %g", numbers[i].text, value);
	}
	assert_true(parse_size(SPAN("64M"), &bytes) && bytes == 64 << 20);
	assert_true(parse_size(SPAN("10"), &bytes) && bytes == 10);
	assert_false(parse_size(SPAN("10X"), &bytes));
}

static void test_similar(void **state)
{
	static const char *const known[] = {"class.kind", "class.marketing", "auth.spf",
					    "unsub.header", "rbl.ip"};
	static const struct {
		const char *word, *want;
	} rows[] = {
		{"clas", " (did you mean 'class.kind'?)"},
		{"class.knid", " (did you mean 'class.kind'?)"},
		{"unsub.haeder", " (did you mean 'unsub.header'?)"},
		{"auth.sfp", " (did you mean 'auth.spf'?)"},
		{"weather", ""},
		{"x", ""},
		{"", ""},
	};
	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct diag_guess s = diag_guess(span_of(rows[i].word));
		for (size_t k = 0; k < sizeof(known) / sizeof(known[0]); k++)
			diag_guess_try(&s, span_of(known[k]));
		if (strcmp(diag_guess_text(&s), rows[i].want) != 0)
			fail_msg("%s: %s", rows[i].word, diag_guess_text(&s));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_tokens),
		cmocka_unit_test(test_values),
		cmocka_unit_test(test_similar),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
