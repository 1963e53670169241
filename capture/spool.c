#include "capture/spool.h"

#include <errno.h>
#include <fts.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

#include "base/clock.h"
#include "base/date.h"
#include "base/digest.h"
#include "base/file.h"
#include "base/limits.h"
#include "capture/envelope.h"
#include "capture/mbox.h"

struct spool {
	const char *const *paths;
	size_t n_paths, next_path;
	spool_trouble_fn *trouble;
	void *arg;
	FTS *walk; /* of the path being read; NULL: none */
	/* an mbox being read */
	struct file_view view;
	bool view_open;
	struct span rest;
	char *mbox_path;
	unsigned mbox_at;
	/* a capture being read */
	struct capture_file *capture;
	char *capture_path;
	const uint16_t *ports;
	size_t n_ports;
	capture_session_fn *session;
	void *session_arg;
};

/* --- octets to transaction --------------------------------------------------- */

/* How many LF have no CR before them, CR no LF behind them. */
static void count_line_ends(struct span s, size_t *bare_lf, size_t *bare_cr, size_t *crlf)
{
	*bare_lf = *bare_cr = *crlf = 0;
	for (size_t i = 0; i < s.n; i++) {
		const char *lf = memchr(s.p + i, '\n', s.n - i);
		size_t end = lf ? (size_t)(lf - s.p) : s.n;
		for (const char *cr = s.p + i; (cr = memchr(cr, '\r', (size_t)(s.p + end - cr)));
		     cr++)
			if (cr + 1 != s.p + end || !lf)
				++*bare_cr;
		if (lf && end > 0 && s.p[end - 1] == '\r')
			++*crlf;
		else if (lf)
			++*bare_lf;
		i = end;
	}
}

/* `extra` is what `quoted` takes away at most; the copy has CRLF line ends. */
static struct span to_crlf(struct span s, size_t bare_lf, bool quoted)
{
	char *p = malloc(s.n + bare_lf + 1);
	size_t at = 0;
	if (!p)
		return SPAN_NONE;
	while (s.n) {
		if (quoted && s.p[0] == '>') { /* mboxrd: ">>From " stands for ">From " */
			size_t n = 1;
			while (n < s.n && s.p[n] == '>')
				n++;
			if (span_starts(span_sub(s, n, s.n), SPAN("From ")))
				s = span_sub(s, 1, s.n);
		}
		size_t end = span_find_char(s, '\n');
		size_t n = end == SIZE_MAX ? s.n : end;
		memcpy(p + at, s.p, n);
		at += n;
		if (end != SIZE_MAX) {
			if (n == 0 || s.p[n - 1] != '\r')
				p[at++] = '\r';
			p[at++] = '\n';
			n++;
		}
		s = span_sub(s, n, s.n);
	}
	return (struct span){p, at};
}

static struct txn *make_txn(enum txn_source source, const char *path, struct span octets,
			    bool quoted)
{
	struct txn *t = txn_create(source, clock_now_us());
	if (!t)
		return NULL;
	size_t bare_lf, bare_cr, crlf;
	t->file = arena_copy(&t->arena, span_of(path));
	t->size = octets.n;
	t->complete = true;
	sha256(octets, t->sha256);
	t->hashed = true;
	if (octets.n > LIMIT_MESSAGE_BYTES) {
		octets = span_sub(octets, 0, LIMIT_MESSAGE_BYTES);
		t->flags |= TXN_TRUNCATED;
	}
	count_line_ends(octets, &bare_lf, &bare_cr, &crlf);
	/* A file in Unix form has LF throughout; only a mixture says something about the mail. */
	if (bare_lf && crlf)
		t->flags |= TXN_BARE_LF;
	if (bare_cr)
		t->flags |= TXN_BARE_CR;
	if (octets.n && memchr(octets.p, '\0', octets.n))
		t->flags |= TXN_NUL;
	t->message = to_crlf(octets, bare_lf, quoted);
	if (!t->message.p) {
		txn_free(t);
		return NULL;
	}
	t->owner = (void *)t->message.p;
	t->release = free;
	return t;
}

static void no_time_yet(struct txn *t, int64_t fallback_us)
{
	if (t->time_prov == PROV_UNKNOWN && fallback_us) {
		t->time_us = fallback_us;
		t->time_prov = PROV_INFERRED;
	}
}

struct txn *spool_txn(enum txn_source source, const char *path, struct span octets)
{
	struct txn *t = make_txn(source, path, octets, false);
	if (t)
		envelope_infer(t);
	return t;
}

/* --- what a file is ---------------------------------------------------------- */

/* Fields that nearly every message has: a first line with a colon alone is also Yaml, a log, a
 * licence. */
static bool is_mail_field(struct span name)
{
	static const char *const names[] = {
		"from",        "to",           "subject",      "date",         "received",
		"return-path", "message-id",   "mime-version", "content-type", "dkim-signature",
		"sender",      "reply-to",     "delivered-to", "cc",           "x-mailer",
		"list-id",     "arc-seal",     "authentication-results",       "x-original-to",
		"resent-from", "bcc",          "precedence",   "received-spf", "envelope-to",
	};
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		if (span_case_eq(name, span_of(names[i])))
			return true;
	return false;
}

static bool looks_like_mail(struct span octets)
{
	struct span rest = span_sub(octets, 0, 16384), line;
	bool first = true;
	for (int i = 0; i < 60 && span_next_line(&rest, &line); i++, first = false) {
		size_t colon = span_find_char(line, ':');
		if (line.n == 0)
			return false;
		if (line.p[0] == ' ' || line.p[0] == '\t') {
			if (first)
				return false;
			continue;
		}
		if (colon == SIZE_MAX)
			return false;
		struct span name = span_trim(span_sub(line, 0, colon));
		for (size_t c = 0; c < name.n; c++)
			if (name.p[c] <= ' ' || name.p[c] == 0x7f)
				return false;
		if (is_mail_field(name))
			return true;
	}
	return false;
}

static bool has_mail_name(const char *path)
{
	return span_case_ends(span_of(path), SPAN(".eml"));
}

/* --- the walk ----------------------------------------------------------------- */

static void say(struct spool *s, enum spool_trouble kind, const char *path, const char *message)
{
	if (s->trouble)
		s->trouble(s->arg, kind, path, message);
}

static void say_errno(struct spool *s, const char *path, int error)
{
	say(s, error == EACCES || error == EPERM ? SPOOL_NO_PERM : SPOOL_NO_INPUT, path,
	    strerror(error));
}

static int64_t mtime_us(const char *path)
{
	struct stat st;
	return stat(path, &st) == 0 ? (int64_t)st.st_mtime * US_PER_S : 0;
}

/* One message that fills a file. */
static struct txn *file_txn(struct spool *s, enum txn_source source, const char *path,
			    struct span octets)
{
	const char *why = NULL;
	struct txn *t = make_txn(source, path, octets, false);
	if (!t)
		return NULL;
	int r = source == TXN_EML ? envelope_read(t, path, &why) : 0;
	if (r < 0) {
		char beside[4200];
		snprintf(beside, sizeof(beside), "%s.envelope", path);
		say(s, SPOOL_NO_MAIL, beside, why ? why : strerror(-r));
	}
	envelope_infer(t);
	no_time_yet(t, mtime_us(path));
	return t;
}

static void close_view(struct spool *s)
{
	if (s->view_open)
		file_view_close(&s->view);
	s->view_open = false;
	s->rest = SPAN_NONE;
	free(s->mbox_path);
	s->mbox_path = NULL;
}

/* 1 with a transaction, 0 when the mbox has no more. */
static int next_of_mbox(struct spool *s, struct txn **txn_r)
{
	struct mbox_message m;
	if (!mbox_next(&s->rest, &m)) {
		close_view(s);
		return 0;
	}
	s->mbox_at++;
	if (m.damaged) {
		char what[80];
		snprintf(what, sizeof(what), "message %u has no header field", s->mbox_at);
		say(s, SPOOL_BROKEN, s->mbox_path, what);
	}
	struct txn *t = make_txn(TXN_MBOX, s->mbox_path, m.octets, m.quoted);
	if (!t)
		return -ENOMEM;
	t->tx = s->mbox_at;
	int64_t us = 0;
	envelope_infer(t);
	if (t->time_prov == PROV_UNKNOWN)
		no_time_yet(t, date_parse_ctime(m.from_line, &us) ? us : 0);
	struct span from = m.from_line, address;
	if (t->mail_from.prov == PROV_UNKNOWN && span_next_word(&from, &address) &&
	    span_find_char(address, '@') != SIZE_MAX)
		t->mail_from = (struct txn_text){arena_copy(&t->arena, address), PROV_INFERRED};
	*txn_r = t;
	return 1;
}

static void close_capture(struct spool *s)
{
	capture_file_free(s->capture);
	s->capture = NULL;
	free(s->capture_path);
	s->capture_path = NULL;
}

/* 1 with a transaction, 0 when the capture has no more. */
static int next_of_capture(struct spool *s, struct txn **txn_r)
{
	const char *why;
	int r = capture_file_next(s->capture, txn_r, &why);
	if (r == 0)
		close_capture(s);
	if (r >= 0)
		return r;
	say(s, SPOOL_BROKEN, s->capture_path, why);
	return 0;
}

/* `path` looks like a capture: it becomes the one being read, or is said not to be one. */
static int open_capture(struct spool *s, const char *path, bool named)
{
	const char *why;
	s->capture_path = strdup(path);
	if (!s->capture_path)
		return -ENOMEM;
	int r = capture_file_open(&s->capture, s->capture_path, s->ports, s->n_ports, s->session,
				  s->session_arg, &why);
	if (r == -EINVAL) /* gzip of something else */
		say(s, named ? SPOOL_NO_MAIL : SPOOL_NOTICE, path, why);
	else if (r < 0 && r != -ENOMEM)
		say_errno(s, path, -r);
	if (r < 0)
		close_capture(s);
	return r == -ENOMEM ? r : 0;
}

/* Opens `path`: 1 with its transaction, or 0 when it became the mbox being read or is passed
 * over. */
static int open_file(struct spool *s, const char *path, bool named, bool maildir,
		     struct txn **txn_r)
{
	bool is_stdin = strcmp(path, "-") == 0;
	int r = file_view_input(path, LIMIT_SPOOL_FILE_BYTES, &s->view);
	if (r < 0) {
		say_errno(s, path, -r);
		return 0;
	}
	s->view_open = true;
	struct span octets = s->view.bytes;
	if (!maildir && span_starts(octets, SPAN("From "))) {
		s->rest = octets;
		s->mbox_at = 0;
		s->mbox_path = strdup(path);
		return s->mbox_path ? 0 : -ENOMEM;
	}
	if (!maildir && !is_stdin && pcap_looks_like_capture(octets)) {
		close_view(s);
		return open_capture(s, path, named);
	}
	r = 0;
	if (maildir || looks_like_mail(octets) || (has_mail_name(path) && octets.n)) {
		*txn_r = file_txn(s, maildir ? TXN_MAILDIR : TXN_EML, path, octets);
		r = *txn_r ? 1 : -ENOMEM;
	} else {
		say(s, named ? SPOOL_NO_MAIL : SPOOL_NOTICE, path,
		    octets.n ? "no mail: it does not begin with a header" : "no mail: it is empty");
	}
	close_view(s);
	return r;
}

static bool in_maildir(const FTSENT *e)
{
	const char *parent = e->fts_level > 0 ? e->fts_parent->fts_name : "";
	return strcmp(parent, "cur") == 0 || strcmp(parent, "new") == 0;
}

static bool is_envelope(const char *path)
{
	return span_ends(span_of(path), SPAN(".eml.envelope"));
}

/* A shell's * names it too; its message stands beside it. */
static bool is_envelope_of(const char *path)
{
	char message[4200];
	struct stat st;
	int n = (int)strlen(path) - (int)strlen(".envelope");
	return is_envelope(path) && snprintf(message, sizeof(message), "%.*s", n, path) == n &&
	       stat(message, &st) == 0;
}

static bool has_folder(const char *path, const char *name)
{
	char whole[4200];
	struct stat st;
	snprintf(whole, sizeof(whole), "%s/%s", path, name);
	return stat(whole, &st) == 0;
}

/* tmp/ of a Maildir holds what is being written; names with a dot are hidden, but for the
 * folders of a Maildir++. */
static bool is_passed_over(const FTSENT *e)
{
	if (e->fts_level == 0)
		return false;
	if (strcmp(e->fts_name, "tmp") == 0)
		return has_folder(e->fts_accpath, "../cur");
	return e->fts_name[0] == '.' && !(e->fts_name[1] && has_folder(e->fts_accpath, "cur"));
}

/* The next file of the walk: 1 with a transaction, 0 to go on, -ENOENT at its end. */
static int next_of_walk(struct spool *s, struct txn **txn_r)
{
	FTSENT *e = fts_read(s->walk);
	if (!e)
		return -ENOENT;
	switch (e->fts_info) {
	case FTS_D:
		if (is_passed_over(e))
			fts_set(s->walk, e, FTS_SKIP);
		return 0;
	case FTS_DEFAULT:
		/* Opening a named pipe waits for a writer who may never come. */
		if (e->fts_level > 0) {
			say(s, SPOOL_NOTICE, e->fts_path, "no mail: it is no regular file");
			return 0;
		}
		return open_file(s, e->fts_accpath, true, false, txn_r);
	case FTS_F:
		if (e->fts_level > 0 ? is_envelope(e->fts_path) || e->fts_name[0] == '.'
				     : is_envelope_of(e->fts_accpath))
			return 0;
		return open_file(s, e->fts_accpath, e->fts_level == 0, in_maildir(e), txn_r);
	case FTS_SL:
	case FTS_SLNONE:
		if (e->fts_level == 0)
			return open_file(s, e->fts_accpath, true, false, txn_r);
		say(s, SPOOL_NOTICE, e->fts_path, "not followed: it is a link; name it to read it");
		return 0;
	case FTS_DNR:
	case FTS_ERR:
	case FTS_NS:
		say_errno(s, e->fts_path, e->fts_errno);
		return 0;
	default:
		return 0;
	}
}

static int by_name(const FTSENT **a, const FTSENT **b)
{
	return strcmp((*a)->fts_name, (*b)->fts_name);
}

int spool_next(struct spool *s, struct txn **txn_r)
{
	*txn_r = NULL;
	for (;;) {
		int r = 0;
		if (s->mbox_path) {
			r = next_of_mbox(s, txn_r);
		} else if (s->capture) {
			r = next_of_capture(s, txn_r);
		} else if (s->walk) {
			r = next_of_walk(s, txn_r);
			if (r == -ENOENT) {
				fts_close(s->walk);
				s->walk = NULL;
				r = 0;
			}
		} else if (s->next_path == s->n_paths) {
			return 0;
		} else {
			const char *path = s->paths[s->next_path++];
			if (strcmp(path, "-") == 0) {
				r = open_file(s, path, true, false, txn_r);
			} else {
				char *one[] = {(char *)path, NULL};
				/* A path given may be a link; inside a folder links are not
				 * followed. */
				s->walk = fts_open(one, FTS_PHYSICAL | FTS_COMFOLLOW | FTS_NOCHDIR,
						   by_name);
				if (!s->walk)
					say_errno(s, path, errno);
			}
		}
		if (r)
			return r;
	}
}

int spool_open(struct spool **spool_r, const char *const *paths, size_t n,
	       spool_trouble_fn *trouble, void *arg)
{
	static const uint16_t usual_ports[] = {25, 587};
	struct spool *s = calloc(1, sizeof(*s));
	if (!s)
		return -ENOMEM;
	*s = (struct spool){.paths = paths, .n_paths = n, .trouble = trouble, .arg = arg,
			    .ports = usual_ports, .n_ports = 2};
	*spool_r = s;
	return 0;
}

void spool_captures(struct spool *s, const uint16_t *ports, size_t n_ports,
		    capture_session_fn *session, void *arg)
{
	s->ports = ports;
	s->n_ports = n_ports;
	s->session = session;
	s->session_arg = arg;
}

void spool_free(struct spool *s)
{
	if (!s)
		return;
	close_view(s);
	close_capture(s);
	if (s->walk)
		fts_close(s->walk);
	free(s);
}

static void keep_trouble(void *arg, enum spool_trouble kind, const char *path, const char *message)
{
	int *error = arg;
	(void)path;
	(void)message;
	if (*error == 0)
		*error = kind == SPOOL_NO_PERM ? -EACCES : kind == SPOOL_NO_INPUT ? -ENOENT : -ENOMSG;
}

int spool_read_file(const char *path, struct txn **txn_r)
{
	struct spool *s;
	int error = 0, r = spool_open(&s, &path, 1, keep_trouble, &error);
	if (r < 0)
		return r;
	r = spool_next(s, txn_r);
	spool_free(s);
	return r == 1 ? 0 : r < 0 ? r : error ? error : -ENOMSG;
}
