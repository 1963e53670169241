/* commands - the verbs of this layer, for the table in main.c. */
#pragma once

#include "base/command.h"

command_fn cmd_auth;
command_fn cmd_check;
command_fn cmd_show;
command_fn cmd_test;
