/*
 * state_folder - the state folder belongs to one account, whoever runs a command.
 *
 * Run by root, a command that writes there becomes the folder's owner first, so that nothing in
 * it is root's and the roles can go on using it. What only root may read is read before.
 */
#pragma once

#include "base/config.h"

/* Makes the folder when it is missing (owner: config->user where that account exists), and gives
 * up root for the rest of the process. Negative errno. */
__attribute__((warn_unused_result)) int state_folder_enter(const struct config *config);

/* For a command that must go on reading as root (a scan of root's mail): its writes into the
 * state folder stand between these two. The folder is made as above. */
__attribute__((warn_unused_result)) int state_folder_step_in(const struct config *config);
void state_folder_step_out(void);
