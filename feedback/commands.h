/* commands - the verbs of this layer, for the table in main.c. */
#pragma once

#include "base/command.h"

command_fn cmd_bounce;
command_fn cmd_complain;
command_fn cmd_event;
command_fn cmd_explain;
command_fn cmd_queue;
command_fn cmd_rebuild;
command_fn cmd_reload;
command_fn cmd_report;
command_fn cmd_run;
command_fn cmd_scan;
command_fn cmd_sender;
command_fn cmd_status;
