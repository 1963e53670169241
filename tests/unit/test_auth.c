/* Facts and JSON of authentication; the organizational domain on the list's own vectors. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "analyze/auth.h"
#include "analyze/idna.h"
#include "tests/unit/memory_dns.h"

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

/* A mail folder without Return-Path: that SPF had nothing to check is no fault of the sender's. */
static void facts_without_envelope(void **state)
{
	struct auth auth = {.spf = {.result = AUTH_NONE, .unknown = true},
			    .spf_helo = {.result = AUTH_NONE, .unknown = true}};
	(void)state;
	EXPECT("nobody knows the envelope", &auth, {F_AUTH_SPF, "?"}, {F_AUTH_SPF_DOMAIN, "?"},
	       {F_AUTH_SPF_HELO, "?"}, {F_AUTH_SPF_MECHANISM, "?"});
	auth.spf.unknown = auth.spf_helo.unknown = false;
	EXPECT("there is no domain in it", &auth, {F_AUTH_SPF, "none"}, {F_AUTH_SPF_HELO, "none"});
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

/* The vectors of publicsuffix.org as pairs of name and registrable domain ("" for none), names in
 * A-labels, as they are everywhere in Assay. False: no such file. */
struct vector {
	struct span name, registrable;
};

static bool read_vectors(struct arena *arena, struct vector v[200], size_t *n_r)
{
	char path[1000], line[1000], name[300], want[300];
	const char *shared = getenv("ASSAY_SHARED");
	snprintf(path, sizeof(path), "%s/psl/tests/test_psl.txt", shared ? shared : "");
	FILE *file = fopen(path, "r");
	*n_r = 0;
	if (!file) {
		print_message("# SKIPPED: no file %s\n", path);
		return false;
	}
	while (fgets(line, sizeof(line), file) && *n_r < 200) {
		bool none = sscanf(line, "checkPublicSuffix('%299[^']', null);", name) == 1 &&
			    strstr(line, ", null)");
		if (!none && sscanf(line, "checkPublicSuffix('%299[^']', '%299[^']');", name,
				    want) != 2)
			continue;
		if (name[0] == '.') /* no domain name */
			continue;
		struct span in = arena_copy(arena, span_of(name));
		v[(*n_r)++] = (struct vector){
			idna_to_ascii(arena, in),
			none ? SPAN("") : idna_to_ascii(arena, arena_copy(arena, span_of(want)))};
	}
	fclose(file);
	return true;
}

/* checkPublicSuffix('a.b.example.com', 'example.com'); null: the name has no such domain, and
 * ours is then the name itself. */
static void list_vectors(void **state)
{
	struct arena arena;
	struct vector v[200];
	size_t n, passed = 0;
	(void)state;
	arena_init(&arena, (size_t)1 << 20);
	if (read_vectors(&arena, v, &n)) {
		for (size_t i = 0; i < n; i++) {
			struct span got = org_domain_psl(v[i].name);
			struct span want = v[i].registrable.n ? v[i].registrable : v[i].name;
			if (span_case_eq(got, want))
				passed++;
			else
				print_error("# %.*s: got %.*s\n", SPAN_ARG(v[i].name),
					    SPAN_ARG(got));
		}
		print_message("# test_psl.txt: %zu passed of %zu run\n", passed, n);
		assert_true(n > 70);
		assert_int_equal(passed, n);
	}
	arena_free(&arena);
}

static bool aligns(struct arena *arena, struct span author_domain, struct span signer)
{
	struct dkim_result dkim = {.result = AUTH_PASS, .d = signer};
	struct auth auth = {.dkim = &dkim, .n_dkim = 1};
	struct message m = message();
	struct auth_query q = {.dmarc = DMARC_RFC7489};
	author.domain = author_domain;
	memory_forget();
	while (dmarc_check(&auth, &m, &q, &memory_session, arena) == STEP_WAIT)
		assert_true(memory_arrive());
	return auth.dmarc.dkim_aligned;
}

/* RFC 7489 section 3.1.1 on every pair of the vectors: d= is aligned when it is the author's name, or
 * when both have one registrable domain. */
static void list_alignment(void **state)
{
	struct arena arena;
	struct vector v[200];
	size_t n, pairs = 0, together = 0;
	(void)state;
	arena_init(&arena, (size_t)64 << 20);
	memory_reset();
	if (read_vectors(&arena, v, &n)) {
		for (size_t i = 0; i < n; i++) {
			for (size_t k = 0; k < n; k++) {
				bool want = span_case_eq(v[i].name, v[k].name) ||
					    (v[i].registrable.n &&
					     span_case_eq(v[i].registrable, v[k].registrable));
				struct arena one;
				arena_init(&one, (size_t)1 << 20);
				if (aligns(&one, v[i].name, v[k].name) != want)
					fail_msg("From %.*s, d= %.*s: want %d", SPAN_ARG(v[i].name),
						 SPAN_ARG(v[k].name), want);
				arena_free(&one);
				pairs++;
				together += want;
			}
		}
		print_message("# alignment of %zu pairs, %zu of them aligned\n", pairs, together);
	}
	arena_free(&arena);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(facts_of_trouble), cmocka_unit_test(facts_of_results),
		cmocka_unit_test(facts_without_envelope),
		cmocka_unit_test(json_of_nothing), cmocka_unit_test(list_vectors),
		cmocka_unit_test(list_alignment)};
	memory_reset();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
