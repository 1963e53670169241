/*
 * date - reads the dates of mail: RFC 5322 section 3.3 with the obsolete forms of section 4.3.
 *
 * Read generously, as mail has it: the day of the week and comments are skipped, the year may
 * have two digits, seconds and zone may be missing (then UTC), military zones count as -0000.
 */
#pragma once

#include "base/span.h"

/* False when there is no day, month, year and time of day in it. */
bool date_parse(struct span s, int64_t *us_r);

/* As date_parse(); `strict_r` tells whether it also follows the grammar of section 3.3, obsolete
 * zones and two-digit years excluded. */
bool date_parse_strict(struct span s, int64_t *us_r, bool *strict_r);

/* The form of ctime(3), as mbox separators have it: "Sat Jan  3 01:05:34 1996", zone ignored. */
bool date_parse_ctime(struct span s, int64_t *us_r);
