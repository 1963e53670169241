/*
 * live - mail from an interface: what comes by on it, as transactions, on an event loop.
 *
 *     live_open()    as root: opens the interface (promiscuous, snaplen 262144, the ring, the filter)
 *     ...            the caller gives up root; nothing below needs it
 *     live_start()   transactions and sessions come by callback from now on
 *     live_status()  for `assay status`, at any time
 *     live_finish()  what is under way is handed out as it is; waits up to 0.4 s for the kernel to
 *                    hand over what is on the wire already
 *     live_close()   after live_finish(), if that was not called
 *
 * The loop is never held up: a call reads at most a few thousand frames and goes on when the loop
 * comes round again. While the loop does something else, frames wait in the ring. What the kernel
 * had to drop because the ring was full is counted, and every transaction that was going on
 * meanwhile is marked with TXN_CAPTURE_LOSS.
 *
 * Ownership: live_open() .. live_close(). A transaction is the receiver's; a session record lives
 *            during the call. Callbacks must not close the live.
 * Errors:    an interface that goes away is told by `broken`, once; everything that was under way
 *            has been handed out then, and there is nothing left to do but live_close().
 */
#pragma once

#include "base/json.h"
#include "capture/capture.h"

struct event_base;
struct live;

struct live_options {
	const char *interface;
	size_t ring_bytes;
	struct capture_options capture; /* `ports` must outlive the live */
};

struct live_events {
	struct smtp_events smtp;
	void (*broken)(void *arg, const char *why);
};

struct live_status {
	struct capture_counters capture;
	struct pcap_counters kernel;
	size_t connections;       /* that are followed now */
	size_t waiting_bytes;     /* of segments behind holes */
};

/* -EPERM or -EACCES without the privilege, -ENODEV without the interface; `error_r` for people. */
__attribute__((warn_unused_result)) int
live_open(struct live **l_r, const struct live_options *options, const char **error_r);
/* The loop must outlive the live. Negative errno. */
__attribute__((warn_unused_result)) int live_start(struct live *l, struct event_base *loop,
						   const struct live_events *events, void *arg);
void live_status(struct live *l, struct live_status *status_r);
/* The same as keys of an object that is open. */
void live_write_status(struct live *l, struct json *j);
void live_finish(struct live *l);
void live_close(struct live *l); /* accepts NULL */
