/*
 * portal_guard - what strangers may hold of the process that answers HTTP.
 *
 * libevent's server bounds one request, not how many there are: everybody who may connect could keep
 * connections, and bodies of LIMIT_HTTP_BODY_BYTES, before anybody asks for a token. With the guard
 *  - no connection is accepted while descriptors up to LIMIT_HTTP_DESCRIPTORS are in use;
 *  - past LIMIT_HTTP_HELD_BYTES of unfinished requests together, who sends more is hung up on;
 *  - so is who takes longer than LIMIT_HTTP_REQUEST_US for one request, octet by octet.
 * The server tells nobody when a connection ends; a descriptor that is closed, or another socket by
 * now, says it.
 *
 * A process has one portal, and one guard.
 *
 * Errors: -ENOMEM, -EIO.
 */
#pragma once

#include <event2/http.h>

struct event_base;

/* Accepts for `http` on `fd`, which is the server's from then on. */
__attribute__((warn_unused_result)) int portal_guard_start(struct event_base *loop,
							    struct evhttp *http, int fd);
/* Before the server is freed. */
void portal_guard_stop(void);

/* The request is whole: the next octet begins another. */
void portal_guard_whole(struct evhttp_request *req);
/* Connections that were hung up on. */
unsigned long portal_guard_hung_up(void);
