#include "feedback/deliver.h"

#include "analyze/dkim_sign.h"
#include "base/clock.h"
#include "base/log.h"
#include "feedback/arf.h"

/* The key is read for each run over the queue: a changed one holds at once, and what waited is
 * signed with the selector of today. d= is the domain that reports come from. */
static int open_signer(const struct config *config, struct dkim_signer *signer_r)
{
	struct span from = span_of(config->report.from);
	*signer_r = (struct dkim_signer){.key = NULL};
	if (!config->report.dkim_selector)
		return 0;
	int r = dkim_signer_open(signer_r, arf_domain_of(from),
				 span_of(config->report.dkim_selector),
				 config->report.dkim_key_file);
	if (r == 0)
		return 0;
	log_error("report.unsigned", "file=%s selector=%s from=%s trouble=\"%s; reports wait\"",
		  config->report.dkim_key_file, config->report.dkim_selector, config->report.from,
		  dkim_sign_trouble(r));
	return DELIVER_E_SIGNER;
}

static enum delivery send(const struct config *config, const struct queue_item *item,
			  struct span message, struct buf *reply, bool *away_r)
{
	switch (config->report.via) {
	case REPORT_VIA_FOLDER:
		return deliver_folder(config, item, message, reply);
	case REPORT_VIA_SMTP:
		return deliver_smtp(config, item, message, reply, away_r);
	case REPORT_VIA_NONE:
		break;
	}
	buf_adds(reply, "the configuration says no way out (report ... via)");
	*away_r = true;
	return DELIVERY_LATER;
}

static enum delivery deliver(const struct config *config, const struct dkim_signer *signer,
			     const struct queue_item *item, struct buf *reply, bool *away_r)
{
	*away_r = false;
	if (!signer->key)
		return send(config, item, item->message, reply, away_r);
	struct buf text = BUF_INIT;
	enum delivery result = DELIVERY_LATER;
	int r = dkim_signer_sign(signer, item->message, clock_now_us() / 1000000, &text);
	buf_add(&text, item->message);
	if (r == 0 && !text.failed)
		result = send(config, item, buf_span(&text), reply, away_r);
	else
		buf_adds(reply, r ? dkim_sign_trouble(r) : "out of memory");
	buf_free(&text);
	return result;
}

int deliver_due(struct queue *q, const struct config *config, unsigned *sent_r)
{
	unsigned sent = 0;
	struct dkim_signer signer;
	int r = open_signer(config, &signer);
	bool away = config->report.via == REPORT_VIA_NONE;
	/* What falls due while we work waits for the next call, so this one ends. */
	int64_t start_us = clock_now_us();
	while (!away && r == 0) {
		struct queue_item item;
		struct buf reply = BUF_INIT;
		r = queue_take(q, start_us, &item);
		if (r == 0) {
			enum delivery result = deliver(config, &signer, &item, &reply, &away);
			sent += result == DELIVERY_SENT;
			if (result != DELIVERY_SENT)
				log_warn("report.undelivered", "report=%.*s reply=%s",
					 SPAN_ARG(item.id), log_safe(buf_span(&reply)));
			r = queue_settle(q, &item, result, buf_span(&reply), clock_now_us());
		}
		buf_free(&reply);
	}
	dkim_signer_close(&signer);
	if (sent_r)
		*sent_r = sent;
	return r == QUEUE_E_NONE ? 0 : r;
}
