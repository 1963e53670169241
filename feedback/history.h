/*
 * history - how much a sender and an address sent lately, as facts for the rules.
 *
 * A worker counts what it judges under sender:KEY and ip:ADDR and shares these windows with all
 * other workers of all gateways (rates_exchange.h): sender.hour, sender.day and ip.hour say what
 * all of them have judged, this transaction included. A key that is seen for the first time is
 * asked for, and the analysis waits for the answer up to LIMIT_RATE_WAIT_US; without one the facts
 * stay UNKNOWN.
 *
 * Ownership: history_create() .. history_free(), behind the last analysis.
 * Threads:   on the loop.
 * Sandbox:   history_create() opens what it needs; later only socket(2) and connect(2).
 */
#pragma once

#include "analyze/analyze.h"
#include "base/json.h"

struct history;

__attribute__((warn_unused_result)) int history_create(struct history **h_r,
						       const struct config *config,
						       struct event_base *loop);
void history_free(struct history *h); /* accepts NULL */
void history_attach(struct history *h, struct analyzer_hooks *hooks);
void history_status(struct history *h, struct json *j);
