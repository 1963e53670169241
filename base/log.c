#include "base/log.h"

#include <stdarg.h>
#include <stdio.h>
#include <unistd.h>

#include "base/clock.h"

static enum log_level threshold = LOG_WARN;

void log_set_level(enum log_level level)
{
	threshold = level;
}

void log_event(enum log_level level, const char *event, const char *format, ...)
{
	static const char *const names[] = {"error", "warn", "info", "debug"};
	if (level > threshold)
		return;
	char when[CLOCK_TEXT_BYTES], line[2048];
	int n = snprintf(line, sizeof(line), "%s %s %s ", clock_rfc3339(clock_now_us(), when),
			 names[level], event);
	va_list args;
	va_start(args, format);
	int m = vsnprintf(line + n, sizeof(line) - (size_t)n - 1, format, args);
	va_end(args);
	size_t room = sizeof(line) - (size_t)n - 2;
	size_t len = (size_t)n + (m < 0 ? 0 : (size_t)m < room ? (size_t)m : room);
	line[len++] = '\n';
	/* One write, so lines of several processes do not mix; a full stderr loses the line. */
	if (write(STDERR_FILENO, line, len) < 0)
		return;
}

const char *log_safe(struct span s)
{
	static _Thread_local char texts[4][201];
	static _Thread_local unsigned next;
	char *out = texts[next++ % 4];
	size_t at = 0;
	for (size_t i = 0; i < s.n && at + 4 < sizeof(texts[0]); i++) {
		unsigned char c = (unsigned char)s.p[i];
		if (c > 0x20 && c != 0x7f)
			out[at++] = (char)c;
		else
			at += (size_t)snprintf(out + at, 5, "\\x%02x", c);
	}
	out[at] = '\0';
	return out;
}
