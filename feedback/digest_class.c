/*
 * Classes of answers, by the basic code first (note 7 of the specification: 4yz is a soft return,
 * 5yz a hard one), then by subject and detail of the enhanced code (RFC 3463, registry of RFC
 * 5248).
 */
#include "feedback/digest.h"

static const struct digest_class
	remove_it = {"remove",
		"The address does not exist or is closed. Take it off all lists now (clause 2.4.4).",
		"地址不存在或已停用。请立即从所有名单中删除（第 2.4.4 条）。"},
	quota = {"quota",
		"The mailbox is full. Pause this address; take it off if that lasts for weeks.",
		"邮箱已满。请暂停向该地址发送；持续数周则应删除。"},
	rate = {"rate",
		"More mail than agreed in a short time. Slow down, spread the mailing, or file a higher "
		"rate.",
		"短时间内发送过多。请降低速率、分散发送，或申请更高的速率。"},
	authentication = {"auth",
		"SPF, DKIM, DMARC or the reverse DNS did not hold. Mend the records before you send "
		"again (clauses 2.2.1 to 2.2.3).",
		"SPF、DKIM、DMARC 或反向解析未通过。请修正记录后再发送（第 2.2.1 至 2.2.3 条）。"},
	policy = {"policy",
		"The mail does not meet our rules. The reply names an event id: ask the postmaster, or "
		"look at your compliance figures.",
		"邮件不符合本站规则。应答中有事件编号，可据此向管理员查询。"},
	content = {"content",
		"The form of the message is broken (MIME, character set, size). Repair the template.",
		"邮件格式有误（MIME、字符集、大小）。请修正模板。"},
	ours = {"temporary",
		"A temporary condition on our side. Your queue tries again by itself; it is not held "
		"against you.",
		"本站暂时性故障。贵方队列会自动重试，不计入贵方责任。"},
	soft = {"soft",
		"A temporary refusal. Try again later, with growing pauses.",
		"暂时拒收。请逐渐延长间隔后重试。"},
	hard = {"hard",
		"A final refusal. Do not try this message again.",
		"最终拒收。请勿再次尝试该邮件。"};

/* "5.1.1" -> 1, 1 */
static bool subject_and_detail(struct span enhanced, uint64_t *subject, uint64_t *detail)
{
	struct span class, s, d;
	return span_next_field(&enhanced, '.', &class) && span_next_field(&enhanced, '.', &s) &&
	       span_next_field(&enhanced, '.', &d) && span_number(s, 999, subject) &&
	       span_number(d, 999, detail);
}

static const struct digest_class *by_security(int64_t code, uint64_t detail)
{
	if (detail == 28)
		return &rate;
	if (detail >= 20 && detail <= 27)
		return &authentication;
	if (code < 500 && detail <= 1)
		return &rate; /* "try again later" of a policy is a brake */
	return &policy;
}

const struct digest_class *digest_classify(int64_t code, struct span enhanced, bool at_rcpt)
{
	uint64_t subject, detail;
	bool final = code >= 500;
	if (!subject_and_detail(enhanced, &subject, &detail)) {
		if (final && at_rcpt && (code == 550 || code == 551 || code == 553))
			return &remove_it;
		return final ? &hard : &soft;
	}
	if (subject == 7)
		return by_security(code, detail);
	if (subject == 6)
		return &content;
	if (subject == 2 && detail == 2)
		return &quota;
	if (final && at_rcpt && ((subject == 1 && detail != 7 && detail != 8) ||
				 (subject == 2 && detail <= 1)))
		return &remove_it; /* 5.1.7 and 5.1.8 are about the sender's address */
	if (!final && subject >= 2 && subject <= 5)
		return &ours;
	return final ? &hard : &soft;
}
