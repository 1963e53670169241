/* redact_private - what redact.c and redact_message.c share. */
#pragma once

#include "base/utf8.h"
#include "feedback/redact.h"

/* "local@domain" apart, quotes and a final dot off; false when it is no address. */
bool redact_split(struct span address, struct span *local_r, struct span *domain_r);
/* The other form of an internationalised domain: A-labels for U-labels and back. .p NULL when
 * the domain has only one. */
struct span redact_domain_form(struct span domain, struct arena *arena);
struct arena *redactor_arena(const struct redactor *r);
