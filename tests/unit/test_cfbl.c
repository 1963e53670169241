/* RFC 9477 section 3.1: which signatures let a CFBL-Address hold, as a table. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <cmocka.h>

#include "analyze/cfbl.h"
#include "base/limits.h"

struct sig {
	const char *d;
	enum auth_result result;
	const char *h; /* names with blanks between */
	bool testing;
};

#define BOTH "from to subject cfbl-address cfbl-feedback-id"
#define ADDRESS "from cfbl-address"
#define PLAIN "from subject"

static const struct row {
	const char *name, *from, *field;
	struct sig sigs[3];
	const char *address, *domain; /* NULL: nobody */
	bool xarf;
} rows[] = {
	{"strict", "n@a.example", "CFBL-Address: f@a.example\r\n", {{"a.example", AUTH_PASS, ADDRESS, 0}},
	 "f@a.example", "a.example", false},
	{"strict, failed", "n@a.example", "CFBL-Address: f@a.example\r\n",
	 {{"a.example", AUTH_FAIL, ADDRESS, 0}}, NULL, NULL, false},
	{"strict, temporary error", "n@a.example", "CFBL-Address: f@a.example\r\n",
	 {{"a.example", AUTH_TEMPERROR, ADDRESS, 0}}, NULL, NULL, false},
	{"strict, not covered", "n@a.example", "CFBL-Address: f@a.example\r\n",
	 {{"a.example", AUTH_PASS, PLAIN, 0}}, NULL, NULL, false},
	{"strict, key in test mode", "n@a.example", "CFBL-Address: f@a.example\r\n",
	 {{"a.example", AUTH_PASS, ADDRESS, true}}, NULL, NULL, false},
	{"strict, id not covered", "n@a.example",
	 "CFBL-Address: f@a.example\r\nCFBL-Feedback-ID: 1:2\r\n",
	 {{"a.example", AUTH_PASS, ADDRESS, 0}}, NULL, NULL, false},
	{"strict, id covered", "n@a.example", "CFBL-Address: f@a.example\r\nCFBL-Feedback-ID: 1:2\r\n",
	 {{"a.example", AUTH_PASS, BOTH, 0}}, "f@a.example", "a.example", false},
	{"strict, other signer", "n@a.example", "CFBL-Address: f@a.example\r\n",
	 {{"b.example", AUTH_PASS, ADDRESS, 0}}, NULL, NULL, false},
	{"relaxed, address below author", "n@a.example", "CFBL-Address: f@fbl.a.example\r\n",
	 {{"a.example", AUTH_PASS, ADDRESS, 0}}, "f@fbl.a.example", "a.example", false},
	{"relaxed, both below the signer", "n@news.a.example", "CFBL-Address: f@fbl.a.example\r\n",
	 {{"a.example", AUTH_PASS, ADDRESS, 0}}, "f@fbl.a.example", "a.example", false},
	{"relaxed, signer below author", "n@a.example", "CFBL-Address: f@fbl.a.example\r\n",
	 {{"fbl.a.example", AUTH_PASS, ADDRESS, 0}}, NULL, NULL, false},
	{"a name that only ends alike", "n@a.example", "CFBL-Address: f@nota.example\r\n",
	 {{"a.example", AUTH_PASS, ADDRESS, 0}}, NULL, NULL, false},
	{"third party, two signatures", "n@a.example", "CFBL-Address: f@esp.example\r\n",
	 {{"a.example", AUTH_PASS, ADDRESS, 0}, {"esp.example", AUTH_PASS, ADDRESS, 0}},
	 "f@esp.example", "esp.example", false},
	{"third party, the author's alone", "n@a.example", "CFBL-Address: f@esp.example\r\n",
	 {{"a.example", AUTH_PASS, ADDRESS, 0}}, NULL, NULL, false},
	{"third party, the provider's alone", "n@a.example", "CFBL-Address: f@esp.example\r\n",
	 {{"esp.example", AUTH_PASS, ADDRESS, 0}}, NULL, NULL, false},
	{"third party, the provider's does not cover", "n@a.example", "CFBL-Address: f@esp.example\r\n",
	 {{"a.example", AUTH_PASS, ADDRESS, 0}, {"esp.example", AUTH_PASS, PLAIN, 0}}, NULL, NULL, false},
	{"third party, the author's failed", "n@a.example", "CFBL-Address: f@esp.example\r\n",
	 {{"a.example", AUTH_FAIL, ADDRESS, 0}, {"esp.example", AUTH_PASS, ADDRESS, 0}}, NULL, NULL, false},
	{"signed by the author before the provider", "n@a.example", "CFBL-Address: f@esp.example\r\n",
	 {{"a.example", AUTH_PASS, PLAIN, 0}, {"esp.example", AUTH_PASS, ADDRESS, 0}},
	 "f@esp.example", "esp.example", false},
	{"XARF asked for", "n@a.example", "CFBL-Address: f@a.example; report=xarf\r\n",
	 {{"a.example", AUTH_PASS, ADDRESS, 0}}, "f@a.example", "a.example", true},
	{"ARF asked for, with comments", "n@a.example",
	 "CFBL-Address: (us) f@a.example (here);\r\n report=arf\r\n",
	 {{"a.example", AUTH_PASS, ADDRESS, 0}}, "f@a.example", "a.example", false},
	{"values have a case", "n@a.example", "CFBL-Address: f@a.example; report=XARF\r\n",
	 {{"a.example", AUTH_PASS, ADDRESS, 0}}, NULL, NULL, false},
	{"the first valid one of two", "n@a.example",
	 "CFBL-Address: f@x.example\r\nCFBL-Address: g@a.example\r\n",
	 {{"a.example", AUTH_PASS, ADDRESS, 0}}, "g@a.example", "a.example", false},
	{"no address", "n@a.example", "CFBL-Address: nobody\r\n", {{"a.example", AUTH_PASS, ADDRESS, 0}},
	 NULL, NULL, false},
	{"a blank is no address", "n@a.example", "CFBL-Address: f@a.example,g@a.example\r\n",
	 {{"a.example", AUTH_PASS, ADDRESS, 0}}, NULL, NULL, false},
	{"two authors", "n@a.example, m@b.example", "CFBL-Address: f@a.example\r\n",
	 {{"a.example", AUTH_PASS, ADDRESS, 0}}, NULL, NULL, false},
};

static void fill(struct dkim_result *out, const struct sig *sig, struct arena *arena)
{
	struct span *names = ARENA_ARRAY(arena, struct span, 16), rest = span_of(sig->h), word;
	size_t n = 0;
	while (span_next_word(&rest, &word))
		names[n++] = word;
	*out = (struct dkim_result){.result = sig->result, .d = span_of(sig->d), .testing = sig->testing,
				    .signed_fields = names, .n_signed_fields = n};
}

static void test_matrix(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		const struct row *row = &rows[i];
		struct arena arena;
		struct message m;
		struct auth auth = {.n_dkim = 0};
		arena_init(&arena, LIMIT_ARENA_BYTES);
		struct span text = arena_printf(&arena, "From: %s\r\n%s\r\nx\r\n", row->from, row->field);
		assert_int_equal(message_parse(&m, &arena, text), 0);
		struct dkim_result *results = ARENA_ARRAY(&arena, struct dkim_result, 3);
		for (size_t k = 0; k < 3 && row->sigs[k].d; k++)
			fill(&results[auth.n_dkim++], &row->sigs[k], &arena);
		auth.dkim = results;
		struct cfbl c = cfbl_find(&m, &auth, &arena);
		if (!span_eq(c.address, span_of(row->address ? row->address : "")) ||
		    !span_eq(c.domain, span_of(row->domain ? row->domain : "")) || c.xarf != row->xarf ||
		    !c.present)
			fail_msg("%s: '%.*s' by '%.*s'", row->name, SPAN_ARG(c.address),
				 SPAN_ARG(c.domain));
		arena_free(&arena);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(test_matrix)};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
