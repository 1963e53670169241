/*
 * assay check - configuration and rules, and the tests inside the rules.
 * assay test  - the tests alone, each told.
 *
 * Samples are judged by the real pipeline with the DNS of the samples' own zone file.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>
#include <unistd.h>

#include "analyze/analyze.h"
#include "analyze/commands.h"
#include "base/clock.h"
#include "base/paths.h"
#include "capture/spool.h"

struct judged_sample {
	char *name;
	struct analysis *analysis;
};

struct checker {
	struct command_context *context;
	struct analyzer analyzer;
	const char *folder; /* of the samples */
	struct judged_sample *samples;
	size_t n, cap;
	bool verbose;
};

static int by_name(const void *a, const void *b)
{
	return strcmp(((const struct judged_sample *)a)->name,
		      ((const struct judged_sample *)b)->name);
}

static struct analysis *judge(struct checker *c, const char *name)
{
	char path[4200];
	struct txn *t = NULL;
	struct analysis *a;
	snprintf(path, sizeof(path), "%s/mail/%s", c->folder, name);
	int r = spool_read_file(path, &t);
	if (r == 0 && (r = analyzer_judge(&c->analyzer, t, &a)) < 0)
		txn_free(t);
	if (r < 0) {
		command_fail(c->context->program, EX_NOINPUT, "%s: %s", path, strerror(-r));
		return NULL;
	}
	return a;
}

/* Each sample is judged once, however many rules name it. */
static const struct facts *sample(void *arg, struct span name)
{
	struct checker *c = arg;
	char text[300];
	snprintf(text, sizeof(text), "%.*s", SPAN_ARG(name));
	struct judged_sample key = {.name = text};
	struct judged_sample *found =
		c->n ? bsearch(&key, c->samples, c->n, sizeof(key), by_name) : NULL;
	if (found)
		return found->analysis ? &found->analysis->facts : NULL;
	if (c->n == c->cap) {
		size_t cap = c->cap ? c->cap * 2 : 64;
		struct judged_sample *bigger = realloc(c->samples, cap * sizeof(*bigger));
		if (!bigger)
			return NULL;
		c->samples = bigger;
		c->cap = cap;
	}
	key = (struct judged_sample){strdup(text), judge(c, text)};
	if (!key.name)
		return NULL;
	c->samples[c->n++] = key;
	qsort(c->samples, c->n, sizeof(key), by_name);
	return key.analysis ? &key.analysis->facts : NULL;
}

static void told(void *arg, const char *rule, const char *file, unsigned line, bool ok,
		 const char *what)
{
	struct checker *c = arg;
	if (!ok)
		printf("%s:%u: error: %s: %s\n", file, line, rule, what);
	else if (c->verbose)
		printf("ok %s: %s\n", rule, what);
}

static void warn_of_file(const struct config *config, const char *what, const char *path)
{
	if (path && access(path, R_OK) < 0)
		fprintf(stderr, "%s: warning: %s: %s: %s\n", config->file, what, path,
			strerror(errno));
}

/* Files that `run` will want. They may be another machine's, or come later: no fault. */
static void warn_of_files(const struct config *config)
{
	if (!config->file)
		return;
	warn_of_file(config, "dns zone", config->dns.source == DNS_ZONE ? config->dns.zone : NULL);
	for (size_t i = 0; i < config->spool_maildirs.n; i++)
		warn_of_file(config, "spool maildir", config->spool_maildirs.v[i]);
	for (size_t i = 0; i < config->spool_complaints.n; i++)
		warn_of_file(config, "spool complaints", config->spool_complaints.v[i]);
	warn_of_file(config, "report dkim", config->report.dkim_key_file);
	warn_of_file(config, "webhook ca", config->webhook.ca);
	if (config->report.from && config->report.via == REPORT_VIA_NONE)
		fprintf(stderr, "%s: warning: report has no 'via': reports wait in the queue\n",
			config->file);
}

static int run(struct command_context *context, int argc, char **argv, bool verbose)
{
	struct checker c = {.context = context, .verbose = verbose};
	struct options o = {.program = context->program, .argc = argc, .argv = argv};
	struct config *config = context->config;
	const char *operand, *option, **folders = calloc((size_t)argc + 1, sizeof(*folders));
	size_t n = 0;
	unsigned tests = 0;
	bool dns_given = false;
	if (!folders)
		return EX_OSERR;
	while ((option = options_next(&o, &operand))) {
		const char *value = NULL;
		if (*option == '\0') {
			folders[n++] = operand;
		} else if ((strcmp(option, "--dns") == 0 || strcmp(option, "--samples") == 0) &&
			   (value = options_value(&o))) {
			if (option[2] == 's') {
				c.folder = value;
			} else {
				config->dns.zone = value;
				dns_given = true;
			}
		} else {
			free(folders);
			return value ? EX_USAGE
				     : command_usage(context->program, "unknown option '%s'", option);
		}
	}
	if (!verbose)
		warn_of_files(config);
	if (n)
		config->rules = (struct config_texts){.v = folders, .n = n};
	char zone[4200];
	c.folder = c.folder ? c.folder : path_samples();
	snprintf(zone, sizeof(zone), "%s/zone", c.folder);
	config->dns.source = DNS_ZONE;
	if (!dns_given)
		config->dns.zone = zone;
	int r = analyzer_open(&c.analyzer, config, clock_now_us());
	int code = r == ANALYZER_E_NO_ZONE ? EX_NOINPUT : r > 0 ? EX_CONFIG : EX_OK;
	if (r < 0)
		code = command_fail(context->program, EX_OSERR, "%s", strerror(-r));
	if (r == 0) {
		struct rule_tester tester = {sample, told, &c};
		unsigned failed = ruleset_run_tests(c.analyzer.rules, &tester, &tests);
		printf("%zu rules on, %u tests, %u failed, rule set %s\n",
		       ruleset_count(c.analyzer.rules), tests, failed,
		       ruleset_hash(c.analyzer.rules));
		code = failed ? EX_CONFIG : EX_OK;
		for (size_t i = 0; i < c.n; i++) {
			if (c.samples[i].analysis)
				analysis_free(c.samples[i].analysis);
			free(c.samples[i].name);
		}
		analyzer_close(&c.analyzer);
	}
	free(c.samples);
	free(folders);
	return code;
}

int cmd_check(struct command_context *context, int argc, char **argv)
{
	return run(context, argc, argv, false);
}

int cmd_test(struct command_context *context, int argc, char **argv)
{
	return run(context, argc, argv, true);
}
