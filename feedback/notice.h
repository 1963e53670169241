/*
 * notice - what a sender is told about his enrolment: that it ends soon, and that reports to his
 * feedback address or webhook have ended.
 *
 * The end is told 30, 14 and 3 days before it, each once; a suspended address once. What was told
 * stands in the queue's database, in the transaction that puts the mail in: no crash or restart
 * tells it twice or not at all. Mails go to the contact (org email), and never to the address
 * that they are about.
 *
 * Errors: negative errno; nothing is told then, and the next call tells it.
 */
#pragma once

#include "feedback/complaint.h"

/* Puts what is due into the queue; *made_r counts it. */
__attribute__((warn_unused_result)) int notice_work(struct complaint_desk *desk, int64_t now_us,
						    unsigned *made_r);
