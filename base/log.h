/*
 * log - one line an event on stderr: time, level, event name, key=value pairs.
 *
 *     log_warn("redis.away", "host=%s since=%lld", host, since);
 *
 * error = we failed, warn = the operator should act, info = normal life, debug.
 * Values that came from outside go through log_safe().
 *
 * Threads: from any; a line is one write(2). A stderr that cannot be written loses it.
 */
#pragma once

#include "base/span.h"

enum log_level { LOG_ERROR, LOG_WARN, LOG_INFO, LOG_DEBUG };

/* What is less urgent than this is not written; LOG_WARN until it is called. */
void log_set_level(enum log_level level);
/* `event`: "module.what", of this program's own words; the macros below are meant for callers. */
void log_event(enum log_level level, const char *event, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

#define log_error(event, ...) log_event(LOG_ERROR, event, __VA_ARGS__)
#define log_warn(event, ...) log_event(LOG_WARN, event, __VA_ARGS__)
#define log_info(event, ...) log_event(LOG_INFO, event, __VA_ARGS__)
#define log_debug(event, ...) log_event(LOG_DEBUG, event, __VA_ARGS__)

/* `s` with control characters and blanks as \xNN, cut to 200 bytes; four results live at once. */
const char *log_safe(struct span s);
