#include "capture/pcap.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <pcap/pcap.h>
#include <zlib.h>

#include "base/clock.h"
#include "base/limits.h"
#include "capture/pcapng.h"

/* Octets read from a file at once: few calls, and what is read stays in the cache. */
#define FILE_BUFFER ((size_t)256 << 10)

/* What can carry SMTP: TCP, fragments of it, tunnels, and IPv6 with headers in front of what it
 * carries. `vlan` comes last: what follows it is looked for behind a tag. On Linux it also knows
 * the tags that the interface has taken off, and what stands in front of it sees such a frame
 * without its tag. */
#define FILTER "tcp or ip[6:2] & 0x3fff != 0 or ip proto 4 or ip proto 41 or ip proto 47 or " \
	       "udp dst port 4789 or (ip6 and not ip6 proto 17 and not ip6 proto 58) or " \
	       "ether proto 0x8847 or ether proto 0x8848 or ether proto 0x8864 or vlan"
/* The same where link types have no Ethernet numbers (raw IP, PPP). */
#define FILTER_IP "tcp or ip[6:2] & 0x3fff != 0 or ip proto 4 or ip proto 41 or ip proto 47 or " \
		  "udp dst port 4789 or (ip6 and not ip6 proto 17 and not ip6 proto 58)"

struct pcap_source {
	pcap_t *pcap;       /* NULL: a pcapng file */
	struct pcapng *ng;
	FILE *file;         /* of `ng` */
	char *buffer;       /* of a file's stream */
	int link;
	bool live;
	unsigned last_recv, last_drop, last_ifdrop; /* libpcap counts in 32 bits */
	struct pcap_counters counters;
};

static char message[PCAP_ERRBUF_SIZE + 64];

/* libpcap reads a FILE; gzip is undone through a pipe of our own stream. */
static ssize_t gzip_read(void *cookie, char *out, size_t n)
{
	int got = gzread(cookie, out, n > INT32_MAX ? INT32_MAX : (unsigned)n);
	return got < 0 ? -1 : got;
}

static int gzip_close(void *cookie)
{
	return gzclose_r(cookie) == Z_OK ? 0 : -1;
}

/* `buffer` has FILE_BUFFER octets and outlives the stream: setvbuf() makes none of that size. */
static FILE *open_stream(const char *path, char *buffer, int *error_r)
{
	unsigned char magic[2] = {0};
	bool piped = strcmp(path, "-") == 0; /* cannot go back; zlib passes on what is no gzip */
	FILE *file = piped ? NULL : fopen(path, "rbe");
	*error_r = -errno;
	if (!file && !piped)
		return NULL;
	if (file) {
		setvbuf(file, buffer, _IOFBF, FILE_BUFFER);
		bool gzip = fread(magic, 1, 2, file) == 2 && magic[0] == 0x1f && magic[1] == 0x8b;
		rewind(file);
		if (!gzip)
			return file;
		fclose(file);
	}
	int fd = piped ? fcntl(STDIN_FILENO, F_DUPFD_CLOEXEC, 0) : -1;
	gzFile compressed = piped ? gzdopen(fd, "rb") : gzopen(path, "rb");
	*error_r = compressed ? 0 : -errno;
	if (!compressed)
		return NULL;
	gzbuffer(compressed, 1 << 18);
	cookie_io_functions_t io = {.read = gzip_read, .close = gzip_close};
	if ((file = fopencookie(compressed, "rb", io)))
		setvbuf(file, buffer, _IOFBF, FILE_BUFFER);
	return file;
}

static int finish_open(struct pcap_source **s_r, pcap_t *pcap, char *buffer)
{
	struct pcap_source *s = malloc(sizeof(*s));
	if (!s) {
		pcap_close(pcap);
		free(buffer);
		return -ENOMEM;
	}
	*s = (struct pcap_source){.pcap = pcap, .buffer = buffer, .link = pcap_datalink(pcap),
				  .live = !buffer};
	*s_r = s;
	return 0;
}

/* No pcap file begins with this octet. */
static int open_pcapng(struct pcap_source **s_r, FILE *file, char *buffer)
{
	struct pcap_source *s = calloc(1, sizeof(*s));
	if (!s || !(s->ng = pcapng_create(file))) {
		free(s);
		fclose(file);
		free(buffer);
		return -ENOMEM;
	}
	s->file = file;
	s->buffer = buffer;
	*s_r = s;
	return 0;
}

int pcap_source_open_file(struct pcap_source **s_r, const char *path, const char **error_r)
{
	int error = 0;
	char why[PCAP_ERRBUF_SIZE] = "";
	char *buffer = malloc(FILE_BUFFER);
	*error_r = "out of memory";
	if (!buffer)
		return -ENOMEM;
	FILE *file = open_stream(path, buffer, &error);
	*error_r = message;
	if (!file) {
		free(buffer);
		snprintf(message, sizeof(message), "%s", strerror(-error));
		return error;
	}
	int first = fgetc(file); /* a gzip stream cannot go back further */
	ungetc(first, file);
	if (first == 0x0a)
		return open_pcapng(s_r, file, buffer);
	pcap_t *pcap = pcap_fopen_offline_with_tstamp_precision(file, PCAP_TSTAMP_PRECISION_MICRO,
								why);
	if (!pcap) {
		fclose(file);
		free(buffer);
		snprintf(message, sizeof(message), "no capture file: %s", why);
		return -EINVAL;
	}
	return finish_open(s_r, pcap, buffer);
}

int pcap_source_open_live(struct pcap_source **s_r, const char *interface, size_t ring_bytes,
			  const char **error_r)
{
	char why[PCAP_ERRBUF_SIZE] = "";
	struct bpf_program filter;
	pcap_t *pcap = pcap_create(interface, why);
	*error_r = message;
	if (!pcap) {
		snprintf(message, sizeof(message), "%s", why);
		return -EINVAL;
	}
	int ring = ring_bytes > INT32_MAX ? INT32_MAX : (int)ring_bytes;
	int r = pcap_set_snaplen(pcap, LIMIT_SNAPLEN);
	r = r ? r : pcap_set_promisc(pcap, 1);
	r = r ? r : pcap_set_timeout(pcap, 200); /* no immediate mode: it costs ten times the CPU */
	r = r ? r : pcap_set_buffer_size(pcap, ring);
	r = r ? r : pcap_activate(pcap);
	if (r < 0) {
		int error = r == PCAP_ERROR_PERM_DENIED		 ? -EPERM
			    : r == PCAP_ERROR_NO_SUCH_DEVICE ? -ENODEV
							     : -EIO;
		const char *text = pcap_geterr(pcap);
		snprintf(message, sizeof(message), "%s", *text ? text : pcap_statustostr(r));
		pcap_close(pcap);
		return error;
	}
	/* A filter that this link type does not have is no reason to see nothing. */
	if (pcap_compile(pcap, &filter, FILTER, 1, PCAP_NETMASK_UNKNOWN) == 0 ||
	    pcap_compile(pcap, &filter, FILTER_IP, 1, PCAP_NETMASK_UNKNOWN) == 0) {
		pcap_setfilter(pcap, &filter);
		pcap_freecode(&filter);
	}
	if (pcap_setnonblock(pcap, 1, why) < 0) {
		snprintf(message, sizeof(message), "%s", why);
		pcap_close(pcap);
		return -EIO;
	}
	return finish_open(s_r, pcap, NULL);
}

void pcap_source_close(struct pcap_source *s)
{
	if (!s)
		return;
	if (s->pcap)
		pcap_close(s->pcap);
	pcapng_free(s->ng);
	if (s->file)
		fclose(s->file);
	free(s->buffer);
	free(s);
}

int pcap_source_next(struct pcap_source *s, struct pcap_frame *frame, const char **error_r)
{
	struct pcap_pkthdr *header;
	const unsigned char *octets;
	if (s->ng)
		return pcapng_next(s->ng, frame, error_r);
	int r = pcap_next_ex(s->pcap, &header, &octets);
	*error_r = message;
	if (r == 1) {
		*frame = (struct pcap_frame){
			{(const char *)octets, header->caplen},
			(int64_t)header->ts.tv_sec * US_PER_S + header->ts.tv_usec,
			s->link,
		};
		return 1;
	}
	if (r == 0)
		return 0;
	if (r == PCAP_ERROR_BREAK)
		return -ENODATA;
	snprintf(message, sizeof(message), "%s", pcap_geterr(s->pcap));
	return -EIO;
}

int pcap_source_fd(struct pcap_source *s)
{
	return s->live ? pcap_get_selectable_fd(s->pcap) : -1;
}

void pcap_source_count(struct pcap_source *s, struct pcap_counters *counters_r)
{
	struct pcap_stat st;
	if (s->live && pcap_stats(s->pcap, &st) == 0) {
		s->counters.received += st.ps_recv - s->last_recv;
		s->counters.dropped += st.ps_drop - s->last_drop;
		s->counters.interface_dropped += st.ps_ifdrop - s->last_ifdrop;
		s->last_recv = st.ps_recv;
		s->last_drop = st.ps_drop;
		s->last_ifdrop = st.ps_ifdrop;
	}
	*counters_r = s->counters;
}

bool pcap_looks_like_capture(struct span s)
{
	static const char *const magics[] = {"\xd4\xc3\xb2\xa1", "\xa1\xb2\xc3\xd4",
					     "\x4d\x3c\xb2\xa1", "\xa1\xb2\x3c\x4d",
					     "\x0a\x0d\x0d\x0a"};
	for (size_t i = 0; i < sizeof(magics) / sizeof(magics[0]); i++)
		if (s.n >= 4 && memcmp(s.p, magics[i], 4) == 0)
			return true;
	return s.n >= 2 && (unsigned char)s.p[0] == 0x1f && (unsigned char)s.p[1] == 0x8b;
}
