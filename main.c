/* main - the command table; nothing else lives here. */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>
#include <unistd.h>

#include "analyze/commands.h"
#include "capture/commands.h"
#include "feedback/commands.h"

static const struct command commands[] = {
	{"scan", cmd_scan, "[--json [--facts] | --summary] [--dns ZONE] [--record | --no-record] PATH...",
	 "judge mails, mailboxes, folders, captures", "assay(1)"},
	{"explain", cmd_explain, "[--json] [--dns ZONE] FILE | - | ID",
	 "one mail, clause by clause, with evidence", "assay(1)"},
	{"capture", cmd_capture, "[--json] [--eod MODE] [--no-hash] FILE... | -i INTERFACE",
	 "the transactions in packets, not judged", "assay-capture(1)"},
	{"auth", cmd_auth, "--ip IP --helo NAME --mail-from ADDR [--dns ZONE] [--dmarc STANDARD] [--header] [FILE]",
	 "SPF, DKIM, DMARC of one mail", "assay-auth(1)"},
	{"run", cmd_run, "", "the daemon: everything that assay.conf names", "assay-run(1)"},
	{"status", cmd_status, "[--json]", "what each role of the daemon does", "assay-run(1)"},
	{"reload", cmd_reload, "", "the daemon takes new rules and configuration", "assay-run(1)"},
	{"check", cmd_check, "[--samples FOLDER] [--dns ZONE] [FOLDER...]",
	 "configuration and rules, with the tests inside them", "assay(1)"},
	{"test", cmd_test, "[--samples FOLDER] [--dns ZONE] [FOLDER...]",
	 "the tests inside the rules, each told", "assay(1)"},
	{"show", cmd_show, "facts | clauses | rules [--json]", "vocabulary, specification, rules",
	 "assay(1)"},
	{"sender", cmd_sender, "file F | list | show KEY | review KEY | approve KEY --by NAME | ...",
	 "the registry of senders", "assay-sender(1)"},
	{"complain", cmd_complain, "[--kind abuse|not-spam] [--rcpt ADDR] [--way WORD] FILE | -",
	 "take a complaint, tell the sender", "assay-complain(1)"},
	{"bounce", cmd_bounce, "[--rcpt ADDR] FILE | -", "a mail that came back to a report's address",
	 "assay-complain(1)"},
	{"event", cmd_event, "open | click | unsubscribe [--rcpt ADDR] [--method WORD] [--status N] MESSAGE-ID | FILE | -",
	 "what happened to a mail in its mailbox", "assay(1)"},
	{"queue", cmd_queue, "list [--json] | addresses [--json] | retry [ID] | drop ID | resume ADDRESS | run",
	 "reports on their way to senders", "assay-complain(1)"},
	{"report", cmd_report, "[SENDER] [--by WHAT] [--days N] [--recipient ADDRESS] [--json]",
	 "what senders sent, returns, complaints", "assay-report(1)"},
	{"rebuild", cmd_rebuild, "", "make the books in Redis again from the event log",
	 "assay-report(1)"},
	{NULL, NULL, NULL, NULL, NULL},
};

static const struct command *find(const char *name)
{
	const struct command *c = commands;
	while (c->name && strcmp(c->name, name) != 0)
		c++;
	return c->name ? c : NULL;
}

static int help(FILE *out)
{
	fputs("usage: assay [-c FILE] [--lang en|zh] COMMAND [ARGUMENT ...]\n\n", out);
	for (const struct command *c = commands; c->name; c++)
		fprintf(out, "  %-9s %s\n", c->name, c->summary);
	fputs("\n'assay COMMAND --help' tells the arguments of one, assay(1) all of it.\n", out);
	return out == stdout ? EX_OK : EX_USAGE;
}

static int help_one(const struct command *c)
{
	printf("usage: assay [-c FILE] [--lang en|zh] %s%s%s\n\n  %s; see %s\n", c->name,
	       *c->synopsis ? " " : "", c->synopsis, c->summary, c->manual);
	return EX_OK;
}

/* --help anywhere before "--": who looks for a word has begun the line already. */
static bool wants_help(int argc, char **argv)
{
	for (int i = 1; i < argc && strcmp(argv[i], "--") != 0; i++)
		if (strcmp(argv[i], "--help") == 0 || (i == 1 && strcmp(argv[i], "-h") == 0))
			return true;
	return false;
}

/* A standard stream that the caller closed: a file that we open later must not get its number, or
 * results would be written into the event log. Writing to what is opened here fails. */
static int hold_standard_streams(void)
{
	int fd;
	do
		fd = open("/dev/null", O_RDONLY);
	while (fd >= 0 && fd <= STDERR_FILENO);
	return fd < 0 ? -1 : close(fd);
}

/* Results that did not get out are no success, whichever verb wrote them. */
static int end_output(const char *program, int code)
{
	bool lost = ferror(stdout) != 0;
	if (fflush(stdout) == 0 && !lost)
		return code;
	return code == EX_OK ? command_output_lost(program) : code;
}

static enum lang lang_of_locale(void)
{
	static const char *const variables[] = {"LC_ALL", "LC_MESSAGES", "LANG"};
	for (size_t i = 0; i < 3; i++) {
		const char *value = getenv(variables[i]);
		if (value && *value)
			return strncmp(value, "zh", 2) == 0 ? LANG_ZH : LANG_EN;
	}
	return LANG_EN;
}

int main(int argc, char **argv)
{
	struct options o = {.program = "assay", .argc = argc, .argv = argv};
	struct command_context context = {.lang = lang_of_locale()};
	const char *config_file = NULL, *operand = NULL, *option;
	if (hold_standard_streams() != 0)
		return EX_OSERR;
	while ((option = options_next(&o, &operand)) && *option) {
		const char *value = NULL;
		if (strcmp(option, "-h") == 0 || strcmp(option, "--help") == 0)
			return end_output("assay", help(stdout));
		if (strcmp(option, "--version") == 0)
			return end_output("assay", puts("assay " ASSAY_VERSION) < 0 ? EX_IOERR : EX_OK);
		if (strcmp(option, "-c") != 0 && strcmp(option, "--lang") != 0)
			return command_usage("assay", "unknown option '%s'", option);
		if (!(value = options_value(&o)))
			return EX_USAGE;
		if (option[1] == 'c')
			config_file = value;
		else if (strcmp(value, "en") == 0 || strcmp(value, "zh") == 0)
			context.lang = value[0] == 'z' ? LANG_ZH : LANG_EN;
		else
			return command_usage("assay", "--lang takes en or zh, not '%s'", value);
	}
	if (!operand)
		return help(stderr);
	const struct command *c = find(operand);
	if (!c && strcmp(operand, "help") == 0) {
		if (o.at + 1 >= argc)
			return end_output("assay", help(stdout));
		operand = argv[o.at + 1];
		if ((c = find(operand)))
			return end_output("assay", help_one(c));
	}
	if (!c)
		return command_unknown("assay", operand, commands);
	if (wants_help(argc - o.at, argv + o.at))
		return end_output("assay", help_one(c));
	char program[64];
	snprintf(program, sizeof(program), "assay %s", c->name);
	context.program = program;
	struct config config;
	int loaded = config_load(&config, config_file);
	if (loaded != 0)
		return loaded < 0 ? EX_NOINPUT : EX_CONFIG;
	context.config = &config;
	int r = end_output(program, c->run(&context, argc - o.at, argv + o.at));
	config_free(&config);
	return r;
}
