/* commands - the verbs of this layer, for the table in main.c. */
#pragma once

#include "base/command.h"

command_fn cmd_capture;
