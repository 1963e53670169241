/*
 * dmarc_lib - libopendmarc behind one question: which policy does this record ask for?
 *
 * Only this file's .c includes libopendmarc's header.
 */
#pragma once

#include "analyze/dmarc_record.h"

enum dmarc_place {
	DMARC_AT_AUTHOR,   /* the record stands at the author's domain: p */
	DMARC_ABOVE,       /* above it: sp, else p */
	DMARC_ABOVE_NONE,  /* above it, and the author's domain does not exist: np, sp, p */
};

/* What the record wants of a message that fails. DMARC_BAD: our own trouble. */
enum dmarc_policy dmarc_lib_policy(const struct dmarc_record *record, enum dmarc_place place);
