/*
 * pcap - packets from capture files and interfaces; the one file with libpcap is pcap.c.
 *
 * Files: pcap and pcapng, plain or gzip. Interfaces: snaplen 262144 (segmentation offload hands
 * over frames of 64 KiB), a ring that holds half a second of a full link, a filter for TCP and
 * what may carry it; checksums are not verified (offload leaves them wrong).
 *
 * Ownership: pcap_source_open_*() .. pcap_source_close(). A frame lives during the call.
 * Errors:    negative errno, and `error_r` for people, in memory of the source's file.
 */
#pragma once

#include "base/config.h"
#include "base/span.h"

struct pcap_source;

struct pcap_frame {
	struct span octets;
	int64_t time_us;
	int link; /* LINKTYPE_ */
};

/* What the kernel says of an interface since it was opened. */
struct pcap_counters {
	uint64_t received;          /* frames that passed the filter, dropped ones included */
	uint64_t dropped;           /* there was no room in the ring */
	uint64_t interface_dropped; /* by the driver, whatever was in them */
};

__attribute__((warn_unused_result)) int pcap_source_open_file(struct pcap_source **s_r,
							      const char *path,
							      const char **error_r);
__attribute__((warn_unused_result)) int pcap_source_open_live(struct pcap_source **s_r,
							      const char *interface,
							      size_t ring_bytes,
							      const char **error_r);
void pcap_source_close(struct pcap_source *s); /* accepts NULL */

/* 1 a frame, 0 none is there now (live; never waits), -ENODATA at the end of a file, other
 * negative errno with `error_r`. A file cut inside a packet ends there, and says so. */
__attribute__((warn_unused_result)) int pcap_source_next(struct pcap_source *s,
							 struct pcap_frame *frame_r,
							 const char **error_r);
/* Readable when there may be frames of an interface; -1 for a file. */
int pcap_source_fd(struct pcap_source *s);
/* All zero for a file. */
void pcap_source_count(struct pcap_source *s, struct pcap_counters *counters_r);

/* Whether the file begins as a capture does. */
bool pcap_looks_like_capture(struct span first_octets);
