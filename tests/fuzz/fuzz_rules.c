/* Rule files: any octets are loaded, and judge facts of every state when they are in order. */
#include <assert.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "analyze/rules.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static char folder[64], path[96];
static struct config config;
static const char *folders[] = {folder};

static void clean(void)
{
	unlink(path);
	rmdir(folder);
}

static void init(void)
{
	snprintf(folder, sizeof(folder), "/tmp/assay-fuzz-rules-%d", (int)getpid());
	snprintf(path, sizeof(path), "%s/x.rules", folder);
	int nowhere = open("/dev/null", O_WRONLY);
	if (mkdir(folder, 0700) < 0 || nowhere < 0)
		abort();
	if (!getenv("ASSAY_FUZZ_LOUD"))
		dup2(nowhere, STDERR_FILENO); /* faults are told there, a million of them */
	close(nowhere);
	atexit(clean);
	config_init(&config);
	config.rules = (struct config_texts){.v = folders, .n = 1};
	config.packs = (struct config_texts){.n = 0};
}

static struct fact no_header(const void *message, struct span name)
{
	(void)message, (void)name;
	return (struct fact){.state = FACT_ABSENT};
}

/* `state` 0: all unknown; 1: all absent; 2: known numbers, conditions and texts. */
static void set_facts(struct facts *f, int state)
{
	static const struct span members[] = {{"form", 4}, {"b", 1}};
	for (unsigned i = 0; state > 0 && i < FACT_COUNT; i++) {
		if (state == 1)
			facts_set_absent(f, (enum fact_id)i);
		else if (fact_infos[i].type == FACT_NUMBER)
			facts_set_number(f, (enum fact_id)i, i);
		else if (fact_infos[i].type == FACT_CONDITION)
			facts_set_condition(f, (enum fact_id)i, i % 2);
		else if (fact_infos[i].type == FACT_LIST)
			facts_set_list(f, (enum fact_id)i, members, 2);
		else
			facts_set_text(f, (enum fact_id)i, SPAN("pass"));
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct ruleset *set = NULL;
	if (!path[0])
		init();
	FILE *file = fopen(path, "w");
	if (!file)
		abort();
	fwrite(data, 1, size, file);
	fclose(file);
	int r = ruleset_load(&set, &config, 0);
	assert((r == 0) == (set != NULL));
	for (int state = 0; set && state < 3; state++) {
		struct arena arena;
		struct facts facts;
		struct verdict v;
		arena_init(&arena, (size_t)16 << 20);
		facts_init(&facts, &arena);
		set_facts(&facts, state);
		facts.header = state > 0 ? no_header : NULL;
		ruleset_judge(set, &facts, false, &v);
		assert(v.n_rules == ruleset_count(set) && v.n_findings <= v.n_rules);
		/* nothing is skipped when everything is known */
		for (size_t i = 0; state > 0 && i < v.n_rules; i++)
			assert(v.outcomes[i] != RULE_SKIPPED);
		assert(state == 0 || v.n_unjudged == 0);
		assert(!(v.compliance < 0) && !(v.compliance > 100));
		arena_free(&arena);
	}
	ruleset_unref(set);
	return 0;
}
