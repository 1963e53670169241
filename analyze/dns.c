/*
 * One cache for the process, one session a transaction. A session keeps what it was told, so a
 * step that runs again sees the same answers whatever happens to the cache; an answer lives as
 * long as a session holds it. Equal questions of several sessions are asked once.
 *
 * Sessions are woken from the event loop, never from inside dns_get(): a step that has just
 * started a look-up cannot be entered again.
 */
#include "analyze/dns.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/random.h>
#include <event2/event.h>

#include "analyze/dns_unbound.h"
#include "analyze/dns_wire.h"
#include "analyze/zone.h"
#include "base/clock.h"
#include "base/limits.h"

#define BUCKETS 65536

/* For one answer while it is read: a packet of 64 kB as LIMIT_DNS_RECORDS records. */
#define SCRATCH_BYTES ((size_t)1 << 20)

struct entry {
	struct entry *next; /* of the bucket */
	struct entry *newer, *older; /* answered ones alone: what is under way cannot go */
	struct dns *dns;
	struct dns_answer answer; /* DNS_WAIT: it is under way */
	void *block;              /* the records, then their names */
	size_t bytes;             /* of everything */
	struct span name;         /* behind the entry */
	int type;
	unsigned held; /* by sessions */
	bool cached;   /* in the table; false: the last session that holds it frees it */
	int64_t expires_us;
	struct dns_session **waiting;
	size_t n_waiting, cap_waiting;
};

struct dns {
	struct event_base *loop;
	struct event *wake_event;
	int64_t deadline_us;
	struct zone *zone;
	struct resolver *resolver;
	struct entry *buckets[BUCKETS];
	struct entry *newest, *oldest;
	uint64_t seed; /* mail chooses the names; it must not choose the buckets */
	struct arena scratch; /* of the answer being read */
	size_t n_entries, bytes, n_flying;
	struct dns_session *ready; /* to be woken */
};

/* A question of one session. */
struct held {
	struct entry *entry;
	bool late; /* not answered at the deadline: it stays so for this session */
};

struct dns_session {
	struct dns *dns;
	dns_wake_fn *wake;
	void *arg;
	struct held *held;
	size_t n_held, cap_held;
	unsigned missing;
	int64_t until_us; /* 0: nothing was waited for yet */
	struct event *timer;
	bool late, is_ready;
	struct dns_session *next_ready;
};

static const struct dns_answer bad_name = {.status = DNS_UNKNOWN, .why = "bad name"};
static const struct dns_answer no_memory = {.status = DNS_UNKNOWN, .why = "memory"};
static const struct dns_answer deadline = {.status = DNS_UNKNOWN, .why = "deadline"};

/* --- cache ---------------------------------------------------------------------- */

/* All types of a name are in one: that there is no such name is true of each (gone()). */
static size_t bucket_of(const struct dns *d, struct span name)
{
	uint64_t h = d->seed;
	for (size_t i = 0; i < name.n; i++) {
		h = (h ^ (unsigned char)ascii_lower(name.p[i])) * 0x9e3779b97f4a7c15u;
		h ^= h >> 29;
	}
	return h % BUCKETS;
}

static void free_entry(struct entry *e)
{
	free(e->waiting);
	free(e->block);
	free(e);
}

static void lru_remove(struct dns *d, struct entry *e)
{
	*(e->newer ? &e->newer->older : &d->newest) = e->older;
	*(e->older ? &e->older->newer : &d->oldest) = e->newer;
}

static void lru_add(struct dns *d, struct entry *e)
{
	e->older = d->newest;
	e->newer = NULL;
	*(d->newest ? &d->newest->newer : &d->oldest) = e;
	d->newest = e;
}

static void uncache(struct dns *d, struct entry *e)
{
	struct entry **at = &d->buckets[bucket_of(d, e->name)];
	while (*at != e)
		at = &(*at)->next;
	*at = e->next;
	if (e->answer.status != DNS_WAIT)
		lru_remove(d, e);
	d->n_entries--;
	d->bytes -= e->bytes;
	e->cached = false;
	if (e->held == 0 && e->answer.status != DNS_WAIT)
		free_entry(e);
}

static struct entry *find_cached(struct dns *d, struct span name, int type)
{
	for (struct entry *e = d->buckets[bucket_of(d, name)]; e; e = e->next) {
		if (e->type != type || !span_case_eq(e->name, name))
			continue;
		if (e->answer.status != DNS_WAIT && e->expires_us < clock_mono_us()) {
			uncache(d, e);
			return NULL;
		}
		if (e->answer.status != DNS_WAIT && d->newest != e) {
			lru_remove(d, e);
			lru_add(d, e);
		}
		return e;
	}
	return NULL;
}

/* RFC 2308 section 5: no such name, whatever type was asked for. Of names below it the same follows
 * (RFC 8020), but servers that get empty nodes wrong are many. */
static const struct entry *gone(const struct dns *d, struct span name)
{
	for (const struct entry *e = d->buckets[bucket_of(d, name)]; e; e = e->next)
		if (e->answer.status == DNS_ABSENT && e->answer.nxdomain &&
		    e->expires_us >= clock_mono_us() && span_case_eq(e->name, name))
			return e;
	return NULL;
}

/* The entry of a question that is about to be asked. */
static struct entry *add_cached(struct dns *d, struct span name, int type)
{
	struct entry *e = calloc(1, sizeof(*e) + name.n + 1);
	if (!e)
		return NULL;
	char *text = (char *)(e + 1);
	for (size_t i = 0; i < name.n; i++)
		text[i] = ascii_lower(name.p[i]);
	e->name = (struct span){text, name.n};
	e->bytes = sizeof(*e) + name.n + 1;
	e->dns = d;
	e->type = type;
	e->cached = true;
	size_t bucket = bucket_of(d, name);
	e->next = d->buckets[bucket];
	d->buckets[bucket] = e;
	d->n_entries++;
	d->bytes += e->bytes;
	return e;
}

/* Copies what lies in the scratch arena into one block of the right size: an entry lives for an
 * hour and there are many. */
static struct dns_answer keep(struct entry *e, struct dns_answer answer)
{
	size_t records = answer.n * sizeof(struct dns_record), bytes = records;
	if (answer.n == 0)
		return answer;
	for (size_t i = 0; i < answer.n; i++)
		bytes += answer.records[i].name.n;
	struct dns_record *block = malloc(bytes);
	if (!block)
		return no_memory;
	char *text = (char *)block + records;
	memcpy(block, answer.records, records);
	for (size_t i = 0; i < answer.n; i++) {
		struct span name = answer.records[i].name;
		if (name.n)
			memcpy(text, name.p, name.n);
		if (name.p)
			block[i].name.p = text;
		text += name.n;
	}
	e->block = block;
	e->bytes += bytes;
	e->dns->bytes += e->cached ? bytes : 0;
	answer.records = block;
	return answer;
}

/* From now on `e` has an answer and may be forgotten. `answer` may lie in the scratch arena. */
static void settle(struct dns *d, struct entry *e, struct dns_answer answer, int64_t expires_us)
{
	e->answer = keep(e, answer);
	e->expires_us = expires_us;
	arena_reset(&d->scratch);
	if (!e->cached)
		return;
	lru_add(d, e);
	while ((d->n_entries > LIMIT_DNS_CACHE || d->bytes > LIMIT_DNS_CACHE_BYTES) &&
	       d->oldest && d->oldest != e)
		uncache(d, d->oldest);
}

/* --- waking ---------------------------------------------------------------------- */

static void make_ready(struct dns_session *s)
{
	if (s->is_ready)
		return;
	s->is_ready = true;
	s->next_ready = s->dns->ready;
	s->dns->ready = s;
	event_active(s->dns->wake_event, EV_TIMEOUT, 0);
}

static void wake_all(evutil_socket_t fd, short what, void *arg)
{
	struct dns *d = arg;
	(void)fd;
	(void)what;
	while (d->ready) {
		struct dns_session *s = d->ready;
		d->ready = s->next_ready;
		s->is_ready = false;
		s->wake(s->arg); /* may release this session, or others */
	}
}

static void on_answer(void *arg, struct span packet, const char *why)
{
	struct entry *e = arg;
	uint32_t ttl = LIMIT_DNS_TTL_MIN_S;
	e->dns->n_flying--;
	struct dns_answer answer = {.status = DNS_UNKNOWN, .why = why};
	if (packet.p)
		answer = dns_wire_read(packet, e->name, e->type, &e->dns->scratch, &ttl);
	settle(e->dns, e, answer, clock_mono_us() + ttl * US_PER_S);
	for (size_t i = 0; i < e->n_waiting; i++) {
		struct dns_session *s = e->waiting[i];
		if (--s->missing == 0 && !s->late)
			make_ready(s);
	}
	e->n_waiting = 0;
	if (!e->cached && e->held == 0)
		free_entry(e);
}

static void stop_waiting(struct dns_session *s, struct entry *e)
{
	for (size_t i = 0; i < e->n_waiting; i++)
		if (e->waiting[i] == s) {
			e->waiting[i] = e->waiting[--e->n_waiting];
			s->missing--;
			return;
		}
}

static void on_deadline(evutil_socket_t fd, short what, void *arg)
{
	struct dns_session *s = arg;
	(void)fd;
	(void)what;
	s->late = true;
	for (size_t i = 0; i < s->n_held; i++)
		if (s->held[i].entry->answer.status == DNS_WAIT) {
			s->held[i].late = true;
			stop_waiting(s, s->held[i].entry);
		}
	make_ready(s);
}

/* --- sessions ---------------------------------------------------------------------- */

struct dns_session *dns_session_create(struct dns *d, dns_wake_fn *wake, void *arg)
{
	struct dns_session *s = calloc(1, sizeof(*s));
	if (!s)
		return NULL;
	*s = (struct dns_session){.dns = d, .wake = wake, .arg = arg};
	return s;
}

void dns_session_release(struct dns_session *s)
{
	if (!s)
		return;
	for (struct dns_session **at = &s->dns->ready; s->is_ready && *at; at = &(*at)->next_ready)
		if (*at == s) {
			*at = s->next_ready;
			break;
		}
	for (size_t i = 0; i < s->n_held; i++) {
		struct entry *e = s->held[i].entry;
		e->held--;
		if (e->answer.status == DNS_WAIT)
			stop_waiting(s, e);
		else if (e->held == 0 && !e->cached)
			free_entry(e);
	}
	if (s->timer)
		event_free(s->timer);
	free(s->held);
	free(s);
}

static bool hold(struct dns_session *s, struct entry *e)
{
	if (s->n_held == s->cap_held) {
		size_t cap = s->cap_held ? s->cap_held * 2 : 16;
		struct held *bigger = realloc(s->held, cap * sizeof(struct held));
		if (!bigger)
			return false;
		s->held = bigger;
		s->cap_held = cap;
	}
	s->held[s->n_held++] = (struct held){e, false};
	e->held++;
	return true;
}

static bool wait_for(struct dns_session *s, struct entry *e)
{
	if (e->n_waiting == e->cap_waiting) {
		size_t cap = e->cap_waiting ? e->cap_waiting * 2 : 4;
		struct dns_session **bigger = realloc(e->waiting, cap * sizeof(struct dns_session *));
		if (!bigger)
			return false;
		e->waiting = bigger;
		e->cap_waiting = cap;
	}
	e->waiting[e->n_waiting++] = s;
	s->missing++;
	if (!s->timer) {
		struct timeval tv = {s->dns->deadline_us / US_PER_S, s->dns->deadline_us % US_PER_S};
		s->timer = evtimer_new(s->dns->loop, on_deadline, s);
		if (s->timer)
			evtimer_add(s->timer, &tv);
	}
	return true;
}

/* RFC 1035 section 2.3.4; characters are not judged: mail asks for _dmarc and worse. */
static bool is_name(struct span name)
{
	struct span rest = name, label;
	if (name.n == 0 || name.n > 253 || name.p[name.n - 1] == '.')
		return false;
	while (span_next_field(&rest, '.', &label))
		if (label.n == 0 || label.n > 63)
			return false;
	return memchr(name.p, '\0', name.n) == NULL;
}

/* Backslashes keep odd octets of a name from being read as its structure. */
static void escape_name(struct span name, char out[1024])
{
	for (size_t i = 0; i < name.n; i++) {
		unsigned char c = (unsigned char)name.p[i];
		if (c > ' ' && c < 0x7f && c != '\\' && c != '"')
			*out++ = (char)c;
		else
			out += sprintf(out, "\\%03u", c);
	}
	*out = '\0';
}

static void ask(struct dns *d, struct entry *e)
{
	if (d->zone) {
		settle(d, e, zone_answer(d->zone, e->name, e->type, &d->scratch), INT64_MAX);
		return;
	}
	const struct entry *known = gone(d, e->name);
	if (known) {
		settle(d, e, known->answer, known->expires_us);
		return;
	}
	char name[1024];
	escape_name(e->name, name);
	e->answer.status = DNS_WAIT;
	d->n_flying++;
	if (d->n_flying > LIMIT_DNS_FLYING ||
	    resolver_ask(d->resolver, name, e->type, on_answer, e) < 0)
		on_answer(e, SPAN_NONE, "resolver busy");
}

const struct dns_answer *dns_get(struct dns_session *s, struct span name, enum dns_type type)
{
	for (size_t i = 0; i < s->n_held; i++)
		if (s->held[i].entry->type == (int)type &&
		    span_case_eq(s->held[i].entry->name, name))
			return s->held[i].late ? &deadline : &s->held[i].entry->answer;
	if (!is_name(name))
		return &bad_name;
	if (s->late && !s->dns->zone) {
		struct entry *known = find_cached(s->dns, name, type);
		if (!known || known->answer.status == DNS_WAIT)
			return &deadline;
	}
	struct entry *e = find_cached(s->dns, name, type);
	bool fresh = !e;
	if (fresh && !(e = add_cached(s->dns, name, type)))
		return &no_memory;
	if (!hold(s, e)) {
		if (fresh) {
			settle(s->dns, e, no_memory, 0);
			uncache(s->dns, e);
		}
		return &no_memory;
	}
	if (fresh)
		ask(s->dns, e);
	if (e->answer.status == DNS_WAIT && !wait_for(s, e))
		return &no_memory;
	return &e->answer;
}

/* --- the process ---------------------------------------------------------------------- */

int dns_create(struct dns **dns_r, struct event_base *loop, const struct config *config)
{
	struct dns *d = calloc(1, sizeof(*d));
	struct diag diag = {.out = NULL};
	if (!d)
		return -ENOMEM;
	d->loop = loop;
	d->deadline_us = config->dns.deadline_us;
	arena_init(&d->scratch, SCRATCH_BYTES);
	if (getrandom(&d->seed, sizeof(d->seed), GRND_NONBLOCK) < 0)
		d->seed = (uint64_t)clock_mono_us(); /* at boot: harder to guess than a constant */
	d->wake_event = event_new(loop, -1, 0, wake_all, d);
	int r = d->wake_event ? 0 : -ENOMEM;
	if (r == 0 && config->dns.source == DNS_ZONE)
		r = zone_load(&d->zone, config->dns.zone, &diag);
	else if (r == 0)
		r = resolver_create(&d->resolver, loop, config);
	if (r) {
		dns_free(d);
		return r;
	}
	*dns_r = d;
	return 0;
}

void dns_free(struct dns *d)
{
	if (!d)
		return;
	resolver_free(d->resolver);
	for (size_t i = 0; i < BUCKETS; i++)
		while (d->buckets[i]) {
			struct entry *e = d->buckets[i];
			if (e->answer.status == DNS_WAIT)
				settle(d, e, no_memory, 0);
			uncache(d, e);
		}
	arena_free(&d->scratch);
	zone_free(d->zone);
	if (d->wake_event)
		event_free(d->wake_event);
	free(d);
}
