/*
 * sandbox - what a process that reads mail may still ask of the kernel (seccomp).
 *
 * After sandbox_enter() there are no files, no programs, no new processes: what is open stays
 * usable, and sockets can be made to ask the DNS and Redis. Signals and limits are for this process alone.
 * A forbidden call fails with EPERM and
 * is not the end: a library that tries one goes on without.
 *
 * Errors: negative errno; -ENOSYS where the kernel has no seccomp.
 */
#pragma once

__attribute__((warn_unused_result)) int sandbox_enter(void);
