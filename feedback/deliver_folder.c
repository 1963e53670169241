#include <errno.h>
#include <limits.h>
#include <stdio.h>

#include "base/file.h"
#include "feedback/deliver.h"

enum delivery deliver_folder(const struct config *config, const struct queue_item *item,
			     struct span message, struct buf *reply)
{
	char path[PATH_MAX];
	int r = -ENAMETOOLONG;
	if (snprintf(path, sizeof(path), "%s/%.*s.eml", config->report.to, SPAN_ARG(item->id)) <
	    (int)sizeof(path))
		r = file_replace(path, message, 0644);
	if (r == 0) {
		buf_adds(reply, path);
		return DELIVERY_SENT;
	}
	buf_addf(reply, "%s: %s", config->report.to, strerror(-r));
	return DELIVERY_LATER;
}
