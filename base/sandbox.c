#include "base/sandbox.h"

#include <errno.h>
#include <fcntl.h>
#include <seccomp.h>
#include <stddef.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

/* Names, because not every architecture has every call; the unknown ones are passed over. */
static const char *const allowed[] = {
	/* time and life */
	"clock_gettime", "clock_nanosleep", "nanosleep", "gettimeofday", "time", "getpid", "gettid",
	"getuid", "geteuid", "getgid", "getegid", "exit", "exit_group", "sched_yield", "getrandom",
	"restart_syscall", "rt_sigaction", "rt_sigprocmask", "rt_sigreturn", "rt_sigtimedwait",
	"sigaltstack", "getrusage", "sysinfo", "uname", "getrlimit", "rseq", "set_robust_list",
	"sched_getaffinity",
	/* memory */
	"brk", "munmap", "mremap", "madvise", "membarrier", "futex",
	/* what is open */
	"read", "readv", "write", "writev", "pread64", "pwrite64", "close", "fstat", "newfstatat",
	"lseek", "dup", "ftruncate", "memfd_create",
	"epoll_create1", "epoll_ctl", "epoll_wait", "epoll_pwait", "epoll_pwait2", "poll", "ppoll",
	"select", "pselect6", "eventfd2", "pipe2", "timerfd_create", "timerfd_settime",
	/* sockets; socket() itself is looked at below */
	"connect", "bind", "accept", "accept4", "getsockname", "getpeername", "getsockopt",
	"setsockopt", "sendto", "sendmsg", "sendmmsg", "recvfrom", "recvmsg", "recvmmsg", "shutdown",
};

/* All roles are one account, so a signal or a limit would reach any of them. */
static int fill_own(scmp_filter_ctx filter)
{
	const struct {
		int call;
		unsigned argument;
		scmp_datum_t value;
	} rules[] = {
		{SCMP_SYS(tgkill), 0, (scmp_datum_t)getpid()},
		{SCMP_SYS(prlimit64), 0, 0},
		/* not F_SETOWN, F_SETSIG: a descriptor that is ready sends a signal too */
		{SCMP_SYS(fcntl), 1, F_GETFD},
		{SCMP_SYS(fcntl), 1, F_SETFD},
		{SCMP_SYS(fcntl), 1, F_GETFL},
		{SCMP_SYS(fcntl), 1, F_SETFL},
		{SCMP_SYS(fcntl), 1, F_DUPFD},
		{SCMP_SYS(fcntl), 1, F_DUPFD_CLOEXEC},
	};
	int r = 0;
	for (size_t i = 0; r == 0 && i < sizeof(rules) / sizeof(rules[0]); i++)
		r = seccomp_rule_add(filter, SCMP_ACT_ALLOW, rules[i].call, 1,
				     SCMP_CMP(rules[i].argument, SCMP_CMP_EQ, rules[i].value));
	return r;
}

static int fill(scmp_filter_ctx filter)
{
	int r = 0;
	for (size_t i = 0; r == 0 && i < sizeof(allowed) / sizeof(allowed[0]); i++) {
		int call = seccomp_syscall_resolve_name(allowed[i]);
		if (call != __NR_SCMP_ERROR)
			r = seccomp_rule_add(filter, SCMP_ACT_ALLOW, call, 0);
		if (r == -EDOM || r == -EINVAL) /* not of this architecture */
			r = 0;
	}
	static const int families[] = {AF_INET, AF_INET6, AF_UNIX};
	for (size_t i = 0; r == 0 && i < 3; i++)
		r = seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(socket), 1,
				     SCMP_A0(SCMP_CMP_EQ, (scmp_datum_t)families[i]));
	/* memory is written or run, never both */
	if (r == 0)
		r = seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(mprotect), 1,
				     SCMP_A2(SCMP_CMP_MASKED_EQ, PROT_EXEC, 0));
	if (r == 0)
		r = seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(mmap), 1,
				     SCMP_A2(SCMP_CMP_MASKED_EQ, PROT_EXEC, 0));
	return r;
}

int sandbox_enter(void)
{
	scmp_filter_ctx filter = seccomp_init(SCMP_ACT_ERRNO(EPERM));
	if (!filter)
		return -ENOMEM;
	int r = fill(filter);
	if (r == 0)
		r = fill_own(filter);
	if (r == 0)
		r = seccomp_load(filter); /* sets no_new_privs too */
	seccomp_release(filter);
	return r == -EFAULT ? -ENOSYS : r;
}
