/* redact_private - what redact.c and redact_message.c share. */
#pragma once

#include "base/utf8.h"
#include "feedback/redact.h"

/* "local@domain" apart, quotes and a final dot off; false when it is no address. */
bool redact_split(struct span address, struct span *local_r, struct span *domain_r);
struct arena *redactor_arena(const struct redactor *r);
