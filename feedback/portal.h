/*
 * portal - the HTTP interface of the feedback role: complaints in, reports and counts out.
 *
 *     POST /complaints[?kind=abuse|not-spam&rcpt=ADDR]   a message, or a report about one
 *     GET  /reports[?sender=KEY&after=ID&limit=N]        what became of reports, one JSON a line
 *     GET  /feedback[?after=N&limit=N]                   a sender fetches his reports as JSON
 *     GET  /status                                       counts; without a token
 *     GET  /metrics                                      the same for Prometheus
 *
 * Everything but the counts asks for "Authorization: Bearer TOKEN", where TOKEN is the first line
 * of STATE/http.token, made at random at the first start. With an Idempotency-Key the same answer
 * comes again for the same key. The cursor of /reports is the id of the last line; ids grow with
 * time.
 *
 * A sender fetches with a token of his own, "KEY:..." (assay sender secret): one object a line,
 * what a webhook gets (webhook.h) with its `cursor` in front. What lies behind `after` is his next.
 *
 * Errors: sizes and times are bounded (LIMIT_HTTP_*); our trouble is 503 with Retry-After.
 */
#pragma once

#include "base/json.h"
#include "feedback/complaint.h"

struct event_base;
struct portal;

/* While still root: binds `config->http`. *fd_r -1: it is not asked for. */
__attribute__((warn_unused_result)) int portal_bind(const struct config *config, int *fd_r);
typedef void portal_status_fn(void *arg, struct json *j);
/* Takes `fd`. `changed`: a report may have been queued. */
__attribute__((warn_unused_result)) int portal_create(struct portal **p_r,
						      struct event_base *loop, int fd,
						      struct complaint_desk *desk,
						      portal_status_fn *status,
						      void (*changed)(void *arg), void *arg);
void portal_free(struct portal *p); /* accepts NULL */
struct portal_counts {
	uint64_t requests, refused, complaints;
	uint64_t hung_up; /* connections that held too much or took too long */
};
struct portal_counts portal_counts(const struct portal *p);
