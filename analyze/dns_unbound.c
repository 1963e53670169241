#include "analyze/dns_unbound.h"

#include <errno.h>
#include <stdlib.h>
#include <event2/event.h>
#include <unbound.h>
#include <unbound-event.h>

#include "base/log.h"

struct resolver {
	struct ub_ctx *ctx;
};

struct question {
	resolver_answer_fn *answer;
	void *arg;
};

int resolver_create(struct resolver **r_r, struct event_base *loop, const struct config *config)
{
	static const char *const options[][2] = {
		{"do-not-query-localhost:", "no"}, /* a resolver beside the gateway is the rule */
		{"outgoing-range:", "4096"},       /* measured: 500 in flight cost nothing */
		{"num-queries-per-thread:", "20480"}, /* LIMIT_DNS_FLYING */
		{"msg-cache-size:", "4m"}, /* ours stands in front of these */
		{"rrset-cache-size:", "8m"},
		/* a resolver that was silent is asked again at once when it is back; by default
		 * libunbound would leave it alone for up to 15 minutes */
		{"infra-host-ttl:", "10"},
		{"infra-keep-probing:", "yes"},
		{"unblock-lan-zones:", "yes"}, /* reverse zones of private networks are served */
		{"insecure-lan-zones:", "yes"},
		{"module-config:", "iterator"}, /* no trust anchor is configured: no validation */
		{"edns-buffer-size:", "1232"},
	};
	struct resolver *r = calloc(1, sizeof(*r));
	if (!r)
		return -ENOMEM;
	r->ctx = ub_ctx_create_event(loop);
	if (!r->ctx) {
		free(r);
		return -ENOMEM;
	}
	int error = 0;
	for (size_t i = 0; i < sizeof(options) / sizeof(options[0]) && !error; i++)
		error = ub_ctx_set_option(r->ctx, options[i][0], options[i][1]);
	for (size_t i = 0; i < config->dns.servers.n && !error; i++)
		error = ub_ctx_set_fwd(r->ctx, config->dns.servers.v[i]);
	if (!error && config->dns.source == DNS_RESOLV_CONF) {
		/* without a resolv.conf libunbound asks the root servers itself */
		int missing = ub_ctx_resolvconf(r->ctx, NULL);
		if (missing)
			log_warn("dns.resolvconf", "why=%s", ub_strerror(missing));
	}
	/* names that libunbound answers itself by default, and test networks serve */
	static const char *const own[] = {"test.", "invalid."};
	for (size_t i = 0; i < 2 && !error; i++)
		ub_ctx_zone_remove(r->ctx, own[i]);
	if (error) {
		log_error("dns.setup", "why=%s", ub_strerror(error));
		resolver_free(r);
		return -EINVAL;
	}
	*r_r = r;
	return 0;
}

void resolver_free(struct resolver *r)
{
	if (!r)
		return;
	ub_ctx_delete(r->ctx);
	free(r);
}

static void on_answer(void *arg, int rcode, void *packet, int packet_n, int sec, char *why_bogus,
		      int was_ratelimited)
{
	struct question q = *(struct question *)arg;
	free(arg);
	(void)why_bogus;
	(void)was_ratelimited;
	/* With any other code `packet` is what happened to lie in libunbound's buffer last, perhaps
	 * another question's answer without an error: it must not be read. */
	bool usable = (rcode == 0 || rcode == 3) && packet && packet_n > 0;
	if (sec == 1)
		q.answer(q.arg, SPAN_NONE, "bogus");
	else if (!usable)
		q.answer(q.arg, SPAN_NONE,
			 rcode == 2 ? "servfail" : rcode == 5 ? "refused" : "no answer");
	else
		q.answer(q.arg, (struct span){packet, (size_t)packet_n}, NULL);
}

int resolver_ask(struct resolver *r, const char *name, int type, resolver_answer_fn *answer,
		 void *arg)
{
	struct question *q = malloc(sizeof(*q));
	if (!q)
		return -ENOMEM;
	*q = (struct question){answer, arg};
	int id;
	int error = ub_resolve_event(r->ctx, name, type, 1, q, on_answer, &id);
	if (error) {
		free(q);
		return -EIO;
	}
	return 0;
}
