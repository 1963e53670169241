/* Facts and JSON of authentication; the organizational domain on the list's own vectors. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "analyze/auth.h"

static struct address author;

static struct message message(void)
{
	struct message m = {.from = {.v = &author, .n = 1, .total = 1}};
	author.domain = SPAN("example.com");
	return m;
}

/* Each word of a fact: "?" unknown, "-" absent, else its value. */
static const char *show(const struct facts *f, enum fact_id id, char out[100])
{
	const struct fact *fact = &f->v[id];
	if (fact->state != FACT_KNOWN)
		return fact->state == FACT_UNKNOWN ? "?" : "-";
	switch (fact_infos[id].type) {
	case FACT_NUMBER: snprintf(out, 100, "%g", fact->number); break;
	case FACT_CONDITION: return fact->condition ? "yes" : "no";
	case FACT_LIST:
		snprintf(out, 100, "%zu: %.*s", fact->list.n, SPAN_ARG(fact->list.v[0]));
		break;
	case FACT_WORD:
	case FACT_TEXT: snprintf(out, 100, "%.*s", SPAN_ARG(fact->text)); break;
	}
	return out;
}

struct want {
	enum fact_id id;
	const char *value;
};

static void expect(const char *name, const struct auth *auth, const struct want *want, size_t n)
{
	struct arena arena;
	struct facts facts;
	struct message m = message();
	char text[100];
	arena_init(&arena, (size_t)1 << 20);
	facts_init(&facts, &arena);
	auth_facts(auth, &m, &facts);
	for (size_t i = 0; i < n; i++) {
		const char *got = show(&facts, want[i].id, text);
		if (strcmp(got, want[i].value) != 0)
			fail_msg("%s: %s: want %s, got %s", name, fact_infos[want[i].id].name,
				 want[i].value, got);
	}
	arena_free(&arena);
}

#define EXPECT(name, auth, ...)                                                                    \
	do {                                                                                       \
		static const struct want want[] = {__VA_ARGS__};                                   \
		expect(name, auth, want, sizeof(want) / sizeof(want[0]));                          \
	} while (0)

static void facts_of_trouble(void **state)
{
	struct dkim_result signatures[] = {
		{.result = AUTH_FAIL, .d = SPAN("a.example"), .s = SPAN("s"), .reason = "bad"},
		{.result = AUTH_TEMPERROR, .d = SPAN("b.example"), .s = SPAN("s")},
	};
	struct auth auth = {.spf = {.result = AUTH_TEMPERROR, .domain = SPAN("example.com")},
			    .spf_helo = {.result = AUTH_TEMPERROR},
			    .dkim = signatures,
			    .n_dkim = 2,
			    .dkim_fields = 2,
			    .dmarc = {.result = AUTH_TEMPERROR},
			    .arc = {.result = AUTH_TEMPERROR}};
	(void)state;
	EXPECT("all silent", &auth, {F_AUTH_SPF, "?"}, {F_AUTH_SPF_DOMAIN, "example.com"},
	       {F_AUTH_SPF_MECHANISM, "?"}, {F_AUTH_SPF_EXPLANATION, "?"}, {F_AUTH_SPF_HELO, "?"},
	       {F_AUTH_SPF_ALIGNED, "?"}, {F_AUTH_DKIM, "?"}, {F_AUTH_DKIM_COUNT, "2"},
	       {F_AUTH_DKIM_DOMAINS, "?"}, {F_AUTH_DKIM_ALIGNED, "?"},
	       {F_AUTH_DKIM_KEY_BITS, "?"}, {F_AUTH_DKIM_APPENDED, "?"}, {F_AUTH_DMARC, "?"},
	       {F_AUTH_DMARC_POLICY, "?"}, {F_AUTH_DMARC_RECORD, "?"}, {F_AUTH_ARC, "?"});
	signatures[1].result = AUTH_PASS;
	EXPECT("a signature that passed settles it", &auth, {F_AUTH_DKIM, "pass"},
	       {F_AUTH_DKIM_DOMAINS, "1: b.example"},
	       {F_AUTH_DKIM_REASONS, "1: d=a.example s=s: fail, bad"},
	       {F_AUTH_DKIM_APPENDED, "no"});
}

static void facts_of_results(void **state)
{
	struct dkim_result signatures[] = {
		{.result = AUTH_PASS, .d = SPAN("a.example"), .s = SPAN("s"), .key_bits = 2048,
		 .algorithm = SPAN("rsa-sha256"), .appended = true},
		{.result = AUTH_PASS, .d = SPAN("b.example"), .s = SPAN("s"), .key_bits = 1024,
		 .algorithm = SPAN("rsa-sha256")},
	};
	struct auth auth = {
		.spf = {.result = AUTH_SOFTFAIL, .domain = SPAN("example.com"),
			.mechanism = SPAN("all")},
		.dkim = signatures, .n_dkim = 2, .dkim_fields = 12,
		.dmarc = {.result = AUTH_FAIL, .policy = SPAN("reject"),
			  .disposition = SPAN("quarantine"), .spf_aligned_known = true,
			  .dkim_aligned_known = true, .why = "public suffix list"},
	};
	(void)state;
	EXPECT("known", &auth, {F_AUTH_SPF, "softfail"}, {F_AUTH_SPF_MECHANISM, "all"},
	       {F_AUTH_SPF_EXPLANATION, "-"}, {F_AUTH_SPF_HELO, "none"},
	       {F_AUTH_SPF_ALIGNED, "no"}, {F_AUTH_DKIM_KEY_BITS, "1024"},
	       {F_AUTH_DKIM_COUNT, "12"}, {F_AUTH_DKIM_APPENDED, "yes"},
	       {F_AUTH_DKIM_REASONS, "-"}, {F_AUTH_DMARC, "fail"},
	       {F_AUTH_DMARC_POLICY, "reject"}, {F_AUTH_DMARC_DISPOSITION, "quarantine"},
	       {F_AUTH_DMARC_RECORD, "-"}, {F_AUTH_DMARC_WHY, "public suffix list"},
	       {F_AUTH_ARC, "none"});
	struct auth nothing = {.n_dkim = 0};
	EXPECT("unsigned", &nothing, {F_AUTH_DKIM, "none"}, {F_AUTH_DKIM_COUNT, "0"},
	       {F_AUTH_DKIM_DOMAINS, "-"}, {F_AUTH_DKIM_KEY_BITS, "-"},
	       {F_AUTH_DKIM_APPENDED, "no"});
}

/* CONTRACT section 2: a key is never left out. */
static void json_of_nothing(void **state)
{
	struct auth auth = {.n_dkim = 0};
	struct buf out = BUF_INIT;
	struct json j = JSON_INIT(&out);
	(void)state;
	auth_write_json(&auth, &j, NULL);
	assert_string_equal(
		out.p,
		"{\"spf\":{\"result\":\"none\",\"domain\":null,\"mechanism\":null,"
		"\"explanation\":null},"
		"\"spf_helo\":{\"result\":\"none\",\"domain\":null,\"mechanism\":null,"
		"\"explanation\":null},\"dkim\":[],"
		"\"dmarc\":{\"result\":\"none\",\"policy\":null,\"disposition\":null,"
		"\"domain\":null},\"arc\":{\"result\":\"none\"},"
		"\"ptr\":{\"names\":null,\"confirmed\":null}}");
	buf_free(&out);
}

/* checkPublicSuffix('a.b.example.com', 'example.com'); null: the name has no such domain, and
 * ours is then the name itself. Names are A-labels everywhere in Assay. */
static void list_vectors(void **state)
{
	char path[1000], line[1000], name[300], want[300];
	size_t run = 0, passed = 0, utf8 = 0;
	const char *shared = getenv("ASSAY_SHARED");
	(void)state;
	snprintf(path, sizeof(path), "%s/psl/tests/test_psl.txt", shared ? shared : "");
	FILE *file = fopen(path, "r");
	if (!file) {
		print_message("# SKIPPED: no file %s\n", path);
		return;
	}
	while (fgets(line, sizeof(line), file)) {
		bool none = sscanf(line, "checkPublicSuffix('%299[^']', null);", name) == 1 &&
			    strstr(line, ", null)");
		if (!none && sscanf(line, "checkPublicSuffix('%299[^']', '%299[^']');", name,
				    want) != 2)
			continue;
		bool ascii = true;
		for (const char *p = name; *p; p++)
			ascii &= (unsigned char)*p < 0x80;
		if (!ascii) {
			utf8++;
			continue;
		}
		if (name[0] == '.') /* no domain name */
			continue;
		run++;
		struct span got = org_domain_psl(span_of(name));
		if (span_case_eq(got, span_of(none ? name : want)))
			passed++;
		else
			print_error("# %s: got %.*s\n", name, SPAN_ARG(got));
	}
	fclose(file);
	print_message("# test_psl.txt: %zu passed of %zu run, %zu U-label names left out\n", passed,
		      run, utf8);
	assert_true(run > 50);
	assert_int_equal(passed, run);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(facts_of_trouble), cmocka_unit_test(facts_of_results),
		cmocka_unit_test(json_of_nothing), cmocka_unit_test(list_vectors)};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
