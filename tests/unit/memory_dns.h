/*
 * memory_dns - dns_get() and its like for tests, answered from a table.
 *
 * Include it in one test program: it takes the place of analyze/dns.c. The first time that a
 * session asks for a name it gets DNS_WAIT, so every test also tests that steps run again.
 */
#pragma once

#include <stdio.h>
#include <stdlib.h>

#include "analyze/dns.h"
#include "base/arena.h"

struct memory_record {
	char name[300];
	int type;     /* 0: every type that has no record */
	bool trouble; /* does not answer */
	struct dns_record record;
};

struct memory_asked {
	char name[300];
	int type;
	bool fresh; /* asked since the last step */
	struct dns_answer answer;
};

static struct {
	struct arena arena;
	struct memory_record *records;
	size_t n, cap;
	struct memory_asked *asked[400];
	size_t n_asked;
	bool never_waits;
} memory;

struct dns_session {
	int unused;
};

static struct dns_session memory_session;

static void memory_reset(void)
{
	arena_free(&memory.arena);
	arena_init(&memory.arena, (size_t)64 << 20);
	memory.records = NULL;
	memory.n = memory.cap = memory.n_asked = 0;
}

/* Forgets what was asked, keeps the records. */
__attribute__((unused)) static void memory_forget(void)
{
	memory.n_asked = 0;
}

static int memory_type(const char *word)
{
	static const struct {
		const char *word;
		int type;
	} types[] = {{"A", DNS_A},       {"AAAA", DNS_AAAA}, {"MX", DNS_MX},
		     {"TXT", DNS_TXT},   {"PTR", DNS_PTR},   {"CNAME", DNS_CNAME},
		     {"TIMEOUT", 0}};
	for (size_t i = 0; i < sizeof(types) / sizeof(types[0]); i++)
		if (strncmp(word, types[i].word, strcspn(word, "!")) == 0 &&
		    types[i].word[strcspn(word, "!")] == '\0')
			return types[i].type;
	fprintf(stderr, "memory_dns: unknown type %s\n", word);
	abort();
}

/* `type`: "TXT"; "TXT!": that type does not answer; "TIMEOUT": what is not there does not. */
static void memory_add(struct span name, const char *type, unsigned preference,
		       struct span value)
{
	void *v = memory.records;
	if (!arena_grow(&memory.arena, &v, memory.n, &memory.cap, sizeof(*memory.records)))
		abort();
	memory.records = v;
	struct memory_record *r = &memory.records[memory.n++];
	*r = (struct memory_record){.type = memory_type(type)};
	r->trouble = strchr(type, '!') != NULL || r->type == 0;
	snprintf(r->name, sizeof(r->name), "%.*s", SPAN_ARG(name));
	r->record.preference = (uint16_t)preference;
	if (r->type == DNS_A || r->type == DNS_AAAA)
		ip_parse(value, &r->record.ip);
	else if (r->type == DNS_TXT)
		r->record.name = arena_copy(&memory.arena, value);
	else
		r->record.name = arena_lower(&memory.arena, value);
	if (r->type == DNS_AAAA && r->record.ip.family == 4) {
		/* ip.h makes IPv4 of mapped addresses; an AAAA record cannot be IPv4 */
		memmove(r->record.ip.bytes + 12, r->record.ip.bytes, 4);
		memset(r->record.ip.bytes, 0, 10);
		memset(r->record.ip.bytes + 10, 0xff, 2);
		r->record.ip.family = 6;
	}
}

__attribute__((unused)) static void memory_txt(const char *name, const char *text)
{
	memory_add(span_of(name), "TXT", 0, span_of(text));
}

static void memory_answer(struct memory_asked *asked, struct span name, int depth)
{
	bool exists = false, trouble = false;
	struct dns_record *found = NULL;
	size_t n = 0, cap = 0;
	for (size_t i = 0; i < memory.n; i++) {
		const struct memory_record *r = &memory.records[i];
		if (!span_case_eq(span_of(r->name), name))
			continue;
		exists = true;
		if (r->type == DNS_CNAME && asked->type != DNS_CNAME && depth < 8) {
			memory_answer(asked, r->record.name, depth + 1);
			return;
		}
		if (r->trouble && (r->type == 0 || r->type == asked->type))
			trouble = true;
		if (r->trouble || r->type != asked->type)
			continue;
		void *v = found;
		if (!arena_grow(&memory.arena, &v, n, &cap, sizeof(*found)))
			abort();
		found = v;
		found[n++] = r->record;
	}
	asked->answer = (struct dns_answer){.status = n         ? DNS_FOUND
						      : trouble ? DNS_UNKNOWN
								: DNS_ABSENT,
					    .nxdomain = !exists,
					    .records = found,
					    .n = n,
					    .why = n || !trouble ? NULL : "timeout"};
}

const struct dns_answer *dns_get(struct dns_session *session, struct span name,
				 enum dns_type type)
{
	static const struct dns_answer wait = {.status = DNS_WAIT};
	(void)session;
	for (size_t i = 0; i < memory.n_asked; i++)
		if (memory.asked[i]->type == (int)type &&
		    span_case_eq(span_of(memory.asked[i]->name), name))
			return memory.asked[i]->fresh ? &wait : &memory.asked[i]->answer;
	if (memory.n_asked == sizeof(memory.asked) / sizeof(memory.asked[0]))
		abort();
	struct memory_asked *asked = ARENA_NEW(&memory.arena, struct memory_asked);
	memory.asked[memory.n_asked++] = asked;
	asked->type = (int)type;
	asked->fresh = !memory.never_waits;
	snprintf(asked->name, sizeof(asked->name), "%.*s", SPAN_ARG(name));
	memory_answer(asked, name, 0);
	return asked->fresh ? &wait : &asked->answer;
}

/* The answers have come. False when none was missing: the step waits for nothing. */
__attribute__((unused)) static bool memory_arrive(void)
{
	bool any = false;
	for (size_t i = 0; i < memory.n_asked; i++) {
		any |= memory.asked[i]->fresh;
		memory.asked[i]->fresh = false;
	}
	return any;
}
