/*
 * complaint_spool - folders into which another program writes complaints, one a file (`spool
 * complaints FOLDER`): a Maildir's new/, or a plain folder.
 *
 * A file whose name begins with a dot or that still grows (younger than two seconds) is left alone.
 * A file is removed when its complaint is in the database; taken a second time, after a crash
 * between the two, it is a duplicate. A folder that we may not write into cannot be emptied: its
 * files are remembered by name, size and time, and each is taken once, across restarts.
 */
#pragma once

#include "feedback/complaint.h"

/* Counts into *taken_r. Negative errno of the first trouble; what cannot be taken stays. */
__attribute__((warn_unused_result)) int complaint_spool_take(struct complaint_desk *desk,
							     int64_t now_us, unsigned *taken_r);
