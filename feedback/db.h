/*
 * db - SQLite behind one file: a database, its statements, transactions.
 *
 * Example:  struct db_query *q = db_query(db, "SELECT state FROM sender WHERE key = ?1");
 *           db_bind_text(q, 1, key);
 *           while ((r = db_step(q)) == DB_ROW) ... db_text(q, 0) ...;
 *           db_end(q);
 *
 * Several processes use the same file at once: the journal is a write-ahead log, a writer waits
 * for another one up to DB_BUSY_MS, and a write transaction takes the lock at its start, so that
 * it never has to be begun again half-way.
 *
 * Ownership: db_query() lends a statement until db_end(); texts of a row live until the next
 *            db_step() or db_end() of the statement.
 * Errors:    negative errno: -ENOSPC full disk, -EBUSY, -EACCES, -EROFS, -EIO, -ENOMEM,
 *            -EBADMSG for a file that is no database; -EEXIST for a constraint.
 */
#pragma once

#include "base/span.h"

enum { DB_ROW = 1 };

/* Another writer holds the lock for milliseconds; past this something is wrong with him. */
#define DB_BUSY_MS 10000

struct db;
struct db_query;

/* Opens or makes the file (mode 0600) and runs `schema`: statements that may be run again
 * ("CREATE TABLE IF NOT EXISTS"). */
__attribute__((warn_unused_result)) int db_open(const char *path, const char *schema,
						struct db **db_r);
void db_close(struct db *db); /* accepts NULL */

__attribute__((warn_unused_result)) int db_exec(struct db *db, const char *sql);
__attribute__((warn_unused_result)) int db_begin(struct db *db); /* for writing */
__attribute__((warn_unused_result)) int db_commit(struct db *db);
void db_rollback(struct db *db); /* nothing to undo is no error */
/* Ends the transaction as `r` says: commits for 0, else rolls back. Returns what came of it. */
__attribute__((warn_unused_result)) int db_finish(struct db *db, int r);

/* A counter that differs after another connection has committed something. */
int64_t db_data_version(struct db *db);

/* A statement that could not be prepared says why at db_step(); NULL (out of memory) is accepted
 * below. */
struct db_query *db_query(struct db *db, const char *sql);
void db_bind_text(struct db_query *q, int at, struct span s); /* NULL when s.p is NULL */
void db_bind_blob(struct db_query *q, int at, struct span s);
void db_bind_int(struct db_query *q, int at, int64_t value);
/* DB_ROW, 0 at the end, negative errno. */
__attribute__((warn_unused_result)) int db_step(struct db_query *q);
struct span db_text(struct db_query *q, int column); /* .p NULL for NULL */
int64_t db_int(struct db_query *q, int column);
void db_end(struct db_query *q);
/* Runs a statement that has no rows: db_step(), db_end(). */
__attribute__((warn_unused_result)) int db_run(struct db_query *q);

/* Rows that the last statement changed; the id of the last row put in. */
int64_t db_changes(struct db *db);
int64_t db_last_id(struct db *db);
