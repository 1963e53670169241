/*
 * eventlog_zstd - a finished segment of the log compressed, and back.
 *
 * Errors: negative errno; -EBADMSG for what is no whole zstd frame or fails its checksum.
 * Standard: RFC 8878, so that `zstdcat` reads the segments too.
 */
#pragma once

/* From the start of `from` to its end, into `to`. */
__attribute__((warn_unused_result)) int eventlog_compress(int from, int to);
/* The same back, up to LIMIT_LOG_SEGMENT_BYTES and one event; -EFBIG past it. */
__attribute__((warn_unused_result)) int eventlog_decompress(int from, int to);
