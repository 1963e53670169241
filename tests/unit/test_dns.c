/* Unit tests of analyze/: zone files, answer packets, sessions, network identity. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <malloc.h>
#include <stdlib.h>
#include <strings.h>
#include <unistd.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <cmocka.h>
#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <event2/event.h>
#include <event2/listener.h>

#include "analyze/auth.h"
#include "analyze/dns_wire.h"
#include "analyze/zone.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/limits.h"

#define MANY (LIMIT_DNS_RECORDS + 1)

static char zone_path[] = "/tmp/assay-zone-XXXXXX";

static void write_zone(const char *text)
{
	assert_int_equal(file_replace(zone_path, span_of(text), 0600), 0);
}

/* What an answer says, for comparison. */
static const char *say(const struct dns_answer *a, enum dns_type type)
{
	static char out[1024];
	char ip[IP_TEXT_BYTES];
	static const char *const names[] = {"WAIT", "FOUND", "ABSENT", "UNKNOWN"};
	int n = snprintf(out, sizeof(out), "%s", names[a->status]);
	if (a->nxdomain)
		n += snprintf(out + n, sizeof(out) - (size_t)n, " nx");
	if (a->why)
		n += snprintf(out + n, sizeof(out) - (size_t)n, " %s", a->why);
	for (size_t i = 0; i < a->n && i < 8; i++) {
		const struct dns_record *r = &a->records[i];
		if (type == DNS_A || type == DNS_AAAA)
			n += snprintf(out + n, sizeof(out) - (size_t)n, " %s", ip_text(&r->ip, ip));
		else if (type == DNS_MX)
			n += snprintf(out + n, sizeof(out) - (size_t)n, " %u:%.*s", r->preference,
				      SPAN_ARG(r->name));
		else
			n += snprintf(out + n, sizeof(out) - (size_t)n, " %.*s", SPAN_ARG(r->name));
	}
	return out;
}

static void test_zone(void **state)
{
	static const char text[] =
		"$ORIGIN example.test.\n$TTL 1h\n"
		"@ IN SOA ns.example.test. root.example.test. ( 1 2 3 ; comment ( \n 4 5 )\n"
		"  300 IN MX 10 mx1\n  MX 20 mx2.other.test.\n"
		"mx1 A 192.0.2.1\n    AAAA 2001:db8::1\n"
		"txt TXT \"a b\" \"c;d\\\"\\046\" e\n"
		"*.wild TXT star\nhost.wild A 192.0.2.9\n"
		"alias CNAME mx1\nloop1 CNAME loop2\nloop2 CNAME loop1\n"
		"a.b.deep A 192.0.2.3\n"
		"null MX 0 .\n"
		"UPPER 60 A 192.0.2.4\n"
		"$TIMEOUT slow\n$SERVFAIL half TXT\nhalf A 192.0.2.5\n"
		"1.2.0.192.in-addr.arpa. PTR mx1\n";
	static const struct {
		const char *name;
		enum dns_type type;
		const char *want;
	} rows[] = {
		{"example.test", DNS_MX, "FOUND 10:mx1.example.test 20:mx2.other.test"},
		{"mx1.example.test", DNS_A, "FOUND 192.0.2.1"},
		{"mx1.example.test", DNS_TXT, "ABSENT"},
		{"nothing.example.test", DNS_A, "ABSENT nx"},
		{"other.example", DNS_A, "ABSENT nx"},
		{"txt.example.test", DNS_TXT, "FOUND a bc;d\".e"},
		{"x.wild.example.test", DNS_TXT, "FOUND star"},
		{"y.x.wild.example.test", DNS_TXT, "FOUND star"},
		{"host.wild.example.test", DNS_TXT, "ABSENT"},
		{"x.host.wild.example.test", DNS_TXT, "ABSENT nx"},
		{"alias.example.test", DNS_A, "FOUND 192.0.2.1"},
		{"alias.example.test", DNS_CNAME, "FOUND mx1.example.test"},
		{"loop1.example.test", DNS_A, "UNKNOWN loop"},
		{"b.deep.example.test", DNS_A, "ABSENT"},
		{"null.example.test", DNS_MX, "FOUND 0:"},
		{"upper.example.test", DNS_A, "FOUND 192.0.2.4"},
		{"slow.example.test", DNS_A, "UNKNOWN timeout"},
		{"half.example.test", DNS_TXT, "UNKNOWN servfail"},
		{"half.example.test", DNS_A, "FOUND 192.0.2.5"},
		{"1.2.0.192.in-addr.arpa", DNS_PTR, "FOUND mx1.example.test"},
	};
	(void)state;
	struct diag diag = {.out = NULL};
	struct zone *z;
	struct arena a;
	arena_init(&a, 1 << 20);
	write_zone(text);
	assert_int_equal(zone_load(&z, zone_path, &diag), 0);
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct dns_answer answer =
			zone_answer(z, span_of(rows[i].name), rows[i].type, &a);
		if (strcmp(say(&answer, rows[i].type), rows[i].want) != 0)
			fail_msg("%s %d: %s", rows[i].name, rows[i].type, say(&answer, rows[i].type));
	}
	zone_free(z);
	arena_free(&a);
}

static void test_zone_faults(void **state)
{
	static const struct {
		const char *text, *want;
	} rows[] = {
		{"a.test. A 192.0.2.999\n", "1:11: error: '192.0.2.999' is no IPv4 address"},
		{"a.test. AAAA 192.0.2.1\n", "1:14: error: '192.0.2.1' is no IPv6 address"},
		{"a.test. TXTT x\n", "1:9: error: unknown type 'TXTT' (did you mean 'TXT'?)"},
		{"  A 192.0.2.1\n", "1:3: error: no owner: the first record needs a name"},
		{"a.test. TXT \"x\n", "1:13: error: a quote that does not end on its line"},
		{"a.test. MX x y\n", "1:12: error: 'x' is no preference (0 to 65535)"},
		{"a.test. MX 10\n", "1:12: error: MX has a preference and a name"},
		{"a.test. SOA ( 1\n", "1:13: error: '(' without ')'"},
		{"a.test. A 192.0.2.1 )\n", "1:21: error: ')' without '('"},
		{"a..test. A 192.0.2.1\n", "1:1: error: 'a..test.' is no domain name"},
		{"$ORIGN x.\n",
		 "1:1: error: unknown directive '$ORIGN' (did you mean '$ORIGIN'?)"},
		{"$TTL soon\n", "1:1: error: $TTL takes a number of seconds"},
		{"a.test. 300 IN\n", "1:13: error: a type is missing here"},
		{"\n$TIMEOUT\n", "2:1: error: $TIMEOUT takes a name and perhaps a type"},
		{"$INCLUDE missing.zone\n",
		 "1:10: error: /tmp/missing.zone: No such file or directory"},
	};
	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		char *said = NULL;
		size_t said_n = 0;
		struct diag diag = {.out = open_memstream(&said, &said_n)};
		struct zone *z = NULL;
		write_zone(rows[i].text);
		int r = zone_load(&z, zone_path, &diag);
		fclose(diag.out);
		char want[256];
		snprintf(want, sizeof(want), "%s:%s\n", zone_path, rows[i].want);
		if (r != DNS_E_FAULTS || strcmp(said, want) != 0)
			fail_msg("row %zu: %d %s", i, r, said);
		free(said);
	}
}

/* An answer to "a.test", type 1, with what the row appends. */
static struct dns_answer read_packet(const char *body, size_t n, unsigned answers, unsigned rcode,
				     enum dns_type type, struct arena *a)
{
	char packet[70000] = {0x12, 0x34, (char)0x81, (char)(0x80 | rcode), 0, 1, 0, 0, 0, 0, 0, 0,
			      1,    'a',  4,	      't',		     'e', 's', 't', 0, 0, 1, 0, 1};
	packet[6] = (char)(answers >> 8);
	packet[7] = (char)answers;
	memcpy(packet + 24, body, n);
	uint32_t ttl;
	/* the exact size, so that ASan sees a read past the end */
	char *copy = malloc(24 + n);
	memcpy(copy, packet, 24 + n);
	struct dns_answer answer =
		dns_wire_read((struct span){copy, 24 + n}, SPAN("a.test"), type, a, &ttl);
	free(copy);
	return answer;
}

static void test_wire(void **state)
{
#define RR_A "\xc0\x0c\0\1\0\1\0\0\1\0\0\4\xc0\0\2\1"
#define RR(s) s, sizeof(s) - 1
	static const struct {
		const char *what, *body;
		size_t n;
		unsigned answers, rcode;
		enum dns_type type;
		const char *want;
	} rows[] = {
		{"one address", RR(RR_A), 1, 0, DNS_A, "FOUND 192.0.2.1"},
		{"nothing", RR(""), 0, 0, DNS_A, "ABSENT"},
		{"no such name", RR(""), 0, 3, DNS_A, "ABSENT nx"},
		{"servfail", RR(""), 0, 2, DNS_A, "UNKNOWN servfail"},
		{"refused", RR(""), 0, 5, DNS_A, "UNKNOWN refused"},
		{"cut", "\xc0\x0c\0\1\0\1", 6, 1, 0, DNS_A, "UNKNOWN malformed answer"},
		{"a pointer to itself", RR("\xc0\x18\0\1\0\1\0\0\1\0\0\4\xc0\0\2\1"), 1, 0, DNS_A,
		 "UNKNOWN malformed answer"},
		{"address of 3 octets", RR("\xc0\x0c\0\1\0\1\0\0\1\0\0\3\xc0\0\2"), 1, 0, DNS_A,
		 "UNKNOWN malformed answer"},
		{"a CNAME to itself", RR("\xc0\x0c\0\5\0\1\0\0\1\0\0\2\xc0\x0c"), 1, 0, DNS_A,
		 "UNKNOWN loop"},
		{"strings", RR("\xc0\x0c\0\x10\0\1\0\0\1\0\0\5\1v\2=1"), 1, 0, DNS_TXT, "FOUND v=1"},
		{"a string too long", RR("\xc0\x0c\0\x10\0\1\0\0\1\0\0\3\7v="), 1, 0, DNS_TXT,
		 "UNKNOWN malformed answer"},
		{"somebody else's", RR("\1b\0\0\1\0\1\0\0\1\0\0\4\xc0\0\2\1"), 1, 0, DNS_A, "ABSENT"},
	};
	(void)state;
	struct arena a;
	arena_init(&a, 1 << 22);
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct dns_answer answer = read_packet(rows[i].body, rows[i].n, rows[i].answers,
						       rows[i].rcode, rows[i].type, &a);
		if (strcmp(say(&answer, rows[i].type), rows[i].want) != 0)
			fail_msg("%s: %s", rows[i].what, say(&answer, rows[i].type));
	}
	char many[MANY * 16];
	for (size_t i = 0; i < MANY; i++)
		memcpy(many + 16 * i, RR_A, 16);
	struct dns_answer answer = read_packet(many, sizeof(many), MANY, 0, DNS_A, &a);
	assert_string_equal(say(&answer, DNS_A), "UNKNOWN too many records");
	arena_free(&a);
}

/* An answer that is cut anywhere says nothing, one that is changed anywhere says something or nothing. */
static void test_wire_attacked(void **state)
{
	static const char packet[] =
		"\x12\x34\x81\x80\0\1\0\3\0\0\0\0\1a\4test\0\0\x10\0\1"
		"\xc0\x0c\0\5\0\1\0\0\1\0\0\4\1b\xc0\x0e"
		"\1b\xc0\x0e\0\x10\0\1\0\0\1\0\0\5\1v\2=1"
		"\1b\xc0\x0e\0\x10\0\1\0\0\1\0\0\3\2zz";
	const size_t n = sizeof(packet) - 1;
	uint32_t ttl;
	(void)state;
	struct arena a;
	arena_init(&a, 1 << 20);
	struct dns_answer whole = dns_wire_read((struct span){packet, n}, SPAN("a.test"), DNS_TXT, &a,
						&ttl);
	assert_string_equal(say(&whole, DNS_TXT), "FOUND v=1 zz");
	for (size_t cut = 0; cut < n; cut++) {
		char *copy = malloc(cut + 1);
		memcpy(copy, packet, cut);
		struct dns_answer answer = dns_wire_read((struct span){copy, cut}, SPAN("a.test"),
							 DNS_TXT, &a, &ttl);
		if (answer.status != DNS_UNKNOWN)
			fail_msg("cut at %zu: %s", cut, say(&answer, DNS_TXT));
		free(copy);
		arena_reset(&a);
	}
	for (size_t i = 0; i < n * 256; i++) {
		char *copy = malloc(n);
		memcpy(copy, packet, n);
		copy[i / 256] = (char)(i % 256);
		struct dns_answer answer = dns_wire_read((struct span){copy, n}, SPAN("a.test"),
							 DNS_TXT, &a, &ttl);
		assert_true(answer.status != DNS_WAIT && (answer.status == DNS_FOUND) == (answer.n > 0));
		free(copy);
		arena_reset(&a);
	}
	arena_free(&a);
}

/* A NUL is an octet like others: a token of nothing would be read for ever. */
static void test_zone_nul(void **state)
{
	char *said = NULL;
	size_t said_n = 0;
	struct diag diag = {.out = open_memstream(&said, &said_n)};
	struct zone *z = NULL;
	(void)state;
	assert_int_equal(file_replace(zone_path, SPAN("a\0b A .x\n"), 0600), 0);
	assert_int_equal(zone_load(&z, zone_path, &diag), DNS_E_FAULTS);
	fclose(diag.out);
	assert_int_equal(diag.errors, 1);
	free(said);
}

static unsigned woken;

static void on_wake(void *arg)
{
	(void)arg;
	woken++;
}

/* A resolver that never answers: a bound socket that nobody reads. */
static void test_silence(void **state)
{
	(void)state;
	int silent = socket(AF_INET, SOCK_DGRAM, 0);
	struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(5399),
				      .sin_addr = {htonl(INADDR_LOOPBACK)}};
	assert_int_equal(bind(silent, (struct sockaddr *)&address, sizeof(address)), 0);
	struct event_base *loop = event_base_new();
	struct config config;
	memset(&config, 0, sizeof(config));
	const char *server = "127.0.0.1@5399";
	config.dns.source = DNS_FORWARD;
	config.dns.servers.v = &server;
	config.dns.servers.n = 1;
	config.dns.deadline_us = US_PER_S / 2;
	struct dns *dns;
	assert_int_equal(dns_create(&dns, loop, &config), 0);
	enum { N = 1000 };
	struct dns_session *sessions[N];
	woken = 0;
	int64_t start = clock_mono_us(), cpu = clock_cpu_us();
	for (int i = 0; i < N; i++) {
		char name[32];
		snprintf(name, sizeof(name), "n%d.example", i);
		sessions[i] = dns_session_create(dns, on_wake, NULL);
		assert_int_equal(dns_get(sessions[i], span_of(name), DNS_A)->status, DNS_WAIT);
	}
	while (woken < N && clock_mono_us() - start < 5 * US_PER_S)
		event_base_loop(loop, EVLOOP_ONCE);
	assert_int_equal(woken, N);
	for (int i = 0; i < N; i++) {
		char name[32];
		snprintf(name, sizeof(name), "n%d.example", i);
		const struct dns_answer *a = dns_get(sessions[i], span_of(name), DNS_A);
		assert_int_equal(a->status, DNS_UNKNOWN);
		dns_session_release(sessions[i]);
	}
	print_message("1,000 sessions waited %lld ms and cost %lld ms of CPU\n",
		      (long long)(clock_mono_us() - start) / 1000,
		      (long long)(clock_cpu_us() - cpu) / 1000);
	dns_free(dns);
	event_base_free(loop);
	close(silent);
}

/* A name server that lies: the first label of the question says how. */
static size_t lie(const uint8_t *q, size_t n, bool tcp, uint8_t out[65535])
{
	size_t question = 12;
	while (question < n && q[question])
		question += q[question] + 1u;
	question += 5;
	if (n < 17 || question > n)
		return 0;
	const char *how = (const char *)q + 13;
	size_t used = question;
	unsigned answers = 0, rcode = 0;
	bool cut = false;
	memcpy(out, q, question);
	if (strncasecmp(how, "fail", 4) == 0) {
		rcode = 2;
	} else if (strncasecmp(how, "none", 4) == 0) {
		rcode = 3;
	} else if (strncasecmp(how, "loop", 4) == 0) {
		/* loopa -> loopb -> loopa */
		static const uint8_t head[] = {0xc0, 12, 0, 5, 0, 1, 0, 0, 0, 60, 0, 8, 5};
		memcpy(out + used, head, sizeof(head));
		memcpy(out + used + 13, how, 5);
		out[used + 17] = how[4] == 'a' ? 'b' : 'a';
		out[used + 18] = 0xc0;
		out[used + 19] = 12 + 6;
		used += 20;
		answers = 1;
	} else if (!tcp && (strncasecmp(how, "tc", 2) == 0 || strncasecmp(how, "many", 4) == 0 ||
			    strncasecmp(how, "huge", 4) == 0)) {
		cut = true;
	} else {
		bool huge = strncasecmp(how, "huge", 4) == 0;
		unsigned want = strncasecmp(how, "many", 4) == 0 ? 1000 : huge ? 240 : 1;
		size_t length = huge ? 250 : 12;
		for (; answers < want; answers++) {
			const uint8_t head[] = {0xc0, 12, 0, 16, 0, 1, 0, 0, 0, 60, 0,
						(uint8_t)(length + 1), (uint8_t)length};
			memcpy(out + used, head, sizeof(head));
			memset(out + used + 13, 'x', length);
			snprintf((char *)out + used + 13, 9, "%07u", answers);
			out[used + 20] = 'x';
			used += 13 + length;
		}
	}
	out[2] = (uint8_t)(0x84 | (cut ? 2 : 0));
	out[3] = (uint8_t)(0x80 | rcode);
	memset(out + 6, 0, 6);
	out[6] = (uint8_t)(answers >> 8);
	out[7] = (uint8_t)answers;
	return used;
}

static unsigned asked;

static void on_udp(evutil_socket_t fd, short what, void *arg)
{
	static uint8_t q[65535], out[65535];
	struct sockaddr_storage from;
	socklen_t from_n = sizeof(from);
	ssize_t n = recvfrom(fd, q, sizeof(q), 0, (struct sockaddr *)&from, &from_n);
	(void)what;
	(void)arg;
	asked++;
	size_t used = n > 0 ? lie(q, (size_t)n, false, out) : 0;
	if (used)
		sendto(fd, out, used, 0, (struct sockaddr *)&from, from_n);
}

static void on_tcp(struct bufferevent *b, void *arg)
{
	static uint8_t q[65537], out[65535];
	struct evbuffer *in = bufferevent_get_input(b);
	ssize_t have = evbuffer_copyout(in, q, sizeof(q));
	(void)arg;
	if (have < 2 || have < 2 + (q[0] << 8 | q[1]))
		return;
	size_t n = (size_t)(q[0] << 8 | q[1]), used = lie(q + 2, n, true, out);
	uint8_t length[2] = {(uint8_t)(used >> 8), (uint8_t)used};
	evbuffer_drain(in, 2 + n);
	bufferevent_write(b, length, 2);
	bufferevent_write(b, out, used);
}

static struct bufferevent *connections[64];
static size_t n_connections;

static void on_accept(struct evconnlistener *l, evutil_socket_t fd, struct sockaddr *a, int n,
		      void *loop)
{
	(void)l;
	(void)a;
	(void)n;
	assert_true(n_connections < 64);
	struct bufferevent *b = bufferevent_socket_new(loop, fd, BEV_OPT_CLOSE_ON_FREE);
	bufferevent_setcb(b, on_tcp, NULL, NULL, NULL);
	bufferevent_enable(b, EV_READ | EV_WRITE);
	connections[n_connections++] = b;
}

static const struct dns_answer *ask_and_wait(struct event_base *loop, struct dns_session *s,
					     const char *name, enum dns_type type)
{
	const struct dns_answer *a;
	while ((a = dns_get(s, span_of(name), type))->status == DNS_WAIT)
		event_base_loop(loop, EVLOOP_ONCE);
	return a;
}

static void test_lies(void **state)
{
	static const struct {
		const char *name;
		enum dns_status status;
		size_t n, length;
	} rows[] = {
		{"good.example", DNS_FOUND, 1, 12},    {"fail.example", DNS_UNKNOWN, 0, 0},
		{"none.example", DNS_ABSENT, 0, 0},    {"tc.example", DNS_FOUND, 1, 12},
		{"loopa.example", DNS_UNKNOWN, 0, 0},  {"many.example", DNS_UNKNOWN, 0, 0},
		{"huge.example", DNS_FOUND, 240, 250}, {"good.x.test", DNS_FOUND, 1, 12},
	};
	struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(5398),
				      .sin_addr = {htonl(INADDR_LOOPBACK)}};
	int udp = socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK, 0);
	const char *server = "127.0.0.1@5398";
	struct config config;
	struct dns *dns;
	(void)state;
	memset(&config, 0, sizeof(config));
	config.dns.source = DNS_FORWARD;
	config.dns.servers.v = &server;
	config.dns.servers.n = 1;
	config.dns.deadline_us = 10 * US_PER_S;
	struct event_base *loop = event_base_new();
	assert_int_equal(bind(udp, (struct sockaddr *)&address, sizeof(address)), 0);
	struct event *reader = event_new(loop, udp, EV_READ | EV_PERSIST, on_udp, NULL);
	event_add(reader, NULL);
	struct evconnlistener *tcp =
		evconnlistener_new_bind(loop, on_accept, loop,
					LEV_OPT_CLOSE_ON_FREE | LEV_OPT_REUSEABLE, 16,
					(struct sockaddr *)&address, sizeof(address));
	assert_non_null(tcp);
	assert_int_equal(dns_create(&dns, loop, &config), 0);
	struct dns_session *s = dns_session_create(dns, on_wake, NULL);
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		const struct dns_answer *a = ask_and_wait(loop, s, rows[i].name, DNS_TXT);
		if (a->status != rows[i].status || a->n != rows[i].n ||
		    (a->n && a->records[0].name.n != rows[i].length))
			fail_msg("%s: %s, %zu records", rows[i].name, say(a, DNS_TXT), a->n);
		assert_ptr_equal(a, dns_get(s, span_of(rows[i].name), DNS_TXT));
	}
	/* two sessions that ask the same at once ask once; a third finds it in the cache */
	struct dns_session *other = dns_session_create(dns, on_wake, NULL);
	unsigned before = asked;
	assert_int_equal(dns_get(s, SPAN("Same.example"), DNS_TXT)->status, DNS_WAIT);
	assert_int_equal(dns_get(other, SPAN("same.EXAMPLE"), DNS_TXT)->status, DNS_WAIT);
	const struct dns_answer *one = ask_and_wait(loop, s, "same.example", DNS_TXT);
	assert_ptr_equal(one, ask_and_wait(loop, other, "same.example", DNS_TXT));
	assert_int_equal(asked, before + 1);
	dns_session_release(other);
	dns_session_release(s);
	dns_free(dns);
	evconnlistener_free(tcp);
	while (n_connections)
		bufferevent_free(connections[--n_connections]);
	event_free(reader);
	event_base_free(loop);
	close(udp);
}

/* 150,000 names asked of a zone: the cache keeps its bounds, and a session its answers. */
static void test_cache_bound(void **state)
{
	struct config config;
	struct dns *dns;
	(void)state;
	write_zone("*.example.test. TXT \"v=spf1 ip4:192.0.2.0/24 include:_spf.example.test -all\"\n");
	memset(&config, 0, sizeof(config));
	config.dns.source = DNS_ZONE;
	config.dns.zone = zone_path;
	struct event_base *loop = event_base_new();
	assert_int_equal(dns_create(&dns, loop, &config), 0);
	struct dns_session *first = dns_session_create(dns, on_wake, NULL);
	const struct dns_answer *held = dns_get(first, SPAN("first.example.test"), DNS_TXT);
	size_t before = mallinfo2().uordblks;
	for (int i = 0; i < 150000; i++) {
		char name[40];
		snprintf(name, sizeof(name), "n%d.example.test", i);
		struct dns_session *s = dns_session_create(dns, on_wake, NULL);
		if (dns_get(s, span_of(name), DNS_TXT)->status != DNS_FOUND)
			fail_msg("%s", name);
		dns_session_release(s);
	}
	size_t grown = mallinfo2().uordblks - before;
	print_message("the cache took %zu MB\n", grown >> 20);
	assert_true(grown < LIMIT_DNS_CACHE_BYTES * 3 / 2);
	assert_ptr_equal(held, dns_get(first, SPAN("first.example.test"), DNS_TXT));
	assert_int_equal(held->records[0].name.p[0], 'v');
	dns_session_release(first);
	dns_free(dns);
	event_base_free(loop);
}

/* The vectors of publicsuffix.org: "domain registrable" a line, null for none. */
static void test_public_suffixes(void **state)
{
	char path[4096];
	struct file_view view;
	struct span line, domain, want;
	unsigned run = 0;
	(void)state;
	const char *shared = getenv("ASSAY_SHARED");
	snprintf(path, sizeof(path), "%s/psl/tests/tests.txt", shared ? shared : "");
	if (file_view_open(path, 1 << 20, &view) < 0) {
		print_message("no %s\n", path);
		skip();
	}
	struct span rest = view.bytes;
	while (span_next_line(&rest, &line)) {
		if (span_starts(line, SPAN("//")) || !span_next_word(&line, &domain) ||
		    !span_next_word(&line, &want))
			continue;
		/* "null null" is the call without a name; a leading dot is no name for us either */
		struct span got = org_domain_psl(domain);
		bool none = span_eq(want, SPAN("null"));
		if (!span_case_eq(got, none ? domain : want))
			fail_msg("%.*s: %.*s", SPAN_ARG(domain), SPAN_ARG(got));
		run++;
	}
	print_message("%u vectors\n", run);
	assert_true(run > 70);
	file_view_close(&view);
}

int main(void)
{
	int fd = mkstemp(zone_path);
	if (fd >= 0)
		close(fd);
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_zone),
		cmocka_unit_test(test_zone_faults),
		cmocka_unit_test(test_zone_nul),
		cmocka_unit_test(test_wire),
		cmocka_unit_test(test_wire_attacked),
		cmocka_unit_test(test_silence),
		cmocka_unit_test(test_lies),
		cmocka_unit_test(test_cache_bound),
		cmocka_unit_test(test_public_suffixes),
	};
	int r = cmocka_run_group_tests_name("dns", tests, NULL, NULL);
	unlink(zone_path);
	return r;
}
