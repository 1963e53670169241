/* Unit tests of ways to unsubscribe as the world's mails word them, and of what is no way. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <cmocka.h>

#include "analyze/content_parts.h"
#include "tests/unit/arena.h"

static struct message message;
static struct facts facts;

/* Facts of a mail with this body: HTML when it begins with '<'. */
static void judge(const char *body)
{
	struct span octets = arena_printf(&arena,
					  "From: Example Shop <news@example.com>\r\n"
					  "To: me@mbox.example\r\nMIME-Version: 1.0\r\n"
					  "Content-Type: text/%s; charset=utf-8\r\n"
					  "Content-Transfer-Encoding: 8bit\r\n\r\n%s",
					  body[0] == '<' ? "html" : "plain", body);
	facts_init(&facts, &arena);
	assert_int_equal(message_parse(&message, &arena, octets), 0);
	struct content *c = content_read(&message, &arena);
	assert_non_null(c);
	content_facts(c, &message, NULL, NULL, &facts);
}

#define A "<a href='https://x.test/k/1'>"
#define P "<p>Neues, news, 新闻, ニュース</p><p>"

static void test_there(void **state)
{
	static const char *const rows[] = {
		/* Chinese */
		P "remove http://www.x.test/mortgage/remove.html</p>",
		P "如果您不想再收到此类邮件，请" A "点击这里</a>退订。",
		P "如您不希望继续收到我们的邮件，请点" A "此处</a>。",
		P "若不愿意接收本邮件，可" A "取消订阅</a>",
		P A "退订邮件</a> | " A "联系我们</a>",
		P "不想再看到这类邮件？" A "点我退订</a>",
		P "如需停止接收，请单击" A "这里</a>。",
		P "您可以随时" A "管理邮件订阅</a>或取消",
		P A "取消本邮件订阅</a>",
		P "若您不想再收到本電子報，請" A "按此取消訂閱</a>。",
		P "如不欲收取本公司之推廣電郵，請" A "按此</a>。",
		P "若您不願意再收到此類信件，請" A "點選這裡</a>",
		P "如欲取消訂閱電子報，" A "請按這裡</a>",
		P A "拒收此類郵件</a>",
		"本邮件由系统发送。\n退订请回复TD。\n",
		"如不想继续收到，请回复“退订”两个字，我们会在两个工作日内处理。\n",
		"不想再收到此邮件，请回复邮件，主题写“取消”。\n",
		"若不想再收到本信，請回覆「退訂」。\n",
		"退订请发送邮件至 quit@x.test\n",
		"取消订阅：https://x.test/q?u=1\n",
		"如需退订，请点击以下链接：\nhttps://x.test/q?u=1\n",
		"如果你不想再收到该产品的推荐邮件，请点击这里退订 http://x.test/a\n",
		"如您不需要此类信息，请发邮件到 bye@x.test 取消\n",
		/* English */
		P "Don't want these emails any more? " A "Unsubscribe</a>",
		P "No longer want to hear from us? " A "Opt out here</a>.",
		P "You can " A "change how often we write</a> or " A "leave this list</a>.",
		P A "Manage preferences</a> | " A "Privacy</a>",
		P A "Email settings</a>",
		P A "Update your email preferences</a>",
		P A "Manage your subscriptions</a>",
		P "To be taken off this mailing list, please " A "click here</a>.",
		P "If you'd rather not get these updates, " A "let us know</a>.",
		P "Too many emails? " A "Adjust your email frequency</a>",
		P "To opt-out of future mailings, " A "visit this page</a>.",
		P "To stop these messages, " A "go here</a>.",
		P "Not interested anymore? " A "Unsubscribe instantly</a>.",
		P A "Stop these emails</a>",
		P "We'd hate to see you go, but if you must, " A "click here</a> to unsubscribe.",
		P "To change your mailing list options, go to " A "www.x.test/update</a>",
		P A "Click here to delete your address from future updates</a>",
		P A "<img src='https://x.test/u.png' alt='Unsubscribe' width=90 height=20></a>",
		P "<a href='{{unsubscribe_url}}'>Unsubscribe</a>",
		P "<a href='*|UNSUB|*'>unsubscribe from this list</a>",
		P "<a href='[unsubscribe]'>Unsubscribe</a>",
		P "<a href='%%unsub_center_url%%'>Leave</a>",
		P "<a href='<%asm_group_unsubscribe_raw_url%>'>Unsubscribe</a>",
		P "<a href='{$unsubscribe}'>Leave the list</a>",
		P "<a href='mailto:list-off@x.test?subject=unsubscribe'>Unsubscribe</a>",
		"To unsubscribe, reply to this mail with UNSUBSCRIBE in the subject line.\n",
		"If you do not wish to receive these mails, just reply with the word STOP.\n",
		"Reply STOP to opt out.\n",
		"Send a blank email to leave-news@x.test to be removed from the list.\n",
		"To be removed, write to bye@x.test.\n",
		"Unsubscribe: https://x.test/u/abc\n",
		"You can change your preferences or unsubscribe at\nhttps://x.test/u/abc\n",
		"If you no longer wish to receive our newsletter please email bye@x.test "
		"with \"remove\" as the subject.\n",
		"To unsubscribe from this list, log in to your account at https://x.test/my\n",
		/* Japanese, Korean */
		P "メールマガジンの配信停止は" A "こちら</a>",
		P "今後メールの受信をご希望されない方は" A "こちら</a>からお手続きください。",
		P "メルマガの解除は" A "こちら</a>",
		P A "購読を解除する</a>",
		P A "配信停止</a>",
		P A "メール配信の停止・変更</a>",
		"配信停止をご希望の方は、下記URLよりお手続きください。\nhttps://x.test/stop\n",
		"今後このようなご案内が不要な方は、bye@x.test までご連絡ください。\n",
		P "수신을 원하지 않으시면 " A "여기</a>를 클릭하세요.",
		P A "수신거부</a>",
		P "메일 수신을 원치 않으시면 " A "[수신거부]</a>를 클릭해 주세요.",
		P A "구독 취소하기</a>",
		P "더 이상 메일을 받고 싶지 않으시다면 " A "여기</a>를 눌러 주세요",
		/* German, Dutch */
		P "Sie möchten keine Newsletter mehr erhalten? " A "Hier abmelden</a>",
		P "Wenn Sie diese E-Mail nicht mehr empfangen möchten, klicken Sie " A
		  "hier</a>.",
		P A "Newsletter abbestellen</a>",
		P "Zum Abbestellen klicken Sie bitte " A "hier</a>.",
		P "Vom Newsletter " A "abmelden</a>",
		P "Möchten Sie künftig keine Post von uns, dann tragen Sie sich " A
		  "hier aus</a>.",
		P A "Einstellungen für E-Mail-Benachrichtigungen ändern</a>",
		"Abmelden: https://x.test/ab\n",
		P "Wil je geen nieuwsbrief meer ontvangen? " A "Schrijf je dan hier uit</a>",
		P A "Uitschrijven</a>",
		P "Klik " A "hier</a> om je af te melden.",
		/* French */
		P "Si vous ne souhaitez plus recevoir nos offres, " A "cliquez ici</a>.",
		P A "Se désabonner</a>",
		P A "Se désinscrire de cette liste</a>",
		P "Pour vous désabonner, " A "suivez ce lien</a>.",
		P "Pour ne plus recevoir nos emails, " A "cliquez ici</a>",
		P A "Gérer mes préférences</a>",
		P A "Je me désinscris</a>",
		"Pour vous désinscrire : https://x.test/d\n",
		/* Spanish, Portuguese, Italian */
		P "Si no deseas recibir más correos, haz clic " A "aquí</a>.",
		P A "Darse de baja</a>",
		P "Para darte de baja pulsa " A "aquí</a>",
		P A "Cancelar suscripción</a>",
		P A "Anular la suscripción</a>",
		P "Si ya no quieres recibir este boletín, " A "date de baja</a>",
		P "Si desea dejar de recibir estos mensajes " A "haga clic aquí</a>",
		P "Caso não queira mais receber nossos e-mails, " A "clique aqui</a>.",
		P A "Cancelar inscrição</a>",
		P A "Descadastre-se</a>",
		P A "Remover subscrição</a>",
		P "Para deixar de receber esta newsletter, " A "clique aqui</a>",
		"Para se retirar do cadastro, favor responder sem assunto.\n",
		P "Per non ricevere più le nostre email " A "clicca qui</a>",
		P A "Disiscriviti</a>",
		P A "Annulla l'iscrizione</a>",
		P "Se non desideri più ricevere questa newsletter " A "clicca qui</a>",
		P "Se vuoi cancellarti dalla lista, " A "clicca qui</a>",
		P "Per cancellare la tua iscrizione " A "fai clic qui</a>",
		/* Russian and others */
		P "Чтобы отписаться от рассылки, " A "нажмите здесь</a>.",
		P A "Отписаться</a>",
		P "Если вы больше не хотите получать наши письма, " A "перейдите по ссылке</a>",
		P A "Отказаться от подписки</a>",
		P A "Отменить подписку</a>",
		P "Вы можете отказаться от рассылки " A "по этой ссылке</a>",
		P A "Wypisz się z newslettera</a>",
		P "Jeśli nie chcesz otrzymywać wiadomości, " A "kliknij tutaj</a>",
		P "Abonelikten çıkmak için " A "tıklayın</a>",
		P "Để hủy đăng ký, vui lòng " A "nhấn vào đây</a>",
		P A "Avprenumerera</a>",
		P "Hvis du ikke længere ønsker at modtage mails, " A "klik her</a>",
	};
	(void)state;
	size_t missed = 0;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		judge(rows[i]);
		if (fact_true(&facts, F_UNSUB_BODY))
			continue;
		print_error("no way found in: %s\n", rows[i]);
		missed++;
	}
	assert_int_equal(missed, 0);
}

static void test_not_there(void **state)
{
	static const char *const rows[] = {
		"如有打扰，请直接删除此邮件，谢谢！\n",
		"如打扰到您，敬请谅解，请随手删除。\n",
		"If this reached you by mistake, simply delete it. Sorry!\n",
		P "您的订单已取消，退款将在三个工作日内到账。" A "查看订单</a>",
		P "退定金政策：" A "查看详情</a>",
		P "我们不会再收到您的付款提醒。" A "登录</a>",
		P "You can unsubscribe at any time in our shop in the town.",
		P "We removed the price from our list. " A "See the new one</a>",
		P A "Subscribe to our newsletter</a>",
		P A "View our privacy preferences policy</a>",
		P "How to stop wasting money: " A "read more</a>",
		P "Your flight was cancelled. " A "Rebook</a>",
		P "Cancel your order within an hour: " A "My orders</a>",
		P "Der Kurs wurde abgesagt, " A "hier</a> geht es zur Übersicht.",
		P "Melden Sie sich " A "hier</a> an.",
		P "Retrouvez nos offres " A "ici</a>.",
		P "この商品は販売停止になりました。" A "こちら</a>",
		P "会員登録は" A "こちら</a>",
		P "회원 가입은 " A "여기</a>",
		P "Подпишитесь на рассылку " A "здесь</a>",
		P A "Suscríbete</a> a nuestro boletín",
		"Please reply with your name and telephone number.\n",
		"Stop paying high prices! Reply today.\n",
		"请回复本邮件，我们将尽快与您联系。\n",
		"欢迎回复此邮件咨询，或致电客服。\n",
		"> To unsubscribe visit https://x.test/1\n\nI agree. See you on Monday.\n",
		"There is no need to answer if you do not wish to receive more mail.\n",
		P "If you did not sign up, you can ignore this mail. " A "Confirm</a>",
	};
	(void)state;
	size_t wrong = 0;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		judge(rows[i]);
		if (!fact_true(&facts, F_UNSUB_BODY))
			continue;
		print_error("a way found in: %s (%.*s)\n", rows[i],
			    SPAN_ARG(facts.v[F_UNSUB_BODY].evidence.text));
		wrong++;
	}
	assert_int_equal(wrong, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_there, setup, teardown),
		cmocka_unit_test_setup_teardown(test_not_there, setup, teardown),
	};
	return cmocka_run_group_tests_name("unsub", tests, NULL, NULL);
}
