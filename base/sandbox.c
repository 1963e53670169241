#include "base/sandbox.h"

#include <errno.h>
#include <seccomp.h>
#include <stddef.h>
#include <sys/mman.h>
#include <sys/socket.h>

/* Names, because not every architecture has every call; the unknown ones are passed over. */
static const char *const allowed[] = {
	/* time and life */
	"clock_gettime", "clock_nanosleep", "nanosleep", "gettimeofday", "time", "getpid", "gettid",
	"getuid", "geteuid", "getgid", "getegid", "exit", "exit_group", "sched_yield", "getrandom",
	"restart_syscall", "rt_sigaction", "rt_sigprocmask", "rt_sigreturn", "rt_sigtimedwait",
	"sigaltstack", "tgkill", "getrusage", "sysinfo", "uname", "prlimit64", "getrlimit", "rseq", "set_robust_list",
	"sched_getaffinity",
	/* memory */
	"brk", "munmap", "mremap", "madvise", "membarrier", "futex",
	/* what is open */
	"read", "readv", "write", "writev", "pread64", "pwrite64", "close", "fstat", "newfstatat",
	"lseek", "fcntl", "dup", "ftruncate", "memfd_create",
	"epoll_create1", "epoll_ctl", "epoll_wait", "epoll_pwait", "epoll_pwait2", "poll", "ppoll",
	"select", "pselect6", "eventfd2", "pipe2", "timerfd_create", "timerfd_settime",
	/* sockets; socket() itself is looked at below */
	"connect", "bind", "accept", "accept4", "getsockname", "getpeername", "getsockopt",
	"setsockopt", "sendto", "sendmsg", "sendmmsg", "recvfrom", "recvmsg", "recvmmsg", "shutdown",
};

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
		r = seccomp_load(filter); /* sets no_new_privs too */
	seccomp_release(filter);
	return r == -EFAULT ? -ENOSYS : r;
}
