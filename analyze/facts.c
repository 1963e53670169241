#include "analyze/facts.h"

#include <assert.h>

const struct fact_info fact_infos[FACT_COUNT] = {
#define FACT(id, name, type, unit, meaning) [F_##id] = {name, FACT_##type, unit, meaning},
#include "analyze/facts.def"
};

const char *const fact_words[FACT_COUNT] = {
#define WORDS(id, words) [F_##id] = words,
#include "analyze/facts.def"
};

enum fact_id fact_find(struct span name)
{
	for (unsigned i = 0; i < FACT_COUNT; i++)
		if (span_eq(name, span_of(fact_infos[i].name)))
			return (enum fact_id)i;
	return FACT_COUNT;
}

const char *fact_type_name(enum fact_type type)
{
	static const char *const names[] = {"number", "word", "text", "list", "condition"};
	return names[type];
}

void facts_init(struct facts *f, struct arena *arena)
{
	memset(f, 0, sizeof(*f));
	f->arena = arena;
}

struct fact facts_header(const struct facts *f, struct span lower_name)
{
	if (!f->header)
		return (struct fact){.state = FACT_UNKNOWN};
	return f->header(f->message, lower_name);
}

static struct fact *set(struct facts *f, enum fact_id id, enum fact_state state)
{
	f->v[id] = (struct fact){.state = state, .evidence = {.offset = -1}};
	return &f->v[id];
}

struct fact *facts_set_number(struct facts *f, enum fact_id id, double value)
{
	assert(fact_infos[id].type == FACT_NUMBER);
	struct fact *fact = set(f, id, FACT_KNOWN);
	fact->number = value;
	return fact;
}

struct fact *facts_set_condition(struct facts *f, enum fact_id id, bool value)
{
	assert(fact_infos[id].type == FACT_CONDITION);
	struct fact *fact = set(f, id, FACT_KNOWN);
	fact->condition = value;
	return fact;
}

struct fact *facts_set_text(struct facts *f, enum fact_id id, struct span s)
{
	assert(fact_infos[id].type == FACT_WORD || fact_infos[id].type == FACT_TEXT);
	struct fact *fact = set(f, id, s.p ? FACT_KNOWN : FACT_ABSENT);
	fact->text = s;
	return fact;
}

struct fact *facts_set_list(struct facts *f, enum fact_id id, const struct span *v, size_t n)
{
	assert(fact_infos[id].type == FACT_LIST);
	struct fact *fact = set(f, id, n ? FACT_KNOWN : FACT_ABSENT);
	fact->list.v = v;
	fact->list.n = n;
	return fact;
}

struct fact *facts_set_absent(struct facts *f, enum fact_id id)
{
	return set(f, id, FACT_ABSENT);
}

struct fact *facts_set_unknown(struct facts *f, enum fact_id id)
{
	return set(f, id, FACT_UNKNOWN);
}

void facts_evidence(struct fact *fact, struct span text, int64_t offset, size_t length)
{
	fact->evidence = (struct evidence){text, offset, length, NULL};
}
