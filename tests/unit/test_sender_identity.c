/* Unit tests of what a body says of its sender against what he filed. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <cmocka.h>

#include "analyze/sender.h"

static struct span domains[] = {{"qinglan.test", 12}};
static const struct sender_entry zh = {
	.name = {"杭州晴岚家居有限公司", 30},
	.phone = {"0571-8888 1234, 400-820-1234", 28},
	.email = {"office@qinglan-home.test", 24},
	.address = {"浙江省杭州市西湖区文三路90号2幢3楼", 49},
	.credit_code = {"91350100M000100Y43", 18},
	.domains = domains,
	.n_domains = 1,
};
static struct span domains_en[] = {{"northwind.test", 14}};
static const struct sender_entry en = {
	.name = {"Northwind Traders Ltd.", 22},
	.phone = {"+44 20 7946 0123", 16},
	.address = {"12 Harbour Street, Bristol BS1 4QA, United Kingdom", 50},
	.credit_code = {"not one", 7},
	.domains = domains_en,
	.n_domains = 1,
};

static void test_rows(void **state)
{
	static const enum fact_id ids[] = {F_IDENTITY_NAME, F_IDENTITY_ADDRESS, F_IDENTITY_PHONE,
					   F_IDENTITY_EMAIL, F_IDENTITY_CREDIT_CODE};
	/* name, address, phone, email, credit code of the body; of each s(ame), d(iffers) or - */
	static const struct {
		const struct sender_entry *filed;
		const char *body[5], *want;
	} rows[] = {
		{&zh, {"杭州晴岚家居有限公司", "杭州市西湖区文三路90号", "400-820-1234",
		       "care@qinglan.test", "91350100m000100y43"}, "sssss"},
		{&zh, {"晴岚家居", NULL, "+86 571 88881234", "office@qinglan-home.test", NULL}, "s-ss-"},
		{&zh, {"深圳市宏达贸易有限公司", "深圳市南山区科技园路8号", "13800138000",
		       "sales@hongda.test", "91350211M000100Y46"}, "ddddd"},
		/* in another script it cannot be told */
		{&zh, {"Qinglan Home Co., Ltd.", "Room 301, No. 90 Wensan Road, Hangzhou", NULL, NULL,
		       NULL}, "-----"},
		{&en, {"NORTHWIND TRADERS", "12 harbour st, bristol bs1 4qa", "020 7946 0123",
		       "care@mail.northwind.test", "91350100M000100Y43"}, "ssss-"},
		{&en, {"Contoso Outdoor Inc.", "500 Pine Street, Seattle, WA 98101", "(206) 555-0199",
		       "hello@contoso.test", NULL}, "dddd-"},
		{&en, {"北风贸易有限公司", NULL, "12345", NULL, NULL}, "-----"},
		{&en, {"N", "1", "", "x@y.test", ""}, "---d-"},
	};
	size_t wrong = 0;
	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct arena a;
		struct facts f;
		char want[2][80] = {"", ""}, got[2][80] = {"", ""};
		arena_init(&a, 1 << 20);
		facts_init(&f, &a);
		static const char *const words[] = {"name ", "address ", "phone ", "email ",
						    "credit-code "};
		for (size_t k = 0; k < 5; k++) {
			facts_set_text(&f, ids[k], span_of(rows[i].body[k]));
			if (rows[i].want[k] != '-')
				strcat(want[rows[i].want[k] == 'd'], words[k]);
		}
		sender_identity_facts(rows[i].filed, &f);
		for (size_t d = 0; d < 2; d++) {
			const struct fact *fact =
				&f.v[d ? F_FILING_IDENTITY_DIFFERS : F_FILING_IDENTITY_SAME];
			for (size_t k = 0; k < fact->list.n; k++) {
				strncat(got[d], fact->list.v[k].p, fact->list.v[k].n);
				strcat(got[d], " ");
			}
		}
		for (size_t d = 0; d < 2; d++)
			if (strcmp(want[d], got[d])) {
				print_error("row %zu %s: want '%s', got '%s'\n", i,
					    d ? "differs" : "same", want[d], got[d]);
				wrong++;
			}
		arena_free(&a);
	}
	assert_int_equal(wrong, 0);
}

/* A body that was not read blames nobody. */
static void test_unknown(void **state)
{
	struct arena a;
	struct facts f;
	(void)state;
	arena_init(&a, 1 << 20);
	facts_init(&f, &a);
	facts_set_text(&f, F_IDENTITY_NAME, SPAN("Contoso Inc."));
	facts_set_unknown(&f, F_IDENTITY_PHONE);
	sender_identity_facts(&en, &f);
	assert_int_equal(f.v[F_FILING_IDENTITY_DIFFERS].state, FACT_UNKNOWN);
	assert_int_equal(f.v[F_FILING_IDENTITY_SAME].state, FACT_UNKNOWN);
	arena_free(&a);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_rows),
		cmocka_unit_test(test_unknown),
	};
	return cmocka_run_group_tests_name("sender identity", tests, NULL, NULL);
}
