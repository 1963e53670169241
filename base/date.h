/*
 * date - reads the dates of mail: RFC 5322 section 3.3 with the obsolete forms of section 4.3.
 *
 * Read generously, as mail has it: the day of the week and comments are skipped, the year may
 * have two digits, seconds and zone may be missing (then UTC), military zones count as -0000.
 *
 * Units:  microseconds since 1970-01-01T00:00:00Z.
 * Errors: false for what is no date
 */
#pragma once

#include "base/span.h"

/* False when there is no day, month, year and time of day in it. */
bool date_parse(struct span s, int64_t *us_r);

enum date_fault {
	DATE_OBSOLETE = 1, /* not of section 3.3's grammar: obsolete zone, two-digit year, ... */
	DATE_WEEKDAY = 2,  /* the day of the week is not the date's */
};

/* As date_parse(); sets *faults_r (enum date_fault) when it returns true. */
bool date_read(struct span s, int64_t *us_r, unsigned *faults_r);

/* As date_parse(); `strict_r` tells whether it also is as section 3.3 wants it: no fault. */
bool date_parse_strict(struct span s, int64_t *us_r, bool *strict_r);

/* The form of ctime(3), as mbox separators have it: "Sat Jan  3 01:05:34 1996", zone ignored. */
bool date_parse_ctime(struct span s, int64_t *us_r);
