/*
 * libmilter: what the MTA sends becomes calls of milter_session.c, what the hooks answer becomes
 * replies. Its connections are milter_stream.c's.
 *
 * Only what the MTA offered is used. Its offer of nothing at all reaches us as that of protocol
 * version 1 (libmilter puts it in), so exactly that offer of actions is taken as none: no MTA of
 * this century sends it in earnest.
 *
 * Round trips are what a milter costs. Where the MTA can do so, all is taken without a reply but the
 * end of the message, and MAIL where there is a limit to answer with. Octets may come with the end of
 * the message, as another piece of the body to libmilter: it leaves that end unanswered unless we let
 * it go on there, so which command a piece came with must be known.
 *
 * A connection has its lock because milter_abandon() comes from another thread; otherwise
 * libmilter runs one callback of a connection at a time. Lock order: the list's, then the
 * connection's.
 */
#include "capture/milter.h"

#include <errno.h>
#include <libmilter/mfapi.h>
#include <libmilter/mfdef.h>
#include <netdb.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/limits.h"
#include "base/listen.h"
#include "base/log.h"
#include "capture/milter_session.h"
#include "capture/milter_stream.h"

#define ACTIONS_WANTED (SMFIF_ADDHDRS | SMFIF_CHGHDRS | SMFIF_QUARANTINE | SMFIF_SETSYMLIST)
#define STEPS_WANTED \
	(SMFIP_NODATA | SMFIP_NOUNKNOWN | SMFIP_RCPT_REJ | SMFIP_NR_CONN | SMFIP_NR_HELO | \
	 SMFIP_NR_MAIL | SMFIP_NR_RCPT | SMFIP_NR_HDR | SMFIP_NR_EOH | SMFIP_NR_BODY | \
	 SMFIP_HDR_LEADSPC)

_Static_assert(LIMIT_MILTER_FRAME_BYTES == MILTER_MAX_DATA_SIZE + 1,
	       "milter_stream.c waits for what libmilter takes");

struct connection {
	struct connection *next, **link;
	pthread_mutex_t lock;
	struct milter_session *session;
	unsigned long actions, steps; /* agreed with the MTA */
	struct milter_answer *refusal; /* of a MAIL that waits for no reply; else NULL */
};

static struct {
	struct milter_hooks hooks;
	pthread_mutex_t lock; /* of the list and the names */
	struct connection *connections;
	struct milter_names names;
	char address[300]; /* that the socket was made for */
	atomic_bool stopping, abandoned;
	atomic_uint open_transactions;
	atomic_uint_fast64_t n_connections, n_transactions, connected, waiting, limited, ended, failed,
		answered[MILTER_ACTIONS];
} m = {.lock = PTHREAD_MUTEX_INITIALIZER};

/* --- connections --------------------------------------------------------------------- */

/* The first callback makes it: negotiation, where there is one. */
static struct connection *connection_of(SMFICTX *ctx)
{
	struct connection *c = smfi_getpriv(ctx);
	if (c)
		return c;
	c = calloc(1, sizeof(*c));
	if (!c)
		return NULL;
	pthread_mutex_lock(&m.lock);
	c->session = milter_session_create(&m.names);
	if (c->session) {
		pthread_mutex_init(&c->lock, NULL);
		c->next = m.connections;
		c->link = &m.connections;
		if (c->next)
			c->next->link = &c->next;
		m.connections = c;
	}
	pthread_mutex_unlock(&m.lock);
	if (!c->session) {
		free(c);
		return NULL;
	}
	smfi_setpriv(ctx, c);
	m.n_connections++;
	m.connected++;
	return c;
}

static void end_transaction(struct connection *c)
{
	pthread_mutex_lock(&c->lock);
	struct txn *t = milter_session_take(c->session, false);
	milter_session_clear(c->session);
	free(c->refusal);
	c->refusal = NULL;
	pthread_mutex_unlock(&c->lock);
	if (!t)
		return;
	m.ended++;
	m.hooks.ended(m.hooks.arg, t);
	m.open_transactions--;
}

/* Behind milter_abandon() nothing is written down any more, so nothing is answered either: the MTA
 * sees the connection break when the process ends in a moment, and goes on without us. */
static void wait_for_the_end(struct connection *c)
{
	if (!m.abandoned)
		return;
	pthread_mutex_unlock(&c->lock);
	for (;;)
		pause();
}

/* Not answered where the MTA does not wait for it. */
static sfsistat go_on(const struct connection *c, unsigned long no_reply)
{
	return c && (c->steps & no_reply) ? SMFIS_NOREPLY : SMFIS_CONTINUE;
}

static sfsistat on_negotiate(SMFICTX *ctx, unsigned long actions, unsigned long steps,
			     unsigned long f2, unsigned long f3, unsigned long *actions_r,
			     unsigned long *steps_r, unsigned long *f2_r, unsigned long *f3_r)
{
	(void)f2;
	(void)f3;
	*f2_r = *f3_r = 0;
	*actions_r = actions == SMFI_V1_ACTS ? 0 : actions & ACTIONS_WANTED;
	*steps_r = steps & STEPS_WANTED;
	if (!m.hooks.limits || m.hooks.limits(m.hooks.arg))
		*steps_r &= ~(unsigned long)SMFIP_NR_MAIL;
	if (milter_stream_command() != SMFIC_OPTNEG) /* no memory for its stream */
		*steps_r &= ~(unsigned long)SMFIP_NR_BODY;
	struct connection *c = connection_of(ctx);
	if (c) {
		c->actions = *actions_r;
		c->steps = *steps_r;
		c->session->leading_space = c->steps & SMFIP_HDR_LEADSPC;
	}
	if (*actions_r & SMFIF_SETSYMLIST) {
		static char connect[] = "j", hello[] = "{tls_version} {cipher}",
			    mail[] = "i {auth_type} {auth_authen} {tls_version} {cipher}",
			    rcpt[] = "i {rcpt_mailer} {rcpt_host} {rcpt_addr}", end[] = "i";
		smfi_setsymlist(ctx, SMFIM_CONNECT, connect);
		smfi_setsymlist(ctx, SMFIM_HELO, hello);
		smfi_setsymlist(ctx, SMFIM_ENVFROM, mail);
		smfi_setsymlist(ctx, SMFIM_ENVRCPT, rcpt);
		smfi_setsymlist(ctx, SMFIM_EOM, end);
	}
	return SMFIS_CONTINUE;
}

static sfsistat on_connect(SMFICTX *ctx, char *host, _SOCK_ADDR *address)
{
	struct connection *c = connection_of(ctx);
	(void)host;
	if (c)
		milter_session_connect(c->session, address);
	return go_on(c, SMFIP_NR_CONN);
}

static sfsistat on_hello(SMFICTX *ctx, char *name)
{
	struct connection *c = connection_of(ctx);
	if (c)
		milter_session_hello(c->session, span_of(name));
	return go_on(c, SMFIP_NR_HELO);
}

static sfsistat on_abort(SMFICTX *ctx)
{
	struct connection *c = smfi_getpriv(ctx);
	if (c)
		end_transaction(c);
	return SMFIS_CONTINUE;
}

/* Also behind a negotiation that came to nothing, without a connection then. */
static sfsistat on_close(SMFICTX *ctx)
{
	struct connection *c = smfi_getpriv(ctx);
	if (!c)
		return SMFIS_CONTINUE;
	smfi_setpriv(ctx, NULL);
	pthread_mutex_lock(&m.lock);
	*c->link = c->next;
	if (c->next)
		c->next->link = c->link;
	pthread_mutex_unlock(&m.lock);
	end_transaction(c);
	pthread_mutex_destroy(&c->lock);
	milter_session_free(c->session);
	free(c);
	m.connected--;
	return SMFIS_CONTINUE;
}

/* --- replies ------------------------------------------------------------------------ */

#define REPLY_LINES 4

/* The lines of `text` for smfi_setmlreply(), which refuses CR and LF and takes % for the begin of
 * something. ASCII, unless the client asked for more (RFC 6531 section 3.7.4.2). */
static void reply_lines(const char *text, bool utf8, struct buf *b, char *lines[REPLY_LINES])
{
	size_t starts[REPLY_LINES] = {0}, n = 1;
	for (const char *p = text; *p; p++) {
		if (*p == '\n' && n < REPLY_LINES) {
			buf_addc(b, '\0');
			starts[n++] = b->n;
		} else if (*p == '%') {
			buf_adds(b, "%%");
		} else if ((unsigned char)*p < ' ' || *p == 0x7f) {
			buf_addc(b, ' ');
		} else {
			buf_addc(b, (*p & 0x80) && !utf8 ? '?' : *p);
		}
	}
	for (size_t i = 0; i < REPLY_LINES; i++)
		lines[i] = i < n && b->p ? b->p + starts[i] : NULL;
}

static sfsistat refuse(SMFICTX *ctx, struct milter_answer *a, bool utf8)
{
	bool reject = a->action == MILTER_REJECT;
	if (!a->code[0])
		memcpy(a->code, reject ? "550" : "451", 4);
	if (!a->enhanced[0])
		memcpy(a->enhanced, reject ? "5.7.1" : "4.7.1", 6);
	struct buf b = BUF_INIT;
	char *lines[REPLY_LINES];
	reply_lines(a->text[0] ? a->text : "not accepted", utf8, &b, lines);
	/* without it the MTA has words of its own */
	if (b.failed || smfi_setmlreply(ctx, a->code, a->enhanced, lines[0], lines[1], lines[2],
					lines[3], NULL) != MI_SUCCESS)
		log_warn("milter.reply", "code=%s enhanced=%s", a->code, a->enhanced);
	buf_free(&b);
	return a->code[0] == '5' ? SMFIS_REJECT : SMFIS_TEMPFAIL;
}

static void note_reply(struct txn *t, struct txn_reply *r, const struct milter_answer *a)
{
	*r = (struct txn_reply){.code = atoi(a->code),
				.enhanced = arena_copy(&t->arena, span_of(a->enhanced)),
				.text = arena_copy(&t->arena, span_of(a->text))};
}

/* Now, or where the MTA does not wait, at the end of the message. */
static sfsistat refuse_mail(SMFICTX *ctx, struct connection *c, struct milter_answer *a)
{
	struct txn *t = c->session->txn;
	if (c->steps & SMFIP_NR_MAIL) {
		if ((c->refusal = malloc(sizeof(*c->refusal))))
			*c->refusal = *a;
		return SMFIS_NOREPLY;
	}
	sfsistat r = refuse(ctx, a, t->flags & TXN_SMTPUTF8);
	note_reply(t, &t->reply, a);
	return r;
}

/* One that `limit` has refused has its answer already. */
static void judge(struct txn *t, struct milter_answer *a)
{
	m.waiting++;
	m.hooks.judge(m.hooks.arg, t, a);
	m.waiting--;
}

static struct span macro(SMFICTX *ctx, const char *name)
{
	return span_of(smfi_getsymval(ctx, (char *)name));
}

static sfsistat on_mail(SMFICTX *ctx, char **argv)
{
	struct connection *c = connection_of(ctx);
	if (!c) {
		m.failed++;
		return SMFIS_CONTINUE;
	}
	end_transaction(c);
	const struct milter_macros macros = {
		.tls_version = macro(ctx, "{tls_version}"),
		.cipher = macro(ctx, "{cipher}"),
		.authenticated = macro(ctx, "{auth_type}").n || macro(ctx, "{auth_authen}").n,
	};
	struct milter_answer a = {0};
	struct txn *refused = NULL;
	sfsistat r = go_on(c, SMFIP_NR_MAIL);
	pthread_mutex_lock(&c->lock);
	wait_for_the_end(c);
	if (milter_session_mail(c->session, argv, &macros, clock_now_us()) < 0) {
		m.failed++;
	} else {
		struct txn *t = c->session->txn;
		m.n_transactions++;
		m.open_transactions++;
		if (m.hooks.limit(m.hooks.arg, t, &a)) {
			r = refuse_mail(ctx, c, &a);
			m.limited++;
		}
		if (t->reply.code)
			refused = milter_session_take(c->session, false);
	}
	pthread_mutex_unlock(&c->lock);
	if (refused) { /* answered when its event is written */
		judge(refused, &a);
		buf_free(&a.auth_results);
		m.answered[a.action]++;
		m.open_transactions--;
	}
	return r;
}

static sfsistat on_rcpt(SMFICTX *ctx, char **argv)
{
	struct connection *c = connection_of(ctx);
	if (c) {
		const struct milter_refusal refusal = {macro(ctx, "{rcpt_mailer}"),
						       macro(ctx, "{rcpt_host}"),
						       macro(ctx, "{rcpt_addr}")};
		pthread_mutex_lock(&c->lock);
		milter_session_rcpt(c->session, argv[0], &refusal);
		pthread_mutex_unlock(&c->lock);
	}
	return go_on(c, SMFIP_NR_RCPT);
}

/* --- the message ----------------------------------------------------------------------- */

static sfsistat on_field(SMFICTX *ctx, char *name, char *value)
{
	struct connection *c = connection_of(ctx);
	if (c) {
		pthread_mutex_lock(&c->lock);
		milter_session_field(c->session, span_of(name), span_of(value));
		pthread_mutex_unlock(&c->lock);
	}
	return go_on(c, SMFIP_NR_HDR);
}

static sfsistat on_end_of_fields(SMFICTX *ctx)
{
	struct connection *c = connection_of(ctx);
	if (c) {
		pthread_mutex_lock(&c->lock);
		milter_session_end_of_fields(c->session);
		pthread_mutex_unlock(&c->lock);
	}
	return go_on(c, SMFIP_NR_EOH);
}

static sfsistat on_body(SMFICTX *ctx, unsigned char *octets, size_t n)
{
	struct connection *c = connection_of(ctx);
	if (c) {
		pthread_mutex_lock(&c->lock);
		milter_session_body(c->session, (struct span){(char *)octets, n});
		pthread_mutex_unlock(&c->lock);
	}
	return milter_stream_command() == SMFIC_BODYEOB ? SMFIS_CONTINUE : go_on(c, SMFIP_NR_BODY);
}

/* From the last one up, so that the places of the others stay. */
static void remove_forged(SMFICTX *ctx, struct connection *c)
{
	struct milter_session *s = c->session;
	if (!(c->actions & SMFIF_CHGHDRS))
		return;
	for (uint32_t i = s->n_verdicts; i > 0; i--)
		smfi_chgheader(ctx, s->names.verdict, (int)i, NULL);
	for (size_t n = s->forged.n / sizeof(uint32_t); n > 0; n--) {
		uint32_t i;
		memcpy(&i, s->forged.p + (n - 1) * sizeof(i), sizeof(i));
		smfi_chgheader(ctx, s->names.results, (int)i, NULL);
	}
}

/* On top of the message: fields below were there before us. */
static void add_field(SMFICTX *ctx, struct connection *c, char *name, struct span value)
{
	struct buf b = BUF_INIT;
	if (c->session->leading_space)
		buf_addc(&b, ' ');
	struct span line;
	for (bool first = true; span_next_line(&value, &line); first = false) {
		if (!first)
			buf_addc(&b, '\n'); /* the MTA has its own line ends */
		buf_add(&b, line);
	}
	if (b.failed || smfi_insheader(ctx, 0, name, b.p) != MI_SUCCESS)
		log_warn("milter.field", "name=%s result=not-added", name);
	buf_free(&b);
}

static sfsistat give_answer(SMFICTX *ctx, struct connection *c, struct milter_answer *a, bool utf8)
{
	if (a->action == MILTER_DEFER || a->action == MILTER_REJECT)
		return refuse(ctx, a, utf8);
	struct milter_names *names = &c->session->names;
	remove_forged(ctx, c);
	if ((c->actions & SMFIF_ADDHDRS) && a->auth_results.n)
		add_field(ctx, c, names->results, buf_span(&a->auth_results));
	if ((c->actions & SMFIF_ADDHDRS) && a->verdict[0])
		add_field(ctx, c, names->verdict, span_of(a->verdict));
	if (a->action == MILTER_QUARANTINE && (c->actions & SMFIF_QUARANTINE))
		smfi_quarantine(ctx, a->verdict);
	return SMFIS_CONTINUE;
}

static sfsistat on_end(SMFICTX *ctx)
{
	struct connection *c = connection_of(ctx);
	if (!c)
		return SMFIS_CONTINUE;
	struct milter_answer a = {0};
	pthread_mutex_lock(&c->lock);
	wait_for_the_end(c);
	struct txn *t = milter_session_take(c->session, true);
	struct milter_answer *refusal = c->refusal;
	c->refusal = NULL;
	pthread_mutex_unlock(&c->lock);
	bool utf8 = t && (t->flags & TXN_SMTPUTF8);
	if (t && refusal) {
		a = *refusal;
		note_reply(t, &t->reply, &a);
	} else if (t) {
		struct span queue_id = macro(ctx, "i");
		log_debug("milter.message", "id=%s queue=%s size=%llu", t->id, log_safe(queue_id),
			  (unsigned long long)t->size);
	}
	if (t)
		judge(t, &a);
	sfsistat r = give_answer(ctx, c, &a, utf8);
	buf_free(&a.auth_results);
	free(refusal);
	milter_session_clear(c->session);
	if (t) {
		m.answered[a.action < MILTER_ACTIONS ? a.action : MILTER_ACCEPT]++;
		m.open_transactions--;
	}
	return r;
}

/* --- life ------------------------------------------------------------------------------- */

/* "host:port" and "[v6]:port" as libmilter writes them. */
static bool listen_words(const char *address, char *out, size_t n)
{
	const char *colon = strrchr(address, ':');
	if (strncmp(address, "unix:", 5) == 0)
		return snprintf(out, n, "%s", address) < (int)n;
	if (!colon)
		return false;
	if (address[0] == '[')
		return snprintf(out, n, "inet6:%s@%.*s", colon + 1, (int)(colon - address - 2),
				address + 1) < (int)n;
	return snprintf(out, n, "inet:%s@%.*s", colon + 1, (int)(colon - address), address) < (int)n;
}

static int open_socket(const struct config_listener *l)
{
	char words[300];
	bool is_unix = strncmp(l->address, "unix:", 5) == 0;
	int r = is_unix ? listen_clear(l->address + 5) : 0;
	if (r < 0)
		return r;
	if (!listen_words(l->address, words, sizeof(words)) || smfi_setconn(words) != MI_SUCCESS ||
	    smfi_setbacklog(LIMIT_LISTEN_BACKLOG) != MI_SUCCESS)
		return -EINVAL;
	mode_t before = umask(0777); /* nobody connects before the rights are */
	errno = 0;
	r = smfi_opensocket(false) == MI_SUCCESS ? 0 : -(errno ? errno : EADDRNOTAVAIL);
	umask(before);
	return r == 0 && is_unix ? listen_give_rights(l, l->address + 5) : r;
}

int milter_open(const struct config *config, const struct milter_hooks *hooks)
{
	static char name[] = "assay";
	static const struct smfiDesc filter = {
		.xxfi_name = name,
		.xxfi_version = SMFI_VERSION,
		.xxfi_flags = ACTIONS_WANTED,
		.xxfi_connect = on_connect,
		.xxfi_helo = on_hello,
		.xxfi_envfrom = on_mail,
		.xxfi_envrcpt = on_rcpt,
		.xxfi_header = on_field,
		.xxfi_eoh = on_end_of_fields,
		.xxfi_body = on_body,
		.xxfi_eom = on_end,
		.xxfi_abort = on_abort,
		.xxfi_close = on_close,
		.xxfi_negotiate = on_negotiate,
	};
	m.hooks = *hooks;
	snprintf(m.address, sizeof(m.address), "%s", config->milter.address);
	milter_reload(config);
	int r = smfi_register(filter) == MI_SUCCESS && smfi_settimeout(LIMIT_MILTER_SILENT_S) == MI_SUCCESS
			? open_socket(&config->milter)
			: -ENOMEM;
	if (r < 0)
		log_error("milter.open", "address=%s error=\"%s\"", config->milter.address,
			  strerror(-r));
	return r;
}

static void *run(void *arg)
{
	(void)arg;
	int r = smfi_main();
	if (!m.stopping) {
		log_error("milter.end", "result=%d", r);
		kill(getpid(), SIGTERM);
	}
	return NULL;
}

/* libmilter's pool ends and makes threads all the time. Those of eight megabytes find little room in
 * glibc's store of stacks, and each would be mapped and cleared anew. */
static void set_stacks(void)
{
	pthread_attr_t attributes;
	if (pthread_attr_init(&attributes) != 0)
		return;
	if (pthread_attr_setstacksize(&attributes, LIMIT_MILTER_STACK_BYTES) == 0)
		pthread_setattr_default_np(&attributes);
	pthread_attr_destroy(&attributes);
}

int milter_start(void)
{
	pthread_t thread;
	sigset_t all, before;
	set_stacks();
	/* libmilter's threads take this mask over; signals are for the process' main thread */
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	int r = pthread_create(&thread, NULL, run, NULL);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	if (r == 0)
		pthread_detach(thread);
	return -r;
}

void milter_reload(const struct config *config)
{
	pthread_mutex_lock(&m.lock);
	milter_names_set(&m.names, config);
	pthread_mutex_unlock(&m.lock);
}

static void *stop(void *arg)
{
	(void)arg;
	smfi_stop();
	return NULL;
}

/* Wakes the thread that accepts. */
static void knock(void)
{
	struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_NUMERICSERV}, *list = NULL;
	struct sockaddr_un sun = {.sun_family = AF_UNIX};
	struct addrinfo place = {.ai_family = AF_UNIX, .ai_addr = (struct sockaddr *)&sun,
				 .ai_addrlen = sizeof(sun)};
	char host[256];
	if (strncmp(m.address, "unix:", 5) == 0) {
		snprintf(sun.sun_path, sizeof(sun.sun_path), "%.107s", m.address + 5);
	} else {
		const char *colon = strrchr(m.address, ':');
		bool bracket = m.address[0] == '[';
		snprintf(host, sizeof(host), "%.*s", (int)(colon - m.address) - 2 * bracket,
			 m.address + bracket);
		if (getaddrinfo(host, colon + 1, &hints, &list) != 0)
			return;
		place = *list;
	}
	int fd = socket(place.ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd >= 0 && connect(fd, place.ai_addr, place.ai_addrlen) < 0 && errno != EINPROGRESS)
		log_debug("milter.stop", "why=%s", strerror(errno));
	if (fd >= 0)
		close(fd);
	if (list)
		freeaddrinfo(list);
}

/* smfi_stop() waits for a lock that the accepting thread holds while nobody connects, 5 s at most:
 * a thread of its own waits, and a connection of ours makes it short. */
void milter_stop(void)
{
	pthread_t thread;
	m.stopping = true;
	if (pthread_create(&thread, NULL, stop, NULL) != 0)
		return;
	pthread_detach(thread);
	usleep(2000);
	knock();
}

unsigned milter_open_transactions(void)
{
	return m.open_transactions;
}

void milter_abandon(void)
{
	pthread_mutex_lock(&m.lock);
	m.abandoned = true;
	for (struct connection *c = m.connections; c; c = c->next)
		end_transaction(c);
	pthread_mutex_unlock(&m.lock);
}

void milter_counters(struct milter_counters *c_r)
{
	*c_r = (struct milter_counters){
		.connections = m.n_connections,
		.transactions = m.n_transactions,
		.connected = m.connected,
		.waiting = m.waiting,
		.limited = m.limited,
		.ended = m.ended,
		.failed = m.failed,
	};
	for (size_t i = 0; i < MILTER_ACTIONS; i++)
		c_r->answered[i] = m.answered[i];
}
