/* eventlog_private - what eventlog.c and eventlog_reader.c share: the folder of segments. */
#pragma once

#include "feedback/eventlog.h"

/* A handle of STATE/log, or negative errno. */
int eventlog_folder_open(const char *state);
/* The first segment behind `after`, with `after` NULL the last one; "" when there is none. */
int eventlog_folder_find(int folder, const char *after, char name_r[EVENTLOG_NAME_BYTES]);
