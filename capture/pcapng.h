/*
 * pcapng - frames of a pcapng file, whatever interfaces it has.
 *
 * libpcap reads pcapng too, but refuses a file whose interfaces have different link types, and that
 * is what capturing on "any interface" writes. Read are section headers, interface descriptions and
 * the three kinds of packet blocks; other blocks are passed over.
 *
 * Ownership: pcapng_create() .. pcapng_free(); the stream stays the caller's. A frame lives until the
 *            next call.
 * Limits:    LIMIT_PCAPNG_BLOCK_BYTES, LIMIT_PCAPNG_INTERFACES.
 * Standard:  draft-ietf-opsawg-pcapng (PCAP Next Generation Capture File Format).
 */
#pragma once

#include <stdio.h>

#include "capture/pcap.h"

struct pcapng;

/* `file` stands at its beginning. NULL when out of memory. */
struct pcapng *pcapng_create(FILE *file);
void pcapng_free(struct pcapng *p); /* accepts NULL */
/* 1 a frame, -ENODATA at the end, other negative errno with `error_r`, a constant. */
__attribute__((warn_unused_result)) int pcapng_next(struct pcapng *p, struct pcap_frame *frame_r,
						    const char **error_r);
