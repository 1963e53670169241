#include "feedback/history.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include <event2/event.h>

#include "base/clock.h"
#include "base/limits.h"
#include "feedback/rates_exchange.h"

#define CHAINS 1024
#define LOOK_US 20000 /* between two looks at who has waited long enough */

/* An analysis that waits. It is told once, and finds its waiter when it comes again. */
struct waiter {
	struct waiter *next; /* of the chain of `arg` */
	struct waiter *newer, *older;
	void (*wake)(void *);
	void *arg;
	int64_t until_us;
	bool told;
	char sender[LIMIT_RATE_KEY_BYTES + 1], ip[IP_TEXT_BYTES + 4];
};

struct history {
	struct rates *rates;
	struct rates_exchange *exchange;
	struct event *look;
	struct waiter *chains[CHAINS], *newest;
	size_t n_waiting;
	uint64_t known, unknown;
};

static struct waiter **chain_of(struct history *h, const void *arg)
{
	return &h->chains[((uintptr_t)arg >> 6) % CHAINS];
}

static struct waiter *find(struct history *h, const void *arg)
{
	struct waiter *w = *chain_of(h, arg);
	while (w && w->arg != arg)
		w = w->next;
	return w;
}

static void forget(struct history *h, struct waiter *w)
{
	struct waiter **at = chain_of(h, w->arg);
	while (*at != w)
		at = &(*at)->next;
	*at = w->next;
	*(w->newer ? &w->newer->older : &h->newest) = w->older;
	if (w->older)
		w->older->newer = w->newer;
	h->n_waiting--;
	free(w);
}

static bool remember(struct history *h, void (*wake)(void *), void *arg, int64_t until_us,
		     const char *sender, const char *ip)
{
	struct waiter *w = calloc(1, sizeof(*w)), **chain = chain_of(h, arg);
	if (!w)
		return false;
	*w = (struct waiter){.wake = wake, .arg = arg, .until_us = until_us, .next = *chain,
			     .older = h->newest};
	strcpy(w->sender, sender);
	strcpy(w->ip, ip);
	if (h->newest)
		h->newest->newer = w;
	*chain = h->newest = w;
	h->n_waiting++;
	return true;
}

/* Both keys; RATES_ASKED while one of them is asked for. */
static enum rates_known know(struct history *h, const char *sender, const char *ip)
{
	enum rates_known a =
		sender[0] ? rates_exchange_know(h->exchange, span_of(sender)) : RATES_KNOWN;
	enum rates_known b = ip[0] ? rates_exchange_know(h->exchange, span_of(ip)) : RATES_KNOWN;
	if (a == RATES_AWAY || b == RATES_AWAY)
		return RATES_AWAY;
	return a == RATES_ASKED || b == RATES_ASKED ? RATES_ASKED : RATES_KNOWN;
}

/* Who is told may judge, end and free his analysis: the list is begun anew after each. */
static void wake_ready(void *arg)
{
	struct history *h = arg;
	int64_t now_us = clock_mono_us();
	for (struct waiter *w = h->newest; w;) {
		if (w->told || (now_us < w->until_us && know(h, w->sender, w->ip) == RATES_ASKED)) {
			w = w->older;
			continue;
		}
		w->told = true;
		w->wake(w->arg);
		w = h->newest;
	}
}

static void on_look(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	wake_ready(arg);
}

static void keys_of(const struct sender *s, const struct txn *t, char *sender, char *ip)
{
	char address[IP_TEXT_BYTES];
	size_t n = 0;
	sender[0] = ip[0] = '\0';
	if (s->key.n) {
		n = (size_t)snprintf(sender, LIMIT_RATE_KEY_BYTES + 1, "Hsender:");
		for (size_t i = 0; i < s->key.n && n < LIMIT_RATE_KEY_BYTES; i++)
			sender[n++] = s->key.p[i] ? ascii_lower(s->key.p[i]) : ' ';
		sender[n] = '\0';
	}
	if (t->peer.family)
		snprintf(ip, IP_TEXT_BYTES + 4, "Hip:%s", ip_text(&t->peer, address));
}

static void set_fact(struct history *h, struct facts *f, enum fact_id id, const char *key,
		     int64_t window_us, int64_t now_us)
{
	if (key[0])
		facts_set_number(f, id, rates_read(h->rates, span_of(key), window_us, now_us));
}

static enum step step(void *arg, const struct sender *s, const struct txn *t, struct facts *f,
		      void (*wake)(void *), void *wake_arg)
{
	struct history *h = arg;
	char sender[LIMIT_RATE_KEY_BYTES + 1], ip[IP_TEXT_BYTES + 4];
	int64_t now_us = clock_mono_us();
	struct waiter *w = find(h, wake_arg);
	keys_of(s, t, sender, ip);
	enum rates_known known = know(h, sender, ip);
	/* counted before the answer: so the question tells Redis, and the tick need not once more */
	if (!w && sender[0])
		rates_count(h->rates, span_of(sender), 1, now_us);
	if (!w && ip[0])
		rates_count(h->rates, span_of(ip), 1, now_us);
	if (known == RATES_ASKED && w && now_us < w->until_us) {
		w->told = false;
		return STEP_WAIT;
	}
	if (known == RATES_ASKED && !w &&
	    remember(h, wake, wake_arg, now_us + LIMIT_RATE_WAIT_US, sender, ip))
		return STEP_WAIT;
	if (w)
		forget(h, w);
	if (known != RATES_KNOWN) {
		h->unknown++;
		return STEP_DONE;
	}
	h->known++;
	set_fact(h, f, F_SENDER_HOUR, sender, 3600 * US_PER_S, now_us);
	set_fact(h, f, F_SENDER_DAY, sender, 86400 * US_PER_S, now_us);
	set_fact(h, f, F_IP_HOUR, ip, 3600 * US_PER_S, now_us);
	return STEP_DONE;
}

int history_create(struct history **h_r, const struct config *config, struct event_base *loop)
{
	static const struct timeval interval = {0, LOOK_US};
	struct history *h = calloc(1, sizeof(*h));
	*h_r = NULL;
	int r = -ENOMEM;
	if (!h)
		return r;
	h->rates = rates_create(LIMIT_HISTORY_KEYS);
	h->look = event_new(loop, -1, EV_PERSIST, on_look, h);
	if (h->rates && h->look && event_add(h->look, &interval) == 0)
		r = rates_exchange_create(&h->exchange, h->rates, config, loop,
					  LIMIT_HISTORY_TICK_US);
	if (r < 0) {
		history_free(h);
		return r;
	}
	rates_exchange_on_news(h->exchange, wake_ready, h);
	*h_r = h;
	return 0;
}

void history_free(struct history *h)
{
	if (!h)
		return;
	rates_exchange_free(h->exchange);
	rates_free(h->rates);
	if (h->look)
		event_free(h->look);
	while (h->newest)
		forget(h, h->newest);
	free(h);
}

void history_attach(struct history *h, struct analyzer_hooks *hooks)
{
	hooks->history = step;
	hooks->history_arg = h;
}

void history_status(struct history *h, struct json *j)
{
	json_int(j, "history_keys", (int64_t)rates_keys(h->rates));
	json_int(j, "history_known", (int64_t)h->known);
	json_int(j, "history_unknown", (int64_t)h->unknown);
	json_int(j, "history_waiting", (int64_t)h->n_waiting);
	rates_exchange_status(h->exchange, j);
}
