/*
 * complaint_drop - complaints of accounts that cannot write the state folder, such as a mail
 * store's: left in STATE/intake, taken by the next process that can.
 *
 * The folder can be written by everybody and listed by its owner alone (mode 1733); a file's name
 * is an id with 80 random bits. A file is a line of words, then the octets handed in. It is removed
 * when its complaint is in the database; a second taking of it is a duplicate.
 */
#pragma once

#include "feedback/complaint.h"

/* Makes the folder when we own the state folder. */
void complaint_drop_open(const char *state);
/* Leaves a complaint. Negative errno; the file is whole or not there. */
__attribute__((warn_unused_result)) int complaint_drop(const char *state, const struct complaint *c,
						       int64_t now_us);
/* Takes what was left; what cannot be taken now stays. Counts into *taken_r. Negative errno of the
 * first trouble. */
__attribute__((warn_unused_result)) int complaint_collect(struct complaint_desk *desk,
							  int64_t now_us, unsigned *taken_r);
