#include "feedback/db.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>
#include <sqlite3.h>

#include "base/log.h"

struct db {
	sqlite3 *handle;
};

struct db_query {
	struct db *db;
	sqlite3_stmt *stmt;
	int error; /* of the preparation or of a bind */
};

static int error_of(int rc)
{
	switch (rc & 0xff) {
	case SQLITE_OK:
	case SQLITE_DONE:
		return 0;
	case SQLITE_FULL:
		return -ENOSPC;
	case SQLITE_BUSY:
	case SQLITE_LOCKED:
		return -EBUSY;
	case SQLITE_READONLY:
		return -EROFS;
	case SQLITE_PERM:
	case SQLITE_AUTH:
	case SQLITE_CANTOPEN:
		return -EACCES;
	case SQLITE_NOMEM:
		return -ENOMEM;
	case SQLITE_CORRUPT:
	case SQLITE_NOTADB:
		return -EBADMSG;
	case SQLITE_CONSTRAINT:
		return -EEXIST;
	case SQLITE_TOOBIG:
		return -EFBIG;
	default:
		return -EIO;
	}
}

/* A full disk shows as SQLITE_IOERR too (the shared memory of the log cannot grow). */
static int trouble(struct db *db, int rc)
{
	int r = error_of(rc);
	if (r == -EIO && db->handle && sqlite3_system_errno(db->handle) == ENOSPC)
		r = -ENOSPC;
	if (r < 0 && r != -EEXIST && r != -EBUSY && r != -ENOSPC)
		log_debug("db.error", "code=%d text=\"%s\"", rc,
			  db->handle ? sqlite3_errmsg(db->handle) : "");
	return r;
}

/* SQLite would make the file by the umask; what is in it is nobody else's business. */
static int make_file(const char *path)
{
	int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	if (fd < 0)
		return -errno;
	close(fd);
	return 0;
}

int db_open(const char *path, const char *schema, struct db **db_r)
{
	*db_r = NULL;
	int r = make_file(path);
	if (r < 0)
		return r;
	struct db *db = calloc(1, sizeof(*db));
	if (!db)
		return -ENOMEM;
	int rc = sqlite3_open_v2(path, &db->handle, SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX,
				 NULL);
	if (rc == SQLITE_OK)
		rc = sqlite3_busy_timeout(db->handle, DB_BUSY_MS);
	r = trouble(db, rc);
	if (r == 0)
		r = db_exec(db, "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL;"
				"PRAGMA foreign_keys = ON;");
	if (r == 0)
		r = db_exec(db, schema);
	if (r < 0) {
		db_close(db);
		return r;
	}
	*db_r = db;
	return 0;
}

void db_close(struct db *db)
{
	if (!db)
		return;
	sqlite3_close(db->handle);
	free(db);
}

int db_exec(struct db *db, const char *sql)
{
	return trouble(db, sqlite3_exec(db->handle, sql, NULL, NULL, NULL));
}

int db_begin(struct db *db)
{
	return db_exec(db, "BEGIN IMMEDIATE");
}

int db_commit(struct db *db)
{
	int r = db_exec(db, "COMMIT");
	if (r < 0)
		db_rollback(db);
	return r;
}

void db_rollback(struct db *db)
{
	if (!sqlite3_get_autocommit(db->handle) && db_exec(db, "ROLLBACK") < 0)
		log_error("db.rollback", "text=\"%s\"", sqlite3_errmsg(db->handle));
}

int db_finish(struct db *db, int r)
{
	if (r == 0)
		return db_commit(db);
	db_rollback(db);
	return r;
}

int64_t db_data_version(struct db *db)
{
	struct db_query *q = db_query(db, "PRAGMA data_version");
	int64_t version = db_step(q) == DB_ROW ? db_int(q, 0) : -1;
	db_end(q);
	return version;
}

struct db_query *db_query(struct db *db, const char *sql)
{
	struct db_query *q = calloc(1, sizeof(*q));
	if (!q)
		return NULL;
	q->db = db;
	q->error = trouble(db, sqlite3_prepare_v2(db->handle, sql, -1, &q->stmt, NULL));
	if (q->error < 0)
		log_error("db.statement", "text=\"%s\"", sqlite3_errmsg(db->handle));
	return q;
}

static void bound(struct db_query *q, int rc)
{
	if (rc != SQLITE_OK && q->error == 0)
		q->error = trouble(q->db, rc);
}

void db_bind_text(struct db_query *q, int at, struct span s)
{
	if (!q || !q->stmt)
		return;
	if (!s.p)
		bound(q, sqlite3_bind_null(q->stmt, at));
	else
		bound(q, sqlite3_bind_text64(q->stmt, at, s.p, s.n, SQLITE_TRANSIENT,
					     SQLITE_UTF8));
}

void db_bind_blob(struct db_query *q, int at, struct span s)
{
	if (q && q->stmt)
		bound(q, sqlite3_bind_blob64(q->stmt, at, s.p ? s.p : "", s.n, SQLITE_TRANSIENT));
}

void db_bind_int(struct db_query *q, int at, int64_t value)
{
	if (q && q->stmt)
		bound(q, sqlite3_bind_int64(q->stmt, at, value));
}

int db_step(struct db_query *q)
{
	if (!q)
		return -ENOMEM;
	if (q->error < 0)
		return q->error;
	int rc = sqlite3_step(q->stmt);
	return rc == SQLITE_ROW ? DB_ROW : trouble(q->db, rc);
}

struct span db_text(struct db_query *q, int column)
{
	const void *p = sqlite3_column_blob(q->stmt, column);
	size_t n = (size_t)sqlite3_column_bytes(q->stmt, column);
	if (sqlite3_column_type(q->stmt, column) == SQLITE_NULL)
		return SPAN_NONE;
	return (struct span){p ? p : "", n};
}

int64_t db_int(struct db_query *q, int column)
{
	return sqlite3_column_int64(q->stmt, column);
}

void db_end(struct db_query *q)
{
	if (!q)
		return;
	sqlite3_finalize(q->stmt);
	free(q);
}

int db_run(struct db_query *q)
{
	int r;
	do
		r = db_step(q);
	while (r == DB_ROW);
	db_end(q);
	return r;
}

int64_t db_changes(struct db *db)
{
	return sqlite3_changes64(db->handle);
}

int64_t db_last_id(struct db *db)
{
	return sqlite3_last_insert_rowid(db->handle);
}
