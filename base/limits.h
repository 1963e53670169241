/*
 * limits - every bound that Assay puts on input, time and memory.
 *
 * One line each: value, unit, why it is this large, what happens at it. Hitting
 * a limit is data (a flag, a partial verdict), never an abort. A limit that only
 * one module can explain stands in that module's section below.
 */
#pragma once

/* --- a transaction ------------------------------------------------------- */

/* Bytes of memory for one transaction's analysis. The largest real newsletter of
 * our corpora needs under 4 MiB; past it the arena overflows and the verdict is partial. */
#define LIMIT_ARENA_BYTES ((size_t)96 << 20)

/* Bytes of free memory that a judging process keeps for the next message: a newsletter of 100 kB
 * needs 4 MiB, and a worker may have 64. */
#define LIMIT_KEPT_BYTES (8 << 20)

/* Bytes of one message that are judged. Gateways cap mail at 50-100 MB (base64
 * included); what lies behind is hashed and counted but not read. */
#define LIMIT_MESSAGE_BYTES ((size_t)128 << 20)

/* Bytes of one mbox or Maildir file: it is mapped, never read into memory as a whole, so this only
 * refuses nonsense sizes; and of what cannot be mapped (a pipe, a device), which memory holds. */
#define LIMIT_SPOOL_FILE_BYTES ((size_t)1 << 40)
#define LIMIT_PIPED_BYTES ((size_t)1 << 30)

/* Recipients kept of one transaction. Postfix's default is 1,000 and Exchange's 500;
 * more are counted, not kept, and flagged. */
#define LIMIT_RCPTS 10000

/* Microseconds a message may wait for DNS before what is missing counts as UNKNOWN. */
#define LIMIT_DNS_DEADLINE_US (3 * 1000000LL)

/* --- message parsing (analyze/preflight.c) -------------------------------- */

/* Bytes of header that reach the parser; the longest header of real mail seen is 40 KB. */
#define LIMIT_HEADER_BYTES ((size_t)256 << 10)

/* Header fields that reach the parser: GMime costs 1.1 us each and 500 bytes. */
#define LIMIT_HEADER_FIELDS 1000

/* ':' in one address field: each may open a group. Real fields have a handful. */
#define LIMIT_GROUP_COLONS 256

/* Addresses read of one address header; more are counted, not kept. */
#define LIMIT_ADDRESSES 10000

/* Parameters of one Content-Type or Content-Disposition; the most of real mail is 12. */
#define LIMIT_PARAMS 48

/* Nesting of multiparts that is followed: the boundary scan costs O(depth) for each line. */
#define LIMIT_MIME_DEPTH 64

/* MIME parts kept. */
#define LIMIT_MIME_PARTS 1000

/* Lines that begin with "--" and header lines behind them that reach GMime. Each may be a part,
 * which costs it 5 us and 1.4 KB, and with GMime's own bound of 1,024 levels another 4 us: 0.1 s. */
#define LIMIT_DASH_LINES 20000
#define LIMIT_PART_HEADER_LINES 20000

/* Places of one kind of fault that are kept; each kind is told, a person reads the first. */
#define LIMIT_FAULT_PLACES 4

/* Decoded bytes of text parts that are read, all together: 4 MiB is 40 times the size
 * at which Gmail clips a message. */
#define LIMIT_TEXT_BYTES ((size_t)4 << 20)

/* --- SPF and DMARC (analyze/spf*.c, analyze/dmarc*.c) ---------------------- */

/* Terms that cost a look-up, and look-ups that find nothing, of one check; MX and PTR
 * names of one look-up (RFC 7208 section 4.6.4). */
#define LIMIT_SPF_LOOKUPS 10
#define LIMIT_SPF_VOID_LOOKUPS 2
#define LIMIT_SPF_NAMES 10

/* Bytes of one SPF record: 8 times what fits into a UDP answer of old. Longer: permerror. */
#define LIMIT_SPF_RECORD_BYTES 4096

/* Bytes of a domain with macros in an SPF record: a name's length (RFC 7208 section 7.1). */
#define LIMIT_SPF_DOMAIN_SPEC_BYTES 255

/* Bytes that macros of one text may grow to; a name keeps its last 253 (RFC 7208 section
 * 7.3), an explanation is cut. */
#define LIMIT_SPF_EXPANSION_BYTES 4096

/* Parts a macro splits a value into: a name of 255 octets has 127; local parts may have
 * more delimiters, the rest is dropped. */
#define LIMIT_SPF_MACRO_PARTS 128

/* Bytes of one DMARC record that are read. Longer: no record. */
#define LIMIT_DMARC_RECORD_BYTES 4096

/* Queries of one DMARC tree walk (RFC 9989 section 4.10). */
#define LIMIT_DMARC_WALK 8

/* From fields beside the first that DMARC reads; one is right, and two already show the trick. */
#define LIMIT_DMARC_FROM_FIELDS 8

/* Domains of one message that are asked for at each block list; newsletters link to under ten. */
#define LIMIT_DNSBL_DOMAINS 20

/* --- content (analyze/html*.c, css.c, phrases.c) --------------------------- */

/* Attributes of one tag that are looked at; real tags have under 20. */
#define LIMIT_HTML_ATTRIBUTES 64

/* Elements open at once; real newsletters nest up to 90. Deeper ones take the style of the
 * deepest that is kept. */
#define LIMIT_HTML_DEPTH 256

/* Links and runs of text of one message that are kept; more are counted. The longest
 * digest seen has 700 links and 6,000 runs. */
#define LIMIT_HTML_LINKS 5000
#define LIMIT_HTML_RUNS 50000

/* Style rules of one message that are kept, and comparisons of a rule with an element (a
 * newsletter needs up to 30,000): past it only inline styles count and html.faults says
 * style-flood. */
#define LIMIT_CSS_RULES 4000
#define LIMIT_CSS_WORK 400000

/* Bytes of visible text whose phrases and identity are read. Readers do not go further. */
#define LIMIT_CONTENT_TEXT_BYTES ((size_t)512 << 10)

/* --- rules and configuration (base/lexer.c, analyze/rules_*.c) ------------ */

/* Bytes of one rule, list or configuration file. */
#define LIMIT_RULE_FILE_BYTES ((size_t)8 << 20)

/* Depth of parentheses and 'not' in one expression. */
#define LIMIT_RULE_DEPTH 100

/* Operands of 'and' and 'or' in one expression: judging may go down them with a frame each. */
#define LIMIT_RULE_OPERANDS 1000

/* Evidence items kept in one finding: a person reads them. */
#define LIMIT_EVIDENCE 8

/* Bytes of text in one evidence item, cut at a character. */
#define LIMIT_EVIDENCE_BYTES 240

/* --- event log (feedback/eventlog.c) --------------------------------------- */

/* Octets of one event, and of its recipients with their replies: LIMIT_RCPTS of real ones have 2 MB, but
 * a control character takes six. What is more is left out and flagged, or the log could not take the
 * event. All else in it is made of a header's LIMIT_HEADER_BYTES, and of what has limits of its own. */
#define LIMIT_EVENT_BYTES ((size_t)16 << 20)
#define LIMIT_EVENT_RCPTS_BYTES (LIMIT_EVENT_BYTES / 2)

/* Octets of a message that could not be judged in which its Message-ID is looked for: more than
 * any header that mail has. */
#define LIMIT_UNJUDGED_BYTES ((size_t)64 << 10)

/* Microseconds from the id of an event (at MAIL) to its line: a client may take 10 minutes for its
 * data (RFC 5321 section 4.5.3.2), a verdict a minute. Who looks for an id reads the segments that
 * were begun in this time. */
#define LIMIT_EVENT_LATE_US (900 * 1000000LL)

/* Octets and age at which a segment is finished: 50,000 events, small enough to search for one
 * event in 50 ms, and a day's mail of a small gateway is one file. */
#define LIMIT_LOG_SEGMENT_BYTES ((off_t)64 << 20)
#define LIMIT_LOG_SEGMENT_US (86400 * 1000000LL)

/* --- packets (capture/) ---------------------------------------------------- */

/* Octets kept of a captured packet: tcpdump's own, more than any interface hands over at once. */
#define LIMIT_SNAPLEN 262144

/* IP packets of which parts are missing, held at once. */
#define LIMIT_FRAGMENTED_PACKETS 1024

/* IP inside IP inside GRE ...: real tunnels are two deep; each layer is one round of a loop. */
#define LIMIT_TUNNEL_DEPTH 6

/* Octets kept of each stream after they were handed on, to compare later copies with: three segments. */
#define LIMIT_TCP_HISTORY_BYTES 4096u

/* Octets of one block of a pcapng file: a frame of 256 KiB and its options, an embedded name table. And
 * interfaces of one section; each costs 24 octets. */
#define LIMIT_PCAPNG_BLOCK_BYTES ((size_t)16 << 20)
#define LIMIT_PCAPNG_INTERFACES 1024

/* Octets of IP fragments that wait for the rest of their packets. */
#define LIMIT_FRAGMENT_BYTES ((size_t)8 << 20)

/* Connections followed at once; the longest idle one goes first. 2,000 are busy on a large MX. */
#define LIMIT_FLOWS 65536

/* Octets of one connection that wait for a hole to be filled: a few windows of 1 MiB. */
#define LIMIT_FLOW_BYTES ((size_t)4 << 20)

/* Segments of one connection that wait, however small they are. */
#define LIMIT_FLOW_SEGMENTS 8192

/* The same for all connections together. */
#define LIMIT_REASSEMBLY_BYTES ((size_t)32 << 20)

/* A connection without a packet for so long is over: RFC 5321 section 4.5.3.2 lets a client wait
 * 10 minutes for the answer at the end of data. */
#define LIMIT_FLOW_IDLE_US (11 * 60 * 1000000LL)

/* Octets of a message that is still arriving that lie in memory; what is longer goes to a file. */
#define LIMIT_SPILL_BYTES ((size_t)1 << 20)

/* Octets of one SMTP command line: RFC 5321 section 4.5.3.1.4 says 512, extensions and SASL go
 * to 12,288 (RFC 4954 section 4). What is longer is skipped to its LF and counted. */
#define LIMIT_COMMAND_BYTES 16384

/* Commands that wait for their replies: Zeek and Suricata clear at 1,000 and 65,536. */
#define LIMIT_PENDING_COMMANDS 10000

/* Octets of a reply's text that are kept. */
#define LIMIT_REPLY_TEXT_BYTES 2048

/* Octets of the client that are held back while the reply decides what they are (DATA), and that
 * are kept behind a doubtful end of data. */
#define LIMIT_HELD_BYTES ((size_t)1 << 20)

/* Memory of one SMTP session beside its transactions: HELO names and replies, one after the other. */
#define LIMIT_SESSION_BYTES ((size_t)1 << 20)

/* --- milter (capture/milter*.c) -------------------------------------------- */

/* Seconds that an MTA may be silent inside one frame, where it holds memory, and between two, where
 * it holds none: longer than any message takes to arrive. */
#define LIMIT_MILTER_FRAME_S  60
#define LIMIT_MILTER_SILENT_S 86400

/* A thread's stack: ten times what a message takes of it, sanitizers included. */
#define LIMIT_MILTER_STACK_BYTES ((size_t)512 << 10)

/* A frame's letter and argument, as libmilter bounds them: longer ones it refuses. */
#define LIMIT_MILTER_FRAME_BYTES ((size_t)65536)

/* Read ahead of libmilter in one system call: the envelope, the fields and the text of most
 * mails; twice as much saves little more. */
#define LIMIT_MILTER_AHEAD_BYTES ((size_t)16 << 10)

/* --- DNS (analyze/dns*.c, zone.c) ------------------------------------------ */

/* CNAMEs followed in one answer: BIND stops at 16, real chains have up to 5. */
#define LIMIT_DNS_CNAMES 10

/* Records of one answer. A larger set is UNKNOWN: half of a set could mean something else. */
#define LIMIT_DNS_RECORDS 256

/* Answers in the cache, and their octets: 300 of a usual answer. The least used go first. */
#define LIMIT_DNS_CACHE 100000
#define LIMIT_DNS_CACHE_BYTES ((size_t)32 << 20)

/* Look-ups that are under way at once; more wait in their sessions for the deadline. */
#define LIMIT_DNS_FLYING 20000

/* Seconds an answer is kept: an hour at most, so that a mended record is seen; a failure 5 s, so
 * that an outage costs one question every 5 s and name. */
#define LIMIT_DNS_TTL_S 3600
#define LIMIT_DNS_TTL_MIN_S 5
#define LIMIT_DNS_NEGATIVE_S 900

/* --- feedback (feedback/) --------------------------------------------------- */

/* Octets of a complaint's message that are read: our own cap of a message, and the report around
 * it. */
#define LIMIT_COMPLAINT_BYTES ((size_t)136 << 20)

/* Octets of a message that a report shows whole; a larger one is shown by its headers. Searching
 * takes twelve octets of memory for each, and no abuse desk reads more. */
#define LIMIT_REPORT_MESSAGE_BYTES ((size_t)1 << 20)

/* Addresses that one redaction searches for; a mail to more names the rest in its address
 * fields alone, which are written anew whatever they hold. */
#define LIMIT_REDACT_ADDRESSES 2000

/* Microseconds in which the same complaint counts once, and for which a received message can be
 * complained about: the receipts are kept as long. */
#define LIMIT_COMPLAINT_US (30 * 86400 * 1000000LL)

/* Octets of a person's name in a decision. */
#define LIMIT_PERSON_BYTES 200

/* Octets of a file of filings (10,000 of them have 10 MB), and of all in memory. */
#define LIMIT_FILINGS_BYTES ((size_t)128 << 20)
#define LIMIT_REGISTRY_BYTES ((size_t)1 << 30)

/* Microseconds for which an enrolment holds without being confirmed anew, and after which a proof
 * is made again: DNS and mailboxes change hands. */
#define LIMIT_ENROLMENT_US (366 * 86400 * 1000000LL)
#define LIMIT_PROOF_US (90 * 86400 * 1000000LL)

/* Microseconds between two mails with a token to one address. */
#define LIMIT_TOKEN_US (86400 * 1000000LL)

/* Addresses of one range whose reverse names are all asked for: a /20. A larger range is not
 * proven but waived, with a reason. */
#define LIMIT_PROOF_ADDRESSES 4096

/* Microseconds after which a report that cannot be delivered is given up: what MTAs do
 * (RFC 5321 section 4.5.4.1 asks for 4 to 5 days). */
#define LIMIT_QUEUE_US (5 * 86400 * 1000000LL)

/* Microseconds of one delivery, and of the claim on its report. */
#define LIMIT_DELIVERY_US (300 * 1000000LL)

/* Deliveries at once, and to one destination: the provider's own MTA takes more, but a destination
 * that is silent holds its few until their time-outs, and there are several of that kind. */
#define LIMIT_FLIGHTS 64
#define LIMIT_DESTINATION_FLIGHTS 4

/* Microseconds between two reports to one destination in the long run (50 a second: no feedback
 * loop that is known sends more to one address), and how many may come at once. */
#define LIMIT_DESTINATION_INTERVAL_US 20000LL
#define LIMIT_DESTINATION_BURST 200

/* Failures in a row that open a destination's breaker; the first and the longest rest. */
#define LIMIT_DESTINATION_FAILURES 5
#define LIMIT_DESTINATION_REST_US (60 * 1000000LL)
#define LIMIT_DESTINATION_REST_MAX_US (3600 * 1000000LL)

/* Microseconds without a try after our own next hop did not answer; doubled up to the second. */
#define LIMIT_NEXT_HOP_REST_US (2 * 1000000LL)
#define LIMIT_NEXT_HOP_REST_MAX_US (60 * 1000000LL)

/* Addresses of one hour whose failed authentication waits to be told to one sender, octets of the
 * event that is kept of each, and such reports to one sender in a day: a forged campaign comes from
 * thousands of addresses, and a desk learns no more from the hundredth. */
#define LIMIT_FAILURE_ROWS 100
#define LIMIT_FAILURE_BYTES ((size_t)64 << 10)
#define LIMIT_FAILURES_PER_DAY 100

/* Microseconds for which it is remembered that a sender was told of his suspended address. */
#define LIMIT_NOTICE_US (3650 * 86400 * 1000000LL)

/* Octets of one HTTP request's body and header, and microseconds without progress on a connection:
 * a complaint is a mail, and larger ones can be handed in by their headers. */
#define LIMIT_HTTP_BODY_BYTES ((size_t)16 << 20)
#define LIMIT_HTTP_HEADER_BYTES 16384
#define LIMIT_HTTP_IDLE_US (30 * 1000000LL)

/* Descriptors of the process that answers HTTP from which on no connection is accepted, octets of all
 * requests that are arriving, and microseconds that one may take to arrive: nobody has shown a token
 * yet, and reports go out from the same process. Many systems give a process 1,024 descriptors. */
#define LIMIT_HTTP_DESCRIPTORS 512
#define LIMIT_HTTP_HELD_BYTES ((size_t)64 << 20)
#define LIMIT_HTTP_REQUEST_US (120 * 1000000LL)

/* Octets of a filed webhook: longer ones hold secrets that belong into the signature. */
#define LIMIT_WEBHOOK_URL_BYTES 500

/* Seconds that a webhook may take: it puts the report into a queue of its own and answers. */
#define LIMIT_WEBHOOK_S 20

/* Microseconds that a webhook may ask to be left alone (Retry-After): the longest wait between two
 * tries. A date of next year is a mistake, and reports wait for five days. */
#define LIMIT_RETRY_AFTER_US (86400 * 1000000LL)

/* Microseconds for which a report of a webhook can be fetched, too: a consumer that was down over
 * a holiday. 50,000 a day of 4 kB are 2.8 GB of the busiest sender. */
#define LIMIT_SHELF_US (14 * 86400 * 1000000LL)

/* Microseconds for which the answer to an Idempotency-Key comes again. */
#define LIMIT_HTTP_ANSWER_US (86400 * 1000000LL)

/* Microseconds for which an address that a sender was told to remove is remembered, as a hash. */
#define LIMIT_REMOVED_US (400 * 86400 * 1000000LL)

/* Rows of one attachment of a digest; past it the last line says how many more there are. */
#define LIMIT_DIGEST_ROWS 20000

/* Files of a complaint spool that are taken in one go, and microseconds for these and those of
 * STATE/intake, so that other work is not held up: anybody may leave thousands. */
#define LIMIT_SPOOL_FILES 200
#define LIMIT_COLLECT_US (500 * 1000LL)

/* Help replies to people who forward complaints inline: one in so many microseconds to one
 * address, so many a day to all. */
#define LIMIT_HELP_US (7 * 86400 * 1000000LL)
#define LIMIT_HELP_PER_DAY 500

/* Microseconds that a complaint waits for the recorder of `run` to reach the end of the log: it
 * is milliseconds behind unless Redis is away. */
#define LIMIT_RECEIPT_WAIT_US (2 * 1000000LL)

/* Moves to Junk by one person's client in an hour that count as a person's judgement. */
#define LIMIT_MOVES_PER_HOUR 100

/* Reports to one sender in a day where the configuration says nothing; what is more is in the
 * digest. A desk that gets more reads none of them. */
#define LIMIT_REPORTS_PER_DAY 50000

/* Bounced reports, and the time they fall into, that suspend a feedback address. */
#define LIMIT_BOUNCES 5
#define LIMIT_BOUNCES_US (7 * 86400 * 1000000LL)

/* --- Redis and the books (feedback/redis.c, recorder.c) -------------------- */

/* Octets of the private Redis where the machine's memory is not known (else a quarter of it):
 * the books of 100,000 senders. Past it Redis refuses and the log waits. */
#define LIMIT_REDIS_BYTES (1LL << 30)

/* Microseconds until Redis counts as away; a Redis that reads a large file at its start says so
 * and is waited for longer. */
#define LIMIT_REDIS_TIMEOUT_US (5 * 1000000LL)
#define LIMIT_REDIS_LOADING_US (120 * 1000000LL)

/* The same for a worker, whose messages all wait meanwhile. */
#define LIMIT_REDIS_HURRY_US (100 * 1000LL)

/* Microseconds for which an answer of Redis about a listing is believed, a listing that nobody has
 * looked at is kept (a sender who is silent for a season begins anew), and Redis is left alone
 * after the first trouble: a look in vain may take LIMIT_REDIS_HURRY_US or more. */
#define LIMIT_LISTING_FRESH_US (3600 * 1000000LL)
#define LIMIT_LISTING_US (90 * 86400 * 1000000LL)
#define LIMIT_LISTING_RETRY_US (60 * 1000000LL)

/* Keys whose windows one process keeps: 150 octets for one seen once, 2 KB for a busy one. A large
 * gateway has 100,000 senders and addresses a day. The one that was idle longest goes. */
#define LIMIT_RATE_KEYS 200000

/* Octets of a rate's key: a domain has at most 253, with its scope in front. Longer ones are cut. */
#define LIMIT_RATE_KEY_BYTES 270

/* The same of a worker's history: two keys a message. */
#define LIMIT_HISTORY_KEYS 100000

/* Keys in one exchange of one bucket, and octets of what it says of them: 18 of one that was counted
 * since, 1.5 KB of a busy one that Redis has lost. Either is 8 to 16 ms of Redis' time. */
#define LIMIT_RATE_BATCH 1000
#define LIMIT_RATE_BATCH_BYTES (64 * 1024)

/* Microseconds between two exchanges: of limits, where two gateways may let through what comes in one;
 * of a worker's history, which rules compare with hours and days, a call a bucket and tick. */
#define LIMIT_RATE_TICK_US (100 * 1000LL)
#define LIMIT_HISTORY_TICK_US (500 * 1000LL)

/* Microseconds without an answer after which Redis counts as away for rates; and between two
 * looks at a key that nobody counted here, past which what others count is unknown. */
#define LIMIT_RATE_TIMEOUT_US (1 * 1000000LL)
#define LIMIT_RATE_FRESH_US (10 * 1000000LL)

/* What a gateway has under way (`at once`) is told again after RENEW, counts for nobody KEEP seconds
 * after it was told last, and others go by it for FRESH: three words may get lost. */
#define LIMIT_GAUGE_RENEW_US (1 * 1000000LL)
#define LIMIT_GAUGE_FRESH_US (3 * 1000000LL)
#define LIMIT_GAUGE_KEEP_S 5

/* Microseconds that MAIL waits for Redis to give it a place: hundreds of times what Redis takes, so that
 * a machine which is short of CPU keeps its limits too, and not yet a delay that anybody sees. */
#define LIMIT_GAUGE_WAIT_US (200 * 1000LL)

/* Pairs of address and MAIL FROM domain whose transactions under way the policy service knows, 200 octets
 * each: ten times the connections of a large gateway. Past it the one that began longest ago goes. */
#define LIMIT_UNDER_WAY 20000

/* Microseconds that a verdict waits for the history of a key that is seen for the first time. */
#define LIMIT_RATE_WAIT_US (100 * 1000LL)

/* Microseconds between two looks into the books for a sender's standing, and senders that are
 * looked at: registered ones that send. */
#define LIMIT_STANDING_US (600 * 1000000LL)
#define LIMIT_STANDINGS 100000

/* --- policy service (feedback/policy.c) ------------------------------------- */

/* Octets of one request, and of answers that wait to be read: Postfix sends 30 attributes, a
 * kilobyte; an address has 320, a subject of a certificate some hundred. */
#define LIMIT_POLICY_REQUEST_BYTES 65536

/* Connections: one for each smtpd process, and default_process_limit is 100. */
#define LIMIT_POLICY_CLIENTS 2000

/* Microseconds that a connection may be silent: Postfix closes after 5 minutes (ipc_idle is less). */
#define LIMIT_POLICY_IDLE_US (600 * 1000000LL)

/* Transactions that were let in and may have more stages: an hour of 100 a second. */
#define LIMIT_POLICY_INSTANCES 400000
#define LIMIT_POLICY_INSTANCE_US (3600 * 1000000LL)
#define LIMIT_POLICY_INSTANCE_BYTES 127

/* Microseconds after which a recipient answered 4xx and not tried again counts as a soft return:
 * most queues try again within hours. Retries are recognised for five days (books.lua). */
#define LIMIT_RETRY_WINDOW_US (86400 * 1000000LL)

/* Recipients of one transaction whose hashes stand in Redis; for more, the log is asked. */
#define LIMIT_RECEIPT_RCPTS 100

/* Octets of an address that are hashed: RFC 5321 section 4.5.3.1 allows 320. */
#define LIMIT_PATH_BYTES 1024

/* Octets of a name in the books: RFC 2919 allows a list's identifier 255, a domain has at most 253.
 * Longer ones are cut, since mail makes names, and each is in the keys of several rows. */
#define LIMIT_BOOKS_NAME_BYTES 255

/* Events and arguments of one batch: memory of ours, and 0.5 s of Redis' time at most, in a call a
 * bucket, between which others are served. */
#define LIMIT_BATCH_EVENTS 1000
#define LIMIT_BATCH_ARGUMENTS 100000

/* Arguments and octets of a bucket that end a batch: its call is 2 ms of Redis' time with names as they
 * usually are, 10 ms where each mail has names of its own, and all mail may be of one bucket. */
#define LIMIT_CALL_ARGUMENTS 2000
#define LIMIT_CALL_OCTETS ((size_t)256 << 10)

/* Recipients of one event that are followed through their retries: its call cannot be parted, and
 * each may be 30 us of it. Postfix takes 1,000 (smtpd_recipient_limit). */
#define LIMIT_EVENT_UNITS 1000

/* --- signatures (base/pkey.c, analyze/dkim*.c, analyze/arc.c) -------------- */

/* Bits of an RSA modulus: RFC 8301 asks verifiers for 4,096; 8,192 costs 0.25 ms a signature.
 * A larger key is no key for us. */
#define LIMIT_RSA_BITS 8192

/* Sets of two public keys that a worker keeps parsed: 10 kB each at most, and the senders of
 * most mail of a gateway are fewer. */
#define LIMIT_PKEY_CACHE 512

/* Octets of a private key's file: PEM of LIMIT_RSA_BITS is 7 kB, with room for remarks. */
#define LIMIT_PKEY_FILE_BYTES ((size_t)64 << 10)

/* Tags of one tag list: RFC 6376 defines 15, registries add few. More make it a bad list. */
#define LIMIT_DKIM_TAGS 40

/* Names in one h=. Each may stand for one field; LIMIT_HEADER_FIELDS reach us. */
#define LIMIT_DKIM_SIGNED_FIELDS 1000

/* TXT records that are tried under one selector; there should be one (RFC 6376 section 3.6.2.2),
 * and each costs the CPU of a signature. */
#define LIMIT_DKIM_KEY_RECORDS 3

/* ARC sets: RFC 8617 section 4.2.1. A chain of more fails. */
#define LIMIT_ARC_SETS 50

/* Bytes of one value in Authentication-Results: an address is at most 254, and a line of a
 * field 998. */
#define LIMIT_AUTH_RESULTS_VALUE 256

/* --- roles (feedback/judge.c, journal.c, supervisor.c) ---------------------- */

/* Workers of one `assay run`: cores of the largest gateways. */
#define LIMIT_WORKERS 64

/* Connections that wait to be accepted: of clients, a burst of a busy gateway's smtpd processes; of
 * a role's own kind, one a process that this supervisor has started. */
#define LIMIT_LISTEN_BACKLOG 1024
#define LIMIT_ROLE_BACKLOG   128

/* Octets of events that wait in memory while the log cannot be written: 50,000 of them. */
#define LIMIT_JOURNAL_BYTES ((size_t)64 << 20)

/* Messages that one worker holds at once, nearly all of them waiting for the DNS. */
#define LIMIT_WORKER_MESSAGES 512

/* Messages of one role that wait for a verdict, each a descriptor; what comes then is written
 * down unjudged. 100 seconds' mail of a busy gateway. */
#define LIMIT_JUDGE_WAITING 20000

/* Octets of a packed transaction that go to a worker in the record itself; a larger one lies in a
 * memory file beside it. Most mail is smaller, and some such records fit into a socket at once. */
#define LIMIT_PACK_SENT_BYTES ((size_t)63 << 10)

/* Microseconds that packets and spools wait for a verdict: the DNS deadline several times over. */
#define LIMIT_JUDGE_US (60 * 1000000LL)
