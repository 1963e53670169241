/* eventlog_private - what eventlog.c and eventlog_reader.c share: the folder of segments. */
#pragma once

#include "feedback/eventlog.h"

/* A handle of STATE/log, or negative errno. */
int eventlog_folder_open(const char *state);
/* The first segment behind `after`, with `after` NULL the last one; "" when there is none. */
int eventlog_folder_find(int folder, const char *after, char name_r[EVENTLOG_NAME_BYTES]);
/* A compressed segment has this behind its name. */
#define EVENTLOG_ZST ".zst"
#define EVENTLOG_FILE_BYTES (EVENTLOG_NAME_BYTES + 4)
/* The segment's file, compressed or not; -ENOENT when it is gone. */
int eventlog_folder_open_file(int folder, const char *name, bool *compressed_r);
