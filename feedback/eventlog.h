/*
 * eventlog - what happened, one JSON object a line in the .jsonl files of STATE/log.
 *
 * Lines are appended and never changed. The log is the truth; books, rates and receipts in Redis
 * are made from it and can be made again. Several processes append to it at once, each line
 * whole; a line that a crash tore off is cut away by whoever appends or opens next. Segments are
 * named by the time of their making, so the order of the names is the order of the log; a
 * finished segment is read-only, compressed after a while (NAME.jsonl.zst) and removed in the end.
 * Readers read both; a place in a segment stays the same.
 *
 * Ownership: eventlog_open() .. eventlog_close(), eventlog_reader_open() .. _close(). A line from
 *            a reader lives until the next call on that reader.
 * Units:     octets. A position is the place behind the last line that was read.
 * Errors:    negative errno; -ENOSPC leaves the log as it was, and the caller decides.
 * Standard:  CONTRACT sections 2 and 3 for the lines.
 */
#pragma once

#include "base/span.h"

struct eventlog;
struct eventlog_reader;

#define EVENTLOG_NAME_BYTES 32 /* "20261124-003000-123456.jsonl" with NUL */

/* Where the log was read up to. All zero: its beginning. */
struct eventlog_position {
	char segment[EVENTLOG_NAME_BYTES];
	uint64_t offset;
};

/* "20261124-003000-123456.jsonl:4711"; "" for the beginning. */
#define EVENTLOG_POSITION_BYTES (EVENTLOG_NAME_BYTES + 22)
const char *eventlog_position_text(const struct eventlog_position *p,
				   char out[EVENTLOG_POSITION_BYTES]);
bool eventlog_position_parse(struct span s, struct eventlog_position *p_r);
/* <0, 0, >0 as `a` lies before, at or behind `b`. */
int eventlog_position_cmp(const struct eventlog_position *a, const struct eventlog_position *b);

/* Makes the folder and the first segment when they are not there, cuts a torn last line. */
__attribute__((warn_unused_result)) int eventlog_open(struct eventlog **log_r, const char *state);
void eventlog_close(struct eventlog *log); /* accepts NULL */

/* One event, with or without its LF; inside it no LF. When it returns 0 the line is in the file
 * and survives the death of this process. -EINVAL: an LF inside or no text at all. */
__attribute__((warn_unused_result)) int eventlog_append(struct eventlog *log, struct span line);
/* The same, and tells where the line begins. */
__attribute__((warn_unused_result)) int eventlog_append_at(struct eventlog *log, struct span line,
							   struct eventlog_position *at_r);

/* Reads on from `from`. A segment that is gone is passed over to the next one. -ENOENT: there is
 * no log yet. */
__attribute__((warn_unused_result)) int eventlog_reader_open(struct eventlog_reader **reader_r,
							     const char *state,
							     const struct eventlog_position *from);
void eventlog_reader_close(struct eventlog_reader *reader); /* accepts NULL */
/* 1: a line, without its LF; 0: the end for now, later calls go on; negative errno. */
__attribute__((warn_unused_result)) int eventlog_next(struct eventlog_reader *reader,
						      struct span *line_r);
/* The place of the line that came last, and the place behind it. */
struct eventlog_position eventlog_reader_line(const struct eventlog_reader *reader);
struct eventlog_position eventlog_reader_position(const struct eventlog_reader *reader);
/* What was read so far is on the disk when this returns 0. */
__attribute__((warn_unused_result)) int eventlog_reader_sync(struct eventlog_reader *reader);

/* The beginning of the segment that was written to at `us`; the first one's where that is gone. */
__attribute__((warn_unused_result)) int eventlog_at_time(const char *state, int64_t us,
							 struct eventlog_position *at_r);
/* When the segment of a position was begun. */
int64_t eventlog_begun_us(const struct eventlog_position *at);

/* The place behind the last whole line of the log now; zeros where there is no log yet. */
__attribute__((warn_unused_result)) int eventlog_end(const char *state,
						     struct eventlog_position *end_r);
/* How much log lies behind `at`, in octets on the disk: of a compressed segment its own. */
__attribute__((warn_unused_result)) int eventlog_behind(const char *state,
							const struct eventlog_position *at,
							uint64_t *octets_r);
/* The one line at `at`; malloc'd into *line_r. -ENOENT when it is not there (any more). */
__attribute__((warn_unused_result)) int eventlog_line_at(const char *state,
							 const struct eventlog_position *at,
							 struct span *line_r);

/* Compresses the first segment behind whose last line `compress_us` have passed, or removes the
 * first that is older than `keep_us` (0: never), of those that lie whole before `applied`. 1: one
 * was done, there may be more; 0: none; negative errno. One process at a time. */
__attribute__((warn_unused_result)) int eventlog_tidy(const char *state,
						      const struct eventlog_position *applied,
						      int64_t compress_us, int64_t keep_us);
