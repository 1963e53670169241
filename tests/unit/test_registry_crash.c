/*
 * kill -9 at every write of a decision: whatever was reached, the registry then holds the state
 * before or the state behind, and its audit is whole.
 *
 * The child is traced; before its Nth call that writes, syncs or removes it is killed, for each N
 * until it gets through. Skipped where tracing is not allowed.
 */
#include <errno.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>
#include <unistd.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "base/limits.h"
#include "feedback/registry.h"

#define FILING "sender esp { ip 192.0.2.0/28 { class mixed } domain esp.example dkim esp.example }"

static char folder[64];

/* `what` names folders below ours. */
static void shell(const char *what)
{
	char command[300];
	snprintf(command, sizeof(command), "cd %s && %s", folder, what);
	assert_int_equal(system(command), 0);
}

static struct registry *open_in(const char *name)
{
	char path[128];
	struct registry *reg;
	snprintf(path, sizeof(path), "%s/%s", folder, name);
	assert_int_equal(registry_open(path, &reg), 0);
	return reg;
}

static int file_text(struct registry *reg, const char *text)
{
	struct arena a;
	struct filings all;
	struct buf said = BUF_INIT;
	struct diag diag = {.out = NULL};
	arena_init(&a, LIMIT_ARENA_BYTES);
	filings_read(&all, span_of(text), "f", &a, &diag);
	int r = registry_file_all(reg, all.v, 1, "clerk", &said);
	arena_free(&a);
	buf_free(&said);
	return r;
}

/* --- decisions ------------------------------------------------------------------------ */

static int do_file(struct registry *reg)
{
	return file_text(reg, "sender esp { ip 198.51.100.0/28 domain esp.example }");
}

static int do_approve(struct registry *reg)
{
	const char *state;
	return registry_approve(reg, SPAN("esp"), "bob", NULL, &state);
}

static int do_suspend(struct registry *reg)
{
	return registry_suspend(reg, SPAN("esp"), "bob", "test");
}

static int do_revoke(struct registry *reg)
{
	const char *state;
	return registry_revoke(reg, SPAN("esp"), "bob", "test", &state);
}

static int do_needs_info(struct registry *reg)
{
	const char *state;
	return registry_needs_info(reg, SPAN("esp"), "bob", "test", &state);
}

static int do_prove(struct registry *reg)
{
	return registry_prove(reg, SPAN("esp"), PROOF_DNS, SPAN("esp.example"), true, SPAN("test"));
}

static int do_expire(struct registry *reg)
{
	return registry_advance(reg, INT64_MAX);
}

/* --- before and behind ------------------------------------------------------------------ */

static int add_entry(const struct registry_audit *e, void *arg)
{
	buf_addf(arg, "%.*s by %.*s\n", SPAN_ARG(e->action), SPAN_ARG(e->by));
	return 0;
}

/* All that a decision may change, as text. */
static struct buf look(const char *name)
{
	struct registry *reg = open_in(name);
	struct buf text = BUF_INIT;
	struct arena a;
	struct registry_sender s;
	arena_init(&a, LIMIT_ARENA_BYTES);
	assert_int_equal(registry_get(reg, SPAN("esp"), &a, &s), 0);
	buf_addf(&text, "%.*s %.*s %.*s %.*s %d %zu\n", SPAN_ARG(s.state), SPAN_ARG(s.filing.source),
		 SPAN_ARG(s.approved_by), SPAN_ARG(s.reason), s.pending != NULL,
		 registry_senders(reg)->n);
	for (size_t i = 0; i < s.n_proofs; i++)
		buf_addf(&text, "%d", s.proofs[i].made_us != 0);
	assert_int_equal(registry_audit(reg, SPAN(""), add_entry, &text), 0);
	arena_free(&a);
	registry_close(reg);
	return text;
}

static bool writes(long call)
{
#ifdef SYS_unlink
	if (call == SYS_unlink)
		return true;
#endif
	return call == SYS_write || call == SYS_pwrite64 || call == SYS_fsync ||
	       call == SYS_fdatasync || call == SYS_ftruncate || call == SYS_unlinkat ||
	       call == SYS_fallocate;
}

static void child(int (*decide)(struct registry *reg))
{
	if (ptrace(PTRACE_TRACEME, 0, NULL, NULL) < 0)
		_exit(99);
	raise(SIGSTOP);
	struct registry *reg = open_in("now");
	int r = decide(reg);
	registry_close(reg);
	_exit(r == 0 ? 0 : 1);
}

/* True: it got through. */
static bool killed_at(int (*decide)(struct registry *reg), unsigned n)
{
	int status;
	pid_t pid = fork();
	if (pid == 0)
		child(decide);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	if (WIFEXITED(status) && WEXITSTATUS(status) == 99)
		skip();
	assert_int_equal(ptrace(PTRACE_SETOPTIONS, pid, NULL,
				PTRACE_O_TRACESYSGOOD | PTRACE_O_EXITKILL), 0);
	while (WIFSTOPPED(status)) {
		struct __ptrace_syscall_info call;
		if (WSTOPSIG(status) == (SIGTRAP | 0x80) &&
		    ptrace(PTRACE_GET_SYSCALL_INFO, pid, sizeof(call), &call) > 0 &&
		    call.op == PTRACE_SYSCALL_INFO_ENTRY && writes((long)call.entry.nr) && n-- == 0) {
			kill(pid, SIGKILL);
			waitpid(pid, &status, 0);
			return false;
		}
		assert_int_equal(ptrace(PTRACE_SYSCALL, pid, NULL, NULL), 0);
		assert_int_equal(waitpid(pid, &status, 0), pid);
	}
	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), 0);
	return true;
}

static void kill_everywhere(int (*decide)(struct registry *reg), const char *what)
{
	struct buf before = look("base"), behind = BUF_INIT;
	unsigned n = 0, old = 0;
	/* what it comes to when nobody is in the way */
	shell("rm -rf now && cp -a base now");
	struct registry *reg = open_in("now");
	assert_int_equal(decide(reg), 0);
	registry_close(reg);
	behind = look("now");
	assert_string_not_equal(before.p, behind.p);
	for (bool through = false; !through; n++) {
		shell("rm -rf now && cp -a base now");
		through = killed_at(decide, n);
		struct buf now = look("now");
		bool is_old = strcmp(now.p, before.p) == 0;
		if (!is_old && strcmp(now.p, behind.p) != 0)
			fail_msg("%s killed at write %u: %s", what, n, now.p);
		old += is_old;
		buf_free(&now);
	}
	print_message("# %s: killed at %u writes, %u before, %u behind\n", what, n - 1, old, n - old);
	assert_true(old > 0 && old < n);
	buf_free(&before);
	buf_free(&behind);
}

static void test_kill(void **state)
{
	static const struct {
		const char *what;
		int (*decide)(struct registry *reg);
		const char *from; /* approvals before: f filed, a approved by one, b by another */
	} rows[] = {
		{"change filed", do_file, "fac"},    {"approved", do_approve, "fa"},
		{"suspended", do_suspend, "fac"},    {"revoked", do_revoke, "facr"},
		{"needs-info", do_needs_info, "fa"}, {"proof", do_prove, "f"},
		{"expired", do_expire, "fac"},
	};
	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		const char *now;
		shell("rm -rf base && mkdir base");
		struct registry *reg = open_in("base");
		for (const char *c = rows[i].from; *c; c++) {
			int r = *c == 'f'   ? file_text(reg, FILING)
				: *c == 'a' ? registry_approve(reg, SPAN("esp"), "ann", "x", &now)
				: *c == 'c' ? registry_approve(reg, SPAN("esp"), "carl", NULL, &now)
					    : registry_revoke(reg, SPAN("esp"), "ann", "x", &now);
			assert_int_equal(r, 0);
		}
		registry_close(reg);
		kill_everywhere(rows[i].decide, rows[i].what);
	}
}

static int make_folder(void **state)
{
	(void)state;
	snprintf(folder, sizeof(folder), "/tmp/assay-registry.XXXXXX");
	return mkdtemp(folder) == NULL;
}

static int remove_folder(void **state)
{
	(void)state;
	shell("rm -rf base now");
	return rmdir(folder);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_kill, make_folder, remove_folder),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
