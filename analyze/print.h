/*
 * print - a verdict for people: one line with its findings, a table of senders, or one mail
 * explained clause by clause. English or Chinese.
 *
 * Everything that came from mail is printed without control characters, so that a subject cannot
 * drive the terminal.
 */
#pragma once

#include "analyze/analyze.h"
#include "base/command.h"

/* The verdict's line and one line for each finding. */
void print_verdict(const struct analysis *a, enum lang lang, struct buf *out);

/* One mail in depth: envelope and how it is known, authentication, every clause with the rules
 * that judge it, evidence quoted. */
void print_explanation(const struct analysis *a, enum lang lang, struct buf *out);

/* Totals per sender of a scan. */
struct summary;
struct summary *summary_create(void); /* NULL when out of memory */
void summary_add(struct summary *s, const struct analysis *a);
void summary_print(const struct summary *s, enum lang lang, struct buf *out);
void summary_free(struct summary *s); /* accepts NULL */

/* `s` without control characters, line ends as blanks, bad bytes as U+FFFD, at most `bytes`. */
void print_safe(struct buf *out, struct span s, size_t bytes);
/* `s` padded with blanks to `columns`, cut when it is longer. Control characters become '?'. */
void print_cell(struct buf *out, struct span s, size_t columns);
/* A level or an action, as an event has it, in the reader's language; "-" for anything else. */
const char *print_word(struct span english, enum lang lang);
