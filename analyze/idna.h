/* idna - domain names in their wire form: lower case, A-labels (RFC 5890). The only user of libidn2. */
#pragma once

#include "base/arena.h"

/* Lower case; U-labels become A-labels. What has no such form is lower-cased ASCII as it stands.
 * In the arena; empty when that is full. */
struct span idna_to_ascii(struct arena *arena, struct span domain);
/* U-labels for A-labels, as people read it; `domain` itself when it has none. */
struct span idna_to_unicode(struct arena *arena, struct span domain);
