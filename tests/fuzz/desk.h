/* desk - a complaint desk in a folder of its own, which goes when the fuzzer ends. */
#pragma once

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "feedback/complaint.h"

static char folder[64];
static struct config config;
static struct complaint_desk desk;

static void desk_clean(void)
{
	char command[80];
	complaint_desk_close(&desk);
	snprintf(command, sizeof(command), "rm -rf %s", folder);
	if (system(command) != 0)
		perror(folder);
}

static void desk_set_up(void)
{
	/* in memory, if that can be: each input waits for a commit or two */
	snprintf(folder, sizeof(folder), "%s/assay-fuzz.XXXXXX",
		 access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp");
	if (!mkdtemp(folder))
		abort();
	config = (struct config){.state = folder, .host = "mx1.mbox.example"};
	config.report.from = "fbl@mbox.example";
	if (complaint_desk_open(&desk, &config) < 0)
		abort();
	atexit(desk_clean);
}
