/*
 * envelope - what can be known of the SMTP envelope of a message in a spool.
 *
 * From the MTA's trace fields (RFC 5321 section 4.4): Return-Path gives MAIL FROM, Received the
 * client, HELO, time and often the recipient, Delivered-To and its relatives the recipients. All
 * of it is *inferred*. A file X.eml.envelope beside X.eml, with the keys of the txn event, says
 * it better and counts as *seen*.
 */
#pragma once

#include "capture/txn.h"

/* Fills what `t` does not know from the header of t->message. */
void envelope_infer(struct txn *t);

/* Reads PATH.envelope when it is there. 0 also when there is none; -EINVAL when it is no JSON
 * object or a value has the wrong type (`why` says which), negative errno when unreadable. */
__attribute__((warn_unused_result)) int envelope_read(struct txn *t, const char *path,
						      const char **why);
/* The same from text. */
__attribute__((warn_unused_result)) int envelope_from_json(struct txn *t, struct span text,
							   const char **why);
