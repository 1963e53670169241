#include "feedback/postings.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/digest.h"
#include "base/ip.h"
#include "base/json_in.h"
#include "base/limits.h"

/* Where and when the counts of one event go. */
struct place {
	struct postings *p;
	const struct eventlog_position *at, *marks;
	int64_t time_us;
	unsigned bucket;
	struct buf tuple; /* see books.lua */
};

void postings_init(struct postings *p, const struct identity *identity)
{
	memset(p, 0, sizeof(*p));
	p->identity = identity;
}

void postings_reset(struct postings *p)
{
	for (size_t i = 0; i < BOOKS_BUCKETS; i++) {
		buf_reset(&p->buckets[i].bytes);
		p->buckets[i].n = 0;
	}
	p->arguments = 0;
	p->full = false;
}

void postings_free(struct postings *p)
{
	for (size_t i = 0; i < BOOKS_BUCKETS; i++) {
		buf_free(&p->buckets[i].bytes);
		free(p->buckets[i].lengths);
	}
	buf_free(&p->line);
}

static void argument(struct postings *p, unsigned bucket, struct span s)
{
	struct posting_list *list = &p->buckets[bucket];
	if (list->n == list->cap) {
		size_t cap = list->cap ? list->cap * 2 : 256;
		size_t *more = realloc(list->lengths, cap * sizeof(*more));
		if (!more) {
			p->failed = true;
			return;
		}
		list->lengths = more;
		list->cap = cap;
	}
	list->lengths[list->n++] = s.n;
	buf_add(&list->bytes, s);
	p->failed = p->failed || list->bytes.failed;
	p->arguments++;
	p->full = p->full || list->n >= LIMIT_CALL_ARGUMENTS || list->bytes.n >= LIMIT_CALL_OCTETS;
}

/* One operation: `n` spans. A bucket that has this event already takes none. */
static void operation(const struct place *place, unsigned bucket, const struct span *words,
		      size_t n)
{
	if (eventlog_position_cmp(place->at, &place->marks[bucket]) < 0)
		return;
	for (size_t i = 0; i < n; i++)
		argument(place->p, bucket, words[i]);
}

/* Cut here, where the log is read: what is there already is cut, too, when it is applied again. */
static void add_word(struct buf *b, struct span s)
{
	s = books_name(s);
	buf_addc(b, '\n');
	for (size_t i = 0; i < s.n; i++)
		buf_addc(b, s.p[i] == '\n' ? ' ' : s.p[i]);
}

static void make_tuple(struct place *place, struct span sender, struct span ip, struct span list,
		       struct span kind, struct span campaign)
{
	int64_t hour = place->time_us / US_PER_S / 3600;
	buf_reset(&place->tuple);
	buf_addf(&place->tuple, "%lld", (long long)hour);
	add_word(&place->tuple, sender);
	add_word(&place->tuple, ip);
	add_word(&place->tuple, list);
	add_word(&place->tuple, kind);
	add_word(&place->tuple, campaign);
}

/* --- transactions ------------------------------------------------------------------ */

enum unit { UNIT_NONE, UNIT_ACCEPTED, UNIT_HARD, UNIT_OPEN, UNITS };

static enum unit unit_of_code(int64_t code)
{
	if (code >= 200 && code < 300)
		return UNIT_ACCEPTED;
	if (code >= 400 && code < 500)
		return UNIT_OPEN;
	return code >= 500 && code < 600 ? UNIT_HARD : UNIT_NONE;
}

static enum unit unit_of(const struct json_value *event, const struct json_value *rcpt)
{
	int64_t code;
	bool answered = json_in_int(json_in_get(rcpt, "code"), &code);
	enum unit unit = answered ? unit_of_code(code) : UNIT_ACCEPTED;
	if (unit != UNIT_ACCEPTED)
		return unit;
	if (json_in_int(json_in_get(json_in_get(event, "reply"), "code"), &code) &&
	    unit_of_code(code) != UNIT_NONE)
		return unit_of_code(code);
	return json_in_true(json_in_get(event, "complete")) ? UNIT_ACCEPTED : UNIT_NONE;
}

/* What the attempts of one message have in common; domains are compared in lower case and local
 * parts as they are, and a retry repeats both exactly. */
struct envelope {
	struct span mail_from, message_id;
	char net[IP_TEXT_BYTES + 4]; /* "" where the peer is unknown */
};

static struct envelope envelope_of(const struct json_value *event)
{
	struct envelope e = {.mail_from = json_in_text(json_in_get(event, "mail_from")),
			     .message_id = json_in_text(json_in_get(event, "message_id"))};
	struct ip peer;
	if (ip_parse(json_in_text(json_in_get(event, "peer")), &peer)) {
		struct ip_prefix net = ip_prefix_of(&peer, peer.family == 4 ? 24 : 64);
		ip_text(&net.ip, e.net);
	}
	return e;
}

static unsigned bucket_of(const struct envelope *e, struct span sender)
{
	size_t at = span_rfind_char(e->mail_from, '@');
	if (at < e->mail_from.n)
		return books_bucket(span_sub(e->mail_from, at + 1, e->mail_from.n));
	return books_bucket(e->net[0] ? span_of(e->net) : sender);
}

static void add_unit(const struct place *place, const struct envelope *e, enum unit unit,
		     struct span to)
{
	static const char *const states[UNITS] = {
		[UNIT_ACCEPTED] = "a", [UNIT_HARD] = "h", [UNIT_OPEN] = "p"};
	char k1[IDENTITY_HASH_BYTES] = "", k2[IDENTITY_HASH_BYTES], rcpt[IDENTITY_HASH_BYTES];
	char time[24];
	const struct identity *id = place->p->identity;
	if (e->message_id.n)
		identity_hash(id, "unit", (struct span[]){e->mail_from, to, e->message_id}, 3, k1);
	identity_hash(id, "unit-net", (struct span[]){e->mail_from, to, span_of(e->net)}, 3, k2);
	snprintf(time, sizeof(time), "%lld", (long long)(place->time_us / US_PER_S));
	struct span words[] = {SPAN("u"), span_of(states[unit]), span_of(k1), span_of(k2),
			       span_of(time), buf_span(&place->tuple),
			       span_of(books_rcpt_hash(id, to, rcpt))};
	operation(place, place->bucket, words, 7);
}

static void add_receipt(const struct place *place, const struct json_value *event,
			const struct envelope *e)
{
	struct buf value = BUF_INIT;
	char hash[IDENTITY_HASH_BYTES], position[EVENTLOG_POSITION_BYTES];
	const struct identity *id = place->p->identity;
	const struct json_value *sender = json_in_get(event, "sender");
	const struct json_value *rcpts = json_in_get(event, "rcpts");
	if (!e->message_id.n)
		return;
	eventlog_position_text(place->at, position);
	buf_addf(&value, "%s %s %lld", id->gateway, position, (long long)place->time_us);
	add_word(&value, json_in_text(json_in_get(sender, "by")));
	add_word(&value, json_in_text(json_in_get(sender, "key")));
	buf_addc(&value, '\n');
	for (size_t i = 0; i < json_in_count(rcpts) && i < LIMIT_RECEIPT_RCPTS; i++) {
		struct span to = json_in_text(json_in_get(json_in_at(rcpts, i), "to"));
		books_rcpt_hash(id, to, hash);
		buf_addf(&value, "%s%s", i ? " " : "", hash);
	}
	books_message_hash(id, e->message_id, hash);
	struct span words[] = {SPAN("m"), span_of(hash), json_in_text(json_in_get(event, "id")),
			       buf_span(&value)};
	if (!value.failed)
		operation(place, books_bucket(span_of(hash)), words, 4);
	place->p->failed = place->p->failed || value.failed;
	buf_free(&value);
}

static void add_counts(const struct place *place, const uint64_t counts[UNITS])
{
	static const char *const fields[UNITS] = {NULL, "accepted", "hard", "open"};
	struct span words[3 + 2 * (UNITS + 1)] = {SPAN("n"), buf_span(&place->tuple)};
	char numbers[UNITS][24], pairs[24];
	size_t n = 3;
	words[n++] = SPAN("transactions");
	words[n++] = SPAN("1");
	uint64_t sent = counts[UNIT_ACCEPTED] + counts[UNIT_HARD] + counts[UNIT_OPEN];
	for (int unit = 0; unit < UNITS; unit++) {
		uint64_t count = unit == UNIT_NONE ? sent : counts[unit];
		if (count == 0)
			continue;
		snprintf(numbers[unit], sizeof(numbers[unit]), "%llu", (unsigned long long)count);
		words[n++] = unit == UNIT_NONE ? SPAN("sent") : span_of(fields[unit]);
		words[n++] = span_of(numbers[unit]);
	}
	snprintf(pairs, sizeof(pairs), "%zu", (n - 3) / 2);
	words[2] = span_of(pairs);
	operation(place, place->bucket, words, n);
}

/* One transaction in the sliding windows of its sender and address. */
static void add_window(const struct place *place, struct span sender, struct span ip)
{
	char minute[24];
	snprintf(minute, sizeof(minute), "%lld", (long long)(place->time_us / US_PER_S / 60));
	struct span words[] = {SPAN("w"), books_name(sender), books_name(ip), span_of(minute)};
	operation(place, place->bucket, words, 4);
}

static void add_txn(struct place *place, const struct json_value *event)
{
	const struct json_value *sender = json_in_get(event, "sender");
	const struct json_value *rcpts = json_in_get(event, "rcpts");
	struct span key = json_in_text(json_in_get(sender, "key"));
	struct span source = json_in_text(json_in_get(event, "source"));
	struct envelope e = envelope_of(event);
	uint64_t counts[UNITS] = {0};
	/* What lies in a spool was accepted and has no attempts, but where an envelope beside it
	 * says what was answered. */
	bool spool = span_eq(source, SPAN("eml")) || span_eq(source, SPAN("mbox")) ||
		     span_eq(source, SPAN("maildir"));
	place->bucket = bucket_of(&e, key);
	make_tuple(place, key, json_in_text(json_in_get(event, "peer")),
		   json_in_text(json_in_get(event, "list")),
		   json_in_text(json_in_get(json_in_get(event, "class"), "kind")),
		   json_in_text(json_in_get(event, "campaign")));
	for (size_t i = 0; i < json_in_count(rcpts); i++) {
		const struct json_value *rcpt = json_in_at(rcpts, i);
		enum unit unit = unit_of(event, rcpt);
		counts[unit]++;
		int64_t code;
		bool attempt = !spool || json_in_int(json_in_get(rcpt, "code"), &code);
		if (unit != UNIT_NONE && attempt && i < LIMIT_EVENT_UNITS)
			add_unit(place, &e, unit, json_in_text(json_in_get(rcpt, "to")));
	}
	add_counts(place, counts);
	add_window(place, key, json_in_text(json_in_get(event, "peer")));
	add_receipt(place, event, &e);
}

/* --- complaints and reports ---------------------------------------------------------- */

/* Sets of a bucket and half month: up to 512 numbers each (set-max-intset-entries) are kept in eight
 * octets, which are 8 million of all senders and 130,000 of one; more take 60. */
#define ONCE_SHARDS 256

static void add_once(struct place *place, const struct json_value *event, struct span id,
		     const char *field)
{
	struct span sender = json_in_text(json_in_get(event, "sender"));
	uint8_t hash[SHA256_BYTES];
	int64_t number;
	char shard[8], text[24];
	sha256(id, hash);
	memcpy(&number, hash, sizeof(number));
	snprintf(shard, sizeof(shard), "%u", hash[sizeof(number)] % ONCE_SHARDS);
	snprintf(text, sizeof(text), "%lld", (long long)number);
	make_tuple(place, sender, SPAN_NONE, SPAN_NONE, SPAN_NONE, SPAN_NONE);
	struct span words[] = {SPAN("o"), span_of(shard), span_of(text), buf_span(&place->tuple),
			       span_of(field)};
	operation(place, books_bucket(sender), words, 5);
}

/* Each state of a report is an event with an id of its own; its Message-ID stays. */
static struct span report_id(const struct json_value *event)
{
	struct span message_id = json_in_text(json_in_get(event, "message_id"));
	return message_id.n ? message_id : json_in_text(json_in_get(event, "id"));
}

static bool is(const struct json_value *event, const char *key, struct span word)
{
	return span_eq(json_in_text(json_in_get(event, key)), word);
}

/* Two thirds of a transaction's line are its findings, and neither they nor what follows them count
 * here: the part before them is read as an object of its own. In a string a quote is escaped
 * (RFC 8259 section 7), so these octets cannot be inside one. */
static struct json_value *read_event(struct postings *p, struct span line)
{
	static const char findings[] = ",\"findings\":[";
	const char *at = memmem(line.p, line.n, findings, sizeof(findings) - 1);
	if (!at)
		return json_in_parse(line, NULL);
	buf_reset(&p->line);
	buf_add(&p->line, span_sub(line, 0, (size_t)(at - line.p)));
	buf_addc(&p->line, '}');
	struct json_value *event = json_in_parse(buf_span(&p->line), NULL);
	return event ? event : json_in_parse(line, NULL); /* they are some inner object's */
}

bool postings_add(struct postings *p, struct span line, const struct eventlog_position *at,
		  const struct eventlog_position marks[BOOKS_BUCKETS])
{
	struct json_value *event = read_event(p, line);
	if (!event)
		return false;
	struct place place = {.p = p, .at = at, .marks = marks, .tuple = BUF_INIT};
	/* Without a time the epoch: the totals are right even so. */
	if (!clock_parse_rfc3339(json_in_text(json_in_get(event, "time")), &place.time_us))
		place.time_us = 0;
	if (is(event, "event", SPAN("txn")))
		add_txn(&place, event);
	else if (is(event, "event", SPAN("complaint")) && is(event, "kind", SPAN("abuse")) &&
		 is(event, "outcome", SPAN("report")))
		add_once(&place, event, json_in_text(json_in_get(event, "id")), "complaints");
	else if (is(event, "event", SPAN("report")) && !is(event, "kind", SPAN("proof")) &&
		 !is(event, "kind", SPAN("notice")) &&
		 (is(event, "state", SPAN("queued")) || is(event, "state", SPAN("sent"))))
		add_once(&place, event, report_id(event), "reports");
	p->failed = p->failed || place.tuple.failed || p->line.failed;
	buf_free(&place.tuple);
	json_in_free(event);
	return true;
}
