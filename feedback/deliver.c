#include "feedback/deliver.h"

#include "base/clock.h"
#include "base/log.h"

static enum delivery deliver(const struct config *config, const struct queue_item *item,
			     struct buf *reply, bool *away_r)
{
	*away_r = false;
	switch (config->report.via) {
	case REPORT_VIA_FOLDER:
		return deliver_folder(config, item, item->message, reply);
	case REPORT_VIA_SMTP:
		return deliver_smtp(config, item, item->message, reply, away_r);
	case REPORT_VIA_NONE:
		break;
	}
	buf_adds(reply, "the configuration says no way out (report ... via)");
	*away_r = true;
	return DELIVERY_LATER;
}

int deliver_due(struct queue *q, const struct config *config, unsigned *sent_r)
{
	unsigned sent = 0;
	int r = 0;
	bool away = config->report.via == REPORT_VIA_NONE;
	/* What falls due while we work waits for the next call, so this one ends. */
	int64_t start_us = clock_now_us();
	while (!away && r == 0) {
		struct queue_item item;
		struct buf reply = BUF_INIT;
		r = queue_take(q, start_us, &item);
		if (r == 0) {
			enum delivery result = deliver(config, &item, &reply, &away);
			sent += result == DELIVERY_SENT;
			if (result != DELIVERY_SENT)
				log_warn("report.undelivered", "report=%.*s reply=%s",
					 SPAN_ARG(item.id), log_safe(buf_span(&reply)));
			r = queue_settle(q, &item, result, buf_span(&reply), clock_now_us());
		}
		buf_free(&reply);
	}
	if (sent_r)
		*sent_r = sent;
	return r == QUEUE_E_NONE ? 0 : r;
}
