/*
 * milter_stream - what libmilter reads and writes, in larger pieces than it asks for.
 *
 * libmilter asks for each command's five octets and for its argument by itself, and looks before
 * each whether there is something: five system calls a field of a message's head, which was most of
 * what a message cost us. It has no hook for that, so the build gives it these functions in place of
 * the C library's (capture/meson.build renames six symbols in a copy of libmilter.a; nothing else
 * of the process is touched). They keep what POSIX says of their namesakes; only the kernel is asked
 * less often: input is read ahead, output is collected until libmilter looks for input again.
 *
 * libmilter's pool of threads may give two connections that become ready together to one thread. So
 * that a peer that stops inside a frame holds up nobody else, a connection is ready here when a frame
 * is whole. Such a peer's connection fails after LIMIT_MILTER_FRAME_S; for one that is silent between
 * two frames libmilter has a time of its own, which it takes by the time of day: here that is a clock
 * that does not jump.
 *
 * Files that milter_stream_accept() did not make are passed through.
 *
 * Ownership: a stream lives from accept to close.
 * Threads:   one at a time a file, as libmilter keeps it; any number of files.
 * Errors:    as the namesakes; one of collected output comes with the next call for its file.
 * Limits:    a frame and LIMIT_MILTER_AHEAD_BYTES; an idle connection holds nothing.
 */
#pragma once

#include <poll.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <time.h>

int milter_stream_accept(int listener, struct sockaddr *address, socklen_t *n);
int milter_stream_poll(struct pollfd *files, nfds_t n, int timeout_ms);
ssize_t milter_stream_read(int fd, void *out, size_t n);
ssize_t milter_stream_writev(int fd, const struct iovec *parts, int n);
int milter_stream_close(int fd);
time_t milter_stream_time(time_t *out); /* seconds of clock_mono_us() */

/* The letter of the command whose argument this thread read last: in a callback, the one that it is
 * called for. */
char milter_stream_command(void);
