/* Unit tests of what the body says: ways to unsubscribe, identity, class, subject, evidence. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>

#include "analyze/content_parts.h"
#include "analyze/identity.h"
#include "analyze/tables.h"
#include "analyze/topic.h"
#include "base/buf.h"
#include "base/clock.h"
#include "tests/unit/arena.h"

static struct message message;
static struct facts facts;

/* Facts of a mail with these header lines and this body of `type`. */
static void judge(const char *headers, const char *type, struct span body, const struct auth *auth)
{
	struct span octets = arena_printf(&arena,
					  "From: Example Shop <news@example.com>\r\n"
					  "To: me@mbox.example\r\n%sMIME-Version: "
					  "1.0\r\nContent-Type: text/%s; charset=utf-8\r\n"
					  "Content-Transfer-Encoding: 8bit\r\n\r\n%.*s",
					  headers, type, SPAN_ARG(body));
	facts_init(&facts, &arena);
	assert_int_equal(message_parse(&message, &arena, octets), 0);
	struct content *c = content_read(&message, &arena);
	assert_non_null(c);
	content_facts(c, &message, auth, NULL, &facts);
}

static void test_unsubscribe(void **state)
{
	static const struct {
		const char *name, *type, *body;
		bool body_way, visible, legible, described;
	} rows[] = {
		{"link", "html", "<p>Hi</p><a href='https://x.test/u?1'>Unsubscribe</a>", 1, 1, 1,
		 1},
		{"click here", "html",
		 "To stop receiving these mails <a href='https://x.test/1'>click here</a>.", 1, 1,
		 1, 1},
		{"link with another text", "html",
		 "You may unsubscribe. <a href='https://x.test/1'>Our shop</a>", 0, 0, 0, 0},
		{"no link", "html", "You can unsubscribe at any time.", 0, 0, 0, 0},
		{"link without target", "html", "<a href='#'>Unsubscribe</a>", 1, 1, 1, 1},
		{"hidden", "html",
		 "<a style='display:none' href='https://x.test/u'>Unsubscribe</a>", 1, 0, 0, 0},
		{"hidden by its parent", "html",
		 "<div style='max-height:0;overflow:hidden'><a "
		 "href='https://x.test/u'>退订</a></div>",
		 1, 0, 0, 0},
		{"tiny", "html", "<a style='font-size:5px' href='https://x.test/u'>Unsubscribe</a>",
		 1, 1, 0, 1},
		{"pale", "html", "<a style='color:#ddd' href='https://x.test/u'>Unsubscribe</a>", 1,
		 1, 0, 1},
		{"background's colour", "html",
		 "<a style='color:#fff' href='https://x.test/u'>Unsubscribe</a>", 1, 0, 0, 0},
		{"image", "html",
		 "<a href='https://x.test/1'><img src='https://x.test/i' alt='Unsubscribe'></a>", 1,
		 1, 1, 1},
		{"target alone", "html", "<a href='https://x.test/unsubscribe?u=1'>here</a>", 1, 1,
		 1, 0},
		{"mailto", "html", "<a href='mailto:leave@x.test?subject=unsubscribe'>Leave</a>", 1,
		 1, 1, 0},
		{"written address", "html", "To unsubscribe write to leave@x.test", 1, 1, 1, 1},
		{"Chinese", "html",
		 "如果您不想再收到此类邮件，请<a href='https://x.test/1'>点击这里</a>退订", 1, 1, 1,
		 1},
		{"traditional", "html", "<a href='https://x.test/1'>取消訂閱</a>", 1, 1, 1, 1},
		{"Japanese", "html", "<a href='https://x.test/1'>配信停止はこちら</a>", 1, 1, 1, 1},
		{"Korean", "html", "<a href='https://x.test/1'>수신거부</a>", 1, 1, 1, 1},
		{"German", "html", "<a href='https://x.test/1'>Newsletter abbestellen</a>", 1, 1, 1,
		 1},
		{"French", "html", "<a href='https://x.test/1'>Se désabonner</a>", 1, 1, 1, 1},
		{"Spanish", "html", "<a href='https://x.test/1'>Darse de baja</a>", 1, 1, 1, 1},
		{"Portuguese", "html", "<a href='https://x.test/1'>Cancelar inscrição</a>", 1, 1, 1,
		 1},
		{"Italian", "html", "<a href='https://x.test/1'>Annulla l’iscrizione</a>", 1, 1, 1,
		 1},
		{"Russian", "html", "<a href='https://x.test/1'>ОТПИСАТЬСЯ</a> от рассылки", 1, 1,
		 1, 1},
		{"full width", "html", "<a href='https://x.test/1'>ＵＮＳＵＢＳＣＲＩＢＥ</a>", 1,
		 1, 1, 1},
		{"plain", "plain", "To unsubscribe, visit\nhttps://x.test/1\n", 1, 1, 1, 1},
		{"plain, address", "plain", "Unsubscribe: mail leave@x.test", 1, 1, 1, 1},
		{"answer", "plain", "To be removed reply with REMOVE in the subject.", 1, 1, 1, 1},
		{"Chinese answer", "plain", "退订请回复TD", 1, 1, 1, 1},
		{"just delete it", "plain", "如有打扰，请随手删除。 http://x.test/", 0, 0, 0, 0},
		{"quoted", "plain", "> To unsubscribe visit http://x.test/1\nSee you!", 0, 0, 0, 0},
		{"another word", "plain", "They adopt outdoor cats: http://x.test/", 0, 0, 0, 0},
		{"nothing", "plain", "See you tomorrow.", 0, 0, 0, 0},
	};
	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		judge("Subject: x\r\n", rows[i].type, span_of(rows[i].body), NULL);
		assert_int_equal(facts.v[F_UNSUB_BODY].state, FACT_KNOWN);
		assert_int_equal(facts.v[F_UNSUB_VISIBLE].state,
				 rows[i].body_way ? FACT_KNOWN : FACT_ABSENT);
		if (fact_true(&facts, F_UNSUB_BODY) != rows[i].body_way ||
		    fact_true(&facts, F_UNSUB_VISIBLE) != rows[i].visible ||
		    fact_true(&facts, F_UNSUB_LEGIBLE) != rows[i].legible ||
		    fact_true(&facts, F_UNSUB_DESCRIBED) != rows[i].described)
			fail_msg("%s: body %d visible %d legible %d described %d", rows[i].name,
				 fact_true(&facts, F_UNSUB_BODY),
				 fact_true(&facts, F_UNSUB_VISIBLE),
				 fact_true(&facts, F_UNSUB_LEGIBLE),
				 fact_true(&facts, F_UNSUB_DESCRIBED));
	}
}

static void test_headers(void **state)
{
	static const struct span all[] = {{"list-unsubscribe", 16}, {"list-unsubscribe-post", 21}};
#define LU "List-Unsubscribe: <https://x.test/u>\r\n"
#define POST "List-Unsubscribe-Post: List-Unsubscribe=One-Click\r\n"
	static const struct {
		const char *name, *headers;
		size_t covered;
		enum auth_result dkim;
		bool header;
		enum fact_state state;
		bool one_click;
	} rows[] = {
		{"none", "", 0, AUTH_PASS, false, FACT_ABSENT, false},
		{"https", LU, 2, AUTH_PASS, true, FACT_ABSENT, false},
		{"mailto", "List-Unsubscribe: <mailto:u@x.test>\r\n", 0, AUTH_PASS, true,
		 FACT_ABSENT, false},
		{"no brackets", "List-Unsubscribe: https://x.test/u\r\n", 0, AUTH_PASS, false,
		 FACT_ABSENT, false},
		{"one-click", LU POST, 2, AUTH_PASS, true, FACT_KNOWN, true},
		{"not covered", LU POST, 1, AUTH_PASS, true, FACT_KNOWN, false},
		{"DKIM failed", LU POST, 2, AUTH_FAIL, true, FACT_KNOWN, false},
		{"DNS away", LU POST, 2, AUTH_TEMPERROR, true, FACT_UNKNOWN, false},
		{"http alone", "List-Unsubscribe: <http://x.test/u>\r\n" POST, 2, AUTH_PASS, true,
		 FACT_KNOWN, false},
		{"another value", LU "List-Unsubscribe-Post: One-Click\r\n", 2, AUTH_PASS, true,
		 FACT_KNOWN, false},
	};
	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct dkim_result d = {.result = rows[i].dkim,
					.signed_fields = all,
					.n_signed_fields = rows[i].covered};
		struct auth auth = {.dkim = &d, .n_dkim = 1};
		judge(rows[i].headers, "plain", SPAN("Hello\r\n"), &auth);
		if (fact_true(&facts, F_UNSUB_HEADER) != rows[i].header ||
		    facts.v[F_UNSUB_ONE_CLICK].state != rows[i].state ||
		    fact_true(&facts, F_UNSUB_ONE_CLICK) != rows[i].one_click)
			fail_msg("%s: header %d one-click state %d value %d", rows[i].name,
				 fact_true(&facts, F_UNSUB_HEADER),
				 facts.v[F_UNSUB_ONE_CLICK].state,
				 fact_true(&facts, F_UNSUB_ONE_CLICK));
	}
}

static void test_identity(void **state)
{
	static const struct {
		const char *body;
		enum fact_id id;
		const char *want; /* NULL: absent */
	} rows[] = {
		{"电话：021-61234567", F_IDENTITY_PHONE, "021-61234567"},
		{"手机 13812345678", F_IDENTITY_PHONE, "13812345678"},
		{"客服热线 400-820-1234 转 2", F_IDENTITY_PHONE, "400-820-1234"},
		{"＋８６ １０ ６５５２ ９９８８", F_IDENTITY_PHONE, "+86 10 6552 9988"},
		{"Call (212) 555-0123 now", F_IDENTITY_PHONE, "(212) 555-0123"},
		{"1-800-FLOWERS", F_IDENTITY_PHONE, "1-800-FLOWERS"},
		{"Tel: +44 20 7946 0123", F_IDENTITY_PHONE, "+44 20 7946 0123"},
		{"Telefon: 030 1234567", F_IDENTITY_PHONE, "030 1234567"},
		{"Fax: 212-555-0123", F_IDENTITY_PHONE, NULL},
		{"on 2026-11-23 from 10.0.0.25", F_IDENTITY_PHONE, NULL},
		{"order 1234567890123", F_IDENTITY_PHONE, NULL},
		{"https://x.test/13812345678/", F_IDENTITY_PHONE, NULL},
		{"$1,234,567.00 and 5551234", F_IDENTITY_PHONE, NULL},
		{"地址：上海市浦东新区世纪大道100号", F_IDENTITY_ADDRESS,
		 "上海市浦东新区世纪大道100号"},
		{"我们在北京市海淀区中关村大街27号办公", F_IDENTITY_ADDRESS,
		 "我们在北京市海淀区中关村大街27号办公"},
		{"Acme, 123 Main Street, Springfield, IL 62701", F_IDENTITY_ADDRESS,
		 "123 Main Street, Springfield, IL 62701"},
		{"801 G Street NW, Washington, D.C. 20001", F_IDENTITY_ADDRESS,
		 "801 G Street NW, Washington, D.C. 20001"},
		{"P.O. Box 12, Dover, DE 19901\nThanks", F_IDENTITY_ADDRESS,
		 "P.O. Box 12, Dover, DE 19901"},
		{"10 Downing Street, London SW1A 2AA", F_IDENTITY_ADDRESS,
		 "10 Downing Street, London SW1A 2AA"},
		{"Lindenstraße 5, 10969 Berlin", F_IDENTITY_ADDRESS,
		 "Lindenstraße 5, 10969 Berlin"},
		{"〒100-0001 東京都千代田区千代田1-1", F_IDENTITY_ADDRESS,
		 "〒100-0001 東京都千代田区千代田1-1"},
		{"In 1999 we sold 12345 units in Berlin.", F_IDENTITY_ADDRESS, NULL},
		{"上海示例网络科技有限公司 版权所有", F_IDENTITY_NAME, "上海示例网络科技有限公司"},
		{"© 2026 Blue Widget Works. All rights reserved.", F_IDENTITY_NAME,
		 "Blue Widget Works"},
		{"PAID FOR BY FRIENDS OF THE OAK", F_IDENTITY_NAME, "FRIENDS OF THE OAK"},
		{"sent by Blue Widget Ltd. of Leeds", F_IDENTITY_NAME, "Blue Widget Ltd"},
		{"Yours, Example Shop", F_IDENTITY_NAME, "Example Shop"},
		{"See you tomorrow", F_IDENTITY_NAME, NULL},
		{"Write to help@example.com", F_IDENTITY_EMAIL, "help@example.com"},
		{"Sent to me@mbox.example", F_IDENTITY_EMAIL, NULL},
		{"unsubscribe@example.com", F_IDENTITY_EMAIL, NULL},
		{"To be taken off our list mail lee@example.com", F_IDENTITY_EMAIL, NULL},
		{"If you no longer care for this, tell\nlee@example.com today.", F_IDENTITY_EMAIL, NULL},
		{"You are no longer a guest: with a question mail lee@example.com", F_IDENTITY_EMAIL,
		 "lee@example.com"},
		{"You are no longer alone. Write to lee@example.com", F_IDENTITY_EMAIL,
		 "lee@example.com"},
		{"List keeper: listmaster@example.com", F_IDENTITY_EMAIL, NULL},
		{"E-mail: ____@____.____", F_IDENTITY_EMAIL, NULL},
		{"Or fax us at:\n(212) 555-0123", F_IDENTITY_PHONE, NULL},
		{"Tel UK: 01632 960001", F_IDENTITY_PHONE, "01632 960001"},
		{"本公司是广州示例贸易有限公司", F_IDENTITY_NAME, "广州示例贸易有限公司"},
		{"欢迎贵公司来电", F_IDENTITY_NAME, NULL},
		{"邮件地址：abc@x.test 地址：深圳市福田区彩田路6栋 手机：13812345678",
		 F_IDENTITY_ADDRESS, "深圳市福田区彩田路6栋"},
		{"020-88154460(8-24点)", F_IDENTITY_PHONE, "020-88154460"},
		{"联系电话：020 - 85511834", F_IDENTITY_PHONE, "020 - 85511834"},
		{"open 10 - 18, room 20 - 30", F_IDENTITY_PHONE, NULL},
		{"统一社会信用代码：91350100M000100Y43", F_IDENTITY_CREDIT_CODE,
		 "91350100M000100Y43"},
		{"统一社会信用代码：91350100M000100Y44", F_IDENTITY_CREDIT_CODE, NULL},
		{"京ICP备12345678号", F_IDENTITY_ICP, "京ICP备12345678号"},
		{"联系电话：010-85891055 85891286", F_IDENTITY_PHONE, "010-85891055"},
		{"联系电话；013824374887", F_IDENTITY_PHONE, "013824374887"},
		{"[FROM: 221.221.9.]", F_IDENTITY_PHONE, NULL},
		{"Order 20261123-4455661 of 2026-11-23", F_IDENTITY_PHONE, NULL},
		{"-  0.90 0.95 5.40 3.70", F_IDENTITY_PHONE, NULL},
		{"本公司受多家公司委托", F_IDENTITY_NAME, NULL},
		{"Ring us on 1890 209 309", F_IDENTITY_PHONE, "1890 209 309"},
		{"01 42 68 53 00", F_IDENTITY_PHONE, "01 42 68 53 00"},
		{"03-5555-0123", F_IDENTITY_PHONE, "03-5555-0123"},
		{"0800 555 0199", F_IDENTITY_PHONE, "0800 555 0199"},
		{"Tracking 1Z999AA10123456784", F_IDENTITY_PHONE, NULL},
		{"400-820-8820", F_IDENTITY_PHONE, "400-820-8820"},
		{"$1,234,567.00 and 1 000 000 EUR", F_IDENTITY_PHONE, NULL},
		{"ул. Тверская, д. 1, 125009 Москва", F_IDENTITY_ADDRESS,
		 "ул. Тверская, д. 1, 125009 Москва"},
		{"ul. Prosta 51, 00-838 Warszawa", F_IDENTITY_ADDRESS, "ul. Prosta 51, 00-838 Warszawa"},
		{"Rua Augusta 123, 01305-000 São Paulo", F_IDENTITY_ADDRESS,
		 "Rua Augusta 123, 01305-000 São Paulo"},
		{"Keizersgracht 12, 1015 CR Amsterdam", F_IDENTITY_ADDRESS,
		 "Keizersgracht 12, 1015 CR Amsterdam"},
		{"Sveavägen 10, 111 57 Stockholm", F_IDENTITY_ADDRESS, "Sveavägen 10, 111 57 Stockholm"},
		{"Level 5, 100 George Street, Sydney NSW 2000", F_IDENTITY_ADDRESS,
		 "Level 5, 100 George Street, Sydney NSW 2000"},
		{"Acme LLC\n1234 Street Rd.\nSuite 1234", F_IDENTITY_ADDRESS,
		 "1234 Street Rd.\nSuite 1234"},
		{"地址：广东中山古镇海洲灯饰城", F_IDENTITY_ADDRESS, "广东中山古镇海洲灯饰城"},
		{"Add: Light City, Guzhen, Zhongshan, Guangdong", F_IDENTITY_ADDRESS,
		 "Light City, Guzhen, Zhongshan, Guangdong"},
		{"臺北市信義區松仁路7號", F_IDENTITY_ADDRESS, "臺北市信義區松仁路7號"},
		{"地址：请回复邮件告知", F_IDENTITY_ADDRESS, NULL},
		{"5 million people drive\nthe highway every day in summer", F_IDENTITY_ADDRESS, NULL},
		{"IP address: 192.0.2.1, port 8080, way too long", F_IDENTITY_ADDRESS, NULL},
		{"サンプル株式会社 〒100-0001", F_IDENTITY_NAME, "サンプル株式会社"},
		{"발행: 주식회사 예시", F_IDENTITY_NAME, "주식회사 예시"},
		{"Best regards\nBlue Widget Works", F_IDENTITY_NAME, "Blue Widget Works"},
		{"Getty Images Inc. photo\nExample Shop, 5 High St", F_IDENTITY_NAME, "Example Shop"},
		{"Muster AG, Zürich", F_IDENTITY_NAME, "Muster AG"},
		{"© 2026 Blue Widget Inc., 12 Main Street, Leeds", F_IDENTITY_NAME, "Blue Widget Inc"},
		{"© 2026 Blue Widget Inc., Leeds, USA", F_IDENTITY_NAME, "Blue Widget Inc"},
		{"made for and Blue Widget Ltd in Leeds", F_IDENTITY_NAME, "Blue Widget Ltd"},
		{"You are subscribed to Oak and Elm News because", F_IDENTITY_NAME, "Oak and Elm News"},
		{"You are subscribed to our list", F_IDENTITY_NAME, NULL},
		{"Powered by Example. Bye", F_IDENTITY_NAME, NULL},
		{"The Oak Society 12 Main Street\nSpringfield, IL 62701", F_IDENTITY_NAME,
		 "The Oak Society"},
		{"The Oak Society 12 Main Street, Springfield, IL 62701", F_IDENTITY_ADDRESS,
		 "12 Main Street, Springfield, IL 62701"},
		{"Meet at 5 High Street, Dover, DE 19901\nYours\nP.O. Box 12, Dover, DE 19904",
		 F_IDENTITY_ADDRESS, "P.O. Box 12, Dover, DE 19904"},
		{"北京示例公司 地址：上海市浦东新区世纪大道100号3楼 客服：小王", F_IDENTITY_ADDRESS,
		 "上海市浦东新区世纪大道100号3楼"},
		{"广州市黄石西路468号1楼 广州示例发展有限公司", F_IDENTITY_ADDRESS, "广州市黄石西路468号1楼"},
		{"地址：广州市黄石西路468号 广州示例发展有限公司", F_IDENTITY_ADDRESS,
		 "广州市黄石西路468号"},
		{"地址：广州市云和大厦 402 室", F_IDENTITY_ADDRESS, "广州市云和大厦 402 室"},
		{"邮箱x，广州市泰沙路46号客服中心", F_IDENTITY_ADDRESS, "广州市泰沙路46号"},
		{"北京市 海淀区颐和园路1号", F_IDENTITY_ADDRESS, "北京市 海淀区颐和园路1号"},
		{"深圳市好运来公司 合作部", F_IDENTITY_NAME, "深圳市好运来公司"},
		{"abuse@example.com help@partner.test", F_IDENTITY_EMAIL, "help@partner.test"},
		{"Report abuse@example.com", F_IDENTITY_EMAIL, "abuse@example.com"},
		{"This email is for you@elsewhere.test. Write to help@example.com", F_IDENTITY_EMAIL,
		 "help@example.com"},
		{"Hello, you@elsewhere.test\nHow are you?", F_IDENTITY_EMAIL, NULL},
		{"No more? mailto:stop1@example.com?subject=unsubscribe now\nstop1@example.com",
		 F_IDENTITY_EMAIL, NULL},
		{"Reply-To: other@example.com\nWrite to help@example.com", F_IDENTITY_EMAIL,
		 "help@example.com"},
		{"(123) 456-7890", F_IDENTITY_PHONE, "(123) 456-7890"},
		{"At 15:36 +1000 8/11/02 somebody wrote", F_IDENTITY_PHONE, NULL},
		{"电话：65567991 65567992 65567981", F_IDENTITY_PHONE, "65567991"},
		{"地址：城南琅山台上云寺（邮编：350017）", F_IDENTITY_ADDRESS, "城南琅山台上云寺"},
		{"手机：13812345678   010-65529988", F_IDENTITY_PHONE, "13812345678"},
		{"> Tel: 212-555-0123\nI agree", F_IDENTITY_PHONE, NULL},
		{"Delivery Address\n12 Main Street\nDover, DE 19901", F_IDENTITY_ADDRESS, NULL},
		{"收货地址：上海市浦东新区世纪大道100号", F_IDENTITY_ADDRESS, NULL},
		{"Ship to:\n12 Main Street\nDover, DE 19901\nOakery 7 High Street, Dover, DE 19904",
		 F_IDENTITY_ADDRESS, "7 High Street, Dover, DE 19904"},
		{"Postal address:\nTall Oak Center\nThe Oak University\nDover DE 19901-1234\nU.S.A.",
		 F_IDENTITY_ADDRESS, "Tall Oak Center\nThe Oak University\nDover DE 19901-1234"},
	};
	size_t right = 0;
	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		judge("Subject: x\r\n", "plain", span_of(rows[i].body), NULL);
		const struct fact *f = &facts.v[rows[i].id];
		if ((f->state == FACT_KNOWN) != (rows[i].want != NULL) ||
		    (rows[i].want && !span_eq(f->text, span_of(rows[i].want))))
			print_error("%s: state %d '%.*s'\n", rows[i].body, f->state,
				    SPAN_ARG(f->state == FACT_KNOWN ? f->text : SPAN_NONE));
		else
			right++;
	}
	assert_int_equal(right, sizeof(rows) / sizeof(rows[0]));
}

/* Names by what else the mail says: From, the subject, where the links lead. */
static void test_names(void **state)
{
	static const struct {
		const char *from, *type, *body;
		const char *want; /* NULL: absent */
	} rows[] = {
		/* the domain's word, its letters apart */
		{"Offers <hi@bluewidgets.test>", "plain", "Blue Widgets has news.", "Blue Widgets"},
		{"Offers <hi@bluewidgets.test>", "plain", "See www.bluewidgets.test", NULL},
		{"Offers <hi@mail.test>", "html",
		 "<h1>News</h1><p>How Green Lamp helps</p><a href='http://www.greenlamp.test/1'>a</a>"
		 "<a href='http://greenlamp.test/2'>b</a>", "Green Lamp"},
		{"Offers <hi@mail.test>", "html",
		 "<p>I met North Green Lamp Users once</p><a href='http://www.greenlamp.test/1'>a</a>", NULL},
		/* From's own */
		{"Tall Oak <hi@talloak.test>", "plain", "Give to the Tall Oak Foundation today.",
		 "Tall Oak Foundation"},
		{"Cheap Lamps Online <x@a.test>", "plain", "All our lamps go.", NULL},
		{"ABCnet Weekly <x@a.test>", "plain", "News by ABCnet for all.", "ABCnet"},
		{"王小明 <w@a.test>", "plain", "联系人：王小明 电话：13812345678", NULL},
		{"忆林 <w@a.test>", "plain", "忆林新到一批家具。", "忆林"},
		{"A <a@b.test>", "plain", "From: A Tall Oak <a@b.test>\nfine", NULL},
		/* marks */
		{"x@a.test", "plain", "Tall Oak Laboratories is pleased to show you this.",
		 "Tall Oak Laboratories"},
		{"x@a.test", "plain", "Brought to you by Tall Oak Press and its readers",
		 "Tall Oak Press"},
		{"x@a.test", "plain", "You signed up at Tall Oak's sites.", "Tall Oak"},
		{"x@a.test", "plain", "Paid for by Dr. Jane Oak for Senate", "Dr. Jane Oak for Senate"},
		{"x@a.test", "plain", "The Old Copyright Act of 1709 was short.", NULL},
		{"x@a.test", "plain", "THIS IS FOR A LIMITED TIME", NULL},
		{"x@a.test", "plain", "This list is sponsored by: Tall Oak Inc", NULL},
		{"x@a.test", "plain", "> we at Tall Oak Ltd sell\nI see", NULL},
		/* places */
		{"x@a.test", "plain", "Regards,\nDomain Administrator\nTall Oak Homes",
		 "Tall Oak Homes"},
		{"x@a.test", "plain", "Thanks for being with us!\nTall Oak Homes\nTall Oak Homes sells",
		 "Tall Oak Homes"},
		{"x@a.test", "plain", "Billing Address\n12 Main Street, Dover, DE 19901", NULL},
		{"x@a.test", "plain", "Oakery 12 Main Street, Dover, DE 19901", "Oakery"},
		{"Tall Oak <x@a.test>", "html", "<img alt='Tall Oak logo' src='cid:1'><p>Sale!",
		 "Tall Oak logo"},
		/* East Asian words behind names */
		{"x@a.test", "plain", "欢迎来到城南小提琴培训班。", "城南小提琴培训班"},
		{"x@a.test", "plain", "联系北河417网络工作室。", "北河417网络工作室"},
		{"x@a.test", "plain", "这是全国最便宜的数码销售集团网站", NULL},
		{"x@a.test", "plain", "东西由国际大型工艺品进出口公司负责运送", NULL},
		{"x@a.test", "plain", "向您介绍城南示例网（http://www.a.test）。\n城南示例网全体员工敬上",
		 "城南示例网"},
		{"x@a.test", "plain", "城南示例网是好网站，城南示例网欢迎您。", "城南示例网"},
		{"x@a.test", "plain", "这是我在城南示例网买的", NULL},
		{"x@a.test", "plain", ": 发信站: 城南示例社区 (Sun Jul 10)\n好的", NULL},
		{"x@a.test", "plain", "北京华为示例技术有限公司", "北京华为示例技术有限公司"},
		{"x@a.test", "plain", "何小姐敬上", NULL},
		{"x@a.test", "plain", "广东美的示例有限公司", "广东美的示例有限公司"},
		{"x@a.test", "plain", "サンプル販売（株）", "サンプル販売（株）"},
	};
	size_t right = 0;
	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct span octets = arena_printf(
			&arena,
			"From: %s\r\nTo: me@mbox.example\r\nSubject: x\r\nMIME-Version: 1.0\r\n"
			"Content-Type: text/%s; charset=utf-8\r\n"
			"Content-Transfer-Encoding: 8bit\r\n\r\n%s",
			rows[i].from, rows[i].type, rows[i].body);
		facts_init(&facts, &arena);
		assert_int_equal(message_parse(&message, &arena, octets), 0);
		struct content *c = content_read(&message, &arena);
		assert_non_null(c);
		content_facts(c, &message, NULL, NULL, &facts);
		const struct fact *f = &facts.v[F_IDENTITY_NAME];
		if ((f->state == FACT_KNOWN) != (rows[i].want != NULL) ||
		    (rows[i].want && !span_eq(f->text, span_of(rows[i].want))))
			print_error("%s | %s: state %d '%.*s'\n", rows[i].from, rows[i].body, f->state,
				    SPAN_ARG(f->state == FACT_KNOWN ? f->text : SPAN_NONE));
		else
			right++;
	}
	assert_int_equal(right, sizeof(rows) / sizeof(rows[0]));
}

static void test_subject(void **state)
{
	static const struct {
		const char *headers, *body;
		bool fake_reply, empty, ad_mark;
	} rows[] = {
		{"Subject: Re: your offer\r\n", "Buy our pills.", true, false, false},
		{"Subject: Re: your offer\r\nIn-Reply-To: <a@b>\r\n", "Fine.", false, false, false},
		{"Subject: RE: your offer\r\n", "Tom wrote:\n> hello\nFine.", false, false, false},
		{"Subject: 回复：合作事宜\r\n", "我公司代开发票。", true, false, false},
		{"Subject: Re: coffee\r\n", "Me too.\r\n: I like coffee.\r\n", false, false, false},
		{"Subject: Fwd:\r\n", "Look!", true, true, false},
		{"Subject: Report\r\n", "See below.", false, false, false},
		{"", "No subject.", false, true, false},
		{"Subject: [AD] Sale\r\n", "x", false, false, true},
		{"Subject: （广告）双十一\r\n", "x", false, false, true},
		{"Subject: Adventure\r\n", "x", false, false, false},
		{"Subject: 【ＡＤ】春季特惠\r\n", "x", false, false, true},
		{"Subject: A D 春季特惠\r\n", "x", false, false, true},
		{"Subject: AD春季特惠\r\n", "x", false, false, true},
		{"Subject: 广 告：新品上市\r\n", "x", false, false, true},
		{"Subject: ★廣告★新品上市\r\n", "x", false, false, true},
		{"Subject: 广告AD 新品上市\r\n", "x", false, false, true},
		{"Subject: (광고) 특가\r\n", "x", false, false, true},
		{"Subject: ADV: Sale\r\n", "x", false, false, true},
		{"Subject: 广告公司年会邀请\r\n", "x", false, false, false},
		{"Subject: 新品上市（广告）\r\n", "x", false, false, false},
		{"Subject: ad hoc meeting\r\n", "x", false, false, false},
		{"Subject: Ads that work\r\n", "x", false, false, false},
		{"Subject: ADSL offers\r\n", "x", false, false, false},
	};
	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		judge(rows[i].headers, "plain", span_of(rows[i].body), NULL);
		if (fact_true(&facts, F_SUBJECT_FAKE_REPLY) != rows[i].fake_reply ||
		    fact_true(&facts, F_SUBJECT_EMPTY) != rows[i].empty ||
		    fact_true(&facts, F_SUBJECT_AD_MARK) != rows[i].ad_mark)
			fail_msg("%s: fake %d empty %d ad %d", rows[i].headers,
				 fact_true(&facts, F_SUBJECT_FAKE_REPLY),
				 fact_true(&facts, F_SUBJECT_EMPTY),
				 fact_true(&facts, F_SUBJECT_AD_MARK));
	}
}

static void test_consistency(void **state)
{
	(void)state;
	struct span body =
		SPAN("Our winter jackets are warm, light and made of recycled wool. This week "
		     "all winter jackets cost thirty percent less, and we ship them for nothing. "
		     "Choose among "
		     "twelve colours and find the jacket that keeps you warm.");
	judge("Subject: Winter jackets, thirty percent less\r\n", "plain", body, NULL);
	assert_int_equal(facts.v[F_SUBJECT_CONSISTENCY].state, FACT_KNOWN);
	double right = facts.v[F_SUBJECT_CONSISTENCY].number;
	judge("Subject: Meeting about your mortgage application\r\n", "plain", body, NULL);
	assert_true(facts.v[F_SUBJECT_CONSISTENCY].number < right - 0.5);
	assert_int_equal(facts.v[F_SUBJECT_UNCOVERED].state, FACT_KNOWN);
	/* what makes each mail of a campaign unlike the others takes nothing away */
	static const char *const tails[] = {" 48213", "! [k9lej]", " 4497vlnz2--9", "... lrmjq", NULL};
	for (const char *const *t = tails; *t; t++) {
		char subject[100];
		snprintf(subject, sizeof(subject),
			 "Subject: Winter jackets, thirty percent less%s\r\n", *t);
		judge(subject, "plain", body, NULL);
		if (fabs(facts.v[F_SUBJECT_CONSISTENCY].number - right) > 0.05 ||
		    facts.v[F_SUBJECT_UNCOVERED].list.n)
			fail_msg("%s: %g, not %g", *t, facts.v[F_SUBJECT_CONSISTENCY].number, right);
	}
	judge("Subject: Winter jackets, thirty percent less\r\n", "plain", SPAN("Hi!"), NULL);
	assert_int_equal(facts.v[F_SUBJECT_CONSISTENCY].state, FACT_UNKNOWN);
	/* Chinese words spaced out, or broken over lines */
	body = SPAN("尊敬的顾客: 本店新到一批苏州丝\n绸围\n巾, 全部手工制作, 花色三十余种, "
		    "欢迎来店选购。地址在人民路十二号, 每天九点开门。");
	judge("Subject: 苏州丝绸围巾新到\r\n", "plain", body, NULL);
	right = facts.v[F_SUBJECT_CONSISTENCY].number;
	assert_int_equal(facts.v[F_SUBJECT_UNCOVERED].list.n, 0);
	judge("Subject: 苏 州 丝 绸 围 巾 新 到\r\n", "plain", body, NULL);
	assert_true(fabs(facts.v[F_SUBJECT_CONSISTENCY].number - right) < 0.001);
	assert_int_equal(facts.v[F_SUBJECT_UNCOVERED].list.n, 0);
}

static struct topic topic_of_body(const char *subject, const char *body)
{
	struct topic t;
	judge(subject, "plain", span_of(body), NULL);
	struct content *c = content_read(&message, &arena);
	assert_non_null(c);
	assert_true(topic_of(c, &t));
	return t;
}

/* Letters about jackets are nearer to each other than to one about mortgages; few words tell
 * nothing; the digits of a topic are read back. */
static void test_topic(void **state)
{
	struct topic jackets = topic_of_body(
		"", "Our winter jackets are warm, light and made of recycled wool. This week all winter "
		    "jackets cost thirty percent less and shipping is free. Choose among twelve colours, "
		    "hooded coats, gloves, scarves and boots, and find the jacket that keeps you warm.");
	struct topic coats = topic_of_body(
		"", "New winter coats are here: warm wool, hooded jackets in twelve colours, gloves and "
		    "boots. Members get free shipping this week. Choose your jacket and the scarves that "
		    "go with it before winter comes; recycled wool costs thirty percent less.");
	struct topic mortgage = topic_of_body(
		"", "Interest rates on mortgage loans fell again. Refinance your existing mortgage, lower "
		    "the monthly payment, consolidate debt, or borrow against home equity. A lender calls "
		    "within one business day; bad credit is no obstacle, and the quote costs nothing.");
	struct topic none, read;
	char hex[TOPIC_DIGITS + 1];
	(void)state;
	assert_true(topic_cosine(&jackets, &jackets) > 0.999);
	assert_true(topic_cosine(&jackets, &coats) > 0.3);
	assert_true(topic_cosine(&jackets, &mortgage) < 0.15);
	for (size_t i = 0; i < TOPIC_BYTES; i++)
		snprintf(hex + 2 * i, 3, "%02x", jackets.bits[i]);
	assert_true(topic_read((struct span){hex, TOPIC_DIGITS}, &read));
	assert_memory_equal(&read, &jackets, sizeof(read));
	assert_false(topic_read(SPAN("12ab"), &read));
	hex[7] = 'x';
	assert_false(topic_read((struct span){hex, TOPIC_DIGITS}, &read));
	judge("", "plain", SPAN("Hi!"), NULL);
	assert_false(topic_of(content_read(&message, &arena), &none));
}

#define XS "XXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXX\r\n"

/* A mail that says nothing has no class, whatever its header looks like; that is the reason. */
static void test_no_class(void **state)
{
	static const struct {
		const char *headers, *type, *body;
		bool abstains;
	} rows[] = {
		{"", "plain", XS XS XS XS "XXXXXXXX\r\n", true},
		{"", "plain", "", true},
		{"Subject: \r\n", "html", "<html><body><p>&nbsp;</p></body></html>", true},
		{"Subject: test\r\n", "plain", "test test test\r\ntest\r\n", true},
		{"List-Unsubscribe: <https://x.test/u>\r\n", "plain", XS, true},
		{"", "html", "<a href=\"https://x.test/sale\"><img src=\"https://x.test/i.png\" "
			     "width=600 height=900></a>", false},
		{"Subject: Save 60 % on everything this weekend, free shipping\r\n", "plain", "",
		 false},
	};
	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		judge(rows[i].headers, rows[i].type, span_of(rows[i].body), NULL);
		const struct fact *reasons = &facts.v[F_CLASS_REASONS];
		bool nothing = reasons->state == FACT_KNOWN && reasons->list.n == 1 &&
			       span_eq(reasons->list.v[0], SPAN("no content"));
		if (nothing != rows[i].abstains ||
		    (nothing && (facts.v[F_CLASS_MARKETING].state != FACT_UNKNOWN ||
				 facts.v[F_CLASS_KIND].state != FACT_UNKNOWN)))
			fail_msg("row %zu: marketing state %d", i, facts.v[F_CLASS_MARKETING].state);
	}
}

static void test_class(void **state)
{
	static const struct {
		const char *headers, *body, *kind; /* NULL: not marketing */
	} rows[] = {
		{"Subject: Sale\r\nList-Unsubscribe: <https://x.test/u>\r\n",
		 "Save up to 60% on everything this weekend. Free shipping on all orders. Shop "
		 "now!\n"
		 "You receive this because you subscribed. Unsubscribe: https://x.test/u",
		 "commercial"},
		{"Subject: =?UTF-8?B?5Y+M5Y2B5LiA54mD5qyi5YWo5Zy65LqU5oqY?=\r\n",
		 "亲爱的会员，全场五折，满300减50，限时抢购，立即购买，新品首发，优惠券免费领取。退"
		 "订请点击 http://x.test/u",
		 "commercial"},
		{"Subject: Password reset\r\n",
		 "You asked to reset the password of your account. Use this link within 24 hours "
		 "to choose a "
		 "new password: https://x.test/reset. If you did not request this, ignore this "
		 "email.",
		 "transactional"},
		{"Subject: lunch\r\nIn-Reply-To: <a@b.test>\r\n",
		 "Hi Ben,\n> are you free on Thursday?\nyes, see you at noon. I will bring the "
		 "book that you "
		 "asked for, and the pictures of the trip.\nKate",
		 NULL},
	};
	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		judge(rows[i].headers, "plain", span_of(rows[i].body), NULL);
		bool right = rows[i].kind ? facts.v[F_CLASS_KIND].state == FACT_KNOWN &&
						    span_eq(facts.v[F_CLASS_KIND].text,
							    span_of(rows[i].kind))
					  : facts.v[F_CLASS_KIND].state != FACT_KNOWN &&
						    !fact_true(&facts, F_CLASS_MARKETING);
		if (!right)
			fail_msg("%s: kind state %d '%.*s' p %g", rows[i].headers,
				 facts.v[F_CLASS_KIND].state, SPAN_ARG(facts.v[F_CLASS_KIND].text),
				 facts.v[F_CLASS_P].number);
	}
}

/* The octets at the evidence's offset are the text. */
static void test_evidence(void **state)
{
	(void)state;
	judge("Subject: x\r\n", "plain", SPAN("Hello\r\nthere\r\nCall (212) 555-0123.\r\n"), NULL);
	const struct evidence *e = &facts.v[F_IDENTITY_PHONE].evidence;
	assert_true(e->offset > 0);
	assert_true(span_starts(span_sub(message.octets, (size_t)e->offset, message.octets.n),
				SPAN("(212) 555-0123")));
}

/* 100 kB of what each finder likes best: under 20 ms, parsing not counted. */
static void test_bombs(void **state)
{
	static const struct {
		const char *name, *type, *unit;
	} rows[] = {
		{"wishes with links", "html", "unsubscribe <a href=http://x>a</a> "},
		{"wishes in one line", "plain", "unsubscribe "},
		{"empty links", "html", "<a href=http://x></a>unsubscribe"},
		{"hidden runs", "html", "<p hidden>a</p><b>unsubscribe</b>"},
		{"digits", "plain", "12345 67890 "},
		{"states and codes", "plain", "st ny 10018 "},
		{"numbers behind \xe5\x8f\xb7", "plain", "1\xe5\x8f\xb7\xe8\xb7\xaf\xe5\xb8\x82"},
		{"addresses", "plain", "a@b.test "},
		{"at signs", "plain", "a@"},
		{"copyright", "plain", "\xc2\xa9 "},
		{"companies", "plain", "A Ltd "},
		{"blanks", "plain", "                "},
		{"lines", "plain", "\n"},
		{"Chinese companies", "plain", "\xe5\x85\xac\xe5\x8f\xb8"},
		{"gaps", "plain", "remove reply subject "},
	};
	(void)state;
#if defined(__SANITIZE_ADDRESS__)
	double limit = 400;
#else
	double limit = 20;
#endif
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct buf b = BUF_INIT;
		buf_addf(&b,
			 "From: a@b.test\r\nSubject: unsubscribe\r\nContent-Type: text/%s; "
			 "charset=utf-8\r\n\r\n",
			 rows[i].type);
		while (b.n < 100000)
			buf_adds(&b, rows[i].unit);
		double best = 1e9;
		for (int run = 0; run < 3; run++) {
			arena_reset(&arena);
			facts_init(&facts, &arena);
			assert_int_equal(message_parse(&message, &arena, buf_span(&b)), 0);
			int64_t start = clock_cpu_us();
			struct content *c = content_read(&message, &arena);
			assert_non_null(c);
			content_facts(c, &message, NULL, NULL, &facts);
			double ms = (double)(clock_cpu_us() - start) / 1e3;
			best = ms < best ? ms : best;
		}
		buf_free(&b);
		print_message("# %s: %.2f ms\n", rows[i].name, best);
		if (best > limit)
			fail_msg("%s: %.2f ms", rows[i].name, best);
	}
}

/* Two cues of a class at different places, and none of what honest mail says. */
static void test_review(void **state)
{
	static const struct {
		const char *body, *want;
	} rows[] = {
		{"Play blackjack and roulette tonight.", "gambling"},
		{"Our online casino is open.", ""}, /* one cue, though two phrases are in it */
		{"代开发票，请来电。", ""},
		{"代开发票，增值税发票可先验票。", "invoices"},
		{"Jetzt Sportwetten platzieren und 50 Freispiele sichern.", "gambling"},
		{"Paris sportifs et casino en ligne.", "gambling"},
		{"Казино и игровые автоматы.", "gambling"},
		{"온라인 카지노, 바카라 추천", "gambling"},
		{"オンラインカジノ、パチンコ情報", "gambling"},
		{"Sofortkredit ohne Bank: Kredit ohne Schufa.", "loans"},
		{"Préstamo rápido, préstamos sin aval.", "loans"},
		{"網貸秒批，當天放款，無抵押貸款。", "loans"},
		{"网贷秒批，当天放款。", "loans"},
		{"Ingresos pasivos y libertad financiera.", "pyramid"},
		{"Заработай: пассивный доход, сетевой маркетинг.", "pyramid"},
		{"被動收入，輕鬆賺錢。", "pyramid"},
		{"Guaranteed daily profit, zero risk.", "guarantee"},
		{"元本保証、ノーリスク。", "guarantee"},
		{"Pfefferspray und Elektroschocker im Angebot.", "weapons"},
		{"仿真枪、弹簧刀现货。", "weapons"},
		{"Potenzmittel rezeptfrei bestellen.", "medical"},
		{"祖传秘方，药到病除。", "medical"},
		{"销量第一，全球首创。", "absolute"},
		{"Vino tinto y vino blanco de la casa.", "alcohol"},
		/* warned of, and honest */
		{"Vorsicht vor Sofortkredit! Warnung vor Kredit ohne Schufa.", ""},
		{"谨防网贷。切勿相信秒批。", ""},
		{"The new printer is quiet and without risk of paper jams.", ""},
		{"Your personal loan statement is ready.", ""},
		{"Our roulette of prizes: spin the wheel for a discount.", ""},
		{"您的增值税发票已开具，请查收。", ""},
	};
	size_t wrong = 0;
	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		judge("", "plain", span_of(rows[i].body), NULL);
		const struct fact *fact = &facts.v[F_CONTENT_REVIEW];
		struct span got = fact->list.n ? fact->list.v[0] : SPAN("");
		if (fact->list.n > 1 || !span_eq(got, span_of(rows[i].want))) {
			print_error("%s: %zu, '%.*s'\n", rows[i].body, fact->list.n, SPAN_ARG(got));
			wrong++;
		}
	}
	assert_int_equal(wrong, 0);
}

static void test_list(void **state)
{
	(void)state;
	assert_int_equal(phrases_check(table_phrases()), 0);
	assert_int_equal(phrases_check(SPAN("# x\nunsub en a\nunsup en b\n")), 3);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_unsubscribe, setup, teardown),
		cmocka_unit_test_setup_teardown(test_headers, setup, teardown),
		cmocka_unit_test_setup_teardown(test_identity, setup, teardown),
		cmocka_unit_test_setup_teardown(test_names, setup, teardown),
		cmocka_unit_test_setup_teardown(test_subject, setup, teardown),
		cmocka_unit_test_setup_teardown(test_consistency, setup, teardown),
		cmocka_unit_test_setup_teardown(test_class, setup, teardown),
		cmocka_unit_test_setup_teardown(test_topic, setup, teardown),
		cmocka_unit_test_setup_teardown(test_no_class, setup, teardown),
		cmocka_unit_test_setup_teardown(test_evidence, setup, teardown),
		cmocka_unit_test_setup_teardown(test_bombs, setup, teardown),
		cmocka_unit_test_setup_teardown(test_review, setup, teardown),
		cmocka_unit_test(test_list),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
