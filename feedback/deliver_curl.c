/*
 * The only file that knows libcurl: its multi interface on the loop of the process, as in
 * libcurl-multi(3) "multi_socket". One connection a report: reports are few beside the mail that
 * they are about, and the next hop is the provider's own MTA.
 *
 * A webhook is an address that somebody has filed: it is asked by HTTPS alone, no redirection is
 * followed, and addresses of our own network are no place for it (server-side request forgery),
 * unless the postmaster names where connections go (webhook via).
 *
 * libcurl stuffs dots and says HELO with the path of the URL. It cannot say BODY=8BITMIME; the
 * MTAs that a provider runs as his next hop (Postfix, Exim, Sendmail) go by the octets.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <curl/curl.h>
#include <event2/event.h>

#include "base/clock.h"
#include "base/limits.h"
#include "feedback/deliver.h"
#include "feedback/filing.h"

/* The connection alone; the rest of LIMIT_DELIVERY_US is for the dialogue. */
#define CONNECT_SECONDS 30L
/* RFC 5321 section 4.5.3.2 lets a server take minutes; the next hop is a neighbour. */
#define RESPONSE_SECONDS 60L

struct transfer {
	struct carrier *client;
	struct transfer *next, **link;
	CURL *curl;
	struct curl_slist *list; /* recipients, or headers */
	struct curl_slist *connect_to;
	bool http;
	struct span rest;
	bool begun; /* the server has asked for the message */
	int fd;	    /* -1: none that libcurl waits for */
	struct buf heard; /* the last line that the server said */
	char hop[300];
	carrier_done_fn *done;
	void *arg;
};

struct carrier {
	CURLM *multi;
	struct event_base *loop;
	struct event *timer;
	struct transfer *transfers;
};

static size_t give(char *out, size_t size, size_t n, void *arg)
{
	struct transfer *t = arg;
	size_t bytes = size * n < t->rest.n ? size * n : t->rest.n;
	t->begun = true;
	memcpy(out, t->rest.p, bytes);
	t->rest = span_sub(t->rest, bytes, t->rest.n);
	return bytes;
}

/* Keeps the last line that the server said: curl gives replies as headers. */
static size_t hear(char *line, size_t size, size_t n, void *arg)
{
	struct transfer *t = arg;
	struct span text = span_trim((struct span){line, size * n});
	if (text.n && ascii_is_digit(text.p[0])) {
		buf_reset(&t->heard);
		buf_add(&t->heard, span_sub(text, 0, 300));
	}
	return size * n;
}

static void transfer_free(struct transfer *t)
{
	if (t->link) {
		*t->link = t->next;
		if (t->next)
			t->next->link = t->link;
		curl_multi_remove_handle(t->client->multi, t->curl);
	}
	curl_easy_cleanup(t->curl);
	curl_slist_free_all(t->list);
	curl_slist_free_all(t->connect_to);
	buf_free(&t->heard);
	free(t);
}

/* Ends what is under way. libcurl takes a removed upload for a finished one: it would say the dot
 * behind whatever has been sent, and block until that is answered. */
static void cut_off(struct transfer *t)
{
	if (t->fd >= 0)
		shutdown(t->fd, SHUT_RDWR);
	transfer_free(t);
}

/* --- the end of a delivery ---------------------------------------------------------- */

static enum delivery smtp_result(CURLcode rc, long code)
{
	if (rc == CURLE_OK)
		return DELIVERY_SENT;
	if (code == 0) /* not even a greeting */
		return DELIVERY_AWAY;
	/* RFC 5321 section 4.2.1: only a 5yz reply is for good */
	return code >= 500 && code <= 599 && rc != CURLE_OPERATION_TIMEDOUT ? DELIVERY_FAILED
									     : DELIVERY_LATER;
}

/* RFC 9110 section 15.5.11: gone is for good. All else may be a mistake that somebody mends. */
static enum delivery http_result(CURLcode rc, long code)
{
	if (rc != CURLE_OK)
		return DELIVERY_LATER;
	return code >= 200 && code <= 299 ? DELIVERY_SENT
	       : code == 410		  ? DELIVERY_FAILED
					  : DELIVERY_LATER;
}

/* RFC 9110 section 10.2.3: seconds or a date, which libcurl makes into seconds from now. */
static int64_t retry_after_us(const struct transfer *t, enum delivery result)
{
	curl_off_t seconds = 0;
	if (!t->http || result != DELIVERY_LATER)
		return 0;
	curl_easy_getinfo(t->curl, CURLINFO_RETRY_AFTER, &seconds);
	if (seconds <= 0)
		return 0;
	return seconds < LIMIT_RETRY_AFTER_US / US_PER_S ? seconds * US_PER_S
							  : LIMIT_RETRY_AFTER_US;
}

static void finish(struct transfer *t, CURLcode rc)
{
	long code = 0;
	struct buf reply = BUF_INIT;
	curl_easy_getinfo(t->curl, CURLINFO_RESPONSE_CODE, &code);
	if (t->http && rc == CURLE_OK)
		buf_addf(&reply, "HTTP %ld", code);
	else if (t->heard.n && rc != CURLE_OPERATION_TIMEDOUT)
		buf_add(&reply, buf_span(&t->heard));
	else
		buf_addf(&reply, "%s: %s", t->hop, curl_easy_strerror(rc));
	enum delivery result = t->http ? http_result(rc, code) : smtp_result(rc, code);
	int64_t asked_us = retry_after_us(t, result);
	carrier_done_fn *done = t->done;
	void *arg = t->arg;
	transfer_free(t);
	done(arg, result, buf_span(&reply), asked_us);
	buf_free(&reply);
}

static void reap(struct carrier *c)
{
	CURLMsg *message;
	int left;
	while ((message = curl_multi_info_read(c->multi, &left))) {
		struct transfer *t = NULL;
		CURLcode rc = message->data.result;
		if (message->msg != CURLMSG_DONE)
			continue;
		curl_easy_getinfo(message->easy_handle, CURLINFO_PRIVATE, (char **)&t);
		finish(t, rc);
	}
}

/* --- the loop ------------------------------------------------------------------------ */

static void on_socket(evutil_socket_t fd, short what, void *arg)
{
	struct carrier *c = arg;
	int running, action = (what & EV_READ ? CURL_CSELECT_IN : 0) |
			      (what & EV_WRITE ? CURL_CSELECT_OUT : 0);
	curl_multi_socket_action(c->multi, fd, action, &running);
	reap(c);
}

static void on_timer(evutil_socket_t fd, short what, void *arg)
{
	struct carrier *c = arg;
	int running;
	(void)fd;
	(void)what;
	curl_multi_socket_action(c->multi, CURL_SOCKET_TIMEOUT, 0, &running);
	reap(c);
}

static int want_socket(CURL *curl, curl_socket_t fd, int what, void *arg, void *socket_arg)
{
	struct carrier *c = arg;
	struct event *event = socket_arg;
	struct transfer *t = NULL;
	curl_easy_getinfo(curl, CURLINFO_PRIVATE, (char **)&t);
	if (t)
		t->fd = what == CURL_POLL_REMOVE ? -1 : fd;
	if (event)
		event_free(event);
	event = NULL;
	if (what != CURL_POLL_REMOVE) {
		short flags = EV_PERSIST;
		if (what & CURL_POLL_IN)
			flags |= EV_READ;
		if (what & CURL_POLL_OUT)
			flags |= EV_WRITE;
		event = event_new(c->loop, fd, flags, on_socket, c);
		if (!event || event_add(event, NULL) < 0)
			return -1;
	}
	curl_multi_assign(c->multi, fd, event);
	return 0;
}

static int want_timer(CURLM *multi, long ms, void *arg)
{
	struct carrier *c = arg;
	struct timeval after = {ms / 1000, ms % 1000 * 1000};
	(void)multi;
	return ms < 0 ? event_del(c->timer) : event_add(c->timer, &after);
}

int carrier_create(struct carrier **c_r, struct event_base *loop)
{
	struct carrier *c = calloc(1, sizeof(*c));
	*c_r = c;
	if (!c)
		return -ENOMEM;
	c->loop = loop;
	c->multi = curl_multi_init();
	c->timer = evtimer_new(loop, on_timer, c);
	if (!c->multi || !c->timer) {
		carrier_free(c);
		*c_r = NULL;
		return -ENOMEM;
	}
	curl_multi_setopt(c->multi, CURLMOPT_SOCKETFUNCTION, want_socket);
	curl_multi_setopt(c->multi, CURLMOPT_SOCKETDATA, c);
	curl_multi_setopt(c->multi, CURLMOPT_TIMERFUNCTION, want_timer);
	curl_multi_setopt(c->multi, CURLMOPT_TIMERDATA, c);
	return 0;
}

void carrier_free(struct carrier *c)
{
	if (!c)
		return;
	while (c->transfers)
		cut_off(c->transfers);
	if (c->multi)
		curl_multi_cleanup(c->multi);
	if (c->timer)
		event_free(c->timer);
	free(c);
}

void carrier_recall(struct carrier *c)
{
	for (struct transfer *t = c->transfers, *next; t; t = next) {
		next = t->next;
		if (t->begun || t->http)
			continue;
		carrier_done_fn *done = t->done;
		void *arg = t->arg;
		cut_off(t);
		done(arg, DELIVERY_AWAY, SPAN("recalled at the end of the process"), 0);
	}
}

static void prepare(struct transfer *t, struct span hop)
{
	snprintf(t->hop, sizeof(t->hop), "%.*s", SPAN_ARG(hop));
	curl_easy_setopt(t->curl, CURLOPT_PROXY, ""); /* the environment has no say in this */
	curl_easy_setopt(t->curl, CURLOPT_NOSIGNAL, 1L);
	curl_easy_setopt(t->curl, CURLOPT_FORBID_REUSE, 1L);
	curl_easy_setopt(t->curl, CURLOPT_PRIVATE, t);
}

static bool prepare_mail(struct transfer *t, const struct config *config,
			 const struct queue_item *item)
{
	char url[600], from[600], to[600];
	snprintf(to, sizeof(to), "%.*s", SPAN_ARG(item->to));
	t->list = curl_slist_append(NULL, to);
	if (!t->list)
		return false;
	snprintf(url, sizeof(url), "smtp://%s/%s", config->report.to, config->host);
	snprintf(from, sizeof(from), "%.*s", SPAN_ARG(item->envelope));
	prepare(t, span_of(config->report.to));
	curl_easy_setopt(t->curl, CURLOPT_URL, url);
	curl_easy_setopt(t->curl, CURLOPT_PROTOCOLS_STR, "smtp");
	curl_easy_setopt(t->curl, CURLOPT_MAIL_FROM, from);
	curl_easy_setopt(t->curl, CURLOPT_MAIL_RCPT, t->list);
	curl_easy_setopt(t->curl, CURLOPT_UPLOAD, 1L);
	curl_easy_setopt(t->curl, CURLOPT_READFUNCTION, give);
	curl_easy_setopt(t->curl, CURLOPT_READDATA, t);
	curl_easy_setopt(t->curl, CURLOPT_HEADERFUNCTION, hear);
	curl_easy_setopt(t->curl, CURLOPT_HEADERDATA, t);
	curl_easy_setopt(t->curl, CURLOPT_CONNECTTIMEOUT, CONNECT_SECONDS);
	curl_easy_setopt(t->curl, CURLOPT_SERVER_RESPONSE_TIMEOUT, RESPONSE_SECONDS);
	curl_easy_setopt(t->curl, CURLOPT_TIMEOUT_MS, (long)(LIMIT_DELIVERY_US / 1000 - 5000));
	return true;
}

/* What a webhook answers is its code; the words are nobody's. */
static size_t pass_over(char *octets, size_t size, size_t n, void *arg)
{
	(void)octets;
	(void)arg;
	return size * n;
}

static bool is_public(const struct sockaddr *a)
{
	struct sockaddr_in v4;
	struct sockaddr_in6 v6;
	struct ip ip = {0};
	if (a->sa_family == AF_INET) {
		memcpy(&v4, a, sizeof(v4));
		ip = ip_from_v4(&v4.sin_addr);
	} else if (a->sa_family == AF_INET6) {
		memcpy(&v6, a, sizeof(v6));
		ip = ip_from_v6(&v6.sin6_addr);
	}
	return ip.family && ip_is_public(&ip);
}

static curl_socket_t open_public(void *arg, curlsocktype purpose, struct curl_sockaddr *a)
{
	(void)arg;
	(void)purpose;
	if (!is_public(&a->addr))
		return CURL_SOCKET_BAD;
	return socket(a->family, a->socktype | SOCK_CLOEXEC, a->protocol);
}

static bool prepare_post(struct transfer *t, const struct config *config,
			 const struct queue_item *item, const char *const *headers)
{
	char url[LIMIT_WEBHOOK_URL_BYTES + 1], via[300];
	for (; *headers; headers++) {
		struct curl_slist *longer = curl_slist_append(t->list, *headers);
		if (!longer)
			return false;
		t->list = longer;
	}
	snprintf(url, sizeof(url), "%.*s", SPAN_ARG(item->to));
	prepare(t, filing_url_host(item->to));
	curl_easy_setopt(t->curl, CURLOPT_URL, url);
	curl_easy_setopt(t->curl, CURLOPT_PROTOCOLS_STR, "https");
	curl_easy_setopt(t->curl, CURLOPT_POST, 1L);
	curl_easy_setopt(t->curl, CURLOPT_POSTFIELDS, item->message.p);
	curl_easy_setopt(t->curl, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)item->message.n);
	curl_easy_setopt(t->curl, CURLOPT_HTTPHEADER, t->list);
	curl_easy_setopt(t->curl, CURLOPT_USERAGENT, "Assay/" ASSAY_VERSION);
	curl_easy_setopt(t->curl, CURLOPT_FOLLOWLOCATION, 0L);
	curl_easy_setopt(t->curl, CURLOPT_WRITEFUNCTION, pass_over);
	curl_easy_setopt(t->curl, CURLOPT_TIMEOUT, (long)LIMIT_WEBHOOK_S);
	if (config->webhook.ca)
		curl_easy_setopt(t->curl, CURLOPT_CAINFO, config->webhook.ca);
	if (!config->webhook.via) {
		curl_easy_setopt(t->curl, CURLOPT_OPENSOCKETFUNCTION, open_public);
		return true;
	}
	snprintf(via, sizeof(via), "::%s", config->webhook.via);
	t->connect_to = curl_slist_append(NULL, via);
	curl_easy_setopt(t->curl, CURLOPT_CONNECT_TO, t->connect_to);
	return t->connect_to != NULL;
}

static struct transfer *transfer_create(struct carrier *c, carrier_done_fn *done, void *arg)
{
	struct transfer *t = calloc(1, sizeof(*t));
	if (!t)
		return NULL;
	*t = (struct transfer){.client = c, .fd = -1, .done = done, .arg = arg};
	t->curl = curl_easy_init();
	if (t->curl)
		return t;
	free(t);
	return NULL;
}

static int begin(struct transfer *t, bool prepared)
{
	struct carrier *c = t->client;
	if (!prepared || curl_multi_add_handle(c->multi, t->curl) != CURLM_OK) {
		transfer_free(t);
		return -ENOMEM;
	}
	t->next = c->transfers;
	t->link = &c->transfers;
	if (t->next)
		t->next->link = &t->next;
	c->transfers = t;
	return 0;
}

int carrier_mail(struct carrier *c, const struct config *config, const struct queue_item *item,
		 struct span message, carrier_done_fn *done, void *arg)
{
	struct transfer *t = transfer_create(c, done, arg);
	if (!t)
		return -ENOMEM;
	t->rest = message;
	return begin(t, prepare_mail(t, config, item));
}

int carrier_post(struct carrier *c, const struct config *config, const struct queue_item *item,
		 const char *const *headers, carrier_done_fn *done, void *arg)
{
	struct transfer *t = transfer_create(c, done, arg);
	if (!t)
		return -ENOMEM;
	t->http = true;
	return begin(t, prepare_post(t, config, item, headers));
}
