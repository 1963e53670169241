/*
 * facts - everything that a rule may see of one message.
 *
 * One line each in facts.def: name, type, unit, what it stands for. C code makes facts and
 * nothing else; no requirement is judged in C. A fact is
 *
 *     UNKNOWN  we could not find out (DNS did not answer, a hole in the capture, a limit): a
 *              rule that needs it is skipped, never failed. Every fact starts so.
 *     ABSENT   we looked and there is none; compares as "" or 0 or the empty list or false.
 *     KNOWN    it has a value, and where it comes from the message, the place (evidence).
 *
 * `header.NAME` is a family: the decoded text of the first header field of that name.
 *
 * Ownership: values point into the transaction's arena or message.
 */
#pragma once

#include "base/arena.h"

enum fact_type { FACT_NUMBER, FACT_WORD, FACT_TEXT, FACT_LIST, FACT_CONDITION };

enum fact_state { FACT_UNKNOWN, FACT_ABSENT, FACT_KNOWN };

enum fact_id {
#define FACT(id, name, type, unit, meaning) F_##id,
#include "analyze/facts.def"
	FACT_COUNT
};

/* Where in the message a fact was read. */
struct evidence {
	struct span text; /* UTF-8 as a person reads it; .p NULL: none */
	int64_t offset;   /* into the message's octets; -1: not at one place */
	size_t length;    /* octets there */
	const struct evidence *next; /* another place of the same fact; NULL: none */
};

struct fact {
	enum fact_state state;
	union {
		double number;
		bool condition;
		struct span text; /* WORD and TEXT */
		struct {
			const struct span *v;
			size_t n;
		} list;
	};
	struct evidence evidence;
};

struct fact_info {
	const char *name;
	enum fact_type type;
	const char *unit;    /* "" when it has none */
	const char *meaning; /* for manuals */
};

extern const struct fact_info fact_infos[FACT_COUNT];
/* The values of a word, or of a list's members, with blanks between; NULL: any. */
extern const char *const fact_words[FACT_COUNT];

/* The id of a fact by name; FACT_COUNT when there is none. */
enum fact_id fact_find(struct span name);
const char *fact_type_name(enum fact_type type);

struct facts {
	struct arena *arena;
	struct fact v[FACT_COUNT];
	/* Answers header.NAME (lower case); set by the message step. NULL: all unknown. */
	struct fact (*header)(const void *message, struct span name);
	const void *message;
};

void facts_init(struct facts *f, struct arena *arena);
struct fact facts_header(const struct facts *f, struct span lower_name);

/* Setters; each checks the type (assert) and overwrites. They return the fact, so that evidence
 * can be added:  facts_evidence(facts_set_word(f, F_AUTH_SPF, SPAN("pass")), text, -1, 0); */
struct fact *facts_set_number(struct facts *f, enum fact_id id, double value);
struct fact *facts_set_condition(struct facts *f, enum fact_id id, bool value);
/* ABSENT when s.p is NULL. WORD or TEXT. */
struct fact *facts_set_text(struct facts *f, enum fact_id id, struct span s);
/* ABSENT when n is 0. `v` must outlive the facts. */
struct fact *facts_set_list(struct facts *f, enum fact_id id, const struct span *v, size_t n);
struct fact *facts_set_absent(struct facts *f, enum fact_id id);
struct fact *facts_set_unknown(struct facts *f, enum fact_id id);
void facts_evidence(struct fact *fact, struct span text, int64_t offset, size_t length);

static inline bool fact_known(const struct facts *f, enum fact_id id)
{
	return f->v[id].state == FACT_KNOWN;
}
/* KNOWN and true. */
static inline bool fact_true(const struct facts *f, enum fact_id id)
{
	return f->v[id].state == FACT_KNOWN && f->v[id].condition;
}
