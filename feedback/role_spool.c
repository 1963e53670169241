/*
 * Watched folders: every mail of a Maildir (new/ and cur/) or of a plain folder is judged once,
 * across restarts too. The files are only read.
 *
 * STATE/spool.sqlite has a row for each file: written with the event's id before the mail is given
 * to a worker, marked done when its event is in the log, or still waits for a full disk when
 * LIMIT_JUDGE_US has passed; what waits is lost when the process dies. A row that is not done at a
 * start is looked for in the log by its id; what is not there is judged then. It goes when its file
 * was not met for FORGET_DAYS.
 */
#include <errno.h>
#include <dirent.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <sysexits.h>
#include <unistd.h>
#include <event2/event.h>

#include "base/clock.h"
#include "base/limits.h"
#include "base/log.h"
#include "capture/spool.h"
#include "feedback/db.h"
#include "feedback/eventlog.h"
#include "feedback/judge.h"
#include "feedback/role.h"

/* Mails with the workers at once: enough to keep them busy, few enough that live mail does not
 * wait behind a full folder. */
#define SPOOL_WINDOW 256
/* Names read of a folder before other events have their turn. */
#define SCAN_BURST 512
/* A file whose writer said nothing counts as whole when it has not changed for so long. */
#define SETTLED_US 500000
/* A look for what no notice came of. */
#define RESCAN_US (60 * US_PER_S)
/* One scan may miss a file that is renamed meanwhile, and a folder may be away for days; no file may be
 * judged twice. So a row is kept until thousands of scans have not met its file. */
#define FORGET_DAYS 30
/* A row is written anew when its day is older: seldom, and long before it would be forgotten. */
#define MET_DAYS 7
/* Rows forgotten at once, so that mail does not wait. */
#define FORGET_ROWS 10000

struct watched {
	struct spooler *spooler;
	const char *path;
	bool maildir;
	int watch[2];
	size_t part; /* of the scan under way; parts(): none is */
	DIR *scan;
	int64_t day;     /* on which it began */
	bool whole, met; /* nothing failed in it; it has met files that have rows */
	int64_t sweep;   /* the day from which on rows are forgotten; 0: not behind the first scan */
	bool wanted; /* another one */
};

struct spooler {
	struct role *role;
	struct judge *judge;
	struct db *db;
	int inotify;
	struct event *notice, *later, *go_on;
	struct watched *folders;
	size_t n_folders;
	bool stopping, settling;
	int trouble; /* the errno that was told last, 0: none */
	uint64_t taken, passed_over;
};

/* A Maildir has two folders with mail in them, a plain folder is one. */
static size_t parts(const struct watched *w)
{
	return w->maildir ? 2 : 1;
}

static const char *part_name(const struct watched *w, size_t part)
{
	return !w->maildir ? "" : part == 0 ? "/new" : "/cur";
}

struct mail {
	struct spooler *spooler;
	struct buf name;
};

/* --- what was seen ------------------------------------------------------------------------ */

/* `done` is 0 or the day on which the file was last met. */
static const char schema[] = "CREATE TABLE IF NOT EXISTS seen(name TEXT PRIMARY KEY, id TEXT, "
			     "done INTEGER NOT NULL) WITHOUT ROWID;"
			     "CREATE INDEX IF NOT EXISTS open ON seen(id) WHERE done = 0;";

static int64_t today(void)
{
	return clock_now_us() / (86400 * US_PER_S);
}

static bool seen(struct watched *w, struct span name)
{
	struct db_query *q = db_query(w->spooler->db, "SELECT done FROM seen WHERE name = ?1");
	db_bind_text(q, 1, name);
	int r = db_step(q), found = r;
	bool old = r == DB_ROW && db_int(q, 0) && db_int(q, 0) < w->day - MET_DAYS;
	db_end(q);
	if (old) {
		q = db_query(w->spooler->db, "UPDATE seen SET done = ?2 WHERE name = ?1");
		db_bind_text(q, 1, name);
		db_bind_int(q, 2, w->day);
		r = db_run(q);
	}
	w->whole &= r >= 0;
	w->met |= found == DB_ROW;
	/* a database that cannot be read must not make us judge everything again and again */
	return found != 0;
}

/* `done`: 0 or a day. */
static int remember(struct spooler *s, struct span name, const char *id, int64_t done)
{
	struct db_query *q = db_query(s->db, "INSERT INTO seen VALUES(?1, ?2, ?3) ON CONFLICT(name)"
					     " DO UPDATE SET id = ?2, done = ?3");
	db_bind_text(q, 1, name);
	db_bind_text(q, 2, span_of(id));
	db_bind_int(q, 3, done);
	return db_run(q);
}

/* Of this folder alone, not of others inside it; '0' comes behind '/'. Days are those of the scan that has
 * just met what is there, so a clock that jumps forgets no more. */
static int forget(struct watched *w)
{
	struct db_query *q = db_query(w->spooler->db,
				      "DELETE FROM seen WHERE name IN (SELECT name FROM seen WHERE"
				      " name > ?1 || '/' AND name < ?1 || '0' AND done BETWEEN 1 AND ?2"
				      " AND instr(substr(name, length(?1) + 2), '/') = 0 LIMIT ?3)");
	db_bind_text(q, 1, span_of(w->path));
	db_bind_int(q, 2, w->day - FORGET_DAYS);
	db_bind_int(q, 3, FORGET_ROWS);
	return db_run(q);
}

/* Not behind the first scan, and not where the folder is empty: it may not be mounted. */
static void scanned(struct watched *w)
{
	if (!w->whole || !w->met || w->day < w->sweep)
		return;
	int r = w->sweep ? forget(w) : 0;
	bool more = !w->sweep || (r == 0 && db_changes(w->spooler->db) == FORGET_ROWS);
	w->sweep = w->day + !more;
	if (r < 0)
		log_error("spool.state", "why=%s", strerror(-r));
}

/* What was under way when the last process ended: in the log, or to be judged. */
static int settle_open_rows(struct spooler *s)
{
	const char *state = s->role->config->state;
	struct db_query *q = db_query(s->db, "SELECT MIN(id) FROM seen WHERE done = 0");
	int r = db_step(q);
	struct span oldest = r == DB_ROW ? db_text(q, 0) : SPAN_NONE;
	bool open = id_valid(oldest);
	int64_t since_us = open ? id_time_us(oldest) : 0;
	db_end(q);
	if (r < 0 || !open)
		return r < 0 ? r : 0;
	struct eventlog_reader *reader = NULL;
	struct eventlog_position begin;
	struct span line;
	r = eventlog_at_time(state, since_us, &begin);
	if (r == 0)
		r = eventlog_reader_open(&reader, state, &begin);
	while (r == 0 && (r = eventlog_next(reader, &line)) == 1) {
		r = 0;
		if (!span_starts(line, SPAN("{\"event\":\"txn\",\"id\":\"")) || line.n < 48)
			continue;
		struct span id = span_sub(line, 21, 21 + ID_BYTES - 1);
		q = db_query(s->db, "SELECT 1 FROM seen WHERE done = 0 AND id = ?1");
		db_bind_text(q, 1, id);
		int row = db_step(q); /* most are not, and looking takes no lock for writing */
		db_end(q);
		if (row == 0)
			continue;
		q = db_query(s->db, "UPDATE seen SET done = ?2 WHERE done = 0 AND id = ?1");
		db_bind_text(q, 1, id);
		db_bind_int(q, 2, today());
		r = db_run(q);
	}
	eventlog_reader_close(reader);
	return r < 0 && r != -ENOENT ? r : db_exec(s->db, "DELETE FROM seen WHERE done = 0");
}

/* --- one mail ----------------------------------------------------------------------------- */

static void go_on(struct spooler *s);

static void mail_free(struct mail *m)
{
	buf_free(&m->name);
	free(m);
}

static void on_done(void *arg, const struct judgement *v)
{
	struct mail *m = arg;
	struct spooler *s = m->spooler;
	int r = remember(s, buf_span(&m->name), v->id, today());
	if (r < 0)
		log_error("spool.state", "why=%s", strerror(-r));
	mail_free(m);
	go_on(s);
}

/* The name under which a file is known: a Maildir renames it when its flags change. */
static void name_of(const struct watched *w, struct span file, struct buf *name)
{
	size_t info = w->maildir ? span_find(file, SPAN(":2,")) : SIZE_MAX;
	buf_adds(name, w->path);
	buf_addc(name, '/');
	buf_add(name, span_sub(file, 0, info == SIZE_MAX ? file.n : info));
}

static void judge_mail(struct watched *w, const char *path, struct mail *m)
{
	struct spooler *s = w->spooler;
	struct txn *t;
	int r = spool_read_file(path, &t);
	if (r == -ENOMSG) {
		s->passed_over++;
		log_warn("spool.no-mail", "file=%s", log_safe(span_of(path)));
		r = remember(s, buf_span(&m->name), NULL, today());
		t = NULL;
	} else if (r == -ENOENT) { /* moved meanwhile: it is met under its new name */
		t = NULL;
		r = 0;
	} else if (r == 0) {
		if (w->maildir)
			t->source = TXN_MAILDIR;
		r = remember(s, buf_span(&m->name), t->id, 0);
	} else {
		t = NULL;
	}
	if (r == 0 && t) {
		s->trouble = 0;
		s->taken++;
		judge_submit(s->judge, t, clock_mono_us() + LIMIT_JUDGE_US, NULL, on_done, m);
		return;
	}
	if (r < 0) { /* told once; met again soon on a full disk, at the next look without a right */
		s->settling |= r != -EACCES && r != -EPERM;
		if (s->trouble != -r)
			log_error("spool.read", "file=%s why=%s", log_safe(span_of(path)),
				  strerror(-r));
		s->trouble = -r;
	}
	txn_free(t);
	mail_free(m);
}

/* `whole`: its writer has closed or renamed it. False: it may still grow. */
static bool take_file(struct watched *w, size_t part, struct span file, bool whole)
{
	struct spooler *s = w->spooler;
	char path[PATH_MAX];
	struct stat st;
	if (file.n == 0 || file.p[0] == '.')
		return true;
	struct mail *m = calloc(1, sizeof(*m));
	if (!m)
		return true;
	m->spooler = s;
	name_of(w, file, &m->name);
	if (m->name.failed || seen(w, buf_span(&m->name)) ||
	    snprintf(path, sizeof(path), "%s%s/%.*s", w->path, part_name(w, part), SPAN_ARG(file)) >=
		    (int)sizeof(path) ||
	    stat(path, &st) < 0 || !S_ISREG(st.st_mode)) {
		mail_free(m);
		return true;
	}
	int64_t changed = st.st_mtim.tv_sec * US_PER_S + st.st_mtim.tv_nsec / 1000;
	int64_t age = clock_now_us() - changed;
	if (!whole && age >= 0 && age < SETTLED_US) {
		mail_free(m);
		return false;
	}
	judge_mail(w, path, m);
	return true;
}

/* --- folders ------------------------------------------------------------------------------- */

static bool room(const struct spooler *s)
{
	return !s->stopping && judge_waiting(s->judge) < SPOOL_WINDOW;
}

/* Reads on in the folder, a burst at most; false: there is more. */
static bool scan(struct watched *w)
{
	struct spooler *s = w->spooler;
	char path[PATH_MAX];
	for (size_t n = 0; w->part < parts(w);) {
		if (!w->scan) {
			snprintf(path, sizeof(path), "%s%s", w->path, part_name(w, w->part));
			w->scan = opendir(path);
		}
		bool ended = !w->scan;
		while (!ended && room(s) && n++ < SCAN_BURST) {
			errno = 0;
			const struct dirent *e = readdir(w->scan);
			ended = !e;
			if (e && !take_file(w, w->part, span_of(e->d_name), false))
				s->settling = true;
		}
		if (!ended)
			return false;
		w->whole &= w->scan && errno == 0;
		if (w->scan)
			closedir(w->scan);
		w->scan = NULL;
		if (++w->part == parts(w))
			scanned(w);
	}
	return true;
}

static void go_on(struct spooler *s)
{
	if (!s->stopping)
		event_active(s->go_on, EV_TIMEOUT, 0);
}

/* Soon where a file may still grow; a look that is due sooner is not put off. */
static void look_later(struct spooler *s)
{
	struct timeval soon = {.tv_usec = SETTLED_US + 100000};
	struct timeval later = {.tv_sec = RESCAN_US / US_PER_S};
	if (s->settling)
		event_add(s->later, &soon);
	else if (!event_pending(s->later, EV_TIMEOUT, NULL))
		event_add(s->later, &later);
	s->settling = false;
}

static void on_go_on(evutil_socket_t fd, short what, void *arg)
{
	struct spooler *s = arg;
	bool more = false;
	(void)fd;
	(void)what;
	for (size_t i = 0; i < s->n_folders; i++) {
		struct watched *w = &s->folders[i];
		if (w->part == parts(w) && w->wanted) {
			w->wanted = false;
			w->part = 0;
			w->day = today();
			w->whole = true;
			w->met = false;
		}
		more |= !scan(w);
	}
	look_later(s);
	if (more && room(s))
		event_active(s->go_on, EV_TIMEOUT, 0);
}

static void scan_all(struct spooler *s)
{
	for (size_t i = 0; i < s->n_folders; i++)
		s->folders[i].wanted = true;
	go_on(s);
}

static void on_later(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	scan_all(arg);
}

static void take_notice(struct spooler *s, const struct inotify_event *e)
{
	for (size_t i = 0; i < s->n_folders; i++) {
		struct watched *w = &s->folders[i];
		for (size_t part = 0; part < parts(w); part++) {
			if (w->watch[part] != e->wd || !e->len)
				continue;
			bool whole = e->mask & (IN_MOVED_TO | IN_CLOSE_WRITE);
			if (!room(s))
				w->wanted = true;
			else if (!take_file(w, part, span_of(e->name), whole))
				s->settling = true;
		}
	}
}

static void on_notice(evutil_socket_t fd, short what, void *arg)
{
	struct spooler *s = arg;
	_Alignas(struct inotify_event) char octets[16384];
	ssize_t n;
	(void)what;
	while ((n = read(fd, octets, sizeof(octets))) > 0)
		for (char *p = octets; p < octets + n;) {
			const struct inotify_event *e = (const struct inotify_event *)(void *)p;
			p += sizeof(*e) + e->len;
			if (e->mask & IN_Q_OVERFLOW)
				scan_all(s);
			else
				take_notice(s, e);
		}
	look_later(s);
}

static int watch(struct spooler *s, struct watched *w)
{
	char path[PATH_MAX];
	struct stat st;
	snprintf(path, sizeof(path), "%s/new", w->path);
	w->maildir = stat(path, &st) == 0 && S_ISDIR(st.st_mode);
	for (size_t part = 0; part < parts(w); part++) {
		snprintf(path, sizeof(path), "%s%s", w->path, part_name(w, part));
		w->watch[part] = inotify_add_watch(s->inotify, path,
						   IN_MOVED_TO | IN_CLOSE_WRITE | IN_CREATE);
		if (w->watch[part] < 0)
			return -errno;
	}
	w->part = parts(w);
	w->wanted = true;
	return 0;
}

/* --- the role ------------------------------------------------------------------------------ */

static int open_database(struct spooler *s)
{
	char path[PATH_MAX];
	if (snprintf(path, sizeof(path), "%s/spool.sqlite", s->role->config->state) >=
	    (int)sizeof(path))
		return -ENAMETOOLONG;
	int r = db_open(path, schema, &s->db);
	/* a row that the machine's death takes is looked for in the log, which has no fsync either */
	if (r == 0)
		r = db_exec(s->db, "PRAGMA synchronous = NORMAL");
	return r < 0 ? r : settle_open_rows(s);
}

static int spool_start(struct role *r)
{
	const struct config *config = r->config;
	struct spooler *s = calloc(1, sizeof(*s));
	if (!s)
		return EX_OSERR;
	*s = (struct spooler){.role = r, .n_folders = config->spool_maildirs.n};
	r->data = s;
	s->folders = calloc(s->n_folders, sizeof(*s->folders));
	s->inotify = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);
	int result = !s->folders ? -ENOMEM : s->inotify < 0 ? -errno : open_database(s);
	if (result < 0) {
		log_error("spool.open", "why=%s", strerror(-result));
		return EX_OSERR;
	}
	for (size_t i = 0; i < s->n_folders; i++) {
		s->folders[i] = (struct watched){.spooler = s, .path = config->spool_maildirs.v[i]};
		result = watch(s, &s->folders[i]);
		if (result < 0) {
			log_error("spool.watch", "folder=%s why=%s", s->folders[i].path,
				  strerror(-result));
			return EX_NOINPUT;
		}
	}
	s->notice = event_new(r->loop, s->inotify, EV_READ | EV_PERSIST, on_notice, s);
	s->later = event_new(r->loop, -1, 0, on_later, s);
	s->go_on = event_new(r->loop, -1, 0, on_go_on, s);
	if (!s->notice || !s->later || !s->go_on || event_add(s->notice, NULL) < 0 ||
	    judge_open(&s->judge, config, r->loop) < 0)
		return EX_OSERR;
	go_on(s);
	return EX_OK;
}

static void spool_stop(struct role *r)
{
	struct spooler *s = r->data;
	s->stopping = true;
	judge_drain(s->judge);
}

static void spool_end(struct role *r)
{
	struct spooler *s = r->data;
	judge_close(s->judge);
	db_close(s->db);
}

static void spool_status(struct role *r, struct json *j)
{
	const struct spooler *s = r->data;
	json_int(j, "taken", (int64_t)s->taken);
	json_int(j, "passed_over", (int64_t)s->passed_over);
	judge_status(s->judge, j);
}

const struct role_kind role_spool = {
	.name = "spool", .start = spool_start, .stop = spool_stop, .end = spool_end,
	.status = spool_status,
};
