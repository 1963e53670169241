/*
 * libspf2 1.2.10 evaluates one mechanism at a time here, because
 *
 *  - it does not say which mechanism matched, and that is evidence;
 *  - it evaluates redirect= where it stands, counts look-ups differently from RFC 7208, knows
 *    no limit on void look-ups, and accepts a good deal that the grammar forbids;
 *  - its parser and macro expander are where its overflows were (CVE-2021-20314, 2021-33912,
 *    2021-33913, 2023-42118). So it sees no octet that a stranger wrote but host names in MX
 *    answers: the record it compiles is "v=spf1 a:name.invalid/24//64" with our own numbers,
 *    and `name.invalid` is answered with what the real name has.
 *
 * Traps: it refuses /0, which is therefore answered with the client's own address as soon as
 * there is any; a client at 127.0.0.1 always passes, which the reason tells apart; its error
 * handler must not return, so we jump out of the library (what it held is lost).
 */
#include "analyze/spf_lib.h"

#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/types.h>

#include <netinet/in.h>

#include <spf2/spf.h>

#include "base/log.h"

#define PLACEHOLDER "name.invalid"

struct question {
	struct span name;
	const struct ip *client;
	bool any_address; /* "/0" */
	spf_lookup_fn *lookup;
	void *arg;
};

static jmp_buf escape;

__attribute__((noreturn)) static void library_fault(const char *file, int line, const char *text)
{
	log_error("spf.library", "file=%s line=%d text=%s", file, line, log_safe(span_of(text)));
	longjmp(escape, 1);
}

static bool put_record(SPF_dns_rr_t *rr, const struct dns_record *record, enum dns_type type)
{
	int i = rr->num_rr;
	bool mx = type == DNS_MX;
	size_t room = mx ? record->name.n + 1 : sizeof(SPF_dns_rr_data_t);
	if (mx && (record->name.n == 0 || memchr(record->name.p, '\0', record->name.n)))
		return true; /* a null MX, or no host name: names no host */
	if (SPF_dns_rr_buf_realloc(rr, i, room) != SPF_E_SUCCESS)
		return false;
	if (mx) {
		memcpy(rr->rr[i]->mx, record->name.p, record->name.n);
		rr->rr[i]->mx[record->name.n] = '\0';
	} else if (type == DNS_AAAA) {
		memcpy(&rr->rr[i]->aaaa, record->ip.bytes, 16);
	} else {
		memcpy(&rr->rr[i]->a, record->ip.bytes, 4);
	}
	rr->num_rr++;
	return true;
}

static SPF_dns_rr_t *answer(SPF_dns_server_t *server, const char *domain, ns_type type,
			    int should_cache)
{
	const struct question *q = server->hook;
	struct span name = span_of(domain);
	(void)should_cache;
	if (span_eq(name, SPAN(PLACEHOLDER)))
		name = q->name;
	const struct dns_answer *a = q->lookup(q->arg, name, (enum dns_type)type);
	if (a->status != DNS_FOUND)
		return SPF_dns_rr_new_init(server, domain, type, 0,
					   a->status == DNS_ABSENT ? HOST_NOT_FOUND : TRY_AGAIN);
	SPF_dns_rr_t *rr = SPF_dns_rr_new_init(server, domain, type, 0, NETDB_SUCCESS);
	struct dns_record own = {.ip = *q->client};
	bool own_address = q->any_address && (enum dns_type)type != DNS_MX;
	for (size_t i = 0; rr && i < (own_address ? 1 : a->n); i++) {
		if (!put_record(rr, own_address ? &own : &a->records[i], (enum dns_type)type)) {
			SPF_dns_rr_free(rr);
			return NULL;
		}
	}
	return rr;
}

static SPF_dns_server_t resolver = {.lookup = answer, .name = "assay"};
static SPF_server_t *library; /* one per process: only `resolver.hook` changes */

static bool library_ready(void)
{
	if (library)
		return true;
	SPF_error_handler = library_fault;
	SPF_warning_handler = NULL;
	SPF_info_handler = NULL;
	SPF_debug_handler = NULL;
	library = SPF_server_new_dns(&resolver, 0);
	return library != NULL;
}

/* The other family's length does not matter: the client has none of its addresses. */
static void write_record(char *out, size_t room, const struct spf_term *term, bool any_address)
{
	char cidr[16] = "";
	if (term->mechanism != SPF_MECH_EXISTS && !any_address)
		snprintf(cidr, sizeof(cidr), "/%u//%u", term->bits4 ? term->bits4 : 32u,
			 term->bits6 ? term->bits6 : 128u);
	snprintf(out, room, "v=spf1 %s:" PLACEHOLDER "%s",
		 term->mechanism == SPF_MECH_A    ? "a"
		 : term->mechanism == SPF_MECH_MX ? "mx"
						  : "exists",
		 cidr);
}

static SPF_request_t *request_for(const struct ip *client)
{
	SPF_request_t *request = SPF_request_new(library);
	if (!request)
		return NULL;
	if (client->family == 6) {
		struct in6_addr six;
		memcpy(&six, client->bytes, sizeof(six));
		SPF_request_set_ipv6(request, six);
	} else {
		struct in_addr four;
		memcpy(&four, client->bytes, sizeof(four));
		SPF_request_set_ipv4(request, four);
	}
	request->cur_dom = PLACEHOLDER;
	return request;
}

static enum spf_match evaluate(const char *text, const struct ip *client)
{
	enum spf_match match = SPF_MATCH_BROKEN;
	SPF_record_t *record = NULL;
	SPF_request_t *request = request_for(client);
	SPF_response_t *response = request ? SPF_response_new(request) : NULL;
	if (response && SPF_record_compile(library, response, &record, text) == SPF_E_SUCCESS) {
		response->spf_record_exp = record; /* asserted, though nothing is explained */
		SPF_record_interpret(record, request, response, 0);
		match = SPF_response_result(response) == SPF_RESULT_PASS &&
					SPF_response_reason(response) == SPF_REASON_MECH
				? SPF_MATCH_YES
				: SPF_MATCH_NO;
	}
	if (record)
		SPF_record_free(record);
	if (response)
		SPF_response_free(response);
	if (request)
		SPF_request_free(request);
	return match;
}

enum spf_match spf_lib_match(const struct spf_term *term, struct span name,
			     const struct ip *client, spf_lookup_fn *lookup, void *arg)
{
	struct question q = {name, client, false, lookup, arg};
	char text[64];
	q.any_address = term->mechanism != SPF_MECH_EXISTS &&
			(client->family == 6 ? term->bits6 : term->bits4) == 0;
	write_record(text, sizeof(text), term, q.any_address);
	if (!library_ready())
		return SPF_MATCH_BROKEN;
	resolver.hook = &q;
	if (setjmp(escape))
		return SPF_MATCH_BROKEN;
	return evaluate(text, client);
}
