/*
 * config - what the postmaster wrote in assay.conf, or the defaults when he wrote nothing.
 *
 * The statements are those of assay.conf(5). Every default is in config_init(), so that Assay
 * works without a file.
 *
 * Ownership: config_load() makes a config whole or not at all; all strings are its own,
 *            config_free() gives everything back.
 * Errors:    faults of the file are printed by diag as file:line:column and make
 *            CONFIG_E_FAULTS; negative errno when the file cannot be read (also printed).
 * Paths:     a relative one is taken from the folder of the file, so that `assay run` works from
 *            any folder.
 * Units:     microseconds, bytes.
 */
#pragma once

#include "base/arena.h"

struct diag;

enum { CONFIG_E_FAULTS = 1 };

enum dns_source { DNS_RESOLV_CONF, DNS_FORWARD, DNS_ZONE };
enum dmarc_standard { DMARC_RFC9989, DMARC_RFC7489 };
enum redis_kind { REDIS_SPAWN, REDIS_UNIX, REDIS_TCP, REDIS_CLUSTER };
enum report_via { REPORT_VIA_NONE, REPORT_VIA_SMTP, REPORT_VIA_FOLDER };

struct config_texts {
	const char **v;
	const struct config_place {
		unsigned line, column;
	} *at; /* where each stands in the file; NULL: a default */
	size_t n;
};

struct config_listener {
	const char *address; /* "unix:/path" or "host:port"; NULL = not asked for */
	int64_t deadline_us;
	unsigned mode;     /* of a unix socket */
	const char *group; /* of a unix socket; NULL = unchanged */
};

struct config {
	struct arena arena;
	const char *file;  /* NULL: the embedded defaults */
	struct span text;  /* of the file */
	const char *state; /* state folder */
	bool state_given;  /* a `state` statement stood in the file */
	struct {
		enum redis_kind kind;
		struct config_texts addresses; /* path or host:port ... */
	} redis;
	struct {
		enum dns_source source;
		struct config_texts servers; /* "127.0.0.1@53" */
		const char *zone;            /* DNS_ZONE */
		int64_t deadline_us;
	} dns;
	enum dmarc_standard dmarc;
	struct config_listener milter, policy, http;
	struct {
		const char *verdict, *results; /* names of the fields that we add */
		bool quarantine;               /* mail that is tagged goes to the MTA's quarantine */
	} milter_headers;
	struct {
		const char *interface; /* NULL: no capture */
		uint16_t ports[16];
		size_t n_ports;
		size_t ring_bytes;
	} capture;
	struct config_texts spool_maildirs;
	struct config_texts spool_complaints; /* folders with a complaint in each file */
	struct config_texts rules; /* folders, later ones are local tuning; see base/paths.h */
	struct config_texts packs;
	bool registry_copied; /* the registry is another gateway's; Redis has the copy */
	const char *host; /* our authserv-id and Reporting-MTA */
	struct {
		const char *from; /* NULL: reports are queued, not sent */
		const char *dkim_selector, *dkim_key_file;
		enum report_via via;
		const char *to; /* host:port or folder */
		uint64_t cap;   /* reports to one sender in a day; 0: LIMIT_REPORTS_PER_DAY */
	} report;
	struct {
		const char *via; /* host:port that connections go to; NULL: straight to the host */
		const char *ca;  /* file of CA certificates; NULL: those of the system */
	} webhook;
	struct {
		int64_t hold_us, jitter_us;
	} complain;
	struct {
		int64_t compress_us, keep_us; /* age of a segment; keep_us 0: for ever */
	} log;
	const char *user;
	unsigned workers; /* analysis processes of `run`; 0: one a core */
	struct config_texts dnsbl_ip, dnsbl_domain, dnsbl_url;
};

void config_init(struct config *c);
/* `path` NULL: /etc/assay/assay.conf when it is there, else the defaults. */
__attribute__((warn_unused_result)) int config_load(struct config *c, const char *path);
/* The same from the text of one that was loaded: in a process that may not read the file, or that shall
 * not read another. `file` NULL: the defaults. */
__attribute__((warn_unused_result)) int config_load_text(struct config *c, const char *file,
							 struct span text);
/* The same from octets in memory, for tests; `file` names them in messages. */
__attribute__((warn_unused_result)) int config_parse(struct config *c, const char *file,
						     struct span bytes, struct diag *diag);
void config_free(struct config *c);
/* How many analysis processes that makes here, 64 at most. */
unsigned config_workers(const struct config *c);
