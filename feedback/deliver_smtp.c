/*
 * The only file that knows libcurl. One connection a report: reports are few beside the mail that
 * they are about, and the next hop is the provider's own MTA.
 *
 * libcurl stuffs dots and says HELO with the path of the URL. It cannot say BODY=8BITMIME; the
 * MTAs that a provider runs as his next hop (Postfix, Exim, Sendmail) go by the octets.
 */
#include <stdio.h>
#include <curl/curl.h>

#include "base/limits.h"
#include "feedback/deliver.h"

/* The connection alone; the rest of LIMIT_DELIVERY_US is for the dialogue. */
#define CONNECT_SECONDS 30L

static size_t give(char *out, size_t size, size_t n, void *arg)
{
	struct span *rest = arg;
	size_t bytes = size * n < rest->n ? size * n : rest->n;
	memcpy(out, rest->p, bytes);
	*rest = span_sub(*rest, bytes, rest->n);
	return bytes;
}

/* Keeps the last line that the server said: curl gives replies as headers. */
static size_t hear(char *line, size_t size, size_t n, void *arg)
{
	struct buf *last = arg;
	struct span text = span_trim((struct span){line, size * n});
	if (text.n && ascii_is_digit(text.p[0])) {
		buf_reset(last);
		buf_add(last, span_sub(text, 0, 300));
	}
	return size * n;
}

static CURL *prepare(const struct config *config, const struct queue_item *item,
		     struct curl_slist *rcpt, struct span *rest, struct buf *heard)
{
	char url[600], from[600];
	CURL *curl = curl_easy_init();
	if (!curl)
		return NULL;
	snprintf(url, sizeof(url), "smtp://%s/%s", config->report.to, config->host);
	snprintf(from, sizeof(from), "%.*s", SPAN_ARG(item->envelope));
	curl_easy_setopt(curl, CURLOPT_URL, url);
	curl_easy_setopt(curl, CURLOPT_PROTOCOLS_STR, "smtp");
	curl_easy_setopt(curl, CURLOPT_PROXY, ""); /* the environment has no say in this */
	curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
	curl_easy_setopt(curl, CURLOPT_MAIL_FROM, from);
	curl_easy_setopt(curl, CURLOPT_MAIL_RCPT, rcpt);
	curl_easy_setopt(curl, CURLOPT_UPLOAD, 1L);
	curl_easy_setopt(curl, CURLOPT_READFUNCTION, give);
	curl_easy_setopt(curl, CURLOPT_READDATA, rest);
	curl_easy_setopt(curl, CURLOPT_HEADERFUNCTION, hear);
	curl_easy_setopt(curl, CURLOPT_HEADERDATA, heard);
	curl_easy_setopt(curl, CURLOPT_CONNECTTIMEOUT, CONNECT_SECONDS);
	curl_easy_setopt(curl, CURLOPT_SERVER_RESPONSE_TIMEOUT, 60L);
	curl_easy_setopt(curl, CURLOPT_TIMEOUT_MS, (long)(LIMIT_DELIVERY_US / 1000 - 5000));
	return curl;
}

enum delivery deliver_smtp(const struct config *config, const struct queue_item *item,
			   struct span message, struct buf *reply, bool *away_r)
{
	char to[600];
	long code = 0;
	struct buf heard = BUF_INIT;
	*away_r = false;
	snprintf(to, sizeof(to), "%.*s", SPAN_ARG(item->to));
	struct curl_slist *rcpt = curl_slist_append(NULL, to);
	CURL *curl = rcpt ? prepare(config, item, rcpt, &message, &heard) : NULL;
	if (!curl) {
		curl_slist_free_all(rcpt);
		buf_adds(reply, "out of memory");
		return DELIVERY_LATER;
	}
	CURLcode rc = curl_easy_perform(curl);
	curl_easy_getinfo(curl, CURLINFO_RESPONSE_CODE, &code);
	if (heard.n && rc != CURLE_OPERATION_TIMEDOUT)
		buf_add(reply, buf_span(&heard));
	else
		buf_addf(reply, "%s: %s", config->report.to, curl_easy_strerror(rc));
	*away_r = rc == CURLE_COULDNT_CONNECT || rc == CURLE_COULDNT_RESOLVE_HOST ||
		  (rc == CURLE_OPERATION_TIMEDOUT && code == 0);
	curl_easy_cleanup(curl);
	curl_slist_free_all(rcpt);
	buf_free(&heard);
	if (rc == CURLE_OK)
		return DELIVERY_SENT;
	/* RFC 5321 section 4.2.1: only a 5yz reply is for good; a broken dialogue is not. */
	return code >= 500 && code <= 599 ? DELIVERY_FAILED : DELIVERY_LATER;
}
